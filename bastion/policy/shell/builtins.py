"""Builtins of the shell that run text, or change what later text means."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bastion.policy.facts import Access, OpaqueKind, Word
from bastion.policy.shell import environment, feeds, integrity
from bastion.policy.shell.shells import run_script, run_word
from bastion.policy.shell.state import (
    Call,
    Place,
    Reader,
    joined,
    normalise,
    text_of,
)

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
    reader.defines("what eval ran")
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
    reader.defines(f"what {text_of(operands[0])} holds")
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
            integrity.defines(reader, "alias", name, call.place)
            # In a shell that is watched, each use of it is shown as what it became.
            shown = reader.own is not None and reader.own.neutral
            reader.read_text(value, replace(place, extra_operands=not shown))


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
            environment.assigned(reader, word.text.partition("[")[0], None, call.place)
            environment.subscripted(reader, word.text)


def declare(reader: Reader, call: Call) -> None:
    """Read `export`, `declare`, `typeset`, `local`, `readonly`."""
    letters = "".join(text_of(w)[1:] for w in call.operands if text_of(w).startswith("-"))
    for word in call.operands:
        known = word.text if word.text is not None else word.prefix
        if word.dynamic == "tilde":
            known = word.raw
        if known.startswith("-"):
            continue
        name, equals, value = known.partition("=")
        _declared(reader, call, name.removesuffix("+").partition("[")[0], value, letters)
        if call.program != "export" and _compound(word, value):
            reader.cannot_tell(OpaqueKind.CODE, "a quoted list of an array is expanded", word.raw)
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
                environment.assigned(reader, name, literal, call.place)


def _compound(word: Word, value: str) -> bool:
    """Whether bash would read `declare -a 'a=($(cmd))'` once more, as a list of words."""
    active = word.text is None or re.search(r"[$`\[<>]", value) is not None
    return active and value.startswith("(") and re.match(r"\w+\+?=\(", word.raw) is None


def _declared(reader: Reader, call: Call, name: str, value: str, letters: str) -> None:
    """Judge a declared name and its attributes."""
    integrity.assigns(reader, name, call.place)
    if call.program in ("export", "readonly"):
        return
    if "n" in letters:
        integrity.assigns(reader, value.partition("[")[0], call.place)
        reader.defines(f"reference {name}")
        reader.cannot_tell(
            OpaqueKind.ENVIRONMENT, f"{name} stands for another variable from here on", name
        )
    if "i" in letters:
        reader.defines(f"integer {name}")
        environment.evaluated(reader, set(re.findall(r"(?<!\w)[A-Za-z_]\w*", value)))


def shell_feed_downloads(reader: Reader, word: Word, place: Place) -> bool:
    """Tell whether a word holds a download."""
    parts = dict(place.sources).get(word.raw)
    return bool(parts) and feeds.of_parts(parts or [], reader.state.tainted).kind == "download"


def assign_names(reader: Reader, call: Call) -> None:
    """Read `read`, `mapfile`, `getopts`, `printf -v`, …: they assign to variables by name."""
    words = call.operands
    for index, word in enumerate(words):
        # A file may be named like a variable, at a prompt where lines went before.
        if word.text is None and (word.dynamic != "glob" or reader.prompt is not None):
            before = words[index - 1].text or "" if index else ""
            if not re.fullmatch(r"-[a-zA-Z]*[adeintNpPtuUOscC]", before):
                reader.cannot_tell(
                    OpaqueKind.ENVIRONMENT, "a name that is not literal is assigned", word.raw
                )
        elif word.dynamic == "glob":
            environment.subscripted(reader, word.raw)
        elif word.text and re.fullmatch(r"[A-Za-z_]\w*(\[.*)?", word.text):
            name = word.text.partition("[")[0]
            reader.state.untrusted.add(name)
            reader.state.loose.add(name)
            environment.assigned(reader, name, None, call.place, lasting=True)
            environment.subscripted(reader, word.text)


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
                found = words[index + 1]
                if found.text is None:
                    reader.cannot_tell(OpaqueKind.CODE, "a word list is expanded", found.raw)
                environment.expansions(reader, text_of(found), call.place.within("complete -W"))


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
            environment.assigned(reader, name.partition("[")[0], None, call.place)


def wait(reader: Reader, call: Call) -> None:
    """Read `wait`: `-p` names a variable."""
    for before, word in zip(call.operands, call.operands[1:], strict=False):
        if re.fullmatch(r"-[fn]*p", before.text or ""):
            assign_names(reader, replace(call, argv=[call.argv[0], word]))


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
        else:
            environment.evaluated(reader, set(re.findall(r"(?<!\w)[A-Za-z_]\w*", word.text)))


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
        reader.defines(f"what {call.program} changed")
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
    "wait": wait,
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
