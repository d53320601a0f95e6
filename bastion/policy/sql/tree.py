"""The parse tree that libpg_query gives (protobuf messages), in the few ways it is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

Tree = Any
"""A protobuf message; its classes are made at run time."""


def name_of(node: Tree) -> str:
    """The grammar's name of a node: `SelectStmt`, `RangeVar`, …"""
    return str(node.DESCRIPTOR.name)


def unwrapped(node: Tree) -> Tree:
    """The node inside a `Node`, or the node itself where a field is typed; None if empty."""
    if node is None or name_of(node) != "Node":
        return node
    which = node.WhichOneof("node")
    return getattr(node, which) if which else None


def children(node: Tree) -> Iterator[Tree]:
    """All nodes directly below, in the order of their fields."""
    for field, value in node.ListFields():
        if field.message_type is None:
            continue
        for one in [value] if hasattr(value, "DESCRIPTOR") else value:
            found = unwrapped(one)
            if found is not None:
                yield found


def given(node: Tree, field: str) -> Tree:
    """A message field where it is set, unwrapped; else None."""
    return unwrapped(getattr(node, field)) if node.HasField(field) else None


def strings(nodes: Sequence[Tree]) -> tuple[str, ...]:
    """The texts of a list of String nodes; other nodes are left out."""
    found = (unwrapped(node) for node in nodes)
    return tuple(one.sval for one in found if one is not None and name_of(one) == "String")


def word_of(node: Tree) -> str:
    """The value of an option, as it was written; nothing where it is none, or no single word."""
    match name_of(node) if node is not None else "":
        case "String":
            return str(node.sval)
        case "Integer":
            return str(node.ival)
        case "Boolean":
            return str(node.boolval).lower()
        case _:
            return ""


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def dotted(nodes: Sequence[Tree]) -> str:
    """`schema.name` of a qualified name; the catalog's own schema needs no writing."""
    parts = strings(nodes)[-2:]
    return ".".join(parts)


def table_name(relation: Tree) -> str:
    """`schema.name` of a RangeVar."""
    name = str(relation.relname)
    return f"{relation.schemaname}.{name}" if relation.schemaname else name


def literal(node: Tree) -> str | None:
    """The text of a string constant, through casts; None for anything else."""
    while node is not None and name_of(node) == "TypeCast":
        node = unwrapped(node.arg)
    if node is None or name_of(node) != "A_Const" or not node.HasField("sval"):
        return None
    return str(node.sval.sval)


def walk(node: Tree) -> Iterator[Tree]:
    """The node and all below it, without recursion: depth is the sender's to choose."""
    left = [node]
    while left:
        one = left.pop()
        yield one
        left.extend(children(one))
