"""Rows of a vendor's message log, turned into receipts. What cannot be understood is left out and told once."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..errors import BadResponseError
from ..messages import UNKNOWN_COUNTRY, Receipt, Source, Status
from ..messages.operator import origin_of
from ..reason import Reason
from .causes import REASON_OF, Cause, Codes
from .networks import Networks, network_of
from .observer import NoObserver, Observer

_SOME_ROWS: Final = 5
_FAILURES: Final = (Status.UNDELIVERED, Status.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One message, in our words as far as an adapter can say them. Times are Unix time."""

    message_id: str
    status: Status
    at: float  # when it came to this status
    created_at: float | None = None  # None: not told, as in many callbacks
    number: str = ""  # E.164; "" where the vendor no longer has it
    country: str = UNKNOWN_COUNTRY  # as the vendor says, for numbers that tell none
    mcc_mnc: str = ""  # of the network, where the vendor tells
    code: str | None = None  # of a failure, where the vendor gives one
    cause: Cause = Cause.UNKNOWN  # of a failure without a code that says more
    is_timed: bool = False  # `at` is when it was delivered


class Receipts:
    """Makes receipts of rows, for one account. Safe to use from several threads."""

    def __init__(self, codes: Codes, observer: Observer | None = None) -> None:
        self._codes = codes
        self._observer = observer or NoObserver()
        self._networks = Networks()
        self._unreadable = Seen()

    def of_page(
        self, rows: Sequence[Any], read: Callable[[Any], Row | None], *, vendor: str, since: float, until: float
    ) -> Sequence[Receipt]:
        """Return the receipts of the messages created from ``since`` on and before ``until``, the newest first.

        ``read`` returns None for a row that is not of an outbound message, and raises BadResponseError for one
        that cannot be understood: that one is left out and told to the observer, once. A page of some rows of which
        none can be understood is a BadResponseError, as is one of rows that are no objects.
        """
        if not all(isinstance(row, dict) for row in rows):
            raise BadResponseError(f"{vendor}'s message log is not of the documented shape")
        receipts: list[tuple[float, Receipt]] = []
        understood = 0
        for each in rows:
            try:
                row = read(each)
            except BadResponseError:
                if self._unreadable.add(each):
                    self._observer.message_unreadable()
                continue
            understood += 1
            if row is not None and row.created_at is not None and since <= row.created_at < until:
                receipts.append((row.created_at, self.of(row)))
        if not understood and len(rows) >= _SOME_ROWS:
            raise BadResponseError(f"{vendor}'s message log cannot be understood")
        receipts.sort(key=lambda pair: -pair[0])
        return [receipt for _, receipt in receipts]

    def of(self, row: Row, source: Source = Source.LOG) -> Receipt:
        """Return the receipt of one row."""
        reason, is_mapped = (None, True) if row.status not in _FAILURES else self.why(row.code, row.cause)
        country, operator = origin_of(row.number)
        is_arrived = row.status is Status.DELIVERED and row.is_timed and row.created_at is not None
        return Receipt(
            message_id=row.message_id,
            status=row.status,
            at=row.at,
            created_at=row.created_at,
            recipient=row.number,
            country=row.country if country == UNKNOWN_COUNTRY else country,
            operator=self._networks.name(network_of(row.mcc_mnc), operator),
            reason=reason,
            code=None if reason is None else row.code,
            code_is_mapped=is_mapped,
            delivery_seconds=max(0.0, row.at - (row.created_at or 0.0)) if is_arrived else None,
            source=source,
        )

    def why(self, code: str | None, cause: Cause) -> tuple[Reason, bool]:
        """Return why a message failed, by its code or, where that says nothing, by the cause that its status names.

        The second tells whether the code is in the table.
        """
        if code is None:
            return REASON_OF[cause], True
        reason, is_mapped = self._codes.of_message(code)
        says_nothing = reason is Reason.DELIVERY_FAILING and cause is not Cause.UNKNOWN
        return (REASON_OF[cause] if says_nothing else reason), is_mapped


class Seen:
    """Remembers things for a while: the last few thousand."""

    _MOST: Final = 5000

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._older: set[int] = set()

    def add(self, thing: Any) -> bool:
        """Remember a thing of JSON; return whether it is new."""
        digest = hash(json.dumps(thing, sort_keys=True))
        if digest in self._recent or digest in self._older:
            return False
        self._recent.add(digest)
        if len(self._recent) >= self._MOST:
            self._recent, self._older = set(), self._recent
        return True
