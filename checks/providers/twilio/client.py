"""Twilio's API in our words: account, money, senders, permissions and the message log."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ...clients import Account, AccountState, CountryPermissions, Money, RecentSpend, Sender, ServiceStatus
from ...errors import BadResponseError, NotFoundError, PermissionMissingError, ProviderError
from ...messages import Receipt, mask_number
from ...reason import Reason
from ..http import BODY_LIMIT_BYTES, Http, Reply, reason_for_status
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
from .codes import ERROR_CODES, MISSING_PERMISSION, NO_SUCH_RESOURCE, NOT_AUTHORIZED, NUMBER_LIKE
from .log import MESSAGE_SID, Seen, parse_dates, parse_receipt
from .sdk import PAGE_SIZE, body_limit, build_sdk, documented_shape
from .settings import TwilioSettings

if TYPE_CHECKING:
    from twilio.rest.api.v2010.account import AccountInstance

T = TypeVar("T")


_HOSTS: Final = ("api.twilio.com", "messaging.twilio.com", "accounts.twilio.com", "trusthub.twilio.com")

_LOG_PAGE_LIMIT_BYTES: Final = 4 * BODY_LIMIT_BYTES  # 1000 messages of 1600 escaped letters each, and the rest

_SLACK: Final = timedelta(minutes=1)
_OLD_IN_A_ROW: Final = 100
_SOME_ROWS: Final = 5

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
        self._unreadable = Seen()
        self._sdk = build_sdk(settings, self._http, self._refusal)

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
        for rows in self._log_pages(page_size=PAGE_SIZE, body_limit_bytes=_LOG_PAGE_LIMIT_BYTES):
            understood = 0
            for row in rows:
                try:
                    dates = parse_dates(row)
                    old_in_a_row = old_in_a_row + 1 if dates.last_at < since - _SLACK else 0
                    receipt = parse_receipt(row, dates.created_at, self._failure) if dates.created_at >= since else None
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
        is_told_by_sid = isinstance(sid, str) and MESSAGE_SID.fullmatch(sid)
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
        with documented_shape(), body_limit(body_limit_bytes):
            page: Page | None = Rows(api, api.page("GET", uri, params={"PageSize": page_size}))
        while page is not None:
            with documented_shape():
                rows = list(page)
            yield rows
            with documented_shape(), body_limit(body_limit_bytes):
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
