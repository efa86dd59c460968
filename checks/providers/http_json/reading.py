"""Rows of a provider's answers and callbacks, by the expressions that say where things stand in them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...errors import BadResponseError
from ...messages import UNKNOWN_COUNTRY, Status
from ..causes import Cause, Codes, parse_code
from ..fields import Fields, parse_number
from ..rows import Row
from .expressions import Expression
from .settings import ANY, HttpJsonSettings, RowFields
from .times import TimeSettings

NAME: Final = "the provider"
"""Who it is, for words of errors: the user knows which one this is about."""

MESSAGE_ID: Final = re.compile(r"[\w.:+=/~@-]{1,200}", re.ASCII)
_COUNTRY: Final = re.compile(r"[A-Z]{2}", re.ASCII)
_MCC_MNC: Final = re.compile(r"\d{5,6}", re.ASCII)
_STATUS_PREFIX: Final = "status-"


class UnknownStatusError(BadResponseError):
    """A row has a status that the configuration does not name."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a message cost."""

    amount: float
    currency: str  # ISO 4217


class RowReader:
    """Reads rows of one kind."""

    def __init__(self, settings: HttpJsonSettings, fields: RowFields, times: TimeSettings, codes: Codes) -> None:
        self._fields = fields
        self._times = times
        self._statuses = settings.statuses
        self._reasons = settings.reasons
        self._codes = codes

    def read(self, item: Any, *, at: float | None = None) -> Row:
        """Return the row of an item; ``at`` is when it came, for one that tells no time (Unix time).

        Raises BadResponseError for one that cannot be understood.
        """
        fields = self._fields
        word = _word(fields.status.find(item))
        status = self._statuses.get(word, self._statuses.get(ANY))
        if status is None:
            raise UnknownStatusError(f"{NAME} gives a message an unknown status")
        created_at = self._moment(fields.created_at, item)
        if created_at is None and at is None:
            raise BadResponseError(f"{NAME} does not tell when a message was created")
        changed_at, delivered_at = self._moment(fields.changed_at, item), self._moment(fields.delivered_at, item)
        is_timed = status is Status.DELIVERED and delivered_at is not None
        told = delivered_at if is_timed else changed_at
        return Row(
            message_id=read_id(fields.id.find(item)),
            status=status,
            at=next(each for each in (told, at, created_at) if each is not None),
            created_at=created_at,
            number=parse_number(_found(fields.to, item)),
            country=_matched(_found(fields.country, item), _COUNTRY) or UNKNOWN_COUNTRY,
            mcc_mnc=_matched(_found(fields.mcc_mnc, item), _MCC_MNC),
            code=self._code(_found(fields.code, item), word),
            cause=Cause.UNKNOWN,
            is_timed=is_timed,
        )

    def created_at(self, item: Any) -> float | None:
        """Return when a message was created; None where that cannot be understood."""
        try:
            return self._moment(self._fields.created_at, item)
        except BadResponseError:
            return None

    def price(self, item: Any) -> Price | None:
        """Return what a message cost, None while that is not told. Raises BadResponseError."""
        amount, currency = _found(self._fields.price, item), _found(self._fields.currency, item)
        if amount in (None, "") or currency in (None, ""):
            return None
        told = Fields({"price": amount, "currency": currency}, NAME)
        price = Price(abs(told.number("price")), told.currency("currency"))
        return price if price.amount > 0 else None

    def _moment(self, expression: Expression | None, item: Any) -> float | None:
        value = _found(expression, item)
        if value in (None, "", 0, "0"):
            return None
        try:
            return self._times.parse(value)
        except ValueError:
            raise BadResponseError(f"{NAME} writes a time otherwise than times says") from None

    def _code(self, value: Any, status_word: str) -> str | None:
        """Return the code of a failure: its own or, where that says less, its status as one."""
        code = code_in(value, self._reasons)
        if code is not None and not code.strip("0"):
            code = None  # no error
        by_status = parse_code(f"{_STATUS_PREFIX}{status_word}")
        if by_status is None or by_status not in self._reasons:
            return code
        return code if code is not None and self._codes.of_call(code) is not None else by_status


def read_id(value: Any) -> str:
    """Return the id of a message. Raises BadResponseError for what is none."""
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not MESSAGE_ID.fullmatch(text):
        raise BadResponseError(f"{NAME} gives a message no id")
    return text


def code_in(value: Any, known: Mapping[str, Any]) -> str | None:
    """Return a code in the letters that the configuration has it in; None for what is no code."""
    code = parse_code(value)
    return None if code is None else code.lower() if code.lower() in known else code


def _word(value: Any) -> str:
    text = str(value) if type(value) in (int, bool) else value
    if not isinstance(text, str) or not 0 < len(text.strip()) <= 64:
        raise BadResponseError(f"{NAME} gives a message no status")
    return text.strip().lower()


def _found(expression: Expression | None, item: Any) -> Any:
    return None if expression is None else expression.find(item)


def _matched(value: Any, pattern: re.Pattern[str]) -> str:
    text = str(value) if type(value) is int else value
    return text if isinstance(text, str) and pattern.fullmatch(text) else ""
