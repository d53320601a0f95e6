"""One loop for every kind of channel: feed the gate, carry out what it wants, show it to the taps.

The order for a byte of the target is fixed: mask, record, then show (invariants 6 and 7). A byte
of the client goes nowhere until the gate says ToTarget. Whatever goes wrong ends the channel with
a sentence; nothing here lets bytes pass because something failed.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from bastion.errors import BastionError, DialError, ProtocolFault, RecordingFailed
from bastion.events import (
    Ask,
    ClientEof,
    Decided,
    Dial,
    Dialled,
    Edit,
    Effect,
    EndReason,
    EofToClient,
    EofToTarget,
    Event,
    Exit,
    FileDone,
    FromClient,
    FromShell,
    FromTarget,
    HoldClient,
    Opened,
    Outcome,
    Resolved,
    Stream,
    Suggest,
    TargetEof,
    TargetExit,
    Tell,
    ToClient,
    ToEditor,
    ToShell,
    ToTarget,
    Transcript,
    Wake,
    Withdraw,
)
from bastion.gate.gate import Gate
from bastion.gate.words import granted
from bastion.model import EXIT_REFUSED, Request, Secret
from bastion.ssh.ends import ClientEnd, ShellSide, TargetEnd
from bastion.ssh.record import Record
from bastion.ssh.services import Clock
from bastion.ssh.taps import Taps
from bastion.tap.mask import Masking

log = logging.getLogger(__name__)


class Dialler(Protocol):
    """Opens the target's side; its events come back through `Drive.feed`."""

    async def dial(self, request: Request, drive: Drive) -> None:
        """Call `drive.attach` before the first byte; raise DialError with one sentence."""


class Asker(Protocol):
    """Puts a held request before people; `Drive.feed(Resolved)` brings the answer back."""

    def ask(self, asked: Ask, drive: Drive) -> str:
        """Give the sentence to show while waiting; empty where the answer comes at once."""

    def withdraw(self, ask: int, drive: Drive) -> None:
        """Nobody needs to answer any more."""


class Drive:
    """Runs one channel from Opened to Exit."""

    def __init__(
        self,
        *,
        gate: Gate,
        client: ClientEnd,
        dialler: Dialler,
        asker: Asker,
        record: Record,
        masking: Masking,
        clock: Clock,
        target_name: str,
        deadline: float | None = None,
        login: str = "",
        window: tuple[int, int] = (0, 0),
        shell: ShellSide | None = None,
    ) -> None:
        self._shell = shell
        self._tell_shell: Callable[[bytes], None] = lambda _: None
        self.target_name = target_name
        self.login = login
        self.deadline = deadline
        self.request: Request | None = None
        """What the channel was opened for, once it has begun."""
        self._gate = gate
        self._client = client
        self._dialler = dialler
        self._asker = asker
        self._record = record
        self._clock = clock
        self._inbox: deque[Event] = deque()
        self._running = False
        self._target: TargetEnd | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._unsent: list[ToTarget | EofToTarget | ToShell] = []
        self._open_asks: set[int] = set()
        self._client_held = False
        self._unread = False
        self._client_stalled = False
        self._target_stalled = False
        self._taps = Taps(
            masking=masking,
            record=record,
            client=client,
            clock=clock,
            guarded=self._guarded_tap,
            window=window,
        )
        self._client_hash = hashlib.sha256()
        self._client_bytes = 0
        self.ended: EndReason | None = None

    # --- events in ----------------------------------------------------------------------------

    def start(self, request: Request) -> None:
        """Feed the first event."""
        self.request = request
        self.feed(Opened(self._clock(), request))

    def from_client(self, data: bytes) -> None:
        """Bytes arrived from the client."""
        self._client_bytes += len(data)
        self._client_hash.update(data)
        self.feed(FromClient(self._clock(), data))

    def client_eof(self) -> None:
        """The client sends no more."""
        self.feed(ClientEof(self._clock()))

    def nobody_reads(self) -> None:
        """The client takes no more of the target's output, but its exit status."""
        self._unread = True

    def from_target(self, data: bytes, stream: Stream = Stream.STDOUT) -> None:
        """Bytes arrived from the target."""
        if self._unread:
            return
        self.feed(FromTarget(self._clock(), data, stream))

    def from_shell(self, data: bytes) -> None:
        """Bytes of a gated shell arrived beside its terminal."""
        self.feed(FromShell(self._clock(), data))

    def target_eof(self) -> None:
        """The target sends no more."""
        self.feed(TargetEof(self._clock()))

    def target_exit(self, ended: TargetExit) -> None:
        """The target's program ended and all its output was delivered."""
        self.feed(ended)

    def target_lost(self) -> None:
        """The connection to the target broke off; 255 is what ssh itself gives for that."""
        self.end(EndReason.TARGET_LEFT, f"the connection to {self.target_name} broke off.", 255)

    def resolved(self, ask: int, outcome: Outcome, by: tuple[str, ...], reason: str) -> None:
        """An approval ended."""
        self._open_asks.discard(ask)
        self._note("approval", outcome=outcome.value, by=list(by), reason=reason)
        if outcome is Outcome.GRANTED and by and self.ended is None:
            self._guarded(lambda: self._tell(granted(by)))
        self.feed(Resolved(self._clock(), ask, outcome, by, reason))

    def client_left(self) -> None:
        """The client closed the channel or its connection is gone."""
        self.end(EndReason.CLIENT_LEFT, "")

    def client_stalled(self, stalled: bool) -> None:
        """Back-pressure: the client does not read, so the target is not read either; nor, where
        the gate itself answers (packets), is the client, which could ask for ever."""
        self._client_stalled = stalled
        if self._target is not None:
            self._target.hold(stalled)
        if not self._record.text:
            self._hold_client()

    def target_stalled(self, stalled: bool) -> None:
        """Back-pressure: the target does not read, so the client is not read either."""
        self._target_stalled = stalled
        self._hold_client()

    def resized(self, columns: int, rows: int) -> None:
        """The client's window changed."""
        if self.ended is None:
            self._guarded(lambda: self._taps.resized(columns, rows))
            self._guarded(lambda: self._record.resize(self._clock(), columns, rows))
            if self._shell is not None:
                self._shell.resize(columns, rows)

    def feed(self, event: Event) -> None:
        """Give one event to the gate and perform what comes out; calls may nest."""
        if self.ended is not None:
            return
        self._inbox.append(event)
        if not self._running:
            self._running = True
            try:
                self._guarded(self._drain)
            finally:
                self._running = False

    def end(self, reason: EndReason, text: str, status: int = EXIT_REFUSED) -> None:
        """End from outside: a deadline, a lock, a kill, the client's leaving. Idempotent."""
        if self.ended is not None:
            return
        if text:
            self._guarded(lambda: self._tell(text))
        self._finish(Exit(reason, status))

    # --- the loop -----------------------------------------------------------------------------

    def _drain(self) -> None:
        while self._inbox and self.ended is None:
            for effect in self._gate.feed(self._inbox.popleft()):
                self._perform(effect)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Run a step; whatever it raises ends the channel with a reason, never a traceback."""
        try:
            step()
        except RecordingFailed as error:
            self._fail(EndReason.RECORDING_FAILED, str(error))
        except ProtocolFault as error:
            self._fail(EndReason.PROTOCOL_FAULT, str(error))
        except BastionError as error:
            self._fail(EndReason.INTERNAL, str(error))
        except Exception:
            log.exception("channel %s", self._record.name)
            self._fail(EndReason.INTERNAL, "the bastion failed on this channel; it was closed")

    def _guarded_tap(self, step: Callable[[], None]) -> None:
        """What a timer brings to a channel that has ended is nothing."""
        if self.ended is None:
            self._guarded(step)

    def _fail(self, reason: EndReason, text: str) -> None:
        if self.ended is not None:
            return
        self._tell_unrecorded(text)
        self._finish(Exit(reason, EXIT_REFUSED))

    def _perform(self, effect: Effect) -> None:
        if self.ended is not None:
            return
        match effect:
            case ToClient(data=data, stream=stream):
                self._above(lambda: self._taps.show(data, stream))
            case ToTarget() | EofToTarget() | ToShell():
                self._send(effect)
            case EofToClient():
                self._taps.finish()
                self._client.eof()
            case Tell(text=text):
                self._tell(text)
            case HoldClient(held=held):
                self._client_held = held
                self._hold_client()
            case Transcript(text=text):
                self._record.transcript(self._clock(), text)
            case Exit():
                self._finish(effect)
            case _:
                self._perform_decision(effect)

    def _perform_decision(self, effect: Effect) -> None:
        match effect:
            case Decided(request=request, verdict=verdict):
                self._record.decided(self._clock(), request, verdict)
            case FileDone():
                self._record.file_done(self._clock(), effect)
            case Ask():
                self._open_asks.add(effect.ask)
                waiting = self._asker.ask(effect, self)
                if waiting:
                    self._tell(waiting)
            case Withdraw(ask=ask):
                self._open_asks.discard(ask)
                self._asker.withdraw(ask, self)
            case Edit() | ToEditor() | Suggest() | Wake():
                assert self._shell is not None
                self._shell.perform(effect, self)
            case Dial(request=request):
                self._dialling = asyncio.get_running_loop().create_task(self._dial(request))
                self._hold_client()

    # --- the target's side --------------------------------------------------------------------

    async def _dial(self, request: Request) -> None:
        try:
            await self._dialler.dial(request, self)
        except DialError as error:
            self._note("dial-failed", reason=str(error))
            self.end(EndReason.DIAL_FAILED, str(error))
        except Exception:
            log.exception("dialling for channel %s", self._record.name)
            self.end(EndReason.DIAL_FAILED, "the target could not be dialled")

    def attach(
        self,
        target: TargetEnd,
        secrets: Sequence[Secret] = (),
        tell_shell: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        """Take the target's side, before its first byte; `secrets` never reach a tap in clear."""
        if self.ended is not None:
            target.close()
            return
        self._target = target
        self._taps.know(secrets)
        self._tell_shell = tell_shell
        unsent, self._unsent = self._unsent, []
        for effect in unsent:
            self._send(effect)
        target.hold(self._client_stalled)
        self._hold_client()
        self.feed(Dialled(self._clock()))

    def _send(self, effect: ToTarget | EofToTarget | ToShell) -> None:
        if self._target is None:
            self._unsent.append(effect)
        elif isinstance(effect, ToShell):
            self._tell_shell(effect.data)
        elif isinstance(effect, ToTarget):
            self._target.send(effect.data)
        else:
            self._target.eof()

    def _hold_client(self) -> None:
        dialling = self._dialling is not None and self._target is None
        answers_unread = self._client_stalled and not self._record.text
        self._client.hold(self._client_held or self._target_stalled or dialling or answers_unread)

    # --- the client's side --------------------------------------------------------------------

    def show_own(self, data: bytes) -> None:
        """Show what the line editor draws: recorded and masked like everything else."""
        if self.ended is None:
            self._guarded(lambda: self._taps.show(data, Stream.STDOUT))

    def _above(self, show: Callable[[], None]) -> None:
        """Show something now, or above the line that is being edited."""
        if self._shell is not None and self._shell.editing:
            self._shell.interject(show)
        else:
            show()

    def _tell(self, text: str) -> None:
        """Show a sentence; it is recorded as it was shown."""
        self._above(lambda: self._tell_now(text))

    def _tell_now(self, text: str) -> None:
        self._taps.flush()
        self._say(self._client.phrase(self._taps.text(text)))

    def say(self, text: str) -> None:
        """Show and record words of a prompt of the bastion's own, before the channel begins."""
        if self.ended is None:
            self._guarded(lambda: self._say(text.encode("utf-8", "replace")))

    def _say(self, shown: bytes) -> None:
        self._record.told(self._clock(), shown)
        self._client.show(shown, Stream.STDERR)

    def _tell_unrecorded(self, text: str) -> None:
        """The one sentence that may be shown unrecorded: why nothing can be recorded any more."""
        self._client.show(self._client.phrase(self._taps.text(text)), Stream.STDERR)

    def _note(self, kind: str, **fields: object) -> None:
        self._guarded(lambda: self._record.note(self._clock(), kind, **fields))

    # --- the end ------------------------------------------------------------------------------

    def _finish(self, ended: Exit) -> None:
        if self.ended is not None:
            return
        if self._shell is not None:
            self._shell.close()
        try:
            self._taps.finish()
        except RecordingFailed as error:
            self._tell_unrecorded(str(error))
            ended = Exit(EndReason.RECORDING_FAILED, EXIT_REFUSED)
        self.ended = ended.reason
        self._taps.close()
        for ask in tuple(self._open_asks):
            self._asker.withdraw(ask, self)
        if self._dialling is not None:
            self._dialling.cancel()
        if self._target is not None:
            self._target.close()
        status = self._record.close(
            self._clock(), ended, self._client_bytes, self._client_hash.hexdigest()
        )
        if status is not None:
            self._tell_unrecorded(status)
            ended = Exit(EndReason.RECORDING_FAILED, EXIT_REFUSED)
        self._client.exit(ended)
