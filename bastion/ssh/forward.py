"""Everything that is not a session channel: `ssh -J`, forwards through a target, `ssh -R`.

`ssh -J bastion LOGIN@TARGET` opens direct-tcpip to the target's name. The bastion terminates the
inner SSH connection itself, with a host certificate for that name, and the inner connection
inherits the outer identity; so a client never gets a raw tunnel to a target's SSH port.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import asyncssh

from bastion.errors import BastionError, DialError
from bastion.events import EndReason, Exit, Stream
from bastion.gate.relay import RelayGate
from bastion.gate.words import refusal
from bastion.model import ForwardKind, ForwardRequest, Request, Target, TargetKind, visible
from bastion.policy.rules import Action, Verdict
from bastion.ssh import jump
from bastion.ssh.ask import Asker
from bastion.ssh.channel import open_record, permit
from bastion.ssh.connection import BastionConnection
from bastion.ssh.dialler import OPEN_SECONDS, Dialler
from bastion.ssh.drive import Drive
from bastion.ssh.record import Record
from bastion.ssh.services import Services
from bastion.ssh.session import Place, Session, closed_to, deadline_of, masking_of
from bastion.target.channel import TargetForward, TargetUnixForward
from bastion.target.dial import TargetConnection

GRANTED = Verdict(Action.ALLOW, "granted", "decided when the channel was opened")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who opens a forward, and through which target (None on a connection to the bastion)."""

    services: Services
    session: Session
    connection: BastionConnection
    place: Place | None
    inner: Callable[[Target], asyncssh.SSHServer]
    """Makes the server of an inner connection to a target."""


def _no(text: str) -> asyncssh.ChannelOpenError:
    return asyncssh.ChannelOpenError(
        asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, f"bastion: {visible(text, limit=400)}"
    )


async def open_direct(origin: Origin, request: ForwardRequest) -> object:
    """Decide and open a direct-tcpip or direct-streamlocal channel; ChannelOpenError refuses."""
    target = origin.services.targets.get(request.host)
    if request.kind is ForwardKind.DIRECT_TCPIP and target is not None:
        return await _open_target(origin, target, request)
    if origin.place is None:
        _note_refused(origin, request, "it does not go to a target")
        raise _no(
            f"{request.host} is not a target; forwards go to targets only (ssh bastion lists them)"
        )
    return await _open_through(origin, origin.place, request)


async def _open_target(origin: Origin, target: Target, request: ForwardRequest) -> object:
    if target.kind is not TargetKind.SSH:
        _note_refused(origin, request, f"targets of kind {target.kind.value} have no gate yet")
        raise _no(
            f"target {target.name} is of kind {target.kind.value}, which has no gate here yet"
        )
    if request.port not in {22, target.port}:
        _note_refused(origin, request, "a port of a target other than its SSH")
        raise _no(
            f"port {request.port} of {target.name} is not open; use `ssh LOGIN@{target.name}`"
        )
    reason = closed_to(origin.session, Place(target, ""))
    if reason:
        raise _no(reason)
    if not jump.may_reach(origin.session, target):
        _note_refused(origin, request, "no grant")
        raise _no(f"your roles do not reach {target.name}; `ssh bastion` lists what they do")
    origin.session.note("jump", target=target.name)
    inner = await jump.inner_connection(origin.services, target, lambda: origin.inner(target))
    inner.ride_on(origin.connection)
    return inner


def _note_refused(origin: Origin, request: ForwardRequest, reason: str) -> None:
    origin.session.note(
        "forward-refused",
        forward=request.kind.value,
        host=request.host,
        port=request.port,
        reason=reason,
    )


async def _open_through(origin: Origin, place: Place, request: ForwardRequest) -> object:
    """A forward through a target, where the policy grants it."""
    session = origin.session
    closed = closed_to(session, place)
    if closed:
        raise _no(closed)
    channel = session.next_channel()
    said: list[str] = []
    if not await permit(session, place, channel, request, said.append):
        raise _no(said[-1] if said else refusal(session.verdict(place, request)))
    try:
        record = open_record(session, place, channel, request, text=False)
    except BastionError as error:
        raise _no(str(error)) from error
    side: ForwardSide = (
        UnixForwardSide(origin) if request.kind is ForwardKind.DIRECT_STREAMLOCAL
        else TcpForwardSide(origin)
    )  # fmt: skip
    side.drive = _drive(session, place, channel, side, Dialler(session, place), record)
    session.drives.add(side.drive)
    side.request = request
    return side


class ForwardSide:
    """The client's side of a forwarded connection: asyncssh's callbacks and the drive's calls."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._chan: asyncssh.SSHTCPChannel[bytes] | None = None
        self._full = False
        self._unwatch: Callable[[], None] = lambda: None
        self.drive: Drive | None = None
        self.request: ForwardRequest | None = None

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        """The channel is open on the client's side."""
        self._chan = chan

    def session_started(self) -> None:
        """Now dial."""
        assert self.drive is not None
        assert self.request is not None
        self._unwatch = self._origin.connection.watch(lambda _stalled: self._report())
        self.drive.start(self.request)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Bytes of the client."""
        if self.drive is not None:
            self.drive.from_client(data)

    def eof_received(self) -> bool:
        """Half-closed."""
        if self.drive is not None:
            self.drive.client_eof()
        return True

    def pause_writing(self) -> None:
        """The client does not read."""
        self._full = True
        self._report()

    def resume_writing(self) -> None:
        """It does again."""
        self._full = False
        self._report()

    def _report(self) -> None:
        if self.drive is not None:
            self.drive.client_stalled(self._full or self._origin.connection.stalled)

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed."""
        self._chan = None
        self._unwatch()
        if self.drive is not None:
            self.drive.client_left()
            self._origin.session.drives.discard(self.drive)

    # the drive's ClientEnd

    def show(self, data: bytes, stream: Stream) -> None:
        """Bytes of the target; a forward has no stderr to speak on."""
        if self._chan is not None and stream is Stream.STDOUT:
            try:
                self._chan.write(data)
            except BrokenPipeError:
                return

    def phrase(self, text: str) -> bytes:
        """For the recording alone."""
        return f"bastion: {visible(text)}\n".encode()

    def eof(self) -> None:
        """No more bytes will come."""
        if self._chan is not None:
            self._chan.write_eof()

    def exit(self, ended: Exit) -> None:
        """Close; a forward has no status."""
        if self._chan is not None:
            if ended.reason is EndReason.FINISHED:
                self._chan.close()
            else:
                self._chan.abort()

    def hold(self, held: bool) -> None:
        """Stop or go on reading from the client."""
        if self._chan is not None:
            if held:
                self._chan.pause_reading()
            else:
                self._chan.resume_reading()


class TcpForwardSide(ForwardSide, asyncssh.SSHTCPSession[bytes]):
    """direct-tcpip and forwarded-tcpip."""


class UnixForwardSide(ForwardSide, asyncssh.SSHUNIXSession[bytes]):  # type: ignore[misc]
    """direct-streamlocal."""


# --- ssh -R -----------------------------------------------------------------------------------


async def listen_on_target(origin: Origin, request: ForwardRequest) -> object:
    """Decide `ssh -R`; where granted, listen on the target and bring connections back."""
    place = origin.place
    if place is None:
        _note_refused(origin, request, "no target to listen on")
        return False
    session = origin.session
    channel = session.next_channel()
    said: list[str] = []
    if closed_to(session, place):
        return False
    if not await permit(session, place, channel, request, said.append):
        return False
    try:
        connection, _secrets = await session.connection_to(place)
        assert connection.connection is not None
        if request.kind is ForwardKind.STREAMLOCAL_FORWARD:
            return await connection.connection.create_unix_server(
                lambda: _bring_back(origin, place, connection, request, "", 0), request.host
            )
        return await connection.connection.create_server(
            lambda host, port: _bring_back(origin, place, connection, request, host, port),
            request.host,
            request.port,
        )
    except (BastionError, OSError, asyncssh.Error) as error:
        session.note("forward-failed", forward=request.kind.value, reason=str(error))
        return False


class _AlreadyOpen:
    """The dialler of a connection that the target itself opened."""

    def __init__(self) -> None:
        self.side: TargetForward | TargetUnixForward | None = None
        self.started = asyncio.Event()

    async def dial(self, request: Request, drive: Drive) -> None:
        """Wait until asyncssh has both ends."""
        try:
            await asyncio.wait_for(self.started.wait(), OPEN_SECONDS)
        except TimeoutError:
            raise DialError("the target gave up its connection") from None
        assert self.side is not None
        drive.attach(self.side)


async def _bring_back(
    origin: Origin,
    place: Place,
    connection: TargetConnection,
    request: ForwardRequest,
    from_host: str,
    from_port: int,
) -> Any:
    """Carry one connection that reached the target's listener back to the client, recorded."""
    session = origin.session
    refused = closed_to(session, place)
    if not refused and len(session.drives) >= origin.services.limits.channels_per_session:
        refused = "too many channels in this session"
    if refused:
        raise _no(refused)
    channel = session.next_channel()
    try:
        record = open_record(session, place, channel, request, text=False)
    except BastionError as error:
        raise _no(str(error)) from error
    is_unix = request.kind is ForwardKind.STREAMLOCAL_FORWARD
    side: Any = UnixForwardSide(origin) if is_unix else TcpForwardSide(origin)
    already = _AlreadyOpen()
    side.request = request
    side.drive = _drive(session, place, channel, side, already, record)
    kind = TargetUnixForward if is_unix else TargetForward
    already.side = kind(side.drive, connection, already.started.set)
    session.drives.add(side.drive)
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            if is_unix:
                await origin.connection.create_unix_connection(lambda: side, request.host)
            else:
                await origin.connection.create_connection(
                    lambda: side, request.host, request.port, from_host, from_port
                )
    except (asyncssh.Error, OSError, TimeoutError) as error:
        side.drive.end(EndReason.CLIENT_LEFT, "")
        session.drives.discard(side.drive)
        raise _no("the client does not take the connection") from error
    return already.side


def _drive(
    session: Session,
    place: Place,
    channel: str,
    side: ForwardSide,
    dialler: Dialler | _AlreadyOpen,
    record: Record,
) -> Drive:
    return Drive(
        gate=RelayGate(lambda _request: GRANTED),
        client=side,
        dialler=dialler,
        asker=Asker(session, place, channel),
        record=record,
        masking=masking_of(session, place),
        clock=session.services.clock,
        target_name=place.target.name,
        login=place.login,
        deadline=deadline_of(session, place),
    )
