"""Characters that a terminal would not show, or would act on, shown as what they are."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput

from bastion.model import visible

_PLAIN: Final = re.compile(r"[\x20-\x7e]*")


class ShowInvisible(Processor):
    """Draws `visible` of each character, so that the line on the screen is the line that runs."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Replace in the fragments; the cursor keeps to the characters of the line."""
        fragments = transformation_input.fragments
        text = transformation_input.document.lines[transformation_input.lineno]
        if _PLAIN.fullmatch(text) or all(visible(each) == each for each in set(text)):
            return Transformation(fragments)
        shown: StyleAndTextTuples = []
        places: list[int] = []
        at = 0
        for fragment in fragments:
            for character in fragment[1]:
                text = visible(character)
                style = fragment[0] if text == character else f"{fragment[0]} class:invisible"
                shown.append((style, text))
                places.append(at)
                at += len(text)
        places.append(at)

        def to_display(place: int) -> int:
            return places[place] if place < len(places) else at + place - len(places) + 1

        return Transformation(
            shown, to_display, lambda place: max(0, bisect_right(places, place) - 1)
        )
