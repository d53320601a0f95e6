import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from bastion.cli.replay import replay
from bastion.errors import CastFault
from bastion.store.recordings import Recordings
from replay.catalogue import Folder
from tests.replay import casts


def plain(path: Path) -> Result:
    return CliRunner().invoke(replay, ["--plain", str(path)])


def test_plain_prints_the_text_and_no_control_byte(tmp_path: Path) -> None:
    events = [
        (0.0, "o", "\x1b[1mhello\x1b[0m\r\n\x1b]52;c;aGk=\x07\x07world\u202e\x9b\r\n"),
        (1.0, "r", "5x5"),
        (2.0, "m", "unseen"),
    ]
    casts.write(tmp_path / "x.cast", *events).close()
    result = plain(tmp_path / "x.cast")
    assert result.exit_code == 0
    assert result.output.splitlines() == ["hello", "world\\u{202e}"]


def test_our_own_recording_of_a_command_without_terminal(tmp_path: Path) -> None:
    recording = Recordings(tmp_path, floor_bytes=0).open("s", "c", at=1.0)
    recording.output(1.0, b"one\ntwo\n" + b"x" * 200)
    recording.close(2.0)
    assert plain(recording.path).output.splitlines() == ["one", "two", "x" * 200]


def test_damage_is_told_after_what_is_whole(tmp_path: Path) -> None:
    casts.write(tmp_path / "x.cast", (0.0, "o", "whole\r\n"), tail=b'[1,"o","to').close()
    words = [sys.executable, "-m", "bastion", "replay", "--plain", str(tmp_path / "x.cast")]
    ran = subprocess.run(words, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (1, "whole\n")
    assert ran.stderr.startswith("bastion: x.cast:3: ")
    assert ran.stderr.count("\n") == 1


def test_without_a_terminal_it_says_what_to_use(tmp_path: Path) -> None:
    casts.write(tmp_path / "x.cast").close()
    result = CliRunner().invoke(replay, [str(tmp_path / "x.cast")])
    assert (result.exit_code, "--plain" in result.output) == (2, True)


def test_a_pipe_among_recordings_is_no_recording_and_nobody_waits_for_it(tmp_path: Path) -> None:
    casts.write(tmp_path / "x.cast", (0.0, "o", "hello")).close()
    for name in ("pipe.cast", "pipe.cast.zst"):
        os.mkfifo(tmp_path / name)
        fault = plain(tmp_path / name).exception
        assert isinstance(fault, CastFault)
        assert str(fault).startswith(f"{name}: this is no file")
    assert [entry.channels for entry in Folder(tmp_path).find("")] == [3]


def test_faults_of_packed_files_name_the_file(tmp_path: Path) -> None:
    for name in ("x.cast.zst", "x.cast.enc"):
        (tmp_path / name).write_bytes(b"\x28\xb5\x2f\xfdnonsense")
        assert str(plain(tmp_path / name).exception).startswith(f"{name}: this ")
