"""The parts of a policy about people who decide and watch → values, with every fault told."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bastion.policy.document import Path
from bastion.policy.rules import ApprovalTerms, ConsoleGrant, Requestable
from bastion.policy.schema import (
    ApprovalSection,
    ConsoleSection,
    PolicySection,
    RequestableSection,
)


class Named(Protocol):
    """What has a name that must be its own."""

    @property
    def name(self) -> str:
        """The name."""


@dataclass(frozen=True, slots=True)
class DeskReader:
    """Reads `console` and `requestable`; faults go where those of the rest go."""

    section: PolicySection
    fault: Callable[..., None]
    check_roles: Callable[[Iterable[str], Path], None]
    terms: Callable[[ApprovalSection | None, Path], ApprovalTerms | None]

    def console(self) -> tuple[ConsoleGrant, ...]:
        """Who may see and do what."""
        self.check_unique("console", self.section.console)
        return tuple(self._console(one, index) for index, one in enumerate(self.section.console))

    def requestable(self) -> tuple[Requestable, ...]:
        """What may be asked for, by whom."""
        self.check_unique("requestable", self.section.requestable)
        self._check_matches()
        entries = enumerate(self.section.requestable)
        return tuple(self._requestable(one, index) for index, one in entries)

    def check_unique(self, where: str, entries: Sequence[Named]) -> None:
        """Names are told to people, so each stands for one thing."""
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            if entry.name in seen:
                self.fault(f"a second grant is called `{entry.name}`", where, index, "name")
            seen.add(entry.name)

    def _console(self, section: ConsoleSection, index: int) -> ConsoleGrant:
        self.check_roles(section.roles, ("console", index, "roles"))
        self.check_roles(section.people, ("console", index, "people"))
        return ConsoleGrant(
            section.name,
            frozenset(section.roles),
            frozenset(section.may),
            section.targets,
            frozenset(section.people),
        )

    def _check_matches(self) -> None:
        asked_for = {one.role for one in self.section.requestable}
        for name, role in self.section.roles.items():
            if not role.match and name not in asked_for:
                self.fault(
                    f"nobody can have `{name}`: give it `match`, or list it under `requestable`",
                    "roles",
                    name,
                    key=True,
                )

    def _requestable(self, section: RequestableSection, index: int) -> Requestable:
        path: Path = ("requestable", index)
        self.check_roles(section.who, (*path, "who"))
        if section.role not in self.section.roles:
            near = nearest(section.role, self.section.roles)
            self.fault(f"there is no role `{section.role}`{near}", *path, "role")
        if "default" in section.model_fields_set and section.default > section.max:
            self.fault("`default` is longer than `max`", *path, "default")
        terms = self.terms(section.approval, (*path, "approval"))
        assert terms is not None
        return Requestable(
            name=section.name,
            who=frozenset(section.who),
            role=section.role,
            targets=section.targets,
            longest=section.max,
            usual=min(section.default, section.max),
            reason_required=section.reason_required,
            ticket_required=section.ticket_required,
            approval=terms,
        )


def nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean `{near[0]}`?" if near else ""
