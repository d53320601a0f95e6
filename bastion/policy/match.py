"""A rule against what a request does: YES, NO, or COULD where the text does not tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import re2

from bastion.model import (
    Direction,
    FileOperation,
    FileRequest,
    ForwardKind,
    ForwardRequest,
    ShellRequest,
    SubsystemRequest,
    visible,
)
from bastion.policy.facts import Access, Opaque, PathUse, Reading, SimpleCommand, Word
from bastion.policy.globs import Match, matches_name, matches_path, normalise
from bastion.policy.operands import (
    Place,
    is_found,
    match_places,
    match_word,
    places_below,
    text_places,
    use_places,
)
from bastion.policy.options import FlagSpec, Scan, flag_spec, match_flag, match_subcommand, scan
from bastion.policy.rules import Rule
from bastion.policy.schema import (
    CommandPattern,
    FilePattern,
    ForwardPattern,
    OpenPattern,
    PathAccess,
    compile_text,
)
from bastion.policy.shell.classes import command_is_of_class, is_of_class
from bastion.policy.show import show_command, show_file, show_forward, show_session, show_use

_RECURSIVE: Final = """
    ack ag diff egrep fgrep ggrep git grep pcregrep rg rga rgrep ugrep zgrep
    7z 7za 7zr aws az azcopy bindfs borg bsdtar cp cpio dar docker fuse-overlayfs gcloud gcp
    genisoimage gln gmv gsutil gtar kubectl ln mkisofs mc mksquashfs mount mv
    oc pax podman rar rclone rdiff-backup restic rsync s3cmd scp star tar unionfs xorriso zip
    """
WRITING: Final = frozenset({FileOperation.WRITE, FileOperation.REMOVE, FileOperation.SETSTAT})
"""File operations that may change what a file holds: setting its size empties it."""

RECURSIVE: Final = frozenset(_RECURSIVE.split())
"""Programs that reach everything below a directory they are given, or give it another name."""

WHOLE: Final = " -r"
"""What a program's name ends with where it writes all below a directory (`cp -r`)."""

QUIET: Final = frozenset(
    {
        FileOperation.STAT,
        FileOperation.REALPATH,
        FileOperation.READLINK,
        FileOperation.STATVFS,
    }
)
"""File operations that show no content and change nothing: a rule must name them to mean them."""

LINKING: Final = frozenset({FileOperation.SYMLINK, FileOperation.HARDLINK, FileOperation.RENAME})
"""File operations that give a path another name, under which no rule would know it."""

_MORE: Final = Word(None, "…", "argument")
"""Stands for all the words that arrive at run time."""


@dataclass(frozen=True, slots=True)
class Found:
    """How surely a rule matches, and on what (for people)."""

    match: Match = Match.NO
    what: str = ""


NOTHING: Final = Found()


def match_reading(rule: Rule, reading: Reading) -> Found:
    """A rule against a command line."""
    if rule.text is not None and _searches(rule.text, reading.raw):
        return Found(Match.YES, visible(reading.raw, limit=200))
    if rule.downloads_run and reading.downloads_run:
        return Found(Match.YES, visible(reading.downloads_run[0], limit=200))
    best = NOTHING
    for command in reading.commands:
        best = _better(best, match_command(rule, command), command)
    found_in = _finds_in(reading) if rule.opens else None
    for use in reading.paths:
        found = match_use(rule, use, found_in=found_in)
        if found > best.match:
            best = Found(found, show_use(use))
    for opaque in reading.opaque:
        if best.match < Match.YES and covers_opaque(rule, opaque, reading.raw):
            best = Found(Match.YES, visible(opaque.reason, limit=200))
    return best


def _better(best: Found, found: Match, command: SimpleCommand) -> Found:
    return Found(found, show_command(command)) if found > best.match else best


def _searches(regex: re2.Pattern, text: str) -> bool:
    return regex.search(_encodable(text)) is not None


def spans(regex: re2.Pattern, text: str) -> bool:
    return regex.fullmatch(_encodable(text)) is not None


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


# --- commands ---------------------------------------------------------------------------------


def match_command(rule: Rule, command: SimpleCommand) -> Match:
    """The best any of the rule's command patterns can say of one command."""
    if not rule.command or not command.program:
        return Match.NO  # a program that is not known is opaque, which the verdict sees to
    return max(match_pattern(pattern, command) for pattern in rule.command)


def match_pattern(pattern: CommandPattern, command: SimpleCommand) -> Match:
    if pattern.program and not any(_is_program(command, name) for name in pattern.program):
        return Match.NO
    if pattern.class_ and not any(command_is_of_class(command, one) for one in pattern.class_):
        return Match.NO
    if pattern.via and not _is_via(pattern, command):
        return Match.NO
    words = command.argv[1:] + ((_MORE,) if command.extra_operands else ())
    best = Match.NO
    scans: dict[int, Scan] = {}  # of a line full of options, one is dear enough
    for subcommand in pattern.subcommand or ("",):
        named = subcommand.split()
        ends_after = len(named) if pattern.options.end_at_operand else 0
        if ends_after not in scans:
            scans[ends_after] = scan(words, pattern.options, len(named))
        best = max(best, _match_words(pattern, command, scans[ends_after], named))
    return best


def _is_program(command: SimpleCommand, name: str) -> bool:
    return matches_name(command.program, name) if "/" not in name else is_at(command, name)


def is_at(command: SimpleCommand, name: str) -> bool:
    """Whether the program is written as a path that the rule names (`/opt/tool`, `./run`)."""
    written = command.argv[0].text if command.argv else None
    if written is None or "/" not in written or "/" not in name:
        return False
    return matches_path(normalise(written), normalise(name))


def _is_via(pattern: CommandPattern, command: SimpleCommand) -> bool:
    return any(
        matches_name(wrapper, name) or matches_name(wrapper.partition(" ")[0], name)
        for wrapper in command.via
        for name in pattern.via
    )


def _match_words(
    pattern: CommandPattern,
    command: SimpleCommand,
    found: Scan,
    subcommand: list[str],
) -> Match:
    result, used = match_subcommand(found.operands, subcommand) if subcommand else (Match.YES, 0)
    for text in pattern.flags:
        if result is Match.NO:
            break
        result = min(result, _match_flag(found, flag_spec(text), pattern))
    if result is not Match.NO:
        result = min(result, _match_operands(pattern, command, found, used))
    return result


def _match_flag(found: Scan, spec: FlagSpec, pattern: CommandPattern) -> Match:
    return match_flag(found.flags, spec, pattern.options.values)


def _match_operands(
    pattern: CommandPattern, command: SimpleCommand, found: Scan, used: int
) -> Match:
    operands = found.operands[used:]
    result = Match.YES
    if pattern.first_operand:
        first = Match.NO
        for operand in operands:
            first = max(first, match_word(operand.word, pattern.first_operand))
            if operand.sure:
                break
        result = first
    if pattern.operands and result is not Match.NO:
        best = Match.NO
        for operand in operands:
            best = max(best, match_operand(pattern, command, operand.word))
        result = min(result, best)
    return result


def match_operand(pattern: CommandPattern, command: SimpleCommand, word: Word) -> Match:
    if pattern.operands_except:
        excepted = match_word(word, pattern.operands_except, command.directories)
        if excepted is Match.YES:
            return Match.NO
    return match_word(word, pattern.operands, command.directories)


# --- paths, opaque text -----------------------------------------------------------------------


def _finds_in(reading: Reading) -> str | None:
    """Where find runs, if every path that it hands on is below the directory find was given.

    Not so in `-execdir`, behind a `cd`, or where a word holds more than the path (`/tmp/{}`).
    """
    directories = {directory for one in reading.commands for directory in one.directories}
    directory = directories.pop() if len(directories) == 1 else None
    if directory is None or directory[:1] not in ("", "/"):
        return None
    sure = all(
        not any(wrapper.endswith("dir") for wrapper in command.via)
        and all(word.dynamic != "found" or is_found(word) for word in command.argv)
        for command in reading.commands
    )
    return directory if sure else None


def match_use(rule: Rule, use: PathUse, *, found_in: str | None = None) -> Match:
    """The best any of the rule's `opens` patterns can say of one path."""
    if not rule.opens or use.access is Access.METADATA:
        return Match.NO
    places = use_places(use, found_in=found_in)
    return max(_match_open(pattern, use, places) for pattern in rule.opens)


def _match_open(pattern: OpenPattern, use: PathUse, places: list[Place]) -> Match:
    if pattern.access is not PathAccess.ANY and pattern.access.value != use.access.value:
        return Match.NO
    if any(match_places(places, glob) is Match.YES for glob in pattern.path_except):
        return Match.NO
    best = max(match_places(places, glob) for glob in pattern.path)
    recursive = use.access is Access.READ and use.program in RECURSIVE
    if best is Match.NO and (recursive or use.program.endswith(WHOLE)):
        below = any(_reaches(place.path, glob) for place in places for glob in pattern.path)
        best = Match.COULD if below else best
    return best


def _reaches(directory: str, glob: str) -> bool:
    """Whether what a rule protects lies below an exact directory."""
    root = glob.partition("*")[0].partition("?")[0]
    return directory.startswith("/") and root.startswith(directory.rstrip("/") + "/")


def covers_opaque(rule: Rule, opaque: Opaque, raw: str) -> bool:
    """Whether the rule speaks of this kind of opaque text (on this whole line, if it says so)."""
    return any(
        opaque.kind in pattern.kinds
        and (not pattern.class_ or any(is_of_class(opaque.program, one) for one in pattern.class_))
        and (pattern.text is None or spans(compile_text(pattern.text), raw))
        for pattern in rule.opaque
    )


# --- sessions, files, forwards ----------------------------------------------------------------


def match_session(rule: Rule, request: ShellRequest | SubsystemRequest) -> Found:
    """A rule against an interactive shell, or a subsystem by its name."""
    pattern = rule.session
    if pattern is None:
        return NOTHING
    if isinstance(request, ShellRequest):
        found = pattern.shell
    else:
        found = any(matches_name(request.name, glob) for glob in pattern.subsystem)
    return Found(Match.YES if found else Match.NO, show_session(request))


def match_file(rule: Rule, request: FileRequest) -> Found:
    """A rule against one file operation: any of its paths is enough."""
    paths = (request.path, request.other_path) if request.other_path else (request.path,)
    best = max((match_path(rule, request, path) for path in paths), default=Match.NO)
    return Found(best, show_file(request))


def match_path(rule: Rule, request: FileRequest, path: str) -> Match:
    patterns = _patterns(rule, request)
    return max((_match_globs(one, request, path) for one in patterns), default=Match.NO)


def covers_path(rule: Rule, request: FileRequest, path: str) -> bool:
    """Whether the rule surely speaks of the path, and of all below it where that is meant too."""
    places = _file_places(path)
    below = places_below(places) if _is_tree(request) else []
    return any(
        _match_globs(pattern, request, path) is Match.YES
        and not any(match_places(below, glob) is not Match.NO for glob in pattern.path_except)
        and (
            not below
            or any(
                glob.endswith("**") and match_places(places, glob) is Match.YES
                for glob in pattern.path
            )
        )
        for pattern in _patterns(rule, request)
    )


def _patterns(rule: Rule, request: FileRequest) -> list[FilePattern | OpenPattern]:
    return [
        *(pattern for pattern in rule.file if _is_operation(pattern, request)),
        *(pattern for pattern in rule.opens if _is_opening(pattern, request.operation)),
    ]


def _is_tree(request: FileRequest) -> bool:
    """Rsync is decided once, by its command line: a path stands for all that lies below it."""
    return request.protocol == "rsync" and request.operation not in QUIET


def _is_operation(pattern: FilePattern, request: FileRequest) -> bool:
    if pattern.direction is not None and request.direction is not Direction(pattern.direction):
        return False
    if pattern.operation:
        return request.operation in pattern.operation
    return request.operation not in QUIET


def _is_opening(pattern: OpenPattern, operation: FileOperation) -> bool:
    """Whether the operation opens a file in the way meant, or lets it be opened by another name."""
    reads = operation is FileOperation.READ and pattern.access is not PathAccess.WRITE
    writes = operation in WRITING and pattern.access is not PathAccess.READ
    return reads or writes or operation in LINKING


def _file_places(path: str) -> list[Place]:
    # To sftp an empty path is the login's home, and so is `~` to those who resolved it.
    return text_places("." if path in ("", "~") else path.removeprefix("~/"), ("",))


def _match_globs(pattern: FilePattern | OpenPattern, request: FileRequest, path: str) -> Match:
    places = _file_places(path)
    tree = _is_tree(request)
    for glob in pattern.path_except:
        if match_places(places, glob) is Match.YES and (glob.endswith("**") or not tree):
            return Match.NO
    best = max(match_places(places, glob) for glob in pattern.path)
    if best is Match.NO and tree:
        best = max(match_places(places_below(places), glob) for glob in pattern.path)
    if best is Match.NO and request.operation in LINKING:
        below = any(_reaches(place.path, glob) for place in places for glob in pattern.path)
        best = Match.COULD if below else best
    return best


def match_forward(rule: Rule, request: ForwardRequest) -> Found:
    """A rule against one forward."""
    found = any(is_forward(pattern, request) for pattern in rule.forward)
    return Found(Match.YES if found else Match.NO, show_forward(request))


def is_forward(pattern: ForwardPattern, request: ForwardRequest) -> bool:
    """Whether the forward is of one of the kinds, and leads to one of the places.

    Names are compared as text: nothing here can know that two names are one host.
    """
    if request.kind not in pattern.kind:
        return False
    if request.kind in (ForwardKind.AGENT, ForwardKind.X11, ForwardKind.TUN):
        return True
    if request.kind in (ForwardKind.DIRECT_STREAMLOCAL, ForwardKind.STREAMLOCAL_FORWARD):
        path = normalise(request.host)
        return any(glob == "*" or matches_path(path, glob) for glob in pattern.to)
    place = f"{request.host.lower().rstrip('.')}:{request.port}"
    return any(matches_name(place, glob.lower()) for glob in pattern.to)
