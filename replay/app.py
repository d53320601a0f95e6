"""The app: plays one tape, or lists a catalogue to choose from."""

from __future__ import annotations

from textual.app import App

from replay.catalogue import Catalogue
from replay.library import Library
from replay.player import Player


class ReplayApp(App[None]):
    """`player` alone, or a `catalogue` whose recordings are played one after another."""

    ENABLE_COMMAND_PALETTE = False

    def __init__(
        self,
        *,
        player: Player | None = None,
        catalogue: Catalogue | None = None,
        speed: float = 1.0,
        idle_limit: float = 0.0,
        saves: bool = True,
    ) -> None:
        super().__init__()
        # Where there are sixteen colours, they are meant: nothing is to be guessed from RGB.
        self.ansi_color = self.console.color_system == "standard"
        self._player = player
        self._catalogue = catalogue
        self._speed, self._idle_limit, self._saves = speed, idle_limit, saves

    def on_mount(self) -> None:
        """Show the first screen; when it is left, the app ends."""
        if self._player is not None:
            self.push_screen(self._player, lambda _: self.exit())
        elif self._catalogue is not None:
            self.push_screen(
                Library(
                    self._catalogue,
                    speed=self._speed,
                    idle_limit=self._idle_limit,
                    saves=self._saves,
                )
            )
