"""Clients of databases: where their commands leave SQL for a shell, an editor or a file."""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.facts import Access, OpaqueKind, Word
from bastion.policy.shell import shells
from bastion.policy.shell.options import option_values
from bastion.policy.shell.state import Call, Reader, names, text_of

_TEXTS: Final = ("-c", "--command", "-e", "--execute", "--eval", "-cmd", "-q", "--query")
_PSQL_PLAIN: Final = re.compile(
    r"(?:d\w*|l|list|x|z|sf|sv|du|dg|timing|conninfo|encoding|echo|qecho|pset|t|a|H|C|f|h|\?|q|c"
    r"|connect|r|p|errverbose|gx|gdesc|crosstabview|unset|warn|watch)[+S]*"
)
"""What psql does by a backslash that opens nothing and starts nothing (psql(1))."""
_PSQL_RUNS: Final = re.compile(
    r"\\(?:!|o|out|w|write|g|gx|copy.*\bprogram)\s*\|?\s*(.*)", re.DOTALL
)
_MYSQL_RUNS: Final = re.compile(
    r"(?:^|;|\n)\s*(?:system|pager|edit|source|tee|\\[!.PTe])\s*([^;\n]*)|\\[!.PTe]\s*([^;\n]*)",
    re.IGNORECASE,
)
_SQLITE_RUNS: Final = re.compile(
    r"(?:^|\n)\s*\.(?:sh|she|shel|shell|sys|syst|syste|system|load|imp\w*|out\w*|once|excel|read|open"
    r"|edit|back\w*|save|clone|log|www|e|archive|ar|cd|dump\s+/)\b\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)
_MONGO_RUNS: Final = re.compile(
    r"\b(?:run\w*|require|process|child_process|load|cat|eval|Function|import|fs|exec|spawn"
    r"|removeFile|copyFile|writeFile|mkdir)\s*[(.\[]"
)
_SERVER_FILES: Final = re.compile(
    r"\b(?:copy|pg_read\w*|pg_ls\w*|pg_stat_file|lo_(?:im|ex)port|load_file|load|outfile|dumpfile"
    r"|readfile|writefile|edit|load_extension|file|attach|executable|program|infile)\b",
    re.IGNORECASE,
)
_LEAVES: Final = re.compile(
    r"\b(?:program\s|load_extension|executable\s*\(|edit\s*\()", re.IGNORECASE
)
_STRING: Final = re.compile(r"'((?:[^']|'')*)'|\"([^\"]*)\"")


def database(reader: Reader, call: Call) -> None:
    """A client with `-c`/`-e` text runs SQL; without, it reads commands, shell escapes too."""
    values = option_values(call, _TEXTS)
    texts = [text_of(value) for value in values]
    if call.program.startswith("sqlite"):
        texts += [text_of(word) for word in call.operands[1:]]
    _options(reader, call)
    if any(value.text is None for value in values):
        reader.cannot_tell(OpaqueKind.CODE, f"{call.program} may leave SQL here", texts[0])
    for text in texts:
        read_text(reader, call, text)
    if not texts and not any(
        re.fullmatch(r"-l|--list|--version|-V", text_of(word)) for word in call.operands
    ):
        _reads_input(reader, call)


def _reads_input(reader: Reader, call: Call) -> None:
    if call.place.feed.kind == "text":
        read_text(reader, call, call.place.feed.text)
        return
    reader.cannot_tell(
        OpaqueKind.INTERACTIVE, f"{call.program} reads commands of its own", call.program
    )


def read_text(reader: Reader, call: Call, text: str) -> None:
    """Judge what a client is given to do."""
    for found in _escapes(call.program, text):
        reader.cannot_tell(OpaqueKind.CODE, f"{call.program} may leave SQL here", text)
        command = found.strip(" '\"`;|\\")
        if command:
            reader.read_text(command, call.place.within(call.program))
            for word in command.split():
                reader.opens_text(word.strip("'\""), Access.READ, call.program)
                reader.opens_text(word.strip("'\""), Access.WRITE, call.program)
    if _SERVER_FILES.search(text):
        for single, double in _STRING.findall(text):
            if "/" in (single or double):
                reader.opens_text(single or double, Access.READ, call.program)
                reader.opens_text(single or double, Access.WRITE, call.program)


def _escapes(program: str, text: str) -> list[str]:
    if program == "psql":
        return _psql_escapes(text)
    found: list[str] = []
    if program in ("mysql", "mariadb"):
        found = [one or other for one, other in _MYSQL_RUNS.findall(text)]
    elif program.startswith("sqlite"):
        found = [match.group(1) for match in _SQLITE_RUNS.finditer(text)]
    elif program.startswith("mongo"):
        found = [
            single or double
            for single, double in _STRING.findall(text) or [("", "")]
            if _MONGO_RUNS.search(text)
        ]
    found += [text[match.end() :] for match in _LEAVES.finditer(text)]
    return found


def _psql_escapes(text: str) -> list[str]:
    # A backslash in a string of SQL is one of SQL; that a command begins there is on the safe side.
    bare = _STRING.sub("''", text)
    found: list[str] = []
    for match in re.finditer(r"\\(\\|!|\?|[a-zA-Z_;]*[+]?)", bare):
        name = match.group(1)
        rest = text[text.find(match.group()) :]
        plain = name in ("\\", "") or _PSQL_PLAIN.fullmatch(name) is not None
        if name in ("copy", "set", "prompt", "g", "gx", "gset") and not re.search(
            r"[`|/]|\bprogram\b|\bfrom\s+(?!stdin|pstdin|\()\S*\s*$",
            rest.partition("\n")[0],
            re.IGNORECASE,
        ):
            plain = name != "prompt" and (name != "copy" or "stdout" in rest or "stdin" in rest)
        if not plain or "`" in bare:
            runs = _PSQL_RUNS.match(rest)
            found.append(runs.group(1) if runs else re.sub(r"^\\\w*", "", rest))
    return found + [text[match.end() :] for match in _LEAVES.finditer(bare)]


_PIPED: Final = {
    "psql": ("-o", "--output"),
    "mysql": ("--pager",),
    "mariadb": ("--pager",),
}
_LOADS: Final = names("--plugin-dir --init-command --default-auth --defaults-extra-file")


def _options(reader: Reader, call: Call) -> None:
    for value in option_values(call, _PIPED.get(call.program, ())):
        text = text_of(value)
        if text.startswith("|") or (text and call.program != "psql"):
            shells.run_word(reader, call, Word(text.lstrip("|"), text))
    if call.program in ("mysql", "mariadb"):
        for value in option_values(call, tuple(_LOADS)):
            reader.cannot_tell(
                OpaqueKind.ENVIRONMENT, f"{call.program} loads something", text_of(value)
            )
    for value in option_values(call, ("-f", "--file") if call.program == "psql" else ()):
        reader.opens(value, Access.READ, call.program)
        reader.cannot_tell(OpaqueKind.SCRIPT, "psql runs the commands of a file", text_of(value))


def redis(reader: Reader, call: Call) -> None:
    """Read redis-cli: settings and modules make the server write files or load code."""
    joined = " ".join(text_of(word) for word in call.operands).lower()
    if re.search(
        r"\bconfig set (dir|dbfilename|aclfile|rename-command)|\bmodule load|\b(slaveof|replicaof) "
        r"(?!no one)",
        joined,
    ):
        reader.cannot_tell(
            OpaqueKind.ENVIRONMENT, "redis is told to write or load something", joined
        )
