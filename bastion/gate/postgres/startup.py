"""How a PostgreSQL client begins: encryption requests, the startup message, a cancel request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bastion.errors import ClientFault, ProtocolFault
from bastion.model import SqlUse, visible
from bastion.policy.sql import encodings
from bastion.wire import postgres as wire

TLS_RECORD: Final = 0x16

PASSED: Final = {
    name.lower(): name
    for name in (
        "application_name", "DateStyle", "TimeZone", "IntervalStyle", "extra_float_digits",
        "bytea_output", "client_min_messages", "search_path", "statement_timeout", "lock_timeout",
        "idle_in_transaction_session_timeout", "jit",
    )
}  # fmt: skip
"""Settings that drivers give at the start. Others are decided as a SET of them is."""

PINNED_AT_START: Final = (
    ("standard_conforming_strings", "on"),
    ("backslash_quote", "safe_encoding"),
)
_SETTING: Final = r"[A-Za-z_][A-Za-z0-9_.]*"
_OPTION: Final = re.compile(rf"(?:-c\s*|--)({_SETTING})=((?:\\.|[^\s\\])*)")
_ROLES: Final = frozenset({"role", "session_authorization"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client asks for."""

    user: str
    database: str
    minor: int
    settings: tuple[tuple[str, str], ...]
    decided: tuple[SqlUse, ...]
    """What of the settings is decided first."""
    unknown: tuple[str, ...]
    """Protocol options (`_pq_.…`) that are not known here."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why it gets no session: SQLSTATE, message, hint."""

    code: str
    message: str
    hint: str = ""


class Door:
    """Takes a client's first bytes. Each kind of encryption request is answered once, with no."""

    def __init__(self) -> None:
        self._left = b""
        self._asked: set[int] = set()

    def feed(
        self, data: bytes
    ) -> tuple[bytes, wire.CancelRequest | Wanted | Refused | None, bytes]:
        """Give the answer to send, what is asked once that is known, and what came after it."""
        self._left += data
        answer = b""
        while len(self._left) >= 8:
            if self._left[0] == TLS_RECORD:
                return answer, _NO_TLS, b""
            length = int.from_bytes(self._left[:4], "big")
            if not 8 <= length <= wire.MAX_STARTUP:
                raise ClientFault(f"a first packet of {length} bytes.")
            if len(self._left) < length:
                break
            packet, self._left = self._left[:length], self._left[length:]
            found = wire.decode_startup(packet)
            if isinstance(found, wire.CancelRequest):
                return answer, found, b""
            if isinstance(found, wire.Startup):
                return answer, wanted(found), self._left
            if found in self._asked:
                raise ClientFault("encryption was asked for twice.")
            if self._left:  # CVE-2021-23214: what comes before the answer was not encrypted
                raise ClientFault("data after a request for encryption.")
            self._asked.add(found)
            answer += b"N"
        return answer, None, b""


_NO_TLS: Final = Refused(
    "08P01",
    "The bastion speaks no TLS inside the SSH connection, which encrypts already.",
    "Use sslmode=prefer, or sslmode=disable.",
)


def wanted(startup: wire.Startup) -> Wanted | Refused:
    """Check a startup message; what is not known is refused."""
    given = {name.lower(): value for name, value in startup.settings.items()}
    user = given.pop("user", "")
    database = given.pop("database", "") or user
    if not user:
        return Refused("28000", "no user name was given.")
    if given.pop("replication", "off").lower() not in {"off", "false", "no", "0"}:
        return Refused("0A000", "The replication protocol is not spoken through the bastion.")
    unknown = tuple(name for name in startup.settings if name.startswith("_pq_."))
    try:
        settings = _options(given.pop("options", ""))
    except ProtocolFault as fault:
        return Refused("0A000", str(fault), "SET it after connecting.")
    settings |= {name: value for name, value in given.items() if not name.startswith("_pq_.")}
    asked = settings.pop("client_encoding", encodings.UTF8).strip("'\" ")
    encoding = encodings.UTF8 if asked.lower() == "auto" else encodings.encoding_named(asked)
    if not encoding:
        return Refused(
            "0A000",
            f"client_encoding {visible(asked, limit=40)} is not spoken through the bastion.",
            "Set PGCLIENTENCODING=UTF8.",
        )
    for name in settings:
        if not re.fullmatch(_SETTING, name):
            return Refused("0A000", f"{visible(name, limit=80)} is no setting.")
    pairs = [(PASSED.get(name, name), value) for name, value in settings.items()]
    decided = tuple(_use(name, value) for name, value in settings.items() if name not in PASSED)
    pairs.append(("client_encoding", encoding))
    return Wanted(user, database, startup.minor, tuple(pairs), decided, unknown)


def _use(name: str, value: str) -> SqlUse:
    """What giving a setting at the start does, as a statement would."""
    if name in _ROLES:
        return SqlUse("set-role", name=value)
    return SqlUse("set", setting=name, name=value)


def _options(text: str) -> dict[str, str]:
    """`-c name=value` of the client's options (PGOPTIONS); anything else is a ClientFault."""
    found: dict[str, str] = {}
    rest = text.strip()
    while rest:
        option = _OPTION.match(rest)
        if option is None:
            shown = visible(rest, limit=80)
            raise ClientFault(f"options {shown} cannot be given through the bastion.")
        found[option[1].lower()] = re.sub(r"\\(.)", r"\1", option[2])
        rest = rest[option.end() :].lstrip()
    return found
