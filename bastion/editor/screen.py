"""What is drawn: the prompt and the line, the search, the list of completions, the verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition, is_searching
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import (
    ConditionalContainer,
    Dimension,
    FormattedTextControl,
    HSplit,
    Layout,
    VerticalAlign,
    Window,
)
from prompt_toolkit.layout.controls import BufferControl, SearchBufferControl
from prompt_toolkit.layout.processors import (
    BeforeInput,
    DisplayMultipleCursors,
    HighlightIncrementalSearchProcessor,
    HighlightSelectionProcessor,
)

from bastion.editor.colour import ShellLexer
from bastion.editor.invisible import ShowInvisible
from bastion.editor.line import Line

SEARCH_LABEL: Final = "search: "

LinePrefix = Callable[[int, int], StyleAndTextTuples]
Fragments = Callable[[], StyleAndTextTuples]


def make_layout(
    line: Line,
    *,
    prefix: LinePrefix,
    listed: Fragments,
    notice: Fragments,
    done: Callable[[], bool],
) -> Layout:
    """Lay it out from above: line, search, `listed` completions, `notice`.

    `done`: the line was accepted, so only it is left.
    """
    search = SearchBufferControl(
        Buffer(multiline=False), input_processors=[BeforeInput(SEARCH_LABEL, style="class:quiet")]
    )
    edited = BufferControl(
        line,
        lexer=ShellLexer(),
        include_default_input_processors=False,
        input_processors=[
            HighlightIncrementalSearchProcessor(),
            HighlightSelectionProcessor(),
            DisplayMultipleCursors(),
            ShowInvisible(),
        ],
        preview_search=True,
        search_buffer_control=search,
    )
    active = Condition(lambda: not done())
    return Layout(
        HSplit(
            [
                Window(edited, wrap_lines=True, dont_extend_height=True, get_line_prefix=prefix),
                ConditionalContainer(Window(search, height=1), active & is_searching),
                _below(listed, active),
                _below(notice, active),
            ],
            align=VerticalAlign.TOP,
        )
    )


def _below(fragments: Fragments, active: Condition) -> ConditionalContainer:
    control = FormattedTextControl(fragments)
    window = Window(control, dont_extend_height=True, height=Dimension(min=1), wrap_lines=True)
    return ConditionalContainer(window, active & Condition(lambda: bool(fragments())))
