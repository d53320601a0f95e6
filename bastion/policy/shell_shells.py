"""Shells, and the builtins that run text: what they are given, and whether it can be read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bastion.model import Dialect
from bastion.policy import shell_code, shell_dialects, shell_env, shell_feed
from bastion.policy.facts import Access, OpaqueKind, Word
from bastion.policy.shell_state import (
    UNKNOWN,
    Call,
    Feed,
    Place,
    Reader,
    joined,
    names,
    normalise,
    text_of,
)
from bastion.policy.shell_tree import Parameter

SHELLS: Final = names(
    """
    sh bash dash zsh ksh ash mksh rbash rksh rzsh pdksh lksh yash posh oksh hush csh tcsh fish
    bash-static ksh93 zsh-static zsh5 rsh-shell sash nu xonsh elvish pwsh powershell osh ysh
    """
)
_FOREIGN: Final = names(
    """
    csh tcsh fish nu xonsh elvish pwsh powershell
    """
)
_DIALECTS: Final = {
    "sh": Dialect.SH,
    "dash": Dialect.SH,
    "ash": Dialect.SH,
    "posh": Dialect.SH,
    "yash": Dialect.SH,
    "hush": Dialect.SH,
    "zsh": Dialect.ZSH,
    "rzsh": Dialect.ZSH,
}
_VALUE_OPTIONS: Final = frozenset({"--rcfile", "--init-file", "--emulate"})
_PLAIN_LONG: Final = names(
    """
    --norc --noprofile --login --posix --restricted --verbose --noediting --no-rcs --no-config
    --dump-strings --dump-po-strings --pretty-print
    """
)


def feed_of(word: Word, place: Place, reader: Reader) -> Feed:
    """Tell what a dynamic word becomes when it is used as code."""
    if word.text is not None:
        return Feed("text", word.text)
    parts = dict(place.sources).get(word.raw)
    if parts is None:
        return UNKNOWN
    meaningful = [part for part in parts if getattr(part, "text", None) != ""]
    if len(meaningful) == 1 and isinstance(meaningful[0], Parameter):
        return Feed("download") if meaningful[0].name in reader.state.tainted else UNKNOWN
    return shell_feed.of_parts(meaningful, reader.state.tainted)


def run_feed(reader: Reader, call: Call, feed: Feed, language: str = "shell") -> None:
    """Read code that arrives on standard input, from a file or as an argument."""
    name = call.program
    if feed.kind == "text":
        # What came by standard input is used up; other code still reads from it.
        left = UNKNOWN if feed is call.place.feed else call.place.feed
        within = replace(call.place.within(name), feed=left)
        if language == "shell":
            dialect = _DIALECTS.get(name.split()[0], Dialect.BASH)
            for reason in shell_dialects.differences(dialect, feed.text):
                reader.cannot_tell(OpaqueKind.DIALECT, reason, feed.text)
            reader.read_text(feed.text, replace(within, posix=dialect is Dialect.SH))
        elif language == "awk":
            shell_code.read_awk(reader, feed.text, within)
        elif language == "sed":
            shell_code.read_sed(reader, feed.text, within)
        else:
            shell_code.read_code(reader, language, feed.text, within)
    elif feed.kind == "download":
        reader.downloaded(f"a download into {name}")
    elif feed.kind == "file":
        reader.opens(Word(feed.text, feed.text), Access.READ, name)
        reader.cannot_tell(OpaqueKind.SCRIPT, f"{name} runs the file {feed.text}", feed.text)
    elif feed.kind == "channel":
        reader.cannot_tell(OpaqueKind.INTERACTIVE, f"{name} reads commands from its input", name)
    else:
        reader.cannot_tell(OpaqueKind.CODE, f"{name} runs text that is not literal", name)


def run_word(reader: Reader, call: Call, word: Word, language: str = "shell") -> None:
    """Read a word as code."""
    feed = feed_of(word, call.place, reader)
    if word.text is None and feed.kind == "text":
        # The text is known only as far as the program printing it is what it seems to be.
        reader.cannot_tell(OpaqueKind.CODE, f"{call.program} runs what a command prints", word.raw)
    run_feed(reader, call, feed, language)


def run_script(reader: Reader, call: Call, word: Word, language: str = "shell") -> None:
    """Read a word as the name of a script."""
    if word.dynamic == "substitution" and word.raw.startswith("<("):
        run_feed(reader, call, feed_of(word, call.place, reader), language)
        return
    if word.text in ("/dev/stdin", "-", "/dev/fd/0", "/proc/self/fd/0"):
        run_feed(reader, call, call.place.feed, language)
        return
    reader.opens(word, Access.READ, call.program)
    shown = text_of(word)
    reader.cannot_tell(OpaqueKind.SCRIPT, f"{call.program} runs the file {shown}", shown)


def shell(reader: Reader, call: Call) -> None:
    """Read `sh`, `bash`, … with any options."""
    operands, letters, reset = _shell_options(reader, call)
    if call.program in _FOREIGN:
        reader.cannot_tell(
            OpaqueKind.DIALECT, f"{call.program} reads another language", call.program
        )
    named = replace(call, program=call.program + (" -c" if "c" in letters else ""))
    if "c" in letters:
        if operands:
            run_word(reader, named, operands[0])
        elif call.extra_operands:
            reader.cannot_tell(OpaqueKind.CODE, f"{call.program} runs text from its input", "")
    elif "n" in letters and not reset:
        for word in operands[:1]:
            reader.opens(word, Access.READ, call.program)
    elif operands and "s" not in letters:
        run_script(reader, call, operands[0])
    elif call.extra_operands:
        reader.cannot_tell(OpaqueKind.SCRIPT, f"{call.program} runs files named at run time", "")
    else:
        run_feed(reader, call, call.place.feed)


def _shell_options(reader: Reader, call: Call) -> tuple[list[Word], str, bool]:
    """Split a shell's words into operands and option letters; tell whether `+x` was among them."""
    words, letters, reset, index = call.operands, "", False, 0
    while index < len(words):
        text = words[index].text
        if text is None:
            if "c" not in letters:
                reader.cannot_tell(
                    OpaqueKind.CODE, "a shell's options are not literal", words[index].raw
                )
            break
        if text in ("--", "-"):
            index += 1
            break
        if text.startswith("--"):
            if text.partition("=")[0] in _VALUE_OPTIONS:
                reader.cannot_tell(OpaqueKind.SCRIPT, "a shell is given a start-up file", text)
                index += 1
            elif text not in _PLAIN_LONG:
                reader.cannot_tell(OpaqueKind.CODE, "an option of a shell is not known", text)
            if text == "--command":
                letters += "c"
        elif text[:1] in ("-", "+") and len(text) > 1:
            reset = reset or text[0] == "+"
            letters += text[1:] if text[0] == "-" else ""
            index += sum(text.count(letter) for letter in "oO")
        else:
            break
        index += 1
    return words[index:], letters, reset


# --- builtins ---------------------------------------------------------------------------------


def evaluate(reader: Reader, call: Call) -> None:
    """Read `eval`."""
    operands = call.operands
    if operands and operands[0].text == "--":
        operands = operands[1:]
    text = joined(operands)
    if text is not None:
        reader.read_text(text, call.place.within("eval"))
        return
    for word in operands:
        if word.text is None:
            run_word(reader, call, word)
    _guess(reader, operands, call.place.within("eval"))


def _guess(reader: Reader, operands: list[Word], place: Place) -> None:
    """Read the literal part all the same, so that a deny can match; the reading is opaque."""
    reader.read_text(" ".join(text_of(word) for word in operands), place)


def source(reader: Reader, call: Call) -> None:
    """Read `.` and `source`."""
    operands = [word for word in call.operands if word.text != "--"]
    if not operands:
        return
    run_script(reader, call, operands[0])


def trap(reader: Reader, call: Call) -> None:
    """Read `trap`: its text runs later; taking a trap away may blind a hook of ours."""
    operands = [word for word in call.operands if word.text != "--"]
    if not operands or operands[0].text in ("-p", "-l"):
        return
    signals = {text_of(word).upper() for word in operands[1:]}
    if signals & {"DEBUG", "RETURN", "ERR"} or any(word.text is None for word in operands[1:]):
        reader.cannot_tell(OpaqueKind.ENVIRONMENT, "a hook of the shell is changed", "trap")
    if operands[0].text != "-" and len(operands) > 1:
        run_word(reader, call, operands[0])


def alias(reader: Reader, call: Call) -> None:
    """Read `alias`: what stands after the alias is added to its value."""
    for word in call.operands:
        if word.text is None:
            reader.cannot_tell(OpaqueKind.ENVIRONMENT, "an alias is not literal", word.raw)
        name, equals, value = (word.text or "").partition("=")
        if name.startswith("-") and name != "-p" and equals == "":
            reader.cannot_tell(OpaqueKind.DIALECT, "an alias of another shell", word.raw)
        if equals:
            place = call.place.within(f"alias {name}")
            reader.read_text(value, replace(place, extra_operands=True))


def unalias(reader: Reader, call: Call) -> None:
    """Read builtins that define or undefine by name: a name that is not literal may be any."""
    for word in call.operands:
        if word.text is None:
            reader.cannot_tell(
                OpaqueKind.ENVIRONMENT, f"{call.program} of a name that is not literal", word.raw
            )


def unset(reader: Reader, call: Call) -> None:
    """Read `unset`."""
    unalias(reader, call)
    for word in call.operands:
        if word.text and not word.text.startswith("-"):
            shell_env.assigned(reader, word.text, None, call.place)


def declare(reader: Reader, call: Call) -> None:
    """Read `export`, `declare`, `typeset`, `local`, `readonly`."""
    for word in call.operands:
        known = word.text if word.text is not None else word.prefix
        if word.dynamic == "tilde":
            known = word.raw
        if known.startswith("-"):
            continue
        name, equals, value = known.partition("=")
        if word.text is None and not equals:
            reader.cannot_tell(
                OpaqueKind.ENVIRONMENT, "a name that is not literal is assigned", word.raw
            )
        elif equals or call.program == "export":
            name = name.removesuffix("+").partition("[")[0]
            literal = (
                Word(value, value) if word.text is not None else Word(None, word.raw, word.dynamic)
            )
            if equals:
                if shell_feed_downloads(reader, word, call.place):
                    reader.state.tainted.add(name)
                shell_env.assigned(reader, name, literal, call.place)


def shell_feed_downloads(reader: Reader, word: Word, place: Place) -> bool:
    """Tell whether a word holds a download."""
    parts = dict(place.sources).get(word.raw)
    return bool(parts) and shell_feed.of_parts(parts or [], reader.state.tainted).kind == "download"


def assign_names(reader: Reader, call: Call) -> None:
    """Read `read`, `mapfile`, `getopts`, `printf -v`, …: they assign to variables by name."""
    words = call.operands
    for index, word in enumerate(words):
        if word.text is None and word.dynamic != "glob":
            before = words[index - 1].text or "" if index else ""
            if not re.fullmatch(r"-[a-zA-Z]*[adeintNpPtuUOscC]", before):
                reader.cannot_tell(
                    OpaqueKind.ENVIRONMENT, "a name that is not literal is assigned", word.raw
                )
        elif word.text and re.fullmatch(r"[A-Za-z_]\w*(\[.*)?", word.text):
            name = word.text.partition("[")[0]
            reader.state.untrusted.add(name)
            shell_env.assigned(reader, name, None, call.place, lasting=True)


def map_file(reader: Reader, call: Call) -> None:
    """Read `mapfile`: `-C` names a command."""
    assign_names(reader, call)
    callbacks(reader, call)


def callbacks(reader: Reader, call: Call) -> None:
    """Read the `-C command` of mapfile, complete and compgen, and `-F function`."""
    words = call.operands
    for index, word in enumerate(words):
        text = word.text if word.text is not None else word.prefix
        if re.match(r"-[a-zA-Z]*C", text):
            rest = re.sub(r"^-[a-zA-Z]*?C", "", text)
            # The shell adds words of its own.
            call = replace(call, place=replace(call.place, extra_operands=True))
            if rest:
                run_word(reader, call, Word(rest, rest) if word.text else word)
            elif index + 1 < len(words):
                run_word(reader, call, words[index + 1])
    if call.program in ("complete", "compgen", "compopt"):
        for index, word in enumerate(words[:-1]):
            if word.text == "-W":
                shell_env.expansions(
                    reader, text_of(words[index + 1]), call.place.within("complete -W")
                )


def print_formatted(reader: Reader, call: Call) -> None:
    """Read `printf`: only `-v` matters."""
    words = call.operands
    first = text_of(words[0]) if words else ""
    if first.startswith("-v"):
        name = first[2:] or (words[1].text if len(words) > 1 else None)
        if name is None or re.fullmatch(r"[A-Za-z_]\w*(\[[\w$@*]*\])?", name) is None:
            reader.cannot_tell(
                OpaqueKind.ENVIRONMENT, "a name that is not plain is assigned", first
            )
        else:
            shell_env.assigned(reader, name.partition("[")[0], None, call.place)


def test_builtin(reader: Reader, call: Call) -> None:
    """Read `test` and `[`: `-v` evaluates a subscript."""
    for before, word in zip(call.operands, call.operands[1:], strict=False):
        if before.text == "-v" and word.text is None:
            reader.cannot_tell(
                OpaqueKind.CODE, "test -v evaluates a name that is not literal", word.raw
            )


def let(reader: Reader, call: Call) -> None:
    """Read `let`."""
    for word in call.operands:
        if word.text is None:
            reader.cannot_tell(OpaqueKind.CODE, "let evaluates text that is not literal", word.raw)


def changes_shell(reader: Reader, call: Call) -> None:
    """Read `hash`, `enable`, `bind`, `shopt`, `set`, …: what they change, if anything."""
    texts = [text_of(word) for word in call.operands]
    flags = "".join(text[1:] for text in texts if re.fullmatch(r"[-+][a-zA-Z]+", text))
    dynamic = any(word.text is None for word in call.operands)
    if call.program == "bind":
        bind(reader, call, texts, flags)
        return
    changing = {
        "hash": "p" in flags,
        "enable": bool(set("fdn") & set(flags)) or bool(texts),
        "shopt": bool(set("su") & set(flags)),
        "set": _set_changes(texts),
    }.get(call.program, True)
    if changing or (dynamic and call.program != "set"):
        reader.cannot_tell(
            OpaqueKind.ENVIRONMENT, f"{call.program} changes what later commands mean", call.program
        )


def _set_changes(texts: list[str]) -> bool:
    """`set -euo pipefail` and its like change nothing that matters here."""
    harmless = {
        "pipefail",
        "errexit",
        "nounset",
        "noglob",
        "noclobber",
        "nolog",
        "xtrace",
        "verbose",
        "vi",
        "emacs",
    }
    after_option = False
    for text in texts:
        if text == "--":
            return False
        if after_option:
            if text not in harmless:
                return True
            after_option = False
        elif re.fullmatch(r"[-+][euxvfbmCao]+", text):
            after_option = "o" in text
        else:
            return text[:1] in ("-", "+") and len(text) > 1
    return False


def bind(reader: Reader, call: Call, texts: list[str], flags: str) -> None:
    """Read `bind`: `-x` runs a command at a key, `-f` and key sequences rewrite the keyboard."""
    if not texts or (flags and not set(flags) - set("lpPsSvVX")):
        return
    for text in texts:
        _, colon, command = text.rpartition(":")
        if "x" in flags and colon:
            reader.read_text(command.strip().strip("\"'"), call.place.within("bind -x"))
    reader.cannot_tell(OpaqueKind.ENVIRONMENT, "bind changes what keys mean", "bind")


def history(reader: Reader, call: Call) -> None:
    """Read `history` and `fc`: `fc` runs what the history holds."""
    texts = [text_of(word) for word in call.operands]
    listing = any(re.fullmatch(r"-[a-z]*l[a-z]*", text) for text in texts[:1])
    if call.program == "fc" and not listing:
        reader.cannot_tell(OpaqueKind.CODE, "fc runs commands from the history", "fc")
    if call.program == "r":
        reader.cannot_tell(OpaqueKind.DIALECT, "r runs commands from the history", "r")
    if call.program == "history" and any(re.match(r"-[anrwps]", text) for text in texts):
        for word in call.operands[1:]:
            reader.opens(word, Access.WRITE, "history")


def change_directory(reader: Reader, call: Call) -> None:
    """Read `cd`, `pushd` and `popd`: relative names mean something else from here on."""
    operands = [
        word for word in call.operands if not re.fullmatch(r"-[LPe@n]+|--", word.text or "")
    ]
    if call.program == "popd" or call.program == "dirs":
        reader.state.directories = (*reader.state.directories, None)
        return
    word = operands[0] if operands else Word(None, "~", "tilde")
    text = word.raw if word.dynamic == "tilde" else word.text
    if text is None or re.match(r"[-+]\d*$", text):
        reader.state.directories = (None,)
    elif text.startswith(("/", "~")):
        reader.state.directories = ("" if text == "~" else normalise(text),)
    else:
        reader.state.directories = tuple(
            None if directory is None else normalise(f"{directory}/{text}" if directory else text)
            for directory in reader.state.directories
        )


def zsh_only(reader: Reader, call: Call) -> None:
    """Read names that are builtins of zsh alone."""
    reader.cannot_tell(
        OpaqueKind.DIALECT, f"{call.program} is a builtin of another shell", call.program
    )


BUILTINS: Final[dict[str, Callable[[Reader, Call], None]]] = {
    "cd": change_directory,
    "chdir": change_directory,
    "pushd": change_directory,
    "popd": change_directory,
    "eval": evaluate,
    ".": source,
    "source": source,
    "trap": trap,
    "alias": alias,
    "unalias": unalias,
    "unset": unset,
    "export": declare,
    "declare": declare,
    "typeset": declare,
    "local": declare,
    "readonly": declare,
    "read": assign_names,
    "getopts": assign_names,
    "mapfile": map_file,
    "readarray": map_file,
    "complete": callbacks,
    "compgen": callbacks,
    "compopt": callbacks,
    "printf": print_formatted,
    "test": test_builtin,
    "[": test_builtin,
    "let": let,
    "hash": changes_shell,
    "enable": changes_shell,
    "bind": changes_shell,
    "shopt": changes_shell,
    "set": changes_shell,
    "setopt": changes_shell,
    "unsetopt": changes_shell,
    "emulate": changes_shell,
    "zmodload": changes_shell,
    "autoload": changes_shell,
    "functions": changes_shell,
    "zle": changes_shell,
    "bindkey": changes_shell,
    "compdef": changes_shell,
    "fc": history,
    "history": history,
    "r": history,
    "repeat": zsh_only,
    "foreach": zsh_only,
    "vared": zsh_only,
    "sched": zsh_only,
    "zcompile": zsh_only,
    "zstyle": zsh_only,
    "print": zsh_only,
}
