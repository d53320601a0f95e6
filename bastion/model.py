"""The nouns: who, where, and what is asked for. Frozen values; nothing here does IO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

ClaimValue = str | int | bool | tuple[str, ...]
Claims = Mapping[str, ClaimValue]

EXIT_REFUSED: Final = 254
"""Exit status of anything the bastion refuses or ends (Tailscale SSH's number for the same)."""


class Secret:
    """A credential in memory. It shows itself to nobody who does not ask by name."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value: bytes | None = value

    def reveal(self) -> bytes:
        """Give the bytes; a dropped secret raises ValueError."""
        if self._value is None:
            raise ValueError("this secret was dropped after use")
        return self._value

    def drop(self) -> None:
        """Forget the value. Python cannot wipe memory; this only shortens its life."""
        self._value = None

    def __repr__(self) -> str:
        return "Secret(…)"

    def __str__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is never serialised")


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a verified OpenSSH certificate said. Times are seconds since the epoch."""

    serial: int
    key_id: str
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    authority: str
    """Fingerprint (`SHA256:…`) of the key that signed it."""
    source_addresses: tuple[str, ...] = ()
    extensions: frozenset[str] = frozenset()
    """Names of the standard extensions (`permit-pty`, `permit-port-forwarding`, …)."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A role that people granted for a time, on targets that match one of these globs."""

    role: str
    targets: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who logged in, fixed once when authentication completes (invariant 9).

    `issuer` and `subject` together never change for a person; `name` is for reading only.
    """

    issuer: str
    subject: str
    name: str
    claims: Claims = field(default_factory=lambda: MappingProxyType({}))
    roles: frozenset[str] = frozenset()
    expires_at: float = 0.0
    """Absolute end of all this identity may do in this session, seconds since the epoch."""
    source_address: str = ""
    agent: str = ""
    branch: str = ""
    certificate: CertificateFacts | None = None
    granted: tuple[Granted, ...] = ()
    """What it was granted for a time, on top of `roles`, as it stands at this moment."""

    @property
    def id(self) -> str:
        """What distinct people are counted by, and locks are set on."""
        return f"{self.issuer}#{self.subject}"


class Dialect(StrEnum):
    """The shell that will read a command line on the target."""

    BASH = "bash"
    SH = "sh"
    ZSH = "zsh"


class TargetKind(StrEnum):
    """What stands behind."""

    SSH = "ssh"
    POSTGRES = "postgres"
    HTTP = "http"
    TCP = "tcp"


@dataclass(frozen=True, slots=True)
class HostTrust:
    """How a target's host key is verified. Exactly one of these is set."""

    pinned: tuple[str, ...] = ()
    """Public keys, `ssh-ed25519 AAAA…`."""
    authorities: tuple[str, ...] = ()
    """Public keys of host CAs."""
    known_hosts: str = ""
    """Path of an OpenSSH known_hosts file."""
    first_use: bool = False
    """Trust the first key seen, and only that one afterwards; audited."""


@dataclass(frozen=True, slots=True)
class Credential:
    """How the bastion logs in on a target: an ephemeral certificate, or something by reference."""

    kind: str = "certificate"
    """`certificate`, `password` or `key`."""
    reference: str = ""
    """`file:PATH`, `env:NAME`, `credential:NAME` (systemd), `command:WORDS`; none for the first."""
    certificate: str = ""
    """Reference of a client certificate (PEM), for kind `client-certificate`; then `reference` is
    its key."""
    user: str = ""
    """Kind `temporary-role`: the database role that makes roles, whose password `reference` is."""


class Tls(StrEnum):
    """How the connection to a database is protected (libpq's words)."""

    VERIFY_FULL = "verify-full"
    """The certificate is signed by a trusted authority, and for this name."""
    VERIFY_CA = "verify-ca"
    DISABLE = "disable"


@dataclass(frozen=True, slots=True)
class Database:
    """What a target of kind postgres has beside its address."""

    tls: Tls = Tls.VERIFY_FULL
    tls_ca: str = ""
    """PEM file of the authorities; empty for the system's."""
    tls_name: str = ""
    """What its certificate is for, where that is not the address."""
    roles: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Login of the policy → role of the database; others are the same."""


@dataclass(frozen=True, slots=True)
class Target:
    """A host or service behind the bastion, as the configuration names it."""

    name: str
    kind: TargetKind = TargetKind.SSH
    host: str = ""
    port: int = 22
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    description: str = ""
    trust: HostTrust = HostTrust()
    credential: Credential = Credential()
    dialect: Dialect = Dialect.BASH
    database: Database = Database()


# --- requests: what a client asks to do -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """One command line of an exec channel, exactly as the client sent it."""

    command: str
    pty: bool = False


@dataclass(frozen=True, slots=True)
class ShellRequest:
    """An interactive shell. `gated`: its lines are decided one by one."""

    pty: bool = True
    gated: bool = False


@dataclass(frozen=True, slots=True)
class LineRequest:
    """What a person entered at the prompt of a gated shell: one complete line, or several."""

    text: str
    directory: str = ""
    """The shell's working directory, absolute; empty where it is not known."""
    watched: bool = False
    """The shell will report every simple command of it before it runs (see StepRequest), so that
    what only the running shell can tell may wait until then."""
    defined: tuple[str, ...] = ()
    """What earlier lines defined: all their verdicts' `definitions`."""


@dataclass(frozen=True, slots=True)
class StepRequest:
    """One simple command that a watched shell is about to run, unexpanded, as the shell prints it.

    Said by the target, so it is trusted no more than the target is: it can only be refused.
    """

    text: str
    directory: str = ""
    values: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """What the shell says that variables hold: a name and one string, several for an array, none
    where it is unset. `1`, `2`, … and `@` are the positional parameters."""
    untold: tuple[str, ...] = ()
    """Names that were asked for, and that the shell cannot tell (a nameref, an answer too long)."""
    line: str = ""
    """The line that is running: a step that stands in it reads and shows what it does there."""
    defined: tuple[str, ...] = ()
    """What earlier lines defined: all their verdicts' `definitions`."""


@dataclass(frozen=True, slots=True)
class SubsystemRequest:
    """An SSH subsystem by name; `sftp` opens a channel whose FileRequests are decided singly."""

    name: str


class FileOperation(StrEnum):
    """What is done to a file, whichever protocol asks for it."""

    READ = "read"
    WRITE = "write"
    LIST = "list"
    STAT = "stat"
    SETSTAT = "setstat"
    REMOVE = "remove"
    MKDIR = "mkdir"
    RMDIR = "rmdir"
    RENAME = "rename"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    READLINK = "readlink"
    REALPATH = "realpath"
    STATVFS = "statvfs"


class Direction(StrEnum):
    """Which way file content travels. `upload` is towards the target."""

    UPLOAD = "upload"
    DOWNLOAD = "download"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class FileRequest:
    """One operation on one path (two for rename and links), as sftp, scp or rsync ask for it.

    Paths are what the client sent, as text; bytes that are not UTF-8 are kept by surrogateescape.
    """

    operation: FileOperation
    path: str
    other_path: str = ""
    direction: Direction = Direction.NONE
    protocol: str = "sftp"
    """`sftp`, `scp` or `rsync`."""


class ForwardKind(StrEnum):
    """Everything that is not a session channel, and the two requests that ride on one."""

    DIRECT_TCPIP = "direct-tcpip"
    DIRECT_STREAMLOCAL = "direct-streamlocal"
    TCPIP_FORWARD = "tcpip-forward"
    STREAMLOCAL_FORWARD = "streamlocal-forward"
    AGENT = "agent"
    X11 = "x11"
    TUN = "tun"


@dataclass(frozen=True, slots=True)
class ForwardRequest:
    """A forward of any kind. `host` is a path for streamlocal, empty for agent and x11."""

    kind: ForwardKind
    host: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class SqlUse:
    """One thing that a statement does. `policy/sql/kinds.py` lists the kinds.

    Names are as PostgreSQL folds them: `schema.name`, or `name` where none is written; which
    schema that is then depends on search_path, so rules take it for any.
    """

    kind: str
    table: str = ""
    function: str = ""
    setting: str = ""
    name: str = ""
    """What else it is about: a role, an extension, a prepared statement, a program."""
    restricted: bool = True
    """False where an update or delete has no WHERE, or one that picks nothing out."""


@dataclass(frozen=True, slots=True)
class SqlColumn:
    """A column that a statement names. `table` is empty where it may be any of the statement's."""

    table: str
    column: str
    """`*` for all of them."""
    plain: bool = False
    """It only comes out as it is: no expression, condition, order or other table sees it."""


@dataclass(frozen=True, slots=True)
class SqlCopy:
    """The file that a COPY … TO STDOUT sends: what is needed to find its fields."""

    select: str
    """A query that gives the same columns."""
    format: str = "text"
    delimiter: str = "\t"
    null: str = "\\N"
    quote: str = '"'
    escape: str = '"'
    header: bool = False
    encoding: str = ""
    fault: str = ""
    """Why its fields cannot be told, or ""."""


@dataclass(frozen=True, slots=True)
class SqlStatement:
    """All that one statement does, however deep inside it stands."""

    uses: tuple[SqlUse, ...]
    columns: tuple[SqlColumn, ...] = ()
    opaque: tuple[str, ...] = ()
    """What cannot be told, a reason each."""
    copy: SqlCopy | None = None
    """Of COPY … TO STDOUT."""
    calls: tuple[SqlColumn, ...] = ()
    """`row.name`, which calls a function `name` where the row has no such column."""
    behind: tuple[str, ...] = ()
    """Names of its operators and types, which may call functions; `foreign NAME`: a server's."""


@dataclass(frozen=True, slots=True)
class SqlReading:
    """What a text of SQL does. With a `fault` nothing of it could be read."""

    statements: tuple[SqlStatement, ...] = ()
    fault: str = ""
    syntax: bool = False
    """The fault is one that the server would find as well."""
    position: int = 0
    """Where in the text it is, in characters from 1; 0 where that is not known."""


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """SQL for a database: one text as it came, the values bound to it, and what it does."""

    sql: str
    reading: SqlReading
    parameters: tuple[str | None, ...] = ()
    """As text, for people; None is NULL."""
    database: str = ""
    clear: bool = False
    """Its rows are to be shown with what is masked in them; the text itself says so."""
    misused: str = ""
    """What it does with masked columns other than to show them, as the catalog tells, or ""."""


@dataclass(frozen=True, slots=True)
class DatabaseRequest:
    """A database session: as which role (this channel's login), in which database."""

    database: str
    settings: tuple[tuple[str, str], ...] = ()
    """What the client wants set from the start (application_name and its kind)."""


Request = (
    ExecRequest
    | ShellRequest
    | LineRequest
    | StepRequest
    | SubsystemRequest
    | FileRequest
    | ForwardRequest
    | QueryRequest
    | DatabaseRequest
)


def visible(text: str, *, limit: int = 0) -> str:
    """Show `text` on one line so that nothing in it can act on a terminal or hide (invariant 10).

    Printable characters stay; C0 controls become U+2400 pictures, everything else that is not
    printable (C1, bidirectional and zero-width marks, lone surrogates, tags) becomes `\\u{…}`.
    `limit` > 0 cuts there and says how many characters were cut.
    """
    shown = text if text.isascii() and text.isprintable() else _all_visible(text)
    if limit and len(shown) > limit:
        return f"{shown[:limit]}… ({len(shown) - limit} more characters)"
    return shown


def _all_visible(text: str) -> str:
    return "".join(_visible_character(character) for character in text)


_INVISIBLE_PRINTABLE: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0\u034f\u061c\u17b4\u17b5")


def _visible_character(character: str) -> str:
    code = ord(character)
    if character == " " or (character.isprintable() and character not in _INVISIBLE_PRINTABLE):
        return character
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"\\u{{{code:x}}}"
