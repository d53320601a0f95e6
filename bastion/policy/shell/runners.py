"""Programs with a verb of their own that starts a command: `uv run`, `runc exec`, `srun`, …"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bastion.policy.facts import OpaqueKind
from bastion.policy.shell import launch, remote, shells
from bastion.policy.shell.options import option_values
from bastion.policy.shell.peeling import Wrapper, peel
from bastion.policy.shell.state import Call, Reader, literal, names, text_of


@dataclass(frozen=True, slots=True)
class Runner:
    """`verbs`: the command begins behind one of them (behind the program, where there is none).

    `values`, `long_values`: options that take the next word. `texts`: options whose value is
    the command. `positionals`: words between the verb and the command.
    """

    verbs: frozenset[str] = frozenset()
    positionals: int = 0
    values: str = ""
    long_values: str = ""
    texts: tuple[str, ...] = ()
    go: bool = False
    """Its options are those of Go's own flag package."""
    flags: str = ""
    """Long options without a value, where `go`: without them the next word counts as the value."""
    joined: bool = False
    """A shell runs the words, joined."""
    bare: frozenset[str] = frozenset()
    """Verbs behind which no positionals stand."""


_VERSIONS: Final = Runner(names("exec"))
_ENVIRONMENT: Final = Runner(names("run exec"), 0, "pnECf", "name prefix env python with group")
_JOBS: Final = Runner(
    frozenset(),
    0,
    "nNcptAwxJqoeiDmGHLPf",
    "ntasks nodes np host hostfile machinefile partition account time nodelist job-name output "
    "error input chdir mem cpus-per-task gres map-by bind-to mca wdir",
)
RUNNERS: Final[dict[str, Runner]] = {
    **dict.fromkeys(("pyenv", "rbenv", "nodenv", "plenv", "goenv", "jenv"), _VERSIONS),
    "nvm": Runner(names("exec run"), 1),
    "asdf": Runner(names("exec")),
    **dict.fromkeys(
        ("mise", "rtx"), Runner(names("exec x"), 1, "c", "command", ("-c", "--command"))
    ),
    **dict.fromkeys(("pdm", "hatch", "rye", "pixi", "micromamba", "doppler", "op"), _ENVIRONMENT),
    "chamber": Runner(names("exec"), 1),
    "envconsul": Runner(frozenset(), 0, "", "config prefix secret"),
    "consul-template": Runner(frozenset(), 0, "", "config", ("-exec",)),
    "consul": Runner(
        names("exec lock watch"),
        1,
        "",
        "name n service node tag prefix wait wait-repl type key token http-addr datacenter "
        "namespace partition ca-file ca-path client-cert client-key tls-server-name "
        "monitor-retry timeout child-exit-code args state event query passingonly stale",
        go=True,
        flags="verbose try shell pass-stdin pass-stdin=true stale",
        joined=True,
        bare=names("exec watch"),
    ),
    "etcdctl": Runner(names("lock watch elect"), 1),
    "boundary": Runner(names("connect"), 1),
    "heroku": Runner(names("run run:detached"), 0, "as", "app size env remote"),
    **dict.fromkeys(
        ("fly", "flyctl"), Runner(names("console"), 9, "a", "app", ("-C", "--command"))
    ),
    "cf": Runner(names("ssh"), 9, "", "", ("-c", "--command")),
    "eb": Runner(names("ssh"), 9, "", "", ("-c", "--command")),
    **dict.fromkeys(
        ("tsh", "docker-machine", "minikube", "limactl", "colima"),
        Runner(names("ssh shell"), 1, "pnl", "profile node proxy login"),
    ),
    "multipass": Runner(names("exec"), 1),
    "wsl": Runner(frozenset(), 0, "du", "distribution user", ("-e", "--exec")),
    "toolbox": Runner(names("run"), 0, "cdr", "container distro release"),
    "distrobox": Runner(names("enter"), 1, "n", "name"),
    "distrobox-host-exec": Runner(),
    "flatpak-spawn": Runner(),
    "flatpak": Runner(names("run"), 9, "", "", ("--command",)),
    "arch-chroot": Runner(frozenset(), 1, "u"),
    "schroot": Runner(frozenset(), 0, "cdu", "chroot directory user shell"),
    "buildah": Runner(
        names("run unshare"), 1, "v", "user volume workingdir mount", bare=names("unshare")
    ),
    **dict.fromkeys(("runc", "crun", "runsc"), Runner(names("exec"), 1, "ecpu", "env cwd user")),
    "enroot": Runner(names("exec start"), 1, "emc", "env mount conf"),
    "singularity": Runner(names("exec run"), 1, "B", "bind env home"),
    "ch-run": Runner(frozenset(), 1, "b"),
    "lxc-usernsexec": Runner(frozenset(), 0, "m"),
    "rootlesskit": Runner(frozenset(), 0, "", "net state-dir"),
    **dict.fromkeys(("srun", "mpirun", "mpiexec", "aprun", "salloc"), _JOBS),
    "sbatch": Runner(frozenset(), 9, "", "", ("--wrap",)),
    "watchexec": Runner(frozenset(), 0, "wefidsn", "watch exts filter ignore delay signal shell"),
    "reflex": Runner(frozenset(), 0, "rgRG", "regex glob"),
    "when-changed": Runner(frozenset(), 1),
    "inoticoming": Runner(frozenset(), 1, "", "logfile pid-file suffix prefix chdir regexp"),
    **dict.fromkeys(("guix", "flox", "devbox"), Runner(names("environment shell run activate"), 9)),
    "pee": Runner(frozenset(), 9),
    "knife": Runner(names("ssh"), 1),
    "parallel-ssh": Runner(frozenset(), 0, "hHluptoeOA", "hosts host user par timeout"),
    "parallel-rsync": Runner(frozenset(), 9),
}


def run(reader: Reader, call: Call) -> None:
    """Read what such a program starts."""
    runner = RUNNERS[call.program]
    for value in option_values(call, runner.texts):
        shells.run_word(reader, call, value)
    texts = [text_of(word) for word in call.operands]
    at = next((i for i, text in enumerate(texts) if text in runner.verbs), None)
    if runner.verbs and at is None:
        return
    words = call.operands[0 if at is None else at + 1 :]
    if call.program == "pee":
        for word in words:
            shells.run_word(reader, call, word)
        return
    dashes = next((i for i, word in enumerate(words) if word.text == "--"), None)
    if dashes is not None:
        launch.start(reader, call, words[dashes + 1 :])
        return
    verb = "" if at is None else texts[at]
    positionals = 0 if verb in runner.bare else runner.positionals
    if positionals > len(words):
        return
    table = Wrapper(
        runner.values, "", runner.long_values, runner.flags, positionals=positionals, go=runner.go
    )
    launch.start(reader, call, peel(table, words).command, join=runner.joined)


def kubectl(reader: Reader, call: Call) -> None:
    """Read `k3s kubectl …`, `minikube kubectl -- …`: kubectl by another name."""
    texts = [text_of(word) for word in call.operands]
    if "kubectl" in texts:
        rest = call.operands[texts.index("kubectl") :]
        launch.start(reader, call, [rest[0], *(word for word in rest[1:] if word.text != "--")])
    elif call.program == "minikube":
        run(reader, call)
    else:
        remote.container(reader, call)


def another_kubectl(reader: Reader, call: Call) -> None:
    """Read `microk8s.kubectl …`."""
    launch.start(reader, call, [literal("kubectl"), *call.operands])


_SSH_LIKE: Final = {
    "autossh": ("M", "f"),
    "dbclient": ("lpiLRbBcmKIJWo", "yNTtfgsuAv"),
    "plink": ("lPiLRDpwmhk", "vNTtACsx1246"),
}


def ssh_like(reader: Reader, call: Call) -> None:
    """Read what takes a host, and then a command for a shell there."""
    values, flags = _SSH_LIKE[call.program]
    if call.program == "autossh":
        values, flags = values + "bBcDeEFiIJlLmoOpPQRSwW", flags + "46AaCgGkKNnqsTtVvXxYy"
    rest = peel(Wrapper(values, flags), call.operands).command[1:]
    rest = peel(Wrapper(values, flags), rest).command if rest else []
    for value in option_values(call, ("-J", "-m") if call.program != "autossh" else ()):
        reader.cannot_tell(OpaqueKind.CODE, f"{call.program} may run this", text_of(value))
    if call.program == "autossh":
        for value in option_values(call, ("-o",)):
            remote.ssh_setting(reader, call, value)
    if rest:
        launch.start(reader, call, rest, join=True)
    elif call.operands:
        shells.run_feed(reader, call, call.place.feed)
