"""The live verdict: what Enter would do, worked out when the typing pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from prompt_toolkit.formatted_text import StyleAndTextTuples

from bastion.editor.values import Outlook
from bastion.model import visible
from bastion.policy.actions import Action

PAUSE: Final = 0.08
"""Seconds without a key. Deciding between two keys could take longer than an echo may."""
MAX_JUDGED: Final = 16 * 1024
"""Characters; longer text is decided at Enter alone."""
MAX_SHOWN: Final = 400

QUIET: Final = Outlook(Action.ALLOW)


class LiveVerdict:
    """`text_changed` starts the clock; `changed` is called when there is something else to show."""

    def __init__(
        self,
        outlook: Callable[[str], Outlook],
        is_complete: Callable[[str], bool],
        changed: Callable[[], None],
    ) -> None:
        self._outlook = outlook
        self._is_complete = is_complete
        self._changed = changed
        self._text = ""
        self._timer: asyncio.TimerHandle | None = None
        self.outlook = QUIET

    def text_changed(self, text: str) -> None:
        """Work it out soon; what was shown for another text stays until then."""
        if text == self._text:
            return
        self.stop()
        self._text = text
        self._timer = asyncio.get_running_loop().call_later(PAUSE, self._work_out)

    def begin(self) -> None:
        """Forget the line before."""
        self.stop()
        self._text, self.outlook = "", QUIET

    def stop(self) -> None:
        """Nothing is worked out any more."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _work_out(self) -> None:
        self._timer = None
        text = self._text
        # Enter would only go on with an open quote or loop; of half a command nothing can be told.
        judged = text.strip() and len(text) <= MAX_JUDGED and self._is_complete(text)
        outlook = self._outlook(text) if judged else QUIET
        if outlook != self.outlook:
            self.outlook = outlook
            self._changed()

    def fragments(self) -> StyleAndTextTuples:
        """Draw it: nothing for a plain allow."""
        outlook = self.outlook
        if not outlook.text:
            return []
        text = visible(outlook.text, limit=MAX_SHOWN)
        if outlook.action is Action.ALLOW:
            return [("class:quiet", text)]
        what, colon, why = text.partition(":")
        return [(f"class:{outlook.action.value}", what + colon), ("", why)]
