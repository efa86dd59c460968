"""Twilio Programmable Messaging: the only file that imports its SDK or knows its codes.

Facts are from Twilio's OpenAPI documents (github.com/twilio/twilio-oai d50069b, 2026-04), its error pages,
and the source of its SDK 9.13.0; each is named where it is used.
"""

import json
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from ..clients import Account, AccountState, CountryPermissions, Money, RecentSpend, Sender, ServiceStatus
from ..errors import BadResponseError, NotFoundError, PermissionMissingError, ProviderError
from ..messages import Receipt, Status, country_of, mask_number
from ..reason import Reason
from ..settings import ProviderSettings, SecretSetting, Url
from .http import BODY_LIMIT_BYTES, Http, Reply, reason_for_status
from .observer import NoObserver, Observer
from .statuspage import StatuspageClient

if TYPE_CHECKING:
    from twilio.rest import Client
    from twilio.rest.api.v2010.account import AccountInstance

T = TypeVar("T")


# ---- error codes


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """What one of Twilio's codes means to us."""

    reason: Reason
    source: str  # where its meaning was read; the reason is our own conclusion from it


PAGE: Final = "the code's own page, see error_page(), read 2024 to 2026"
LIST: Final = (
    "twilio-error-codes.json as published by Twilio, copy of 2023-05: github.com/men232/twilio-error-codes d31d168"
)


def error_page(code: int) -> str:
    """Return the address of Twilio's page about a code."""
    return f"https://www.twilio.com/docs/api/errors/{code}"


def _expand(*rows: tuple[Reason, str, Sequence[int]]) -> Mapping[int, ErrorCode]:
    return MappingProxyType({code: ErrorCode(reason, source) for reason, source, codes in rows for code in codes})


_R = Reason

# Twilio says of its codes that they are subject to change and no contract (twilio-oai, Message.error_code).
# So this is data: settings override it, and a code that is not here is passed on as unmapped.
#
# INTERNAL: the caller asked for nonsense. For our own calls that is our defect. On a message the caller was
# somebody else, so there it reads as DELIVERY_FAILING.
# fmt: off
ERROR_CODES: Final = _expand(
    # credentials
    (_R.CREDENTIALS_REJECTED, PAGE, [20003]),  # wrong SID, token or key; or beyond a standard key
    (_R.CREDENTIALS_REJECTED, PAGE, [70051]),  # no such key; but PERMISSION_MISSING when it names one
    (_R.PERMISSION_MISSING, LIST, [20006]),  # access denied, insufficient privileges
    (_R.CREDENTIALS_REJECTED, LIST, [20008]),  # test credentials, which may read nothing
    (_R.CREDENTIALS_REJECTED, LIST, [20151, 20101, 20104, 20107]),  # access token invalid, expired
    (_R.CREDENTIALS_REJECTED, LIST, [60001]),  # downstream authentication failed for this account
    # account
    (_R.ACCOUNT_SUSPENDED, PAGE, [20403]),  # suspended or closed
    (_R.ACCOUNT_SUSPENDED, PAGE, [20005]),  # not active: out of funds, or trial not activated
    (_R.ACCOUNT_SUSPENDED, PAGE, [10001]),  # not active: balance, parent suspended, policy
    (_R.ACCOUNT_SUSPENDED, PAGE, [90010]),  # not active
    (_R.ACCOUNT_SUSPENDED, PAGE, [30002]),  # suspended between queueing and sending
    (_R.ACCOUNT_RESTRICTED, LIST, [20010]),  # action disabled for the account
    (_R.ACCOUNT_RESTRICTED, LIST, [10002]),  # a trial account does not support the feature
    (_R.ACCOUNT_RESTRICTED, PAGE, [21608]),  # To not verified: trial account, or no approved compliance profile
    (_R.ACCOUNT_RESTRICTED, LIST, [21607]),  # From must be the trial number
    (_R.ACCOUNT_RESTRICTED, LIST, [21219, 14111]),  # To not verified (trial), voice and TwiML
    (_R.ACCOUNT_RESTRICTED, PAGE, [572005]),  # trial: recipient added but not verified
    (_R.ACCOUNT_RESTRICTED, PAGE, [60238]),  # verification blocked: account review
    (_R.ACCOUNT_RESTRICTED, LIST, [60204, 60223]),  # feature not enabled, channel disabled
    (_R.ACCOUNT_RESTRICTED, LIST, [60600, 60601, 60606, 60699]),  # Lookup: no coverage, not approved, off
    # countries
    (_R.COUNTRY_NOT_PERMITTED, LIST, [21408]),  # messaging geographic permission is off
    (_R.COUNTRY_NOT_PERMITTED, PAGE, [60605]),  # Verify geographic permission is off
    (_R.COUNTRY_NOT_PERMITTED, LIST, [60220]),  # China needs vetting of the use case
    # recipient
    (_R.RECIPIENT_INVALID, LIST, [21211]),  # To is invalid
    (_R.RECIPIENT_INVALID, PAGE, [21265, 21266]),  # To is a short code, To equals From
    (_R.RECIPIENT_INVALID, LIST, [30005]),  # unknown handset
    (_R.RECIPIENT_LANDLINE, LIST, [21614]),  # not a mobile number
    (_R.RECIPIENT_LANDLINE, PAGE, [21635]),  # a landline, in countries where Twilio refuses
    (_R.RECIPIENT_LANDLINE, PAGE, [60205]),  # Verify: landline
    (_R.RECIPIENT_LANDLINE, PAGE, [30006]),  # landline or unreachable carrier
    (_R.RECIPIENT_OPTED_OUT, LIST, [21610]),  # STOP
    (_R.RECIPIENT_UNREACHABLE, PAGE, [30003]),  # off, no signal, roaming
    (_R.RECIPIENT_BLOCKED, LIST, [30004]),  # blocked by the destination
    # sender
    (_R.SENDER_INVALID, PAGE, [21612]),  # To cannot be reached from this From
    (_R.SENDER_INVALID, LIST, [21212, 21601, 21616, 21657]),  # From invalid, without SMS, ambiguous
    (_R.SENDER_INVALID, PAGE, [21606, 21659, 21660, 21661]),  # From not of this account, or without SMS
    (_R.SENDER_INVALID, LIST, [21701, 21705, 21702, 21704]),  # messaging service missing, unavailable, empty
    (_R.SENDER_INVALID, LIST, [21703]),  # messaging service: no suitable sender
    (_R.SENDER_UNREGISTERED, LIST, [30018, 30024]),  # sender id not registered, not provisioned
    (_R.SENDER_UNREGISTERED, LIST, [30032]),  # toll-free number not verified
    (_R.SENDER_UNREGISTERED, LIST, range(30440, 30450)),  # verification of a number rejected
    (_R.SENDER_UNREGISTERED, PAGE, [30451, 30879]),  # as before
    (_R.SENDER_UNREGISTERED, LIST, [30034, 30035, 30033]),  # A2P number not registered, campaign suspended
    (_R.SENDER_UNREGISTERED, LIST, [21729]),  # A2P campaign suspended
    # rates
    (_R.RATE_LIMITED, PAGE, [20429]),  # too many concurrent requests
    (_R.RATE_LIMITED, LIST, [21611, 60616]),  # From has filled its queue; Lookup
    (_R.RATE_LIMITED, LIST, [30001, 30022, 30023, 30027]),  # queue overflow, A2P rate, daily caps
    (_R.RATE_LIMITED, PAGE, [14107]),  # too many messages between two numbers
    (_R.TOO_MANY_ATTEMPTS, PAGE, [60202, 60203]),  # Verify: five checks, five sends in ten minutes
    (_R.TOO_MANY_ATTEMPTS, LIST, [60212]),  # Verify: concurrent requests for one number
    # on the way
    (_R.DELIVERY_SLOW, PAGE, [30036]),  # expired in Twilio's queue
    (_R.OPERATOR_BLOCKING, LIST, [30007]),  # filtered
    (_R.OPERATOR_BLOCKING, LIST, [21618]),  # text filtered by all operators
    (_R.DELIVERY_FAILING, LIST, [30008, 30017, 30410]),  # operator: unknown error, congestion, timeout
    (_R.DELIVERY_FAILING, LIST, [30010]),  # dearer than MaxPrice
    (_R.DELIVERY_FAILING, PAGE, [30038]),  # a Twilio number may not receive codes: no fault of the recipient's
    (_R.SMS_PUMPING, LIST, [30450]),  # pumping protection, temporary
    (_R.SMS_PUMPING, PAGE, [60410]),  # Verify Fraud Guard
    (_R.SMS_PUMPING, PAGE, [60413]),  # Verify device intelligence
    # Twilio itself
    (_R.PROVIDER_OUTAGE, LIST, [20500, 20503]),  # internal error, unavailable
    (_R.PROVIDER_OUTAGE, PAGE, [30500]),  # internal error
    (_R.PROVIDER_OUTAGE, LIST, [30020, 30021, 21730]),  # internal error, maintenance
    (_R.RECEIPTS_MISSING, LIST, [11200, 11205, 11210, 15003]),  # nobody takes the callbacks
    (_R.RECEIPTS_MISSING, PAGE, [57012]),  # the receiver of callbacks refuses the signature
    # the caller
    (_R.BAD_RESPONSE, PAGE, [20404]),  # no such resource: what NotFoundError says, which 404s become
    (_R.INTERNAL, LIST, [20004, 20422, 20001, 70002]),  # method, parameter or SID invalid
    (_R.INTERNAL, LIST, [21604, 21603, 21624, 90007]),  # To, From missing; validity period invalid
    (_R.INTERNAL, LIST, [21609, 21619, 21602, 21617]),  # callback URL invalid; text missing, too long
    (_R.INTERNAL, LIST, [60200]),  # Verify: parameter invalid
)
# fmt: on

_NO_SUCH_RESOURCE: Final = "20404"

# "required permission twilio/messaging/messages/list is missing": https://www.twilio.com/docs/api/errors/70051
_NOT_AUTHORIZED: Final = 70051
_MISSING_PERMISSION: Final = re.compile(r"required permission \W?(twilio/[a-z0-9/_-]{1,100})\W? is missing", re.ASCII)
_NUMBER_LIKE: Final = re.compile(r"\d{3}|(\d\D*){5}")  # no permission has many digits, and a phone number does


# ---- settings


def _reason(value: Any) -> Any:
    known = isinstance(value, str) and value in set(Reason) - {Reason.OK}
    if not known:
        raise PydanticCustomError("reason", 'must be a reason such as "operator_blocking"')
    return Reason(value)


_AccountSid = Annotated[str, Field(pattern=r"^AC[0-9a-fA-F]{32}$")]
_KeySid = Annotated[str, Field(pattern=r"^SK[0-9a-fA-F]{32}$")]


class TwilioSettings(ProviderSettings):
    """How to reach a Twilio account."""

    type: Literal["twilio"] = Field(description="the vendor")
    account_sid: _AccountSid = Field(description="the account's SID, from the console")
    auth_token: SecretSetting | None = Field(None, description="the account's Auth Token; instead of an API key")
    api_key: _KeySid | None = Field(None, description="the SID of an API key; a restricted one needs read rights")
    api_key_secret: SecretSetting | None = Field(None, description="the API key's secret")
    base_url: Url | None = Field(
        None, description="send all API calls here instead of to Twilio: a proxy, a sandbox, a test double"
    )
    status_page: Url = Field("https://status.twilio.com", description="the Statuspage to read")
    error_codes: dict[Annotated[int, Strict()], Annotated[Reason, BeforeValidator(_reason)]] = Field(
        default_factory=dict, description="Twilio's error codes that mean another reason than built in"
    )

    @model_validator(mode="after")
    def _one_way_to_authenticate(self) -> Self:
        by_token = self.auth_token is not None
        by_key = (self.api_key is not None, self.api_key_secret is not None)
        if by_key != (not by_token, not by_token):
            raise PydanticCustomError("credentials", "needs either auth_token, or api_key and api_key_secret")
        return self


# ---- the client

_HOSTS: Final = ("api.twilio.com", "messaging.twilio.com", "accounts.twilio.com", "trusthub.twilio.com")

_NO_ENVIRONMENT: Final = {"": ""}  # the SDK takes an empty mapping for none and reads os.environ: TWILIO_REGION

_PAGE_SIZE: Final = 1000  # the most that the API gives at once
_LOG_PAGE_LIMIT_BYTES: Final = 4 * BODY_LIMIT_BYTES  # 1000 messages of 1600 escaped letters each, and the rest

_SLACK: Final = timedelta(minutes=1)
_OLD_IN_A_ROW: Final = 100
_SOME_ROWS: Final = 5

_SERVICE_SID: Final = re.compile(r"MG[0-9a-fA-F]{32}")
_TOLL_FREE: Final = re.compile(r"\+1(800|833|844|855|866|877|888)\d{7}")

_TOTAL: Final = "totalprice"  # the usage category that sums up all others

_TRIAL: Final = "a trial account sends to verified numbers only"
_NO_PROFILE: Final = "no compliance profile is approved, so it sends to verified numbers only"
_PROFILE_OF_PARENT: Final = "compliance profile: the parent account's"

# The policy of a secondary profile, which an account makes for its own customers and which does not stand for
# the account itself: https://www.twilio.com/docs/messaging/compliance/a2p-10dlc/onboarding-isv-api (read 2026-11).
_SECONDARY_PROFILE: Final = "RNdfbf3fae0e1107f8aded0e7cead80bf5"

_CAMPAIGN_NOT_JUDGED: Final = "A2P campaign: not judged without US in countries"

_KEY_MAY_NOT_READ_ACCOUNT: Final = (
    "a standard API key may not read the account; use the Auth Token or a main key, or remove this check"
)


class TwilioClient:
    """One Twilio account, API version 2010-04-01 and its younger sisters. Safe to use from several threads."""

    def __init__(
        self,
        settings: TwilioSettings,
        *,
        observer: Observer | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._observer = observer or NoObserver()
        self._now = now
        self._uses_key = settings.api_key is not None
        self._account_sid = settings.account_sid
        self._overrides = settings.error_codes
        self._http = Http(
            {host: settings.base_url or f"https://{host}" for host in _HOSTS},
            timeout_seconds=settings.timeout,
            observer=observer,
        )
        self._page = StatuspageClient(settings.status_page, timeout_seconds=settings.timeout, observer=observer)
        self._unreadable = _Seen()
        self._sdk = _build_sdk(settings, self._http, self._refusal)

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()
        self._page.close()

    def fetch_service_status(self) -> ServiceStatus:
        """Return what Twilio's status page says."""
        return self._page.fetch_service_status()

    def verify_credentials(self) -> None:
        """Read one message, which the Auth Token and standard API keys may do."""
        for _ in self._log_pages(page_size=1, body_limit_bytes=BODY_LIMIT_BYTES):
            return

    def fetch_account(self) -> Account:
        """Return the account's state. Of an account in use, also what restricts it.

        A standard API key may not read ``/Accounts`` and is refused with the code of a wrong secret
        (https://www.twilio.com/docs/iam/api-keys): another call tells the two apart.
        """
        account = self._ask_for_account()
        state = _account_state(account.status)
        if state is not AccountState.ACTIVE:
            return Account(state=state)
        if _text(account.type, "account type") == "Trial":
            return Account(state=state, restriction=_TRIAL)
        if _has_parent(account):
            return Account(state=state, unreadable=(_PROFILE_OF_PARENT,))
        profiles = self._readable(
            lambda: self._sdk.trusthub.v1.customer_profiles.list(limit=_PAGE_SIZE, page_size=_PAGE_SIZE)
        )
        if profiles is None:
            return Account(state=state, unreadable=("compliance profiles",))
        # Without an approved one the account behaves like a trial: https://www.twilio.com/docs/api/errors/21608
        return Account(state=state, restriction=None if _has_approved(profiles) else _NO_PROFILE)

    def _ask_for_account(self) -> "AccountInstance":
        refusal = _KEY_MAY_NOT_READ_ACCOUNT if self._uses_key else "these credentials may not read the account"
        return self._ask(self._sdk.api.v2010.accounts(self._account_sid).fetch, refusal)

    def fetch_balance(self) -> Money | None:
        """Return the balance; None for a sub-account, which has none (twilio-oai: Balance)."""
        try:
            balance = self._ask(self._sdk.balance.fetch, "these credentials may not read the balance")
        except NotFoundError as error:
            if error.code != _NO_SUCH_RESOURCE or not self._may_be_sub_account():
                raise
            return None
        return Money(amount=_number(balance.balance, "balance"), currency=_currency(balance.currency))

    def _may_be_sub_account(self) -> bool:
        """Return whether the account has a parent. Valid credentials that may not read that are taken for a yes."""
        try:
            return _has_parent(self._ask_for_account())
        except PermissionMissingError:
            return True

    def fetch_spend(self) -> RecentSpend | None:
        """Return spend from the usage records, sub-accounts included since they draw on the same balance.

        A day without a record has no spend. None when nothing was ever spent, or these credentials may not read it.
        """
        today = self._now().astimezone(UTC).date()
        yesterday = today - timedelta(days=1)
        records = self._sdk.usage.records
        ever = self._readable(lambda: records.all_time.list(category=_TOTAL, limit=1))
        if not ever:
            return None
        days = self._readable(lambda: records.daily.list(category=_TOTAL, start_date=yesterday, limit=10))
        if days is None:
            return None
        by_day = {_day(record.start_date): _number(record.price, "price") for record in days}
        return RecentSpend(
            total=Money(amount=_number(ever[0].price, "price"), currency=_currency(ever[0].price_unit)),
            today=by_day.get(today, 0.0),
            yesterday=by_day.get(yesterday, 0.0),
        )

    def fetch_number(self, number: str) -> Sender:
        """Return what the account knows of a number; of a toll-free one also whether it is verified.

        Whether a long code belongs to an A2P campaign is a matter of its messaging service.
        """
        found = self._ask(
            lambda: self._sdk.incoming_phone_numbers.list(phone_number=number, limit=20),
            "these credentials may not read phone numbers",
        )
        label = mask_number(number)
        ours = next((entry for entry in found if entry.phone_number == number), None)  # the filter finds parts too
        if ours is None:
            return Sender(label=label, exists=False)
        capabilities: Any = ours.capabilities
        if not isinstance(capabilities, dict) or not isinstance(capabilities.get("sms"), bool):
            raise BadResponseError("Twilio gives no capabilities of a number")
        if not _TOLL_FREE.fullmatch(number):
            return Sender(label=label, sends_sms=capabilities["sms"])
        sid = _text(ours.sid, "number's SID")
        verifications = self._readable(
            lambda: self._sdk.messaging.v1.tollfree_verifications.list(tollfree_phone_number_sid=sid, limit=_PAGE_SIZE)
        )
        return Sender(
            label=label,
            sends_sms=capabilities["sms"],
            registration_problem=None if verifications is None else _toll_free_problem(verifications),
            unreadable=("toll-free verification",) if verifications is None else (),
        )

    def fetch_messaging_service(self, sid: str, *, countries: Sequence[str]) -> Sender:
        """Return what the account knows of a messaging service.

        Its A2P campaign counts when it sends to the US from a long code, or from senders that may not be read:
        https://www.twilio.com/docs/messaging/compliance/a2p-10dlc.
        """
        if not _SERVICE_SID.fullmatch(sid):  # also keeps a slash out of the path
            return Sender(label="a messaging service with a malformed SID", exists=False)
        service = self._sdk.messaging.v1.services(sid)
        try:
            self._ask(service.fetch, "these credentials may not read messaging services")
        except NotFoundError:
            return Sender(label=sid, exists=False)
        unreadable = []
        pool = self._readable(lambda: _pool(service))
        if pool is None:
            unreadable.append("sender pool")
        problem = None
        if "US" not in countries:
            if pool is not None and pool.has_us_long_code:
                unreadable.append(_CAMPAIGN_NOT_JUDGED)
        elif pool is None or pool.has_long_code:
            campaigns = self._readable(lambda: service.us_app_to_person.list(limit=_PAGE_SIZE))
            if campaigns is None:
                unreadable.append("A2P campaign")
            else:
                problem = _campaign_problem(campaigns)
        return Sender(
            label=sid,
            pool_size=None if pool is None else pool.size,
            registration_problem=problem,
            unreadable=tuple(unreadable),
        )

    def fetch_country_permissions(self, countries: Sequence[str]) -> CountryPermissions:
        """Return which countries the messaging geographic permissions leave out."""
        if not countries:
            return CountryPermissions()
        geography = self._sdk.accounts.v1.messaging_geopermissions
        answer = self._readable(lambda: geography.fetch(country_code=",".join(countries)))
        if answer is None:
            return CountryPermissions(readable=False)
        enabled = _enabled_by_country(answer.permissions)
        return CountryPermissions(
            refused=tuple(country for country in countries if enabled.get(country) is False),
            unknown=tuple(country for country in countries if country not in enabled),
        )

    def read_messages(self, *, since: datetime) -> Iterator[Receipt]:
        """Yield outbound messages created at or after ``since``, newest first.

        The list is read without a filter: those for ``DateSent`` work by whole days and leave out what was
        never sent. It is documented as newest first, but not by which date, and a scheduled message carries
        an old creation date among new ones. So a message is old when both its dates are, and reading ends at
        a hundred old messages in a row.

        ``delivery_seconds`` is date_updated less date_created: in steps of a second, and an upper bound,
        since Twilio changes a message after its delivery too (twilio-oai: Message).

        A message that cannot be understood (no date, a status that is not documented) is left out and told
        to the observer, once and unless it is old, so that it costs neither the log nor goes unnoticed. A page
        of some messages on which none can be understood is a BadResponseError.
        """
        old_in_a_row = 0
        for rows in self._log_pages(page_size=_PAGE_SIZE, body_limit_bytes=_LOG_PAGE_LIMIT_BYTES):
            understood = 0
            for row in rows:
                try:
                    dates = _dates(row)
                    old_in_a_row = old_in_a_row + 1 if dates.last_at < since - _SLACK else 0
                    receipt = _receipt(row, dates.created_at, self._failure) if dates.created_at >= since else None
                except BadResponseError:
                    if not old_in_a_row:  # without a date it is as old as the one before it
                        self._note_unreadable(row)
                    continue
                understood += 1
                if old_in_a_row >= _OLD_IN_A_ROW:
                    return
                if receipt is not None:
                    yield receipt
            if not understood and len(rows) >= _SOME_ROWS:
                raise BadResponseError("Twilio's message log cannot be understood")

    def _note_unreadable(self, row: Mapping[str, Any]) -> None:
        sid = row.get("sid")
        is_told_by_sid = isinstance(sid, str) and _MESSAGE_SID.fullmatch(sid)
        if self._unreadable.add(sid if is_told_by_sid else row):
            self._observer.message_unreadable()

    def _log_pages(self, *, page_size: int, body_limit_bytes: int) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of the message log, each as the objects of its JSON.

        The SDK's own message objects are not made: one odd date would end the whole listing.
        """
        from twilio.base.page import Page

        class Rows(Page):
            def load_page(self, payload: Any) -> Any:
                rows = payload["messages"]
                if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                    raise TypeError
                return rows

            def get_instance(self, payload: Any) -> Any:
                return payload

        api = self._sdk.api.v2010
        uri = f"/Accounts/{self._account_sid}/Messages.json"
        seen: set[str] = set()
        with _documented_shape(), _body_limit(body_limit_bytes):
            page: Page | None = Rows(api, api.page("GET", uri, params={"PageSize": page_size}))
        while page is not None:
            with _documented_shape():
                rows = list(page)
            yield rows
            with _documented_shape(), _body_limit(body_limit_bytes):
                following = page.next_page_url
                if following in seen:
                    raise BadResponseError("Twilio's message log pages in a circle")
                if following is not None:
                    seen.add(following)
                page = page.next_page()

    def _failure(self, code: int) -> tuple[Reason, bool]:
        """Return why a message with this code failed, and whether that is known."""
        if code in self._overrides:
            return self._overrides[code], True
        if code not in ERROR_CODES:
            return Reason.DELIVERY_FAILING, False
        reason = ERROR_CODES[code].reason
        return (Reason.DELIVERY_FAILING if reason is Reason.INTERNAL else reason), True

    def _ask(self, call: Callable[[], T], refusal: str) -> T:
        """Call the SDK. Credentials refused here but accepted elsewhere lack the right: PermissionMissingError."""
        try:
            with _documented_shape():
                return call()
        except ProviderError as error:
            if error.reason is not Reason.CREDENTIALS_REJECTED:
                raise
            code = error.code
        try:
            self.verify_credentials()
        except PermissionMissingError as error:
            if error.code is None:  # not Twilio's word
                raise
        raise PermissionMissingError(refusal, code=code)

    def _readable(self, call: Callable[[], T]) -> T | None:
        """Call the SDK. Return None when the credentials are valid but may not read it."""
        try:
            return self._ask(call, "")
        except PermissionMissingError:
            return None

    def _refusal(self, reply: Reply) -> ProviderError | None:
        """Return what an answer refuses, None for a success. The vendor's sentence is never passed on."""
        by_status = reason_for_status(reply.status)
        if by_status is None:
            return None
        code, sentence = _envelope(reply)
        detail = f"Twilio answers HTTP {reply.status}"
        if code is None:
            return _error(by_status, detail, None)  # not Twilio's envelope: even a 404 is not Twilio's word
        detail = f"{detail}, code {code}"
        has_failed = by_status is Reason.PROVIDER_OUTAGE  # then its code does not tell of us
        if code not in self._overrides and code not in ERROR_CODES:
            self._observer.code_unmapped(str(code))
        if reply.status == 404:
            return NotFoundError(detail, code=str(code))
        if code == _NOT_AUTHORIZED and not has_failed and (permission := _missing_permission(sentence)):
            return PermissionMissingError(f"the key lacks the permission {permission}", code=str(code))
        if code in self._overrides:
            return _error(self._overrides[code], detail, code)
        if code in ERROR_CODES and not has_failed:
            return _error(ERROR_CODES[code].reason, detail, code)
        return _error(by_status, detail, code)


def _error(reason: Reason, detail: str, code: int | None) -> ProviderError:
    given = None if code is None else str(code)
    if reason is Reason.PERMISSION_MISSING:
        return PermissionMissingError(detail, code=given)
    return ProviderError(reason, detail, code=given)


def _envelope(reply: Reply) -> tuple[int | None, str]:
    """Return code and sentence of an error: ``{code, message}``, or RFC 9457 with ``{code, detail}``."""
    try:
        payload = reply.json()
    except BadResponseError:
        return None, ""
    if not isinstance(payload, dict):
        return None, ""
    sentence = payload.get("message", payload.get("detail"))
    return _code(payload.get("code")), sentence if isinstance(sentence, str) else ""


def _missing_permission(sentence: str) -> str | None:
    """Return the permission that a sentence of Twilio's names. Nothing else of it is ever passed on."""
    found = _MISSING_PERMISSION.search(sentence)
    return None if found is None or _NUMBER_LIKE.search(found[1]) else found[1]


def _code(value: Any) -> int | None:
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    return int(text) if re.fullmatch(r"[1-9]\d{0,6}", text, re.ASCII) else None


# ---- the SDK


def _build_sdk(settings: TwilioSettings, http: Http, refusal: Callable[[Reply], ProviderError | None]) -> "Client":
    """Return the SDK on our transport: our deadlines, our errors, no other host.

    An answer that refuses never reaches the SDK, whose lists turn it into an error without status and code.
    """
    from twilio.http import HttpClient
    from twilio.http.response import Response
    from twilio.rest import Client

    logger = logging.getLogger("twilio.http_client")  # prints URLs, in which phone numbers stand
    logger.setLevel(logging.CRITICAL)

    class Transport(HttpClient):
        def request(
            self,
            method: str,
            uri: str,
            params: Mapping[str, Any] | None = None,
            data: Mapping[str, Any] | None = None,
            headers: Mapping[str, str] | None = None,
            auth: tuple[str, str] | None = None,
            timeout: float | None = None,  # noqa: ARG002  # ours rules
            allow_redirects: bool = False,  # noqa: ARG002  # never
        ) -> Response:
            reply = http.request(
                method,
                uri,
                params=params,
                data=data,
                headers=headers,
                auth=auth,
                body_limit_bytes=_body_limit_bytes.get(),
            )
            problem = refusal(reply)
            if problem is not None:
                raise problem
            return Response(reply.status, reply.body.decode(), reply.headers)

    secret = settings.api_key_secret or settings.auth_token
    return Client(
        username=settings.api_key or settings.account_sid,
        password=secret.reveal() if secret is not None else "",
        account_sid=settings.account_sid,
        http_client=Transport(logger, is_async=False),
        environment=_NO_ENVIRONMENT,
    )


_body_limit_bytes: ContextVar[int] = ContextVar("body_limit_bytes", default=BODY_LIMIT_BYTES)


@contextmanager
def _body_limit(count: int) -> Iterator[None]:
    """Let the SDK's calls inside read so many bytes of an answer."""
    token = _body_limit_bytes.set(count)
    try:
        yield
    finally:
        _body_limit_bytes.reset(token)


@contextmanager
def _documented_shape() -> Iterator[None]:
    """Turn what the SDK raises over an answer of another shape into BadResponseError. Wraps nothing but SDK calls."""
    from twilio.base.exceptions import TwilioException

    try:
        yield
    except (
        AttributeError,
        TypeError,
        LookupError,
        ValueError,
        ArithmeticError,
        RecursionError,
        TwilioException,
    ):
        raise BadResponseError("Twilio's answer is not of the documented shape") from None


# ---- what answers say


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise BadResponseError(f"Twilio gives no {what}")
    return value


def _number(value: Any, what: str) -> float:
    """Return a number that came as text or as a number: the documentation has both."""
    text = value if isinstance(value, str) else str(value) if type(value) in (int, float, Decimal) else ""
    if not re.fullmatch(r"[+-]?\d{1,18}(\.\d*)?(E[+-]?\d{1,3})?", text, re.ASCII | re.IGNORECASE):
        raise BadResponseError(f"Twilio's {what} is no number")
    number = float(text)
    if not math.isfinite(number):
        raise BadResponseError(f"Twilio's {what} is no number")
    return number


def _currency(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z]{3}", value):
        raise BadResponseError("Twilio gives no currency")
    return value.upper()


def _day(value: Any) -> date:
    if not isinstance(value, date):
        raise BadResponseError("Twilio gives no date of a usage record")
    return value


def _account_state(value: Any) -> AccountState:
    try:
        return AccountState(_text(value, "account status"))
    except ValueError:
        raise BadResponseError("Twilio gives an unknown account status") from None


def _has_parent(account: "AccountInstance") -> bool:
    owner = account.owner_account_sid  # an account without a parent owns itself (twilio-oai: Account)
    return isinstance(owner, str) and owner not in ("", account.sid)


def _has_approved(profiles: Sequence[Any]) -> bool:
    """Return whether an account's own profile is approved.

    Where only secondary ones are to be seen, an approved one will do: it needs an approved primary one
    (https://www.twilio.com/docs/trust-hub/trusthub-rest-api/api-create-secondary-customer-profile).
    """
    own = [profile for profile in profiles if profile.policy_sid != _SECONDARY_PROFILE]
    return any(_text(profile.status, "profile status") == "twilio-approved" for profile in own or profiles)


@dataclass(frozen=True, slots=True)
class _Pool:
    size: int
    has_long_code: bool  # of country code 1: those need an A2P campaign to send to the US
    has_us_long_code: bool


def _pool(service: Any) -> _Pool:
    """Count the senders of a messaging service. Those per destination are asked for when there is no other."""
    limits = {"limit": _PAGE_SIZE, "page_size": _PAGE_SIZE}
    numbers = [_text(entry.phone_number, "number in a pool") for entry in service.phone_numbers.list(**limits)]
    size = len(numbers) + len(service.short_codes.list(**limits)) + len(service.alpha_senders.list(**limits))
    if size == 0:
        size = len(service.destination_alpha_senders.list(**limits))
    long_codes = [number for number in numbers if number.startswith("+1") and not _TOLL_FREE.fullmatch(number)]
    return _Pool(
        size=size,
        has_long_code=bool(long_codes),
        has_us_long_code=any(country_of(number) == "US" for number in long_codes),
    )


def _toll_free_problem(verifications: Sequence[Any]) -> str | None:
    """Return what keeps a toll-free number from sending (twilio-oai: tollfree_verification status)."""
    states = {_text(entry.status, "verification status") for entry in verifications}
    if not states:
        return "toll-free verification is missing"
    if "TWILIO_APPROVED" in states:
        return None
    if states & {"PENDING_REVIEW", "IN_REVIEW"}:
        return "toll-free verification is pending"
    return "toll-free verification is rejected"


def _campaign_problem(campaigns: Sequence[Any]) -> str | None:
    """Return what keeps a service from sending to the US; the status is free text with these examples."""
    states = {_text(entry.campaign_status, "campaign status") for entry in campaigns}
    if not states:
        return "no A2P campaign is registered"
    if "VERIFIED" in states:
        return None
    if states & {"PENDING", "IN_PROGRESS"}:
        return "the A2P campaign is not verified yet"
    if "SUSPENDED" in states:
        return "the A2P campaign is suspended"
    return "the A2P campaign has failed" if "FAILED" in states else "the A2P campaign is not verified"


def _enabled_by_country(permissions: Any) -> Mapping[str, bool]:
    if not isinstance(permissions, list):
        raise BadResponseError("Twilio gives no country permissions")
    enabled: dict[str, bool] = {}
    for entry in permissions:
        if not isinstance(entry, dict):
            raise BadResponseError("Twilio gives no country permissions")
        country, is_enabled = entry.get("country_code"), entry.get("enabled")
        if isinstance(country, str) and isinstance(is_enabled, bool):
            enabled[country] = enabled.get(country, True) and is_enabled
    return enabled


# ---- messages

# https://support.twilio.com/hc/en-us/articles/223134347 and twilio-oai (Message.status). A code that arrived
# in part is no code, and a message that was read had arrived.
_STATUSES: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "accepted": Status.ACCEPTED,
        "scheduled": Status.ACCEPTED,
        "queued": Status.ACCEPTED,
        "sending": Status.ACCEPTED,
        "sent": Status.SENT,
        "delivered": Status.DELIVERED,
        "read": Status.DELIVERED,
        "undelivered": Status.UNDELIVERED,
        "partially_delivered": Status.UNDELIVERED,
        "failed": Status.FAILED,
        "canceled": Status.CANCELED,
    }
)

_MESSAGE_SID: Final = re.compile(r"(SM|MM)[0-9a-fA-F]{32}")
_OUTBOUND: Final = ("outbound-api", "outbound-call", "outbound-reply")
_INBOUND: Final = "inbound"


@dataclass(frozen=True, slots=True)
class _Dates:
    created_at: datetime
    last_at: datetime  # the later of created and sent


def _dates(row: Mapping[str, Any]) -> _Dates:
    created_at = _moment(row.get("date_created"))
    if created_at is None:
        raise BadResponseError("a message has no date")
    sent_at = _moment(row.get("date_sent"))
    return _Dates(created_at, created_at if sent_at is None else max(created_at, sent_at))


def _receipt(
    row: Mapping[str, Any], created_at: datetime, failure: Callable[[int], tuple[Reason, bool]]
) -> Receipt | None:
    """Return what a row of the log says, None for an inbound message."""
    if row.get("direction") == _INBOUND:
        return None
    message_id = _text(row.get("sid"), "message SID")
    if not _MESSAGE_SID.fullmatch(message_id):
        raise BadResponseError("a message has a malformed SID")
    status = _STATUSES.get(_text(row.get("status"), "message status"))
    if status is None or row.get("direction") not in _OUTBOUND:
        raise BadResponseError("a message has an unknown status or direction")
    reason, code, is_mapped = None, None, True
    if status in (Status.UNDELIVERED, Status.FAILED):
        code = _code(row.get("error_code"))
        reason, is_mapped = (Reason.DELIVERY_FAILING, True) if code is None else failure(code)
    return Receipt(
        message_id=message_id,
        status=status,
        created_at=created_at,
        country=country_of(_recipient(row)),
        reason=reason,
        code=None if code is None else str(code),
        code_is_mapped=is_mapped,
        delivery_seconds=_delivery_seconds(row, created_at),
    )


class _Seen:
    """Remembers things for a while: the last few thousand."""

    _MOST: Final = 5000

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._older: set[int] = set()

    def add(self, thing: Any) -> bool:
        """Remember a thing of JSON; return whether it is new."""
        digest = hash(json.dumps(thing, sort_keys=True))
        if digest in self._recent or digest in self._older:
            return False
        self._recent.add(digest)
        if len(self._recent) >= self._MOST:
            self._recent, self._older = set(), self._recent
        return True


def _recipient(row: Mapping[str, Any]) -> str:
    """Return the recipient's number, as far as the log still has it; it may have a channel ("whatsapp:") before it."""
    recipient = row.get("to")
    return recipient if isinstance(recipient, str) else ""


def _delivery_seconds(row: Mapping[str, Any], created_at: datetime) -> float | None:
    if row.get("status") != "delivered":  # "read" moves date_updated on
        return None
    updated_at = _moment(row.get("date_updated"))
    return None if updated_at is None else max(0.0, (updated_at - created_at).total_seconds())


def _moment(value: Any) -> datetime | None:
    """Return an RFC 2822 date, None when there is none."""
    if value is None or value == "":
        return None
    try:
        moment = parsedate_to_datetime(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError):
        raise BadResponseError("a message has a date that is none") from None
