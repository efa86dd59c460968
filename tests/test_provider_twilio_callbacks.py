"""Twilio's callbacks: the same verdicts on signatures as the SDK's, and what a genuine post says."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from twilio.request_validator import RequestValidator

from checks.callbacks import Callback, CallbackOutcome, CallbackRefusedError
from checks.messages import Receipt, Source, Status
from checks.providers.posts import parse_form
from checks.providers.twilio import TwilioClient, TwilioSettings
from checks.providers.twilio.signature import SHA1, SignedUrl, algorithm_of
from checks.reason import Reason
from checks.secret import Secret
from tests.webhooks import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    NUMBER,
    PUBLIC_URL,
    SHARED_KEY,
    event,
    form,
    signed_events,
    signed_form,
)

ARRIVED_AT = datetime(2026, 11, 24, 12, 0, 5, 250_000, tzinfo=UTC).timestamp()


@pytest.fixture(scope="module")
def client() -> TwilioClient:
    return TwilioClient(
        TwilioSettings.model_validate(
            {
                "type": "twilio",
                "account_sid": ACCOUNT_SID,
                "auth_token": Secret(AUTH_TOKEN),
                "callbacks": {"public_url": PUBLIC_URL, "shared_key": Secret(SHARED_KEY)},
            }
        )
    )


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def read(client: TwilioClient, fields: Mapping[str, str], **headers: str) -> Sequence[Receipt]:
    body, signed = signed_form(fields)
    return client.read_callback(Callback("", lower({**signed, **headers}), body, ARRIVED_AT))


def read_events(client: TwilioClient, *events: Any) -> Sequence[Receipt]:
    body, query, headers = signed_events(events)
    return client.read_callback(Callback(query, lower(headers), body, ARRIVED_AT))


def refusal(call: Any, *arguments: Any, **named: Any) -> CallbackOutcome:
    with pytest.raises(CallbackRefusedError) as caught:
        call(*arguments, **named)
    return caught.value.outcome


class Fields(dict[str, list[str]]):
    """Fields with repeated names, as Django's QueryDict gives them to the SDK."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
urls = st.sampled_from(
    [
        "https://codes.example.com/callbacks/twilio",
        "https://codes.example.com:443/callbacks/twilio",
        "https://codes.example.com:8443/callbacks/twilio",
        "http://127.0.0.1:10689/callbacks/x",
        "http://localhost/callbacks/x",
    ]
)
queries = st.sampled_from(["", "a=1", "a=1&b=%20&a=2", "x=ü"])
tampering = st.sampled_from(["none", "cut", "empty", "case", "other token", "space", "unicode"])


@settings(max_examples=400, deadline=None)
@given(urls, queries, st.lists(st.tuples(texts, texts), max_size=8), tampering, st.booleans(), st.booleans())
@example("https://codes.example.com/callbacks/twilio", "", [("a", "1"), ("a", "1"), ("", "")], "none", True, False)
def test_a_form_has_the_verdict_of_the_sdk(
    url: str, query: str, pairs: list[tuple[str, str]], how: str, with_port: bool, by_sha256: bool
) -> None:
    algorithm = "HMAC_SHA256" if by_sha256 else SHA1
    fields = Fields()
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    whole = f"{url}?{query}" if query else url
    validator = RequestValidator("other" if how == "other token" else AUTH_TOKEN)
    signed = whole
    if with_port and "//codes.example.com/" in whole:
        signed = whole.replace("//codes.example.com/", "//codes.example.com:443/")
    signature = validator.compute_signature(signed, fields, algorithm)
    signature = {
        "cut": signature[:-1],
        "empty": "",
        "case": signature.swapcase(),
        "space": signature + " ",
        "unicode": signature[:-1] + "ü",
    }.get(how, signature)
    theirs = RequestValidator(AUTH_TOKEN).validate(whole, fields, signature, algorithm)
    ours = SignedUrl(url).is_signed_form(AUTH_TOKEN.encode(), query, pairs, signature, algorithm)
    assert ours == theirs
    if how == "none":
        assert ours
    elif how != "case":
        assert not ours


@settings(max_examples=200, deadline=None)
@given(urls, st.binary(max_size=40), st.sampled_from(["none", "body", "hash", "no hash", "cut"]))
def test_a_json_body_has_the_verdict_of_the_sdk(url: str, body: bytes, how: str) -> None:
    text = body.decode("latin-1")
    encoded = text.encode()
    digest = hashlib.sha256(b"other" if how == "hash" else encoded).hexdigest()
    query = "a=1" if how == "no hash" else f"bodySHA256={digest}"
    signature = RequestValidator(AUTH_TOKEN).compute_signature(f"{url}?{query}", {})
    if how == "cut":
        signature = signature[:-4]
    sent = encoded + b"!" if how == "body" else encoded
    ours = SignedUrl(url).is_signed_body(AUTH_TOKEN.encode(), query, sent, signature, SHA1)
    if how == "no hash":  # the SDK has no verdict on a body without a hash; we believe none
        assert not ours
        return
    assert ours == RequestValidator(AUTH_TOKEN).validate(f"{url}?{query}", sent.decode(), signature)
    assert ours == (how == "none")


@given(st.lists(st.tuples(texts, texts), max_size=8))
def test_a_form_is_decoded_as_it_was_encoded(pairs: list[tuple[str, str]]) -> None:
    assert parse_form(urlencode(pairs).encode()) == pairs


@given(st.text("ab&=+%;20f \t", max_size=40))
def test_an_odd_form_is_decoded_as_the_standard_library_does(text: str) -> None:
    assert parse_form(text.encode()) == parse_qsl(text, keep_blank_values=True)


@pytest.mark.parametrize(
    ("header", "algorithm"),
    [
        ("", "HMAC_SHA1"),
        ("key=webhooks_1,algorithm=HMAC_SHA256", "HMAC_SHA256"),
        (" algorithm = hmac_sha1 ", "HMAC_SHA1"),
        ("algorithm=", "HMAC_SHA1"),
        ("algorithm=none", None),
        ("algorithm=HMAC_MD5", None),
    ],
)
def test_the_algorithm_is_the_one_that_the_header_names(header: str, algorithm: str | None) -> None:
    assert algorithm_of(header) == algorithm


def test_a_callback_is_a_receipt_by_our_clock(client: TwilioClient) -> None:
    (receipt,) = read(client, form(1, "undelivered", ErrorCode="30007"))
    assert receipt == Receipt(
        message_id=f"SM{1:032x}",
        status=Status.UNDELIVERED,
        at=ARRIVED_AT,
        created_at=None,
        recipient=NUMBER,
        country="DE",
        operator=receipt.operator,
        reason=Reason.OPERATOR_BLOCKING,
        code="30007",
        source=Source.CALLBACK,
    )
    assert NUMBER not in repr(receipt)


def test_an_unknown_code_is_told_as_one(client: TwilioClient) -> None:
    (receipt,) = read(client, form(1, "failed", ErrorCode="999999"))
    assert (receipt.reason, receipt.code, receipt.code_is_mapped) == (Reason.DELIVERY_FAILING, "999999", False)


@pytest.mark.parametrize("code", ["", "x", "3" * 40, "-1", "٣"])
def test_a_code_that_is_none_is_left_out(client: TwilioClient, code: str) -> None:
    (receipt,) = read(client, form(1, "failed", ErrorCode=code))
    assert receipt.code is None


def test_a_shared_key_signs_with_sha256(client: TwilioClient) -> None:
    fields = form()
    body, headers = signed_form(fields)
    headers["X-Twilio-Signature"] = RequestValidator(SHARED_KEY).compute_signature(PUBLIC_URL, fields, "HMAC_SHA256")
    headers["X-Twilio-Webhooks-Signature-Settings"] = "key=1,algorithm=HMAC_SHA256"
    assert len(client.read_callback(Callback("", lower(headers), body, ARRIVED_AT))) == 1
    del headers["X-Twilio-Webhooks-Signature-Settings"]
    outcome = refusal(client.read_callback, Callback("", lower(headers), body, ARRIVED_AT))
    assert outcome is CallbackOutcome.BAD_SIGNATURE


def by_key(**callbacks: Any) -> TwilioSettings:
    """Return the settings of an account that is asked with an API key."""
    return TwilioSettings.model_validate(
        {
            "type": "twilio",
            "account_sid": ACCOUNT_SID,
            "api_key": "SK" + "0" * 32,
            "api_key_secret": Secret("the secret of an API key"),
            "callbacks": {"public_url": PUBLIC_URL, **callbacks},
        }
    )


def test_beside_an_api_key_the_auth_token_signs_callbacks() -> None:
    assert len(read(TwilioClient(by_key(auth_token=Secret(AUTH_TOKEN))), form())) == 1
    with pytest.raises(ValidationError, match=r"needs callbacks\.auth_token beside an API key"):
        by_key()


def test_what_is_not_genuine_is_refused(client: TwilioClient) -> None:
    body, headers = signed_form(form())
    forged = {**lower(headers), "x-twilio-signature": "AAAA"}
    unsigned = {"content-type": headers["Content-Type"]}
    assert refusal(client.read_callback, Callback("", forged, body, 0)) is CallbackOutcome.BAD_SIGNATURE
    assert refusal(client.read_callback, Callback("", unsigned, body, 0)) is CallbackOutcome.UNSIGNED
    assert refusal(read, client, form(AccountSid="AC" + "1" * 32)) is CallbackOutcome.WRONG_ACCOUNT
    assert refusal(read, client, form(MessageSid="SM1")) is CallbackOutcome.MALFORMED
    many = {f"f{n}": "" for n in range(300)}
    assert refusal(read, client, many) is CallbackOutcome.MALFORMED


@pytest.mark.parametrize("status", ["received", "a_status_to_come", ""])
def test_a_status_that_is_none_of_ours_says_nothing(client: TwilioClient, status: str) -> None:
    assert read(client, form(1, status)) == ()


def test_events_tell_the_time_in_milliseconds_and_the_operator(client: TwilioClient) -> None:
    queued, delivered = read_events(
        client,
        event(1, "QUEUED", "2026-11-24T12:00:00.125Z"),
        event(1, "DELIVERED", "2026-11-24T12:00:04.500Z", mcc="262", mnc=1),
    )
    at = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
    assert (queued.status, queued.at, queued.created_at) == (Status.ACCEPTED, at + 0.125, at + 0.125)
    assert (delivered.at, delivered.created_at, delivered.operator) == (at + 4.5, None, "T-Mobile")
    assert {queued.source, delivered.source} == {Source.EVENT_STREAM}


def test_a_ported_number_counts_for_the_operator_that_has_it_now(client: TwilioClient) -> None:
    many = [event(n, "SENT", "2026-11-24T12:00:00Z", to=f"+447700900{n:03d}", mcc="234", mnc="98") for n in range(3)]
    assert {one.operator for one in read_events(client, *many)} == {"23498"}  # a plan without a name
    own = [event(n, "SENT", "2026-11-24T12:00:00Z", to=f"+4915112{n:06d}", mcc="262", mnc="01") for n in range(20)]
    ported = event(9, "SENT", "2026-11-24T12:00:00Z", to="+491520123456", mcc="262", mnc="01")
    assert [one.operator for one in read_events(client, *own, ported)] == ["T-Mobile"] * 21


def test_events_of_other_kinds_say_nothing(client: TwilioClient) -> None:
    other = {**event(1, "SENT", "2026-11-24T12:00:00Z"), "type": "com.twilio.error-logs.error.logged", "data": {"a": 1}}
    assert read_events(client, other) == []


@pytest.mark.parametrize(
    "events",
    [
        [{"type": "com.twilio.messaging.message.sent"}],
        [{"type": 1}],
        ["x"],
        [event(1, "SENT", "yesterday")],
        [event(1, "SENT", "2026-11-24T12:00:00Z", messageSid="SM1")],
        [event(1, "SENT", "2026-11-24T12:00:00Z", to=["+49"])],
    ],
)
def test_hostile_events_are_refused_as_a_whole(client: TwilioClient, events: list[Any]) -> None:
    good = event(2, "DELIVERED", "2026-11-24T12:00:04.500Z")
    assert refusal(read_events, client, good, *events) is CallbackOutcome.MALFORMED


@pytest.mark.parametrize("hours", [-24 * 365 * 1900, -49, 49, 24 * 365 * 7000])
def test_events_of_another_time_are_refused(client: TwilioClient, hours: int) -> None:
    """An old one is a replay; one of the future would move the time on for all that is judged by it."""
    then = datetime.fromtimestamp(ARRIVED_AT, UTC) + timedelta(hours=hours)
    assert refusal(read_events, client, event(1, "SENT", then.isoformat())) is CallbackOutcome.MALFORMED


def test_events_that_were_kept_back_for_a_day_are_taken(client: TwilioClient) -> None:
    then = datetime.fromtimestamp(ARRIVED_AT, UTC) - timedelta(hours=24)
    (receipt,) = read_events(client, event(1, "SENT", then.isoformat()))
    assert receipt.at == then.timestamp()


@pytest.mark.parametrize(
    "more", [{"mnc": -1.5}, {"mnc": float("nan")}, {"to": "\ud800"}, {"errorCode": [[]]}, {"errorCode": {}}]
)
def test_values_of_other_types_are_refused(client: TwilioClient, more: Mapping[str, Any]) -> None:
    hostile = event(1, "FAILED", "2026-11-24T12:00:00Z", **more)
    assert refusal(read_events, client, hostile) is CallbackOutcome.MALFORMED


@pytest.mark.parametrize("number", [10**4000, -1, "9" * 1000, "٣"])
def test_numbers_that_are_no_codes_are_left_out(client: TwilioClient, number: int | str) -> None:
    hostile = event(1, "FAILED", "2026-11-24T12:00:00Z", errorCode=number, mcc="262", mnc=number)
    (receipt,) = read_events(client, hostile)
    (plain,) = read_events(client, event(1, "FAILED", "2026-11-24T12:00:00Z"))
    assert receipt == plain


def test_events_of_another_account_are_refused(client: TwilioClient) -> None:
    foreign = event(1, "SENT", "2026-11-24T12:00:00Z", accountSid="AC" + "1" * 32)
    assert refusal(read_events, client, foreign) is CallbackOutcome.WRONG_ACCOUNT


def test_deep_json_is_refused(client: TwilioClient) -> None:
    nested: Any = []
    for _ in range(900):
        nested = [nested]
    assert refusal(read_events, client, nested) is CallbackOutcome.MALFORMED
