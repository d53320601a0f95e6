"""Variables that change what commands mean, and strings that the shell evaluates once more."""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.facts import OpaqueKind, Word
from bastion.policy.shell_lex import Lexer
from bastion.policy.shell_parse import Parser
from bastion.policy.shell_state import Place, Reader
from bastion.policy.shell_tree import Literal, Parameter, RawWord, UnreadableError

_SENSITIVE: Final = re.compile(
    r"PATH|LD_.*|DYLD_.*|BASH_ENV|ENV|HOME|SHELL|SHELLOPTS|BASHOPTS|BASH_ALIASES|BASH_CMDS"
    r"|BASH_FUNC_.*|BASH_XTRACEFD|BASH_COMMAND|BASH_ARGV0|CDPATH|EXECIGNORE|FPATH|ZDOTDIR|INPUTRC"
    r"|PAGER|.*_PAGER|MANPAGER|MANOPT|EDITOR|VISUAL|.*_EDITOR|FCEDIT|BROWSER|LESS|LESS_.*|LESSOPEN"
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
    if name == "IFS":
        # In front of a command it changes nothing but `read`.
        if lasting and literal not in ("", "\n", " \t\n"):
            _poisons(reader, name)
    elif _RUN_LATER.fullmatch(name):
        _runs_later(reader, name, literal, place)
    elif _PROMPTS.fullmatch(name):
        _prompt(reader, name, literal, place)
    elif _SENSITIVE.fullmatch(name):
        if _PROGRAM_VALUES.fullmatch(name) and literal is not None:
            if literal not in _HARMLESS:
                _poisons(reader, name)
                reader.read_text(literal, place.within(name))
        elif not (name == "LESS" and re.fullmatch(r"[-a-zA-Z]*", literal or "?")):
            _poisons(reader, name)


def _poisons(reader: Reader, name: str) -> None:
    reader.cannot_tell(OpaqueKind.ENVIRONMENT, f"{name} changes what commands mean", name)


def _runs_later(reader: Reader, name: str, literal: str | None, place: Place) -> None:
    if literal is None:
        reader.cannot_tell(OpaqueKind.CODE, f"{name} runs text that is not literal", name)
    elif literal:
        reader.read_text(literal, place.within(name))


def _prompt(reader: Reader, name: str, literal: str | None, place: Place) -> None:
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


def suspicious(reader: Reader, word: RawWord, place: Place) -> None:
    """Read `a[$(command)]` inside quotes: arithmetic and many builtins evaluate a subscript."""
    text = "".join(part.text for part in word.parts if isinstance(part, Literal))
    if _EVALUATED.search(text):
        expansions(reader, text, place.within("subscript"))


def test_words(reader: Reader, words: list[Word], place: Place) -> None:
    """Judge `[[ … ]]`."""
