"""The masker of copies, without a server: however a copy is cut, the same comes out."""

from __future__ import annotations

import csv
import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.errors import TargetFault
from bastion.gate.postgres.copying import BinaryMasker, TextMasker
from bastion.model import SqlCopy

HIDDEN = {1: b"[masked]", 2: None}


def whole(masker, data, cuts):
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    out = b"".join(masker.feed(data[a:b]) for a, b in itertools.pairwise(places))
    masker.finish()
    return out


cells = st.one_of(st.none(), st.text(st.sampled_from('ab,;"\\\n\t[é')))
tables = st.lists(st.tuples(cells, cells, cells, cells), max_size=4)
cuts = st.lists(st.integers(0, 120), max_size=20)


def text_field(value):
    if value is None:
        return "\\N"
    for plain, escaped in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), (",", "\\,")):
        value = value.replace(plain, escaped)
    return value


@given(tables, cuts)
def test_text_is_masked_however_it_is_cut(table, cuts):
    form = SqlCopy("x", delimiter=",")
    data = "".join(",".join(map(text_field, row)) + "\n" for row in table).encode()
    want = "".join(
        ",".join(
            "\\N" if at == 2 or (at == 1 and cell is None) else "[masked]" if at == 1
            else text_field(cell)
            for at, cell in enumerate(row)
        ) + "\n"
        for row in table
    ).encode()  # fmt: skip
    assert whole(TextMasker(form, HIDDEN, 4), data, cuts) == want


@pytest.mark.parametrize("escape", ['"', "\\"])
@given(table=tables, cuts=cuts)
def test_csv_is_masked_however_it_is_cut(escape, table, cuts):
    def field(value):
        if value is None:
            return "nil"
        quoted = any(sign in value for sign in ',"\n\r\\') or value in {"nil", ""}
        inside = value.replace(escape, escape * 2).replace('"', escape + '"') if (
            escape != '"') else value.replace('"', '""')  # fmt: skip
        return f'"{inside}"' if quoted else value

    form = SqlCopy("x", "csv", delimiter=",", null="nil", escape=escape, header=True)
    lines = [["a", "b", "c", "d"], *table]
    data = "".join(",".join(map(field, row)) + "\n" for row in lines).encode()
    out = whole(TextMasker(form, HIDDEN, 4), data, cuts).decode()
    doubled = escape == '"'
    reader = csv.reader(
        io.StringIO(out, newline=""), doublequote=doubled, escapechar=None if doubled else "\\"
    )
    got = list(reader)
    assert got[0] == ["a", "b", "c", "d"]
    assert len(got) == len(lines)
    for row, shown in zip(table, got[1:], strict=True):
        assert shown[1] == ("nil" if row[1] is None else "[masked]")
        assert shown[2] == "nil"
        if doubled:
            assert [shown[0], shown[3]] == ["nil" if row[at] is None else row[at] for at in (0, 3)]


@given(st.lists(st.tuples(*[st.one_of(st.none(), st.binary(max_size=9))] * 4), max_size=4), cuts)
def test_binary_is_masked_however_it_is_cut(table, cuts):
    def tuple_of(row):
        fields = (b"\xff" * 4 if one is None else len(one).to_bytes(4, "big") + one for one in row)
        return b"\0\4" + b"".join(fields)

    head = b"PGCOPY\n\xff\r\n\0" + bytes(8)
    data = head + b"".join(map(tuple_of, table)) + b"\xff\xff"
    shown = ((a, None if b is None else HIDDEN[1], None, d) for a, b, _, d in table)
    want = head + b"".join(map(tuple_of, shown)) + b"\xff\xff"
    assert whole(BinaryMasker(HIDDEN, 4), data, cuts) == want


def test_a_backslash_within_a_letter_of_two_bytes_is_no_escape():
    form = SqlCopy("x", encoding="Shift_JIS")
    data = "表".encode("shift_jis") + b"\tsecret\tx\ty\n"
    assert whole(TextMasker(form, HIDDEN, 4), data, [1]).endswith(b"\t[masked]\t\\N\ty\n")
    assert TextMasker(form, HIDDEN, 4).feed(data) == TextMasker(form, HIDDEN, 4).feed(data)


def test_a_line_of_another_shape_ends_the_session():
    with pytest.raises(TargetFault):
        TextMasker(SqlCopy("x"), HIDDEN, 4).feed(b"a\tb\n")
