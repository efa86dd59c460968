"""The check `conversion`: what is read, what is judged, and the reason for each way of codes not being typed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from checks.conversion import ConversionSettings, check_conversion
from checks.messages.verification import Attempt
from checks.past import Past
from checks.reason import Reason
from checks.result import CheckResult
from exporter.meters import Meters
from exporter.storage import Storage
from tests.fakes import NOW

NOW_UNIX = NOW.timestamp()
SETTINGS = ConversionSettings(target="twilio")
HOUR = 3600.0


@dataclass
class AttemptLog:
    """A provider's attempts, in pages of 500."""

    attempts: Sequence[Attempt]
    asked: list[tuple[float, float]] = field(default_factory=list)

    def read_attempts(self, *, since: float, until: float) -> Iterator[Sequence[Attempt]]:
        self.asked.append((since, until))
        found = [attempt for attempt in self.attempts if since <= attempt.created_at < until]
        for start in range(0, len(found), 500):
            yield found[start : start + 500]


@pytest.fixture
def past() -> Past:
    return Storage.in_memory(Meters()).past("conversion", "twilio", NOW)


def attempts(
    count: int, typed: int, *, hours_ago: float, country: str = "NG", operator: str = "MTN", arrived: bool = True
) -> list[Attempt]:
    created_at = NOW_UNIX - hours_ago * HOUR
    return [
        Attempt(
            attempt_id=f"VL{country} {operator} {hours_ago} {n}",
            created_at=created_at,
            converted_at=created_at + 20 if n < typed else None,
            has_arrived=arrived,
            recipient=f"+234803{n:07d}",
            country=country,
            operator=operator,
        )
        for n in range(count)
    ]


def usual(past: Past, *, typed: int = 40, of: int = 50) -> None:
    """Let the book know a day on which 80 % of 50 codes an hour were typed."""
    for hour in range(4, 340):
        past.book.take_attempts(attempts(of, typed, hours_ago=hour), now=NOW_UNIX)


def check(past: Past, *recent: Attempt, settings: ConversionSettings = SETTINGS) -> CheckResult:
    return check_conversion(AttemptLog(recent), settings, past)


def test_as_many_codes_as_usual_pass(past: Past) -> None:
    usual(past)
    result = check(past, *attempts(80, 60, hours_ago=1))
    assert (result.reason, result.detail) == (Reason.OK, "60 of 80 codes in 2h were typed (75%)")


def test_codes_that_arrived_they_say_and_are_not_typed_are_false_receipts(past: Past) -> None:
    usual(past)
    result = check(past, *attempts(80, 8, hours_ago=1))
    assert (result.reason, result.detail) == (
        Reason.RECEIPTS_FALSE,
        "8 of 80 codes were typed in 2h; 80% is usual; 72 are said to have arrived",
    )


def test_codes_that_did_not_arrive_are_failing_delivery(past: Past) -> None:
    usual(past)
    assert check(past, *attempts(80, 8, hours_ago=1, arrived=False)).reason is Reason.DELIVERY_FAILING


def test_very_many_codes_that_are_not_typed_are_pumping(past: Past) -> None:
    usual(past)
    result = check(past, *attempts(700, 20, hours_ago=1))
    assert result.reason is Reason.SMS_PUMPING
    assert result.detail.startswith("20 of 700 codes were typed in 2h; 80% is usual; ")


def test_one_operator_stands_out_among_others(past: Past) -> None:
    for operator in ("MTN", "Glo"):
        for hour in range(4, 100):
            past.book.take_attempts(attempts(50, 40, hours_ago=hour, operator=operator), now=NOW_UNIX)
    fine = attempts(700, 560, hours_ago=1, operator="Glo")
    result = check(past, *fine, *attempts(60, 3, hours_ago=1))
    assert result.reason is Reason.RECEIPTS_FALSE
    assert result.detail.startswith("3 of 60 codes to MTN NG were typed in 2h; 80% is usual")


@pytest.mark.parametrize(("count", "reason"), [(49, Reason.OK), (50, Reason.RECEIPTS_FALSE)])
def test_too_few_codes_are_not_judged(past: Past, count: int, reason: Reason) -> None:
    usual(past)
    assert check(past, *attempts(count, 0, hours_ago=1)).reason is reason


def test_without_history_only_min_ratio_judges(past: Past) -> None:
    few = attempts(80, 8, hours_ago=1)
    assert check(past, *few).reason is Reason.OK
    settings = ConversionSettings(target="twilio", min_ratio=0.4)
    result = check(past, *few, settings=settings)
    assert (result.reason, result.detail.split("; ")[1]) == (Reason.RECEIPTS_FALSE, "min_ratio is 40%")


def test_a_code_counts_once_and_only_when_it_is_decided(past: Past) -> None:
    young = attempts(10, 4, hours_ago=0.1)  # six minutes: six of them may still be typed
    for _ in range(3):
        check(past, *young)
    assert sum(one.converted for one in past.book.conversions(0, NOW_UNIX + HOUR)) == 4
    assert sum(one.unconverted for one in past.book.conversions(0, NOW_UNIX + HOUR)) == 0


def test_the_last_quarter_of_an_hour_is_read_again(past: Past) -> None:
    client = AttemptLog(())
    for _ in range(2):
        check_conversion(client, SETTINGS, past)
    assert client.asked == [(NOW_UNIX - 7200, NOW_UNIX), (NOW_UNIX - 900, NOW_UNIX)]


def test_no_more_than_the_provider_keeps_is_asked_for(past: Past) -> None:
    past.book.take_attempts((), now=NOW_UNIX, read_until=NOW_UNIX - 90 * 86_400)
    client = AttemptLog(())
    check_conversion(client, SETTINGS, past)
    assert client.asked == [(NOW_UNIX - 29 * 86_400, NOW_UNIX)]
