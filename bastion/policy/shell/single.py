"""Single programs of which some options or operands run others."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bastion.policy.facts import Access, OpaqueKind
from bastion.policy.shell import clouds, databases, git, launch, remote, services, shells
from bastion.policy.shell.options import option_values
from bastion.policy.shell.peeling import Wrapper, peel
from bastion.policy.shell.state import Call, Reader, literal, names, normalise, text_of


def _local_package(reader: Reader, call: Call) -> None:
    """A package from a file runs scripts of its own."""
    texts = [text_of(word) for word in call.operands]
    installs = any(
        re.match(
            r"(-[a-zA-Z]*[iUFR]|--(install|upgrade|freshen|unpack|dangerous|devmode|reinstall))", t
        )
        for t in texts
    )
    asks = call.program == "rpm" and any(
        re.match(r"-[a-zA-Z]*[qVK]|--(query|verify|checksig|showrc)", text) for text in texts
    )
    if (call.program in ("dpkg", "rpm", "snap") and installs and not asks) or (
        {"install", "localinstall"} & set(texts)
        and any(re.search(r"\.(deb|rpm|snap|apk)$|^\.?\.?/", t) for t in texts)
    ):
        reader.cannot_tell(
            OpaqueKind.SCRIPT, f"{call.program} runs scripts of a package", " ".join(texts)
        )
    if call.program == "rpm":
        _rpm(reader, call)


_PLAIN_MACRO: Final = re.compile(r"(?:[\w\s?!./-]|%\{[?!]*\w+\}|%[?!]*\w+|%%)*")


def _rpm(reader: Reader, call: Call) -> None:
    """rpm expands macros, which run commands (`%(…)`) and Lua, in every phase of its work."""
    for value in option_values(call, ("-E", "--eval", "-D", "--define")):
        if value.text is None or not _PLAIN_MACRO.fullmatch(value.text):
            reader.cannot_tell(OpaqueKind.CODE, "rpm expands a macro that may run", value.raw)
            for command in re.findall(r"%\((.*)\)", text_of(value), re.DOTALL):
                reader.read_text(command, call.place.within("rpm"))
    for value in option_values(call, ("--load", "--macros", "--rcfile", "--root", "--dbpath")):
        reader.cannot_tell(OpaqueKind.ENVIRONMENT, "rpm loads what may run anything", value.raw)
    for value in option_values(call, ("--pipe",)):
        shells.run_word(reader, call, value)


def _logrotate(reader: Reader, call: Call) -> None:
    """What a configuration holds is run; the system's own is run each day anyhow."""
    for value in option_values(call, ("-m", "--mail")):
        shells.run_word(reader, call, value)
    for value in option_values(call, ("-l", "--log")):
        if text_of(value).startswith("|"):
            shells.run_word(reader, call, literal(text_of(value)[1:]))
    texts = [text_of(word) for word in call.operands]
    tries = any(re.fullmatch(r"-[a-zA-Z]*d[a-zA-Z]*|--debug", text) for text in texts)
    for word in call.operands:
        if text_of(word)[:1] != "-" and not tries:
            path = normalise(text_of(word))
            if word.text is None or not re.match(r"/etc/logrotate\.(conf$|d/)", path):
                reader.cannot_tell(OpaqueKind.SCRIPT, "logrotate runs what a file tells it", path)


def _alternatives(reader: Reader, call: Call) -> None:
    """They decide which program a name means from now on."""
    texts = [text_of(word) for word in call.operands]
    for verb in ("--install", "--config", "--all", "--add-slave"):
        if verb in texts:
            reader.cannot_tell(
                OpaqueKind.ENVIRONMENT, f"{call.program} {verb} changes what a name means", verb
            )
    if "--set" in texts and texts.index("--set") + 2 < len(texts):
        path = texts[texts.index("--set") + 2]
        if not re.match(r"/usr/|/bin/|/sbin/|/lib", normalise(path)):
            reader.cannot_tell(
                OpaqueKind.ENVIRONMENT, f"{call.program} changes what a name means", path
            )
    for index, text in enumerate(texts):
        if text in ("--install", "--slave", "--add-slave") and index + 1 < len(texts):
            reader.opens_text(texts[index + 1], Access.WRITE, call.program)


def _sysctl(reader: Reader, call: Call) -> None:
    if any(
        re.search(r"=|core_pattern|modprobe|hotplug|poweroff_cmd|[|]", text_of(word))
        for word in call.operands
    ):
        reader.cannot_tell(OpaqueKind.ENVIRONMENT, "the kernel is told to run a program", "sysctl")


def _compiler(reader: Reader, call: Call) -> None:
    for value in option_values(call, ("-wrapper",)):
        reader.run(
            [literal(text) for text in text_of(value).split(",") if text] or [literal("gcc")],
            call.place.within(call.program),
        )


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
        launch.moved(reader, directory)
    words = call.operands
    first = text_of(words[0]) if words else ""
    if re.fullmatch(r"[a-zA-Z]+", first) and "I" in first and len(words) > 1:
        reader.cannot_tell(OpaqueKind.CODE, "tar runs another program", first)


def _zip(reader: Reader, call: Call) -> None:
    """`-TT command` has been read, `-TTcommand` is here; `-T` alone runs unzip."""
    for word in call.operands:
        known = word.text if word.text is not None else word.prefix
        if known.startswith("-TT") and len(known) > len("-TT"):
            shells.run_word(reader, call, replace(word, text=word.text and word.text[3:]))


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


_PACKAGE_VERBS: Final = names(
    """
    install i ci run run-script exec test start build wheel x add rebuild publish download link
    restart stop explore edit create init generate bench get tool update upgrade doc cert push
    fix vet watch nextest flamegraph make script xtask tarpaulin llvm-cov miri open
    """
)
"""Verbs with which package managers run code that they fetch or find."""


def _package(reader: Reader, call: Call) -> None:
    texts = [text_of(word) for word in call.operands]
    plain = [text for text in texts if text[:1] != "-"]
    # An option in front may take the first of them as its value: `npm --prefix DIR run`.
    found = _PACKAGE_VERBS & set(plain[: 2 if texts[:1] != plain[:1] else 1])
    found |= {"edit", "open"} & set(plain[:2])
    if found or any(word.text is None for word in call.operands[:1]):
        reader.cannot_tell(
            OpaqueKind.SCRIPT,
            f"{call.program} runs code that it fetches or finds",
            " ".join(texts[:2]),
        )
        read_eval_options(reader, call)
    if "watch" in texts:
        for value in option_values(call, ("-s", "--shell")):
            shells.run_word(reader, call, value)
        if "--" in texts:
            launch.start(reader, call, call.operands[texts.index("--") + 1 :])
    for index, text in enumerate(texts):
        if text in ("exec", "x", "run", "-c", "--call"):
            rest = [word for word in call.operands[index + 1 :] if text_of(word) != "--"]
            if rest:
                launch.start(reader, call, rest, join=len(rest) == 1)
            break


def _gdb(reader: Reader, call: Call) -> None:
    for value in option_values(call, ("-ex", "-iex", "--eval-command", "--ex")):
        text = re.sub(r"^\s*(shell|!|python|call)\s*", "", text_of(value))
        reader.read_text(text, call.place.within("gdb"))
    for index, word in enumerate(call.operands):
        if text_of(word) in ("--args", "-args"):
            launch.start(reader, call, call.operands[index + 1 :])


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
        remote.ssh_setting(reader, call, value)
    for value in option_values(call, ("-F",)):
        reader.cannot_tell(
            OpaqueKind.ENVIRONMENT, f"{call.program} is given a configuration", text_of(value)
        )


def _loads_operand(reader: Reader, call: Call) -> None:
    if call.operands:
        reader.cannot_tell(
            OpaqueKind.CODE, f"{call.program} loads or runs code", text_of(call.operands[0])
        )


def _fd(reader: Reader, call: Call) -> None:
    for index, word in enumerate(call.operands):
        if text_of(word) in ("-x", "-X", "--exec", "--exec-batch"):
            rest = call.operands[index + 1 :]
            end = next((i for i, w in enumerate(rest) if w.text == ";"), len(rest))
            launch.start(reader, call, rest[:end], extra=True)


def _debugfs(reader: Reader, call: Call) -> None:
    for value in option_values(call, ("-R",)):
        reader.opens_text(
            text_of(value).split()[-1] if text_of(value).split() else "", Access.READ, call.program
        )


def _build(reader: Reader, call: Call) -> None:
    read_eval_options(reader, call)


def _lxc(reader: Reader, call: Call) -> None:
    for index, word in enumerate(call.operands):
        if text_of(word) == "--":
            launch.start(reader, call, call.operands[index + 1 :])
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
                launch.start(reader, call, rest)
            return


def read_bangs(reader: Reader, call: Call, text: str) -> None:
    """Read what follows a `!` as a command."""
    for line in text.split("\n"):
        for match in re.finditer(r"!\s*([^!].*)", line):
            command = match.group(1).split("|")[0] if "|" in match.group(1) else match.group(1)
            reader.read_text(command, call.place.within(call.program))


def read_eval_options(reader: Reader, call: Call) -> None:
    """Read `--eval` and the like of builders, so that a deny can match."""
    for word in call.operands:
        text = text_of(word)
        for piece in re.split(r"[=:;]", text)[1:]:
            if re.search(r"[a-z]", piece):
                reader.read_text(piece.strip(), call.place.within(call.program))
    for word in option_values(call, ("-a", "--args", "--eval", "-e", "-x")):
        reader.read_text(text_of(word), call.place.within(call.program))


SINGLE: Final[dict[str, Callable[[Reader, Call], None]]] = {
    "git": git.git,
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
        databases.database,
    ),
    "redis-cli": databases.redis,
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
    "systemctl": services.service,
    "service": services.service,
    "logrotate": _logrotate,
    **dict.fromkeys(("update-alternatives", "alternatives"), _alternatives),
    **dict.fromkeys(("gcloud", "aws", "az", "oci", "doctl", "ibmcloud"), clouds.cloud),
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
