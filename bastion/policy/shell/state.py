"""What a reading has found so far, and what the readers of single programs may ask for."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from bastion.model import visible
from bastion.policy.facts import Access, Opaque, OpaqueKind, PathUse, SimpleCommand, Word
from bastion.policy.globs import normalise as normalise_path
from bastion.policy.shell.tree import ExhaustedError, Part
from bastion.policy.shell.values import Prompt, Values

MAX_COMMANDS: Final = 2000
"""Different commands one line may hold; every one of them is matched against every rule."""


ANY_NAME: Final = ""
"""Stands among redefined names for those that nobody has seen: a sourced file, eval, PATH."""
MAX_DEFINITIONS: Final = 200
"""Functions, aliases, … of one line: each is shown to people, and kept as long as the shell."""


MAX_STEPS: Final = 1000
"""What reading one line may cost: the gate reads in the loop that serves everybody. A command is
a step, and so are ten characters of text; texts within texts count each time they are read."""


_VARIABLE: Final = re.compile(r"\$\{?([A-Za-z_]\w*)\b(?:(?<=\w)\}|(?=[^\w\[]|$))")
_FROM_ELSEWHERE: Final = re.compile(
    r"LC_.*|LANG.*|TERM|COLORTERM|SSH_.*|.*PWD|_|REPLY|BASH.*|.*ARG.*"
)
"""Variables that a client may send, or that the shell sets as it goes."""


def names(text: str) -> frozenset[str]:
    """Give the set of names in a table written as text."""
    return frozenset(text.split())


@dataclass(frozen=True, slots=True)
class Feed:
    """What a command reads on its standard input.

    `channel`: whatever the client sends. `text`: exactly `text`. `download`: from the network.
    `file`: the file named `text`. `found`: names of files below the directory `text`.
    `unknown`: output that the text does not tell.
    """

    kind: str
    text: str = ""
    bare: bool = False
    """What is `found` has no directory in front of it: a name may begin with a dash."""


CHANNEL: Final = Feed("channel")
UNKNOWN: Final = Feed("unknown")
DOWNLOAD: Final = Feed("download")
EMPTY: Final = Feed("text", "")


_TERMINALS: Final = names(
    """
    script scriptlive ssh slogin autossh mosh dbclient plink unbuffer expect empty screen tmux dtach
    abduco socat docker podman nerdctl kubectl oc crictl lxc lxc-attach incus machinectl
    systemd-run systemd-nspawn openvt faketty
    """
)
"""Programs that may give what they start a terminal of its own."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command stands: what starts it, what it reads, whether its output is shown."""

    via: tuple[str, ...] = ()
    feed: Feed = CHANNEL
    shown: bool = True
    """Nobody else reads its output."""
    terminal: bool = True
    """Its output, where it is shown, goes to a terminal: some programs then start a pager."""
    extra_operands: bool = False
    found: str = ""
    """The directory below which the operands are that xargs adds; empty where nobody knows."""
    posix: bool = False
    """The shell may be one that expands no braces: words are read both ways."""
    assignments: tuple[tuple[str, Word], ...] = ()
    sources: tuple[tuple[str, list[Part]], ...] = ()
    """The parts of its words, by source text: a shell may be given a download this way."""

    def via_other_than(self, names: frozenset[str]) -> bool:
        """Tell whether anything but `names` starts it."""
        return any(name.partition(" ")[0] not in names for name in self.via)

    def within(self, name: str) -> Place:
        """Give the place of what `name` starts."""
        via = (*self.via, name)
        if name.partition(" ")[0] in _TERMINALS:
            return replace(self, via=via, shown=True, terminal=True)
        return replace(self, via=via)


@dataclass(slots=True)
class Call:
    """One program with its words, as its reader gets it."""

    program: str
    argv: list[Word]
    place: Place
    extra_operands: bool = False

    @property
    def operands(self) -> list[Word]:
        """All words after the program."""
        return self.argv[1:]


def literal(text: str) -> Word:
    """Give the word that stands for exactly `text`."""
    return Word(text, text)


def text_of(word: Word) -> str:
    """Give a word's text, or what is known of it, for display and for guesses."""
    return word.text if word.text is not None else word.raw


def joined(words: Sequence[Word]) -> str | None:
    """Join words by spaces as `eval` and `ssh` do; None where one is not literal."""
    texts = [word.raw if word.dynamic == "tilde" else word.text for word in words]
    return None if None in texts else " ".join(text for text in texts if text is not None)


def normalise(path: str) -> str:
    """Resolve `//`, `/./`, `..` and links to `/` in a path by its letters alone; empty stays so."""
    return normalise_path(path) if path else ""


@dataclass(slots=True)
class State:
    """What later commands of the same line depend on."""

    directories: tuple[str | None, ...] = ("",)
    values: dict[str, tuple[Word, ...]] = field(default_factory=dict)
    """Loop variables whose values are known."""
    tainted: set[str] = field(default_factory=set)
    """Variables that hold a download."""
    assigned: set[str] = field(default_factory=set)
    """Variables that the line sets."""
    loose: set[str] = field(default_factory=set)
    """Variables that the line gives a value with a blank or a leading dash, or that it reads in."""
    untrusted: set[str] = field(default_factory=set)
    """Variables whose values come at run time: arithmetic would evaluate what they hold."""


class Reader(ABC):
    """Collects findings. `walk.Walker` fills in the two abstract methods."""

    def __init__(self, prompt: Prompt | None = None) -> None:
        self.commands: dict[SimpleCommand, None] = {}
        self.paths: dict[PathUse, None] = {}
        self.opaque: dict[Opaque, None] = {}
        self.downloads: dict[str, None] = {}
        self.state = State()
        self.line = ""
        """All of the text that is read, whatever is nested in it."""
        self.program = ""
        """What program's words are being read."""
        self.prompt = prompt
        """The running shell at whose prompt this is read; None for a command line by itself."""
        self.own = Values.of(prompt) if prompt is not None else None
        """Its variables, while the text is one that this shell itself expands."""
        self.tampering: dict[str, None] = {}
        self.definitions: dict[str, None] = {}
        self.redefined: set[str] = set()
        """Names of functions and aliases, of earlier lines too."""
        for what in prompt.defined if prompt is not None else ():
            kind, _, name = what.partition(" ")
            self.redefined.add(name if kind in ("function", "alias") else ANY_NAME)
        if prompt is not None and prompt.directory.startswith("/"):
            self.state.directories = (normalise(prompt.directory),)
        self._steps = 0

    def spend(self, steps: int) -> None:
        """Count steps; ExhaustedError where they are too many."""
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise ExhaustedError

    @abstractmethod
    def read_text(self, text: str, place: Place) -> None:
        """Read a text that a shell would run."""

    @abstractmethod
    def run(self, argv: list[Word], place: Place) -> None:
        """Read one simple command."""

    @abstractmethod
    def read_parts(self, parts: list[Part], place: Place) -> None:
        """Read the commands that stand inside the parts of a word."""

    def cannot_tell(
        self, kind: OpaqueKind, reason: str, raw: str = "", *, later: bool = False
    ) -> None:
        """Say that something cannot be told (`later`: not before it runs)."""
        self.opaque.setdefault(Opaque(kind, reason, raw, later, self.program), None)

    def tampers(self, reason: str, raw: str = "") -> None:
        """Say that something would loosen the gate's hold on an interactive shell."""
        self.tampering[f"{reason}: {visible(raw, limit=100)}" if raw else reason] = None

    def defines(self, what: str) -> None:
        """Say that later lines of the same shell may mean something else."""
        if len(self.definitions) < MAX_DEFINITIONS:
            self.definitions[what] = None

    def downloaded(self, what: str) -> None:
        """Say that a download is fed to a shell or interpreter."""
        self.downloads[what] = None
        self.cannot_tell(OpaqueKind.CODE, "a download is run", what)

    def add_command(self, command: SimpleCommand) -> None:
        """List one command, within the cap."""
        if len(self.commands) >= MAX_COMMANDS and command not in self.commands:
            self.cannot_tell(OpaqueKind.LIMIT, "the line holds too many commands")
            return
        self.commands[command] = None

    # --- paths ----------------------------------------------------------------------------

    def opens(self, word: Word, access: Access, program: str, *, redirection: bool = False) -> None:
        """List the file that a word names."""
        if word.text is not None or word.dynamic in ("tilde", "glob", "name"):
            dynamic = word.dynamic if word.dynamic in ("glob", "name") else ""
            self.opens_text(
                text_of(word), access, program, dynamic=dynamic, redirection=redirection
            )
            return
        if word.raw.startswith(("<(", ">(")) and word.prefix == "/dev/fd/":
            return
        folder, slash, name = word.prefix.rpartition("/")
        if access is Access.READ and self._stays_below(word, folder):
            self.paths[PathUse(normalise(folder) + "/", access, program, "found")] = None
            return
        prefix = (normalise(folder) if folder else "").rstrip("/") + slash + name
        self.paths[PathUse(prefix, access, program, word.dynamic, redirection)] = None

    def _stays_below(self, word: Word, folder: str) -> bool:
        """Tell whether a word only leaves a name open, as `/var/log/$APP.log` does.

        Taken for granted: a variable that neither the line nor the client sets leads nowhere else.
        """
        if self.prompt is not None:
            return False  # an earlier line may have set it
        rest = _VARIABLE.sub("", word.raw)
        if word.dynamic != "variable" or not folder.startswith("/") or re.search(r"[$`]", rest):
            return False
        if ".." in word.raw or normalise(folder).startswith(("/proc", "/dev")):
            return False
        plain = re.sub(r"[\\'\"{}]", "", self.line)
        return not any(
            name in self.state.assigned
            or _FROM_ELSEWHERE.fullmatch(name)
            or re.search(rf"(?<![\w$]){name}\b", plain)
            for name in _VARIABLE.findall(word.raw)
        )

    def opens_text(
        self,
        text: str,
        access: Access,
        program: str,
        *,
        dynamic: str = "",
        redirection: bool = False,
    ) -> None:
        """List the file named `text` in every directory it may be meant in."""
        if not text or "\0" in text:
            return
        for path in self._meanings(text):
            self.paths[PathUse(path, access, program, dynamic, redirection)] = None
        if not text.startswith(("/", "~")) and None in self.state.directories:
            use = PathUse(normalise(text), access, program, dynamic or "directory", redirection)
            self.paths[use] = None

    def _meanings(self, text: str) -> list[str]:
        if text.startswith("~"):
            user, slash, rest = text.partition("/")
            below = normalise(rest)
            return [_climbed(below)] if below.startswith("..") else [user + slash + below]
        path = normalise(text)
        paths = [path]
        if not path.startswith("/"):
            paths += [
                normalise(f"{directory}/{path}")
                for directory in self.state.directories
                if directory
            ]
        return paths + [_climbed(each) for each in paths if each.startswith("../")]


def _climbed(path: str) -> str:
    return "/" + re.sub(r"^(\.\.(/|$))+", "", path)
