"""The gate of an SFTP channel: every request is decided before the target sees it.

    NEW --Opened--> decide --deny-----> ENDED
                       |---approve---> ASKING --granted--> GREETING, else ENDED
                       `---allow-----> GREETING
    GREETING --client's INIT--> GREETED --target's VERSION--> SETTLING --its home--> READY

SETTLING: before anything of the client goes on, the gate asks the target itself what `.` is, for a
relative path would otherwise slip past rules about absolute ones. READY: packets of the client are
taken one by one; while one is held for approval, or too many are unanswered, the rest waits.

A refused request is answered by the bastion; an id, a handle or an answer that does not fit ends
the channel. What rules about paths cannot see is said in `sftp_meaning`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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
from bastion.gate.content import NewScanner, no_scanner
from bastion.gate.gate import Decide, Judgement, finished, judge, strictest
from bastion.gate.sftp_files import OpenFile, Sent, SftpTable
from bastion.gate.sftp_meaning import Meaning, meaning_of
from bastion.gate.transcripts import denied, described, transcript
from bastion.gate.words import reason_of, refusal, unresolved
from bastion.model import (
    EXIT_REFUSED,
    Direction,
    FileOperation,
    FileRequest,
    Request,
    SubsystemRequest,
    visible,
)
from bastion.policy.rules import Action, Verdict
from bastion.wire import sftp
from bastion.wire.sftp_packets import (
    EXTENSIONS,
    VERSION,
    Code,
    CopyData,
    Enquiry,
    Identified,
    Init,
    Names,
    OnHandle,
    OnPath,
    OnTwoPaths,
    Open,
    Read,
    Reply,
    Unknown,
    Version,
    Write,
)

HELD_LIMIT: Final = 4 * 1024 * 1024
"""Bytes that may wait while something is held: a client that ignores back-pressure fills memory."""
OUTSTANDING_LIMIT: Final = 4096
"""Requests without an answer: a target that answers nothing must not make the table grow. OpenSSH
keeps 64 on their way, others announce a whole file at once; beyond this they wait."""

_HOME_ID: Final = 0


class _State(Enum):
    NEW = auto()
    ASKING = auto()
    GREETING = auto()
    GREETED = auto()
    SETTLING = auto()
    READY = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class _Held:
    """A request that waits for people."""

    packet: Identified
    frame: bytes
    sent: Sent
    verdict: Verdict


class SftpGate:
    """One SFTP channel from Opened to Exit."""

    def __init__(self, decide: Decide, scan: NewScanner = no_scanner) -> None:
        self._decide = decide
        self._state = _State.NEW
        self._effects: list[Effect] = []
        self._client = sftp.Frames(ClientFault)
        self._target = sftp.Frames(TargetFault)
        self._client_eof = False
        self._eof_sent = False
        self._stalled = False
        self._consent = Consent()
        self._opening: Request = SubsystemRequest("sftp")
        self._held: _Held | None = None
        self._home = "~"
        self._table = SftpTable(scan)
        self._told: set[str] = set()

    def feed(self, event: Event) -> list[Effect]:
        """Take one event; give what is to be done."""
        if self._state is _State.ENDED:
            return []
        try:
            self._take(event)
            self._take_client_packets()
        except ProtocolFault as fault:
            self._effects.append(Tell(f"the channel was closed: {fault}"))
            self._end(Exit(reason_of(fault), EXIT_REFUSED))
        effects, self._effects = self._effects, []
        return effects

    def _take(self, event: Event) -> None:
        match event:
            case Opened(request=request):
                self._opening = request
                self._begin(self._consent.open(request, [judge(self._decide, request)]))
            case FromClient(data=data):
                self._client.add(data)
            case ClientEof():
                self._client_eof = True
            case FromTarget():
                self._take_from_target(event)
            case TargetEof():
                self._effects.append(EofToClient())
            case TargetExit():
                self._end(finished(event))
            case Resolved():
                self._resolve(event)

    # --- the channel itself -------------------------------------------------------------------

    def _begin(self, effects: list[Effect]) -> None:
        """Go where the last effect about the opening leads."""
        self._effects += effects
        match effects[-1:]:
            case [Dial()]:
                self._state = _State.GREETING
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
        if outcome is not None:
            self._resolve_held(event)

    def _resolve_held(self, event: Resolved) -> None:
        assert self._held is not None
        held, self._held = self._held, None
        if event.outcome is Outcome.GRANTED:
            self._forward(held.frame, held.sent)
            return
        sentence = unresolved(event, held.verdict)
        self._effects.append(Tell(sentence))
        self._answer(held.packet.id, Code.PERMISSION_DENIED, sentence)
        note = f"approval {event.outcome.value}"
        self._finish(FileDone(request, ok=False, note=note) for request in held.sent.requests)

    def _end(self, ended: Exit) -> None:
        self._state = _State.ENDED
        self._effects += self._consent.withdraw()
        self._finish(self._table.cut())
        self._effects.append(ended)

    def _finish(self, ended: Iterable[FileDone]) -> None:
        for done in ended:
            self._effects += [done, Transcript(transcript(done))]

    # --- from the client ----------------------------------------------------------------------

    def _may_take(self) -> bool:
        if self._state is _State.GREETING:
            return True
        ready = self._state is _State.READY and self._held is None
        return ready and len(self._table.sent) < OUTSTANDING_LIMIT

    def _take_client_packets(self) -> None:
        while self._may_take() and (frame := self._client.next()) is not None:
            self._take_client_packet(frame)
        if self._state is _State.ENDED:
            return
        if len(self._client) > HELD_LIMIT:
            raise ClientFault("the client sent too much while it should have waited")
        self._hold(not self._may_take() and (self._consent.pending or len(self._client) > 0))
        if self._client_eof and self._may_take() and not self._eof_sent:
            self._eof_sent = True
            self._effects.append(EofToTarget())

    def _hold(self, stalled: bool) -> None:
        if stalled is not self._stalled:
            self._stalled = stalled
            self._effects.append(HoldClient(stalled))

    def _take_client_packet(self, frame: bytes) -> None:
        packet = sftp.decode_request(frame)
        if isinstance(packet, Init):
            if self._state is not _State.GREETING or packet.version < VERSION:
                raise ClientFault("the client must begin with SFTP version 3 or later, once")
            self._state = _State.GREETED
            self._effects.append(ToTarget(sftp.encode_init()))
            return
        if self._state is not _State.READY:
            raise ClientFault("the client began without a greeting")
        if packet.id in self._table.sent:
            raise ClientFault(f"the client used the id {packet.id} for two requests at once")
        match packet:
            case Unknown():
                self._refuse_unknown(packet)
            case Enquiry():
                self._forward(frame, Sent(packet))
            case Open() | OnPath() | OnTwoPaths():
                self._judge(packet, frame, meaning_of(packet, self._home))
            case _:
                self._ride(packet, frame)

    def _refuse_unknown(self, packet: Unknown) -> None:
        reason = f"the bastion does not know the SFTP request {visible(packet.verb)}"
        verdict = Verdict(Action.DENY, "unknown-sftp-request", reason)
        self._effects.append(Decided(SubsystemRequest("sftp"), verdict))
        self._effects.append(Transcript(f"denied {visible(packet.verb)} (rule {verdict.rule})"))
        self._answer(packet.id, Code.OP_UNSUPPORTED, reason)

    # --- verdicts -----------------------------------------------------------------------------

    def _judge(self, packet: Identified, frame: bytes, meaning: Meaning) -> None:
        """Decide everything that a packet asks for; forward it, hold it, or answer it."""
        if meaning.obstacle:
            verdict = Verdict(Action.DENY, "opaque", meaning.obstacle, opaque=(meaning.obstacle,))
            self._deny(packet.id, meaning.requests[0], verdict)
            return
        judgements = self._judgements(meaning)
        sent = Sent(packet, meaning.requests, self._file_of(packet))
        if judgements:
            request, verdict = strictest(judgements)
            if verdict.action is Action.DENY:
                assert isinstance(request, FileRequest)
                self._deny(packet.id, request, verdict)
                return
            self._effects += [Decided(asked, said) for asked, said in judgements]
            self._effects += self._consent.ask(judgements)
            if self._consent.pending:
                self._held = _Held(packet, frame, sent, verdict)
                return
        self._forward(frame, sent)

    def _judgements(self, meaning: Meaning) -> list[Judgement]:
        judgements = [judge(self._decide, request) for request in meaning.requests]
        for request in meaning.consequences:
            judgement = judge(self._decide, request)
            if judgement[1].rule != "default" and judgement[1].action is not Action.ALLOW:
                judgements.append(judgement)
        return judgements

    def _deny(self, ident: int, request: FileRequest, verdict: Verdict) -> None:
        self._effects.append(Decided(request, verdict))
        self._effects.append(Transcript(denied(request, verdict)))
        if verdict.rule not in self._told:
            self._told.add(verdict.rule)
            self._effects.append(Tell(f"{described(request)}: {refusal(verdict)}"))
        self._answer(ident, Code.PERMISSION_DENIED, refusal(verdict))

    def _answer(self, ident: int, code: Code, message: str) -> None:
        self._effects.append(ToClient(sftp.encode_status(ident, code, message)))

    def _forward(self, frame: bytes, sent: Sent) -> None:
        if sent.file is not None and isinstance(sent.packet, OnHandle):
            sent.file.resized(sent.packet.size)
        self._table.sent[sent.packet.id] = sent
        self._effects.append(ToTarget(frame))

    # --- what rides on an open file -----------------------------------------------------------

    def _file_of(self, packet: Identified) -> OpenFile | None:
        return self._table.files.get(packet.handle) if isinstance(packet, OnHandle) else None

    def _ride(self, packet: Read | Write | OnHandle | CopyData, frame: bytes) -> None:
        match packet:
            case Read():
                self._ride_content(packet, frame, FileOperation.READ)
            case Write():
                self._ride_content(packet, frame, FileOperation.WRITE)
            case CopyData():
                self._ride_copy(packet, frame)
            case OnHandle():
                self._ride_handle(packet, frame)

    def _ride_content(self, packet: Read | Write, frame: bytes, needed: FileOperation) -> None:
        file = self._table.files.get(packet.handle)
        if file is None or not file.may(needed):
            self._refuse_handle(packet.id, file, needed)
            return
        if isinstance(packet, Write):
            file.up.add(packet.offset, packet.data)
            packet = Write(packet.id, packet.handle, packet.offset, b"")  # not kept in memory
        self._forward(frame, Sent(packet, file=file))

    def _ride_copy(self, packet: CopyData, frame: bytes) -> None:
        source, sink = self._table.files.get(packet.source), self._table.files.get(packet.sink)
        if source is None or not source.may(FileOperation.READ):
            self._refuse_handle(packet.id, source, FileOperation.READ)
        elif sink is None or not sink.may(FileOperation.WRITE):
            self._refuse_handle(packet.id, sink, FileOperation.WRITE)
        else:
            sink.up.doubt(f"it was copied on the target from {source.path}")
            source.down.doubt(f"it was copied on the target to {sink.path}")
            self._forward(frame, Sent(packet, file=sink))

    def _ride_handle(self, packet: OnHandle, frame: bytes) -> None:
        file = self._table.files.get(packet.handle)
        if file is None:
            self._refuse_handle(packet.id, None, None)
        elif packet.verb == "readdir" and not file.may(FileOperation.LIST):
            self._refuse_handle(packet.id, file, FileOperation.LIST)
        elif packet.verb == "fsetstat":
            self._judge(packet, frame, _attributes_of(file, packet.size))
        else:
            if packet.verb == "close":
                del self._table.files[packet.handle]
            self._forward(frame, Sent(packet, file=file))

    def _refuse_handle(
        self, ident: int, file: OpenFile | None, needed: FileOperation | None
    ) -> None:
        if file is None:
            self._answer(ident, Code.FAILURE, "no such handle is open")
            return
        assert needed is not None
        request = FileRequest(needed, file.path)
        self._deny(ident, request, Verdict(Action.DENY, "handle", "it was not opened for that"))

    # --- from the target ----------------------------------------------------------------------

    def _take_from_target(self, event: FromTarget) -> None:
        if event.stream is not Stream.STDOUT:
            self._effects.append(ToClient(event.data, event.stream))
            return
        self._target.add(event.data)
        while (frame := self._target.next()) is not None:
            self._take_target_packet(frame)
            self._take_client_packets()

    def _take_target_packet(self, frame: bytes) -> None:
        reply = sftp.decode_reply(frame)
        if isinstance(reply, Version):
            self._greet(reply)
            return
        if self._state is _State.SETTLING:
            self._settle(reply)
            return
        self._finish(self._table.answered(reply))
        self._effects.append(ToClient(frame))

    def _greet(self, reply: Version) -> None:
        if self._state is not _State.GREETED or reply.version != VERSION:
            raise TargetFault(f"the target greets with SFTP version {reply.version}, not 3")
        known = tuple(pair for pair in reply.extensions if EXTENSIONS.get(pair[0]) == pair[1])
        self._state = _State.SETTLING
        self._effects.append(ToTarget(sftp.encode_realpath(_HOME_ID, b".")))
        self._effects.append(ToClient(sftp.encode_version(known)))

    def _settle(self, reply: Reply) -> None:
        if isinstance(reply, Version) or reply.id != _HOME_ID:
            raise TargetFault("the target answered what nobody asked")
        if isinstance(reply, Names) and len(reply.names) == 1 and reply.names[0][:1] == b"/":
            self._home = reply.names[0].decode("utf-8", "surrogateescape")
        self._state = _State.READY


def _attributes_of(file: OpenFile, size: int | None) -> Meaning:
    """Whoever may write a file may set its attributes, unless a rule says otherwise."""
    attributes = FileRequest(FileOperation.SETSTAT, file.path)
    if file.may(FileOperation.WRITE):
        return Meaning((), (attributes,))
    if size is None:
        return Meaning((attributes,))
    cut = FileRequest(FileOperation.WRITE, file.path, direction=Direction.UPLOAD)
    return Meaning((attributes, cut))
