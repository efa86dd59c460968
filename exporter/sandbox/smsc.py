"""The emulated SMSC.ru: balance and history over the traffic that all vendors share.

Sources: smscentre.com/api/http and smscentre.com/api/http/get_data/outbox (read 2026-11). Not documented, and a guess
here: that a history without a message is told as error 3.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from itertools import islice
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from .account import Account
from .credentials import derive_hex
from .emulator import Emulator, Ground
from .gate import Gate
from .message import Message
from .outbox import Post
from .plain import plain_post, preset_settings
from .wallet import CURRENCY, format_micros
from .wire import Json, parse_form

MOST_ROWS: Final = 1000
ZONE: Final = ZoneInfo("Europe/Moscow")

WRONG_LOGIN: Final = 2
NOT_FOUND: Final = 3
BLOCKED: Final = 9

# What the world's own codes are on this wire: the status, and the error of the operator.
FATES: Final[Mapping[int, tuple[int, int]]] = MappingProxyType(
    {
        21408: (23, 0),
        21610: (20, 13),
        30001: (20, 0),
        30003: (20, 6),
        30004: (20, 13),
        30005: (22, 1),
        30006: (20, 11),
        30007: (20, 255),
        30008: (20, 0),
        30017: (20, 0),
        30036: (3, 0),
        30500: (20, 0),
    }
)
STATUSES: Final[Mapping[str, int]] = MappingProxyType({"accepted": -1, "queued": -1, "sent": 0, "delivered": 1})


def credentials(account: Account) -> tuple[str, str]:
    """Return the login and the password of the account."""
    return (
        f"login{derive_hex('smsc', account.seed, 'login')[:6]}",
        derive_hex("smsc", account.seed, "password"),
    )


def build(ground: Ground) -> ASGIApp:
    """Return the application that answers like SMSC.ru: HTTP 200 to whatever is asked, errors in the body."""
    wire = _Wire(ground.account, ground.clock)
    routes = [
        Route("/balance.php", wire.get_balance, methods=["POST"]),
        Route("/get.php", wire.get_messages, methods=["POST"]),
    ]
    return Gate(Starlette(routes=routes), ground.account.switches, ground.closing, refuse=_refuse)


def _refuse(fault: str, _request: Request) -> Response:
    if fault == "rate_limited":
        return _error(BLOCKED)
    return JSONResponse({}, 503)


def _error(code: int) -> JSONResponse:
    return JSONResponse({"error": "see the list of errors", "error_code": code})


class _Wire:
    """The endpoints."""

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
        self._account = account
        self._clock = clock

    async def _form(self, request: Request) -> Mapping[str, str] | None:
        """Return the fields of a request; None when its login is wrong."""
        form = parse_form(await request.body())
        is_off = not self._account.switches.is_on("credentials_rejected")
        return form if is_off and (form.get("login"), form.get("psw")) == credentials(self._account) else None

    async def get_balance(self, request: Request) -> Response:
        """Answer with the balance."""
        if await self._form(request) is None:
            return _error(WRONG_LOGIN)
        self._account.advance(self._clock())
        return JSONResponse({"balance": self._account.balance, "credit": "0.00", "currency": CURRENCY})

    async def get_messages(self, request: Request) -> Response:
        """Answer with the history of whole days, the newest first."""
        form, account, now = await self._form(request), self._account, self._clock()
        if form is None:
            return _error(WRONG_LOGIN)
        account.advance(now)
        try:
            since, until = _midnight(form["start"]), _midnight(form["end"]) + timedelta(days=1)
            count = min(int(form.get("cnt", "100")), MOST_ROWS)
            before = int(request.query_params.get("prev_id", "0"))
        except (ValueError, KeyError):
            return _error(1)
        found = (
            each
            for each in account.messages(before=self._find(before))
            if since.timestamp() <= int(each.created) < until.timestamp()
        )
        rows = [_row(each, now) for each in islice(found, count)]
        return JSONResponse(rows) if rows else _error(NOT_FOUND)

    def _find(self, wanted: int) -> Message | None:
        return next((each for each in self._account.messages() if int_id(each) == wanted), None) if wanted else None


def int_id(message: Message) -> int:
    """Return SMSC's own id of a message."""
    return int(message.sid[2:14], 16)


def _row(message: Message, now: float) -> Json:
    last = message.status_at(now)
    status, error = FATES[message.error_code or 30008] if last in ("undelivered", "failed") else (STATUSES[last], 0)
    row = {
        "id": 1,
        "int_id": str(int_id(message)),
        "status": status,
        "last_timestamp": int(message.changed_at(now)),
        "last_date": _date(message.changed_at(now)),
        "err": error,
        "send_date": _date(message.created),
        "send_timestamp": int(message.created),
        "phone": message.to.removeprefix("+"),
        "cost": format_micros(message.price_micros, digits=4),
        "currency": CURRENCY,
        "sender_id": message.sender,
        "message": message.body,
        "sms_cnt": message.segments,
    }
    if message.operator is not None:
        row["mccmnc"] = f"{message.operator.mcc}{message.operator.mnc}"
    return row


def _midnight(text: str) -> datetime:
    return datetime.strptime(text, "%d.%m.%Y").replace(tzinfo=ZONE)


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, ZONE).strftime("%d.%m.%Y %H:%M:%S")


def post(_account: Account, url: str, _signed_as: str | None, message: Message, status: str, at: float) -> Post:
    """Return a delivery report, which is not signed: our exporter takes none, an application of one's own may."""
    return plain_post(url, {"id": int_id(message), "status": STATUSES.get(status, 20), "ts": int(at)})


def _settings(account: Account) -> Mapping[str, Any]:
    login, password = credentials(account)
    return preset_settings("smsc", login=login, password=password)


SMSC: Final = Emulator(
    prefix="/smsc",
    build=build,
    settings=_settings,
    callback_settings=lambda _: {},
    post=post,
    has_status_page=False,
    cannot_show={
        "permission_missing": "no error tells of permissions",
        "account_suspended": "no error tells of it",
        "account_restricted": "no call tells of it",
        "sender_invalid": "no call that we make tells of senders",
        "sender_unregistered": "no call that we make tells of senders",
        "country_not_permitted": "no call tells of countries; messages there have the status 23",
    },
)
