"""Runs a gate between a real client on stdin/stdout and a real server as a child.

`python -m tests.harness.gaterelay SETTINGS.json [ssh's words …]`, started by `sftp -D` or
`scp -S` or `rsync -e` through a wrapper. Every effect is written to the log as a line of Python.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path

from bastion import events
from bastion.gate.gate import Gate
from bastion.gate.relay import RelayGate
from bastion.gate.rsync import RsyncGate
from bastion.gate.scp import ScpGate
from bastion.gate.sftp import SftpGate
from bastion.model import ExecRequest, Request, SubsystemRequest
from bastion.policy import files
from bastion.policy.shell import reading
from tests.harness.filerules import FileRules

SFTP_SERVERS = [
    Path(f"/usr/{place}/sftp-server")
    for place in ("lib/openssh", "libexec/openssh", "libexec", "lib/ssh")
]


class Relay:
    """One channel: threads read, the main thread feeds the gate and writes."""

    def __init__(self, settings: dict[str, object], request: Request) -> None:
        self.settings = settings
        self.request = request
        rules = [tuple(rule) for rule in settings.get("rules", [])]
        decide = FileRules(rules, str(settings.get("default", "allow")))
        self.gate = self._gate(decide)
        self.inbox: queue.Queue[events.Event] = queue.Queue()
        self.child: subprocess.Popen[bytes] | None = None
        self.log = Path(str(settings["log"]))

    def _gate(self, decide: FileRules) -> Gate:
        if isinstance(self.request, SubsystemRequest):
            return SftpGate(decide)
        assert isinstance(self.request, ExecRequest)
        match files.read_transfer(reading.read(self.request.command)):
            case files.ScpServer() as transfer:
                return ScpGate(decide, transfer)
            case files.RsyncServer() as transfer:
                return RsyncGate(decide, transfer)
        return RelayGate(decide)

    def run(self) -> int:
        """Feed until Exit; give its status."""
        self.inbox.put(events.Opened(0.0, self.request))
        self._read(0, lambda data: events.FromClient(0.0, data), events.ClientEof(0.0))
        while True:
            for effect in self.gate.feed(self.inbox.get()):
                if not isinstance(effect, events.ToClient | events.ToTarget):
                    with self.log.open("a") as log:
                        print(repr(effect), file=log)
                if isinstance(effect, events.Exit):
                    return effect.status
                self._perform(effect)

    def _perform(self, effect: events.Effect) -> None:
        match effect:
            case events.Dial():
                self._dial()
            case events.ToTarget(data=data):
                self._send(data)
            case events.EofToTarget():
                self.child.stdin.close()
            case events.ToClient(data=data, stream=stream):
                self._show(2 if stream is events.Stream.STDERR else 1, data)
            case events.Tell(text=text):
                print(f"bastion: {text}", file=sys.stderr, flush=True)
            case events.Ask(ask=ask):
                outcome = events.Outcome(self.settings.get("answer", "refused"))
                self.inbox.put(events.Resolved(0.0, ask, outcome, ("bob",), "as asked"))

    def _show(self, fd: int, data: bytes) -> None:
        while data:
            data = data[os.write(fd, data) :]

    def _send(self, data: bytes) -> None:
        try:
            self.child.stdin.write(data)
            self.child.stdin.flush()
        except BrokenPipeError:
            pass

    def _dial(self) -> None:
        command = (
            [str(next(path for path in SFTP_SERVERS if path.exists()))]
            if isinstance(self.request, SubsystemRequest)
            else ["sh", "-c", self.request.command]
        )
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=str(self.settings["home"])
        )
        self.inbox.put(events.Dialled(0.0))
        out = self._read(
            self.child.stdout.fileno(),
            lambda data: events.FromTarget(0.0, data),
            events.TargetEof(0.0),
        )
        err = self._read(
            self.child.stderr.fileno(),
            lambda data: events.FromTarget(0.0, data, events.Stream.STDERR),
            None,
        )
        threading.Thread(target=self._wait, args=(out, err), daemon=True).start()

    def _wait(self, *readers: threading.Thread) -> None:
        for reader in readers:
            reader.join()
        self.inbox.put(events.TargetExit(0.0, self.child.wait()))

    def _read(self, fd: int, event, end) -> threading.Thread:
        def loop() -> None:
            while data := os.read(fd, 40000):
                self.inbox.put(event(data))
            if end is not None:
                self.inbox.put(end)

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        return thread


def main() -> None:
    """Find out what was asked for, and relay."""
    for fd in (0, 1, 2):
        os.set_blocking(fd, True)  # rsync hands its pipes over unblocking
    settings = json.loads(Path(sys.argv[1]).read_text())
    words = sys.argv[2:]
    if settings["kind"] == "sftp":
        request: Request = SubsystemRequest("sftp")
    elif settings["kind"] == "scp":
        request = ExecRequest(words[-1])
    else:  # rsync hands ssh a list, which ssh joins with blanks
        request = ExecRequest(" ".join(words[1:]))
    status = Relay(settings, request).run()
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
