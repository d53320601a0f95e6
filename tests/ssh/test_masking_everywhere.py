"""A matrix: every kind of channel by every place where what it carries could be seen or kept.

One busy story sends a secret of its own down each way; then every place is searched for each of
them. Cells that cannot be, with their reason:

- a client gets the files that it copies, and the body of its own forward, unaltered;
- a file's content and a forward's body are in no recording (sizes and hashes alone), so follow,
  approvers and the player have nothing to show of them;
- the player, over SSH too, reads the casts, whose bytes are searched here, and so are its exports.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import asyncssh
import pyrage
import pytest
import zstandard
from click.testing import CliRunner

from bastion.cli.main import bastion as command
from bastion.control import shown
from replay.command import transcript, write
from tests.control.test_webhooks import Receiver
from tests.harness.database import TABLES, forward, write_secrets
from tests.harness.postgres import postgres
from tests.harness.running import POLICY, Bastion, bastion
from tests.harness.terminal import at_terminal

pytestmark = pytest.mark.story


def secret(number: int) -> str:
    """A GitHub token; the way it comes is told by its number."""
    return f"ghp_{number:02d}A2b3C4d5E6f7G8h9I0jK1l2M3n4O5p6Q7r"


SHOWN_BY_TARGETS = ["exec stdout", "exec stderr", "in pieces", "pty", "shell", "subsystem", "jump"]
ASKED_FOR = [
    *("command line", "denied command", "held command", "reason of a refusal"),
    *("reason of a request", "reason of a grant"),
    *("gated line", "gated output", "sql statement", "sql parameter"),
    *("sftp path", "sftp missing path", "scp path", "rsync path"),
]
CARRIED = ["sftp content", "rsync content", "forward body"]
OWN = ["log line", "traceback", "error of a task"]
WAYS = {
    name: secret(number)
    for number, name in enumerate([*SHOWN_BY_TARGETS, *ASKED_FOR, *CARRIED, *OWN])
}
BY_PATH = "ORCHID-4711-in-no-detector"
"""A value that only its place in a JSON text tells."""
SEEN_BY_WHO_SENT = {"command line", "gated line", "sql statement", "sql parameter", *CARRIED}
"""Ways whose client has or gets the secret itself: it typed it, or copied the file."""

GRANTS = """\
  - name: gated
    roles: [dev]
    targets: {names: [web2]}
    logins: [LOGIN]
    session: {shell: gated, pty: true}
    requests: {default: allow, opaque: allow}
  - name: db
    roles: [dev]
    targets: {names: [orders-db]}
    logins: [app]
    session: {database: {}}
    requests: {default: allow, opaque: allow}
requestable:
  - name: admins
    who: [dev]
    role: admin
    targets: [web1]
    max: 2h
    approval: {approvers: [oncall], wait: 10m}
rules:
"""
SESSION = """{pty: true, exec: true, files: true, shell: ungated, subsystems: [greet],
      forwards: [{kind: [direct-tcpip]}]}"""


@dataclass
class Seen:
    """What was seen while it went on."""

    clients: dict[str, str] = field(default_factory=dict)
    told: list[object] = field(default_factory=list)
    followed: bytearray = field(default_factory=bytearray)
    approvers: list[str] = field(default_factory=list)


@dataclass
class World:
    """What runs."""

    running: Bastion
    folder: Path
    hooks: Receiver
    greeter: int
    seen: Seen = field(default_factory=Seen)

    def listen(self, happening: object) -> None:
        """Keep what the feed tells, and follow every channel from its first byte on."""
        self.seen.told.append(happening)
        for session in self.running.sessions.live():
            for tail in session.tails.values():
                if self.followed not in tail._watchers:
                    tail.watch(self.followed)

    def followed(self, data: bytes) -> None:
        """What a follower gets."""
        self.seen.followed += data


@contextlib.asynccontextmanager
async def world(folder: Path, more: str = "") -> AsyncIterator[World]:
    script = folder / "greet"
    script.write_text(f"#!/bin/sh\ncat {folder}/content\n")
    script.chmod(0o755)
    receiver = Receiver()

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WAYS["forward body"].encode() + b"\n")
        writer.close()

    greeter = await asyncio.start_server(greet, "127.0.0.1", 0)
    hooks = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = hooks.sockets[0].getsockname()[1]
    (folder / "hook").write_text("whatever-signs-it")
    (folder / "hook").chmod(0o600)
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as short:
        Path(short).chmod(0o755)
        async with greeter, hooks, postgres(Path(short) / "s", TABLES) as server:
            config = write_secrets(folder, server, "password") + (
                f"webhooks:\n  - {{url: 'http://127.0.0.1:{receiver.port}/in',"
                f" secret: 'file:{folder}/hook'}}\n{more}"
            )
            async with bastion(
                folder,
                session=SESSION,
                policy=POLICY.replace("rules:\n", GRANTS, 1)
                .replace("roles:\n", "roles:\n  admin: {}\n", 1)
                .replace("    requests:\n", '    mask: {json: "$..pin"}\n    requests:\n', 1),
                opaque="allow",
                also={"web2": ""},
                config=config,
                listen=f", metrics: 'unix:{folder}/metrics'",
                sshd_extra=[f"Subsystem greet {script}"],
            ) as running:
                here = World(running, folder, receiver, greeter.sockets[0].getsockname()[1])
                running.services.feed.listen(here.listen)
                yield here


async def read_all(connection: Any, command: str | None, stdin: str = "", **options: Any) -> str:
    process = await connection.create_process(command, **options)
    with contextlib.suppress(BrokenPipeError):  # what is refused may be over already
        process.stdin.write(stdin)
        process.stdin.write_eof()
    out, err = await asyncio.gather(process.stdout.read(), process.stderr.read())
    return str(out) + str(err)


async def shown_by_targets(here: World, client: Any) -> None:
    clients, file = here.seen.clients, here.folder / "content"
    pty = {"term_type": "xterm", "request_pty": "force"}
    commands: dict[str, tuple[str | None, dict[str, Any]]] = {
        "exec stdout": (f"cat {file}", {}),
        "exec stderr": (f"cat {file} >&2", {}),
        "pty": (f"cat {file}", pty),
        "shell": (None, {"stdin": f"cat {file}\nexit\n", **pty}),
        "subsystem": (None, {"subsystem": "greet"}),
    }
    for way, (line, options) in commands.items():
        file.write_text(f"before {WAYS[way]} after\n")
        clients[way] = await read_all(client, line, **options)
    file.write_text(f'{{"user": "bob", "pin": "{BY_PATH}"}}\n')
    clients["by path"] = await read_all(client, f"cat {file}")
    for name, part in (("one", WAYS["in pieces"][:20]), ("two", WAYS["in pieces"][20:] + "\n")):
        (here.folder / name).write_text(part)
    pieces = f"cat {here.folder}/one; read x; cat {here.folder}/two"
    process = await client.create_process(pieces)
    first = await process.stdout.read(4)
    process.stdin.write("\n")
    clients["in pieces"] = first + await process.stdout.read()
    file.write_text(f"before {WAYS['jump']} after\n")
    clients["jump"] = (await here.running.ssh("cat", str(file), via="jump")).stdout.decode()


async def asked_for(here: World, client: Any) -> None:
    clients, folder = here.seen.clients, here.folder
    await read_all(client, f"true {WAYS['command line']}")
    clients["denied command"] = await read_all(client, f"reboot {WAYS['denied command']}")
    clients["held command"] = await held(here, client)
    async with client.start_sftp_client() as sftp:
        await sftp.mkdir(str(folder / f"d-{WAYS['sftp path']}"))
        with contextlib.suppress(asyncssh.SFTPError):
            await sftp.remove(str(folder / WAYS["sftp missing path"]))
    (folder / "upload").write_text("content")
    remote = f"{here.running.login}@web1@bastion:{folder}"
    await here.running.run("scp", str(folder / "upload"), f"{remote}/s-{WAYS['scp path']}")
    shell = f"ssh -F {here.running.ssh_config}"
    to = f"{remote}/r-{WAYS['rsync path']}"
    await here.running.run("rsync", "-e", shell, str(folder / "upload"), to)


async def held(here: World, client: Any) -> str:
    (here.folder / "content").write_text(f"{WAYS['exec stdout']}\n")
    reading = asyncio.create_task(read_all(client, f"touch /tmp/{WAYS['held command']}"))
    approval = await here.running.pending()
    [question] = [one.question for one in here.running.services.approvals.pending()]
    tails = here.running.sessions.tails(question.session_id)
    last = shown.last_screen(question.session_id, question.channel_id, tails)
    assert last is not None
    here.seen.approvers += [repr(question), repr(last)]
    assert "[masked:github-token:" in repr(question)
    here.running.answer(approval, grant=False, reason=f"no: {WAYS['reason of a refusal']}")
    return await reading


async def requested(here: World) -> str:
    """Ask for a role, get it, and list what was asked for."""
    words = ["request", "web1", "--for", "10m", "--reason", WAYS["reason of a request"]]
    asked = await here.running.run("ssh", "bastion", *words)
    approval = await here.running.pending()
    here.running.answer(approval, grant=True, reason=f"yes: {WAYS['reason of a grant']}")
    listed = await here.running.run("ssh", "bastion", "requests")
    told = asked.stdout.decode() + asked.stderr + listed.stdout.decode() + listed.stderr
    assert approval in told
    return told


async def gated(here: World) -> None:
    (here.folder / "content").write_text(f"x {WAYS['gated output']} y\n")
    login = f"{here.running.login}@web2"
    place: Any = SimpleNamespace(connect=lambda: here.running.connect(login))
    async with at_terminal(place) as person:
        await person.prompt("#")
        await person.line(f"true {WAYS['gated line']}")
        rows = await person.line(f"cat {here.folder}/content")
        here.seen.clients["gated output"] = "".join(rows)


async def databases(here: World) -> None:
    async with forward(here.running) as port:
        dsn = f"host=127.0.0.1 port={port} user=app dbname=app"
        text = f'SELECT 1 AS "{WAYS["sql statement"][:4]}" /* {WAYS["sql statement"]} */;\n'
        await here.running.run("psql", "-X", "-d", dsn, "-At", stdin=text.encode())
        connection = await asyncpg.connect(
            host="127.0.0.1", port=port, user="app", database="app", ssl=False
        )
        await connection.fetchval("SELECT $1::text", WAYS["sql parameter"])
        await connection.close()


async def carried(here: World, client: Any) -> None:
    for way in ("sftp content", "rsync content"):
        (here.folder / way).write_text(WAYS[way] * 3)
    async with client.start_sftp_client() as sftp:
        await sftp.get(str(here.folder / "sftp content"), str(here.folder / "got"))
    assert WAYS["sftp content"] in (here.folder / "got").read_text()
    shell = f"ssh -F {here.running.ssh_config}"
    (here.folder / "source").write_text(WAYS["rsync content"])
    remote = f"{here.running.login}@web1@bastion:{here.folder}/synced"
    await here.running.run("rsync", "-e", shell, str(here.folder / "source"), remote)
    reader, _ = await client.open_connection("127.0.0.1", here.greeter)
    assert WAYS["forward body"].encode() in await reader.read()


def own() -> None:
    log = logging.getLogger("bastion.story")
    log.error("the token is %s", WAYS["log line"])
    try:
        raise RuntimeError(f"could not use {WAYS['traceback']}")
    except RuntimeError:
        log.exception("failed")
    asyncio.get_running_loop().call_exception_handler(
        {"message": "a task failed", "exception": ValueError(WAYS["error of a task"])}
    )


def kept(state: Path) -> dict[str, bytes]:
    """Every file of the state directory, packed ones unpacked."""
    files = {str(path): path.read_bytes() for path in state.rglob("*") if path.is_file()}
    for name, content in tuple(files.items()):
        if name.endswith(".zst"):
            with zstandard.ZstdDecompressor().stream_reader(content) as reader:
                files[f"{name} (unpacked)"] = reader.read()
    return files


def tidied(folder: Path) -> None:
    """What is done to recordings after their end: indexed, packed."""
    config = folder / "bastion.yaml"
    config.write_text(config.read_text() + "recordings: {pack_after: 1s}\n")
    ran = CliRunner().invoke(command, ["recordings", "tidy", "--config", str(config)])
    assert ran.exit_code == 0, ran.output


def commands(folder: Path) -> str:
    """What the bastion's own commands say, with the state directory before them."""
    texts = []
    for words in (
        *("audit show --limit 500", "audit show --json --limit 500", "recordings list"),
        *("recordings search before", "recordings search masked", "recordings search true"),
    ):
        ran = CliRunner().invoke(command, [*words.split(), "--state", str(folder / "state")])
        assert ran.exit_code == 0, ran.output
        texts.append(ran.output)
    return "".join(texts)


def exported(folder: Path, casts: list[Path]) -> str:
    """What the player makes of the casts."""
    texts = ["\n".join(transcript(casts, lambda _: None))]
    for suffix in (".html", ".txt", ".cast", ".svg"):
        for number, cast in enumerate(casts[:3]):
            out = folder / f"export{number}{suffix}"
            write([cast], lambda _: None, out, "100%")
            texts.append(out.read_text())
    return "".join(texts)


async def test_no_secret_reaches_a_screen_a_disk_a_watcher_or_the_log(tmp_path, caplog):
    async with world(tmp_path) as here:
        async with here.running.connect() as client:
            await shown_by_targets(here, client)
            await asked_for(here, client)
            await carried(here, client)
        await gated(here)
        await databases(here)
        requests = await requested(here)
        own()
        marks = {way: here.running.services.masks.text(value) for way, value in WAYS.items()}
        listed = await here.running.run("ssh", "bastion", "sessions")
        while_running = kept(tmp_path / "state")
        exports = exported(tmp_path, here.running.casts())
        curl = ["curl", "-s", "--unix-socket", str(tmp_path / "metrics"), "http://x/metrics"]
        metrics = await here.running.run(*curl)
    tidied(tmp_path)
    places = {
        "the log": caplog.text,
        "what watchers are told": repr(here.seen.told),
        "what followers see": here.seen.followed.decode("utf-8", "replace"),
        "what approvers see": "".join(here.seen.approvers),
        "a webhook": repr(here.hooks.got),
        "the list of sessions": listed.stdout.decode() + listed.stderr,
        "an export": exports,
        "the list of requests": requests,
        "the metrics": metrics.stdout.decode(),
        "the bastion's commands": commands(tmp_path),
    }
    for name, content in {**while_running, **kept(tmp_path / "state")}.items():
        text = content.decode("latin-1")
        places[name] = text + text.encode("latin-1", "replace").hex() * name.endswith(".db")
    assert {name.rpartition(".")[2] for name in places} >= {"cast", "jsonl", "zst (unpacked)"}
    assert len(here.seen.told) > 20
    assert len(here.hooks.got) > 20
    for way in ("exec stdout", "shell", "gated output"):
        assert "[masked:github-token:" in here.seen.clients[way], way
    for place in ("the log", "what followers see", "what approvers see", "an export", "a webhook"):
        assert "[masked:github-token:" in places[place], place
    assert 'masked_secrets_total{detector="github-token"}' in places["the metrics"]
    assert '"pin": "[masked:json:' in here.seen.clients["by path"]
    for place, content in {**places, **here.seen.clients}.items():
        assert BY_PATH not in content, place
    everything = "".join([*places.values(), *here.seen.clients.values()])
    for way, value in WAYS.items():
        core = value[4:]
        assert way in CARRIED or marks[way] in everything, f"{way}: it went nowhere"
        if way not in SEEN_BY_WHO_SENT:
            assert core not in here.seen.clients.get(way, ""), f"{way}: the client saw it"
        for place, content in places.items():
            assert core not in content, f"{way}: {place} has it"


async def test_beside_encrypted_recordings_there_is_no_secret_in_clear(tmp_path):
    recipient = pyrage.x25519.Identity.generate().to_public()
    encrypted = f"recordings: {{encrypt_to: {recipient}}}\n"
    async with world(tmp_path, encrypted) as here:
        async with here.running.connect() as client:
            await shown_by_targets(here, client)
            await asked_for(here, client)
        files = kept(tmp_path / "state")
    files |= kept(tmp_path / "state")
    assert any("recordings" in name for name in files)
    for name, content in files.items():
        assert b"before" not in content or "recordings" not in name, f"{name} is not encrypted"
        for way, value in WAYS.items():
            assert value[4:].encode() not in content, f"{way}: {name} has it"
