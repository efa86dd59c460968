"""What a phone number tells of itself, and how it is shown."""

from typing import Final

import phonenumbers

UNKNOWN_COUNTRY: Final = "unknown"


def country_of(number: str) -> str:
    """Return the ISO 3166 alpha-2 code for an E.164 number, or ``UNKNOWN_COUNTRY``.

    Satellite and other numbers of no country (region ``001`` in the metadata) are unknown too.
    """
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return UNKNOWN_COUNTRY
    region = phonenumbers.region_code_for_number(parsed)
    if region is None or not region.isalpha():
        return UNKNOWN_COUNTRY
    return region


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
