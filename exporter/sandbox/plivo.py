"""The emulated Plivo: the Account and Message APIs over the traffic that all vendors share.

Sources: docs.plivo.com/docs/messaging/api and /docs/account/api, read 2026-11, and the answers that plivo-python
4.63.0 is tested with. How a send is refused is told there in words alone: the status 400 is a guess.
"""

import hmac
import json
from base64 import b64encode
from binascii import Error as BinasciiError
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urldefrag, urlencode, urlsplit
from uuid import UUID

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from checks.secret import Secret

from .account import Account
from .credentials import derive_hex
from .emulator import Emulator, Ground
from .gate import Gate
from .message import Message
from .outbox import Post
from .wallet import format_micros
from .wire import Json

MOST_ROWS: Final = 20
DEFAULT_SECONDS: Final = 86_400.0  # of a list that is asked for without a time
TIMEZONE: Final = timezone(timedelta(hours=5, minutes=30))  # of the account, in which records tell their times
ACCOUNT_PATH: Final = "/v1/Account/{auth_id}/"

# What the world's own codes are on this wire: state and error code. It knows no queue, no blocking phone, no landline
# and no fault of its own.
FATES: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        21408: ("failed", "450"),
        21610: ("failed", "200"),
        30001: ("failed", "1000"),
        30003: ("undelivered", "80"),
        30004: ("undelivered", "1000"),
        30005: ("undelivered", "70"),
        30006: ("undelivered", "50"),
        30007: ("undelivered", "30"),
        30008: ("undelivered", "1000"),
        30017: ("undelivered", "20"),
        30036: ("failed", "420"),
        30500: ("failed", "1000"),
    }
)
STATES: Final[Mapping[str, str]] = MappingProxyType(
    {"accepted": "queued", "queued": "queued", "sent": "sent", "delivered": "delivered"}
)

REFUSED_SENDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "balance_exhausted": "Insufficient Credit",
        "sender_invalid": "This caller ID is not allowed for outbound message",
    }
)
"""The faults under which a send is refused, and how."""


def auth_id(account: Account) -> str:
    """Return the account's Auth ID."""
    return "MA" + derive_hex("plivo", account.seed, "auth id")[:18].upper()


def auth_token(account: Account) -> str:
    """Return the account's Auth Token, which signs callbacks too."""
    return derive_hex("plivo", account.seed, "auth token")


def message_uuid(message: Message) -> str:
    """Return Plivo's id of a message."""
    return str(UUID(message.sid[2:]))


def build(ground: Ground) -> ASGIApp:
    """Return the application that answers like Plivo."""
    wire = _Wire(ground.account, ground.clock)
    routes = [
        Route(ACCOUNT_PATH, wire.get_account),
        Route(f"{ACCOUNT_PATH}Message/", wire.get_messages, methods=["GET"]),
        Route(f"{ACCOUNT_PATH}Message/", wire.send, methods=["POST"]),
        Route(f"{ACCOUNT_PATH}Message/{{uuid}}/", wire.get_message),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return Gate(app, ground.account.switches, ground.closing, refuse=_refuse, admit=wire.admit)


def _refuse(fault: str, _request: Request) -> Response:
    return _error(429, "too many requests") if fault == "rate_limited" else _error(503, "service unavailable")


def _error(status: int, words: str) -> JSONResponse:
    return JSONResponse({"api_id": _api_id(words), "error": words}, status)


def _api_id(*parts: object) -> str:
    return str(UUID(derive_hex("plivo", "api id", *parts)))


class _Wire:
    """The endpoints."""

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
        self._account = account
        self._clock = clock

    def admit(self, request: Request) -> Response | None:
        """Return the refusal of wrong keys, which is plain text, and of another account's path."""
        own = auth_id(self._account)
        given = _parse_basic(request.headers.get("authorization", ""))
        if given != (own, auth_token(self._account)) or self._account.switches.is_on("credentials_rejected"):
            return PlainTextResponse("Could not verify your access level for that URL.", 401)
        return None if request.url.path.split("/Account/")[-1].startswith(f"{own}/") else _error(404, "not found")

    async def get_account(self, _request: Request) -> Response:
        """Answer with the account."""
        self._account.advance(self._clock())
        own = auth_id(self._account)
        account = {
            "account_type": "developer" if self._account.switches.is_on("account_restricted") else "standard",
            "address": "",
            "api_id": _api_id("account", self._clock()),
            "auth_id": own,
            "auto_recharge": True,
            "billing_mode": "prepaid",
            "cash_credits": f"{float(self._account.balance):.5f}",
            "city": "",
            "name": "Sandbox",
            "resource_uri": f"/v1/Account/{own}/",
            "state": "",
            "timezone": "Asia/Kolkata",
        }
        return JSONResponse(account)

    async def get_messages(self, request: Request) -> Response:
        """Answer with a page of records, the newest first."""
        query, account, now = request.query_params, self._account, self._clock()
        if account.switches.is_on("permission_missing"):
            return _error(403, "forbidden")
        account.advance(now)
        try:
            limit, offset = int(query.get("limit", MOST_ROWS)), int(query.get("offset", "0"))
            since = _parse_time(query["message_time__gte"]) if "message_time__gte" in query else now - DEFAULT_SECONDS
            until = _parse_time(query["message_time__lt"]) if "message_time__lt" in query else now + 1
        except ValueError:
            return _error(400, "invalid parameter")
        if not 0 < limit <= MOST_ROWS or offset < 0:
            return _error(400, "limit must be between 1 and 20")
        found = sorted(
            (each for each in account.messages() if since <= int(each.created) < until), key=lambda each: -each.created
        )
        if query.get("message_direction", "outbound") != "outbound":
            found = []
        rows = [self._record(each, now) for each in found[offset : offset + limit]]
        path = f"/v1/Account/{auth_id(account)}/Message/?limit={limit}&offset="
        meta = {
            "limit": limit,
            "offset": offset,
            "total_count": len(found),
            "next": f"{path}{offset + limit}" if offset + limit < len(found) else None,
            "previous": f"{path}{max(0, offset - limit)}" if offset else None,
        }
        return JSONResponse({"api_id": _api_id("list", now), "meta": meta, "objects": rows})

    async def get_message(self, request: Request) -> Response:
        """Answer with one record."""
        now = self._clock()
        self._account.advance(now)
        message = self._account.find_message(f"SM{request.path_params['uuid'].replace('-', '')}")
        if message is None:
            return _error(404, "not found")
        return JSONResponse({"api_id": _api_id("record", now), **self._record(message, now)})

    async def send(self, request: Request) -> Response:
        """Send a message."""
        account = self._account
        try:
            sent = json.loads(await request.body())
            src, dst, text = (str(sent[name]) for name in ("src", "dst", "text"))
        except (ValueError, KeyError, TypeError):
            return _error(400, "a parameter is missing or is invalid")
        for fault, words in REFUSED_SENDS.items():
            if account.switches.is_on(fault):
                return _error(400, words)
        if not dst.isdecimal() or dst.startswith("0"):
            return _error(400, "dst is not a valid number")
        account.advance(self._clock())
        message = account.submit(to=f"+{dst}", sender=src, service_sid=None, body=text)
        queued = {"message": "message(s) queued", "message_uuid": [message_uuid(message)]}
        return JSONResponse({"api_id": _api_id("send", message.sid), **queued}, 202)

    def _record(self, message: Message, now: float) -> Json:
        state, code = _state(message, message.status_at(now))
        uuid, price = message_uuid(message), message.price_micros if message.is_sent_at(now) else 0
        return {
            "carrier_fees": "0.00000",
            "carrier_fees_rate": "0.00000",
            "destination_country_iso2": message.country.code if message.country else "",
            "error_code": code,
            "from_number": message.sender.removeprefix("+"),
            "mcc": message.operator.mcc if message.operator else "",
            "message_direction": "outbound",
            "message_state": state,
            "message_time": datetime.fromtimestamp(int(message.created), TIMEZONE).isoformat(sep=" "),
            "message_type": "sms",
            "message_uuid": uuid,
            "mnc": message.operator.mnc if message.operator else "",
            "requester_ip": "127.0.0.1",
            "resource_uri": f"/v1/Account/{auth_id(self._account)}/Message/{uuid}/",
            "to_number": message.to.removeprefix("+"),
            "total_amount": format_micros(price, digits=5),
            "total_rate": format_micros(price // message.segments, digits=5),
            "units": message.segments,
        }


def _parse_basic(authorization: str) -> tuple[str, str]:
    try:
        user, _, password = a2b_base64(authorization.removeprefix("Basic ").encode()).decode().partition(":")
    except (BinasciiError, UnicodeError):
        return "", ""
    return user, password


def _parse_time(text: str) -> float:
    """Return the time of a filter, which is UTC and has no offset. Raises ValueError."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()


def _state(message: Message, last: str) -> tuple[str, str | None]:
    """Return Plivo's state and error code of a message that came to one of the world's statuses."""
    if last in ("undelivered", "failed"):
        return FATES[message.error_code or 30008]
    return STATES[last], "000" if last == "delivered" else None


def post(account: Account, url: str, signed_as: str | None, message: Message, status: str, at: float) -> Post:
    """Return a status callback (docs.plivo.com/docs/messaging/api/message/message-status-callbacks), signed by V3."""
    state, code = _state(message, status)
    fields = {
        "MessageUUID": message_uuid(message),
        "ParentMessageUUID": message_uuid(message),
        "PartInfo": "1 of 1",
        "From": message.sender.removeprefix("+"),
        "To": message.to.removeprefix("+"),
        "Type": "sms",
        "Status": state,
        "Sequence": str(("queued", "sent").index(state) + 1 if state in ("queued", "sent") else 3),
        "Units": str(message.segments),
        "TotalRate": "0.00000",
        "TotalAmount": format_micros(message.price_micros, digits=5),
        "PowerpackUUID": "",
        "MessageTime": _time(message.created),
        "QueuedTime": _time(message.created),
    }
    if message.operator is not None:
        fields |= {"MCC": message.operator.mcc, "MNC": message.operator.mnc}
    if message.is_sent_at(at):
        fields["SentTime"] = _time(message.sent or at)
    if state in ("delivered", "undelivered"):
        fields["DeliveryReportTime"] = _time(at)
    if code is not None:
        fields["ErrorCode"] = code
    url, nonce = urldefrag(url).url, str(int(derive_hex("plivo", "nonce", message.sid, status)[:16], 16))
    parts = urlsplit(urldefrag(signed_as or url).url)
    target = f"{parts.scheme}://{parts.netloc}{parts.path}?{parts.query}{'.' if parts.query else ''}"
    signed = target + "".join(f"{name}{value}" for name, value in sorted(fields.items())) + f".{nonce}"
    signature = b64encode(hmac.digest(auth_token(account).encode(), signed.encode(), "sha256")).decode()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "Plivo",
        "X-Plivo-Signature-V3": signature,
        "X-Plivo-Signature-Ma-V3": signature,
        "X-Plivo-Signature-V3-Nonce": nonce,
    }
    return Post(url=url, body=urlencode(fields).encode(), headers=headers)


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _settings(account: Account) -> Mapping[str, Any]:
    return {"auth_id": auth_id(account), "auth_token": Secret(auth_token(account))}


PLIVO: Final = Emulator(
    prefix="/plivo",
    build=build,
    settings=_settings,
    callback_settings=lambda _: {},  # the Auth Token signs
    post=post,
    signs_url=True,
    cannot_show={
        "account_suspended": "no call tells of it, and how a send is refused is not documented",
        "sender_unregistered": "no call tells of registrations that our checks ask",
        "country_not_permitted": "no call tells of countries; messages there fail with 450",
    },
)
