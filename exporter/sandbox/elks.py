"""The emulated 46elks: account, history and sending over the traffic that all vendors share.

Source: 46elks.com/docs/sms-history (read 2026-11). Refusals are plain text; those of a send are not documented.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from .account import Account
from .credentials import derive_hex
from .emulator import Emulator, Ground
from .gate import Gate
from .message import Message
from .outbox import Post
from .plain import basic_auth, plain_post, preset_settings
from .wallet import CURRENCY
from .wire import Json, parse_form

MOST_ROWS: Final = 100
PARTS_OF_A_UNIT: Final = 10_000  # money is told in these

STATUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "accepted": "created",
        "queued": "created",
        "sent": "sent",
        "delivered": "delivered",
        "undelivered": "failed",
        "failed": "failed",
    }
)


def credentials(account: Account) -> tuple[str, str]:
    """Return the API username and password of the account."""
    return (
        f"u{derive_hex('46elks', account.seed, 'user')}",
        derive_hex("46elks", account.seed, "password").upper(),
    )


def message_id(message: Message) -> str:
    """Return 46elks' id of a message."""
    return f"s{message.sid[2:]}"


def build(ground: Ground) -> ASGIApp:
    """Return the application that answers like 46elks."""
    wire = _Wire(ground.account, ground.clock)
    routes = [
        Route("/me", wire.get_account),
        Route("/sms", wire.get_messages, methods=["GET"]),
        Route("/sms", wire.send, methods=["POST"]),
        Route("/sms/{message_id}", wire.get_message),
    ]
    return Gate(Starlette(routes=routes), ground.account.switches, ground.closing, refuse=_refuse, admit=wire.admit)


def _refuse(fault: str, _request: Request) -> Response:
    if fault == "rate_limited":
        return PlainTextResponse("Too many requests", 429)
    return PlainTextResponse("Service unavailable", 503)


class _Wire:
    """The endpoints."""

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
        self._account = account
        self._clock = clock

    def admit(self, request: Request) -> Response | None:
        """Return the refusal of wrong keys."""
        is_wrong = basic_auth(request) != credentials(self._account)
        if is_wrong or self._account.switches.is_on("credentials_rejected"):
            return PlainTextResponse("API access requires Basic HTTP authentication", 401)
        return None

    async def get_account(self, _request: Request) -> Response:
        """Answer with the account."""
        account = self._account
        account.advance(self._clock())
        told = {
            "id": credentials(account)[0],
            "displayname": "Sandbox",
            "currency": CURRENCY,
            "balance": round(float(account.balance) * PARTS_OF_A_UNIT),
        }
        return JSONResponse(told)

    async def get_messages(self, request: Request) -> Response:
        """Answer with a page of messages before one moment and after another, the newest first."""
        query, account, now = request.query_params, self._account, self._clock()
        if account.switches.is_on("permission_missing"):
            return PlainTextResponse("Not allowed", 403)
        account.advance(now)
        try:
            before, after = _parse_time(query, "start", float("inf")), _parse_time(query, "end", 0.0)
            limit = int(query.get("limit", "100"))
        except ValueError:
            return PlainTextResponse("Invalid parameter", 400)
        found = [each for each in account.messages() if after < each.created < before]
        page = sorted(found, key=lambda each: -each.created)[: min(limit, MOST_ROWS) + 1]
        told: dict[str, Any] = {"data": [_row(each, now) for each in page[:limit]]}
        if len(page) > limit:
            told["next"] = _time(page[limit - 1].created)
        return JSONResponse(told)

    async def get_message(self, request: Request) -> Response:
        """Answer with one message."""
        now = self._clock()
        self._account.advance(now)
        message = self._account.find_message(f"SM{request.path_params['message_id'][1:]}")
        return PlainTextResponse("Not found", 404) if message is None else JSONResponse(_row(message, now))

    async def send(self, request: Request) -> Response:
        """Send a message."""
        form = parse_form(await request.body())
        if not {"from", "to", "message"} <= form.keys() or not form["to"].startswith("+"):
            return PlainTextResponse("Missing or invalid parameter", 400)
        self._account.advance(self._clock())
        sent = self._account.submit(to=form["to"], sender=form["from"], service_sid=None, body=form["message"])
        return JSONResponse(_row(sent, self._clock()))


def _row(message: Message, now: float) -> Json:
    status = STATUSES[message.status_at(now)]
    row = {
        "id": message_id(message),
        "created": _time(int(message.created)),
        "direction": "outgoing",
        "from": message.sender,
        "to": message.to,
        "message": message.body,
        "status": status,
        "cost": round(message.price_micros / 1_000_000 * PARTS_OF_A_UNIT),
    }
    if status == "delivered":
        row["delivered"] = datetime.fromtimestamp(message.changed_at(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return row


def _parse_time(query: Mapping[str, str], name: str, default: float) -> float:
    return datetime.fromisoformat(query[name]).replace(tzinfo=UTC).timestamp() if name in query else default


def _time(moment: float) -> str:
    """Return a time, cut and not rounded: what is before it must not be the message that it is of."""
    told = datetime.fromtimestamp(int(moment), UTC).replace(microsecond=int(moment % 1 * 1_000_000))
    return told.strftime("%Y-%m-%dT%H:%M:%S.%f")


def post(_account: Account, url: str, _signed_as: str | None, message: Message, status: str, at: float) -> Post:
    """Return a delivery report, which is not signed: our exporter takes none, an application of one's own may."""
    delivered = {"delivered": _time(at)} if status == "delivered" else {}
    return plain_post(url, {"id": message_id(message), "status": STATUSES[status], **delivered})


def _settings(account: Account) -> Mapping[str, Any]:
    username, password = credentials(account)
    return preset_settings("46elks", username=username, password=password)


ELKS: Final = Emulator(
    prefix="/46elks",
    build=build,
    settings=_settings,
    callback_settings=lambda _: {},
    post=post,
    has_status_page=False,
    cannot_show={
        "account_suspended": "no document says how a call is refused then",
        "account_restricted": "no call tells of it",
        "sender_invalid": "no document says how a send is refused then",
        "sender_unregistered": "no call tells of registrations",
        "country_not_permitted": "no call tells of countries; messages there fail",
    },
)
