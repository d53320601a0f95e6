"""The gate of rsync: decided once, by all that the server's command line lets it open.

What is inside the stream is not read: which files below its paths rsync really touches is not
decided, and a symbolic link or an odd `--relative` name may lead elsewhere. A rule for a path below
one of these paths is therefore not seen; a policy that cares denies rsync above it.

    NEW --Opened--> decide --deny-----> ENDED
                       |---approve---> ASKING --granted--> OPEN, else ENDED
                       `---allow-----> OPEN --TargetExit--> ENDED
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from bastion.events import (
    Ask,
    ClientEof,
    Dial,
    Effect,
    EndReason,
    EofToClient,
    EofToTarget,
    Event,
    Exit,
    FileDone,
    FromClient,
    FromTarget,
    HoldClient,
    Opened,
    Resolved,
    Stream,
    TargetEof,
    TargetExit,
    Tell,
    ToClient,
    ToTarget,
    Transcript,
)
from bastion.gate.consent import Consent
from bastion.gate.content import Content, ReorderWindow
from bastion.gate.gate import Decide, finished, judge
from bastion.gate.transcripts import transcript
from bastion.model import EXIT_REFUSED, Direction, ExecRequest, Request
from bastion.policy.files import RsyncServer
from bastion.policy.rules import Action

HELD_LIMIT: Final = 1024 * 1024
"""Bytes kept while people are asked: rsync waits for an answer to its first few."""


class _State(Enum):
    NEW = auto()
    ASKING = auto()
    OPEN = auto()
    ENDED = auto()


class RsyncGate:
    """One channel of `rsync --server` from Opened to Exit."""

    def __init__(self, decide: Decide, transfer: RsyncServer) -> None:
        self._decide = decide
        self._transfer = transfer
        self._state = _State.NEW
        self._consent = Consent()
        self._opening: Request = ExecRequest("")
        self._held = bytearray()
        self._held_eof = False
        self._up = Content(ReorderWindow())
        self._down = Content(ReorderWindow())

    def feed(self, event: Event) -> list[Effect]:
        """Take one event; give what is to be done."""
        match self._state:
            case _State.NEW if isinstance(event, Opened):
                effects = self._begin(self._open(event.request))
                return [*effects, HoldClient(True)] if self._consent.pending else effects
            case _State.ASKING:
                return self._while_asking(event)
            case _State.OPEN:
                return self._while_open(event)
            case _:
                return []

    def _open(self, request: Request) -> list[Effect]:
        self._opening = request
        command = judge(self._decide, request)
        if command[1].action is not Action.ALLOW:  # it speaks for all paths of the line
            return self._consent.open(request, [command])
        judgements = [judge(self._decide, asked) for asked in self._transfer.requests]
        return self._consent.open(request, judgements)

    def _begin(self, effects: list[Effect]) -> list[Effect]:
        """Go where the last effect about the opening leads."""
        match effects[-1:]:
            case [Dial()]:
                self._state = _State.OPEN
            case [Ask()]:
                self._state = _State.ASKING
            case [Exit()]:
                self._state = _State.ENDED
        return effects

    def _while_asking(self, event: Event) -> list[Effect]:
        match event:
            case FromClient(data=data):
                self._held += data
                if len(self._held) > HELD_LIMIT:
                    self._state = _State.ENDED
                    tell = Tell("the channel was closed: too much was sent while it should wait")
                    end = Exit(EndReason.PROTOCOL_FAULT, EXIT_REFUSED)
                    return [*self._consent.withdraw(), tell, end]
                return []
            case ClientEof():
                self._held_eof = True
                return []
            case Resolved():
                return self._resolve(event)
            case _:
                return []

    def _resolve(self, event: Resolved) -> list[Effect]:
        effects = self._begin(self._consent.opened(self._opening, event))
        if self._state is not _State.OPEN:
            return effects
        effects.append(HoldClient(False))
        held, self._held = bytes(self._held), bytearray()
        if held:
            effects += self._while_open(FromClient(event.at, held))
        if self._held_eof:
            effects.append(EofToTarget())
        return effects

    def _while_open(self, event: Event) -> list[Effect]:
        match event:
            case FromClient(data=data):
                self._up.add(self._up.end, data)
                return [ToTarget(data)]
            case FromTarget(data=data, stream=stream):
                if stream is Stream.STDOUT:
                    self._down.add(self._down.end, data)
                return [ToClient(data, stream)]
            case ClientEof():
                return [EofToTarget()]
            case TargetEof():
                return [EofToClient()]
            case TargetExit():
                self._state = _State.ENDED
                return [*self._account(event), finished(event)]
            case _:
                return []

    def _account(self, ended: TargetExit) -> list[Effect]:
        effects: list[Effect] = []
        ok = not (ended.status or ended.signal)
        for request in self._transfer.requests:
            content = self._up if request.direction is Direction.UPLOAD else self._down
            if request.direction is Direction.NONE:
                done = FileDone(request, ok)
            else:
                note = f"of rsync's stream, not of a file: sha256={content.close()[0]}"
                done = FileDone(request, ok, content.size, note=note)
            effects += [done, Transcript(transcript(done))]
        return effects
