"""What programs that run code of their own are asked when they run none: `pm2 list`, `fdisk -l`."""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.shell.state import Call, text_of

_ASKS: Final[dict[str, re.Pattern[str]]] = {
    # All operands, joined by blanks.
    "pm2": re.compile(
        r"(?:list|ls|l|status|jlist|prettylist|ping|(?:show|describe|info|logs?)(?: [\w@.-]+)?)"
        r"(?: --(?:lines|nostream|json|timestamp|err|out|no-color)(?:[ =]\d+)?| -[sm])*"
    ),
    **dict.fromkeys(
        ("fdisk", "sfdisk", "gdisk", "cfdisk"),
        re.compile(r"(?:-[lxu]+|--list(?:-details)?|-d|--dump|-s|-V)(?: /dev/[\w/-]+)*"),
    ),
    "parted": re.compile(
        r"(?:(?:-[slm]+|--script|--list|--machine)(?: |$))*(?:/dev/[\w/-]+ (?:-s )?"
        r"(?:unit \w+ )?(?:print|p)(?: free| list| all)?)?"
    ),
    "ansible": re.compile(
        r"(?=.* -m (?:ansible\.builtin\.)?(?:ping|setup|gather_facts|service_facts|package_facts)\b"
        r"|.*--list-hosts)[\w@.:,*!&\[\]-]+(?: (?:-m (?:ansible\.builtin\.)?\w+|-[bKkov]+"
        r"|--list-hosts|-[uflt] [\w@.,/-]+|--limit[ =][\w.,*-]+|--become|--one-line))+"
    ),
    "vagrant": re.compile(r"global-status|box list|version"),
    "poetry": re.compile(r"(?:show|check|version|env (?:info|list))(?: [\w.-]+| --[a-z-]+)*"),
    "pipenv": re.compile(r"graph|--venv|--where|verify"),
    "virsh": re.compile(
        r"(?:-c [\w:+/]+ |--connect [\w:+/]+ )?(?:list|dominfo|domstate|nodeinfo|net-list|pool-list"
        r"|vol-list|domblklist|domiflist|version|capabilities|dumpxml|snapshot-list|domifaddr|vcpuinfo"
        r"|memtune|schedinfo|dommemstat)(?: --?[a-z-]+| [\w.-]+)*"
    ),
    "smbclient": re.compile(r"-L [\w./-]+(?: -[NU](?: [\w%]+)?)*"),
}


def only_asks(call: Call) -> bool:
    """Tell whether a program is asked for what it knows, and runs nothing."""
    if any(word.text is None for word in call.operands) or call.extra_operands:
        return False
    pattern = _ASKS.get(call.program)
    line = " ".join(text_of(word) for word in call.operands)
    if pattern is not None and line and pattern.fullmatch(line):
        return True
    return call.program in ("mail", "mailx") and _only_sends(call)


def _only_sends(call: Call) -> bool:
    """A text without a line that begins with a tilde is sent as it is."""
    if call.place.feed.kind != "text" or re.search(r"(^|\n)~", call.place.feed.text):
        return False
    words = iter(text_of(word) for word in call.operands)
    for text in words:
        if re.fullmatch(r"-[sbcr]", text):
            value = next(words, "")
            if re.match(r"[-|/+&~]", value):
                return False
        elif not re.fullmatch(r"[\w.+-]+(@[\w.-]+)?", text) or text.startswith("-"):
            return False
    return True
