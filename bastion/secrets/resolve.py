"""Credential references: `file:PATH`, `env:NAME`, `credential:NAME` (systemd), `command:WORDS`.

Errors name the reference, never what it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
import stat
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from bastion.errors import SecretUnavailable
from bastion.model import Secret, visible

SIZE_LIMIT: Final = 65536
"""Bytes of a secret: a key is under 16 KB, and a device in its place must not fill the memory."""
COMMAND_SECONDS: Final = 10.0
"""How long a command may take: one that waits for somebody would hold the dial for ever."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CREDENTIAL: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*")


class _UnavailableError(Exception):
    """Why a reference did not resolve, as the second half of a sentence."""


async def resolve(reference: str) -> Secret:
    """Fetch what `reference` names, without its last newline. Raises SecretUnavailable."""
    kind, colon, rest = reference.partition(":")
    fetch = _KINDS.get(kind)
    try:
        if not colon or fetch is None:
            raise _UnavailableError("must begin with file:, env:, credential: or command:")
        value = await fetch(rest)
        if len(value) > SIZE_LIMIT:
            raise _UnavailableError(f"holds more than {SIZE_LIMIT} bytes")
        value = value.removesuffix(b"\n").removesuffix(b"\r")
        if not value:
            raise _UnavailableError("holds nothing")
    except _UnavailableError as reason:
        name = visible(reference, limit=200)
        raise SecretUnavailable(f"the credential {name} {reason}.") from None
    return Secret(value)


async def _from_file(text: str) -> bytes:
    if not text.startswith("/"):
        raise _UnavailableError("must name a file by its whole path")
    return await asyncio.to_thread(_read, Path(text), 0o077, "must be closed to others (chmod 600)")


async def _from_credential(name: str) -> bytes:
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not directory:
        raise _UnavailableError("needs systemd (LoadCredential=), which did not start this process")
    if not _CREDENTIAL.fullmatch(name):
        raise _UnavailableError("is no name of a systemd credential")
    # systemd lets a service's user in by an ACL, which shows as permission of the group
    return await asyncio.to_thread(_read, Path(directory, name), 0o037, "is open to others")


async def _from_environment(name: str) -> bytes:
    if not _NAME.fullmatch(name):
        raise _UnavailableError("is no name of an environment variable")
    value = os.environb.get(name.encode())
    if value is None:
        raise _UnavailableError("is not set in the bastion's environment")
    return value


async def _from_command(line: str) -> bytes:
    """Run words without a shell. Its stderr goes nowhere: it may quote the secret."""
    try:
        words = shlex.split(line)
    except ValueError:
        raise _UnavailableError("has an open quote") from None
    if not words or not words[0].startswith("/"):
        raise _UnavailableError("must name a program by its whole path")
    ours, theirs = os.pipe()
    stream, closing = await _reader(ours)
    try:
        child = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=theirs,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs)
        theirs = -1
        return await _answer(child, stream)
    except OSError as error:
        raise _UnavailableError(f"cannot be started: {error.strerror}") from None
    finally:
        if theirs >= 0:
            os.close(theirs)
        closing.close()


async def _reader(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    """A pipe of our own: a child's own one stays open for as long as anything writes to it."""
    stream = asyncio.StreamReader(SIZE_LIMIT)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb")
    )
    return stream, transport


async def _answer(child: asyncio.subprocess.Process, stream: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            value = await _all_of(stream)
            status = await child.wait()
    except TimeoutError:
        await _end(child)
        raise _UnavailableError(f"gave no answer in {COMMAND_SECONDS:g} seconds") from None
    except (_UnavailableError, asyncio.CancelledError):
        await _end(child)
        raise
    if status:
        raise _UnavailableError(f"ended with status {status}")
    return value


async def _all_of(stream: asyncio.StreamReader) -> bytes:
    value = bytearray()
    while len(value) <= SIZE_LIMIT and (piece := await stream.read(SIZE_LIMIT)):
        value += piece
    if len(value) > SIZE_LIMIT:
        raise _UnavailableError(f"gave more than {SIZE_LIMIT} bytes")
    return bytes(value)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Leave nothing of it behind, nor of what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    await child.wait()


def _read(path: Path, forbidden: int, complaint: str) -> bytes:
    """Read a private file. Every check is made on what was opened, not on its name."""
    try:
        # O_NONBLOCK: a fifo in its place must not hang the dial.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        why = "links are not followed" if path.is_symlink() else error.strerror
        raise _UnavailableError(f"cannot be read: {why}") from None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise _UnavailableError("is not a plain file")
        if found.st_uid not in {0, os.geteuid()}:
            raise _UnavailableError(f"belongs to user {found.st_uid}, who could change it")
        if found.st_mode & forbidden:
            raise _UnavailableError(complaint)
        with open(handle, "rb", closefd=False) as file:
            return file.read(SIZE_LIMIT + 1)
    finally:
        os.close(handle)


_KINDS: Final[Mapping[str, Callable[[str], Awaitable[bytes]]]] = {
    "file": _from_file,
    "env": _from_environment,
    "credential": _from_credential,
    "command": _from_command,
}
