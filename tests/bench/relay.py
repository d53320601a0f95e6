"""The yardstick: the least an asyncssh process can do between a client and a target.

Nobody is asked, nothing is decided or recorded: one connection in, one out, bytes across.

python -m tests.bench.relay TARGET_PORT LOGIN KEY_FILE AUTHORIZED_KEYS [CIPHER,…]

Without ciphers it offers asyncssh's own list, as whoever writes a relay does. With the bastion's
ciphers it is the harder yardstick: what is left then is gate, recording and audit.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import asyncssh


class Out(asyncssh.SSHClientSession[bytes]):
    """The half towards the target."""

    def __init__(self, other: In) -> None:
        self.other = other
        self.status = 255

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self.chan = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self.other.chan.write(data, datatype)

    def eof_received(self) -> bool:
        self.other.chan.write_eof()
        return True

    def exit_status_received(self, status: int) -> None:
        self.status = status  # output may still come after it

    def connection_lost(self, exc: Exception | None) -> None:
        self.other.chan.exit(self.status)

    def pause_writing(self) -> None:
        self.other.chan.pause_reading()

    def resume_writing(self) -> None:
        self.other.chan.resume_reading()


class In(asyncssh.SSHServerSession[bytes]):
    """The half towards the client."""

    def __init__(self, target: asyncssh.SSHClientConnection) -> None:
        self.target = target
        self.term: str | None = None
        self.command: str | None = None
        self.out: Out | None = None
        self.early: list[bytes | None] = []

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self.chan = chan

    def pty_requested(self, term_type, term_size, term_modes) -> bool:
        self.term, self.size, self.modes = term_type, term_size, term_modes
        return True

    def exec_requested(self, command: str) -> bool:
        self.command = command
        return True

    def session_started(self) -> None:
        self.dialling = asyncio.create_task(self.dial())

    async def dial(self) -> None:
        terminal = {"term_type": self.term} if self.term else {}
        if self.term:
            terminal |= {"term_size": self.size, "term_modes": self.modes}
        _, self.out = await self.target.create_session(
            lambda: Out(self), self.command, encoding=None, **terminal
        )
        for data in self.early:
            self.pass_on(data)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self.pass_on(data)

    def eof_received(self) -> bool:
        self.pass_on(None)
        return True

    def pass_on(self, data: bytes | None) -> None:
        """Bytes, or None for their end; kept until there is somebody to give them to."""
        if self.out is None:
            self.early.append(data)
        elif data is None:
            self.out.chan.write_eof()
        else:
            self.out.chan.write(data)

    def pause_writing(self) -> None:
        if self.out is not None:
            self.out.chan.pause_reading()

    def resume_writing(self) -> None:
        if self.out is not None:
            self.out.chan.resume_reading()


async def relay(port: int, login: str, key: str, authorized: str, ciphers: str = "") -> None:
    """Serve until SIGTERM."""
    algorithms = tuple(ciphers.split(",")) if ciphers else ()

    class Server(asyncssh.SSHServer):
        async def begin_auth(self, username: str) -> bool:
            return True

        def auth_completed(self) -> None:
            self.target = asyncio.create_task(
                asyncssh.connect(
                    "127.0.0.1",
                    port,
                    username=login,
                    client_keys=[key],
                    known_hosts=None,
                    encryption_algs=algorithms,
                    config=None,
                ).__aenter__()
            )

        async def session_requested(self) -> In:
            return In(await self.target)

        def connection_lost(self, exc: Exception | None) -> None:
            self.target.add_done_callback(lambda dialled: dialled.result().close())

    listener = await asyncssh.create_server(
        Server,
        "127.0.0.1",
        0,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        authorized_client_keys=authorized,
        encryption_algs=algorithms,
        encoding=None,
    )
    print(f"relay on port {listener.get_port()}.", flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(relay(int(sys.argv[1]), *sys.argv[2:6]))
