"""What a channel needs for a gated shell, gathered where the policy asks for one."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from bastion.editor.history import HistoryFile, history_name
from bastion.gate.shell.gate import ShellGate
from bastion.gate.shell.terms import ShellTerms
from bastion.policy.access import grant_for
from bastion.policy.schema import ShellMode
from bastion.ssh.dialler import Dialler, Terminal
from bastion.ssh.session import Place, Session
from bastion.ssh.shell_dial import ShellDialler, ShellStart
from bastion.ssh.shell_side import GatedShellSide, Keyboard
from bastion.target.shell import HARDENED


@dataclass(frozen=True, slots=True)
class GatedShellParts:
    """Gate, dialler and side of one gated shell."""

    gate: ShellGate
    dialler: Callable[..., Dialler]
    side: GatedShellSide


def gated_shell(
    session: Session, place: Place, terminal: Terminal | None
) -> GatedShellParts | None:
    """Give the parts, or None where the policy has no gated shell here."""
    policy = session.services.policy()
    features = grant_for(policy, session.identity, place.target, place.login)
    if features is None or features.shell is not ShellMode.GATED:
        return None
    dialect = place.target.dialect
    terms = ShellTerms(
        dialect,
        pty=terminal is not None,
        drifted=features.shell_rc,
        idle_seconds=features.shell_idle,
    )
    environment = HARDENED if features.shell_hardened else {}
    start = ShellStart(dialect, own_files=features.shell_rc, environment=environment)
    keyboard = _keyboard(session, place, terminal) if terminal is not None else None
    return GatedShellParts(
        ShellGate(lambda asked: session.verdict(place, asked), terms, _nonce),
        functools.partial(ShellDialler, start=start),
        GatedShellSide(session.services.clock, keyboard),
    )


def _keyboard(session: Session, place: Place, terminal: Terminal) -> Keyboard:
    name = history_name(session.identity.id, place.login, place.target.name)
    return Keyboard(
        term=terminal.term,
        columns=terminal.size[0] or 80,
        rows=terminal.size[1] or 24,
        history=HistoryFile(session.services.history / name, session.services.masks.text),
        judge=lambda asked: session.verdict(place, asked),
        login=place.login,
        target=place.target.name,
        dialect=place.target.dialect,
    )


def _nonce() -> str:
    return secrets.token_hex(8)
