"""Shells, and the builtins that run text: what they are given, and whether it can be read."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bastion.model import Dialect
from bastion.policy.facts import Access, OpaqueKind, Word
from bastion.policy.shell import awk_sed, dialects, feeds, languages
from bastion.policy.shell.state import (
    UNKNOWN,
    Call,
    Feed,
    Place,
    Reader,
    names,
    text_of,
)
from bastion.policy.shell.tree import Parameter

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
    return feeds.of_parts(meaningful, reader.state.tainted)


def run_feed(reader: Reader, call: Call, feed: Feed, language: str = "shell") -> None:
    """Read code that arrives on standard input, from a file or as an argument."""
    name = call.program
    if feed.kind == "text":
        # What came by standard input is used up; other code still reads from it.
        left = UNKNOWN if feed is call.place.feed else call.place.feed
        within = replace(call.place.within(name), feed=left)
        if language == "shell":
            dialect = _DIALECTS.get(name.split()[0], Dialect.BASH)
            for reason in dialects.differences(dialect, feed.text):
                reader.cannot_tell(OpaqueKind.DIALECT, reason, feed.text)
            reader.read_text(feed.text, replace(within, posix=dialect is Dialect.SH))
        elif language == "awk":
            awk_sed.read_awk(reader, feed.text, within)
        elif language == "sed":
            awk_sed.read_sed(reader, feed.text, within)
        else:
            languages.read_code(reader, language, feed.text, within)
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
