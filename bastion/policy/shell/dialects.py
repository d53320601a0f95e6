"""What zsh and POSIX shells read otherwise than bash: enough to be opaque, never to read it."""

from __future__ import annotations

import re
from typing import Final

from bastion.model import Dialect

_POSIX: Final[tuple[tuple[str, str], ...]] = (
    (r"\$'", "a POSIX shell ends this string elsewhere"),
    (r"(?<!\$)\(\(", "a POSIX shell may run what stands inside (( ))"),
    (r"\[\[[^\]]*[|&<>()]", "a POSIX shell runs or opens what stands inside [[ ]]"),
    (r"\{\w+\}[<>]", "a POSIX shell takes {name} for a word"),
    (r"\bfunction\s|\$\[|<\(|>\(", "a POSIX shell does not know this"),
)

_ZSH: Final[tuple[tuple[str, str], ...]] = (
    (r"(?:^|[\s;&|(])=[A-Za-z(]", "zsh expands =name and =(command)"),
    (r"[^\s;&|<>($=]\([^)]", "zsh reads a parenthesis in a word as a glob qualifier"),
    (r"\$\{\(", "zsh expansion flags"),
    (r"\$\{[^}]*:[a-zA-Z&]|\$\w+:[a-zA-Z&]", "zsh modifiers"),
    (r"\balias\s+-[gs]", "global and suffix aliases"),
    (r"\[\[[^]]*\[", "zsh evaluates subscripts inside [["),
    (
        (
            r"\b(?:repeat|foreach|end|r|zle|bindkey|print|autoload|zmodload|emulate|setopt"
            r"|unsetopt|sched|vared|functions|aliases|nocorrect|noglob|zcompile|compdef"
            r"|zstyle|coproc|select)\b"
        ),
        "a word that zsh reads in its own way",
    ),
    (r"\*\*|\^|~(?![/\s]|$)|<\d*-\d*>", "zsh globs"),
    (r"(?:^|[\s;&|])(?:if|while|for)\b[^;\n]*\{", "zsh's short forms of loops"),
    (r"&!|&\||>\||>>\||<>|>&!|>!", "operators of zsh"),
    (r"\$\+|\$=|\$~|\$\^", "zsh parameter forms"),
    (r"\{[^}]*[^\s,.}]-[^}]*\}", "zsh brace ranges"),
    (r"(?:^|[\s;&|(])(?:[<>]\s*\S+\s*)+(?:$|[;&|)])", "a redirection alone starts a pager in zsh"),
    (r"!", "history expansion and negation differ"),
    (r"%\w*\(", "prompt expansion"),
    (r"\$[A-Za-z_]\w*\[|\$\d\[", "zsh reads a subscript after a plain variable"),
)


MAX_OPENERS: Final = 64
"""Patterns that look for a closer start anew at every opener: thousands of openers in one line
would keep the event loop for seconds."""


def differences(dialect: Dialect, command: str) -> list[str]:
    """Give a reason for each construct that `dialect` may read otherwise than bash."""
    table = {Dialect.ZSH: _ZSH, Dialect.SH: _POSIX}.get(dialect, ())
    if table and command.count("{") + command.count("[[") > MAX_OPENERS:
        return ["too many braces to tell how this shell reads them"]
    return [reason for pattern, reason in table if re.search(pattern, command)]
