"""What the start-up files of gated shells do, in the shells themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading

import pytest

from bastion.model import Dialect
from bastion.target.shell import start_up_file
from bastion.wire.shellcontrol import ReportDecoder, ReportKind

TEXTS = ("one\ntwo", "\n\n", "\x1f\nu\x1fn", "é\n" * 700, "x" * 3000)
TIMES = 40


@pytest.mark.parametrize("dialect", [Dialect.BASH, Dialect.ZSH])
def test_reports_of_several_processes_are_never_torn(tmp_path, dialect):
    """bash writes a line at a time: a report with a newline came with others in the middle of it,
    and the gate decided a text that was not what would run."""
    if shutil.which(dialect.value) is None:
        pytest.skip(f"{dialect.value} is not installed")
    os.mkfifo(tmp_path / "reports")
    (tmp_path / "rc").write_text(start_up_file(dialect, own_files=False))
    for number, text in enumerate(TEXTS):
        (tmp_path / f"text{number}").write_text(text)
    script = f"""
        . "$__bastion_dir/rc"
        for n in {" ".join(map(str, range(len(TEXTS))))}; do
          (
            text=$(cat "$__bastion_dir/text$n"; printf .)
            for i in {" ".join(["x"] * TIMES)}; do __bastion_emit S "${{text%.}}"; done
          ) &
        done
        wait
    """
    held = os.open(tmp_path / "reports", os.O_RDWR)
    reader = os.open(tmp_path / "reports", os.O_RDONLY)
    arrived: list[bytes] = []

    def read() -> None:
        while data := os.read(reader, 65536):
            arrived.append(data)

    listener = threading.Thread(target=read)
    listener.start()
    try:
        subprocess.run(
            [dialect.value, "-c", script], check=True, timeout=60, stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "__bastion_dir": str(tmp_path), "__bastion_pty": ""},
        )  # fmt: skip
    finally:
        os.close(held)
        listener.join()
        os.close(reader)
    reports = ReportDecoder().feed(b"".join(arrived))
    said = [report.data for report in reports if report.kind is ReportKind.STEP]
    assert sorted(said) == sorted(TEXTS * TIMES)
