"""COPY … TO STDOUT: which columns the file has, and how its fields are written."""

from __future__ import annotations

import re
from typing import Final

from bastion.model import SqlCopy
from bastion.policy.sql.tree import Tree, given, quoted, strings, unwrapped, word_of

_TRUE: Final = frozenset({"", "true", "on", "1"})
_FALSE: Final = frozenset({"false", "off", "0"})
_FORMATS: Final = frozenset({"text", "csv", "binary"})
_KNOWN: Final = frozenset(
    {"format", "delimiter", "null", "quote", "escape", "header", "encoding", "force_quote"}
)
_OPEN, _CLOSE = 40, 41
"""Tokens of libpg_query are characters where they are one."""


def read_copy(node: Tree, text: str) -> SqlCopy:
    """Read the options of a COPY to the client; what is not understood is its `fault`."""
    options: dict[str, str] = {}
    fault = ""
    for option in map(unwrapped, node.options):
        name = str(option.defname).lower()
        if name not in _KNOWN:
            fault = f"the option {name} is not known"
        options[name] = word_of(given(option, "arg"))
    form = options.get("format", "text")
    csv = form == "csv"
    quote = options.get("quote", '"')
    copy = SqlCopy(
        select=_query(node, text) if node.HasField("query") else _table(node),
        format=form,
        delimiter=options.get("delimiter", "," if csv else "\t"),
        null=options.get("null", "" if csv else "\\N"),
        quote=quote,
        escape=options.get("escape", quote),
        header=options.get("header", "false").lower() in _TRUE,
        encoding=options.get("encoding", ""),
    )
    fault = fault or _fault(copy, options.get("header", ""))
    return SqlCopy("", fault=fault) if fault or not copy.select else copy


def _fault(copy: SqlCopy, header: str) -> str:
    """Why the fields of such a file cannot be told from each other, or ""."""
    signs = (copy.delimiter, copy.quote, copy.escape)
    if copy.format not in _FORMATS:
        return f"the format {copy.format} is not known"
    if any(len(one) != 1 or not one.isascii() for one in signs):
        return "its delimiter, quote or escape is no single letter of ASCII"
    if header.lower() not in _TRUE | _FALSE:
        return f"HEADER {header} is not known"
    if not copy.null.isascii() or {"\n", "\r", copy.delimiter} & set(copy.null):
        return "its NULL is not plain"
    if copy.format == "text" and re.sub(r"\\.", "", copy.null).endswith("\\"):
        return "its NULL ends in a backslash, which takes the delimiter for a part of it"
    if copy.format == "csv" and (copy.quote in copy.null or copy.delimiter == copy.quote):
        return "its quote stands for something else as well"
    return ""


def _table(node: Tree) -> str:
    relation = node.relation
    names = [relation.schemaname, relation.relname] if relation.schemaname else [relation.relname]
    columns = ", ".join(map(quoted, strings(node.attlist))) or "*"
    return " ".join(("SELECT", columns, "FROM ONLY", ".".join(map(quoted, names))))


def _query(node: Tree, text: str) -> str:
    """What stands in the parentheses of COPY (…): the first ones."""
    import postgast  # loaded where SQL is read, not in every process

    raw = text.encode()
    begin = depth = 0
    for token in postgast.scan(text).tokens:
        if token.token == _OPEN:
            begin = begin or token.end
            depth += 1
        elif token.token == _CLOSE and begin:
            depth -= 1
            if not depth:
                return raw[begin : token.start].decode()
    return ""
