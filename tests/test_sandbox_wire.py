"""The emulated Twilio's wire: who gets in, what the envelopes look like, how lists are paged."""

from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import pytest
import requests

from exporter.sandbox import Credentials, Sandbox
from exporter.sandbox.wire import after_sid

START = 1_800_000_000.0  # 2027-01-15 08:00 UTC


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock, history_hours=30.0) as running:
        yield running


@pytest.fixture(scope="module")
def session(sandbox: Sandbox) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.auth = (sandbox.credentials.account_sid, sandbox.credentials.auth_token)
        yield session


def account_url(sandbox: Sandbox, path: str) -> str:
    return f"{sandbox.url}/2010-04-01/Accounts/{sandbox.credentials.account_sid}{path}"


def read(session: requests.Session, url: str, **params: str | int) -> Any:
    answer = session.get(url, params=params, timeout=5)
    answer.raise_for_status()
    return answer.json()


def error_of(answer: requests.Response) -> tuple[int, int]:
    envelope = answer.json()
    assert set(envelope) == {"code", "message", "more_info", "status"}
    assert envelope["status"] == answer.status_code
    assert envelope["more_info"] == f"https://www.twilio.com/docs/errors/{envelope['code']}"
    return answer.status_code, envelope["code"]


@pytest.mark.parametrize("path", [".json", "/Keys.json", "/Messages.json", "/Balance.json", None])
@pytest.mark.parametrize("who", ["auth_token", "api_key", "restricted_key"])
def test_a_key_gets_everywhere_but_to_accounts_and_keys(sandbox: Sandbox, who: str, path: str | None) -> None:
    known = sandbox.credentials
    pairs = {
        "auth_token": (known.account_sid, known.auth_token),
        "api_key": (known.api_key_sid, known.api_key_secret),
        "restricted_key": (known.restricted_key_sid, known.restricted_key_secret),
    }
    url = f"{sandbox.url}/v1/Services" if path is None else account_url(sandbox, path)
    answer = requests.get(url, auth=pairs[who], timeout=5)
    if who != "auth_token" and path in (".json", "/Keys.json"):
        assert error_of(answer) == (401, 20003)
    else:
        assert answer.status_code == 200


WRONG_CREDENTIALS: dict[str, Callable[[Credentials], tuple[str, str] | None]] = {
    "nothing": lambda _: None,
    "wrong token": lambda known: (known.account_sid, known.auth_token[::-1]),
    "empty token": lambda known: (known.account_sid, ""),
    "token as a key's secret": lambda known: (known.api_key_sid, known.auth_token),
    "unknown account": lambda known: ("AC" + "0" * 32, known.auth_token),
    "token of the subaccount": lambda known: (known.account_sid, known.subaccount_auth_token),
}


@pytest.mark.parametrize("choose", WRONG_CREDENTIALS.values(), ids=WRONG_CREDENTIALS)
def test_wrong_credentials_are_rejected_everywhere(
    sandbox: Sandbox, choose: Callable[[Credentials], tuple[str, str] | None]
) -> None:
    auth = choose(sandbox.credentials)
    for url in (account_url(sandbox, "/Messages.json"), f"{sandbox.url}/v2/Attempts", f"{sandbox.url}/nowhere"):
        assert error_of(requests.get(url, auth=auth, timeout=5)) == (401, 20003)


@pytest.mark.parametrize("header", ["Bearer abc", "Basic", "Basic !!!", "Basic /w=="])
def test_a_malformed_authorization_is_rejected(sandbox: Sandbox, header: str) -> None:
    answer = requests.get(f"{sandbox.url}/v1/Services", headers={"Authorization": header}, timeout=5)
    assert error_of(answer) == (401, 20003)


def test_a_restricted_key_is_told_the_permission_that_it_lacks(sandbox: Sandbox) -> None:
    known = sandbox.credentials
    answer = requests.post(
        account_url(sandbox, "/Messages.json"),
        auth=(known.restricted_key_sid, known.restricted_key_secret),
        timeout=5,
    )
    assert error_of(answer) == (401, 70051)
    assert "required permission twilio/messaging/messages/create is missing" in answer.json()["message"]


def test_another_account_is_out_of_reach(sandbox: Sandbox, session: requests.Session) -> None:
    url = f"{sandbox.url}/2010-04-01/Accounts/AC{'0' * 32}/Messages.json"
    assert error_of(session.get(url, timeout=5)) == (401, 20003)


def test_the_subaccount_has_no_balance_and_owns_nothing(sandbox: Sandbox) -> None:
    known = sandbox.credentials
    with requests.Session() as session:
        session.auth = (known.subaccount_sid, known.subaccount_auth_token)
        root = f"{sandbox.url}/2010-04-01/Accounts/{known.subaccount_sid}"
        account = read(session, f"{root}.json")
        assert (account["owner_account_sid"], account["status"]) == (known.account_sid, "active")
        assert error_of(session.get(f"{root}/Balance.json", timeout=5)) == (404, 20404)
        for path, key in (("Messages", "messages"), ("IncomingPhoneNumbers", "incoming_phone_numbers")):
            assert read(session, f"{root}/{path}.json")[key] == []
        for path, key in (("v1/Services", "services"), ("v2/Attempts", "attempts"), ("v2/Services", "services")):
            assert read(session, f"{sandbox.url}/{path}")[key] == []


def test_the_parent_reaches_its_subaccount(sandbox: Sandbox, session: requests.Session) -> None:
    accounts = read(session, f"{sandbox.url}/2010-04-01/Accounts.json")["accounts"]
    known = sandbox.credentials
    assert [each["sid"] for each in accounts] == [known.account_sid, known.subaccount_sid]
    child = read(session, f"{sandbox.url}/2010-04-01/Accounts/{known.subaccount_sid}.json")
    assert child["sid"] == known.subaccount_sid


@pytest.mark.parametrize("path", ["/v1/Nowhere", "/2010-04-01/Nowhere.json", "/", "/v2/Services/VA1"])
def test_an_unknown_path_is_not_found(sandbox: Sandbox, session: requests.Session, path: str) -> None:
    answer = session.get(sandbox.url + path, timeout=5)
    assert error_of(answer) == (404, 20404)
    assert answer.json()["message"] == f"The requested resource {path} was not found"


def test_an_unknown_message_service_or_period_is_not_found(sandbox: Sandbox, session: requests.Session) -> None:
    for path in (f"/Messages/SM{'0' * 32}.json", "/Usage/Records/Fortnightly.json"):
        assert error_of(session.get(account_url(sandbox, path), timeout=5)) == (404, 20404)
    url = f"{sandbox.url}/v1/Services/MG{'0' * 32}/PhoneNumbers"
    assert error_of(session.get(url, timeout=5)) == (404, 20404)


def test_a_wrong_method_is_not_allowed(sandbox: Sandbox, session: requests.Session) -> None:
    assert error_of(session.delete(account_url(sandbox, "/Messages.json"), timeout=5)) == (405, 20004)


def test_the_account_payload_carries_the_auth_token(sandbox: Sandbox, session: requests.Session) -> None:
    account = read(session, account_url(sandbox, ".json"))
    assert account["auth_token"] == sandbox.credentials.auth_token
    assert (account["status"], account["type"]) == ("active", "Full")


def test_the_balance_is_a_string_with_two_decimals(sandbox: Sandbox, session: requests.Session) -> None:
    balance = read(session, account_url(sandbox, "/Balance.json"))
    assert set(balance) == {"account_sid", "balance", "currency"}
    assert f"{float(balance['balance']):.2f}" == balance["balance"]
    assert balance["currency"] == "USD"


def test_a_2010_list_has_relative_page_uris(sandbox: Sandbox, session: requests.Session) -> None:
    page = read(session, account_url(sandbox, "/Messages.json"), PageSize=2)
    rows = page.pop("messages")
    path = f"/2010-04-01/Accounts/{sandbox.credentials.account_sid}/Messages.json"
    assert len(rows) == 2
    assert page == {
        "first_page_uri": f"{path}?PageSize=2&Page=0",
        "next_page_uri": f"{path}?PageSize=2&Page=1&PageToken=PA{rows[-1]['sid']}",
        "previous_page_uri": None,
        "uri": f"{path}?PageSize=2&Page=0",
        "page": 0,
        "page_size": 2,
        "start": 0,
        "end": 1,
    }


def test_a_product_list_has_absolute_page_urls_of_our_origin(sandbox: Sandbox, session: requests.Session) -> None:
    answer = read(session, f"{sandbox.url}/v2/Attempts", PageSize=2)
    assert answer["meta"] == {
        "key": "attempts",
        "page": 0,
        "page_size": 2,
        "first_page_url": f"{sandbox.url}/v2/Attempts?PageSize=2&Page=0",
        "previous_page_url": None,
        "url": f"{sandbox.url}/v2/Attempts?PageSize=2&Page=0",
        "next_page_url": f"{sandbox.url}/v2/Attempts?PageSize=2&Page=1&PageToken=PA{answer['attempts'][-1]['sid']}",
    }


def test_dates_are_rfc_2822_in_the_2010_api_and_iso_8601_elsewhere(sandbox: Sandbox, session: requests.Session) -> None:
    (message,) = read(session, account_url(sandbox, "/Messages.json"), PageSize=1)["messages"]
    assert parsedate_to_datetime(message["date_created"]).timestamp() <= START
    assert message["date_created"].endswith(" +0000")
    (attempt,) = read(session, f"{sandbox.url}/v2/Attempts", PageSize=1)["attempts"]
    assert attempt["date_created"].endswith("Z")
    assert attempt["channel_data"]["mcc"].isdecimal()


def walk(sandbox: Sandbox, session: requests.Session, **params: str | int) -> Iterator[list[dict[str, Any]]]:
    page = read(session, account_url(sandbox, "/Messages.json"), **params)
    while True:
        yield page["messages"]
        if page["next_page_uri"] is None:
            return
        page = read(session, sandbox.url + page["next_page_uri"])


def test_paging_neither_loses_nor_repeats_while_messages_arrive(
    sandbox: Sandbox, session: requests.Session, clock: Clock
) -> None:
    before = [each["sid"] for rows in walk(sandbox, session, PageSize=1000) for each in rows]
    seen: list[str] = []
    for rows in walk(sandbox, session, PageSize=333):
        seen += [each["sid"] for each in rows]
        clock.now += 30
    assert len(before) > 5000
    assert seen == before


def test_a_list_is_newest_first_and_fifty_long(sandbox: Sandbox, session: requests.Session) -> None:
    rows = read(session, account_url(sandbox, "/Messages.json"))["messages"]
    created = [parsedate_to_datetime(each["date_created"]) for each in rows]
    assert len(rows) == 50
    assert created == sorted(created, reverse=True)


@pytest.mark.parametrize("size", ["0", "1001", "-1", "many"])
def test_a_page_size_out_of_range_is_refused(sandbox: Sandbox, session: requests.Session, size: str) -> None:
    answer = session.get(account_url(sandbox, "/Messages.json"), params={"PageSize": size}, timeout=5)
    assert error_of(answer) == (400, 20001)


def test_an_unknown_page_token_is_refused(sandbox: Sandbox, session: requests.Session) -> None:
    for url in (account_url(sandbox, "/Messages.json"), f"{sandbox.url}/v2/Attempts"):
        answer = session.get(url, params={"PageToken": "PASM1"}, timeout=5)
        assert error_of(answer) == (400, 20001)


@pytest.mark.parametrize(
    ("params", "days"),
    [
        ({"DateSent": "2027-01-14"}, {14}),
        ({"DateSent>": "2027-01-15"}, {15}),
        ({"DateSent>": "2027-01-15T07:00:00Z"}, {15}),
        ({"DateSent": "2027-01-14T07:00:00Z"}, {14}),
        ({"DateSent": "2027-01-14 22:05:25.000"}, {14}),
        ({"DateSent": "Thu, 14 Jan 2027 07:00:00 +0000"}, {14}),
        ({"DateSent>": "Fri, 15 Jan 2027 05:00:00 +0600"}, {14, 15}),
        ({"DateSent<": "2027-01-14"}, {14}),
        ({"DateSent>": "2027-01-14", "DateSent<": "2027-01-15"}, {14, 15}),
        ({"DateSent": "2026-01-01"}, set()),
    ],
)
def test_date_sent_filters_by_day(
    sandbox: Sandbox, session: requests.Session, params: dict[str, str], days: set[int]
) -> None:
    rows = [each for page in walk(sandbox, session, PageSize=1000, **params) for each in page]
    assert {parsedate_to_datetime(each["date_sent"]).day for each in rows} == days


@pytest.mark.parametrize("date", ["soon", "2027-13-01", "Fri, 15 Jan 99999999999 07:00:00 +0000"])
def test_a_bad_date_is_refused(sandbox: Sandbox, session: requests.Session, date: str) -> None:
    answer = session.get(account_url(sandbox, "/Messages.json"), params={"DateSent": date}, timeout=5)
    assert error_of(answer) == (400, 20001)


@pytest.mark.parametrize(
    ("path", "key", "next_key"),
    [
        ("/2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json", "incoming_phone_numbers", "next_page_uri"),
        ("/v1/Services/{service}/PhoneNumbers", "phone_numbers", "next_page_url"),
    ],
)
def test_a_short_list_is_paged_too(
    sandbox: Sandbox, session: requests.Session, path: str, key: str, next_key: str
) -> None:
    known = sandbox.credentials
    url = sandbox.url + path.format(account=known.account_sid, service=known.messaging_service_sid)
    first = read(session, url, PageSize=1)
    following = {**first, **first.get("meta", {})}[next_key]
    second = read(session, sandbox.url + following.removeprefix(sandbox.url))
    seen = [each["phone_number"] for each in (*first[key], *second[key])]
    assert seen == [known.long_code, known.toll_free]
    assert {**second, **second.get("meta", {})}[next_key] is None


def test_rows_go_on_behind_the_one_that_a_token_names() -> None:
    rows = [{"sid": name} for name in "abcd"]
    assert list(after_sid(rows, "b")) == [{"sid": "c"}, {"sid": "d"}]
    assert list(after_sid(rows, None)) == rows
    assert list(after_sid(rows, "z")) == []


def test_messages_are_filtered_by_recipient_and_sender(sandbox: Sandbox, session: requests.Session) -> None:
    (some,) = read(session, account_url(sandbox, "/Messages.json"), PageSize=1)["messages"]
    for name, key in (("To", "to"), ("From", "from")):
        value = some[key] or "SANDBOX"
        rows = read(session, account_url(sandbox, "/Messages.json"), **{name: value})["messages"]
        assert rows
        assert {each[key] or "SANDBOX" for each in rows} == {value}
    american = read(session, account_url(sandbox, "/Messages.json"), From=sandbox.credentials.long_code)["messages"]
    assert {each["to"][:2] for each in american} == {"+1"}


def test_numbers_are_filtered_by_pattern(sandbox: Sandbox, session: requests.Session) -> None:
    def numbers(pattern: str) -> list[str]:
        url = account_url(sandbox, "/IncomingPhoneNumbers.json")
        return [each["phone_number"] for each in read(session, url, PhoneNumber=pattern)["incoming_phone_numbers"]]

    known = sandbox.credentials
    assert numbers(known.long_code) == [known.long_code]
    assert numbers("+1***5550") == [known.long_code, known.toll_free]
    assert numbers("+1800") == [known.toll_free]
    assert numbers("+44") == []


def test_usage_agrees_with_the_prices_of_the_messages(
    sandbox: Sandbox, session: requests.Session, clock: Clock
) -> None:
    clock.now += 60
    since = {"DateSent>": "2027-01-15"}
    rows = [each for page in walk(sandbox, session, PageSize=1000, **since) for each in page]
    charged = -sum(float(each["price"]) for each in rows if each["price"] is not None)
    records = read(session, account_url(sandbox, "/Usage/Records/Today.json"))["usage_records"]
    price = {each["category"]: float(each["price"]) for each in records}
    pending = read(session, account_url(sandbox, "/Messages.json"))["messages"]
    in_flight = sum(each["price"] is None and each["status"] != "failed" for each in pending)
    assert price["totalprice"] == price["sms-outbound"]
    assert price["totalprice"] == pytest.approx(charged, abs=0.5 * (in_flight + 1))


def test_the_balance_falls_by_what_is_used(sandbox: Sandbox, session: requests.Session, clock: Clock) -> None:
    def look() -> tuple[float, float]:
        balance = read(session, account_url(sandbox, "/Balance.json"))["balance"]
        url = account_url(sandbox, "/Usage/Records/AllTime.json")
        (record,) = read(session, url, Category="totalprice")["usage_records"]
        return float(balance), float(record["price"])

    balance, used = look()
    clock.now += 3600
    later_balance, later_used = look()
    assert later_used > used
    assert balance - later_balance == pytest.approx(later_used - used, abs=0.01)


@pytest.mark.parametrize("history_hours", [0.0, 20.0])
def test_an_account_opens_with_two_weeks_of_normal_spend_whatever_its_past(history_hours: float) -> None:
    with Sandbox(clock=Clock(), history_hours=history_hours) as sandbox, requests.Session() as session:
        session.auth = (sandbox.credentials.account_sid, sandbox.credentials.auth_token)
        balance = float(read(session, account_url(sandbox, "/Balance.json"))["balance"])
        url = account_url(sandbox, "/Usage/Records/Daily.json")
        days = read(session, url, Category="totalprice", StartDate="-9days", EndDate="-1days")["usage_records"]
    spend = [float(each["price"]) for each in days]
    assert len(spend) == 9
    assert all(each == pytest.approx(balance / 14, rel=0.15) for each in spend)
    assert spend[-1] == pytest.approx(balance / 14, rel=1e-4)


def test_the_balance_is_recharged_before_it_is_low(sandbox: Sandbox, session: requests.Session) -> None:
    clock = Clock()
    with Sandbox(clock=clock, history_hours=0.0) as spender:
        seen = []
        for _ in range(8):
            seen.append(float(read(session, account_url(spender, "/Balance.json"))["balance"]))
            clock.now += 86_400
    assert min(seen) > 8 / 14 * seen[0]
    assert seen != sorted(seen, reverse=True)


@pytest.mark.parametrize(
    ("period", "count", "first", "last"),
    [
        ("Today", 1, "2027-01-15", "2027-01-15"),
        ("Yesterday", 1, "2027-01-14", "2027-01-14"),
        ("ThisMonth", 1, "2027-01-01", "2027-01-15"),
        ("LastMonth", 1, "2026-12-01", "2026-12-31"),
        ("AllTime", 1, "2026-11-15", "2027-01-15"),
        ("Daily", 62, "2026-11-15", "2027-01-15"),
        ("Monthly", 3, "2026-11-15", "2027-01-15"),
        ("Yearly", 2, "2026-11-15", "2027-01-15"),
    ],
)
def test_usage_is_cut_into_periods(
    sandbox: Sandbox, session: requests.Session, period: str, count: int, first: str, last: str
) -> None:
    url = account_url(sandbox, f"/Usage/Records/{period}.json")
    records = read(session, url, Category="totalprice", PageSize=1000)["usage_records"]
    assert len(records) == count
    assert (records[-1]["start_date"], records[0]["end_date"]) == (first, last)


def test_usage_takes_a_range_and_a_number_of_days(sandbox: Sandbox, session: requests.Session) -> None:
    url = account_url(sandbox, "/Usage/Records/Daily.json")
    week = read(session, url, Category="sms", StartDate="-6days")["usage_records"]
    assert [each["start_date"] for each in week][-1] == "2027-01-09"
    assert len(week) == 7
    day = read(session, url, Category="sms", StartDate="2027-01-13", EndDate="2027-01-13")["usage_records"]
    assert [(each["count"], each["price"] > "0") for each in day] != []
    answer = session.get(url, params={"StartDate": "soon"}, timeout=5)
    assert error_of(answer) == (400, 20001)


def test_usage_pages_neither_lose_nor_repeat(sandbox: Sandbox, session: requests.Session) -> None:
    page = read(session, account_url(sandbox, "/Usage/Records/Daily.json"), PageSize=50)
    rows = list(page["usage_records"])
    while page["next_page_uri"]:
        page = read(session, sandbox.url + page["next_page_uri"])
        rows += page["usage_records"]
    keys = [(each["start_date"], each["category"]) for each in rows]
    assert len(keys) == len(set(keys)) == 62 * 3


def send(sandbox: Sandbox, session: requests.Session, **form: str) -> requests.Response:
    return session.post(account_url(sandbox, "/Messages.json"), data=form, timeout=5)


def test_a_sent_message_goes_its_way(sandbox: Sandbox, session: requests.Session, clock: Clock) -> None:
    known = sandbox.credentials
    answer = send(sandbox, session, To="+447415123456", From=known.long_code, Body="Your code is 424242")
    assert answer.status_code == 201
    message = answer.json()
    assert (message["status"], message["price"], message["date_sent"]) == ("queued", None, None)
    url = account_url(sandbox, f"/Messages/{message['sid']}.json")
    clock.now += 600
    later = read(session, url)
    assert (later["status"], later["error_code"], later["price"]) == ("delivered", None, "-0.05240")
    assert later["body"] == "Your code is 424242"
    listed = read(session, account_url(sandbox, "/Messages.json"), To="+447415123456")["messages"]
    assert message["sid"] in {each["sid"] for each in listed}


def test_the_price_is_filled_in_a_minute_after_the_send(
    sandbox: Sandbox, session: requests.Session, clock: Clock
) -> None:
    sid = send(sandbox, session, To="+447415123456", From=sandbox.credentials.long_code, Body="1").json()["sid"]
    seen = {}
    for seconds in (0, 30, 30, 60):
        clock.now += seconds
        message = read(session, account_url(sandbox, f"/Messages/{sid}.json"))
        seen[message["price"]] = (message["status"], message["date_updated"])
    assert list(seen) == [None, "-0.05240"]
    assert seen[None] == seen["-0.05240"]
    assert seen[None][0] == "delivered"


def test_a_message_by_service_is_accepted_and_its_sender_chosen_later(
    sandbox: Sandbox, session: requests.Session, clock: Clock
) -> None:
    service = sandbox.credentials.messaging_service_sid
    message = send(sandbox, session, To="+447415123456", MessagingServiceSid=service, Body="1").json()
    assert (message["status"], message["from"], message["messaging_service_sid"]) == ("accepted", None, service)
    clock.now += 600
    later = read(session, account_url(sandbox, f"/Messages/{message['sid']}.json"))
    assert later["from"] == sandbox.credentials.long_code


def test_a_message_of_ours_is_no_verification_attempt(sandbox: Sandbox, session: requests.Session) -> None:
    message = send(sandbox, session, To="+447415123456", From=sandbox.credentials.long_code, Body="1").json()
    attempts = read(session, f"{sandbox.url}/v2/Attempts", VerificationSid=f"VE{message['sid'][2:]}")
    assert attempts["attempts"] == []


VALID = {"To": "+447415123456", "From": "+12025550143", "Body": "Your code is 1"}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"To": ""}, (400, 21604)),
        ({"From": ""}, (400, 21603)),
        ({"Body": ""}, (400, 21602)),
        ({"Body": "a" * 1601}, (400, 21617)),
        ({"To": "0151 1234567"}, (400, 21211)),
        ({"To": "+1"}, (400, 21211)),
        ({"To": "+12025550143"}, (400, 21266)),
        ({"From": "+12025550199"}, (400, 21606)),
        ({"From": "", "MessagingServiceSid": "MG" + "0" * 32}, (404, 21701)),
        ({"ValidityPeriod": "0"}, (400, 21624)),
        ({"ValidityPeriod": "36001"}, (400, 21624)),
        ({"ValidityPeriod": "soon"}, (400, 21624)),
        ({"To": "+15005550001"}, (400, 21211)),
        ({"To": "+15005550002"}, (400, 21612)),
        ({"To": "+15005550003"}, (400, 21408)),
        ({"To": "+15005550004"}, (400, 21610)),
        ({"To": "+15005550009"}, (400, 21614)),
    ],
)
def test_a_message_with_a_defect_is_refused(
    sandbox: Sandbox, session: requests.Session, change: dict[str, str], error: tuple[int, int]
) -> None:
    assert send(sandbox, session, **VALID).status_code == 201
    assert error_of(send(sandbox, session, **{**VALID, **change})) == error


def test_the_summary_counts_the_attempts(sandbox: Sandbox, session: requests.Session) -> None:
    summary = read(session, f"{sandbox.url}/v2/Attempts/Summary", DateCreatedAfter="2027-01-15T06:00:00Z")
    url: str | None = f"{sandbox.url}/v2/Attempts?PageSize=1000&DateCreatedAfter=2027-01-15T06:00:00Z"
    attempts: list[dict[str, Any]] = []
    while url:
        page = read(session, url)
        attempts += page["attempts"]
        url = page["meta"]["next_page_url"]
    converted = sum(each["conversion_status"] == "converted" for each in attempts)
    assert summary["total_attempts"] == len(attempts) > 0
    assert summary["total_converted"] == converted
    assert summary["total_unconverted"] == len(attempts) - converted
    assert float(summary["conversion_rate_percentage"]) == pytest.approx(100 * converted / len(attempts))
    assert 65 < float(summary["conversion_rate_percentage"]) < 95


def test_attempts_are_filtered_by_country_and_conversion(sandbox: Sandbox, session: requests.Session) -> None:
    german = read(session, f"{sandbox.url}/v2/Attempts", Country="DE")["attempts"]
    assert {each["channel_data"]["country"] for each in german} == {"DE"}
    for status in ("converted", "unconverted"):
        rows = read(session, f"{sandbox.url}/v2/Attempts", Status=status)["attempts"]
        assert {each["conversion_status"] for each in rows} == {status}


@pytest.mark.parametrize("params", [{"Channel": "call"}, {"VerifyServiceSid": "VA" + "0" * 32}, {"Country": "AQ"}])
def test_attempts_that_are_not_there_are_none(
    sandbox: Sandbox, session: requests.Session, params: dict[str, str]
) -> None:
    assert read(session, f"{sandbox.url}/v2/Attempts", **params)["attempts"] == []
    summary = read(session, f"{sandbox.url}/v2/Attempts/Summary", **params)
    assert (summary["total_attempts"], summary["conversion_rate_percentage"]) == (0, "0.000000000")


def test_a_number_can_be_looked_up(sandbox: Sandbox) -> None:
    known = sandbox.credentials

    def look_up(number: str) -> Any:
        url = f"{sandbox.url}/v2/PhoneNumbers/{quote(number)}"
        query = {"Fields": "line_type_intelligence"}
        return requests.get(url, params=query, auth=(known.account_sid, known.auth_token), timeout=5).json()

    mobile, landline = look_up(sandbox.client("sms").number), look_up(sandbox.client("landline").number)
    assert (mobile["valid"], mobile["line_type_intelligence"]["type"]) == (True, "mobile")
    assert mobile["line_type_intelligence"]["carrier_name"] == "EE"
    assert landline["line_type_intelligence"]["type"] == "landline"
    assert look_up("+19995550100")["valid"] is False
