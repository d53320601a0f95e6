"""A target that is not granted but may be asked for: the terminal asks for a reason, and waits.

    asked for nothing ──reason──► waiting ──granted──► the channel goes on, and is decided anew
            │ empty, ctrl-C, ctrl-D    │ refused, expired, taken back, ctrl-C
            ▼                          ▼
         refused                    refused

Nothing that is typed here reaches a target: it answers the prompt, and is gone with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bastion.errors import BastionError
from bastion.events import Outcome
from bastion.model import ExecRequest, Request, ShellRequest, visible
from bastion.policy.decide import NO_GRANT
from bastion.policy.fields import describe_duration
from bastion.policy.requests import MAX_REASON, may_ask_on, want
from bastion.policy.rules import Requestable
from bastion.ssh.access_desk import ask_access
from bastion.ssh.session import Place, Session

_GIVE_UP: Final = frozenset("\x03\x04")
_RUB_OUT: Final = frozenset("\x7f\x08")


def offer(session: Session, place: Place, request: Request) -> Requestable | None:
    """What the terminal may ask for in place of a refusal; None where there is no choice of one."""
    if not isinstance(request, ExecRequest | ShellRequest) or not request.pty:
        return None
    if place.target.name not in session.services.targets:
        return None
    if session.verdict(place, request).rule != NO_GRANT:
        return None
    entries = may_ask_on(session.services.policy(), session.identity, place.target.name)
    if len({entry.role for entry in entries}) != 1 or entries[0].ticket_required:
        return None
    return entries[0]


class AccessPrompt:
    """Asks once on one channel. `say` shows and records; `done` is told whether to go on."""

    def __init__(
        self,
        session: Session,
        place: Place,
        entry: Requestable,
        say: Callable[[str], None],
        done: Callable[[bool], None],
    ) -> None:
        self._session = session
        self._place = place
        self._entry = entry
        self._say = say
        self._done = done
        self._typed = ""
        self._request_id = ""
        self._over = False
        who = ", ".join(entry.approval.approvers)
        say(
            f"bastion: no grant lets you reach {visible(place.target.name)}. You may ask {who} for "
            f"the role {entry.role} there, for {describe_duration(entry.usual)}.\r\n"
            "What is it for (nothing gives up)? "
        )

    def typed(self, data: bytes) -> None:
        """Keys of the client."""
        for character in data.decode("utf-8", "replace"):
            if self._over:
                return
            self._key(character)

    def cancel(self) -> None:
        """The channel is gone: nobody waits for this any more."""
        if not self._over:
            self._over = True
            self._take_back()

    def _key(self, character: str) -> None:
        if character in _GIVE_UP:
            self._say("\r\n")
            self._take_back()
            self._end(False, "given up; nothing was run.")
        elif self._request_id:
            return  # it waits; only ctrl-C means anything
        elif character in _RUB_OUT:
            if self._typed:
                self._typed = self._typed[:-1]
                self._say("\b \b")
        elif character in "\r\n":
            self._say("\r\n")
            self._ask()
        elif character.isprintable() and len(self._typed) < MAX_REASON:
            self._typed += character
            self._say(character)

    def _ask(self) -> None:
        if not self._typed.strip():
            self._end(False, "given up; nothing was run.")
            return
        session, name = self._session, self._place.target.name
        try:
            wanted = want(
                session.services.policy(),
                session.identity,
                name,
                targets=[name],
                role=self._entry.role,
                reason=self._typed.strip(),
            )
            self._request_id = ask_access(session, wanted, self._told)
        except BastionError as error:
            self._end(False, str(error))
            return
        wait = describe_duration(wanted.entry.approval.wait)
        self._say(
            f"bastion: asked as {self._request_id}; waiting up to {wait}; ctrl-C takes it back.\r\n"
        )

    def _told(self, outcome: Outcome, names: tuple[str, ...], reason: str) -> None:
        if self._over:
            return
        by = f" by {', '.join(names)}" if names else ""
        why = f": {reason}" if reason else ""
        self._end(outcome is Outcome.GRANTED, f"access was {outcome.value}{by}{why}")

    def _take_back(self) -> None:
        session = self._session
        if self._request_id and session.services.approvals.find(self._request_id) is not None:
            self._over = True
            session.services.approvals.withdraw(self._request_id, session.services.clock())

    def _end(self, granted: bool, text: str) -> None:
        self._over = True
        self._say(f"bastion: {visible(text)}\r\n")
        self._done(granted)
