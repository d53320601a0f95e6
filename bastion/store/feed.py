"""What happens, told at once to whoever listens: the control socket's watchers and the webhooks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from bastion.policy.rights import Subject
from bastion.tap.masks import UNMASKED, Masks

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened, and whom it concerns.

    `fields` are values as JSON has them; texts of outside are exact, and made visible where they
    are shown. `approvers` are roles that see it for they are asked.
    """

    kind: str
    at: float
    subject: Subject
    fields: Mapping[str, object] = field(default_factory=dict)
    approvers: tuple[str, ...] = ()


Listener = Callable[[Happening], None]


class Feed:
    """Lives on one event loop. Listeners return at once and queue for themselves."""

    def __init__(self, masks: Masks = UNMASKED) -> None:
        self._masks = masks
        self._listeners: list[Listener] = []

    def publish(self, happening: Happening) -> None:
        """Tell everybody; what a listener raises is its own fault and stops nobody else."""
        happening = replace(happening, fields=self._masks.fields(happening.fields))
        for listener in tuple(self._listeners):
            try:
                listener(happening)
            except Exception:
                log.exception("a listener failed on %s", happening.kind)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` from now on; call what is returned to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)
