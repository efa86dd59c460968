"""Do messages arrive, and in time? Reads the provider's log of what was really sent into the book of messages.

What the detector of operator faults says comes first. Beside it stands a plain verdict over the last half hour,
guarded by a least number of messages: it needs no history. What the detector has named and seen the end of is not
judged once more.
"""

from collections import Counter
from typing import Annotated

from pydantic import Field

from .clients import MessageLogClient
from .messages.book import Recent
from .messages.detector import DetectorSettings
from .messages.reading import ReadingSettings, read_log
from .past import Past
from .reason import Reason
from .result import CheckResult, DeliveryTime
from .settings import CheckSettings, Count, Number, Seconds, between, format_duration


class DeliverySettings(CheckSettings, ReadingSettings):
    """What counts as failing, slow and silent."""

    interval: Annotated[Seconds, between("100ms", "7d")] = Field(20.0, description="time between runs")
    window: Annotated[Seconds, between("1m", "6h")] = Field(
        1800.0, description="messages younger than this are judged together"
    )
    min_messages: Count = Field(20, ge=1, description="with fewer finished messages in the window nothing is judged")
    max_failure_ratio: Number = Field(
        0.3, gt=0, le=1, description="a larger share of undelivered messages, 0 to 1, is failing"
    )
    max_latency: Annotated[Seconds, between("1s", "1h")] = Field(
        60.0, description="when 90 % of the messages take longer than this, delivery is slow"
    )
    receipts_within: Annotated[Seconds, between("3m", "1d")] = Field(
        900.0, description="a message sent longer ago than this, without a receipt, is counted as receipt_missing"
    )
    no_traffic_after: Annotated[Seconds, between("1m", "1d")] | None = Field(
        None,
        description="no message for this long means that traffic has stopped; not judged unless set",
    )
    detector: DetectorSettings = Field(
        default_factory=DetectorSettings, description="how operator faults are told from bad luck"
    )


def check_delivery(client: MessageLogClient, settings: DeliverySettings, past: Past) -> CheckResult:
    """Pass when recent messages arrive, in time.

    Reads what is new in the log, and once more what may still change, into the book. Failures that only one
    client can mend (a wrong number, an opt-out) do not count as failing delivery.

    Raises ProviderError when the log cannot be read or the book not be written; what was read until then is kept.
    """
    now = past.now.timestamp()
    report = read_log(client, past.book, settings, now)
    past.book.expire(report.now - settings.receipts_within)
    recent = past.book.recent(report.now - settings.window, overdue_before=report.now - settings.receipts_within)
    reason, detail = _judge(past, recent, settings, report.now)
    if report.behind_seconds:
        detail += f"; the log is still to be read for {format_duration(report.behind_seconds)}"
    measured = () if recent.latency_seconds is None else (DeliveryTime(seconds=recent.latency_seconds),)
    return CheckResult(reason=reason, detail=detail, measured=measured)


def _judge(past: Past, recent: Recent, settings: DeliverySettings, now: float) -> tuple[Reason, str]:
    verdicts = past.book.verdicts()
    urgent = next((verdict for verdict in verdicts if verdict.pages), None)
    if urgent is not None:
        return urgent.reason, urgent.evidence
    over_at = past.book.explained_until()
    if over_at > now - settings.window:
        recent = past.book.recent(over_at, overdue_before=now - settings.receipts_within)
    reason, detail = _judge_plainly(recent, settings, now, min(settings.window, now - over_at))
    if reason is Reason.OK and verdicts:
        return verdicts[0].reason, verdicts[0].evidence
    return reason, detail


def _judge_plainly(recent: Recent, settings: DeliverySettings, now: float, seconds: float) -> tuple[Reason, str]:
    silent = settings.no_traffic_after
    if silent is not None and (recent.newest_at is None or recent.newest_at < now - silent):
        return Reason.NO_TRAFFIC, f"no message for {format_duration(silent)}"
    window = format_duration(max(1, round(seconds)))
    failed = sum(recent.failed.values())
    judged = recent.delivered + failed
    if judged < settings.min_messages:
        return Reason.OK, f"{recent.messages} messages in {window}: too few to judge"
    ratio = failed / judged
    if ratio > settings.max_failure_ratio:
        return Reason.DELIVERY_FAILING, (
            f"{failed} of {judged} messages in {window} were not delivered ({ratio:.0%}), {_stands_out(recent)}"
        )
    took = f"{judged} messages in {window}, {ratio:.1%} not delivered"
    if recent.waiting:
        took += f", {recent.waiting} without a receipt"
    if recent.latency_seconds is None:
        return Reason.OK, took
    took += f", 90 % within {recent.latency_seconds:.0f} s"
    if recent.latency_seconds > settings.max_latency:
        return (
            Reason.DELIVERY_SLOW,
            f"{took}, more than max_latency {format_duration(settings.max_latency)}",
        )
    return Reason.OK, took


def _stands_out(recent: Recent) -> str:
    countries: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    for (country, code), count in recent.failed.items():
        countries[country] += count
        codes[code] += count
    ((country, in_country),) = countries.most_common(1)
    ((code, with_code),) = codes.most_common(1)
    return f"most often in {country} ({in_country}) and with code {code} ({with_code})"
