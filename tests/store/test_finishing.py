"""What a crash left is finished truthfully; what was changed meanwhile is left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bastion.store.finishing import Finished, finish, finish_all
from bastion.store.recording import SEAL_SUFFIX, SUFFIXES
from bastion.store.recordings import Recordings
from bastion.store.sealfile import State, verify_recording
from bastion.store.signing import load_signing_key, read_public_key
from tests.replay.casts import text_of
from tests.store import second_verifier
from tests.store.test_seal import record

AT = 1_700_000_000.0
ORDER = (SEAL_SUFFIX, *SUFFIXES.values())


@pytest.fixture
def key(tmp_path: Path) -> Ed25519PrivateKey:
    return load_signing_key(tmp_path / "ed25519")


@pytest.fixture
def public(tmp_path: Path, key: Ed25519PrivateKey) -> Ed25519PublicKey:
    return read_public_key(tmp_path / "ed25519.pub")


def states(root: Path, key: Ed25519PrivateKey) -> Iterator[dict[str, int]]:
    """Sizes of the three files after every step of a recording's life, as they are on the disk."""
    recordings = Recordings(root, floor_bytes=0, key=key)
    recording = recordings.open("s", "c", at=AT)
    stem = recording.path.with_suffix("")

    def sizes() -> dict[str, int]:
        return {suffix: Path(f"{stem}{suffix}").stat().st_size for suffix in ORDER}

    yield sizes()
    for number in range(3):
        recording.output(AT + number, b"shown %d\n" % number)
        yield sizes()
        recording.event(AT + number, "verdict", {"rule": "r"})
        yield sizes()
        recording.seal(recording.snapshot(AT + number))
        yield sizes()
    recording.output(AT + 4, "é".encode()[:1])
    recording.close(AT + 5)
    yield sizes()


def moments(steps: list[dict[str, int]]) -> Iterator[dict[str, int]]:
    """Every so many bytes of what was written, in the order in which it was."""
    before = dict.fromkeys(ORDER, 0)
    for after in steps:
        # A step writes to one file, or to each in this order; the last line is the seal's.
        order = ORDER if after is not steps[-1] else (*ORDER[1:], ORDER[0])
        for suffix in order:
            for size in range(before[suffix], after[suffix], 11):
                yield {**before, suffix: size}
            before = {**before, suffix: after[suffix]}
    yield before


def test_killed_at_any_byte_it_plays_and_verifies(
    tmp_path: Path, key: Ed25519PrivateKey, public: Ed25519PublicKey
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    steps = list(states(whole, key))
    data = {suffix: (whole / f"2023-11-14/s/c{suffix}").read_bytes() for suffix in ORDER}
    stem = tmp_path / "left/s/c"
    stem.parent.mkdir(parents=True)
    seen = set()
    for number, sizes in enumerate(moments(steps)):
        for suffix, size in sizes.items():
            Path(f"{stem}{suffix}").write_bytes(data[suffix][:size])
        assert verify_recording(stem, public).findings == []
        finished = finish(stem, key, AT + 100)
        report = verify_recording(stem, public)
        assert report.findings == []
        assert (finished is None) == (report.state is State.WHOLE)
        assert report.state in {State.WHOLE, State.FINISHED}
        assert finish(stem, key, AT + 200) is None
        seen.add(report.state)
        shown = data[".cast"][: sizes[".cast"]]
        assert Path(f"{stem}.cast").read_bytes() == shown[: shown.rfind(b"\n") + 1]
        if number % 40 == 0:
            public_key = second_verifier.read_key(tmp_path / "ed25519.pub")
            assert second_verifier.verify(stem, public_key) == "whole"
    assert seen == {State.WHOLE, State.FINISHED}


def test_it_says_what_nothing_vouched_for_and_what_was_removed(
    tmp_path: Path, key: Ed25519PrivateKey, public: Ed25519PublicKey
) -> None:
    recording = record(tmp_path / "recordings", key)
    recording.release()
    with recording.path.open("ab") as file:
        file.write(b'[99.0,"o","tor')
    [finished] = finish_all(tmp_path / "recordings", key, AT + 100)
    stem = recording.path.with_suffix("")
    report = verify_recording(stem, public)
    assert report.state is State.FINISHED
    assert finished == Finished("s", "c", report.hash, unsealed_lines=1, removed_bytes=14)
    last = json.loads(Path(f"{stem}.events.jsonl").read_bytes().splitlines()[-1])
    assert (last["kind"], last["time"], last["at"]) == ("finished", 100.0, AT + 100)
    assert last["fields"] == {
        "reason": "the bastion stopped before this channel ended",
        "unsealed_lines": 1,
        "removed_bytes": 14,
    }
    assert list(finish_all(tmp_path / "recordings", key, AT + 200)) == []


@pytest.mark.parametrize(
    ("suffix", "edit", "problem"),
    [
        (".cast", lambda data: data.replace(b"line 3 ", b"line 4 "), "c.cast was changed"),
        (".cast", lambda data: data[:500], "shorter than what was sealed"),
        (".cast", lambda data: None, "c.cast is missing"),
        (".events.jsonl", lambda data: data.replace(b"r8", b"r9"), "c.events.jsonl was changed"),
        (".seal.jsonl", lambda data: data.replace(b"checkpoint", b"checkpoinT"), "does not hold"),
        (".seal.jsonl", lambda data: b"", "its seal is empty"),
    ],
)
def test_what_was_changed_is_left_as_it_is(
    tmp_path: Path, key: Ed25519PrivateKey, suffix: str, edit: object, problem: str
) -> None:
    recording = record(tmp_path / "recordings", key)
    recording.release()
    path = Path(f"{recording.path.with_suffix('')}{suffix}")
    data = edit(path.read_bytes())  # type: ignore[operator]
    path.unlink() if data is None else path.write_bytes(data)
    before = {one: one.read_bytes() for one in path.parent.iterdir()}
    [finished] = finish_all(tmp_path / "recordings", key, AT)
    assert problem in finished.problem
    assert {one: one.read_bytes() for one in path.parent.iterdir()} == before


def test_what_is_being_recorded_is_not_touched(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    recording = record(tmp_path / "recordings", key)
    assert list(finish_all(tmp_path / "recordings", key, AT)) == []
    recording.close(AT + 50)


ENDLESS = """
import sys
from pathlib import Path
from bastion.store.recordings import Recordings
from bastion.store.signing import load_signing_key
folder = Path(sys.argv[1])
key = load_signing_key(folder / "ed25519")
recording = Recordings(folder, floor_bytes=0, key=key).open("s", "c", at=1.0)
number = 0
while True:
    recording.output(2.0, b"%d " % number)
    # Only what is recorded is shown: the reader of this pipe is the person at the terminal.
    sys.stdout.write(f"{number} ")
    sys.stdout.flush()
    number += 1
    if number % 500 == 0:
        recording.seal(recording.snapshot(2.0))
"""


def test_killed_by_the_kernel_it_holds_all_that_was_shown(tmp_path: Path) -> None:
    words = [sys.executable, "-c", ENDLESS, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        head = writer.stdout.read(20_000)
        writer.send_signal(signal.SIGKILL)
        shown = (head + writer.stdout.read()).decode()
    stem = tmp_path / "1970-01-01/s/c"
    public = read_public_key(tmp_path / "ed25519.pub")
    report = verify_recording(stem, public)
    assert (report.state, report.findings) == (State.UNFINISHED, [])
    assert report.lines > 500
    finish(stem, load_signing_key(tmp_path / "ed25519"), 9.0)
    assert verify_recording(stem, public).state is State.FINISHED
    assert text_of(Path(f"{stem}.cast")).startswith(shown)
    assert os.path.getsize(f"{stem}.cast") > len(shown)
