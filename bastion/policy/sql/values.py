"""Values as PostgreSQL has them: casts, comparisons, operators and a few functions.

Texts are compared by code point. A locale may sort otherwise, which is no matter for whether a
condition can be false at all. Of fractions nothing is computed, for the last digits may differ.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

LONGEST: Final = 1000
"""Characters of a text that an expression may make."""
LONGEST_PATTERN: Final = 60
LARGEST: Final = 2**63

Value: TypeAlias = "bool | int | float | str | list[Value] | tuple[Value, ...] | None"
"""A tuple is a row, a list an array."""


class Untold(Exception):
    """The value cannot be told."""


class Written(str):
    """A constant in quotes, which is of whatever type it is compared with."""

    __slots__ = ()


COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq, "<>": operator.ne, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
INTEGERS: Final = frozenset({"int2", "int4", "int8", "oid"})
NUMBERS: Final = frozenset({*INTEGERS, "numeric", "float4", "float8"})
TEXTS: Final = frozenset({"text", "varchar", "bpchar", "name"})
_TRUE: Final = frozenset({"t", "true", "y", "yes", "on", "1"})
_FALSE: Final = frozenset({"f", "false", "n", "no", "off", "0"})


def boolean(text: str) -> bool:
    """A boolean that is written in quotes."""
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise Untold
    return word in _TRUE


def number_in(text: str) -> int | float:
    """A number that is written in quotes, or as a numeric constant."""
    try:
        number: int | float = int(text) if text.strip().lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise Untold from None
    if not abs(number) < LARGEST:  # nor NaN
        raise Untold
    return number


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def cast(value: Value, to: str) -> Value:
    """A value as another type has it."""
    if value is None:
        return None
    if to == "bool":
        if isinstance(value, str):
            return boolean(value)
        if isinstance(value, int):
            return bool(value)
    elif to in TEXTS:
        return text_of(value)
    elif to in NUMBERS and not isinstance(value, list | tuple):
        number = number_in(value) if isinstance(value, str) else value
        if to in INTEGERS and number != int(number):
            raise Untold
        return int(number) if to in INTEGERS else number
    raise Untold


def text_of(value: Value) -> str:
    """A value as a text."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or isinstance(value, list | tuple | float):
        raise Untold
    return str(value)


def _alike(left: Value, right: Value) -> tuple[object, object]:
    """Two values of one type: a constant in quotes becomes of the other's."""
    if isinstance(left, Written) and not isinstance(right, str):
        return _alike(right, left)[::-1]
    if isinstance(right, Written) and not isinstance(left, str):
        if isinstance(left, bool):
            return left, boolean(right)
        if _is_number(left):
            return left, number_in(right)
        raise Untold
    same = isinstance(left, str) and isinstance(right, str)
    same = same or (isinstance(left, bool) and isinstance(right, bool))
    if not same and not (_is_number(left) and _is_number(right)):
        raise Untold
    return left, right


def compare(name: str, left: Value, right: Value) -> bool | None:
    """What a comparison gives."""
    known = COMPARISONS.get(name)
    if known is None:
        raise Untold
    if left is None or right is None:
        return None
    if isinstance(left, tuple) and isinstance(right, tuple):
        return _compare_rows(name, left, right)
    return known(*_alike(left, right))


def _compare_rows(name: str, left: tuple[Value, ...], right: tuple[Value, ...]) -> bool | None:
    if len(left) != len(right):
        raise Untold
    pairs = list(zip(left, right, strict=True))
    equal = [compare("=", *pair) for pair in pairs]
    if name in {"=", "<>", "!="}:
        same = False if False in equal else None if None in equal else True
        return same if same is None or name == "=" else not same
    for pair, alike in zip(pairs, equal, strict=True):  # the first that differs decides
        if alike is not True:
            return None if alike is None else compare(name, *pair)
    return name in {"<=", ">="}


def distinct(left: Value, right: Value) -> bool:
    """IS DISTINCT FROM."""
    if left is None or right is None:
        return left is not right
    if isinstance(left, list | tuple) or isinstance(right, list | tuple):
        raise Untold
    return compare("<>", left, right) is True


def quantified(name: str, left: Value, values: Sequence[Value], *, every: bool) -> bool | None:
    """ANY and ALL, IN and NOT IN."""
    found = [apply(name, left, one) for one in values]
    deciding = not every
    if deciding in found:
        return deciding
    return None if None in found else every


def between(kind: int, value: Value, low: Value, high: Value) -> bool | None:
    """BETWEEN (11), NOT BETWEEN (12), and both of them SYMMETRIC (13, 14)."""
    pairs = [(low, high), (high, low)] if kind in {13, 14} else [(low, high)]
    within = [_both(compare(">=", value, one), compare("<=", value, other)) for one, other in pairs]
    inside = True if True in within else None if None in within else False
    return inside if inside is None or kind in {11, 13} else not inside


def _both(one: bool | None, other: bool | None) -> bool | None:
    if False in (one, other):
        return False
    return None if None in (one, other) else True


def signed(name: str, value: Value) -> Value:
    if value is None:
        return None
    """A number with a sign before it."""
    if name not in {"-", "+"} or isinstance(value, bool | str | list | tuple):
        raise Untold
    return -value if name == "-" else value


def apply(name: str, left: Value, right: Value) -> Value:
    """What an operator between two values gives."""
    if name in COMPARISONS:
        return compare(name, left, right)
    if left is None or right is None:
        return None
    if name == "||":
        return _bounded(text_of(left) + text_of(right))
    if name.lstrip("!").startswith("~~"):
        return _is_like(name, left, right)
    if name == "^@" and isinstance(left, str) and isinstance(right, str):
        return left.startswith(right)
    numbers = _alike(left, right)
    return _computed(name, *numbers)


def _computed(name: str, left: object, right: object) -> Value:
    if not isinstance(left, int) or not isinstance(right, int) or isinstance(left, bool):
        raise Untold  # of fractions the last digits may differ
    if name in {"/", "%"} and right != 0:
        quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
        return quotient if name == "/" else left - quotient * right
    known = _ARITHMETIC.get(name)
    if known is None:
        raise Untold
    found = known(left, right)
    if abs(found) >= LARGEST:
        raise Untold
    return found


_ARITHMETIC: Final[Mapping[str, Callable[[int, int], int]]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul,
    "&": operator.and_, "|": operator.or_, "#": operator.xor,
}  # fmt: skip


def _bounded(text: str) -> str:
    if len(text) > LONGEST:
        raise Untold
    return text


def _is_like(name: str, left: Value, right: Value) -> bool:
    if not isinstance(left, str) or not isinstance(right, str):
        raise Untold
    if len(right) > LONGEST_PATTERN or "\\" in right:
        raise Untold
    folded = name.endswith("*")
    text, pattern = (one.lower() if folded else one for one in (left, right))
    return _matches(text, pattern) != name.startswith("!")


def _matches(text: str, pattern: str) -> bool:
    """LIKE: `%` stands for any text, `_` for any character."""
    at = index = 0
    star, mark = -1, 0
    while at < len(text):
        if index < len(pattern) and pattern[index] == "%":
            star, mark = index, at
            index += 1
        elif index < len(pattern) and pattern[index] in {"_", text[at]}:
            index += 1
            at += 1
        elif star >= 0:
            mark += 1
            at, index = mark, star + 1
        else:
            return False
    return not pattern[index:].strip("%")


# --- functions --------------------------------------------------------------------------------


def called(name: str, values: Sequence[Value]) -> Value:
    """What a function of PostgreSQL's own gives."""
    if name in {"num_nulls", "num_nonnulls"}:
        return sum((one is None) == (name == "num_nulls") for one in values)
    if name == "pg_typeof":
        return "the type of a column"  # which every row has
    if name == "concat":
        return _bounded("".join(text_of(one) for one in values if one is not None))
    known = _OF_TEXT.get(name), _OF_NUMBER.get(name)
    if known == (None, None):
        raise Untold
    if None in values:
        return None
    if not values or not all(
        isinstance(one, str) if known[0] is not None else _is_number(one) for one in values[:1]
    ):
        raise Untold
    function = known[0] or known[1]
    assert function is not None
    try:
        found = function(*values)
    except (TypeError, ValueError, AttributeError):  # not the arguments that are known here
        raise Untold from None
    return _bounded(found) if isinstance(found, str) else found


_OF_TEXT: Final[Mapping[str, Callable[..., Value]]] = {
    "length": len, "char_length": len, "character_length": len,
    "octet_length": lambda text: len(text.encode()),
    "lower": str.lower, "upper": str.upper, "reverse": lambda text: text[::-1],
    "btrim": lambda text, of=" ": text.strip(of), "ltrim": lambda text, of=" ": text.lstrip(of),
    "rtrim": lambda text, of=" ": text.rstrip(of),
    "left": lambda text, count: text[:count], "strpos": lambda text, part: text.find(part) + 1,
    "starts_with": str.startswith,
    "replace": lambda text, old, new: text.replace(old, new) if old else text,
}  # fmt: skip
_OF_NUMBER: Final[Mapping[str, Callable[..., Value]]] = {
    "abs": abs, "sign": lambda number: (number > 0) - (number < 0),
    "mod": lambda one, other: _computed("%", one, other),
}  # fmt: skip
OF_TEXT: Final = frozenset(_OF_TEXT)
OF_NUMBER: Final = frozenset(_OF_NUMBER)
