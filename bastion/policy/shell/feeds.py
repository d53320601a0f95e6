"""What commands print, as far as the text tells: it may be what a shell reads next."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Final

from bastion.policy.facts import Word
from bastion.policy.shell.state import DOWNLOAD, UNKNOWN, Feed, names
from bastion.policy.shell.tree import (
    Compound,
    Node,
    Parameter,
    Part,
    Pipeline,
    RawWord,
    Sequence,
    Simple,
    Substitution,
    children,
)
from bastion.policy.shell.words import expand, expand_one, literal_of

DOWNLOADERS: Final = names(
    """
    curl wget fetch lynx links links2 w3m elinks aria2c axel http https httpie xh GET
    lwp-request lwp-download ftp tftp lftp ncftpget nc ncat netcat socat telnet gsutil s3cmd
    rclone wget2 curlie finger whois openssl-s_client hget
    """
)


def output_of(node: Node, feed: Feed, tainted: set[str]) -> Feed:
    """Tell what `node` prints when it reads `feed`."""
    match node:
        case Pipeline():
            for stage in node.stages:
                feed = output_of(stage, feed, tainted)
            return feed
        case Simple():
            known = _simple(node, feed, tainted)
            if known is not None:
                return known
        case Sequence():
            return _all([output_of(item, feed, tainted) for item in node.items])
        case Compound() if node.keyword in ("{", "(") and not node.redirects:
            return _all([output_of(body, feed, tainted) for body in node.bodies])
    return DOWNLOAD if feed.kind == "download" or _downloads(node, tainted) else UNKNOWN


def of_word(word: RawWord, tainted: set[str]) -> Feed:
    """Tell what a word becomes, as the text of a here-string or of `-c`."""
    text = expand_one(word, assignment=True).text
    return Feed("text", text + "\n") if text is not None else of_parts(word.parts, tainted)


def of_parts(parts: list[Part], tainted: set[str]) -> Feed:
    """Tell what the expansions in a word print."""
    if len(parts) == 1 and isinstance(parts[0], Substitution):
        return output_of(parts[0].body, UNKNOWN, tainted)
    return DOWNLOAD if any(_part_downloads(part, tainted) for part in parts) else UNKNOWN


def _all(feeds: list[Feed]) -> Feed:
    if any(feed.kind == "download" for feed in feeds):
        return DOWNLOAD
    if all(feed.kind == "text" for feed in feeds):
        return Feed("text", "".join(feed.text for feed in feeds))
    return UNKNOWN


def _simple(node: Simple, feed: Feed, tainted: set[str]) -> Feed | None:
    for redirect in node.redirects:
        if redirect.heredoc is not None:
            text = literal_of(redirect.heredoc.body)
            feed = UNKNOWN if text is None else Feed("text", text)
        elif redirect.operator == "<<<" and redirect.target is not None:
            feed = of_word(redirect.target, tainted)
        elif redirect.operator not in (">&", "2>") and redirect.fd != "2":
            return None
    words: list[Word] = []
    for word in node.words:
        if not isinstance(word, RawWord):
            return None
        words.extend(expand(word, {}))
    texts = [
        word.text if word.text is not None else word.raw
        for word in words
        if word.text is not None or word.dynamic == "glob"
    ]
    if not texts or len(texts) != len(words):
        return None
    if any(word.text is None for word in words) and texts[0] != "ls":
        return None
    return _printed(texts, feed)


_FIND_MORE: Final = names(
    "-exec -execdir -ok -okdir -ls -printf -fprint -fprint0 -fprintf -fls -files0-from -delete"
)
_BELOW_HERE: Final = re.compile(
    r"ls( -[1trSUvcu]+)*( [^-/.~ ][^/ ]*)*|git (ls-files|diff --name-only)( -[a-z]+| --[a-z-]+"
    r"| [\w.*^~-]+(/[\w.*-]+)*)*|(fd|fdfind|rg --files)( -[tegH0]| [\w.*$^|\\]+)*"
    r"|(git grep|e?grep|rg)( -[rRinwEFP]*l[rRinwEFP]*| -[rRinwEFP]+| --include=[\w.*-]+)*"
    r"( [^-/.~ ]\S*)( \.| [^-/.~ ][^/ ]*)*"
)
"""What prints names of files below the directory where it runs, and nothing else."""
_LISTS: Final = re.compile(
    r"(?:git grep|e?grep|rg)(?: .*)? -[rRinwEFP]*l|ls|git (?:ls|diff)|fd|rg --f"
)
_FILTER: Final = re.compile(
    r"(head|tail)( -n ?[+-]?\d+| -\d+)?|(sort|uniq)( -[a-z]+)?|[ef]?grep( -[vEiFxz]+)* [^-/ ]\S*"
)
"""What passes whole lines on. That a file's name may hold a newline is not seen here."""


def _found(operands: list[str]) -> Feed:
    """What find prints: names below one directory."""
    starts = list(itertools.takewhile(lambda text: text[:1] not in ("-", "(", "!"), operands))
    root = starts[0] if starts else "."
    return Feed("found", root.rstrip("/") + "/") if len(starts) < 2 else UNKNOWN


def _printed(argv: list[str], feed: Feed) -> Feed | None:
    program, operands = argv[0], argv[1:]
    if program == "find" and not _FIND_MORE.intersection(operands):
        return _found(operands)
    line = " ".join(argv)
    if feed.kind != "found" and _BELOW_HERE.fullmatch(line) and _LISTS.match(line):
        return Feed("found", "./", bare=True) if ".." not in line else UNKNOWN
    if feed.kind == "found":
        return feed if _FILTER.fullmatch(" ".join(argv)) else None
    if program == "echo":
        newline = "\n"
        while operands and re.fullmatch("-[neE]+", operands[0]):
            newline = "" if "n" in operands[0] else newline
            operands = operands[1:]
        text = " ".join(operands)
        # Shells differ on backslashes in echo.
        return UNKNOWN if "\\" in text else Feed("text", text + newline)
    if program == "printf" and operands:
        return _formatted(operands[0], operands[1:])
    if program in ("cat", "tee") and (program == "tee" or not operands or operands == ["-"]):
        return feed
    if program in ("true", ":", "cd"):
        return Feed("text", "")
    return None


def _formatted(template: str, operands: list[str]) -> Feed:
    plain = template.replace(r"\n", "\n").replace(r"\t", "\t")
    if "\\" in plain or re.search(r"%(?!s)", plain) or template.startswith("-"):
        return UNKNOWN
    count = plain.count("%s")
    if not count:
        return Feed("text", plain)
    text = ""
    rest = operands or [""]
    while rest:
        now, rest = rest[:count] + [""] * (count - len(rest[:count])), rest[count:]
        pieces = plain.split("%s")
        text += pieces[0] + "".join(
            value + piece for value, piece in zip(now, pieces[1:], strict=True)
        )
    return Feed("text", text)


# --- downloads --------------------------------------------------------------------------------


def _downloads(node: object, tainted: set[str]) -> bool:
    return any(fetches(each, tainted) for each in _descendants(node))


def fetches(item: object, tainted: set[str]) -> bool:
    """Tell whether this very command, variable or word brings something from the network."""
    if isinstance(item, Simple):
        words = [word for word in item.words if isinstance(word, RawWord)]
        names = [(literal_of(word.parts) or "").rpartition("/")[2] for word in words]
        return any(name in DOWNLOADERS for name in names)
    if isinstance(item, Parameter):
        return item.name in tainted
    return isinstance(item, RawWord) and item.raw.startswith("/dev/tcp/")


def _part_downloads(part: Part, tainted: set[str]) -> bool:
    return any(fetches(each, tainted) for each in _descendants(part))


def _descendants(item: object) -> Iterator[object]:
    waiting = [item]
    while waiting:
        current = waiting.pop()
        yield current
        waiting.extend(children(current))
