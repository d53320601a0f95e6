"""Programs that start other programs: what they start, on this host or on another."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bastion.policy.facts import Access, OpaqueKind, Word
from bastion.policy.shell import environment, leeway, services, shells
from bastion.policy.shell.peeling import Peeled, Wrapper, peel
from bastion.policy.shell.state import (
    Call,
    Reader,
    joined,
    literal,
    normalise,
    text_of,
)
from bastion.policy.shell.wrappers import WRAPPERS

MAX_WRAPPERS: Final = 12
"""`sudo sudo sudo …`: a wrapper inside so many wrappers is not peeled."""


_FILE_FIRST: Final = frozenset({"flock", "logsave", "setlock", "with-lock-ex"})
"""Programs that open the file in front of the command."""


def wrapper(reader: Reader, call: Call) -> None:
    """Read `sudo`, `env`, `nohup`, …: the command inside, and what the options change."""
    name = call.program
    if len(call.place.via) > MAX_WRAPPERS:
        reader.cannot_tell(OpaqueKind.LIMIT, "too many programs start one another", name)
        return
    table = WRAPPERS[name]
    peeled = peel(table, call.operands)
    for option in peeled.unknown:
        reader.cannot_tell(OpaqueKind.COMMAND, f"an option of {name} is not known", option)
    for variable, value in peeled.assignments:
        environment.assigned(reader, variable, value, call.place, lasting=False)
    for word in peeled.positionals if name in _FILE_FIRST else []:
        reader.opens(word, Access.WRITE, name)
    special = _SPECIAL.get(name)
    if special is not None and special(reader, call, peeled):
        return
    start(reader, call, peeled.command, bare=table.bare, join=table.joined)


def start(
    reader: Reader,
    call: Call,
    command: list[Word],
    *,
    bare: str = "",
    join: bool = False,
    extra: bool = False,
) -> None:
    """Read the command that a program starts with these words."""
    place = call.place.within(call.program)
    leeway.before_command(reader, call, call.operands[: len(call.operands) - len(command)])
    if not command and call.extra_operands:
        reader.cannot_tell(
            OpaqueKind.CODE, f"{call.program} starts what comes from its input", call.program
        )
    if not command:
        if bare == "shell":
            shells.run_feed(
                reader, replace(call, program=f"{call.program} (a shell)"), call.place.feed
            )
        return
    if (join and len(command) == 1) or (join and all(word.text is not None for word in command)):
        shells.run_word(reader, call, _joined_word(command))
        return
    if join:
        reader.cannot_tell(OpaqueKind.CODE, f"{call.program} runs text that is not literal", "")
    reader.run(command, replace(place, extra_operands=extra or call.extra_operands))


def _joined_word(words: list[Word]) -> Word:
    text = joined(words)
    return literal(text) if text is not None else words[0]


# --- wrappers with options of their own -------------------------------------------------------


def _sudo(reader: Reader, call: Call, peeled: Peeled) -> bool:
    if peeled.option("e", "edit") is not None:
        reader.cannot_tell(OpaqueKind.INTERACTIVE, "sudo -e starts an editor", "sudo -e")
        for word in peeled.command:
            reader.opens(word, Access.WRITE, call.program)
        return True
    shell = peeled.option("s", "i", "shell", "login") is not None
    if peeled.option("D", "chdir", "R", "chroot") is not None and call.program == "sudo":
        moved(reader, peeled.option("D", "chdir", "R", "chroot"))
    if shell and not peeled.command:
        start(reader, call, [], bare="shell")
        return True
    return False


def moved(reader: Reader, directory: Word | None) -> None:
    """Add a working directory that an option sets; that it lasts longer is on the safe side."""
    text = directory.text if directory is not None else None
    if text is None:
        reader.state.directories = (*reader.state.directories, None)
    else:
        reader.state.directories = (*reader.state.directories, normalise(text))


def _env(reader: Reader, call: Call, peeled: Peeled) -> bool:
    if peeled.option("C", "chdir") is not None:
        moved(reader, peeled.option("C", "chdir"))
    split = peeled.option("S", "split-string")
    if split is None:
        return False
    rest = " ".join(text_of(word) for word in peeled.command)
    if split.text is None:
        reader.cannot_tell(OpaqueKind.CODE, "env -S splits text that is not literal", split.raw)
        return True
    if re.search(r"[\\$#'\"]", split.text):
        reader.cannot_tell(OpaqueKind.CODE, "env -S has quoting rules of its own", split.text)
    # Its quoting is like the shell's for plain words; more words and assignments may follow.
    words = [literal(word) for word in re.split(r"[ \t\n\r\f\v]+|\\_|\\t|\\n", split.text) if word]
    inner = replace(call, argv=[call.argv[0], *words, *peeled.command])
    wrapper(reader, replace(inner, place=call.place.within("env -S")))
    reader.read_text(
        re.sub(r"^(\w+=\S* )*", "", f"{split.text} {rest}"), call.place.within("env -S")
    )
    return True


def _command(reader: Reader, call: Call, peeled: Peeled) -> bool:
    return peeled.option("v", "V") is not None


def _jobs(reader: Reader, call: Call, peeled: Peeled) -> bool:
    value = peeled.option("x")
    if value is not None and value.raw:
        start(reader, call, [value, *peeled.command])
    return True


def _exec(reader: Reader, call: Call, peeled: Peeled) -> bool:
    return not peeled.command


def _listing(reader: Reader, call: Call, peeled: Peeled) -> bool:
    """These act on a running process when given `-p`."""
    return peeled.option("p", "pid") is not None and call.program in (
        "taskset",
        "chrt",
        "ionice",
        "prlimit",
        "choom",
        "schedtool",
    )


def _flock(reader: Reader, call: Call, peeled: Peeled) -> bool:
    text = peeled.option("c", "command")
    if text is None and peeled.command and text_of(peeled.command[0]) in ("-c", "--command"):
        text = peeled.command[1] if len(peeled.command) > 1 else None
    if text is None:
        return False
    shells.run_word(reader, call, text)
    return True


def _chroot(reader: Reader, call: Call, peeled: Peeled) -> bool:
    moved(reader, literal("/"))
    return False


def _capsh(reader: Reader, call: Call, peeled: Peeled) -> bool:
    for index, word in enumerate(call.operands):
        if word.text in ("--", "==", "-+", "=+"):
            inner = replace(
                call,
                argv=[literal("bash"), *call.operands[index + 1 :]],
                place=call.place.within("capsh"),
            )
            shells.shell(reader, replace(inner, program="bash"))
            return True
    if any(text_of(word).startswith("--shell") for word in call.operands):
        reader.cannot_tell(OpaqueKind.COMMAND, "capsh is given another shell", "capsh")
    reader.opaque = {
        o: None for o in reader.opaque if not o.reason.startswith("an option of capsh")
    }
    return True


def _start_stop(reader: Reader, call: Call, peeled: Peeled) -> bool:
    program = peeled.option("a", "startas") or peeled.option("x", "exec")
    if program is not None and peeled.option("S", "start", "K", "stop") is not None:
        start(reader, call, [program, *peeled.command])
    return True


def _linker(reader: Reader, call: Call, peeled: Peeled) -> bool:
    if peeled.option("preload", "audit", "library-path") is not None:
        reader.cannot_tell(
            OpaqueKind.ENVIRONMENT, "the dynamic linker is told to load code", call.program
        )
    return False


def _runs_joined(reader: Reader, call: Call, peeled: Peeled) -> bool:
    """`watch -x` runs the words themselves; without it a shell does."""
    if peeled.option("x", "exec") is not None:
        start(reader, call, peeled.command)
        return True
    return False


def _strace(reader: Reader, call: Call, peeled: Peeled) -> bool:
    target = peeled.option("o", "output")
    for variable in peeled.values("E", "env"):
        name, _, value = text_of(variable).partition("=")
        environment.assigned(reader, name, Word(value, value), call.place, lasting=False)
    if target is not None and text_of(target):
        if text_of(target)[:1] in "|!":
            shells.run_word(reader, call, literal(text_of(target)[1:]))
        else:
            reader.opens(target, Access.WRITE, call.program)
    return False


_SPECIAL: Final[dict[str, Callable[[Reader, Call, Peeled], bool]]] = {
    "sudo": _sudo,
    "doas": _sudo,
    "env": _env,
    "command": _command,
    "exec": _exec,
    "jobs": _jobs,
    "taskset": _listing,
    "chrt": _listing,
    "ionice": _listing,
    "prlimit": _listing,
    "choom": _listing,
    "flock": _flock,
    "chroot": _chroot,
    "capsh": _capsh,
    "start-stop-daemon": _start_stop,
    "ld.so": _linker,
    "watch": _runs_joined,
    "strace": _strace,
    "ltrace": _strace,
    "systemd-run": services.systemd_run,
}


# --- su and its family ------------------------------------------------------------------------

_SU: Final = Wrapper(
    "cgGswTu",
    "lmpfPhV-",
    "command session-command group supp-group shell whitelist-environment user",
    "login fast preserve-environment pty help version no-pty",
)


def switch_user(reader: Reader, call: Call) -> None:
    """Read `su`, `runuser`, `sg`, `newgrp`: `-c` text, or a shell."""
    rest, texts, operands, user = call.operands, [], [], False
    table = _SU
    while rest:
        peeled = peel(table, rest)
        for option in peeled.unknown:
            reader.cannot_tell(
                OpaqueKind.COMMAND, f"an option of {call.program} is not known", option
            )
        texts += [
            value for name, value in peeled.options if name in ("c", "command", "session-command")
        ]
        user = user or peeled.option("u", "user") is not None
        if user and call.program == "runuser":
            start(reader, call, peeled.command, bare="shell")
            return
        operands += peeled.command[:1]
        rest = peeled.command[1:]
    for text in texts:
        if text is not None:
            shells.run_word(reader, call, text)
    if call.program == "sg" and not texts and len(operands) > 1:
        start(reader, call, operands[1:], join=True)
    elif not texts:
        start(reader, call, [], bare="shell")


def script(reader: Reader, call: Call) -> None:
    """Read script(1): `-c` text, or a shell; on BSD the words after the file."""
    table = Wrapper(
        "cEmoOIBTt",
        "aefqrkV",
        "command echo log-in log-out log-io log-timing logging-format output-limit timing",
        "append return flush force quiet help version",
    )
    peeled = peel(table, call.operands)
    rest = peeled.command
    text = peeled.option("c", "command")
    while text is None and rest:
        reader.opens(rest[0], Access.WRITE, "script")
        again = peel(table, rest[1:])
        text = again.option("c", "command")
        rest = again.command
        if rest and text is None:
            start(reader, call, rest)
            return
    if text is None:
        start(reader, call, [], bare="shell")
    else:
        shells.run_word(reader, call, text)
