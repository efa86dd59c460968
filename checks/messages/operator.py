"""Which mobile operator a number belongs to, and what an operator is called in a label."""

import re
import unicodedata
from typing import Final

import phonenumbers

from .country import UNKNOWN_COUNTRY, country_of_parsed, memoise_by_prefix
from .number_plan import operator_name
from .receipt import UNKNOWN_OPERATOR

_MOST_LETTERS: Final = 40
_NUMBER_LIKE: Final = re.compile(r"\d(?:[ ().+/-]*\d){6,}")  # a phone number in place of a name

_MCC: Final = re.compile(r"[2-79]\d\d", re.ASCII)  # ITU-T E.212: geographic codes and those shared between countries
_MNC: Final = re.compile(r"\d{2,3}", re.ASCII)


_origins: Final[dict[tuple[str, str], tuple[str, str]]] = {}  # as many as number plans name operators


@memoise_by_prefix
def origin_of(number: str) -> tuple[str, str]:
    """Return country and operator of an E.164 number, as ``country_of`` and ``operator_of`` do, in one look."""
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return UNKNOWN_COUNTRY, UNKNOWN_OPERATOR
    origin = (country_of_parsed(parsed), operator_label(operator_name(parsed)))
    return _origins.setdefault(origin, origin)  # one of each, for many prefixes


def operator_of(number: str) -> str:
    """Return the operator that an E.164 number was first given to, or ``UNKNOWN_OPERATOR``.

    This is what the number plan says. It holds for most numbers and is wrong for those that were ported to
    another operator since; where a provider names the operator itself, believe that instead. It is told for
    countries with number portability too: most numbers stay, and a fault of one operator still stands out
    among the numbers that were its own. Many plans (the US, for one) name no operator.
    """
    return origin_of(number)[1]


def operator_label(name: str) -> str:
    """Return an operator's name as it may stand in a label, or ``UNKNOWN_OPERATOR`` for what is none.

    At most 40 letters, composed (NFC), without control and invisible characters, with single spaces. A name
    with a phone number in it is none.
    """
    start = unicodedata.normalize("NFC", name[: 4 * _MOST_LETTERS])  # a long one costs no more than a short one
    spaced = "".join(" " if letter.isspace() else letter for letter in start)
    label = " ".join("".join(filter(_is_shown, spaced)).split())
    if _NUMBER_LIKE.search(label):
        return UNKNOWN_OPERATOR
    return label[:_MOST_LETTERS].rstrip() or UNKNOWN_OPERATOR


def operator_by_mcc_mnc(mcc: str, mnc: str) -> str:
    """Return the label of an operator of which only the codes are known, such as ``62130``.

    ``UNKNOWN_OPERATOR`` when they are not the codes of a mobile network (ITU-T E.212).
    """
    if not _MCC.fullmatch(mcc) or not _MNC.fullmatch(mnc):
        return UNKNOWN_OPERATOR
    return f"{mcc}{mnc}"


def _is_shown(letter: str) -> bool:
    return not unicodedata.category(letter).startswith("C")
