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

_STANDS_IN: Final = re.compile(r"[$%<{\[(&@*/\\]|\.\.|--|%%")
"""How a variable, a template, a path, an option or a row of dots begins."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:(?:\.|->|::)[A-Za-z_][A-Za-z0-9_]*)*")
"""A name of code, or a member of one."""

_NAMED: Final = re.compile(r"passw|passphrase|pwd|secret|token|key|cred|auth|config", re.IGNORECASE)
_LEAD: Final = re.compile(r"""(["']?)\s*(?:[:=]|=>)\s*(["']?)$""")
_SHORTEST: Final = 4


def is_real(whole: str, value: str) -> bool:
    """Whether the value of an assignment is a secret, and not code or a stand-in.

    A bare word counts where code would not have one: as the value of a NAME=value, or of a quoted
    key; and when it has a digit, unless it is called a password itself.
    """
    bare = value.strip(".,;:")
    if len(bare) < _SHORTEST or bare.lower() in _WORDS or len(set(bare)) < 3:
        return False
    if _STANDS_IN.match(value):
        return False
    if _NAME.fullmatch(bare) is None:
        return any(c.isalnum() for c in bare)
    if _NAMED.search(bare):
        return False
    lead = whole[: len(whole) - len(value)]
    if any(c.isdecimal() for c in bare) and "." not in bare:
        return True
    found = _LEAD.search(lead)
    if found is None:
        return False
    if found[1] and found[2]:
        return True
    name = lead[: found.start()]
    return name.isupper() and lead.endswith("=")
