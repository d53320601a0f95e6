"""Recordings of a running bastion are sealed while they grow; a disk that fails ends them."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from bastion import app
from bastion.config import load_config
from bastion.errors import RecordingFailed
from bastion.store.recording import Recording
from bastion.store.recordings import Recordings
from bastion.store.sealfile import State, verify_recording
from bastion.store.sealing import EVERY, Sealer
from bastion.store.signing import load_signing_key, read_public_key
from tests.harness.disks import lying_disk, quota_disk, small_disk
from tests.harness.running import bastion


class Desk:
    """What the sealer told, and a clock."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.now = 100.0
        self.sealed: list[str] = []
        self.unsealed: list[OSError] = []
        self.told = asyncio.Event()
        self.sealer = Sealer(lambda: self.now, self.on_sealed, self.on_unsealed)
        self.key = load_signing_key(folder / "ed25519")
        self.public = read_public_key(folder / "ed25519.pub")
        self.recordings = Recordings(root, floor_bytes=0, key=self.key, keeper=self.sealer)

    def on_sealed(self, recording: Recording, digest: str, at: float) -> None:
        self.sealed.append(digest)
        self.told.set()

    def on_unsealed(self, recording: Recording, error: OSError) -> None:
        self.unsealed.append(error)
        self.told.set()


async def test_a_checkpoint_is_due_after_some_seconds_and_the_end_at_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, tmp_path)
    recording = desk.recordings.open("s", "c", at=desk.now)
    stem = recording.path.with_suffix("")
    desk.sealer.seal_due()
    desk.now += EVERY
    recording.output(desk.now, b"x")
    desk.sealer.seal_due()
    recording.output(desk.now, b"y")
    recording.close(desk.now)
    await desk.sealer.stop()
    report = verify_recording(stem, desk.public)
    assert (report.state, report.checkpoints, report.lines) == (State.WHOLE, 3, 5)
    assert (desk.sealed, desk.unsealed) == ([report.hash], [])


async def test_a_disk_that_loses_what_it_took_ends_the_recording(tmp_path: Path) -> None:
    with lying_disk(tmp_path / "disk", room="700k") as disk:
        desk = Desk(tmp_path, disk)
        recording = desk.recordings.open("s", "c", at=desk.now)
        sealed = 0

        async def go_on() -> None:
            nonlocal sealed
            recording.output(desk.now, b"x" * 50_000)
            desk.now += EVERY
            desk.sealer.seal_due()
            await asyncio.wait(desk.sealer._work)
            sealed += not desk.unsealed

        while not desk.unsealed:
            await go_on()
        assert sealed
        with pytest.raises(RecordingFailed, match=r"No space left|Input/output error"):
            await go_on()
        await desk.sealer.stop()
        assert desk.sealed == []
        assert desk.unsealed


async def test_a_full_disk_ends_the_session_and_the_next_start_tells_the_truth(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", "size=6m") as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(b"\0" * 1_000_000)
        await check_cut_short(disk, "No space left", ballast)


async def test_a_quota_ends_the_session_and_the_next_start_tells_the_truth(tmp_path: Path) -> None:
    recordings = tmp_path / "state/recordings"
    (tmp_path / "state").mkdir(mode=0o700)
    with quota_disk(recordings, tmp_path / "disk", room="4m"):
        ballast = recordings / "ballast"
        ballast.write_bytes(b"\0" * 1_000_000)
        await check_cut_short(tmp_path, "Disk quota exceeded", ballast, may_tear=True)


async def check_cut_short(folder: Path, why: str, ballast: Path, *, may_tear: bool = False) -> None:
    """A session that shows too much ends with the reason, and all that was shown is on disk."""
    async with bastion(folder, config="limits: {free_space: 0B}\n", opaque="allow") as running:
        ran = await running.ssh("yes some text | head -c 9000000")
        assert ran.status == 254
        assert why in ran.stderr
        [cast] = running.casts()
        # Where blocks are copied on write, a torn line cannot even be cut off a full disk.
        recorded, _, torn = cast.read_bytes().rpartition(b"\n")
        assert may_tear or not torn
        lines = [json.loads(line) for line in recorded.splitlines()[1:]]
        text = "".join(data for _, code, data in lines if code == "o")
        assert text.encode().startswith(ran.stdout)
        ballast.unlink()
    public = read_public_key(folder / "state/audit/ed25519.pub")
    async with app.running(load_config(folder / "bastion.yaml"), time.time):
        report = verify_recording(cast.with_suffix(""), public)
        # Whether the seal's last line still found room is the file system's secret.
        assert report.state in {State.FAILED, State.FINISHED}
        assert report.findings == []
        assert report.lines > 10
    assert cast.read_bytes().endswith(b"]\n")


async def test_below_the_floor_nothing_new_begins_and_the_disk_is_not_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=8m") as disk:
        async with bastion(disk, config="limits: {free_space: 1MiB}\n") as running:
            assert (await running.ssh("true")).status == 0
            free = os.statvfs(disk)
            (disk / "ballast").write_bytes(b"\0" * (free.f_bavail * free.f_bsize - 700_000))
            ran = await running.ssh("true")
            assert ran.status == 254
            assert "less than 1 MiB are free" in ran.stderr
