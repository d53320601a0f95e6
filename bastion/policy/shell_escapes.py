"""Options and operands with which ordinary programs run others, or load code, or wait for keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bastion.policy import shell_git, shell_launch, shell_remote, shell_shells
from bastion.policy.facts import Access, OpaqueKind
from bastion.policy.shell_options import option_values
from bastion.policy.shell_state import Call, Reader, literal, names, text_of
from bastion.policy.shell_wrappers import Wrapper, peel

_EDITORS: Final = names(
    """
    vim vi view nvim rvim rview vimdiff gvim evim ex vim.tiny vim.basic nvi elvis emacs
    emacsclient nano pico joe jed mcedit micro kak hx helix ed red ne mg zile crontab-edit vipw
    vigr visudo sudoedit editor sensible-editor select-editor
    """
)
_PAGERS: Final = names(
    "less more most pg lv man pinfo info sensible-pager pager zless zmore bzless xzless"
)
_INTERACTIVE: Final = names(
    """
    gdb lldb mc ranger nnn lf vifm ncdu ftp sftp lftp ncftp telnet rlogin rsh mosh minicom
    picocom cu tip mutt mail mailx alpine pine elm irssi weechat w3m lynx links elinks tclsh
    wish dc fzf gnuplot debugfs fdisk gdisk cfdisk parted sfdisk aptitude dselect iftop atop
    htop nmtui whiptail dialog zsh-newuser-install loginctl-attach machinectl virsh msfconsole
    scanmem crash volatility rtorrent mysqlsh pgcli mycli litecli redis-shell ranger byobu login
    su-shell agetty getty openvt ptpython bpython radare2 r2 tshark-shell xdg-user-dir
    run-mailcap see edit compose nsupdate smbclient rpcclient sqlplus gimp scrot zathura slsh
    ginsh ispell aspell talk write-shell expect-shell
    """
)
_BUILDERS: Final = names(
    """
    make gmake bmake pmake ninja cmake ctest meson scons waf bazel rake just task tup ant mvn
    gradle gradlew sbt lein tox nox pytest cabal stack mix rebar3 bundler composer vagrant
    packer puppet chef-client chef-solo salt-call ansible-playbook ansible ansible-pull
    ansible-test cloud-init easy_install pipx poetry pipenv npx yarn pnpm bunx latex pdflatex
    xelatex lualatex luatex pdftex tex xetex latexmk run-parts anacron batch atd ssh-copy-id
    mandb msgfilter cpan cpanm gem-exec debuild dpkg-buildpackage rpmbuild rpmspec pre-commit
    husky watchman nodemon supervisord pm2 forever foreman overmind goreman honcho invoke fab
    dbx gtester ghostscript gs pexec pdsh pssh clush salt knife cdist rundeck capistrano cap
    installkernel update-initramfs kernel-install
    """
)

_RUN_OPTION: Final[dict[str, tuple[str, ...]]] = {
    # Options whose value is a command line.
    "tar": (
        "--to-command",
        "--use-compress-program",
        "--info-script",
        "--new-volume-script",
        "--rsh-command",
        "--rmt-command",
        "-I",
        "-F",
    ),
    "bsdtar": ("--use-compress-program",),
    "cpio": ("--rsh-command", "--rmt-command"),
    "sort": ("--compress-program",),
    "rg": ("--pre", "--hostname-bin"),
    "ag": ("--pager",),
    "man": ("-P", "--pager", "-H", "--html", "-T"),
    "rsync": ("-e", "--rsh", "--rsync-path"),
    "scp": ("-S",),
    "sftp": ("-S", "-D"),
    "tcpdump": ("-z",),
    "split": ("--filter",),
    "csplit": (),
    "nc": ("-e", "-c", "--exec", "--sh-exec"),
    "ncat": ("-e", "-c", "--exec", "--sh-exec", "--lua-exec"),
    "netcat": ("-e", "-c"),
    "nc.traditional": ("-e", "-c"),
    "dmsetup": ("--exec",),
    "gcc": ("-wrapper",),
    "cc": ("-wrapper",),
    "g++": ("-wrapper",),
    "c99": ("-wrapper",),
    "c89": ("-wrapper",),
    "zip": ("-TT", "--unzip-command"),
    "wget": ("--use-askpass",),
    "pax": (),
    "ctags": (),
    "watchexec": (),
    "git-shell": (),
    "bconsole": (),
    "logrotate": (),
    "wc": (),
    "ionice": (),
    "pg_dump": (),
    "vlc": (),
    "nsexec": ("-c",),
    "systemd-resolve": (),
    "sar": (),
    "xterm": ("-e",),
    "uxterm": ("-e",),
    "konsole": ("-e",),
    "gnome-terminal": ("-e",),
    "urxvt": ("-e",),
    "rxvt": ("-e",),
    "x-terminal-emulator": ("-e",),
    "alacritty": ("-e",),
    "kitty": ("-e",),
    "mysqldump": (),
    "chromium": ("--renderer-cmd-prefix",),
    "7z": (),
    "svn": ("--diff-cmd", "--diff3-cmd", "--editor-cmd"),
    "hg": (),
    "cvs": ("-e",),
    "mtr": (),
    "distccd": (),
    "lessecho": (),
    "inotifywait": (),
    "incron": (),
    "crm": (),
    "nix-shell": ("--run", "--command"),
    "guix": (),
    "direnv": (),
    "vagrant-ssh": ("-c",),
    "gcloud": ("--command",),
    "aws-vault": (),
    "machinectl": (),
    "proot": (),
    "lxc-attach": (),
    "pdsh": (),
    "update-alternatives": ("--install",),
    "enscript": ("-I",),
    "pandoc": ("-F", "--filter", "-L", "--lua-filter"),
    "openvpn": ("--up", "--down", "--tls-verify", "--ipchange"),
    "sshfs": ("-o",),
    "socat-run": (),
    "borg": ("--rsh",),
    "restic": ("--password-command",),
    "dbclient": (),
    "pidstat": ("-e",),
    "perf": (),
    "timedatectl": (),
    "ab": (),
    "dpkg": ("--pre-invoke", "--post-invoke", "--status-logger"),
    "pppd": ("connect", "disconnect", "pty", "init"),
    "ip": (),
    "fd": ("-x", "-X", "--exec", "--exec-batch"),
    "fdfind": ("-x", "-X", "--exec", "--exec-batch"),
    "runc": (),
    "qemu-system-x86_64": (),
    "msgfilter": (),
    "genisoimage": (),
    "fzf": ("--preview", "--bind"),
    "gtester": (),
    "iconv": (),
    "cupsfilter": (),
    "lp": (),
    "entr": (),
    "trap": (),
    "mosh": ("--server", "--client", "--ssh"),
    "mosquitto": (),
    "sshuttle": ("-e", "--ssh-cmd"),
    "duplicity": ("--ssh-options", "--rsync-options"),
    "rdiff-backup": ("--remote-schema",),
}
_LOADS_OPTION: Final[dict[str, tuple[str, ...]]] = {
    # Options whose value is a configuration or a library that may run anything.
    "apt": ("-o", "--option", "-c", "--config-file"),
    "apt-get": ("-o", "--option", "-c", "--config-file"),
    "aptitude": ("-o",),
    "apt-cache": ("-o", "-c"),
    "curl": ("-K", "--config", "--engine"),
    "wget": ("--config", "-e", "--execute"),
    "openssl": ("-engine", "-provider", "-provider-path", "-config"),
    "mysql": ("--plugin-dir", "--defaults-file", "--init-command"),
    "sqlite3": ("-init", "--init"),
    "nmap": ("--script", "--datadir", "--servicedb"),
    "sysctl": ("-w", "--write", "-p", "--system", "--load"),
    "dnf": ("--setopt", "-c"),
    "yum": ("--setopt", "-c"),
    "java": ("-javaagent", "-agentpath", "-agentlib", "-jar", "-cp", "-classpath"),
    "tmux": ("-f",),
    "screen": ("-c",),
    "gpg": ("--options", "--exec-path"),
    "readelf": (),
    "ldconfig": ("-f", "-C", "-n", "-r"),
    "pkg-config": (),
    "logrotate": ("-s", "-f"),
    "visudo": ("-f",),
    "bind9": (),
    "sendmail": ("-C", "-be"),
    "exim": ("-C", "-be", "-D"),
    "exim4": ("-C", "-be", "-D"),
    "tcpdump": (),
    "ssh-keygen": ("-D",),
    "ssh-add": ("-s",),
    "ssh-agent": ("-P",),
    "cmp": (),
    "qemu": (),
    "xmllint": (),
    "git-lfs": (),
    "gdb": ("-x", "-ex"),
    "jq": ("-L",),
    "npm": ("--script-shell",),
    "file": (),
    "nginx": ("-c", "-g"),
    "httpd": ("-f", "-c", "-C"),
    "apache2": ("-f", "-c", "-C"),
    "gimp": ("-b",),
    "dvips": (),
    "varnishd": ("-C",),
    "gcc": ("-fplugin", "-B", "-specs"),
    "ld": ("-plugin",),
    "as": (),
    "strip": (),
    "mount": (),
    "docker": (),
    "systemctl": (),
}


def read(reader: Reader, call: Call) -> None:
    """Judge a program that is no shell, wrapper or interpreter."""
    program = call.program
    own = _OWN.get(program)
    if program in _EDITORS:
        _editor(reader, call)
    elif program in _PAGERS:
        _pager(reader, call)
    elif program in _BUILDERS:
        reader.cannot_tell(OpaqueKind.SCRIPT, f"{program} runs what files tell it", program)
        _eval_options(reader, call)
    elif program in _INTERACTIVE:
        reader.cannot_tell(OpaqueKind.INTERACTIVE, f"{program} reads commands of its own", program)
        for word in call.operands:
            if word.text and re.match(r"[!:]", word.text):
                reader.read_text(word.text.lstrip(":!"), call.place.within(program))
    _run_options(reader, call)
    if own is not None:
        own(reader, call)
    if call.place.shown and call.place.terminal:
        _shows(reader, call)


def _shows(reader: Reader, call: Call) -> None:
    """Some programs start a pager when nobody else reads their output."""
    texts = [text_of(word) for word in call.operands]
    if "--no-pager" in texts:
        return
    starts = {
        "journalctl": True,
        "busctl": True,
        "systemctl": not texts,
        "dmesg": "-H" in texts or "--human" in texts,
        "loginctl": any(text.endswith("-status") for text in texts),
        "timedatectl": "list-timezones" in texts,
        "top": not any(re.match(r"-[a-zA-Z]*b", text) for text in texts),
        "git": "help" in texts[:2] or "--help" in texts,
        "apt": "changelog" in texts,
        "apt-get": "changelog" in texts,
        "aws": "help" in texts,
        "gcloud": "help" in texts,
        "bundle": "help" in texts,
        "bundler": "help" in texts,
    }.get(call.program, False)
    if starts:
        reader.cannot_tell(OpaqueKind.INTERACTIVE, f"{call.program} starts a pager", call.program)


def _local_package(reader: Reader, call: Call) -> None:
    """A package from a file runs scripts of its own."""
    texts = [text_of(word) for word in call.operands]
    installs = any(
        re.match(
            r"(-[a-zA-Z]*[iUFR]|--(install|upgrade|freshen|unpack|dangerous|devmode"
            r"|reinstall|eval|define|pipe))",
            t,
        )
        for t in texts
    )
    if (call.program in ("dpkg", "rpm", "snap") and installs) or (
        "install" in texts and any(re.search(r"\.(deb|rpm|snap|apk)$|^\.?\.?/", t) for t in texts)
    ):
        reader.cannot_tell(
            OpaqueKind.SCRIPT, f"{call.program} runs scripts of a package", " ".join(texts)
        )


def _sysctl(reader: Reader, call: Call) -> None:
    if any(
        re.search(r"core_pattern|modprobe|hotplug|poweroff_cmd|[|]", text_of(word))
        for word in call.operands
    ):
        reader.cannot_tell(OpaqueKind.ENVIRONMENT, "the kernel is told to run a program", "sysctl")


def _compiler(reader: Reader, call: Call) -> None:
    for value in option_values(call, ("-wrapper",)):
        reader.run(
            [literal(text) for text in text_of(value).split(",") if text] or [literal("gcc")],
            call.place.within(call.program),
        )


def _run_options(reader: Reader, call: Call) -> None:
    for value in option_values(call, _RUN_OPTION.get(call.program, ())):
        if value.raw == "" and value.text == "":
            continue
        if call.program == "man" and call.argv[1:2] and text_of(call.argv[1]).startswith("-T"):
            continue
        if call.program == "rsync" and _is_server(call) and _ABILITIES.fullmatch(text_of(value)):
            continue
        shell_shells.run_word(reader, replace(call, program=f"{call.program} option"), value)
    for value in option_values(call, _LOADS_OPTION.get(call.program, ())):
        reader.cannot_tell(
            OpaqueKind.ENVIRONMENT,
            f"an option of {call.program} may run or load anything",
            text_of(value),
        )


_ABILITIES: Final = re.compile(r"[0-9]*\.[0-9]*[A-Za-z]*")
"""What follows `-e` in the options of an rsync server: the client's abilities, not a program."""


def _is_server(call: Call) -> bool:
    return any(word.text == "--server" for word in call.operands)


def _eval_options(reader: Reader, call: Call) -> None:
    """Read `--eval` and the like of builders, so that a deny can match."""
    for word in call.operands:
        text = text_of(word)
        for piece in re.split(r"[=:;]", text)[1:]:
            if re.search(r"[a-z]", piece):
                reader.read_text(piece.strip(), call.place.within(call.program))
    for word in option_values(call, ("-a", "--args", "--eval", "-e", "-x")):
        reader.read_text(text_of(word), call.place.within(call.program))


# --- editors and pagers -----------------------------------------------------------------------


def _editor(reader: Reader, call: Call) -> None:
    reader.cannot_tell(OpaqueKind.INTERACTIVE, f"{call.program} can run commands", call.program)
    if call.place.feed.kind == "text":
        _bangs(reader, call, call.place.feed.text)
    for word in call.operands:
        _bangs(reader, call, text_of(word))
        _strings(reader, call, text_of(word))


def _bangs(reader: Reader, call: Call, text: str) -> None:
    """Read what follows a `!` as a command."""
    for line in text.split("\n"):
        for match in re.finditer(r"!\s*([^!].*)", line):
            command = match.group(1).split("|")[0] if "|" in match.group(1) else match.group(1)
            reader.read_text(command, call.place.within(call.program))


def _strings(reader: Reader, call: Call, text: str) -> None:
    """Read quoted strings in an editor's command (`:call system("…")`, lisp) as commands."""
    for match in re.finditer(r"['\"]([^'\"]+)['\"]", text):
        reader.read_text(match.group(1), call.place.within(call.program))
        reader.opens_text(match.group(1), Access.READ, call.program)


def _pager(reader: Reader, call: Call) -> None:
    texts = [text_of(word) for word in call.operands]
    if call.program == "man" and any(
        re.fullmatch(r"-[kfwWl]|--(where|path|apropos|whatis)", text) for text in texts
    ):
        return
    for text in texts:
        if text.startswith("+"):
            _bangs(reader, call, text)
    if call.place.shown or any(text.startswith("+") for text in texts):
        reader.cannot_tell(OpaqueKind.INTERACTIVE, f"{call.program} can run commands", call.program)
    for value in (
        option_values(
            call, ("-k", "--lesskey-file", "--lesskey-src", "--lesskey-content", "-o", "-O")
        )
        if call.program == "less"
        else ()
    ):
        reader.opens(value, Access.WRITE, "less")


# --- single programs --------------------------------------------------------------------------


def _tar(reader: Reader, call: Call) -> None:
    for word in call.operands:
        match = re.match(r"--checkpoint-a\w*-?\w*=?(.*)|^(exec=.*)", text_of(word), re.DOTALL)
        action = (match.group(1) or match.group(2) or "") if match else ""
        if word.text is None and word.prefix.startswith("--checkpoint"):
            reader.cannot_tell(OpaqueKind.CODE, "tar runs text that is not literal", word.raw)
        elif action.startswith("exec="):
            reader.read_text(action[5:], call.place.within("tar"))
    for directory in option_values(call, ("-C", "--directory")):
        shell_launch.moved(reader, directory)
    words = call.operands
    first = text_of(words[0]) if words else ""
    if re.fullmatch(r"[a-zA-Z]+", first) and "I" in first and len(words) > 1:
        reader.cannot_tell(OpaqueKind.CODE, "tar runs another program", first)


def _zip(reader: Reader, call: Call) -> None:
    """`-TT` has been read; `-T` alone runs unzip."""


def _crontab(reader: Reader, call: Call) -> None:
    texts = [text_of(word) for word in call.operands]
    if "-l" in texts:
        return
    reader.cannot_tell(
        OpaqueKind.INTERACTIVE, f"{call.program} takes commands for later", call.program
    )
    if call.place.feed.kind == "text":
        for line in call.place.feed.text.split("\n"):
            reader.read_text(
                re.sub(r"^\s*(@\w+|(\S+\s+){5})", "", line), call.place.within(call.program)
            )
            reader.read_text(line, call.place.within(call.program))
    elif call.place.feed.kind == "download":
        reader.downloaded(f"a download into {call.program}")


def _package(reader: Reader, call: Call) -> None:
    texts = [text_of(word) for word in call.operands]
    verbs = {
        "install",
        "i",
        "ci",
        "run",
        "run-script",
        "exec",
        "test",
        "start",
        "build",
        "wheel",
        "x",
        "add",
        "rebuild",
        "publish",
        "download",
        "link",
        "restart",
        "stop",
        "explore",
        "edit",
        "create",
        "init",
        "generate",
        "bench",
        "get",
        "tool",
        "update",
        "upgrade",
        "doc",
        "cert",
        "push",
        "fix",
        "vet",
    }
    found = verbs & set([text for text in texts if text[:1] != "-"][:1])
    if found or any(word.text is None for word in call.operands[:1]):
        reader.cannot_tell(
            OpaqueKind.SCRIPT,
            f"{call.program} runs code that it fetches or finds",
            " ".join(texts[:2]),
        )
        _eval_options(reader, call)
    for index, text in enumerate(texts):
        if text in ("exec", "x", "run", "-c", "--call"):
            rest = [word for word in call.operands[index + 1 :] if text_of(word) != "--"]
            if rest:
                shell_launch.start(reader, call, rest, join=len(rest) == 1)
            break


def _database(reader: Reader, call: Call) -> None:
    """A client with `-c`/`-e` text runs SQL; without, it reads commands, shell escapes too."""
    values = option_values(call, ("-c", "--command", "-e", "--execute", "--eval", "-cmd"))
    texts = [text_of(value) for value in values]
    if call.program.startswith("sqlite"):
        texts += [text_of(word) for word in call.operands[1:]]
    for text in texts:
        escape = re.search(
            r"(?:\\!|\bsystem\b|\.shell|\.system|\bprogram\b|\\g\s*\||\\o\s*\|"
            r"|\\copy.*program)\s*(.*)",
            text,
            re.IGNORECASE | re.DOTALL,
        )
        if (
            escape
            or any(value.text is None for value in values)
            or re.search(r"load_extension|\.(load|import|output|once|read|open|edit)", text)
        ):
            reader.cannot_tell(OpaqueKind.CODE, f"{call.program} may leave SQL here", text)
            if escape:
                reader.read_text(escape.group(1).strip(" '\";"), call.place.within(call.program))
    if not texts and not any(
        re.fullmatch(r"-l|--list|--version|-V", text_of(word)) for word in call.operands
    ):
        if call.place.feed.kind == "text" and not re.search(
            r"\\|system|^\.", call.place.feed.text, re.IGNORECASE | re.MULTILINE
        ):
            return
        reader.cannot_tell(
            OpaqueKind.INTERACTIVE, f"{call.program} reads commands of its own", call.program
        )
        if call.place.feed.kind == "text":
            _bangs(reader, call, call.place.feed.text)


def _gdb(reader: Reader, call: Call) -> None:
    for value in option_values(call, ("-ex", "-iex", "--eval-command", "--ex")):
        text = re.sub(r"^\s*(shell|!|python|call)\s*", "", text_of(value))
        reader.read_text(text, call.place.within("gdb"))
    for index, word in enumerate(call.operands):
        if text_of(word) in ("--args", "-args"):
            shell_launch.start(reader, call, call.operands[index + 1 :])


def _socat(reader: Reader, call: Call) -> None:
    for word in call.operands:
        match = re.match(r"(?:exec|system|shell):(.*)", text_of(word), re.IGNORECASE | re.DOTALL)
        if word.text is None and not word.prefix:
            reader.cannot_tell(OpaqueKind.CODE, "socat may run a program", word.raw)
        elif match:
            reader.cannot_tell(
                OpaqueKind.CODE, "socat gives a program to the network", text_of(word)
            )
            reader.read_text(
                re.split(r",(?=\w+(?:=|,|$))", match.group(1))[0].strip("'\""),
                call.place.within("socat"),
            )


def _openssl(reader: Reader, call: Call) -> None:
    if (
        call.operands
        and text_of(call.operands[0]) in ("engine", "speed")
        and len(call.operands) > 1
    ):
        reader.cannot_tell(OpaqueKind.CODE, "openssl loads a library", text_of(call.operands[1]))
    if not call.operands:
        reader.cannot_tell(OpaqueKind.INTERACTIVE, "openssl reads commands of its own", "openssl")


def _scp(reader: Reader, call: Call) -> None:
    if any(text_of(word) in ("--server", "--sender", "-t", "-f") for word in call.operands):
        return
    for value in option_values(call, ("-o",)):
        shell_remote.ssh_setting(reader, call, value)
    for value in option_values(call, ("-F",)):
        reader.cannot_tell(
            OpaqueKind.ENVIRONMENT, f"{call.program} is given a configuration", text_of(value)
        )


def _service(reader: Reader, call: Call) -> None:
    texts = [text_of(word) for word in call.operands]
    if {
        "edit",
        "link",
        "set-environment",
        "import-environment",
        "enable-edit",
        "switch-root",
    } & set(texts):
        reader.cannot_tell(
            OpaqueKind.ENVIRONMENT, "systemctl changes what services run", " ".join(texts[:2])
        )
    for word in call.operands[:1]:
        if "/" in text_of(word):
            reader.cannot_tell(OpaqueKind.SCRIPT, f"{call.program} runs a file", text_of(word))
            reader.run(
                [literal(text_of(word)), *call.operands[1:]], call.place.within(call.program)
            )


def _loads_operand(reader: Reader, call: Call) -> None:
    if call.operands:
        reader.cannot_tell(
            OpaqueKind.CODE, f"{call.program} loads or runs code", text_of(call.operands[0])
        )


def _kube(reader: Reader, call: Call) -> None:
    if call.operands and text_of(call.operands[0]) == "edit":
        reader.cannot_tell(OpaqueKind.INTERACTIVE, "kubectl edit starts an editor", "")


def _fd(reader: Reader, call: Call) -> None:
    for index, word in enumerate(call.operands):
        if text_of(word) in ("-x", "-X", "--exec", "--exec-batch"):
            rest = call.operands[index + 1 :]
            end = next((i for i, w in enumerate(rest) if w.text == ";"), len(rest))
            shell_launch.start(reader, call, rest[:end], extra=True)


def _debugfs(reader: Reader, call: Call) -> None:
    for value in option_values(call, ("-R",)):
        reader.opens_text(
            text_of(value).split()[-1] if text_of(value).split() else "", Access.READ, call.program
        )


def _build(reader: Reader, call: Call) -> None:
    _eval_options(reader, call)


def _lxc(reader: Reader, call: Call) -> None:
    for index, word in enumerate(call.operands):
        if text_of(word) == "--":
            shell_launch.start(reader, call, call.operands[index + 1 :])
            return
    reader.cannot_tell(OpaqueKind.INTERACTIVE, f"{call.program} starts a shell", call.program)


def _dash_dash(reader: Reader, call: Call) -> None:
    """`program … -- command`, `program exec … command`: read what stands after."""
    texts = [text_of(word) for word in call.operands]
    for mark in ("--", "exec", "run", "stat", "record", "trace", "ssh"):
        if mark in texts:
            rest = call.operands[texts.index(mark) + 1 :]
            rest = peel(Wrapper("eopFgdu", "agvqnT"), rest).command
            if rest:
                reader.cannot_tell(OpaqueKind.CODE, f"{call.program} runs a command", call.program)
                shell_launch.start(reader, call, rest)
            return


_OWN: Final[dict[str, Callable[[Reader, Call], None]]] = {
    "git": shell_git.git,
    "tar": _tar,
    "gtar": _tar,
    "bsdtar": _tar,
    "zip": _zip,
    "crontab": _crontab,
    "at": _crontab,
    **dict.fromkeys(
        (
            "npm",
            "pip",
            "pip3",
            "gem",
            "bundle",
            "go",
            "cargo",
            "brew-run",
            "uv",
            "conda",
            "mamba",
            "rustup",
            "dotnet",
        ),
        _package,
    ),
    **dict.fromkeys(
        ("psql", "mysql", "mariadb", "sqlite3", "sqlite", "mongosh", "mongo", "clickhouse-client"),
        _database,
    ),
    "sysctl": _sysctl,
    **dict.fromkeys(("gcc", "cc", "g++", "c99", "c89"), _compiler),
    **dict.fromkeys(("dpkg", "rpm", "snap", "apt", "apt-get", "yum", "dnf"), _local_package),
    "gdb": _gdb,
    "lldb": _gdb,
    "socat": _socat,
    "openssl": _openssl,
    "scp": _scp,
    "sftp": _scp,
    "rsync": _scp,
    "systemctl": _service,
    "service": _service,
    "insmod": _loads_operand,
    "kexec": _loads_operand,
    "rundll": _loads_operand,
    "fd": _fd,
    "fdfind": _fd,
    "debugfs": _debugfs,
    "lxc-attach": _lxc,
    "perf": _dash_dash,
    "aws-vault": _dash_dash,
    "direnv": _dash_dash,
    "vagrant": _dash_dash,
    "machinectl": _dash_dash,
    "nix": _dash_dash,
    "poetry": _dash_dash,
    "pipenv": _dash_dash,
    "rvm": _dash_dash,
    "virtualenv": _loads_operand,
    "ip": _dash_dash,
}
