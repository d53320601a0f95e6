from pathlib import Path

import pytest
from textual.app import App, ComposeResult

from bastion.store.recordings import Recordings
from replay.castfile import CastFile
from replay.terminal import LiveTerminal


class Console(App[None]):
    def __init__(self, cast: CastFile) -> None:
        super().__init__()
        self.cast = cast

    def compose(self) -> ComposeResult:
        yield LiveTerminal(self.cast)


def shown(app: Console) -> list[str]:
    view = app.query_one(LiveTerminal)
    while not view.follow():
        pass
    return [view.render_line(y).text.rstrip() for y in range(4)]


async def test_a_live_session_is_joined_late_and_followed(tmp_path: Path) -> None:
    recording = Recordings(tmp_path, floor_bytes=0).open("s", "c", at=1.0, term="xterm")
    recording.output(1.0, b"gone\x1b[2J\x1b[Hpresent\r\n")
    with CastFile(recording.path, live=True) as cast:
        app = Console(cast)
        async with app.run_test(size=(80, 24)):
            assert shown(app)[:2] == ["present", ""]
            recording.output(2.0, b"more\r\n")
            assert shown(app)[:2] == ["present", "more"]
            recording.resize(3.0, 20, 5)
            recording.output(4.0, b"x" * 25)
            assert shown(app)[2:] == ["x" * 20, "x" * 5]
            recording.close(5.0)
            assert app.query_one(LiveTerminal).fault == ""


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
