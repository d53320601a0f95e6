"""The gate's hold on an interactive shell: what would loosen it is denied, whatever a policy says.

The shell reports each simple command from a DEBUG trap before it runs (bash(1), `extdebug` and
`functrace`; zshmisc(1), TRAPDEBUG and DEBUG_BEFORE_CMD), by functions and descriptors of its own.
Definitions are not reported, so that a function named like a builtin would run inside the hook.
"""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.facts import Access, OpaqueKind, PathUse, Word
from bastion.policy.shell.state import Call, Place, Reader, names, normalise, text_of
from bastion.policy.shell.tree import Redirect

OWN_NAMES: Final = "__bastion"
"""What the names of the gate's own functions and variables begin with."""
OWN_FOLDER: Final = ".bastion-shell."
"""What the name of its private directory begins with; the rest is random."""
MAX_DESCRIPTOR: Final = 9
"""Higher descriptors are the shell's own, and the gate's."""

BUILTINS: Final = names(
    """
    . : [ alias bg bind break builtin caller cd command compgen complete compopt continue declare
    dirs disown echo enable eval exec exit export false fc fg getopts hash help history jobs kill
    let local logout mapfile popd printf pushd pwd read readarray readonly return set shift shopt
    source suspend test times trap true type typeset ulimit umask unalias unset wait
    """
)
_ZSH_BUILTINS: Final = names(
    """
    autoload bindkey bye chdir compcall compctl compdef disable echotc echoti emulate float
    functions getln hashinfo integer limit log noglob nocorrect print pushln r rehash sched setopt
    stat strftime sysopen sysread syswrite sysseek ttyctl unfunction unhash unlimit unsetopt vared
    whence where which zcompile zformat zle zmodload zparseopts zpty zregexparse zselect zsocket
    zstyle zsystem ztcp chpwd_functions
    """
)
KEYWORDS: Final = names(
    """
    ! [[ ]] { } case coproc do done elif else esac fi for function if in select then time until
    while repeat foreach end always nocorrect
    """
)
_HOOKS: Final = re.compile(
    r"command_not_found_handler?|TRAP[A-Z0-9]+|precmd|preexec|chpwd|periodic|zshaddhistory|zshexit"
    r"|zsh_directory_name|(?:precmd|preexec|chpwd|periodic|zshaddhistory|zshexit)_functions"
)
_OWN_VARIABLES: Final = re.compile(
    r"BASH_COMMAND|BASH_XTRACEFD|BASHOPTS|SHELLOPTS|POSIXLY_CORRECT|BASH_ALIASES|BASH_CMDS|BASH_ARGV0"
    r"|BASH_ARGC|BASH_ARGV|BASH_LINENO|FUNCNAME|BASH_SOURCE|BASH_COMPAT|FUNCNEST|TMOUT"
)
_ZSH_VARIABLES: Final = re.compile(
    r"functions|dis_functions|aliases|galiases|saliases|builtins|dis_builtins|options|trapstate"
    r"|commands|reswords|ZDOTDIR"
)
_OWN_OPTIONS: Final = re.compile(
    r"(?:no_?)?(?:functrace|errtrace|posix|restricted|noexec|extdebug|debug_?before_?cmd|zle|rcs"
    r"|kshtypeset|shwordsplit|privileged|physical|compat\d+|localoptions|local_?traps"
    r"|trapsasync|monitor|interactive|shinstdin|singlecommand|keyword|expand_?aliases|onecmd)",
    re.IGNORECASE,
)
_WATCHED_SIGNALS: Final = frozenset({"DEBUG", "SIGDEBUG"})
IN_SHELL: Final = names(
    """
    eval . source builtin command exec coproc noglob nocorrect alias trap mapfile readarray complete
    compgen compopt bind subscript time PROMPT_COMMAND PS0 PS1 PS2 PS3 PS4 preexec_functions
    precmd_functions jobs -
    """
)
"""What starts a command within the shell itself; all else starts a process."""


def in_shell(place: Place) -> bool:
    """Tell whether a command runs in the shell that reads the line, in no process of its own."""
    return not place.via_other_than(IN_SHELL)


def command(reader: Reader, call: Call) -> None:
    """Judge one simple command."""
    for word in call.argv:
        mention(reader, text_of(word))
        if (word.text is None and word.dynamic != "glob") or "/fd/" in (word.text or ""):
            _named(reader, word)
    if call.program in ("ln", "mount") and any(
        re.match(r"/proc(/|$)|/dev(/fd)?$", normalise(text_of(word))) for word in call.operands
    ):
        reader.tampers("another name for /proc would hide what is opened there", "/proc")
    if call.program in ("kill", "pkill", "killall", "skill"):
        _kill(reader, call)
    if not in_shell(call.place):
        return
    judge = _JUDGES.get(call.program)
    if judge is not None:
        judge(reader, call)


def mention(reader: Reader, text: str) -> None:
    """Judge any text for the gate's own names: nobody has a reason to write them."""
    if OWN_NAMES in text:
        reader.tampers("names of the gate's own shell functions are not yours to use", text)
    if OWN_FOLDER in text:
        reader.tampers("the shell's private directory is not yours to open", text)


def defines(reader: Reader, kind: str, name: str, place: Place) -> None:
    """Judge the name of a function or an alias."""
    reader.redefined.add(name)
    mention(reader, name)
    if not in_shell(place):
        return
    reader.defines(f"{kind} {name}")
    builtin = name in BUILTINS or (_is_zsh(reader) and name in _ZSH_BUILTINS)
    if builtin or name in KEYWORDS or _HOOKS.fullmatch(name):
        reader.tampers(f"a {kind} may not be named like a builtin, keyword or hook", name)


def _is_zsh(reader: Reader) -> bool:
    return reader.prompt is not None and not reader.prompt.splits


def assigns(reader: Reader, name: str, place: Place) -> None:
    """Judge the name of a variable that is set, unset or declared."""
    mention(reader, name)
    own = _OWN_VARIABLES.fullmatch(name) or _HOOKS.fullmatch(name)
    if in_shell(place) and (own or (_is_zsh(reader) and _ZSH_VARIABLES.fullmatch(name))):
        reader.tampers(f"{name} belongs to the gate while it watches the shell", name)


def redirection(reader: Reader, redirect: Redirect, target: Word) -> None:
    """Judge the descriptors that a redirection opens, copies or closes."""
    duplicates = redirect.operator in ("<&", ">&")
    mention(reader, text_of(target))
    if target.text is None and target.dynamic != "glob":
        _named(reader, target)
    if redirect.fd.isdecimal() and int(redirect.fd) > MAX_DESCRIPTOR:
        reader.tampers(f"descriptors above {MAX_DESCRIPTOR} are the shell's own", redirect.fd)
    text = target.text if target.text is not None else ""
    if duplicates and redirect.fd.startswith("{"):
        reader.tampers("a descriptor named by a variable may be the shell's own", redirect.fd)
    if duplicates and (number := re.match(r"\d+", text)):
        if int(number.group()) > MAX_DESCRIPTOR:
            reader.tampers(f"descriptors above {MAX_DESCRIPTOR} are the shell's own", text)
    elif duplicates and target.text is None:
        reader.tampers("which descriptor this copies cannot be told", target.raw)


_DESCRIPTORS: Final = re.compile(
    r"/proc/[^/]*/(?:task/[^/]*/)?(?:fd|map_files|mem)(?:/|$)|/dev/fd/?$|/dev/fd/.*\.\.|(?:^|/)fd/\d+$"
)
_OWN_DESCRIPTOR: Final = re.compile(r"/dev/fd/(.*)")
_EXPANSION: Final = re.compile(r"\$\{[^}]*\}|\$\(\([^)]*\)\)|\$\([^)]*\)|`[^`]*`|\$\w+|\$[@*#?$!-]")
_SURELY_ELSEWHERE: Final = frozenset({"glob", "name", "found", "directory", "tilde", ""})
_NO_OPENING: Final = names("rm unlink rmdir touch chattr shred truncate mkdir ln")


def paths(reader: Reader) -> None:
    """Judge every path that the line opens."""
    for use in list(reader.paths):
        if use.access is not Access.METADATA:
            _opened(reader, use)


def _opened(reader: Reader, use: PathUse) -> None:
    path = use.path
    own = _OWN_DESCRIPTOR.fullmatch(path)
    if own and not (own.group(1).isdecimal() and int(own.group(1)) <= MAX_DESCRIPTOR):
        reader.tampers("descriptors of the shell may be the gate's", path)
    elif not own and (_DESCRIPTORS.search(path) or _may_be_descriptor(use)):
        reader.tampers("descriptors of a process may be the shell's own", path)
    elif _is_anywhere(use):
        _perhaps(reader, path)
    if use.dynamic in ("glob", "name") and any(_may_be_own(part) for part in path.split("/")):
        reader.tampers("the pattern may name the shell's private directory", path)


def _is_anywhere(use: PathUse) -> bool:
    if use.dynamic == "directory":
        return re.search(r"(^|/)(fd|\d+)(/|$)", use.path) is not None
    return use.dynamic not in _SURELY_ELSEWHERE and use.program not in _NO_OPENING


def _perhaps(reader: Reader, path: str) -> None:
    reader.cannot_tell(OpaqueKind.OPERAND, "what is opened may be a descriptor of the shell", path)


def _may_be_descriptor(use: PathUse) -> bool:
    """A pattern that may lead to descriptors: `/proc/*/f?/3`, `/p*/1/fd/3`."""
    parts = use.path.split("/")
    if use.dynamic not in ("glob", "name") or len(parts) < 4 or not _globs("proc", parts[1]):
        return False
    return any(_globs("fd", part) or _globs("mem", part) for part in parts[3:])


def _may_be_own(pattern: str) -> bool:
    """Tell whether a pattern with a leading dot may be the private directory's name."""
    fixed = re.split(r"[*?\[\\]", pattern, maxsplit=1)[0]
    return fixed != pattern and fixed[:1] == "." and _globs(OWN_FOLDER, pattern)


def _globs(text: str, pattern: str) -> bool:
    """Tell whether `pattern` may match something that begins with, or is, `text`."""
    fixed = re.split(r"[*?\[\\]", pattern, maxsplit=1)[0]
    if fixed == pattern:
        return pattern == text
    return text.startswith(fixed) or fixed.startswith(text)


def _named(reader: Reader, word: Word) -> None:
    """Judge the shape of a word that is not literal: `/proc/$$/fd/0`."""
    shape = _EXPANSION.sub("*", word.raw.replace('"', "").replace("'", ""))
    if re.search(r"/dev/fd/.*\.\.", shape) or (word.text is None and _DESCRIPTORS.search(shape)):
        reader.tampers("descriptors of a process may be the shell's own", word.raw)


# --- builtins ---------------------------------------------------------------------------------


def _trap(reader: Reader, call: Call) -> None:
    words = [word for word in call.operands if word.text not in ("--", "-p", "-l", "-P")]
    listing = any(word.text in ("-p", "-l", "-P") for word in call.operands[:1])
    signals = words[1:] if len(words) > 1 else words
    if not listing and any(text_of(word).upper() in _WATCHED_SIGNALS for word in signals):
        reader.tampers("the DEBUG trap is how the gate watches the shell", "trap")
    handles = len(words) > 1 and words[0].text not in ("", "-")
    if not listing and handles and any(text_of(word) not in ("EXIT", "0") for word in words[1:]):
        reader.tampers("a handler may change what a step means while it waits", "trap")


def _shopt(reader: Reader, call: Call) -> None:
    texts = [text_of(word) for word in call.operands]
    sets = any(re.match(r"-[a-z]*[su]", text) for text in texts)
    for text in texts:
        if sets and _OWN_OPTIONS.fullmatch(text):
            reader.tampers(f"shopt {text} changes how the gate watches the shell", text)


def _set(reader: Reader, call: Call) -> None:
    named = False
    for word in call.operands:
        text = text_of(word)
        if named and _OWN_OPTIONS.fullmatch(text):
            reader.tampers(f"set -o {text} changes how the gate watches the shell", text)
        elif not named and (text == "--" or text[:1] not in ("-", "+")):
            return
        elif not named and set(text[1:]) & set("TnrpkmtP"):
            reader.tampers(f"set {text} changes how the gate watches the shell", text)
        named = not named and "o" in text


def _enable(reader: Reader, call: Call) -> None:
    if any(not re.fullmatch(r"-[aps]+", text_of(word)) for word in call.operands):
        reader.tampers("builtins are loaded or switched by enable", call.program)


def _exec(reader: Reader, call: Call) -> None:
    words = [word for word in call.operands if word.text != "--"]
    if words:
        reader.tampers("exec would put another program in the shell's place", text_of(words[0]))


def _suspend(reader: Reader, call: Call) -> None:
    reader.tampers("suspend would stop the shell, and nothing there would wake it", call.program)


_STOPS: Final = re.compile(
    r"-?(?:SIG)?(?:STOP|TSTP|TTIN|TTOU|19|20|21|22|17|18|23|24)", re.IGNORECASE
)
_OWN_PROCESS: Final = re.compile(r"-?\$\{?(?:\$|PPID|BASHPID)\}?|0|-1|-?bash|-?zsh|-?sh|sshd")


def _kill(reader: Reader, call: Call) -> None:
    """A stopped shell asks about nothing and ends nothing; ctrl-C wakes it (the gate)."""
    words = call.operands
    stops = any(_STOPS.fullmatch(text_of(word)) for word in words)
    own = any(
        word.dynamic == "name" or _OWN_PROCESS.fullmatch(text_of(word).strip('"')) for word in words
    )
    if stops and own:
        reader.tampers("it would stop the shell itself", call.program)


_FLOORS: Final = {"n": 64, "u": 1024, "v": 1 << 18, "d": 1 << 18, "m": 1 << 18, "s": 1024, "f": 64}
"""Limits below which a shell may no longer open its FIFOs or start the gate's own programs."""


def _ulimit(reader: Reader, call: Call) -> None:
    letters = "f"
    for word in call.operands:
        text = text_of(word)
        option = re.fullmatch(r"-([a-zA-Z]+)(\d*)", text) if word.text is not None else None
        if option:
            letters = option.group(1).strip("HS") or letters
            text = option.group(2)
        floor = max((_FLOORS.get(letter, 0) for letter in letters), default=0)
        if word.text is None and floor:
            reader.cannot_tell(OpaqueKind.OPERAND, "a low limit would cripple the shell", word.raw)
        elif text.isdecimal() and int(text) < floor:
            reader.tampers(
                "with a limit this low the shell cannot ask about its commands any more: "
                "prlimit sets one for a single command",
                text,
            )


def _zsh(reader: Reader, call: Call) -> None:
    few = len(call.operands) < (2 if call.program == "limit" else 1)
    if call.program in ("functions", "setopt", "autoload", "limit") and few:
        return
    reader.tampers(f"{call.program} changes how the gate watches the shell", call.program)


def _options(reader: Reader, call: Call) -> None:
    """`setopt` and `unsetopt` of zsh, which take underscores anywhere in a name."""
    for word in call.operands:
        text = text_of(word).replace("_", "").lower()
        if word.text is None or re.match(r"-|(no)?errexit", text) or _OWN_OPTIONS.fullmatch(text):
            reader.tampers(f"{call.program} {text} changes how the gate watches the shell", text)


def _unset(reader: Reader, call: Call) -> None:
    for word in call.operands:
        name = text_of(word).partition("[")[0]
        if name in BUILTINS or _HOOKS.fullmatch(name):
            reader.tampers("a hook of the gate would be taken away", name)


def standing(reader: Reader, words: list[Word], redirects: list[Redirect], place: Place) -> None:
    """Judge `exec` with redirections alone, which hold for all that follows."""
    rest = [word for word in words if word.text not in ("command", "builtin", "-p", "--")]
    if len(rest) != 1 or rest[0].text != "exec" or not in_shell(place):
        return
    for redirect in redirects:
        if not (redirect.fd.isdecimal() and 3 <= int(redirect.fd) <= MAX_DESCRIPTOR):
            reader.tampers(
                "exec would give the shell other input or output: use descriptors 3 to 9", "exec"
            )


def _reads_descriptor(reader: Reader, call: Call) -> None:
    """`-u N` of read and mapfile."""
    words = call.operands
    for word, following in zip(words, [*words[1:], None], strict=False):
        match = re.fullmatch(r"-[a-zA-Z]*u(\S*)", text_of(word))
        if match is None:
            continue
        number = match.group(1) or (text_of(following) if following is not None else "")
        if not number.isdecimal() or int(number) > MAX_DESCRIPTOR:
            reader.tampers(f"descriptors above {MAX_DESCRIPTOR} are the shell's own", number)


_JUDGES: Final = {
    "trap": _trap,
    "shopt": _shopt,
    "set": _set,
    "enable": _enable,
    "disable": _zsh,
    "exec": _exec,
    "suspend": _suspend,
    "ulimit": _ulimit,
    "unset": _unset,
    "read": _reads_descriptor,
    "mapfile": _reads_descriptor,
    "readarray": _reads_descriptor,
    "setopt": _options,
    "unsetopt": _options,
    **dict.fromkeys(
        (
            "unfunction",
            "unhash",
            "functions",
            "limit",
            "zle",
            "zmodload",
            "emulate",
            "sysopen",
            "syswrite",
        ),
        _zsh,
    ),
}
