"""The check `canary`: what it may cost, that nothing is sent twice, and the reason for each way of not arriving."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from checks.canary import CanarySettings, check_canary
from checks.canary_desk import Limits, Refusal
from checks.canary_probe import choose_probe
from checks.clients import CanaryStatus, Money
from checks.errors import DeadlineExceededError, ProviderError
from checks.messages import Status
from checks.messages.detector import Scope, Suspicion
from checks.past import Past
from checks.reason import Reason
from checks.result import CheckResult
from checks.secret import Secret
from exporter.meters import Meters
from exporter.storage import Storage
from tests.fakes import NOW, past

PHONE, OTHER_PHONE = "+4915112345678", "+2348031234567"
GIVEN: dict[str, Any] = {
    "target": "twilio",
    "interval": "1m",
    "recipients": [{"number": PHONE}],
    "sender": "+14155550100",
    "cost_per_message": 0.05,
    "max_cost_per_day": 0.2,
    "currency": "USD",
}
NOW_UNIX = NOW.timestamp()
ARRIVES = (Status.ACCEPTED, Status.SENT, Status.DELIVERED)


def settings(**more: Any) -> CanarySettings:
    return CanarySettings.model_validate({**GIVEN, **more})


@dataclass
class Phone:
    """A provider whose messages go through these statuses, one at each question."""

    statuses: Sequence[Status] = ARRIVES
    reason: Reason | None = None
    code: str | None = None
    cost: float | None = None
    error: Exception | None = None
    lost: int = 0  # so many questions get no answer
    is_timely: bool = True
    on_send: Callable[[str], object] = lambda _: None
    sent: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0

    def send_canary(self, **what: Any) -> str:
        self.sent.append(what)
        self.asked = 0
        if self.error is not None:
            raise self.error
        self.on_send(what["text"])
        return "SM1"

    def fetch_canary(self, message_id: str) -> CanaryStatus:
        if self.lost:
            self.lost -= 1
            raise DeadlineExceededError("no complete answer came in time")
        status = self.statuses[min(self.asked, len(self.statuses) - 1)]
        self.asked += 1
        has_failed = status in (Status.UNDELIVERED, Status.FAILED)
        return CanaryStatus(
            status=status,
            reason=self.reason if has_failed else None,
            code=self.code if has_failed else None,
            cost=self.cost if status.is_final else None,
            currency="USD",
            is_timely=self.is_timely,
        )


def check(client: Phone, known: Past, given: CanarySettings | None = None, *, minutes: int = 0) -> CheckResult:
    known = replace(known, now=known.now + timedelta(minutes=minutes))
    return check_canary(client, given or settings(), known, sleep=lambda _: time.sleep(0.002))


def impatient(**more: Any) -> CanarySettings:
    """Give up within a moment."""
    return settings(**more).model_copy(update={"final_within": 0.05, "received_within": 0.05})


def test_a_message_that_arrives_passes_and_each_leg_is_timed() -> None:
    storage = Storage.in_memory(Meters())
    client = Phone(cost=0.04)
    result = check(client, storage.past("canary", "twilio", NOW))
    assert result.reason is Reason.OK
    operator = settings().recipients[0].route[1]
    assert result.detail == f"test message to {operator}, DE arrived after 0 s"
    counts = storage.canaries.counts()["canary"]
    assert counts.runs == {Reason.OK: 1}
    assert counts.spend == {"USD": 0.04}  # the real price
    assert set(counts.legs) == {"accepted", "sent", "delivered"}
    assert client.sent[0]["validity_seconds"] == 300
    assert client.sent[0]["text"].startswith("Test of the code delivery. Please ignore. ")


def test_a_failure_has_the_reason_of_its_code() -> None:
    client = Phone((Status.SENT, Status.UNDELIVERED), Reason.OPERATOR_BLOCKING, "30007")
    result = check(client, past("canary"))
    assert result.reason is Reason.OPERATOR_BLOCKING
    assert result.detail.endswith("was not delivered (code 30007)")


class Billed(Phone):
    """A provider that takes money for each answer, and tells when a message arrived."""

    canary_pace_seconds = 0.05

    def fetch_canary(self, message_id: str) -> CanaryStatus:
        status = super().fetch_canary(message_id)
        arrived_after = 0.001 if status.status is Status.DELIVERED else None
        return replace(status, delivered_seconds=arrived_after, look_up=Money(amount=0.01, currency="USD"))


def test_billed_questions_are_few_and_part_of_the_days_money() -> None:
    storage, client = Storage.in_memory(Meters()), Billed((Status.SENT, Status.DELIVERED), cost=0.04)
    given = settings(recipients=[{"number": PHONE, "tells": True}], receive_token=Secret("t" * 16))
    given = given.model_copy(update={"received_within": 0.3})
    result = check(client, storage.past("canary", "twilio", NOW), given)
    assert result.reason is Reason.RECEIPTS_FALSE  # the phone was waited for
    assert client.asked == 2  # a delivered message is not asked after again
    assert storage.canaries.counts()["canary"].spend == {"USD": pytest.approx(0.04 + 2 * 0.01)}


def test_when_a_billed_answer_comes_is_not_taken_for_when_the_message_arrived() -> None:
    result = check(Billed(), past("canary"), settings().model_copy(update={"max_latency": 0.02}))
    assert result.reason is Reason.OK


def test_a_billed_question_is_asked_at_the_end_though_the_pace_is_slower() -> None:
    client = Billed((Status.UNDELIVERED,), Reason.OPERATOR_BLOCKING)
    client.canary_pace_seconds = 3600
    assert check(client, past("canary"), impatient()).reason is Reason.OPERATOR_BLOCKING
    assert client.asked == 1


def test_without_a_receipt_in_time_the_receipt_is_missing() -> None:
    result = check(Phone((Status.SENT,)), past("canary"), impatient())
    assert result.reason is Reason.RECEIPTS_MISSING


def test_what_does_not_leave_the_provider_is_slow() -> None:
    result = check(Phone((Status.ACCEPTED,)), past("canary"), impatient())
    assert result.reason is Reason.DELIVERY_SLOW
    assert "was not handed to the operator" in result.detail


def test_an_arrival_that_takes_too_long_is_slow() -> None:
    given = settings().model_copy(update={"max_latency": -1.0})
    assert check(Phone(), past("canary"), given).reason is Reason.DELIVERY_SLOW


def test_a_question_that_gets_no_answer_does_not_lose_the_message() -> None:
    client = Phone(lost=3)
    assert check(client, past("canary")).reason is Reason.OK
    assert len(client.sent) == 1


def test_a_message_that_cannot_be_followed_is_an_error_and_spent() -> None:
    storage = Storage.in_memory(Meters())
    client = Phone(lost=10_000)
    with pytest.raises(DeadlineExceededError):
        check(client, storage.past("canary", "twilio", NOW), impatient())
    assert len(client.sent) == 1
    assert storage.canaries.counts()["canary"].spend == {"USD": 0.05}
    assert storage.canaries.counts()["canary"].runs == {Reason.TIMEOUT: 1}


TELLS: dict[str, Any] = {"recipients": [{"number": PHONE, "tells": True}], "receive_token": Secret("handset")}


@pytest.mark.parametrize(
    ("statuses", "tells", "reason", "words"),
    [
        (ARRIVES, True, Reason.OK, "arrived after 0 s"),
        (ARRIVES, False, Reason.RECEIPTS_FALSE, "delivered, says the operator; the phone has not told of it"),
        ((Status.SENT,), True, Reason.RECEIPTS_MISSING, "the phone has it, after 0 s"),
        ((Status.UNDELIVERED,), True, Reason.OPERATOR_BLOCKING, "(code 30007); the phone has it, after 0 s"),
    ],
)
def test_the_phones_word_is_set_against_the_receipts(
    statuses: Sequence[Status], tells: bool, reason: Reason, words: str
) -> None:
    storage = Storage.in_memory(Meters())
    client = Phone(statuses, Reason.OPERATOR_BLOCKING, "30007")
    if tells:
        client.on_send = lambda text: storage.canaries.received("canary", f"SMS: {text.upper()}")
    result = check(client, storage.past("canary", "twilio", NOW), impatient(**TELLS))
    assert result.reason is reason
    assert words in result.detail
    assert ("received" in storage.canaries.counts()["canary"].legs) is tells


def test_a_phone_has_time_after_the_receipt_to_tell() -> None:
    storage = Storage.in_memory(Meters())
    texts: list[str] = []
    client = Phone(on_send=texts.append)
    given = impatient(**TELLS).model_copy(update={"final_within": 0.0, "received_within": 5.0})
    sleeps = 0

    def sleep(_: float) -> None:
        nonlocal sleeps
        sleeps += 1
        if sleeps == 5:
            storage.canaries.received("canary", texts[0])

    client.statuses = (Status.DELIVERED,)
    result = check_canary(client, given, storage.past("canary", "twilio", NOW), sleep=sleep)
    assert result.reason is Reason.OK
    assert sleeps == 5


@pytest.mark.parametrize(
    ("statuses", "has_phone", "tells", "reason", "words"),
    [
        ((Status.ACCEPTED,), False, False, Reason.OK, "was accepted, and no failure is told; when, this provider"),
        ((Status.SENT,), False, False, Reason.OK, "was accepted, and no failure is told; when, this provider"),
        (ARRIVES, False, False, Reason.OK, "arrived, says the operator; when, this provider does not tell in time"),
        ((Status.UNDELIVERED,), False, False, Reason.OPERATOR_BLOCKING, "was not delivered (code 30007)"),
        ((Status.ACCEPTED,), True, True, Reason.OK, "arrived after 0 s"),
        (ARRIVES, True, True, Reason.OK, "arrived after 0 s"),
        ((Status.ACCEPTED,), True, False, Reason.DELIVERY_SLOW, "was accepted; the phone has not told of it within"),
        (ARRIVES, True, False, Reason.DELIVERY_SLOW, "was accepted; the phone has not told of it within"),
    ],
)
def test_receipts_that_may_be_late_prove_no_delay(
    statuses: Sequence[Status], has_phone: bool, tells: bool, reason: Reason, words: str
) -> None:
    storage = Storage.in_memory(Meters())
    client = Phone(statuses, Reason.OPERATOR_BLOCKING, "30007", is_timely=False)
    if tells:
        client.on_send = lambda text: storage.canaries.received("canary", text)
    given = impatient(**(TELLS if has_phone else {})).model_copy(update={"max_latency": 0.5})
    result = check(client, storage.past("canary", "twilio", NOW), given)
    assert (result.reason, words in result.detail) == (reason, True), result.detail
    assert set(storage.canaries.counts()["canary"].legs) == {"accepted", *(["received"] if tells else [])}


def test_the_days_money_is_never_exceeded_and_the_last_answer_stands() -> None:
    known, client = past("canary"), Phone((Status.UNDELIVERED,), Reason.OPERATOR_BLOCKING, "30007", 0.05)
    for minute in range(5):
        result = check(client, known, minutes=minute)
    assert len(client.sent) == 4
    assert result.reason is Reason.OPERATOR_BLOCKING
    assert result.detail.endswith("; no newer test message: the day's money is used up")


def test_the_days_sends_are_never_exceeded() -> None:
    known, client = past("canary"), Phone(cost=0.001)
    for minute in range(5):
        result = check(client, known, settings(max_sends_per_day=3), minutes=minute)
    assert len(client.sent) == 3
    assert result.detail.endswith("the day's sends are used up")


def test_an_unknown_outcome_counts_as_spent_and_is_not_sent_again() -> None:
    storage = Storage.in_memory(Meters())
    client = Phone(error=DeadlineExceededError("no answer within 10 s"))
    with pytest.raises(DeadlineExceededError):
        check(client, storage.past("canary", "twilio", NOW))
    assert len(client.sent) == 1
    assert storage.canaries.counts()["canary"].spend == {"USD": 0.05}


def test_a_price_in_another_currency_does_not_take_the_place_of_the_estimate() -> None:
    storage = Storage.in_memory(Meters())
    check(Phone(cost=0.001), storage.past("canary", "twilio", NOW), settings(currency="EUR"))
    assert storage.canaries.counts()["canary"].spend == {"EUR": 0.05}


def test_what_the_api_refuses_costs_nothing() -> None:
    storage = Storage.in_memory(Meters())
    client = Phone(error=ProviderError(Reason.RECIPIENT_INVALID, "Twilio answers HTTP 400, code 21211", code="21211"))
    with pytest.raises(ProviderError):
        check(client, storage.past("canary", "twilio", NOW))
    assert storage.canaries.counts()["canary"].spend == {"USD": 0.0}


@pytest.mark.parametrize(("hour", "quiet"), [(20, False), (21, True), (23, True), (5, True), (6, False)])
def test_nothing_is_sent_in_quiet_hours_of_the_place(hour: int, quiet: bool) -> None:
    given = settings(quiet_hours={"begin": "22:00", "end": "07:00", "time_zone": "Europe/Berlin"})
    known = replace(past("canary"), now=datetime(2026, 3, 1, hour, 30, tzinfo=UTC))
    client = Phone()
    result = check(client, known, given)
    assert bool(client.sent) is not quiet
    if quiet:
        assert result.detail == "no test message yet: quiet hours"


def test_a_restart_sends_nothing_before_the_next_is_due(tmp_path: Path) -> None:
    given, client, details = settings(interval="1h"), Phone(cost=0.01), []
    for minutes in (0, 1, 29, 31, 90, 30):  # the last time the clock was set back
        storage = Storage.open(tmp_path / "x.db", Meters())
        details.append(check(client, storage.past("canary", "twilio", NOW), given, minutes=minutes).detail)
        storage.close()
    is_sent = ["not due" not in detail for detail in details]
    assert is_sent == [True, False, False, True, True, True]
    assert len(client.sent) == 4


def test_the_recipients_take_turns() -> None:
    storage, client = Storage.in_memory(Meters()), Phone(cost=0.01)
    given = settings(recipients=[{"number": PHONE}, {"number": OTHER_PHONE}])
    for minute in range(4):
        known = storage.past("canary", "twilio", datetime.fromtimestamp(NOW_UNIX + 60 * minute, UTC))
        check(client, known, given)
    assert [sent["to"] for sent in client.sent] == [PHONE, OTHER_PHONE] * 2


def test_a_failure_of_one_recipient_stands_while_another_is_fine() -> None:
    storage = Storage.in_memory(Meters())
    given = settings(recipients=[{"number": PHONE}, {"number": OTHER_PHONE, "operator": "MTN"}])
    fails = {PHONE: False, OTHER_PHONE: True}
    reasons = []
    for minute in range(4):
        if minute == 3:
            fails[OTHER_PHONE] = False
        to = (PHONE, OTHER_PHONE)[minute % 2]
        client = Phone((Status.UNDELIVERED,) if fails[to] else ARRIVES, Reason.OPERATOR_BLOCKING, "30007", 0.01)
        result = check(client, storage.past("canary", "twilio", NOW + timedelta(minutes=minute)), given)
        assert client.sent[0]["to"] == to
        reasons.append(result.reason)
        if minute == 2:
            assert result.detail.startswith("test message to MTN, NG was not delivered (code 30007); the latest: test")
    assert reasons == [Reason.OK, Reason.OPERATOR_BLOCKING, Reason.OPERATOR_BLOCKING, Reason.OK]


def test_of_two_failures_the_latest_is_told() -> None:
    storage = Storage.in_memory(Meters())
    given = settings(recipients=[{"number": PHONE}, {"number": OTHER_PHONE, "operator": "MTN"}])
    for minute, code in enumerate(("30007", "30008")):
        client = Phone((Status.UNDELIVERED,), Reason.OPERATOR_BLOCKING, code, 0.01)
        result = check(client, storage.past("canary", "twilio", NOW), given, minutes=minute)
    assert result.detail == "test message to MTN, NG was not delivered (code 30008)"


def suspicion(country: str = "NG", operator: str = "MTN", score: float = 8.0) -> Suspicion:
    return Suspicion(
        reason=Reason.OPERATOR_BLOCKING,
        scope=Scope.OPERATOR,
        country=country,
        operator=operator,
        score=score,
        threshold=12.0,
    )


def test_a_probe_goes_by_the_route_that_is_suspected_most_once_an_hour() -> None:
    given = settings(recipients=[{"number": PHONE}, {"number": OTHER_PHONE, "operator": "MTN"}])
    wide = replace_scope(suspicion(score=7.0))
    probe = choose_probe([suspicion("NG", "Glo", 9.0), wide, suspicion()], given.recipients, {}, NOW_UNIX)
    assert probe is not None
    assert (probe.recipient.number, probe.suspected) == (OTHER_PHONE, ("NG", "MTN"))
    assert choose_probe([suspicion("FR", "Orange")], given.recipients, {}, NOW_UNIX) is None
    probed = {("NG", "MTN"): NOW_UNIX}
    assert choose_probe([suspicion()], given.recipients, probed, NOW_UNIX + 3599) is None
    assert choose_probe([suspicion()], given.recipients, probed, NOW_UNIX + 3600) is not None
    assert choose_probe([suspicion()], given.recipients, probed, NOW_UNIX - 60) is not None  # the clock was set back
    country = choose_probe([suspicion(), wide], given.recipients, probed, NOW_UNIX + 60)
    assert country is not None
    assert country.suspected == ("NG", "")


def replace_scope(narrow: Suspicion) -> Suspicion:
    return Suspicion(
        reason=narrow.reason,
        scope=Scope.COUNTRY,
        country=narrow.country,
        score=narrow.score,
        threshold=narrow.threshold,
    )


@dataclass
class SuspiciousBook:
    """A book whose detector suspects one route, and that keeps what probes say."""

    noted: list[tuple[str, str, bool]] = field(default_factory=list)

    def suspicions(self) -> Sequence[Suspicion]:
        return [suspicion()]

    def note_probe(self, country: str, operator: str, *, arrived: bool) -> None:
        self.noted.append((country, operator, arrived))


@pytest.mark.parametrize(
    ("statuses", "reason", "noted"),
    [
        (ARRIVES, Reason.OK, [True]),
        ((Status.UNDELIVERED,), Reason.OPERATOR_BLOCKING, [False]),
        ((Status.SENT,), Reason.RECEIPTS_MISSING, [False]),
        ((Status.ACCEPTED,), Reason.DELIVERY_SLOW, []),  # it never went by the route
        ((Status.FAILED,), Reason.SENDER_INVALID, []),
    ],
)
def test_what_a_probe_finds_is_evidence(statuses: Sequence[Status], reason: Reason, noted: list[bool]) -> None:
    given = impatient(recipients=[{"number": PHONE}, {"number": OTHER_PHONE, "operator": "MTN"}], on_suspicion=True)
    book: Any = SuspiciousBook()
    known = replace(past("canary"), book=book)
    client = Phone(statuses, reason)
    result = check(client, known, given)
    assert client.sent[0]["to"] == OTHER_PHONE
    assert result.reason is reason
    assert result.detail.endswith("; sent as operator_blocking is suspected")
    assert book.noted == [("NG", "MTN", arrived) for arrived in noted]
    check(client, known, given, minutes=1)  # within the hour it is an ordinary one
    assert client.sent[1]["to"] == PHONE
    assert len(book.noted) == len(noted)


def test_a_probe_waits_for_no_interval_but_keeps_to_the_days_money() -> None:
    given = settings(
        recipients=[{"number": PHONE}, {"number": OTHER_PHONE, "operator": "MTN"}], on_suspicion=True, interval="1d"
    )
    known, book, client = past("canary"), SuspiciousBook(), Phone(cost=0.05)
    check(client, known, given)
    suspecting = replace(known, book=cast("Any", book))
    for minute in (1, 2, 62, 123, 184, 245):
        result = check(client, suspecting, given, minutes=minute)
    assert [sent["to"] for sent in client.sent] == [PHONE, OTHER_PHONE, OTHER_PHONE, OTHER_PHONE]
    assert len(book.noted) == 3
    assert result.detail.endswith("; no newer test message: the day's money is used up")


def test_nothing_is_probed_unless_it_is_wanted() -> None:
    book: Any = SuspiciousBook()
    client = Phone()
    check(client, replace(past("canary"), book=book), settings(recipients=[{"number": PHONE}, {"number": OTHER_PHONE}]))
    assert (client.sent[0]["to"], book.noted) == (PHONE, [])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"text": "Ваш код"}, "GSM 7-bit alphabet"),
        ({"text": "Garçon"}, "outside are 'ç'"),
        ({"text": "10 €"}, "outside are '€'"),  # of the extension table: two septets
        ({"text": "x" * 152}, "must be 1 to 151 letters"),
        ({"messaging_service": "MG1"}, "needs either sender or messaging_service"),
        ({"sender": None}, "needs either sender or messaging_service"),
        ({"recipients": []}, "at least 1 item"),
        ({"recipients": [{"number": PHONE, "tells": True}]}, "receive_token is needed"),
        ({"quiet_hours": {"begin": "22:00", "end": "07:00", "time_zone": "Berlin"}}, "must be a time zone"),
        ({"max_cost_per_day": None}, "valid number"),
        ({"currency": "usd"}, "should match pattern"),
        ({"quiet_hours": {"begin": "07:00", "end": "07:00", "time_zone": "UTC"}}, "must differ"),
        ({"timeout": "4m"}, "timeout must be longer than final_within and received_within together"),
        ({"cost_per_message": 0.3}, "max_cost_per_day must be enough for one message"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(**given)


def test_the_end_of_the_process_waits_for_no_message_which_is_spent_all_the_same() -> None:
    storage = Storage.in_memory(Meters())
    client = Phone((Status.SENT,), on_send=lambda _: storage.canaries.stop())
    result = check(client, storage.past("canary", "twilio", NOW), settings(final_within="1s"))
    assert (len(client.sent), client.asked) == (1, 0)
    assert result.detail == "no test message yet: the exporter ended before its answer came"
    desk, limits = storage.canaries.desk("canary"), Limits(max_sends=1, max_cost=1.0, currency="USD")
    later = NOW_UNIX + 599
    assert desk.reserve(PHONE, 0.05, limits, now=later, busy_until=later) is Refusal.IN_FLIGHT
    assert desk.reserve(OTHER_PHONE, 0.05, limits, now=later, busy_until=later) is Refusal.SENDS
