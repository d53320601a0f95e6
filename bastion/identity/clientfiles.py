"""The person's own OpenSSH files: what `bastion login --write-config` puts there, and only that.

    ~/.ssh/config           one line, `Include bastion/config`, before everything else
    ~/.ssh/bastion/config   a block for each bastion
    ~/.ssh/known_hosts      a block for each bastion

Writing again changes nothing but the blocks of the same bastion; all else stays byte for byte.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bastion.errors import StoreError

_INCLUDE: Final = "Include bastion/config"
_MAX_FILE: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ClientLines:
    """What OpenSSH must know to go through one bastion."""

    host: str
    port: int
    alias: str
    targets: tuple[str, ...]
    authority: str = ""
    """The host authority, `ssh-ed25519 AAAA…`; empty when it is not known."""
    host_key: str = ""
    """The bastion's own key, where it has no certificate."""

    @property
    def config(self) -> str:
        """Lines for ssh_config."""
        lines = [f"Host {self.alias}", f"    HostName {self.host}", f"    Port {self.port}"]
        if self.targets:
            lines += [f"Host {' '.join(self.targets)}", f"    ProxyJump {self.alias}"]
        return "\n".join(lines) + "\n"

    @property
    def known_hosts(self) -> str:
        """Lines for known_hosts; empty when there is nothing to say.

        The authority is believed for these names alone, not for everything the person visits.
        """
        place = self.host if self.port == 22 else f"[{self.host}]:{self.port}"
        if self.authority:
            return f"@cert-authority {','.join((place, *self.targets))} {self.authority}\n"
        return f"{place} {self.host_key}\n" if self.host_key else ""


def install(lines: ClientLines, home: Path) -> tuple[Path, ...]:
    """Write all three files; gives those that changed. StoreError when one cannot be written."""
    ssh = home / ".ssh"
    for directory in (ssh, ssh / "bastion"):
        directory.mkdir(mode=0o700, exist_ok=True)
    name = f"{lines.host}:{lines.port}"
    config, own, known = ssh / "config", ssh / "bastion" / "config", ssh / "known_hosts"
    changed = []
    for path, text in (
        (own, with_block(_read(own), name, lines.config)),
        (known, with_block(_read(known), name, lines.known_hosts)),
        (config, with_include(_read(config))),
    ):
        if text != _read(path):
            _replace(path, text)
            changed.append(path)
    return tuple(changed)


def with_include(text: str) -> str:
    """The text with our Include in it: first, for after a `Host` line it would hold for that."""
    if any(line.strip() == _INCLUDE for line in text.splitlines()):
        return text
    return f"{_INCLUDE}\n\n{text}" if text else f"{_INCLUDE}\n"


def with_block(text: str, name: str, block: str) -> str:
    """The text with this bastion's block in it, in place of its former one.

    A begin without its end is not ours to guess at: StoreError.
    """
    begin, end = f"# bastion {name} begins\n", f"# bastion {name} ends\n"
    before, found, rest = text.partition(begin)
    if found:
        _, closed, after = rest.partition(end)
        if not closed:
            raise StoreError(f"The line {begin.strip()!r} has no {end.strip()!r}; mend it by hand.")
    else:
        before, after = (text if text.endswith("\n") or not text else f"{text}\n"), ""
    return f"{before}{begin}{block}{end}{after}" if block else f"{before}{after}"


def write_key(directory: Path, private: bytes, certificate: str) -> Path:
    """Write `id_bastion` (0600) and `id_bastion-cert.pub`; gives the key's path."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{directory} cannot be made: {error.strerror}.") from None
    path = directory / "id_bastion"
    _replace(path, private.decode(), keep_mode=False)
    _replace(directory / "id_bastion-cert.pub", f"{certificate}\n")
    return path


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            text = file.read(_MAX_FILE + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from None
    if len(text) > _MAX_FILE:
        raise StoreError(f"{path} is too long to be changed safely.")
    return text


def _replace(path: Path, text: str, *, keep_mode: bool = True) -> None:
    """In one step. A link is followed: people keep these files in repositories of their own."""
    path = path.resolve()
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        mode = 0o600
        if keep_mode and path.exists():
            mode = path.stat().st_mode & 0o777
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        data = text.encode("utf-8", "surrogateescape")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StoreError(f"{path} cannot be written: {error.strerror}.") from None
