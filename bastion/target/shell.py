"""Start a gated shell on a target: a relay beside it, and the shell itself on the terminal.

Nothing is installed: the two commands below are all that runs there, and what they write lies in
one private directory that the reader of its reports removes when the relay is gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Final

from bastion.errors import DialError
from bastion.events import Stream, TargetExit
from bastion.model import Dialect, visible
from bastion.target.channel import SILENT, TargetSession
from bastion.target.dial import TargetConnection
from bastion.wire.shellcontrol import PIECE_LIMIT, ReportDecoder, ReportKind, quoted, start_up

_START: Final = {
    Dialect.BASH: 'exec bash --noprofile --noediting --rcfile "$0/rc" -i < "$0/lines"',
    Dialect.ZSH: 'ZDOTDIR="$0" exec zsh -d -i -s < "$0/lines"',
    Dialect.SH: 'ENV="$0/rc" exec sh -i "$0/lines"',
}
_START_WITHOUT_TERMINAL: Final = {
    Dialect.BASH: 'exec bash --noprofile --norc < "$0/lines"',
    Dialect.ZSH: 'exec zsh -d -f < "$0/lines"',
    Dialect.SH: 'exec sh < "$0/lines"',
}
"""These read their start-up file as the first of their lines."""
_OWN_FILES: Final = {
    Dialect.BASH: "/etc/profile ~/.bash_profile ~/.bashrc",
    Dialect.ZSH: "/etc/zsh/zshrc ~/.zshrc",
    Dialect.SH: "/etc/profile ~/.profile",
}
HARDENED: Final = {
    "LESSSECURE": "1",
    "LESSOPEN": "",
    "PAGER": "cat",
    "MANPAGER": "cat",
    "GIT_PAGER": "cat",
    "SYSTEMD_PAGER": "cat",
    "SYSTEMD_PAGERSECURE": "1",
}
"""What tells pagers to run nothing of their own (less(1) SECURITY, systemd's ENVIRONMENT.md)."""
_DIRECTORY: Final = re.compile(r"/[!-~]{0,200}/\.bastion-shell\.\w{8}|/\.bastion-shell\.\w{8}")


def relay_command() -> str:
    """The command that makes the private directory and stands beside the shell."""
    return f"exec /bin/sh -c {quoted(_script('relay.sh'))}"


def start_command(
    dialect: Dialect, directory: str, environment: Mapping[str, str], *, pty: bool
) -> str:
    """The command that becomes the shell."""
    exports = [f"export {name}={quoted(value)}; " for name, value in environment.items()]
    table = _START if pty else _START_WITHOUT_TERMINAL
    exports.append(f'__bastion_dir="$0" __bastion_pty={"1" if pty else ""}; ')
    script = f"{''.join(exports)}export __bastion_dir __bastion_pty; {table[dialect]}"
    return f"exec /bin/sh -c {quoted(script)} {quoted(directory)}"


def start_up_file(dialect: Dialect, *, own_files: bool) -> str:
    """What the shell reads first. `own_files`: the login's start-up files come before."""
    script = _script(f"{dialect.value}.sh")
    if not own_files:
        return script
    sourced = f'for __bastion_file in {_OWN_FILES[dialect]}; do [ ! -r "$__bastion_file" ] || '
    return f'{sourced}. "$__bastion_file"; done\n{script}'


SOURCE_START_UP: Final = '. "$__bastion_dir/rc"'
"""The first line of a shell without a terminal."""


def _script(name: str) -> str:
    return resources.files("bastion.target").joinpath("shell_scripts", name).read_text("utf-8")


class Relay:
    """The sink of the relay's channel: reports go on, errors are kept for one sentence."""

    def __init__(
        self,
        reports: Callable[[bytes], None],
        lost: Callable[[], None],
        broke_off: Callable[[], None],
    ) -> None:
        self._reports = reports
        self._lost = lost
        self._broke_off = broke_off
        self.started = False
        """Whether a shell depends on it."""
        self._directory: Callable[[str], None] | None = None
        self._failed: Callable[[str], None] | None = None
        self._before = b""
        self._said = b""

    def start(
        self, channel: TargetSession, script: str, *, made: Callable[[str], None],
        failed: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Send the start-up file; `made` gets the directory, `failed` a sentence."""
        self._directory, self._failed = made, failed
        channel.send(start_up(script))

    # Sink

    def from_target(self, data: bytes, stream: Stream = Stream.STDOUT) -> None:
        """Reports; what comes on stderr is a reason why there is no shell."""
        if stream is Stream.STDERR:
            self._said = (self._said + data)[:PIECE_LIMIT]
        elif self._directory is None:
            self._reports(data)
        else:
            self._first_report(data)

    def _first_report(self, data: bytes) -> None:
        self._before += data
        record, end, rest = self._before.partition(b"\0")
        if not end:
            if len(self._before) > PIECE_LIMIT:
                self._fail("it says nothing that makes sense")
            return
        assert self._directory is not None
        made, self._directory = self._directory, None
        (report,) = ReportDecoder().feed(record + b"\0") or (None,)
        if report is None or report.kind is not ReportKind.DIRECTORY:
            self._fail("it says nothing that makes sense")
        elif not _DIRECTORY.fullmatch(report.data):
            self._fail(f"its temporary directory has an odd name: {visible(report.data, limit=80)}")
        else:
            self._failed, self.started = None, True
            made(report.data)
            if rest:
                self._reports(rest)

    def _fail(self, why: str) -> None:
        failed, self._failed = self._failed, None
        if failed is not None:
            failed(why)

    def target_eof(self) -> None:
        """Its end follows."""

    def target_exit(self, ended: TargetExit) -> None:
        """Without the relay nothing can be decided any more."""
        if self.started:
            self._lost()
        else:
            said = visible(self._said.decode("utf-8", "replace").strip(), limit=200)
            self._fail(said or "it needs mktemp, mkfifo and a POSIX shell in /bin/sh")

    def target_lost(self) -> None:
        """The connection broke off, and the shell's terminal with it."""
        if self.started:
            self._broke_off()
        else:
            self._fail("the connection broke off")

    def target_stalled(self, stalled: bool) -> None:
        """Answers are short; what waits is bounded by the steps that wait for them."""


class RelaySession(TargetSession):
    """The relay's channel. It is over with its program, though what that began may live on.

    It tells so at once: the shell reads the end of its FIFO in the same moment and leaves, and
    sshd may close this channel after the terminal's.
    """

    def __init__(self, relay: Relay, connection: TargetConnection) -> None:
        super().__init__(relay, connection, lambda: None)
        self._relay = relay

    def exit_status_received(self, status: int) -> None:
        """Without waiting for the end of the output, which another process may hold open."""
        super().exit_status_received(status)
        self._over()

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        """The same for a relay that was killed."""
        super().exit_signal_received(signal, core_dumped, msg, lang)
        self._over()

    def _over(self) -> None:
        if self._relay.started:  # before, its reason is still on the way
            self._relay.target_exit(SILENT)
            self.close()


class GatedShell:
    """Terminal and relay, as the drive sees them: one end."""

    def __init__(self, terminal: TargetSession, relay: TargetSession) -> None:
        self._terminal = terminal
        self._relay = relay

    def send(self, data: bytes) -> None:
        """Keys for the program that runs."""
        self._terminal.send(data)

    def tell_shell(self, data: bytes) -> None:
        """Lines and answers for the shell."""
        self._relay.send(data)

    def eof(self) -> None:
        """The client sends no more; a shell without a terminal is told by a line of its own."""

    def close(self) -> None:
        """End it now; the relay takes its directory with it."""
        self._terminal.close()
        self._relay.close()

    def hold(self, held: bool) -> None:
        """Stop or go on reading what programs write; reports are never held up."""
        self._terminal.hold(held)


def cannot_be_gated(target: str, why: str) -> DialError:
    """One sentence for a target that holds no gated shell."""
    return DialError(
        f"target {target} cannot hold a gated shell: {why}. Send a command instead: "
        "ssh LOGIN@TARGET@bastion COMMAND."
    )
