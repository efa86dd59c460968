"""The 2010 API about the account itself: accounts, balance, usage, keys, rented numbers.

Source: https://www.twilio.com/docs/iam/api/account, /docs/usage/api/usage-record,
/docs/iam/api-keys and /docs/phone-numbers/api/incomingphonenumber-resource, read 2026-11-24.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Final

from .account import Account, PhoneNumber
from .wallet import CURRENCY, Tally, format_micros
from .wire import (
    API_VERSION,
    Call,
    Json,
    PageRequest,
    TwilioError,
    cut_page,
    iso8601,
    list_2010,
    not_found,
    rfc2822,
    whole_list_2010,
)


def _born(account: Account) -> float:
    return datetime.combine(account.wallet.born, datetime.min.time(), UTC).timestamp()


def fetch_account(call: Call) -> Json:
    """Answer with the account, Auth Token and all, as Twilio does."""
    return _render_account(call.account)


def list_accounts(call: Call) -> Json:
    """Answer with the account and its child."""
    wanted = call.query.get("Status")
    own = [call.account] if call.account.is_subaccount else [call.account, call.child]
    rows = [_render_account(each) for each in own if wanted in (None, each.status)]
    return whole_list_2010(call, "accounts", rows)


def _render_account(account: Account) -> Json:
    uri = f"/{API_VERSION}/Accounts/{account.sid}"
    born = rfc2822(_born(account))
    return {
        "status": account.status,
        "date_updated": born,
        "auth_token": account.auth_token,
        "friendly_name": "Sandbox subaccount" if account.is_subaccount else "Sandbox",
        "owner_account_sid": account.parent_sid or account.sid,
        "uri": f"{uri}.json",
        "sid": account.sid,
        "date_created": born,
        "type": account.type,
        "subresource_uris": {
            "balance": f"{uri}/Balance.json",
            "messages": f"{uri}/Messages.json",
            "incoming_phone_numbers": f"{uri}/IncomingPhoneNumbers.json",
            "keys": f"{uri}/Keys.json",
            "usage": f"{uri}/Usage.json",
        },
    }


def fetch_balance(call: Call) -> Json:
    """Answer with the balance; a child account has none (404)."""
    if call.account.is_subaccount:
        raise not_found(call.path)
    return {
        "account_sid": call.account.sid,
        "balance": call.account.balance,
        "currency": CURRENCY,
    }


def list_keys(call: Call) -> Json:
    """Answer with the API keys, without their secrets."""
    own = call.account.credentials
    born = rfc2822(_born(call.account))
    keys = [(own.api_key_sid, "standard"), (own.restricted_key_sid, "restricted, read only")]
    rows = [
        {"sid": sid, "friendly_name": name, "date_created": born, "date_updated": born}
        for sid, name in keys
        if not call.account.is_subaccount
    ]
    return whole_list_2010(call, "keys", rows)


def list_incoming_numbers(call: Call) -> Json:
    """Answer with the rented numbers; PhoneNumber filters by any part, `*` stands for a digit."""
    pattern = call.query.get("PhoneNumber", "")
    rows = [_render_number(call.account, each) for each in call.account.numbers if _matches(pattern, each.number)]
    return whole_list_2010(call, "incoming_phone_numbers", rows)


def list_short_codes(call: Call) -> Json:
    """Answer with the short codes: the account rents none."""
    return whole_list_2010(call, "short_codes", [])


def _matches(pattern: str, number: str) -> bool:
    return any(
        all(want in ("*", have) for want, have in zip(pattern, number[at:], strict=False))
        for at in range(len(number) - len(pattern) + 1)
    )


def _render_number(account: Account, number: PhoneNumber) -> Json:
    born = rfc2822(_born(account))
    return {
        "sid": number.sid,
        "account_sid": account.sid,
        "friendly_name": number.friendly_name,
        "phone_number": number.number,
        "capabilities": {"voice": True, "sms": True, "mms": False, "fax": False},
        "status": "in-use",
        "type": number.kind,
        "origin": "twilio",
        "beta": False,
        "address_requirements": "none",
        "address_sid": None,
        "bundle_sid": None,
        "identity_sid": None,
        "emergency_status": "Inactive",
        "emergency_address_sid": None,
        "emergency_address_status": "unregistered",
        "sms_application_sid": "",
        "sms_fallback_method": "POST",
        "sms_fallback_url": "",
        "sms_method": "POST",
        "sms_url": "",
        "status_callback": "",
        "status_callback_method": "POST",
        "trunk_sid": None,
        "voice_application_sid": "",
        "voice_caller_id_lookup": False,
        "voice_fallback_method": "POST",
        "voice_fallback_url": "",
        "voice_method": "POST",
        "voice_receive_mode": "voice",
        "voice_url": "",
        "date_created": born,
        "date_updated": born,
        "api_version": API_VERSION,
        "uri": f"/{API_VERSION}/Accounts/{account.sid}/IncomingPhoneNumbers/{number.sid}.json",
    }


CATEGORIES: Final[Mapping[str, tuple[str, str]]] = {  # name: description, unit
    "sms": ("SMS", "segments"),
    "sms-outbound": ("Outbound SMS", "segments"),
    "totalprice": ("Total Price", "usd"),
}
Span = tuple[date, date]


def _last_month(today: date) -> Span:
    last = today.replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last


RANGES: Final[Mapping[str, Callable[[date], Span]]] = {
    "Today": lambda today: (today, today),
    "Yesterday": lambda today: (today - timedelta(days=1), today - timedelta(days=1)),
    "ThisMonth": lambda today: (today.replace(day=1), today),
    "LastMonth": _last_month,
}
SLICES: Final[Mapping[str, Callable[[date], object]]] = {
    "Daily": lambda day: day,
    "Monthly": lambda day: (day.year, day.month),
    "Yearly": lambda day: day.year,
}


def list_usage(call: Call) -> Json:
    """Answer with usage records; the last part of the path says how time is cut."""
    today = datetime.fromtimestamp(call.now, UTC).date()
    period = call.request.path_params.get("period", "AllTime")
    if period not in {"AllTime", *RANGES, *SLICES}:
        raise not_found(call.path)
    span = RANGES[period](today) if period in RANGES else _asked_span(call, today)
    category = call.query.get("Category")
    names = [each for each in CATEGORIES if category in (None, each)]
    records = [_render_usage(call, name, each) for each in _cut_span(span, period) for name in names]
    asked = PageRequest.parse(call.query)
    done = int(asked.after) if asked.after and asked.after.isdecimal() else 0
    rows = enumerate(records[done:], start=done + 1)  # records have no SID: pages go by number
    page = cut_page(asked, rows, lambda row: row[1], lambda row: str(row[0]))
    return list_2010(call, "usage_records", page)


def _asked_span(call: Call, today: date) -> Span:
    first, last = (call.query.get(name) for name in ("StartDate", "EndDate"))
    return (
        max(_parse_day(first, today) or call.account.wallet.born, call.account.wallet.born),
        min(_parse_day(last, today) or today, today),
    )


def _parse_day(text: str | None, today: date) -> date | None:
    """Return a day written as `2026-11-24` or, relative to today, `-30days`."""
    if not text:
        return None
    try:
        if text.endswith(("days", "day")):
            return today + timedelta(days=int(text.rstrip("days")))
        return date.fromisoformat(text)
    except ValueError:
        raise TwilioError(400, 20001, "StartDate and EndDate must be dates") from None


def _cut_span(span: Span, period: str) -> Iterator[Span]:
    """Yield the span in one piece or, newest first, in the period's pieces."""
    first, last = span
    if period not in SLICES:
        yield span
        return
    days = [last - timedelta(days=n) for n in range((last - first).days + 1)]
    for _, group in groupby(days, key=SLICES[period]):
        newest, *older = group
        yield (older[-1] if older else newest), newest


def _render_usage(call: Call, category: str, span: Span) -> Json:
    used: Tally = call.account.wallet.used(*span)
    description, unit = CATEGORIES[category]
    price = format_micros(used.micros, digits=6)
    uri = f"/{API_VERSION}/Accounts/{call.account.sid}/Usage/Records.json?Category={category}"
    is_money = unit == "usd"
    return {
        "category": category,
        "description": description,
        "account_sid": call.account.sid,
        "start_date": span[0].isoformat(),
        "end_date": span[1].isoformat(),
        "as_of": iso8601(call.now).replace("Z", "+00:00"),
        "count": "" if is_money else str(used.messages),
        "count_unit": "" if is_money else "messages",
        "usage": price if is_money else str(used.segments),
        "usage_unit": unit,
        "price": price,
        "price_unit": CURRENCY.lower(),
        "api_version": API_VERSION,
        "uri": uri,
        "subresource_uris": {},
    }
