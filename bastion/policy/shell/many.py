"""Programs that start others with words found at run time: xargs, find, parallel."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from bastion.policy.facts import Access, OpaqueKind, Word
from bastion.policy.shell import leeway, shells
from bastion.policy.shell.launch import start
from bastion.policy.shell.peeling import Wrapper, peel
from bastion.policy.shell.state import (
    UNKNOWN,
    Call,
    Reader,
    literal,
    text_of,
)

# --- many commands from one -------------------------------------------------------------------

_XARGS: Final = Wrapper(
    "aEdILnPs",
    "0oprtxie",
    "arg-file delimiter max-args max-procs max-chars process-slot-var",
    "eof replace max-lines null interactive no-run-if-empty verbose exit show-limits open-tty help "
    "version",
)


def xargs(reader: Reader, call: Call) -> None:
    """Read xargs: the words of its input are added to the command."""
    peeled = peel(_XARGS, call.operands)
    for option in peeled.unknown:
        if not re.fullmatch(r"-[iel].*", option):
            reader.cannot_tell(OpaqueKind.COMMAND, "an option of xargs is not known", option)
    source = peeled.option("a", "arg-file")
    if source is not None:
        reader.opens(source, Access.READ, "xargs")
    command = peeled.command or [literal("echo")]
    feed = call.place.feed if source is None else UNKNOWN
    mark = peeled.option("I", "replace")
    marked = text_of(mark) if mark is not None and mark.raw else "{}" if mark is not None else ""
    if any(re.fullmatch(r"-i.*", option) for option in peeled.unknown):
        marked = "{}"
    inner = replace(call, place=replace(call.place, feed=UNKNOWN))
    if feed.kind == "text" and not marked and not re.search(r"['\"\\]", feed.text):
        start(reader, inner, [*command, *(literal(word) for word in feed.text.split())])
        return
    if feed.kind == "download" and text_of(command[0]).rpartition("/")[2] in shells.SHELLS:
        reader.downloaded("a download into xargs")
    split = peeled.option("0", "null") is None
    if feed.kind == "found" and not marked and not (split and reader.prompt is not None):
        # Without -0 a blank in a name splits it, which an earlier line may have seen to.
        if feed.bare:
            leeway.found_names(reader, text_of(command[0]).rpartition("/")[2])
        found = Word(None, "{}", "found", feed.text)
        start(reader, inner, [*command, found] if peeled.command else command)
        return
    if marked:
        command = [_with_input(word, marked) for word in command]
    start(reader, inner, command, extra=not marked)


def _with_input(word: Word, mark: str) -> Word:
    text = word.text
    if text is None or mark not in text:
        return word
    return Word(None, word.raw, "input", text.partition(mark)[0])


_FIND_TESTS: Final = re.compile(
    r"-(i?name|i?path|i?regex|newer\w*|mtime|mmin|size|user|group|type|perm|maxdepth|mindepth|printf"
    r"|i?wholename|i?lname|[ac]min|[ac]time|inum|samefile|regextype)"
)
_FIND_FILES: Final = frozenset({"-fprint", "-fprintf", "-fls", "-fprint0", "-files0-from"})


def find(reader: Reader, call: Call) -> None:
    """Read find: `-exec` and its kin, `-delete`, and files it writes."""
    words = call.operands
    starts = _find_starts(words)
    for word in starts:
        reader.opens(word, Access.METADATA, "find")
        _find_dynamic(reader, word)
    index = len(starts)
    while index < len(words):
        text = text_of(words[index])
        if text in ("-exec", "-execdir", "-ok", "-okdir"):
            end = _find_end(words, index + 1)
            _find_exec(reader, call, words[index + 1 : end], starts, text)
            index = end
        elif text == "-delete":
            within = replace(call.place.within("find -delete"), extra_operands=False)
            roots = starts or [literal(".")]
            reader.run([literal("rm"), literal("-r"), *(_found(root) for root in roots)], within)
        elif text in _FIND_FILES and index + 1 < len(words):
            access = Access.READ if text == "-files0-from" else Access.WRITE
            reader.opens(words[index + 1], access, "find")
        elif not _FIND_TESTS.fullmatch(text_of(words[index - 1])):
            _find_dynamic(reader, words[index])
        index += 1


def _find_dynamic(reader: Reader, word: Word) -> None:
    """A word that is not literal may be `-delete`, or `-exec` with all that follows."""
    if word.text is None and word.dynamic not in ("glob", "tilde") and not word.prefix:
        reader.cannot_tell(OpaqueKind.COMMAND, "an expression of find is not literal", word.raw)


def _find_starts(words: list[Word]) -> list[Word]:
    starts: list[Word] = []
    for word in words:
        known = word.text if word.text is not None else word.prefix
        if known[:1] in ("-", "(", "!") and known not in ("-H", "-L", "-P"):
            break
        starts.append(word)
    return starts


def _find_end(words: list[Word], index: int) -> int:
    """Find the `;` or `{} +` that ends an `-exec`."""
    while index < len(words) and words[index].text not in (";", "\\;"):
        if words[index].text == "+" and words[index - 1].text == "{}":
            break
        index += 1
    return index


def _found(root: Word) -> Word:
    text = text_of(root)
    if root.text is None:
        return root
    return Word(None, text, "found", text if text.endswith("/") else text + "/")


def _find_exec(
    reader: Reader, call: Call, command: list[Word], starts: list[Word], how: str
) -> None:
    if not command:
        return
    prefixes = {text_of(word) for word in starts} or {"."}
    prefix = next(iter(prefixes)) if len(prefixes) == 1 and all(w.text for w in starts) else ""
    prefix = (
        "./"
        if how.endswith("dir")
        else prefix + "/"
        if prefix and not prefix.endswith("/")
        else prefix
    )
    words = []
    for word in command:
        if word.text is not None and "{}" in word.text:
            before = word.text.partition("{}")[0]
            words.append(Word(None, word.raw, "found", before or prefix))
        else:
            words.append(word)
    inner = replace(call, program=f"find {how}", place=replace(call.place, feed=call.place.feed))
    start(reader, inner, words)
