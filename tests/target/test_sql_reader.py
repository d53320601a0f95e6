"""SQL is read in processes of its own: what ends one of them ends one reading."""

from __future__ import annotations

import asyncio
import sys

import pytest

from bastion.policy.sql.reading import MAX_SQL
from bastion.target import sql_reader
from bastion.target.sql_reader import SqlReader

BREAKS = (
    "import ctypes, sys, threading\n"
    "from bastion.target import sql_worker\n"
    "import bastion.policy.sql.reading as reading\n"
    "real = sql_worker.read_sql\n"
    "def read(text):\n"
    "    if 'crash' in text: ctypes.string_at(0)\n"
    "    if 'hang' in text: threading.Event().wait()\n"
    "    if 'mistake' in text: raise LookupError\n"
    "    if 'chatter' in text: sys.stdout.buffer.write(b'\\xff' * 64); sys.stdout.flush()\n"
    "    return real(text)\n"
    "sql_worker.read_sql = read\n"
    "sql_worker.main()\n"
)


@pytest.fixture
async def reader(monkeypatch):
    monkeypatch.setattr(sql_reader, "SECONDS", 1.0)
    made = SqlReader((sys.executable, "-c", BREAKS))
    yield made
    await made.close()


async def read(reader, text):
    found = asyncio.get_running_loop().create_future()
    reader.read(text, found.set_result)
    return await asyncio.wait_for(found, 60)


@pytest.mark.parametrize("word", ["crash", "hang", "chatter"])
async def test_a_text_that_ends_its_worker_is_unreadable_and_no_more(reader, word):
    broken, fine = await asyncio.gather(
        read(reader, f"SELECT '{word}'"), read(reader, "DELETE FROM t")
    )
    assert broken.fault == "the parser did not survive it"
    assert fine.statements[0].uses[0].kind == "delete"
    again = await read(reader, "SELECT 1")
    assert not again.fault


async def test_a_mistake_of_the_reader_costs_one_text(reader):
    assert (await read(reader, "SELECT 'mistake'")).fault == "the gate does not know how to read it"
    assert not (await read(reader, "SELECT 1")).fault


async def test_who_ends_workers_keeps_nobody_else_waiting(reader):
    """Every text of a suspect ends another process; others' are read by workers that stay."""

    def ask(text, who):
        found = asyncio.get_running_loop().create_future()
        reader.read(text, found.set_result, who)
        return found

    assert (await asyncio.wait_for(ask("SELECT 'crash'", "eve"), 60)).fault
    pending = [ask(f"SELECT 'crash {n}'", "eve") for n in range(3)]
    assert reader._suspected.qsize() == 3
    for n in range(5):
        other = ask(f"SELECT '{n}'", "ann")
        assert reader._waiting.qsize() == 1
        assert not (await asyncio.wait_for(other, 60)).fault
    assert (await asyncio.wait_for(ask("SELECT 'crash'", "ann"), 60)).fault
    assert not reader._is_suspect("ann")  # a text that is known to crash ends nothing again
    for one in pending:
        assert (await asyncio.wait_for(one, 60)).fault == "the parser did not survive it"


async def test_a_suspect_is_read_again_after_a_while(reader, monkeypatch):
    monkeypatch.setattr(sql_reader, "SUSPECT_SECONDS", 0.0)
    done = asyncio.get_running_loop().create_future()
    reader.read("SELECT 'crash'", done.set_result, "eve")
    await asyncio.wait_for(done, 60)
    assert not reader._is_suspect("eve")


async def test_what_was_read_lately_is_known_at_once(reader):
    first = await read(reader, "SELECT 1")
    seen = []
    reader.read("SELECT 1", seen.append)
    assert seen == [first]


async def test_a_text_that_differs_in_a_number_is_known_at_once(reader):
    first = await read(reader, "SELECT a FROM t WHERE id = 1")
    seen = []
    reader.read("SELECT a FROM t WHERE id = 22", seen.append)
    assert seen == [first]


async def test_a_fault_names_the_number_of_its_own_text(reader):
    for number in ("55", "66"):
        assert number in (await read(reader, f"SELECT a {number} FROM t")).fault
        seen = []
        reader.read(f"SELECT a {number} FROM t", seen.append)
        assert number in seen[0].fault


async def test_what_is_too_long_is_never_sent(reader):
    seen = []
    reader.read("x" * (MAX_SQL + 1), seen.append)
    assert "longer than" in seen[0].fault


async def test_what_waits_is_bounded_by_its_size_too(reader, monkeypatch):
    monkeypatch.setattr(sql_reader, "MAX_WAITING_SIZE", 1000)
    seen = []
    for _ in range(3):
        reader.read("SELECT " + "a" * 400, seen.append)
    assert [one.fault for one in seen] == ["too much SQL waits to be read; try again"]
    async with asyncio.timeout(30):
        while len(seen) < 3:
            await asyncio.sleep(0.01)
    assert not (await read(reader, "SELECT " + "b" * 900)).fault


async def test_the_real_parser_survives_or_is_replaced():
    """Statements that crash libpg_query where the stack is small."""
    reader = SqlReader()
    try:
        for text in (
            "SELECT 1" + "+1" * 40_000,
            "SELECT " + "NOT " * 50_000 + "true",
            "SELECT " + "(SELECT " * 3_000 + "1" + ")" * 3_000,
            "SELECT " + "ARRAY[" * 20_000 + "1" + "]" * 20_000,
        ):
            assert (await read(reader, text)).fault
        assert not (await read(reader, "SELECT 1")).fault
    finally:
        await reader.close()
