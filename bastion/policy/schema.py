"""The policy format, version 1, as pydantic models: what each key of a policy file may hold.

`policies/reference.yaml` and `policies/demo.yaml` show it in use, with comments.
"""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import re2
from pydantic import AfterValidator, Discriminator, Field, Tag

from bastion.model import FileOperation, ForwardKind
from bastion.policy.actions import Action
from bastion.policy.desk_schema import ApprovalSection as ApprovalSection
from bastion.policy.desk_schema import ConsoleSection as ConsoleSection
from bastion.policy.desk_schema import RequestableSection as RequestableSection
from bastion.policy.desk_schema import Right as Right
from bastion.policy.document import Section
from bastion.policy.facts import OpaqueKind
from bastion.policy.fields import Duration, OneOrMany
from bastion.policy.masking import MaskSection as MaskSection
from bastion.policy.shell.classes import ProgramClass
from bastion.policy.sql.kinds import KINDS
from bastion.policy.values import NAME as NAME
from bastion.policy.values import Glob, Name, filled, refuse

DEFAULT_ENVIRONMENT: Final = ("LANG", "LC_*", "TERM", "COLORTERM")
LOGIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
CLAIM_LOGIN: Final = re.compile(r"\{[A-Za-z0-9_:./-]{1,128}\}")
SPELLING: Final = re.compile(r"-[A-Za-z0-9?@#]|--?[A-Za-z0-9][A-Za-z0-9_.-]+")
MAX_REGEX_MEMORY: Final = 1 << 20  # a regex of nested counts compiles to gigabytes elsewhere


def _login(text: str) -> str:
    refuse(
        LOGIN.fullmatch(text) is None and CLAIM_LOGIN.fullmatch(text) is None,
        'a login is an exact account name, or "{claim}" for the value of a claim',
    )
    return text


def _source(text: str) -> str:
    if text != "client":
        try:
            ipaddress.ip_network(text)
        except ValueError:
            raise ValueError("must be client, an address or a network such as 10.0.0.0/8") from None
    return text


@lru_cache(maxsize=4096)
def compile_text(text: str) -> Any:
    """Compile a rule's regular expression (re2: linear time); ValueError says what is wrong."""
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    options.max_mem = MAX_REGEX_MEMORY
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0]
        shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"not a regular expression that re2 takes: {shown}") from None


def _regex(text: str) -> str:
    compile_text(text)
    return text


def _flag(text: str) -> str:
    spellings, _, _ = text.partition("=")
    for spelling in spellings.split(","):
        refuse(
            SPELLING.fullmatch(spelling.strip()) is None,
            "write a flag as its manual page does: -r, -R, --recursive"
            " (and --volume=/etc* for one with a value)",
        )
    return text


def _option(text: str) -> str:
    refuse(SPELLING.fullmatch(text) is None, "an option looks like -n or --namespace")
    return text


def _path_glob(text: str) -> str:
    refuse(
        not text.startswith(("/", "~/", "**")),
        "a path begins with / (absolute), ~/ (below the login's home) or ** (any path)",
    )
    return text


def _sql_kind(text: str) -> str:
    refuse(text not in KINDS, f"not a kind of statement; one of {', '.join(sorted(KINDS))}")
    return text


def _column_glob(text: str) -> str:
    table, dot, column = text.rpartition(".")
    refuse(not (table and dot and column), "write a column as table.column or schema.table.column")
    return text


def _true(value: bool) -> bool:
    refuse(not value, "can only be true: leave it out otherwise")
    return value


Login = Annotated[str, AfterValidator(_login)]
PathGlob = Annotated[str, Field(min_length=1), AfterValidator(_path_glob)]
Flag = Annotated[str, AfterValidator(_flag)]
Option = Annotated[str, AfterValidator(_option)]
Regex = Annotated[str, Field(min_length=1), AfterValidator(_regex)]
SqlKind = Annotated[str, AfterValidator(_sql_kind)]
ColumnGlob = Annotated[str, AfterValidator(_column_glob)]
Present = Annotated[bool, AfterValidator(_true)]


class OptionFacts(Section):
    """What is known of a program's options, so that fewer words have to be guessed at."""

    values: tuple[Option, ...] = ()
    """Options that take the next word as their value."""
    switches: tuple[Option, ...] = ()
    """Options that never do."""
    end_at_operand: bool = False
    """Words after the first operand belong to something else (`docker run IMAGE …`)."""


class CommandPattern(Section):
    """One program's use. All given keys must hold; each list means any of its entries,
    but every entry of `flags` must be there."""

    program: OneOrMany[Glob] = ()
    class_: OneOrMany[ProgramClass] = Field(default=(), alias="class")
    """Programs that run code of their own, by kind."""
    via: OneOrMany[Glob] = ()
    subcommand: OneOrMany[Glob] = ()
    flags: OneOrMany[Flag] = ()
    first_operand: OneOrMany[Glob] = ()
    operands: OneOrMany[Glob] = ()
    operands_except: OneOrMany[Glob] = ()
    options: OptionFacts = OptionFacts()


class PathAccess(StrEnum):
    """Which openings of a path count."""

    READ = "read"
    WRITE = "write"
    ANY = "any"


class OpenPattern(Section):
    """A path that a command or redirection opens. Metadata (ls, stat) is not an opening."""

    path: OneOrMany[PathGlob]
    path_except: OneOrMany[PathGlob] = ()
    access: PathAccess = PathAccess.ANY


class OpaquePattern(Section):
    """Kinds of text that cannot be told; with `text`, only on lines that match it whole."""

    kinds: OneOrMany[OpaqueKind]
    class_: OneOrMany[ProgramClass] = Field(default=(), alias="class")
    """Only where a program of one of these kinds is what cannot be told."""
    text: Regex | None = None


class FilePattern(Section):
    """File operations of sftp, scp and rsync."""

    path: OneOrMany[PathGlob] = ("**",)
    path_except: OneOrMany[PathGlob] = ()
    operation: OneOrMany[FileOperation] = ()
    """Empty: all that reads, lists or changes; stat, realpath, readlink and statvfs do not."""
    direction: Literal["upload", "download"] | None = None


class ForwardPattern(Section):
    """Forwards, by kind and by where they lead (`host:port`, or a path for streamlocal)."""

    kind: OneOrMany[ForwardKind]
    to: OneOrMany[Glob] = ("*",)


class SqlPattern(Section):
    """One thing that a statement does. All given keys must hold; each list means any of its
    entries. A table, function or column without a schema is meant in any schema."""

    kind: OneOrMany[SqlKind] = ()
    table: OneOrMany[Glob] = ()
    table_except: OneOrMany[Glob] = ()
    function: OneOrMany[Glob] = ()
    column: OneOrMany[ColumnGlob] = ()
    """`table.column`: named anywhere in the statement."""
    setting: OneOrMany[Glob] = ()
    name: OneOrMany[Glob] = ()
    """What else it is about: an extension, a role, a database."""
    without: Literal["where"] | None = None
    """Only where no WHERE picks rows out."""


class SessionPattern(Section):
    """Whole sessions: an interactive shell, subsystems by name (sftp is one). Any is enough."""

    shell: Present = False
    subsystem: OneOrMany[Glob] = ()


class ExampleSection(Section):
    """An example that is not a command line."""

    file: str | None = None
    """`OPERATION PATH [OTHER_PATH]`, for instance `write /etc/motd`."""
    forward: str | None = None
    """`KIND HOST:PORT`, for instance `direct-tcpip db:5432`."""
    shell: Present = False
    subsystem: str | None = None
    """A subsystem's name, for instance `sftp`."""
    sql: Annotated[str, Field(max_length=10_000)] | None = None
    """A text of SQL, for instance `DELETE FROM orders`."""


def _shape(value: object) -> str:
    return "text" if isinstance(value, str) else "mapping"


Example = Annotated[
    Annotated[str, Tag("text")] | Annotated[ExampleSection, Tag("mapping")], Discriminator(_shape)
]


class ExamplesSection(Section):
    """What the rule must match, must not match, and must answer "cannot tell" for."""

    match: Annotated[tuple[Example, ...], AfterValidator(filled)]
    no_match: Annotated[tuple[Example, ...], AfterValidator(filled)]
    cannot_tell: tuple[Example, ...] = ()


class RuleSection(Section):
    """One rule: any one of the things it names is enough."""

    name: Name | None = None
    reason: Annotated[str, Field(min_length=1)]
    hint: str = ""
    command: OneOrMany[CommandPattern] = ()
    opens: OneOrMany[OpenPattern] = ()
    downloads_run: Present = False
    opaque: OneOrMany[OpaquePattern] = ()
    text: Regex | None = None
    file: OneOrMany[FilePattern] = ()
    forward: OneOrMany[ForwardPattern] = ()
    session: SessionPattern | None = None
    sql: OneOrMany[SqlPattern] = ()
    approval: ApprovalSection | None = None
    examples: ExamplesSection


ClaimPattern = str | int | bool


class RoleSection(Section):
    """Who has the role: every key of `match` must hold."""

    match: dict[str, OneOrMany[ClaimPattern]] = Field(default_factory=dict)
    """Nothing here: nobody has it by their claims; it can be asked for (`requestable`)."""
    description: str = ""


class TargetsSection(Section):
    """Which targets: one of the names (globs), and every label."""

    names: OneOrMany[Glob] = ()
    labels: dict[str, OneOrMany[Glob]] = Field(default_factory=dict)


class CertificateSection(Section):
    """What a certificate of this grant's roles may carry."""

    lifetime: Duration = 600.0
    source_address: OneOrMany[Annotated[str, AfterValidator(_source)]] = ()


class ShellMode(StrEnum):
    """What an interactive shell is: refused, gated line by line, or let through as it is."""

    NONE = "none"
    GATED = "gated"
    UNGATED = "ungated"


ResultsWord = Literal["none", "counts", "rows"]


class DatabaseSection(Section):
    """What a session of a database may do beside the rules, and what of it is kept and shown."""

    read_only: bool = False
    mask: OneOrMany[ColumnGlob] = ()
    """Columns whose values are not shown, as `table.column` or `schema.table.column`."""
    masked_elsewhere: Action = Action.DENY
    """What is done about a masked column that does not only come out as it is."""
    unmask_columns: bool = False
    """Whether who may let secrets be shown (`mask: {unmask: …}`) may let these columns be, too."""
    parameters: bool = True
    """Whether the values bound to statements are recorded."""
    results: ResultsWord | None = None
    """What of results is recorded: `none`, `counts` (rows and bytes, the default), or `rows` too,
    masked as the client gets them and within bounds. Of several grants the most counts."""
    function_calls: bool = False
    """Whether the protocol's FunctionCall is decided, instead of refused."""


class SessionSection(Section):
    """What a session on these targets may use. What is not granted is refused."""

    exec: bool = True
    shell: ShellMode = ShellMode.NONE
    shell_hardened: bool = False
    """In a gated shell, pagers are told to run nothing of their own."""
    shell_rc: bool = False
    """A gated shell reads the account's start-up files."""
    shell_idle: Duration | None = None
    """A gated shell at whose prompt nothing is typed for so long ends."""
    pty: bool = True
    files: bool = False
    subsystems: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    agent: bool = False
    x11: bool = False
    forwards: OneOrMany[ForwardPattern] = ()
    environment: tuple[Glob, ...] = DEFAULT_ENVIRONMENT
    deadline: Duration | None = None
    database: DatabaseSection = DatabaseSection()


RuleOrName = Annotated[
    Annotated[str, Tag("text")] | Annotated[RuleSection, Tag("mapping")], Discriminator(_shape)
]


class RequestsSection(Section):
    """What is done about requests: deny beats approve beats allow; the rest gets the default."""

    deny: tuple[RuleOrName, ...] = ()
    approve: tuple[RuleOrName, ...] = ()
    allow: tuple[RuleOrName, ...] = ()
    default: Action = Action.DENY
    opaque: Action = Action.DENY
    approval: ApprovalSection | None = None
    """For `default: approve`, `opaque: approve`, and approve rules without their own."""


class GrantSection(Section):
    """Roles × targets × logins, and what may be done there."""

    name: Name
    roles: Annotated[OneOrMany[Name], AfterValidator(filled)]
    targets: TargetsSection
    logins: Annotated[OneOrMany[Login], AfterValidator(filled)]
    certificate: CertificateSection = CertificateSection()
    session: SessionSection = SessionSection()
    mask: MaskSection = MaskSection()
    requests: RequestsSection = RequestsSection()


class PolicySection(Section):
    """The whole file."""

    version: Literal[1]
    roles: dict[str, RoleSection]
    rules: dict[str, RuleSection] = Field(default_factory=dict)
    grants: tuple[GrantSection, ...] = ()
    console: tuple[ConsoleSection, ...] = ()
    requestable: tuple[RequestableSection, ...] = ()
