"""What a grant says about secrets in what a target sends: `mask:` of a grant, and its terms."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from bastion.policy.desk_schema import ApprovalSection
from bastion.policy.document import Section
from bastion.policy.fields import OneOrMany
from bastion.policy.jsonpath import parse_path

_CLEAR: Final = re.compile(r"\s*/\*\s*BASTION_UNMASK=1\s*\*/")


def wants_clear(sql: str) -> bool:
    """Whether a text asks for its rows in clear: it begins with `/* BASTION_UNMASK=1 */`."""
    return _CLEAR.match(sql) is not None


FilesWord = Literal["off", "log", "block"]
LateWord = Literal["mask", "release"]


def _path(text: str) -> str:
    parse_path(text)
    return text


JsonPath = Annotated[str, AfterValidator(_path)]


class MaskSection(Section):
    """Beyond the detectors that always look, or without some of them."""

    also: OneOrMany[str] = ()
    """Detectors that look only where they are named: `email`, `phone`, `random`, …"""
    without: OneOrMany[str] = ()
    json_paths: Annotated[OneOrMany[JsonPath], Field(alias="json")] = ()
    """Values that are masked where JSON is shown, whatever they are: `$..password`."""
    late: LateWord | None = None
    """What is shown of a value that is not whole after 50 ms, instead of what its detector says."""
    keep_width: bool = False
    """Marks as wide as the secret, so that tables keep their columns."""
    files: FilesWord = "log"
    """Copied files: not looked at, looked at and told, or blocked where secrets are found."""
    unmask: ApprovalSection | None = None
    """Who may let secrets be shown; without it nobody may. What is recorded stays masked."""


@dataclass(frozen=True, slots=True)
class MaskTerms:
    """The same for a place, joined over its grants."""

    also: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    json: frozenset[str] = frozenset()
    late: LateWord | None = None
    keep_width: bool = False
    files: FilesWord = "log"


_STRICTER: Final[tuple[FilesWord, ...]] = ("off", "log", "block")
NO_TERMS: Final = MaskTerms()
NO_MASK: Final = MaskSection()


def join_masks(sections: Iterable[MaskSection]) -> MaskTerms:
    """The strictest of all: each asks for more, and only what all leave out is left out."""
    every = list(sections)
    if not every:
        return MaskTerms()
    lates = {section.late for section in every}
    return MaskTerms(
        also=frozenset(name for section in every for name in section.also),
        without=frozenset.intersection(*(frozenset(section.without) for section in every)),
        json=frozenset(path for section in every for path in section.json_paths),
        late="mask" if "mask" in lates else lates.pop() if len(lates) == 1 else None,
        keep_width=any(section.keep_width for section in every),
        files=max((section.files for section in every), key=_STRICTER.index),
    )
