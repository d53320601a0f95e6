import avt
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.tap import present
from bastion.tap.tail import KEPT, Seen, Tail

FRAME = b"\x1b[?1049h\x1b[2J\x1b[Hheader\r\n\x1b[31mred\x1b[m\x1b[24;1Hfooter"


def no_work() -> float:
    """A machine on which nothing takes any time."""
    return 0.0


def played(seen: Seen) -> list[str]:
    """What somebody sees who joins now."""
    terminal = avt.Vt(seen.columns, seen.rows, scrollback_limit=0)
    terminal.feed_str(seen.data.decode("utf-8", "replace"))
    return [str(line.text) for line in terminal.view()]


def test_a_short_channel_is_kept_whole() -> None:
    tail = Tail(80, 24)
    tail.feed(b"one\r\n")
    tail.feed(b"two")
    seen = tail.seen()
    assert (seen.data, seen.cut, seen.columns, seen.rows) == (b"one\r\ntwo", False, 80, 24)


def test_a_channel_without_end_keeps_its_last_whole_lines() -> None:
    tail = Tail(80, 24)
    for number in range(40_000):
        tail.feed(b"%d\r\n" % number)
    seen = tail.seen()
    assert seen.cut
    assert seen.data.endswith(b"39999\r\n")
    assert len(seen.data) <= 2 * KEPT
    lines = seen.data.split(b"\r\n")[:-1]
    assert lines == [b"%d" % number for number in range(40_000 - len(lines), 40_000)]


def test_one_huge_piece_does_not_stay() -> None:
    tail = Tail(80, 24)
    tail.feed(b"x" * 10_000_000)
    assert len(tail.seen().data) <= KEPT
    assert tail.seen().cut


def test_watchers_hear_every_byte_and_every_size_until_they_stop() -> None:
    tail = Tail(80, 24)
    heard: list[bytes] = []
    stop = tail.watch(heard.append)
    tail.feed(b"a")
    tail.resize(100, 30)
    stop()
    stop()
    tail.feed(b"b")
    assert heard == [b"a", b""]
    assert tail.size == (100, 30)


def test_a_frame_that_was_drawn_long_ago_is_there_for_who_joins_late() -> None:
    tail = Tail(80, 24, work=no_work)
    tail.feed(FRAME)
    for number in range(40_000):
        tail.feed(b"\x1b[12;1Hcount %d" % number)
    seen = tail.seen()
    screen = played(seen)
    assert not seen.cut
    assert [screen[0].rstrip(), screen[1].rstrip(), screen[23].rstrip()] == [
        "header",
        "red",
        "footer",
    ]
    assert screen[11].rstrip() == "count 39999"
    assert len(seen.data) < 3 * KEPT


def test_what_was_shown_before_a_resize_was_shown_in_the_old_size() -> None:
    tail = Tail(20, 4, work=no_work)
    tail.feed(b"\x1b[4;15Hcorner")
    tail.resize(80, 24)
    tail.feed(b"\x1b[Htop")
    screen = played(tail.seen())
    assert screen[0].rstrip() == "top"
    assert any(line.rstrip().endswith("corner") for line in screen)


@settings(max_examples=60)
@given(st.data())
def test_any_way_to_the_screen_leads_to_the_same(data: st.DataObject) -> None:
    """However it is cut into pieces, also amid characters and sequences, and let go of."""
    token = st.sampled_from(
        [b"\x1b[%d;%dH" % (row, column) for row in (1, 3, 5) for column in (1, 9, 20)]
        + [b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[2;4r", b"\x1b[4h", b"\x1b[31;1m", b"\r\n"]
        + [b"\x1b7", b"\x1b8", b"\x1b(0", b"\x1b(B", "日本".encode(), "é".encode(), b"word "]
    )
    whole = b"".join(data.draw(st.lists(token, max_size=60)))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=6)))
    tail, other = Tail(20, 5, work=no_work), Tail(20, 5, work=no_work)
    other.feed(whole)
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        tail.feed(whole[start:end])
        tail._let_go(len(tail._kept))
    assert played(tail.seen()) == played(other.seen())
    assert len(tail._kept) < 4


def test_what_is_dear_to_emulate_is_not() -> None:
    """A target that costs the bastion more than it may is followed by its last bytes alone."""
    spent = 0.0

    def work() -> float:
        nonlocal spent
        spent += present.SLACK
        return spent

    tail = Tail(500, 200, work=work)
    for _ in range(10):
        tail.feed(b"\x1b#8" * (KEPT // 3))
    assert tail.seen().cut
    assert len(tail.seen().data) <= 2 * KEPT
    assert spent < 10 * present.SLACK, "it is tried once, not again and again"
