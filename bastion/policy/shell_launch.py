"""Programs that start other programs: what they start, on this host or on another."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bastion.policy import shell_env, shell_shells
from bastion.policy.facts import Access, OpaqueKind, Word
from bastion.policy.shell_state import (
    UNKNOWN,
    Call,
    Reader,
    joined,
    literal,
    normalise,
    text_of,
)
from bastion.policy.shell_wrappers import WRAPPERS, Peeled, Wrapper, peel

MAX_WRAPPERS: Final = 12
"""`sudo sudo sudo …`: a wrapper inside so many wrappers is not peeled."""


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
        shell_env.assigned(reader, variable, value, call.place, lasting=False)
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
    if not command:
        if bare == "shell":
            shell_shells.run_feed(
                reader, replace(call, program=f"{call.program} (a shell)"), call.place.feed
            )
        return
    if (join and len(command) == 1) or (join and all(word.text is not None for word in command)):
        shell_shells.run_word(reader, call, _joined_word(command))
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
    for word in peeled.positionals:
        reader.opens(word, Access.WRITE, "flock")
    if text is None and peeled.command and text_of(peeled.command[0]) in ("-c", "--command"):
        text = peeled.command[1] if len(peeled.command) > 1 else None
    if text is None:
        return False
    shell_shells.run_word(reader, call, text)
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
            shell_shells.shell(reader, replace(inner, program="bash"))
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
    if target is not None and target.raw:
        if target.raw[:1] in "|!":
            shell_shells.run_word(reader, call, literal(text_of(target)[1:]))
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
            shell_shells.run_word(reader, call, text)
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
        shell_shells.run_word(reader, call, text)


# --- many commands from one -------------------------------------------------------------------

_XARGS: Final = Wrapper(
    "aEdILnPs",
    "0oprtxieS",
    "arg-file delimiter eof replace max-lines max-args max-procs max-chars process-slot-var",
    "null interactive no-run-if-empty verbose exit show-limits open-tty help version",
)


def xargs(reader: Reader, call: Call) -> None:
    """Read xargs: the words of its input are added to the command."""
    peeled = peel(_XARGS, call.operands)
    for option in peeled.unknown:
        if not re.fullmatch(r"-[iel].*", option):
            reader.cannot_tell(OpaqueKind.COMMAND, "an option of xargs is not known", option)
    source = peeled.option("a", "arg-file")
    if source is not None:
        reader.opens(source, Access.READ, "xargs")
    command = peeled.command or [literal("echo")]
    feed = call.place.feed if source is None else UNKNOWN
    mark = peeled.option("I", "replace")
    marked = text_of(mark) if mark is not None and mark.raw else "{}" if mark is not None else ""
    if any(re.fullmatch(r"-i.*", option) for option in peeled.unknown):
        marked = "{}"
    inner = replace(call, place=replace(call.place, feed=UNKNOWN))
    if feed.kind == "text" and not marked and not re.search(r"['\"\\]", feed.text):
        start(reader, inner, [*command, *(literal(word) for word in feed.text.split())])
        return
    if feed.kind == "download" and text_of(command[0]).rpartition("/")[2] in shell_shells.SHELLS:
        reader.downloaded("a download into xargs")
    if feed.kind == "found" and not marked:
        inner = replace(inner, place=replace(inner.place, found=feed.text))
    if marked:
        command = [_with_input(word, marked) for word in command]
    start(reader, inner, command, extra=not marked)


def _with_input(word: Word, mark: str) -> Word:
    text = word.text
    if text is None or mark not in text:
        return word
    return Word(None, word.raw, "input", text.partition(mark)[0])


_FIND_TESTS: Final = re.compile(
    r"-(i?name|i?path|i?regex|newer\w*|mtime|mmin|size|user|group|type|perm|maxdepth|mindepth|printf"
    r"|i?wholename|i?lname|[ac]min|[ac]time|inum|samefile|regextype)"
)
_FIND_FILES: Final = frozenset({"-fprint", "-fprintf", "-fls", "-fprint0", "-files0-from"})


def find(reader: Reader, call: Call) -> None:
    """Read find: `-exec` and its kin, `-delete`, and files it writes."""
    words = call.operands
    starts = _find_starts(words)
    for word in starts:
        reader.opens(word, Access.METADATA, "find")
        _find_dynamic(reader, word)
    index = len(starts)
    while index < len(words):
        text = text_of(words[index])
        if text in ("-exec", "-execdir", "-ok", "-okdir"):
            end = _find_end(words, index + 1)
            _find_exec(reader, call, words[index + 1 : end], starts, text)
            index = end
        elif text == "-delete":
            within = replace(call.place.within("find -delete"), extra_operands=False)
            roots = starts or [literal(".")]
            reader.run([literal("rm"), literal("-r"), *(_found(root) for root in roots)], within)
        elif text in _FIND_FILES and index + 1 < len(words):
            access = Access.READ if text == "-files0-from" else Access.WRITE
            reader.opens(words[index + 1], access, "find")
        elif not _FIND_TESTS.fullmatch(text_of(words[index - 1])):
            _find_dynamic(reader, words[index])
        index += 1


def _find_dynamic(reader: Reader, word: Word) -> None:
    """A word that is not literal may be `-delete`, or `-exec` with all that follows."""
    if word.text is None and word.dynamic not in ("glob", "tilde") and not word.prefix:
        reader.cannot_tell(OpaqueKind.COMMAND, "an expression of find is not literal", word.raw)


def _find_starts(words: list[Word]) -> list[Word]:
    starts: list[Word] = []
    for word in words:
        known = word.text if word.text is not None else word.prefix
        if known[:1] in ("-", "(", "!") and known not in ("-H", "-L", "-P"):
            break
        starts.append(word)
    return starts


def _find_end(words: list[Word], index: int) -> int:
    """Find the `;` or `{} +` that ends an `-exec`."""
    while index < len(words) and words[index].text not in (";", "\\;"):
        if words[index].text == "+" and words[index - 1].text == "{}":
            break
        index += 1
    return index


def _found(root: Word) -> Word:
    text = text_of(root)
    if root.text is None:
        return root
    return Word(None, text, "found", text if text.endswith("/") else text + "/")


def _find_exec(
    reader: Reader, call: Call, command: list[Word], starts: list[Word], how: str
) -> None:
    if not command:
        return
    prefixes = {text_of(word) for word in starts} or {"."}
    prefix = next(iter(prefixes)) if len(prefixes) == 1 and all(w.text for w in starts) else ""
    prefix = (
        "./"
        if how.endswith("dir")
        else prefix + "/"
        if prefix and not prefix.endswith("/")
        else prefix
    )
    words = []
    for word in command:
        if word.text is not None and "{}" in word.text:
            before = word.text.partition("{}")[0]
            words.append(Word(None, word.raw, "found", before or prefix))
        else:
            words.append(word)
    inner = replace(call, program=f"find {how}", place=replace(call.place, feed=call.place.feed))
    start(reader, inner, words)


def parallel(reader: Reader, call: Call) -> None:
    """Read GNU parallel: a template that a shell runs."""
    words: list[Word] = []
    for word in call.operands:
        if re.match(r":::+|::::+", text_of(word)):
            break
        words.append(word)
    while words and text_of(words[0]).startswith("-"):
        takes = re.fullmatch(
            r"-[jPNnLSIaDsX]|--(jobs|max-args|colsep|delay|timeout|sshlogin|arg-file"
            r"|joblog|results|tmpdir|retries|halt|load|memfree|nice)",
            text_of(words[0]),
        )
        words = words[2 if takes else 1 :]
    sources = call.operands[len(words) :]
    if not words:
        reader.cannot_tell(OpaqueKind.CODE, "parallel runs the lines of its input", "parallel")
        for word in call.operands:
            if word.text and not word.text.startswith((":", "-")):
                reader.read_text(word.text, call.place.within("parallel"))
        return
    extra = replace(call.place.within("parallel"), extra_operands=True, feed=UNKNOWN)
    reader.read_text(" ".join(text_of(word) for word in words), extra)
    values = [word for word in sources if word.text and not word.text.startswith(":")]
    reader.run([*words, *values], extra)
    if any(word.text is None for word in words):
        reader.cannot_tell(OpaqueKind.CODE, "parallel runs text that is not literal", "")


LAUNCHERS: Final[dict[str, Callable[[Reader, Call], None]]] = {
    **dict.fromkeys(WRAPPERS, wrapper),
    **dict.fromkeys(("su", "runuser", "sg", "newgrp", "ksu"), switch_user),
    **dict.fromkeys(("script", "scriptlive"), script),
    **dict.fromkeys(("find", "gfind"), find),
    "xargs": xargs,
    "parallel": parallel,
}
