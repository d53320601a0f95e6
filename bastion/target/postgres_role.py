"""A database role for one session: made before it, with an end, and dropped after it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import scramp

from bastion.errors import DialError
from bastion.model import Secret, Target
from bastion.policy.sql.tree import quoted
from bastion.target.postgres import Proof, ask, dial_postgres, literal
from bastion.target.postgres_link import Link

PREFIX: Final = "bastion_"
"""Of every such role's name: what is left of a crash is known by it, and by its end."""
_SWEEP: Final = (
    "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname LIKE 'bastion\\_%'"
    " AND rolvaliduntil < pg_catalog.now() - interval '1 hour' LIMIT 100"
)


@dataclass(slots=True)
class SessionRole:
    """The role and its password; `drop` ends both."""

    target: Target
    maker: Proof
    database: str
    name: str
    parent: str
    password: Secret

    async def drop(self) -> None:
        """End its connections, give what it owns to its parent, and drop it."""
        self.password.drop()
        ready = await dial_postgres(self.target, self.maker, self.database, ())
        try:
            await _drop(ready.link, self.name, self.parent, self.maker.role)
        finally:
            ready.link.close()


async def make_role(
    target: Target, maker: Proof, database: str, parent: str, session: str, ends_at: float
) -> SessionRole:
    """Make a member of `parent` that can log in until `ends_at` (seconds since the epoch)."""
    name = f"{PREFIX}{session}_{secrets.token_hex(4)}"
    password = secrets.token_urlsafe(32)
    verifier = await asyncio.to_thread(_verifier, password)
    until = datetime.fromtimestamp(ends_at, UTC).isoformat()
    ready = await dial_postgres(target, maker, database, ())
    try:
        for (left,) in await ask(ready.link, _SWEEP):
            await _sweep(ready.link, str(left), parent, maker.role)
        await ask(
            ready.link,
            f"CREATE ROLE {quoted(name)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT"
            f" PASSWORD {literal(verifier)} VALID UNTIL {literal(until)} IN ROLE {quoted(parent)};"
            # What the session makes belongs to the parent, so that nothing hangs on this role.
            f"ALTER ROLE {quoted(name)} SET role = {quoted(parent)}",
        )
    finally:
        ready.link.close()
    return SessionRole(target, maker, database, name, parent, Secret(password.encode()))


async def _drop(link: Link, name: str, parent: str, maker: str) -> None:
    ends = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
    with contextlib.suppress(DialError):  # a maker without pg_signal_backend: sessions end anyway
        await ask(link, f"{ends} WHERE usename = {literal(name)}")
    try:
        await ask(link, f"DROP ROLE IF EXISTS {quoted(name)}")
    except DialError:  # it owns something, in spite of its `SET role`
        await ask(
            link,
            f"GRANT {quoted(name)} TO {quoted(maker)};"
            f"REASSIGN OWNED BY {quoted(name)} TO {quoted(parent)};"
            f"DROP OWNED BY {quoted(name)}; DROP ROLE {quoted(name)}",
        )


async def _sweep(link: Link, name: str, parent: str, maker: str) -> None:
    """What a crash left; one that cannot be dropped cannot log in either."""
    try:
        await _drop(link, name, parent, maker)
    except DialError:
        return


def _verifier(password: str) -> str:
    """A password as PostgreSQL stores it (SCRAM-SHA-256), so that its log never sees the text."""
    salt, stored, server, rounds = scramp.ScramMechanism("SCRAM-SHA-256").make_auth_info(password)
    shown = [base64.b64encode(part).decode() for part in (bytes(salt), stored, server)]
    return f"SCRAM-SHA-256${rounds}:{shown[0]}${shown[1]}:{shown[2]}"
