"""A text of SQL → what it does. Pure, but not safe: libpg_query is C and may crash.

So the bastion calls this in a process of its own (`target/sql_reader.py`), where a crash makes one
text unreadable and no more. Everything that is not understood is said (`opaque`).
"""

from __future__ import annotations

import re
from typing import Final

from bastion.model import SqlReading, SqlStatement
from bastion.policy.sql.statements import Walk
from bastion.policy.sql.tree import unwrapped
from bastion.policy.sql.utilities import HANDLERS

MAX_SQL: Final = 16 * 1024 * 1024
"""Bytes of one text that are read. Drivers that write values into the text send files like that."""
MAX_DENSE: Final = 1024 * 1024
"""The same without long words, as values in hexadecimal or base64 are: what is left may be tokens,
which take a microsecond and more than a hundred bytes each."""
_LONG_WORDS: Final = re.compile(r"[0-9A-Za-z+/=]{64,}")

MAX_USES: Final = 20_000
"""Things one text may do: a generated text must not make a verdict take seconds."""


def read_sql(text: str) -> SqlReading:
    """Tell what a text of SQL does, for standard_conforming_strings on and UTF-8."""
    fault = unreadable(text)
    if fault:
        return SqlReading(fault=fault)
    import postgast  # loaded where SQL is read, not in every process

    try:
        tree = postgast.parse(text)
    except postgast.PgQueryError as error:
        where = max(0, error.cursorpos or 0)
        return SqlReading(fault=f"{str(error)[:300]}", syntax=True, position=where)
    except Exception as error:  # noqa: BLE001 - protobuf's own limits: too deep, too large
        return SqlReading(fault=f"it is nested too deeply to be read ({type(error).__name__})")
    raw = text.encode()
    try:
        statements = tuple(_statement(raw, one) for one in tree.stmts)
    except RecursionError:
        return SqlReading(fault="it is nested too deeply to be read")
    if sum(len(one.uses) + len(one.columns) for one in statements) > MAX_USES:
        return SqlReading(fault="it does more things than are looked through")
    return SqlReading(statements)


def unreadable(text: str) -> str:
    """Why a text is not handed to the parser at all, or ""."""
    size = len(text) if len(text) > MAX_SQL else len(text.encode("utf-8", "replace"))
    if size > MAX_SQL:
        return f"it is longer than {MAX_SQL} bytes"
    if size > MAX_DENSE and size - _in_long_words(text) > MAX_DENSE:
        return f"it is longer than {MAX_DENSE} bytes, without its long values"
    if "\0" in text:
        return "it holds a NUL, where the parser would stop reading"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "it is not UTF-8"
    return ""


def _in_long_words(text: str) -> int:
    return sum(found.end() - found.start() for found in _LONG_WORDS.finditer(text))


def _statement(raw: bytes, one: object) -> SqlStatement:
    start = one.stmt_location  # type: ignore[attr-defined]
    length = one.stmt_len or len(raw)  # type: ignore[attr-defined]
    text = raw[start : start + length].decode().strip()
    walk = Walk(text, HANDLERS)
    walk.statement(unwrapped(one.stmt))  # type: ignore[attr-defined]
    return walk.found()
