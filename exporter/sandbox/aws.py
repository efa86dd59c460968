"""The emulated AWS: End User Messaging SMS, SNS and a metric of CloudWatch over the traffic that all vendors share.

Source: the models of botocore 1.44.5 (pinpoint-sms-voice-v2, sns, monitoring; Apache-2.0). All hosts are one here:
they are told apart by what is asked. HTTP statuses of JSON 1.0's refusals are not in the models.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID
from xml.sax.saxutils import escape

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from checks.secret import Secret

from .account import Account
from .aws_events import (
    REGION,
    access_key_id,
    certificate,
    certificate_path,
    message_id,
    post,
    secret_access_key,
    subscription_token,
    topic_arn,
)
from .aws_signature import Signature
from .credentials import derive_hex
from .emulator import Emulator, Ground
from .gate import RETRY_AFTER_SECONDS, Gate
from .geography import COUNTRIES
from .wire import parse_form

LIMIT_DOLLARS: Final = 100_000

# The faults under which a send is refused: the exception, and its reason.
REFUSED_SENDS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = MappingProxyType(
    {
        "balance_exhausted": ("ServiceQuotaExceededException", {"Reason": "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT"}),
        "account_restricted": (
            "ConflictException",
            {"Reason": "DESTINATION_PHONE_NUMBER_NOT_VERIFIED", "ResourceType": "verified-destination-number"},
        ),
        "sender_invalid": ("ResourceNotFoundException", {"ResourceType": "phone-number"}),
    }
)

REFUSED_PUBLICATIONS: Final[Mapping[str, str]] = MappingProxyType(
    {"account_restricted": "UserError", "sender_invalid": "InvalidParameter"}
)


def build(ground: Ground) -> ASGIApp:
    """Return the application that answers like AWS."""
    wire = _Wire(ground.account, ground.clock)
    routes = [Route("/", wire.answer, methods=["POST"]), Route("/{name}.pem", wire.get_certificate)]
    return Gate(Starlette(routes=routes), ground.account.switches, ground.closing, refuse=_refuse)


def _refuse(fault: str, request: Request) -> Response:
    if fault == "rate_limited":
        if _is_json(request):
            return _exception("ThrottlingException")
        return _error(429, "Throttled", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    return _exception("InternalServerException", status=500) if _is_json(request) else _error(500, "InternalError")


def _is_json(request: Request) -> bool:
    return "x-amz-target" in request.headers


def _exception(name: str, fields: Mapping[str, str] = MappingProxyType({}), *, status: int = 400) -> Response:
    body = {"__type": f"com.amazonaws.sandbox#{name}", "Message": "refused by the sandbox", **fields}
    return JSONResponse(body, status, media_type="application/x-amz-json-1.0")


def _error(status: int, code: str, *, headers: Mapping[str, str] | None = None) -> Response:
    fault = "Sender" if status < 500 else "Receiver"
    told = f"<Type>{fault}</Type><Code>{code}</Code><Message>refused by the sandbox</Message>"
    return _xml(f"<ErrorResponse {_NAMESPACE}><Error>{told}</Error>{_REQUEST_ID}</ErrorResponse>", status, headers)


_NAMESPACE: Final = 'xmlns="http://sns.amazonaws.com/doc/2010-03-31/"'
_REQUEST_ID: Final = "<RequestId>00000000-0000-4000-8000-000000000000</RequestId>"


def _xml(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(text, status, headers, media_type="text/xml")


_UNKNOWN: Final = ("UnrecognizedClientException", "InvalidClientTokenId")
_UNSIGNED: Final = ("MissingAuthenticationTokenException", "MissingAuthenticationToken")
_WRONG: Final = ("InvalidSignatureException", "SignatureDoesNotMatch")
_SENDERS: Final = frozenset(
    {"DescribePhoneNumbers", "DescribeSenderIds", "DescribeRegistrations", "ListPoolOriginationIdentities"}
)


class _Wire:
    """The endpoints."""

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
        self._account = account
        self._clock = clock
        self._operations: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
            "PinpointSMSVoiceV2.DescribeAccountAttributes": self._attributes,
            "PinpointSMSVoiceV2.DescribeSpendLimits": self._spend_limits,
            "PinpointSMSVoiceV2.DescribePhoneNumbers": self._phone_numbers,
            "PinpointSMSVoiceV2.DescribeSenderIds": self._sender_ids,
            "PinpointSMSVoiceV2.DescribeRegistrations": self._registrations,
            "PinpointSMSVoiceV2.ListPoolOriginationIdentities": self._pool,
            "PinpointSMSVoiceV2.GetProtectConfigurationCountryRuleSet": self._country_rules,
            "PinpointSMSVoiceV2.SendTextMessage": self._send,
            "GraniteServiceVersion20100801.GetMetricStatistics": self._statistics,
        }
        self._actions: Mapping[str, Callable[[Mapping[str, str]], str | Response]] = {
            "GetSMSAttributes": self._sms_attributes,
            "GetSMSSandboxAccountStatus": self._sandbox_status,
            "Publish": self._publish,
        }

    async def answer(self, request: Request) -> Response:
        """Answer an operation, by whichever protocol it is asked for."""
        body = await request.body()
        self._account.advance(self._clock())
        form = {} if _is_json(request) else parse_form(body)
        if form.get("Action") == "ConfirmSubscription":  # the token is all that it needs
            return self._confirm(form)
        wrong = self._find_wrong_signature(request, body)
        if wrong is not None:
            return _exception(wrong[0]) if _is_json(request) else _error(403, wrong[1])
        if not _is_json(request):
            return self._answer_action(form)
        target = request.headers["x-amz-target"]
        name = target.rpartition(".")[2]
        if self._account.switches.is_on("account_suspended") and target.startswith("PinpointSMSVoiceV2."):
            return _exception("AccessDeniedException", {"Reason": "ACCOUNT_DISABLED"})
        if self._account.switches.is_on("permission_missing") and name in _SENDERS:
            return _exception("AccessDeniedException")
        try:
            asked = json.loads(body)
            given = self._operations[target](asked)
        except (ValueError, LookupError, TypeError, RecursionError):
            return _exception("ValidationException", {"Reason": "INVALID_REQUEST"})
        return given if isinstance(given, Response) else JSONResponse(given, media_type="application/x-amz-json-1.0")

    def _find_wrong_signature(self, request: Request, body: bytes) -> tuple[str, str] | None:
        signature = Signature.parse(request.headers.get("authorization", ""))
        if signature is None:
            return _UNSIGNED
        if signature.key_id != access_key_id(self._account) or self._account.switches.is_on("credentials_rejected"):
            return _UNKNOWN
        is_right = signature.is_of(request, body, secret_access_key(self._account))
        return None if is_right and signature.service in ("sms-voice", "sns", "monitoring") else _WRONG

    async def get_certificate(self, request: Request) -> Response:
        """Answer with the certificate that posts are signed with."""
        if f"/{request.path_params['name']}.pem" != certificate_path(self._account):
            return Response("not there", 404)
        return Response(certificate(self._account.seed), media_type="application/x-x509-ca-cert")

    def _attributes(self, _asked: Mapping[str, Any]) -> Any:
        switches = self._account.switches
        told = {"ACCOUNT_TIER": "SANDBOX" if switches.is_on("account_restricted") else "PRODUCTION"}
        if switches.is_on("country_not_permitted"):
            told["DEFAULT_PROTECT_CONFIGURATION_ID"] = self._protection
        return {"AccountAttributes": [{"Name": name, "Value": value} for name, value in told.items()]}

    @property
    def _protection(self) -> str:
        return f"protect-{derive_hex('aws', self._account.seed, 'protection')}"

    def _country_rules(self, asked: Mapping[str, Any]) -> Any:
        if (asked["ProtectConfigurationId"], asked["NumberCapability"]) != (self._protection, "SMS"):
            return _exception("ResourceNotFoundException", {"ResourceType": "protect-configuration"})
        return {
            "ProtectConfigurationArn": self._arn("protect-configuration", self._protection),
            "ProtectConfigurationId": self._protection,
            "NumberCapability": "SMS",
            "CountryRuleSet": {
                each.code: {"ProtectStatus": "ALLOW" if self._account.may_send_to(each.code) else "BLOCK"}
                for each in COUNTRIES
            },
        }

    def _spend_limits(self, _asked: Mapping[str, Any]) -> Any:
        limits = [
            {"Name": f"{kind}_MESSAGE_MONTHLY_SPEND_LIMIT", "MaxLimit": most, "EnforcedLimit": 1, "Overridden": False}
            for kind, most in (("VOICE", 1), ("TEXT", LIMIT_DOLLARS), ("MEDIA", 1))
        ]
        return {"SpendLimits": limits}

    @property
    def _spent(self) -> float:
        return round(LIMIT_DOLLARS - float(self._account.balance), 2)

    def _statistics(self, asked: Mapping[str, Any]) -> Any:
        known = (("AWS/SMSVoice", "TextMessageMonthlySpend"), ("AWS/SNS", "SMSMonthToDateSpentUSD"))
        if asked.get("Statistics") != ["Maximum"] or asked["StartTime"] >= asked["EndTime"]:
            return _exception("InvalidParameterCombinationException")
        points = []
        if (asked["Namespace"], asked["MetricName"]) in known:
            end = int(asked["EndTime"]) // 3600 * 3600
            moments = (end - 3600, end)  # in no documented order: the newest is not the first
            points = [
                {"Timestamp": moment, "Maximum": self._spent if moment == end else 0.01, "Unit": "None"}
                for moment in moments
            ]
        return {"Label": asked["MetricName"], "Datapoints": points}

    def _arn(self, kind: str, name: str) -> str:
        return f"arn:aws:sms-voice:{REGION}:{topic_arn(self._account).split(':')[4]}:{kind}/{name}"

    def _phone_numbers(self, asked: Mapping[str, Any]) -> Any:
        rows = [
            {
                "PhoneNumberArn": self._arn("phone-number", f"phone-{each.sid}"),
                "PhoneNumberId": f"phone-{each.sid}",
                "PhoneNumber": each.number,
                "Status": "ACTIVE",
                "IsoCountryCode": "US",
                "MessageType": "TRANSACTIONAL",
                "NumberCapabilities": ["SMS"],
                "NumberType": "TOLL_FREE" if each.kind == "tollfree" else "LONG_CODE",
                "MonthlyLeasingPrice": "1.00",
                "TwoWayEnabled": False,
                "SelfManagedOptOutsEnabled": False,
                "OptOutListName": "Default",
                "DeletionProtectionEnabled": False,
                "RegistrationId": self._registration,
                "CreatedTimestamp": 1_700_000_000.0,
            }
            for each in self._account.numbers
        ]
        return _page("PhoneNumbers", rows, asked)

    @property
    def _registration(self) -> str:
        return f"registration-{derive_hex('aws', self._account.seed, 'registration')}"

    def _registrations(self, asked: Mapping[str, Any]) -> Any:
        if asked.get("RegistrationIds") != [self._registration]:
            return _exception("ResourceNotFoundException", {"ResourceType": "registration"})
        is_refused = self._account.switches.is_on("sender_unregistered")
        row = {
            "RegistrationArn": self._arn("registration", self._registration),
            "RegistrationId": self._registration,
            "RegistrationType": "US_TOLL_FREE_REGISTRATION",
            "RegistrationStatus": "REQUIRES_UPDATES" if is_refused else "COMPLETE",
            "CurrentVersionNumber": 1,
            "CreatedTimestamp": 1_700_000_000.0,
        }
        return {"Registrations": [row]}

    def _sender_ids(self, asked: Mapping[str, Any]) -> Any:
        rows = [
            {
                "SenderIdArn": self._arn("sender-id", f"{name}/{country}"),
                "SenderId": name,
                "IsoCountryCode": country,
                "MessageTypes": ["TRANSACTIONAL"],
                "MonthlyLeasingPrice": "0.00",
                "DeletionProtectionEnabled": False,
                "Registered": not self._account.switches.is_on("sender_unregistered"),
                "RegistrationId": self._registration,
            }
            for name in self._account.alpha_senders
            for country in ("DE", "GB")
        ]
        return _page("SenderIds", rows, asked)

    def _pool(self, asked: Mapping[str, Any]) -> Any:
        pool = pool_id(self._account)
        if asked["PoolId"] != pool:
            return _exception("ResourceNotFoundException", {"ResourceType": "pool"})
        rows = [
            {
                "OriginationIdentityArn": self._arn("phone-number", f"phone-{each.sid}"),
                "OriginationIdentity": f"phone-{each.sid}",
                "IsoCountryCode": "US",
                "NumberCapabilities": ["SMS"],
                "PhoneNumber": each.number,
            }
            for each in self._account.pool
        ]
        return {"PoolArn": self._arn("pool", pool), "PoolId": pool, **_page("OriginationIdentities", rows, asked)}

    def _send(self, asked: Mapping[str, Any]) -> Any:
        for fault, (name, fields) in REFUSED_SENDS.items():
            if self._account.switches.is_on(fault):
                return _exception(name, fields)
        to, sender, text = (
            str(asked[name]) for name in ("DestinationPhoneNumber", "OriginationIdentity", "MessageBody")
        )
        if asked.get("DryRun") is True:  # looked at, not sent
            return {"MessageId": str(UUID(derive_hex("aws", "dry run", to)))}
        message = self._account.submit(to=to, sender=sender, service_sid=None, body=text)
        return {"MessageId": message_id(message)}

    def _answer_action(self, form: Mapping[str, str]) -> Response:
        action = self._actions.get(form.get("Action", ""))
        if action is None or form.get("Version") != "2010-03-31":
            return _error(400, "InvalidAction")
        given = action(form)
        return given if isinstance(given, Response) else _result(form["Action"], given)

    def _sms_attributes(self, _form: Mapping[str, str]) -> str:
        told = {"MonthlySpendLimit": str(LIMIT_DOLLARS), "DefaultSMSType": "Transactional"}
        entries = "".join(f"<entry><key>{name}</key><value>{value}</value></entry>" for name, value in told.items())
        return f"<attributes>{entries}</attributes>"

    def _sandbox_status(self, _form: Mapping[str, str]) -> str:
        is_in = self._account.switches.is_on("account_restricted")
        return f"<IsInSandbox>{'true' if is_in else 'false'}</IsInSandbox>"

    def _publish(self, form: Mapping[str, str]) -> str | Response:
        for fault, code in REFUSED_PUBLICATIONS.items():
            if self._account.switches.is_on(fault):
                return _error(400, code)
        if not form.get("PhoneNumber") or not form.get("Message"):
            return _error(400, "InvalidParameter")
        sender = form.get("MessageAttributes.entry.2.Value.StringValue", "NOTICE")
        message = self._account.submit(to=form["PhoneNumber"], sender=sender, service_sid=None, body=form["Message"])
        return f"<MessageId>{message_id(message)}</MessageId>"

    def _confirm(self, form: Mapping[str, str]) -> Response:
        right = (topic_arn(self._account), subscription_token(self._account))
        if (form.get("TopicArn"), form.get("Token")) != right:
            return _error(400, "InvalidParameter")
        return _result("ConfirmSubscription", f"<SubscriptionArn>{escape(right[0])}:subscription</SubscriptionArn>")


def pool_id(account: Account) -> str:
    """Return the pool that the account's senders are in."""
    return f"pool-{derive_hex('aws', account.seed, 'pool')}"


def _result(action: str, inner: str) -> Response:
    metadata = f"<ResponseMetadata>{_REQUEST_ID}</ResponseMetadata>"
    return _xml(f"<{action}Response {_NAMESPACE}><{action}Result>{inner}</{action}Result>{metadata}</{action}Response>")


def _page(key: str, rows: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return a page of a list: one row where there are more, so that somebody has to ask for the rest."""
    start = int(asked.get("NextToken", "0"))
    more = {"NextToken": str(start + 1)} if start + 1 < len(rows) else {}
    return {key: rows[start : start + 1], **more}


def _settings(account: Account) -> Mapping[str, Any]:
    return {
        "region": REGION,
        "access_key_id": access_key_id(account),
        "secret_access_key": Secret(secret_access_key(account)),
    }


def _callback_settings(account: Account) -> Mapping[str, Any]:
    return {"topic_arn": topic_arn(account)}


AWS: Final = Emulator(
    prefix="/aws",
    build=build,
    settings=_settings,
    callback_settings=_callback_settings,
    post=post,
    has_status_page=False,
)
