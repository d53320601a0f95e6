"""Casts for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from replay.castfile import CastFile


def write(
    path: Path, *events: tuple[float, str, str], tail: bytes = b"", **header: Any
) -> CastFile:
    """Write a cast and open it."""
    first = {"version": 2, "width": 40, "height": 10, "env": {"TERM": "xterm"}, **header}
    lines = [json.dumps(line) for line in (first, *events)]
    path.write_bytes("".join(f"{line}\n" for line in lines).encode() + tail)
    return CastFile(path)


def text_of(path: Path) -> str:
    """All that a cast shows."""
    lines = [json.loads(line) for line in path.read_bytes().splitlines()[1:]]
    return "".join(data for _, code, data in lines if code == "o")
