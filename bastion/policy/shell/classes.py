"""Classes of programs that run code of their own, as policies name them.

By name alone, after what GTFOBins lists as able to start a shell: what a program of a class is
really asked to do may be harmless all the same.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from bastion.policy.facts import SimpleCommand
from bastion.policy.shell.escapes import BUILDERS, EDITORS, PAGERS
from bastion.policy.shell.programs import LANGUAGES, family, is_of_system
from bastion.policy.shell.shells import SHELLS
from bastion.policy.shell.state import names, normalise, text_of


class ProgramClass(StrEnum):
    """A kind of program that runs code of its own."""

    INTERPRETER = "interpreter"
    """python, perl, node, php, …"""
    SHELL = "shell"
    """bash, sh, zsh, …, and su and its kin."""
    EDITOR = "editor"
    """vim, emacs, nano, visudo, …"""
    PAGER = "pager"
    """less, more, man, …"""
    REMOTE = "remote"
    """ssh, mosh, telnet, …: whoever goes on from there is gated no more."""
    DATABASE = "database"
    """psql, mysql, sqlite3, …: their prompts start shells."""
    MULTIPLEXER = "multiplexer"
    """tmux, screen, …"""
    DEBUGGER = "debugger"
    """gdb, strace, …: they reach into other processes."""
    BUILDER = "builder"
    """make, ansible-playbook, …: they run what files tell them."""
    SCRIPT = "script"
    """A file run by its path, outside the system's own directories; `.` and `source`."""


_BY_CLASS: Final[dict[ProgramClass, frozenset[str]]] = {
    ProgramClass.INTERPRETER: LANGUAGES,
    ProgramClass.SHELL: SHELLS | names("su runuser sg newgrp ksu login rbash"),
    ProgramClass.EDITOR: EDITORS,
    ProgramClass.PAGER: PAGERS,
    ProgramClass.REMOTE: names(
        """
        ssh slogin autossh mosh dbclient plink telnet rlogin rsh rexec ftp sftp lftp ncftp pdsh pssh
        """
    ),
    ProgramClass.DATABASE: names(
        """
        psql mysql mariadb sqlite3 sqlite mongosh mongo clickhouse-client redis-cli pgcli mycli
        litecli mysqlsh sqlplus cqlsh
        """
    ),
    ProgramClass.MULTIPLEXER: names(
        "tmux screen tmate byobu dtach abduco zellij script scriptlive"
    ),
    ProgramClass.DEBUGGER: names("gdb lldb strace ltrace rr valgrind radare2 r2 perf bpftrace"),
    ProgramClass.BUILDER: BUILDERS,
    ProgramClass.SCRIPT: names(". source"),
}


def is_of_class(program: str, wanted: ProgramClass) -> bool:
    """Tell whether a program of this name is of the class (`python3.11` is python)."""
    return family(program) in _BY_CLASS[wanted]


def command_is_of_class(command: SimpleCommand, wanted: ProgramClass) -> bool:
    """Tell whether a command starts a program of the class."""
    if is_of_class(command.program, wanted):
        return True
    if wanted is not ProgramClass.SCRIPT or not command.argv:
        return False
    written = text_of(command.argv[0])
    return "/" in written and not is_of_system(normalise(written))
