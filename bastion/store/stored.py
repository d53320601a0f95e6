"""Where a recording's files lie, in whatever form."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bastion.errors import CastFault
from bastion.store.recording import SEAL_SUFFIX, SUFFIXES
from bastion.wire.packed import FORMS, PLAIN, unpacked


def stored_path(stem: Path, name: str, form: str) -> Path:
    """Where a file lies in a form. `stem` is a channel's path without suffixes."""
    return Path(f"{stem}{SUFFIXES[name]}{'.' if form else ''}{form}")


def find_stored(stem: Path, name: str) -> tuple[Path, str]:
    """Where a file lies, and in which form; the plain path where it lies nowhere."""
    for form in FORMS:
        path = stored_path(stem, name, form)
        if path.exists():
            return path, form
    return stored_path(stem, name, PLAIN), PLAIN


@contextlib.contextmanager
def open_stored(path: Path, form: str) -> Iterator[BinaryIO]:
    """Read a file as it was written; CastFault while reading where it is damaged, or is no file."""
    if path.exists() and not path.is_file():
        raise CastFault("this is no file")  # a pipe would be waited for
    with path.open("rb") as file:
        yield unpacked(file, form)


def stem_of(path: Path) -> Path:
    """A channel's path without what its files' names end with; another file's path as it is."""
    endings = [
        f"{suffix}{'.' if form else ''}{form}" for suffix in SUFFIXES.values() for form in FORMS
    ]
    for ending in (SEAL_SUFFIX, *endings):
        if path.name.endswith(ending) and path.name != ending:
            return path.parent / path.name.removesuffix(ending)
    return path
