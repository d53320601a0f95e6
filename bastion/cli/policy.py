"""`bastion policy`: check, test and explain policies. Needs no running bastion."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bastion.config import load_policy
from bastion.errors import ConfigError
from bastion.model import (
    Claims,
    ClaimValue,
    Dialect,
    ExecRequest,
    Identity,
    LineRequest,
    QueryRequest,
    Request,
    ShellRequest,
    SubsystemRequest,
    Target,
    TargetKind,
    visible,
)
from bastion.policy.access import roles_of
from bastion.policy.decide import decide, decide_unmasked
from bastion.policy.masking import wants_clear
from bastion.policy.parse import parse_file, parse_forward, run_examples
from bastion.policy.rules import Action, Policy, Verdict
from bastion.policy.sql.reading import read_sql

STATUS: Final = {Action.ALLOW: 0, Action.APPROVE: 3, Action.DENY: 4}
"""Exit statuses of `explain`; 1 is a wrong policy, 2 a wrong command line."""

COLOURS: Final = {Action.ALLOW: "green", Action.APPROVE: "yellow", Action.DENY: "red"}

FILES: Final = click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)


@click.group()
def policy() -> None:
    """Check, test and explain policies."""


@policy.command()
@FILES
def check(files: tuple[Path, ...]) -> None:
    """Tell every fault of each FILE, with its place; exit status 1 if there is one."""
    failed = False
    for file in files:
        try:
            found = load_policy(file)
        except ConfigError as error:
            failed = True
            for fault in error.faults:
                click.echo(str(fault))
            continue
        shown = ", ".join(
            _count(number, noun)
            for number, noun in (
                (len(found.roles), "role"),
                (len(found.rules), "rule"),
                (len(found.grants), "grant"),
            )
        )
        click.echo(f"{file}: ok: {shown}")
    if failed:
        sys.exit(1)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


@policy.command()
@FILES
@click.option("--json", "as_json", is_flag=True, help="Print every example as JSON.")
def test(files: tuple[Path, ...], as_json: bool) -> None:
    """Try the examples of every rule of each FILE; exit status 1 if one does not hold."""
    failed = False
    for file in files:
        tested = run_examples(file.read_text("utf-8"), str(file))
        lost = [one for one in tested if not one.held]
        failed = failed or bool(lost)
        if as_json:
            rows = [
                {"rule": one.rule, "kind": one.kind, "example": one.example, "held": one.held}
                for one in tested
            ]
            click.echo(json.dumps({"file": str(file), "examples": rows}, indent=2))
            continue
        for one in lost:
            click.echo(
                f"{one.place}: `{one.rule}`: {one.kind.replace('_', ' ')} does not hold for"
                f" `{visible(one.example, limit=200)}` (found: {one.found.name.lower()})"
            )
        kinds = Counter(one.kind for one in tested)
        detail = ", ".join(f"{kinds[kind]} {kind.replace('_', ' ')}" for kind in kinds)
        click.echo(f"{file}: {_count(len(tested), 'example')} ({detail}), {len(lost)} failed")
    if failed:
        sys.exit(1)


# --- explain ----------------------------------------------------------------------------------


class _Quoting(click.Command):
    """Says how an option that is COMMAND's own is given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The same, with one sentence more."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            hint = "If it belongs to COMMAND, put -- before COMMAND."
            raise click.UsageError(f"{error.format_message()} {hint}", ctx) from None


@policy.command(cls=_Quoting)
@click.option(
    "--policy",
    "file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The policy file.",
)
@click.option("--claim", "claims", multiple=True, metavar="KEY=VALUE", help="A verified claim.")
@click.option(
    "--identity-claims",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Claims as a JSON object, for instance an ID token's payload.",
)
@click.option("--role", "roles", multiple=True, help="A role, beside those that claims give.")
@click.option("--from", "address", default="", metavar="ADDRESS", help="Where it connects from.")
@click.option("--target", required=True, help="The target's name.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A target's label.")
@click.option("--login", required=True, help="The account on the target.")
@click.option("--dialect", type=click.Choice([one.value for one in Dialect]), default="bash")
@click.option("--sftp", metavar="OPERATION", help="A file operation; its paths are the words.")
@click.option("--forward", metavar="KIND", help="A forward; HOST:PORT is the word.")
@click.option("--shell", is_flag=True, help="An interactive shell; no words.")
@click.option("--subsystem", metavar="NAME", help="A subsystem; no words.")
@click.option("--line", is_flag=True, help="COMMAND is entered at a gated shell's prompt.")
@click.option("--cwd", default="", metavar="DIR", help="With --line: the shell's directory.")
@click.option("--watched", is_flag=True, help="With --line: the shell reports each step.")
@click.option("--sql", metavar="SQL", help="A text of SQL for a database; no words.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@click.argument("command", nargs=-1)
def explain(
    file: Path,
    claims: tuple[str, ...],
    identity_claims: Path | None,
    roles: tuple[str, ...],
    address: str,
    target: str,
    labels: tuple[str, ...],
    login: str,
    dialect: str,
    sftp: str | None,
    forward: str | None,
    shell: bool,
    subsystem: str | None,
    line: bool,
    cwd: str,
    watched: bool,
    sql: str | None,
    as_json: bool,
    command: tuple[str, ...],
) -> None:
    """Say what the policy makes of COMMAND: how it is read, by which rule, and the verdict.

    Give the command line as ssh would send it: several words are joined by spaces.

    Exit status: 0 allow, 3 approve, 4 deny; 1 the policy is wrong, 2 the question is.
    """
    found = load_policy(file)
    known = _claims(identity_claims, claims)
    identity = Identity(
        issuer="explain",
        subject="explain",
        name="explain",
        claims=MappingProxyType(dict(known)),
        roles=roles_of(found, known) | set(roles),
        source_address=address,
    )
    place = Target(
        name=target,
        kind=TargetKind.SSH if sql is None else TargetKind.POSTGRES,
        labels=MappingProxyType(dict(_pairs(labels))),
        dialect=Dialect(dialect),
    )
    request: Request
    if sql is not None:
        request = QueryRequest(sql, read_sql(sql), clear=wants_clear(sql))
    else:
        request = ShellRequest() if shell else _request(command, sftp, forward, subsystem)
    if line:
        request = LineRequest(" ".join(command), cwd, watched)
    elif cwd or watched:
        raise click.UsageError("--cwd and --watched go with --line")
    judge = decide_unmasked if isinstance(request, QueryRequest) and request.clear else decide
    verdict = judge(found, identity, place, login, request)
    if as_json:
        click.echo(json.dumps(_plain(verdict, identity), indent=2))
    else:
        _show(found, verdict, identity, Console(soft_wrap=True, highlight=False))
    sys.exit(STATUS[verdict.action])


def _request(
    words: tuple[str, ...], sftp: str | None, forward: str | None, subsystem: str | None
) -> Request:
    if subsystem is not None:
        return SubsystemRequest(subsystem)
    if not words and forward is None:
        raise click.UsageError("give a COMMAND, behind --")
    try:
        if sftp is not None:
            return parse_file(" ".join((sftp, *words)))
        if forward is not None:
            return parse_forward(" ".join((forward, *words)))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return ExecRequest(" ".join(words))


def _pairs(texts: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.UsageError(f"write {text!r} as KEY=VALUE")
        pairs.append((key, value))
    return pairs


def _claims(file: Path | None, texts: tuple[str, ...]) -> Claims:
    """Claims of a JSON object, and of KEY=VALUE pairs; a key given again becomes a list."""
    claims: dict[str, ClaimValue] = {}
    if file is not None:
        try:
            loaded = json.loads(file.read_text("utf-8"))
        except (ValueError, RecursionError):
            loaded = None
        if not isinstance(loaded, dict):
            raise click.UsageError(f"{file} holds no JSON object")
        claims = {key: _claim(value) for key, value in loaded.items()}
    for key, value in _pairs(texts):
        before = claims.get(key)
        if before is None:
            claims[key] = value
        else:
            claims[key] = (*(before if isinstance(before, tuple) else (str(before),)), value)
    return claims


def _claim(value: Any) -> ClaimValue:
    if isinstance(value, list):
        return tuple(str(one) for one in value)
    return value if isinstance(value, str | int | bool) else str(value)


def _plain(verdict: Verdict, identity: Identity) -> dict[str, object]:
    terms = verdict.approval
    return {
        "action": verdict.action.value,
        "rule": verdict.rule,
        "reason": verdict.reason,
        "hint": verdict.hint,
        "roles": sorted(identity.roles),
        "parse": list(verdict.parse),
        "opaque": list(verdict.opaque),
        "watch": list(verdict.watch),
        "definitions": list(verdict.definitions),
        "approval": None
        if terms is None
        else {
            "approvers": list(terms.approvers),
            "count": terms.count,
            "wait_seconds": terms.wait,
            "reason_required": terms.reason_required,
            "message": terms.message,
        },
    }


def _show(policy: Policy, verdict: Verdict, identity: Identity, console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("verdict", Text(verdict.action.value, style=COLOURS[verdict.action]))
    where = "" if verdict.rule in policy.rules else " (no rule of this policy)"
    rows = [("rule", verdict.rule + where), ("reason", verdict.reason), ("hint", verdict.hint)]
    rows += [("roles", ", ".join(sorted(identity.roles)) or "none")]
    rows += [("reads as" if not index else "", line) for index, line in enumerate(verdict.parse)]
    for name, told in (
        ("opaque", () if verdict.watch else verdict.opaque),
        ("watched", verdict.watch),
        ("defines", verdict.definitions),
    ):
        rows += [(name if not index else "", one) for index, one in enumerate(told)]
    if verdict.approval is not None:
        terms = verdict.approval
        rows.append(("approvers", f"{terms.count} of {', '.join(terms.approvers)}"))
    for name, value in rows:
        if value:
            table.add_row(name, Text(visible(value)))
    console.print(table)
