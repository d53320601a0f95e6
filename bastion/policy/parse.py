"""Text → Policy: every fault at once, with its place. A policy whose examples fail never loads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from bastion.errors import ConfigError, Fault, PolicyError
from bastion.model import (
    Dialect,
    Direction,
    FileOperation,
    FileRequest,
    ForwardKind,
    ForwardRequest,
    ShellRequest,
    SqlReading,
    SubsystemRequest,
    visible,
)
from bastion.policy.actions import Action
from bastion.policy.document import Document, Path, in_file_order
from bastion.policy.globs import Match
from bastion.policy.match import Found, match_file, match_forward, match_reading, match_session
from bastion.policy.match_sql import match_sql
from bastion.policy.parse_desk import DeskReader, nearest
from bastion.policy.rules import ApprovalTerms, Grant, Policy, Role, Rule
from bastion.policy.schema import (
    NAME,
    ApprovalSection,
    ExampleSection,
    GrantSection,
    MaskSection,
    PolicySection,
    RequestsSection,
    RuleSection,
    compile_text,
)
from bastion.policy.shell.reading import read
from bastion.policy.sql.reading import read_sql


@dataclass(frozen=True, slots=True)
class Tested:
    """One example of a rule, and whether it held."""

    rule: str
    kind: str
    """`match`, `no_match` or `cannot_tell`."""
    example: str
    found: Match
    place: str

    @property
    def held(self) -> bool:
        """Whether the rule did what the example says."""
        return self.found is _EXPECTED[self.kind]


_EXPECTED = {"match": Match.YES, "no_match": Match.NO, "cannot_tell": Match.COULD}
_OUTCOMES = {
    Match.YES: "it matches",
    Match.NO: "it does not match",
    Match.COULD: "it cannot be told whether it matches",
}


def parse_policy(text: str, name: str, *, detectors: Iterable[str] | None = None) -> Policy:
    """Read a policy, called `name` in messages; PolicyError tells every fault of it.

    `detectors` are the names that `mask` may use; None where they are not known.
    """
    return _Reader(text, name, detectors).policy()


def run_examples(text: str, name: str) -> list[Tested]:
    """Try every example; PolicyError only where the policy is wrong in other ways."""
    reader = _Reader(text, name)
    reader.policy(examples_must_hold=False)
    return reader.tested


class _Reader:
    """Resolves names, compiles rules and tries examples, collecting faults."""

    def __init__(self, text: str, name: str, detectors: Iterable[str] | None = None) -> None:
        try:
            self._document = Document(text, name)
            self._section = self._document.read(PolicySection)
        except ConfigError as error:
            raise PolicyError(error.faults) from None
        self._name = name
        self._detectors = None if detectors is None else frozenset(detectors)
        self._digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        self._faults: list[Fault] = []
        self._rules: dict[str, Rule] = {}
        self.tested: list[Tested] = []

    def policy(self, *, examples_must_hold: bool = True) -> Policy:
        """The policy, or PolicyError."""
        section = self._section
        for name, rule in section.rules.items():
            self._check_name(name, "rules", name)
            self._rules[name] = self._rule(rule, name, ("rules", name))
        for name in section.roles:
            self._check_name(name, "roles", name)
        roles = {name: Role(name, role.match) for name, role in section.roles.items()}
        grants = tuple(self._grant(grant, index) for index, grant in enumerate(section.grants))
        desk = DeskReader(section, self._fault, self._check_roles, self._terms)
        desk.check_unique("grants", section.grants)
        console, requestable = desk.console(), desk.requestable()
        if examples_must_hold:
            self._faults += [_failed(one) for one in self.tested if not one.held]
        if self._faults:
            raise PolicyError(in_file_order(self._faults))
        return Policy(self._name, roles, self._rules, grants, self._digest, console, requestable)

    def _fault(self, message: str, *path: str | int, key: bool = False) -> None:
        self._faults.append(self._document.fault(message, *path, key=key))

    def _check_name(self, name: str, *path: str | int) -> None:
        if not NAME.fullmatch(name):
            self._fault(
                f"`{visible(name, limit=80)}` is not a name: lower-case letters, digits,"
                " dots, dashes and underscores",
                *path,
                key=True,
            )

    # --- rules --------------------------------------------------------------------------------

    def _rule(self, section: RuleSection, name: str, path: Path) -> Rule:
        if section.name is not None and path[0] == "rules":
            self._fault("a rule listed under `rules` is named by its key", *path, "name", key=True)
        rule = Rule(
            name=name,
            reason=section.reason,
            hint=section.hint,
            command=section.command,
            opens=section.opens,
            downloads_run=section.downloads_run,
            opaque=section.opaque,
            text=compile_text(section.text) if section.text is not None else None,
            file=section.file,
            forward=section.forward,
            session=section.session,
            sql=section.sql,
            approval=self._terms(section.approval, (*path, "approval")),
        )
        self._check_rule(rule, path)
        self._try(rule, section, path)
        return rule

    def _check_rule(self, rule: Rule, path: Path) -> None:
        named = (rule.command, rule.opens, rule.downloads_run, rule.opaque, rule.text)
        session = rule.session is not None and (rule.session.shell or rule.session.subsystem)
        if not any((*named, rule.file, rule.forward, rule.sql, session)):
            self._fault(
                f"`{rule.name}` names nothing to match: give it command, opens, downloads_run,"
                " opaque, text, file, forward, session or sql",
                *path,
                key=True,
            )
        for index, pattern in enumerate(rule.command):
            if not pattern.model_fields_set - {"options"}:
                self._fault(
                    'this matches every command: write program: "*" if that is meant',
                    *path,
                    "command",
                    index,
                )
        for index, sql in enumerate(rule.sql):
            if not sql.model_fields_set:
                self._fault("this matches every statement: name a kind", *path, "sql", index)

    def _try(self, rule: Rule, section: RuleSection, path: Path) -> None:
        for kind in _EXPECTED:
            examples = getattr(section.examples, kind)
            for index, example in enumerate(examples):
                place = (*path, "examples", kind, index)
                try:
                    found = _apply(rule, example)
                except ValueError as error:
                    self._fault(str(error), *place)
                    continue
                self.tested.append(
                    Tested(
                        rule.name, kind, _shown(example), found.match, self._document.place(*place)
                    )
                )

    # --- grants -------------------------------------------------------------------------------

    def _terms(self, section: ApprovalSection | None, path: Path) -> ApprovalTerms | None:
        if section is None:
            return None
        self._check_roles(section.approvers, (*path, "approvers"))
        self._check_roles(section.break_glass, (*path, "break_glass"))
        return ApprovalTerms(
            approvers=section.approvers,
            count=section.count,
            wait=section.wait,
            reason_required=section.reason_required,
            message=section.message,
            repeat=section.repeat,
            break_glass=section.break_glass,
        )

    def _check_roles(self, names: Iterable[str], path: Path) -> None:
        for index, name in enumerate(names):
            if name not in self._section.roles:
                near = nearest(name, self._section.roles)
                self._fault(f"there is no role `{name}`{near}", *path, index)

    def _grant(self, section: GrantSection, index: int) -> Grant:
        path: Path = ("grants", index)
        self._check_roles(section.roles, (*path, "roles"))
        if not section.targets.names and not section.targets.labels:
            self._fault(
                'name targets, by `names` or `labels` (names: "*" for all)', *path, "targets"
            )
        self._check_mask(section.mask, (*path, "mask"))
        requests = section.requests
        terms = self._terms(requests.approval, (*path, "requests", "approval"))
        grant = Grant(
            name=section.name,
            roles=frozenset(section.roles),
            targets=section.targets,
            logins=section.logins,
            certificate=section.certificate,
            session=section.session,
            mask=section.mask,
            unmask=self._terms(section.mask.unmask, (*path, "mask", "unmask")),
            deny=self._listed(requests, "deny", section.name, path),
            approve=self._listed(requests, "approve", section.name, path),
            allow=self._listed(requests, "allow", section.name, path),
            default=requests.default,
            opaque=requests.opaque,
            approval=terms,
        )
        self._check_terms(grant, path)
        return grant

    def _check_mask(self, section: MaskSection, path: Path) -> None:
        for word in ("also", "without"):
            for index, name in enumerate(getattr(section, word)):
                if self._detectors is not None and name not in self._detectors:
                    near = nearest(name, self._detectors)
                    self._fault(f"there is no detector `{name}`{near}", *path, word, index)

    def _listed(
        self, requests: RequestsSection, action: str, grant: str, path: Path
    ) -> tuple[Rule, ...]:
        rules: list[Rule] = []
        for index, entry in enumerate(getattr(requests, action)):
            place = (*path, "requests", action, index)
            if isinstance(entry, RuleSection):
                name = entry.name or f"{grant}.{action}.{index + 1}"
                if name in self._rules:
                    self._fault(f"`{name}` is the name of another rule", *place)
                rules.append(self._rule(entry, name, place))
            elif entry in self._rules:
                rules.append(self._rules[entry])
            else:
                self._fault(f"there is no rule `{entry}`{nearest(entry, self._rules)}", *place)
        return tuple(rules)

    def _check_terms(self, grant: Grant, path: Path) -> None:
        if grant.approval is not None:
            return
        for word in ("default", "opaque"):
            if getattr(grant, word) is Action.APPROVE:
                self._fault(
                    f"`{word}: approve` needs to know who approves: add `approval` with"
                    " `approvers` beside it",
                    *path,
                    "requests",
                    word,
                )
        database = grant.session.database
        if database.mask and database.masked_elsewhere is Action.APPROVE:
            self._fault(
                "`masked_elsewhere: approve` needs to know who approves: give these requests an"
                " `approval` with `approvers`",
                *path,
                "session",
                "database",
            )
        for index, rule in enumerate(grant.approve):
            if rule.approval is None:
                self._fault(
                    f"who approves `{rule.name}`? Give the rule, or these requests, an `approval`"
                    " with `approvers`",
                    *path,
                    "requests",
                    "approve",
                    index,
                )


def _failed(tested: Tested) -> Fault:
    wanted = {"match": "must match", "no_match": "must not match", "cannot_tell": "cannot tell"}
    return Fault(
        tested.place,
        f"example of `{tested.rule}` fails: {wanted[tested.kind]}"
        f" `{visible(tested.example, limit=200)}`, but {_OUTCOMES[tested.found]}",
    )


# --- examples ---------------------------------------------------------------------------------


def _apply(rule: Rule, example: str | ExampleSection) -> Found:
    if isinstance(example, str):
        return match_reading(rule, read(example, Dialect.BASH))
    if len(example.model_dump(exclude_defaults=True)) != 1:
        raise ValueError(
            "an example is a command line, or has one of `file`, `forward`, `shell`, `subsystem`,"
            " `sql`"
        )
    if example.file is not None:
        return match_file(rule, parse_file(example.file))
    if example.forward is not None:
        return match_forward(rule, parse_forward(example.forward))
    if example.subsystem is not None:
        return match_session(rule, SubsystemRequest(example.subsystem))
    if example.sql is not None:
        return match_sql(rule, _readable(example.sql))
    return match_session(rule, ShellRequest())


def _readable(sql: str) -> SqlReading:
    reading = read_sql(sql)
    if reading.fault:
        raise ValueError(f"this SQL cannot be read: {visible(reading.fault)}")
    return reading


def _shown(example: str | ExampleSection) -> str:
    if isinstance(example, str):
        return example
    if example.subsystem is not None:
        return f"subsystem {example.subsystem}"
    return "shell" if example.shell else example.file or example.forward or example.sql or ""


_WAYS = {FileOperation.READ: Direction.DOWNLOAD, FileOperation.WRITE: Direction.UPLOAD}


def parse_file(text: str) -> FileRequest:
    """`write /etc/motd`, `rename /a /b` → FileRequest; ValueError otherwise."""
    words = text.split(" ")
    operations = [operation.value for operation in FileOperation]
    if len(words) not in (2, 3) or words[0] not in operations:
        raise ValueError(f"write an operation and a path: one of {', '.join(operations)}")
    operation = FileOperation(words[0])
    other = words[2] if len(words) == 3 else ""
    return FileRequest(operation, words[1], other, _WAYS.get(operation, Direction.NONE))


def parse_forward(text: str) -> ForwardRequest:
    """`direct-tcpip db:5432`, `agent` → ForwardRequest; ValueError otherwise."""
    kind, _, place = text.partition(" ")
    kinds = [one.value for one in ForwardKind]
    if kind not in kinds:
        raise ValueError(f"write a kind and a place: one of {', '.join(kinds)}")
    host, _, port = place.rpartition(":")
    if port.isdecimal() and int(port) < 65536:
        return ForwardRequest(ForwardKind(kind), host, int(port))
    return ForwardRequest(ForwardKind(kind), place)
