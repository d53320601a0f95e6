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
from bastion.policy.shell.ansi import ansi_c
from bastion.policy.shell.state import UNKNOWN, Place, Reader, literal, names

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
