"""Why a message may fail, in the words that vendors share, and what each of them means to us.

A vendor's table of codes speaks of causes, each row with its source: ``code_table``. ``Codes`` looks a code up.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from ..messages import FAILURE_REASONS
from ..reason import Reason


class Cause(StrEnum):
    """Why a vendor or an operator did not do what was asked of it."""

    INVALID_DESTINATION = "invalid_destination"
    UNREACHABLE_TEMPORARY = "unreachable_temporary"  # switched off, no signal
    UNREACHABLE_PERMANENT = "unreachable_permanent"  # the operator knows no such subscriber any more
    UNSUPPORTED_DESTINATION = "unsupported_destination"  # a landline, no SMS service
    SUBSCRIBER_BARRED = "subscriber_barred"
    RECIPIENT_OPTED_OUT = "recipient_opted_out"
    CARRIER_BLOCKED = "carrier_blocked"  # a filter of the operator's
    CONTENT_REJECTED = "content_rejected"  # a filter that names the text
    SENDER_REJECTED = "sender_rejected"  # not registered where it has to be
    SENDER_UNKNOWN = "sender_unknown"  # not ours, or not able to send
    FRAUD_BLOCKED = "fraud_blocked"
    COUNTRY_BLOCKED = "country_blocked"
    NO_ROUTE = "no_route"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    ACCOUNT_SUSPENDED = "account_suspended"
    ACCOUNT_RESTRICTED = "account_restricted"  # a trial, or not enabled for this
    AUTH_FAILED = "auth_failed"
    PERMISSION_MISSING = "permission_missing"
    INVALID_REQUEST = "invalid_request"
    NETWORK_ERROR = "network_error"  # of the operator
    PROVIDER_ERROR = "provider_error"
    TIMEOUT = "timeout"  # the validity ended, no cause given
    UNKNOWN = "unknown"


_R = Reason

REASON_OF: Final[Mapping[Cause, Reason]] = MappingProxyType(
    {
        Cause.INVALID_DESTINATION: _R.RECIPIENT_INVALID,
        Cause.UNREACHABLE_TEMPORARY: _R.RECIPIENT_UNREACHABLE,
        Cause.UNREACHABLE_PERMANENT: _R.RECIPIENT_INVALID,
        Cause.UNSUPPORTED_DESTINATION: _R.RECIPIENT_LANDLINE,
        Cause.SUBSCRIBER_BARRED: _R.RECIPIENT_BLOCKED,
        Cause.RECIPIENT_OPTED_OUT: _R.RECIPIENT_OPTED_OUT,
        Cause.CARRIER_BLOCKED: _R.OPERATOR_BLOCKING,
        Cause.CONTENT_REJECTED: _R.OPERATOR_BLOCKING,
        Cause.SENDER_REJECTED: _R.SENDER_UNREGISTERED,
        Cause.SENDER_UNKNOWN: _R.SENDER_INVALID,
        Cause.FRAUD_BLOCKED: _R.SMS_PUMPING,
        Cause.COUNTRY_BLOCKED: _R.COUNTRY_NOT_PERMITTED,
        Cause.NO_ROUTE: _R.DELIVERY_FAILING,
        Cause.RATE_LIMITED: _R.RATE_LIMITED,
        Cause.QUOTA_EXCEEDED: _R.RATE_LIMITED,
        Cause.INSUFFICIENT_BALANCE: _R.BALANCE_EXHAUSTED,
        Cause.ACCOUNT_SUSPENDED: _R.ACCOUNT_SUSPENDED,
        Cause.ACCOUNT_RESTRICTED: _R.ACCOUNT_RESTRICTED,
        Cause.AUTH_FAILED: _R.CREDENTIALS_REJECTED,
        Cause.PERMISSION_MISSING: _R.PERMISSION_MISSING,
        Cause.INVALID_REQUEST: _R.INTERNAL,  # our own defect; of a message of others see Codes.of_message
        Cause.NETWORK_ERROR: _R.DELIVERY_FAILING,
        Cause.PROVIDER_ERROR: _R.PROVIDER_OUTAGE,
        Cause.TIMEOUT: _R.DELIVERY_SLOW,
        Cause.UNKNOWN: _R.DELIVERY_FAILING,
    }
)
"""The one place that says what a cause means to us."""

_CODE: Final = re.compile(r"\d{1,7}|[A-Za-z][\w.-]{0,63}", re.ASCII)  # more digits in a row may be a phone number
_MANY_DIGITS: Final = re.compile(r"\d{8}")


@dataclass(frozen=True, slots=True)
class CodeRow:
    """What one code of a vendor means."""

    cause: Cause
    source: str  # where its meaning was read; the cause is our own conclusion from it


def code_table(*rows: tuple[Cause, str, Iterable[str | int]]) -> Mapping[str, CodeRow]:
    """Return a table by code. Raises ValueError for a code that is there twice."""
    table: dict[str, CodeRow] = {}
    for cause, source, codes in rows:
        for code in map(str, codes):
            if code in table:
                msg = f"code {code} stands in the table twice"
                raise ValueError(msg)
            table[code] = CodeRow(cause, source)
    return MappingProxyType(table)


def parse_code(value: Any) -> str | None:
    """Return a code as it may stand in a label and a log; None for what is none."""
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    return text if _CODE.fullmatch(text) and not _MANY_DIGITS.search(text) else None


class Codes:
    """A vendor's table of codes, and what the configuration says otherwise."""

    def __init__(self, table: Mapping[str, CodeRow], overrides: Mapping[str, Reason]) -> None:
        self._table = table
        self._overrides = overrides

    def of_call(self, code: str) -> Reason | None:
        """Return what a call with this code failed of; None for a code that is not known."""
        if code in self._overrides:
            return self._overrides[code]
        return REASON_OF[self._table[code].cause] if code in self._table else None

    def of_message(self, code: str) -> tuple[Reason, bool]:
        """Return why a message with this code failed, and whether that is known.

        Who asked for nonsense, or with a wrong key, was somebody else: such a message is just failing.
        """
        reason = self.of_call(code)
        if reason is None:
            return Reason.DELIVERY_FAILING, False
        return (reason if code in self._overrides or reason in FAILURE_REASONS else Reason.DELIVERY_FAILING), True


def _reason(value: Any) -> Any:
    known = isinstance(value, str) and value in set(Reason) - {Reason.OK}
    if not known:
        raise PydanticCustomError("reason", 'must be a reason such as "operator_blocking"')
    return Reason(value)


def _code(value: Any) -> Any:
    code = parse_code(value)
    if code is None:
        raise PydanticCustomError("code", "must be an error code of the provider")
    return code


ReasonSetting = Annotated[Reason, BeforeValidator(_reason)]
"""A reason that says that something is wrong."""


def _cause_or_reason(value: Any) -> Any:
    """Return the cause where a word is both: words here speak of what a vendor says."""
    if isinstance(value, str) and value in set(Cause):
        return Cause(value)
    try:
        return _reason(value)
    except PydanticCustomError:
        words = ", ".join(sorted({*Cause, *(set(Reason) - {Reason.OK})}))
        raise PydanticCustomError("cause", "must be a cause or a reason, one of: {words}", {"words": words}) from None


CauseOrReason = Annotated[
    Cause | Reason,
    BeforeValidator(_cause_or_reason),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "enum": sorted({*Cause, *(set(Reason) - {Reason.OK})})}),
]
"""What a code means: one of our reasons, or a cause that stands for one."""


def codes_of(words: Mapping[str, Cause | Reason]) -> Codes:
    """Return the codes that a configuration describes. A reason holds as it is, a cause as in a vendor's table."""
    causes = {code: CodeRow(word, "configuration") for code, word in words.items() if isinstance(word, Cause)}
    return Codes(causes, {code: word for code, word in words.items() if isinstance(word, Reason)})


ErrorCodes = dict[Annotated[str, BeforeValidator(_code)], ReasonSetting]
"""A vendor's codes that mean another reason than built in: numbers or text in the file, text in the code."""
