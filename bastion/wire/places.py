"""Where something listens or is reached, as configurations write it."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator

_ADDRESS: Final = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?)\]|(?P<host>[A-Za-z0-9._-]*))"
    r":(?P<port>\d{1,5})"
)
UNIX: Final = "unix:"
"""Before the path of a socket."""


def _address(text: str) -> str:
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise ValueError('must be "host:port" (or "[v6]:port"), in quotes')
    return text


def _place(text: str) -> str:
    if not text.startswith(UNIX):
        return _address(text)
    if not text.removeprefix(UNIX):
        raise ValueError('needs a path after "unix:"')
    return text


Address = Annotated[str, AfterValidator(_address)]
Place = Annotated[str, AfterValidator(_place)]
"""An address, or `unix:PATH`."""


def split_address(text: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port`, already checked → host and port."""
    found = _ADDRESS.fullmatch(text)
    assert found is not None
    return found["six"] or found["host"], int(found["port"])
