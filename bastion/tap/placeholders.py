"""Tell a password that was written down from what stands in its place in code and manuals."""

from __future__ import annotations

import re
from typing import Final

_LIST: Final = """
    none null nil undefined true false yes no on off str string bytes int text any optional
    required empty unset default example placeholder changeme redacted masked hidden removed
    secret your-password your_password yourpassword mypassword prompt ask file env type object
    array number boolean this self input missing invalid expired incorrect wrong failed denied
    rejected disabled enabled set unknown and or not the for with from is in if else return basic
    bearer digest plain pam sudo manager service provider client server user username name foobar
"""
_WORDS: Final = frozenset(_LIST.split())

_NAMES: Final = frozenset({"password", "passwd", "pass", "pwd", "pw", "token", "key", "mypass"})
_STANDS_IN: Final = re.compile(r"[$%<{\[(&@*/\\#]|urn:|\.\.|--|%%")
"""How a variable, a template, a path, an option or a row of dots begins."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:(?:\.|->|::?)[A-Za-z_][A-Za-z0-9_-]*)*")
"""A word, a name of code, or a member of one."""

_NAMED: Final = re.compile(r"passw|passphrase|pwd|secret|token|key|cred|auth|config", re.IGNORECASE)
_LEAD: Final = re.compile(r"""(["']?)\s*(?:[:=]|=>)\s*(["']?)$""")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9][0-9_.-]*|0x[0-9A-Fa-f]+)")
_LOOSE: Final = re.compile(r"[:=]>?\s+[^\s]+$")
"""Space before a value that has no quotes: a number there is a number."""

_SHORTEST: Final = 4
_SHORTEST_WORD: Final = 6


def is_real(whole: str, value: str, after: str) -> bool:
    """Whether the value of an assignment is a secret, and not code or a stand-in.

    A bare word counts where code would not have one: as the value of a NAME=value, of a quoted key,
    or of a `key: value` line; and when it has a digit, unless it is called a password itself.
    """
    bare = value.strip(".,;:")
    if len(bare) < _SHORTEST or bare.lower() in _WORDS or len(set(bare)) < 3:
        return False
    if (
        _STANDS_IN.match(value)
        or "://" in value
        or (_NUMBER.fullmatch(bare) and _LOOSE.search(whole))
    ):
        return False
    if _NAME.fullmatch(bare) is None:
        return any(c.isalnum() for c in bare)
    if _NAMED.search(bare):
        return False
    if _looks_made(bare):
        return True
    return len(bare) >= _SHORTEST_WORD and _stands_as_value(whole[: -len(value)], bare, after)


def stands_in(value: str) -> bool:
    """Whether a manual wrote this where a password belongs."""
    return value.lower() in _WORDS | _NAMES or _STANDS_IN.match(value) is not None


def _looks_made(word: str) -> bool:
    """Whether nobody would call a variable, or a member of one, like this."""
    digits = sum(c.isdecimal() for c in word)
    if "." in word or ":" in word:
        return digits > 1 or (digits == 1 and word != word.lower())
    return digits > 0


def _stands_as_value(lead: str, word: str, after: str) -> bool:
    found = _LEAD.search(lead)
    if found is None:
        return False
    if found[1] and found[2]:
        return True
    if lead.endswith(": "):
        return word.isalpha() and word.islower() and after in {"", "\n", "\r"}
    return lead[: found.start()].isupper() and lead.endswith("=")
