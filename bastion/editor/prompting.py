"""How the prompt looks: `deploy@web1:~/shop [1]$ `."""

from __future__ import annotations

from typing import Final

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.utils import get_cwidth

from bastion.editor.values import Prompt
from bastion.model import visible

CONTINUATION: Final = "> "
MAX_NAME: Final = 64


def prompt_fragments(prompt: Prompt, columns: int, *, normal_mode: bool) -> StyleAndTextTuples:
    """Draw the prompt on at most half of `columns`, where the directory can be cut for it.

    `normal_mode`: vi's, shown by a reversed sign.
    """
    root = prompt.login == "root"
    before: StyleAndTextTuples = [("class:ungated", "ungated"), ("", " ")] if prompt.ungated else []
    name = f"{prompt.login}@{prompt.target}{'+' if prompt.watched else ''}"
    before.append(("class:root" if root else "class:login", visible(name, limit=MAX_NAME)))
    after: StyleAndTextTuples = []
    if prompt.status:
        after += [("", " "), ("class:status", f"[{prompt.status}]")]
    after += [("class:normal-mode" if normal_mode else "", "#" if root else "$"), ("", " ")]
    room = columns // 2 - sum(get_cwidth(each[1]) for each in (*before, *after)) - 1
    directory = _shortened(_directory(prompt), max(room, 8))
    if directory:
        return [*before, ("", ":"), ("class:directory", directory), *after]
    return before + after


def plain_prompt(prompt: Prompt, columns: int) -> str:
    """Give the same as text."""
    return "".join(each[1] for each in prompt_fragments(prompt, columns, normal_mode=False))


def _directory(prompt: Prompt) -> str:
    home = prompt.home.rstrip("/")
    directory = prompt.directory
    if home and (directory == home or directory.startswith(home + "/")):
        directory = "~" + directory[len(home) :]
    return visible(directory[-4096:])


def _shortened(directory: str, room: int) -> str:
    """Keep the end of a path: where one is says more than how one got there."""
    if get_cwidth(directory) <= room:
        return directory
    kept = directory[-room:]
    while kept and get_cwidth(kept) > room - 1:
        kept = kept[1:]
    below = kept.find("/")
    return "…" + (kept[below:] if 0 < below < len(kept) - 1 else kept)
