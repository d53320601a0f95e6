"""Lines for people, in the recording of a channel whose own bytes are no text."""

from __future__ import annotations

from bastion.events import FileDone
from bastion.model import Direction, FileRequest, visible
from bastion.policy.rules import Verdict


def described(request: FileRequest) -> str:
    """`upload /srv/app.tgz`, `rename /srv/a -> /srv/b`."""
    moves = request.direction is not Direction.NONE
    verb = request.direction.value if moves else request.operation.value
    return f"{verb} {' -> '.join(visible(p) for p in (request.path, request.other_path) if p)}"


def denied(request: FileRequest, verdict: Verdict) -> str:
    """`denied remove /etc/passwd (rule system-files)`."""
    return f"denied {described(request)} (rule {visible(verdict.rule)})"


def transcript(done: FileDone) -> str:
    """`upload /srv/app.tgz 1234 bytes sha256=…`, and what is to be said about it."""
    words = [described(done.request)]
    if done.request.direction is not Direction.NONE:
        words.append(f"{done.size} bytes")
    if done.sha256:
        words.append(f"sha256={done.sha256}")
    if not done.ok:
        words.append("failed")
    if done.note:
        words.append(f"({visible(done.note)})")
    return " ".join(words)
