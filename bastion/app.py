"""The composition root: Config → keys, stores, listeners. The one file that knows every room."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncssh
import watchfiles

from bastion.config import Config, load_policy
from bastion.control.calls import Parts
from bastion.control.metrics import Metrics, Standing
from bastion.control.metrics_page import MetricsPage
from bastion.control.service import ControlService
from bastion.control.telling import tell_approvals
from bastion.control.webhooks import Hook, Webhooks
from bastion.errors import BastionError, StoreError
from bastion.identity import keyfiles
from bastion.identity.ca import Authority
from bastion.identity.callback import CallbackPage
from bastion.identity.login import LoginService
from bastion.identity.settings import ProviderSettings
from bastion.policy.approvals import Operator
from bastion.policy.rules import Policy
from bastion.secrets.resolve import resolve
from bastion.ssh.admission import Admission, AdmissionLimits
from bastion.ssh.listener import Listener
from bastion.ssh.services import DeskLink, Limits, Services
from bastion.ssh.sessions import Sessions
from bastion.ssh.systemd import listening_sockets, notify_systemd
from bastion.store.access import AccessGrants
from bastion.store.approvals import Approvals
from bastion.store.audit import AuditLog
from bastion.store.encrypting import Recipients
from bastion.store.feed import Feed
from bastion.store.first_use import FirstUse
from bastion.store.keeping import kept_recordings
from bastion.store.ledger import Ledger
from bastion.store.logs import masked_log
from bastion.store.state import StateDirectory
from bastion.store.upkeep import Upkeep
from bastion.tap.detect import Detectors
from bastion.tap.marks import KEY_BYTES, Marks
from bastion.tap.masks import Masks
from bastion.wire.places import UNIX, split_address

log = logging.getLogger("bastion")

WATCH_AGAIN_SECONDS: Final = 2.0
FINISH_SECONDS: Final = 10.0
EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104  (named, not bound)


class PolicyInForce:
    """The policy that decides now; a bad file leaves the old one in force and says so."""

    def __init__(self, path: Path, audit: AuditLog, detectors: Detectors) -> None:
        """Load it; a policy that is wrong at the start stops the start."""
        self._path = path
        self._detectors = detectors
        self._audit = audit
        self._policy = load_policy(path, detectors)

    def __call__(self) -> Policy:
        """The policy in force."""
        return self._policy

    async def watch(self) -> None:
        """Reload on every change of the file, all of it or nothing; nothing ends the watching."""
        while True:
            try:
                async for _ in watchfiles.awatch(self._path.parent, recursive=False, debounce=200):
                    self.reload()
            except Exception:
                log.exception("watching %s failed; again in %g s", self._path, WATCH_AGAIN_SECONDS)
            await asyncio.sleep(WATCH_AGAIN_SECONDS)

    def reload(self) -> None:
        """Take the file as it is now, if it is right."""
        try:
            policy = load_policy(self._path, self._detectors)
        except BastionError as error:
            log.error("the policy was not reloaded, the old one stays in force:\n%s", error)
            self._audit.append(
                "policy-refused", time.time(), path=str(self._path), reason=str(error)
            )
            return
        if policy == self._policy:
            return
        # Audited first: what cannot be written down does not come into force.
        self._audit.append("policy-loaded", time.time(), path=str(self._path))
        self._policy = policy
        log.info("policy reloaded from %s", self._path)


async def serve(config: Config, *, ready: Callable[[], None] | None = None) -> None:
    """Run the bastion until SIGTERM or SIGINT; `ready` is called when it accepts connections."""
    os.umask(0o077)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
            loop.add_signal_handler(number, stop.set)
    async with running(config):
        notify_systemd("READY=1")
        if ready is not None:
            ready()
        await stop.wait()
        notify_systemd("STOPPING=1")


@dataclass(frozen=True, slots=True)
class Running:
    """What runs: for whoever composes it into something larger."""

    services: Services
    sessions: Sessions


@contextlib.asynccontextmanager
async def running(config: Config, clock: Callable[[], float] = time.time) -> AsyncIterator[Running]:
    """The bastion, listening, for as long as the context lasts."""
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    async with contextlib.AsyncExitStack() as stack:
        state = StateDirectory(config.state)
        state.acquire()
        stack.callback(state.release)
        metrics = Metrics()
        services = await _services(config, state, clock, stack, metrics)
        policy = services.policy
        assert isinstance(policy, PolicyInForce)
        sessions = Sessions(services)
        tell_approvals(services.approvals, services.feed, clock)
        if config.listen.metrics is not None:
            metrics.stand(_standing(services, sessions, state))
            page = MetricsPage(metrics.registry, _place(config.listen.metrics))
            page.start()
            stack.push_async_callback(page.stop)
        parts = Parts(
            board=services.approvals,
            ledger=services.ledger,
            audit=services.audit,
            access=services.access,
            feed=services.feed,
            policy=policy,
            sessions=sessions,
            clock=clock,
            state=state,
        )
        control = ControlService(state.control_socket, parts, _operators(config))
        services.link.desk = control
        await control.start()
        stack.push_async_callback(control.stop)
        hooks = await _hooks(config)
        services.masks.hold([one for hook in hooks for one in hook.credentials()])
        webhooks = Webhooks(hooks, services.feed, services.audit, clock)
        webhooks.start()
        stack.push_async_callback(webhooks.stop)
        listener = Listener(services, sessions)
        await listener.start(listening_sockets(config.listen.ssh))
        stack.push_async_callback(listener.stop)
        watching = asyncio.get_running_loop().create_task(policy.watch())
        stack.callback(watching.cancel)
        stack.push_async_callback(services.sql_reader.close)
        stack.push_async_callback(_finish, services.tasks)
        services.audit.append("bastion-started", clock(), policy=str(config.policy))
        yield Running(services, sessions)
        services.audit.append("bastion-stopping", clock())


async def _finish(tasks: set[asyncio.Task[None]]) -> None:
    """What is still to be done at databases: a role to drop can wait, but not for ever."""
    if tasks:
        await asyncio.wait(tuple(tasks), timeout=FINISH_SECONDS)


async def _services(
    config: Config,
    state: StateDirectory,
    clock: Callable[[], float],
    stack: contextlib.AsyncExitStack,
    metrics: Metrics,
) -> Services:
    masks = Masks(config.detectors, Marks(mask_key(state.path / "mask.key")))
    stack.enter_context(masked_log(masks))
    audit = AuditLog(state.audit, masks=masks)
    stack.callback(lambda: audit.close(clock()))
    audit.listen(metrics.audited)
    policy = PolicyInForce(config.policy, audit, config.detectors)
    ledger = Ledger(state.database, masks=masks)
    stack.callback(ledger.close)
    ledger.close_leftovers(clock())
    approvals = Approvals(ledger, audit, clock)
    approvals.watch(lambda approval, what: metrics.approval(approval, what, clock()))
    return Services(
        clock=clock,
        policy=policy,
        targets=config.targets,
        authority=Authority.create(state.ca, ceiling_seconds=int(config.max_lifetime)),
        login=await _login_service(config, stack, masks),
        ledger=ledger,
        audit=audit,
        recordings=await stack.enter_async_context(
            kept_recordings(
                state,
                audit,
                clock,
                floor_bytes=config.limits.free_space,
                masks=masks,
                on_end=_upkeep(config, stack).wake,
                recipients=_recipients(config),
            )
        ),
        approvals=approvals,
        access=AccessGrants(ledger, audit, clock),
        feed=Feed(masks),
        link=DeskLink(),
        first_use=FirstUse(state.path / "first_use_hosts"),
        admission=Admission(_admission(config)),
        host_key=_host_key(state.path / "ssh_host_ed25519_key"),
        names=_names(config),
        ciphers=config.listen.ciphers,
        max_lifetime=config.max_lifetime,
        x11_authority_path=str(state.path / "Xauthority"),
        history=state.path / "history",
        limits=_limits(config),
        masks=masks,
    )


def _standing(services: Services, sessions: Sessions, state: StateDirectory) -> Standing:
    clock = services.clock
    return Standing(
        sessions=lambda: len(sessions),
        channels=sessions.channels,
        queries=lambda: services.tally.queries,
        waiting=lambda: len(services.approvals.pending()),
        grants=lambda: len(services.access.in_force()) + len(services.approvals.repeats()),
        locks=lambda: (lock.kind.value for lock in services.ledger.locks(clock())),
        recording=lambda: services.recordings.live,
        failed=lambda: services.recordings.failed,
        folder=state.recordings,
    )


def _place(place: str) -> tuple[str, int] | Path:
    path = place.removeprefix(UNIX)
    return split_address(place) if path == place else Path(path)


def _recipients(config: Config) -> Recipients | None:
    names = config.recordings.encrypt_to
    return Recipients(names) if names else None


def _upkeep(config: Config, stack: contextlib.AsyncExitStack) -> Upkeep:
    words = [sys.executable, "-I", "-m", "bastion", "recordings", "tidy"]
    upkeep = Upkeep([*words, "--config", str(config.path.absolute())])
    stack.callback(asyncio.get_running_loop().create_task(upkeep.run()).cancel)
    return upkeep


async def _login_service(
    config: Config, stack: contextlib.AsyncExitStack, masks: Masks
) -> LoginService | None:
    oidc = config.oidc
    if oidc is None:
        return None
    secret = await resolve(oidc.client_secret) if oidc.client_secret else None
    if secret is not None:
        masks.hold([secret])
    service = LoginService(
        ProviderSettings(
            issuer=oidc.issuer,
            client_id=oidc.client_id,
            client_secret=secret,
            scopes=oidc.scopes,
            flow=oidc.flow,
            public_url=config.listen.public_url,
            name_claims=oidc.name_claims,
            kept_claims=oidc.claims,
            unverified_email=oidc.unverified_email,
            ca_file=oidc.ca_file,
            login_seconds=int(oidc.login_time),
        )
    )
    stack.push_async_callback(service.close)
    if config.listen.http is not None:
        host, port = split_address(config.listen.http)
        page = CallbackPage(
            service,
            host,
            port,
            tls_certificate=config.listen.tls_certificate,
            tls_key=config.listen.tls_key,
        )
        await page.start()
        stack.push_async_callback(page.stop)
    return service


def _admission(config: Config) -> AdmissionLimits:
    limits = config.limits
    return AdmissionLimits(
        unauthenticated=limits.unauthenticated, per_address=limits.unauthenticated_per_address
    )


def _limits(config: Config) -> Limits:
    limits = config.limits
    return Limits(
        handshake_seconds=limits.handshake,
        sessions=limits.sessions,
        sessions_per_identity=limits.sessions_per_identity,
        channels_per_session=limits.channels_per_session,
    )


def _names(config: Config) -> tuple[str, ...]:
    """What the host certificate is for: the configured names, or where we listen."""
    if config.listen.names:
        return config.listen.names
    hosts = [split_address(address)[0] for address in config.listen.ssh]
    return tuple(host for host in hosts if host and host not in EVERYWHERE)


async def _hooks(config: Config) -> tuple[Hook, ...]:
    return tuple(
        [
            Hook(
                url=entry.url,
                secret=await resolve(entry.secret),
                events=frozenset(event.value for event in entry.events),
                ca_file=entry.ca_file,
            )
            for entry in config.webhooks
        ]
    )


def _operators(config: Config) -> tuple[Operator, ...]:
    return tuple(
        Operator(
            unix_user=entry.unix_user,
            name=entry.name or entry.unix_user,
            roles=frozenset(entry.roles),
            identity=entry.identity,
        )
        for entry in config.operators
    )


def _host_key(path: Path) -> asyncssh.SSHKey:
    """The bastion's own host key, made once; refused when open to others."""
    if not path.exists():
        key = asyncssh.generate_private_key("ssh-ed25519", comment="bastion")
        keyfiles.write_private(path, key.export_private_key("openssh"))
    try:
        return asyncssh.import_private_key(keyfiles.read_private(path))
    except asyncssh.KeyImportError as error:
        raise StoreError(f"{path} does not hold a host key; restore it or remove it.") from error


def mask_key(path: Path) -> bytes:
    """The key of the marks, made once; refused when open to others."""
    if not path.exists():
        keyfiles.write_private(path, secrets.token_bytes(KEY_BYTES))
    key = keyfiles.read_private(path)
    if len(key) != KEY_BYTES:
        raise StoreError(f"{path} does not hold a key for marks; remove it, and one is made.")
    return key
