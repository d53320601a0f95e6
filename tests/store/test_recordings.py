import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bastion.errors import RecordingFailed
from bastion.events import Stream
from bastion.store.recordings import Recordings

AT = 1_700_000_000.0


def lines(path: Path) -> list[object]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_recording_lies_where_its_day_session_and_channel_say(tmp_path: Path) -> None:
    recording = Recordings(tmp_path).open("s1", "c1", at=AT, term="xterm", title="true on web")
    recording.output(AT + 1, b"out\n")
    recording.output(AT + 2, b"err\n", Stream.STDERR)
    recording.resize(AT + 3, 100, 30)
    recording.marker(AT + 4, "here")
    recording.event(AT + 5, "verdict", {"rule": "r\udc80"})
    totals = recording.close(AT + 6)
    assert recording.path == tmp_path / "2023-11-14/s1/c1.cast"
    header, *rest = lines(recording.path)
    assert header["env"] == {"TERM": "xterm"}
    assert rest == [
        [1.0, "o", "out\n"],
        [2.0, "o", "err\n"],
        [3.0, "r", "100x30"],
        [4.0, "m", "here"],
    ]
    start, verdict, end = lines(recording.path.with_suffix(".events.jsonl"))
    assert (start["kind"], end["kind"]) == ("start", "end")
    assert verdict == {"time": 5.0, "at": AT + 5, "kind": "verdict", "fields": {"rule": "r\udc80"}}
    assert (totals.size, totals.events, end["fields"]["stderr_bytes"]) == (8, 4, 4)
    assert {path.stat().st_mode & 0o777 for path in recording.path.parent.iterdir()} == {0o600}
    assert recording.path.parent.stat().st_mode & 0o777 == 0o700
    assert list(Recordings(tmp_path).find("s1")) == [recording.path]
    assert list(Recordings(tmp_path).find("s2")) == []


@pytest.mark.parametrize("name", ["../x", "", ".", "a/b", "a\0b", "x" * 65, "-x", "é", "a\n"])
def test_names_that_could_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    for session, channel in ((name, "c"), ("s", name)):
        with pytest.raises(RecordingFailed):
            Recordings(tmp_path).open(session, channel, at=AT)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path)
    recordings.open("s", "c", at=AT).output(AT, b"first")
    with pytest.raises(RecordingFailed, match="exists"):
        recordings.open("s", "c", at=AT)
    assert b"first" in (tmp_path / "2023-11-14/s/c.cast").read_bytes()


@pytest.mark.parametrize("planted", ["2023-11-14", "2023-11-14/s", "2023-11-14/s/c.cast"])
def test_a_planted_link_is_not_followed(tmp_path: Path, planted: str) -> None:
    root, elsewhere = tmp_path / "recordings", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    link = root / planted
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere / "new" if planted.endswith("cast") else elsewhere)
    with pytest.raises(RecordingFailed):
        Recordings(root).open("s", "c", at=AT)
    assert list(elsewhere.iterdir()) == []


def test_too_little_room_refuses_the_recording(tmp_path: Path) -> None:
    with pytest.raises(RecordingFailed, match="free"):
        Recordings(tmp_path, floor_bytes=2**62).open("s", "c", at=AT)


def test_a_folder_that_is_gone_refuses_the_recording(tmp_path: Path) -> None:
    with pytest.raises(RecordingFailed, match="No such file"):
        Recordings(tmp_path / "none").open("s", "c", at=AT)


def test_input_is_never_recorded(tmp_path: Path) -> None:
    recording = Recordings(tmp_path).open("s", "c", at=AT)
    with pytest.raises(ValueError, match="input"):
        recording.output(AT, b"secret", Stream.STDIN)


def test_closing_twice_gives_the_same_sums_and_nothing_more_is_taken(tmp_path: Path) -> None:
    recording = Recordings(tmp_path).open("s", "c", at=AT)
    recording.output(AT, b"x")
    assert recording.close(AT) == recording.close(AT)
    with pytest.raises(RecordingFailed, match="closed"):
        recording.output(AT, b"y")


FILL = """
import sys
from pathlib import Path
from bastion.store.recordings import Recordings
from bastion.errors import RecordingFailed
recording = Recordings(Path(sys.argv[1]), floor_bytes=0).open("s", "c", at=1.0)
shown = 0
try:
    while True:
        recording.output(2.0, b"x" * 1000)
        shown += 1000
except RecordingFailed as failure:
    print(shown, failure)
try:
    recording.output(3.0, b"y")
except RecordingFailed:
    print("dead")
try:
    recording.close(3.0)
except RecordingFailed:
    print("unclosed")
"""


def fill(root: Path, *wrapper: str) -> list[str]:
    words = [*wrapper, sys.executable, "-c", FILL, str(root)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()


def check_failed_recording(root: Path, printed: list[str], reason: str) -> None:
    shown, _, sentence = printed[0].partition(" ")
    assert reason in sentence
    assert printed[1:] == ["dead", "unclosed"]
    _, *events = lines(root / "1970-01-01/s/c.cast")
    recorded = sum(len(data) for _, _, data in events)
    assert recorded == int(shown) > 0


def test_a_file_that_may_not_grow_ends_the_recording_at_a_whole_line(tmp_path: Path) -> None:
    printed = fill(tmp_path, "prlimit", "--fsize=50000")
    check_failed_recording(tmp_path, printed, "File too large")


def test_a_full_disk_ends_the_recording_at_a_whole_line(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        check_failed_recording(disk, fill(disk), "No space left")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_read_only_disk_refuses_the_recording(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a read-only file system")
    try:
        with pytest.raises(RecordingFailed, match="Read-only"):
            Recordings(disk, floor_bytes=0).open("s", "c", at=AT)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


ENDLESS = """
import sys
from pathlib import Path
from bastion.store.recordings import Recordings
recording = Recordings(Path(sys.argv[1]), floor_bytes=0).open("s", "c", at=1.0)
number = 0
while True:
    recording.output(2.0, b"%d " % number)
    # Only what is recorded is shown: the reader of this pipe is the person at the terminal.
    sys.stdout.write(f"{number} ")
    sys.stdout.flush()
    number += 1
"""


def test_killed_at_any_moment_it_holds_all_that_was_shown(tmp_path: Path) -> None:
    words = [sys.executable, "-c", ENDLESS, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        head = writer.stdout.read(20_000)
        writer.send_signal(signal.SIGKILL)
        shown = (head + writer.stdout.read()).decode()
    _, *events = lines(tmp_path / "1970-01-01/s/c.cast")
    assert "".join(data for _, _, data in events).startswith(shown)


def test_asciinema_gives_the_bytes_back(tmp_path: Path) -> None:
    recording = Recordings(tmp_path).open("s", "c", at=AT)
    data = "ls\r\n\x1b[1mé漢字\u2028\x85\x00\x7f🎉\x1b[0m\n".encode() * 500
    for start in range(0, len(data), 7):
        recording.output(AT + start, data[start : start + 7])
    recording.close(AT + len(data))
    cat = [sys.executable, "-m", "asciinema", "cat", str(recording.path)]
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONUTF8": "1"}
    played = subprocess.run(cat, check=True, capture_output=True, env=environment)
    assert played.stdout == data
