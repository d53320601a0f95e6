"""What stands before the lines of a key is told from the key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.tap.leads import LONGEST, PART, Lead
from bastion.tap.mask import MOST_HELD, Masker
from tests.tap.masking import BODY, DEFAULT, PEM

LEADS = ["     9\t", "k.pem:7:", "app-1  | ", "> > ", "Nov 24 12:00:01 web1 app[4711]: ", "+", "-"]


@pytest.mark.parametrize(
    ("before", "line", "ends"),
    [
        (b"", b"anything", 0),
        (b"     9\t", b"    10\tbody", 7),
        (b"k.pem:9:", b"k.pem-10-body", 9),
        (b"> ", b"> body", 2),
        (b"> ", b"body", None),
        (b"> ", b">", PART),
        (b"app-1 | ", b"app-12 | x", 9),
        (b"12:00 ", b"12:0", PART),
        (b"x" * (LONGEST + 1), b"anything", 0),
    ],
)
def test_a_lead_ends_where_the_first_one_did_but_for_its_numbers(
    before: bytes, line: bytes, ends: int | None
) -> None:
    assert Lead(before).ends(line) == ends


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_a_lead_never_takes_more_than_the_line(before: bytes, line: bytes) -> None:
    ends = Lead(before).ends(line)
    assert ends is None or ends == PART or 0 <= ends <= len(line)
    assert Lead(before).ends(before + b"x") in {len(before), None, PART, 0}


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("size", [1, 40, 10_000])
def test_a_key_longer_than_what_is_held_is_masked_behind_its_leads(lead: str, size: int) -> None:
    lines = [PEM.split("\n")[0], *[BODY] * (2 * MOST_HELD // len(BODY)), "short0==", "-----END RSA"]
    text = "".join(f"{lead}{line}\n" for line in [*lines, "next line"]).encode()
    masker = Masker(DEFAULT)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    shown = b"".join([*map(masker.feed, pieces), masker.finish()])
    assert BODY.encode()[:12] not in shown
    assert b"short0" not in shown
    assert shown.endswith(f"-----END RSA\n{lead}next line\n".encode())
