"""systemd: units that a line makes or changes, and the programs named in them."""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.facts import Access, OpaqueKind, Word
from bastion.policy.shell import shells
from bastion.policy.shell.peeling import Peeled
from bastion.policy.shell.state import Call, Reader, literal, text_of

_PLAIN_PROPERTY: Final = re.compile(
    r"(?:Description|Documentation|CPU\w*|Memory\w*|IO\w*|Tasks\w*|Limit\w+|Nice|OOM\w*|User|Group"
    r"|SupplementaryGroups|DynamicUser|Slice|Type|Restart\w*|Timeout\w*|RuntimeMaxSec|Protect\w+"
    r"|Private\w+|NoNewPrivileges|Restrict\w+|SystemCall\w+|Capability\w+|AmbientCapabilities"
    r"|ReadOnlyPaths|InaccessiblePaths|NoExecPaths|UMask|Kill\w+|SendSIG\w+|RemainAfterExit"
    r"|CollectMode|Delegate|SyslogIdentifier|SyslogLevel|LogLevelMax|IPAccounting|BlockIO\w*"
    r"|StartLimit\w*|SuccessExitStatus|AccuracySec|Persistent|RandomizedDelaySec|OnCalendar"
    r"|On\w+Sec|WakeSystem|LockPersonality|RemoveIPC|DefaultDependencies|After|Before)"
    r"(?:=|$)"
)
"""Properties of a unit that neither run nor open anything (systemd.exec(5), systemd.service(5))."""
_RUNS: Final = re.compile(r"Exec\w+=\s*[-@:+!|]*(.*)", re.DOTALL)
_FILE: Final = re.compile(r"Standard\w+=(?:file|append|truncate):(.*)", re.DOTALL)


def systemd_run(reader: Reader, call: Call, peeled: Peeled) -> bool:
    """Read the properties that systemd-run gives to the unit it makes."""
    names = ("p", "property", "timer-property", "path-property", "socket-property")
    for value in peeled.values(*names):
        _property(reader, call, value)
    return False


def _property(reader: Reader, call: Call, value: Word) -> None:
    known = value.text if value.text is not None else value.prefix
    runs = _RUNS.match(known)
    opened = _FILE.match(known)
    if runs is not None:
        text = runs.group(1)
        literally = value.text is not None
        command = Word(text, text) if literally else Word(None, value.raw, value.dynamic, text)
        shells.run_word(reader, call, command)
    elif opened is not None and value.text is not None:
        for access in (Access.READ, Access.WRITE):
            reader.opens_text(opened.group(1), access, call.program)
    elif _PLAIN_PROPERTY.match(known) is None:
        reader.cannot_tell(
            OpaqueKind.ENVIRONMENT, "this property may change what a unit runs or opens", value.raw
        )


def service(reader: Reader, call: Call) -> None:
    """Read systemctl and service: unit files, and what they change for later."""
    texts = [text_of(word) for word in call.operands]
    if {
        "edit",
        "link",
        "set-environment",
        "import-environment",
        "enable-edit",
        "switch-root",
        "bind",
        "mount-image",
    } & set(texts):
        reader.cannot_tell(
            OpaqueKind.ENVIRONMENT, "systemctl changes what services run", " ".join(texts[:2])
        )
    if {"enable", "reenable", "add-wants", "add-requires"} & set(texts):
        for text in texts:
            if "/" in text and not text.startswith("-"):
                reader.opens_text(text, Access.READ, call.program)
                reader.cannot_tell(OpaqueKind.SCRIPT, "the unit in this file is run", text)
    for word in call.operands[:1]:
        if "/" in text_of(word) and call.program == "service":
            reader.cannot_tell(OpaqueKind.SCRIPT, f"{call.program} runs a file", text_of(word))
            reader.run(
                [literal(text_of(word)), *call.operands[1:]], call.place.within(call.program)
            )
