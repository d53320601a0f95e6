"""A policy of a few lines, for tests of gates: rules by operation and path prefix."""

from __future__ import annotations

from dataclasses import dataclass, field

from bastion.model import ExecRequest, FileRequest, Request
from bastion.policy.rules import Action, Verdict


@dataclass
class FileRules:
    """`rules`: `(action, name, operations or *, path prefix)`; the strictest that matches wins."""

    rules: list[tuple[str, str, str, str]] = field(default_factory=list)
    default: str = "allow"
    channel: str = "allow"
    asked: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Verdict:
        """Decide, and remember what was asked."""
        self.asked.append(request)
        if isinstance(request, ExecRequest):
            return Verdict(Action(self.channel), "exec-rule", "a rule about commands")
        if not isinstance(request, FileRequest):
            return Verdict(Action(self.channel), "channel-rule", "a rule about the channel")
        found = [
            Verdict(Action(action), name, f"no {request.operation.value} there")
            for action, name, operations, prefix in self.rules
            if operations == "*" or request.operation.value in operations.split(",")
            if any(_under(path, prefix) for path in (request.path, request.other_path) if path)
        ]
        order = [Action.DENY, Action.APPROVE, Action.ALLOW]
        found.sort(key=lambda verdict: order.index(verdict.action))
        return found[0] if found else Verdict(Action(self.default), "default", "the default")


def _under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")
