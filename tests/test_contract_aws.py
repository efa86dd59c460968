"""The sandbox's AWS, and our calls, against AWS's own models, which botocore holds: requests, answers and refusals."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any, Final

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, StubResponseError
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.serialize import create_serializer
from botocore.stub import Stubber
from botocore.validate import ParamValidator

from checks.providers.aws import AwsClient, AwsSettings
from checks.providers.aws.codes import ERROR_CODES
from checks.secret import Secret
from exporter.sandbox import Sandbox
from exporter.sandbox.aws import pool_id
from exporter.sandbox.aws_events import REGION, access_key_id, secret_access_key, subscription_token, topic_arn
from exporter.sandbox.wire import parse_form
from tests.stub_server import Request, StubServer, answer

SERVICES: Final = {
    "PinpointSMSVoiceV2": "pinpoint-sms-voice-v2",
    "GraniteServiceVersion20100801": "cloudwatch",
}
NUMBER: Final = "+4915112345678"
CLIENT: Final[Any] = boto3.client  # by names that are not known before


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(history_hours=0.1) as running:
        yield running


def sdk(sandbox: Sandbox, service: str, **more: Any) -> Any:
    """AWS's own client, as a program would use it."""
    given = {
        "region_name": REGION,
        "endpoint_url": f"{sandbox.url}/aws/",
        "aws_access_key_id": access_key_id(sandbox.account),
        "aws_secret_access_key": secret_access_key(sandbox.account),
        "config": Config(retries={"total_max_attempts": 1}, proxies={}),
    }
    return CLIENT(service, **{**given, **more})


def operation_of(request: Request) -> tuple[str, str]:
    """Service and operation of a request of ours."""
    target = request.headers.get("x-amz-target")
    if target is None:
        return "sns", parse_form(request.body)["Action"]
    prefix, _, operation = target.partition(".")
    return SERVICES[prefix], operation


def model_of(service: str, operation: str) -> Any:
    client = CLIENT(service, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x")
    return client.meta.service_model.operation_model(operation)


# What our client asks


ROW: Final = {"RegistrationId": "registration-1", "RegistrationStatus": "COMPLETE"}
ANSWERS: Final[Mapping[str, Any]] = {
    "AccountAttributes": [
        {"Name": "ACCOUNT_TIER", "Value": "PRODUCTION"},
        {"Name": "DEFAULT_PROTECT_CONFIGURATION_ID", "Value": "protect-1"},
    ],
    "SpendLimits": [
        {"Name": "TEXT_MESSAGE_MONTHLY_SPEND_LIMIT", "MaxLimit": 5, "EnforcedLimit": 5, "Overridden": True}
    ],
    "Datapoints": [],
    "PhoneNumbers": [{"PhoneNumber": NUMBER, "Status": "ACTIVE", "NumberCapabilities": ["SMS"], **ROW}],
    "SenderIds": [],
    "Registrations": [ROW],
    "OriginationIdentities": [],
    "CountryRuleSet": {},
    "MessageId": "862a8790-60c0-4430-9b2b-658bdexample",
}


def requests_of_ours() -> list[Request]:
    """Every operation that our client asks for by JSON."""
    with StubServer() as stub:
        stub.default = answer(ANSWERS)
        given = {
            "type": "aws",
            "region": REGION,
            "access_key_id": "AKIA" + "T" * 16,
            "secret_access_key": Secret("x" * 40),
            "base_url": stub.url,
            "max_price": 0.5,
            "configuration_set": "codes",
        }
        with closing(AwsClient(AwsSettings.model_validate(given))) as client:
            client.fetch_account()
            client.fetch_balance()
            client.fetch_number(NUMBER)
            client.fetch_messaging_service("pool-1", countries=["DE"])
            client.fetch_messaging_service("ACME", countries=["DE"])
            client.fetch_country_permissions(["DE"])
            client.send_canary(to=NUMBER, sender="+14155550100", text="a test", validity_seconds=300)
        return list(stub.requests)


def test_every_request_is_valid_by_the_model() -> None:
    seen = set()
    for request in requests_of_ours():
        service, operation = operation_of(request)
        seen.add(operation)
        shape = model_of(service, operation).input_shape
        assert breaches(json.loads(request.body), shape) == []
        report = ParamValidator().validate(_with_moments(json.loads(request.body)), shape)
        assert not report.has_errors(), report.generate_report()
        target = model_of(service, operation).service_model.metadata["targetPrefix"]
        assert request.headers["x-amz-target"] == f"{target}.{operation}"
        assert request.headers["content-type"] == "application/x-amz-json-1.0"
    assert seen == {
        "DescribeAccountAttributes",
        "DescribeSpendLimits",
        "GetMetricStatistics",
        "DescribePhoneNumbers",
        "DescribeRegistrations",
        "ListPoolOriginationIdentities",
        "DescribeSenderIds",
        "GetProtectConfigurationCountryRuleSet",
        "SendTextMessage",
    }


def _with_moments(payload: dict[str, Any]) -> dict[str, Any]:
    """A number of seconds is a time on the wire: botocore's validator takes text or a date for one."""
    return {name: str(value) if name in ("StartTime", "EndTime") else value for name, value in payload.items()}


ATTRIBUTES: Final = {
    "AWS.SNS.SMS.SMSType": {"DataType": "String", "StringValue": "Transactional"},
    "AWS.SNS.SMS.SenderID": {"DataType": "String", "StringValue": "ACME"},
    "AWS.SNS.SMS.MaxPrice": {"DataType": "Number", "StringValue": "0.50000"},
}
OF_SNS: Final[Mapping[str, tuple[Callable[[AwsClient], object], Mapping[str, Any], str]]] = {
    "GetSMSAttributes": (
        lambda client: client.verify_credentials(),
        {"attributes": ["MonthlySpendLimit"]},
        "<attributes><entry><key>MonthlySpendLimit</key><value>1</value></entry></attributes>",
    ),
    "GetSMSSandboxAccountStatus": (lambda client: client.fetch_account(), {}, "<IsInSandbox>true</IsInSandbox>"),
    "Publish": (
        lambda client: client.send_canary(to=NUMBER, sender="ACME", text="a test", validity_seconds=300),
        {"PhoneNumber": NUMBER, "Message": "a test", "MessageAttributes": ATTRIBUTES},
        "<MessageId>862a8790-60c0-4430-9b2b-658bdexample</MessageId>",
    ),
}


@pytest.mark.parametrize("action", OF_SNS)
def test_a_request_to_sns_is_what_botocore_makes_of_the_same(action: str) -> None:
    call, parameters, inner = OF_SNS[action]
    with StubServer() as stub:
        stub.default = answer(f"<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>".encode())
        given = {
            "type": "aws",
            "region": REGION,
            "access_key_id": "AKIA" + "T" * 16,
            "secret_access_key": Secret("x" * 40),
            "base_url": stub.url,
            "sends_with": "sns",
            "max_price": 0.5,
        }
        with closing(AwsClient(AwsSettings.model_validate(given))) as client:
            call(client)
        (request,) = stub.requests
    made = create_serializer("query").serialize_to_request(dict(parameters), model_of("sns", action))
    assert dict(parse_form(request.body)) == made["body"]
    assert request.headers["content-type"] == made["headers"]["Content-Type"]


# What the sandbox answers


def calls(sandbox: Sandbox) -> Mapping[str, tuple[str, Mapping[str, Any]]]:
    """Every operation that the sandbox answers, by the name of its method."""
    account = sandbox.account
    registrations = {
        "RegistrationIds": [
            sdk(sandbox, "pinpoint-sms-voice-v2").describe_phone_numbers()["PhoneNumbers"][0]["RegistrationId"]
        ]
    }
    spent = {
        "Namespace": "AWS/SMSVoice",
        "MetricName": "TextMessageMonthlySpend",
        "StartTime": 1_799_990_000,
        "EndTime": 1_800_000_000,
        "Period": 3600,
        "Statistics": ["Maximum"],
    }
    sms = "pinpoint-sms-voice-v2"
    text = {"DestinationPhoneNumber": NUMBER, "OriginationIdentity": "SANDBOX", "MessageBody": "by the sdk"}
    return {
        "describe_account_attributes": (sms, {}),
        "describe_spend_limits": (sms, {}),
        "describe_phone_numbers": (sms, {"MaxResults": 100}),
        "describe_sender_ids": (sms, {}),
        "describe_registrations": (sms, registrations),
        "list_pool_origination_identities": (sms, {"PoolId": pool_id(account)}),
        "send_text_message": (sms, text),
        "get_metric_statistics": ("cloudwatch", spent),
        "get_sms_attributes": ("sns", {"attributes": ["MonthlySpendLimit"]}),
        "get_sms_sandbox_account_status": ("sns", {}),
        "publish": ("sns", {"PhoneNumber": NUMBER, "Message": "by the sdk"}),
        "confirm_subscription": ("sns", {"TopicArn": topic_arn(account), "Token": subscription_token(account)}),
    }


def test_every_answer_is_valid_by_the_model(sandbox: Sandbox) -> None:
    for method, (service, parameters) in calls(sandbox).items():
        if service != "cloudwatch":  # of which the SDK speaks another protocol
            require_valid(sandbox, service, method, parameters)


def require_valid(sandbox: Sandbox, service: str, method: str, parameters: Mapping[str, Any]) -> Any:
    """Ask the sandbox with AWS's client, and give what was understood to the stubber, which holds it to the model."""
    client = sdk(sandbox, service)
    raw: list[bytes] = []
    client.meta.events.register("after-call", lambda http_response, **_: raw.append(http_response.content))
    given = getattr(client, method)(**parameters)
    understood = {name: value for name, value in given.items() if name != "ResponseMetadata"}
    operation = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    if service != "sns":
        assert breaches(json.loads(raw[-1]), operation.output_shape) == []
    again = sdk(sandbox, service)
    with Stubber(again) as stubber:
        stubber.add_response(method, understood, dict(parameters))
        assert understood.items() <= getattr(again, method)(**parameters).items()
    return understood


def test_the_country_rules_are_valid_by_the_model(sandbox: Sandbox) -> None:
    sandbox.set_fault("country_not_permitted")
    try:
        told = require_valid(sandbox, "pinpoint-sms-voice-v2", "describe_account_attributes", {})["AccountAttributes"]
        names = {row["Name"]: row["Value"] for row in told}
        asked = {"ProtectConfigurationId": names["DEFAULT_PROTECT_CONFIGURATION_ID"], "NumberCapability": "SMS"}
        rules = require_valid(sandbox, "pinpoint-sms-voice-v2", "get_protect_configuration_country_rule_set", asked)[
            "CountryRuleSet"
        ]
    finally:
        sandbox.clear_fault("country_not_permitted")
    assert {rule["ProtectStatus"] for rule in rules.values()} == {"ALLOW", "BLOCK"}


def test_the_metric_is_valid_by_the_model(sandbox: Sandbox) -> None:
    """The SDK asks CloudWatch in CBOR; its model names JSON 1.0 too, which is what we and the sandbox speak."""
    model = model_of("cloudwatch", "GetMetricStatistics")
    assert "json" in model.service_model.metadata["protocols"]
    given = AwsSettings.model_validate(sandbox.provider_settings("aws"))
    with closing(AwsClient(given)) as client:
        points = client._calls.ask("monitoring", "GetMetricStatistics", calls(sandbox)["get_metric_statistics"][1])
    told = {name: points.get(name) for name in ("Label", "Datapoints")}
    assert breaches(told, model.output_shape) == []
    moments = [{**point, "Timestamp": str(point["Timestamp"])} for point in told["Datapoints"]]
    report = ParamValidator().validate({**told, "Datapoints": moments}, model.output_shape)
    assert not report.has_errors(), report.generate_report()


REFUSED: Final = (
    ("credentials_rejected", "pinpoint-sms-voice-v2", "describe_account_attributes", "UnrecognizedClientException"),
    ("credentials_rejected", "sns", "get_sms_attributes", "InvalidClientTokenId"),
    ("account_suspended", "pinpoint-sms-voice-v2", "send_text_message", "AccessDeniedException"),
    ("permission_missing", "pinpoint-sms-voice-v2", "describe_phone_numbers", "AccessDeniedException"),
    ("account_restricted", "pinpoint-sms-voice-v2", "send_text_message", "ConflictException"),
    ("balance_exhausted", "pinpoint-sms-voice-v2", "send_text_message", "ServiceQuotaExceededException"),
    ("sender_invalid", "pinpoint-sms-voice-v2", "send_text_message", "ResourceNotFoundException"),
    ("rate_limited", "pinpoint-sms-voice-v2", "describe_account_attributes", "ThrottlingException"),
    ("rate_limited", "sns", "get_sms_attributes", "Throttled"),
    ("provider_outage", "pinpoint-sms-voice-v2", "describe_account_attributes", "InternalServerException"),
    ("provider_outage", "sns", "get_sms_attributes", "InternalError"),
)


@pytest.mark.parametrize(("fault", "service", "method", "code"), REFUSED)
def test_a_refusal_is_one_of_the_model_that_the_sdk_understands(
    sandbox: Sandbox, fault: str, service: str, method: str, code: str
) -> None:
    _, parameters = calls(sandbox)[method]
    client = sdk(sandbox, service)
    sandbox.set_fault(fault)
    try:
        with pytest.raises(ClientError) as caught:
            getattr(client, method)(**parameters)
    finally:
        sandbox.clear_fault(fault)
    error = caught.value.response
    assert error["Error"]["Code"] == code
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    shape = next((each for each in model.error_shapes if each.error_code == code), None)
    assert (shape is None) == (fault == "credentials_rejected")  # which all services of AWS share
    reason = error.get("Reason")
    if reason is not None:
        assert shape is not None
        assert reason in shape.members["Reason"].enum
        assert reason in ERROR_CODES


def test_every_code_of_ours_is_one_of_the_models() -> None:
    voice, sns = (
        model_of(*each).service_model for each in (("pinpoint-sms-voice-v2", "SendTextMessage"), ("sns", "Publish"))
    )
    reasons = {
        reason for shape in voice.error_shapes if "Reason" in shape.members for reason in shape.members["Reason"].enum
    }
    known = {
        "pinpoint-sms-voice-v2: the Reason of an exception": reasons,
        "pinpoint-sms-voice-v2: exceptions": {shape.name for shape in voice.error_shapes},
        "sns: codes of exceptions": {shape.error_code for shape in sns.error_shapes},
    }
    for source, codes in known.items():
        ours = {code for code, row in ERROR_CODES.items() if row.source == source}
        assert ours
        assert ours <= codes


def test_a_wrong_secret_is_refused_to_the_sdk_too(sandbox: Sandbox) -> None:
    for service, method, code in (
        ("pinpoint-sms-voice-v2", "describe_account_attributes", "InvalidSignatureException"),
        ("sns", "get_sms_attributes", "SignatureDoesNotMatch"),
    ):
        client = sdk(sandbox, service, aws_secret_access_key="f" * 40)
        with pytest.raises(ClientError) as caught:
            getattr(client, method)()
        assert caught.value.response["Error"]["Code"] == code


def test_a_dry_run_sends_nothing(sandbox: Sandbox) -> None:
    before = sum(each.body == "dry" for each in sandbox.account.messages())
    client = sdk(sandbox, "pinpoint-sms-voice-v2")
    asked = {"DestinationPhoneNumber": NUMBER, "OriginationIdentity": "SANDBOX", "MessageBody": "dry", "DryRun": True}
    assert client.send_text_message(**asked)["MessageId"]
    assert sum(each.body == "dry" for each in sandbox.account.messages()) == before == 0


# That a breach would be seen


def breaches(value: Any, shape: Shape | None, path: str = "") -> list[str]:
    """What botocore passes over: what is not in the model, and words and forms that the model does not have."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        strange = [f"{path}.{name}" for name in value if name not in shape.members]
        inner = [(name, each, shape.members[name]) for name, each in value.items() if name in shape.members]
        return strange + [found for name, each, of in inner for found in breaches(each, of, f"{path}.{name}")]
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [found for each in value for found in breaches(each, shape.member, path)]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return [found for each in value.values() for found in breaches(each, shape.value, path)]
    if isinstance(value, str) and shape is not None:
        words, form = shape.metadata.get("enum"), shape.metadata.get("pattern")
        is_known = (not words or value in words) and (form is None or re.fullmatch(form, value) is not None)
        return [] if is_known else [f"{path} is {value}"]
    return []


def test_a_breach_of_the_contract_is_seen(sandbox: Sandbox) -> None:
    shape = model_of("pinpoint-sms-voice-v2", "DescribeSpendLimits").output_shape
    given = {"SpendLimits": [{"Nam": "x", "Name": "TEXT"}], "NextToken": "", "More": 1}
    assert sorted(breaches(given, shape)) == [
        ".More",
        ".NextToken is ",
        ".SpendLimits.Nam",
        ".SpendLimits.Name is TEXT",
    ]
    client = sdk(sandbox, "pinpoint-sms-voice-v2")
    with Stubber(client) as stubber:
        with pytest.raises(Exception, match="Parameter validation failed"):
            stubber.add_response("describe_spend_limits", {"SpendLimits": [{"Name": "x"}]})
        stubber.add_response("describe_spend_limits", {}, {"MaxResults": 1})
        with pytest.raises(StubResponseError):
            client.describe_spend_limits(MaxResults=2)
