"""Exports: text, the cast itself, a picture, and a page that plays in a real browser."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bastion.cli.replay import replay
from tests.harness.chromium import chromium
from tests.replay import casts, sessions

HOSTILE = "<script>document.title='pwned'</script>&lt;\x1b]0;pwned\x07\x07\u202e@DATA@"


def write(*words: str) -> Result:
    return CliRunner().invoke(replay, [*words])


@pytest.fixture
def cast(tmp_path: Path) -> Path:
    path = tmp_path / "x.cast"
    events = [
        (0.0, "o", "\x1b[1;31mred\x1b[0m \x1b[7mback\x1b[0m 日本\r\n"),
        (1.0, "o", HOSTILE + "\r\n"),
        (2.0, "m", "here"),
        (3.0, "r", "60x12"),
        (4.0, "o", "\x1b[2J\x1b[Hlast"),
    ]
    casts.write(path, *events, title="<b>@DATA@</b>\x1b]0;x\x07\u202e", width=80).close()
    return path


def test_the_cast_comes_out_as_it_is(cast: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.cast"
    assert write(str(cast), "--export", str(out)).exit_code == 0
    assert out.read_bytes() == cast.read_bytes()
    assert "there already" in str(write(str(cast), "--export", str(out)).exception)


def test_a_damaged_cast_comes_out_as_far_as_it_is_whole(cast: Path, tmp_path: Path) -> None:
    whole = cast.read_bytes()
    with cast.open("ab") as file:
        file.write(b'[5.0,"o","tor')
    out = tmp_path / "out.cast"
    assert "x.cast:7" in str(write(str(cast), "--export", str(out)).exception)
    assert out.read_bytes() == whole


def test_text_has_no_control_character(cast: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    assert write(str(cast), "--export", str(out)).exit_code == 0
    text = out.read_text()
    assert text.splitlines()[0] == "red back 日本"
    assert all(one.isprintable() or one == "\n" for one in text)


def test_a_picture_is_of_the_screen_at_a_place(cast: Path, tmp_path: Path) -> None:
    early, late = tmp_path / "early.svg", tmp_path / "late.svg"
    assert write(str(cast), "--export", str(early), "--at", "25%").exit_code == 0
    assert write(str(cast), "--export", str(late)).exit_code == 0
    root = ElementTree.fromstring(early.read_text())
    shown = "".join(root.itertext())
    assert "日本" in shown
    assert "<script>document.title='pwned'</script>" in shown
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {
        "svg",
        "title",
        "rect",
        "text",
    }
    assert "last" not in shown
    assert "last" in "".join(ElementTree.fromstring(late.read_text()).itertext())


def test_no_format_is_guessed(cast: Path, tmp_path: Path) -> None:
    result = write(str(cast), "--export", str(tmp_path / "x.gif"))
    assert ".txt, .cast, .html, .svg" in str(result.exception)
    assert not (tmp_path / "x.gif").exists()
    result = write(str(cast), "--export", str(tmp_path / "x.svg"), "--at", "x")
    assert "no place" in str(result.exception)


async def test_the_page_plays_in_a_browser_and_runs_nothing_else(
    cast: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.html"
    assert write(str(cast), "--export", str(out)).exit_code == 0
    async with chromium(tmp_path) as browser:
        await browser.open(out.as_uri())
        assert await browser.text("h1") == "<b>@DATA@</b>␛]0;x␇\\u{202e}"
        await browser.script("place = 1; draw()")
        lines = (await browser.text("#screen")).splitlines()
        assert lines[0] == "red back 日本"
        assert lines[1].startswith("<script>document.title='pwned'</script>&lt;")
        assert await browser.script("return document.title") == "<b>@DATA@</b>␛]0;x␇\\u{202e}"
        assert await browser.script("return document.scripts.length") == 2
        red = "return getComputedStyle(document.querySelector('#screen i')).color"
        assert await browser.script(red) == "rgb(224, 108, 117)"
        await browser.script("place = 4; draw()")
        assert (await browser.text("#screen")).strip() == "last"
        assert await browser.script("return document.querySelectorAll('#screen div').length") == 12
        await browser.script("place = 0.5; draw()")
        assert (await browser.text("#screen")).splitlines()[0] == "red back 日本"
        await browser.script("place = 3.9; draw()")
        await browser.click("#play")
        await browser.script("document.getElementById('speed').value = '16'")
        ended = "return place >= end && !playing"
        while not await browser.script(ended):
            pass
        requests = "return performance.getEntriesByType('resource').length"
        assert await browser.script(requests) == 0


async def test_the_page_lists_what_happened_and_goes_there(tmp_path: Path) -> None:
    folder = sessions.write(tmp_path)
    out = tmp_path / "out.html"
    assert write(str(folder / "c1.cast"), "--export", str(out)).exit_code == 0
    async with chromium(tmp_path) as browser:
        await browser.open(out.as_uri())
        assert (await browser.text("#list")).splitlines()[1] == "0:02deny rm -rf /etc"
        await browser.click("#list li:nth-child(3)")
        assert await browser.text("#clock") == "0:20 / 0:20"
        assert (await browser.text("#screen")).splitlines()[1] == "done"
        await browser.screenshot(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 5000
