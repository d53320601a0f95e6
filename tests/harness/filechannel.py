"""Real file transfer programs with a gate in the way, all on this machine."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paramiko import SFTPClient

ROOT = Path(__file__).parents[2]


class _Named(socket.socket):
    def get_name(self) -> str:
        """Paramiko logs a channel's name."""
        return "pair"


class Channel:
    """A directory, a gate in the way, and what it said."""

    def __init__(self, place: Path) -> None:
        self.remote = place / "remote"
        self.local = place / "local"
        self.remote.mkdir()
        self.local.mkdir()
        self.log = place / "log"
        self.log.touch()
        self.settings = {"kind": "sftp", "log": str(self.log), "home": str(self.remote)}
        self.place = place

    def wrapper(self) -> Path:
        """A program that stands for the server, or for ssh, with the gate in the way."""
        (self.place / "settings.json").write_text(json.dumps(self.settings))
        wrapper = self.place / "wrapper"
        wrapper.write_text(
            f"#!/bin/sh\ncd {ROOT}\n"
            f'exec {sys.executable} -m tests.harness.gaterelay {self.place}/settings.json "$@"\n'
        )
        wrapper.chmod(0o755)
        return wrapper

    def sftp(self, *commands: str, **settings: object) -> subprocess.CompletedProcess[str]:
        """Run a batch of sftp's commands."""
        self.settings |= {"kind": "sftp"} | settings
        return self._run(
            ["sftp", "-q", "-b", "-", "-D", str(self.wrapper())], "\n".join(commands) + "\n"
        )

    @contextmanager
    def paramiko(self, **settings: object) -> Iterator[SFTPClient]:
        """A second SFTP client, over a pair of sockets."""
        self.settings |= {"kind": "sftp"} | settings
        mine, theirs = socket.socketpair()
        with subprocess.Popen([self.wrapper()], stdin=theirs, stdout=theirs) as relay:
            theirs.close()
            client = SFTPClient(_Named(fileno=mine.detach()))
            try:
                yield client
            finally:
                client.close()
                relay.wait(10)

    def scp(self, *words: str, **settings: object) -> subprocess.CompletedProcess[str]:
        """Run legacy scp; `host:` stands for the remote side."""
        self.settings |= {"kind": "scp"} | settings
        return self._run(["scp", "-O", "-S", str(self.wrapper()), *words])

    def rsync(self, *words: str, **settings: object) -> subprocess.CompletedProcess[str]:
        """Run rsync; `host:` stands for the remote side."""
        self.settings |= {"kind": "rsync"} | settings
        return self._run(["rsync", "-e", str(self.wrapper()), *words])

    def _run(self, words: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, input=text, text=True, capture_output=True, cwd=self.local, timeout=30
        )

    def said(self, kind: str) -> list[str]:
        """Effects of one kind, as text."""
        return [line for line in self.log.read_text().splitlines() if line.startswith(kind + "(")]
