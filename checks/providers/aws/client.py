"""AWS: what may be asked of an account that sends SMS, and what its events tell.

Facts are from the models of botocore 1.44.5 (pinpoint-sms-voice-v2 2022-03-31, sns 2010-03-31, monitoring 2010-08-01)
and from docs.aws.amazon.com, read 2026-11; each is named where it is used. Unverified: that the words of ACCOUNT_TIER
are SANDBOX and PRODUCTION (any other is a bad response), and that DescribePhoneNumbers lists what is shared with the
account too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from ...callbacks import Callback, CallbackOutcome, CallbackRefusedError
from ...clients import Account, AccountState, CanaryStatus, CountryPermissions, Money, Sender
from ...errors import BadResponseError, PermissionMissingError, ProviderError
from ...messages import Receipt, Source, mask_number
from ...reason import Reason
from ..causes import Codes
from ..fields import Fields
from ..http import deadline
from ..json_api import JsonApi
from ..observer import Observer
from ..rows import Receipts
from .calls import NAME, Calls
from .canaries import Canaries
from .codes import ERROR_CODES, code_finder
from .events import CURRENCY, MESSAGE_ID, parse_event
from .notifications import NOTIFICATION, SUBSCRIPTION, Certificates, parse_notification
from .settings import AwsSettings, host_of

_TIER: Final = "ACCOUNT_TIER"
_PROTECTION: Final = "DEFAULT_PROTECT_CONFIGURATION_ID"
_TIERS: Final[Mapping[str, str | None]] = {
    "PRODUCTION": None,
    "SANDBOX": "the account is in AWS's SMS sandbox: it sends to verified numbers only",
}
_TEXT_LIMIT: Final = "TEXT_MESSAGE_MONTHLY_SPEND_LIMIT"
_HOUR_SECONDS: Final = 3600

# What was spent in this month (UTC), as metrics of CloudWatch, in USD, of which the maximum is meaningful:
# docs.aws.amazon.com/sms-voice/latest/userguide/monitoring-cloudwatch.html and
# docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html.
_SPENT: Final[Mapping[str, Mapping[str, str]]] = {
    "end_user_messaging": {"Namespace": "AWS/SMSVoice", "MetricName": "TextMessageMonthlySpend"},
    "sns": {"Namespace": "AWS/SNS", "MetricName": "SMSMonthToDateSpentUSD"},
}

_POOLS: Final = ("pool-", "arn:")  # a pool's id, or the ARN of one; a name of a sender is neither
_REGISTERED: Final = "COMPLETE"

_LEAST_VALIDITY_SECONDS: Final = 5  # SendTextMessage: TimeToLive
_ASKING_SECONDS: Final = 5.0  # a post waits for no more


class AwsClient:
    """One AWS account in one region. Safe to use from several threads."""

    signed_headers: Final[Sequence[str]] = (  # the signature stands in the body; whoever reads it wants these too
        "x-amz-sns-message-type",
        "x-amz-sns-message-id",
        "x-amz-sns-topic-arn",
        "x-amz-sns-subscription-arn",
    )

    def __init__(self, settings: AwsSettings, *, observer: Observer | None = None) -> None:
        codes = Codes(ERROR_CODES, settings.error_codes)
        callbacks = settings.callbacks
        topic_region = settings.region if callbacks is None else callbacks.topic_region
        hosts = [host_of(service, settings.region) for service in ("sms-voice", "sns", "monitoring")]
        self._settings = settings
        self._api = JsonApi(
            NAME,
            (*hosts, host_of("sns", topic_region)),
            settings,
            codes=codes,
            code_of=code_finder(settings.error_codes),
            observer=observer,
        )
        self._calls = Calls(self._api, settings)
        self._receipts = Receipts(codes, observer)
        self._canaries = Canaries()
        self._callbacks = callbacks
        self._topic_region = topic_region
        self._certificates = Certificates(
            host_of("sns", topic_region), lambda path: self._calls.fetch_certificate(topic_region, path)
        )
        self.takes_callbacks: Final = callbacks is not None
        self.forward_to: Final = None if callbacks is None else callbacks.forward_to

    def close(self) -> None:
        """Close the idle connections."""
        self._api.close()

    def verify_credentials(self) -> None:
        """Read the attributes of the account, which is free."""
        if self._settings.sends_with == "sns":
            self._fetch_sns_limit()
        else:
            self._fetch_attributes()

    def fetch_account(self) -> Account:
        """Return whether the account may send to everybody; a disabled one is told by an error."""
        if self._settings.sends_with == "sns":
            is_in_sandbox = self._calls.ask_sns("GetSMSSandboxAccountStatus").text("IsInSandbox") == "true"
            tier = "SANDBOX" if is_in_sandbox else "PRODUCTION"
        else:
            tier = self._fetch_attributes().get(_TIER, "").upper()
        if tier not in _TIERS:
            raise BadResponseError("AWS tells of no tier of the account that is known")
        return Account(state=AccountState.ACTIVE, restriction=_TIERS[tier])

    def _fetch_attributes(self) -> Mapping[str, str]:
        """Return the attributes by name: DescribeAccountAttributes."""
        rows = self._calls.rows("DescribeAccountAttributes", "AccountAttributes")
        return {row.text("Name"): row.text("Value") for row in rows}

    def fetch_balance(self) -> Money | None:
        """Return what may still be spent this month: the limit less what CloudWatch has seen, which is minutes old.

        None before anything was spent this month, or where End User Messaging lacks its service-linked role: then
        CloudWatch knows nothing.
        """
        limit = self._fetch_sns_limit() if self._settings.sends_with == "sns" else self._fetch_limit()
        spent = self._fetch_spent()
        return None if spent is None else Money(amount=round(limit - spent, 5), currency=CURRENCY)

    def fetch_spend(self) -> None:
        """Return None: what AWS tells of is the month, not the days."""

    def _fetch_limit(self) -> float:
        for row in self._calls.rows("DescribeSpendLimits", "SpendLimits"):
            if row.text("Name") == _TEXT_LIMIT:
                return row.number("EnforcedLimit" if row.get("Overridden") is True else "MaxLimit")
        raise BadResponseError("AWS tells of no limit for text messages")

    def _fetch_sns_limit(self) -> float:
        asked = {"attributes.member.1": "MonthlySpendLimit"}
        return self._calls.ask_sns("GetSMSAttributes", asked).inner("attributes").number("MonthlySpendLimit")

    def _fetch_spent(self) -> float | None:
        now = datetime.fromtimestamp(self._api.now(), UTC)
        asked = {
            **_SPENT[self._settings.sends_with],
            "StartTime": int(now.replace(day=1, hour=0, minute=0, second=0).timestamp()),
            "EndTime": int(now.timestamp()) + 1,
            "Period": _HOUR_SECONDS,  # 744 of them in a month: one answer holds 1440
            "Statistics": ["Maximum"],
        }
        answer = self._calls.ask("monitoring", "GetMetricStatistics", asked)
        points = [Fields(row, NAME, "data point") for row in answer.rows("Datapoints")]
        latest = max(points, key=lambda point: point.number("Timestamp"), default=None)
        return None if latest is None else latest.number("Maximum")

    def fetch_number(self, number: str) -> Sender:
        """Return what the account knows of one of its numbers: DescribePhoneNumbers."""
        label = mask_number(number)
        for row in self._calls.rows("DescribePhoneNumbers", "PhoneNumbers"):
            if row.get("PhoneNumber") == number:
                sends = row.text("Status") == "ACTIVE" and "SMS" in row.rows("NumberCapabilities")
                return self._registered(Sender(label=label, sends_sms=sends), row)
        return Sender(label=label, exists=False)

    def fetch_messaging_service(self, sid: str, *, countries: Sequence[str]) -> Sender:
        """Return what the account knows of a pool, or of a name in each of the countries where it has it."""
        if sid.startswith(_POOLS):
            return self._fetch_pool(sid)
        rows = [row for row in self._calls.rows("DescribeSenderIds", "SenderIds") if row.get("SenderId") == sid]
        wanted = [row for row in rows if not countries or row.get("IsoCountryCode") in countries]
        senders = [self._registered(Sender(label=sid), row) for row in wanted if row.get("Registered") is not True]
        problems = [each for each in senders if each.registration_problem or each.unreadable]
        return problems[0] if problems else Sender(label=sid, exists=bool(rows))

    def _fetch_pool(self, sid: str) -> Sender:
        try:
            rows = list(self._calls.rows("ListPoolOriginationIdentities", "OriginationIdentities", {"PoolId": sid}))
        except ProviderError as error:
            if error.reason is not Reason.SENDER_INVALID:
                raise
            return Sender(label="the pool", exists=False)
        return Sender(label="the pool", pool_size=sum("SMS" in row.rows("NumberCapabilities") for row in rows))

    def _registered(self, sender: Sender, row: Fields) -> Sender:
        """Return the sender with the problem of its registration, if it has one: DescribeRegistrations."""
        registration = row.get("RegistrationId")
        if not isinstance(registration, str) or not registration:
            return sender
        asked = {"RegistrationIds": [registration]}
        try:
            states = [
                each.text("RegistrationStatus")
                for each in self._calls.rows("DescribeRegistrations", "Registrations", asked)
            ]
        except PermissionMissingError:
            return replace(sender, unreadable=("its registration",))
        problems = [_words(state) for state in states if state != _REGISTERED]
        return replace(sender, registration_problem=problems[0] if problems else None)

    def fetch_country_permissions(self, countries: Sequence[str]) -> CountryPermissions:
        """Return what the account's own protect configuration blocks; that of a configuration set is not looked at."""
        try:
            protection = self._fetch_attributes().get(_PROTECTION)
            if protection is None:
                return CountryPermissions()
            asked = {"ProtectConfigurationId": protection, "NumberCapability": "SMS"}
            rules = self._calls.ask("sms-voice", "GetProtectConfigurationCountryRuleSet", asked).inner("CountryRuleSet")
        except PermissionMissingError:
            return CountryPermissions(readable=False)
        told = {country: rules.inner(country).text("ProtectStatus") for country in countries if rules.get(country)}
        return CountryPermissions(
            refused=tuple(country for country, status in told.items() if status == "BLOCK"),
            unknown=tuple(country for country in countries if country not in told),
        )

    def send_canary(self, *, to: str, sender: str, text: str, validity_seconds: int) -> str:
        """Send one message, once, and return its id. ``sender`` is a number, a pool or a name."""
        if self._settings.sends_with == "sns":
            published = self._calls.ask_sns("Publish", self._publication(to, sender, text))
            return published.text("MessageId", MESSAGE_ID)
        settings = self._settings
        message = {
            "DestinationPhoneNumber": to,
            "OriginationIdentity": sender,
            "MessageBody": text,
            "MessageType": "TRANSACTIONAL",
            "TimeToLive": max(validity_seconds, _LEAST_VALIDITY_SECONDS),
            **({} if settings.max_price is None else {"MaxPrice": f"{settings.max_price:.5f}"}),
            **({} if settings.configuration_set is None else {"ConfigurationSetName": settings.configuration_set}),
        }
        message_id = self._calls.ask("sms-voice", "SendTextMessage", message).text("MessageId", MESSAGE_ID)
        self._canaries.follow(message_id)
        return message_id

    def _publication(self, to: str, sender: str, text: str) -> Mapping[str, str]:
        """Return the parameters of Publish; it has none for how long a message is valid.

        docs.aws.amazon.com/sns/latest/dg/sms_sending-overview.html: attributes.
        """
        price = self._settings.max_price
        by_number = sender.startswith("+")
        attributes = [
            ("AWS.SNS.SMS.SMSType", "String", "Transactional"),
            ("AWS.MM.SMS.OriginationNumber" if by_number else "AWS.SNS.SMS.SenderID", "String", sender),
            *([] if price is None else [("AWS.SNS.SMS.MaxPrice", "Number", f"{price:.5f}")]),
        ]
        parameters = {"PhoneNumber": to, "Message": text}
        for place, (name, kind, value) in enumerate(attributes, start=1):
            entry = f"MessageAttributes.entry.{place}"
            parameters |= {
                f"{entry}.Name": name,
                f"{entry}.Value.DataType": kind,
                f"{entry}.Value.StringValue": value,
            }
        return parameters

    def fetch_canary(self, message_id: str) -> CanaryStatus:
        """Return how far a message has come, by the events that came; they are none to judge a delay by."""
        return self._canaries.status(message_id)

    def has_to_ask(self, callback: Callback) -> bool:
        """Return whether the certificate of a post is not known yet, or a subscription is to be confirmed."""
        if self._callbacks is None:
            return False
        try:
            post = parse_notification(callback)
        except CallbackRefusedError:
            return False
        return post.kind == SUBSCRIPTION or self._certificates.has_to_fetch(post.certificate_url)

    def read_callback(self, callback: Callback) -> Sequence[Receipt]:
        """Return the receipt in an event; confirm a subscription to our topic. Raises CallbackRefusedError.

        An event that comes twice, or is played back within the time that SNS tries again, says nothing new: a message
        counts once for each status. To remember the ids of posts would lose what could not be kept at first.
        """
        settings = self._callbacks
        if settings is None:
            raise CallbackRefusedError(CallbackOutcome.UNKNOWN_TARGET)
        post = parse_notification(callback)
        with deadline(_ASKING_SECONDS):
            self._certificates.require_signed(post, callback)
            if post.topic_arn != settings.topic_arn:
                raise CallbackRefusedError(CallbackOutcome.WRONG_ACCOUNT)
            if post.kind == SUBSCRIPTION:
                self._confirm(settings.topic_arn, post.token)
        event = parse_event(post.message) if post.kind == NOTIFICATION else None
        if event is None:
            return ()
        receipt = self._receipts.of(event.row, Source.LATE_EVENT)
        told = CanaryStatus(
            status=receipt.status,
            reason=receipt.reason,
            code=receipt.code,
            cost=event.price,
            currency=None if event.price is None else CURRENCY,
            is_timely=False,
        )
        self._canaries.note(receipt.message_id, told)
        return (receipt,)

    def _confirm(self, topic_arn: str, token: str) -> None:
        try:
            self._calls.confirm_subscription(self._topic_region, topic_arn, token)
        except ProviderError:
            raise CallbackRefusedError(CallbackOutcome.UNVERIFIABLE) from None


def _words(state: str) -> str:
    return f"its registration is {state.lower().replace('_', ' ')}"
