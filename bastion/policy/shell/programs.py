"""One program at a time: interpreters, editors, and options that make a program run another."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bastion.policy.facts import Access, OpaqueKind, Word
from bastion.policy.shell import (
    builtins,
    escapes,
    integrity,
    launchers,
    leeway,
    named_files,
    opening,
    remote,
    shells,
    text_tools,
)
from bastion.policy.shell.peeling import Peeled, Wrapper, peel
from bastion.policy.shell.state import Call, Reader, names, normalise, text_of

_SYSTEM_FOLDERS: Final = re.compile(
    r"(?:/usr|/usr/local)?/s?bin/[^/]+|/(?:usr/)?lib(?:32|64)?/(?:.*/)?ld-[^/]+"
    r"|/usr/(?:libexec|lib)/.+"
)
_METACHARACTERS: Final = re.compile(r"[|&;()<>\s$`'\"*?{}]")
_VERSIONS: Final = frozenset({"--help", "--version", "-version", "-V"})
_ASKS_VERSION: Final = frozenset({"v", "V", "h", "version", "help"})
_QUIET: Final = frozenset(
    {"sftp-server", "git-upload-pack", "git-receive-pack", "git-upload-archive"}
)
"""What other programs of ours ask of a target: known, and gated by their own readers."""

_VERSIONED: Final = re.compile(
    r"(python|pypy|perl|ruby|node|php|lua|tclsh|wish|irb|gcc|g\+\+|pip|ksh"
    r"|bash)[-0-9][0-9.]*(?:-dbg|w)?"
)
_CODE: Final[dict[str, tuple[str, str]]] = {
    # program: language, letters whose value is code
    "python": ("python", "c"),
    "pypy": ("python", "c"),
    "perl": ("perl", "eE"),
    "ruby": ("ruby", "e"),
    "node": ("node", "ep"),
    "nodejs": ("node", "ep"),
    "php": ("php", "rBRE"),
    "lua": ("lua", "e"),
    "luajit": ("lua", "e"),
    "jruby": ("ruby", "e"),
    "php-cli": ("php", "rBRE"),
    "bun": ("node", "ep"),
    "deno": ("node", ""),
    "tclsh": ("tcl", ""),
    "wish": ("tcl", ""),
    "expect": ("tcl", "c"),
    "Rscript": ("r", "e"),
    "R": ("r", "e"),
    "julia": ("julia", "eE"),
    "guile": ("scheme", "c"),
    "racket": ("scheme", "e"),
    "ghc": ("haskell", "e"),
    "osascript": ("applescript", "e"),
    "jrunscript": ("node", "e"),
    "jjs": ("node", ""),
    "jshell": ("java", ""),
    "octave": ("octave", ""),
    "groovy": ("groovy", "e"),
    "scala": ("scala", "e"),
    "elixir": ("elixir", "e"),
    "erl": ("erlang", ""),
    "clojure": ("clojure", "e"),
    "sbcl": ("lisp", ""),
    "clisp": ("lisp", "x"),
    "gst": ("smalltalk", ""),
    "rlang": ("r", "e"),
    "bpftrace": ("bpftrace", "e"),
    "gnuplot": ("gnuplot", "e"),
    "maxima": ("maxima", ""),
    "swift": ("swift", "e"),
    "crystal": ("crystal", ""),
    "iex": ("elixir", "e"),
    "irb": ("ruby", "e"),
    "pry": ("ruby", "e"),
    "ghci": ("haskell", "e"),
    "ipython": ("python", "c"),
    "raku": ("perl", "e"),
    "tasksh": ("task", ""),
    "pdb": ("python", "c"),
    "ts-node": ("node", "ep"),
    "tsx": ("node", "ep"),
    "qjs": ("node", "e"),
    "d8": ("node", "e"),
    "rhino": ("node", "e"),
    "micropython": ("python", "c"),
    "m4": ("m4", ""),
    "ocaml": ("ocaml", "e"),
    "dotnet-script": ("c", ""),
}
_CODE_TAKERS: Final = frozenset(_CODE) | frozenset(launchers.LAUNCHERS) | shells.SHELLS
"""Programs one of whose options takes code."""
LANGUAGES: Final = frozenset(_CODE)
"""Interpreters of other languages than the shell's."""
_HARMLESS_MODULES: Final = frozenset(
    {
        "json.tool",
        "calendar",
        "this",
        "platform",
        "site",
        "zipfile",
        "tarfile",
        "base64",
        "tokenize",
        "py_compile",
        "compileall",
        "sysconfig",
    }
)
_PIP_ASKS: Final = re.compile(r"(?:list|show|freeze|check|--version|-V)(?: [\w.=-]+)*")
_BUNDLED: Final[dict[str, Wrapper]] = {
    "python": Wrapper("cmWXQ", "bBdEhiIOPqRsSuvVxt?"),
    "perl": Wrapper("eEMmIFCx", "acfgGhlnpsStTuUvVwWX0123456789"),
    "ruby": Wrapper("eIrCEFKxTW", "acdhlnpsSUvwyi0"),
    "node": Wrapper(
        "eprC",
        "icvh",
        "eval print require import conditions env-file loader",
        "check interactive version help input-type",
    ),
    "php": Wrapper("rBREFfdczStg", "aCehHilmnqsvw"),
    "lua": Wrapper("elW", "iEv"),
}


def family(program: str) -> str:
    """Give a program's name without its version: `python3.11` is python."""
    versioned = _VERSIONED.fullmatch(program)
    return versioned.group(1) if versioned is not None else program


def is_of_system(path: str) -> bool:
    """Tell whether a normalised path is of a program that the system came with."""
    return _SYSTEM_FOLDERS.fullmatch(path) is not None


def read(reader: Reader, call: Call) -> None:
    """Read what one simple command does."""
    outer, reader.program = reader.program, family(call.program)
    _read(reader, call)
    reader.program = outer


def _read(reader: Reader, call: Call) -> None:
    head = call.argv[0]
    integrity.command(reader, call)
    if head.text is None and not head.raw.startswith("~"):
        _unknown_program(reader, call, head)
        return
    text = head.raw if head.text is None else head.text
    _judge_name(reader, text)
    operands = call.operands
    # Only a program of the system says what `--help` means.
    if len(operands) == 1 and operands[0].text in _VERSIONS and not call.extra_operands:
        return
    call = replace(call, program=family(call.program))
    if re.fullmatch(r"ld(-linux.*)?\.so.*|ld-musl.*|ld-[0-9.]+\.so", call.program):
        call = replace(call, program="ld.so")
    if call.extra_operands:
        _from_input(reader, call)
    leeway.options(reader, call)
    named_files.list_named(reader, call)
    _one(reader, call)


_STARTS_INPUT: Final = names("git busybox toybox xargs parallel")
_CODE_FOLLOWS: Final = re.compile(
    r"-{1,2}(?:[a-z]*c|e|E|x|exec|execdir|ok|okdir|command|eval|execute|run|shell)"
)


def _from_input(reader: Reader, call: Call) -> None:
    """What xargs and find add may be the very command, where it would stand next."""
    last = text_of(call.operands[-1]) if call.operands else ""
    starts = call.program in _STARTS_INPUT and not call.operands
    if starts or (_CODE_FOLLOWS.fullmatch(last) and call.program in _CODE_TAKERS):
        reader.cannot_tell(
            OpaqueKind.CODE, f"{call.program} runs what comes from its input", call.program
        )


def _one(reader: Reader, call: Call) -> None:
    program = call.program
    if program in shells.SHELLS:
        shells.shell(reader, call)
    elif program in builtins.BUILTINS:
        builtins.BUILTINS[program](reader, call)
        opening.list_paths(reader, call)
    elif program.partition(".")[0] in ("busybox", "toybox", "sbase-box", "ubase-box"):
        _applet(reader, call)
    elif program in remote.REMOTES:
        remote.REMOTES[program](reader, call)
    elif program in launchers.LAUNCHERS:
        launchers.LAUNCHERS[program](reader, call)
    elif program in _OWN:
        _OWN[program](reader, call)
        opening.list_paths(reader, call)
    elif program in _CODE:
        _interpreter(reader, call)
    elif program not in _QUIET:
        escapes.read(reader, call)
        opening.list_paths(reader, call)


def _unknown_program(reader: Reader, call: Call, head: Word) -> None:
    if shells.feed_of(head, call.place, reader).kind == "download":
        reader.downloaded("a download in the place of a command")
    reader.cannot_tell(OpaqueKind.COMMAND, "the program's name is not literal", head.raw)
    opening.list_paths(reader, call)


def _judge_name(reader: Reader, text: str) -> None:
    if text[:1] in ("!", "^"):
        reader.cannot_tell(
            OpaqueKind.COMMAND, "an interactive shell would look into its history", text
        )
    if not text or not text.isascii():
        reader.cannot_tell(OpaqueKind.CHARACTERS, "the program's name is not plain ASCII", text)
    elif _METACHARACTERS.search(text):
        reader.cannot_tell(
            OpaqueKind.COMMAND, "the program's name holds characters of the shell", text
        )
    elif "/" in text and not is_of_system(normalise(text)):
        reader.cannot_tell(OpaqueKind.SCRIPT, f"{text} is run, whatever it holds", text)
        reader.opens_text(text, Access.READ, "")


def _applet(reader: Reader, call: Call) -> None:
    operands = call.operands
    if operands and text_of(operands[0]) in ("--list", "--list-full", "--install"):
        return
    if operands:
        place = call.place.within(call.program)
        reader.run(operands, replace(place, extra_operands=call.extra_operands))


# --- interpreters -----------------------------------------------------------------------------


def _interpreter(reader: Reader, call: Call) -> None:
    language, letters = _CODE[call.program]
    table = _BUNDLED.get(language, Wrapper(letters, "", "eval execute", ""))
    peeled = peel(table, call.operands)
    ran = _interpreter_options(reader, call, peeled)
    if any(name == "m" for name, _ in peeled.options) and language == "python":
        _module(reader, call, peeled.option("m"), peeled.command)
        return
    if peeled.unknown and language in _BUNDLED:
        reader.cannot_tell(
            OpaqueKind.CODE, f"an option of {call.program} is not known", peeled.unknown[0]
        )
    asks = {name for name, _ in peeled.options} & _ASKS_VERSION
    if ran:
        _code_operands(reader, call, language, peeled.command)
    elif peeled.command:
        shells.run_script(reader, call, peeled.command[0], language)
    elif call.extra_operands:
        reader.cannot_tell(OpaqueKind.SCRIPT, f"{call.program} runs files named at run time", "")
    elif not asks or (language == "python" and asks == {"v"}):
        shells.run_feed(reader, call, call.place.feed, language)


def _interpreter_options(reader: Reader, call: Call, peeled: Peeled) -> bool:
    """Read code given by options; tell whether there was any."""
    language, letters = _CODE[call.program]
    ran = False
    for name, value in peeled.options:
        if name in (*letters, "eval", "execute", "print"):
            ran = True
            shells.run_word(reader, call, value or Word(None, name, "missing"), language)
        elif name in ("i", "a") and language in ("python", "node", "php"):
            reader.cannot_tell(
                OpaqueKind.INTERACTIVE, f"{call.program} reads commands", call.program
            )
        elif _loads(language, name, value):
            reader.cannot_tell(
                OpaqueKind.CODE, f"{call.program} loads code", text_of(value) if value else name
            )
    return ran


def _loads(language: str, name: str, value: Word | None) -> bool:
    if language == "perl" and name in ("M", "m", "I", "x", "d"):
        return value is None or not re.fullmatch(
            r"strict|warnings|utf8|List::Util.*|POSIX|JSON::PP|Data::Dumper|Time::HiRes.*",
            value.text or "?",
        )
    if language == "ruby" and name in ("r", "I", "C"):
        return value is None or value.text not in (
            "json",
            "date",
            "time",
            "set",
            "yaml",
            "csv",
            "digest",
        )
    if language == "node" and name in ("r", "require", "import", "loader", "env-file"):
        return True
    if language == "php" and name in ("d", "c", "f", "F", "z"):
        return (
            name != "d"
            or value is None
            or not re.fullmatch(
                r"(memory_limit|display_errors|error_reporting|date\.timezone"
                r"|max_execution_time)=\w+",
                value.text or "?",
            )
        )
    return language == "lua" and name == "l"


def _module(reader: Reader, call: Call, module: Word | None, rest: list[Word]) -> None:
    asks = (
        module is not None
        and module.text == "pip"
        and _PIP_ASKS.fullmatch(" ".join(text_of(word) for word in rest))
    )
    if not asks and (module is None or module.text not in _HARMLESS_MODULES):
        reader.cannot_tell(
            OpaqueKind.CODE, "python runs a module", text_of(module) if module else ""
        )
    for word in rest:
        reader.opens(word, Access.READ, "python")


def _code_operands(reader: Reader, call: Call, language: str, operands: list[Word]) -> None:
    """Operands of a one-liner are data; perl opens them, and runs one that holds a pipe."""
    for word in operands:
        if language in ("perl", "ruby") or "/" in text_of(word):
            reader.opens(word, Access.READ, call.program)
        if language == "perl" and word.text and "|" in word.text:
            reader.read_text(word.text.strip().strip("|"), call.place.within("perl open"))
            reader.cannot_tell(OpaqueKind.CODE, "perl opens a pipe", word.text)


_OWN: Final[dict[str, Callable[[Reader, Call], None]]] = {
    **dict.fromkeys(("awk", "gawk", "mawk", "nawk", "original-awk", "goawk"), text_tools.awk),
    **dict.fromkeys(("sed", "gsed", "ssed"), text_tools.sed),
}
