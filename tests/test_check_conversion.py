"""The check `conversion`: what is read, what is judged, and the reason for each way of codes not being typed."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from checks.conversion import ConversionSettings, check_conversion
from checks.errors import UnreachableError
from checks.messages.verification import Attempt
from checks.past import Past
from checks.providers.twilio import TwilioClient, TwilioSettings
from checks.reason import Reason
from checks.result import CheckResult
from checks.secret import Secret
from exporter.meters import Meters
from exporter.sandbox import Place, Sandbox
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
    """Let the book know two weeks in which 80 % of 50 codes an hour were typed."""
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
    assert result.detail == "20 of 700 codes were typed in 2h; 80% is usual; 100 codes are usual"


def test_clients_who_ask_again_for_a_code_that_did_not_arrive_are_no_pumping(past: Past) -> None:
    usual(past)
    assert check(past, *attempts(700, 20, hours_ago=1, arrived=False)).reason is Reason.DELIVERY_FAILING


@pytest.mark.parametrize(("typed", "reason"), [(1, Reason.SMS_PUMPING), (15, Reason.OK)])
def test_codes_to_a_new_country_are_compared_with_the_others(past: Past, typed: int, reason: Reason) -> None:
    usual(past)
    new = attempts(60, typed, hours_ago=1, country="LV", operator="LMT")
    result = check(past, *attempts(300, 240, hours_ago=1), *new)
    assert result.reason is reason
    if reason is Reason.SMS_PUMPING:
        assert result.detail == "1 of 60 codes to LV were typed in 2h; 80% is usual elsewhere; 0 codes are usual"


@pytest.mark.parametrize("fine_codes", [700, 40])  # with few others the sum of all is too low, too
def test_one_operator_stands_out_among_others(past: Past, fine_codes: int) -> None:
    for operator in ("MTN", "Glo"):
        for hour in range(4, 100):
            past.book.take_attempts(attempts(50, 40, hours_ago=hour, operator=operator), now=NOW_UNIX)
    fine = attempts(fine_codes, fine_codes * 8 // 10, hours_ago=1, operator="Glo")
    result = check(past, *fine, *attempts(60, 3, hours_ago=1))
    assert result.reason is Reason.RECEIPTS_FALSE
    assert result.detail.startswith("3 of 60 codes to MTN NG were typed in 2h; 80% is usual")


def test_a_few_codes_do_not_tell_that_the_others_are_well(past: Past) -> None:
    usual(past)
    result = check(past, *attempts(60, 3, hours_ago=1), *attempts(5, 5, hours_ago=1, operator="Glo"))
    assert result.detail.startswith("8 of 65 codes were typed in 2h; ")


def test_a_fault_everywhere_is_named_once(past: Past) -> None:
    for operator in ("MTN", "Glo"):
        for hour in range(4, 100):
            past.book.take_attempts(attempts(50, 40, hours_ago=hour, operator=operator), now=NOW_UNIX)
    result = check(past, *attempts(60, 6, hours_ago=1), *attempts(60, 6, hours_ago=1, operator="Glo"))
    assert result.detail.startswith("12 of 120 codes were typed in 2h; ")


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
    assert client.asked == [
        (NOW_UNIX - 2 * HOUR, NOW_UNIX - HOUR),
        (NOW_UNIX - HOUR, NOW_UNIX),
        (NOW_UNIX - 900, NOW_UNIX),
    ]


def test_after_an_outage_the_oldest_attempts_are_read_first_and_none_twice(past: Past) -> None:
    past.book.take_attempts((), now=NOW_UNIX, read_until=NOW_UNIX - 60 * HOUR)
    client = AttemptLog([each for hour in range(1, 60) for each in attempts(1, 1, hours_ago=hour)])
    result = check_conversion(client, SETTINGS, past)
    assert "; what became of the codes of the last " in result.detail
    read_until = past.book.attempts_read_until()
    assert read_until is not None
    assert NOW_UNIX - 30 * HOUR < read_until < NOW_UNIX - 10 * HOUR
    assert "still to be read" not in check_conversion(client, SETTINGS, past).detail
    assert past.book.attempts_read_until() == NOW_UNIX
    assert sum(one.converted for one in past.book.conversions(0, NOW_UNIX)) == 59


def test_what_was_read_before_an_error_is_kept(past: Past) -> None:
    class Breaking(AttemptLog):
        def read_attempts(self, *, since: float, until: float) -> Iterator[Sequence[Attempt]]:
            if len(self.asked) == 1:
                raise UnreachableError("gone")
            return super().read_attempts(since=since, until=until)

    with pytest.raises(UnreachableError):
        check_conversion(Breaking(()), SETTINGS, past)
    assert past.book.attempts_read_until() == NOW_UNIX - HOUR


def test_no_more_than_the_provider_keeps_is_asked_for(past: Past) -> None:
    past.book.take_attempts((), now=NOW_UNIX, read_until=NOW_UNIX - 90 * 86_400)
    client = AttemptLog(())
    check_conversion(client, SETTINGS, past)
    assert client.asked[0] == (NOW_UNIX - 29 * 86_400, NOW_UNIX - 29 * 86_400 + HOUR)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("receipts_false", Reason.RECEIPTS_FALSE),
        ("sms_pumping", Reason.SMS_PUMPING),
        ("operator_blocking", Reason.DELIVERY_FAILING),
    ],
)
def test_a_fault_of_the_sandbox_is_found_at_its_operator(fault: str, reason: Reason) -> None:
    storage, now = Storage.in_memory(Meters()), [1_800_000_000.0]
    with Sandbox(clock=lambda: now[0], history_hours=24) as sandbox:
        client = TwilioClient(
            TwilioSettings(
                type="twilio",
                account_sid=sandbox.credentials.account_sid,
                auth_token=Secret(sandbox.credentials.auth_token),
                base_url=sandbox.url,
                timeout="20s",
            )
        )
        storage.book("twilio").take_attempts((), now=now[0], read_until=now[0] - 24 * HOUR)

        def run() -> CheckResult:
            return check_conversion(
                client, SETTINGS, storage.past("conversion", "twilio", datetime.fromtimestamp(now[0], UTC))
            )

        assert run().reason is Reason.OK
        codes = Counter({(c.country, c.operator): c.converted for c in storage.book("twilio").conversions(0, now[0])})
        ((country, operator), _), *_ = codes.most_common(1)
        sandbox.set_fault(fault, Place(country, operator))
        now[0] += 2.5 * HOUR
        result = run()
        client.close()
    assert result.reason is reason
    assert f" codes to {operator} {country} were typed in 2h; " in result.detail
