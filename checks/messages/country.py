"""What a phone number tells of itself, and how it is shown."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Final, TypeVar

import phonenumbers

UNKNOWN_COUNTRY: Final = "unknown"
E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")


T = TypeVar("T")


def memoise_by_prefix(look_up: Callable[[str], T]) -> Callable[[str], T]:
    """Return ``look_up`` with a memory: E.164 numbers as long and with the same first digits have one answer.

    Eight digits tell countries apart wherever the metadata does, and operators all but everywhere. The memory
    is bounded: what was not asked for lately is forgotten. Anything but "+" and digits is looked up each time.
    """
    recent: dict[str, T] = {}
    older: dict[str, T] = {}

    @wraps(look_up)
    def remember(number: str) -> T:
        nonlocal recent, older
        length = len(number)
        if not (_SHORTEST <= length <= _LONGEST and number[0] == "+" and number.isascii() and number[1:].isdigit()):
            return look_up(number)
        key = number[:_PREFIX] + _LENGTHS[length]
        if key in recent:
            return recent[key]
        answer = older[key] if key in older else look_up(number)
        if len(recent) >= _MOST:
            recent, older = {}, recent
        recent[key] = answer
        return answer

    return remember


_PREFIX: Final = 9  # "+" and eight digits
_SHORTEST: Final = 3
_LONGEST: Final = 16  # "+" and the fifteen digits of E.164
_LENGTHS: Final = "0123456789abcdefg"  # by length, one letter each
_MOST: Final = 16_384  # prefixes in each of two generations, about 5 MB together


@memoise_by_prefix
def country_of(number: str) -> str:
    """Return the ISO 3166 alpha-2 code for an E.164 number, or ``UNKNOWN_COUNTRY``.

    Satellite and other numbers of no country (region ``001`` in the metadata) are unknown too.
    """
    try:
        return country_of_parsed(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        return UNKNOWN_COUNTRY


def country_of_parsed(number: phonenumbers.PhoneNumber) -> str:
    """As ``country_of``, of a number taken apart."""
    region = phonenumbers.region_code_for_number(number)
    return UNKNOWN_COUNTRY if region is None or not region.isalpha() else region


def mask_number(number: str) -> str:
    """Return a phone number that a colleague recognises and nobody can call: ``+49********12``.

    It keeps the country code and the last two digits; the first two of what has no known country code.
    """
    shown = _prefix_length(number)
    hidden = max(0, len(number) - shown - 2)
    return f"{number[:shown]}{'*' * hidden}{number[shown + hidden :]}"


def _prefix_length(number: str) -> int:
    if not number.startswith("+"):
        return 0
    try:
        return 1 + len(str(phonenumbers.parse(number, None).country_code))
    except phonenumbers.NumberParseException:
        return 3
