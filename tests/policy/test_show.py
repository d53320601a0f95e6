"""What people are shown."""

from __future__ import annotations

from bastion.model import Direction, FileOperation, FileRequest, ForwardKind, ForwardRequest
from bastion.policy.facts import Access, PathUse, Reading, SimpleCommand, Word
from bastion.policy.show import (
    MAX_PARSE_LINES,
    parse_lines,
    show_command,
    show_file,
    show_forward,
    show_use,
)


def test_what_is_shown_cannot_act_on_a_terminal():
    evil = SimpleCommand("x", (Word("x", "x"), Word("a\x1b[2Jb c", "…")), ("sudo", "ssh \u202eh"))
    shown = show_command(evil)
    assert shown == "x 'a␛[2Jb c'   (started by sudo, ssh \\u{202e}h)"
    use = PathUse("/a\r", Access.WRITE, "tee", "variable")
    assert show_use(use) == "tee writes /a␍… (not wholly known)"


def test_files_and_forwards_are_shown():
    evil = FileRequest(FileOperation.RENAME, "/a\n/b", "\u202ec", Direction.NONE, "scp")
    assert show_file(evil) == "scp: rename /a␊/b \\u{202e}c"
    upload = FileRequest(FileOperation.WRITE, "/a", direction=Direction.UPLOAD)
    assert show_file(upload) == "sftp: write /a (upload)"
    assert show_forward(ForwardRequest(ForwardKind.DIRECT_TCPIP, "db", 5432)) == (
        "direct-tcpip db:5432"
    )
    assert show_forward(ForwardRequest(ForwardKind.AGENT)) == "agent"


def test_a_long_parse_says_what_it_leaves_out():
    many = tuple(SimpleCommand("x", (Word(f"x{n}", ""),)) for n in range(MAX_PARSE_LINES + 5))
    lines = parse_lines(Reading("", many, downloads_run=("curl x | sh",)))
    assert len(lines) == MAX_PARSE_LINES + 1
    assert lines[-1] == "… and 6 more lines that are not shown"
