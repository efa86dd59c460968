"""Gathering what is known over real HTTP: of the sandbox, and of servers that hang, dawdle and refuse."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from checks.backoffices.b2core import B2CoreClient, B2CoreSettings
from checks.clients import LineType, NumberLookup
from checks.diagnosis import CodeMatch, Confidence, Diagnosis, Subject
from checks.errors import StorageUnavailableError
from checks.messages import Receipt, Status
from checks.providers.twilio import TwilioClient, TwilioSettings
from checks.reason import Reason
from checks.result import ClockOffset, ClockSource
from checks.secret import Secret
from exporter.answer import as_json, as_markdown, as_text
from exporter.config import Config
from exporter.diagnosing import Diagnostician, Known, LookupBudget, Question, QuestionError
from exporter.meters import Meters
from exporter.sandbox import Sandbox
from exporter.storage import Storage
from tests import stub_server as stubs
from tests.processes import wait_for
from tests.served import build_config, run_of
from tests.stub_server import Behaviour, StubServer

ACCOUNT = "AC" + "a" * 32
NUMBER = "+447700900123"
OFFICE_ID = "1042"
LOG = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
ATTEMPTS = "/v2/Attempts"
SID = "SM" + "1" * 32
NO_CHECKS = Config(targets={}, checks={})
IN_TIME = 1.5

R = Reason


def known(clients: Mapping[str, Any], **more: Any) -> Known:
    given: dict[str, Any] = {"config": NO_CHECKS, "clients": clients, "checks": lambda _: {}, "alarms": {}}
    return Known(**(given | more))


def ask(clients: Mapping[str, Any], *, timeout: float = 5.0, at_hand: Known | None = None, **asked: Any) -> Diagnosis:
    return Diagnostician(timeout).answer(Question(**asked), at_hand or known(clients))


def reasons(diagnosis: Diagnosis) -> list[Reason]:
    return [finding.reason for finding in diagnosis.findings]


def missing(diagnosis: Diagnosis) -> dict[str, str]:
    return {each.what: each.why for each in diagnosis.evidence.missing}


def twilio(url: str, **settings: Any) -> TwilioClient:
    mine = {"type": "twilio", "account_sid": ACCOUNT, "auth_token": Secret("token"), "base_url": url, "timeout": "20s"}
    return TwilioClient(TwilioSettings.model_validate(mine | settings))


def b2core(url: str, **settings: Any) -> B2CoreClient:
    mine = {"type": "b2core", "url": url, "timeout": "20s", "token": Secret("ready")}
    return B2CoreClient(B2CoreSettings.model_validate(mine | settings))


# --- what the servers of these tests answer


def row(sid: str = SID, *, status: str = "delivered", minutes_ago: float = 5, **changes: Any) -> dict[str, Any]:
    created = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    return {
        "sid": sid,
        "status": status,
        "direction": "outbound-api",
        "to": NUMBER,
        "from": "+18005550100",
        "error_code": None,
        "date_created": format_datetime(created),
        "date_sent": format_datetime(created + timedelta(seconds=1)),
        "date_updated": format_datetime(created + timedelta(seconds=6)),
    } | changes


def answer_as_twilio(
    stub: StubServer, *rows: dict[str, Any], wrap: Callable[[Behaviour], Behaviour] = lambda b: b
) -> None:
    """Let a server have these messages, and no verification attempts."""
    stub.on(LOG, wrap(stubs.answer({"messages": list(rows), "next_page_uri": None})))
    stub.on(ATTEMPTS, wrap(stubs.answer({"attempts": [], "meta": {"next_page_url": None}})))
    for each in rows:
        stub.on(LOG.replace(".json", f"/{each['sid']}.json"), wrap(stubs.answer(each)))


def answer_as_b2core(stub: StubServer, *, confirmed: bool = True) -> None:
    """Let a server have one client, by SMS."""
    stub.on(
        f"/api/v2/clients/{OFFICE_ID}/2fa",
        stubs.answer({"data": [{"name": "sms", "isEnabled": True}, {"name": "google", "isEnabled": False}]}),
    )
    phone = {"clientId": int(OFFICE_ID), "number": NUMBER.removeprefix("+"), "confirmed": confirmed}
    stub.on("/api/v2/phones", stubs.answer({"data": [phone], "total": 1}))


def after(seconds: float) -> Callable[[Behaviour], Behaviour]:
    def wrap(behaviour: Behaviour) -> Behaviour:
        def behave(exchange: stubs.Exchange) -> None:
            exchange.stopped.wait(seconds)
            behaviour(exchange)

        return behave

    return wrap


@dataclass
class Pair:
    """A provider and a back office, each a server that answers as a test says."""

    provider: StubServer
    office: StubServer
    clients: Mapping[str, Any] = field(default_factory=dict)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with StubServer() as provider, StubServer() as office:
        answer_as_twilio(provider, row(status="undelivered", error_code=30003))
        answer_as_b2core(office)
        with closing(twilio(provider.url)) as one, closing(b2core(office.url)) as other:
            yield Pair(provider, office, {"twilio": one, "b2core": other})


# --- with the sandbox


@dataclass
class Demo:
    sandbox: Sandbox
    clients: Mapping[str, Any]

    def sent(self, persona: str) -> Receipt:
        """The message of a persona's sign-in, once it has come to an end."""
        client = self.sandbox.client(persona)
        requests.post(f"{self.sandbox.url}/sandbox/clients/{client.id}/sign-in", timeout=5).raise_for_status()

        def ended() -> Receipt | None:
            found = self.clients["twilio"].find_messages(client.number, limit=1)
            return found[0] if found and found[0].status.is_final else None

        message = wait_for(ended)
        assert message is not None
        return message


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with Sandbox(history_hours=0.5) as sandbox:
        given = sandbox.credentials
        provider = twilio(sandbox.url, account_sid=given.account_sid, auth_token=Secret(given.auth_token))
        office = b2core(
            sandbox.b2core_url,
            token=None,
            email=given.b2core_plain_email,
            password=Secret(given.b2core_plain_password),
        )
        with closing(provider), closing(office):
            yield Demo(sandbox, {"twilio": provider, "b2core": office})


@pytest.mark.parametrize("by", ["client", "phone", "message"])
def test_a_client_who_replied_stop_is_found_however_it_is_asked(demo: Demo, by: str) -> None:
    client = demo.sandbox.client("opted_out")
    message = demo.sent("opted_out")

    asked: dict[str, Any] = {"client": str(client.id), "phone": client.number, "message": message.message_id}
    diagnosis = ask(demo.clients, **{by: asked[by]})

    assert diagnosis.first.reason is R.RECIPIENT_OPTED_OUT
    assert diagnosis.evidence.subject is Subject(by)
    assert diagnosis.evidence.client is not None
    assert (diagnosis.evidence.country, diagnosis.evidence.operator) == ("ZA", "Vodacom")
    assert missing(diagnosis) == {}


@pytest.mark.parametrize(
    ("persona", "reason"),
    [("no_2fa", R.CLIENT_2FA_DISABLED), ("unconfirmed", R.CLIENT_PHONE_UNCONFIRMED), ("google", R.OK)],
)
def test_a_clients_settings_are_read(demo: Demo, persona: str, reason: Reason) -> None:
    assert ask(demo.clients, client=str(demo.sandbox.client(persona).id)).first.reason is reason


def test_the_device_that_the_client_says_is_lost_comes_first(demo: Demo) -> None:
    diagnosis = ask(demo.clients, client=str(demo.sandbox.client("google").id), is_device_lost=True)

    assert diagnosis.first.reason is R.DEVICE_LOST


def test_a_client_whom_the_back_office_does_not_know(demo: Demo) -> None:
    diagnosis = ask(demo.clients, client="999999")

    assert reasons(diagnosis) == [R.CLIENT_UNKNOWN]
    assert diagnosis.evidence.is_known is False
    assert missing(diagnosis) == {"messages": "no phone number is known"}


def test_a_phone_of_no_client(demo: Demo) -> None:
    diagnosis = ask(demo.clients, phone=NUMBER)

    assert reasons(diagnosis) == [R.CLIENT_UNKNOWN]
    assert list(diagnosis.evidence.messages or ()) == []


def test_a_message_that_no_provider_has(demo: Demo) -> None:
    with pytest.raises(QuestionError, match="no provider here has a message of this id"):
        ask(demo.clients, message="SM" + "9" * 32)


def test_a_message_is_not_said_to_be_nowhere_while_one_provider_has_not_answered(demo: Demo) -> None:
    with StubServer() as broken:
        broken.everywhere(stubs.answer({}, status=500))
        with closing(twilio(broken.url)) as other:
            diagnosis = ask({**demo.clients, "other": other}, message="SM" + "9" * 32)

    assert diagnosis.evidence.messages is None
    assert "message (other)" in missing(diagnosis)


# --- sources that fail


class Broken:
    """A provider's client with a defect of ours: its errors quote what was asked."""

    def find_messages(self, number: str, *, limit: int) -> Sequence[Receipt]:
        raise KeyError(number)

    def find_message(self, message_id: str) -> Receipt | None:
        raise KeyError(message_id)

    def find_attempts(self, number: str, *, since: float) -> None:
        raise KeyError(number)


@pytest.mark.parametrize("asked", [{"client": OFFICE_ID}, {"phone": NUMBER}], ids=["client", "phone"])
def test_a_provider_that_never_answers_is_missing_and_the_rest_is_there(pair: Pair, asked: dict[str, Any]) -> None:
    pair.provider.everywhere(stubs.hang())
    started = time.monotonic()

    diagnosis = ask(pair.clients, timeout=0.8, **asked)

    assert time.monotonic() - started < 0.8 + 0.4
    assert missing(diagnosis) == {
        "messages (twilio)": "did not answer in time",
        "verification attempts (twilio)": "did not answer in time",
    }
    assert diagnosis.evidence.messages is None
    assert diagnosis.evidence.client is not None
    assert reasons(diagnosis) == [R.TIMEOUT]


@pytest.mark.parametrize("asked", [{"phone": NUMBER}, {"message": SID}], ids=["phone", "message"])
def test_a_back_office_that_never_answers_is_missing_and_the_rest_is_there(pair: Pair, asked: dict[str, Any]) -> None:
    pair.office.everywhere(stubs.hang())
    started = time.monotonic()

    diagnosis = ask(pair.clients, timeout=0.8, **asked)

    assert time.monotonic() - started < 0.8 + 0.4
    assert missing(diagnosis) == {"the client's settings (b2core)": "did not answer in time"}
    assert (diagnosis.evidence.client, diagnosis.evidence.is_known) == (None, None)
    assert reasons(diagnosis) == [R.RECIPIENT_UNREACHABLE, R.TIMEOUT]


def test_what_is_not_waited_for_any_longer_also_ends(pair: Pair) -> None:
    pair.provider.everywhere(stubs.hang())

    ask(pair.clients, timeout=0.5, phone=NUMBER)

    wait_for(lambda: not [each for each in threading.enumerate() if each.name.startswith("diagnose")], seconds=2)


def test_a_source_that_heeds_no_deadline_is_left_behind() -> None:
    released = threading.Event()

    class Stubborn(Broken):
        """Comes back when it likes."""

        def find_messages(self, number: str, *, limit: int) -> Sequence[Receipt]:
            released.wait(10)
            return []

    started = time.monotonic()
    diagnosis = ask({"stubborn": Stubborn()}, timeout=0.5, phone=NUMBER)
    took = time.monotonic() - started
    released.set()

    assert took < 0.5 + 0.4
    assert missing(diagnosis)["messages (stubborn)"] == "did not answer in time"


def test_where_nobody_answers_the_answer_still_comes_in_time(pair: Pair) -> None:
    pair.provider.everywhere(stubs.drip_body())
    pair.office.everywhere(stubs.hang())
    started = time.monotonic()

    diagnosis = ask(pair.clients, timeout=0.8, client=OFFICE_ID)

    assert time.monotonic() - started < 0.8 + 0.4
    assert set(missing(diagnosis)) == {"the client's settings (b2core)", "messages"}
    assert reasons(diagnosis) == [R.TIMEOUT]


@pytest.mark.parametrize(
    "asked", [{"client": OFFICE_ID}, {"phone": NUMBER}, {"message": SID}], ids=["client", "phone", "message"]
)
def test_a_provider_that_takes_a_second_for_each_call_is_waited_for_once(pair: Pair, asked: dict[str, Any]) -> None:
    answer_as_twilio(pair.provider, row(status="undelivered", error_code=30003), wrap=after(1.0))
    started = time.monotonic()

    diagnosis = ask(pair.clients, **asked)

    assert time.monotonic() - started < IN_TIME
    assert diagnosis.first.reason is R.RECIPIENT_UNREACHABLE
    assert diagnosis.evidence.client is not None
    assert missing(diagnosis) == {}


def test_many_slow_providers_are_waited_for_side_by_side(pair: Pair) -> None:
    answer_as_twilio(pair.provider, row(status="undelivered", error_code=30003), wrap=after(1.0))
    clients = {f"twilio-{n}": pair.clients["twilio"] for n in range(12)}
    started = time.monotonic()

    diagnosis = ask(clients, phone=NUMBER)

    assert time.monotonic() - started < IN_TIME
    assert len(diagnosis.evidence.messages or ()) == 12


def test_a_back_office_that_refuses_us_is_said_and_the_messages_are_there(pair: Pair) -> None:
    pair.office.everywhere(stubs.answer({"code": 401, "message": "no"}, status=401))

    by_phone = ask(pair.clients, phone=NUMBER)
    by_client = ask(pair.clients, client=OFFICE_ID)

    assert by_phone.first.reason is R.RECIPIENT_UNREACHABLE
    assert "the client's settings (b2core)" in missing(by_phone)
    assert by_client.first.reason is R.CREDENTIALS_REJECTED
    assert by_client.evidence.is_known is None, "a refusal does not say that there is no such client"
    assert missing(by_client)["messages"] == "no phone number is known"


def test_attempts_that_may_not_be_read_are_said_to_be_missing(pair: Pair) -> None:
    pair.provider.on(ATTEMPTS, stubs.answer({"code": 20006, "message": "no", "status": 403}, status=403))

    diagnosis = ask(pair.clients, phone=NUMBER)

    assert missing(diagnosis) == {
        "verification attempts (twilio)": "the provider's credentials may not read them",
    }
    assert diagnosis.evidence.attempts is None


def test_of_two_providers_the_messages_of_both_are_told_newest_first(pair: Pair) -> None:
    with StubServer() as other:
        answer_as_twilio(other, row("SM" + "2" * 32, status="undelivered", error_code=21610, minutes_ago=1))
        with closing(twilio(other.url)) as second:
            diagnosis = ask({**pair.clients, "other": second}, phone=NUMBER)

    assert [each.code for each in diagnosis.evidence.messages or ()] == ["21610", "30003"]
    assert diagnosis.first.reason is R.RECIPIENT_OPTED_OUT


def test_of_two_providers_one_that_hangs_does_not_hide_the_other(pair: Pair) -> None:
    with StubServer() as other:
        other.everywhere(stubs.hang())
        with closing(twilio(other.url)) as second:
            diagnosis = ask({"other": second, **pair.clients}, timeout=0.8, message=SID)

    assert diagnosis.first.reason is R.RECIPIENT_UNREACHABLE
    assert missing(diagnosis)["message (other)"] == "did not answer in time"


def test_a_defect_in_one_source_is_contained_and_logged_without_what_was_asked(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    diagnosis = ask({**pair.clients, "broken": Broken()}, client=OFFICE_ID)

    assert diagnosis.first.reason is R.RECIPIENT_UNREACHABLE
    assert missing(diagnosis) == {
        "messages (broken)": "a defect of the exporter",
        "verification attempts (broken)": "a defect of the exporter",
    }
    assert "defect" in caplog.text
    assert NUMBER.removeprefix("+") not in caplog.text


def test_without_targets_everything_is_missing_and_nothing_is_guessed() -> None:
    by_client = ask({}, at_hand=known({}, alarms=None), client=OFFICE_ID)
    by_message = ask({}, message=SID)

    assert reasons(by_client) == [R.OK]
    assert missing(by_client) == {
        "the client's settings": "no back office is configured",
        "messages": "no phone number is known",
        "alarms of operators": "only a running exporter watches them",
    }
    assert missing(by_message) == {
        "messages": "no provider here can be asked for them",
        "the client's settings": "no back office is configured",
    }
    assert by_message.evidence.messages is None


# --- checks


def test_checks_are_told_as_they_stand_and_those_without_a_result_are_missing() -> None:
    config = build_config({"balance": {}, "credentials": {}})
    storage = Storage.in_memory(Meters())
    storage.record(run_of(config.checks["twilio-eu-balance"], R.BALANCE_EXHAUSTED, "balance -0.42 USD"))

    diagnosis = ask({}, at_hand=known({}, config=config, checks=lambda _: storage.checks()), phone=NUMBER)

    assert diagnosis.first.reason is R.BALANCE_EXHAUSTED
    assert diagnosis.first.evidence[0].text == "check twilio-eu-balance of twilio-eu: balance -0.42 USD"
    assert missing(diagnosis)["check twilio-eu-credentials"] == "it has no result"


def test_what_a_check_measured_is_told_with_it() -> None:
    config = build_config({"clock": {}})
    measured = (ClockOffset(seconds=30.0, source=ClockSource.HOST),)
    storage = Storage.in_memory(Meters())
    storage.record(run_of(config.checks["twilio-eu-clock"], R.SERVER_CLOCK_SKEWED, measured=measured))

    diagnosis = ask({}, at_hand=known({}, config=config, checks=lambda _: storage.checks()), client=OFFICE_ID)

    assert (diagnosis.first.reason, diagnosis.first.confidence) == (R.SERVER_CLOCK_SKEWED, Confidence.POSSIBLE)


def test_checks_are_waited_for_no_longer_than_the_answer_may_take() -> None:
    given: list[float] = []
    started = time.monotonic()

    def checks(ends_at: float) -> Mapping[str, Any]:
        given.append(ends_at)
        return {}

    ask({}, at_hand=known({}, checks=checks), timeout=3.0, phone=NUMBER)

    assert given[0] == pytest.approx(started + 3.0, abs=0.5)


# --- look-ups


@dataclass
class Lookups:
    """A provider that looks numbers up, and counts for how many it was paid."""

    found: NumberLookup
    asked: list[str] = field(default_factory=list)

    def look_up_number(self, number: str) -> NumberLookup:
        self.asked.append(number)
        return self.found


def budget(most_a_day: int, storage: Storage | None = None) -> LookupBudget:
    return LookupBudget((storage or Storage.in_memory(Meters())).notebook("diagnose/lookups"), most_a_day)


LANDLINE = NumberLookup(is_valid=True, line_type=LineType.LANDLINE, operator="Example Tel")


def test_a_look_up_that_is_asked_and_paid_for_is_evidence() -> None:
    provider = Lookups(LANDLINE)
    at_hand = known({"twilio": provider}, lookups=budget(5))

    diagnosis = ask({}, at_hand=at_hand, phone=NUMBER, look_up=True)

    assert provider.asked == [NUMBER]
    assert diagnosis.first.reason is R.RECIPIENT_LANDLINE
    assert diagnosis.evidence.operator == "Example Tel"


def test_no_number_is_looked_up_unless_that_is_asked_for() -> None:
    provider = Lookups(LANDLINE)

    ask({}, at_hand=known({"twilio": provider}, lookups=budget(5)), phone=NUMBER)

    assert provider.asked == []


@pytest.mark.parametrize(
    ("lookups", "why"),
    [
        (budget(0), "none is paid for: diagnose.max_lookups_per_day is 0"),
        (None, "it is billed, and only a running exporter keeps count of what was paid"),
    ],
)
def test_look_ups_are_off_unless_configured(lookups: LookupBudget | None, why: str) -> None:
    provider = Lookups(LANDLINE)

    diagnosis = ask({}, at_hand=known({"twilio": provider}, lookups=lookups), phone=NUMBER, look_up=True)

    assert provider.asked == []
    assert missing(diagnosis)["look-up"] == why


def test_where_no_provider_looks_numbers_up_nothing_is_paid() -> None:
    paid = budget(1)

    diagnosis = ask({}, at_hand=known({}, lookups=paid), phone=NUMBER, look_up=True)

    assert missing(diagnosis)["look-up"] == "no provider here offers it"
    assert paid.take(time.time())


def test_beyond_the_days_cap_no_number_is_looked_up() -> None:
    provider = Lookups(LANDLINE)
    at_hand = known({"twilio": provider}, lookups=budget(1))

    ask({}, at_hand=at_hand, phone=NUMBER, look_up=True)
    second = ask({}, at_hand=at_hand, phone=NUMBER, look_up=True)

    assert len(provider.asked) == 1
    assert missing(second)["look-up"] == "today's look-ups have all been paid for"


NOON = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0


def test_the_budget_survives_a_restart(tmp_path: Path) -> None:
    for allowed in (True, True, False):
        with closing(Storage.open(tmp_path / "exporter.db", Meters())) as storage:
            assert budget(2, storage).take(NOON) is allowed


def test_the_budget_begins_again_with_the_day() -> None:
    money = budget(1)

    assert [money.take(NOON + days * DAY) for days in (0, 0, 1, 1, 2)] == [True, False, True, False, True]


def test_a_clock_that_is_set_back_brings_no_money_back() -> None:
    money = budget(1)

    assert money.take(NOON)
    assert not money.take(NOON - 3 * DAY)
    assert not money.take(NOON)


def test_questions_at_the_same_time_share_one_budget() -> None:
    class Slow:
        """A notebook on a slow disk."""

        note: str | None = None

        def read(self) -> str | None:
            found = self.note
            time.sleep(0.01)
            return found

        def write(self, note: str) -> None:
            self.note = note

    notebook = Slow()
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: LookupBudget(notebook, 5).take(NOON), range(24)))

    assert sum(taken) == 5


def test_without_a_disk_nothing_is_paid_for() -> None:
    class Full:
        """A notebook on a full disk."""

        def read(self) -> str | None:
            return None

        def write(self, note: str) -> None:
            raise StorageUnavailableError("the database cannot be written")

    provider = Lookups(LANDLINE)
    diagnosis = ask(
        {}, at_hand=known({"twilio": provider}, lookups=LookupBudget(Full(), 5)), phone=NUMBER, look_up=True
    )

    assert provider.asked == []
    assert missing(diagnosis)["look-up"] == "the database cannot be written"


# --- questions


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"client": "1", "phone": NUMBER},
        {"client": "1", "message": SID},
        {"client": "a b"},
        {"client": "x" * 65},
        {"client": "1\n"},
        {"phone": "07700 900123"},
        {"phone": "+44770090012x"},
        {"phone": "+" + "4" * 16},
        {"message": "SM\x1b[31m"},
        {"message": "é"},
    ],
)
def test_a_question_that_cannot_be_understood_is_refused_without_being_quoted(asked: dict[str, Any]) -> None:
    with pytest.raises(QuestionError) as refusal:
        Question(**asked)

    assert not any(len(value) > 2 and value in str(refusal.value) for value in asked.values())


# --- secrecy


def test_nothing_of_the_client_reaches_the_log_the_answer_or_the_disk(
    pair: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "exporter.db"
    question = {"client": "1042", "code": CodeMatch(step=-3, tried=240), "look_up": True}
    with closing(Storage.open(path, Meters())) as storage:
        at_hand = known(
            {**pair.clients, "lookup": Lookups(LANDLINE)},
            checks=lambda _: storage.checks(),
            alarms=storage.messages.evidence(),
            lookups=budget(5, storage),
        )
        for asked in (question, {"phone": NUMBER, "look_up": True}, {"message": SID}):
            diagnosis = ask({}, at_hand=at_hand, **asked)
            for written in (as_text(diagnosis), as_markdown(diagnosis), as_json(diagnosis), repr(diagnosis)):
                assert NUMBER.removeprefix("+") not in written
                assert "1042" not in written
            for written in (as_text(diagnosis), as_markdown(diagnosis), as_json(diagnosis)):
                assert SID not in written

    logged = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    kept = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert "diagnosis" in logged
    for secret in (NUMBER.removeprefix("+"), "1042", SID):
        assert secret not in logged
        assert secret.encode() not in kept


def test_a_question_is_told_to_the_log_by_its_subject_and_reason_alone(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    ask(pair.clients, phone=NUMBER)

    (record,) = [each for each in caplog.records if each.message == "diagnosis"]
    told = {name: getattr(record, name) for name in ("subject", "reason", "findings", "missing")}
    assert told == {"subject": "phone", "reason": "recipient_unreachable", "findings": 1, "missing": 0}


def test_the_status_of_a_message_under_way_is_told(pair: Pair) -> None:
    answer_as_twilio(pair.provider, row(status="sent", minutes_ago=0.1))

    diagnosis = ask(pair.clients, message=SID)

    assert [each.status for each in diagnosis.evidence.messages or ()] == [Status.SENT]
    assert reasons(diagnosis) == [R.OK]
