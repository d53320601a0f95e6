"""What an SFTP packet would do to files, as requests that a policy can decide.

What cannot be seen from here: symbolic links on the target (see `policy.paths`), and a server that
takes SYMLINK's arguments in the draft's order, which is the reverse of OpenSSH's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bastion.model import Direction, FileOperation, FileRequest
from bastion.policy.paths import absolute, parent
from bastion.wire.sftp_packets import OnPath, OnTwoPaths, Open, OpenFlag

_ON_PATH: Final = {
    "lstat": FileOperation.STAT,
    "stat": FileOperation.STAT,
    "setstat": FileOperation.SETSTAT,
    "lsetstat": FileOperation.SETSTAT,
    "opendir": FileOperation.LIST,
    "remove": FileOperation.REMOVE,
    "mkdir": FileOperation.MKDIR,
    "rmdir": FileOperation.RMDIR,
    "realpath": FileOperation.REALPATH,
    "expand-path": FileOperation.REALPATH,
    "home-directory": FileOperation.REALPATH,
    "readlink": FileOperation.READLINK,
    "statvfs": FileOperation.STATVFS,
}
_ON_TWO_PATHS: Final = {
    "rename": FileOperation.RENAME,
    "posix-rename": FileOperation.RENAME,
    "hardlink": FileOperation.HARDLINK,
    "symlink": FileOperation.SYMLINK,
}
_WRITING: Final = OpenFlag.WRITE | OpenFlag.APPEND | OpenFlag.CREATE | OpenFlag.TRUNCATE
_KNOWN_FLAGS: Final = int(_WRITING | OpenFlag.READ | OpenFlag.EXCLUSIVE)
"""As a number: the complement of an IntFlag holds none but its own bits."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What is asked for, and what follows from it.

    `requests` must all be allowed. `consequences` say what the operation makes possible elsewhere
    (a hard link makes a file readable under another name): they are held against it only where a
    rule speaks of them, for a policy's default says nothing about them.
    `obstacle`: why it cannot be told what the packet does; then it is refused.
    """

    requests: tuple[FileRequest, ...]
    consequences: tuple[FileRequest, ...] = ()
    obstacle: str = ""


def meaning_of(packet: Open | OnPath | OnTwoPaths, home: str) -> Meaning:
    """Read a packet that names paths. `home` is where the target resolves relative ones, or `~`."""
    if isinstance(packet, Open):
        return _open(packet, home)
    if isinstance(packet, OnPath):
        return _on_path(packet, home)
    return _on_two_paths(packet, home)


def _open(packet: Open, home: str) -> Meaning:
    flags, path = packet.flags, _text(packet.path)
    whole = absolute(path, home)
    requests = tuple(
        FileRequest(operation, whole, direction=direction)
        for operation, direction in _accesses(flags)
    )
    if flags & ~_KNOWN_FLAGS:
        return Meaning(requests, obstacle=f"it opens with unknown flags (0x{flags:x})")
    return Meaning(requests, obstacle=_obstacle(home, path))


def _accesses(flags: int) -> Iterator[tuple[FileOperation, Direction]]:
    """OpenSSH reads whatever it does not open write-only; O_CREAT and O_TRUNC write even then."""
    if flags & OpenFlag.READ or not flags & OpenFlag.WRITE:
        yield FileOperation.READ, Direction.DOWNLOAD
    if flags & _WRITING:
        yield FileOperation.WRITE, Direction.UPLOAD


def _on_path(packet: OnPath, home: str) -> Meaning:
    path = _text(packet.path)
    if packet.verb == "home-directory":
        whole = f"~{path}"
    elif packet.verb == "expand-path" and path.startswith("~"):
        whole = absolute(path[1:].lstrip("/"), home) if path[1:2] in {"", "/"} else path
    else:
        whole = absolute(path, home)
    requests = [FileRequest(_ON_PATH[packet.verb], whole)]
    if packet.size is not None and packet.verb != "mkdir":  # setting a size cuts content off
        requests.append(FileRequest(FileOperation.WRITE, whole, direction=Direction.UPLOAD))
    return Meaning(tuple(requests), obstacle=_obstacle(home, path))


def _on_two_paths(packet: OnTwoPaths, home: str) -> Meaning:
    first, second = _text(packet.first), _text(packet.second)
    made = absolute(second, home)
    existing = absolute(first, parent(made) if packet.verb == "symlink" else home)
    operation = _ON_TWO_PATHS[packet.verb]
    path, other = (made, existing) if packet.verb == "symlink" else (existing, made)
    consequences = (
        FileRequest(FileOperation.READ, existing, direction=Direction.DOWNLOAD),
        FileRequest(FileOperation.WRITE, existing, direction=Direction.UPLOAD),
        FileRequest(FileOperation.WRITE, made, direction=Direction.UPLOAD),
    )
    obstacle = _obstacle(home, first, second)
    return Meaning((FileRequest(operation, path, other),), consequences, obstacle)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _obstacle(home: str, *paths: str) -> str:
    if home == "~" and not all(path.startswith("/") for path in paths):
        return "a path is relative, and the target did not say to what"
    return ""
