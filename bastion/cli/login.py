"""`bastion login`: a certificate into the running ssh-agent."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bastion.errors import BastionError

if TYPE_CHECKING:
    from bastion.identity.clientfiles import ClientLines
    from bastion.identity.enrol import Enrolment, Trust, UnknownHost

MAX_SECONDS: Final = 24 * 3600
"""No bastion gives more; an agent's lifetime is a 32-bit number."""

FIRST_WORDS_SECONDS: Final = 0.3
"""The page that has the code in its address comes a line or two after the one that has not."""

_URL: Final = re.compile(r"https?://[^\s\"'<>]+")


@click.command()
@click.argument("host", envvar="BASTION_HOST")
@click.option("--port", "-p", default=2222, show_default=True, envvar="BASTION_PORT")
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
def login(
    host: str,
    port: int,
    host_ca: str | None,
    known_hosts: Path | None,
    targets: str,
    no_browser: bool,
    write_config: bool,
    alias: str,
    out: Path | None,
) -> None:
    """Log in at the bastion HOST and put a short-lived certificate into your ssh-agent.

    The key is made for this login and stays in memory. Afterwards plain `ssh`, `scp`, `git` and
    editors work through the bastion until the certificate ends; then log in again.

    \b
    bastion login bastion.example                  log in, print the lines for ssh
    bastion login bastion.example --write-config   log in, install them
    bastion login bastion.example --out ~/key      without an agent
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", alias):
        raise click.UsageError("--alias must be letters, digits, dots, dashes, underscores.")
    if not re.fullmatch(r"[A-Za-z0-9_.:-]+", host) or host.startswith("-"):
        raise click.UsageError("HOST must be a host name or an address.")
    say = _speaker(None if no_browser else _browser())
    try:
        asyncio.run(
            _login(host, port, host_ca, known_hosts, targets, write_config, alias, out, say)
        )
    except KeyboardInterrupt:
        raise click.Abort from None


async def _login(
    host: str,
    port: int,
    host_ca: str | None,
    known_hosts: Path | None,
    patterns: str,
    write_config: bool,
    alias: str,
    out: Path | None,
    say: Callable[[str], None],
) -> None:
    from bastion.identity import agent, clientfiles, enrol

    trust = _trust(host, port, host_ca, known_hosts)
    if out is None:
        await agent.check_agent()
    try:
        enrolment = await enrol.enrol(host, port, trust, say)
    except enrol.UnknownHost as unknown:
        trust = _ask(host, unknown, host_ca)
        enrolment = await enrol.enrol(host, port, trust, say)
    seconds = min(enrolment.seconds_left(time.time()), MAX_SECONDS)
    if out is None:
        await agent.load_into_agent(enrolment, f"bastion {host}:{port}", seconds=seconds)
        click.echo(f"In your ssh-agent for {seconds // 60} min {seconds % 60} s.", err=True)
    else:
        private = enrolment.key.export_private_key("openssh")
        line = enrolment.certificate.export_certificate("openssh").decode().strip()
        click.echo(f"Written: {clientfiles.write_key(out, private, line)}", err=True)
    lines = await _lines(host, port, alias, patterns, trust, enrolment)
    if write_config:
        changed = clientfiles.install(lines, Path.home())
        click.echo("\n".join(f"Changed: {path}" for path in changed) or "Up to date.", err=True)
    else:
        click.echo(f"# ~/.ssh/config\n{lines.config}# ~/.ssh/known_hosts\n{lines.known_hosts}")


async def _lines(
    host: str, port: int, alias: str, patterns: str, trust: Trust, enrolment: Enrolment
) -> ClientLines:
    from bastion.identity import clientfiles, enrol
    from bastion.identity.keyring import public_line

    try:
        names = await enrol.target_names(host, port, trust, enrolment)
    except BastionError as error:
        click.echo(f"The targets could not be listed: {error}", err=True)
        names = ()
    targets = tuple(name for name in names if _wanted(name, patterns))
    if left_out := [name for name in names if name not in targets]:
        click.echo(f"Left out (see --targets): {', '.join(left_out)}", err=True)
    return clientfiles.ClientLines(
        host=host,
        port=port,
        alias=alias,
        targets=targets,
        authority=public_line(enrolment.authority) if enrolment.authority else "",
        host_key=public_line(trust.keys[0]) if trust.keys else "",
    )


def _wanted(name: str, patterns: str) -> bool:
    """A bastion must not take `github.com` over unless the person says so: dots need a pattern
    with a dot.
    """
    return any(
        fnmatchcase(name, pattern) and ("." in pattern or "." not in name)
        for pattern in patterns.split(",")
    )


def _trust(host: str, port: int, host_ca: str | None, known_hosts: Path | None) -> Trust:
    from bastion.identity.enrol import Trust, trust_from_key_file, trust_from_known_hosts

    if host_ca and not host_ca.startswith("SHA256:"):
        return trust_from_key_file(host_ca)
    if host_ca:
        return Trust()
    path = known_hosts or Path.home() / ".ssh" / "known_hosts"
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        text = ""
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}.") from None
    return trust_from_known_hosts(text, host, port)


def _ask(host: str, unknown: UnknownHost, host_ca: str | None) -> Trust:
    """Believe what was named by fingerprint, or what the person says yes to; never silently."""
    from bastion.identity.enrol import Trust

    found = unknown.key.get_fingerprint()
    if host_ca:
        if not unknown.authority or found != host_ca:
            raise click.ClickException(f"{host} shows {found}, not {host_ca}; not logging in.")
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
