"""Variables that change what commands mean, and strings that the shell evaluates once more."""

from __future__ import annotations

import itertools
import re
from typing import Final

from bastion.policy.facts import OpaqueKind, Word
from bastion.policy.shell import integrity
from bastion.policy.shell.lex import Lexer
from bastion.policy.shell.parse import Parser
from bastion.policy.shell.state import Place, Reader, names
from bastion.policy.shell.tree import (
    Literal,
    Parameter,
    Part,
    Pipeline,
    RawWord,
    Simple,
    Substitution,
    UnreadableError,
)

_SENSITIVE: Final = re.compile(
    r"PATH|LD_.*|DYLD_.*|BASH_ENV|ENV|HOME|SHELL|SHELLOPTS|BASHOPTS|BASH_ALIASES|BASH_CMDS"
    r"|BASH_FUNC_.*|BASH_XTRACEFD|BASH_COMMAND|BASH_ARGV0|CDPATH|EXECIGNORE|FPATH|ZDOTDIR|INPUTRC"
    r"|PAGER|.*_PAGER|MANPAGER|MANOPT|EDITOR|VISUAL|.*_EDITOR|FCEDIT|BROWSER|LESS|LESS_.*|LESSSECURE|LESSOPEN"
    r"|LESSCLOSE|LESSKEY.*|MORE|.*_ASKPASS|.*_RSH|GIT_(?!AUTHOR_|COMMITTER_|TERMINAL_PROMPT).*"
    r"|PYTHON(?!UNBUFFERED|DONTWRITEBYTECODE|UTF8|IOENCODING|HASHSEED|WARNINGS).*|PERL.*"
    r"|RUBY.*|GEM_.*|NODE_OPTIONS|NODE_PATH|LUA_.*|PHPRC|PHP_INI.*|JAVA_TOOL_OPTIONS"
    r"|_JAVA_OPTIONS|JDK_JAVA_OPTIONS|CLASSPATH|MAKEFLAGS|GNUMAKEFLAGS|MAKEFILES|TAR_OPTIONS"
    r"|GREP_OPTIONS|RSYNC_.*|GCONV_PATH|GLIBC_TUNABLES|EXINIT|VIMINIT|VIM|VIMRUNTIME|MYVIMRC"
    r"|NVIM_.*|WGETRC|CURL_HOME|XDG_CONFIG_.*|XDG_DATA_.*|TERMINFO|TERMCAP|OPENSSL_.*|SSL_.*"
    r"|DOCKER_HOST|KUBE_EDITOR|AWKPATH|AWKLIBPATH|SUDO_.*|SYSTEMD_(?!COLORS|LOG).*|CC|CXX|LD|AR"
    r"|SHELL_.*|MAILCAPS|MAIL|MAILPATH|NPM_CONFIG_.*|npm_config_.*|PIP_.*|CARGO_.*|RUSTC.*|GOFLAGS"
    r"|DEBUGINFOD_.*|GDB.*|APT_CONFIG|DPKG_.*|POSIXLY_CORRECT|precmd|preexec|chpwd|fpath|path"
    r"|module_path|psvar|prompt|PROMPT_DIRTRIM|NULLCMD|READNULLCMD|RPS1|RPROMPT|HISTFILE"
)
_HARMLESS: Final = frozenset({"", "cat", "true", ":", "/bin/cat", "/usr/bin/cat", "/bin/true"})
_PROGRAM_VALUES: Final = re.compile(r"(.*_)?PAGER|MANPAGER|(.*_)?EDITOR|VISUAL|BROWSER|.*_ASKPASS")
_PROMPTS: Final = re.compile(r"PS[0-4]|RPS[12]|RPROMPT|PROMPT")
_RUN_LATER: Final = re.compile(r"PROMPT_COMMAND|preexec_functions|precmd_functions")

_EVALUATED: Final = re.compile(r"[A-Za-z_]\w*\[.*(?:\$\(|`|\$\{|<\(|>\()", re.DOTALL)


def assigned(
    reader: Reader, name: str, value: Word | None, place: Place, *, lasting: bool = True
) -> None:
    """Judge one assignment. `value` is None where it comes at run time."""
    literal = value.text if value is not None else None
    reader.state.assigned.add(name)
    if literal is not None and re.search(r"\s|^-", literal):
        reader.state.loose.add(name)
    integrity.assigns(reader, name, place)
    if name == "IFS":
        _splits(reader, literal, place, lasting=lasting)
    elif _RUN_LATER.fullmatch(name):
        _runs_later(reader, name, literal, place)
    elif _PROMPTS.fullmatch(name):
        _prompt(reader, name, literal, place)
    elif _SENSITIVE.fullmatch(name):
        if _PROGRAM_VALUES.fullmatch(name) and literal is not None:
            if literal not in _HARMLESS:
                _poisons(reader, name, lasting=lasting)
                reader.read_text(literal, place.within(name))
        elif not (name == "LESS" and re.fullmatch(r"[-a-zA-Z]*", literal or "?")):
            _poisons(reader, name, lasting=lasting)


def _splits(reader: Reader, literal: str | None, place: Place, *, lasting: bool) -> None:
    """`IFS` in front of a command changes nothing but `read`."""
    if lasting and integrity.in_shell(place):
        reader.defines("variable IFS")
    if lasting and literal not in ("", "\n", " \t\n"):
        _poisons(reader, "IFS")


def _poisons(reader: Reader, name: str, *, lasting: bool = True) -> None:
    if lasting:
        reader.defines(f"variable {name}")
    reader.cannot_tell(OpaqueKind.ENVIRONMENT, f"{name} changes what commands mean", name)


def _runs_later(reader: Reader, name: str, literal: str | None, place: Place) -> None:
    if literal is None:
        reader.cannot_tell(OpaqueKind.CODE, f"{name} runs text that is not literal", name)
    elif literal:
        reader.read_text(literal, place.within(name))


def _prompt(reader: Reader, name: str, literal: str | None, place: Place) -> None:
    if name == "PS4" and (literal is None or re.search(r"[$`]", literal)):
        reader.tampers("PS4 is expanded within the hook that watches the shell", name)
    if literal is None:
        reader.cannot_tell(OpaqueKind.CODE, f"{name} expands text that is not literal", name)
    else:
        expansions(reader, literal.replace("\\$", ""), place.within(name))


def expansions(reader: Reader, text: str, place: Place) -> None:
    """Read the substitutions in a text that the shell expands later."""
    lexer: Lexer = Parser(text)
    try:
        parts = lexer.here_document()
    except UnreadableError as error:
        reader.cannot_tell(error.kind, error.reason, text)
        return
    for note in lexer.notes:
        reader.opaque[note] = None
    reader.read_parts(parts, place)


def parameter(reader: Reader, part: Parameter, place: Place) -> None:
    """Judge `${name…}`: it may assign, too."""
    if part.operator.startswith((":=", "=")):
        assigned(reader, part.name, None, place)
        if reader.own is not None:
            reader.own.forget(part.name)
    if re.match(r":(?![-=?+])", part.operator):
        evaluated(reader, set(_IDENTIFIER.findall(part.operator)))


def suspicious(reader: Reader, word: RawWord, place: Place) -> None:
    """Read `a[$(command)]` inside quotes: arithmetic and many builtins evaluate a subscript."""
    text = "".join(part.text for part in word.parts if isinstance(part, Literal))
    if _EVALUATED.search(text):
        expansions(reader, text, place.within("subscript"))


_NUMBERS: Final = re.compile(
    r"\s*(?:wc|date|nproc|expr|seq|id|getconf|tput|pgrep|grep "
    r"-c|ps|df|du|free|uptime|stat|basename|echo)\b"
)
_IDENTIFIER: Final = re.compile(r"(?<!\w)[A-Za-z_]\w*")
_PLAIN_ARITHMETIC: Final = re.compile(r"[\w\s+*/%()<>=!&|^~?:,-]*")
MAX_VALUES_OF_VALUES: Final = 4
"""`a=b b=c c=d …`: how far values that are names are followed."""
_NUMERIC: Final = names(
    """
    ? # $ ! - RANDOM SECONDS LINENO BASHPID PPID UID EUID COLUMNS LINES SHLVL EPOCHSECONDS
    """
)
"""Always numbers, or nothing that is evaluated (`$-` has no brackets)."""
_COMPARES: Final = frozenset({"-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-v", "-R"})


def trust(reader: Reader, name: str, parts: list[Part]) -> None:
    """Note whether a variable's value comes from outside: then arithmetic may run what it holds."""
    if any(not _is_trusted(reader, part) for part in parts) or _builds_subscript(parts):
        reader.state.untrusted.add(name)
    else:
        reader.state.untrusted.discard(name)


def _is_trusted(reader: Reader, part: Part) -> bool:
    if isinstance(part, Parameter):
        return part.name not in reader.state.untrusted
    if isinstance(part, Substitution):
        return _prints_number(part)
    return True


def _prints_number(part: Substitution) -> bool:
    """Tell by its last program whether a substitution prints a number, or words of this line."""
    items = part.body.items
    last = items[-1] if items else None
    while isinstance(last, Pipeline):
        last = last.stages[-1]
    if not isinstance(last, Simple):
        return False
    return _NUMBERS.match(" ".join(getattr(word, "raw", "") for word in last.words)) is not None


def _builds_subscript(parts: list[Part]) -> bool:
    pairs = itertools.pairwise(parts)
    return any(
        isinstance(before, Literal) and before.text.endswith("[") and not isinstance(after, Literal)
        for before, after in pairs
    )


def arithmetic(reader: Reader, parts: list[Part]) -> None:
    """Judge the variables of an arithmetic text: their values are evaluated in turn."""
    named = {part.name for part in parts if isinstance(part, Parameter)}
    for part in parts:
        if isinstance(part, Literal):
            named |= set(_IDENTIFIER.findall(part.text))
    evaluated(reader, named)


def subscripted(reader: Reader, text: str) -> None:
    """Judge `name[subscript]`, or `[subscript]=` of an array: a subscript is arithmetic."""
    match = re.match(r"\w*\[([^\]]*)\]", text)
    if match:
        evaluated(reader, set(_IDENTIFIER.findall(match.group(1))))


def evaluated(reader: Reader, named: set[str]) -> None:
    """Judge variables whose values the shell evaluates as arithmetic: `a[$(command)]` runs one."""
    for name in sorted(named - _NUMERIC):
        if name.startswith(("BASH", "__")):
            integrity.assigns(reader, name, Place())
        if name in reader.state.untrusted:
            _evaluates(reader, name, later=reader.own is not None)
        elif reader.prompt is not None and name not in reader.state.assigned:
            _held_earlier(reader, name)


def _held_earlier(reader: Reader, name: str, depth: int = 0) -> None:
    """An earlier line may have set it to anything: its value has to be asked for."""
    held = reader.own.held(name) if reader.own is not None else None
    if held is None or depth > MAX_VALUES_OF_VALUES:
        asked = reader.own is not None and reader.own.ask(name)
        _evaluates(reader, name, later=asked)
        return
    for value in held:
        if not _PLAIN_ARITHMETIC.fullmatch(value):
            _evaluates(reader, name)
            continue
        for inner in sorted(set(_IDENTIFIER.findall(value)) - {name} - _NUMERIC):
            _held_earlier(reader, inner, depth + 1)


def _evaluates(reader: Reader, name: str, *, later: bool = False) -> None:
    reader.cannot_tell(
        OpaqueKind.CODE, f"arithmetic evaluates what {name} holds", name, later=later
    )


def test_words(reader: Reader, words: list[RawWord]) -> None:
    """Judge `[[ … ]]`: its numeric operators evaluate arithmetic."""
    if any(word.raw in _COMPARES for word in words):
        for word in words:
            arithmetic(reader, word.parts)
