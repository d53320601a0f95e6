"""`bastion login` with a real ssh-agent, and real ssh afterwards."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import sys
from pathlib import Path

import asyncssh
import pytest

from bastion.identity.keyring import public_line
from tests.identity.small_bastion import SmallBastion, run, small_bastion, ssh_agent

pytestmark = pytest.mark.story


def environment(home: Path, agent: str = "") -> dict[str, str]:
    home.mkdir(exist_ok=True)
    found = {"PATH": os.environ["PATH"], "HOME": str(home)}
    return {**found, "SSH_AUTH_SOCK": agent} if agent else found


def ca_file(bastion: SmallBastion, directory: Path) -> Path:
    path = directory / "host_ca.pub"
    path.write_text(bastion.authority.keys("host", 0)[0].line + "\n")
    return path


async def log_in(
    bastion: SmallBastion, env: dict[str, str], *options: str | Path
) -> tuple[int, str, str]:
    command = (sys.executable, "-m", "bastion", "login", "127.0.0.1", "-p", str(bastion.port))
    return await run(*command, "--no-browser", *options, env=env)


async def test_afterwards_plain_ssh_works(tmp_path: Path) -> None:
    async with small_bastion(tmp_path) as bastion, ssh_agent(tmp_path) as agent:
        env = environment(tmp_path / "home", agent)
        trust = ("--host-ca", ca_file(bastion, tmp_path))
        status, out, err = await log_in(bastion, env, *trust, "--write-config")
        assert status == 0, err
        assert "https://idp.example/device?user_code=ABCD-EFGH" in err
        assert "In your ssh-agent for 9 min 59 s" in err or "for 10 min 0 s" in err
        listed = await run("ssh-add", "-l", env=env)
        assert listed[1].count("\n") == 1
        assert "ED25519-CERT" in listed[1]
        # ssh expands ~ by the account's entry, not by HOME, so it is told where the files are
        ssh = tmp_path / "home" / ".ssh"
        status, out, err = await run(
            "ssh", "-v", "-F", ssh / "bastion" / "config", "-o", "BatchMode=yes",
            "-o", f"UserKnownHostsFile={ssh / 'known_hosts'}", "-l", "bastion",
            "bastion", "targets --json", env=env,
        )  # fmt: skip
        assert status == 0, err
        assert "web-1" in out
        assert re.search(r"Host '\[127.0.0.1\]:\d+' is known and matches the ED25519-CERT", err)


async def test_logging_in_again_replaces_key_and_lines(tmp_path: Path) -> None:
    async with small_bastion(tmp_path) as bastion, ssh_agent(tmp_path) as agent:
        env = environment(tmp_path / "home", agent)
        ssh = tmp_path / "home" / ".ssh"
        ssh.mkdir(mode=0o700)
        (ssh / "config").write_text("Host other\n    User me\n")
        (ssh / "known_hosts").write_text("other ssh-ed25519 AAAA")
        trust = ("--host-ca", ca_file(bastion, tmp_path))
        for _ in range(2):
            status, _, err = await log_in(bastion, env, *trust, "--write-config")
            assert status == 0, err
        assert "Up to date." in err
        assert (await run("ssh-add", "-l", env=env))[1].count("\n") == 1
        assert (ssh / "config").read_text() == "Include bastion/config\n\nHost other\n    User me\n"
        known = (ssh / "known_hosts").read_text()
        assert known.startswith("other ssh-ed25519 AAAA\n# bastion 127.0.0.1:")
        place = f"[127.0.0.1]:{bastion.port}"
        assert known.count(f"@cert-authority {place},web-1,db-1 ssh-ed25519 ") == 1
        own = (ssh / "bastion" / "config").read_text()
        assert f"Host bastion\n    HostName 127.0.0.1\n    Port {bastion.port}\n" in own
        assert "Host web-1 db-1\n    ProxyJump bastion\n" in own
        assert "orders-db" not in own
        # from now on it is known without being told
        assert (await log_in(bastion, env))[0] == 0


async def test_the_agent_forgets_the_key_when_the_certificate_ends(tmp_path: Path) -> None:
    async with small_bastion(tmp_path) as bastion, ssh_agent(tmp_path) as agent:
        bastion.lifetime = 2
        env = environment(tmp_path / "home", agent)
        status, _, err = await log_in(bastion, env, "--host-ca", ca_file(bastion, tmp_path))
        assert status == 0, err
        async with asyncio.timeout(10):
            while "no identities" not in (await run("ssh-add", "-l", env=env))[1]:
                await asyncio.sleep(0.2)


async def test_without_an_agent_nobody_logs_in_for_nothing(tmp_path: Path) -> None:
    async with small_bastion(tmp_path) as bastion:
        trust = ("--host-ca", ca_file(bastion, tmp_path))
        for socket in ("", str(tmp_path / "nothing")):
            status, out, err = await log_in(bastion, environment(tmp_path, socket), *trust)
            assert status == 1
            assert out == ""
            assert "--out DIR" in err
            assert "Traceback" not in err
        assert bastion.commands == []


async def test_key_and_certificate_in_files(tmp_path: Path) -> None:
    async with small_bastion(tmp_path) as bastion:
        folder = tmp_path / "out"
        trust = ("--host-ca", ca_file(bastion, tmp_path))
        status, _, err = await log_in(bastion, environment(tmp_path), *trust, "--out", folder)
        assert status == 0, err
        assert stat.S_IMODE((folder / "id_bastion").stat().st_mode) == 0o600
        status, _, err = await run(
            "ssh", "-F", "none", "-i", folder / "id_bastion", "-p", str(bastion.port),
            "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no",
            "-o", f"UserKnownHostsFile={tmp_path / 'kh'}", "bastion@127.0.0.1", "targets --json",
            env=environment(tmp_path),
        )  # fmt: skip
        assert status == 0, err


async def test_a_bastion_that_is_not_known_is_never_believed_silently(tmp_path: Path) -> None:
    async with small_bastion(tmp_path) as bastion, ssh_agent(tmp_path) as agent:
        env = environment(tmp_path / "home", agent)
        status, _, err = await log_in(bastion, env)
        assert status == 1
        assert "is not known here, and there is no terminal to ask at" in err
        status, _, err = await log_in(bastion, env, "--host-ca", "SHA256:" + "A" * 43)
        assert status == 1
        assert "not logging in" in err
        assert bastion.commands == []
        shown = bastion.authority.keys("host", 0)[0].fingerprint
        assert (await log_in(bastion, env, "--host-ca", shown))[0] == 0


async def test_another_authority_or_key_than_the_known_one_is_refused(tmp_path: Path) -> None:
    async with small_bastion(tmp_path) as bastion, ssh_agent(tmp_path) as agent:
        env = environment(tmp_path / "home", agent)
        stranger = public_line(asyncssh.generate_private_key("ssh-ed25519"))
        known = tmp_path / "known"
        for line in (
            f"@cert-authority [127.0.0.1]:{bastion.port} {stranger}",
            f"[127.0.0.1]:{bastion.port} {stranger}",
            f"@revoked * {bastion.authority.keys('host', 0)[0].line}",
        ):
            known.write_text(line + "\n")
            status, _, err = await log_in(bastion, env, "--known-hosts", known)
            assert status == 1, line
            assert "Traceback" not in err
        assert bastion.commands == []


async def test_a_plain_host_key_is_asked_for_and_written_down(tmp_path: Path) -> None:
    async with (
        small_bastion(tmp_path, host_certificate=False) as bastion,
        ssh_agent(tmp_path) as agent,
    ):
        env = environment(tmp_path / "home", agent)
        command = [sys.executable, "-m", "bastion", "login", "127.0.0.1", "-p", str(bastion.port)]
        typed = ["script", "-qec", " ".join([*command, "--no-browser", "--write-config"])]
        status, out, _ = await run(*typed, "/dev/null", env=env, stdin=b"yes\n")
        assert status == 0, out
        assert re.search(r"Its host key is SHA256:\S{43}\.", out)
        known = (tmp_path / "home" / ".ssh" / "known_hosts").read_text()
        assert f"[127.0.0.1]:{bastion.port} ssh-ed25519 " in known
        status, out, _ = await run(*typed, "/dev/null", env=env)
        assert status == 0, out  # not asked again


async def test_a_known_host_key_is_enough_where_there_is_a_certificate_too(tmp_path: Path) -> None:
    async with small_bastion(tmp_path) as bastion, ssh_agent(tmp_path) as agent:
        known = tmp_path / "known"
        known.write_text(f"[127.0.0.1]:{bastion.port} {public_line(bastion.host_key)}\n")
        env = environment(tmp_path / "home", agent)
        status, out, err = await log_in(bastion, env, "--known-hosts", known)
        assert status == 0, err
        assert public_line(bastion.host_key) in out


async def test_saying_no_sends_nothing(tmp_path: Path) -> None:
    async with small_bastion(tmp_path) as bastion, ssh_agent(tmp_path) as agent:
        env = environment(tmp_path / "home", agent)
        command = f"{sys.executable} -m bastion login 127.0.0.1 -p {bastion.port} --no-browser"
        status, out, _ = await run("script", "-qec", command, "/dev/null", env=env, stdin=b"no\n")
        assert status == 1
        assert "Its host authority is SHA256:" in out
        assert bastion.commands == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": 254, "said": "bastion: you may not.\n"}, "you may not"),
        ({"certificate": "nonsense"}, "not a certificate"),
        ({"certificate": ""}, "not a certificate"),
        ({"certificate": "x" * 100_000}, "not a certificate"),
        ({"said": "\x1b]0;owned\x07\x1b[2J\n"}, "␛]0;owned␇"),
    ],
)
async def test_a_bastion_that_says_no_or_nonsense(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    async with small_bastion(tmp_path) as bastion, ssh_agent(tmp_path) as agent:
        for name, value in change.items():
            setattr(bastion, name, value)
        env = environment(tmp_path / "home", agent)
        _, _, err = await log_in(bastion, env, "--host-ca", ca_file(bastion, tmp_path))
        assert words in err
        assert "\x1b" not in err
        assert "Traceback" not in err


async def test_a_certificate_for_another_key_is_refused(tmp_path: Path) -> None:
    async with small_bastion(tmp_path) as bastion, ssh_agent(tmp_path) as agent:
        other = asyncssh.generate_private_key("ssh-ed25519")
        bastion.certificate = bastion.authority.sign_host(other, ["x"], now=1.8e9).line
        env = environment(tmp_path / "home", agent)
        status, _, err = await log_in(bastion, env, "--host-ca", ca_file(bastion, tmp_path))
        assert status == 1
        assert "for another key" in err
        assert (await run("ssh-add", "-l", env=env))[1].startswith("The agent has no identities")


async def test_targets_with_evil_names_are_not_written(tmp_path: Path) -> None:
    async with small_bastion(tmp_path) as bastion, ssh_agent(tmp_path) as agent:
        bastion.targets = ["web\n    ProxyCommand touch /tmp/owned"]
        env = environment(tmp_path / "home", agent)
        trust = ("--host-ca", ca_file(bastion, tmp_path))
        status, _, err = await log_in(bastion, env, *trust, "--write-config")
        assert status == 0
        assert "targets could not be listed" in err
        assert "owned" not in (tmp_path / "home" / ".ssh" / "bastion" / "config").read_text()


async def test_a_target_cannot_take_another_sites_name_over(tmp_path: Path) -> None:
    async with small_bastion(tmp_path) as bastion, ssh_agent(tmp_path) as agent:
        bastion.targets = ["web-1", "github.com", "db.prod.example"]
        env = environment(tmp_path / "home", agent)
        trust = ("--host-ca", ca_file(bastion, tmp_path))
        status, out, err = await log_in(bastion, env, *trust)
        assert status == 0, err
        assert "github.com" not in out
        assert "Left out (see --targets): github.com, db.prod.example" in err
        status, out, err = await log_in(bastion, env, *trust, "--targets", "*.prod.example")
        assert "Host db.prod.example\n" in out
        assert "web-1" not in out


@pytest.mark.parametrize("stream", ["said", "certificate"])
async def test_a_bastion_that_talks_without_end(tmp_path: Path, stream: str) -> None:
    async with small_bastion(tmp_path) as bastion, ssh_agent(tmp_path) as agent:
        setattr(bastion, stream, "x" * 8_000_000)
        env = environment(tmp_path / "home", agent)
        status, _, err = await log_in(bastion, env, "--host-ca", ca_file(bastion, tmp_path))
        assert status == 1
        assert "more than a bastion would" in err
        assert "Traceback" not in err
        assert len(err) < 10_000


async def test_the_browser_opens_the_page_that_has_the_code(tmp_path: Path) -> None:
    async with small_bastion(tmp_path) as bastion, ssh_agent(tmp_path) as agent:
        browser = tmp_path / "browser"
        browser.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >> {tmp_path}/opened\n')
        browser.chmod(0o755)
        bastion.waits_for = tmp_path / "opened"
        env = {**environment(tmp_path / "home", agent), "BROWSER": str(browser), "DISPLAY": ":9"}
        command = (sys.executable, "-m", "bastion", "login", "127.0.0.1")
        trust = ("--host-ca", ca_file(bastion, tmp_path))
        status, _, err = await run(*command, "-p", str(bastion.port), *trust, env=env)
        assert status == 0, err
        opened = (tmp_path / "opened").read_text()
        assert opened == "https://idp.example/device?user_code=ABCD-EFGH\n"


async def test_nobody_listening_is_one_sentence(tmp_path: Path) -> None:
    async with ssh_agent(tmp_path) as agent:
        command = (sys.executable, "-m", "bastion", "login", "127.0.0.1", "-p", "1")
        status, _, err = await run(*command, env=environment(tmp_path, agent))
        assert status == 1
        assert err.count("\n") == 1
        assert "127.0.0.1 port 1 cannot be reached" in err
