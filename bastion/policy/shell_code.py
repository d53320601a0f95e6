"""Code of other languages on a command line: harmless by an allow-list of names, else opaque.

Nothing here understands a language. A text passes only if every name in it is known to touch
nothing outside the program; otherwise it is opaque, and every string in it is read as a command
and as a path, so that a deny can match.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from bastion.policy.facts import Access, OpaqueKind
from bastion.policy.shell_lex import ansi_c
from bastion.policy.shell_state import UNKNOWN, Place, Reader, literal, names

_NAME: Final = re.compile(r"[$@%]?[A-Za-z_]\w*")
_SPAWN: Final = re.compile(r"\b(?:spawn|exec|system)\s+([^;\n\]]+)")
MAX_STRINGS: Final = 40
"""Strings of one text that are read as commands."""

_TOKEN: Final = re.compile(
    r"""(?P<comment>\#[^\n]*)
    |(?P<string>(?:\b[rbuRBU]{1,2})?(?:'''(?:.*?)'''|\"\"\"(?:.*?)\"\"\"|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))
    |(?P<run>`(?:[^`\\]|\\.)*`)
    |(?P<quote>(?:\bq[qxw]?\s*|%[xqQwWi]?)(?:\([^)]*\)|\{[^}]*\}|\[[^\]]*\]|<[^>]*>|([/!|,])[^/!|,]*[/!|,]))
    |(?P<name>[$@%]?[A-Za-z_][A-Za-z0-9_]*)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)

_TOKEN_WITHOUT_QUOTES: Final = re.compile(
    re.sub(r"\n *\|\(\?P<quote>.*", "", _TOKEN.pattern), re.VERBOSE | re.DOTALL
)

_PYTHON: Final = names(
    """
    and as assert break class continue def del elif else except finally for from global if
    import in is lambda nonlocal not or pass raise return try while with yield None True False
    self print len range str int float bool list dict set tuple sorted sum min max abs round
    enumerate zip map filter any all repr chr ord hex bin oct format isinstance type iter next
    reversed divmod pow id hash Exception ValueError KeyError TypeError bytes bytearray input
    slice frozenset sys version version_info stdin stdout stderr argv exit platform executable
    maxsize byteorder path json load loads dump dumps indent sort_keys ensure_ascii math
    datetime time date now today utcnow strftime strptime isoformat timedelta timezone utc sleep
    re match search sub findall split join strip lstrip rstrip replace upper lower title
    startswith endswith encode decode hashlib sha256 sha1 md5 sha512 hexdigest digest base64
    b64encode b64decode urllib parse quote unquote urlparse random randint choice choices uuid
    uuid4 string ascii_letters digits collections Counter defaultdict itertools functools
    statistics mean median decimal Decimal fractions textwrap dedent calendar locale
    getpreferredencoding socket gethostname getfqdn append extend items keys values get pop
    index count read readline readlines write flush sort copy update add pi sqrt e log sin cos
    floor ceil factorial comb struct sysconfig end sep file key default lines splitlines buffer
    os getcwd getpid cpu_count uname environ sysname machine release timestamp fromtimestamp
    token_hex secrets zlib crc32 csv reader writer writerow
    """
)
_PERL: Final = names(
    """
    my our if else elsif unless while until foreach for and or not eq ne lt gt le ge cmp x last
    next print printf say length substr index rindex join split reverse sort map grep keys
    values each scalar push pop shift unshift splice lc uc lcfirst ucfirst defined undef exists
    delete chomp chop ord chr hex oct int abs sqrt sin cos rand srand time localtime gmtime
    sprintf STDIN STDOUT STDERR s y tr m g i ms gi ig BEGIN END strict warnings use local
    wantarray return sub die warn n r v sum List Util
    """
)
_RUBY: Final = names(
    """
    puts print p if else elsif end while until unless for in each map select reject times upto
    downto length size join split reverse sort uniq first last gsub sub to_s to_i to_f to_a
    upcase downcase strip chomp inspect nil true false and or not begin rescue ensure return
    yield STDIN STDOUT gets ARGF read lines each_line sum min max count include keys values Time
    now strftime Integer Float String Array Hash new rand Math sqrt RUBY_VERSION format sprintf
    printf json JSON parse generate pretty_generate require date Date today
    """
)
_NODE: Final = names(
    """
    console log error const let var function return if else for while of in new true false null
    undefined typeof JSON stringify parse Math max min round floor ceil random sqrt abs PI Date
    now toISOString toString length map filter reduce forEach join split slice push pop concat
    sort reverse includes indexOf replace trim toUpperCase toLowerCase Number String Boolean
    Array Object keys values entries parseInt parseFloat isNaN process version versions argv
    platform arch stdout write getTime charCodeAt fromCharCode repeat from async await Promise
    resolve then Set Map
    """
)
_PHP: Final = names(
    """
    echo print printf sprintf if else elseif while for foreach as function return true false
    null array count strlen strtoupper strtolower trim explode implode str_replace substr
    json_encode json_decode date time var_dump print_r phpversion PHP_VERSION PHP_EOL PHP_OS
    intval floatval round floor ceil max min rand random_int md5 sha1 base64_encode
    base64_decode JSON_PRETTY_PRINT php
    """
)
_LUA: Final = names(
    """
    print local function end if then else elseif for while repeat until do return and or not nil
    true false in pairs ipairs type tostring tonumber string format rep sub upper lower len
    reverse gsub match find byte char table concat insert sort unpack math floor ceil max min
    sqrt random pi abs os time date clock _VERSION
    """
)
_HARMLESS: Final[dict[str, frozenset[str]]] = {
    "python": _PYTHON,
    "perl": _PERL,
    "ruby": _RUBY,
    "node": _NODE,
    "php": _PHP,
    "lua": _LUA,
}
_LIVE_STRINGS: Final[dict[str, re.Pattern[str]]] = {
    # Interpolation that runs code inside a string.
    "perl": re.compile(r"^\".*(?:@\{|\$\{)", re.DOTALL),
    "ruby": re.compile(r"^\".*#[{$@]", re.DOTALL),
    "php": re.compile(r"^\".*(?:\$\{|\{\$)", re.DOTALL),
    "python": re.compile(r"\{[^}]*[(.\[]"),
}
_BARE: Final[dict[str, re.Pattern[str]]] = {
    # Written without a name, these run or open something.
    "perl": re.compile(r"<[^>\s=]*>|\(\?\??\{|&\s*[{$\"]|->\s*[({$]|-[a-zA-Z]\s"),
    "ruby": re.compile(r"&"),
    "node": re.compile(r"\[[^\]0-9]|\\"),
    "php": re.compile(r"\$\w+\s*\(|[)\]}]\s*\(|\?>|<\?|\$\$|->|::"),
    "python": re.compile(r"__|\\"),
    "lua": re.compile(r"\[|_G|_ENV"),
}
_AMBIGUOUS: Final[dict[str, re.Pattern[str]]] = {
    # Where these stand, a quote may not be a quote: every name in the text counts, strings too.
    "perl": re.compile(
        r"/|#|<<|\?|\$['\"`]|\b(?:s|m|y|tr|q[qxwr]?)\b\s*[^\w\s,;)=]|^=", re.MULTILINE
    ),
    "ruby": re.compile(r"/|#|<<|%|\?['\"]|^=|__END__", re.MULTILINE),
    "node": re.compile(r"/|#|<!--|-->"),
    "php": re.compile(r"/[/*]|#|<<<"),
    "lua": re.compile(r"--|\[=*\[|#"),
    "python": re.compile(r"(?!)"),
}
_OPEN: Final = re.compile(
    r"""\bopen\s*\(\s*(['"])(?P<path>[^'"\\\n]*)\1\s*(?:,\s*(['"])(?P<mode>[rwxabt+U]*)\3\s*)?\)"""
)


def read_code(reader: Reader, language: str, code: str, place: Place) -> None:
    """Judge a text in one of the languages above, or in a language of which nothing is known."""
    rest = _OPEN.sub("0", code) if language == "python" else code
    if not _is_harmless(language, rest):
        reader.cannot_tell(OpaqueKind.CODE, f"{language} code may run or open anything", code)
        list_strings(reader, list(_TOKEN.finditer(code)), place)
        for match in _SPAWN.finditer(code) if language == "tcl" else ():
            reader.read_text(match.group(1), replace(place, feed=UNKNOWN))
        return
    for match in _OPEN.finditer(code) if language == "python" else ():
        writes = set(match["mode"] or "") & set("wxa+")
        reader.opens_text(match["path"], Access.WRITE if writes else Access.READ, language)


def _is_harmless(language: str, code: str) -> bool:
    names = _HARMLESS.get(language)
    if names is None or not code.isascii():
        return False
    tokens = list(_tokens(language, code))
    bare = "".join('""' if each.lastgroup == "string" else each.group() for each in tokens)
    if _AMBIGUOUS[language].search(bare):
        if not all(_known_name(name, names) for name in _NAME.findall(code)):
            return False
        return _BARE[language].search(code) is None and "`" not in code
    if _BARE[language].search(bare):
        return False
    return all(_is_harmless_token(language, token, names) for token in tokens) and not any(
        token.lastgroup == "string" and following.group() == "("
        for token, following in itertools.pairwise(tokens)
    )


def _tokens(language: str, code: str) -> Iterator[re.Match[str]]:
    token = _TOKEN if language in ("perl", "ruby") else _TOKEN_WITHOUT_QUOTES
    return token.finditer(code)


def _is_harmless_token(language: str, token: re.Match[str], names: frozenset[str]) -> bool:
    kind, text = token.lastgroup, token.group()
    if kind == "name":
        return _known_name(text, names)
    if kind in ("run", "quote", "comment"):
        return language == "python" and kind != "run"
    live = _LIVE_STRINGS.get(language)
    return kind != "string" or live is None or live.search(text) is None


def _known_name(name: str, names: frozenset[str]) -> bool:
    # A variable; PHP calls a function whose name a variable holds (see _BARE). One letter, or a
    # letter and a digit, is a variable in any one-liner.
    return name[0] in "$@%" or name in names or re.fullmatch(r"[a-zA-Z]\d?", name) is not None


def list_strings(reader: Reader, tokens: list[re.Match[str]], place: Place) -> None:
    """Read every string as a command line, every run of strings as one, and each as a path."""
    within = replace(place, feed=UNKNOWN)
    run: list[str] = []
    count = 0
    for token in tokens:
        kind, text = token.lastgroup, token.group()
        if kind in ("string", "run", "quote"):
            value = _unquoted(text)
            run.append(value)
            count += 1
            if count <= MAX_STRINGS and value.strip():
                _as_command(reader, value, within)
        elif kind != "other" or not re.match(r"[\s,\[\](){}]", text):
            _as_argv(reader, run, within)
            run = []
    _as_argv(reader, run, within)


def _as_command(reader: Reader, value: str, place: Place) -> None:
    reader.opens_text(value, Access.READ, "code")
    first = value.split()[0]
    if re.fullmatch(r"[\w./+\-(){;$`&|!\[\]~]+", first):
        reader.read_text(value, place)


def _as_argv(reader: Reader, run: list[str], place: Place) -> None:
    if len(run) > 1 and run[0]:
        reader.run([literal(value) for value in run], place)


def _unquoted(text: str) -> str:
    quote = re.match(r"(?:q[qxw]?\s*|%[xqQwWi]?)(?=[^\w\s'\"`])", text)
    if quote:
        return text[quote.end() + 1 : -1]
    text = text.lstrip("rbuRBU")
    for mark in ("'''", '"""'):
        if text.startswith(mark):
            return text[3:-3]
    return ansi_c(text[1:-1])


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


def _awk_files(reader: Reader, tokens: list[tuple[str, str]]) -> None:
    printing = False
    for (_, text), (kind, following) in zip(tokens, [*tokens[1:], ("", "")], strict=True):
        if text in ("print", "printf", "getline"):
            printing = True
        elif text in (";", "}", "{"):
            printing = False
        if text in (">", ">>", "<") and printing:
            if kind == "string":
                access = Access.READ if text == "<" else Access.WRITE
                reader.opens_text(ansi_c(following[1:-1]), access, "awk")
            elif text != "<" or kind == "name":
                reader.cannot_tell(
                    OpaqueKind.CODE, "awk opens a file that is not literal", following
                )


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
