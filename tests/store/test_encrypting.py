"""Recordings that only their recipients can read: while they grow, after a crash, at rest."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bastion.cli.replay import replay
from bastion.config import load_config
from bastion.errors import CastFault, ConfigError
from bastion.store.encrypting import Recipients
from bastion.store.finishing import finish
from bastion.store.packing import pack
from bastion.store.recording import Recording
from bastion.store.recordings import Recordings
from bastion.store.sealfile import State, verify_recording
from bastion.store.signing import load_signing_key, read_public_key

AT = 1_700_000_000.0
ANN = pyrage.x25519.Identity.generate()
BOB = pyrage.x25519.Identity.generate()


@pytest.fixture
def key(tmp_path: Path) -> Ed25519PrivateKey:
    return load_signing_key(tmp_path / "ed25519")


@pytest.fixture
def public(tmp_path: Path, key: Ed25519PrivateKey) -> Ed25519PublicKey:
    return read_public_key(tmp_path / "ed25519.pub")


@pytest.fixture
def recording(tmp_path: Path, key: Ed25519PrivateKey) -> Recording:
    """One that grows, with a checkpoint and lines after it."""
    recipients = Recipients([str(ANN.to_public()), str(BOB.to_public())])
    root = tmp_path / "recordings"
    root.mkdir()
    recordings = Recordings(root, floor_bytes=0, key=key, recipients=recipients)
    recording = recordings.open("s", "c", at=AT, term="xterm", title="a secret title")
    for second in range(20):
        recording.output(AT + second, f"secret line {second}\r\n".encode())
        if second == 15:
            recording.seal(recording.snapshot(AT + second))
    return recording


def stem_of(recording: Recording) -> Path:
    return recording.path.with_suffix("")


def play(recording: Recording, *words: str, identity: object = ANN) -> Result:
    file = recording.path.parent.parent / "identity"
    file.write_text(f"# created: now\n{identity}\n")
    path = f"{stem_of(recording)}.cast.enc"
    return CliRunner().invoke(replay, ["--plain", "--identity", str(file), path, *words])


def test_nothing_of_it_is_readable_on_the_disk_and_its_recipients_read_all(
    recording: Recording, public: Ed25519PublicKey
) -> None:
    for path in recording.path.parent.iterdir():
        assert b"secret" not in path.read_bytes(), path
    wanted = [f"secret line {second}" for second in range(20)]
    assert play(recording).output.splitlines() == wanted, "while it grows, too"
    recording.close(AT + 30)
    report = verify_recording(stem_of(recording), public)
    assert (report.state, report.findings) == (State.WHOLE, [])
    assert play(recording).output.splitlines() == wanted
    assert play(recording, identity=BOB).output.splitlines() == wanted
    other = play(recording, identity=pyrage.x25519.Identity.generate())
    assert "encrypted to others" in str(other.exception)
    without = CliRunner().invoke(replay, ["--plain", f"{stem_of(recording)}.cast.enc"])
    assert "--identity" in str(without.exception)
    assert pack(stem_of(recording), public) == 0


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda data: data[:-9], "in the middle of a line"),
        (lambda data: data + b"\0\0\0\1x", "1 line was inserted"),
        (lambda data: data[:700] + bytes([data[700] ^ 1]) + data[701:], "changed"),
        (lambda data: data[:40] + b"x" + data[41:], "1 line was changed from line 1"),
    ],
)
def test_a_change_of_what_nobody_here_can_read_is_found(
    recording: Recording, public: Ed25519PublicKey, edit: object, said: str
) -> None:
    recording.close(AT + 30)
    path = Path(f"{stem_of(recording)}.cast.enc")
    path.write_bytes(edit(path.read_bytes()))  # type: ignore[operator]
    report = verify_recording(stem_of(recording), public)
    assert report.state is State.BROKEN
    assert said in report.findings[0]


def test_frames_in_another_order_are_not_played(recording: Recording) -> None:
    recording.close(AT + 30)
    path = Path(f"{stem_of(recording)}.cast.enc")
    data = path.read_bytes()
    at = data.index(b"\n") + 1
    one = at + 4 + int.from_bytes(data[at : at + 4], "big")
    two = one + 4 + int.from_bytes(data[one : one + 4], "big")
    path.write_bytes(data[:at] + data[one:two] + data[at:one] + data[two:])
    assert isinstance(play(recording).exception, CastFault)


def test_a_crash_is_finished_without_the_key(
    recording: Recording, key: Ed25519PrivateKey, public: Ed25519PublicKey
) -> None:
    recording.release()
    path = Path(f"{stem_of(recording)}.cast.enc")
    with path.open("ab") as file:
        file.write(b"\0\0\1\0torn")
    assert verify_recording(stem_of(recording), public).state is State.UNFINISHED
    finished = finish(stem_of(recording), key, AT + 60)
    assert finished is not None
    assert (finished.unsealed_lines, finished.removed_bytes) == (4, 8)
    report = verify_recording(stem_of(recording), public)
    assert (report.state, report.findings) == (State.FINISHED, [])
    assert play(recording).output.splitlines()[-1] == "secret line 19"


def test_the_age_program_opens_the_key(recording: Recording, tmp_path: Path) -> None:
    """The header's key is a plain age file, whatever became of this program."""
    import base64
    import json

    header = json.loads(Path(f"{stem_of(recording)}.cast.enc").read_bytes().split(b"\n")[0])
    wrapped = base64.b64decode(header["key"])
    assert wrapped.startswith(b"age-encryption.org/v1\n")
    assert len(pyrage.decrypt(wrapped, [BOB])) == 32
    if shutil.which("age"):
        (tmp_path / "id").write_text(f"{ANN}\n")
        words = ["age", "--decrypt", "--identity", str(tmp_path / "id")]
        ran = subprocess.run(words, input=wrapped, capture_output=True, check=True)
        assert len(ran.stdout) == 32


def test_a_recipient_that_is_none_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("version: 1\nroles: {}\n")
    path = tmp_path / "bastion.yaml"
    path.write_text("state: s\npolicy: policy.yaml\nrecordings:\n  encrypt_to: age1nonsense\n")
    with pytest.raises(ConfigError, match=r"bastion.yaml:4:\d+.*age recipient"):
        load_config(path)
    path.write_text(
        f"state: s\npolicy: policy.yaml\nrecordings: {{encrypt_to: {ANN.to_public()}}}\n"
    )
    assert load_config(path).recordings.encrypt_to == (str(ANN.to_public()),)


def test_a_frame_that_unpacks_to_gigabytes_is_read_by_pieces(tmp_path: Path) -> None:
    """Anybody may encrypt to a recipient, so a recording sent to one may be such a thing."""
    writer = Recipients([str(ANN.to_public())]).writer()
    path = tmp_path / "x.cast.enc"
    path.write_bytes(writer.header + writer.frame(bytes(1 << 27)))
    (tmp_path / "identity").write_text(str(ANN))
    words = [sys.executable, "-c", READ, str(path), str(tmp_path / "identity")]
    size, most = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert int(size) == 1 << 27
    assert int(most) < 100_000, "KB of memory; what it unpacks to is 131,072"


READ = """
import sys
from pathlib import Path
from bastion.wire.packed import unpacked
from replay.identity import load_identity
with open(sys.argv[1], "rb") as file:
    plain = unpacked(file, "enc", load_identity(Path(sys.argv[2])))
    size = sum(iter(lambda: len(plain.read(1 << 20)), 0))
print(size, Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""
