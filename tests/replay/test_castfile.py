from pathlib import Path

import pytest

from bastion.errors import CastFault
from replay.castfile import CastFile
from tests.replay import casts


def test_events_are_found_again_in_any_order(tmp_path: Path) -> None:
    events = [(float(number), "o", "é" * number) for number in range(50)]
    with casts.write(tmp_path / "x.cast", *events) as cast:
        assert len(cast) == 50
        for number in (49, 0, 25):
            assert cast.event(number).data == "é" * number
        assert cast.fault == ""


@pytest.mark.parametrize(
    ("tail", "what"),
    [
        (b'[2.0,"o","tor', "no asciicast event"),
        (b'[2.0,"o","whole but for its newline"]', "not whole"),
        (b"nonsense\n", "no asciicast event"),
        (b'[2.0,"r","80"]\n', "no size"),
        (b'[1e300,"o","x"]\n', "years"),
        (b'[2.0,"o","' + b"x" * 9_000_000 + b'"]\n', "longer than"),
        (b"\n", "no asciicast event"),
        (b"\x00" * 5000, "no asciicast event"),
        (b'[2.0,"o","x",' + b"[" * 100_000 + b"]" * 100_000 + b"]\n", "recursion"),
    ],
)
def test_damage_ends_it_and_names_the_line(tmp_path: Path, tail: bytes, what: str) -> None:
    after = b'[3.0,"o","after"]\n' if tail.endswith(b"\n") else b""
    events = [(0.0, "o", "a"), (1.0, "m", "here")]
    with casts.write(tmp_path / "x.cast", *events, tail=tail + after) as cast:
        assert len(cast) == 2
        assert cast.fault.startswith("x.cast:4: ")
        assert what in cast.fault


def test_time_that_runs_backwards_is_straightened(tmp_path: Path) -> None:
    events = [(5.0, "o", "a"), (1.0, "o", "b"), (6.0, "m", "c")]
    with casts.write(tmp_path / "x.cast", *events) as cast:
        assert list(cast.times) == [5.0, 5.0, 6.0]
        assert cast.markers == [(2, "c")]


def test_what_is_no_cast_is_a_fault(tmp_path: Path) -> None:
    deep = b'{"version":2,"width":80,"height":24,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    for data in (b"", b"\n", b"{}\n", b"\x7fELF" * 1000, deep):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(CastFault, match="x:1"):
            CastFile(tmp_path / "x")
    with pytest.raises(CastFault, match="No such file"):
        CastFile(tmp_path / "none")
    with pytest.raises(CastFault, match="no file"):
        CastFile(tmp_path)


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_line_that_is_half_written_is_waited_for(tmp_path: Path, cut: int) -> None:
    path, line = tmp_path / "x.cast", b'[1.0,"o","one"]\n[2.0,"o","two"]\n'
    path.write_bytes(b'{"version":2,"width":80,"height":24}\n' + line[:cut])
    with CastFile(path, live=True) as cast:
        with path.open("ab") as file:
            file.write(line[cut:])
        assert cast.read_on()
        assert (len(cast), cast.fault, cast.progress) == (2, "", 1.0)


def test_a_long_index_is_built_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "x.cast"
    path.write_bytes(b'{"version":2,"width":80,"height":24}\n' + b'[1.0,"o","one"]\n' * 100)
    with CastFile(path, whole=False) as cast:
        assert not cast.read_on(0)
        assert 0 < cast.progress < 1
        while not cast.read_on(0):
            pass
        assert (len(cast), cast.progress) == (100, 1.0)
