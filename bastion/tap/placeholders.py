"""Tell a password that was written down from what stands in its place in code and manuals."""

from __future__ import annotations

import base64
import re
from typing import Final

_LIST: Final = """
    none null nil undefined true false yes no on off str string bytes int text any optional
    required empty unset default example placeholder changeme redacted masked hidden removed
    secret your-password your_password yourpassword mypassword prompt ask file env type object
    array number boolean this self input missing invalid expired incorrect wrong failed denied
    rejected disabled enabled set unknown and or not the for with from is in if else return basic
    bearer digest plain pam sudo manager service provider client server user username name foobar
    required: optional: valid always never only with-password without-password
    anoncvs anonymous sample xyz base64url
"""
_WORDS: Final = frozenset(_LIST.split())

_NAMES: Final = frozenset({"password", "passwd", "pass", "pwd", "pw", "token", "key", "mypass"})
_STANDS_IN: Final = re.compile(
    r"(?:file|env|credential|command|vault|arn):|projects/|module\$|\$\{|\$\(|\$[A-Za-z_]+(?:$|\[)|\$\$|[%<{\[(&@*/\\#]|urn:|\.\.|--|%%|(?i:x{4,}|your[_-]|my[_-]|fake|"
    r"dummy|change_?-?me|!vault|!reference|0x[0-9a-f]{1,8}$)"
)
"""How a variable, a template, a path, an option or a row of dots begins."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:(?:\.|->|::?)[A-Za-z_][A-Za-z0-9_-]*)*")
"""A word, a name of code, or a member of one."""

_LOWER: Final = "passw|passphrase|pwd|secret|token|key|cred|auth|config|psk"
_NAMED: Final = re.compile(f"{_LOWER}|{_LOWER.title()}|{_LOWER.upper()}")
"""Words of which names are made; in other letter cases they are there by chance."""
_DIGITS_OF_NAMES: Final = re.compile(
    r"(?i)(?:oauth|auth|sha|base|md|utf|http|aes|rsa|[hrep]s|ed|pkcs|tls|(?<![A-Za-z])[sxpkvi])"
    r"[0-9]{1,5}"
    r"|[0-9]+(?:$|(?=[_.-]))"
)
"""`oauth2Token`, `key2`: digits elsewhere are none of a name's."""
_NUMBERED: Final = re.compile(r"[A-Za-z]+[0-9]{2,6}")
"""A word that somebody put digits behind: `Password123`."""

_CALLED: Final = re.compile(
    r"""([A-Za-z0-9_.-]*?)(?:_?-?[0-9]{1,2})?\\*(["']?)[ ]?\]?(?::[ ]?[Ss]tr(?:ing)?)?"""
    r"""[ \t]*(=>|:=|::?|=)([ \t]*)\[?(?:[bBrRfFuU]{1,2})?\\*(["'`]?)$"""
)
"""A name, its quote, how it is assigned, the space behind that, and the value's quote."""

_PLACES: Final = re.compile(
    r"(?i)(?:next|prev(?:ious)?|page|input|output|pagination|continu\w*|start(?:ing)?|end|stop|request|client|"
    r"idempotency|sync|cancel\w*|marker|bos|eos|pad|unk|mask|lexer)[_-]?token$"
)
"""Tokens that say where something goes on, or what is the same request: no secrets."""
_PASSWORD: Final = re.compile(r"(?i)(?:passw(?:or[dt]|d)|passphrase|passcode|passe|pwd|pass)$")
_BARE_PASS: Final = re.compile(r"(?:^|[_.-]|[a-z0-9])(?:Pass|PASS)$|(?:^|[_.-])pass$")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9][0-9_.-]*|0x[0-9A-Fa-f]+)")
_CALL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:>-]*[(\[].*[)\]][;,.]*$|.*[({\[,;\\|&]$")
_MIXED: Final = re.compile(r"[0-9].*[A-Za-z]|[A-Za-z].*[0-9]")
_DEFAULT: Final = re.compile(r"[A-Za-z_.]*=(?!=?$)")
"""`password:str=x`, `password==x`: code."""
_FORMATTED: Final = re.compile(r"\b[rR]?[fF][rR]?[\"']$")
_FORMAT: Final = re.compile(r"%[sdr]")
_MADE_WORD: Final = re.compile(
    r"[A-Za-z][0-9]|[0-9][A-Za-z]|[A-Za-z0-9][!#$%^*+=~@&][A-Za-z0-9]|[0-9][!#$%^*]"
)

_MEMBER_OF_MODULE: Final = re.compile(r"[a-z_]{5,}[0-9](?:\.[A-Za-z_]{2,})+")
"""`exports2.HEX`, as bundlers name what they put together."""
_STANDARD: Final = re.compile(
    r"[A-Z]{2,6}-?[0-9]{1,2}|[0-9]{1,3}-[A-Z]{2,6}|T[0-9]{4}(?:[.][0-9]{3})?"
)
"""`PKCS-12`, `16-PSK`, and MITRE's numbers of techniques."""

_CONSTANT: Final = re.compile(r"[A-Z]{2,}(?:_[A-Z]{2,}[0-9]{0,3})+")
_VERSION: Final = re.compile(r"[0-9]+(?:\.[0-9]+){2,}")
_SIGNED_FOR: Final = re.compile(r"%40|(?:/|%2[Ff])[0-9]{8}(?:/|%2[Ff]|$)")
"""In the `Credential=` of a signed request: whose it is, and for which day."""
_OPERAND: Final = re.compile(
    r"(?:[A-Z]?[a-z]+|[A-Z]+)[0-9]+|[A-Z]{3,}[0-9]+[A-Z]*|[a-z]+[0-9]*(?:_[a-z]+[0-9]*)+"
    r"|[a-z0-9.-]+\.[a-z]+:[0-9]+"
)
"""The name of an algorithm, an option or a field, or a host and its port."""

_SHORTEST: Final = 4
_SHORTEST_WORD: Final = 6
_LONG_WORD: Final = 16
_SHORT: Final = 13
_SHORTEST_ENCODED: Final = 12


def is_real(whole: str, value: str, before: str, after: str) -> bool:
    """Whether the value of an assignment, without quotes, is a secret, and no code or stand-in.

    A bare word counts where code would not have one: as the value of a NAME=value, in a line of
    `key: value`, or in a setting at the beginning of a line; and when it has a digit, unless it is
    called a password itself.
    """
    bare = value.strip(".,;:")
    called = _CALLED.search(whole[: -len(value)])
    if called is None or not _may_be(bare, called[1]) or _DEFAULT.match(bare):
        return False
    if whole[: -len(value)].endswith("]:") or _is_code(bare):
        return False
    password = _PASSWORD.search(called[1]) is not None
    if _NUMBER.fullmatch(bare):
        return not called[4] or (password and bare.isdecimal() and not called[2])
    if _NAME.fullmatch(bare) is None:
        return any(c.isalnum() for c in bare)
    if _is_encoded(bare):
        return True
    if _is_named(bare):
        return _NUMBERED.fullmatch(bare) is not None
    if _looks_made(bare):
        return True
    if len(bare) < _SHORTEST_WORD or not bare.isalpha():
        return False
    if called[3] == ":":
        told = password or called[1].endswith("secret")
        return told and bare.islower() and after in {"", "\n", "\r"} and called[4] == " "
    upper = called[1].isupper() and not called[4]
    setting = password and before in {"", "\n"} and after in {"", "\n", "\r"} and bare.islower()
    return called[3] == "=" and (upper or setting)


def is_real_quoted(whole: str, value: str) -> bool:
    """Whether a value in quotes, or in an element of XML, is a secret."""
    called = _CALLED.search(whole[: -len(value)])
    name = called[1] if called else "password"
    bare = value.strip()
    if _is_made_later(whole[: -len(value)], bare) or not _may_be(bare, name):
        return False
    if " " in bare:
        if value[0] == " ":
            return False  # the quote ended what stood before it
        return any(_MADE_WORD.search(word) for word in bare.split())
    password = _PASSWORD.search(name) is not None
    if _NUMBER.fullmatch(bare):
        return bare.isdecimal() and (password or len(bare) >= _SHORTEST_WORD)
    if _NAME.fullmatch(bare) is None:
        return any(c.isalnum() for c in bare) and not _CALL.fullmatch(bare)
    if _is_encoded(bare):
        return True
    if _is_named(bare):
        return _NUMBERED.fullmatch(bare) is not None
    if _looks_made(bare):
        return True
    is_word = len(bare) >= _SHORTEST_WORD and bare.isalpha()
    if called is not None and called[2] and called[5]:
        return is_word and (password or name.endswith("secret") or len(bare) >= _LONG_WORD)
    return is_word and bare.islower() and password


def _is_made_later(name: str, bare: str) -> bool:
    """A format, whose parts are put in when it is used, a question, or what a request is for."""
    formats = _FORMATTED.search(name) is not None and "{" in bare
    return (
        formats
        or bare.endswith((":", "?"))
        or len(_FORMAT.findall(bare)) > 1
        or ("/" in bare and bare.islower() and _NAMED.search(bare) is not None)
    )


def is_real_line(value: str) -> bool:
    """Whether the rest of a line behind NAME= is a secret, and not an expression."""
    return (
        _may_be(value, "password")
        and _CALL.match(value) is None
        and any(c.isdecimal() for c in value)
        and not any(sign in value for sign in ("${", "$(", "://", "=", "::", "->", '"', "\\n"))
    )


def is_made(value: str) -> bool:
    """Whether nobody would write this but as a password: digits among letters, and no stand-in."""
    bare = value.strip(".,;:'\"")
    return (
        _may_be(bare, "password")
        and any(c.isdecimal() for c in bare)
        and any(c.isalpha() for c in bare)
        and "/" not in bare
        and _CALL.fullmatch(bare) is None
        and not _is_named(bare)
        and not (bare.islower() and "-" in bare)
        and not (bare.isupper() and len(bare) < 12)
    )


def is_literal(value: str) -> bool:
    """The same for what is given to a function: not the name of an algorithm or of a field."""
    return is_made(value) and _OPERAND.fullmatch(value) is None


def says_where(name: str) -> bool:
    """Whether a name is one of a token that is no secret; its sign and quote may follow."""
    return _PLACES.search(name.rstrip(" \t=:\"'")) is not None


def stands_in(value: str) -> bool:
    """Whether a manual wrote this where a password belongs."""
    return value.lower() in _WORDS | _NAMES or _STANDS_IN.match(value) is not None


def _may_be(bare: str, name: str) -> bool:
    """Whether a value is no stand-in; a name that only ends in `pass` says little."""
    if _PLACES.search(name) or ("..." in bare and len(bare) < _SHORT):
        return False
    if name.lower().endswith("credential") and _SIGNED_FOR.search(bare):
        return False
    if len(bare) < _SHORTEST or bare.lower() in _WORDS or len(set(bare)) < 3:
        return False
    if name.lower().endswith("pass") and not (
        _BARE_PASS.search(name) and re.search(r"[0-9].*[A-Za-z]|[A-Za-z].*[0-9]", bare)
    ):
        return False
    return _STANDS_IN.match(bare) is None and "://" not in bare


def _is_code(bare: str) -> bool:
    """What stands without quotes, and is a constant, a standard or a version."""
    return any(one.fullmatch(bare) for one in (_STANDARD, _CONSTANT, _VERSION))


def _is_encoded(word: str) -> bool:
    """Whether a word is base64 of a text, as in Kubernetes' secrets: no name is that by chance."""
    if len(word) < _SHORTEST_ENCODED or len(word) % 4:
        return False
    try:
        text = base64.b64decode(word, validate=True)
    except ValueError:
        return False
    return text.isascii() and text.decode().isprintable()


def _is_named(word: str) -> bool:
    """Whether a word is made of others that names of settings have in them."""
    bare = _DIGITS_OF_NAMES.sub("", word)
    return _NAMED.search(word) is not None and not any(c.isdecimal() for c in bare)


def _looks_made(word: str) -> bool:
    """Whether nobody would call a variable, or a member of one, like this."""
    digits = sum(c.isdecimal() for c in word)
    if "." in word or ":" in word:
        if _MEMBER_OF_MODULE.fullmatch(word):
            return False
        return digits > 1 or (digits == 1 and word != word.lower())
    return digits > 0
