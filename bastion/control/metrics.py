"""What happens, in numbers, for Prometheus: counted from the audit, in which everything stands.

No label holds a name, an address or a text of anybody: each is one of a closed list, or the name of
a detector that the operator configured. So their number is bounded, and a scrape tells no secret.
"""

from __future__ import annotations

import os
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bastion import __version__
from bastion.events import Outcome
from bastion.policy.approvals import Approval

WAITS: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Bounds of the histogram of waiting, in seconds: people answer at once or after lunch."""

MORE: Final = "(not listed)"
"""Stands for the detectors of secrets that an audit line only counts."""

Fields = Mapping[str, Any]

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series


@dataclass(frozen=True, slots=True)
class Standing:
    """What is looked at when somebody asks. Each is called in the bastion's own loop."""

    sessions: Callable[[], int]
    channels: Callable[[], Mapping[str, int]]
    """Live channels by the kind of their request."""
    queries: Callable[[], int]
    """Statements that databases were given; they stand in no audit line."""
    waiting: Callable[[], int]
    grants: Callable[[], int]
    locks: Callable[[], Iterable[str]]
    """The kinds of the locks in force."""
    recording: Callable[[], int]
    """Recordings that are being written."""
    failed: Callable[[], int]
    """Recordings that could not be begun, or written on."""
    folder: Path
    """Where they are written."""


class Metrics:
    """The counters. They begin at zero with the bastion, as Prometheus expects."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._plain = {kind: self._counter(name, text) for kind, (name, text) in _COUNTED.items()}
        self._labelled = {
            kind: (self._counter(name, text, *fields), fields)
            for kind, (name, text, fields) in _BY_FIELD.items()
        }
        self._entries = self._counter("audit_entries", "Lines of the audit log.")
        self._failures = self._counter(
            "login_failures", "Logins and certificates that were refused.", "stage"
        )
        self._masked = self._counter("masked_secrets", "Secrets taken out of output.", "detector")
        self._ends = self._counter("approvals_ended", "Approvals by how they ended.", "end")
        self._waits = Histogram(
            "approval_wait_seconds",
            "How long requests were held.",
            ["end"],
            namespace="bastion",
            registry=self.registry,
            buckets=WAITS,
        )

    def stand(self, standing: Standing) -> None:
        """Once the bastion runs: what is to be looked at."""
        self.registry.register(_Looking(standing))

    def audited(self, kind: str, fields: Fields) -> None:
        """A line of the audit was written."""
        self._entries.inc()
        if (counter := self._plain.get(kind)) is not None:
            counter.inc()
        if (labelled := self._labelled.get(kind)) is not None:
            labelled[0].labels(*(str(fields.get(name, "")) for name in labelled[1])).inc()
        if (stage := _STAGES.get(kind)) is not None:
            self._failures.labels(stage).inc()
        if kind == "masked":
            self._count_masked(fields)

    def approval(self, approval: Approval, what: str, at: float) -> None:
        """Something happened to an approval."""
        if what not in tuple(Outcome):
            return
        end = what
        if what == Outcome.GRANTED and not approval.answers:
            end = "break-glass" if approval.glass else "repeat"
        self._ends.labels(end).inc()
        self._waits.labels(end).observe(max(0.0, at - approval.question.asked_at))

    def _count_masked(self, fields: Fields) -> None:
        """Streams list their secrets one by one; databases count theirs by detector."""
        secrets = fields.get("secrets", ())
        if isinstance(secrets, Mapping):
            counts = dict(secrets)
        else:
            counts = Counts(str(one["detector"]) for one in secrets)
        for detector, count in {**counts, MORE: fields.get("more", 0)}.items():
            if count:
                self._masked.labels(detector).inc(count)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace="bastion", registry=self.registry)


class _Looking(Collector):
    """Gauges, looked at when they are asked for."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        standing = self._standing
        yield _gauge("info", "The version that runs.", {__version__: 1}, "version")
        yield _gauge("sessions", "Live sessions.", standing.sessions())
        kinds = standing.channels()
        yield _gauge("channels", "Live channels by what was asked for.", kinds, "request_kind")
        yield _gauge("approvals_waiting", "Requests that wait for people.", standing.waiting())
        yield _gauge("grants", "Grants for a time that are in force.", standing.grants())
        locks: dict[str, float] = {}
        for kind in standing.locks():
            locks[kind] = locks.get(kind, 0) + 1
        yield _gauge("locks", "Locks in force.", locks, "kind")
        yield _gauge("recordings_open", "Recordings that have no end yet.", standing.recording())
        there = os.statvfs(standing.folder)
        free = there.f_bavail * there.f_frsize
        yield _gauge("recordings_free_bytes", "Free space where recordings are written.", free)
        yield CounterMetricFamily(
            "bastion_recordings_failed",
            "Recordings that could not be begun, or written on.",
            value=standing.failed(),
        )
        yield CounterMetricFamily(
            "bastion_queries", "Statements of databases' sessions.", value=standing.queries()
        )


def _gauge(
    name: str, text: str, value: float | Mapping[str, float], label: str = ""
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"bastion_{name}", text, labels=[label] if label else None)
    if isinstance(value, Mapping):
        for key, one in value.items():
            family.add_metric([key], one)
    else:
        family.add_metric([], value)
    return family


_COUNTED: Final = {
    "connection": ("connections", "Connections that were let in to authenticate."),
    "connection-refused": ("connections_refused", "Connections beyond the limits."),
    "approval-asked": ("approvals_asked", "Requests that were put before people."),
    "break-glass": ("break_glass", "Requests that went on without approval."),
    "break-glass-refused": ("break_glass_refused", "Tries to go on without approval."),
    "access-granted": ("access_granted", "Roles granted for a time."),
    "certificate-issued": ("certificates_issued", "Certificates of people."),
    "dial-failed": ("dial_failures", "Targets that could not be reached."),
    "recording-unsealed": ("recordings_unsealed", "Recordings that could not be sealed."),
    "recording-finished": ("recordings_left_open", "Recordings of a crash, finished at the start."),
    "recording-damaged": ("recordings_damaged", "Recordings found damaged at the start."),
    "webhook-dropped": ("webhooks_dropped", "Events that a webhook was not told of."),
    "policy-refused": ("policies_refused", "Changed policies that were wrong."),
}
"""Kinds of audit lines that are only counted: name and help."""

_BY_FIELD: Final = {
    "session-started": ("sessions_started", "Sessions by how they logged in.", ("via",)),
    "session-ended": ("sessions_ended", "Sessions by why they ended.", ("reason",)),
    "channel-opened": ("channels_opened", "Channels by what was asked.", ("request_kind",)),
    "channel-ended": ("channels_ended", "Channels by why they ended.", ("reason",)),
    "verdict": ("verdicts", "Decisions by action and request.", ("action", "request_kind")),
}
"""Kinds that are counted by fields whose values are closed lists."""

_STAGES: Final = {
    "certificate-refused": "certificate",
    "auth-failed": "authentication",
    "login-refused": "login",
    "session-refused": "session",
}
