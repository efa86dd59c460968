"""AWS's wire: what is asked and signed, what is understood of the answers, and which posts of SNS are believed.

Answers are of the shapes of botocore's models (tests/test_contract_aws.py holds the emulator to them) and of the
examples of docs.aws.amazon.com, read 2026-11 (sms-voice: configuration-sets-event-format; sns:
sns-message-and-json-formats, CommonErrors); times and numbers are ours.
"""

import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from pydantic import ValidationError

from checks.callbacks import Callback, CallbackOutcome, CallbackRefusedError
from checks.clients import Account, AccountState, CanaryStatus, CountryPermissions, Money, Sender
from checks.errors import BadResponseError, ProviderError
from checks.messages import Receipt, Source, Status
from checks.providers.aws import AwsClient, AwsSettings
from checks.providers.aws.calls import parse_xml
from checks.providers.aws.canaries import Canaries
from checks.providers.aws.codes import ERROR_CODES, STATUSES
from checks.providers.causes import Cause
from checks.providers.http import Reply
from checks.reason import Reason
from checks.secret import Secret
from exporter import config
from exporter.meters import Meters
from exporter.sandbox import Sandbox
from exporter.sandbox.aws import pool_id
from exporter.sandbox.aws_events import (
    ask_for_confirmation,
    certificate,
    certificate_path,
    notify,
    subscription_token,
    topic_arn,
)
from exporter.sandbox.outbox import Post
from exporter.storage import Storage
from exporter.web.public import serve_public
from exporter.web.server import bind
from tests.our_clock import set_our_clock
from tests.repo import ROOT
from tests.stub_server import StubServer, answer

KEY_ID = "AKIA" + "T" * 16
SECRET = "wJalrXUtnFEMI-7d41c09a"
NUMBER = "+14255550156"
MESSAGE_ID = "862a8790-60c0-4430-9b2b-658bdexample"
URL = "https://codes.example.com/callbacks/aws"
NOW = 1_800_000_000.0
NAMESPACE = 'xmlns="http://sns.amazonaws.com/doc/2010-03-31/"'


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


def settings(url: str = "http://127.0.0.1:1", **more: Any) -> AwsSettings:
    key = {"access_key_id": KEY_ID, "secret_access_key": Secret(SECRET)}
    return AwsSettings.model_validate({"type": "aws", "region": "eu-central-1", **key, "base_url": url, **more})


@pytest.fixture
def client(stub: StubServer) -> Iterator[AwsClient]:
    with closing(AwsClient(settings(stub.url))) as made:
        yield made


@pytest.fixture
def sns(stub: StubServer) -> Iterator[AwsClient]:
    with closing(AwsClient(settings(stub.url, sends_with="sns"))) as made:
        yield made


def xml(action: str, inner: str) -> bytes:
    return f"<{action}Response {NAMESPACE}><{action}Result>{inner}</{action}Result></{action}Response>".encode()


def asked(stub: StubServer) -> list[tuple[str, Any]]:
    """The operations that were asked for, with their parameters, and the paths of what was fetched."""
    told: list[tuple[str, Any]] = []
    for each in stub.requests:
        if each.method == "GET":
            told.append(("GET", each.path))
        elif "x-amz-target" in each.headers:
            told.append((each.headers["x-amz-target"], json.loads(each.body)))
        else:
            form = {name: values[0] for name, values in parse_qs(each.body.decode()).items()}
            told.append((form.pop("Action"), form))
    return told


def attributes(**values: str) -> dict[str, Any]:
    return {"AccountAttributes": [{"Name": name, "Value": value} for name, value in values.items()]}


# What is asked


def test_a_request_is_signed_for_its_service_and_region(client: AwsClient, stub: StubServer) -> None:
    stub.on("/", answer(attributes(ACCOUNT_TIER="PRODUCTION")))
    client.verify_credentials()
    (request,) = stub.requests
    assert request.headers["authorization"].startswith(f"AWS4-HMAC-SHA256 Credential={KEY_ID}/")
    assert "/eu-central-1/sms-voice/aws4_request" in request.headers["authorization"]
    assert request.headers["content-type"] == "application/x-amz-json-1.0"
    assert asked(stub) == [("PinpointSMSVoiceV2.DescribeAccountAttributes", {"MaxResults": 100})]


@pytest.mark.parametrize(
    ("tier", "restriction"),
    [("PRODUCTION", None), ("SANDBOX", "the account is in AWS's SMS sandbox: it sends to verified numbers only")],
)
def test_the_tier_of_the_account_restricts_it(
    client: AwsClient, sns: AwsClient, stub: StubServer, tier: str, restriction: str | None
) -> None:
    is_in = "true" if tier == "SANDBOX" else "false"
    status = xml("GetSMSSandboxAccountStatus", f"<IsInSandbox>{is_in}</IsInSandbox>")
    stub.on("/", answer(attributes(ACCOUNT_TIER=tier)), answer(status))
    expected = Account(state=AccountState.ACTIVE, restriction=restriction)
    assert (client.fetch_account(), sns.fetch_account()) == (expected, expected)
    assert [operation for operation, _ in asked(stub)][1] == "GetSMSSandboxAccountStatus"


@pytest.mark.parametrize("given", [attributes(), attributes(ACCOUNT_TIER="GOLD")])
def test_a_tier_that_nobody_knows_is_no_answer(client: AwsClient, stub: StubServer, given: Any) -> None:
    stub.on("/", answer(given))
    with pytest.raises(BadResponseError, match="no tier of the account that is known"):
        client.fetch_account()


def limit(**more: Any) -> dict[str, Any]:
    return {
        "Name": "TEXT_MESSAGE_MONTHLY_SPEND_LIMIT",
        "EnforcedLimit": 50,
        "MaxLimit": 200,
        "Overridden": False,
        **more,
    }


def points(*amounts: tuple[float, float]) -> dict[str, Any]:
    rows = [{"Timestamp": at, "Maximum": amount, "Unit": "None"} for at, amount in amounts]
    return {"Label": "TextMessageMonthlySpend", "Datapoints": rows}


@pytest.fixture
def _middle_of_november(monkeypatch: pytest.MonkeyPatch) -> None:
    set_our_clock(monkeypatch, lambda: 1_794_700_000.0)


@pytest.mark.usefixtures("_middle_of_november")
def test_the_balance_is_what_the_limit_leaves_of_this_month(client: AwsClient, stub: StubServer) -> None:
    date = {"Date": "Sun, 15 Nov 2026 10:30:00 GMT"}
    voice = limit(Name="VOICE_MESSAGE_MONTHLY_SPEND_LIMIT")
    stub.on(
        "/",
        answer({"SpendLimits": [voice, limit()]}, headers=date),
        answer(points((1_794_700_800, 12.5), (1_794_697_200, 11.0))),
        answer({"SpendLimits": [limit(Overridden=True)]}, headers=date),
        answer(points((1_794_700_800, 50.25))),
    )
    assert client.fetch_balance() == Money(amount=187.5, currency="USD")
    assert client.fetch_balance() == Money(amount=-0.25, currency="USD")
    assert client.fetch_spend() is None  # type: ignore[func-returns-value]
    operation, query = asked(stub)[1]
    assert operation == "GraniteServiceVersion20100801.GetMetricStatistics"
    assert (query["Namespace"], query["MetricName"]) == ("AWS/SMSVoice", "TextMessageMonthlySpend")
    assert query["StartTime"] == 1_793_491_200  # 2026-11-01, by AWS's clock
    assert query["EndTime"] == pytest.approx(1_794_738_600, abs=5)
    assert "Dimensions" not in query
    assert "/eu-central-1/monitoring/aws4_request" in stub.requests[1].headers["authorization"]


def test_the_balance_of_sns_is_of_its_own_limit_and_metric(sns: AwsClient, stub: StubServer) -> None:
    entry = "<entry><key>MonthlySpendLimit</key><value>20</value></entry>"
    stub.on(
        "/", answer(xml("GetSMSAttributes", f"<attributes>{entry}</attributes>")), answer(points((1_794_700_800, 0.75)))
    )
    assert sns.fetch_balance() == Money(amount=19.25, currency="USD")
    (_, form), (_, query) = asked(stub)
    assert form == {"Version": "2010-03-31", "attributes.member.1": "MonthlySpendLimit"}
    assert (query["Namespace"], query["MetricName"]) == ("AWS/SNS", "SMSMonthToDateSpentUSD")


def test_without_a_metric_there_is_no_balance(client: AwsClient, stub: StubServer) -> None:
    stub.on("/", answer({"SpendLimits": [limit()]}), answer(points()))
    assert client.fetch_balance() is None


def test_an_account_without_a_limit_for_text_is_no_answer(client: AwsClient, stub: StubServer) -> None:
    stub.on("/", answer({"SpendLimits": []}))
    with pytest.raises(BadResponseError, match="no limit for text messages"):
        client.fetch_balance()


def phone(**more: Any) -> dict[str, Any]:
    return {"PhoneNumber": NUMBER, "Status": "ACTIVE", "NumberCapabilities": ["SMS", "VOICE"], **more}


@pytest.mark.parametrize(
    ("row", "sender"),
    [
        (phone(), Sender(label="+14*******56")),
        (phone(Status="PENDING"), Sender(label="+14*******56", sends_sms=False)),
        (phone(NumberCapabilities=["VOICE"]), Sender(label="+14*******56", sends_sms=False)),
        (phone(PhoneNumber="+14255550157"), Sender(label="+14*******56", exists=False)),
    ],
)
def test_a_number_is_found_among_those_of_the_account(
    client: AwsClient, stub: StubServer, row: Any, sender: Sender
) -> None:
    stub.on(
        "/",
        answer({"PhoneNumbers": [phone(PhoneNumber="+14255550199")], "NextToken": "more"}),
        answer({"PhoneNumbers": [row]}),
    )
    found = client.fetch_number(NUMBER)
    assert NUMBER not in found.label
    assert replace(found, label=sender.label) == sender
    assert [query for _, query in asked(stub)] == [{"MaxResults": 100}, {"MaxResults": 100, "NextToken": "more"}]


def test_a_list_that_pages_in_a_circle_ends(client: AwsClient, stub: StubServer) -> None:
    stub.on("/", answer({"PhoneNumbers": [], "NextToken": "again"}))
    assert not client.fetch_number(NUMBER).exists
    assert len(stub.requests) == 2


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ("COMPLETE", None),
        ("REQUIRES_UPDATES", "its registration is requires updates"),
        ("REVIEWING", "its registration is reviewing"),
    ],
)
def test_a_registration_that_is_not_complete_is_a_problem(
    client: AwsClient, stub: StubServer, status: str, problem: str | None
) -> None:
    stub.on(
        "/",
        answer({"PhoneNumbers": [phone(RegistrationId="registration-1")]}),
        answer({"Registrations": [{"RegistrationId": "registration-1", "RegistrationStatus": status}]}),
    )
    assert client.fetch_number(NUMBER).registration_problem == problem
    assert asked(stub)[1][1] == {"RegistrationIds": ["registration-1"], "MaxResults": 100}


def test_a_registration_that_may_not_be_read_is_said(client: AwsClient, stub: StubServer) -> None:
    stub.on(
        "/",
        answer({"PhoneNumbers": [phone(RegistrationId="registration-1")]}),
        answer({"__type": "AccessDeniedException", "Message": "no"}, status=400),
    )
    assert client.fetch_number(NUMBER).unreadable == ("its registration",)


def test_a_pool_and_a_name_are_found(client: AwsClient, stub: StubServer) -> None:
    name = {"SenderId": "ACME", "IsoCountryCode": "DE", "Registered": True}
    stub.on(
        "/",
        answer({"OriginationIdentities": [{"NumberCapabilities": ["SMS"]}, {"NumberCapabilities": ["VOICE"]}]}),
        answer({"__type": "ResourceNotFoundException", "ResourceType": "pool"}, status=400),
        answer({"SenderIds": [name]}),
        answer({"SenderIds": [name]}),
    )
    assert client.fetch_messaging_service("pool-1", countries=[]) == Sender(label="the pool", pool_size=1)
    assert client.fetch_messaging_service("pool-2", countries=[]) == Sender(label="the pool", exists=False)
    assert client.fetch_messaging_service("ACME", countries=["DE"]) == Sender(label="ACME")
    assert client.fetch_messaging_service("OTHER", countries=["DE"]) == Sender(label="OTHER", exists=False)
    assert asked(stub)[0][1] == {"PoolId": "pool-1", "MaxResults": 100}


def test_the_countries_that_the_accounts_protection_blocks_are_refused(client: AwsClient, stub: StubServer) -> None:
    rules = {code: {"ProtectStatus": status} for code, status in (("DE", "ALLOW"), ("GB", "BLOCK"), ("NG", "FILTER"))}
    stub.on(
        "/",
        answer(attributes(ACCOUNT_TIER="PRODUCTION", DEFAULT_PROTECT_CONFIGURATION_ID="protect-1")),
        answer({"CountryRuleSet": rules}),
        answer(attributes(ACCOUNT_TIER="PRODUCTION")),
    )
    told = client.fetch_country_permissions(["DE", "GB", "NG", "FR"])
    assert told == CountryPermissions(refused=("GB",), unknown=("FR",))
    assert asked(stub)[1][1] == {"ProtectConfigurationId": "protect-1", "NumberCapability": "SMS"}
    assert client.fetch_country_permissions(["DE"]) == CountryPermissions()  # nothing protects, nothing blocks


def test_a_canary_is_sent_with_what_is_configured(stub: StubServer) -> None:
    stub.on("/", answer({"MessageId": MESSAGE_ID}))
    given = settings(stub.url, max_price=0.5, configuration_set="codes")
    with closing(AwsClient(given)) as client:
        assert client.send_canary(to=NUMBER, sender="ACME", text="a test", validity_seconds=3) == MESSAGE_ID
        assert client.fetch_canary(MESSAGE_ID) == CanaryStatus(status=Status.ACCEPTED, is_timely=False)
    assert asked(stub) == [
        (
            "PinpointSMSVoiceV2.SendTextMessage",
            {
                "DestinationPhoneNumber": NUMBER,
                "OriginationIdentity": "ACME",
                "MessageBody": "a test",
                "MessageType": "TRANSACTIONAL",
                "TimeToLive": 5,
                "MaxPrice": "0.50000",
                "ConfigurationSetName": "codes",
            },
        )
    ]


@pytest.mark.parametrize(
    ("sender", "name"), [("ACME", "AWS.SNS.SMS.SenderID"), ("+14155550100", "AWS.MM.SMS.OriginationNumber")]
)
def test_a_canary_by_sns_is_published(stub: StubServer, sender: str, name: str) -> None:
    stub.on("/", answer(xml("Publish", f"<MessageId>{MESSAGE_ID}</MessageId>")))
    with closing(AwsClient(settings(stub.url, sends_with="sns", max_price=0.5))) as client:
        assert client.send_canary(to=NUMBER, sender=sender, text="a test", validity_seconds=300) == MESSAGE_ID
    ((action, form),) = asked(stub)
    assert (action, form["PhoneNumber"], form["Message"]) == ("Publish", NUMBER, "a test")
    told = {
        form[f"MessageAttributes.entry.{n}.Name"]: form[f"MessageAttributes.entry.{n}.Value.StringValue"]
        for n in (1, 2, 3)
    }
    assert told == {"AWS.SNS.SMS.SMSType": "Transactional", name: sender, "AWS.SNS.SMS.MaxPrice": "0.50000"}


# What refuses


_R = Reason


@pytest.mark.parametrize(
    ("name", "why", "code", "reason"),
    [
        ("AccessDeniedException", None, "AccessDeniedException", _R.PERMISSION_MISSING),
        ("x#AccessDeniedException", "ACCOUNT_DISABLED", "ACCOUNT_DISABLED", _R.ACCOUNT_SUSPENDED),
        ("AccessDeniedException", "A_NEW_ONE", "AccessDeniedException", _R.PERMISSION_MISSING),
        ("a.b.c#UnrecognizedClientException", None, "UnrecognizedClientException", _R.CREDENTIALS_REJECTED),
        ("InvalidSignatureException", None, "InvalidSignatureException", _R.CREDENTIALS_REJECTED),
        ("ExpiredTokenException", None, "ExpiredTokenException", _R.CREDENTIALS_REJECTED),
        ("ThrottlingException:http://x/", None, "ThrottlingException", _R.RATE_LIMITED),
        (
            "ServiceQuotaExceededException",
            "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT",
            "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT",
            _R.BALANCE_EXHAUSTED,
        ),
        (
            "ConflictException",
            "DESTINATION_PHONE_NUMBER_OPTED_OUT",
            "DESTINATION_PHONE_NUMBER_OPTED_OUT",
            _R.RECIPIENT_OPTED_OUT,
        ),
        ("ValidationException", "SENDER_ID_NOT_REGISTERED", "SENDER_ID_NOT_REGISTERED", _R.SENDER_UNREGISTERED),
        ("ValidationException", "COUNTRY_NOT_ENABLED", "COUNTRY_NOT_ENABLED", _R.COUNTRY_NOT_PERMITTED),
        ("ValidationException", "CANNOT_PARSE", "ValidationException", _R.INTERNAL),
        ("ANewException", None, "ANewException", _R.BAD_RESPONSE),
    ],
)
def test_a_refusal_by_json_has_the_reason_of_its_code(
    client: AwsClient, stub: StubServer, name: str, why: str | None, code: str, reason: Reason
) -> None:
    stub.on("/", answer({"__type": name, "Reason": why, "Message": f"{NUMBER} {SECRET}"}, status=400))
    with pytest.raises(ProviderError) as caught:
        client.verify_credentials()
    assert (caught.value.reason, caught.value.code) == (reason, code)
    assert NUMBER not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (403, "InvalidClientTokenId", Reason.CREDENTIALS_REJECTED),
        (403, "SignatureDoesNotMatch", Reason.CREDENTIALS_REJECTED),
        (403, "AuthorizationError", Reason.PERMISSION_MISSING),
        (400, "Throttling", Reason.RATE_LIMITED),
        (429, "Throttled", Reason.RATE_LIMITED),
        (400, "OptedOut", Reason.RECIPIENT_OPTED_OUT),
        (500, "InternalError", Reason.PROVIDER_OUTAGE),
    ],
)
def test_a_refusal_by_xml_has_the_reason_of_its_code(
    sns: AwsClient, stub: StubServer, status: int, code: str, reason: Reason
) -> None:
    told = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{NUMBER}</Message></Error><RequestId>1</RequestId>"
    stub.on("/", answer(f"<ErrorResponse {NAMESPACE}>{told}</ErrorResponse>".encode(), status=status))
    with pytest.raises(ProviderError) as caught:
        sns.verify_credentials()
    assert (caught.value.reason, caught.value.code) == (reason, code)
    assert NUMBER not in str(caught.value)


def test_the_settings_have_the_last_word_on_a_reason(stub: StubServer) -> None:
    stub.on("/", answer({"__type": "ValidationException", "Reason": "OTHER"}, status=400))
    given = settings(stub.url, error_codes={"OTHER": "sender_invalid"})
    with closing(AwsClient(given)) as client, pytest.raises(ProviderError) as caught:
        client.verify_credentials()
    assert (caught.value.reason, caught.value.code) == (Reason.SENDER_INVALID, "OTHER")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<a>",
        b"<a/>",
        b"<a>text</a>",
        b"\xff\xfe<\x00a\x00>\x00",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a><d>&b;</d></a>',
        b"<!doctype html><html><body>Welcome</body></html>",
        "<?xml version='1.0' encoding='utf-16'?><!DOCTYPE a><a><b>c</b></a>".encode("utf-16"),
        b"<a>" * 50 + b"</a>" * 50,
        b"<a>" * 100_000,
        b"<r><a><entry><key><b>1</b></key><value>x</value></entry></a></r>",
    ],
)
def test_xml_that_is_none_or_could_grow_is_refused(body: bytes) -> None:
    with pytest.raises(BadResponseError):
        parse_xml(Reply(status=200, headers={}, body=body))


def test_xml_is_read_as_json_would_be() -> None:
    entries = "<entry><key>a</key><value>1</value></entry><entry><key>b</key><value/></entry>"
    body = xml("Get", f"<attributes>{entries}</attributes><More>x</More>")
    assert parse_xml(Reply(status=200, headers={}, body=body)) == {
        "GetResult": {"attributes": {"a": "1", "b": ""}, "More": "x"}
    }


def test_every_failing_event_and_no_other_is_in_the_table_of_codes() -> None:
    failing = {kind for kind, status in STATUSES.items() if status in (Status.UNDELIVERED, Status.FAILED)}
    assert {code for code in ERROR_CODES if code.startswith("TEXT_")} == failing
    assert ERROR_CODES["TEXT_CARRIER_UNREACHABLE"].cause is Cause.NETWORK_ERROR


# Credentials


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host where AWS's own tools find nothing; its folder for their files."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path


def without_key(url: str, **more: Any) -> AwsSettings:
    return settings(url, access_key_id=None, secret_access_key=None, **more)


def test_without_a_key_the_environment_is_asked(
    stub: StubServer, bare: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIA" + "E" * 16)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-session-token")
    stub.on("/", answer(attributes(ACCOUNT_TIER="PRODUCTION")))
    with closing(AwsClient(without_key(stub.url))) as client:
        client.verify_credentials()
    (request,) = stub.requests
    assert f"Credential=ASIA{'E' * 16}/" in request.headers["authorization"]
    assert request.headers["x-amz-security-token"] == "a-session-token"
    assert "x-amz-security-token" in request.headers["authorization"]  # it is signed
    for secret in (SECRET, "a-session-token"):
        assert secret not in caplog.text


def test_a_profile_of_the_shared_files_is_used(stub: StubServer, bare: Path) -> None:
    (bare / "credentials").write_text(f"[codes]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = {SECRET}\n")
    stub.on("/", answer(attributes(ACCOUNT_TIER="PRODUCTION")))
    with closing(AwsClient(without_key(stub.url, profile="codes"))) as client:
        client.verify_credentials()
    assert "Credential=AKIAPROFILE/" in stub.requests[0].headers["authorization"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "no credentials are where AWS's own tools look for them"),
        ({"profile": "nobody"}, "AWS's credentials cannot be got: ProfileNotFound"),
    ],
)
def test_without_any_credentials_nothing_is_asked(
    stub: StubServer, bare: Path, more: Mapping[str, str], words: str
) -> None:
    with closing(AwsClient(without_key(stub.url, **more))) as client, pytest.raises(ProviderError) as caught:
        client.verify_credentials()
    assert (caught.value.reason, str(caught.value)) == (Reason.CREDENTIALS_REJECTED, words)
    assert stub.requests == []


# Posts of SNS


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(clock=lambda: NOW, history_hours=0.1) as running:
        yield running


def receiver(sandbox: Sandbox, **more: Any) -> AwsClient:
    given = sandbox.provider_settings("aws", callback_url=URL)
    return AwsClient(AwsSettings.model_validate({**given, "max_requests_per_second": 1000, **more}))


def arrived(post: Post, at: float = NOW) -> Callback:
    headers = {name.lower(): value for name, value in post.headers.items()}
    return Callback(urlsplit(post.url).query, headers, post.body, at)


def changed(callback: Callback, **fields: Any) -> Callback:
    return replace(callback, body=json.dumps({**json.loads(callback.body), **fields}).encode())


def event(kind: str = "TEXT_DELIVERED", **more: Any) -> str:
    told = {
        "eventType": kind,
        "eventVersion": "1.0",
        "eventTimestamp": 1_799_999_990_500,
        "isFinal": True,
        "originationPhoneNumber": "+12065550152",
        "destinationPhoneNumber": NUMBER,
        "isoCountryCode": "US",
        "mcc": "310",
        "mnc": "800",
        "messageId": MESSAGE_ID,
        "messageRequestTimestamp": 1_799_999_980_250,
        "messageEncoding": "GSM",
        "messageType": "TRANSACTIONAL",
        "messageStatus": kind.removeprefix("TEXT_"),
        "messageStatusDescription": "Message has been accepted by phone",
        "context": {"account": "bar"},
        "totalMessageParts": 1,
        "totalMessagePrice": 0.09582,
        "totalCarrierFee": 0.0,
        **more,
    }
    return json.dumps(told)


def told_of(sandbox: Sandbox, text: str) -> tuple[Receipt, ...]:
    with closing(receiver(sandbox)) as client:
        return tuple(client.read_callback(arrived(notify(sandbox.account, URL, text, NOW))))


def outcome_of(client: AwsClient, callback: Callback) -> CallbackOutcome:
    with pytest.raises(CallbackRefusedError) as caught:
        client.read_callback(callback)
    return caught.value.outcome


def test_an_event_is_a_receipt_that_tells_of_no_delay(sandbox: Sandbox) -> None:
    (receipt,) = told_of(sandbox, event())
    assert receipt == Receipt(
        message_id=MESSAGE_ID,
        status=Status.DELIVERED,
        at=1_799_999_990.5,
        created_at=1_799_999_980.25,
        recipient=NUMBER,
        country="US",
        operator=receipt.operator,
        delivery_seconds=None,
        source=Source.LATE_EVENT,
    )


def test_what_events_tell_is_counted_and_never_timed(sandbox: Sandbox) -> None:
    storage = Storage.in_memory(Meters())
    book = storage.book("aws")
    with closing(receiver(sandbox)) as client:
        for kind in ("TEXT_PENDING", "TEXT_SUCCESSFUL", "TEXT_DELIVERED"):
            book.take(client.read_callback(arrived(notify(sandbox.account, URL, event(kind), NOW))))
    tally = storage.snapshot().tallies["aws"]
    assert {status.value: n for (_, status), n in tally.messages.items()} == {"accepted": 1, "sent": 1, "delivered": 1}
    assert dict(tally.latency) == {}
    assert storage.messages.known_until("aws") == 0.0  # nor does the detector's time go on
    assert book.suspicions() == ()


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("TEXT_QUEUED", Status.ACCEPTED, None),
        ("TEXT_SENT", Status.SENT, None),
        ("TEXT_SUCCESSFUL", Status.SENT, None),  # the carrier took it: no word of the phone
        ("TEXT_UNKNOWN", Status.SENT, None),
        ("TEXT_INVALID", Status.UNDELIVERED, Reason.RECIPIENT_INVALID),
        ("TEXT_BLOCKED", Status.UNDELIVERED, Reason.RECIPIENT_BLOCKED),
        ("TEXT_CARRIER_BLOCKED", Status.UNDELIVERED, Reason.OPERATOR_BLOCKING),
        ("TEXT_CARRIER_UNREACHABLE", Status.UNDELIVERED, Reason.DELIVERY_FAILING),
        ("TEXT_TTL_EXPIRED", Status.UNDELIVERED, Reason.DELIVERY_SLOW),
        ("TEXT_PROTECT_BLOCKED", Status.FAILED, Reason.SMS_PUMPING),
    ],
)
def test_the_type_of_an_event_says_it_all(sandbox: Sandbox, kind: str, status: Status, reason: Reason | None) -> None:
    (receipt,) = told_of(sandbox, event(kind))
    assert (receipt.status, receipt.reason, receipt.code) == (status, reason, kind if reason else None)


@pytest.mark.parametrize("kind", ["TEXT_A_NEW_ONE", "MEDIA_DELIVERED", "VOICE_COMPLETED", "REGISTRATION_APPROVED", 7])
def test_an_event_of_something_else_says_nothing(sandbox: Sandbox, kind: Any) -> None:
    assert told_of(sandbox, event().replace('"TEXT_DELIVERED"', json.dumps(kind), 1)) == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "7",
        "[" * 20_000,
        event(messageId="../x"),
        event(eventTimestamp="soon"),
        event(totalMessagePrice="a"),
    ],
)
def test_a_signed_message_that_is_no_event_is_refused(sandbox: Sandbox, text: str) -> None:
    with closing(receiver(sandbox)) as client:
        assert outcome_of(client, arrived(notify(sandbox.account, URL, text, NOW))) is CallbackOutcome.MALFORMED


@pytest.mark.parametrize("version", ["1", "2"])
def test_both_versions_of_the_signature_are_believed(sandbox: Sandbox, version: str) -> None:
    post = notify(sandbox.account, URL, event(), NOW, version=version)
    other = "2" if version == "1" else "1"
    with closing(receiver(sandbox)) as client:
        assert len(client.read_callback(arrived(post))) == 1
        for wrong in (other, "3", ""):
            assert outcome_of(client, changed(arrived(post), SignatureVersion=wrong)) in (
                CallbackOutcome.BAD_SIGNATURE,
                CallbackOutcome.MALFORMED,
            )


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"Message": event("TEXT_INVALID")}, CallbackOutcome.BAD_SIGNATURE),
        ({"MessageId": "x"}, CallbackOutcome.BAD_SIGNATURE),
        ({"Subject": "a subject"}, CallbackOutcome.BAD_SIGNATURE),
        ({"Timestamp": "2027-01-15T08:00:01.000Z"}, CallbackOutcome.BAD_SIGNATURE),
        ({"TopicArn": "arn:aws:sns:eu-central-1:000000000000:mine"}, CallbackOutcome.BAD_SIGNATURE),
        ({"Type": "UnsubscribeConfirmation"}, CallbackOutcome.MALFORMED),
        ({"Type": "Other"}, CallbackOutcome.MALFORMED),
        ({"Message": 7}, CallbackOutcome.MALFORMED),
        ({"Message": "\ud800"}, CallbackOutcome.MALFORMED),
        ({"Timestamp": "soon"}, CallbackOutcome.MALFORMED),
        ({"Signature": "AAAA"}, CallbackOutcome.BAD_SIGNATURE),
        ({"Signature": "no base64"}, CallbackOutcome.MALFORMED),
        ({"Signature": ""}, CallbackOutcome.UNSIGNED),
        ({"SigningCertURL": None}, CallbackOutcome.UNSIGNED),
    ],
)
def test_a_post_that_was_changed_is_refused(
    sandbox: Sandbox, change: Mapping[str, Any], outcome: CallbackOutcome
) -> None:
    post = arrived(notify(sandbox.account, URL, event(), NOW))
    with closing(receiver(sandbox)) as client:
        assert outcome_of(client, changed(post, **change)) is outcome


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"7", b"{", b"[" * 50_000])
def test_a_post_that_is_none_of_sns_is_refused(sandbox: Sandbox, body: bytes) -> None:
    callback = Callback("", {}, body, NOW)
    with closing(receiver(sandbox)) as client:
        assert not client.has_to_ask(callback)
        assert outcome_of(client, callback) is CallbackOutcome.MALFORMED


def test_an_event_that_is_delivered_raw_is_unsigned(sandbox: Sandbox) -> None:
    with closing(receiver(sandbox)) as client:
        assert outcome_of(client, Callback("", {}, event().encode(), NOW)) is CallbackOutcome.UNSIGNED


NAME = "/SimpleNotificationService-0123456789abcdef.pem"


@pytest.mark.parametrize(
    "url",
    [
        f"http://sns.eu-central-1.amazonaws.com{NAME}",
        f"https://sns.eu-central-1.amazonaws.com.evil.example.com{NAME}",
        f"https://evil.example.com/sns.eu-central-1.amazonaws.com{NAME}",
        f"https://sns.eu-central-1.amazonaws.com@evil.example.com{NAME}",
        f"https://sns.eu-central-1.amazonaws.com:8443{NAME}",
        f"https://sns.us-east-1.amazonaws.com{NAME}",  # another region than the topic's
        f"https://mybucket.s3.amazonaws.com{NAME}",
        f"https://snsXeu-central-1.amazonaws.com{NAME}",
        "https://sns.eu-central-1.amazonaws.com/other/file.pem",
        "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-../../x.pem",
        f"https://sns.eu-central-1.amazonaws.com{NAME}?x=1",
        f"https://sns.eu-central-1.amazonaws.com{NAME}\n",
    ],
)
def test_a_certificate_from_elsewhere_is_not_even_fetched(stub: StubServer, url: str, sandbox: Sandbox) -> None:
    post = arrived(notify(sandbox.account, URL, event(), NOW))
    with closing(receiver(sandbox, base_url=stub.url)) as client:
        assert not client.has_to_ask(changed(post, SigningCertURL=url))
        assert outcome_of(client, changed(post, SigningCertURL=url)) is CallbackOutcome.BAD_SIGNATURE
    assert stub.requests == []


def test_in_china_the_hosts_are_others(stub: StubServer) -> None:
    topic = "arn:aws-cn:sns:cn-north-1:123456789012:events"
    given = settings(stub.url, region="cn-north-1", callbacks={"topic_arn": topic})
    url = f"https://sns.cn-north-1.amazonaws.com.cn{NAME}"
    with closing(AwsClient(given)) as client, Sandbox(history_hours=0.01) as other:
        post = arrived(notify(other.account, URL, event(), NOW))
        assert client.has_to_ask(changed(post, SigningCertURL=url))
        assert not client.has_to_ask(changed(post, SigningCertURL=url.removesuffix(".cn") + ".evil.example.com"))


def test_a_certificate_is_fetched_once(stub: StubServer, sandbox: Sandbox) -> None:
    stub.on(certificate_path(sandbox.account), answer(certificate(sandbox.account.seed)))
    post = arrived(notify(sandbox.account, URL, event(), NOW))
    with closing(receiver(sandbox, base_url=stub.url)) as client:
        assert client.has_to_ask(post)
        for _ in range(3):
            assert len(client.read_callback(post)) == 1
        assert not client.has_to_ask(post)
    assert [(each.method, each.path) for each in stub.requests] == [("GET", certificate_path(sandbox.account))]
    assert "authorization" not in stub.requests[0].headers


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (answer(b"<html>", status=404), CallbackOutcome.BAD_SIGNATURE),  # there is none of that name
        (answer(b"no PEM"), CallbackOutcome.BAD_SIGNATURE),
        (answer(b"", status=503), CallbackOutcome.UNVERIFIABLE),  # to be sent again
        (answer(b"", status=429), CallbackOutcome.UNVERIFIABLE),
    ],
)
def test_without_its_certificate_a_post_is_not_believed(
    stub: StubServer, sandbox: Sandbox, behaviour: Any, outcome: CallbackOutcome
) -> None:
    stub.on(certificate_path(sandbox.account), behaviour)
    post = arrived(notify(sandbox.account, URL, event(), NOW))
    with closing(receiver(sandbox, base_url=stub.url)) as client:
        assert outcome_of(client, post) is outcome


def test_a_certificate_whose_time_has_not_come_is_not_believed(sandbox: Sandbox) -> None:
    long_ago = 900_000_000.0  # 1998: before the sandbox's certificate
    post = notify(sandbox.account, URL, event(), long_ago)
    with closing(receiver(sandbox)) as client:
        assert outcome_of(client, arrived(post, long_ago)) is CallbackOutcome.BAD_SIGNATURE


def test_no_more_than_a_few_certificates_are_fetched_in_a_second(stub: StubServer, sandbox: Sandbox) -> None:
    stub.default = answer(b"", status=404)
    post = arrived(notify(sandbox.account, URL, event(), NOW))
    urls = [f"https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-{n}.pem" for n in range(30)]
    with closing(receiver(sandbox, base_url=stub.url)) as client:
        outcomes = [outcome_of(client, changed(post, SigningCertURL=url)) for url in urls[:15]]
    assert CallbackOutcome.UNVERIFIABLE in outcomes
    assert len(stub.requests) < 15


def test_a_genuine_post_of_another_topic_is_of_another_account(sandbox: Sandbox) -> None:
    post = arrived(notify(sandbox.account, URL, event(), NOW))
    other = topic_arn(sandbox.account).rpartition(":")[0] + ":another"
    with closing(receiver(sandbox, callbacks={"topic_arn": other})) as client:
        assert outcome_of(client, post) is CallbackOutcome.WRONG_ACCOUNT


@pytest.mark.parametrize(
    ("age", "is_taken"), [(0.0, True), (3800.0, True), (4000.0, False), (-200.0, True), (-400.0, False)]
)
def test_a_post_that_is_not_of_now_is_refused(sandbox: Sandbox, age: float, is_taken: bool) -> None:
    callback = arrived(notify(sandbox.account, URL, event(), NOW - age))
    with closing(receiver(sandbox)) as client:
        if is_taken:
            assert len(client.read_callback(callback)) == 1
        else:
            assert outcome_of(client, callback) is CallbackOutcome.REPLAYED


def test_what_could_not_be_kept_is_taken_when_it_comes_again(sandbox: Sandbox) -> None:
    callback = arrived(notify(sandbox.account, URL, event(), NOW))
    with closing(receiver(sandbox)) as client:
        assert client.read_callback(callback) == client.read_callback(callback)


# Subscriptions


def test_a_subscription_to_our_topic_is_confirmed(stub: StubServer, sandbox: Sandbox) -> None:
    stub.on(certificate_path(sandbox.account), answer(certificate(sandbox.account.seed)))
    stub.on("/", answer(xml("ConfirmSubscription", "<SubscriptionArn>arn:x</SubscriptionArn>")))
    callback = arrived(ask_for_confirmation(sandbox.account, URL, NOW))
    with closing(receiver(sandbox, base_url=stub.url)) as client:
        for _ in range(2):  # the certificate is known by then, and there is still something to ask
            assert client.has_to_ask(callback)
            assert client.read_callback(callback) == ()
    assert asked(stub)[1] == (
        "ConfirmSubscription",
        {"Version": "2010-03-31", "TopicArn": topic_arn(sandbox.account), "Token": subscription_token(sandbox.account)},
    )
    assert "authorization" not in stub.requests[1].headers  # it needs no permission


def test_the_sandbox_confirms_a_subscription(sandbox: Sandbox) -> None:
    with closing(receiver(sandbox)) as client:
        assert client.read_callback(arrived(ask_for_confirmation(sandbox.account, URL, NOW))) == ()


def test_a_subscription_to_another_topic_is_not_confirmed(stub: StubServer, sandbox: Sandbox) -> None:
    stub.on(certificate_path(sandbox.account), answer(certificate(sandbox.account.seed)))
    other = topic_arn(sandbox.account).rpartition(":")[0] + ":another"
    with closing(receiver(sandbox, base_url=stub.url, callbacks={"topic_arn": other})) as client:
        callback = arrived(ask_for_confirmation(sandbox.account, URL, NOW))
        assert outcome_of(client, callback) is CallbackOutcome.WRONG_ACCOUNT
        forged = changed(callback, TopicArn=other)
        assert outcome_of(client, forged) is CallbackOutcome.BAD_SIGNATURE
    assert [each.method for each in stub.requests] == ["GET"]


def test_a_confirmation_that_fails_is_asked_for_again(stub: StubServer, sandbox: Sandbox) -> None:
    stub.on(certificate_path(sandbox.account), answer(certificate(sandbox.account.seed)))
    stub.on("/", answer(b"", status=500))
    with closing(receiver(sandbox, base_url=stub.url)) as client:
        callback = arrived(ask_for_confirmation(sandbox.account, URL, NOW))
        assert outcome_of(client, callback) is CallbackOutcome.UNVERIFIABLE


def test_the_public_listener_confirms_and_takes_events(tmp_path: Path) -> None:
    meters = Meters()
    with Sandbox(history_hours=0.01) as live, closing(receiver(live)) as client:
        storage = Storage.open(tmp_path / "x.db", meters)
        clients = MappingProxyType({"aws": client})
        now = time.time()
        posts = [
            ask_for_confirmation(live.account, URL, now),
            notify(live.account, URL, event(), now),
            notify(live.account, URL, event(), now),
        ]
        with serve_public(bind("127.0.0.1:0"), lambda: clients, storage.messages, meters, time.time) as url:
            statuses = [
                requests.post(
                    f"{url}/callbacks/aws", data=post.body, headers=dict(post.headers), timeout=10
                ).status_code
                for post in posts
            ]
        tally = storage.snapshot().tallies["aws"]
        storage.close()
    assert statuses == [204, 204, 204]
    assert sum(tally.messages.values()) == 3
    assert {outcome.value: n for (_, outcome), n in meters.read().callbacks.items() if n} == {
        "ignored": 1,
        "accepted": 2,
    }


def test_the_public_listener_wants_again_what_it_cannot_verify(tmp_path: Path, sandbox: Sandbox) -> None:
    meters = Meters()
    post = notify(sandbox.account, URL, event(), time.time())
    with closing(receiver(sandbox, base_url="http://127.0.0.1:9")) as client:
        storage = Storage.open(tmp_path / "x.db", meters)
        with serve_public(bind("127.0.0.1:0"), lambda: {"aws": client}, storage.messages, meters, time.time) as url:
            answered = requests.post(f"{url}/callbacks/aws", data=post.body, timeout=10)
        storage.close()
    assert answered.status_code == 503
    assert meters.read().callbacks["aws", CallbackOutcome.UNVERIFIABLE] == 1


# Canaries


def test_a_canary_is_followed_by_its_events(sandbox: Sandbox) -> None:
    with closing(receiver(sandbox)) as client:
        message_id = client.send_canary(to=NUMBER, sender="SANDBOX", text="a test", validity_seconds=300)
        for kind in ("TEXT_CARRIER_BLOCKED", "TEXT_PENDING"):
            text = event(kind, messageId=message_id)
            client.read_callback(arrived(notify(sandbox.account, URL, text, NOW)))
        assert client.fetch_canary(message_id) == CanaryStatus(
            status=Status.UNDELIVERED,
            reason=Reason.OPERATOR_BLOCKING,
            code="TEXT_CARRIER_BLOCKED",
            cost=0.09582,
            currency="USD",
            is_timely=False,
        )


def test_an_event_that_is_quicker_than_the_answer_is_not_lost() -> None:
    canaries = Canaries()
    done = CanaryStatus(status=Status.UNDELIVERED, reason=Reason.RECIPIENT_INVALID, is_timely=False)
    canaries.note("quick", done)
    canaries.follow("quick")
    assert canaries.status("quick") == done
    assert canaries.status("another").status is Status.ACCEPTED


def test_only_the_last_canaries_are_remembered() -> None:
    canaries = Canaries()
    done = CanaryStatus(status=Status.DELIVERED, is_timely=False)
    for number in range(200):
        canaries.follow(str(number))
        canaries.note(str(number), done)
    assert [canaries.status(name).status for name in ("0", "199")] == [Status.ACCEPTED, Status.DELIVERED]


# The sandbox


@pytest.mark.parametrize("change", [{"secret_access_key": Secret("f" * 40)}, {"access_key_id": "AKIA" + "0" * 16}])
@pytest.mark.parametrize("sends_with", ["end_user_messaging", "sns"])
def test_the_sandbox_refuses_a_wrong_signature(sandbox: Sandbox, change: Mapping[str, Any], sends_with: str) -> None:
    with closing(receiver(sandbox, callbacks=None, sends_with=sends_with)) as client:
        client.verify_credentials()
    with closing(receiver(sandbox, callbacks=None, sends_with=sends_with, **change)) as client:
        with pytest.raises(ProviderError) as caught:
            client.verify_credentials()
        assert caught.value.reason is Reason.CREDENTIALS_REJECTED


def test_the_senders_of_the_sandbox_come_and_go(sandbox: Sandbox) -> None:
    account = sandbox.account
    with closing(receiver(sandbox)) as client:

        def senders() -> list[tuple[bool, int | None, str | None]]:
            number = client.fetch_number(account.credentials.long_code)
            found = [number, client.fetch_messaging_service(pool_id(account), countries=["DE"])]
            found.append(client.fetch_messaging_service(account.credentials.alpha_sender, countries=["DE"]))
            return [(each.exists, each.pool_size, each.registration_problem) for each in found]

        assert senders() == [(True, None, None), (True, 2, None), (True, None, None)]
        for fault, expected in {
            "sender_invalid": [(False, None, None), (True, 0, None), (False, None, None)],
            "sender_unregistered": [
                (True, None, "its registration is requires updates"),
                (True, 2, None),
                (True, None, "its registration is requires updates"),
            ],
        }.items():
            sandbox.set_fault(fault)
            try:
                assert senders() == expected
            finally:
                sandbox.clear_fault(fault)


def test_the_sandbox_blocks_a_country_and_takes_a_permission_away(sandbox: Sandbox) -> None:
    with closing(receiver(sandbox)) as client:
        for fault, expected in {
            "country_not_permitted": CountryPermissions(refused=("GB",)),
            "permission_missing": CountryPermissions(),
        }.items():
            sandbox.set_fault(fault)
            try:
                assert client.fetch_country_permissions(["DE", "GB"]) == expected
                if fault == "permission_missing":
                    with pytest.raises(ProviderError) as caught:
                        client.fetch_number(NUMBER)
                    assert caught.value.reason is Reason.PERMISSION_MISSING
            finally:
                sandbox.clear_fault(fault)


def test_the_sandbox_speaks_sns_too(sandbox: Sandbox) -> None:
    with closing(receiver(sandbox, callbacks=None, sends_with="sns")) as client:
        money = client.fetch_balance()
        assert money is not None
        assert f"{money.amount:.2f}" == sandbox.account.balance
        assert client.fetch_account().restriction is None
        assert client.send_canary(to="+4915112345678", sender="SANDBOX", text="by sns", validity_seconds=60)
        assert any(each.body == "by sns" for each in sandbox.account.messages())
        sandbox.set_fault("account_restricted")
        try:
            assert client.fetch_account().restriction is not None
            with pytest.raises(ProviderError) as caught:
                client.send_canary(to=NUMBER, sender="SANDBOX", text="by sns", validity_seconds=60)
        finally:
            sandbox.clear_fault("account_restricted")
        assert caught.value.reason is Reason.ACCOUNT_RESTRICTED


# The configuration


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"access_key_id": None}, "access_key_id and secret_access_key go together"),
        ({"profile": "codes"}, "needs either an access key or a profile"),
        (
            {"sends_with": "sns", "callbacks": {"topic_arn": "arn:aws:sns:eu-central-1:123456789012:events"}},
            "callbacks are events of end_user_messaging",
        ),
        ({"region": "eu-central-1.evil.example.com/"}, "String should match pattern"),
        ({"callbacks": {"topic_arn": "arn:aws:sns:evil.example.com:123456789012:events"}}, "should match pattern"),
        ({"callbacks": {"topic_arn": "arn:aws:sns:eu-central-1:123456789012:events.fifo"}}, "should match pattern"),
        ({"max_price": 100}, "less than 100"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(change: Mapping[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(**change)


PROVIDER = """
providers:
  a: {type: aws, region: eu-central-1, access_key_id: AKIATTTTTTTTTTTTTTTT, secret_access_key: {env: TEST_SECRET}}
"""


def problems_of(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setenv("TEST_SECRET", SECRET)
    path = tmp_path / "c.yml"
    path.write_text(text)
    with pytest.raises(config.ConfigError) as caught:
        config.load(path)
    return tuple(problem.removeprefix(f"{path}: ") for problem in caught.value.problems)


@pytest.mark.parametrize("kind", ["delivery", "service_status"])
def test_a_check_that_aws_cannot_answer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    (problem,) = problems_of(tmp_path, f"{PROVIDER}checks:\n  c: {{type: {kind}, target: a}}\n", monkeypatch)
    assert problem == (
        f"checks.c.target: the provider type aws cannot answer the check {kind}; it can answer:"
        " credentials, account, balance, senders, canary"
    )


_EVENTS = "callbacks: {topic_arn: 'arn:aws:sns:eu-central-1:123456789012:events'}"
_CANARY = (
    "checks:\n  c: {type: canary, target: a, sender: '+14155550100', cost_per_message: 1, max_cost_per_day: 1,"
    " currency: USD, receive_token: {env: TOKEN},\n"
    "    recipients: [{number: '+4915112345678', tells: true}, {number: '+4915112345679'}]}\n"
)


def _aws(more: str) -> str:
    return PROVIDER.replace("{type: aws,", f"{{type: aws, {more}")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("", "AWS tells of it by events alone, which need callbacks and a configuration_set"),
        (f"{_EVENTS},", "AWS tells of it by events alone, which need callbacks and a configuration_set"),
        ("sends_with: sns,", "sns tells of no message"),
    ],
)
def test_a_canary_that_nobody_can_tell_of_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, why: str
) -> None:
    monkeypatch.setenv("TOKEN", "t" * 16)
    (problem,) = problems_of(tmp_path, _aws(more) + _CANARY, monkeypatch)
    assert problem == (
        "checks.c.recipients[1].tells: must be true: only the phone can tell whether a message of a arrives ("
        + why
        + ")"
    )


def test_the_rights_that_are_documented_are_those_of_what_is_called() -> None:
    source = (ROOT / "checks" / "providers" / "aws" / "client.py").read_text()
    called = set(re.findall(r'_calls\.(?:rows|ask|ask_sns)\((?:"[a-z-]+", )?"([A-Z]\w+)"', source))
    documented = re.findall(r"`(?:sms-voice|sns|cloudwatch):(\w+)`", (ROOT / "docs" / "providers.md").read_text())
    assert set(documented) == called


def test_a_canary_whose_events_come_needs_no_phone_that_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "t" * 16)
    monkeypatch.setenv("TEST_SECRET", SECRET)
    path = tmp_path / "c.yml"
    path.write_text(_aws(f"{_EVENTS}, configuration_set: ours,") + _CANARY)
    assert config.load(path).checks["c"].kind_name == "canary"


def test_without_the_extra_the_configuration_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)  # as where it is not installed
    (problem,) = problems_of(tmp_path, f"{PROVIDER}checks:\n  c: {{type: credentials, target: a}}\n", monkeypatch)
    assert problem == ("providers.a: needs AWS's library, which is in an extra: pip install 'twofa-exporter[aws]'")


def test_the_library_is_loaded_when_a_client_is_made_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text(f"{PROVIDER}checks:\n  c: {{type: credentials, target: a}}\n")
    code = f"""
import os, sys
from pathlib import Path
os.environ["TEST_SECRET"] = "x" * 40
import exporter.app
from checks.targets import build_client
from exporter import config

def loaded():
    return sorted({{"boto3", "botocore"}} & {{name.partition(".")[0] for name in sys.modules}})

loading = config.load(Path({str(path)!r}))
print(loaded())
build_client(loading.targets["a"]).close()
print(loaded())
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert found.stdout.splitlines() == ["[]", "['botocore']"]
