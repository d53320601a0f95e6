"""Which files a command opens, by program: most operands are files, some surely are not."""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.facts import Access, OpaqueKind, Word
from bastion.policy.shell import clients, copies, transfers
from bastion.policy.shell.peeling import Wrapper, peel
from bastion.policy.shell.state import Call, Reader, names, text_of

CLOSED: Final = names(
    """
    echo printf test [ [[ true false : ls dir vdir basename dirname which type whereis whatis
    apropos kill killall pkill pgrep sleep seq pwd id whoami groups who w last lastb ps uptime
    uname hostname hostnamectl locate mlocate plocate logger notify-send wall write mesg tty
    expr factor yes let return break continue exit shift cd pushd popd dirs jobs fg bg wait
    ulimit umask times caller command builtin getopts read mapfile readarray export declare
    typeset local readonly unset alias unalias set shopt hash enable help history fc complete
    compgen compopt bind trap disown suspend logout stat mkdir rmdir mkfifo mknod touch chmod
    chown chgrp chattr lsattr getfacl df du free lsblk mount umount mountpoint findmnt sync
    lscpu lsmod lsusb lspci dmesg ip ifconfig route ping ping6 traceroute mtr dig nslookup host
    getent systemctl service loginctl timedatectl localectl apt
    apt-get apt-cache dpkg dpkg-query rpm yum dnf brew snap flatpak useradd usermod userdel
    groupadd groupmod groupdel passwd gpasswd chage adduser deluser shutdown reboot halt
    poweroff init telinit iptables ip6tables nft ufw firewall-cmd crontab at batch tmux screen
    nproc arch cal ncal date tput stty clear reset sleep usleep nice renice ionice readlink
    realpath pathchk mktemp rm unlink shred eject lsof fuser ss netstat vmstat iostat mpstat sar
    pidof top htop git jq-filter journalctl man info tldr
    go cargo rustc npm yarn pnpm pip pip3 gem bundle composer java javac mvn gradle node-version
    sqlite-version swapon swapoff blkid hdparm smartctl
    modprobe rmmod insmod sysctl ldconfig updatedb chpasswd xdg-open zipinfo-name sudo
    doas env xargs find nohup time timeout
    """
)
"""Programs whose operands are not opened for their content, or by a reader of their own."""

_METADATA: Final = names(
    "stat chmod chown chgrp chattr touch mkdir rmdir rm unlink shred ls dir vdir du "
    "realpath readlink"
)
_WRITERS: Final = names("rm unlink shred truncate tee sponge chattr touch fallocate")
_COPIERS: Final = names("cp mv install ln link gcp gmv gln ginstall")

_PATTERN_FIRST: Final[dict[str, Wrapper]] = {
    "grep": Wrapper(
        "efmABCdD",
        "EFGPiwxzsvVbnHhoqaILlcrRyTZU",
        "regexp file max-count after-context before-context context color colour binary-files "
        "directories devices exclude exclude-from exclude-dir include label group-separator",
        "extended-regexp fixed-strings basic-regexp perl-regexp ignore-case "
        "no-ignore-case word-regexp "
        "line-regexp null-data no-messages invert-match version help byte-offset "
        "line-number line-buffered "
        "with-filename no-filename only-matching quiet silent text recursive dereference-recursive "
        "files-without-match files-with-matches count initial-tab null unix-byte-offsets binary",
    ),
    "rg": Wrapper(
        "efmABCgtTjMdErE",
        "iSswxvcnNlLoFUPHhzaq0.puV",
        "regexp file max-count after-context before-context context glob iglob type "
        "type-not threads "
        "max-columns max-depth encoding replace pre pre-glob sort sortr colors color "
        "engine ignore-file "
        "path-separator context-separator field-context-separator type-add max-filesize "
        "hostname-bin",
        "ignore-case smart-case case-sensitive word-regexp line-regexp invert-match "
        "count line-number "
        "no-line-number files-with-matches files-without-match only-matching "
        "fixed-strings multiline pcre2 "
        "with-filename no-filename search-zip text quiet hidden no-ignore files json "
        "stats heading no-heading "
        "follow unrestricted pretty version help vimgrep trim",
    ),
    "sed": Wrapper(
        "efl",
        "nErsuzi",
        "expression file line-length",
        "quiet silent regexp-extended separate "
        "unbuffered null-data in-place posix debug sandbox follow-symlinks help version",
    ),
    "awk": Wrapper(
        "FvfmWieEblD",
        "CVhcgLnNOPrsStMIk",
        "field-separator assign file include load source exec",
        "re-interval posix traditional version help csv bignum sandbox lint",
    ),
    "jq": Wrapper(
        "fL",
        "nRrjascCMSeh",
        "from-file indent library-path",
        "null-input raw-input slurp compact-output raw-output join-output ascii-output sort-keys "
        "color-output monochrome-output tab unbuffered stream seq exit-status args "
        "jsonargs help version "
        "raw-output0",
    ),
}
for _alias, _of in {
    "egrep": "grep",
    "fgrep": "grep",
    "zgrep": "grep",
    "bzgrep": "grep",
    "xzgrep": "grep",
    "zegrep": "grep",
    "pcregrep": "grep",
    "gawk": "awk",
    "mawk": "awk",
    "nawk": "awk",
    "original-awk": "awk",
    "gsed": "sed",
    "ssed": "sed",
    "zfgrep": "grep",
    "ggrep": "grep",
    "yq": "jq",
    "gojq": "jq",
    "jaq": "jq",
    "rga": "rg",
    "ugrep": "grep",
}.items():
    _PATTERN_FIRST[_alias] = _PATTERN_FIRST[_of]

_BELOW: Final = frozenset({"r", "R", "recursive", "dereference-recursive"})
"""Options of grep with which it reads the directory where no file is given."""
_JQ_VARIABLES: Final = ("--arg", "--argjson", "--slurpfile", "--rawfile")

_STARTUP: Final = re.compile(
    r"(?:^|/)(?:\.bashrc|\.bash_(?:profile|login|logout|aliases|completion)|\.profile"
    r"|\.login|\.cshrc|\.tcshrc|\.kshrc"
    r"|\.mkshrc|\.z(?:shrc|shenv|profile|login|logout)|\.inputrc|\.vimrc|\.gvimrc|\.exrc"
    r"|\.emacs|\.nanorc"
    r"|\.screenrc|\.tmux\.conf|\.gitconfig|\.lesskey|\.psqlrc|\.mylogin\.cnf|\.my\.cnf"
    r"|\.pythonrc|\.pam_environment"
    r"|\.xinitrc|\.xsession|\.xprofile|\.forward|\.procmailrc|\.netrc|\.curlrc|\.wgetrc"
    r"|\.rhosts|\.shosts|\.npmrc"
    r"|\.gdbinit|\.irbrc|\.perldb|\.sqliterc|\.mailrc|\.ssh/.+|authorized_keys2?"
    r"|\.git/(?:hooks/.+|config)"
    r"|\.config/(?:fish|git|nvim|systemd|autostart|pip|environment\.d)/.+)$"
    r"|^/etc/(?:profile(?:\.d/.+)?|bash\.bashrc|bashrc|zsh/.+|zshenv|environment|inputrc"
    r"|ld\.so\..+|cron.*|sudoers.*|init\.d/.+"
    r"|rc\.local|systemd/.+|pam\.d/.+|ssh/.+|apt/apt\.conf.*|gitconfig|skel/.+|shells"
    r"|passwd|udev/.+|update-motd\.d/.+)$"
    r"|^/(?:var/spool/(?:cron|at)|usr/lib/systemd|lib/systemd)/.+$|^/proc/.+|^/dev/(?:mem|kmem|port)$"
    r"|^/sys/(?:power|kernel|firmware|fs/cgroup/.*release_agent|module/.*parameters)(?:/.+|$)"
    r"|^/sys/.*/(?:uevent|driver_override|(?:un)?bind|new_id|remove|reset|delete)$"
)


def pattern_table(program: str) -> Wrapper:
    """Give the options of a program whose first operand is a pattern or a program."""
    return _PATTERN_FIRST[program]


def list_startup_writes(reader: Reader) -> None:
    """Say where a start-up file is written: later sessions run what it holds."""
    for use in list(reader.paths):
        if use.access is Access.WRITE and _STARTUP.search(use.path):
            reader.cannot_tell(
                OpaqueKind.ENVIRONMENT, f"{use.path} is run or obeyed later", use.path
            )


def list_paths(reader: Reader, call: Call) -> None:
    """List the files that a command opens."""
    program = call.program
    special = _SPECIAL.get(program)
    if special is not None:
        special(reader, call)
    elif program in _PATTERN_FIRST:
        _pattern_first(reader, call)
    elif program in _METADATA or program in _WRITERS:
        access = Access.WRITE if program in _WRITERS else Access.METADATA
        _operands(reader, call, access)
    elif program in clients.CLIENTS:
        clients.client_files(reader, call, call.operands)
    elif program not in CLOSED:
        _operands(reader, call, Access.READ)
        _more(reader, call)


def _more(reader: Reader, call: Call) -> None:
    """List what the operands that arrive at run time may be."""
    if call.extra_operands:
        found = call.place.found
        word = Word(None, "{}", "found", found) if found else Word(None, "", "input")
        reader.opens(word, Access.READ, call.program)


_OUTPUT: Final = re.compile(r"-[a-zA-Z]*[oO]|--(?:output|output-document|output-file|out|outfile)")
_OUTPUT_ATTACHED: Final = re.compile(
    r"-[oO](?=.)|--(?:output|output-document|output-file|outfile)="
)


def _operands(reader: Reader, call: Call, access: Access) -> None:
    output = False
    for word in call.operands:
        _one(reader, call, word, Access.WRITE if output else access)
        text = text_of(word)
        output = _OUTPUT.fullmatch(text) is not None
        attached = _OUTPUT_ATTACHED.match(text)
        if attached:
            reader.opens_text(text[attached.end() :], Access.WRITE, call.program)


def _one(reader: Reader, call: Call, word: Word, access: Access) -> None:
    program = call.program
    if word.text is None:
        if not word.prefix.startswith("-") or "/" in word.prefix or "=" in word.prefix:
            _dynamic(reader, word, access, program)
        return
    text = word.text
    if not text.startswith("-") or text == "-":
        reader.opens(word, access, program)
    for piece in re.split(r"[=:@,]", text)[1:] if not re.search(r"\s", text) else ():
        if piece.startswith(("/", "~", ".")):
            reader.opens_text(piece, access, program)
    attached = re.match(r"-[A-Za-z](?=[/~.])", text)
    if attached:
        reader.opens_text(text[2:], access, program)
    url = re.match(r"file:/*(/.*)", text)
    if url:
        reader.opens_text(url.group(1), access, program)


def _dynamic(reader: Reader, word: Word, access: Access, program: str) -> None:
    prefix = word.prefix
    for mark in ("=", "@", ":"):
        if mark in prefix and word.dynamic != "glob":
            prefix = prefix.rpartition(mark)[2]
            word = Word(None, word.raw, word.dynamic, prefix)
    reader.opens(word, access, program)


def _pattern_first(reader: Reader, call: Call) -> None:
    """The first operand is a pattern or a program, unless an option brought it."""
    program = call.program
    operands: list[Word] = []
    options: list[tuple[str, Word | None]] = []
    wrapper = _PATTERN_FIRST[program]
    rest = _without_variables(reader, call) if wrapper is _PATTERN_FIRST["jq"] else call.operands
    while rest:
        peeled = peel(wrapper, rest)
        options += peeled.options
        if not peeled.command:
            break
        operands.append(peeled.command[0])
        rest = peeled.command[1:]
    names = {name for name, _ in options}
    brought = names & {"e", "f", "regexp", "file", "expression", "from-file", "files", "source"}
    for name, value in options:
        if name in ("f", "file", "from-file", "exclude-from", "ignore-file") and value is not None:
            reader.opens(value, Access.READ, program)
    inplace = program in ("sed", "gsed") and names & {"i", "in-place"}
    recursive = wrapper is _PATTERN_FIRST["grep"] and names & _BELOW
    here = [Word(".", ".")] if recursive else []
    for word in (operands if brought else operands[1:]) or here:
        _one(reader, call, word, Access.READ)
        if inplace:
            _one(reader, call, word, Access.WRITE)
    _more(reader, call)


def _yq(reader: Reader, call: Call) -> None:
    """`load("file")` and its kind stand in the program."""
    _pattern_first(reader, call)
    for word in call.operands:
        if re.search(r"\bload(?:_\w+)?\s*\(", text_of(word)):
            for path in re.findall(r"\"([^\"]*)\"", text_of(word)) or [""]:
                reader.opens(
                    Word(path, path) if path else Word(None, "", "input"), Access.READ, "yq"
                )


def _getent(reader: Reader, call: Call) -> None:
    """Its databases are files of /etc."""
    for word in call.operands:
        if text_of(word) in ("shadow", "gshadow"):
            reader.opens_text(f"/etc/{text_of(word)}", Access.READ, "getent")


def _without_variables(reader: Reader, call: Call) -> list[Word]:
    """What jq is given without `--arg NAME VALUE` and its kind, of which two name a file."""
    kept: list[Word] = []
    words = iter(call.operands)
    for word in words:
        if word.text not in _JQ_VARIABLES:
            kept.append(word)
            continue
        next(words, None)
        value = next(words, None)
        if value is not None and word.text in ("--slurpfile", "--rawfile"):
            _one(reader, call, value, Access.READ)
    return kept


def _transfer(reader: Reader, call: Call) -> None:
    """Sources of rsync and scp are read, the last operand is written, and what is below it."""
    files = [word for word in call.operands if not text_of(word).startswith("-")]
    for word in call.operands if len(files) < 2 else call.operands[:-1]:
        _one(reader, call, word, Access.READ)
    if len(files) > 1:
        reader.opens(files[-1], Access.WRITE, call.program)
        reader.opens(files[-1], Access.WRITE, f"{call.program} -r")
        for source in files[:-1]:
            name = text_of(source).rstrip("/").rpartition("/")[2].rpartition(":")[2]
            if name and source.text is not None and files[-1].text is not None:
                reader.opens_text(f"{files[-1].text}/{name}", Access.WRITE, call.program)
    _more(reader, call)


def _dd(reader: Reader, call: Call) -> None:
    for word in call.operands:
        text = word.text if word.text is not None else word.prefix
        name, equals, value = text.partition("=")
        if word.text is None and not equals:
            reader.opens(word, Access.READ, "dd")
        if name in ("if", "of"):
            access = Access.READ if name == "if" else Access.WRITE
            known = (
                Word(value, value)
                if word.text is not None
                else Word(None, word.raw, word.dynamic, value)
            )
            reader.opens(known, access, "dd")


def _date(reader: Reader, call: Call) -> None:
    """`-f` and `-r` name files."""
    words = call.operands
    for word, following in zip(words, [*words[1:], None], strict=False):
        text = text_of(word)
        if re.match(r"-[a-zA-Z]*[fr]$|--(file|reference)$", text) and following:
            reader.opens(following, Access.READ, "date")
        elif re.match(r"-[fr].|--(file|reference)=", text):
            reader.opens_text(re.sub(r"^-[fr]|^--\w+=", "", text), Access.READ, "date")


def _git(reader: Reader, call: Call) -> None:
    """Only `--no-index`, `-F`, `--file` and the like read files outside the repository."""
    texts = [text_of(word) for word in call.operands]
    message = False
    for word, text in zip(call.operands, texts, strict=True):
        skipped = message
        message = bool(re.fullmatch(r"-[a-zA-Z]*m|--message|--grep|--author|-S|-G|-L", text))
        if skipped or re.match(r"--?(message|grep|author|m)\b", text):
            continue
        if "/" in text or ("commit" not in texts and "log" not in texts):
            _one(reader, call, word, Access.READ)


def _mount(reader: Reader, call: Call) -> None:
    """A mount gives all that lies below a directory, or within a file, another name."""
    operands = [word for word in call.operands if text_of(word)[:1] != "-"]
    for word in call.operands:
        for piece in re.split(r"[=:,]", text_of(word))[1:]:
            if piece.startswith(("/", "~", ".")) and re.search("dir=|source=|src=", text_of(word)):
                reader.opens_text(piece, Access.READ, call.program)
    for word in operands[:-1] if call.program == "mount" else operands:
        if not text_of(word).startswith(("/dev/", "//")) or call.program != "mount":
            reader.opens(word, Access.READ, call.program)


def _nothing(reader: Reader, call: Call) -> None:
    """Nothing is opened that the line names."""


_SPECIAL: Final = {
    **dict.fromkeys(_COPIERS, copies.copy),
    **dict.fromkeys(("rsync", "scp"), _transfer),
    "dd": _dd,
    "yq": _yq,
    "getent": _getent,
    "curl": transfers.curl,
    "wget": transfers.wget,
    "date": _date,
    "git": _git,
    **dict.fromkeys(("mount", "losetup", "bindfs", "fuse-overlayfs", "unionfs"), _mount),
    "true": _nothing,
    "false": _nothing,
}
