"""`bastion ca`: the authorities, their rotation, and revocation."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bastion.model import TargetKind

if TYPE_CHECKING:
    from bastion.identity.ca import Authority
    from bastion.store.state import StateDirectory

NAMES: Final = ("user", "session", "host")

_state_options = (
    click.option(
        "--config",
        "-c",
        type=click.Path(path_type=Path),
        default="bastion.yaml",
        show_default=True,
        envvar="BASTION_CONFIG",
        help="The configuration file, which names the state directory.",
    ),
    click.option(
        "--state",
        type=click.Path(path_type=Path),
        default=None,
        help="The state directory itself; then no configuration is read.",
    ),
)


def _with_state(command: click.decorators.FC) -> click.decorators.FC:
    for option in reversed(_state_options):
        command = option(command)
    return command


@click.group()
def ca() -> None:
    """The three authorities: `user` signs people's certificates, `session` the ephemeral ones for
    targets, `host` the bastion's own and its target names'.
    """


@ca.command()
@_with_state
def init(config: Path, state: Path | None) -> None:
    """Make the authorities that are missing; those that are there stay as they are."""
    from bastion.identity.ca import Authority

    authority = Authority.create(_directory(config, state, create=True).ca)
    _show(authority, NAMES)


@ca.command()
@click.argument("name", type=click.Choice(NAMES), required=False)
@click.option("--ssh", is_flag=True, help="Print the lines to paste into OpenSSH's files.")
@click.option(
    "--hosts",
    default="",
    metavar="PATTERNS",
    help="With --ssh: the host names that clients believe the host authority for, as in "
    "'bastion.example,web-*'.  [default: the configuration's own names and targets]",
)
@_with_state
def show(config: Path, state: Path | None, name: str | None, ssh: bool, hosts: str) -> None:
    """Show public keys, fingerprints, and which key signs, comes next, or is only believed."""
    from bastion.identity.ca import Authority

    authority = Authority(_directory(config, state).ca)
    names = (name,) if name else NAMES
    if ssh and "host" in names and not hosts:
        hosts = _hosts(config, state)
    if ssh:
        _show_for_openssh(authority, names, hosts)
    else:
        _show(authority, names)


def _hosts(config: Path, state: Path | None) -> str:
    """What the bastion shows host certificates for; nobody should believe it to be any host."""
    if state is None:
        from bastion.config import load_config

        found = load_config(config)
        ssh = [target.name for target in found.targets.values() if target.kind is TargetKind.SSH]
        if found.listen.names:
            return ",".join([*found.listen.names, *ssh])
    raise click.UsageError(
        "Say for which names clients shall believe it: --hosts 'bastion.example,web-*'."
    )


def _show(authority: Authority, names: tuple[str, ...]) -> None:
    now = time.time()
    for name in names:
        for key in authority.keys(name, now):
            until = f" until {_utc(key.until)}" if key.until else ""
            click.echo(f"{name:8} {key.state:8} {key.fingerprint}{until}\n         {key.line}")


def _show_for_openssh(authority: Authority, names: tuple[str, ...], hosts: str) -> None:
    now = time.time()
    for name in names:
        if name == "user":
            click.echo("# user: believed by the bastion alone; nothing to install")
        elif name == "session":
            click.echo("# session: on each target, in the file that TrustedUserCAKeys names")
            for key in authority.keys("session", now):
                click.echo(key.line)
        else:
            click.echo("# host: on each client, in ~/.ssh/known_hosts")
            for key in authority.keys("host", now):
                click.echo(f"@cert-authority {hosts} {key.line}")


@ca.command()
@click.argument("name", type=click.Choice(NAMES))
@click.option("--switch", is_flag=True, help="Let the next key of `session` or `host` sign.")
@click.option("--retire", is_flag=True, help="Stop believing the keys that no longer sign.")
@click.option(
    "--overlap",
    type=click.IntRange(min=0),
    default=None,
    metavar="SECONDS",
    help="How long the old key is still believed; 0 after a theft.  [default: the longest life "
    "of a certificate; for `host` until --retire]",
)
@_with_state
def rotate(
    config: Path, state: Path | None, name: str, switch: bool, retire: bool, overlap: int | None
) -> None:
    """Replace an authority's key so that nobody is locked out.

    `user` signs with the new key at once. `session` and `host` first announce it: install it on
    targets (`bastion ca show session --ssh`) or clients, then rotate with --switch. A running
    bastion takes each step without a restart.
    """
    from bastion.identity import ca as authorities

    directory = _directory(config, state).ca
    rotation = authorities.Rotation(directory, name)
    if switch and retire:
        raise click.UsageError("--switch and --retire are two steps.")
    if overlap is None:
        overlap = authorities.CEILING_SECONDS + authorities.ROTATION_MARGIN_SECONDS
    if retire:
        click.echo(f"Retired keys: {rotation.retire()}.")
    elif switch:
        rotation.switch(time.time(), overlap)
    else:
        rotation.rotate(time.time(), overlap)
    _show(authorities.Authority(directory), (name,))


@ca.command()
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write, for RevokedKeys in a target's sshd_config.",
)
@_with_state
def krl(config: Path, state: Path | None, output: Path) -> None:
    """Write the revoked serials as an OpenSSH key revocation list."""
    from bastion.identity import keyfiles
    from bastion.identity.ca import Authority
    from bastion.identity.krl import encode_krl
    from bastion.store.ledger import Ledger

    directory = _directory(config, state)
    authority, now = Authority(directory.ca), time.time()
    ledger = Ledger(directory.database)
    try:
        serials = ledger.revoked_serials()
    finally:
        ledger.close()
    keys = [
        key.public.public_data for name in ("user", "session") for key in authority.keys(name, now)
    ]
    # The version must grow: the clock does, and needs no memory.
    data = encode_krl(keys, serials, comment="bastion", now=now, version=int(now))
    keyfiles.write_private(output, data, mode=0o644)
    click.echo(f"{output}: {len(serials)} revoked.")


@ca.command()
@click.argument("serials", type=click.IntRange(1, 2**63 - 1), nargs=-1, required=True)
@click.option("--reason", required=True, help="Why; it stands in the audit log.")
@_with_state
def revoke(config: Path, state: Path | None, serials: tuple[int, ...], reason: str) -> None:
    """Refuse certificates by SERIAL from now on, and end their sessions at once.

    Where no bastion runs on the state directory, they are refused when one starts.
    """
    from bastion.errors import StoreError
    from bastion.store.ledger import Ledger

    directory = _directory(config, state)
    try:
        directory.acquire()
    except StoreError:
        _revoke_in_running(directory, serials, reason)
        return
    ledger = Ledger(directory.database)
    try:
        for serial in serials:
            ledger.revoke(serial, reason, time.time())
            click.echo(f"{serial} is revoked.")
    finally:
        ledger.close()
        directory.release()


def _revoke_in_running(directory: StateDirectory, serials: tuple[int, ...], reason: str) -> None:
    from bastion.control.client import ControlClient
    from bastion.wire import control as wire

    with ControlClient(directory.control_socket) as bastion:
        for serial in serials:
            ended = bastion.call(wire.Revoke(serial, reason), wire.Ended)
            click.echo(f"{serial} is revoked; sessions and channels ended: {ended.count}.")


def _directory(config: Path, state: Path | None, *, create: bool = False) -> StateDirectory:
    from bastion.store.state import StateDirectory

    if state is None:
        from bastion.config import load_config

        state = load_config(config).state
    return StateDirectory(state, create=create)


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
