"""What happens to approvals, put on the feed for watchers and webhooks."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bastion.policy.approvals import Approval
from bastion.policy.rights import Subject
from bastion.store.approvals import Approvals, by_whom
from bastion.store.feed import Feed, Happening
from bastion.wire import control as wire


def tell_approvals(board: Approvals, feed: Feed, clock: Callable[[], float]) -> None:
    """From now on; those who are named as approvers see it without any other right."""

    def tell(approval: Approval, what: str) -> None:
        by, reason = by_whom(approval)
        fields = {
            "approval": msgspec.to_builtins(wire.HeldRequest.of(approval)),
            "by": list(by),
            "reason": reason,
        }
        feed.publish(
            Happening(
                f"approval-{what}", clock(), about(approval), fields, approval.terms.approvers
            )
        )

    board.watch(tell)


def about(approval: Approval) -> Subject:
    """Whom and where an approval is about."""
    question = approval.question
    targets = (question.target,) if question.target else ()
    return Subject(question.identity, approval.roles, targets)
