"""Encodings of a client in which the gate reads a text as the server does.

In these, ASCII is ASCII and every byte of another character lies beyond it, so quotes, comments and
semicolons are where they seem to be; and Python's codecs give the very names that the server's
conversions give (a test compares them all). Of two that Python reads otherwise or not at all, only
ASCII is read. Left out are those that hide ASCII inside characters (SJIS, BIG5, GBK, UHC, GB18030,
JOHAB: `\\xbf\\x5c` is no backslash there).
"""

from __future__ import annotations

import re
from typing import Final

UTF8: Final = "UTF8"
SQL_ASCII: Final = "SQL_ASCII"
ASCII: Final = "ascii"
_SINGLE: Final = {
    "LATIN1": "iso8859_1", "LATIN2": "iso8859_2", "LATIN3": "iso8859_3", "LATIN4": "iso8859_4",
    "LATIN5": "iso8859_9", "LATIN6": "iso8859_10", "LATIN7": "iso8859_13", "LATIN8": "iso8859_14",
    "LATIN9": "iso8859_15", "LATIN10": "iso8859_16", "ISO_8859_5": "iso8859_5",
    "ISO_8859_6": "iso8859_6", "ISO_8859_7": "iso8859_7", "ISO_8859_8": "iso8859_8",
    "WIN1250": "cp1250", "WIN1251": "cp1251", "WIN1252": "cp1252", "WIN1253": "cp1253",
    "WIN1254": "cp1254", "WIN1255": "cp1255", "WIN1256": "cp1256", "WIN1257": "cp1257",
    "WIN1258": "cp1258", "WIN866": "cp866", "WIN874": "cp874", "KOI8R": "koi8_r", "KOI8U": "koi8_u",
}  # fmt: skip
CODECS: Final = {
    UTF8: "utf-8", **_SINGLE, "EUC_JP": "euc_jp", "EUC_CN": "gb2312", "EUC_KR": "euc_kr",
    "EUC_TW": ASCII, "EUC_JIS_2004": ASCII,
}  # fmt: skip
"""The server's name → Python's codec."""
_ALIASES: Final = {
    "unicode": UTF8, "koi8": "KOI8R", "win": "WIN1251", "alt": "WIN866", "abc": "WIN1258",
    "tcvn": "WIN1258", "tcvn5712": "WIN1258", "vscii": "WIN1258", "sqlascii": SQL_ASCII,
    "iso88591": "LATIN1", "iso88592": "LATIN2", "iso88593": "LATIN3", "iso88594": "LATIN4",
    "iso88599": "LATIN5", "iso885910": "LATIN6", "iso885913": "LATIN7", "iso885914": "LATIN8",
    "iso885915": "LATIN9", "iso885916": "LATIN10",
    **{name.replace("WIN", "windows"): name for name in _SINGLE if name.startswith("WIN1")},
    "windows866": "WIN866", "windows874": "WIN874",
}  # fmt: skip
_NAMES: Final = {re.sub("[^a-z0-9]", "", name.lower()): name for name in CODECS} | _ALIASES
_EUC_JP: Final = str.maketrans(
    "\u301c\u2016\u2212\xa2\xa3\xac\xa6", "\uff5e\u2225\uff0d\uffe0\uffe1\uffe2\uffe4"
)
"""Seven characters that the server takes for their wide forms."""


def encoding_named(name: str) -> str:
    """The server's own name of an encoding that is read here, as it understands it; else ""."""
    return _NAMES.get(re.sub("[^a-z0-9]", "", name.lower()), "")


def text_of(raw: bytes, encoding: str) -> str | None:
    """A text in one of CODECS; None where it is none, which the server would refuse, too."""
    try:
        text = raw.decode(CODECS[encoding])
    except UnicodeDecodeError:
        return None
    return text.translate(_EUC_JP) if encoding == "EUC_JP" else text
