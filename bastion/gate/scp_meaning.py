"""What scp's command line and records would do to files, as requests that a policy can decide.

An upload to `PATH` may mean a file of that name or a directory, which only the target knows: a
record then has two readings, unless PATH ends in a slash.
"""

from __future__ import annotations

from bastion.errors import TargetFault
from bastion.model import Direction, FileOperation, FileRequest, visible
from bastion.policy.files import ScpPath, ScpServer
from bastion.policy.globs import matches_path
from bastion.policy.paths import absolute, parent
from bastion.wire.scp import Directory, File


def named(transfer: ScpServer) -> list[FileRequest]:
    """What the command line alone tells: every source, or a sink that can only be a file."""
    if transfer.direction is Direction.DOWNLOAD:
        return [_request(FileOperation.READ, transfer, source.path) for source in transfer.paths]
    sink = transfer.paths[0]
    if sink.directory or transfer.recursive:
        return []
    return [_request(FileOperation.WRITE, transfer, sink.path)]


def requests_of(
    record: File | Directory, transfer: ScpServer, folders: tuple[str, ...]
) -> list[FileRequest]:
    """Every reading of a record that came in one of `folders`, or at the top where there is none.

    Raises TargetFault for what nobody asked the target for.
    """
    operation = FileOperation.READ
    if transfer.direction is Direction.UPLOAD:
        operation = FileOperation.WRITE if isinstance(record, File) else FileOperation.MKDIR
    paths = [absolute(record.name, folder) for folder in folders]
    paths = paths or _top(record.name, transfer)
    return [_request(operation, transfer, path) for path in paths]


def brings(source: ScpPath, path: str) -> bool:
    """Whether an operand stands for this path, or for a directory that it lies in."""
    depth = source.path.count("/")
    top = "/".join(path.split("/")[: depth + 1])
    return matches_path(top, source.path) if source.glob else top == source.path


def _top(name: str, transfer: ScpServer) -> list[str]:
    if transfer.direction is Direction.UPLOAD:
        sink = transfer.paths[0]
        inside = absolute(name, sink.path)
        return [inside] if sink.directory else [inside, sink.path]
    found = [(absolute(name, parent(source.path)), source) for source in transfer.paths]
    paths = [path for path, source in found if brings(source, path)]
    if not paths:
        raise TargetFault(f"the target sent {visible(name, limit=200)}, which nobody asked for")
    return paths


def _request(operation: FileOperation, transfer: ScpServer, path: str) -> FileRequest:
    direction = Direction.NONE if operation is FileOperation.MKDIR else transfer.direction
    return FileRequest(operation, path, direction=direction, protocol="scp")
