"""Twilio's API in our words: account, money, senders, permissions and the message log."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlencode

from ...callbacks import Callback, CallbackOutcome, CallbackRefusedError
from ...clients import (
    Account,
    AccountState,
    CanaryStatus,
    CountryPermissions,
    LogPage,
    Money,
    NumberLookup,
    RecentSpend,
    Sender,
    ServiceStatus,
)
from ...errors import BadResponseError, NotFoundError, PermissionMissingError, ProviderError
from ...messages import Receipt, mask_number
from ...messages.verification import Attempt
from ...reason import Reason
from ..http import BODY_LIMIT_BYTES, Http, Reply, reason_for_status
from ..json_api import clock_of
from ..limiter import RateLimiter
from ..observer import NoObserver, Observer
from ..statuspage import StatuspageClient
from .answers import (
    TOLL_FREE,
    campaign_problem,
    enabled_by_country,
    fetch_pool,
    has_approved,
    has_parent,
    parse_account_state,
    parse_code,
    parse_currency,
    parse_day,
    parse_number,
    parse_text,
    toll_free_problem,
)
from .attempts import PATH as ATTEMPTS_PATH
from .attempts import REQUESTS_A_MINUTE, Attempts
from .callbacks import Callbacks
from .codes import ERROR_CODES, MISSING_PERMISSION, NO_SUCH_RESOURCE, NOT_AUTHORIZED, NUMBER_LIKE
from .log import MESSAGE_SID, MessageLog
from .lookup import FIELDS as LOOKUP_FIELDS
from .lookup import parse_lookup
from .paging import bookmark_of, first_query, parse_bookmark
from .sdk import PAGE_SIZE, build_sdk, credentials_of, documented_shape
from .sending import form_of, parse_sid, parse_status
from .settings import TwilioSettings
from .signature import IDEMPOTENCY, SETTINGS, SIGNATURE

if TYPE_CHECKING:
    from twilio.rest.api.v2010.account import AccountInstance

T = TypeVar("T")


_API: Final = "https://api.twilio.com"
_HOSTS: Final = (
    "api.twilio.com",
    "messaging.twilio.com",
    "accounts.twilio.com",
    "trusthub.twilio.com",
    "verify.twilio.com",
    "lookups.twilio.com",
)

_LOG_PAGE_LIMIT_BYTES: Final = 4 * BODY_LIMIT_BYTES  # 1000 messages of 1600 escaped letters each, and the rest

_SERVICE_SID: Final = re.compile(r"MG[0-9a-fA-F]{32}")

_TOTAL: Final = "totalprice"  # the usage category that sums up all others

_TRIAL: Final = "a trial account sends to verified numbers only"
_NO_PROFILE: Final = "no compliance profile is approved, so it sends to verified numbers only"
_PROFILE_OF_PARENT: Final = "compliance profile: the parent account's"

_CAMPAIGN_NOT_JUDGED: Final = "A2P campaign: not judged without US in countries"

_KEY_MAY_NOT_READ_ACCOUNT: Final = (
    "a standard API key may not read the account; use the Auth Token or a main key, or remove this check"
)


class TwilioClient:
    """One Twilio account, API version 2010-04-01 and its younger sisters. Safe to use from several threads."""

    signed_headers: Final[Sequence[str]] = (SIGNATURE, SETTINGS, IDEMPOTENCY)

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
            requests_per_second=settings.max_requests_per_second,
            observer=observer,
        )
        self._page = StatuspageClient(settings.status_page, timeout_seconds=settings.timeout, observer=observer)
        self._auth = credentials_of(settings)
        self._log_path = f"/2010-04-01/Accounts/{settings.account_sid}/Messages.json"
        self._log = MessageLog(self._observer, self._failure)
        self._attempts = Attempts(
            self._ask_for_attempts, RateLimiter(REQUESTS_A_MINUTE, window_seconds=60.0), self._observer
        )
        self._callbacks = self._build_callbacks(settings)
        self.takes_callbacks: Final = settings.callbacks is not None
        self.forward_to: Final = None if settings.callbacks is None else settings.callbacks.forward_to
        self._sdk = build_sdk(settings, self._http, self._refusal)

    def _build_callbacks(self, settings: TwilioSettings) -> Callbacks | None:
        if settings.callbacks is None:
            return None
        auth_token = settings.callbacks.auth_token or settings.auth_token
        assert auth_token is not None, "the settings see to that"  # noqa: S101
        return Callbacks(
            settings.callbacks,
            account_sid=settings.account_sid,
            auth_token=auth_token,
            failure=self._failure,
        )

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()
        self._page.close()

    def read_callback(self, callback: Callback) -> Sequence[Receipt]:
        """Return the receipts in a post of Twilio's. Raises CallbackRefusedError."""
        if self._callbacks is None:
            raise CallbackRefusedError(CallbackOutcome.UNKNOWN_TARGET)
        return self._callbacks.read(callback)

    def read_attempts(self, *, since: float, until: float) -> Iterator[Sequence[Attempt]]:
        """Yield the verification attempts by SMS created between two moments (Unix time), newest first, by page."""
        return self._attempts.read(since=since, until=until)

    def _ask_for_attempts(self, query: str) -> Reply:
        url = f"https://verify.twilio.com{ATTEMPTS_PATH}?{query}"
        reply = self._http.request("GET", url, auth=self._auth, body_limit_bytes=_LOG_PAGE_LIMIT_BYTES, yields=True)
        return self._accepted(reply)

    def send_canary(self, *, to: str, sender: str, text: str, validity_seconds: int) -> str:
        """Send one message, once, and return its SID."""
        form = form_of(to=to, sender=sender, text=text, validity_seconds=validity_seconds)
        url = f"{_API}{self._log_path}"
        return parse_sid(self._accepted(self._http.request("POST", url, data=form, auth=self._auth)))

    def fetch_canary(self, message_id: str) -> CanaryStatus:
        """Return how far a message has come."""
        url = f"{_API}{self._log_path.removesuffix('.json')}/{message_id}.json"
        return parse_status(self._accepted(self._http.request("GET", url, auth=self._auth)), self._failure)

    def find_messages(self, number: str, *, limit: int) -> Sequence[Receipt]:
        """Return the latest messages to a number, newest first."""
        query = urlencode({"To": number, "PageSize": limit})
        body = self._accepted(self._ask_log(query)).body
        return self._log.parse_page(body, since=-math.inf, until=math.inf).receipts

    def find_message(self, message_id: str) -> Receipt | None:
        """Return one message; None when there is none of that SID."""
        if not MESSAGE_SID.fullmatch(message_id):
            return None
        url = f"{_API}{self._log_path.removesuffix('.json')}/{message_id}.json"
        try:
            reply = self._accepted(self._http.request("GET", url, auth=self._auth))
        except NotFoundError:
            return None
        page = b'{"messages":[%s]}' % reply.body
        found = self._log.parse_page(page, since=-math.inf, until=math.inf).receipts
        if not found:
            raise BadResponseError("the message is not an outbound one, or cannot be understood")
        return found[0]

    def find_attempts(self, number: str, *, since: float) -> Sequence[Attempt] | None:
        """Return the verification attempts for a number; None when they may not be read."""
        try:
            return self._attempts.find(number, since=since)
        except PermissionMissingError:
            return None

    def look_up_number(self, number: str) -> NumberLookup:
        """Return what Twilio Lookup knows of a number. Billed by line type intelligence."""
        url = f"https://lookups.twilio.com/v2/PhoneNumbers/{quote(number)}"
        return parse_lookup(
            self._accepted(self._http.request("GET", url, params={"Fields": LOOKUP_FIELDS}, auth=self._auth))
        )

    def fetch_service_status(self) -> ServiceStatus:
        """Return what Twilio's status page says."""
        return self._page.fetch_service_status()

    def verify_credentials(self) -> None:
        """Read one message, which the Auth Token and standard API keys may do."""
        self._log.parse_page(
            self._accepted(self._ask_log(first_query(0, None, page_size=1))).body, since=math.inf, until=math.inf
        )

    def fetch_account(self) -> Account:
        """Return the account's state. Of an account in use, also what restricts it.

        A standard API key may not read ``/Accounts`` and is refused with the code of a wrong secret
        (https://www.twilio.com/docs/iam/api-keys): another call tells the two apart.
        """
        account = self._ask_for_account()
        state = parse_account_state(account.status)
        if state is not AccountState.ACTIVE:
            return Account(state=state)
        if parse_text(account.type, "account type") == "Trial":
            return Account(state=state, restriction=_TRIAL)
        if has_parent(account):
            return Account(state=state, unreadable=(_PROFILE_OF_PARENT,))
        profiles = self._readable(
            lambda: self._sdk.trusthub.v1.customer_profiles.list(limit=PAGE_SIZE, page_size=PAGE_SIZE)
        )
        if profiles is None:
            return Account(state=state, unreadable=("compliance profiles",))
        # Without an approved one the account behaves like a trial: https://www.twilio.com/docs/api/errors/21608
        return Account(state=state, restriction=None if has_approved(profiles) else _NO_PROFILE)

    def _ask_for_account(self) -> "AccountInstance":
        refusal = _KEY_MAY_NOT_READ_ACCOUNT if self._uses_key else "these credentials may not read the account"
        return self._ask(self._sdk.api.v2010.accounts(self._account_sid).fetch, refusal)

    def fetch_balance(self) -> Money | None:
        """Return the balance; None for a sub-account, which has none (twilio-oai: Balance)."""
        try:
            balance = self._ask(self._sdk.balance.fetch, "these credentials may not read the balance")
        except NotFoundError as error:
            if error.code != NO_SUCH_RESOURCE or not self._may_be_sub_account():
                raise
            return None
        return Money(amount=parse_number(balance.balance, "balance"), currency=parse_currency(balance.currency))

    def _may_be_sub_account(self) -> bool:
        """Return whether the account has a parent. Valid credentials that may not read that are taken for a yes."""
        try:
            return has_parent(self._ask_for_account())
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
        by_day = {parse_day(record.start_date): parse_number(record.price, "price") for record in days}
        return RecentSpend(
            total=Money(amount=parse_number(ever[0].price, "price"), currency=parse_currency(ever[0].price_unit)),
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
        if not TOLL_FREE.fullmatch(number):
            return Sender(label=label, sends_sms=capabilities["sms"])
        sid = parse_text(ours.sid, "number's SID")
        verifications = self._readable(
            lambda: self._sdk.messaging.v1.tollfree_verifications.list(tollfree_phone_number_sid=sid, limit=PAGE_SIZE)
        )
        return Sender(
            label=label,
            sends_sms=capabilities["sms"],
            registration_problem=None if verifications is None else toll_free_problem(verifications),
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
        pool = self._readable(lambda: fetch_pool(service))
        if pool is None:
            unreadable.append("sender pool")
        problem = None
        if "US" not in countries:
            if pool is not None and pool.has_us_long_code:
                unreadable.append(_CAMPAIGN_NOT_JUDGED)
        elif pool is None or pool.has_long_code:
            campaigns = self._readable(lambda: service.us_app_to_person.list(limit=PAGE_SIZE))
            if campaigns is None:
                unreadable.append("A2P campaign")
            else:
                problem = campaign_problem(campaigns)
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
        enabled = enabled_by_country(answer.permissions)
        return CountryPermissions(
            refused=tuple(country for country in countries if enabled.get(country) is False),
            unknown=tuple(country for country in countries if country not in enabled),
        )

    def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
        """Return one page of outbound messages created at or after ``since`` and before ``until``, newest first.

        The newest page is read without a filter: those for ``DateSent`` work by whole days and leave out what was
        never sent. With ``until`` they are used, a day wider than asked for, and what is too much is cut away here.
        Checks go first at the limit of requests.
        """
        query = first_query(since, until) if resume is None else parse_bookmark(resume)
        reply = self._ask_log(query, body_limit_bytes=_LOG_PAGE_LIMIT_BYTES, yields=True)
        if resume is not None and reply.status in (400, 404):
            raise BadResponseError("Twilio's message log no longer has this page")
        page = self._log.parse_page(self._accepted(reply).body, since=since, until=math.inf if until is None else until)
        following = bookmark_of(page.next_page_uri, self._log_path)
        if following is not None and following == resume:
            raise BadResponseError("Twilio's message log pages in a circle")
        at = clock_of(reply.headers, now=self._now().timestamp())
        return LogPage(receipts=page.receipts, resume=following, reached=page.reached, at=at)

    def _ask_log(self, query: str, *, body_limit_bytes: int = BODY_LIMIT_BYTES, yields: bool = False) -> Reply:
        """Ask for a page of the log, past the SDK: its message objects cost more than all our work on them."""
        url = f"{_API}{self._log_path}?{query}"
        return self._http.request("GET", url, auth=self._auth, body_limit_bytes=body_limit_bytes, yields=yields)

    def _accepted(self, reply: Reply) -> Reply:
        problem = self._refusal(reply)
        if problem is not None:
            raise problem
        return reply

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
            with documented_shape():
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
        if code == NOT_AUTHORIZED and not has_failed and (permission := _missing_permission(sentence)):
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
    return parse_code(payload.get("code")), sentence if isinstance(sentence, str) else ""


def _missing_permission(sentence: str) -> str | None:
    """Return the permission that a sentence of Twilio's names. Nothing else of it is ever passed on."""
    found = MISSING_PERMISSION.search(sentence)
    return None if found is None or NUMBER_LIKE.search(found[1]) else found[1]
