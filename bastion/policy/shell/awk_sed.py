"""Programs in awk and sed, read for the commands they run and the files they open."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from bastion.policy.facts import Access, OpaqueKind
from bastion.policy.shell.ansi import ansi_c
from bastion.policy.shell.state import UNKNOWN, Place, Reader

# --- awk and sed ------------------------------------------------------------------------------

_AWK_TOKEN: Final = re.compile(
    r'(?P<comment>#[^\n]*)|(?P<string>"(?:[^"\\]|\\.)*")|(?P<name>[A-Za-z_@]\w*)'
    r"|(?P<number>\d[\w.]*)|(?P<space>\s+)|(?P<operator>\|\||\|&|&&|>>|[!<>=]=|.)",
    re.DOTALL,
)


def read_awk(reader: Reader, code: str, place: Place) -> None:
    """Judge an awk program: `system`, pipes, `getline` and redirections reach outside."""
    tokens = _awk_tokens(code)
    texts = [text for _, text in tokens]
    runs = [index for index, text in enumerate(texts) if text in ("|", "|&", "system")]
    for index in runs:
        command = _awk_command(tokens, index)
        if command is None:
            reader.cannot_tell(OpaqueKind.CODE, "awk runs text that is not literal", code)
        else:
            reader.read_text(command, replace(place, feed=UNKNOWN))
    if any(text in ("@load", "@include", "@") for text in texts) or re.search(r"@\w+\s*\(", code):
        reader.cannot_tell(OpaqueKind.CODE, "awk loads code or calls by name", code)
    _awk_files(reader, tokens)
    if runs:
        for kind, text in tokens:
            if kind == "string":
                reader.read_text(ansi_c(text[1:-1]), replace(place, feed=UNKNOWN))


def _awk_tokens(code: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    index = 0
    while index < len(code):
        before = tokens[-1][1] if tokens else ""
        operand = bool(tokens) and (
            tokens[-1][0] in ("name", "number", "string") or before in (")", "]", "$", "/re/")
        )
        if code[index] == "/" and (not operand or before in ("return", "print", "in", "BEGIN")):
            match = re.compile(r"/(?:[^/\\\n\[]|\\.|\[\^?\]?(?:[^\]\\]|\\.)*\])*/").match(
                code, index
            )
            if match:
                tokens.append(("regex", "/re/"))
                index = match.end()
                continue
        match = _AWK_TOKEN.match(code, index)
        assert match is not None
        if match.lastgroup not in ("space", "comment"):
            tokens.append((match.lastgroup or "", match.group()))
        index = match.end()
    return tokens


def _awk_command(tokens: list[tuple[str, str]], index: int) -> str | None:
    """Give the literal command at a pipe or `system`, else None."""
    if tokens[index][1] == "system":
        around = tokens[index + 1 : index + 4]
        if [text for _, text in around[::2]] == ["(", ")"] and around[1][0] == "string":
            return ansi_c(around[1][1][1:-1])
        return None
    follows = tokens[index + 1] if index + 1 < len(tokens) else ("", "")
    end = tokens[index + 2][1] if index + 2 < len(tokens) else ";"
    if follows[1] == "getline":
        before = tokens[index - 1] if index else ("", "")
        start = tokens[index - 2][1] if index > 1 else "{"
        known = before[0] == "string" and start in ("{", ";", "(", "while", "!", "=")
        return ansi_c(before[1][1:-1]) if known else None
    if follows[0] == "string" and end in (";", "}", ")", "\n"):
        return ansi_c(follows[1][1:-1])
    return None


_AWK_ENDS: Final = frozenset({";", "}", ")", "{", "&&", "||", ""})


def _awk_files(reader: Reader, tokens: list[tuple[str, str]]) -> None:
    """List what `getline < file`, `print > file` and `ARGV[1] = file` open."""
    state = ""
    texts = [text for _, text in tokens]
    for index, text in enumerate(texts):
        if text in ("print", "printf", "getline"):
            state = text
        elif text in (";", "}", "{"):
            state = ""
        elif text == "<" and state == "getline":
            _awk_file(reader, tokens, index + 1, Access.READ)
        elif text in (">", ">>") and state.startswith("print"):
            _awk_file(reader, tokens, index + 1, Access.WRITE)
        elif text == "ARGV":
            _awk_operand(reader, tokens, index)


def _awk_file(reader: Reader, tokens: list[tuple[str, str]], at: int, access: Access) -> None:
    kind, text = tokens[at] if at < len(tokens) else ("", "")
    after = tokens[at + 1] if at + 1 < len(tokens) else ("", "")
    ends = after[1] in _AWK_ENDS or after[0] == "name" or after[1] in (">", "<", "=")
    if kind == "string":
        reader.opens_text(ansi_c(text[1:-1]), access, "awk")
    if kind != "string" or not ends:
        reader.cannot_tell(OpaqueKind.CODE, "awk opens a file that is not literal", text)


def _awk_operand(reader: Reader, tokens: list[tuple[str, str]], at: int) -> None:
    """An element of ARGV that the program sets is opened like an operand."""
    rest = tokens[at + 1 : at + 12]
    texts = [text for _, text in rest]
    if "]" not in texts:
        return
    closed = texts.index("]")
    if texts[closed + 1 : closed + 2] == ["="]:
        value = rest[closed + 2] if closed + 2 < len(rest) else ("", "")
        if value[1] != '""':
            _awk_file(reader, tokens, at + closed + 3, Access.READ)


def read_sed(reader: Reader, script: str, place: Place) -> None:
    """Judge a sed script: `e` runs, `w`, `W`, `r` and `R` open files."""
    index = 0
    while index < len(script):
        address = _SED_ADDRESS.match(script, index)
        index = address.end() if address else index
        if index >= len(script):
            return
        index = _sed_command(reader, script, index, place)


_SED_BRACKET: Final = re.compile(r"\[\^?\]?[^\]]*\]")
_SED_REGEX: Final = r"/(?:[^/\\\n\[]|\\.|\[\^?\]?[^\]]*\])*/[IM]*"
_SED_ADDRESS: Final = re.compile(
    rf"[\s;{{}}]*(?:(?:\d+(?:~\d+)?|\$|{_SED_REGEX}|\\(.)(?:(?!\1)[^\\]|\\.)*\1[IM]*|[+~]\d+|,)\s*)*[\s!{{;}}]*",
    re.DOTALL,
)


def _sed_command(reader: Reader, script: str, index: int, place: Place) -> int:
    command = script[index]
    line_end = script.find("\n", index)
    line_end = len(script) if line_end < 0 else line_end
    rest = script[index + 1 : line_end]
    if command in "sy":
        return _sed_substitute(reader, script, index, place)
    if command == "e":
        if rest.strip():
            reader.read_text(rest.strip(), place)
        else:
            reader.cannot_tell(OpaqueKind.CODE, "sed runs what it reads", script)
        return line_end
    if command in "wWrR":
        reader.opens_text(rest.strip(), Access.WRITE if command in "wW" else Access.READ, "sed")
        return line_end
    if command in "aic":
        while line_end < len(script) and script[line_end - 1] == "\\":
            following = script.find("\n", line_end + 1)
            line_end = len(script) if following < 0 else following
        return line_end
    if command in ":btT":
        ended = re.compile(r"[^;\n}]*").match(script, index + 1)
        return ended.end() if ended else line_end
    if command in "=dDgGhHlnNpPqQxzF#" or command == "v":
        if command == "#":
            return line_end
        ended = re.compile(r"\s*\d*").match(script, index + 1)
        return ended.end() if ended else index + 1
    reader.cannot_tell(OpaqueKind.CODE, "a sed script that this reader does not know", script)
    return len(script)


def _sed_substitute(reader: Reader, script: str, index: int, place: Place) -> int:
    mark = script[index + 1] if index + 1 < len(script) else ""
    position = index + 2
    sections: list[str] = []
    for which in range(2):
        section, position = _sed_section(script, position, mark, brackets=which == 0)
        sections.append(section)
    if not mark or position > len(script):
        reader.cannot_tell(OpaqueKind.CODE, "a sed script that this reader does not know", script)
        return len(script)
    flags = re.compile(r"[gpiIMm0-9eE]*").match(script, position)
    assert flags is not None
    if script[index] == "s" and "e" in flags.group():
        reader.cannot_tell(OpaqueKind.CODE, "sed runs what a substitution makes", script)
        reader.read_text(sections[1], place)
    position = flags.end()
    if script[position : position + 1] == "w":
        line_end = script.find("\n", position)
        line_end = len(script) if line_end < 0 else line_end
        reader.opens_text(script[position + 1 : line_end].strip(), Access.WRITE, "sed")
        return line_end
    return position


def _sed_section(script: str, start: int, mark: str, *, brackets: bool) -> tuple[str, int]:
    """Read up to an unescaped mark; inside a bracket expression of a pattern a mark is a letter."""
    index = start
    while index < len(script) and script[index] != mark:
        bracket = _SED_BRACKET.match(script, index) if brackets else None
        if bracket:
            index = bracket.end()
        else:
            index += 2 if script[index] == "\\" else 1
    return script[start:index], index + 1
