"""Everything that is not a session channel: `ssh -J`, forwards through a target, `ssh -R`.

`ssh -J bastion LOGIN@TARGET` opens direct-tcpip to the target's name. The bastion terminates the
inner SSH connection itself, with a host certificate for that name, and the inner connection
inherits the outer identity; so a client never gets a raw tunnel to a target's SSH port.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncssh

from bastion.errors import BastionError, DialError
from bastion.events import EndReason
from bastion.gate.relay import RelayGate
from bastion.gate.words import refusal
from bastion.model import ForwardKind, ForwardRequest, Request, Target, TargetKind, visible
from bastion.policy.access import reachable
from bastion.policy.rules import Action, Verdict
from bastion.ssh import jump
from bastion.ssh.ask import Asker
from bastion.ssh.channel import open_record, permit
from bastion.ssh.dialler import OPEN_SECONDS, Dialler
from bastion.ssh.drive import Dialler as DiallerOf
from bastion.ssh.drive import Drive
from bastion.ssh.forward_side import ForwardSide, Origin, TcpForwardSide, UnixForwardSide
from bastion.ssh.postgres import open_postgres
from bastion.ssh.record import Record
from bastion.ssh.session import Place, Session, closed_to, deadline_of, masking_of
from bastion.ssh.tcp import TcpDialler
from bastion.target.channel import TargetForward, TargetUnixForward
from bastion.target.dial import TargetConnection

GRANTED = Verdict(Action.ALLOW, "granted", "decided when the channel was opened")


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
    if target.kind is TargetKind.POSTGRES:
        return await _open_database(origin, target, request)
    if target.kind is TargetKind.TCP:
        return await _open_tcp(origin, target, request)
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


async def _open_database(origin: Origin, target: Target, request: ForwardRequest) -> object:
    """A database: its protocol is spoken here, and every statement decided."""
    if request.port not in {5432, target.port}:
        _note_refused(origin, request, "a port of a database other than its own")
        raise _no(
            f"port {request.port} of {target.name} is not open; forward to {target.name}:5432"
        )
    _check_reach(origin, target, request)
    try:
        return await open_postgres(origin, target, request)
    except BastionError as error:
        raise _no(str(error)) from error


def _check_reach(origin: Origin, target: Target, request: ForwardRequest) -> None:
    reason = closed_to(origin.session, Place(target, ""))
    if reason:
        raise _no(reason)
    if not jump.may_reach(origin.session, target):
        _note_refused(origin, request, "no grant")
        raise _no(f"your roles do not reach {target.name}; `ssh bastion` lists what they do")


async def _open_tcp(origin: Origin, target: Target, request: ForwardRequest) -> object:
    """A raw tunnel, where a grant forwards there: its bytes are counted, and nothing is gated."""
    if request.port != target.port:
        _note_refused(origin, request, "a port of a target other than its own")
        raise _no(f"port {request.port} of {target.name} is not open; {target.port} is")
    _check_reach(origin, target, request)
    session = origin.session
    access = reachable(session.services.policy(), session.identity, [target])[0]
    place = Place(target, access.logins[0])
    return await _open_decided(origin, place, request, TcpDialler(place.target))


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
    return await _open_decided(origin, place, request, Dialler(origin.session, place))


async def _open_decided(
    origin: Origin, place: Place, request: ForwardRequest, dialler: DiallerOf
) -> object:
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
    side.drive = _drive(session, place, channel, side, dialler, record)
    session.drives.add(side.drive)
    side.request = request
    return side


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
    dialler: DiallerOf,
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
