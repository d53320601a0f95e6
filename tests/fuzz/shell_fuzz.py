"""Hold the reader against real bash: `python -m tests.fuzz.shell_fuzz --lines 9000 --seed 7`.

Lines are made from seeds by mutation and run by bash in a folder of their own, with a PATH that
holds stubs which log their words, and a few real programs that run others. Whatever a stub logged
must be among the commands that were read, with its words, or the reading must be opaque.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bastion.model import Dialect
from bastion.policy.facts import Reading, SimpleCommand
from bastion.policy.shell.reading import read
from tests.fuzz.apart import apart

PATIENCE: Final = 0.4
"""Seconds for a line that waits or loops; what ran until then counts."""
STUBS: Final = ("c1", "c2", "c3", "c4", "reboot", "rm")
REAL: Final = ("bash", "sh", "env", "xargs", "timeout", "nice", "nohup", "cat", "tee", "true")
SEEDS: Final = Path(__file__).with_name("shell_seeds.txt").read_text("utf-8").split("\n---\n")

# No slash: nothing outside the folder can be written. No digits that make loops or sizes long.
PIECES: Final = [
    *"'\"`$(){}[]<>|&;!#~*?=,:+-\\@%^ \t\n12ax_",
    "$(", "${", "$((", "((", "))", "[[", "]]", "<<E\n", "\nE\n", "<<<", "<(",
    ">(", "&&", "||", ";;",
    "|&", ">&", "&>", "$'", '$"', "\\\n", " -c ", "c1", "c2", "c3", "reboot",
    "rm -rf", "\\`", "''",
    '""', "{a,b}", "{c3,x}", "if ", "then ", "fi", "do ", "done", "case ",
    "esac", "in ", "time ",
    "coproc ", "!", " ; ", "eval ", "x=", "$x", "${x:-", "@P}", "a[", "]=",
    "exec ", "trap ", "function ",
    "$'\\x63\\x32'", "\\c\\3", "<<-E\n", "<<'E'\n", "for i in ", "$[", "2>&1",
    "{x}>", "select ", "~", "$#", "$$",
    "${#x", "${x#", "${x/", "#", " #", "*)", "(*)", "\r", "builtin ",
    "command ", "export ", "declare ",
]  # fmt: skip


WRAPPINGS: Final = (
    "eval @", "bash -c @", "sh -c @", "trap @ EXIT", "echo @ | bash", "bash <<< @",
    "env x=1 bash -c @", "timeout 1 bash -c @", "if :; then %\nfi", "{ %\n}", "( %\n)",
    "f() { %\n}; f", "x=$(%\n)", "echo `%`", "for i in 1; do %\ndone", "case a in a) %\nesac",
    "cat <<E\n$(%)\nE", "bash <<'E'\n%\nE", ": ${x:=$(%)}", "coproc { %\n}", "! %", "time %",
    "eval eval @", "builtin eval @", "xargs bash -c @ < /dev/null",
)  # fmt: skip
NESTS: Final = (
    "$(%s)", "`%s`", '"$(%s)"', "<(%s)", "{ %s; }", "(%s)", "'%s'", '"%s"', "$((%s))", "${x:-%s}"
)  # fmt: skip


@dataclass
class Figures:
    """What a run came to: only lines in which a stub ran are counted."""

    executing: int = 0
    missed: int = 0
    understood: int = 0
    opaque: int = 0

    def __str__(self) -> str:
        return (
            f"executing {self.executing}, missed {self.missed}, "
            f"understood {self.understood}, opaque {self.opaque}"
        )


class Sandbox:
    """A folder with stubs, and bash with nothing else to find."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "bin"
        self.work = folder / "work"
        self.log = folder / "log"
        self.numbers = itertools.count()
        self.programs.mkdir()
        self.work.mkdir()
        shell = shutil.which("dash") or "/bin/sh"
        for name in STUBS:
            stub = self.programs / name
            stub.write_text(f'#!{shell}\nprintf "%s\\0" "${{0##*/}}" "$@" "<end>" >> "$FUZZ_LOG"\n')
            stub.chmod(0o755)
        for name in REAL:
            real = shutil.which(name)
            if real:
                (self.programs / name).symlink_to(os.path.realpath(real))

    def run(self, line: str) -> list[list[str]]:
        """Give the words of every stub that ran."""
        if any(self.work.iterdir()):
            shutil.rmtree(self.work, ignore_errors=True)
            self.work.mkdir()
        # A process that outlives its line writes to the log of its line.
        self.log.unlink(missing_ok=True)
        self.log = self.log.with_suffix(f".{next(self.numbers)}")
        process = subprocess.Popen(
            [self.programs / "bash", "--norc", "--noprofile", "-c", line],
            cwd=self.work,
            env={"PATH": str(self.programs), "FUZZ_LOG": str(self.log), "HOME": str(self.work),
                 "FUNCNEST": "10", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not self.log.exists():
            return []
        return _calls(self.log.read_bytes().decode("utf-8", "surrogateescape"))


def _calls(log: str) -> list[list[str]]:
    calls: list[list[str]] = []
    words: list[str] = []
    for word in log.split("\0")[:-1]:
        if word == "<end>":
            calls.append(words)
            words = []
        else:
            words.append(word)
    return [call for call in calls if call]


def missed(reading: Reading, calls: list[list[str]]) -> list[list[str]]:
    """Give the calls that the reading does not account for."""
    if reading.opaque:
        return []
    return [
        call for call in calls if not any(accounts(command, call) for command in reading.commands)
    ]


def accounts(command: SimpleCommand, call: list[str]) -> bool:
    """Tell whether a command, as read, may have become this call."""
    if command.program != call[0]:
        return False
    if command.extra_operands or any(word.text is None for word in command.argv[1:]):
        return True
    return [word.text for word in command.argv[1:]] == call[1:]


def lines(seed: int) -> Iterator[str]:
    """Make lines for ever."""
    chance = random.Random(seed)
    while True:
        line = chance.choice(SEEDS)
        for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 4))):
            line = _mutate(line, chance)
        if len(line) < 400 and "\0" not in line:
            yield line


def _mutate(line: str, chance: random.Random) -> str:
    at = chance.randrange(len(line) + 1)
    kind = chance.randrange(8)
    if kind <= 2:
        return line[:at] + chance.choice(PIECES) + line[at:]
    if kind == 3:
        return line[:at] + line[at + chance.randrange(1, 4) :]
    if kind == 4:
        return line[:at] + chance.choice(PIECES) + line[at + chance.randrange(1, 3) :]
    other = chance.choice(SEEDS)
    if kind == 5:
        return line + chance.choice((" ", "; ", "\n", " | ", " && ", "& ")) + other
    if kind == 6:
        return line[:at] + chance.choice(NESTS) % other + line[at:]
    return _wrapped(line, chance)


def _wrapped(line: str, chance: random.Random) -> str:
    quoted = "'" + line.replace("'", "'\\''") + "'"
    template = chance.choice(WRAPPINGS)
    return template.replace("@", quoted).replace("%", line)


@contextlib.contextmanager
def _small_files() -> Iterator[None]:
    """A line in a loop fills no disk: children inherit the limit. Ours is given back."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fuzz(count: int, seed: int, *, show: bool = False) -> tuple[Figures, list[str]]:
    """Run lines until `count` of them executed a stub."""
    figures = Figures()
    wrong: list[str] = []
    with _small_files(), tempfile.TemporaryDirectory() as folder:
        sandbox = Sandbox(Path(folder))
        for line in lines(seed):
            if figures.executing >= count:
                break
            fault = _try(sandbox, line, figures)
            if fault:
                wrong.append(fault)
                if show:
                    print(fault, flush=True)
    return figures, wrong


def _try(sandbox: Sandbox, line: str, figures: Figures) -> str:
    calls = sandbox.run(line)
    if not calls:
        return ""
    figures.executing += 1
    reading = read(line, Dialect.BASH)
    if reading.opaque:
        figures.opaque += 1
        return ""
    figures.understood += 1
    lost = missed(reading, calls)
    figures.missed += bool(lost)
    return f"{line!r} ran {lost}" if lost else ""


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1000, help="executing lines to try")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    figures, wrong = fuzz(arguments.lines, arguments.seed, show=True)
    print(figures)
    return 1 if wrong else 0


if __name__ == "__main__":
    apart("tests.fuzz.shell_fuzz")
    sys.exit(main())
