"""One authority's keys on disk, and their rotation.

    next      published, does not sign yet      NAME.next
    signing   signs                             NAME
    trusted   no longer signs, still believed   NAME.trusted (public keys alone)

A key that is believed by others (targets, clients) must reach them before it signs, so `host` and
`session` go through `next`. `user` is believed by the bastion alone and switches at once. The
private half of a key that no longer signs is deleted: it could only be stolen.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import asyncssh

from bastion.errors import StoreError
from bastion.identity import keyfiles

ALGORITHM: Final = "ssh-ed25519"

UNTIL_RETIRED: Final = 0
"""As an end of trust: nobody knows when every client has the new key, so an operator says it."""


class KeyState(StrEnum):
    """Where a key is in its life."""

    NEXT = "next"
    SIGNING = "signing"
    TRUSTED = "trusted"


@dataclass(frozen=True, slots=True)
class AuthorityKey:
    """The public half. `until`: seconds since the epoch; 0 has no end yet."""

    public: asyncssh.SSHKey
    state: KeyState
    until: int = UNTIL_RETIRED

    @property
    def line(self) -> str:
        """`ssh-ed25519 AAAA…`, without a comment."""
        return public_line(self.public)

    @property
    def fingerprint(self) -> str:
        """`SHA256:…` as OpenSSH shows it."""
        return self.public.get_fingerprint()


def public_line(key: asyncssh.SSHKey) -> str:
    """`ssh-ed25519 AAAA…`, without a comment."""
    algorithm, data = key.export_public_key("openssh").decode().split()[:2]
    return f"{algorithm} {data}"


@dataclass(frozen=True, slots=True)
class _Contents:
    marks: tuple[tuple[int, int], ...]
    signing: asyncssh.SSHKey
    upcoming: asyncssh.SSHKey | None
    trusted: tuple[AuthorityKey, ...]


class KeyRing:
    """The keys of the authority `name` in `directory`.

    Reads the files again when another program has replaced them, so `bastion ca rotate` reaches a
    running bastion without a restart.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self._directory = directory
        self._path = directory / name
        self._next_path = directory / f"{name}.next"
        self._trusted_path = directory / f"{name}.trusted"
        self._loaded: _Contents | None = None

    # --- reading --------------------------------------------------------------------------------

    def exists(self) -> bool:
        """True when there is something in the signing key's place, be it good or bad."""
        return _present(self._path)

    def signing(self) -> asyncssh.SSHKey:
        """The private key that signs; StoreError when it is missing or open to others."""
        return self._contents().signing

    def keys(self, now: float) -> tuple[AuthorityKey, ...]:
        """All that is believed at `now`, the signing key first."""
        contents = self._contents()
        keys = [AuthorityKey(contents.signing.convert_to_public(), KeyState.SIGNING)]
        if contents.upcoming:
            keys.append(AuthorityKey(contents.upcoming.convert_to_public(), KeyState.NEXT))
        keys.extend(_believed(contents.trusted, now))
        return tuple(keys)

    def _contents(self) -> _Contents:
        marks = self._marks()
        if self._loaded is None or self._loaded.marks != marks:
            try:
                self._loaded = self._read(marks)
            except StoreError:
                if self._marks() == marks:
                    raise
                self._loaded = self._read(self._marks())  # a rotation came in between
        return self._loaded

    def _marks(self) -> tuple[tuple[int, int], ...]:
        return tuple(map(_mark, (self._path, self._next_path, self._trusted_path)))

    def _read(self, marks: tuple[tuple[int, int], ...]) -> _Contents:
        keyfiles.check_directory(self._directory)
        return _Contents(
            marks,
            self._read_key(self._path),
            self._read_key(self._next_path) if _present(self._next_path) else None,
            self._read_trusted(),
        )

    def _read_key(self, path: Path) -> asyncssh.SSHKey:
        data = keyfiles.read_private(path)
        try:
            key = asyncssh.import_private_key(data)
        except asyncssh.KeyImportError:
            raise StoreError(f"{path} does not hold an OpenSSH private key.") from None
        if key.get_algorithm() != ALGORITHM:
            raise StoreError(f"{path} is not an Ed25519 key; authorities use no other.")
        return key

    def _read_trusted(self) -> tuple[AuthorityKey, ...]:
        if not _present(self._trusted_path):
            return ()
        keys = []
        for line in (
            keyfiles.read_private(self._trusted_path).decode("ascii", "replace").split("\n")
        ):
            until, _, public = line.strip().partition(" ")
            if not until:
                continue
            try:
                keys.append(
                    AuthorityKey(
                        asyncssh.import_public_key(public),
                        KeyState.TRUSTED,
                        int(until.removeprefix("until=")),
                    )
                )
            except (ValueError, asyncssh.KeyImportError):
                raise StoreError(f"{self._trusted_path} is damaged: {line[:40]!r}.") from None
        return tuple(keys)

    # --- changing -------------------------------------------------------------------------------

    def create(self) -> None:
        """Make the first key; StoreError when there is one already."""
        if self.exists():
            raise StoreError(f"The {self.name} authority exists already in {self._path}.")
        self._write_new_key(self._path)

    def announce(self) -> None:
        """Make the next key, which is published but does not sign; StoreError when one waits."""
        if self._contents().upcoming:
            raise StoreError(
                f"The {self.name} authority has a next key already; once it is everywhere, run: "
                f"bastion ca rotate {self.name} --switch"
            )
        self._write_new_key(self._next_path)

    def switch(self, now: float, until: int) -> None:
        """Let the next key sign. The old one is believed `until` (0: until retired)."""
        contents = self._contents()
        if contents.upcoming is None:
            raise StoreError(
                f"The {self.name} authority has no next key; run: bastion ca rotate {self.name}"
            )
        old = AuthorityKey(contents.signing.convert_to_public(), KeyState.TRUSTED, until)
        # In this order a crash in between leaves the old key both signing and trusted: harmless.
        self._write_trusted((*_believed(contents.trusted, now), old))
        os.replace(self._next_path, self._path)
        keyfiles.sync_directory(self._directory)
        self._write_public(self._path, contents.upcoming)
        self._next_path.with_suffix(".next.pub").unlink(missing_ok=True)

    def retire(self) -> int:
        """Stop believing every key that no longer signs; gives how many those were."""
        trusted = self._contents().trusted
        self._write_trusted(())
        return len(trusted)

    def _write_new_key(self, path: Path) -> None:
        key = asyncssh.generate_private_key(ALGORITHM, comment=f"bastion {self.name} authority")
        keyfiles.write_private(path, key.export_private_key("openssh"))
        self._write_public(path, key)

    def _write_public(self, path: Path, key: asyncssh.SSHKey) -> None:
        public = key.export_public_key("openssh")
        keyfiles.write_private(path.with_name(f"{path.name}.pub"), public, mode=0o644)

    def _write_trusted(self, keys: tuple[AuthorityKey, ...]) -> None:
        lines = "".join(f"until={key.until} {key.line}\n" for key in keys)
        keyfiles.write_private(self._trusted_path, lines.encode())


def _believed(keys: tuple[AuthorityKey, ...], now: float) -> tuple[AuthorityKey, ...]:
    return tuple(key for key in keys if not key.until or key.until > now)


def _mark(path: Path) -> tuple[int, int]:
    """What changes when the file is replaced, or its mode is."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return (0, 0)
    return (found.st_ino, found.st_ctime_ns)


def _present(path: Path) -> bool:
    """True for a dangling link too, which is refused rather than overlooked."""
    return path.is_symlink() or path.exists()
