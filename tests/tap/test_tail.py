from bastion.tap.tail import KEPT, Tail


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
