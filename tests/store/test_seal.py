"""Every change of a recording is found, and named for what it is; a second verifier agrees."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bastion.store.recording import SEAL_SUFFIX, SUFFIXES, Recording
from bastion.store.recordings import Recordings
from bastion.store.sealfile import SealReport, State, verify_recording
from bastion.store.signing import load_signing_key, read_public_key
from tests.store import second_verifier

AT = 1_700_000_000.0
ALL = (SEAL_SUFFIX, *SUFFIXES.values())


@pytest.fixture
def key(tmp_path: Path) -> Ed25519PrivateKey:
    return load_signing_key(tmp_path / "ed25519")


@pytest.fixture
def public(tmp_path: Path, key: Ed25519PrivateKey) -> Ed25519PublicKey:
    return read_public_key(tmp_path / "ed25519.pub")


def record(root: Path, key: Ed25519PrivateKey, channel: str = "c") -> Recording:
    """Three checkpoints, and lines after the last."""
    root.mkdir(exist_ok=True)
    recording = Recordings(root, floor_bytes=0, key=key).open("s", channel, at=AT, term="xterm")
    for second in range(40):
        recording.output(AT + second, f"line {second} of {channel}\r\n".encode())
        if second % 4 == 0:
            recording.event(AT + second, "verdict", {"rule": f"r{second}"})
        if second % 13 == 12:
            recording.seal(recording.snapshot(AT + second))
    return recording


@pytest.fixture
def stem(tmp_path: Path, key: Ed25519PrivateKey) -> Path:
    recording = record(tmp_path / "recordings", key)
    recording.close(AT + 50)
    return recording.path.with_suffix("")


def second(stem: Path, tmp_path: Path) -> str:
    return second_verifier.verify(stem, second_verifier.read_key(tmp_path / "ed25519.pub"))


def change(stem: Path, suffix: str, edit: Callable[[list[bytes]], object]) -> None:
    path = Path(f"{stem}{suffix}")
    lines = path.read_bytes().splitlines(keepends=True)
    edit(lines)
    path.write_bytes(b"".join(lines))


def test_a_recording_that_was_closed_is_whole(
    stem: Path, public: Ed25519PublicKey, tmp_path: Path
) -> None:
    report = verify_recording(stem, public)
    assert (report.state, report.findings, report.checkpoints) == (State.WHOLE, [], 5)
    assert (report.lines, report.unsealed) == (1 + 40 + 1 + 10 + 1, 0)
    assert second(stem, tmp_path) == "whole"
    words = [sys.executable, second_verifier.__file__, str(stem), str(tmp_path / "ed25519.pub")]
    assert subprocess.run(words, capture_output=True, text=True).stdout == "whole\n"


def test_one_that_grows_holds_up_to_its_last_checkpoint(
    tmp_path: Path, key: Ed25519PrivateKey, public: Ed25519PublicKey
) -> None:
    recording = record(tmp_path / "recordings", key)
    stem = recording.path.with_suffix("")
    report = verify_recording(stem, public)
    assert (report.state, report.findings, report.unsealed) == (State.LIVE, [], 1)
    recording.release()
    assert verify_recording(stem, public).state is State.UNFINISHED
    assert second(stem, tmp_path) == "unfinished"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            lambda lines: lines.__setitem__(5, lines[5].replace(b"4", b"5")),
            "1 line was changed from line 6",
        ),
        (
            lambda lines: lines.__setitem__(slice(5, 7), lines[6:4:-1]),
            "2 lines were in another order from line 6",
        ),
        (
            lambda lines: lines.insert(1, lines.pop(38)),
            "38 lines were in another order from line 2",
        ),
        (lambda lines: lines.pop(20), "1 line was removed at line 21"),
        (lambda lines: (lines.pop(30), lines.pop(2)), "2 lines were removed from line 3"),
        (lambda lines: lines.insert(20, lines[3]), "1 line was inserted at line 21"),
        (lambda lines: lines.append(lines[3]), "1 line was inserted at line 42"),
        (lambda lines: lines.append(b"x"), "bytes were added after the last line"),
        (lambda lines: lines.pop(), "the tail is cut: 1 lines from line 41 on are missing"),
        (lambda lines: lines.__delitem__(slice(9, None)), "the tail is cut: 32 lines from line 10"),
        (lambda lines: lines.__setitem__(-1, lines[-1][:9]), "in the middle of a line"),
        (lambda lines: lines.clear(), "the tail is cut: 41 lines from line 1"),
    ],
)
def test_every_change_of_the_cast_has_its_name(
    stem: Path,
    public: Ed25519PublicKey,
    tmp_path: Path,
    edit: Callable[[list[bytes]], object],
    said: str,
) -> None:
    change(stem, ".cast", edit)
    report = verify_recording(stem, public)
    assert report.state is State.BROKEN
    assert len(report.findings) == 1
    assert report.findings[0].startswith("c.cast: ")
    assert said in report.findings[0]
    assert second(stem, tmp_path) == "broken"


def test_missing_files_are_named(stem: Path, public: Ed25519PublicKey, tmp_path: Path) -> None:
    for suffix in ALL:
        path = Path(f"{stem}{suffix}")
        kept = path.read_bytes()
        path.unlink()
        report = verify_recording(stem, public)
        assert (report.state, len(report.findings)) == (State.BROKEN, 1)
        assert report.findings[0].startswith(f"{path.name}: this file is missing")
        assert second(stem, tmp_path) == "broken"
        path.write_bytes(kept)


def test_a_seal_cut_with_its_files_is_unfinished_never_whole(
    stem: Path, public: Ed25519PublicKey, tmp_path: Path
) -> None:
    change(stem, SEAL_SUFFIX, lambda lines: lines.pop())
    report = verify_recording(stem, public)
    assert (report.state, report.unsealed) == (State.UNFINISHED, 2)
    change(stem, ".cast", lambda lines: lines.pop())
    assert verify_recording(stem, public).state is State.UNFINISHED
    assert second(stem, tmp_path) == "unfinished"


def test_the_recording_of_another_channel_in_its_place(
    stem: Path, public: Ed25519PublicKey, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    record(tmp_path / "recordings", key, "d").close(AT + 50)
    for suffix in ALL:
        shutil.copy(f"{stem.with_name('d')}{suffix}", f"{stem}{suffix}")
    report = verify_recording(stem, public)
    assert report.findings == ["this is the recording of s/d, under another name"]
    assert second(stem, tmp_path) == "broken"


def test_another_key_is_named(stem: Path) -> None:
    report = verify_recording(stem, Ed25519PrivateKey.generate().public_key())
    assert report.state is State.BROKEN
    assert "signed by another key (SHA256:" in report.findings[0]


def mutate(chance: random.Random, stem: Path, other: Path) -> None:
    """Change one recording somehow; it may be given back as it was."""
    path = Path(f"{stem}{chance.choice(ALL)}")
    data = path.read_bytes()
    lines = data.splitlines(keepends=True)
    one, two = chance.randrange(len(lines)), chance.randrange(len(lines))
    place, bit = chance.randrange(len(data)), 1 << chance.randrange(8)
    match chance.randrange(9):
        case 0:
            data = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
        case 1:
            lines[one], lines[two] = lines[two], lines[one]
            data = b"".join(lines)
        case 2:
            del lines[min(one, two) : max(one, two) + 1]
            data = b"".join(lines)
        case 3:
            data = data[:place]
        case 4:
            lines.insert(one, lines[two])
            data = b"".join(lines)
        case 5:
            data = data[:place] + chance.randbytes(3) + data[place:]
        case 6:
            data = data[:place] + data[place + chance.randrange(1, 20) :]
        case 7:
            data = Path(f"{other}{path.name.removeprefix('c')}").read_bytes()
        case _:
            path.unlink()
            return
    path.write_bytes(data)


def test_of_a_thousand_random_mutations_none_goes_unseen(
    stem: Path, public: Ed25519PublicKey, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    other = record(tmp_path / "recordings", key, "d")
    other.close(AT + 50)
    kept = {suffix: Path(f"{stem}{suffix}").read_bytes() for suffix in ALL}
    chance = random.Random(7)
    seen = 0
    while seen < 1000:
        mutate(chance, stem, other.path.with_suffix(""))
        found = {path: path.read_bytes() for path in map(Path, paths(stem)) if path.exists()}
        if list(found.values()) != list(kept.values()):
            seen += 1
            report = verify_recording(stem, public)
            assert report.state in {State.BROKEN, State.UNFINISHED}, report
            if seen % 20 == 0:
                assert second(stem, tmp_path) == report.state
        for suffix, data in kept.items():
            Path(f"{stem}{suffix}").write_bytes(data)
    assert verify_recording(stem, public) == SealReport("s", "c", State.WHOLE, 5, 53, 0, last(stem))


def paths(stem: Path) -> list[str]:
    return [f"{stem}{suffix}" for suffix in ALL]


def last(stem: Path) -> str:
    line = Path(f"{stem}{SEAL_SUFFIX}").read_bytes().splitlines()[-1]
    return line.split(b'"hash":"')[1][:64].decode()


def test_a_file_of_one_endless_line_is_read_in_pieces(stem: Path, public: Ed25519PublicKey) -> None:
    with Path(f"{stem}.cast").open("ab") as file:
        file.truncate(1 << 29)
    words = [sys.executable, "-c", VERIFY, str(stem), str(stem.parents[3] / "ed25519.pub")]
    limited = ["prlimit", "--as=600000000", *words]
    ran = subprocess.run(limited, capture_output=True, text=True, check=True)
    assert "bytes were added after the last line" in ran.stdout


VERIFY = """
import sys
from pathlib import Path
from bastion.store.sealfile import verify_recording
from bastion.store.signing import read_public_key
print(verify_recording(Path(sys.argv[1]), read_public_key(Path(sys.argv[2]))))
"""
