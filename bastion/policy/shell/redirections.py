"""Redirections: what they open, and what a command then reads and shows."""

from __future__ import annotations

import re
from dataclasses import replace

from bastion.policy.facts import Access, OpaqueKind, Word
from bastion.policy.shell import environment, feeds, integrity
from bastion.policy.shell.state import CHANNEL, Feed, Place, Reader
from bastion.policy.shell.tree import RawWord, Redirect
from bastion.policy.shell.words import expand_one


def redirected(reader: Reader, redirect: Redirect, target: RawWord, place: Place) -> Place:
    """List what one redirection opens; give the place with its new standard input or output."""
    operator = redirect.operator
    word = expand_one(target)
    integrity.redirection(reader, redirect, word)
    if operator == "<<<":
        feed = feeds.of_word(target, reader.state.tainted)
        return replace(place, feed=feed) if redirect.fd in ("", "0") else place
    if redirect.fd.startswith("{"):
        environment.assigned(reader, redirect.fd.strip("{}"), None, place)
    duplicates = operator in ("<&", ">&") and bool(re.fullmatch(r"[0-9]*-?", word.text or "x"))
    if operator == ">&" and not duplicates:
        _expanded_twice(reader, word, place)
    if not duplicates:
        if operator in ("<", "<>", "<&"):
            reader.opens(word, Access.READ, "", redirection=True)
        if operator not in ("<", "<&"):
            reader.opens(word, Access.WRITE, "", redirection=True)
    if operator in ("<", "<>", "<&") and redirect.fd in ("", "0"):
        return replace(place, feed=_opened(reader, word, target, duplicates))
    if redirect.fd in ("", "1") and operator not in ("<", "<>", "<&"):
        if re.match(r"/dev/(tty|pts/|console)", word.text or ""):
            return replace(place, shown=True, terminal=True)
        return replace(place, shown=duplicates and place.shown)
    return place


def _expanded_twice(reader: Reader, word: Word, place: Place) -> None:
    """Bash expands the word of `>&word` a second time when it turns out to be no number."""
    if word.text is None:
        reader.cannot_tell(OpaqueKind.CODE, "bash expands this word twice", word.raw)
    elif re.search(r"[$`]", word.text):
        environment.expansions(reader, word.text, place)


def _opened(reader: Reader, word: Word, target: RawWord, duplicates: bool) -> Feed:
    if duplicates:
        return Feed("unknown")
    substituted = feeds.of_parts(target.parts, reader.state.tainted)
    if word.dynamic == "substitution":
        return substituted
    if word.text is None:
        return Feed("unknown")
    if word.text == "/dev/null":
        return Feed("text", "")
    if re.match(r"/dev/(tcp|udp)/", word.text):
        return Feed("download")
    return CHANNEL if word.text in ("/dev/stdin", "/dev/fd/0") else Feed("file", word.text)
