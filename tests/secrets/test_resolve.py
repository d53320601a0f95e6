"""Credential references: what they give, what they refuse, and that no error shows a value."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bastion.errors import SecretUnavailable
from bastion.secrets import resolve as resolving
from bastion.secrets.held import held
from bastion.secrets.resolve import SIZE_LIMIT, resolve


def _file(place: Path, content: bytes = b"hunter2\n", mode: int = 0o600) -> Path:
    path = place / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


async def _complaint(reference: str) -> str:
    with pytest.raises(SecretUnavailable) as caught:
        await resolve(reference)
    text = str(caught.value)
    assert "hunter2" not in text
    assert caught.value.__cause__ is None
    return text


async def test_a_private_file_gives_its_content_without_the_last_newline(tmp_path: Path) -> None:
    assert (await resolve(f"file:{_file(tmp_path)}")).reveal() == b"hunter2"
    two_lines = _file(tmp_path, b"a b\n\r\n")
    assert (await resolve(f"file:{two_lines}")).reveal() == b"a b\n"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
async def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = _file(tmp_path, mode=mode)
    assert "chmod 600" in await _complaint(f"file:{path}")


async def test_links_fifos_and_directories_are_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(_file(tmp_path))
    assert "link" in await _complaint(f"file:{link}")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    assert "not a plain file" in await _complaint(f"file:{fifo}")
    assert "not a plain file" in await _complaint(f"file:{tmp_path}")


async def test_what_is_missing_empty_huge_or_relative_is_refused(tmp_path: Path) -> None:
    assert str(tmp_path) in await _complaint(f"file:{tmp_path}/none")
    assert "nothing" in await _complaint(f"file:{_file(tmp_path, bytes([10]))}")
    assert "more than" in await _complaint(f"file:{_file(tmp_path, b'x' * (SIZE_LIMIT + 1))}")
    assert "whole path" in await _complaint("file:secret")
    assert "must begin with" in await _complaint("hunter")
    assert "must begin with" in await _complaint("vault:x")


async def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path = _file(tmp_path)
    os.chown(path, 4242, 4242)
    assert "belongs to user 4242" in await _complaint(f"file:{path}")


async def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASTION_TEST_SECRET", "hunter2")
    assert (await resolve("env:BASTION_TEST_SECRET")).reveal() == b"hunter2"
    monkeypatch.delenv("BASTION_TEST_SECRET")
    assert "env:BASTION_TEST_SECRET" in await _complaint("env:BASTION_TEST_SECRET")
    assert "no name" in await _complaint("env:A=B")


async def test_a_systemd_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert "systemd" in await _complaint("credential:secret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    _file(tmp_path, mode=0o440)
    assert (await resolve("credential:secret")).reveal() == b"hunter2"
    assert "no name" in await _complaint("credential:../secret")
    _file(tmp_path, mode=0o444)
    assert "open to others" in await _complaint("credential:secret")


async def test_a_command_runs_without_a_shell() -> None:
    assert (await resolve("command:/bin/echo 'hunter2;  $HOME'")).reveal() == b"hunter2;  $HOME"
    assert "status 3" in await _complaint("command:/bin/sh -c 'echo hunter; exit 3'")
    assert "whole path" in await _complaint("command:echo x")
    assert "open quote" in await _complaint("command:/bin/echo 'x")
    assert "cannot be started" in await _complaint("command:/nowhere/x")
    assert "more than" in await _complaint("command:/usr/bin/yes")


async def test_a_slow_command_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "COMMAND_SECONDS", 2.0)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    await _complaint(f"command:/bin/sh -c 'exec 9>{fifo}; echo started >&9; sleep 600 & wait'")
    os.set_blocking(reading, True)
    with open(reading, "rb") as everything:  # its end comes when the last of them is gone
        assert everything.read() == b"started\n"


async def test_a_held_secret_is_dropped_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASTION_TEST_SECRET", "hunter2")
    async with held("env:BASTION_TEST_SECRET") as secret:
        assert secret.reveal() == b"hunter2"
        assert "hunter2" not in repr(secret)
    with pytest.raises(ValueError, match="dropped"):
        secret.reveal()
