"""The player in a real terminal of sixteen colours: its whole screen, and what reaches it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bastion.store.recordings import Recordings
from tests.replay import sessions

PLAYED = """\
$ ls                                    ┃   0:01 ◆ c1 allow ls
done                                    ┃   0:02 ✗ c1 deny rm -rf /etc
                                        ┃   0:12 ! c2 channel-ended finished
                                        ┃   0:20 ? c1 granted fine
                                        ┃
                                        ┃
                                        ┃
                                        ┃
                                        ┃
                                        ┃
                                        ┃
                                        ┃
                                        ┃
                                        ┃
                                        ┃
                                        ┃
                                        ┃
                                        ┃
                                        ┃
                                        ┃
                                        ┃
                                        ┃
━━━━◆━━━✗━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━!━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━●
⏸ 0:20 / 0:20 1×  alice: shell  ? keys"""


class Tmux:
    """One tmux server of this test's own."""

    def __init__(self, folder: Path) -> None:
        self._socket = str(folder / "tmux")
        self.raw = folder / "raw"

    def run(self, *words: str) -> str:
        ran = subprocess.run(
            ["tmux", "-S", self._socket, *words], capture_output=True, text=True, check=True
        )
        return ran.stdout

    def start(self, command: str) -> None:
        """A shell first, so that every byte that the player sends is kept."""
        environment = f"PYTHONPATH={os.getcwd()}"
        self.run("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "sh")
        self.run("pipe-pane", f"cat > {self.raw}")
        self.run("send-keys", f"exec env TERM=screen {environment} {command}", "Enter")

    def until(self, shown: Callable[[str], bool]) -> str:
        """The screen's text, as soon as it satisfies; the test's own deadline ends the wait."""
        while not shown(screen := self.run("capture-pane", "-p")):
            threading.Event().wait(0.05)
        return screen


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed")
    tmux = Tmux(tmp_path)
    yield tmux
    subprocess.run(["tmux", "-S", str(tmp_path / "tmux"), "kill-server"], capture_output=True)


def test_a_session_as_it_stands_on_the_screen(tmp_path: Path, tmux: Tmux) -> None:
    folder = sessions.write(tmp_path)
    tmux.start(f"{sys.executable} -m bastion replay --at 100% {folder}")
    tmux.until(lambda text: "0:20 / 0:20" in text)
    tmux.run("send-keys", "c")
    shown = tmux.until(lambda text: "granted fine" in text)
    assert [line.rstrip() for line in shown.splitlines()] == PLAYED.splitlines()


def test_no_escape_of_a_recording_reaches_the_terminal(tmp_path: Path, tmux: Tmux) -> None:
    recording = Recordings(tmp_path, floor_bytes=0).open(
        "s", "c", at=1.0, term="xterm", title="t\x1b]0;pwned-title\x07"
    )
    hostile = (
        b"\x1b]52;c;cHduZWQ=\x07\x1b]0;pwned\x07\x1bPq#0\x1b\\\x1b[5i\x9b31m\x1b[?1003hshown\r\n"
    )
    recording.output(2.0, hostile)
    recording.event(2.0, "verdict", {"action": "deny", "request": "x\x1b]0;pwned-event\x07"})
    recording.close(3.0)
    tmux.start(f"{sys.executable} -m bastion replay --at 100% {recording.path}")
    tmux.until(lambda text: "shown" in text and "0:01 / 0:01" in text)
    tmux.run("send-keys", "c")
    tmux.until(lambda text: "deny" in text)
    raw = tmux.raw.read_bytes()
    for sequence in (b"\x1b]52", b"\x1b]0;", b"\x1bPq", b"\x1b[5i", b"\x9b31m"):
        assert sequence not in raw
