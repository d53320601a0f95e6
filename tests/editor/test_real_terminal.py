"""The editor on a terminal that nobody here wrote: tmux shows what a person would see."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.story,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]


class Tmux:
    """One window of tmux with the editor in it."""

    def __init__(self, folder: Path, columns: int, rows: int, term: str) -> None:
        self.term = term
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        work = folder / "work"
        work.mkdir()
        for name in ("alpha", "alpine", "a b"):
            (work / name).touch()
        program = [sys.executable, "-m", "tests.editor.on_terminal"]
        start = ["env", f"TERM={term}", f"PYTHONPATH={ROOT}", *program]
        command = f"cd {shlex.quote(str(work))} && {shlex.join(start)}; sleep 600"
        size = ["-x", str(columns), "-y", str(rows)]
        self.run("new-session", "-d", *size, command, env={**os.environ, "LC_ALL": "C.UTF-8"})

    def run(self, *words: str, env: dict[str, str] | None = None) -> str:
        return subprocess.run(
            [*self._tmux, *words], check=True, capture_output=True, text=True, env=env
        ).stdout

    def keys(self, *keys: str) -> None:
        self.run("send-keys", *keys)

    @property
    def rows(self) -> list[str]:
        return [row.rstrip() for row in self.run("capture-pane", "-p").splitlines()]

    @property
    def coloured(self) -> str:
        return self.run("capture-pane", "-ep")

    @property
    def column(self) -> int:
        return int(self.run("display-message", "-p", "#{cursor_x}"))

    async def shows(self, condition: Callable[[list[str]], bool]) -> None:
        """Wait until the screen is so."""
        try:
            async with asyncio.timeout(30):
                while not condition(self.rows):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError("\n".join(self.rows)) from None

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


@pytest.fixture(params=[(80, 24, "tmux-256color"), (200, 50, "xterm"), (60, 8, "vt100")], ids=str)
async def tmux(request, tmp_path):
    window = Tmux(tmp_path, *request.param)
    await window.shows(lambda rows: rows[0].startswith("deploy@web1:") and rows[0].endswith("$"))
    yield window
    window.close()


async def test_a_session_as_a_person_sees_it(tmux):
    prompt = tmux.rows[0] + " "
    tmux.keys("sudo reboot")
    await tmux.shows(lambda rows: rows[1].startswith("denied by no-reboot"))
    assert tmux.rows[0] == prompt + "sudo reboot"
    tmux.keys("C-c")
    await tmux.shows(lambda rows: rows[1] == prompt.rstrip())
    assert tmux.rows[0] == prompt + "sudo reboot^C"
    tmux.keys("ls al", "Tab")
    await tmux.shows(lambda rows: rows[1] == prompt + "ls alp")
    tmux.keys("Tab", "Tab")
    await tmux.shows(lambda rows: rows[1:3] == [prompt + "ls alpha", "alpha   alpine"])
    tmux.keys("Tab", "Enter")
    await tmux.shows(lambda rows: rows[2] == "")
    tmux.keys("Enter")
    await tmux.shows(lambda rows: rows[2:4] == ["ran 'ls alpine'", prompt.rstrip()])
    tmux.keys("cat <<EOF", "Enter", "two words", "Enter", "EOF", "Enter")
    await tmux.shows(lambda rows: r"ran 'cat <<EOF\ntwo words\nEOF'" in rows)
    tmux.keys("C-d")


async def test_wide_and_combining_characters(tmux):
    prompt = tmux.rows[0] + " "
    tmux.run("send-keys", "-H", *(f"{byte:02x}" for byte in "世e\u0301👍x".encode()))
    await tmux.shows(lambda rows: rows[0] == prompt + "世e\u0301👍x")
    assert tmux.column == len(prompt) + 6
    tmux.keys("Left", "Left")
    tmux.keys("BSpace")
    await tmux.shows(lambda rows: rows[0] == prompt + "世👍x")
    assert tmux.column == len(prompt) + 2


async def test_a_line_that_wraps_and_a_window_that_changes(tmux):
    tmux.keys("echo " + "x" * 220)
    await tmux.shows(lambda rows: sum(row.count("x") for row in rows) == 220)
    tmux.run("resize-window", "-x", "50", "-y", "20")
    tmux.keys("y", "Enter")
    await tmux.shows(lambda rows: any("xy'" in row for row in rows))


async def test_a_status_is_shown_in_colour_where_there_are_colours(tmux):
    tmux.keys("false", "Enter")
    await tmux.shows(lambda rows: any("[127]" in row for row in rows))
    assert ("\x1b[31m[127]" in tmux.coloured) is (tmux.term != "vt100")
