"""What the drive of a channel needs at its ends: the client, the target, and a gated shell's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bastion.events import Edit, Event, Exit, Stream, Suggest, ToEditor, Wake


class ClientEnd(Protocol):
    """What the drive needs of the client's side of a channel."""

    def show(self, data: bytes, stream: Stream) -> None:
        """Send bytes to the client."""

    def phrase(self, text: str) -> bytes:
        """Give a sentence of the bastion as the client will see it on stderr."""

    def eof(self) -> None:
        """No more bytes will come."""

    def exit(self, ended: Exit) -> None:
        """Report how it ended and close."""

    def hold(self, held: bool) -> None:
        """Stop or go on reading from the client."""


class TargetEnd(Protocol):
    """What the drive needs of the target's side of a channel."""

    def send(self, data: bytes) -> None:
        """Send decided bytes."""

    def eof(self) -> None:
        """Nothing more will be sent."""

    def close(self) -> None:
        """End it now."""

    def hold(self, held: bool) -> None:
        """Stop or go on reading from the target."""


class Feed(Protocol):
    """What an end tells the drive."""

    def feed(self, event: Event) -> None:
        """Something happened."""

    def show_own(self, data: bytes) -> None:
        """Show bytes of the bastion's own: recorded and masked like everything else."""


ShellEffect = Edit | ToEditor | Suggest | Wake


class ShellSide(Protocol):
    """What only a gated shell has: the line editor, and timers."""

    @property
    def editing(self) -> bool:
        """Whether the line editor owns the screen's last lines."""

    def perform(self, effect: ShellEffect, drive: Feed) -> None:
        """Carry out what the gate wants of it."""

    def interject(self, show: Callable[[], None]) -> None:
        """Let `show` write above the line that is being edited."""

    def resize(self, columns: int, rows: int) -> None:
        """The client's window has a new size."""

    def close(self) -> None:
        """The channel has ended."""
