"""The check `delivery`: what is read, what is judged and what is not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from checks.delivery import DeliverySettings, check_delivery
from checks.messages import Receipt, Status
from checks.messages.book import Book, Reading
from checks.messages.detector import Verdict
from checks.reason import Reason
from checks.result import CheckResult, DeliveryTime
from exporter.meters import Meters
from exporter.snapshot import Route
from exporter.storage import Storage
from tests.fakes import NOW, FakeClient, receipt

SETTINGS = DeliverySettings(target="twilio", no_traffic_after="1h")


def check(*receipts: Receipt, settings: DeliverySettings = SETTINGS) -> CheckResult:
    """Return the result of a book in which all was read until an hour ago."""
    past = Storage.in_memory(Meters()).past("delivery", "twilio", NOW)
    past.book.take((), reading=Reading(read_until=NOW.timestamp() - 3600))
    return check_delivery(FakeClient(receipts=receipts), settings, past)


def delivered(count: int, *, seconds: float = 4.0, start: int = 0) -> list[Receipt]:
    return [receipt(start + n, delivery_seconds=seconds) for n in range(count)]


def undelivered(count: int, reason: Reason = Reason.OPERATOR_BLOCKING, *, start: int = 1000) -> list[Receipt]:
    return [receipt(start + n, Status.UNDELIVERED, reason=reason, code="30007") for n in range(count)]


def test_messages_that_arrive_in_time_pass() -> None:
    result = check(*delivered(100))
    assert (result.reason, result.detail) == (Reason.OK, "100 messages in 30m, 0.0% not delivered, 90 % within 4 s")


def test_the_time_that_messages_took_is_measured() -> None:
    assert check(*delivered(3)).measured == (DeliveryTime(seconds=4.0),)
    assert check().measured == ()


def test_what_is_read_is_counted_in_the_book() -> None:
    storage = Storage.in_memory(Meters())
    past = storage.past("delivery", "twilio", NOW)
    for _ in range(2):
        check_delivery(FakeClient(receipts=delivered(3)), SETTINGS, past)
    assert storage.snapshot().tallies["twilio"].messages[Route("DE", "unknown"), Status.DELIVERED] == 3


def test_messages_without_a_receipt_are_told_apart_from_failures() -> None:
    waiting = [receipt(n, Status.SENT, minutes_ago=16) for n in range(2000, 2012)]
    result = check(*delivered(40), *waiting)
    assert result.reason is Reason.OK
    assert result.detail == "40 messages in 30m, 0.0% not delivered, 12 without a receipt, 90 % within 4 s"


@dataclass
class JudgedBook:
    """A book whose detector has spoken."""

    book: Book
    said: Sequence[Verdict] = ()
    over_at: float = 0.0

    def verdicts(self) -> Sequence[Verdict]:
        return self.said

    def explained_until(self) -> float:
        return self.over_at

    def __getattr__(self, name: str) -> object:
        return getattr(self.book, name)


@pytest.mark.parametrize(("failed", "reason"), [(30, Reason.OK), (31, Reason.DELIVERY_FAILING)])
def test_the_failure_ratio_is_judged_on_both_sides_of_its_bound(failed: int, reason: Reason) -> None:
    assert check(*delivered(100 - failed), *undelivered(failed)).reason is reason


def test_the_detail_of_failing_delivery_names_what_stands_out() -> None:
    result = check(*delivered(40), *undelivered(60))
    assert result.detail == (
        "60 of 100 messages in 30m were not delivered (60%), most often in DE (60) and with code 30007 (60)"
    )


def test_failures_that_only_a_client_can_mend_do_not_count() -> None:
    assert check(*delivered(20), *undelivered(60, Reason.RECIPIENT_OPTED_OUT)).reason is Reason.OK


def test_too_few_messages_are_not_judged() -> None:
    result = check(*undelivered(19))
    assert (result.reason, result.detail) == (Reason.OK, "19 messages in 30m: too few to judge")


@pytest.mark.parametrize(("seconds", "reason"), [(60.0, Reason.OK), (61.0, Reason.DELIVERY_SLOW)])
def test_latency_is_judged_on_both_sides_of_its_bound(seconds: float, reason: Reason) -> None:
    assert check(*delivered(100, seconds=seconds)).reason is reason


def test_a_slow_tenth_is_not_slow_delivery() -> None:
    assert check(*delivered(90), *delivered(9, seconds=600, start=500)).reason is Reason.OK


def test_messages_older_than_the_window_are_read_but_not_judged() -> None:
    old = [receipt(n, Status.UNDELIVERED, minutes_ago=40, reason=Reason.OPERATOR_BLOCKING) for n in range(50)]
    assert check(*delivered(20, start=200), *old).reason is Reason.OK


@pytest.mark.parametrize(
    ("minutes_ago", "reason"), [(31, Reason.DELIVERY_FAILING), (11, Reason.DELIVERY_FAILING), (9, Reason.OK)]
)
def test_what_was_created_before_the_end_of_a_named_fault_is_not_judged_once_more(
    minutes_ago: int, reason: Reason
) -> None:
    past = Storage.in_memory(Meters()).past("delivery", "twilio", NOW)
    past.book.take((), reading=Reading(read_until=NOW.timestamp() - 3600))
    book: Any = JudgedBook(past.book, over_at=NOW.timestamp() - minutes_ago * 60)
    failed = [
        receipt(n, Status.UNDELIVERED, minutes_ago=10, reason=Reason.OPERATOR_BLOCKING) for n in range(1000, 1050)
    ]
    arrived = [receipt(n, minutes_ago=5) for n in range(30)]
    result = check_delivery(FakeClient(receipts=[*failed, *arrived]), SETTINGS, replace(past, book=book))
    assert result.reason is reason
    if reason is Reason.OK:
        assert result.detail == "30 messages in 9m, 0.0% not delivered, 90 % within 4 s"


def test_silence_is_no_traffic() -> None:
    result = check(receipt(1, minutes_ago=61))
    assert (result.reason, result.detail) == (Reason.NO_TRAFFIC, "no message for 1h")


def test_silence_is_not_judged_unless_asked() -> None:
    assert check(settings=DeliverySettings(target="twilio")).reason is Reason.OK
