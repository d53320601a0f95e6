"""cp, mv, ln, install: what they read, and what they write, also within a directory."""

from __future__ import annotations

from typing import Final

from bastion.policy.facts import Access, OpaqueKind, Word
from bastion.policy.shell.peeling import Wrapper, spread
from bastion.policy.shell.state import Call, Reader, names, text_of

_LONG: Final = "target-directory suffix"
_COPY: Final = Wrapper(
    "tS",
    "abdfHiLlnPpRrsTuvxZ",
    _LONG,
    "archive attributes-only backup copy-contents debug force interactive link dereference "
    "no-clobber no-dereference preserve no-preserve parents recursive reflink remove-destination "
    "sparse strip-trailing-slashes symbolic-link no-target-directory update verbose "
    "keep-directory-symlink one-file-system context exchange no-copy directory logical physical "
    "relative",
)
_INSTALL: Final = Wrapper(
    "tSmgo",
    "bcCdDpsTvZ",
    _LONG + " mode group owner strip-program",
    "backup compare directory preserve-timestamps strip no-target-directory verbose "
    "preserve-context context debug",
)
_WHOLE: Final = names("a r R archive recursive")
_REPLACES: Final = names("T no-target-directory parents")


def copy(reader: Reader, call: Call) -> None:
    """List what is copied, moved or linked: sources are read, and found again where they go."""
    installs = call.program in ("install", "ginstall")
    options, operands = spread(_INSTALL if installs else _COPY, call.operands)
    given = {name for name, _ in options}
    if installs and given & {"d", "directory"}:
        for word in operands:
            reader.opens(word, Access.METADATA, call.program)
        return
    for name, value in options:
        if name == "strip-program" and value is not None:
            reader.cannot_tell(OpaqueKind.CODE, "install runs another program", text_of(value))
    into = [value for name, value in options if name in ("t", "target-directory") and value]
    if not into and len(operands) > 1:
        operands, into = operands[:-1], operands[-1:]
    _places(reader, call, operands, into, given)
    if call.extra_operands:
        found = call.place.found
        word = Word(None, "{}", "found", found) if found else Word(None, "", "input")
        reader.opens(word, Access.READ, call.program)


def _places(
    reader: Reader, call: Call, operands: list[Word], into: list[Word], given: set[str]
) -> None:
    for target in into:
        reader.opens(target, Access.WRITE, call.program)
        if given & _WHOLE and (given & _REPLACES or any(map(_is_content, operands))):
            # What the directory holds goes there, and may replace anything.
            reader.opens(target, Access.WRITE, f"{call.program} -r")
    for source in operands:
        reader.opens(source, Access.READ, call.program)
        for target in into or [Word(".", ".")]:
            _within(reader, call, source, target)
            if "parents" in given and source.text is not None:
                _within(reader, call, source, target, whole=True)


def _is_content(source: Word) -> bool:
    return text_of(source).rstrip("/").rpartition("/")[2] in (".", "..", "")


def _within(reader: Reader, call: Call, source: Word, target: Word, *, whole: bool = False) -> None:
    """A file that is copied into a directory keeps its name."""
    if target.text is None and target.dynamic != "tilde":
        return
    if source.text is None and source.dynamic not in ("glob", "tilde", "name"):
        return
    path = text_of(source).rstrip("/")
    name = path if whole else path.rpartition("/")[2]
    dynamic = source.dynamic if source.dynamic in ("glob", "name") else ""
    if name and call.program != "link":
        text = f"{text_of(target)}/{name}"
        reader.opens_text(text, Access.WRITE, call.program, dynamic=dynamic)
