"""Small checked values of a policy file that several of its sections hold."""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, Field

T = TypeVar("T")
_REFERENCE: Final = re.compile(r"(file|env|credential|command):.+", re.DOTALL)
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def refuse(condition: bool, message: str) -> None:
    """ValueError with `message` where `condition` holds."""
    if condition:
        raise ValueError(message)


def _name(text: str) -> str:
    refuse(
        NAME.fullmatch(text) is None,
        "a name is lower-case letters, digits, dots, dashes and underscores,"
        " and begins with a letter or digit",
    )
    return text


def _reference(text: str) -> str:
    refuse(
        _REFERENCE.fullmatch(text) is None,
        "must be file:PATH, env:NAME, credential:NAME or command:WORDS",
    )
    refuse(
        text.startswith(("file:", "command:")) and text.partition(":")[2][0] != "/",
        "must name a file, or the program of a command, by its whole path (file:/etc/…)",
    )
    return text


def filled(value: tuple[T, ...]) -> tuple[T, ...]:
    """A list that must have something in it."""
    refuse(not value, "must not be empty")
    return value


Name = Annotated[str, AfterValidator(_name)]
Glob = Annotated[str, Field(min_length=1)]
Reference = Annotated[str, AfterValidator(_reference)]
"""Where a secret is, never the secret."""
