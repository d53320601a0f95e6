"""Secrets in cells of every shape, in rows short and long, however the stream is cut."""

from __future__ import annotations

import itertools
import json
import struct
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.errors import TargetFault
from bastion.events import Logged, ToClient
from bastion.gate.postgres.cells import Cells, Shape, plan_of, shape_of
from bastion.gate.postgres.flight import Flight, Kind, Run, Sent
from bastion.gate.postgres.long import WINDOW, LongCell, LongRow
from bastion.gate.postgres.mask import Masks
from bastion.gate.postgres.results import Results
from bastion.gate.postgres.rows import Keeper
from bastion.gate.postgres.server import Server
from bastion.model import SqlReading
from bastion.policy.jsonpath import Paths
from bastion.tap.cells import Cells as Masker
from bastion.wire import postgres as wire
from tests.tap.masking import DEFAULT, NOTHING

MASKER = Masker(DEFAULT)
KEY = b"AKIAIOSFODNN7EXAMPLE"
MARK = b"AKIA[masked:aws-key:"
STARRED = b"AKIA" + b"*" * 16


def column(oid, form=0, name="c"):
    return wire.Column(name, 0, 0, oid, form)


def shown(value, oid, form=0):
    cells = Cells(MASKER)
    shape = shape_of(oid, form)
    return value if shape is None else cells.cell(value, shape)


def array(oid, *elements):
    body = b"".join(struct.pack(">i", len(one)) + one for one in elements)
    return struct.pack(">iiIii", 1, 0, oid, len(elements), 1) + body


def row(*fields):
    body = b"".join(struct.pack(">Ii", oid, len(one)) + one for oid, one in fields)
    return struct.pack(">i", len(fields)) + body


@pytest.mark.parametrize(("oid", "form", "lead"), [(114, 0, b""), (3802, 0, b""), (3802, 1, b"\1")])
def test_values_of_json_are_masked_by_their_paths(oid, form, lead):
    paths = Masker(replace(NOTHING, json=Paths(["$.card.number", "$..ssn"])))
    cells = Cells(paths)
    value = lead + b'{"card": {"number": "12", "by": "x"}, "x": [{"ssn": 12}], "number": 3}'
    assert paths.may(value)
    shown = cells.cell(value, shape_of(oid, form))
    assert shown[len(lead) :].startswith(b'{"card": {"number": "[masked:json:')
    assert shown.endswith(b'"by": "x"}, "x": [{"ssn": null}], "number": 3}')
    assert cells.found == {"json": 2}
    other = lead + b'{"number": 3}'
    assert cells.cell(other, shape_of(oid, form)) is other or form
    assert not paths.may(lead + b'{"a": 3}')
    assert paths.may(lead + rb'{"s\u0073n": 3}')
    assert cells.cell(b'{"number": 1', Shape.JSON) == b'"[masked]"'


def test_a_row_with_json_that_is_too_long_to_be_followed_ends_the_session():
    masks = Masks(cells=Masker(replace(NOTHING, json=Paths(["$.ssn"]))))
    results = Results(masks)
    run = Run(1, "SELECT", SqlReading(()), 0.0, columns=(column(3802),))
    long = wire.encode_row([b'{"ssn": "' + b"1" * 100_000 + b'"}'])
    results.arrived(long, begun=False)
    with pytest.raises(TargetFault, match="JSON is masked is too long"):
        results.row(wire.Message(b"D", long), run)


@pytest.mark.parametrize("oid", [25, 1043, 1042, 19, 705, 142, 16400])
@pytest.mark.parametrize("form", [0, 1])
def test_texts_get_a_mark(oid, form):
    assert shown(b"id " + KEY + b" end", oid, form).startswith(b"id " + MARK)
    plain = b"id nothing end"
    assert shown(plain, oid, form) is plain


@pytest.mark.parametrize(
    ("document", "whole"),
    [
        (b'{"key": "%s", "n": 1}' % KEY, False),
        (b'{"password": "hunter2-\\"x"}', None),
        (b'{"card": 4012888888881881}', True),
    ],
)
@pytest.mark.parametrize(("oid", "form"), [(114, 0), (114, 1), (3802, 0), (3802, 1)])
def test_json_stays_json(document, whole, oid, form):
    lead = b"\x01" if (oid, form) == (3802, 1) else b""
    masked = shown(lead + document, oid, form)
    assert masked.startswith(lead)
    told = json.loads(masked[len(lead) :])
    assert (told == "[masked]") is bool(whole)
    assert b"[masked" in masked if whole is not None else b"hunter2" not in masked


@pytest.mark.parametrize("oid", [20, 21, 23, 700, 701, 1700, 1082, 1114, 1184, 2950, 16, 26, 869])
@pytest.mark.parametrize("form", [0, 1])
def test_numbers_dates_and_uuids_are_not_looked_at(oid, form):
    assert shape_of(oid, form) is None
    assert shown(b"4012888888881881", oid, form) == b"4012888888881881"


def test_bytea_is_looked_at_where_it_is_text():
    hexed = b"\\x" + KEY.hex().encode()
    assert bytes.fromhex(shown(hexed, 17)[2:].decode()).startswith(MARK)
    assert shown(KEY, 17, 1).startswith(MARK)
    picture = b"\x89PNG\0" + KEY
    assert shown(picture, 17, 1) is picture
    assert shown(b"\\x" + picture.hex().encode(), 17) == b"\\x" + picture.hex().encode()
    assert MARK in shown(b"\\000 " + KEY, 17)  # bytea_output = escape


def test_arrays_and_rows_are_masked_element_by_element():
    assert shown(b"{a," + KEY + b",c}", 1009).startswith(b"{a," + MARK)
    masked = shown(array(25, b"a", KEY, b"c"), 1009, 1)
    mark = masked[masked.index(MARK) :].partition(b"]")[0] + b"]"
    assert masked == array(25, b"a", mark, b"c")
    masked = shown(row((23, b"\0\0\0\1"), (25, KEY)), 2249, 1)
    assert masked == row((23, b"\0\0\0\1"), (25, mark))
    assert shown(row((25, KEY)), 16500, 1) == row((25, mark))  # a composite type of one's own
    assert shown(row((1009, array(25, KEY))), 2249, 1) == row((1009, array(25, mark)))


def test_a_shape_that_would_break_gets_stars_and_what_is_unknown_becomes_null():
    masked = shown(b"{password=hunter2-x,b}", 1009)
    assert b"hunter2" not in masked
    assert masked.count(b",") == 1
    assert shown(b"(1,password=hunter2-x)", 2249).count(b",") == 1
    hstore = b"\0\0\0\1\0\0\0\3key" + struct.pack(">i", len(KEY)) + KEY
    assert shown(hstore, 16600, 1) is None
    assert shown(b"\0\0\0\1\0\0\0\3key\0\0\0\1v", 16600, 1) is not None
    assert shown(struct.pack(">iiI", 1, 0, 25) + b"\xff" * 40, 1009, 1) is not None


def test_an_array_in_an_array_has_an_end():
    value = KEY
    for _ in range(40):
        value = array(1009, value)
    assert shown(value, 1009, 1) is None or KEY not in shown(value, 1009, 1)


def test_copies_keep_their_columns():
    cells = Cells(MASKER)
    line = cells.copied(b"1\t" + KEY + b"\tx\n", binary=False)
    assert line.startswith(b"1\t" + MARK)
    assert line.count(b"\t") == 2
    assert cells.copied(b"1\tplain\n", binary=False) == b"1\tplain\n"
    head = b"PGCOPY\n\xff\r\n\0" + bytes(8)
    pair = struct.pack(">hi", 2, 4) + b"\0\0\0\1" + struct.pack(">i", len(KEY)) + KEY
    for lead in (b"", head):
        masked = cells.copied(lead + pair, binary=True)
        assert MARK in masked
        assert KEY not in masked
    assert cells.copied(b"\xff\xff", binary=True) == b"\xff\xff"


# --- streams --------------------------------------------------------------------------------------


def server(*, columns, results="counts", formats=()):
    keeper = Keeper() if results == "rows" else None
    flight = Flight()
    one = Server(flight, Results(Masks(cells=MASKER), keeper), lambda: None, lambda *_: None)
    one.ready = True
    run = Run(1, "SELECT", SqlReading(()), 0.0, columns=columns, formats=formats)
    flight.send(Sent(Kind.EXECUTE, run))
    return one


def feed(one, pieces):
    effects = [effect for piece in pieces for effect in one.feed(1.0, piece)]
    shown = b"".join(effect.data for effect in effects if isinstance(effect, ToClient))
    return shown, [effect for effect in effects if isinstance(effect, Logged)]


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


COLUMNS = (column(23), column(25), column(17), column(3802, 1))
SMALL = [
    [b"7", b"A" + KEY, None, b"\x01{}"],
    [b"8", KEY, b"\\x" + KEY.hex().encode(), b'\x01{"password":"hunter2-xyz"}'],
    [None, b"plain", b"", b"\x01[1]"],
    [b"9", b"x" * 65, KEY, b"\x01null"],
]
STREAM = b"".join(map(wire.encode_row, SMALL))
STREAM += wire.encode_fields(b"N", {"S": "NOTICE", "M": f"it is {KEY.decode()}"})
STREAM += wire.encode(b"A", b"\0\0\0\1c\0" + KEY + b"\0")
STREAM += wire.setting("application_name", f"with {KEY.decode()}")
STREAM += wire.encode(b"C", b"SELECT 4\0")
FORMATS = (0, 0, 0, 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12), st.sampled_from(["counts", "rows"]))
def test_any_cut_of_the_servers_stream_is_masked_the_same(places, results):
    whole, _ = feed(server(columns=COLUMNS, results=results, formats=FORMATS), [STREAM])
    pieces = cut(STREAM, places)
    masked, logged = feed(server(columns=COLUMNS, results=results, formats=FORMATS), pieces)
    assert masked == whole
    assert b"A" + KEY in whole  # no key there: it has a letter before it
    assert whole.count(KEY) == 1
    assert KEY.hex().encode() not in whole
    done = logged[-1].fields
    assert done["masked"]["aws-key"] == 6
    rows = [one for event in logged if event.kind == "rows" for one in event.fields["rows"]]
    assert len(rows) == (4 if results == "rows" else 0)
    assert all(KEY.decode() not in str(one) for one in rows[1:])


@pytest.mark.parametrize("size", range(1, 40))
def test_rows_in_pieces_of_every_size(size):
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    whole, _ = feed(server(columns=COLUMNS, formats=FORMATS), [STREAM])
    assert feed(server(columns=COLUMNS, formats=FORMATS), pieces)[0] == whole


FILL = b"some words of no interest, and more of them; " * 4500


def long_row(*places):
    cell = bytearray(FILL)
    for place in places:
        cell[place : place + len(KEY) + 2] = b" " + KEY + b" "
    return [b"1", bytes(cell), b"tail " + KEY]


EDGES = [0, WINDOW - 5130, WINDOW - 10, WINDOW, 2 * WINDOW - 10250, len(FILL) - 22, 100_000]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(0, len(FILL) - 30) | st.sampled_from(EDGES), max_size=5),
    st.lists(st.integers(0, len(FILL)), max_size=5),
)
def test_a_row_too_long_to_keep_gets_stars_of_the_same_length(secrets, cuts):
    columns = (column(23), column(25), column(25))
    plain = long_row(*secrets)[1]
    raw = wire.encode_row(long_row(*secrets))
    whole, _ = feed(server(columns=columns), [raw])
    assert len(whole) == len(raw)
    assert KEY not in whole
    first, text, tail = wire.decode_row(whole[5:])
    assert (first, tail) == (b"1", b"tail " + STARRED)
    for place in range(len(text)):
        assert text[place] in {plain[place], ord("*")}
    assert feed(server(columns=columns), cut(raw, cuts))[0] == whole
    copied = wire.encode(b"d", long_row(*secrets)[1])
    masked, _ = feed(server(columns=()), cut(copied, cuts))
    assert masked[5:] == text


def test_a_value_without_end_is_masked_to_its_end():
    found = {}
    cell = LongCell(MASKER, found)
    secret = b"-----BEGIN RSA PRIVATE KEY-----\n" + b"MIIEowIBAAKCAQEAxwcqoR3a1b64b64b\n" * 9000
    masked = cell.feed(secret) + cell.finish()
    assert len(masked) == len(secret)
    assert b"MII" not in masked


@pytest.mark.parametrize("columns", [None, (column(23),), (column(23), column(23), column(23))])
def test_a_row_of_another_shape_is_looked_at_whole(columns):
    """A prepared EXECUTE of a name that was prepared anew meanwhile."""
    shown, _ = feed(server(columns=columns), [wire.encode_row([b"1", KEY])])
    assert wire.decode_row(shown[5:])[1].startswith(MARK)


def test_what_a_called_function_gives_is_masked():
    one = server(columns=())
    one.flight.sent.clear()
    one.flight.send(Sent(Kind.FUNCTION, Run(1, "F", SqlReading(()), 0.0)))
    answer = len(KEY).to_bytes(4, "big") + KEY
    shown, _ = feed(one, [wire.encode(b"V", answer)])
    assert shown[9:].startswith(MARK)
    assert int.from_bytes(shown[5:9], "big") == len(shown) - 9


def test_what_is_between_long_cells_stays():
    plan = plan_of((column(25), column(23, 1), column(25)), (0, 1, 0))
    values = [b"x" * 70_000 + b" password=hunter2", b"\0\0\0\7", b"hunter2"]
    raw = wire.encode_row(values)
    masked = LongRow(MASKER, {}, plan).feed(raw, last=True)
    assert wire.decode_row(masked[5:])[1:] == values[1:]
    assert wire.decode_row(masked[5:])[0].endswith(b"password=*******")
    empty = wire.encode_row([None, b"", b"\0\0\0\7", b""])
    assert LongRow(MASKER, {}, ((1, Shape.TEXT),)).feed(empty, last=True) == empty


def test_rows_on_record_are_bounded_and_say_so():
    one = server(columns=(column(25, name="v"),), results="rows")
    pieces = [wire.encode_row([b"%d" % n + b"x" * 5000]) for n in range(1500)]
    _, logged = feed(one, [b"".join(pieces), wire.encode(b"C", b"SELECT 1500\0")])
    rows = [cells for event in logged if event.kind == "rows" for cells in event.fields["rows"]]
    assert rows[0] == ["0" + "x" * 1999 + "… (5001 bytes)"]
    assert 40 < len(rows) < 60
    assert logged[0].fields["columns"] == ["v"]
    assert logged[-1].fields["rows_left_out"] == 1500 - len(rows)
    assert logged[-1].fields["rows"] == 1500
