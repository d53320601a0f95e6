"""How long a decision takes: `python -m tests.bench.bench_decide`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from bastion.model import Dialect, ExecRequest
from bastion.policy.decide import decide
from bastion.policy.parse import parse_policy
from bastion.policy.shell.reading import read
from tests.corpora import REFERENCE, ROOT, WHERE, WHO, exec_cases

ROUNDS: Final = 300
LINES: Final = {
    "ls": "ls",
    "typical": "cd /srv/app && git log --oneline | head -n 20 > /tmp/log",
    "denied": "sudo env A=1 nohup sh -c 'rm -rf /etc'",
    "long": "; ".join(f"echo {number} | grep -c x > /tmp/f{number}" for number in range(100)),
}


def microseconds(command: str, rounds: int = ROUNDS) -> tuple[float, float]:
    """Time of one whole decision, and of reading alone."""
    request = ExecRequest(command)
    start = time.perf_counter()
    for _ in range(rounds):
        decide(POLICY, WHO, WHERE, "ops", request)
    decided = time.perf_counter()
    for _ in range(rounds):
        read(command, Dialect.BASH)
    ended = time.perf_counter()
    return (decided - start) / rounds * 1e6, (ended - decided) / rounds * 1e6


POLICY: Final = parse_policy(Path(REFERENCE).read_text("utf-8"), "reference.yaml")


def main() -> None:
    """Print a line a kind of command, then the whole corpus."""
    for name, command in LINES.items():
        whole, reading = microseconds(command, ROUNDS if name != "long" else 20)
        print(f"{name:8} {whole:9.0f} µs, of which {reading:9.0f} µs reading")
    cases = [case.command for case in exec_cases(ROOT / "vectors" / "exec.tsv")]
    start = time.perf_counter()
    for command in cases:
        decide(POLICY, WHO, WHERE, "ops", ExecRequest(command))
    mean = (time.perf_counter() - start) / len(cases) * 1e6
    print(f"{'corpus':8} {mean:9.0f} µs on average over {len(cases)} lines")


if __name__ == "__main__":
    main()
