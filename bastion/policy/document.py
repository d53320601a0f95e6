"""Strict YAML: text → a pydantic model, or every fault of it with its place.

Stricter than YAML itself, so that a file means to everyone what its author saw: no tags, no merge
keys, one document, no duplicate keys, and no plain scalar that YAML 1.1 and 1.2 read differently
(`no`, `0123`, `22:22`): such a scalar is refused until it is quoted or spelled out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import pydantic
import yaml

from bastion.errors import ConfigError, Fault
from bastion.model import visible

# Bounds. A policy is written by the operator, yet often generated or fetched: none of these texts
# may exhaust the memory or the stack of a running bastion that merely reloads.
MAX_CHARACTERS: Final = 4 * 1024 * 1024
MAX_DEPTH: Final = 32  # `[[[[…`
MAX_NODES: Final = 200_000  # aliases of aliases ("billion laughs")
MAX_FAULTS: Final = 100  # a binary file is not one fault a line

Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]
Path = tuple[str | int, ...]
Model = TypeVar("Model", bound=pydantic.BaseModel)

_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)([eE][-+]?[0-9]+)?")
_AMBIGUOUS: Final = re.compile(
    r"""yes | no | on | off | ~ | <<
      | [-+]? 0 [0-9_]+ | [-+]? 0x [0-9a-f_]+ | [-+]? 0[ob] [0-7_]+
      | [-+]? [0-9] [0-9_]* _ [0-9_]* | [-+]? [0-9]+ (:[0-5]?[0-9])+ (\.[0-9_]*)?
      | [-+]? [0-9]+ \. | [-+]? \. [0-9]+ | [-+]? [0-9]+ e [-+]? [0-9]+
      | [-+]? \. inf | \. nan""",
    re.IGNORECASE | re.VERBOSE,
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")  # what reading leaves where bytes are no text
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "": None}


class Section(pydantic.BaseModel):
    """The base of every mapping a file may hold: unknown keys refused, values frozen."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


@dataclass(slots=True)
class _Node:
    line: int
    column: int
    value: Value = None
    items: list[_Node] = field(default_factory=list)
    entries: dict[str, tuple[_Node, _Node]] = field(default_factory=dict)
    kind: str = "scalar"
    weight: int = 1
    height: int = 1
    finished: bool = False

    def plain(self) -> Value:
        """This node and all below as plain values."""
        if self.kind == "mapping":
            return {key: node.plain() for key, (_, node) in self.entries.items()}
        if self.kind == "sequence":
            return [node.plain() for node in self.items]
        return self.value


class _Stop(Exception):
    """The text is not worth reading on."""


class _Composer:
    """Events → nodes, collecting faults. Depth and size are checked before anything is built."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._anchors: dict[str, _Node] = {}
        self._depth = 0
        self._events = self._parse(text)
        self.faults: list[Fault] = []

    def _parse(self, text: str) -> Iterator[yaml.Event]:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return yaml.parse(text, Loader=loader)

    def compose(self) -> _Node | None:
        """The one document of the text, or None with faults."""
        root: _Node | None = None
        try:
            for event in self._events:
                if isinstance(event, yaml.DocumentStartEvent):
                    if root is not None:
                        self._stop(event, "a second document begins here: one file holds one")
                    root = self._node(next(self._events))
        except _Stop:
            return None
        except yaml.MarkedYAMLError as error:
            self._broken(error)
            return None
        except yaml.YAMLError as error:
            self.faults.append(Fault(f"{self._name}:1:1", f"not YAML: {_one_line(str(error))}"))
            return None
        if root is None:
            self.faults.append(Fault(f"{self._name}:1:1", "the file is empty"))
        return root

    def _broken(self, error: yaml.MarkedYAMLError) -> None:
        place = self._place(error.problem_mark or error.context_mark)
        words = " ".join(part for part in (error.problem, error.context) if part)
        self.faults.append(Fault(place, f"not YAML: {_one_line(words)}"))

    def _place(self, mark: Any) -> str:
        return f"{self._name}:{mark.line + 1}:{mark.column + 1}" if mark else f"{self._name}:1:1"

    def _fault(self, where: yaml.Event, message: str) -> None:
        self.faults.append(Fault(self._place(where.start_mark), message))
        if len(self.faults) >= MAX_FAULTS:
            raise _Stop

    def _stop(self, where: yaml.Event, message: str) -> None:
        self._fault(where, message)
        raise _Stop

    def _node(self, event: yaml.Event) -> _Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        mark: Any = event.start_mark
        node = _Node(mark.line + 1, mark.column + 1)
        if getattr(event, "tag", None) is not None:
            self._fault(event, "tags are not supported: write the plain value")
        if anchor := getattr(event, "anchor", None):
            self._anchors[anchor] = node
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.ScalarEvent):
            node.value = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._sequence(node)
        else:
            self._mapping(node)
        self._depth -= 1
        node.finished = True
        return node

    def _alias(self, event: yaml.AliasEvent) -> _Node:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            self._stop(event, f"*{_shown(event.anchor or '')} is not defined above")
        elif not node.finished:
            self._stop(event, f"*{event.anchor} contains itself")
        elif self._depth + node.height > MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH} levels")
        assert node is not None
        return node

    def _grow(self, node: _Node, child: _Node, event: yaml.Event) -> None:
        node.weight += child.weight
        node.height = max(node.height, child.height + 1)
        if node.weight > MAX_NODES:
            self._stop(event, f"more than {MAX_NODES} values once aliases are followed")

    def _sequence(self, node: _Node) -> None:
        node.kind = "sequence"
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            child = self._node(event)
            self._grow(node, child, event)
            node.items.append(child)

    def _mapping(self, node: _Node) -> None:
        node.kind = "mapping"
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event)
            child = self._node(next(self._events))
            self._grow(node, child, event)
            if not isinstance(key.value, str):
                self._fault(event, "a key must be text: put it in quotes")
            elif key.value in node.entries:
                first = node.entries[key.value][0]
                self._fault(event, f"`{_shown(key.value)}` was already given on line {first.line}")
            else:
                node.entries[key.value] = (key, child)

    def _scalar(self, event: yaml.ScalarEvent) -> Value:
        text: str = event.value
        if event.style:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _AMBIGUOUS.fullmatch(text) or text.lower() in _WORDS:
            self._fault(
                event,
                f"`{_shown(text)}` means different things to different readers of YAML:"
                " put it in quotes if it is text, otherwise write true, false or a plain number",
            )
            return text
        if _INTEGER.fullmatch(text):
            return int(text) if len(text) < 20 else text  # int() of a megabyte is quadratic
        if _FLOAT.fullmatch(text):
            number = float(text)
            return number if math.isfinite(number) else text
        return text


def _shown(text: str) -> str:
    return visible(text, limit=80)


def _one_line(text: str) -> str:
    return " ".join(text.split())


class Document:
    """One composed file: plain values, and the place of each."""

    def __init__(self, text: str, name: str) -> None:
        """Raise ConfigError if `text` is not one YAML document that can be read on.

        What is wrong but can be read over (a key given twice) waits for `read`, which tells it
        together with all else.
        """
        self.name = name
        if len(text) > MAX_CHARACTERS:
            raise ConfigError([Fault(f"{name}:1:1", f"longer than {MAX_CHARACTERS} characters")])
        if (bad := _SURROGATE.search(text)) is not None:
            line = text.count("\n", 0, bad.start()) + 1
            column = bad.start() - text.rfind("\n", 0, bad.start())
            raise ConfigError([Fault(f"{name}:{line}:{column}", "this byte is not UTF-8")])
        composer = _Composer(text, name)
        root = composer.compose()
        if root is None:
            raise ConfigError(composer.faults)
        self._root = root
        self._faults = composer.faults

    def place(self, *path: str | int, key: bool = False) -> str:
        """`file:line:column` of what lies at `path`; of its key where `key`.

        Elements that are not in the file (defaults, the names of alternatives) are passed over.
        """
        node = mark = self._root
        for element in path:
            if isinstance(element, int):
                if node.kind == "sequence" and element < len(node.items):
                    node = mark = node.items[element]
            elif node.kind == "mapping" and element in node.entries:
                mark, node = node.entries[element]
        mark = mark if key else node
        return f"{self.name}:{mark.line}:{mark.column}"

    def fault(self, message: str, *path: str | int, key: bool = False) -> Fault:
        """A fault at `path`."""
        return Fault(self.place(*path, key=key), message)

    def read(self, model: type[Model]) -> Model:
        """Validate as `model`; raise ConfigError with every fault, in the order of the file."""
        try:
            # JSON, because pydantic's strict mode then takes lists for tuples and text for enums,
            # while numbers, text and booleans are never taken for each other.
            value = model.model_validate_json(json.dumps(self._root.plain()), strict=True)
            if not self._faults:
                return value
            faults = []
        except pydantic.ValidationError as error:
            faults = [self._told(one["type"], one["loc"], one["msg"]) for one in error.errors()]
        told = {fault.place for fault in self._faults}
        more = [fault for fault in faults if fault.place not in told]
        raise ConfigError(in_file_order([*self._faults, *more]))

    def _told(self, kind: str, path: Path, message: str) -> Fault:
        last = path[-1] if path else ""
        if kind == "missing":
            return self.fault(f"`{last}` is missing here", *path[:-1])
        if kind == "extra_forbidden":
            return self.fault(f"unknown key `{_shown(str(last))}`", *path, key=True)
        if kind == "value_error":
            return self.fault(message.removeprefix("Value error, "), *path)
        return self.fault(_MESSAGES.get(kind, message[:1].lower() + message[1:]), *path)


_MESSAGES: Final = {
    "string_type": "must be text: put it in quotes",
    "bool_type": "must be true or false, without quotes",
    "int_type": "must be a whole number, without quotes",
    "float_type": "must be a number, without quotes",
    "tuple_type": "must be a list",
    "frozen_set_type": "must be a list",
    "dict_type": "must be a mapping (key: value)",
    "model_type": "must be a mapping (key: value)",
    "model_attributes_type": "must be a mapping (key: value)",
}


def in_file_order(faults: list[Fault]) -> list[Fault]:
    """Sort by line and column, each fault told once."""

    def position(fault: Fault) -> tuple[int, int]:
        _, line, column = fault.place.rsplit(":", 2)
        return int(line), int(column)

    return sorted(dict.fromkeys(faults), key=position)


def load_document(text: str, name: str, model: type[Model]) -> Model:
    """Read `text`, called `name` in messages, as `model`; ConfigError tells all its faults."""
    return Document(text, name).read(model)
