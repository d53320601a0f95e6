"""`bastion login`: a certificate into the running ssh-agent."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bastion.errors import BastionError

if TYPE_CHECKING:
    from bastion.identity.enrol import Enrolment, Trust, UnknownHost

MAX_SECONDS: Final = 24 * 3600
"""No bastion gives more; an agent's lifetime is a 32-bit number."""

FIRST_WORDS_SECONDS: Final = 0.3
"""The page that has the code in its address comes a line or two after the one that has not."""

_URL: Final = re.compile(r"https?://[^\s\"'<>]+")


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line."""

    host: str
    port: int
    host_ca: str | None
    known_hosts: Path | None
    targets: str
    write_config: bool
    alias: str
    out: Path | None


@click.command()
@click.argument("host", envvar="BASTION_HOST")
@click.option(
    "--port", "-p", default=2222, show_default=True, envvar="BASTION_PORT", help="Its port."
)
@click.option(
    "--host-ca",
    metavar="FILE|SHA256:…",
    help="The bastion's host authority: its public key file, or its fingerprint.",
)
@click.option(
    "--known-hosts",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Verify the bastion by this file.  [default: ~/.ssh/known_hosts]",
)
@click.option(
    "--targets",
    default="*",
    metavar="PATTERNS",
    help="Which of the bastion's targets ssh reaches by their bare names, as in "
    "'web-*,*.prod.example'.  [default: those without a dot]",
)
@click.option("--no-browser", is_flag=True, help="Only print the URL, do not open it.")
@click.option("--write-config", is_flag=True, help="Install the lines for ssh in ~/.ssh.")
@click.option("--alias", default="bastion", show_default=True, help="What ssh calls the bastion.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Write key and certificate to this folder instead of the agent.",
)
def login(no_browser: bool, **options: Any) -> None:
    """Log in at the bastion HOST and put a short-lived certificate into your ssh-agent.

    The key is made for this login and stays in memory. Afterwards plain `ssh`, `scp`, `git` and
    editors work through the bastion until the certificate ends; then log in again.

    \b
    bastion login bastion.example                  log in, print the lines for ssh
    bastion login bastion.example --write-config   log in, install them
    bastion login bastion.example --out ~/key      without an agent
    """
    wish = Wish(**options)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", wish.alias):
        raise click.UsageError("--alias must be letters, digits, dots, dashes, underscores.")
    if not re.fullmatch(r"[A-Za-z0-9_.:][A-Za-z0-9_.:-]*", wish.host):
        raise click.UsageError("HOST must be a host name or an address.")
    try:
        asyncio.run(_login(wish, _speaker(None if no_browser else _browser())))
    except KeyboardInterrupt:
        raise click.Abort from None


async def _login(wish: Wish, say: Callable[[str], None]) -> None:
    from bastion.identity import agent, enrol

    trust = _trust(wish)
    if wish.out is None:
        await agent.check_agent()
    try:
        enrolment = await enrol.enrol(wish.host, wish.port, trust, say)
    except enrol.UnknownHost as unknown:
        trust = _ask(wish, unknown)
        enrolment = await enrol.enrol(wish.host, wish.port, trust, say)
    await _keep(wish, enrolment)
    await _tell_openssh(wish, trust, enrolment)


async def _keep(wish: Wish, enrolment: Enrolment) -> None:
    """Key and certificate into the agent, or into files."""
    from bastion.identity import agent, clientfiles

    if wish.out is None:
        seconds = min(enrolment.seconds_left(time.time()), MAX_SECONDS)
        comment = f"bastion {wish.host}:{wish.port}"
        await agent.load_into_agent(enrolment, comment, seconds=seconds)
        click.echo(f"In your ssh-agent for {seconds // 60} min {seconds % 60} s.", err=True)
    else:
        private = enrolment.key.export_private_key("openssh")
        line = enrolment.certificate.export_certificate("openssh").decode().strip()
        click.echo(f"Written: {clientfiles.write_key(wish.out, private, line)}", err=True)


async def _tell_openssh(wish: Wish, trust: Trust, enrolment: Enrolment) -> None:
    """Print the lines for ssh_config and known_hosts, or install them."""
    from bastion.identity import clientfiles
    from bastion.identity.keyring import public_line

    lines = clientfiles.ClientLines(
        host=wish.host,
        port=wish.port,
        alias=wish.alias,
        targets=await _targets(wish, trust, enrolment),
        authority=public_line(enrolment.authority) if enrolment.authority else "",
        host_key=public_line(trust.keys[0]) if trust.keys else "",
    )
    if wish.write_config:
        changed = clientfiles.install(lines, Path.home())
        click.echo("\n".join(f"Changed: {path}" for path in changed) or "Up to date.", err=True)
    else:
        click.echo(f"# ~/.ssh/config\n{lines.config}# ~/.ssh/known_hosts\n{lines.known_hosts}")


async def _targets(wish: Wish, trust: Trust, enrolment: Enrolment) -> tuple[str, ...]:
    """The targets that ssh shall reach by their bare names."""
    from bastion.identity import enrol

    try:
        names = await enrol.target_names(wish.host, wish.port, trust, enrolment)
    except BastionError as error:
        click.echo(f"The targets could not be listed: {error}", err=True)
        return ()
    wanted = tuple(name for name in names if _wanted(name, wish.targets))
    if left_out := [name for name in names if name not in wanted]:
        click.echo(f"Left out (see --targets): {', '.join(left_out)}", err=True)
    return wanted


def _wanted(name: str, patterns: str) -> bool:
    """A bastion must not take `github.com` over unless the person says so: dots need a pattern
    with a dot.
    """
    return any(
        fnmatchcase(name, pattern) and ("." in pattern or "." not in name)
        for pattern in patterns.split(",")
    )


def _trust(wish: Wish) -> Trust:
    from bastion.identity.enrol import Trust, trust_from_key_file, trust_from_known_hosts

    if wish.host_ca and not wish.host_ca.startswith("SHA256:"):
        return trust_from_key_file(wish.host_ca)
    if wish.host_ca:
        return Trust()
    path = wish.known_hosts or Path.home() / ".ssh" / "known_hosts"
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        text = ""
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}.") from None
    return trust_from_known_hosts(text, wish.host, wish.port)


def _ask(wish: Wish, unknown: UnknownHost) -> Trust:
    """Believe what was named by fingerprint, or what the person says yes to; never silently."""
    from bastion.identity.enrol import Trust

    host, found = wish.host, unknown.key.get_fingerprint()
    if wish.host_ca:
        if not unknown.authority or found != wish.host_ca:
            raise click.ClickException(f"{host} shows {found}, not {wish.host_ca}; not logging in.")
    else:
        if not sys.stdin.isatty():
            raise click.ClickException(
                f"{host} is not known here, and there is no terminal to ask at; "
                f"name its authority with --host-ca (it shows {found})."
            )
        what = "host authority" if unknown.authority else "host key"
        click.echo(f"The authenticity of {host} cannot be established.", err=True)
        click.echo(f"Its {what} is {found}.", err=True)
        answer = click.prompt("Believe it (yes, no, or the fingerprint)?", err=True)
        if answer.strip() not in ("yes", found):
            raise click.Abort
    key = (unknown.key,)
    return Trust(authorities=key) if unknown.authority else Trust(keys=key)


def _browser() -> Callable[[str], object] | None:
    """What opens a URL beside the terminal; a text browser would take it over."""
    import webbrowser

    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return None
    try:
        return webbrowser.get().open
    except webbrowser.Error:
        return None


def _speaker(open_url: Callable[[str], object] | None) -> Callable[[str], None]:
    """Print what the bastion says, and open the last URL of its first words in the browser."""
    urls: list[str] = []

    def open_last() -> None:
        # A daemon thread: some browsers only return when they are closed.
        threading.Thread(target=open_url, args=(urls[-1],), daemon=True).start()

    def say(line: str) -> None:
        click.echo(line, err=True)
        found = _URL.findall(line)
        if found and not urls and open_url is not None:
            asyncio.get_running_loop().call_later(FIRST_WORDS_SECONDS, open_last)
        urls.extend(found)

    return say
