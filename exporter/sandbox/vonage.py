"""The emulated Vonage: balance, Reports API and SMS API over the traffic that all vendors share.

Source: github.com/Nexmo/api-specification ad04200 (account 1.0.3, sms 1.0.10, reports 2.1.17), and of paging
https://developer.vonage.com/en/reports/guides/how-to-handle-pagination, read 2026-11.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from checks.secret import Secret

from .account import Account
from .credentials import derive_hex
from .emulator import Emulator, Ground
from .gate import RETRY_AFTER_SECONDS, Gate
from .message import Message
from .outbox import Post
from .wallet import CURRENCY, format_micros
from .wire import parse_form

PAGE_SIZE: Final = 1000
LONGEST_SECONDS: Final = 86_400
STATUS_DELIVERED: Final = ("delivered", "0")

# What the world's own codes are on this wire: status and err-code. It knows no landline and no fault of its own.
FATES: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        21408: ("rejected", "54"),
        21610: ("rejected", "53"),
        30001: ("rejected", "16"),
        30003: ("failed", "2"),
        30004: ("failed", "4"),
        30005: ("failed", "9"),
        30006: ("failed", "9"),
        30007: ("failed", "6"),
        30008: ("failed", "99"),
        30017: ("failed", "8"),
        30036: ("expired", "0"),
        30500: ("rejected", "99"),
    }
)

# The faults under which a send is refused: sms.yml, x-errors.
REFUSED_SENDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "account_suspended": "8",
        "balance_exhausted": "9",
        "sender_invalid": "15",
        "account_restricted": "29",
    }
)


def api_key(account: Account) -> str:
    """Return the account's API key."""
    return derive_hex("vonage", account.seed, "api key")[:8]


def api_secret(account: Account) -> str:
    """Return the account's API secret."""
    return derive_hex("vonage", account.seed, "api secret")[:16]


def signature_secret(account: Account) -> str:
    """Return the secret that signs delivery receipts, by HMAC with SHA-256."""
    return derive_hex("vonage", account.seed, "signature secret")


def message_id(message: Message) -> str:
    """Return Vonage's id of a message."""
    return str(UUID(message.sid[2:]))


def build(ground: Ground) -> ASGIApp:
    """Return the application that answers like Vonage."""
    wire = _Wire(ground.account, ground.clock)
    routes = [
        Route("/account/get-balance", wire.get_balance),
        Route("/v2/reports/records", wire.get_records),
        Route("/sms/json", wire.send, methods=["POST"]),
    ]
    return Gate(Starlette(routes=routes), ground.account.switches, ground.closing, refuse=_refuse)


def _refuse(fault: str, _request: Request) -> Response:
    if fault == "rate_limited":
        return _problem(429, "throttled", "Throttled", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    return _problem(503, "unavailable", "Service unavailable")


def _problem(status: int, kind: str, title: str, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    problem = {
        "type": f"https://developer.nexmo.com/api-errors#{kind}",
        "title": title,
        "detail": title,
        "instance": derive_hex("vonage", "instance"),
    }
    return JSONResponse(problem, status, headers)


class _Wire:
    """The endpoints."""

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
        self._account = account
        self._clock = clock

    def _knows(self, key: str | None, secret: str | None) -> bool:
        is_off = not self._account.switches.is_on("credentials_rejected")
        return is_off and (key, secret) == (api_key(self._account), api_secret(self._account))

    async def get_balance(self, request: Request) -> Response:
        """Answer with the balance: account.yml."""
        query = request.query_params
        if not self._knows(query.get("api_key"), query.get("api_secret")):
            return JSONResponse({"error-code": "401", "error-code-label": "authentication failed"}, 401)
        self._account.advance(self._clock())
        return JSONResponse({"value": float(self._account.balance), "autoReload": True})

    async def get_records(self, request: Request) -> Response:
        """Answer with a page of records, in no particular order: reports.yml."""
        query, account, now = request.query_params, self._account, self._clock()
        if not self._knows(*_parse_basic(request.headers.get("authorization", ""))):
            return _problem(401, "unauthorized", "Unauthorized")
        if account.switches.is_on("permission_missing") or query.get("account_id") != api_key(account):
            return _problem(403, "forbidden", "Forbidden")
        if (query.get("product"), query.get("direction")) != ("SMS", "outbound"):
            return _problem(422, "invalid-filter", "Unprocessable entity")
        account.advance(now)
        report: dict[str, Any] = {
            "_links": {"self": {"href": f"https://api.nexmo.com{request.url.path}"}},
            "request_id": str(UUID(derive_hex("vonage", "request", now))),
            "request_status": "SUCCESS",
            "received_at": _date(now),
            "price": 0.0,
            "currency": CURRENCY,
            "account_id": api_key(account),
            "product": "SMS",
            "direction": "outbound",
            "include_message": False,
        }
        if "id" in query:
            found = [account.find_message(f"SM{each.replace('-', '')}") for each in query["id"].split(",")]
            records = [_record(account, each, now) for each in found if each is not None]
            return JSONResponse({**report, "items_count": len(records), "records": records})
        try:
            since, until = (datetime.fromisoformat(query[name]).timestamp() for name in ("date_start", "date_end"))
            start = int(query.get("cursor", "0"))
        except (KeyError, ValueError):
            return _problem(422, "invalid-parameters", "Unprocessable entity")
        if not 0 < until - since <= LONGEST_SECONDS:
            return _problem(422, "invalid-parameters", "Unprocessable entity")
        oldest_first = sorted(
            (each for each in account.messages() if since <= int(each.created) < until), key=lambda each: each.created
        )
        page = oldest_first[start : start + PAGE_SIZE]
        if start + PAGE_SIZE < len(oldest_first):
            report |= {"request_status": "TRUNCATED", "cursor": str(start + PAGE_SIZE), "iv": "c2FuZGJveA"}
            report["_links"]["next"] = {"href": "https://api.nexmo.com/v2/reports/records"}
        records = [_record(account, each, now) for each in page]
        return JSONResponse({**report, "items_count": len(records), "records": records})

    async def send(self, request: Request) -> Response:
        """Send a message: sms.yml. What is refused is told with HTTP 200."""
        form, account = parse_form(await request.body()), self._account
        status = self._find_refusal(form)
        if status is not None:
            refused = {"status": status, "error-text": "refused by the sandbox"}
            return JSONResponse({"message-count": "1", "messages": [refused]})
        account.advance(self._clock())
        message = account.submit(to=f"+{form['to']}", sender=form["from"], service_sid=None, body=form["text"])
        sent = {
            "to": form["to"],
            "message-id": message_id(message),
            "status": "0",
            "remaining-balance": account.balance,
            "message-price": format_micros(message.price_micros, digits=8),
            "network": _network(message),
        }
        return JSONResponse({"message-count": "1", "messages": [sent]})

    def _find_refusal(self, form: Mapping[str, str]) -> str | None:
        if not all(form.get(name) for name in ("api_key", "api_secret", "from", "to", "text")):
            return "2"
        if not self._knows(form["api_key"], form["api_secret"]):
            return "4"
        for fault, status in REFUSED_SENDS.items():
            if self._account.switches.is_on(fault):
                return status
        return "6" if not form["to"].isdecimal() or form["to"].startswith("0") else None


def _parse_basic(authorization: str) -> tuple[str, str]:
    try:
        key, _, secret = base64.b64decode(authorization.removeprefix("Basic "), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return key, secret


def _date(moment: float) -> str:
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


def _network(message: Message) -> str:
    return f"{message.operator.mcc}{message.operator.mnc}" if message.operator else "UNKNOWN"


def _status(message: Message, last: str) -> tuple[str, str]:
    """Return Vonage's status and err-code of a message that came to one of the world's statuses."""
    if last == "delivered":
        return STATUS_DELIVERED
    if last in ("undelivered", "failed"):
        return FATES[message.error_code or 30008]
    return "accepted", "0"


def _record(account: Account, message: Message, now: float) -> Mapping[str, Any]:
    status, code = _status(message, message.status_at(now))
    is_closed = message.is_closed_at(now)
    record = {
        "account_id": api_key(account),
        "message_id": message_id(message),
        "client_ref": "",
        "direction": "outbound",
        "from": message.sender.removeprefix("+"),
        "to": message.to.removeprefix("+"),
        "network": _network(message),
        "network_name": message.operator.name if message.operator else "Unknown",
        "country": message.country.code if message.country else "",
        "country_name": message.country.code if message.country else "",
        "date_received": _date(message.created),
        "status": status,
        "error_code": code,
        "error_code_description": "",
        "currency": CURRENCY,
        "total_price": message.price_micros / 1_000_000,
    }
    if is_closed:
        changed_at = message.changed_at(now)
        record |= {"date_finalized": _date(changed_at), "latency": int(1000 * (changed_at - message.created))}
    return record


def post(account: Account, url: str, _signed_as: str | None, message: Message, status: str, at: float) -> Post:
    """Return a delivery receipt (sms.yml), signed by HMAC with SHA-256 as the documentation has it."""
    word, code = _status(message, status)
    fields = {
        "msisdn": message.to.removeprefix("+"),
        "to": message.sender.removeprefix("+"),
        "network-code": _network(message),
        "messageId": message_id(message),
        "price": format_micros(message.price_micros, digits=8),
        "status": word,
        "scts": datetime.fromtimestamp(at, UTC).strftime("%y%m%d%H%M"),
        "err-code": code,
        "api-key": api_key(account),
        "message-timestamp": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "timestamp": str(int(at)),
        "nonce": str(UUID(derive_hex("vonage", "nonce", message.sid, status))),
    }
    signed = "".join(f"&{name}={fields[name].replace('&', '_').replace('=', '_')}" for name in sorted(fields))
    fields["sig"] = hmac.digest(signature_secret(account).encode(), signed.encode(), "sha256").hex().upper()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "Nexmo/MessagingHUB/v1.0"}
    return Post(url=url, body=urlencode(fields).encode(), headers=headers)


def _settings(account: Account) -> Mapping[str, Any]:
    return {"api_key": api_key(account), "api_secret": Secret(api_secret(account)), "currency": CURRENCY}


def _callback_settings(account: Account) -> Mapping[str, Any]:
    return {"signature_secret": Secret(signature_secret(account)), "signature_method": "sha256"}


VONAGE: Final = Emulator(
    prefix="/vonage",
    build=build,
    settings=_settings,
    callback_settings=_callback_settings,
    post=post,
    cannot_show={
        "sender_unregistered": "no call tells of registrations",
        "country_not_permitted": "no call tells of countries; messages there are rejected with 54",
    },
)
