"""Bounds on what prompt_toolkit remembers for the whole process, whoever typed it.

It keeps the width of every text that it drew, without an end, and a million drawn characters. In a
process that lives for months and draws what strangers type, both are leaks; the texts may be
secrets as well.
"""

from __future__ import annotations

from typing import Final

from prompt_toolkit.layout.screen import _CHAR_CACHE
from prompt_toolkit.utils import _CHAR_SIZES_CACHE

MAX_WIDTHS: Final = 20_000
MAX_CHARACTERS: Final = 50_000

_CHAR_CACHE.size = MAX_CHARACTERS


def trim_caches() -> None:
    """Forget the widths when there are too many; they are soon worked out again."""
    if len(_CHAR_SIZES_CACHE) > MAX_WIDTHS:
        _CHAR_SIZES_CACHE.clear()
