"""What a pattern alone cannot say of a value: check digits, how random it is, if it is a real word.

A check takes what a detector saw: a Sight.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from bastion.tap import placeholders

AROUND: Final = 6
"""Characters to either side of a match that a check sees."""


class Sight(NamedTuple):
    """What matched, from its trigger to the end of the value; the value, which would be masked."""

    whole: str
    value: str
    before: str = ""
    after: str = ""


Check = Callable[[Sight], bool]

_NOT_DIGITS: Final = re.compile(r"[^0-9]")
_GROUP_BEFORE: Final = re.compile(r"[0-9A-F]{4}$")
_GROUP: Final = re.compile(r"[ \r\n-]+[0-9A-F]{4}(?![0-9A-Za-z])")
_NOT_ALPHANUMERIC: Final = re.compile(r"[^0-9A-Za-z]")


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B, over decimal digits."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) << (index & 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _card(sight: Sight) -> bool:
    if " " in sight.value and (_GROUP_BEFORE.search(sight.before) or _GROUP.match(sight.after)):
        return False  # a row of a table of numbers
    digits = _NOT_DIGITS.sub("", sight.whole)
    length = 15 if digits[:2] in {"34", "37"} else 16
    return len(digits) == length and len(set(digits)) > 1 and luhn(digits)


_IBAN_LENGTHS: Final = {
    country: int(length)
    for country, length in re.findall(
        r"([A-Z]{2})([0-9]{2})",
        "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BR29BY28CH21CR22CY28CZ24DE22DK18DO28EE20EG29ES24"
        "FI18FO18FR27GB22GE22GI23GL18GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32"
        "LI21LT20LU20LV21LY25MC27MD24ME22MK19MR27MT31MU30NL18NO15PK24PL28PS29PT25QA29RO24RS22"
        "SA24SC31SE24SI19SK24SM27ST25SV28TL23TN24TR26UA29VA22VG24XK20",
    )
}


def _iban(sight: Sight) -> bool:
    text = _NOT_ALPHANUMERIC.sub("", sight.whole)
    if len(text) != _IBAN_LENGTHS.get(text[:2], 0):
        return False
    rearranged = text[4:] + text[:4]
    return int("".join(str(int(character, 36)) for character in rearranged)) % 97 == 1


def _cpf(sight: Sight) -> bool:
    """Brazil: two check digits, each modulo 11."""
    digits = [int(digit) for digit in _NOT_DIGITS.sub("", sight.whole)]
    if len(digits) != 11 or len(set(digits)) == 1:
        return False
    for length in (9, 10):
        total = sum(digit * (length + 1 - n) for n, digit in enumerate(digits[:length]))
        if total * 10 % 11 % 10 != digits[length]:
            return False
    return True


def _nir(sight: Sight) -> bool:
    """France: 97 minus the number modulo 97; Corsica's 2A and 2B count as 19 and 18."""
    text = _NOT_ALPHANUMERIC.sub("", sight.whole).upper().replace("2A", "19").replace("2B", "18")
    if len(text) != 15 or not text.isdecimal():
        return False
    return 97 - int(text[:13]) % 97 == int(text[13:])


_CN_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def _cn_resident(sight: Sight) -> bool:
    """China, GB 11643: ISO 7064 MOD 11-2."""
    text = _NOT_ALPHANUMERIC.sub("", sight.whole).upper()
    if len(text) != 18:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(text, _CN_WEIGHTS, strict=False))
    return "10X98765432"[total % 11] == text[17]


_CF_ODD: Final = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        b"\1\0\5\7\x09\x0d\x0f\x11\x13\x15"
        b"\1\0\5\7\x09\x0d\x0f\x11\x13\x15\2\4\x12\x14\x0b\3\6\x08\x0c\x0e"
        b"\x10\x0a\x16\x19\x18\x17",
        strict=True,
    )
)


def _codice_fiscale(sight: Sight) -> bool:
    """Italy: the last letter is a weighted sum modulo 26."""
    text = _NOT_ALPHANUMERIC.sub("", sight.whole).upper()
    if len(text) != 16:
        return False
    even = (int(c) if c.isdecimal() else ord(c) - 65 for c in text[1:15:2])
    return (sum(_CF_ODD[c] for c in text[0:15:2]) + sum(even)) % 26 == ord(text[15]) - 65


def _dni(sight: Sight) -> bool:
    """Spain: the letter is the number modulo 23."""
    text = _NOT_ALPHANUMERIC.sub("", sight.value).upper()
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(text[:8]) % 23] == text[8]


def entropy(text: str) -> float:
    """Shannon entropy in bits a character."""
    counts = Counter(text)
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in counts.values())


ENTROPY_FLOOR: Final = 4.3
"""Bits a character. Random base64 of 32 characters has about 4.6, an identifier 3.8."""


def _random(sight: Sight) -> bool:
    """Random-looking: digits, both cases, high entropy, and no words joined by punctuation."""
    return (
        entropy(sight.value) >= ENTROPY_FLOOR
        and any(c.isdecimal() for c in sight.value)
        and any(c.islower() for c in sight.value)
        and any(c.isupper() for c in sight.value)
        and re.search(r"[A-Za-z]{9}", sight.value) is None
    )


def _mixed(sight: Sight) -> bool:
    """Letters and digits, as a generated token has them."""
    return any(c.isdecimal() for c in sight.value) and any(c.isalpha() for c in sight.value)


def _assigned(sight: Sight) -> bool:
    return placeholders.is_real(sight.whole, sight.value, sight.after[:1])


def _in_url(sight: Sight) -> bool:
    return not placeholders.stands_in(sight.value)


CHECKS: Final[Mapping[str, Check]] = {
    "assigned": _assigned,
    "card": _card,
    "cn-resident": _cn_resident,
    "codice-fiscale": _codice_fiscale,
    "cpf": _cpf,
    "dni": _dni,
    "iban": _iban,
    "in-url": _in_url,
    "mixed": _mixed,
    "nir": _nir,
    "random": _random,
}
"""By the name that a detector's `check` gives."""
