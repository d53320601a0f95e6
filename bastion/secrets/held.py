"""A credential in memory for as long as a block runs, and no longer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bastion.model import Secret
from bastion.secrets.resolve import resolve


@asynccontextmanager
async def held(reference: str) -> AsyncIterator[Secret]:
    """`async with held(reference) as secret:` drops it at the end. Raises SecretUnavailable."""
    secret = await resolve(reference)
    try:
        yield secret
    finally:
        secret.drop()
