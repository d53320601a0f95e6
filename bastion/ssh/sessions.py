"""All live sessions: they begin here, and the clock, a lock or a kill ends them."""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from bastion.errors import BastionError, StoreError
from bastion.events import EndReason
from bastion.model import Identity
from bastion.policy.decide import loses
from bastion.policy.rights import Subject
from bastion.ssh.record import request_kind
from bastion.ssh.services import Services
from bastion.ssh.session import GRANT_OVER, Line, Session, granted_by, locked
from bastion.store.locks import Lock
from bastion.tap.tail import Tail
from bastion.wire import control as wire

log = logging.getLogger(__name__)


class Sessions:
    """All live sessions, for limits, kills, locks and the clock."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._live: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._live)

    def live(self) -> Iterable[Session]:
        """A snapshot."""
        return tuple(self._live.values())

    def channels(self) -> Mapping[str, int]:
        """How many channels are live, by the kind of their request."""
        drives = (drive for session in self.live() for drive in session.drives)
        return Counter(request_kind(drive.request) for drive in drives if drive.request)

    def begin(
        self,
        identity: Identity,
        line: Line,
        client_address: str,
        client_version: str,
        via: str,
    ) -> Session:
        """Start a session or raise BastionError with the reason it may not start."""
        services = self._services
        self._check_limits(identity)
        at = services.clock()
        session = Session(
            secrets.token_hex(8), identity, services, line, client_address, at, self._forget
        )
        reason = locked(session, "")
        if reason:
            raise BastionError(reason)
        services.ledger.session_started(
            session.id, identity, client_address, client_version, via, at
        )
        services.audit.append(
            "session-started",
            at,
            session=session.id,
            identity=identity.name,
            subject=identity.id,
            roles=sorted(identity.roles),
            address=client_address,
            client=client_version,
            via=via,
            certificate=identity.certificate.serial if identity.certificate else None,
            expires_at=identity.expires_at,
        )
        self._live[session.id] = session
        session.happened(wire.Event.SESSION_STARTED, address=client_address)
        return session

    def _check_limits(self, identity: Identity) -> None:
        limits = self._services.limits
        if len(self._live) >= limits.sessions:
            raise BastionError("the bastion is full; try again in a minute.")
        own = sum(1 for session in self._live.values() if session.identity.id == identity.id)
        if own >= limits.sessions_per_identity:
            raise BastionError("you have too many sessions open; close some first.")

    def _forget(self, session: Session, reason: EndReason) -> None:
        if self._live.pop(session.id, None) is None:
            return
        services = self._services
        at = services.clock()
        services.approvals.session_ended(session.id)
        session.happened(wire.Event.SESSION_ENDED, reason=reason.value)
        try:
            services.audit.append("session-ended", at, session=session.id, reason=reason.value)
            services.ledger.session_ended(session.id, reason.value, at)
        except StoreError as error:
            log.error("the end of session %s could not be written: %s", session.id, error)

    def kill(self, session_id: str, reason: str) -> bool:
        """End one session; False where there is none of that id."""
        session = self._live.get(session_id)
        if session is None:
            return False
        session.end(EndReason.KILLED, f"this session was ended by an operator: {reason}")
        return True

    def enforce(self) -> None:
        """End what has run out, was revoked or locked. Called a few times a second."""
        now = self._services.clock()
        for session in self.live():
            try:
                self._enforce(session, now)
            except Exception:
                # One session that cannot be judged must not keep the others from being judged.
                log.exception("session %s cannot be judged, so it ends", session.id)
                session.end(EndReason.INTERNAL, "the bastion failed on this session; it was ended.")

    def _enforce(self, session: Session, now: float) -> None:
        identity, ledger = session.identity, self._services.ledger
        serial = identity.certificate.serial if identity.certificate else None
        if identity.expires_at <= now:
            session.end(
                EndReason.DEADLINE,
                "your access ended: the certificate or login behind this session has run out. "
                "Log in again.",
            )
        elif serial is not None and ledger.is_revoked(serial):
            session.end(EndReason.REVOKED, "your certificate was revoked.")
        elif reason := locked(session, ""):
            session.end(EndReason.LOCKED, reason)
        else:
            end_channels(session, now)
            end_granted(session)

    def find(self, session_id: str) -> Session | None:
        """A live session, or None."""
        return self._live.get(session_id)

    def subject(self, session_id: str) -> Subject | None:
        """Whose session it is and where it goes; None if it is not live."""
        session = self._live.get(session_id)
        if session is None:
            return None
        targets = tuple(sorted({drive.target_name for drive in session.drives}))
        return Subject(session.own.id, session.own.roles, targets)

    def tails(self, session_id: str) -> Mapping[str, Tail]:
        """What a live session's channels have shown last, the newest last; nothing where it is
        not live. The channel that ended last is among them."""
        session = self._live.get(session_id)
        return session.ended_tails | session.tails if session else {}

    def end_matching(self, lock: Lock) -> int:
        """End what a new lock covers, at once; give how many sessions or channels that were."""
        before = sum(1 + len(session.drives) for session in self.live())
        self.enforce()
        return before - sum(1 + len(session.drives) for session in self.live())

    def end_all(self, reason: EndReason, text: str) -> None:
        """The bastion stops."""
        for session in self.live():
            session.end(reason, text)


def end_channels(session: Session, now: float) -> None:
    """A lock on a target, or a grant's own deadline, ends the channels there and those alone."""
    for drive in tuple(session.drives):
        reason = locked(session, drive.target_name)
        if reason:
            drive.end(EndReason.LOCKED, reason)
        elif drive.deadline is not None and drive.deadline <= now:
            drive.end(EndReason.DEADLINE, GRANT_OVER)


def end_granted(session: Session) -> None:
    """The end of a grant cuts what it allowed, and that alone: what would be refused, or held,
    without it (invariant 5)."""
    if not session.relied_on:
        return
    now = session.services.access.of(session.own.id)
    lost = [grant for grant in session.relied_on.values() if grant not in now]
    if not lost:
        return
    session.relied_on = {grant.id: grant for grant in now}
    policy, at = session.services.policy(), session.services.clock()
    with_it = replace(session.own, granted=granted_by((*now, *lost)))
    expired = all(grant.until <= at for grant in lost)
    reason = EndReason.DEADLINE if expired else EndReason.REVOKED
    how = "is over" if expired else "was taken back"
    roles = ", ".join(dict.fromkeys(grant.role for grant in lost))
    for drive in tuple(session.drives):
        target = session.services.targets.get(drive.target_name)
        if target is None or drive.request is None:
            continue
        login, request = drive.login, drive.request
        if loses(policy, with_it, session.identity, target, login, request):
            drive.end(reason, f"the access that was granted to you here ({roles}) {how}.")
