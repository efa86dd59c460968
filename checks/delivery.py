"""Do messages arrive, and in time? Reads the provider's log of what was really sent.

The verdict here is a plain one over the last half hour, guarded by a least number of messages.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Final

from pydantic import Field

from .clients import MessageLogClient
from .messages.receipt import Receipt, Status
from .past import Past
from .reason import Owner, Reason
from .result import CheckResult, MessageLog
from .settings import CheckSettings, Count, Number, Seconds, between, format_duration

_LATENCY_QUANTILE: Final = 0.9  # operators' own contracts are written for 90 % of the traffic

_MAX_CLOCK_DIFFERENCE: Final = timedelta(days=1)  # a message from beyond is no guide to how far we have read

_FAILED: Final = (Status.UNDELIVERED, Status.FAILED)


class DeliverySettings(CheckSettings):
    """What counts as failing, slow and silent."""

    window: Annotated[Seconds, between("1m", "6h")] = Field(
        1800.0,
        description="messages younger than this are judged, and read again at each run as they still change",
    )
    max_messages: Count = Field(
        20_000, ge=1000, description="no more than this many messages are read in one run, the newest ones"
    )
    min_messages: Count = Field(20, ge=1, description="with fewer finished messages in the window nothing is judged")
    max_failure_ratio: Number = Field(
        0.3, gt=0, le=1, description="a larger share of undelivered messages, 0 to 1, is failing"
    )
    max_latency: Annotated[Seconds, between("1s", "1h")] = Field(
        60.0, description="when 90 % of the messages take longer than this, delivery is slow"
    )
    no_traffic_after: Annotated[Seconds, between("1m", "1d")] | None = Field(
        None,
        description="no message for this long means that traffic has stopped; not judged unless set",
    )


def check_delivery(client: MessageLogClient, settings: DeliverySettings, past: Past) -> CheckResult:
    """Pass when recent messages arrive, in time.

    Reads everything since the last reading, and the window before it once more. Failures that only one
    client can mend (a wrong number, an opt-out) do not count as failing delivery.

    A status that comes later than the window is not seen. Raises ProviderError when the log cannot be read;
    nothing of a log read in part is used.
    """
    window = timedelta(seconds=settings.window)
    since = _last_reading(past) - window
    if settings.no_traffic_after is not None:
        since = min(since, past.now - timedelta(seconds=settings.no_traffic_after))
    receipts = tuple(islice(client.read_messages(since=since), settings.max_messages))
    recent = [receipt for receipt in receipts if receipt.created_at >= past.now - window]
    reason, detail = _judge(receipts, recent, settings, past)
    if len(receipts) == settings.max_messages:
        detail += f"; only the newest {settings.max_messages} messages were read, older ones are not counted"
    log = MessageLog(receipts=receipts, read_until=_read_until(receipts, since, past), latency_seconds=_latency(recent))
    return CheckResult(reason=reason, detail=detail, measured=(log,))


def _last_reading(past: Past) -> datetime:
    """Return how far the log had been read: in its own time, whatever happened to our clock since."""
    read_until = past.log_read_until
    return past.now if read_until is None or read_until > past.now + _MAX_CLOCK_DIFFERENCE else read_until


def _read_until(receipts: Sequence[Receipt], since: datetime, past: Past) -> datetime:
    """Return how far the log was read, in its own time, which does not jump when our clock does."""
    known = [receipt.created_at for receipt in receipts]
    if past.log_read_until is not None:
        known.append(past.log_read_until)
    return max((moment for moment in known if moment <= past.now + _MAX_CLOCK_DIFFERENCE), default=since)


def _judge(
    receipts: Sequence[Receipt], recent: Sequence[Receipt], settings: DeliverySettings, past: Past
) -> tuple[Reason, str]:
    if settings.no_traffic_after is not None:
        oldest = past.now - timedelta(seconds=settings.no_traffic_after)
        if not any(receipt.created_at >= oldest for receipt in receipts):
            return Reason.NO_TRAFFIC, f"no message for {format_duration(settings.no_traffic_after)}"
    window = format_duration(settings.window)
    judged = [receipt for receipt in recent if receipt.status is Status.DELIVERED or _is_failure(receipt)]
    if len(judged) < settings.min_messages:
        return Reason.OK, f"{len(recent)} messages in {window}: too few to judge"
    failed = [receipt for receipt in judged if _is_failure(receipt)]
    ratio = len(failed) / len(judged)
    if ratio > settings.max_failure_ratio:
        return Reason.DELIVERY_FAILING, (
            f"{len(failed)} of {len(judged)} messages in {window} were not delivered ({ratio:.0%}),"
            f" {_stands_out(failed)}"
        )
    latency = _latency(judged)
    took = f"{len(judged)} messages in {window}, {ratio:.1%} not delivered"
    if latency is None:
        return Reason.OK, took
    took += f", 90 % within {latency:.0f} s"
    if latency > settings.max_latency:
        return (
            Reason.DELIVERY_SLOW,
            f"{took}, more than max_latency {format_duration(settings.max_latency)}",
        )
    return Reason.OK, took


def _is_failure(receipt: Receipt) -> bool:
    if receipt.status not in _FAILED:
        return False
    return receipt.reason is None or receipt.reason.row.owner is not Owner.CLIENT


def _stands_out(failed: Sequence[Receipt]) -> str:
    (country, in_country) = Counter(receipt.country for receipt in failed).most_common(1)[0]
    (code, with_code) = Counter(receipt.code or "none" for receipt in failed).most_common(1)[0]
    return f"most often in {country} ({in_country}) and with code {code} ({with_code})"


def _latency(receipts: Sequence[Receipt]) -> float | None:
    values = sorted(r.delivery_seconds for r in receipts if r.delivery_seconds is not None)
    return values[min(len(values) - 1, int(len(values) * _LATENCY_QUANTILE))] if values else None
