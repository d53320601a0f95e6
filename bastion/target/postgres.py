"""Dial a PostgreSQL server: TLS as configured, then a login with what the bastion holds.

The server is not trusted before TLS has verified it: without that, no password is sent in clear.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import scramp

from bastion.errors import DialError, ProtocolFault
from bastion.model import Secret, Target, Tls, visible
from bastion.target.postgres_link import Link, connect
from bastion.wire import postgres as wire

LOGIN_SECONDS: Final = 30.0
"""From the first packet to ReadyForQuery."""
MAX_STEPS: Final = 200
"""Messages of a login: a server could send notices for ever."""
MAX_GREETING: Final = 1024 * 1024
"""Bytes that a server says of itself before it is ready, which are kept until it is."""
MAX_ROUNDS: Final = 1_000_000
"""Of SCRAM's hash: a server names their number, and each login would keep a core busy with them."""
ASK_SECONDS: Final = 30.0
"""How long one question of the bastion's own may take."""


@dataclass(frozen=True, slots=True)
class Proof:
    """How the bastion logs in. All of it is by reference elsewhere, and dropped after the login."""

    role: str
    password: Secret | None = None
    certificate: Secret | None = None
    key: Secret | None = None


@dataclass(slots=True)
class Ready:
    """A logged-in connection; `greeting` is what the server sent up to ReadyForQuery, raw."""

    link: Link
    greeting: bytes


async def dial_postgres(
    target: Target, proof: Proof, database: str, settings: Sequence[tuple[str, str]]
) -> Ready:
    """Connect, encrypt, log in. DialError says in one sentence why not, and never a secret."""
    name = target.name
    try:
        async with asyncio.timeout(LOGIN_SECONDS):
            link = await connect(target.host, target.port)
            try:
                await _encrypt(link, target, proof)
                pairs = [("user", proof.role), ("database", database), *settings]
                link.write(wire.startup(pairs))
                return Ready(link, await _log_in(link, proof))
            except BaseException:
                link.close()
                raise
    except TimeoutError:
        raise DialError(f"target {name} did not finish the login in time.") from None
    except ssl.SSLCertVerificationError as error:
        why = visible(error.verify_message or "it does not verify", limit=200)
        raise DialError(f"target {name} showed a certificate that is not trusted: {why}.") from None
    except OSError as error:
        raise DialError(f"target {name} broke off: {error.strerror or 'no reason'}.") from None
    except ProtocolFault:
        raise DialError(f"target {name}: it does not speak PostgreSQL's protocol.") from None
    except DialError as error:
        raise DialError(f"target {name}: {error}", error.code) from None


async def cancel(target: Target, pid: int, key: bytes) -> None:
    """Ask the server to give up what a connection runs. Nothing is ever answered."""
    async with asyncio.timeout(LOGIN_SECONDS):
        link = await connect(target.host, target.port)
        try:
            await _encrypt(link, target, Proof(""))
            link.write(wire.cancel(pid, key))
            await link.gone()
        finally:
            link.close()


# --- TLS --------------------------------------------------------------------------------------


async def _encrypt(link: Link, target: Target, proof: Proof) -> None:
    if target.database.tls is Tls.DISABLE:
        return
    context = await asyncio.to_thread(_context, target, proof)
    link.write(b"\0\0\0\x08" + wire.SSL_REQUEST.to_bytes(4, "big"))
    if await link.byte() != b"S":
        raise DialError("it does not encrypt, and `tls: disable` is not configured for it.")
    await link.start_tls(context, target.database.tls_name or target.host)


def _context(target: Target, proof: Proof) -> ssl.SSLContext:
    facts = target.database
    try:
        context = ssl.create_default_context(cafile=facts.tls_ca or None)
    except (OSError, ssl.SSLError):
        raise DialError(f"tls_ca {facts.tls_ca} holds no certificates.") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = facts.tls is Tls.VERIFY_FULL
    if proof.certificate is not None and proof.key is not None:
        _load_certificate(context, proof.certificate, proof.key)
    return context


def _load_certificate(context: ssl.SSLContext, certificate: Secret, key: Secret) -> None:
    """OpenSSL wants a file: it gets one that only exists in memory."""
    number = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        data = certificate.reveal() + b"\n" + key.reveal() + b"\n"
        os.write(number, data)
        context.load_cert_chain(f"/proc/self/fd/{number}")
    except (OSError, ssl.SSLError):
        raise DialError(
            "the client certificate and its key do not fit or cannot be read."
        ) from None
    finally:
        os.close(number)


# --- the login --------------------------------------------------------------------------------


async def _log_in(link: Link, proof: Proof) -> bytes:
    """Answer what is asked until the server is ready."""
    greeting = b""
    login = _Login(link, proof)
    known = False
    for _ in range(MAX_STEPS):
        message = await link.message()
        kind = chr(message.kind)
        if kind == "E":
            raise _refused(message)
        if kind == "R":
            known = await login.authenticate(message)
        elif kind == "Z" and known:
            return greeting + message.raw
        elif kind in {"S", "K", "N"} and known:
            greeting += message.raw
            if len(greeting) > MAX_GREETING:
                raise DialError("it says too much of itself before it is ready.")
        elif kind != "N":
            raise DialError("it does not log in as PostgreSQL does.")
    raise DialError("its login does not end.")


class _Login:
    """Answers what the server wants for a proof."""

    def __init__(self, link: Link, proof: Proof) -> None:
        self._link = link
        self._proof = proof
        self._scram: _Scram | None = None

    async def authenticate(self, message: wire.Message) -> bool:
        """Answer one Authentication message; True once the server is satisfied, and so are we."""
        reader = wire.Reader(message.body, "Authentication")
        code, rest = reader.int32(), reader.take(reader.left)
        if code == 0:
            if self._scram is not None and not self._scram.verified:
                raise DialError("it does not know the password itself; this is not the server.")
            return True
        if code == 10:
            self._scram = _Scram(self._link, self._proof)
            await self._scram.begin(rest)
        elif code in {11, 12} and self._scram is not None:
            await self._scram.go_on(code, rest)
        else:
            self._link.write(_password(code, rest, self._proof, self._link))
        return False


def _refused(message: wire.Message) -> DialError:
    fields = wire.decode_fields(message.body)
    text = visible(fields.get("M", "no reason"), limit=200)
    code = visible(fields.get("C", "?"), limit=8)
    return DialError(f"it refuses the login: {text} (SQLSTATE {code}).", code)


def _password(code: int, salt: bytes, proof: Proof, link: Link) -> bytes:
    """A clear-text or MD5 password, which only a verified server gets."""
    if proof.password is None:
        raise DialError("it wants a password, and none is configured.")
    if link.tls is None:
        raise DialError("it wants a password in the clear without TLS; use scram-sha-256 there.")
    secret = proof.password.reveal()
    if code == 3:
        return wire.encode(b"p", secret + b"\0")
    if code == 5:
        inner = hashlib.md5(secret + proof.role.encode()).hexdigest()  # noqa: S324 (its protocol)
        outer = hashlib.md5(inner.encode() + salt[:4]).hexdigest()  # noqa: S324
        return wire.encode(b"p", b"md5" + outer.encode() + b"\0")
    raise DialError(f"it wants a kind of login ({code}) that the bastion does not know.")


class _Scram:
    """SCRAM-SHA-256 (RFC 7677), bound to the TLS channel where the server offers that."""

    def __init__(self, link: Link, proof: Proof) -> None:
        self._link = link
        self._proof = proof
        self._client: scramp.ScramClient | None = None
        self.verified = False

    async def begin(self, offered: bytes) -> None:
        """Choose a mechanism."""
        names = [one.decode("ascii", "replace") for one in offered.split(b"\0") if one]
        known = [one for one in names if one in {"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}]
        if self._proof.password is None or not known:
            raise DialError("it wants a kind of login that the bastion does not have.")
        tls = self._link.tls
        binding = ("tls-server-end-point", tls) if tls is not None else None
        password = self._proof.password.reveal().decode("utf-8", "replace")
        try:
            self._client = scramp.ScramClient(
                known, self._proof.role, password, channel_binding=binding
            )
            first = self._client.get_client_first().encode()
        except scramp.ScramException:
            raise DialError("its login with SCRAM cannot begin.") from None
        name = self._client.mechanism_name.encode()
        self._link.write(wire.encode(b"p", name + b"\0" + len(first).to_bytes(4, "big") + first))

    async def go_on(self, code: int, data: bytes) -> None:
        """The server's challenge, or its own proof."""
        assert self._client is not None
        try:
            if code == 11:
                final = await asyncio.to_thread(_final, self._client, data.decode())
                self._link.write(wire.encode(b"p", final))
            else:
                self._client.set_server_final(data.decode())
                self.verified = True
        except (scramp.ScramException, UnicodeDecodeError):
            raise DialError("its login with SCRAM does not verify.") from None


def _final(client: scramp.ScramClient, challenge: str) -> bytes:
    """4096 and more rounds of a hash: in a thread, for everybody else is served meanwhile."""
    client.set_server_first(challenge)
    if int(client.iterations) > MAX_ROUNDS:
        raise DialError(f"its login with SCRAM wants {client.iterations} rounds.")
    return str(client.get_client_final()).encode()


# --- questions of the bastion's own -----------------------------------------------------------


async def ask(link: Link, sql: str) -> list[list[str | None]]:
    """Run SQL of our own on a connection that nobody else uses yet; gives the rows as text."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            return await _ask(link, sql)
    except TimeoutError:
        raise DialError("it does not answer what the bastion asks.") from None
    except ProtocolFault:
        raise DialError("it does not speak PostgreSQL's protocol.") from None


async def _ask(link: Link, sql: str) -> list[list[str | None]]:
    link.write(wire.query(sql))
    rows: list[list[str | None]] = []
    failed, size = "", 0
    while True:
        message = await link.message()
        match chr(message.kind):
            case "D":
                values = wire.decode_row(message.body)
                rows.append(
                    [one.decode("utf-8", "replace") if one is not None else None for one in values]
                )
                size += len(message.raw) + 100
                if size > MAX_ANSWER:
                    raise DialError("its catalog is larger than can be looked through.")
            case "E":
                failed = wire.decode_fields(message.body).get("M", "no reason")
            case "Z":
                break
            case _:
                continue
    if failed:
        raise DialError(f"it refuses what the bastion asks: {visible(failed, limit=200)}.")
    return rows


async def describe(link: Link, sql: str) -> tuple[wire.Column, ...] | None:
    """The columns that a query would give, which is not run; None where the server refuses it."""
    link.write(wire.parse("", sql) + wire.describe_statement("") + wire.SYNC)
    columns: tuple[wire.Column, ...] | None = None
    try:
        async with asyncio.timeout(ASK_SECONDS):
            while (message := await link.message()).kind != ord("Z"):
                if message.kind == ord("T"):
                    columns = wire.decode_columns(message.body)
    except TimeoutError:
        raise DialError("it does not answer what the bastion asks.") from None
    except ProtocolFault:
        raise DialError("it does not speak PostgreSQL's protocol.") from None
    return columns


MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of rows that are kept of one answer."""


def literal(text: str) -> str:
    """A text as an SQL literal (standard_conforming_strings is on)."""
    return "'" + text.replace("'", "''") + "'"
