"""A range for gated shells: one bastion before one sshd whose homes and programs are thrown away.

Every person there is an identity of their own, so that the audit tells whose verdict it was. First
in PATH lie programs that would do harm; they only write their words to the person's canary log.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import json
import os
import pty
import re
import shlex
import signal
import struct
import termios
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import avt
import yaml

from bastion.editor.history import HistoryFile, history_name
from bastion.policy.schema import SessionSection
from bastion.ssh.drive import Drive
from tests.harness.running import Bastion, bastion

FAKES: Final = ("shutdown", "reboot", "halt", "poweroff", "mkfs.ext4", "iptables", "useradd")
REFERENCE: Final = Path(__file__).parents[2] / "policies" / "reference.yaml"
DIALECTS: Final = ("bash", "zsh", "sh")

PAYLOAD: Final = re.compile(r"""(down|\$\{?\w+\}?|\])["']* -h now""")
"""What nobody grants."""

QUIET: Final = 0.04
"""Nothing more on the screen for so long: what was caused by the last key is there."""
COMPLETING: Final = 0.4
"""The target is asked for candidates; a person waits for them."""
BUSY: Final = 0.6
"""Where a program has the keys nobody can tell whether it is done; a person waits this long."""
PATIENCE: Final = 30.0

_FORCED: Final = """\
#!/bin/sh
[ -z "$LC_SCENE" ] || {{
  export HOME="$LC_SCENE/home" CANARY_LOG="$LC_SCENE/canary" PATH="{fakes}:$PATH"
  cd "$HOME"
}}
exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""
_FAKE: Final = """\
#!/bin/sh
printf '%s\\n' "${0##*/} $*" >> "$CANARY_LOG"
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the audit says of one request."""

    request: str
    action: str
    rule: str


@dataclass(eq=False)
class Range:
    """A running range."""

    bastion: Bastion
    directory: Path
    fakes: Path
    approvers: dict[str, str] = field(default_factory=dict)
    """What is answered to a person's questions: grant (but what names the harm), refuse, nobody."""
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def temporary(self) -> Path:
        """TMPDIR on the target: what a shell leaves behind lies here."""
        return self.directory / "tmp"

    @contextlib.asynccontextmanager
    async def person(
        self,
        shell: str = "bash",
        *,
        setup: Sequence[str] = (),
        files: Mapping[str, str] | None = None,
        history: Sequence[str] = (),
        rows: int = 24,
        columns: int = 80,
        term: str = "xterm-256color",
        terminal: bool = True,
        approver: str = "refuse",
    ) -> AsyncIterator[Person]:
        """Somebody at `ssh -tt`, with a home of their own; `setup` are lines of the rc files."""
        name = f"p{next(self.numbers)}"
        self.approvers[name] = approver
        scene = self.directory / name
        home = scene / "home"
        home.mkdir(parents=True)
        for path, text in (files or {}).items():
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_text(text)
            (home / path).chmod(0o755)
        lines = [f"PATH={self.fakes}:$PATH", *setup]
        for rc in (".bashrc", ".zshrc", ".profile"):
            (home / rc).write_text("\n".join(lines) + "\n")
        target = f"{shell}-rc" if setup else shell
        running = self.bastion
        running.issue(name=name, key=f"{name}.key")
        folder = running.services.history
        kept = HistoryFile(
            folder / history_name(f"https://idp.test#{name}", running.login, target), str
        )
        for line in history:
            kept.add(line)
        person = Person(self, name, scene, target, rows, columns)
        await person.start(term, terminal=terminal)
        try:
            yield person
        finally:
            await person.leave()


@contextlib.asynccontextmanager
async def shell_range(
    directory: Path, *, opaque: str = "approve", temporary: str = ""
) -> AsyncIterator[Range]:
    """Run a range in `directory`, with the reference policy and an approver who refuses."""
    fakes = directory / "fakes"
    fakes.mkdir()
    for name in FAKES:
        (fakes / name).write_text(_FAKE)
        (fakes / name).chmod(0o755)
    (directory / "tmp").mkdir()
    forced = directory / "forced"
    forced.write_text(_FORCED.format(fakes=fakes))
    forced.chmod(0o755)
    names = [*DIALECTS, *(f"{dialect}-rc" for dialect in DIALECTS)]
    async with bastion(
        directory,
        policy=_policy(opaque),
        also={name: f"dialect: {name.removesuffix('-rc')}" for name in names},
        sshd_extra=[f"ForceCommand {forced}", f"SetEnv TMPDIR={temporary or directory / 'tmp'}"],
    ) as running:
        made = Range(running, directory, fakes)

        def answer(approval: Any, what: str) -> None:
            if what == "asked":
                asyncio.get_running_loop().call_soon(_answer, made, approval.id)

        stop = running.services.approvals.watch(answer)
        try:
            yield made
        finally:
            stop()


def _answer(made: Range, approval: str) -> None:
    held = made.bastion.services.approvals.find(approval)
    if held is None:
        return
    told = made.approvers.get(held.question.identity.rpartition("#")[2], "refuse")
    harm = PAYLOAD.search(held.question.request.decode("utf-8", "replace"))
    if told != "nobody":
        grants = told == "grant" and harm is None
        made.bastion.answer(approval, grant=grants, reason="as the test says")


def _policy(opaque: str) -> str:
    """The reference policy, with gated shells; on targets called `-rc`, start-up files are read."""
    policy = yaml.safe_load(REFERENCE.read_text("utf-8"))
    policy["roles"]["engineer"]["match"]["groups"] = "dev"
    (grant,) = policy["grants"]
    grant["logins"] = ["LOGIN"]
    grant["session"] |= {"shell": "gated", "deadline": "1h"}
    grant["requests"] |= {"opaque": opaque}
    with_files = json.loads(json.dumps(grant))
    grant["targets"] = {"names": list(DIALECTS)}
    with_files["targets"] = {"names": "*-rc"}
    if "shell_rc" in SessionSection.model_fields:
        with_files["session"]["shell_rc"] = True
    with_files["name"] = "with-start-up-files"
    policy["grants"].append(with_files)
    return yaml.safe_dump(policy, sort_keys=False, width=1000)


class Person:
    """A real `ssh -tt` in a terminal of its own, and what the bastion knows about it."""

    def __init__(
        self, there: Range, name: str, scene: Path, target: str, rows: int, columns: int
    ) -> None:
        self.range = there
        self.name = name
        self.scene = scene
        self.target = target
        self.vt = avt.Vt(columns, rows, scrollback_limit=2000)
        self.size = (rows, columns)
        self.written = bytearray()
        self.sent = 0
        self.changed = asyncio.Event()
        self._master = -1
        self._process: asyncio.subprocess.Process | None = None
        self._probes = itertools.count(1)

    async def start(self, term: str, *, terminal: bool) -> None:
        """Connect."""
        running = self.range.bastion
        key = running.directory / f"{self.name}.key"
        self._master, slave = pty.openpty()
        self._set_size()
        os.set_blocking(self._master, False)
        self._process = await asyncio.create_subprocess_exec(
            "ssh", "-tt" if terminal else "-T", "-e", "none",
            "-o", f"IdentityFile={key}", "-o", f"CertificateFile={key}-cert.pub",
            "-o", f"SetEnv=LC_SCENE={self.scene}",
            "-F", str(running.ssh_config), f"{running.login}@{self.target}@bastion",
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**os.environ, "TERM": term},
        )  # fmt: skip
        os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        self.written += data
        self.vt.feed_str(data.decode("utf-8", "replace"))
        self.changed.set()

    async def keys(self, keys: str | bytes) -> None:
        """Press keys, all in one packet where the terminal takes them so."""
        data = keys.encode("utf-8", "surrogateescape") if isinstance(keys, str) else keys
        self.sent += len(data)
        while data:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                await asyncio.sleep(0.005)

    async def resize(self, rows: int, columns: int) -> None:
        """Pull at the window."""
        self.size = (rows, columns)
        self.vt.resize(columns, rows)
        self._set_size()
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGWINCH)

    def _set_size(self) -> None:
        rows, columns = self.size
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    # --- what there is to see -----------------------------------------------------------------

    @property
    def drive(self) -> Drive | None:
        """This person's channel at the bastion, as long as it lives."""
        for session in self.range.bastion.sessions.live():
            if session.own.name == self.name:
                return next(iter(session.drives), None)
        return None

    @property
    def state(self) -> str:
        """The gate's state; `none` where there is no channel (yet, or any more)."""
        drive = self.drive
        if drive is None or drive.ended is not None:
            return "none"
        state: str = drive._gate._state.name
        return state

    @property
    def gone(self) -> bool:
        """Whether ssh has ended."""
        return self._process is not None and self._process.returncode is not None

    @property
    def screen(self) -> str:
        """All lines, those that have left the screen too."""
        return "\n".join(line.text.rstrip() for line in self.vt.lines()).rstrip()

    def canary(self) -> list[str]:
        """What ran that should not have."""
        path = self.scene / "canary"
        return path.read_text("utf-8", "replace").splitlines() if path.exists() else []

    def verdicts(self) -> list[Verdict]:
        """All that was decided of this person's requests, the shell itself left out."""
        found = []
        ids = set()
        for line in self.range.bastion.audit().splitlines():
            fields = json.loads(line)["fields"]
            if fields.get("identity") == self.name:
                ids.add(fields.get("session"))
            if fields.get("session") in ids and json.loads(line)["kind"] == "verdict":
                found.append(Verdict(fields["request"], fields["action"], fields["rule"]))
        return [one for one in found if one.request != "(interactive shell)"]

    # --- waiting ------------------------------------------------------------------------------

    async def until(self, condition: Callable[[Person], bool], seconds: float = PATIENCE) -> None:
        """Wait for something to be seen; what was seen instead is in the failure."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition(self):
                    await self._output(0.05)
        assert condition(self), f"{self.state}:\n{self.screen}"

    async def prompt(self) -> None:
        """Wait for a prompt, or for the end."""
        await self.until(lambda p: p.gone or (p.state == "PROMPT" and p._all_taken()))

    async def settled(self, quiet: float = QUIET) -> None:
        """Wait until all keys have done what they do: a prompt, a program that waits, the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._settle(quiet)

    async def _settle(self, at_prompt: float) -> None:
        while True:
            quiet = at_prompt if self.state == "PROMPT" else BUSY * max(1.0, os.getloadavg()[0] / 3)
            if self.gone:
                return
            if await self._output(quiet) or not self._all_taken():
                continue
            if self.state in ("PROMPT", "RUNNING", "HELD"):
                return

    def _all_taken(self) -> bool:
        drive = self.drive
        return drive is None or drive._client_bytes >= self.sent

    async def _output(self, seconds: float) -> bool:
        self.changed.clear()
        try:
            await asyncio.wait_for(self.changed.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def alive(self) -> bool:
        """Give up whatever goes on, as a person would, and see whether a command still runs."""
        for keys in ("", "\x03", "q\x03", "\x1b:q!\r", "\x04", "\x1c"):
            if self.gone:
                return False
            await self.keys(keys)
            await self.settled()
            if self.state == "PROMPT":
                break
        if self.state != "PROMPT":
            return False
        number = next(self._probes)
        await self.keys(f"\x03\x03echo 'still 'alive-{number}\r")
        try:
            await self.until(lambda p: bool(re.search(rf"(?m)^still alive-{number}", p.screen)))
        except AssertionError:
            return False
        await self.settled()
        return self.state == "PROMPT"

    async def leave(self) -> None:
        """Close the terminal under ssh's feet."""
        assert self._process is not None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._master)
        os.close(self._master)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


def words(command: str) -> list[str]:
    """The words of a canary log's line."""
    return shlex.split(command)
