"""The bastion's own log: no line of it, and no traceback, tells a secret."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from bastion.tap.masks import Masks


class MaskingFormatter(logging.Formatter):
    """Another formatter's lines, tracebacks included, masked."""

    def __init__(self, inner: logging.Formatter, masks: Masks) -> None:
        super().__init__()
        self.inner = inner
        self._masks = masks

    def format(self, record: logging.LogRecord) -> str:
        """Format, then mask; what cannot be masked is not written."""
        text = self.inner.format(record)
        try:
            return self._masks.text(text)
        except Exception:  # noqa: BLE001 - a fault in here must let nothing through
            return f"{record.levelname} a line of the log that could not be masked was left out"


@contextlib.contextmanager
def masked_log(masks: Masks) -> Iterator[None]:
    """Mask what every handler of the root logger writes, while the context lasts."""
    before = [(handler, handler.formatter) for handler in logging.getLogger().handlers]
    for handler, formatter in before:
        handler.setFormatter(MaskingFormatter(formatter or logging.Formatter(), masks))
    try:
        yield
    finally:
        for handler, formatter in before:
            handler.setFormatter(formatter)
