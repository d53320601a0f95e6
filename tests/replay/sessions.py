"""A session of two channels, as a bastion records it."""

from __future__ import annotations

from pathlib import Path

from bastion.store.recordings import Recordings

AT = 1_700_000_000.0


def write(root: Path, session: str = "s1", *, identity: str = "alice", at: float = AT) -> Path:
    """A shell from 0 to 22 s, and a copy from 10 to 12 s; gives their folder."""
    recordings = Recordings(root, floor_bytes=0)
    facts = {"identity": identity, "target": "web1", "login": "root"}
    shell = recordings.open(
        session, "c1", at=at, term="xterm", title=f"{identity}: shell", facts=facts
    )
    shell.output(at, b"$ ")
    shell.output(at + 1, b"ls\r\n")
    shell.event(at + 1, "verdict", {"request": "ls", "action": "allow", "rule": "default"})
    denial = {"request": "rm -rf /etc", "action": "deny", "rule": "no-rm", "reason": "No."}
    shell.event(at + 2, "verdict", denial)
    shell.marker(at + 2, "deny no-rm: rm -rf /etc")
    copy = recordings.open(session, "c2", at=at + 10, title=f"{identity}: copy", facts=facts)
    copy.output(at + 11, b"copied\n")
    copy.event(at + 12, "channel-ended", {"reason": "finished", "status": 1})
    copy.close(at + 12)
    shell.event(at + 20, "approval", {"outcome": "granted", "by": ["bob"], "reason": "fine"})
    shell.output(at + 20, b"done\r\n")
    shell.close(at + 22)
    return shell.path.parent
