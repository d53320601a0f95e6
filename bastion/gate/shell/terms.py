"""What a gated shell is started with, and which shells can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bastion.model import Dialect

OLDEST: Final = {Dialect.BASH: (4, 4), Dialect.ZSH: (5, 8), Dialect.SH: (0, 0)}
"""Shells whose way of telling steps was measured: an older one is refused."""


@dataclass(frozen=True, slots=True)
class ShellTerms:
    """How one shell is gated."""

    dialect: Dialect
    pty: bool = True
    drifted: bool = False
    """Start-up files were read, so words may mean something else from the beginning."""
    idle_seconds: float | None = None
    """How long a prompt may wait for a key."""

    @property
    def watches(self) -> bool:
        """Whether this shell has a hook that asks about steps."""
        return self.dialect is not Dialect.SH


def unfit(dialect: Dialect, said: str) -> str:
    """Why the shell that said `NAME VERSION` cannot be gated as `dialect`; "" where it can."""
    name, _, version = said.partition(" ")
    oldest = OLDEST[dialect]
    if name == dialect.value and _numbers(version) >= oldest:
        return ""
    needed = f"{dialect.value} {'.'.join(map(str, oldest))}"
    return (
        f"this target's shell cannot be gated: it is {said or 'unknown'}, and {needed} is needed."
    )


def _numbers(version: str) -> tuple[int, ...]:
    """`5.2.15(1)-release` → (5, 2)."""
    numbers = version.split(".")[:2]
    return tuple(int(number) if number.isdigit() else 0 for number in numbers)
