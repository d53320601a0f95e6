"""The control socket's written schema is what the code reads and writes."""

import inspect
import json
from pathlib import Path

import msgspec

from bastion.wire import control as wire

FILE = Path(wire.__file__).with_name("control.schema.json")
SHOWN = (
    wire.Welcome,
    wire.Status,
    wire.HeldRequest,
    wire.Answered,
    wire.Context,
    wire.Decision,
    wire.GrantShown,
    wire.Following,
    wire.LockShown,
    wire.LockSet,
    wire.Ended,
    wire.Event,
)


def schema() -> str:
    """What the file must hold; write it with python -m tests.wire.test_control."""
    shapes = (wire.Request, wire.Reply, *SHOWN)
    _, components = msgspec.json.schema_components(shapes, ref_template="#/$defs/{name}")
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The bastion's control socket: JSON, one a line",
        "version": wire.VERSION,
        "callers_send": {"$ref": "#/$defs/Request"},
        "the_bastion_sends": {"$ref": "#/$defs/Reply"},
        "$defs": components,
    }
    return json.dumps(_dedented(document), indent=1, sort_keys=True) + "\n"


def _dedented(value: object) -> object:
    """Python 3.13 takes the indentation out of docstrings, 3.11 leaves it in."""
    if isinstance(value, dict):
        return {
            name: inspect.cleandoc(one)
            if name == "description" and isinstance(one, str)
            else _dedented(one)
            for name, one in value.items()
        }
    return [_dedented(one) for one in value] if isinstance(value, list) else value


def test_the_schema_is_written_as_it_is() -> None:
    told = "write it anew: python -m tests.wire.test_control"
    assert FILE.read_text() == schema(), told


def test_lone_surrogates_survive_a_line() -> None:
    request = wire.Request(wire.VERSION, 1, wire.Refuse("k7f3", "0", "\udcff\n\x1b[2J"))
    line = wire.encode(request)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert wire.decode_request(line) == request


if __name__ == "__main__":
    FILE.write_text(schema())
