"""The check `delivery`: what is read, what is judged and what is not."""

from datetime import datetime, timedelta

import pytest

from checks.delivery import DeliverySettings, check_delivery
from checks.messages import Receipt, Status
from checks.past import Past
from checks.reason import Reason
from checks.result import CheckResult, MessageLog
from tests.fakes import NOW, FakeClient, receipt

SETTINGS = DeliverySettings(target="twilio", no_traffic_after="1h")


def check(*receipts: Receipt, settings: DeliverySettings = SETTINGS) -> CheckResult:
    return check_delivery(FakeClient(receipts=receipts), settings, Past(now=NOW))


def delivered(count: int, *, seconds: float = 4.0, start: int = 0) -> list[Receipt]:
    return [receipt(start + n, delivery_seconds=seconds) for n in range(count)]


def undelivered(count: int, reason: Reason = Reason.OPERATOR_BLOCKING, *, start: int = 1000) -> list[Receipt]:
    return [receipt(start + n, Status.UNDELIVERED, reason=reason, code="30007") for n in range(count)]


def test_messages_that_arrive_in_time_pass() -> None:
    result = check(*delivered(100))
    assert (result.reason, result.detail) == (Reason.OK, "100 messages in 30m, 0.0% not delivered, 90 % within 4 s")


def test_everything_read_is_handed_on_to_be_counted() -> None:
    receipts = delivered(3)
    newest = NOW - timedelta(minutes=1)
    expected = MessageLog(receipts=tuple(receipts), read_until=newest, latency_seconds=4.0)
    assert check(*receipts).measured == (expected,)


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


def test_silence_is_no_traffic() -> None:
    result = check(receipt(1, minutes_ago=61))
    assert (result.reason, result.detail) == (Reason.NO_TRAFFIC, "no message for 1h")


def test_silence_is_not_judged_unless_asked() -> None:
    assert check(settings=DeliverySettings(target="twilio")).reason is Reason.OK


@pytest.mark.parametrize(
    ("read_until", "since"),
    [
        (None, NOW - timedelta(minutes=30)),
        (NOW - timedelta(minutes=1), NOW - timedelta(minutes=31)),
        (NOW - timedelta(hours=5), NOW - timedelta(hours=5, minutes=30)),  # catches up after an outage
        (NOW + timedelta(hours=1), NOW + timedelta(minutes=30)),  # our clock was set back, the log's was not
        (NOW + timedelta(days=2), NOW - timedelta(minutes=30)),  # nonsense
    ],
)
def test_the_log_is_read_from_the_last_reading_and_the_window_once_more(read_until: object, since: object) -> None:
    client = FakeClient()
    settings = DeliverySettings(target="twilio")
    check_delivery(client, settings, Past(now=NOW, log_read_until=read_until))  # type: ignore[arg-type]
    assert client.asked_since == [since]


def read_until(*receipts: Receipt, before: datetime | None = None) -> datetime:
    past = Past(now=NOW, log_read_until=before)
    (log,) = check_delivery(FakeClient(receipts=receipts), DeliverySettings(target="twilio"), past).measured
    assert isinstance(log, MessageLog)
    return log.read_until


def test_how_far_the_log_was_read_is_told_in_its_own_time() -> None:
    newest = NOW - timedelta(minutes=1)
    assert read_until(receipt(1), receipt(2, minutes_ago=9)) == newest
    assert read_until(before=newest) == newest  # nothing new
    assert read_until() == NOW - timedelta(minutes=30)  # nothing at all: as far back as was looked
    assert read_until(receipt(1, minutes_ago=-60)) == NOW + timedelta(hours=1)  # its clock is ahead of ours
    assert read_until(receipt(1, minutes_ago=-60 * 48), before=newest) == newest  # that one is no guide


def test_a_backlog_is_cut_at_the_newest_messages_and_says_so() -> None:
    many = [receipt(n, minutes_ago=1 + n / 100) for n in range(1200)]
    result = check(*many, settings=DeliverySettings(target="twilio", max_messages=1000))
    (log,) = result.measured
    assert isinstance(log, MessageLog)
    assert log.receipts == tuple(many[:1000])
    assert result.detail.endswith("; only the newest 1000 messages were read, older ones are not counted")
