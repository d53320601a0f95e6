"""Command lines that are one end of a file transfer: `scp -t`, `scp -f`, `rsync --server`.

Only a line that is nothing but that is read: one literal command, known options, plain paths.
Anything else is None, and stays an ordinary command for the rules about commands.

Sources: the remote side of OpenSSH's legacy scp; rsync's own list of what a client passes to its
server (`server_options`). What a client never sends is not known here, though rsync would take it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bastion.model import Direction, FileOperation, FileRequest
from bastion.policy.facts import Reading, SimpleCommand, Word
from bastion.policy.paths import absolute

_TRUSTED_DIRECTORIES: Final = frozenset({"", "/bin", "/usr/bin", "/usr/local/bin"})
"""`/tmp/scp` may be anything."""

MAX_PATHS: Final = 100
"""Sources of one rsync: every rule is asked about each. A client that names more is refused."""


@dataclass(frozen=True, slots=True)
class ScpPath:
    """A path that scp was given: absolute, or `~/…` where it is relative to the login's home.

    `glob`: its last part is a pattern that the target's shell expands. `directory`: it was spelled
    as one (`/srv/`), so it is no new file's name.
    """

    path: str
    glob: bool = False
    directory: bool = False


@dataclass(frozen=True, slots=True)
class ScpServer:
    """`scp -t PATH` (UPLOAD, one path) or `scp -f PATH…` (DOWNLOAD)."""

    direction: Direction
    paths: tuple[ScpPath, ...]
    recursive: bool = False


@dataclass(frozen=True, slots=True)
class RsyncServer:
    """`rsync --server`: everything that its options and operands let it open.

    `sender`: the target sends (a download). Paths stand for all that lies below them.
    """

    sender: bool
    requests: tuple[FileRequest, ...]


def read_transfer(reading: Reading) -> ScpServer | RsyncServer | None:
    """Tell whether a command line is one end of a transfer, and of which files."""
    command = _lone_command(reading)
    if command is None:
        return None
    directory, _, program = (command.argv[0].text or "").rpartition("/")
    if directory not in _TRUSTED_DIRECTORIES:
        return None
    match program:
        case "scp":
            return _read_scp(command.argv[1:])
        case "rsync":
            return _read_rsync(command.argv[1:])
        case _:
            return None


_PACKS: Final = frozenset({"git-upload-pack", "git-receive-pack", "git-upload-archive"})


def sends_packs(reading: Reading) -> bool:
    """Whether a command line is git's end of a fetch or a push: packets, compressed."""
    command = _lone_command(reading)
    if command is None:
        return False
    program, *rest = (word.text or "" for word in command.argv)
    directory, _, name = program.rpartition("/")
    if name == "git" and rest:
        name = f"git-{rest[0]}"
    return directory in _TRUSTED_DIRECTORIES and name in _PACKS


def _lone_command(reading: Reading) -> SimpleCommand | None:
    """The line's only command, if the line holds nothing beside its words."""
    if len(reading.commands) != 1 or any(use.redirection for use in reading.paths):
        return None
    command = reading.commands[0]
    plain = not (command.via or command.assignments or command.extra_operands)
    if not plain or command.directories != ("",) or not command.argv:
        return None
    words = "".join(word.raw for word in command.argv)
    if "".join(words.split()) != "".join(reading.raw.split()):
        return None  # a comment, `&`, a `;`: something that is no word
    patterns = {word.raw for word in command.argv if word.dynamic in {"glob", "tilde"}}
    return command if all(opaque.raw in patterns for opaque in reading.opaque) else None


_WILD: Final = frozenset("*?[")
_PLAIN_TEXT: Final = re.compile(r"[A-Za-z0-9_./+@%=:,*?~-]*")


def _path(word: Word) -> ScpPath | None:
    """What an operand names, or None where only the target's shell knows."""
    text = word.text
    if text is None:
        if word.dynamic not in {"glob", "tilde"} or not _PLAIN_TEXT.fullmatch(word.raw):
            return None
        if "~" in word.raw and not (word.raw.startswith("~/") and word.raw.count("~") == 1):
            return None  # `~` alone is sent under a name that only the target knows
        text = word.raw.removeprefix("~/") if word.raw.startswith("~/") else word.raw
    path = absolute(text, "~")
    glob = word.text is None and not _WILD.isdisjoint(path)
    if "\0" in path or _climbs(path):
        return None
    if glob and not _WILD.isdisjoint(path.rpartition("/")[0]):
        return None  # the names that come back do not say which directory they were in
    return ScpPath(path, glob, posixpath.basename(text) in {"", ".", ".."})


def _climbs(path: str) -> bool:
    """Whether it leads out of the home directory: nobody knows how deep that stands."""
    return path == "~/.." or path.startswith("~/../")


# --- scp --------------------------------------------------------------------------------------


def _read_scp(words: Sequence[Word]) -> ScpServer | None:
    letters: set[str] = set()
    operands = list(words)
    while operands and (text := operands[0].text or "").startswith("-") and text != "-":
        del operands[0]
        if text == "--":
            break
        letters |= set(text[1:])
    else:
        if any(word.raw.startswith("-") for word in operands):
            return None  # getopt takes options after operands too
    if letters - set("tfrpdvq") or ("t" in letters) == ("f" in letters):
        return None
    paths = [_path(word) for word in operands]
    if not paths or None in paths:
        return None
    known = tuple(path for path in paths if path is not None)
    if "f" in letters:
        return ScpServer(Direction.DOWNLOAD, known, "r" in letters)
    sink = known[0]
    if len(known) > 1 or sink.glob:
        return None
    if "d" in letters:
        sink = ScpPath(sink.path, directory=True)
    return ScpServer(Direction.UPLOAD, (sink,), "r" in letters)


# --- rsync ------------------------------------------------------------------------------------


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_RSYNC_LETTERS: Final = re.compile(
    r"-[vqbunldKmOJyLkWHogDtUNpEAXrcCIRxSz]*(e[0-9]*\.[0-9]*[iLsfxCIvu]*)?"
)
"""Letters without a value, and `e` with the client's abilities. No `s`: the rest of the options
would then come over stdin, where they are not read."""
_RSYNC_NUMBERS: Final = re.compile(r"-(B[0-9]+|@-?[0-9]+)")
_RSYNC_PLAIN: Final = _names(
    """
    --append --copy-unsafe-links --delay-updates --existing --from0 --fsync --ignore-errors
    --ignore-existing --ignore-missing-args --inplace --list-only --mkpath --msgs2stderr
    --new-compress --no-W --no-implied-dirs --no-msgs2stderr --no-r --no-relative --no-specials
    --numeric-ids --old-compress --open-noatime --partial --preallocate --safe-links --sender
    --size-only --specials --stats --super --use-qsort
    """
)
_RSYNC_REMOVING: Final = _names(
    """
    --delete --delete-after --delete-before --delete-delay --delete-during --delete-excluded
    --delete-missing-args --force --remove-sent-files --remove-source-files
    """
)
_RSYNC_VALUED: Final = _names(
    """
    --bwlimit --checksum-choice --checksum-seed --compress-choice --compress-level --debug
    --groupmap --iconv --info --log-format --max-alloc --max-delete --max-size --min-size
    --modify-window --skip-compress --timeout --usermap
    """
)
_RSYNC_PATHS: Final[Mapping[str, FileOperation]] = {
    "--backup-dir": FileOperation.WRITE,
    "--compare-dest": FileOperation.READ,
    "--copy-dest": FileOperation.READ,
    "--files-from": FileOperation.READ,
    "--link-dest": FileOperation.READ,
    "--log-file": FileOperation.WRITE,
    "--partial-dir": FileOperation.WRITE,
    "--temp-dir": FileOperation.WRITE,
}
_FROM_HOME: Final = frozenset({"--files-from", "--log-file"})
"""Resolved where rsync is started; other relative paths lie in the directory it writes to."""


@dataclass(frozen=True, slots=True)
class _Option:
    name: str
    value: str = ""


def _read_rsync(words: Sequence[Word]) -> RsyncServer | None:
    texts = [word.text for word in words]
    if texts[:1] != ["--server"] or "." not in texts:
        return None
    dot = texts.index(".")
    if texts[dot - 1] in _RSYNC_PATHS:  # `--temp-dir .`: the operands' dot comes later
        return None
    options = _rsync_options(words[1:dot])
    if len(words) - dot > MAX_PATHS:
        return None
    paths = [_path(word) for word in words[dot + 1 :]]
    if options is None or not paths or None in paths:
        return None
    operands = [path.path for path in paths if path is not None]
    if any(not _WILD.isdisjoint(path) for path in operands):
        return None  # which files a pattern stands for is seen nowhere in the stream
    if any(word.raw.startswith("-") for word in words[dot + 1 :]):
        return None  # popt takes options after operands too
    sender = any(option.name == "--sender" for option in options)
    if not sender and len(operands) != 1:
        return None
    requests = tuple(_rsync_requests(sender, operands, options))
    if any(_climbs(request.path) for request in requests):
        return None
    return RsyncServer(sender, requests)


def _rsync_options(words: Sequence[Word]) -> list[_Option] | None:
    """Every option with its value; None if one is not known, or not literal."""
    options: list[_Option] = []
    left = list(words)
    while left:
        text = left.pop(0).text
        if text is None:
            return None
        name, equals, value = text.partition("=")
        if name in _RSYNC_PATHS and not equals:
            path = _option_path(left.pop(0)) if left else None
            if path is None:
                return None
            options.append(_Option(name, path))
        elif _known(name, equals, value):
            options.append(_Option(name, value))
        else:
            return None
    return options


def _option_path(word: Word) -> str | None:
    """A path given to an option; `~/…` where the target's shell puts the home directory."""
    if word.text is not None:
        return None if word.text.startswith("~") else word.text
    path = _path(word)
    return None if path is None or path.glob else path.path


def _known(name: str, equals: str, value: str) -> bool:
    if value.startswith("~"):
        return False
    if equals:
        plain_suffix = name == "--suffix" and "/" not in value
        return bool(value) and (name in _RSYNC_VALUED or name in _RSYNC_PATHS or plain_suffix)
    return (
        name in _RSYNC_PLAIN
        or name in _RSYNC_REMOVING
        or bool(_RSYNC_LETTERS.fullmatch(name) or _RSYNC_NUMBERS.fullmatch(name))
    )


def _rsync_requests(
    sender: bool, operands: Sequence[str], options: Sequence[_Option]
) -> Iterator[FileRequest]:
    operation = FileOperation.READ if sender else FileOperation.WRITE
    for path in operands:
        yield _request(operation, path)
        if any(option.name in _RSYNC_REMOVING for option in options):
            yield _request(FileOperation.REMOVE, path)
    for option in options:
        if option.name in _RSYNC_PATHS and (option.name, option.value) != ("--files-from", "-"):
            base = "~" if option.name in _FROM_HOME else operands[0]
            at_home = option.value.startswith("~/")
            path = option.value if at_home else absolute(option.value, base)
            yield _request(_RSYNC_PATHS[option.name], path)


def _request(operation: FileOperation, path: str) -> FileRequest:
    direction = {
        FileOperation.READ: Direction.DOWNLOAD,
        FileOperation.WRITE: Direction.UPLOAD,
    }.get(operation, Direction.NONE)
    return FileRequest(operation, path, direction=direction, protocol="rsync")
