"""Reads `tests/vectors/secrets.txt`: texts with secrets in them, and texts that only look so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parent.parent / "vectors" / "secrets.txt"
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "e": "\x1b", "\\": "\\"}
_WINDOW: Final = 8


@dataclass(frozen=True)
class Vector:
    """One text. Without secrets it must pass as it is."""

    line: int
    section: str
    text: str
    secrets: tuple[str, ...]

    def leaked(self, shown: str) -> str:
        """The first part of a secret that stands in what was shown, or ""."""
        for secret in self.secrets:
            size = min(len(secret), _WINDOW)
            for at in range(len(secret) - size + 1):
                if secret[at : at + size] in shown:
                    return secret[at : at + size]
        return ""


def vectors() -> list[Vector]:
    """All of them."""
    section, found = "", []
    for number, line in enumerate(FILE.read_text("utf-8").splitlines(), start=1):
        if line.startswith("["):
            head = re.fullmatch(r"\[([a-z -]+)\]", line)
            if head is not None:
                section = head[1].split()[0]
                continue
        if line and not line.startswith("# "):
            found.append(_vector(number, section, line))
    return found


def _vector(number: int, section: str, line: str) -> Vector:
    passes = line.startswith("! ")
    body = re.sub(r"\\([nrte\\])", lambda one: _ESCAPES[one[1]], line[2:] if passes else line)
    secrets = tuple(re.findall("«(.*?)»", body, re.DOTALL))
    assert passes == (not secrets), f"secrets.txt:{number}: no secret is marked"
    return Vector(number, section, body.replace("«", "").replace("»", ""), secrets)
