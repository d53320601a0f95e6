"""Types of values that files hold, for pydantic models: durations, sizes, one-or-many lists."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, TypeVar, get_args

from pydantic import BeforeValidator, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_DURATION: Final = re.compile(
    r"(?:([0-9]{1,5})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,7})m)?(?:([0-9]{1,9})s)?"
)
_SIZE: Final = re.compile(r"([0-9]{1,15})(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)")
_SCALES: Final[dict[str, int]] = {
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("kMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
T = TypeVar("T")


def parse_duration(text: object) -> float:
    """`90s`, `10m`, `1h30m`, `2d` → seconds, more than 0; ValueError otherwise."""
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not text or found is None:
        raise ValueError("must be a duration such as 90s, 10m, 1h30m or 2d")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total == 0:
        raise ValueError("must be longer than zero")
    return float(total)


def parse_size(text: object) -> int:
    """`512kB`, `64MiB` → bytes; ValueError otherwise."""
    found = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("must be a size such as 512kB, 64MiB or 2GB")
    return int(found[1]) * _SCALES[found[2]]


def describe_duration(seconds: float) -> str:
    """Seconds as `parse_duration` reads them, for people."""
    left = round(seconds)
    shown = ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= size:
            shown += f"{left // size}{unit}"
            left %= size
    return shown or "0s"


class _OneOrMany:
    """A lone value stands for a list of one. Chosen by shape, so faults are told once."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        one = handler.generate_schema(get_args(source)[0])
        return core_schema.no_info_after_validator_function(
            lambda value: value if isinstance(value, tuple) else (value,),
            core_schema.tagged_union_schema(
                {"one": one, "many": handler(source)},
                discriminator=lambda value: "many" if isinstance(value, list | tuple) else "one",
            ),
        )


OneOrMany = Annotated[tuple[T, ...], _OneOrMany()]
"""`x` or `[x, y]` in the file; always a tuple in the model."""

Duration = Annotated[float, BeforeValidator(parse_duration)]
"""`10m` in the file; seconds in the model."""

Size = Annotated[int, BeforeValidator(parse_size)]
"""`64MiB` in the file; bytes in the model."""
