"""The gate of legacy scp: every file and directory is decided by its record, before its content.

    NEW --Opened--> decide --deny-----> ENDED
                       |---approve---> ASKING --granted--> READY, else ENDED
                       `---allow-----> READY
    READY --0--> RECORD --T, E--> ANSWER --any--> RECORD
                 RECORD --C, D--> decide --deny--> warn both sides, RECORD
                                     |---approve--> HELD --granted--> ANSWER, else as denied
                                     `---allow----> ANSWER
    ANSWER (to D) --0--> RECORD, one level deeper
    ANSWER (to C) --0--> CONTENT --all--> TRAILER --> LAST --any--> RECORD

One side sends and one receives; the client is either. The gate keeps step with both: it lets no
byte through before its turn, for content that the receiver did not agree to take would be read as
records. Paths are decided as the command line and the records spell them (see `policy.paths`).

All readings of a record are decided, and the strictest rules (see `scp_meaning`).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from bastion.errors import ClientFault, ProtocolFault, TargetFault
from bastion.events import (
    Ask,
    ClientEof,
    Decided,
    Dial,
    Effect,
    EofToClient,
    EofToTarget,
    Event,
    Exit,
    FileDone,
    FromClient,
    FromTarget,
    HoldClient,
    Opened,
    Outcome,
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
from bastion.gate.content import Content, NewScanner, ReorderWindow, no_scanner
from bastion.gate.gate import Decide, Judgement, finished, judge, strictest
from bastion.gate.scp_meaning import brings, named, requests_of
from bastion.gate.transcripts import denied, described, transcript
from bastion.gate.words import reason_of, refusal, unresolved
from bastion.model import (
    EXIT_REFUSED,
    Direction,
    ExecRequest,
    FileRequest,
    Request,
    visible,
)
from bastion.policy.files import ScpPath, ScpServer
from bastion.policy.rules import Action
from bastion.wire import scp

AHEAD_LIMIT: Final = 1024 * 1024
"""Bytes sent before their turn: scp waits for every answer, so whoever does not is no scp."""
DEPTH_LIMIT: Final = 1024
"""Directories in directories: each costs a path, longer by a name."""


class _State(Enum):
    NEW = auto()
    ASKING = auto()
    READY = auto()
    RECORD = auto()
    HELD = auto()
    TIMES = auto()
    ANSWER = auto()
    CONTENT = auto()
    TRAILER = auto()
    LAST = auto()
    ENDED = auto()


_SENDER_SPEAKS: Final = {_State.RECORD, _State.CONTENT, _State.TRAILER}
_RECEIVER_SPEAKS: Final = {_State.READY, _State.TIMES, _State.ANSWER, _State.LAST}


class ScpGate:
    """One channel of `scp -t` or `scp -f` from Opened to Exit."""

    def __init__(self, decide: Decide, transfer: ScpServer, scan: NewScanner = no_scanner) -> None:
        self._scan = scan
        self._decide = decide
        self._transfer = transfer
        self._uploads = transfer.direction is Direction.UPLOAD
        self._state = _State.NEW
        self._effects: list[Effect] = []
        self._client = scp.Lines(ClientFault)
        self._target = scp.Lines(TargetFault)
        self._sender, self._receiver = (
            (self._client, self._target) if self._uploads else (self._target, self._client)
        )
        self._sender_fault: type[ProtocolFault] = ClientFault if self._uploads else TargetFault
        self._client_eof = False
        self._eof_sent = False
        self._stalled = False
        self._consent = Consent()
        self._opening: Request = ExecRequest("")
        self._asked: list[tuple[str, ScpPath]] = []
        """Which rules had people asked at the opening, about which source."""
        self._folders: list[tuple[str, ...]] = []
        self._line = b""
        self._times = b""
        self._record: scp.Record = scp.End()
        self._judgements: list[Judgement] = []
        self._request: FileRequest | None = None
        self._content = Content(ReorderWindow())
        self._left = 0

    def feed(self, event: Event) -> list[Effect]:
        """Take one event; give what is to be done."""
        if self._state is _State.ENDED:
            return []
        try:
            self._take(event)
            self._go_on()
        except ProtocolFault as fault:
            self._effects.append(Tell(f"the channel was closed: {fault}"))
            self._end(Exit(reason_of(fault), EXIT_REFUSED))
        effects, self._effects = self._effects, []
        return effects

    def _take(self, event: Event) -> None:
        match event:
            case Opened(request=request):
                self._begin(self._open(request))
            case FromClient(data=data):
                self._client.add(data)
            case ClientEof():
                self._client_eof = True
            case FromTarget(data=data, stream=Stream.STDOUT):
                self._target.add(data)
            case FromTarget(data=data, stream=stream):
                self._effects.append(ToClient(data, stream))
            case TargetEof():
                self._effects.append(EofToClient())
            case TargetExit():
                self._end(finished(event))
            case Resolved():
                self._resolve(event)

    # --- the channel itself -------------------------------------------------------------------

    def _open(self, request: Request) -> list[Effect]:
        self._opening = request
        command = judge(self._decide, request)
        if command[1].action is not Action.ALLOW:  # what is held as a line; its files come after
            return self._consent.open(request, [command])
        judgements = [judge(self._decide, asked) for asked in named(self._transfer)]
        if self._uploads:  # every record will be decided, and asked for, by its name
            judgements = [said for said in judgements if said[1].action is Action.DENY]
        else:
            self._asked = [
                (said.rule, path)
                for (_, said), path in zip(judgements, self._transfer.paths, strict=True)
                if said.action is Action.APPROVE
            ]
        return self._consent.open(request, judgements)

    def _begin(self, effects: list[Effect]) -> None:
        """Go where the last effect about the opening leads."""
        self._effects += effects
        match effects[-1:]:
            case [Dial()]:
                self._state = _State.READY
            case [Ask()]:
                self._state = _State.ASKING
            case [Exit()]:
                self._state = _State.ENDED

    def _resolve(self, event: Resolved) -> None:
        if self._state is _State.ASKING:
            self._begin(self._consent.opened(self._opening, event))
            return
        outcome, effects = self._consent.resolved(event)
        self._effects += effects
        if outcome is Outcome.GRANTED:
            self._pass_entry()
        elif outcome is not None:
            _, verdict = strictest(self._judgements)
            self._refuse(unresolved(event, verdict))

    def _end(self, ended: Exit) -> None:
        self._state = _State.ENDED
        self._effects += self._consent.withdraw()
        if self._request is not None:
            self._finish("the channel ended before the file was whole")
        self._effects.append(ended)

    def _to_sender(self, data: bytes) -> None:
        self._effects.append(ToClient(data) if self._uploads else ToTarget(data))

    def _to_receiver(self, data: bytes) -> None:
        self._effects.append(ToTarget(data) if self._uploads else ToClient(data))

    # --- in step with both sides --------------------------------------------------------------

    def _go_on(self) -> None:
        while self._step():
            pass
        if self._state in {_State.ENDED, _State.NEW}:
            return
        for ahead, fault in ((self._client, ClientFault), (self._target, TargetFault)):
            if len(ahead) > AHEAD_LIMIT:
                raise fault("too much was sent before its turn")
        speaks = self._client_speaks()
        self._hold(not speaks and (self._consent.pending or len(self._client) > 0))
        drained = (speaks or not len(self._client)) and not self._consent.pending
        if self._client_eof and drained and not self._eof_sent:
            self._eof_sent = True
            self._effects.append(EofToTarget())

    def _client_speaks(self) -> bool:
        return self._state in (_SENDER_SPEAKS if self._uploads else _RECEIVER_SPEAKS)

    def _hold(self, stalled: bool) -> None:
        if stalled is not self._stalled:
            self._stalled = stalled
            self._effects.append(HoldClient(stalled))

    def _step(self) -> bool:
        """Take the next thing of the side whose turn it is; False when it is not there yet."""
        match self._state:
            case _State.RECORD:
                return self._take_record()
            case _State.CONTENT:
                return self._take_content()
            case _State.TRAILER:
                return self._take_trailer()
            case _ if self._state in _RECEIVER_SPEAKS:
                answer = self._receiver.answer()
                if answer is not None:
                    self._take_answer(answer)
                return answer is not None
            case _:
                return False

    def _take_record(self) -> bool:
        if self._uploads and len(self._target):
            raise TargetFault("the target answered what nobody sent")
        line = self._sender.line()
        if line is None:
            return False
        self._line = line
        self._record = scp.decode_record(line, self._sender_fault)
        match self._record:
            case scp.Message():
                self._to_receiver(line)
            case scp.File() | scp.Directory():
                self._judge(self._record)
            case scp.Times() if self._uploads:
                # Kept until a file follows: a sink that cannot set a directory's times warns out
                # of turn, and whoever reads that as an answer has lost step with it.
                self._times = line
                self._to_sender(b"\0")
            case _:
                if isinstance(self._record, scp.End) and not self._folders:
                    raise self._sender_fault("a directory ends that was not begun")
                self._await_answer()
        return True

    def _await_answer(self) -> None:
        self._to_receiver(self._line)
        self._state = _State.ANSWER

    def _take_answer(self, answer: bytes) -> None:
        agreed = answer == b"\0"
        if self._state is _State.TIMES and agreed:
            self._await_answer()
            return
        self._to_sender(answer)
        if self._state is _State.ANSWER and agreed:
            self._agreed()
            return
        if self._request is not None:
            said = "" if agreed else scp.decode_message(answer).text
            self._finish(said and f"the other side said: {visible(said, limit=200)}")
        self._state = _State.RECORD

    def _agreed(self) -> None:
        self._state = _State.RECORD
        match self._record:
            case scp.File(size=size):
                self._left = size
                self._state = _State.CONTENT if size else _State.TRAILER
            case scp.Directory():
                if len(self._folders) >= DEPTH_LIMIT:
                    raise self._sender_fault("too many directories lie in one another")
                entered = (request for request, _ in self._judgements)
                self._folders.append(
                    tuple(one.path for one in entered if isinstance(one, FileRequest))
                )
                self._finish("")
            case scp.End():
                self._folders.pop()

    def _take_content(self) -> bool:
        data = self._sender.content(self._left)
        if not data:
            return False
        self._content.add(self._content.end, data)
        self._to_receiver(data)
        self._left -= len(data)
        if not self._left:
            self._state = _State.TRAILER
        return True

    def _take_trailer(self) -> bool:
        trailer = self._sender.answer()
        if trailer is None:
            return False
        if trailer != b"\0":
            self._content.doubt("the sender could not read all of it")
        self._to_receiver(trailer)
        self._state = _State.LAST
        return True

    # --- verdicts -----------------------------------------------------------------------------

    def _judge(self, record: scp.File | scp.Directory) -> None:
        folders = self._folders[-1] if self._folders else ()
        requests = requests_of(record, self._transfer, folders)
        self._judgements = [judge(self._decide, request) for request in requests]
        request, verdict = strictest(self._judgements)
        if verdict.action is Action.DENY:
            self._effects.append(Decided(request, verdict))
            self._refuse(refusal(verdict))
            return
        self._effects += [Decided(*judgement) for judgement in self._judgements]
        self._effects += self._consent.ask(self._unasked())
        if self._consent.pending:
            self._state = _State.HELD
        else:
            self._pass_entry()

    def _unasked(self) -> list[Judgement]:
        """One question a rule: readings of one record are one thing.

        What was granted for a whole source holds for what lies in it.
        """
        by_rule = {
            said.rule: (request, said)
            for request, said in reversed(self._judgements)
            if not self._was_granted(request, said.rule)
        }
        return list(by_rule.values())

    def _was_granted(self, request: Request, rule: str) -> bool:
        assert isinstance(request, FileRequest)
        return any(asked == rule and brings(source, request.path) for asked, source in self._asked)

    def _pass_entry(self) -> None:
        request, _ = self._judgements[0]
        assert isinstance(request, FileRequest)
        self._request = request
        self._content = Content(ReorderWindow(), self._scan)
        times, self._times = self._times, b""
        if times and isinstance(self._record, scp.File):
            self._to_receiver(times)
            self._state = _State.TIMES
        else:
            self._await_answer()

    def _refuse(self, sentence: str) -> None:
        """Answer for the receiver that the entry is not taken; tell the client why."""
        request, verdict = strictest(self._judgements)
        assert isinstance(request, FileRequest)
        self._effects.append(Transcript(denied(request, verdict)))
        warning = scp.encode_warning(f"bastion: {described(request)}: {sentence}")
        self._effects.append(ToClient(warning))
        if not self._uploads:
            self._to_sender(scp.encode_warning("refused by the bastion"))
        self._times = b""
        self._state = _State.RECORD

    def _finish(self, failure: str) -> None:
        """Account for the entry that was let through."""
        assert self._request is not None
        request, self._request = self._request, None
        digest, doubt = self._content.close()
        if failure or isinstance(self._record, scp.Directory):
            digest = ""
        note = "; ".join(one for one in (failure or doubt, self._content.holds()) if one)
        done = FileDone(request, not failure, self._content.size, digest, note)
        self._effects += [done, Transcript(transcript(done))]
