"""What zsh reports as one step: a whole sublist (`a | b && c`), or a compound command.

The parts of a compound are reported once more, each before it runs; the parts of a list are not.
So a compound may leave to its parts what its text cannot tell, if nothing stands beside it. What
variables hold before a list is what its later parts see only if nothing in it sets them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_HEADS: Final = ("for ", "while ", "until ", "if ", "case ", "select ", "repeat ")
_ENDS: Final = frozenset({"done", "fi", "esac", "end"})
_BETWEEN: Final = frozenset({"do", "then", "else"})
_FUNCTION: Final = re.compile(r"[\w.:+-]+ \(\) \{")
_LIST: Final = re.compile(r"&&|\|\|")
_OPTION: Final = re.compile(r"\s--[\w-]+=")
_PLAIN: Final = frozenset(
    """
    basename cat cd cp cut date df diff dirname du echo env false file find git grep head hostname
    id less ln ls make mkdir mv ps pwd rm rmdir sort stat systemctl tail tar tee test touch tr true
    uname uniq wc which whoami
    """.split()  # noqa: SIM905 - one word for one word is what reads well
)
"""Commands that set no variable (but PWD). A list of these alone may use what variables hold."""


def is_compound(text: str) -> bool:
    """Whether this is one compound command and nothing more, as zsh prints it before its parts.

    zsh indents what is inside by tabs. Whatever else begins a line of its own stands beside it.
    """
    head, *inside = text.split("\n")
    if len(inside) < 2:
        return False
    end = inside.pop()
    outside = [line for line in inside if not line.startswith("\t")]
    if any(line not in _BETWEEN and not line.startswith("elif ") for line in outside):
        return False
    if head.startswith(_HEADS):
        return end in _ENDS
    return (head, end) in {("(", ")"), ("{", "}")} or (
        end == "}" and _FUNCTION.fullmatch(head) is not None
    )


def keeps(text: str, defined: Sequence[str]) -> bool:
    """Whether variables hold to the end of this step what they hold before it.

    `defined`: what earlier lines defined; a function may have any name, and set anything.
    """
    parts = _LIST.split(text)
    if len(parts) == 1:
        return True  # the members of a pipeline have variables of their own
    if defined or "=" in _OPTION.sub(" ", text) or "((" in text or "[[" in text:
        return False
    return all(part.split()[:1] and part.split()[0] in _PLAIN for part in parts)
