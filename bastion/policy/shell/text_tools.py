"""awk and sed as commands: which of their words is the program, and what their options do."""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.facts import OpaqueKind, Word
from bastion.policy.shell import awk_sed, opening, shells
from bastion.policy.shell.peeling import Peeled, peel
from bastion.policy.shell.state import Call, Reader, literal, text_of


def awk(reader: Reader, call: Call) -> None:
    """Read awk: its program, the files that hold one, and its options."""
    table = opening.pattern_table("awk")
    peeled = peel(table, call.operands)
    texts = [
        value for name, value in peeled.options if name in ("e", "source") and value is not None
    ]
    scripts = [
        value
        for name, value in peeled.options
        if name in ("f", "file", "i", "include", "l", "load", "E", "exec")
    ]
    for script in scripts:
        if script is not None:
            shells.run_script(reader, call, script, "awk")
    _awk_options(reader, call, peeled)
    if not texts and not scripts:
        texts = peeled.command[:1]
        if not texts and call.extra_operands:
            reader.cannot_tell(OpaqueKind.CODE, "awk runs text from its input", "")
    for text in texts:
        if text.text is None:
            shells.run_word(reader, call, text, "awk")
        else:
            awk_sed.read_awk(reader, text.text, call.place.within(call.program))


_PLAIN_W: Final = re.compile(r"version|help|posix|interactive|dump|compat|re-interval|lint")


def _awk_options(reader: Reader, call: Call, peeled: Peeled) -> None:
    """gawk's debugger runs commands; `-W` is how mawk and POSIX write long options."""
    if any(re.match(r"-D|--debug\b", text_of(word)) for word in call.operands):
        reader.cannot_tell(OpaqueKind.INTERACTIVE, "gawk -D starts a debugger", "-D")
    for value in peeled.values("W"):
        if not re.fullmatch(
            r"version|help|posix|interactive|dump|compat|re-interval|lint", text_of(value)
        ):
            reader.cannot_tell(OpaqueKind.CODE, "an option of awk may run anything", value.raw)


def sed(reader: Reader, call: Call) -> None:
    """Read sed: its script, or the file that holds one."""
    rest, texts, files, operands = call.operands, [], [], []
    while rest:
        peeled = peel(opening.pattern_table("sed"), [_sed_inplace(word) for word in rest])
        texts += [
            value
            for name, value in peeled.options
            if name in ("e", "expression") and value is not None
        ]
        files += [
            value for name, value in peeled.options if name in ("f", "file") and value is not None
        ]
        operands += peeled.command[:1]
        rest = peeled.command[1:]
    for file in files:
        shells.run_script(reader, call, file, "sed")
    if not texts and not files:
        texts = operands[:1]
    for text in texts:
        if text.text is not None:
            awk_sed.read_sed(reader, text.text, call.place.within("sed"))
        elif not _plain_substitution(text):
            shells.run_word(reader, call, text, "sed")


def _sed_inplace(word: Word) -> Word:
    """`-i.bak` has a value that must be attached."""
    return literal("-i") if word.text and re.match(r"-i.", word.text) else word


def _plain_substitution(word: Word) -> bool:
    """A variable in a sed script can end a command and begin another: never plain."""
    return False
