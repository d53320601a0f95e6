"""Programs that run commands elsewhere: on other hosts, in containers, in other terminals."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bastion.policy.facts import Access, OpaqueKind, SimpleCommand, Word
from bastion.policy.shell import clients, shells
from bastion.policy.shell.launch import start
from bastion.policy.shell.peeling import Peeled, Wrapper, peel
from bastion.policy.shell.state import Call, Reader, joined, literal, names, text_of

_SSH: Final = Wrapper("bBcDeEFiIJlLmoOpPQRSwW", "46AaCfGgKkMNnqsTtVvXxYy")


def ssh(reader: Reader, call: Call) -> None:
    """Read ssh: its words are joined and given to a shell on the other host."""
    rest, host, flags = call.operands, None, set[str]()
    while rest:
        peeled = peel(_SSH, rest)
        _ssh_options(reader, call, peeled)
        flags |= {name for name, _ in peeled.options}
        rest = peeled.command
        if host is not None or not rest:
            break
        host, rest = rest[0], rest[1:]
        if rest and text_of(rest[0])[:1] != "-":
            break
    if host is None:
        return
    if (host.text is None and host.dynamic != "tilde") or (host.text or "").startswith("-"):
        reader.cannot_tell(OpaqueKind.COMMAND, "ssh to a host that is not literal", host.raw)
    named = replace(call, program=f"ssh {text_of(host)}")
    if rest:
        _ssh_command(reader, named, rest)
    elif not flags & set("NVGQO"):
        shells.run_feed(reader, replace(call, program="ssh (a shell)"), call.place.feed)


def _ssh_command(reader: Reader, call: Call, words: list[Word]) -> None:
    for word in words if joined(words) is None else []:
        if word.text is None:
            shells.run_word(reader, call, word)
    reader.read_text(" ".join(text_of(word) for word in words), call.place.within(call.program))


_SSH_RUNS: Final = names(
    "proxycommand localcommand knownhostscommand pkcs11provider remotecommand match include "
    "securitykeyprovider xauthlocation controlpath"
)


def _ssh_options(reader: Reader, call: Call, peeled: Peeled) -> None:
    for option in peeled.unknown:
        reader.cannot_tell(OpaqueKind.COMMAND, f"an option of {call.program} is not known", option)
    for name, value in peeled.options:
        if name == "o" and value is not None:
            ssh_setting(reader, call, value)
        elif name in ("F", "I") and value is not None and value.text not in ("none", "/dev/null"):
            reader.cannot_tell(
                OpaqueKind.ENVIRONMENT, f"{call.program} is given a configuration", value.raw
            )
        elif name in ("S", "W") and call.program != "ssh" and value is not None:
            start(reader, replace(call, program=f"{call.program} -S"), [value])
        elif name in ("i", "E") and value is not None:
            reader.opens(value, Access.READ if name == "i" else Access.WRITE, call.program)


def ssh_setting(reader: Reader, call: Call, value: Word) -> None:
    """Judge one `-o Name=value`."""
    known = value.text if value.text is not None else value.prefix
    match = re.match(r"\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*)", known, re.DOTALL)
    if match is None or (value.text is None and not match.group(2) and match.end() == 0):
        reader.cannot_tell(OpaqueKind.COMMAND, "an option of ssh is not literal", value.raw)
        return
    name, setting = match.group(1).lower(), match.group(2)
    if name in _SSH_RUNS and setting.lower() != "none":
        if value.text is None:
            reader.cannot_tell(OpaqueKind.CODE, f"{name} runs text that is not literal", value.raw)
        elif name.endswith("command"):
            reader.read_text(setting, call.place.within(name))
        else:
            reader.cannot_tell(OpaqueKind.ENVIRONMENT, f"{name} loads something", value.raw)


_CONTAINER: Final = Wrapper(
    "acefhHklLmnopsuvw",
    "ditqTPRxA",
    """
    add-host annotation annotations as as-group attach blkio-weight blkio-weight-device cache-dir
    cap-add cap-drop certificate-authority cgroup-parent cgroupns cidfile client-certificate
    client-key cluster config container context copy-to cpu-count cpu-percent cpu-period cpu-quota
    cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems custom detach-keys device
    device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops dns
    dns-option dns-search domainname entrypoint env env-file expose field-manager file filename
    gpus grace-period group-add health-cmd health-interval health-retries health-start-interval
    health-start-period health-timeout host hostname image image-pull-policy index ip ip6 ipc
    isolation kubeconfig kustomize label label-file labels limits link link-local-ip log-driver
    log-level log-opt mac-address memory memory-reservation memory-swap memory-swappiness mount
    name namespace net net-alias network network-alias oom-score-adj output override-type overrides
    pid pids-limit platform pod-running-timeout port profile project-directory project-name publish
    pull request-timeout requests restart runtime security-opt server serviceaccount set-image
    shm-size stop-signal stop-timeout storage-opt sysctl target template timeout tls-server-name
    tmpfs token ulimit user userns uts volume volume-driver volumes-from workdir exec-id cwd
    """,
    "interactive tty detach privileged rm init read-only quiet quiet-pull stdin no-deps build "
    "no-TTY publish-all tls disable-content-trust no-healthcheck oom-kill-disable sig-proxy "
    "use-api-socket use-aliases service-ports arguments-only replace same-node share-processes "
    "attach expose command leave-stdin-open save-config wait force now dry-run cascade all "
    "keep-labels keep-annotations remove-orphans systemd replace rootfs it ti",
)
_NOMAD: Final = Wrapper(
    "",
    "",
    "task namespace region token address e ca-cert ca-path client-cert client-key tls-server-name",
    "i t job tty stdin tls-skip-verify no-color",
    go=True,
)
_ENGINES: Final = names(
    "docker podman kubectl oc nerdctl crictl docker-compose lxc incus nomad ctr"
)


def container(reader: Reader, call: Call) -> None:
    """Read `docker exec`, `kubectl exec` and their like."""
    words = call.operands
    if call.program == "podman" and [text_of(word) for word in words[:1]] == ["unshare"]:
        peeled = peel(Wrapper(long_flags="rootless-netns help"), words[1:])
        start(reader, replace(call, program="podman unshare"), peeled.command, bare="shell")
        return
    verb = next(
        (i for i, w in enumerate(words) if w.text in ("exec", "run", "create", "debug")), None
    )
    if any(
        word.text is None and not word.prefix for word in words[: verb if verb is not None else 1]
    ):
        reader.cannot_tell(
            OpaqueKind.COMMAND, f"what {call.program} is asked for is not literal", ""
        )
    if call.program in _CLUSTERS:
        _cluster(reader, call)
    if verb is None or any(
        word.text in ("delete", "get", "describe", "apply", "rm") for word in words[:verb]
    ):
        clients.container_files(reader, call, words)
        return
    command = _container_command(reader, call, words, verb)
    clients.container_files(reader, call, words[: len(words) - len(command)])


def _container_command(reader: Reader, call: Call, words: list[Word], verb: int) -> list[Word]:
    """Read what runs inside a container; give its words."""
    peeled = peel(_NOMAD if call.program == "nomad" else _CONTAINER, words[verb + 1 :])
    rest = peeled.command[1:]
    again = (
        peel(Wrapper("c", "itq", "container namespace", "stdin tty"), rest) if rest else Peeled()
    )
    command = again.command
    verb_text = text_of(words[verb])
    starts = verb_text in ("run", "create") and call.program in ("docker", "podman", "nerdctl")
    if starts and rest and text_of(rest[0])[:1] == "-":
        # What the image starts gets these words; it may be a shell.
        command = [literal("sh"), *rest] if "-c" in map(text_of, rest[:2]) else []
    inside = command
    for option in peeled.unknown if peeled.command and verb_text != "create" else []:
        # Whether the next word is its value, the image or the command, nobody here knows.
        reader.cannot_tell(OpaqueKind.COMMAND, f"an option of {call.program} is not known", option)
        start(reader, replace(call, program=f"{call.program} {verb_text}"), peeled.command)
        inside = []
        break
    entry = peeled.option("entrypoint")
    if entry is not None and text_of(entry):
        inside = [entry, *rest]
    health = peeled.option("health-cmd")
    if health is not None and text_of(health):
        shells.run_word(reader, replace(call, program=f"{call.program} --health-cmd"), health)
    if inside:
        start(reader, replace(call, program=f"{call.program} {verb_text}"), inside)
    elif verb_text == "exec" and peeled.command and not peeled.unknown:
        reader.cannot_tell(OpaqueKind.INTERACTIVE, f"{call.program} exec without a command", "")
    return command


_CLUSTERS: Final = names("kubectl oc")


def _cluster(reader: Reader, call: Call) -> None:
    """kubectl starts an editor, and reads the kinds of things in any case of letters."""
    texts = [text_of(word) for word in call.operands]
    if "edit" in texts:
        reader.cannot_tell(OpaqueKind.INTERACTIVE, "kubectl edit starts an editor", "edit")
    if "attach" in texts[:1]:
        reader.cannot_tell(OpaqueKind.INTERACTIVE, "kubectl attach types at a program", "attach")
    if "rsh" in texts and "--" not in texts:
        rest = peel(Wrapper("cn", "tT", "container namespace shell timeout"), call.operands).command
        rest = peel(Wrapper("cn", "tT", "container namespace shell"), rest[1:]).command[1:]
        start(reader, replace(call, program=f"{call.program} rsh"), rest, bare="shell")
    if "delete" in texts and "--" not in texts and texts != [text.lower() for text in texts]:
        lower = [
            literal(word.text.lower()) if word.text is not None else word for word in call.argv
        ]
        reader.add_command(SimpleCommand(call.program, tuple(lower), call.place.via))


def terminal(reader: Reader, call: Call) -> None:
    """Read tmux and screen: commands for new windows, keys typed into others."""
    texts = [text_of(word) for word in call.operands]
    if call.program == "screen":
        _screen(reader, call, texts)
        return
    reads = {
        "ls",
        "list-sessions",
        "has-session",
        "has",
        "list-windows",
        "lsw",
        "list-panes",
        "lsp",
        "info",
        "kill-session",
        "kill-server",
        "display-message",
        "capture-pane",
        "-V",
        "show-options",
        "show",
    }
    runs = {
        "new-session",
        "new",
        "new-window",
        "neww",
        "split-window",
        "splitw",
        "run-shell",
        "run",
        "if-shell",
        "if",
        "respawn-pane",
        "respawnp",
        "respawn-window",
        "respawnw",
        "popup",
        "display-popup",
        "pipe-pane",
        "pipep",
    }
    if any(text in reads for text in texts) and not any(text in runs for text in texts):
        return
    if any(word.text is None for word in call.operands):
        reader.cannot_tell(OpaqueKind.CODE, "tmux is given words that are not literal", "tmux")
    at = next((index for index, text in enumerate(texts) if text in runs), None)
    tail = (
        peel(Wrapper("cFnstxyel", "AdDEPXbIOhvkfaCZ"), call.operands[at + 1 :]).command
        if at is not None
        else []
    )
    text = joined(tail)
    if text:
        reader.read_text(text, call.place.within("tmux"))
    else:
        reader.cannot_tell(OpaqueKind.INTERACTIVE, "tmux starts or drives a shell", "tmux")


def _screen(reader: Reader, call: Call, texts: list[str]) -> None:
    if any(re.fullmatch(r"-(ls|list|wipe|v|version|help)", text) for text in texts):
        return
    if "exec" in texts:
        start(reader, call, call.operands[texts.index("exec") + 1 :])
        return
    peeled = peel(Wrapper("cehpsStTL", "aAdmDfinlOqrRUwxX"), call.operands)
    if peeled.command and peeled.option("X") is None:
        start(reader, call, peeled.command)
    else:
        reader.cannot_tell(OpaqueKind.INTERACTIVE, "screen starts or drives a shell", "screen")


REMOTES: Final[dict[str, Callable[[Reader, Call], None]]] = {
    **dict.fromkeys(_ENGINES, container),
    **dict.fromkeys(("ssh", "slogin"), ssh),
    **dict.fromkeys(("tmux", "screen", "tmate"), terminal),
}
