"""What an SFTP client holds open on the target, and what can be said of it in the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from bastion.errors import ClientFault, TargetFault
from bastion.events import FileDone
from bastion.gate.content import Content, NewScanner, ReorderWindow, no_scanner
from bastion.model import FileOperation, FileRequest, visible
from bastion.wire.sftp_packets import (
    Attributes,
    Code,
    CopyData,
    Data,
    ExtendedReply,
    Handle,
    Identified,
    Names,
    OnHandle,
    Open,
    OpenFlag,
    Read,
    Reply,
    Status,
    Version,
    Write,
)

HANDLE_LIMIT: Final = 1024
"""Files open at once: each costs two hashes."""

_CUT: Final = "the channel ended before the file was closed"
_UNLOGGED: Final = frozenset(
    {
        FileOperation.STAT,
        FileOperation.REALPATH,
        FileOperation.READLINK,
        FileOperation.STATVFS,
    }
)
"""Looking at things leaves its verdict, and no word about how it ended."""

_ANSWERS: Final[dict[str, type[Reply]]] = {
    "open": Handle,
    "opendir": Handle,
    "read": Data,
    "readdir": Names,
    "realpath": Names,
    "readlink": Names,
    "expand-path": Names,
    "home-directory": Names,
    "stat": Attributes,
    "lstat": Attributes,
    "fstat": Attributes,
    "statvfs": ExtendedReply,
    "fstatvfs": ExtendedReply,
    "limits": ExtendedReply,
    "users-groups-by-id": ExtendedReply,
}
"""Which answer a request may get beside STATUS."""


@dataclass(slots=True)
class OpenFile:
    """One handle: what was granted with it, and what travelled over it since."""

    granted: tuple[FileRequest, ...]
    window: ReorderWindow
    scan: NewScanner
    whole: bool = False
    """Whether a write leaves nothing of an older file: it was truncated, or is new."""
    appending: bool = False
    saw_end: bool = False
    failed: str = ""
    down: Content = field(init=False)
    up: Content = field(init=False)

    def __post_init__(self) -> None:
        self.down = Content(self.window, self.scan)
        self.up = Content(self.window, self.scan)
        if self.appending:
            self.up.doubt("it was appended to what was there")

    @property
    def path(self) -> str:
        """The path it was opened under, absolute."""
        return self.granted[0].path

    def may(self, operation: FileOperation) -> bool:
        """Whether this was granted when it was opened."""
        return any(request.operation is operation for request in self.granted)

    def resized(self, size: int | None) -> None:
        """The client sets the file's size; None: something else about it."""
        if size == self.up.end:
            self.whole = True
        elif size is not None:
            self.up.doubt(f"its size was then set to {size}")

    def close(self, *, cut: str = "") -> Iterator[FileDone]:
        """Account for every direction that was granted."""
        for request in self.granted:
            match request.operation:
                case FileOperation.READ:
                    note = "" if self.saw_end else "not read to its end"
                    yield self._account(request, self.down, note, cut)
                case FileOperation.WRITE:
                    note = "" if self.whole else "written over what was there"
                    yield self._account(request, self.up, note, cut)
                case _:
                    yield FileDone(request, ok=not (cut or self.failed), note=cut or self.failed)

    def _account(self, request: FileRequest, content: Content, note: str, cut: str) -> FileDone:
        digest, doubt = content.close()
        failure = cut or self.failed
        if failure:
            digest = ""
        said = "; ".join(one for one in (failure or doubt or note, content.holds()) if one)
        return FileDone(request, not failure, content.size, digest, said)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request on its way: what it asked for, and the open file it rides on."""

    packet: Identified
    requests: tuple[FileRequest, ...] = ()
    file: OpenFile | None = None


class SftpTable:
    """What the client asked and is not answered, and what it holds open."""

    def __init__(self, scan: NewScanner = no_scanner) -> None:
        self._scan = scan
        self.sent: dict[int, Sent] = {}
        self.files: dict[bytes, OpenFile] = {}
        self._window = ReorderWindow()

    def answered(self, reply: Reply) -> Iterator[FileDone]:
        """Match an answer to its request; give what is done with it. Raises TargetFault."""
        sent = None if isinstance(reply, Version) else self.sent.pop(reply.id, None)
        if sent is None:
            raise TargetFault("the target answered an SFTP request that nobody made")
        verb = _verb(sent.packet)
        match sent, reply:
            case _, Status():
                yield from self._ended(sent, reply)
            case _ if not isinstance(reply, _ANSWERS.get(verb, Status)):
                raise TargetFault(f"the target answered {verb} with a wrong packet")
            case _, Handle():
                self._grant(sent, reply)
            case Sent(packet=Read() as asked, file=OpenFile() as file), Data():
                if len(reply.data) > asked.length:
                    raise TargetFault("the target gave more content than was asked for")
                file.down.add(asked.offset, reply.data)
            case _, Names():
                _check_names(verb, reply)

    def cut(self) -> Iterator[FileDone]:
        """Account for everything that is still open when the channel ends."""
        files = [*self.files.values(), *(sent.file for sent in self.sent.values() if sent.file)]
        for file in {id(file): file for file in files}.values():
            yield from file.close(cut=_CUT)

    def _grant(self, sent: Sent, reply: Handle) -> None:
        if reply.handle in self.files:
            raise TargetFault("the target gave one handle for two files")
        if len(self.files) >= HANDLE_LIMIT:
            raise ClientFault(f"the client keeps more than {HANDLE_LIMIT} files open")
        flags = sent.packet.flags if isinstance(sent.packet, Open) else 0
        self.files[reply.handle] = OpenFile(
            sent.requests,
            self._window,
            self._scan,
            whole=bool(flags & (OpenFlag.TRUNCATE | OpenFlag.EXCLUSIVE)),
            appending=bool(flags & OpenFlag.APPEND),
        )

    def _ended(self, sent: Sent, reply: Status) -> Iterator[FileDone]:
        ok = reply.code == Code.OK
        said = visible(reply.message.decode("utf-8", "replace"), limit=200) or f"code {reply.code}"
        note = "" if ok else f"the target refused: {said}"
        match sent:
            case Sent(packet=OnHandle(verb="close"), file=OpenFile() as file):
                file.failed = file.failed or note
                yield from file.close()
            case Sent(packet=Read(), file=OpenFile() as file) if reply.code == Code.EOF:
                file.saw_end = True
            case Sent(packet=Read() | Write() | CopyData(), file=OpenFile() as file):
                file.failed = file.failed or note
            case _ if not (ok and _verb(sent.packet) in {"open", "opendir"}):
                opening = isinstance(sent.packet, Open)
                for request in sent.requests if opening else sent.requests[:1]:
                    if request.operation not in _UNLOGGED:
                        yield FileDone(request, ok, note=note)


def _check_names(verb: str, reply: Names) -> None:
    """A name with a slash would be written outside the directory it is copied to."""
    if verb != "readdir":
        if len(reply.names) != 1:
            raise TargetFault(f"the target answered {verb} with {len(reply.names)} names")
    elif any(not name or b"/" in name or b"\0" in name for name in reply.names):
        raise TargetFault("the target listed a name that is no name of a file")


def _verb(packet: Identified) -> str:
    match packet:
        case Open() | Read() | Write():
            return type(packet).__name__.lower()
        case CopyData():
            return "copy-data"
        case _:
            return packet.verb
