"""Objects of a vendor's answers, taken apart with suspicion: what is not as documented is said without its contents."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ..errors import BadResponseError

_NUMBER: Final = re.compile(r"[+-]?\d{1,18}(\.\d{0,18})?([eE][+-]?\d{1,3})?", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Za-z]{3}", re.ASCII)
_MOST_LETTERS: Final = 64  # of a date


class Fields:
    """One object. Everything raises BadResponseError for what is missing or of another type."""

    def __init__(self, value: Any, vendor: str, what: str = "answer") -> None:
        """Take a decoded value; ``vendor`` and ``what`` are for the words of errors."""
        self._vendor = vendor
        if not isinstance(value, dict):
            raise BadResponseError(f"{vendor}'s {what} is not of the documented shape")
        self._value: Mapping[str, Any] = value

    def get(self, name: str) -> Any:
        """Return whatever is there, None where nothing is."""
        return self._value.get(name)

    def text(self, name: str, pattern: re.Pattern[str] | None = None) -> str:
        """Return a text that is not empty and matches as a whole."""
        value = self._value.get(name)
        if not isinstance(value, str) or not value or (pattern is not None and not pattern.fullmatch(value)):
            raise self._missing(name)
        return value

    def number(self, name: str) -> float:
        """Return a finite number that came as a number or as text."""
        value = self._value.get(name)
        text = value if isinstance(value, str) else str(value) if type(value) in (int, float) else ""
        number = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(number):
            raise self._missing(name)
        return number

    def currency(self, name: str) -> str:
        """Return an ISO 4217 code in capital letters."""
        return self.text(name, _CURRENCY).upper()

    def moment(self, name: str) -> float:
        """Return the Unix time of an ISO 8601 date; one without an offset is UTC."""
        try:
            return parse_moment(self.text(name))
        except ValueError:
            raise self._missing(name) from None

    def optional_moment(self, name: str) -> float | None:
        """Return as ``moment``, None where nothing is."""
        return None if self._value.get(name) in (None, "") else self.moment(name)

    def inner(self, name: str) -> "Fields":
        """Return the object that is there."""
        return Fields(self._value.get(name), self._vendor, name)

    def rows(self, name: str) -> Sequence[Any]:
        """Return the list that is there, whatever is in it."""
        value = self._value.get(name)
        if not isinstance(value, list):
            raise self._missing(name)
        return value

    def _missing(self, name: str) -> BadResponseError:
        return BadResponseError(f"{self._vendor} gives no {name}, or another thing than documented")


def parse_moment(text: str) -> float:
    """Return the Unix time of an ISO 8601 date; one without an offset is UTC. Raises ValueError."""
    if len(text) > _MOST_LETTERS:
        msg = "too long for a date"
        raise ValueError(msg)
    try:
        moment = datetime.fromisoformat(text)
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()
    except OverflowError:
        msg = "beyond all dates"
        raise ValueError(msg) from None


def parse_number(value: Any) -> str:
    """Return a phone number as E.164, "" for what is none: many vendors leave out the plus sign."""
    text = str(value) if type(value) is int else value if isinstance(value, str) else ""
    digits = text.removeprefix("+")
    is_number = digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15
    return f"+{digits}" if is_number else ""
