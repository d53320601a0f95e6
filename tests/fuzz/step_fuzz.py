"""Hold lines and steps against real bash: `python -m tests.fuzz.step_fuzz --lines 9000 --seed 7`.

A line is decided as if entered at a gated prompt. Where it may run, real bash runs it in a shell
whose variables and functions were set before; where it has to be watched, a DEBUG trap asks about
each simple command, with the values it is asked for, and skips what is refused. The policy denies
two stubs and everything that cannot be told: if one of them ran, a step was missed.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import itertools
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bastion.model import Identity, LineRequest, StepRequest, Target
from bastion.policy.actions import Action
from bastion.policy.decide import decide
from bastion.policy.parse import parse_policy
from tests.fuzz.apart import apart
from tests.fuzz.declared import values_of
from tests.fuzz.shell_fuzz import PIECES, Sandbox, _calls, _small_files, lines

POLICY: Final = parse_policy(
    """
version: 1
roles: {all: {match: {a: b}}}
grants:
  - name: all
    roles: all
    targets: {names: "*"}
    logins: app
    session: {shell: gated}
    requests:
      default: allow
      opaque: deny
      deny:
        - name: never
          reason: It must not run.
          command: [{program: reboot}, {program: rm, flags: -r}]
          examples: {match: [reboot, rm -r x], no_match: [rm x]}
""",
    "fuzz.yaml",
)
WHO: Final = Identity("https://id", "1", "ann", roles=frozenset({"all"}))
PATIENCE: Final = 0.8
"""Seconds for a line that waits or loops."""
ROUNDS: Final = 4

BEFORE: Final = r"""
v=reboot; w='reboot a'; o=-rf; g='r*'; s='a b'; e=; n=3; i='a[$(reboot)]'; t=trap; c=c1; d=rm
p='rm -rf x'; q="'"; b='{reboot,c1}'; k='x; reboot'; a=(c1 reboot 'x y'); set -- reboot c1 'rm -r'
f() { "$@"; }
l() { c1 "$1"; $2; }
"""
"""What the session set earlier, by lines that were decided at their time."""
DEFINED: Final = ("function f", "function l")

HOOK: Final = r"""
shopt -s extdebug; set -T
__bastion_hook() {
  local __bastion_v
  read -r -N 1 -u 7 __bastion_v || return 1
  __bastion_asks "$@"
  set -- $?
  printf . >&6
  return $1
}
__bastion_asks() {
  printf '%s\0%s\0' "$__bastion_c" "$PWD" >&8
  while :; do
    IFS= read -r -u 9 __bastion_v
    case $__bastion_v in
      +) return 0 ;;
      -) return 1 ;;
      @) printf '%s\0' "$@" >&8; printf '\1\0' >&8 ;;
      *) declare -p $__bastion_v >&8 2>/dev/null; printf '\0' >&8 ;;
    esac
  done
}
"""
SEEDS: Final = Path(__file__).with_name("step_seeds.txt").read_text("utf-8").split("\n---\n")
MORE_PIECES: Final = (
    "$v", "$w", "$o", "$s", "$e", "$n", "$i", "$c", "$d", '"$v"', '"$@"', "$1", "$2", "${a[1]}",
    "${v:-x}", "${e:-", "f ", "l x ", "${v%", "$((", "$p", "$g", "${!", "[[ ", "]] ", "v=", "e=r",
    "trap", " DEBUG", "trap - ", "$t ", "set +T", "shopt -u extdebug", "unset ", "BASH_COMMAND",
    "enable ", "builtin ", "command ", "eval ", "() { ", "; }", "alias ", "function ", "read ",
    "printf ", "-v ", "declare ", "local ", "-n ", "exec ", ">&8", "9<&", "6>", "return ", "RETURN",
    "printf() { :; }; ",
)  # fmt: skip


@dataclass
class Figures:
    """What a run came to: every line that was made is counted once."""

    lines: int = 0
    refused: int = 0
    static: int = 0
    watched: int = 0
    steps: int = 0
    missed: int = 0

    def __str__(self) -> str:
        return (
            f"lines {self.lines}, missed {self.missed}, static {self.static}, "
            f"watched {self.watched} ({self.steps} steps), refused {self.refused}"
        )


class Watcher:
    """Bash with a DEBUG trap that asks."""

    def __init__(self, folder: Path) -> None:
        self.sandbox = Sandbox(folder)
        self.figures = Figures()

    def run(self, line: str) -> list[list[str]]:
        """Decide one line, run it if it may, and give the words of every stub that ran."""
        self.figures.lines += 1
        directory = str(self.sandbox.work)
        request = LineRequest(line, directory, watched=True)
        verdict = decide(POLICY, WHO, Target("x"), "app", request)
        called = any(name in line for name in ("f", "l")) and verdict.action is Action.ALLOW
        if verdict.action is not Action.ALLOW:
            self.figures.refused += 1
            return []
        watched = bool(verdict.watch) or called
        self.figures.watched += watched
        self.figures.static += not watched
        return self._run(line, watched)

    def run_at_once(self, line: str) -> list[list[str]]:
        """Run a line that nobody decided."""
        return self._run(line, watched=False)

    def _run(self, line: str, watched: bool) -> list[list[str]]:
        sandbox = self.sandbox
        shutil.rmtree(sandbox.work, ignore_errors=True)
        sandbox.work.mkdir()
        sandbox.log.unlink(missing_ok=True)
        sandbox.log = sandbox.log.with_suffix(f".{next(sandbox.numbers)}")
        quoted = "'" + line.replace("'", "'\\''") + "'"
        hook = HOOK + "trap '__bastion_c=$BASH_COMMAND; __bastion_hook \"$@\"' DEBUG\n"
        program = BEFORE + (hook if watched else "") + f"eval {quoted}\n"
        # Whatever the line did, the shell is still watched behind it.
        program += "reboot canary\n" if watched else ""
        ours, theirs, turn = os.pipe(), os.pipe(), os.pipe()
        # Both ends of a pipeline ask at once: who holds the one byte in here may.
        os.write(turn[1], b".")
        given = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (theirs[1], ours[0], *turn)]
        process = subprocess.Popen(
            [sandbox.programs / "bash", "--norc", "--noprofile", "-c",
             "exec 8>&{} 9<&{} 7<&{} 6>&{}\n".format(*given) + program],
            cwd=sandbox.work, pass_fds=given, start_new_session=True,
            env={"PATH": str(sandbox.programs), "FUZZ_LOG": str(sandbox.log),
                 "HOME": str(sandbox.work), "FUNCNEST": "10", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for end in (theirs[1], ours[0], *turn, *given):
            os.close(end)
        try:
            Conversation(theirs[0], ours[1], line, self.figures).hold()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(theirs[0])
            os.close(ours[1])
        if not sandbox.log.exists():
            return []
        return _calls(sandbox.log.read_bytes().decode("utf-8", "surrogateescape"))


class Conversation:
    """What the hook asks, and what it is answered, until the shell ends or patience does."""

    def __init__(self, hears: int, says: int, line: str, figures: Figures) -> None:
        self._hears, self._says, self._line, self._figures = hears, says, line, figures
        self._ends = time.monotonic() + PATIENCE
        self._buffer = b""

    def hold(self) -> None:
        with contextlib.suppress(EOFError, BrokenPipeError):
            first = True
            while True:
                text, directory = self._next(), self._next()
                # The eval that brings the line is the gate's own.
                self._answer("+" if first or self._may_run(text, directory) else "-")
                first = False

    def _may_run(self, text: str, directory: str) -> bool:
        self._figures.steps += 1
        request = StepRequest(text, directory, line=self._line, defined=DEFINED)
        for _ in range(ROUNDS):
            verdict = decide(POLICY, WHO, Target("x"), "app", request)
            if not verdict.unknown:
                break
            values, untold = dict(request.values), request.untold
            for name in verdict.unknown:
                self._answer(name)
                if name == "@":
                    values["@"] = tuple(iter(self._next, "\1"))
                else:
                    held, more = values_of(self._next(), (name,))
                    values |= dict(held)
                    untold += more
            request = StepRequest(
                text, directory, tuple(values.items()), untold, self._line, DEFINED
            )
        return verdict.action is Action.ALLOW and not verdict.unknown

    def _answer(self, text: str) -> None:
        os.write(self._says, text.encode() + b"\n")

    def _next(self) -> str:
        while b"\0" not in self._buffer:
            left = self._ends - time.monotonic()
            if left <= 0 or not select.select([self._hears], [], [], left)[0]:
                raise EOFError
            read = os.read(self._hears, 65536)
            if not read:
                raise EOFError
            self._buffer += read
        text, _, self._buffer = self._buffer.partition(b"\0")
        return text.decode("utf-8", "surrogateescape")


def made(seed: int) -> Iterator[str]:
    """Make lines for ever: from seeds about variables, and from those of the other fuzz."""
    chance = random.Random(seed)
    others = lines(seed)
    while True:
        line = chance.choice(SEEDS) if chance.random() < 0.7 else next(others)
        for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
            at = chance.randrange(len(line) + 1)
            piece = chance.choice(MORE_PIECES if chance.random() < 0.5 else PIECES)
            line = line[:at] + piece + line[at + chance.choice((0, 0, 0, 1, 2)) :]
        if chance.random() < 0.4:
            line += chance.choice(("; ", "\n", " && ", " | ", " ")) + chance.choice(SEEDS)
        if len(line) < 400 and "\0" not in line:
            yield line


def forbidden(calls: list[list[str]]) -> list[list[str]]:
    """Give the calls that no line was allowed to make."""
    return [
        call
        for call in calls
        if call[0] == "reboot"
        or (
            call[0] == "rm"
            and any(
                # With an = among its letters rm says that it knows no such option, and stops.
                word[:1] == "-" and word[:2] != "--" and "r" in word and "=" not in word
                for word in itertools.takewhile(lambda word: word != "--", call[1:])
            )
        )
    ]


def fuzz(count: int, seed: int, *, show: bool = False) -> tuple[Figures, list[str]]:
    """Try `count` lines."""
    wrong: list[str] = []
    with _small_files(), tempfile.TemporaryDirectory() as folder:
        watcher = Watcher(Path(folder))
        for line, _ in zip(made(seed), range(count), strict=False):
            ran = forbidden(watcher.run(line))
            if ran:
                watcher.figures.missed += 1
                wrong.append(f"{line!r} ran {ran}")
                if show:
                    print(wrong[-1], flush=True)
    return watcher.figures, wrong


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    figures, wrong = fuzz(arguments.lines, arguments.seed, show=True)
    print(figures)
    return 1 if wrong else 0


if __name__ == "__main__":
    apart("tests.fuzz.step_fuzz")
    sys.exit(main())
