"""Bird's platform API ({region}.platform.bird.com): message log, senders, sending, signed webhooks.

Facts are from the models of Bird's own Python SDK (PyPI messagebird-sdk 0.106.0, MIT, made from an OpenAPI document
that is not published: "the SDK") and from the guides below https://bird.com/docs, read 2026-11; each is named where
it is used. Bird calls both beta. API keys cannot read wallets (billing_wallets of the SDK), and a workspace has no
state to be read: there is neither balance nor account here. Unverified: whether the ends of a filter belong to it, and
what marks a test event that the dashboard sends: it counts like a real one.
"""

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from ..callbacks import Callback, CallbackOutcome, CallbackRefusedError
from ..clients import CanaryStatus, CountryPermissions, LogPage, Sender, ServiceStatus
from ..errors import BadResponseError, NotFoundError
from ..messages import UNKNOWN_COUNTRY, Receipt, Source, Status, mask_number
from ..secret import Secret
from ..settings import Count, ProviderSettings, SecretSetting, Url
from .bookmarks import parse_bookmark, write_bookmark
from .causes import Cause, CodeRow, Codes, ErrorCodes, code_table, parse_code
from .fields import Fields, parse_number
from .json_api import Answer, JsonApi
from .observer import Observer
from .posts import ForwardSettings
from .rows import Receipts, Row
from .standard_webhooks import HEADERS, SigningSecret, decode_secret, refuse_unsigned
from .statuspage import StatuspageClient

BIRD_DOMAINS: Final = ("bird.com",)
BIRD_STATUS_PAGE: Final = "https://status.bird.com"

_NAME: Final = "Bird"
_HOST: Final = "platform.bird.com"
_MESSAGES: Final = "/v1/sms/messages"
_SENDERS: Final = "/v1/sms/senders"

# https://bird.com/docs/guides/authentication: the region stands in the key; bm_ for a key of the organization (SDK).
_API_KEY: Final = re.compile(r"b[km]_([a-z]{2}\d{1,3})_[!-~]{8,500}", re.ASCII)
_MESSAGE_ID: Final = re.compile(r"[\w-]{6,64}", re.ASCII)
_MCC_MNC: Final = re.compile(r"\d{5,6}", re.ASCII)
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}", re.ASCII)


def _has_region(key: Secret) -> Secret:
    if not _API_KEY.fullmatch(key.reveal()):
        raise PydanticCustomError("api_key", 'must be a key of the platform API, which begins as "bk_eu1_"')
    return key


class BirdCallbackSettings(ForwardSettings):
    """How to believe Bird's webhooks: an endpoint that is subscribed to the events of SMS."""

    signing_secret: SigningSecret = Field(
        description="the signing secret of the webhook endpoint, which Bird shows once: whsec_..."
    )


class BirdSettings(ProviderSettings):
    """How to reach a workspace of Bird by its platform API. Its keys cannot read the balance."""

    type: Literal["bird"] = Field(description="the vendor")
    api_key: Annotated[SecretSetting, AfterValidator(_has_region)] = Field(
        description="an API key of the workspace that may read SMS, and send it for a canary: bk_eu1_..."
    )
    base_url: Url | None = Field(
        None, description="send all API calls here instead of to Bird: a proxy, a sandbox, a test double"
    )
    status_page: Url = Field(BIRD_STATUS_PAGE, description="the Statuspage to read")
    max_requests_per_second: Count = Field(
        30, ge=1, le=1000, description="no more than this many API calls begin in one second"
    )
    callbacks: BirdCallbackSettings | None = Field(
        None, description="signed webhooks, taken on --public.listen-address; off unless given"
    )
    error_codes: ErrorCodes = Field(
        default_factory=dict,
        description='codes that mean another reason than built in: of a message as "unreachable", of the API as'
        ' "E12020" or by its name as "SMSSenderNotConfigured"',
    )


_OF_A_MESSAGE: Final = "SMSErrorCode and SMSError.code of the SDK"
_OF_A_SEND: Final = "SMSMessageSendRequest of the SDK"
_OF_AN_EARLIER_SEND: Final = "SMSMessageSendRequest of github.com/messagebird/bird-sdk-php, 2026"
_OF_ALL: Final = "https://bird.com/docs/guides/errors"
_BY_TYPE: Final = "ErrorBodyType and the statuses of the SDK: HTTP 402"
_HEARSAY: Final = "unverified: a test of github.com/supabase/auth"
_BILLING: Final = "billing_error"

# fmt: off
ERROR_CODES: Final[Mapping[str, CodeRow]] = code_table(
    (Cause.INVALID_DESTINATION, _OF_A_MESSAGE, ["invalid_destination"]),  # unassigned, ported out, malformed
    (Cause.UNREACHABLE_TEMPORARY, _OF_A_MESSAGE, ["unreachable"]),  # off, no coverage
    (Cause.CARRIER_BLOCKED, _OF_A_MESSAGE, ["blocked_by_carrier"]),
    (Cause.FRAUD_BLOCKED, _OF_A_MESSAGE, ["blocked_by_fraud_protection"]),
    (Cause.SUBSCRIBER_BARRED, _OF_A_MESSAGE, ["blocked_by_recipient"]),
    (Cause.UNSUPPORTED_DESTINATION, _OF_A_MESSAGE, ["landline_unreachable"]),
    (Cause.CONTENT_REJECTED, _OF_A_MESSAGE, ["content_rejected"]),
    (Cause.SENDER_REJECTED, _OF_A_MESSAGE, ["sender_unregistered"]),
    (Cause.RECIPIENT_OPTED_OUT, _OF_A_MESSAGE, ["recipient_opted_out"]),  # on a suppression list
    (Cause.PROVIDER_ERROR, _OF_A_MESSAGE, ["provider_unavailable"]),  # after retries
    (Cause.INSUFFICIENT_BALANCE, _OF_A_MESSAGE, ["insufficient_balance"]),
    (Cause.UNKNOWN, _OF_A_MESSAGE, ["unknown"]),
    (Cause.INVALID_DESTINATION, _OF_A_SEND, ["SMSInvalidRecipient"]),
    (Cause.SENDER_UNKNOWN, _OF_A_SEND, ["SMSSenderNotConfigured"]),  # the workspace does not hold it
    (Cause.SENDER_REJECTED, _OF_A_SEND, ["SenderCategoryNotPermitted"]),  # registered, and not for codes
    (Cause.INVALID_REQUEST, _OF_A_SEND, ["SMSUnsupportedFeature"]),
    (Cause.SENDER_UNKNOWN, _OF_AN_EARLIER_SEND, ["SMSNoEligibleSender"]),
    (Cause.INVALID_REQUEST, _OF_ALL, ["E01001"]),
    (Cause.COUNTRY_BLOCKED, _HEARSAY, ["E12020"]),  # CountryNotEnabled
    (Cause.INSUFFICIENT_BALANCE, _BY_TYPE, [_BILLING]),
)
# fmt: on

# SMSMessageStatus, and what the counts of SMSDeliveryStats say of them: "failed" is during sending, "rejected" before
# it, and "expired" is a carrier's word (SMSMessageSendRequest.validity_period). "received" is of inbound messages.
STATUSES: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "scheduled": Status.ACCEPTED,
        "accepted": Status.ACCEPTED,
        "sent": Status.SENT,
        "delivered": Status.DELIVERED,
        "undelivered": Status.UNDELIVERED,
        "expired": Status.UNDELIVERED,
        "failed": Status.FAILED,
        "rejected": Status.FAILED,
        "canceled": Status.CANCELED,
    }
)
_FAILURES: Final = (Status.UNDELIVERED, Status.FAILED)
_EVENT_PREFIX: Final = "sms."

# https://bird.com/docs/api/pagination: opaque, and a cursor that has expired answers 422 with this code.
_INVALID_CURSOR: Final = "E01012"
_BOOKMARK: Final = MappingProxyType(
    {"until": re.compile(r"\d{1,12}", re.ASCII), "cursor": re.compile(r"[\w=+/.~-]{1,1500}", re.ASCII)}
)
_PAGE_SIZE: Final = 100  # the most
_MOST_SENDER_PAGES: Final = 20
_EDGE_SECONDS: Final = 1.0  # asked for beyond a span, of which only what belongs to it is told

# SMSSenderStatus of the SDK
_SENDER_PROBLEMS: Final[Mapping[str, str | None]] = MappingProxyType(
    {
        "active": None,
        "pending_number_ownership": "the ownership of its number is not proven",
        "pending_registrations": "its registrations are not finished",
    }
)


class BirdClient:
    """One workspace of Bird. Safe to use from several threads."""

    signed_headers: Final[Sequence[str]] = HEADERS

    def __init__(self, settings: BirdSettings, *, observer: Observer | None = None) -> None:
        codes = Codes(ERROR_CODES, settings.error_codes)
        found = _API_KEY.fullmatch(settings.api_key.reveal())
        host = f"{found[1] if found else 'eu1'}.{_HOST}"
        self._key = settings.api_key
        self._url = f"https://{host}"
        self._api = JsonApi(
            _NAME,
            (host,),
            settings,
            codes=codes,
            code_of=partial(_code_of_a_refusal, known=ERROR_CODES.keys() | settings.error_codes.keys()),
            observer=observer,
        )
        self._page = StatuspageClient(settings.status_page, timeout_seconds=settings.timeout, observer=observer)
        self._receipts = Receipts(codes, observer)
        callbacks = settings.callbacks
        self._signing_key = None if callbacks is None else decode_secret(callbacks.signing_secret)
        self.takes_callbacks: Final = callbacks is not None
        self.forward_to: Final = None if callbacks is None else callbacks.forward_to

    def close(self) -> None:
        """Close the idle connections."""
        self._api.close()
        self._page.close()

    def verify_credentials(self) -> None:
        """Read one message: a key that may not is of no use here."""
        self._ask("GET", _MESSAGES, params={"limit": "1"}).fields.rows("data")

    def fetch_service_status(self) -> ServiceStatus:
        """Return what Bird's status page says."""
        return self._page.fetch_service_status()

    def fetch_number(self, number: str) -> Sender:
        """Return what the workspace knows of one E.164 number as a sender."""
        label = mask_number(number)
        for sender in self._senders():
            if sender.get("sender") == number:
                return _build_sender(label, sender, ())
        return Sender(label=label, exists=False)

    def fetch_messaging_service(self, sid: str, *, countries: Sequence[str]) -> Sender:
        """Return what the workspace knows of the sender of that id (snd_...): a number, a short code or a name."""
        try:
            sender = self._ask("GET", f"{_SENDERS}/{quote(sid, safe='')}").fields
        except NotFoundError:
            return Sender(label=sid, exists=False)
        return _build_sender(sid, sender, countries)

    def fetch_country_permissions(self, countries: Sequence[str]) -> CountryPermissions:
        """Return to which countries no sender may send today: "active" names all to which it may."""
        active = [_countries(sender.inner("destinations"), "active") for sender in self._senders()]
        if not active:
            return CountryPermissions(unknown=tuple(countries))
        return CountryPermissions(refused=tuple(each for each in countries if each not in set().union(*active)))

    def _senders(self) -> Iterator[Fields]:
        """Yield the senders of the workspace: SMSSenderList."""
        query = {"limit": str(_PAGE_SIZE)}
        for _ in range(_MOST_SENDER_PAGES):
            listing = self._ask("GET", _SENDERS, params=query).fields
            yield from (Fields(sender, _NAME, "sender") for sender in listing.rows("data"))
            if listing.get("next_cursor") is None:
                return
            query["starting_after"] = listing.text("next_cursor")
        raise BadResponseError("Bird's list of senders has no end")

    def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
        """Return one page of the outbound messages created at or after ``since`` and before ``until``, newest first.

        All pages of one walk are asked for with the same filters. There is none for the beginning: who reads stops.
        """
        bookmark = {} if resume is None else dict(parse_bookmark(resume, _BOOKMARK, _NAME))
        if resume is not None and "cursor" not in bookmark:
            raise BadResponseError("Bird's message log has no such page")
        if resume is None and until is not None:
            bookmark["until"] = str(math.ceil(max(until, 0.0) + _EDGE_SECONDS))
        query = {"direction": "outbound", "limit": str(_PAGE_SIZE)}
        if "until" in bookmark:
            query["created_before"] = _date(float(bookmark["until"]))
        if "cursor" in bookmark:
            query["starting_after"] = bookmark["cursor"]
        answer = self._ask("GET", _MESSAGES, params=query, yields=True)
        listing = answer.fields
        messages = listing.rows("data")
        following = None
        if listing.get("next_cursor") is not None:
            following = write_bookmark({**bookmark, "cursor": listing.text("next_cursor")}, _BOOKMARK, _NAME)
            if following == resume:
                raise BadResponseError("Bird's message log pages in a circle")
        return LogPage(
            receipts=self._receipts.of_page(
                messages, _read_message, vendor=_NAME, since=since, until=math.inf if until is None else until
            ),
            resume=following,
            reached=_oldest(messages),
            at=answer.at,
        )

    def send_canary(
        self,
        *,
        to: str,
        sender: str,
        text: str,
        validity_seconds: int,  # noqa: ARG002  # refused outside a preview: SMSMessageSendRequest.validity_period
    ) -> str:
        """Send one message, once, and return its id. ``sender`` is a number, a short code or a name of the workspace.

        In the category of codes Bird keeps no text (SMSMessage.text).
        """
        message = {"to": to, "from": sender, "text": text, "category": "authentication"}
        return self._ask("POST", _MESSAGES, json=message).fields.text("id", _MESSAGE_ID)

    def fetch_canary(self, message_id: str) -> CanaryStatus:
        """Return how far a message has come."""
        message = self._ask("GET", f"{_MESSAGES}/{quote(message_id, safe='')}").fields
        row = _read_message(message)
        if row is None or row.message_id != message_id:
            raise BadResponseError("Bird tells of another message")
        receipt = self._receipts.of(row)
        cost = None if message.get("cost") is None else message.inner("cost")
        return CanaryStatus(
            status=row.status,
            reason=self._receipts.why(row.code, row.cause)[0] if row.status is Status.CANCELED else receipt.reason,
            code=receipt.code,
            cost=None if cost is None else cost.number("amount"),
            currency=None if cost is None else cost.currency("currency_code"),
        )

    def read_callback(self, callback: Callback) -> Sequence[Receipt]:
        """Return the receipt in a webhook. Raises CallbackRefusedError.

        https://bird.com/docs/guides/webhooks, webhooks.py of the SDK. The secret is of one endpoint of one workspace,
        so what it signed is of that workspace.
        """
        if self._signing_key is None:
            raise CallbackRefusedError(CallbackOutcome.UNKNOWN_TARGET)
        refuse_unsigned(callback, self._signing_key)
        try:
            row = _read_event(json.loads(callback.body))
        except (ValueError, RecursionError, BadResponseError):
            raise CallbackRefusedError(CallbackOutcome.MALFORMED) from None
        return () if row is None else (self._receipts.of(row, Source.CALLBACK),)

    def _ask(self, method: str, path: str, **more: Any) -> Answer:
        headers = {"Authorization": f"Bearer {self._key.reveal()}"}
        return self._api.ask(method, self._url + path, headers=headers, **more)


def _read_message(message: Any) -> Row | None:
    """Return what a message of the log says (SMSMessage); None for an inbound one."""
    fields = message if isinstance(message, Fields) else Fields(message, _NAME, "message")
    if fields.get("direction") == "inbound":
        return None
    word, error = fields.text("status"), _error(fields.get("last_error"))
    if word not in STATUSES:
        raise BadResponseError("a message has an unknown status")
    status, failed_at = STATUSES[word], error.optional_moment("occurred_at")
    created_at, delivered_at = fields.moment("created_at"), fields.optional_moment("delivered_at")
    moments = {
        Status.SENT: fields.optional_moment("sent_at"),
        Status.DELIVERED: delivered_at,
        **dict.fromkeys(_FAILURES, failed_at),
    }
    at = moments.get(status)
    return _row(
        fields,
        status,
        message_id=fields.text("id", _MESSAGE_ID),
        at=created_at if at is None else at,
        created_at=created_at,
        error=error,
        is_expired=word == "expired",
        is_timed=delivered_at is not None,
    )


def _read_event(event: Any) -> Row | None:
    """Return what a webhook says (EventSMS... of the SDK); None where it is not of an outbound message's way."""
    fields = Fields(event, _NAME, "webhook")
    kind = fields.text("type")
    word = kind.removeprefix(_EVENT_PREFIX)
    if not kind.startswith(_EVENT_PREFIX) or word not in STATUSES:  # to refuse it would make Bird send it again
        return None
    data = fields.inner("data")
    return _row(
        data,
        STATUSES[word],
        message_id=data.text("sms_id", _MESSAGE_ID),
        at=fields.moment("timestamp"),
        error=_error(data.get("error")),
        is_expired=word == "expired",
    )


def _row(
    fields: Fields,
    status: Status,
    *,
    message_id: str,
    at: float,
    error: Fields,
    is_expired: bool,
    created_at: float | None = None,
    is_timed: bool = False,
) -> Row:
    """Return what a message and an event say in the same words."""
    country, network = fields.get("country_code"), fields.get("mcc_mnc")
    is_country = isinstance(country, str) and _COUNTRY.fullmatch(country)
    return Row(
        message_id=message_id,
        status=status,
        at=at,
        created_at=created_at,
        number=parse_number(fields.get("to")),
        country=country.upper() if is_country else UNKNOWN_COUNTRY,
        mcc_mnc=network if isinstance(network, str) and _MCC_MNC.fullmatch(network) else "",
        code=parse_code(error.get("code")) if status in _FAILURES else None,
        cause=Cause.TIMEOUT if is_expired else Cause.UNKNOWN,
        is_timed=is_timed,
    )


def _error(value: Any) -> Fields:
    """Return an error that may be missing."""
    return Fields({} if value is None else value, _NAME, "error")


def _oldest(messages: Sequence[Any]) -> float | None:
    """Return when the last message was created where they are the newest first, as documented; else None."""
    try:
        moments = [Fields(message, _NAME, "message").moment("created_at") for message in messages]
    except BadResponseError:
        return None
    is_newest_first = all(newer >= older for newer, older in pairwise(moments))
    return moments[-1] if moments and is_newest_first else None


def _build_sender(label: str, sender: Fields, countries: Sequence[str]) -> Sender:
    """Return a sender (SMSSender): all may send SMS, as far as they are registered."""
    status = sender.text("status")
    problems = [_SENDER_PROBLEMS.get(status)]
    destinations = sender.inner("destinations")
    for name, words in (("needs_attention", "its registration fails for"), ("pending", "not yet registered for")):
        touched = [country for country in countries if country in _countries(destinations, name)]
        problems.append(f"{words} {', '.join(touched)}" if touched else None)
    return Sender(
        label=label,
        registration_problem="; ".join(filter(None, problems)) or None,
        unreadable=() if status in _SENDER_PROBLEMS else ("its status, a word that is new",),
    )


def _countries(destinations: Fields, name: str) -> set[str]:
    return {country.upper() for country in destinations.rows(name) if isinstance(country, str)}


def _code_of_a_refusal(payload: Any, known: Collection[str]) -> str | None:
    """Return code, name or type of an error (ErrorBody): the first that is known, else the code.

    Only the code is never reused, and only of some is it public; a send's are documented by their names.
    """
    error = payload.get("error") if isinstance(payload, dict) else None
    if not isinstance(error, dict) or error.get("code") == _INVALID_CURSOR:
        return None
    told = [parse_code(error.get(name)) for name in ("code", "name", "type")]
    return next((code for code in told if code in known), told[0])


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
