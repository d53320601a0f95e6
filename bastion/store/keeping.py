"""The recordings of a running bastion: finished at its start, sealed while it runs, audited."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict

from bastion.errors import StoreError
from bastion.store import auditfile
from bastion.store.audit import AuditLog
from bastion.store.encrypting import Recipients
from bastion.store.finishing import finish_all
from bastion.store.recording import Recording
from bastion.store.recordings import Recordings
from bastion.store.sealing import Sealer
from bastion.store.signing import load_signing_key
from bastion.store.state import StateDirectory
from bastion.tap.masks import UNMASKED, Masks

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def kept_recordings(
    state: StateDirectory,
    audit: AuditLog,
    clock: Callable[[], float],
    *,
    floor_bytes: int,
    masks: Masks = UNMASKED,
    on_end: Callable[[], None] = lambda: None,
    recipients: Recipients | None = None,
) -> AsyncIterator[Recordings]:
    """The recordings folder, while the context lasts; at its end all that ended is sealed.

    `on_end` is called whenever a recording has got its last seal.
    """
    key = load_signing_key(state.audit / auditfile.KEY)
    for finished in finish_all(state.recordings, key, clock()):
        kind = "recording-damaged" if finished.problem else "recording-finished"
        audit.append(kind, clock(), **asdict(finished))

    def note(kind: str, recording: Recording, at: float, **fields: object) -> None:
        session, channel = recording.path.parent.name, recording.path.stem
        try:
            audit.append(kind, at, session=session, channel=channel, **fields)
        except StoreError as error:
            log.error("%s of %s/%s could not be audited: %s", kind, session, channel, error)

    def on_sealed(recording: Recording, digest: str, at: float) -> None:
        """So that no recording can vanish, or lose its end, without trace."""
        note("recording-sealed", recording, at, hash=digest)
        on_end()

    def on_unsealed(recording: Recording, error: OSError) -> None:
        log.error("the recording %s could not be sealed: %s", recording.path, error)
        note("recording-unsealed", recording, clock(), reason=str(error))

    sealer = Sealer(clock, on_sealed, on_unsealed)
    sealer.start()
    try:
        yield Recordings(
            state.recordings,
            floor_bytes=floor_bytes,
            key=key,
            keeper=sealer,
            masks=masks,
            recipients=recipients,
        )
    finally:
        await sealer.stop()
