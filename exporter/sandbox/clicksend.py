"""The emulated ClickSend: usage, history and sending over the traffic that all vendors share.

Sources: ClickSend REST API v3, GET /sms/history with its statuses and codes (read 2026-11), and clicksend-client 6.0.2.
It has no GET /v3/account: that answers with a live API key, and nobody here may call it.
"""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from .account import Account
from .credentials import derive_hex
from .emulator import Emulator, Ground
from .gate import RETRY_AFTER_SECONDS, Gate
from .message import Message
from .outbox import Post
from .plain import basic_auth, plain_post, preset_settings
from .wallet import format_micros
from .wire import Json

FEWEST_ROWS: Final = 15
MOST_ROWS: Final = 100

# What a message looks like by the world's word: its status, its code. Every failure is code 301.
STATUSES: Final[Mapping[str, tuple[str, str | None]]] = MappingProxyType(
    {
        "accepted": ("Queued", None),
        "queued": ("Queued", None),
        "sent": ("Sent", "200"),
        "delivered": ("Sent", "201"),
        "undelivered": ("Sent", "301"),
        "failed": ("Failed", "301"),
    }
)

REFUSED_SENDS: Final[Mapping[str, str]] = MappingProxyType(
    {"balance_exhausted": "INSUFFICIENT_CREDIT", "sender_invalid": "INVALID_SENDER_ID"}
)
"""The faults under which one message of a batch is refused, and how: with HTTP 200."""


def credentials(account: Account) -> tuple[str, str]:
    """Return the username and the API key of the account."""
    return (
        f"user-{derive_hex('clicksend', account.seed, 'user')[:8]}",
        derive_hex("clicksend", account.seed, "key").upper(),
    )


def build(ground: Ground) -> ASGIApp:
    """Return the application that answers like ClickSend."""
    wire = _Wire(ground.account, ground.clock)
    routes = [
        Route("/account/usage/{year}/{month}/subaccount", wire.get_usage),
        Route("/sms/history", wire.get_history),
        Route("/sms/send", wire.send, methods=["POST"]),
    ]
    return Gate(Starlette(routes=routes), ground.account.switches, ground.closing, refuse=_refuse, admit=wire.admit)


def _refuse(fault: str, _request: Request) -> Response:
    if fault == "rate_limited":
        return _answer("TOO_MANY_REQUESTS", None, status=429, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    return _answer("INTERNAL_SERVER_ERROR", None, status=503)


def _answer(code: str, data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> JSONResponse:
    told = {"http_code": status, "response_code": code, "response_msg": "See the documentation.", "data": data}
    return JSONResponse(told, status, headers)


class _Wire:
    """The endpoints."""

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
        self._account = account
        self._clock = clock

    def admit(self, request: Request) -> Response | None:
        """Return the refusal of wrong keys, and of an account that is suspended."""
        switches = self._account.switches
        if switches.is_on("credentials_rejected") or basic_auth(request) != credentials(self._account):
            return _answer("UNAUTHORIZED", None, status=401)
        return _answer("FORBIDDEN", None, status=403) if switches.is_on("account_suspended") else None

    async def get_usage(self, _request: Request) -> Response:
        """Answer with the usage of a month."""
        return _answer("SUCCESS", {"sms": [], "mms": [], "voice": []})

    async def get_history(self, request: Request) -> Response:
        """Answer with a page of the history, the oldest first unless it is asked for otherwise."""
        query, account, now = request.query_params, self._account, self._clock()
        account.advance(now)
        try:
            since, until = float(query.get("date_from", "0")), float(query.get("date_to", "inf"))
            page, limit = int(query.get("page", "1")), int(query.get("limit", "15"))
        except ValueError:
            return _answer("BAD_REQUEST", None, status=400)
        if page < 1 or not FEWEST_ROWS <= limit <= MOST_ROWS:
            return _answer("BAD_REQUEST", None, status=400)
        wanted = query.get("q", "").removeprefix("message_id:")
        if wanted:
            found = [each for each in (account.find_message(_sid(wanted)),) if each is not None]
        else:
            found = [each for each in account.messages() if since <= int(each.created) <= until]
            found.sort(key=lambda each: each.created, reverse=query.get("order_by") == "date:desc")
        last_page = max(1, -(-len(found) // limit))
        rows = [self._row(each, now) for each in found[(page - 1) * limit : page * limit]]
        data = {
            "total": len(found),
            "per_page": limit,
            "current_page": page,
            "last_page": last_page,
            "next_page_url": f"/?page={page + 1}" if page < last_page else None,
            "data": rows,
        }
        return _answer("SUCCESS", data)

    async def send(self, request: Request) -> Response:
        """Send a message. What is refused for a reason of its own is told beside the message."""
        try:
            (message,) = json.loads(await request.body())["messages"]
            to, sender, text = message["to"], message["from"], message["body"]
        except (ValueError, KeyError, TypeError):
            return _answer("BAD_REQUEST", None, status=400)
        account, now = self._account, self._clock()
        refusal = next((code for fault, code in REFUSED_SENDS.items() if account.switches.is_on(fault)), None)
        if refusal is not None:
            return _answer("SUCCESS", {"messages": [{"to": to, "from": sender, "status": refusal}]})
        account.advance(now)
        sent = account.submit(to=to, sender=sender, service_sid=None, body=text)
        told = {"to": to, "from": sender, "message_id": message_id(sent), "status": "SUCCESS", "date": int(now)}
        return _answer("SUCCESS", {"total_count": 1, "queued_count": 1, "messages": [told]})

    def _row(self, message: Message, now: float) -> Json:
        status, code = STATUSES[message.status_at(now)]
        return {
            "_api_username": credentials(self._account)[0],
            "body": message.body,
            "carrier": message.operator.name if message.operator else "",
            "country": message.country.code if message.country else "",
            "custom_string": "",
            "date": int(message.created),
            "direction": "out",
            "error_code": None,
            "error_text": None,
            "first_name": "John",
            "from": message.sender,
            "last_name": "Doe",
            "message_id": message_id(message),
            "message_parts": message.segments,
            "message_price": format_micros(message.price_micros, digits=6),
            "schedule": str(int(message.created)),
            "status": status,
            "status_code": code,
            "status_text": None,
            "to": message.to,
        }


def message_id(message: Message) -> str:
    """Return ClickSend's id of a message."""
    return str(UUID(message.sid[2:])).upper()


def _sid(wanted: str) -> str:
    return f"SM{wanted.replace('-', '').lower()}"


def post(_account: Account, url: str, _signed_as: str | None, message: Message, status: str, at: float) -> Post:
    """Return a delivery report, which is not signed: our exporter takes none, an application of one's own may."""
    return plain_post(
        url, {"message_id": message_id(message), "status_code": STATUSES[status][1], "timestamp": int(at)}
    )


def _settings(account: Account) -> Mapping[str, Any]:
    username, key = credentials(account)
    return preset_settings("clicksend", username=username, api_key=key)


CLICKSEND: Final = Emulator(
    prefix="/clicksend",
    build=build,
    settings=_settings,
    callback_settings=lambda _: {},
    post=post,
    cannot_show={
        "permission_missing": "HTTP 403 is told of accounts that are suspended",
        "account_restricted": "no call that we make tells of trials",
        "balance_low": "no call that we make tells the balance",
        "sender_unregistered": "no call tells of registrations",
        "country_not_permitted": "no call tells of countries; messages there fail with 301",
    },
)
