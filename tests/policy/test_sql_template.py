"""What is remembered by a template is what reading the text itself would have given."""

from __future__ import annotations

import csv
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.policy.sql.reading import read_sql
from bastion.policy.sql.template import is_general, template

NUMBERS = st.sampled_from(["0", "1", "2", "7", "007", "40", "999999999"])
COLUMNS = st.sampled_from(["id", "a", "t.id", "u.b", "count(*)", "length(a)", "oid"])
OPERATORS = st.sampled_from(["=", "+", "-", "= -", "- -", "*", "=-", "+ -"])
LOOSE = st.sampled_from(
    ["and", "AND", "or", "not", "is true", "is false", "(", ")", "in (", "values (", ",", "between",
     "limit", "offset", "order by", "group by", "float(", "abs(", "case when", "then", "end", ";",
     "from t", "from t, u", "where", "like", ">", "<>", "::int", "as x", "returning", "using u",
     "cast(", "as float(", "array[", "fetch first", "rows only", "for update", "set a", "1.5",
     "'x'", "returning id", "join u on", "tablesample bernoulli (", "with ties",
     "exists (select", "null"]
)  # fmt: skip
TERM = st.one_of(NUMBERS, COLUMNS)
CONDITION = st.builds(" ".join, st.lists(st.one_of(TERM, OPERATORS, LOOSE), max_size=9))
HEADS = st.sampled_from(
    ["SELECT a FROM t WHERE", "DELETE FROM t WHERE", "UPDATE t SET a = a +",
     "DELETE FROM t USING u", "UPDATE t SET a = 1 WHERE", "INSERT INTO t VALUES (",
     "INSERT INTO t (id, a) VALUES (1,", "SELECT", "SELECT a, (SELECT", "delete from t where id =",
     "DELETE FROM t WHERE id IN (",
     "WITH x AS (SELECT", "SET statement_timeout =", "INSERT INTO t SELECT", "SELECT * FROM f(",
     "DELETE FROM t WHERE id = 1 AND"]
)  # fmt: skip
TEXTS = st.builds("{} {}".format, HEADS, CONDITION)


def other(shape: str, chance: random.Random) -> str:
    """Another text of the same template."""
    pieces = [
        chance.choice(["0", "1", "2", "3", "50", "00", "123456789"]) if one == "\1" else one
        for one in split(shape)
    ]
    return "".join(pieces)


def split(shape: str) -> list[str]:
    def marked(found: re.Match[str]) -> str:
        before = shape[: found.start()].lower()
        by_place = re.search(r"\bby\b", before) and re.search(r"(\bby|,)\s*$", before)
        return found[0] if by_place else "\1"

    return re.split("(\1)", re.sub(r"(?<![A-Za-z0-9_.])0(?![A-Za-z0-9_.])", marked, shape))


@settings(max_examples=400, deadline=None)
@given(text=TEXTS, chance=st.randoms(use_true_random=False))
def test_texts_of_one_template_do_the_same(text, chance):
    shape = template(text)
    if not shape or not is_general(shape):
        return
    another = other(shape, chance)
    assert template(another) == shape
    one, two = read_sql(text), read_sql(another)
    assert (one == two) or (one.fault and two.fault)


PGBENCH = (
    "SELECT abalance FROM pgbench_accounts WHERE aid = 4711;",
    "UPDATE pgbench_accounts SET abalance = abalance + -123 WHERE aid = 5;",
    "INSERT INTO pgbench_history (tid, bid, aid, delta) VALUES (6, 1, 5, -123);",
    "DELETE FROM t WHERE id IN (1, 2,3)",
    "select a from t where b between 5 and 6 order by 1 limit 10 offset 20",
)


def test_the_place_of_an_output_stays_in_a_template():
    first, second = "SELECT a, b FROM t WHERE a = 5 ORDER BY 1", "SELECT a, b FROM t GROUP BY a, 2"
    assert template(first) == "SELECT a, b FROM t WHERE a = 0 ORDER BY 1"
    assert template(second) == second


@pytest.mark.parametrize("text", PGBENCH)
def test_what_clients_write_has_a_template(text):
    assert is_general(template(text))


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM t WHERE id > 5",
        "DELETE FROM t WHERE id <> 5",
        "DELETE FROM t WHERE a = 1 OR a = 2",
        "DELETE FROM t WHERE id * 7 = 0",
        "DELETE FROM t WHERE id - id = 0",
        "DELETE FROM t WHERE num_nonnulls (id) = 1",
        "UPDATE t SET a = a + 1 WHERE id + 0 = 5",
        "DELETE FROM t WHERE 5 BETWEEN SYMMETRIC id AND 6",
        "DELETE FROM t WHERE CASE id WHEN 5 THEN id = 1 ELSE 1 = 1 END",
        "DELETE FROM t WHERE NOT (a = 1 AND a = 2)",
        "DELETE FROM t WHERE (a = 1 AND a = 2) IS FALSE",
        "SELECT CAST(a AS float(25)) FROM t",
        "SELECT * FROM f() AS t(a float (3))",
        "SELECT pg_sleep(5)",
        "SELECT 1; DELETE FROM t",
        "SET statement_timeout = 5",
        "SELECT 1 -- 2",
        "SELECT '1'",
        "SELECT E'1'",
        "SELECT $1",
        "SELECT 1 /* 2 */",
        "SELECT a\u00a0FROM t",
        "EXECUTE x (1)",
        "",
        "0",
    ],
)
def test_where_a_number_may_matter_there_is_no_template(text):
    shape = template(text)
    assert not (shape and is_general(shape))


@pytest.mark.parametrize("word", ["t1", "1.5", "1e5", "0x1F", "1_000", "a.1", "1234567890", "5a"])
def test_what_is_no_plain_integer_stays(word):
    assert template(f"SELECT {word}, 5") == f"SELECT {word}, 0"


def test_the_statements_of_the_corpus_that_have_a_template_do_the_same_with_other_numbers():
    chance = random.Random(5)
    path = Path(__file__).parents[1] / "vectors/sql.tsv"
    with path.open(newline="") as file:
        texts = [cell for row in csv.reader(file, delimiter="\t") for cell in row]
    general = [one for one in texts if (shape := template(one)) and is_general(shape)]
    assert len(general) > 20
    for text in general:
        assert read_sql(text) == read_sql(other(template(text), chance)), text
