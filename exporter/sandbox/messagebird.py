"""The emulated MessageBird: balance, message log, sending and status reports over the traffic that all vendors share.

Source: developers.messagebird.com (SMS API, Balance API) and the test data of messagebird/php-rest-api 26068f6, read
2026-11. Made up, as nobody documents them: most of a page, and the answers to a key without a right and to 429 and 503.
"""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
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
from .wallet import CURRENCY

MOST_IN_A_PAGE: Final = 200
DEFAULT_IN_A_PAGE: Final = 20
TOKEN_SECONDS: Final = 60
"""How long a signature lives: signature_jwt/testdata/reference.json of messagebird/go-rest-api."""

SENT: Final = ("sent", None, "pending DLR")
DELIVERED: Final = ("delivered", None, "successfully delivered")

# What the world's own codes are on this wire: status, statusErrorCode and statusReason. It has no word for a message
# that never left, and no number for a filter, a country that is off or a fault of its own.
FATES: Final[Mapping[int, tuple[str, int | None, str]]] = MappingProxyType(
    {
        21408: ("delivery_failed", 255, "generic delivery failure"),
        21610: ("delivery_failed", 13, "unknown subscriber"),
        30001: ("delivery_failed", 51, "received network error"),
        30003: ("delivery_failed", 27, "unavailable subscriber"),
        30004: ("delivery_failed", 13, "unknown subscriber"),
        30005: ("delivery_failed", 1, "unknown subscriber"),
        30006: ("delivery_failed", 11, "unknown subscriber"),
        30007: ("delivery_failed", 255, "generic delivery failure"),
        30008: ("delivery_failed", 255, "generic delivery failure"),
        30017: ("delivery_failed", 34, "received network error"),
        30036: ("expired", None, "expired"),
        30500: ("delivery_failed", 255, "generic delivery failure"),
    }
)


def access_key(account: Account) -> str:
    """Return the account's live access key."""
    return derive_hex("messagebird", account.seed, "access key")[:25]


def signing_key(account: Account) -> str:
    """Return the key that signs status reports."""
    return derive_hex("messagebird", account.seed, "signing key")


def message_id(message: Message) -> str:
    """Return MessageBird's id of a message."""
    return message.sid[2:]


def build(ground: Ground) -> ASGIApp:
    """Return the application that answers like MessageBird."""
    wire = _Wire(ground.account, ground.clock)
    routes = [
        Route("/balance", wire.get_balance),
        Route("/messages", wire.get_messages),
        Route("/messages", wire.send, methods=["POST"]),
        Route("/messages/{id}", wire.get_message),
    ]
    app = Starlette(routes=routes)
    return Gate(app, ground.account.switches, ground.closing, refuse=_refuse, admit=wire.admit)


def _refuse(fault: str, _request: Request) -> Response:
    if fault == "rate_limited":
        return JSONResponse({"errors": []}, 429, {"Retry-After": str(RETRY_AFTER_SECONDS)})
    return JSONResponse({"errors": []}, 503)


def _error(status: int, code: int, description: str, parameter: str | None) -> JSONResponse:
    error = {"code": code, "description": description, "parameter": parameter}
    return JSONResponse({"errors": [error]}, status)


class _Wire:
    """The endpoints."""

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
        self._account = account
        self._clock = clock

    def admit(self, request: Request) -> Response | None:
        """Refuse another access key."""
        is_known = request.headers.get("authorization") == f"AccessKey {access_key(self._account)}"
        if is_known and not self._account.switches.is_on("credentials_rejected"):
            return None
        return _error(401, 2, "Request not allowed (incorrect access_key)", "access_key")

    async def get_balance(self, _request: Request) -> Response:
        """Answer with the balance."""
        self._account.advance(self._clock())
        return JSONResponse({"payment": "prepaid", "type": "dollars", "amount": float(self._account.balance)})

    async def get_messages(self, request: Request) -> Response:
        """Answer with a page of messages, the newest first."""
        account, now, query = self._account, self._clock(), request.query_params
        if account.switches.is_on("permission_missing"):
            return JSONResponse({"errors": []}, 403)
        try:
            since, until = (datetime.fromisoformat(query[name]).timestamp() for name in ("from", "until"))
            offset, limit = int(query.get("offset", "0")), int(query.get("limit", DEFAULT_IN_A_PAGE))
        except (KeyError, ValueError):
            return _error(422, 10, "a filter is invalid", None)
        limit = min(max(limit, 1), MOST_IN_A_PAGE)
        account.advance(now)
        found = [each for each in account.messages() if since <= int(each.created) <= until]
        page = found[offset : offset + limit]
        listing = {
            "offset": offset,
            "limit": limit,
            "count": len(page),
            "totalCount": len(found),
            "links": {"first": None, "previous": None, "next": None, "last": None},
            "items": [_build_message(each, now) for each in page],
        }
        return JSONResponse(listing)

    async def get_message(self, request: Request) -> Response:
        """Answer with one message."""
        now = self._clock()
        self._account.advance(now)
        message = self._account.find_message(f"SM{request.path_params['id']}")
        if message is None:
            return _error(404, 20, "message not found", None)
        return JSONResponse(_build_message(message, now))

    async def send(self, request: Request) -> Response:
        """Send a message to one recipient."""
        account = self._account
        try:
            wanted = json.loads(await request.body())
            sender, (recipient,), text = wanted["originator"], wanted["recipients"], wanted["body"]
        except (ValueError, KeyError, TypeError):
            return _error(422, 9, "no (correct) recipients found", "recipients")
        if account.switches.is_on("sender_invalid"):
            return _error(422, 10, "originator is invalid", "originator")
        if account.switches.is_on("balance_exhausted"):
            return _error(422, 25, "Not enough balance", None)
        if not recipient.isdecimal() or recipient.startswith("0"):
            return _error(422, 9, "no (correct) recipients found", "recipients")
        now = self._clock()
        account.advance(now)
        message = account.submit(to=f"+{recipient}", sender=sender, service_sid=None, body=text)
        return JSONResponse(_build_message(message, now), 201)


def _status(message: Message, last: str) -> tuple[str, int | None, str]:
    """Return status, statusErrorCode and statusReason of a message that came to one of the world's statuses."""
    if last == "delivered":
        return DELIVERED
    if last in ("undelivered", "failed"):
        return FATES[message.error_code or 30008]
    return SENT


def _build_message(message: Message, now: float) -> Mapping[str, Any]:
    status, code, reason = _status(message, message.status_at(now))
    is_there = status == "delivered"
    recipient = {
        "recipient": int(message.to.removeprefix("+")),
        "originator": None,
        "status": status,
        "statusDatetime": _date(message.changed_at(now)),
        "recipientCountry": message.country.code if message.country else None,
        "recipientCountryPrefix": int(message.country.calling_code) if message.country else None,
        "recipientOperator": message.operator.name if message.operator else None,
        "messageLength": len(message.body),
        "statusErrorCode": code,
        "statusReason": reason,
        "price": {"amount": message.price_micros / 1_000_000, "currency": CURRENCY},
        "mccmnc": _network(message),
        "mcc": message.operator.mcc if message.operator else None,
        "mnc": message.operator.mnc if message.operator else None,
        "messagePartCount": message.segments,
    }
    return {
        "id": message_id(message),
        "href": f"https://rest.messagebird.com/messages/{message_id(message)}",
        "direction": "mt",
        "type": "sms",
        "originator": message.sender,
        "body": message.body,
        "reference": None,
        "validity": None,
        "gateway": 10,
        "typeDetails": {},
        "datacoding": "plain",
        "mclass": 1,
        "scheduledDatetime": None,
        "createdDatetime": _date(message.created),
        "recipients": {
            "totalCount": 1,
            "totalSentCount": int(status == "sent"),
            "totalDeliveredCount": int(is_there),
            "totalDeliveryFailedCount": int(status == "delivery_failed"),
            "items": [recipient],
        },
    }


def _network(message: Message) -> str | None:
    return f"{message.operator.mcc}{message.operator.mnc}" if message.operator else None


def _date(moment: float) -> str:
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def post(account: Account, url: str, signed_as: str | None, message: Message, status: str, at: float) -> Post:
    """Return a status report, which is a GET: its query is signed with the URL by a token that lives for a minute."""
    word, code, reason = _status(message, status)
    fields = {
        "id": message_id(message),
        "reference": "code",
        "recipient": message.to.removeprefix("+"),
        "status": word,
        "statusDatetime": _date(at),
        "statusReason": reason,
        **({} if code is None else {"statusErrorCode": str(code)}),
        **({} if message.operator is None else {"mccmnc": _network(message)}),
        "ported": "0",
    }
    query = urlencode(fields)
    claims = {
        "iss": "MessageBird",
        "nbf": int(at),
        "exp": int(at) + TOKEN_SECONDS,
        "jti": str(UUID(derive_hex("messagebird", "token", message.sid, status))),
        "url_hash": sha256(f"{signed_as or url}?{query}".encode()).hexdigest(),
    }
    headers = {"MessageBird-Signature-JWT": _sign(claims, signing_key(account)), "User-Agent": "MessageBird"}
    return Post(url=f"{url}?{query}", body=b"", headers=headers, method="GET")


def _sign(claims: Mapping[str, Any], key: str) -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    signed = ".".join(_encode(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    return f"{signed}.{_encode(hmac.digest(key.encode(), signed.encode(), 'sha256'))}"


def _encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def _settings(account: Account) -> Mapping[str, Any]:
    return {"access_key": Secret(access_key(account))}


def _callback_settings(account: Account) -> Mapping[str, Any]:
    return {"signing_key": Secret(signing_key(account))}


MESSAGEBIRD: Final = Emulator(
    prefix="/messagebird",
    build=build,
    settings=_settings,
    callback_settings=_callback_settings,
    post=post,
    signs_url=True,
    cannot_show={
        "account_suspended": "no call tells of the account, and its answer to a send is not documented",
        "account_restricted": "no call tells of a trial, and its answer to a send is not documented",
        "sender_unregistered": "no call tells of registrations",
        "country_not_permitted": "no call tells of countries; messages there just fail",
        "operator_blocking": "no code tells of an operator's filter; messages just fail",
        "operator_blocking_partial": "no code tells of an operator's filter; messages just fail",
    },
)
