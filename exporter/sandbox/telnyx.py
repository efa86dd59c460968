"""The emulated Telnyx: balance, detail records, messages and webhooks over the traffic that all vendors share.

Source: github.com/team-telnyx/openapi 12de4dd (2026-07-16), and of webhooks
https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks, read 2026-11. That a blocked account answers
nothing, and the HTTP status of a refused send, are not documented: only the codes are.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
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

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MOST_ROWS: Final = 50
PATIENCE_SECONDS: Final = 3600.0
"""After so long without a receipt a message is called dlr_timeout. Telnyx does not say how long it waits."""

# What the world's own codes are on this wire: the status of a detail record, and the code. There is none for a
# subscriber who is barred, nor for a congested operator.
FATES: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        21408: ("gw_reject", "40309"),
        21610: ("gw_reject", "40300"),
        30001: ("gw_reject", "40318"),
        30003: ("failed", "40006"),
        30004: ("failed", "40004"),
        30005: ("failed", "40012"),
        30006: ("failed", "40001"),
        30007: ("failed", "40002"),
        30008: ("failed", "40008"),
        30017: ("failed", "40008"),
        30036: ("gw_timeout", "40014"),
        30500: ("gw_reject", "10007"),
    }
)

# What a message calls what a detail record calls otherwise.
OF_A_MESSAGE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "failed": "delivery_failed",
        "gw_reject": "sending_failed",
        "gw_timeout": "sending_failed",
        "dlr_timeout": "delivery_unconfirmed",
    }
)

TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "10005": "Resource not found",
        "10007": "Unexpected error",
        "10009": "Authentication failed",
        "10010": "Authorization failed",
        "10011": "Too many requests",
        "10015": "Bad Request",
        "20013": "Account blocked",
        "20014": "Account unverified",
        "20100": "Insufficient Funds",
        "40305": "Invalid 'from' address",
        "40310": "Invalid 'to' address",
    }
)

# The faults under which a send is refused.
REFUSED_SENDS: Final[Mapping[str, str]] = MappingProxyType(
    {"balance_exhausted": "20100", "sender_invalid": "40305", "account_restricted": "20014"}
)


def api_key(account: Account) -> str:
    """Return the account's API key."""
    return f"KEY{derive_hex('telnyx', account.seed, 'api key')}"


def signing_key(account: Account) -> "Ed25519PrivateKey":
    """Return the key that signs webhooks."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  # see the adapter

    seed = "".join(derive_hex("telnyx", account.seed, "signing key", half) for half in range(2))
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))


def message_id(message: Message) -> str:
    """Return Telnyx's id of a message."""
    return str(UUID(message.sid[2:]))


def build(ground: Ground) -> ASGIApp:
    """Return the application that answers like Telnyx."""
    wire = _Wire(ground.account, ground.clock)
    routes = [
        Route("/v2/balance", wire.get_balance),
        Route("/v2/detail_records", wire.get_records),
        Route("/v2/messages", wire.send, methods=["POST"]),
        Route("/v2/messages/{id}", wire.get_message),
    ]
    return Gate(Starlette(routes=routes), ground.account.switches, ground.closing, refuse=_refuse, admit=wire.admit)


def _refuse(fault: str, _request: Request) -> Response:
    if fault == "rate_limited":
        return _error(429, "10011", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    return _error(503, "10007")


def _error(status: int, code: str, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    error = {
        "code": code,
        "title": TITLES[code],
        "detail": TITLES[code],
        "meta": {"url": f"https://developers.telnyx.com/docs/overview/errors/{code}"},
    }
    return JSONResponse({"errors": [error]}, status, headers)


class _Wire:
    """The endpoints."""

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
        self._account = account
        self._clock = clock

    def admit(self, request: Request) -> Response | None:
        """Refuse whoever has not the key, and everybody while the account is blocked."""
        switches = self._account.switches
        is_right = request.headers.get("authorization") == f"Bearer {api_key(self._account)}"
        if not is_right or switches.is_on("credentials_rejected"):
            return _error(401, "10009")
        return _error(403, "20013") if switches.is_on("account_suspended") else None

    async def get_balance(self, _request: Request) -> Response:
        """Answer with the balance: UserBalance."""
        self._account.advance(self._clock())
        balance = self._account.balance
        data = {
            "record_type": "balance",
            "pending": "0.00",
            "balance": balance,
            "credit_limit": "0.00",
            "available_credit": balance,
            "currency": CURRENCY,
        }
        return JSONResponse({"data": data})

    async def get_records(self, request: Request) -> Response:
        """Answer with a page of records, the newest first: SearchDetailRecords."""
        query, account, now = request.query_params, self._account, self._clock()
        if account.switches.is_on("permission_missing"):
            return _error(403, "10010")
        try:
            since = datetime.fromisoformat(query["filter[created_at][gte]"]).timestamp()
            end = query.get("filter[created_at][lt]")
            until = inf if end is None else datetime.fromisoformat(end).timestamp()
            number, size = int(query.get("page[number]", "1")), int(query.get("page[size]", "20"))
        except (KeyError, ValueError):
            return _error(400, "10015")
        is_known = (query.get("filter[record_type]"), query.get("sort")) == ("messaging", "-created_at")
        if not is_known or query.get("filter[direction]") != "outbound" or number < 1 or not 1 <= size <= MOST_ROWS:
            return _error(400, "10015")
        account.advance(now)
        found = [each for each in account.messages() if since <= int(each.created) < until]
        page = found[(number - 1) * size : number * size]
        meta = {
            "page_number": number,
            "page_size": size,
            "total_pages": -(-len(found) // size),
            "total_results": len(found),
        }
        return JSONResponse({"data": [_record(each, now) for each in page], "meta": meta})

    async def send(self, request: Request) -> Response:
        """Send a message: CreateMessageRequest."""
        account = self._account
        for fault, code in REFUSED_SENDS.items():
            if account.switches.is_on(fault):
                return _error(403, code)
        try:
            sent = json.loads(await request.body())
            to, sender, text = (str(sent[name]) for name in ("to", "from", "text"))
        except (ValueError, LookupError, TypeError, RecursionError):
            return _error(400, "10015")
        if not to.startswith("+") or not to[1:].isdecimal():
            return _error(400, "40310")
        account.advance(self._clock())
        message = account.submit(to=to, sender=sender, service_sid=None, body=text)
        return JSONResponse({"data": _message(message, "queued", message.created)})

    async def get_message(self, request: Request) -> Response:
        """Answer with a message: OutboundMessagePayload."""
        self._account.advance(self._clock())
        message = self._account.find_message(f"SM{request.path_params['id'].replace('-', '')}")
        if message is None:
            return _error(404, "10005")
        now = self._clock()
        return JSONResponse({"data": _message(message, message.status_at(now), now)})


def _status(message: Message, last: str, now: float) -> tuple[str, list[str]]:
    """Return what a record calls the status of a message that came to one of the world's, and its codes."""
    if last in ("undelivered", "failed"):
        status, code = FATES[message.error_code or 30008]
        return status, [code]
    if last == "sent" and message.closed is None and now - message.created > PATIENCE_SECONDS:
        return "dlr_timeout", []
    return ("queued" if last == "accepted" else last), []


def _seconds(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _milliseconds(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def _record(message: Message, now: float) -> Mapping[str, Any]:
    """Return a MessageDetailRecord."""
    status, errors = _status(message, message.status_at(now), now)
    cost = format_micros(message.price_micros, digits=4)
    return {
        "record_type": "message_detail_record",
        "uuid": message_id(message),
        "created_at": _seconds(message.created),
        "sent_at": _seconds(message.sent) if message.is_sent_at(now) else None,
        "completed_at": _seconds(message.closed) if message.is_closed_at(now) else None,
        "updated_at": _seconds(message.changed_at(now)),
        "direction": "outbound",
        "message_type": "SMS",
        "status": status,
        "errors": errors,
        "cli": message.sender,
        "cld": message.to,
        "country_code": message.country.code if message.country else "",
        "carrier": message.operator.name if message.operator else "",
        "mcc": message.operator.mcc if message.operator else "",
        "mnc": message.operator.mnc if message.operator else "",
        "parts": message.segments,
        "rate": cost,
        "cost": cost,
        "currency": CURRENCY,
    }


def _message(message: Message, last: str, now: float) -> Mapping[str, Any]:
    """Return an OutboundMessagePayload of a message that came to one of the world's statuses."""
    status, errors = _status(message, last, now)
    is_closed = last == message.last_status
    cost = {"amount": format_micros(message.price_micros, digits=4), "currency": CURRENCY}
    return {
        "record_type": "message",
        "id": message_id(message),
        "direction": "outbound",
        "type": "SMS",
        "from": {"phone_number": message.sender, "carrier": "", "line_type": ""},
        "to": [
            {
                "phone_number": message.to,
                "status": OF_A_MESSAGE.get(status, status),
                "carrier": message.operator.name if message.operator else "",
                "line_type": "Wireless",
            }
        ],
        "text": message.body,
        "parts": message.segments,
        "encoding": "GSM-7",
        "cost": cost if is_closed else None,
        "errors": [{"code": code, "title": "", "detail": ""} for code in errors],
        "received_at": _milliseconds(message.created),
        "sent_at": None if last in ("accepted", "queued") else _milliseconds(message.sent),
        "completed_at": _milliseconds(message.closed) if is_closed else None,
        "valid_until": None,
    }


def post(account: Account, url: str, _signed_as: str | None, message: Message, status: str, at: float) -> Post:
    """Return a webhook, signed as Telnyx signs: Ed25519 over the time and the body."""
    is_closed = status == message.last_status
    event = {
        "data": {
            "record_type": "event",
            "id": str(UUID(derive_hex("telnyx", "event", message.sid, status))),
            "event_type": "message.finalized" if is_closed else "message.sent",
            "occurred_at": _milliseconds(message.closed if is_closed else at),
            "payload": _message(message, status, at),
        },
        "meta": {"attempt": 1, "delivered_to": url},
    }
    body = json.dumps(event).encode()
    timestamp = str(int(at))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "telnyx-webhooks",
        "telnyx-timestamp": timestamp,
        "telnyx-signature-ed25519": b64encode(signing_key(account).sign(f"{timestamp}|".encode() + body)).decode(),
    }
    return Post(url=url, body=body, headers=headers)


def _settings(account: Account) -> Mapping[str, Any]:
    return {"api_key": Secret(api_key(account))}


def _callback_settings(account: Account) -> Mapping[str, Any]:
    return {"public_key": b64encode(signing_key(account).public_key().public_bytes_raw()).decode()}


TELNYX: Final = Emulator(
    prefix="/telnyx",
    build=build,
    settings=_settings,
    callback_settings=_callback_settings,
    post=post,
    cannot_show={
        "sender_unregistered": "no call that the adapter makes tells of registrations",
        "country_not_permitted": "no call that the adapter makes tells of countries; messages there fail with 40309",
    },
)
