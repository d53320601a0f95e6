"""Words that are not literal may become options, or more words than one: of some programs that is
enough to run another (`tar $x`, `timeout $t ls`, `rsync * there`).
"""

from __future__ import annotations

import itertools
import re
from typing import Final

from bastion.policy.facts import OpaqueKind, Word
from bastion.policy.shell.run_options import RUNS_BY_OPTION
from bastion.policy.shell.state import Call, Place, Reader, names
from bastion.policy.shell.tree import (
    Literal,
    Parameter,
    Part,
    Pipeline,
    RawWord,
    Simple,
    Substitution,
)

_RUNS: Final = RUNS_BY_OPTION | names(
    """
    git tar gtar bsdtar zip npm pip pip3 gem bundle go cargo uv conda mamba rustup dotnet psql mysql
    mariadb sqlite3 sqlite mongosh mongo clickhouse-client gcc cc g++ c99 c89 dpkg rpm snap yum dnf
    gdb lldb socat openssl scp sftp rsync insmod kexec fd fdfind debugfs lxc-attach perf nix
    ip machinectl vagrant
    """
)
_RUNS_IF_SPLIT: Final = names("find gfind sed gsed ssed awk gawk mawk nawk original-awk goawk")
"""Programs that read their own words with care, as long as they are as many as were written."""
_OPTIONS_FIRST: Final = names("printf wait jobs history compgen complete compopt")
"""Builtins one of whose options runs something, or evaluates a name."""
_RUNS_WITH_FILES: Final = names("tar gtar bsdtar zip rsync scp sftp find gfind 7z")
"""Programs to which a file's name may be such an option, where a pattern begins with it."""
_NUMBERS: Final = frozenset("?#$!")
_PRINTS_NO_OPTION: Final = re.compile(
    r"(?:date(?: -u| --utc)*(?: \+[%\w][\w%:./+-]*)?|nproc|hostname(?: -[sf])?|whoami|id -[ugn]+"
    r"|uname(?: -[a-z])?|pwd|pgrep \w+|pidof \w+|wc -[lcw](?: \S+)?|seq(?: \d+)+|getconf \w+"
    r"|tty|logname)"
)


def options(reader: Reader, call: Call) -> None:
    """Say where a word may be an option that runs something."""
    if call.program in _OPTIONS_FIRST:
        _first_words(reader, call)
    if call.program in ("test", "["):
        _operators(reader, call)
    quoted_too = call.program in _RUNS
    if not quoted_too and call.program not in _RUNS_IF_SPLIT:
        return
    for word in call.operands:
        if word.text == "--":
            return
        if _is_loose(reader, word, call.place, quoted_too=quoted_too):
            reader.cannot_tell(
                OpaqueKind.OPERAND, f"{call.program} may take this for an option", word.raw
            )
        elif _is_pattern_of_options(reader, call.program, word):
            reader.cannot_tell(
                OpaqueKind.OPERAND,
                f"a file's name may be an option of {call.program}: write ./ in front",
                word.raw,
            )


def found_names(reader: Reader, program: str) -> None:
    """Say where a file's name that xargs adds may be an option (see `_is_pattern_of_options`)."""
    if reader.prompt is not None and program in _RUNS | _RUNS_WITH_FILES:
        reader.cannot_tell(
            OpaqueKind.OPERAND, f"a file's name may be an option of {program}", program
        )


def _first_words(reader: Reader, call: Call) -> None:
    """Judge builtins that take options in front alone: `printf "$x"` may be `printf -v`."""
    for word in call.operands:
        if _is_loose(reader, word, call.place, quoted_too=True):
            reason = f"{call.program} may take this for an option"
            reader.cannot_tell(OpaqueKind.OPERAND, reason, word.raw)
        elif word.text is not None and word.text[:1] != "-":
            return


def _operators(reader: Reader, call: Call) -> None:
    """`[ $x ]` and `[ "$x" "$y" ]` may be `[ -v 'a[$(command)]' ]`, which runs the command."""
    for word, following in itertools.pairwise([*call.operands, Word("]", "]")]):
        alone = following.text is not None
        if _is_loose(reader, word, call.place, quoted_too=not alone):
            reader.cannot_tell(
                OpaqueKind.OPERAND, f"{call.program} may take this for an operator", word.raw
            )


def before_command(reader: Reader, call: Call, words: list[Word]) -> None:
    """Say where a word in front of the command a program starts may bring one of its own."""
    for word in words:
        if word.text is None and _is_loose(reader, word, call.place, quoted_too=False):
            reader.cannot_tell(
                OpaqueKind.COMMAND,
                f"this may begin the command that {call.program} starts",
                word.raw,
            )


def _is_pattern_of_options(reader: Reader, program: str, word: Word) -> bool:
    """A prompt remembers what an earlier line created; a single command line has not yet run."""
    if reader.prompt is None or program not in _RUNS_WITH_FILES:
        return False
    return word.dynamic == "glob" and word.raw[:1] in "*?[-"


def _is_loose(reader: Reader, word: Word, place: Place, *, quoted_too: bool) -> bool:
    if word.text is not None or word.dynamic in ("glob", "tilde", "found", "arithmetic", "name"):
        return False
    parts = dict(place.sources).get(word.raw)
    if parts is None:
        return False
    for index, part in enumerate(parts):
        if isinstance(part, Parameter | Substitution) and _is_free(reader, part):
            first = all(piece == Literal("", quoted=True) for piece in parts[:index])
            begins = first or word.prefix.startswith("-")
            if not part.quoted or (quoted_too and begins):
                return True
    return False


def _is_free(reader: Reader, part: Part) -> bool:
    """Tell whether an expansion may become anything."""
    if isinstance(part, Parameter):
        if part.name in _NUMBERS or part.operator == "#":
            return False
        known = reader.state.values.get(part.name)
        if known is not None and all(value.text is not None for value in known):
            return part.name in reader.state.loose
        return reader.prompt is not None or part.name in reader.state.loose
    if not isinstance(part, Substitution) or reader.prompt is None:
        return False
    items = part.body.items
    only = items[0] if len(items) == 1 else None
    if isinstance(only, Pipeline):
        only = only.stages[-1]
    if not isinstance(only, Simple) or only.redirects or only.assignments:
        return True
    text = " ".join(word.raw if isinstance(word, RawWord) else "?" for word in only.words)
    return _PRINTS_NO_OPTION.fullmatch(text) is None
