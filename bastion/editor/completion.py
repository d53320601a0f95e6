"""Tab: what the word could become, asked from the target without holding up a single key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.utils import get_cwidth

from bastion.editor.line import Line
from bastion.editor.values import Completing, CompletionKind
from bastion.editor.words import Place, place_of, written
from bastion.errors import BastionError
from bastion.model import visible

DEADLINE: Final = 3.0
"""Seconds for the target's answer."""
PATIENCE: Final = 0.3
"""Seconds after which the person is told that the target is being asked."""
MAX_CANDIDATES: Final = 1000
MAX_CANDIDATE: Final = 1024
"""Characters. A target may answer with anything; what is longer is no name."""
MAX_SHOWN: Final = 48
"""Characters of one candidate in the list."""

Ask = Callable[[Completing], Awaitable[Sequence[str]]]


@dataclass(slots=True)
class Choice:
    """Candidates for a word; `chosen` is the place of the one in the line, -1 for none."""

    place: Place
    candidates: list[str]
    before: str
    """The line before the word, and after it: the word is replaced between them."""
    after: str
    typed: str
    chosen: int = -1
    listed: bool = False


class Completer:
    """Completes a Line. `changed` is called when something came in; `bell` when nothing fits."""

    def __init__(
        self, line: Line, ask: Ask, changed: Callable[[], None], bell: Callable[[], None]
    ) -> None:
        self._line = line
        self._ask = ask
        self._changed = changed
        self._bell = bell
        self._choice: Choice | None = None
        self._expected: tuple[str, int] | None = None
        """The line as completion left it; anything else closes the list."""
        self._task: asyncio.Task[None] | None = None
        self._wants_list = False
        """Tab was pressed again before the answer came."""
        self._notice = ""

    @property
    def choosing(self) -> bool:
        """A candidate of the list is in the line."""
        return self._choice is not None and self._choice.chosen >= 0

    def complete(self, step: int, columns: int = 0) -> None:
        """Tab, or a move in the list: by rows where `columns` is the screen's width."""
        choice = self._choice
        if self._task:
            self._wants_list = True
        elif choice is None:
            self._start()
        elif not choice.listed:
            choice.listed = True
        else:
            move = step * (self._per_row(choice, columns) if columns else 1)
            self._choose(choice, move)

    def line_changed(self) -> None:
        """A key was handled: close what belongs to another line."""
        if (self._line.text, self._line.cursor_position) != self._expected:
            self.stop()

    def undo_choice(self) -> None:
        """Put back what was typed."""
        choice = self._choice
        if choice and choice.chosen >= 0:
            self._replace(choice, choice.typed)
        self.stop()

    def stop(self) -> None:
        """Close the list and forget the question."""
        self._choice, self._expected, self._notice = None, None, ""
        self._wants_list = False
        if self._task:
            self._task.cancel()
            self._task = None

    # --- candidates -------------------------------------------------------------------------------

    def _start(self) -> None:
        self.stop()
        before = self._line.document.text_before_cursor
        place = place_of(before)
        if place is None:
            self._bell()
            return
        self._expected = (self._line.text, self._line.cursor_position)
        if place.known is not None:
            self._found(place, place.known)
            return
        self._task = asyncio.get_running_loop().create_task(self._look_up(place, before))

    async def _look_up(self, place: Place, before: str) -> None:
        loop = asyncio.get_running_loop()
        telling = loop.call_later(PATIENCE, self._tell, "asking the target …")
        try:
            async with asyncio.timeout(DEADLINE):
                names = await self._ask(Completing(place.kind, place.word, before))
        except TimeoutError:
            self._task = None
            self._tell(f"the target did not answer within {DEADLINE:g} s")
            return
        except (BastionError, OSError) as error:
            self._task = None
            self._tell(f"no completion: {error}")
            return
        finally:
            telling.cancel()
        self._task, self._notice = None, ""
        self._found(place, names)
        self._changed()

    def _tell(self, text: str) -> None:
        self._notice = text
        self._changed()

    def _found(self, place: Place, names: Iterable[str]) -> None:
        if place.kind is CompletionKind.DIRECTORY:
            names = [name.rstrip("/") + "/" for name in names]
        candidates = _trusted(place.word, names)
        text, cursor = self._line.text, self._line.cursor_position
        choice = Choice(
            place, candidates, text[: place.start], text[cursor:], text[place.start : cursor]
        )
        if not candidates:
            self.stop()
            self._bell()
        elif len(candidates) == 1:
            name = candidates[0]
            word = written(name, place, whole=True)
            ends = not (name + place.closer).endswith(("/", "=")) and not choice.after[:1].isspace()
            self._replace(choice, word + (" " if ends and not place.closer else ""))
            self.stop()
        else:
            common = _common(candidates[0], candidates[-1])
            if len(common) > len(place.word):
                self._replace(choice, written(common, place, whole=False))
                choice.typed = self._line.text[place.start : self._line.cursor_position]
            else:
                self._bell()
            choice.listed, self._wants_list = self._wants_list, False
            self._choice = choice

    def _choose(self, choice: Choice, move: int) -> None:
        count = len(choice.candidates)
        if choice.chosen < 0:
            choice.chosen = 0 if move > 0 else count - 1
        else:
            choice.chosen = (choice.chosen + move) % count
        word = written(choice.candidates[choice.chosen], choice.place, whole=True)
        self._replace(choice, word)

    def _replace(self, choice: Choice, word: str) -> None:
        self._line.save_to_undo_stack()
        document = self._line.document
        text = choice.before + word + choice.after
        cursor = len(choice.before) + len(word)
        self._line.set_document(type(document)(text, cursor))
        self._expected = (self._line.text, self._line.cursor_position)

    # --- drawing ----------------------------------------------------------------------------------

    def notice(self) -> StyleAndTextTuples:
        """What is to be said in place of the verdict."""
        return [("class:quiet", visible(self._notice, limit=200))] if self._notice else []

    def fragments(self, columns: int, rows: int) -> StyleAndTextTuples:
        """Draw the list in at most `rows` rows, so that the chosen one is seen."""
        choice = self._choice
        if choice is None or not choice.listed:
            return []
        names = [_label(name) for name in choice.candidates]
        width = max(map(get_cwidth, names)) + 2
        per_row = max(1, columns // width)
        all_rows = -(-len(names) // per_row)
        shown_rows = min(all_rows, max(1, rows))
        first = min(max(0, choice.chosen // per_row - shown_rows + 1), all_rows - shown_rows)
        fragments: StyleAndTextTuples = []
        for row in range(first, first + shown_rows):
            if fragments:
                fragments.append(("", "\n"))
            for place in range(row * per_row, min((row + 1) * per_row, len(names))):
                style = "class:chosen" if place == choice.chosen else ""
                fragments.append((style, names[place]))
                fragments.append(("", " " * (width - get_cwidth(names[place]))))
        hidden = len(names) - min(len(names), (first + shown_rows) * per_row)
        if hidden:
            fragments.append(("class:quiet", f"\n… {hidden} more"))
        return fragments

    def _per_row(self, choice: Choice, columns: int) -> int:
        width = max(get_cwidth(_label(name)) for name in choice.candidates) + 2
        return max(1, columns // width)


def _common(first: str, last: str) -> str:
    """Give the beginning of all names of a sorted list, from its first and last."""
    length = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    return first[: min(len(first), len(last)) if length is None else length]


def _label(name: str) -> str:
    """The last part of a path: the parts before it are in the line."""
    shown = name.rstrip("/").rpartition("/")[2] + ("/" if name.endswith("/") else "")
    return shown if len(shown) <= MAX_SHOWN else shown[: MAX_SHOWN - 1] + "…"


def _trusted(word: str, names: Iterable[str]) -> list[str]:
    """Keep what may stand in a line: names that begin with what was typed and hide nothing.

    A name with a control character or an invisible one is left out: nobody could read what Enter
    would run. `x` and `x/` are one directory.
    """
    kept: set[str] = set()
    for count, name in enumerate(names):
        if count >= MAX_CANDIDATES:
            break
        fits = len(name) <= MAX_CANDIDATE and name.startswith(word) and name != ""
        if fits and visible(name) == name:
            kept.add(name)
    return sorted(name for name in kept if name + "/" not in kept)
