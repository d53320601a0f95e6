"""Every kind of thing that a statement can do, in the words that policies use."""

from __future__ import annotations

import re
from typing import Final

UNTOLD: Final = "?"
"""The value of a setting that is made at run time."""

KINDS: Final = frozenset(
    [
        "select",
        "insert",
        "update",
        "delete",
        "merge",
        "truncate",
        "lock",
        "copy-in",
        "copy-out",
        "copy-file",
        "copy-program",
        "create",
        "create-function",
        "create-role",
        "create-extension",
        "create-rule",
        "create-trigger",
        "alter",
        "alter-role",
        "alter-system",
        "drop",
        "drop-role",
        "grant",
        "revoke",
        "do",
        "call",
        "execute",
        "prepare",
        "deallocate",
        "cursor",
        "function",
        "dynamic",
        "load",
        "set",
        "set-role",
        "show",
        "reset",
        "discard",
        "transaction",
        "explain",
        "vacuum",
        "reindex",
        "cluster",
        "refresh",
        "comment",
        "checkpoint",
        "listen",
        "notify",
        "other",
    ]
)

WRITING: Final = KINDS - frozenset(
    [
        "select",
        "copy-out",
        "execute",
        "prepare",
        "deallocate",
        "cursor",
        "function",
        "set",
        "show",
        "reset",
        "discard",
        "transaction",
        "explain",
        "listen",
        "lock",
        "call",
        "do",
        "dynamic",
    ]
)
"""Kinds that change what others see: none of them runs in a read-only session."""

_SPECIAL: Final = {
    "TruncateStmt": "truncate",
    "LockStmt": "lock",
    "DropRoleStmt": "drop-role",
    "DropdbStmt": "drop",
    "ReassignOwnedStmt": "alter",
    "CreateRoleStmt": "create-role",
    "AlterRoleStmt": "alter-role",
    "AlterRoleSetStmt": "alter-role",
    "AlterSystemStmt": "alter-system",
    "CreateFunctionStmt": "create-function",
    "CreateExtensionStmt": "create-extension",
    "CreateTrigStmt": "create-trigger",
    "CreateEventTrigStmt": "create-trigger",
    "ReturnStmt": "select",
    "RuleStmt": "create-rule",
    "DoStmt": "do",
    "CallStmt": "call",
    "ExecuteStmt": "execute",
    "PrepareStmt": "prepare",
    "DeallocateStmt": "deallocate",
    "DeclareCursorStmt": "cursor",
    "FetchStmt": "cursor",
    "ClosePortalStmt": "cursor",
    "LoadStmt": "load",
    "VariableShowStmt": "show",
    "DiscardStmt": "discard",
    "TransactionStmt": "transaction",
    "ConstraintsSetStmt": "transaction",
    "ExplainStmt": "explain",
    "VacuumStmt": "vacuum",
    "ReindexStmt": "reindex",
    "ClusterStmt": "cluster",
    "RefreshMatViewStmt": "refresh",
    "CommentStmt": "comment",
    "SecLabelStmt": "comment",
    "CheckPointStmt": "checkpoint",
    "ListenStmt": "listen",
    "UnlistenStmt": "listen",
    "NotifyStmt": "notify",
    "RenameStmt": "alter",
    "ViewStmt": "create",
    "IndexStmt": "create",
    "DefineStmt": "create",
    "CompositeTypeStmt": "create",
    "ImportForeignSchemaStmt": "create",
    "ReplicaIdentityStmt": "alter",
}
_PREFIX: Final = re.compile(r"(Create|Alter|Drop)")


def kind_of(node: str) -> str:
    """The kind of a statement by the name of its node (`CreateSeqStmt` → `create`)."""
    special = _SPECIAL.get(node)
    if special is not None:
        return special
    found = _PREFIX.match(node)
    return found[1].lower() if found else "other"
