"""The demo, command by command: what is printed to be pasted is what `--check` runs and checks."""

from __future__ import annotations

import functools
import shlex
import shutil
from dataclasses import dataclass
from typing import Final

from bastion.demo.database import ROLE
from bastion.demo.scene import Scene
from bastion.demo.sshd import terminals_fail
from bastion.model import EXIT_REFUSED

SHELL: Final = (
    "Type what you like, the same rm too: a line below says what Enter will do. ctrl-D leaves."
)
NO_TERMINALS: Final = (
    "On this machine it fails: /dev/pts is mounted without gid=, so only root's sshd can give out\n"
    "terminals. Run the demo as root to try it, or send lines: echo id | ssh -T …"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One command, and what it must show."""

    title: str
    command: str
    shows: tuple[str, ...] = ()
    """Texts that stand in what it prints, on stdout or stderr."""
    status: int = 0
    note: str = ""
    """What a person has to know before pasting it."""
    login: str = ""
    """Who has to finish a login at the provider's page meanwhile."""
    beside: tuple[Step, ...] = ()
    """What is run in another terminal while this one waits."""
    needs: str = ""
    """A program that may be missing here; then the step is left out."""

    @property
    def commands(self) -> tuple[str, ...]:
        """All that is pasted for this step."""
        return (self.command, *(other.command for other in self.beside))

    @property
    def possible(self) -> bool:
        """Whether this machine has what the step needs."""
        return not self.needs or shutil.which(self.needs) is not None


def steps(scene: Scene) -> tuple[Step, ...]:
    """Every step that is possible here."""
    return tuple(step for step in every_step(scene) if step.possible)


def every_step(scene: Scene) -> tuple[Step, ...]:
    """Every step, in the order in which they build on each other."""
    return (
        *_login(scene),
        *_commands(scene),
        *_files(scene),
        *_jump(scene),
        *_database(scene),
        *_afterwards(scene),
    )


def _login(scene: Scene) -> tuple[Step, ...]:
    ssh, here = f"ssh -F {scene.directory}/ssh_config", scene.directory
    return (
        Step(
            "Log in: open the page that it shows, and be alice",
            f"{ssh} login@bastion > {here}/id_ed25519-cert.pub",
            shows=("To log in",),
            login="alice",
            note="On the page, type the code and choose alice. It writes a certificate that dies in"
            " minutes beside the demo's key.",
        ),
        Step(
            "What the certificate says",
            f"ssh-keygen -L -f {here}/id_ed25519-cert.pub",
            shows=("user certificate", "Key ID", "alice"),
        ),
        Step("The targets that are yours", f"{ssh} bastion", shows=("web1",)),
    )


def _commands(scene: Scene) -> tuple[Step, ...]:
    web1 = f"ssh -F {scene.directory}/ssh_config {scene.login}@web1@bastion"
    precious, release = f"{scene.work}/precious", f"{scene.work}/release"
    approve = f"{scene.directory}/bastion approvals"
    identifier = r"sed -n 's/^approval *\([^,]*\),.*/\1/p'"
    return (
        Step("An allowed command", f"{web1} 'id -un; uname -s'", shows=(scene.login, "Linux")),
        Step(
            "A denied command never reaches the target",
            f"{web1} 'rm -rf {precious}'",
            shows=("denied",),
            status=EXIT_REFUSED,
        ),
        Step(
            "Nor does it in other clothes",
            f"""{web1} 'cd / && env nice sh -c "\\rm -r -f {precious}"'""",
            shows=("denied",),
            status=EXIT_REFUSED,
        ),
        Step(
            "A shell of your own there, in which every line is decided",
            web1,
            note=NO_TERMINALS if terminals_fail() else SHELL,
        ),
        Step("So the file is still there", f"{web1} 'cat {precious}'", shows=("would have",)),
        Step(
            "A held command waits until somebody on call agrees",
            f"{web1} 'mkdir {release}'",
            note="It waits: run the next two in another terminal. There is one screen for it too,\n"
            f"where g agrees: {scene.directory}/bastion console",
            beside=(
                Step("What is held", f"{approve} list", shows=("mkdir", "alice")),
                Step("Agree, as bob", f'{approve} grant "$({approve} list | {identifier})"'),
            ),
        ),
    )


def _files(scene: Scene) -> tuple[Step, ...]:
    config, work = f"{scene.directory}/ssh_config", scene.work
    web1 = f"{scene.login}@web1@bastion"
    return (
        Step("Copy a file there", f"scp -F {config} {work}/notes.txt {web1}:{work}/copy.txt"),
        Step(
            "Fetch it by sftp",
            f"echo 'get {work}/copy.txt {work}/back.txt' | sftp -F {config} -b - {web1}",
            shows=("sftp>",),
        ),
        Step(
            "Or by rsync",
            f"rsync -e 'ssh -F {config}' {web1}:{work}/notes.txt {work}/synced.txt",
            needs="rsync",
        ),
        Step(
            "Or by git",
            f"git -c core.sshCommand='ssh -F {config}' clone {web1}:{work}/app.git {work}/app",
            shows=("Cloning into",),
            needs="git",
        ),
    )


def _jump(scene: Scene) -> tuple[Step, ...]:
    ssh = f"ssh -F {scene.directory}/ssh_config -J bastion {scene.login}@web1"
    return (
        Step("Through a jump it is the same", f"{ssh} 'id -un'", shows=(scene.login,)),
        Step(
            "The gate stands there too",
            f"{ssh} 'rm -rf {scene.work}/precious'",
            shows=("denied",),
            status=EXIT_REFUSED,
        ),
    )


def _database(scene: Scene) -> tuple[Step, ...]:
    here, port = scene.directory, scene.database_port
    ssh, psql = f"ssh -F {here}/ssh_config", f"{here}/psql"
    ask = functools.partial(_ask, f"{psql} -X -h 127.0.0.1 -p {port} -U {ROLE} -d {ROLE}")
    approve = f"{here}/bastion approvals"
    identifier = r"sed -n 's/^approval *\([^,]*\),.*/\1/p'"
    return (
        Step(
            "Open a way to the database; its password stays with the bastion",
            f"{ssh} -f -N -o ExitOnForwardFailure=yes -M -S {here}/way"
            f" -L 127.0.0.1:{port}:orders-db:5432 bastion",
            needs=psql,
        ),
        Step(
            "What may be read; a masked column stays masked under another name",
            ask("SELECT name, card AS harmless FROM customers"),
            shows=("Ada", "[masked]"),
            note="Without -c it is psql as you know it.",
            needs=psql,
        ),
        Step(
            "A secret in any other column is masked, too",
            ask("SELECT note FROM orders WHERE id = 1"),
            shows=("password=[masked:password:",),
            needs=psql,
        ),
        Step(
            "A denied statement is an error, and the session goes on",
            ask("DROP TABLE orders", "SELECT count(*) FROM orders"),
            shows=("denied by rule database-structure", "40"),
            needs=psql,
        ),
        Step(
            "Deleting every row waits inside the session until somebody on call agrees",
            ask("DELETE FROM orders"),
            shows=("DELETE 40",),
            note="It waits, as above; ctrl-C would withdraw it.",
            beside=(
                Step("What is held", f"{approve} list", shows=("DELETE FROM orders", "alice")),
                Step("Agree, as bob", f'{approve} grant "$({approve} list | {identifier})"'),
            ),
            needs=psql,
        ),
        Step("Close the way", f"{ssh} -S {here}/way -O exit bastion", needs=psql),
    )


def _ask(psql: str, *statements: str) -> str:
    return " ".join((psql, *(f"-c {shlex.quote(one)}" for one in statements)))


def _afterwards(scene: Scene) -> tuple[Step, ...]:
    own, casts = f"{scene.directory}/bastion", f"{scene.state}/recordings/*/*/*.cast"
    latest = f'"$(ls -t {casts} | head -n 1)"'
    return (
        Step("What happened", f"{own} sessions list --all", shows=("alice",)),
        Step("Replay the last recording", f"{own} replay --plain {latest}"),
        Step(
            "It is a plain asciicast",
            f"{scene.directory}/asciinema cat {latest}",
            needs=f"{scene.directory}/asciinema",
        ),
        Step("The audit log is whole", f"{own} audit verify"),
    )
