"""The whole demo: a provider, a target and the bastion on loopback, until somebody ends it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import signal
import socket
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from bastion.demo.check import check
from bastion.demo.child import free_port, running
from bastion.demo.database import NoDatabase, database
from bastion.demo.provider import provider
from bastion.demo.scene import DATABASE_PORT, Scene
from bastion.demo.sshd import SshdOptions, find_program, sshd
from bastion.demo.steps import Step, steps
from bastion.errors import BastionError

_say: Final = functools.partial(print, flush=True)


async def show(*, port: int, directory: Path | None, checking: bool) -> bool:
    """Run the demo until SIGINT, SIGTERM or SIGHUP; with `checking`, its own commands instead.

    True when all went as it should. Nothing it has started is left running.
    """
    find_program("sshd")
    find_program("ssh")
    _check_free(port)
    with _directory(directory) as place, _ended_by_signals() as ended:
        scene = Scene(place, port, database_port=_database_port())
        going = asyncio.create_task(_show(scene, checking))
        stopping = asyncio.create_task(ended.wait())
        await asyncio.wait({going, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if going.done():
            return going.result()
        going.cancel()  # once: a second time would cut its cleaning up short
        with contextlib.suppress(asyncio.CancelledError):
            await going
        return not checking


async def _show(scene: Scene, checking: bool) -> bool:
    async with stage(scene) as missing:
        _say("ready")
        if missing:
            _say(f"No database in this demo: {missing}.")
        if checking:
            return await check(steps(scene), _say)
        _say(text(scene))
        await asyncio.get_running_loop().create_future()  # until it is cancelled
        return True


@contextlib.asynccontextmanager
async def stage(scene: Scene) -> AsyncIterator[str]:
    """Provider, targets and bastion run inside the block; gives why there is no database, or ""."""
    authority = scene.prepare()
    authorities = [key.line for key in authority.keys("session", 0)]
    missing, found = "", None
    async with contextlib.AsyncExitStack() as stack:
        try:
            found = await stack.enter_async_context(database())
        except NoDatabase as error:
            missing = str(error).rstrip(".")
        idp = await stack.enter_async_context(provider(scene.directory / "provider"))
        options = SshdOptions(user_authorities=authorities)
        web1 = await stack.enter_async_context(sshd(scene.directory / "web1", options))
        scene.configure(idp, web1, found)
        serve = [sys.executable, "-m", "bastion", "serve", "--config", str(scene.config)]
        bastion = await stack.enter_async_context(running(serve, log=scene.log))
        await bastion.wait_for("^ready$")
        yield missing


def text(scene: Scene) -> str:
    """What is printed for people: every step, its command on a line beginning `$ `."""
    lines = [
        "",
        f"An identity provider, a bastion (port {scene.port}) and a target, web1, run on this",
        "machine; web1 is a real sshd with your own shell. Paste these into another terminal:",
    ]
    for number, step in enumerate(steps(scene), 1):
        lines += ["", f"{number}. {step.title}", *_written(step)]
    lines += ["", "ctrl-C ends it all.", ""]
    return "\n".join(lines)


def _written(step: Step) -> Iterator[str]:
    if step.note:
        yield textwrap.indent(step.note, "   ")
    yield f"$ {step.command}"
    for other in step.beside:
        yield f"   {other.title}, in another terminal:"
        yield f"$ {other.command}"


@contextlib.contextmanager
def _directory(wanted: Path | None) -> Iterator[Path]:
    """A new directory that is removed at the end; one that was asked for is kept."""
    if wanted is not None:
        try:
            wanted.mkdir(parents=True, mode=0o700)
        except FileExistsError:
            raise BastionError(f"{wanted} exists already; the demo wants a new one.") from None
        yield wanted.resolve()
        return
    place = Path(tempfile.mkdtemp(prefix="bastion-"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[asyncio.Event]:
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, ended.set)
    try:
        yield ended
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _database_port() -> int:
    """The port that is easy to remember, or another one."""
    try:
        _check_free(DATABASE_PORT)
    except BastionError:
        return free_port()
    return DATABASE_PORT


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BastionError(
                f"Port {port} cannot be used ({os.strerror(error.errno or 0)}); "
                "take another one: make demo PORT=2322"
            ) from None
