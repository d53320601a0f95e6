"""Open the database's side of a forward, with a credential that the client never sees."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

from bastion.errors import BastionError, DialError, SecretUnavailable
from bastion.gate.postgres.gate import PostgresGate
from bastion.gate.postgres.mask import Masks
from bastion.model import DatabaseRequest, Request, Secret, SqlReading
from bastion.secrets.held import held
from bastion.ssh.drive import Drive
from bastion.ssh.session import Place, Session, masking_of
from bastion.tap.cells import Cells
from bastion.target.postgres import Proof, Ready, ask, cancel, dial_postgres
from bastion.target.postgres_catalog import masked_columns
from bastion.target.postgres_role import SessionRole, make_role
from bastion.wire import postgres as wire

log = logging.getLogger(__name__)

CATALOG_SECONDS: Final = 30.0
_JIT: Final = (
    "SELECT pg_catalog.set_config(name, {}, false) FROM pg_catalog.pg_settings WHERE name = 'jit'"
)
"""Compiling these queries takes ten times as long as they do; servers before 11 have no such."""
ROLE_SECONDS: Final = 8 * 3600.0
"""The longest life of a role that is made for a session without an end of its own."""


class PostgresDialler:
    """Dials for one channel (the drive's `Dialler`)."""

    def __init__(self, session: Session, place: Place, gate: PostgresGate) -> None:
        self._session = session
        self._gate = gate
        self._role: SessionRole | None = None
        self._cancelling: asyncio.Task[None] | None = None
        self.place = place
        self._database = ""
        self.refused = ""
        """The SQLSTATE of a database that did not let the bastion in."""

    async def dial(self, request: Request, drive: Drive) -> None:
        """Log in, look up what is masked, and attach; what the server said goes to the drive."""
        assert isinstance(request, DatabaseRequest)
        target, self._database = self.place.target, request.database
        try:
            async with AsyncExitStack() as stack:
                proof = await self._proof(stack, request.database)
                ready = await dial_postgres(target, proof, request.database, request.settings)
        except DialError as error:
            self.refused = error.code
            raise
        except SecretUnavailable as error:
            raise DialError(f"target {target.name} cannot be dialled: {error}") from error
        try:
            self._gate.mask(await self._look_up_masks(ready))
        except BaseException:
            ready.link.close()
            raise
        left = ready.link.attach(drive)
        self._session.note("target-dialled", target=target.name, login=self.place.login)
        drive.attach(ready.link)
        drive.from_target(ready.greeting + left)
        ready.link.attached()

    def look_up_again(self, done: Callable[[str], None]) -> None:
        """Have the gate know what is masked by now; `done` gets why that did not come about."""
        self._later(self._look_up_again(done))

    async def _look_up_again(self, done: Callable[[str], None]) -> None:
        target = self.place.target
        try:
            async with AsyncExitStack() as stack:
                proof = await self._proof(stack, self._database)
                ready = await dial_postgres(target, proof, self._database, ())
                stack.callback(ready.link.close)
                self._gate.remask(await self._look_up_masks(ready))
                ready.link.write(wire.encode(b"X"))
        except BastionError as error:
            done(str(error))
        else:
            done("")

    async def _look_up_masks(self, ready: Ready) -> Masks:
        masking = masking_of(self._session, self.place)
        cells = Cells(masking) if masking.detectors or masking.json else None
        globs = self._gate.terms.mask
        if not globs:
            return Masks(cells=cells)
        try:
            async with asyncio.timeout(CATALOG_SECONDS):
                # Names in the client's own encoding would not be those of the policy.
                await ask(ready.link, "SET client_encoding TO 'UTF8'")
                await ask(ready.link, _JIT.format("'off'"))
                found = await masked_columns(ready.link, globs, self._gate.masks, self._read)
                await ask(ready.link, _JIT.format("reset_val"))
                await ask(ready.link, "RESET client_encoding")
        except TimeoutError:
            raise DialError("what is masked could not be looked up in time.") from None
        return replace(found, cells=cells)

    async def _read(self, text: str) -> SqlReading:
        """What a text of the catalog's does."""
        done: asyncio.Future[SqlReading] = asyncio.get_running_loop().create_future()

        def take(reading: SqlReading) -> None:
            if not done.done():
                done.set_result(reading)

        self._session.services.sql_reader.read(text, take, keep=False)
        return await done

    async def _proof(self, stack: AsyncExitStack, database: str) -> Proof:
        target, login = self.place.target, self.place.login
        credential = target.credential
        role = target.database.roles.get(login, login)
        reference = credential.reference.replace("{login}", login)
        secret = await stack.enter_async_context(held(reference))
        if credential.kind == "password":
            return Proof(role, password=secret)
        if credential.kind == "client-certificate":
            named = credential.certificate.replace("{login}", login)
            certificate = await stack.enter_async_context(held(named))
            return Proof(role, certificate=certificate, key=secret)
        if self._role is not None:
            return Proof(self._role.name, password=self._role.password)
        if credential.kind != "temporary-role":
            raise DialError(f"target {target.name} has no credential for a database.")
        return await self._made(credential.user, secret, role, database)

    async def _made(self, user: str, secret: Secret, role: str, database: str) -> Proof:
        session = self._session
        ends = [session.services.clock() + ROLE_SECONDS, session.identity.expires_at]
        maker = Proof(user, password=secret)
        made = await make_role(
            self.place.target, maker, database, role, session.id, min(one for one in ends if one)
        )
        self._role = made
        session.note("role-made", target=self.place.target.name, role=made.name, member_of=role)
        return Proof(made.name, password=made.password)

    # --- afterwards -----------------------------------------------------------------------------

    def cancel(self, pid: int, key: bytes) -> None:
        """Have the server give up what runs."""
        self._cancelling = self._later(self._cancel(pid, key))

    def when_cancelled(self, told: Callable[[], None]) -> None:
        """Call `told` once the server has been told to give up what runs, if it has to be.

        A cancel that is on its way still would end the client's next statement.
        """
        if self._cancelling is None or self._cancelling.done():
            told()
        else:
            self._cancelling.add_done_callback(lambda _: told())

    async def _cancel(self, pid: int, key: bytes) -> None:
        try:
            await cancel(self.place.target, pid, key)
        except (BastionError, OSError, TimeoutError) as error:
            self._session.note("cancel-failed", target=self.place.target.name, reason=str(error))

    def ended(self) -> None:
        """The channel is over: a role that was made for it is dropped."""
        role, self._role = self._role, None
        if role is not None:
            self._later(self._drop(role))

    async def _drop(self, role: SessionRole) -> None:
        target = self.place.target.name
        try:
            async with held(self.place.target.credential.reference) as secret:
                role.maker = Proof(role.maker.role, password=secret)
                await role.drop()
            self._session.note("role-dropped", target=target, role=role.name)
        except BastionError as error:
            log.warning("role %s stays until the next session: %s", role.name, error)
            self._session.note("role-left", target=target, role=role.name, reason=str(error))

    def _later(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        tasks = self._session.services.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task
