"""Run the masker over generated secrets and real files: `python -m tests.corpora_masking`.

Every case is a secret of one kind, made anew, in a text of one form, with one trick of a terminal,
cut in one way. It leaks where the secret stands in the text that passed or on the screen of a
terminal that shows it. Real files (sources, manuals, logs of this machine) say how often
something is masked that is none: `--show` prints what was, for people to judge.

    make corpora                                        20,000 cases, 30 MB
    make corpora MASKING="--cases 100000 --megabytes 400 --show"

A case is made from its number, so `--first` makes slices, and a leak is seen again by its number.
"""

from __future__ import annotations

import argparse
import base64
import codecs
import random
import re
import site
import string
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import avt

from bastion.config import load_detectors
from bastion.tap.detect import Detectors
from bastion.tap.known import Known
from bastion.tap.marks import Marks, Masked
from bastion.tap.mask import Masker, Masking
from bastion.tap.screen import ScreenGuard
from tests.masking_forms import ALNUM, FORMED, card, formed, iban, word
from tests.masking_tricks import (
    BESIDE,
    COLUMNS,
    COMPOSED,
    ROWS,
    TRICKS,
    Step,
    among_bytes,
    cuts,
    plain,
    set_off,
)
from tests.tap.secretvectors import vectors

ESCAPES: Final = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|[\x00\x07]"
    rb"|\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0-\xaf]|\xef\xbb\xbf|\xc2\xad|\xef\xb8[\x80-\x8f]"
)
ODD: Final = re.compile(rb"[^\t\r\n -~]")
REAL: Final = (*site.getsitepackages(), "/usr/share/doc", "/usr/share/perl", "/usr/share/vim")
LOGS: Final = ("/var/log",)

MASKING: Final = Masking(
    Detectors(one for one in load_detectors().each if one.always), Marks(b"corpus" * 6)
)


# --- secrets --------------------------------------------------------------------------------------


def pem(rng: random.Random) -> tuple[str, str]:
    """A key of random bytes; what must not show is a line from its middle."""
    name = rng.choice(["RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", ""])
    text = base64.b64encode(rng.randbytes(rng.randrange(120, 1700))).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    body = "\n".join(lines)
    return f"-----BEGIN {name}PRIVATE KEY-----\n{body}\n-----END {name}PRIVATE KEY-----", lines[1]


def prefixed(prefix: str, size: int, letters: str = ALNUM) -> Callable[[random.Random], tuple]:
    """A token: a prefix and random letters."""

    def make(rng: random.Random) -> tuple[str, str]:
        value = word(rng, size, letters)
        return prefix + value, value

    return make


def jwt(rng: random.Random) -> tuple[str, str]:
    """Header, claims, signature."""
    parts = [b'{"alg":"HS256"}', b'{"sub":"%d"}' % rng.randrange(10**9), rng.randbytes(32)]
    text = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    return text, text[-40:]


def assigned(rng: random.Random) -> tuple[str, str]:
    """NAME=value, a YAML line, a JSON pair."""
    value = word(rng, rng.randrange(6, 24), ALNUM + "!#%+-_.")
    value = rng.choice(string.ascii_letters) + value  # what begins like a variable stands for one
    form = rng.choice(["PGPASSWORD={}", "password: {}", '"api_key": "{}"', "client-secret={}"])
    return form.format(value), value


def url(rng: random.Random) -> tuple[str, str]:
    """A connection string."""
    value = word(rng, rng.randrange(6, 20))
    return f"{rng.choice(['postgresql', 'amqp', 'https'])}://app:{value}@db.internal/x", value


def crypt(rng: random.Random) -> tuple[str, str]:
    """A line of /etc/shadow."""
    value = word(rng, 86, ALNUM + "./")
    return f"root:$6${word(rng, 8)}${value}:19000:0:99999:7:::", value


VECTORS: Final = [
    (one.text, one.secrets[0])
    for one in vectors()
    if one.secrets and len(set(one.secrets[0])) > 3  # of a run of ones, any part is like any other
]


def vector(rng: random.Random) -> tuple[str, str]:
    """A text of tests/vectors/secrets.txt."""
    return rng.choice(VECTORS)


KINDS: Final[dict[str, Callable[[random.Random], tuple[str, str]]]] = {
    "private-key": pem,
    "aws-key": prefixed("AKIA", 16, string.ascii_uppercase + "234567"),
    "aws-secret": prefixed("aws_secret_access_key = ", 40, ALNUM + "/+"),
    "gcp-key": prefixed("AIza", 35, ALNUM + "-_"),
    "github-token": prefixed("ghp_", 36),
    "gitlab-token": prefixed("glpat-", 20),
    "slack-token": prefixed("xoxb-", 40),
    "stripe-key": prefixed("sk_live_", 24),
    "openai-key": prefixed("sk-proj-", 40),
    "anthropic-key": prefixed("sk-ant-api03-", 60),
    "npm-token": prefixed("npm_", 36),
    "pypi-token": prefixed("pypi-AgE", 80),
    "jwt": jwt,
    "url-password": url,
    "password": assigned,
    "authorization": prefixed("Authorization: Bearer ", 32),
    "password-hash": crypt,
    "card": card,
    "iban": iban,
    "vector": vector,
}

TOKENS: Final = (
    *("aws-key", "gcp-key", "github-token", "gitlab-token", "slack-token", "stripe-key"),
    *("openai-key", "anthropic-key", "npm-token", "pypi-token", "jwt"),
)
"""Those that are known wherever they stand."""

FORMS: Final = {
    "line": "{}",
    "log": "Nov 24 12:00:01 web1 app[4711]: using {} now",
    "json": '{{"x": 1, "note": "{}", "y": 2}}',
    "table": "| id | {} | ok |",
    "sentence": "the value is {}, and so on.",
}


# --- the run --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One case, made from its number alone."""

    number: int
    kind: str
    trick: str
    secret: bytes
    steps: list[Step]


def case(number: int) -> Case:
    """Make a case."""
    rng = random.Random(number)
    way = rng.random()
    kind = "vector" if way < 0.2 else "form" if way < 0.65 else rng.choice(sorted(KINDS))
    form = ""
    if kind == "form":
        line, secret, form = formed(rng, [KINDS[name] for name in TOKENS])
    else:
        line, secret = KINDS[kind](rng)
        if kind not in {"vector", "private-key"}:
            line = rng.choice(sorted(FORMS.values())).format(line)
    if kind == "private-key":
        line = set_off(line, rng)
        line = line.replace("\n", "\r\n") if rng.random() < 0.5 else line
    data = line.encode()
    start = data.index(secret.encode())
    trick = rng.choice(TRICKS)
    if kind in {"vector", "form"} and trick in BESIDE:  # some are one at a line's beginning alone
        trick = plain
    if ODD.search(data) and trick not in {plain, among_bytes}:  # tricks of their own
        trick = plain
    steps = [*trick(data, rng, start, start + len(secret)), b"\r\n$ "]
    pieces: list[Step] = []
    for step in steps:
        pieces += cuts(step, rng) if isinstance(step, bytes) and step else [step]
    return Case(number, form or kind, trick.__name__, secret.encode(), pieces)


class Shown:
    """All that a client gets, and its terminal."""

    def __init__(self) -> None:
        self.masker = Masker(MASKING, columns=COLUMNS)
        self.guard = ScreenGuard(MASKING, Known(), COLUMNS, ROWS)
        self.screen = avt.Vt(COLUMNS, ROWS, scrollback_limit=0)
        self.columns = COLUMNS
        self.passed = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def step(self, step: Step) -> None:
        """Take what the target sends, or a new size."""
        if isinstance(step, tuple):
            self.columns = self.masker.columns = step[0]
            self.guard.resize(*step)
            self.screen.resize(*step)
        else:
            self._show(self.masker.feed(step))

    def finish(self) -> None:
        """Nothing more comes."""
        self._show(self.masker.finish())

    def _show(self, data: bytes) -> None:
        shown = self.guard.show(data)
        self.passed += shown
        self.screen.feed_str(self._decoder.decode(shown))

    def has(self, secret: bytes, *, composed: bool) -> bool:
        """Whether it stands on the screen or, unless it was composed there, in the bytes."""
        bare = ESCAPES.sub(b"", self.passed)
        if not composed and (secret in self.passed or secret in bare):
            return True
        rows = "".join(line.text.ljust(self.columns) for line in self.screen.view())
        return secret.decode() in rows


def leaks(one: Case) -> bool:
    """Whether the secret passed, at any time."""
    shown, composed = Shown(), one.trick in {trick.__name__ for trick in COMPOSED}
    for step in one.steps:
        shown.step(step)
    stood = shown.has(one.secret, composed=composed)
    shown.finish()
    return stood or shown.has(one.secret, composed=composed)


def run_generated(cases: int, first: int = 0) -> int:
    """Print each leak, then a line; give how many leaked."""
    leaked: Counter[str] = Counter()
    for number in range(first, first + cases):
        one = case(number)
        if leaks(one):
            leaked[f"{one.kind}, {one.trick}"] += 1
            print(f"masking: case {number} leaks: {one.kind}, {one.trick}: {one.steps}"[:400])
    total = sum(leaked.values())
    for what, count in leaked.most_common():
        print(f"masking: {count} leaks of {what}")
    print(
        f"masking: {cases} cases of {len(KINDS)} kinds, {len(FORMS) + FORMED} forms, {len(TRICKS)}"
        " tricks:"
        f" {total} leaks ({100 * total / max(1, cases):.3f} %)"
    )
    return total


def real_files(megabytes: int) -> Iterator[tuple[Path, bytes]]:
    """Text files of this machine, logs first."""
    left = megabytes * 1_000_000
    for root in (*LOGS, *REAL):
        for path in sorted(Path(root).rglob("*")):
            if left <= 0:
                return
            if path.is_symlink() or not path.is_file() or path.stat().st_size > 2_000_000:
                continue
            try:
                data = path.read_bytes()
            except OSError:
                continue
            if b"\0" not in data[:4096]:
                left -= len(data)
                yield path, data


def facts(masker: Masker, data: bytes) -> Iterator[Masked]:
    """What is masked in a file."""
    for at in range(0, len(data), 32768):
        masker.feed(data[at : at + 32768])
        yield from masker.masked
    masker.finish()
    yield from masker.masked


def run_real(megabytes: int, *, show: bool) -> None:
    """Count what is masked in real files; `show` it, with what stands around."""
    size = 0
    marks: Counter[str] = Counter()
    for path, data in real_files(megabytes):
        size += len(data)
        masker = Masker(MASKING)
        for fact in facts(masker, data):
            marks[fact.detector] += 1
            if show:
                around = data[max(0, fact.where - 40) : fact.where + min(60, fact.length) + 5]
                print(f"{path}: {fact.detector}: {around!r}")
    rate = sum(marks.values()) / max(1, size) * 10_000_000
    kinds = ", ".join(f"{name} {count}" for name, count in marks.most_common()) or "nothing"
    print(f"masking: {size / 1e6:.0f} MB of real files: {rate:.2f} marks in 10 MB ({kinds})")


def main() -> int:
    """Run both; a leak ends with exit status 1."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--cases", type=int, default=20_000)
    arguments.add_argument("--first", type=int, default=0, help="the number of the first case")
    arguments.add_argument("--megabytes", type=int, default=30)
    arguments.add_argument("--show", action="store_true", help="print the marks in real files")
    given = arguments.parse_args()
    leaked = run_generated(given.cases, given.first)
    run_real(given.megabytes, show=given.show)
    return int(leaked > 0)


if __name__ == "__main__":
    sys.exit(main())
