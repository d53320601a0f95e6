"""Reports of a gated shell: any chunking, any number of talkers, nothing without a bound."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.errors import TargetFault
from bastion.wire import shellcontrol
from bastion.wire.shellcontrol import Report, ReportDecoder, ReportKind

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)


@given(st.lists(st.tuples(st.integers(1, 3), TEXT), max_size=6), st.data())
def test_reports_are_the_same_however_they_are_cut(said, data):
    """Pieces of several processes may come between one another."""
    stream, wanted = b"", []
    for pid, text in said:
        encoded = text.encode()
        cut = data.draw(st.integers(0, len(encoded)))
        stream += b"+S %d 7 %s\0" % (pid, encoded[:cut]) + b"-S %d 7 %s\0" % (pid, encoded[cut:])
        wanted.append(Report(ReportKind.STEP, pid, 7, text))
    decoder, got = ReportDecoder(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += decoder.feed(stream[:size])
        stream = stream[size:]
    assert got == wanted


@pytest.mark.parametrize(
    "bytes_",
    [
        b"X 1 1 what\0",
        b"S one 1 what\0",
        b"S 1 1\0",
        b"\0",
        b"S" * (shellcontrol.PIECE_LIMIT + 1),
        b"-S 1 1 end\0",
        b"+S 1 1 begin\0" + b"+-S 1 1 %s\0" % (b"x" * 8000) * 9,
        b"".join(b"+S %d 1 x\0" % pid for pid in range(shellcontrol.TALKERS_LIMIT + 1)),
    ],
)
def test_what_is_not_a_report_is_the_targets_fault(bytes_):
    with pytest.raises(TargetFault):
        ReportDecoder().feed(bytes_)


def test_what_a_killed_process_began_is_not_of_the_next_one_with_its_number():
    """The new one's command was decided as the end of an old one's."""
    decoder = ReportDecoder()
    assert decoder.feed(b"+S 7 1 /tmp\techo \0") == []
    (report,) = decoder.feed(b"S 7 9 /tmp\trm -rf x\0")
    assert report.data == "/tmp\trm -rf x"


@given(st.binary(max_size=60).filter(lambda data: b"\0" not in data))
def test_an_escaped_record_holds_any_text(data):
    escaped = data.replace(b"\x1f", b"\x1fu").replace(b"\n", b"\x1fn")
    (report,) = ReportDecoder().feed(b"~S 1 2 " + escaped + b"\0")
    assert report.data.encode("utf-8", "surrogateescape") == data


@given(st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]), max_size=40))
def test_a_quoted_text_is_one_word_of_a_shell(text):
    said = subprocess.run(
        ["/bin/sh", "-c", f"printf %s {shellcontrol.quoted(text)}"], capture_output=True, check=True
    )
    assert said.stdout.decode() == text


def test_an_answer_goes_to_the_process_that_waits():
    """The shell reads a FIFO, each of its subshells a file of its own."""
    report = Report(ReportKind.STEP, 10, 3, "")
    assert shellcontrol.answer(report, 10, shellcontrol.Answer.RUN) == b"v3 a\n"
    assert shellcontrol.answer(report, 9, shellcontrol.Answer.ABORT) == b"s10.3 x\n"
    assert shellcontrol.answer(report, 10, shellcontrol.ask_values(["a", "@"])) == b"v3 v a @\n"


def test_lines_keep_their_number():
    assert shellcontrol.read_lines("a\nb") == b"la\nlb\n"
    assert shellcontrol.start_up("x\ny") == b":x\n:y\n.\n"
