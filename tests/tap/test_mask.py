"""The masker: the same text however the stream is cut, and nothing of a secret in it."""

from __future__ import annotations

import itertools
import re
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.model import Secret
from bastion.tap.detect import Late
from bastion.tap.mask import MOST_HELD, Masker, Masking, mask_text
from tests.tap.masking import ALL, BODY, DEFAULT, EVERY, MARKS, NOTHING, PEM, SECRETS, core

EXACT = [b"hunter2!", b"hunter2!and more", b"aaab", b"\xff\x00\x01\x7f", b"ter2"]
PIECES = st.sampled_from(
    [
        *(text.encode() for text in SECRETS.values()),
        *(text.encode()[:20] for text in SECRETS.values()),
        *(b"hunter2!", b"hunter2!an", b"hun", b"aaaaab", b"aaa"),
        *(b" ", b"\n", b"\r\n", b"x", b"=", b'"', b"\x1b[1;31m", b"\x1b[0m", b"\xc3\xa9", b"\xff"),
        *(b"password: ", b"-----BEGIN", b"4111 1111", b"\x1b]0;title\x07"),
    ]
)
MOVES = st.sampled_from([b"\r", b"\b", b"\x1b[K", b"\x1b[3D", b"\x1b[2C", b"\x1b[9G", b"\r\n"])
TEXT = st.lists(PIECES, max_size=12).map(b"".join)


def whole(masker: Masker, *pieces: bytes) -> bytes:
    """What is shown in the end."""
    return b"".join([*map(masker.feed, pieces), masker.finish()])


def cut(text: bytes, cuts: list[int]) -> list[bytes]:
    marks = sorted({0, len(text), *(at for at in cuts if at < len(text))})
    return [text[a:b] for a, b in itertools.pairwise(marks)]


@given(TEXT, st.lists(st.integers(0, 700), max_size=12))
def test_any_cut_gives_the_same_text(text: bytes, cuts: list[int]) -> None:
    assert whole(Masker(EVERY, EXACT), *cut(text, cuts)) == whole(Masker(EVERY, EXACT), text)


@pytest.mark.parametrize("kind", SECRETS)
def test_every_kind_is_masked_at_every_cut(kind: str) -> None:
    text = b"before " + SECRETS[kind].encode() + b" after\n"
    expected = whole(Masker(DEFAULT), text)
    assert core(kind) not in expected
    assert f"[masked:{kind}:".encode() in expected
    for at in range(1, len(text)):
        assert whole(Masker(DEFAULT), text[:at], text[at:]) == expected, text[:at]
    by_byte = [text[at : at + 1] for at in range(len(text))]
    assert whole(Masker(DEFAULT), *by_byte) == expected


NEUTRAL = st.sampled_from([b"x", b"10%", b"word ", b"=", b"\xc3\xa9", b"\x1b[0m", b"4711", b"AKIA"])


@given(st.lists(NEUTRAL | MOVES, max_size=8), st.sampled_from(sorted(SECRETS)), st.integers(1, 40))
def test_no_stroke_before_or_after_hides_a_secret(
    pieces: list[bytes], kind: str, size: int
) -> None:
    text = b"".join(pieces) + b" " + SECRETS[kind].encode() + b" \r\n" + b"".join(pieces)
    cuts = list(range(0, len(text), size))
    assert core(kind) not in whole(Masker(DEFAULT, columns=80), *cut(text, cuts))


@settings(max_examples=25)
@given(st.lists(PIECES, max_size=5).map(b" ".join), st.sets(st.integers(0, 300)))
def test_a_flush_in_the_middle_never_shows_a_whole_secret(text: bytes, flushes: set[int]) -> None:
    masking = Masking(ALL, MARKS, late=Late.MASK)
    masker = Masker(masking, EXACT)
    shown = b""
    for at in range(len(text)):
        shown += masker.feed(text[at : at + 1])
        if at in flushes:
            shown += masker.flush()
    shown += masker.finish()
    assert not any(secret in shown for secret in EXACT)
    assert not any(core(kind) in shown for kind in SECRETS)


# --- what passes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [chr(code) for code in range(0x20, 0x7F)])
def test_no_key_echo_is_held(key: str) -> None:
    masker = Masker(DEFAULT)
    assert masker.feed(b"user@web1:~$ ") == b"user@web1:~$ "
    assert masker.feed(key.encode()) == key.encode()


@pytest.mark.parametrize("prompt", ["Password: ", "[sudo] password for bob: ", "token=", ">>> "])
def test_a_prompt_passes_at_once(prompt: str) -> None:
    assert Masker(DEFAULT).feed(prompt.encode()) == prompt.encode()


def test_a_progress_bar_passes_at_once() -> None:
    masker = Masker(DEFAULT)
    for percent in range(100):
        piece = f"\r{percent:3d}% [{'#' * (percent // 4):25}] 12.5 MB/s\x1b[K".encode()
        assert masker.feed(piece) == piece


def test_what_is_held_is_bounded_and_its_rest_is_masked_as_it_comes() -> None:
    masker = Masker(DEFAULT)
    shown = masker.feed(b"password=")
    for _ in range(10_000):
        shown += masker.feed(b"x1y2")
        assert masker.held <= MOST_HELD
    shown += masker.feed(b" after\n") + masker.finish()
    assert re.fullmatch(rb"password=\[masked:password:....\] after\n", shown)


def test_a_key_without_end_is_masked_to_its_last_line() -> None:
    begin = PEM.split("\n")[0]
    masker = Masker(DEFAULT)
    shown = masker.feed(f"{begin}\n".encode())
    for _ in range(200):
        shown += masker.feed(f"{BODY}\r\n".encode())
    shown += masker.feed(b"-----END RSA PRIVATE KEY-----\r\n") + masker.finish()
    assert BODY.encode()[:16] not in shown
    assert shown.startswith(begin.encode())
    assert shown.endswith(b"END RSA PRIVATE KEY-----\r\n")


def test_with_nothing_to_look_for_the_bytes_themselves_pass() -> None:
    data = b"hunter2! and AKIAIOSFODNN7EXAMPLE"
    assert Masker(NOTHING).feed(data) is data
    assert Masker(NOTHING, [b"abc"]).feed(data) is data
    assert Masker(NOTHING).flush() == b""


# --- time ----------------------------------------------------------------------------------------


def test_late_means_stars_for_what_was_held_and_for_what_follows() -> None:
    masker = Masker(DEFAULT)
    shown = b""
    for byte in b"export PASSWORD=hunter22\r\n":
        shown += masker.feed(bytes([byte])) + masker.flush()
    assert shown == b"export PASSWORD=********\r\n"


def test_late_digits_are_released_for_they_may_be_any_number() -> None:
    masker = Masker(DEFAULT)
    shown = b""
    for byte in b"kill 4111111 ":
        shown += masker.feed(bytes([byte])) + masker.flush()
    assert shown == b"kill 4111111 "


def test_a_policy_may_release_what_is_late() -> None:
    masker = Masker(Masking(ALL, MARKS, late=Late.RELEASE))
    assert masker.feed(b"AKIAIOSF") + masker.flush() == b"AKIAIOSF"
    assert masker.feed(b"ODNN7EXAMPLE\n") == b"************\n"


def test_the_rest_of_a_secret_is_masked_after_its_beginning_was_shown() -> None:
    masker = Masker(NOTHING, [b"hunter2!"])
    assert masker.feed(b"x hun") + masker.flush() == b"x hun"
    assert masker.flush() == b""
    assert masker.feed(b"ter2! y") == b"***** y"


def test_half_of_an_exact_secret_is_not_released() -> None:
    masker = Masker(NOTHING, [b"hunter2!"])
    assert masker.feed(b"x hunter") + masker.flush() == b"x ******"


# --- marks ---------------------------------------------------------------------------------------


def test_marks_tell_equal_secrets_and_nothing_else() -> None:
    one = mask_text("AKIAIOSFODNN7EXAMPLE AKIAIOSFODNN7EXAMPLF AKIAIOSFODNN7EXAMPLE", DEFAULT)[0]
    first, other, again = re.findall(r"\[masked:aws-key:(....)\]", one)
    assert first == again != other


def test_a_key_has_one_mark_whatever_its_line_ends() -> None:
    unix, masked = mask_text(PEM, DEFAULT)
    dos, also = mask_text(PEM.replace("\n", "\r\n"), DEFAULT)
    assert masked[0].mark == also[0].mark
    assert masked[0].mark in unix
    assert masked[0].mark in dos


def test_marks_may_keep_the_width() -> None:
    masking = replace(DEFAULT, keep_width=True)
    text = "| AKIAIOSFODNN7EXAMPLE | ghp_1A2b3C4d5E6f7G8h9I0jK1l2M3n4O5p6Q7r8 |"
    shown, _ = mask_text(text, masking)
    assert len(shown) == len(text)
    assert shown.startswith("| AKIA**************** | ghp_[masked:github-token:")


def test_facts_say_what_and_where_and_never_the_value() -> None:
    masker = Masker(DEFAULT)
    masker.feed(b"0123456789 ")
    masker.feed(b"AKIAIOSFODNN7EXAMPLE ")
    [fact] = masker.masked
    assert (fact.detector, fact.length, fact.where) == ("aws-key", 16, 15)
    assert "IOSFODNN" not in repr(fact)
    masker.feed(b"x")
    assert masker.masked == []


# --- exact values --------------------------------------------------------------------------------


def test_an_echo_in_another_form_is_masked_too() -> None:
    import base64
    import json
    from urllib.parse import quote

    value = 'p"ä ss/+wörd=1'
    raw = value.encode()
    forms = [
        value,
        quote(value),
        json.dumps(value)[1:-1],
        raw.hex(),
        base64.b64encode(raw).decode(),
        base64.b64encode(b"user:" + raw).decode(),
        base64.b64encode(b"me:" + raw).decode(),
    ]
    for form in forms:
        shown, masked = mask_text(f"echo {form} done", NOTHING, [Secret(raw)])
        assert masked, form
        assert "[masked:credential:" in shown


def test_a_private_key_is_masked_line_by_line() -> None:
    shown, _ = mask_text(f"sed -n 3p key: {BODY}\r\n", NOTHING, [PEM.encode()])
    assert BODY not in shown


def test_a_secret_too_short_is_not_looked_for() -> None:
    assert mask_text("abcabc", NOTHING, [b"abc"])[0] == "abcabc"


@pytest.mark.parametrize("piece", ["$1$", "$1$a", "key=key", "xai-", "token=a-"])
def test_what_begins_again_and_again_and_is_never_a_secret_costs_no_square(piece: str) -> None:
    masker = Masker(DEFAULT)
    began = time.thread_time()
    masker.feed((piece * 20_000).encode()[:32768])
    masker.finish()
    assert time.thread_time() - began < 3  # it was 11 for the first
