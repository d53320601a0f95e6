"""The forms in which a recording's files lie: as they were written, or packed away."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bastion.store.recording import SUFFIXES

PLAIN: Final = ""
ZSTD: Final = "zst"

FORMS: Final = (PLAIN, ZSTD)
"""Names of the forms; all but the plain one end a file's name."""


def stored_path(stem: Path, name: str, form: str) -> Path:
    """Where a file lies in a form."""
    return Path(f"{stem}{SUFFIXES[name]}{'.' if form else ''}{form}")


def find_stored(stem: Path, name: str) -> tuple[Path, str]:
    """Where a file lies, and in which form; the plain path where it lies nowhere."""
    for form in FORMS:
        path = stored_path(stem, name, form)
        if path.exists():
            return path, form
    return stored_path(stem, name, PLAIN), PLAIN
