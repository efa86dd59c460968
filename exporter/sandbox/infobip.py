"""The emulated Infobip: balance, message log and SMS API over the traffic that all vendors share.

Source: Infobip's OpenAPI documents (sms 3.210.0, account-management 3.245.1, copies at
github.com/api-evangelist/infobip, openapi/_original) and
https://www.infobip.com/docs/essentials/api-essentials/response-status-and-error-codes, read 2026-11.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any, Final
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

MOST_ROWS: Final = 1000
KEPT_SECONDS: Final = 48 * 3600.0

# https://www.infobip.com/docs/developer-resources/api-fundamentals/api-requests-and-responses: any offset, no colon.
OFFSET: Final = timezone(timedelta(hours=1))

GROUPS: Final[Mapping[int, str]] = MappingProxyType(
    {1: "PENDING", 2: "UNDELIVERABLE", 3: "DELIVERED", 4: "EXPIRED", 5: "REJECTED"}
)
STATUSES: Final[Mapping[int, tuple[int, str]]] = MappingProxyType(
    {
        2: (3, "DELIVERED_TO_OPERATOR"),
        3: (1, "PENDING_WAITING_DELIVERY"),
        4: (2, "UNDELIVERABLE_REJECTED_OPERATOR"),
        5: (3, "DELIVERED_TO_HANDSET"),
        6: (5, "REJECTED_NETWORK"),
        9: (2, "UNDELIVERABLE_NOT_DELIVERED"),
        11: (5, "REJECTED_SOURCE"),
        12: (5, "REJECTED_NOT_ENOUGH_CREDITS"),
        14: (5, "REJECTED_DESTINATION_BLOCKLISTED"),
        15: (4, "EXPIRED_EXPIRED"),
        18: (5, "REJECTED_DESTINATION_NOT_REGISTERED"),
        20: (5, "REJECTED_FLOODING_FILTER"),
        21: (5, "REJECTED_SYSTEM_ERROR"),
        26: (1, "PENDING_ACCEPTED"),
        52: (5, "REJECTED_DESTINATION"),
    }
)
"""By id: the group, and the name."""

ERROR_GROUPS: Final = ("OK", "HANDSET_ERRORS", "USER_ERRORS", "OPERATOR_ERRORS")

# What the world's own codes are on this wire: the id of the status; id, group and name of the error.
FATES: Final[Mapping[int, tuple[int, int, int, str]]] = MappingProxyType(
    {
        21408: (6, 592, 3, "EC_ACCOUNT_NOT_PROVISIONED_FOR_CHANNEL"),
        21610: (14, 2052, 2, "EC_BLACKLISTED_DESTINATIONADDRESS"),
        30001: (20, 4103, 2, "EC_DESTINATION_FLOODING"),
        30003: (9, 27, 1, "EC_ABSENT_SUBSCRIBER"),
        30004: (9, 13, 1, "EC_CALL_BARRED"),
        30005: (9, 1, 1, "EC_UNKNOWN_SUBSCRIBER"),
        30006: (9, 568, 3, "EC_DESTINATION_NOT_SMS_PROVISIONED"),
        30007: (4, 607, 2, "EC_REJECTED_SPAM_BY_OPERATOR"),
        30008: (9, 255, 1, "EC_UNKNOWN_ERROR"),
        30017: (9, 51, 3, "EC_RESOURCE_LIMITATION"),
        30036: (15, 4101, 2, "EC_VALIDITY_EXPIRED"),
        30500: (21, 4097, 3, "EC_NOTSUBMITTEDTOGMSC"),
    }
)
NO_ERROR: Final = (0, 0, "NO_ERROR")

# The faults under which a send is refused, with HTTP 200 and this status.
REFUSED_SENDS: Final[Mapping[str, int]] = MappingProxyType(
    {"balance_exhausted": 12, "sender_invalid": 11, "account_restricted": 18}
)


def api_key(account: Account) -> str:
    """Return the account's API key."""
    return derive_hex("infobip", account.seed, "api key")


def message_id(message: Message) -> str:
    """Return Infobip's id of a message."""
    return str(UUID(message.sid[2:]))


def build(ground: Ground) -> ASGIApp:
    """Return the application that answers like Infobip. It has no /sms/3/reports: nobody must call that."""
    wire = _Wire(ground.account, ground.clock)
    routes = [
        Route("/account/1/balance", wire.get_balance),
        Route("/sms/3/logs", wire.get_logs),
        Route("/sms/3/messages", wire.send, methods=["POST"]),
    ]
    return Gate(Starlette(routes=routes), ground.account.switches, ground.closing, refuse=_refuse)


def _refuse(fault: str, _request: Request) -> Response:
    if fault == "rate_limited":
        return _error(429, "Too many requests sent.", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    return _exception(503, "GENERAL_ERROR", "Something went wrong. Please contact support.")


def _error(status: int, description: str, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return a refusal of the third version of the SMS API: ApiError."""
    error = {
        "errorCode": f"E{status}",
        "description": description,
        "action": "Adjust the request.",
        "violations": [],
        "resources": [],
    }
    return JSONResponse(error, status, headers)


def _exception(status: int, kind: str, text: str) -> JSONResponse:
    """Return a refusal of the older calls: ApiException."""
    return JSONResponse({"requestError": {"serviceException": {"messageId": kind, "text": text}}}, status)


class _Wire:
    """The endpoints."""

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
        self._account = account
        self._clock = clock

    def _knows(self, request: Request) -> bool:
        is_off = not self._account.switches.is_on("credentials_rejected")
        return is_off and request.headers.get("authorization") == f"App {api_key(self._account)}"

    async def get_balance(self, request: Request) -> Response:
        """Answer with the balance."""
        if not self._knows(request):
            return _exception(401, "UNAUTHORIZED", "Unauthorized")
        self._account.advance(self._clock())
        return JSONResponse({"balance": float(self._account.balance), "currency": CURRENCY})

    async def get_logs(self, request: Request) -> Response:
        """Answer with rows of the log: the latest, or with a cursor page by page from the oldest on."""
        query, account, now = request.query_params, self._account, self._clock()
        if not self._knows(request):
            return _error(401, "The request lacks valid authentication credentials for the requested resource.")
        if account.switches.is_on("permission_missing"):
            return _error(403, "Insufficient permissions to access the requested resource.")
        account.advance(now)
        try:
            limit = int(query.get("limit", "50"))
            start = int(query.get("cursor", "0"))
            since = max(_parse_date(query, "sentSince", 0.0), now - KEPT_SECONDS)
            until = _parse_date(query, "sentUntil", float("inf"))
        except ValueError:
            return _error(400, "Request cannot be processed.")
        if not 0 < limit <= MOST_ROWS or start < 0:
            return _error(400, "Request cannot be processed.")
        if "messageId" in query:
            found = [account.find_message(f"SM{each.replace('-', '')}") for each in query["messageId"].split(",")]
            return JSONResponse({"results": [_row(each, now) for each in found if each is not None][:limit]})
        oldest_first = sorted(
            (each for each in account.messages() if since < int(each.created) < until), key=lambda each: each.created
        )
        if query.get("useCursor") != "true":
            return JSONResponse({"results": [_row(each, now) for each in oldest_first[-limit:]]})
        page = [_row(each, now) for each in oldest_first[start : start + limit]]
        following = str(start + limit) if start + limit < len(oldest_first) else None
        return JSONResponse({"results": page, "cursor": {"limit": limit, "nextCursor": following}})

    async def send(self, request: Request) -> Response:
        """Send a message. What is refused for a reason of its own is told with HTTP 200."""
        if not self._knows(request):
            return _error(401, "The request lacks valid authentication credentials for the requested resource.")
        try:
            (message,) = (await request.json())["messages"]
            (destination,) = message["destinations"]
            to, sender, text = destination["to"], message["sender"], message["content"]["text"]
        except (ValueError, KeyError, TypeError):
            return _error(400, "Request cannot be processed.")
        account = self._account
        refusal = next((status for fault, status in REFUSED_SENDS.items() if account.switches.is_on(fault)), None)
        if refusal is None and (not to.isdecimal() or to.startswith("0")):
            refusal = 52
        if refusal is not None:
            refused_id = str(UUID(derive_hex("infobip", "refused", self._clock())))
            return _sent(refused_id, to, refusal)
        account.advance(self._clock())
        return _sent(message_id(account.submit(to=f"+{to}", sender=sender, service_sid=None, body=text)), to, 26)


def _sent(sent_id: str, to: str, status: int) -> JSONResponse:
    told = {"messageId": sent_id, "status": _status(status), "destination": to, "details": {"messageCount": 1}}
    return JSONResponse({"messages": [told]})


def _parse_date(query: Mapping[str, str], name: str, default: float) -> float:
    return datetime.fromisoformat(query[name]).timestamp() if name in query else default


def _date(moment: float) -> str:
    return datetime.fromtimestamp(int(moment), OFFSET).strftime("%Y-%m-%dT%H:%M:%S.000%z")


def _status(status: int) -> Mapping[str, Any]:
    group, name = STATUSES[status]
    return {"groupId": group, "groupName": GROUPS[group], "id": status, "name": name, "description": name}


def _outcome(message: Message, last: str) -> Mapping[str, Any]:
    """Return Infobip's status and error of a message that came to one of the world's statuses.

    Of some that are sent it says that they are delivered to the operator, which belongs to the group "delivered".
    """
    status, (error, group, name) = 26, NO_ERROR
    if last == "delivered":
        status = 5
    elif last in ("undelivered", "failed"):
        status, error, group, name = FATES[message.error_code or 30008]
    elif last == "sent":
        status = 2 if message.noise % 2 else 3
    return {
        "status": _status(status),
        "error": {
            "groupId": group,
            "groupName": ERROR_GROUPS[group],
            "id": error,
            "name": name,
            "description": name,
            "permanent": False,
        },
    }


def _facts(message: Message) -> Mapping[str, Any]:
    """Return what the log and a delivery report both tell."""
    facts = {
        "messageId": message_id(message),
        "sender": message.sender.removeprefix("+"),
        "sentAt": _date(message.created),
        "messageCount": message.segments,
        "price": {"pricePerMessage": message.price_micros / 1_000_000 / message.segments, "currency": CURRENCY},
    }
    if message.operator is not None:
        facts["mccMnc"] = f"{message.operator.mcc}{message.operator.mnc}"
    return facts


def _row(message: Message, now: float) -> Mapping[str, Any]:
    row = {
        **_facts(message),
        "destination": message.to.removeprefix("+"),
        **_outcome(message, message.status_at(now)),
        "content": {"text": message.body},
    }
    if message.is_closed_at(now) or message.is_sent_at(now):
        row["doneAt"] = _date(message.changed_at(now))
    return row


def post(_account: Account, url: str, _signed_as: str | None, message: Message, status: str, at: float) -> Post:
    """Return a delivery report, which is not signed: our exporter takes none, an application of one's own may."""
    report = {**_facts(message), "to": message.to.removeprefix("+"), "doneAt": _date(at), **_outcome(message, status)}
    body = json.dumps({"results": [report]}).encode()
    return Post(url=url, body=body, headers={"Content-Type": "application/json"})


def _settings(account: Account) -> Mapping[str, Any]:
    return {"api_key": Secret(api_key(account)), "max_requests_per_second": 30}


def _callback_settings(_account: Account) -> Mapping[str, Any]:
    return {}


INFOBIP: Final = Emulator(
    prefix="/infobip",
    build=build,
    settings=_settings,
    callback_settings=_callback_settings,
    post=post,
    cannot_show={
        "account_suspended": "no document says how a call is refused then",
        "sender_unregistered": "no call tells of registrations",
        "country_not_permitted": "no call tells of countries; messages there are rejected with 6",
    },
)
