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

_REDIRECTION: Final = r"[<>][<>&|!]*\s*(?:[^\s<>;&|()'\"\\]|'[^']*'|\"[^\"]*\"|\\.)+"

_ZSH: Final[tuple[tuple[str, str], ...]] = (
    (r"(?:^|[\s;&|(])=[^\s=;&|)]", "zsh expands =name and =(command)"),
    (r"[^\s;&|<>($=]\([^)]", "zsh reads a parenthesis in a word as a glob qualifier"),
    (r"\$\{\(", "zsh expansion flags"),
    (r"\$\{[^}]*:[a-zA-Z&]|\$\w+:[a-zA-Z&]", "zsh modifiers"),
    (r"\balias\s+-[gs]", "global and suffix aliases"),
    (r"\[\[[^]]*\[", "zsh evaluates subscripts inside [["),
    (
        (
            r"(?<![\w./-])(?:repeat|foreach|end|r|zle|bindkey|print|autoload|zmodload|emulate|setopt"
            r"|unsetopt|sched|vared|functions|aliases|nocorrect|noglob|zcompile|compdef"
            r"|zstyle|coproc|select|zf_\w+|zpty|ztcp|zsocket|zargs|zmv|zcalc|zformat|zparseopts"
            r"|compctl|sysopen|syswrite|add-zsh-hook)(?![\w./-])"
        ),
        "a word that zsh reads in its own way",
    ),
    (r"\*\*|\^|~(?![/\s]|$)|<\d*-\d*>", "zsh globs"),
    (r"(?:^|[\s;&|])(?:if|while|for)\b[^;\n]*\{", "zsh's short forms of loops"),
    (r"&!|&\||>\||>>\||<>|>&!|>!", "operators of zsh"),
    (r"\$\+|\$=|\$~|\$\^", "zsh parameter forms"),
    (r"\{[^}]*[^\s,.}]-[^}]*\}", "zsh brace ranges"),
    (
        (
            r"(?:^|[;&|({!\n]|\b(?:then|do|else|elif|if|while|until|time)\s)\s*(?:\w+=\S*\s+)*\d*"
            rf"{_REDIRECTION}(?:\s*{_REDIRECTION})*\s*(?:$|[;&|)}}\n])"
        ),
        "a redirection alone starts a pager in zsh",
    ),
    (r"\\x(?![0-9a-fA-F])", "an escape that zsh reads otherwise"),
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
    if dialect is Dialect.ZSH:
        command = _without_quoted(command)
    if table and command.count("{") + command.count("[[") > MAX_OPENERS:
        return ["too many braces to tell how this shell reads them"]
    return [reason for pattern, reason in table if re.search(pattern, command)]


_ODD_QUOTES: Final = re.compile(r"\$'|#|<<|`")
_QUOTED: Final = re.compile(r"\\.|'[^']*'|\"(?:[^\"\\$]|\\.|\$(?!\())*\"|[^'\"\\]", re.DOTALL)


def _without_quoted(command: str) -> str:
    """Leave out what stands in single quotes, which all shells read alike.

    All of it is kept where it is not plain what is quoted: comments, here-documents, other quotes,
    and quotes within substitutions within quotes. What eval runs is judged as a text of its own.
    """
    if _ODD_QUOTES.search(command):
        return command
    pieces = [match.group() for match in _QUOTED.finditer(command)]
    if sum(map(len, pieces)) != len(command):
        return command
    return "".join("''" if piece[0] == "'" else piece for piece in pieces)
