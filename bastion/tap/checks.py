"""What a pattern alone cannot say of a value: check digits, how random it is, if it is a real word.

A check takes what a detector saw: a Sight.
"""

from __future__ import annotations

import base64
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from bastion.tap import nationals, placeholders

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


_DOUBLED: Final = bytes.maketrans(b"0123456789", b"0246813579")
"""Twice each digit, less 9 where that has two."""


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B, over decimal digits."""
    number = digits.encode()
    total = sum(number[-1::-2]) + sum(number[-2::-2].translate(_DOUBLED)) - 48 * len(number)
    return total % 10 == 0


def _card(sight: Sight) -> bool:
    if " " in sight.value and (_GROUP_BEFORE.search(sight.before) or _GROUP.match(sight.after)):
        return False  # a row of a table of numbers
    digits = _NOT_DIGITS.sub("", sight.whole)
    length = _CARD_LENGTHS.get(digits[:2], 16)
    return len(digits) == length and len(set(digits)) > 1 and luhn(digits)


_CARD_LENGTHS: Final = {"34": 15, "37": 15, "30": 14, "36": 14, "38": 14}


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


def _encoded(sight: Sight) -> bool:
    """Base64, and not words: what is not a letter is in every line of it."""
    return re.search(r"[0-9+/]", sight.value) is not None and _mixed_case(sight.value)


def _mixed_case(text: str) -> bool:
    return any(c.islower() for c in text) and any(c.isupper() for c in text)


def _mixed(sight: Sight) -> bool:
    """Letters and digits, as a generated token has them."""
    return any(c.isdecimal() for c in sight.value) and any(c.isalpha() for c in sight.value)


def _is_type(sight: Sight) -> bool:
    """`AWS::IAM::AccessKey`: what a thing is, not what it is called; or `${PWD:s!a!b!}`."""
    return (sight.before + _edge(sight)).endswith(("::", "${"))


def _edge(sight: Sight) -> str:
    """What stands before the name, where the trigger has that in it."""
    return sight.whole[:1] if re.match(r"[^A-Za-z0-9_.-]", sight.whole) else ""


def _assigned(sight: Sight) -> bool:
    return not _is_type(sight) and placeholders.is_real(
        sight.whole, sight.value, (sight.before + _edge(sight))[-1:], sight.after[:1]
    )


def _quoted(sight: Sight) -> bool:
    return not _is_type(sight) and placeholders.is_real_quoted(sight.whole, sight.value)


def _line(sight: Sight) -> bool:
    return placeholders.is_real_line(sight.value)


def _made(sight: Sight) -> bool:
    name = sight.whole[: -len(sight.value)]
    return placeholders.is_made(sight.value) and not placeholders.says_where(name)


def _literal(sight: Sight) -> bool:
    return placeholders.is_literal(sight.value)


def _in_url(sight: Sight) -> bool:
    return not placeholders.stands_in(sight.value)


def _basic(sight: Sight) -> bool:
    """Base64 of NAME:PASSWORD."""
    try:
        return b":" in base64.b64decode(sight.value + "=" * (-len(sight.value) % 4))
    except ValueError:
        return False


def _authorization(sight: Sight) -> bool:
    """A token behind a scheme; without one only what is as long as a key."""
    if re.fullmatch(r"(?:AWS4|GOOG4)-[A-Z0-9-]+", sight.value):
        return False  # AWS4-HMAC-SHA256, behind which comes whose it is
    scheme = sight.whole[: -len(sight.value)].endswith((" ", "%20")) and "=" not in sight.value[:-2]
    return (_mixed(sight) and (scheme or len(sight.value) >= 16)) and not _is_call(sight)


def _is_call(sight: Sight) -> bool:
    return sight.after[:1] in {"(", "[", "{"} or placeholders.stands_in(sight.value)


def _token(sight: Sight) -> bool:
    """Digits among letters, and not words that are joined by dashes or underscores."""
    longest = max(len(part) for part in re.split(r"[-_]", sight.value))
    return _mixed(sight) and longest >= 12 and len(set(sight.value)) > 6


def _hash(sight: Sight) -> bool:
    """One part at least is as long as a hash is."""
    return max(len(part) for part in re.split(r"[$:,=]", sight.value)) >= 20 and _mixed(sight)


def _number(right: Callable[[str], bool]) -> Check:
    """A check digit of the value."""
    return lambda sight: right(_NOT_ALPHANUMERIC.sub("", sight.value).upper())


def _whole_number(right: Callable[[str], bool]) -> Check:
    """A check digit of the trigger and the value together."""
    return lambda sight: right(_NOT_ALPHANUMERIC.sub("", sight.whole).upper())


CHECKS: Final[Mapping[str, Check]] = {
    "aadhaar": _number(nationals.aadhaar),
    "ahv": _whole_number(nationals.ahv),
    "assigned": _assigned,
    "authorization": _authorization,
    "basic": _basic,
    "card": _card,
    "cn-resident": _whole_number(nationals.cn_resident),
    "codice-fiscale": _whole_number(nationals.codice_fiscale),
    "cpf": _whole_number(nationals.cpf),
    "dni": _number(nationals.dni),
    "encoded": _encoded,
    "hash": _hash,
    "hetu": _whole_number(nationals.hetu),
    "iban": _iban,
    "in-url": _in_url,
    "line": _line,
    "literal": _literal,
    "made": _made,
    "mixed": _mixed,
    "mixed-case": lambda sight: _mixed_case(sight.value),
    "nir": _whole_number(nationals.nir),
    "personnummer": _whole_number(nationals.personnummer),
    "pesel": _number(nationals.pesel),
    "quoted": _quoted,
    "random": _random,
    "rijksregister": _whole_number(nationals.rijksregister),
    "token": _token,
}
"""By the name that a detector's `check` gives."""
