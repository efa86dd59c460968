"""The emulated Sinch: batches, delivery reports and callbacks over the traffic that all vendors share.

Source: developers.sinch.com/docs/sms, read 2026-11, and a copy of Sinch's documentation of 2020
(github.com/vvscode/docs 037e481). Made up, as nobody documents them: the bodies of 401, 429 and 503, and that reports
are filtered by their own time.
"""

import hmac
import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

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

MOST_ROWS: Final = 100
DEFAULT_ROWS: Final = 30

# What the world's own codes are on this wire: status and code of a report. It has none for an opt-out.
FATES: Final[Mapping[int, tuple[str, int]]] = MappingProxyType(
    {
        21408: ("Aborted", 412),
        21610: ("Failed", 255),
        30001: ("Failed", 360),
        30003: ("Failed", 153),
        30004: ("Failed", 151),
        30005: ("Failed", 150),
        30006: ("Failed", 152),
        30007: ("Rejected", 408),
        30008: ("Failed", 217),
        30017: ("Failed", 207),
        30036: ("Expired", 406),
        30500: ("Aborted", 403),
    }
)


def service_plan_id(account: Account) -> str:
    """Return the service plan of the account."""
    return derive_hex("sinch", account.seed, "service plan")


def api_token(account: Account) -> str:
    """Return the token of the service plan."""
    return derive_hex("sinch", account.seed, "api token")


def signing_secret(account: Account) -> str:
    """Return the secret that signs callbacks."""
    return derive_hex("sinch", account.seed, "signing secret")


def batch_id(message: Message) -> str:
    """Return the id of the batch of which a message is the only one."""
    return message.sid[2:].upper()


def build(ground: Ground) -> ASGIApp:
    """Return the application that answers like Sinch."""
    wire = _Wire(ground.account, ground.clock)
    plan = f"/xms/v1/{service_plan_id(ground.account)}"
    routes = [
        Route(f"{plan}/batches", wire.get_batches),
        Route(f"{plan}/batches", wire.send, methods=["POST"]),
        Route(f"{plan}/batches/{{id}}/delivery_report", wire.get_report),
        Route(f"{plan}/delivery_reports", wire.get_reports),
    ]
    return Gate(Starlette(routes=routes), ground.account.switches, ground.closing, refuse=_refuse, admit=wire.admit)


def _refuse(fault: str, _request: Request) -> Response:
    if fault == "rate_limited":
        return Response(status_code=429, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    return Response(status_code=503)


def _error(status: int, code: str) -> JSONResponse:
    return JSONResponse({"code": code, "text": code.replace("_", " ")}, status)


class _Wire:
    """The endpoints."""

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
        self._account = account
        self._clock = clock

    def admit(self, request: Request) -> Response | None:
        """Refuse another token."""
        is_known = request.headers.get("authorization") == f"Bearer {api_token(self._account)}"
        if is_known and not self._account.switches.is_on("credentials_rejected"):
            return None
        return Response(status_code=401)

    async def get_batches(self, request: Request) -> Response:
        """Answer with a page of batches, the newest first."""
        now = self._clock()
        self._account.advance(now)
        created = [(float(int(each.created)), each) for each in self._account.messages()]
        return self._page(request, "batches", created, _build_batch)

    async def get_reports(self, request: Request) -> Response:
        """Answer with a page of the reports on messages that are finished, the newest first."""
        now = self._clock()
        self._account.advance(now)
        finished = [(each.closed, each) for each in self._account.messages() if each.closed and each.closed <= now]
        finished.sort(key=lambda pair: -pair[0])
        return self._page(
            request,
            "delivery_reports",
            finished,
            lambda each: _build_report(each, each.last_status, each.closed or now),
        )

    def _page(
        self,
        request: Request,
        name: str,
        messages: Sequence[tuple[float, Message]],
        build_row: Callable[[Message], Mapping[str, Any]],
    ) -> Response:
        """Return a page of the messages whose time is within what is asked for."""
        if self._account.switches.is_on("permission_missing"):
            return Response(status_code=403)
        query = request.query_params
        try:
            number, size = int(query.get("page", "0")), int(query.get("page_size", DEFAULT_ROWS))
            since, until = (
                datetime.fromisoformat(query[each]).timestamp() if each in query else default
                for each, default in (("start_date", self._clock() - 86_400), ("end_date", float("inf")))
            )
        except ValueError:
            return _error(400, "syntax_invalid_parameter_format")
        if number < 0 or not 1 <= size <= MOST_ROWS:
            return _error(400, "syntax_constraint_violation")
        found = [message for at, message in messages if since <= at < until]
        page = [build_row(message) for message in found[number * size : (number + 1) * size]]
        return JSONResponse({"count": len(found), "page": number, "page_size": len(page), name: page})

    async def send(self, request: Request) -> Response:
        """Send a batch of one message."""
        account = self._account
        if account.switches.is_on("account_suspended") or account.switches.is_on("balance_exhausted"):
            return _error(403, "blocked_account")
        try:
            sent = json.loads(await request.body())
            sender, (recipient,), text = str(sent["from"]), sent["to"], str(sent["body"])
        except (ValueError, LookupError, TypeError, RecursionError):
            return _error(400, "syntax_invalid_json")
        if not isinstance(recipient, str) or not recipient.isdecimal():
            return _error(400, "syntax_invalid_parameter_format")
        account.advance(self._clock())
        message = account.submit(to=f"+{recipient}", sender=sender, service_sid=None, body=text)
        return JSONResponse(_build_batch(message), 201)

    async def get_report(self, request: Request) -> Response:
        """Answer with the full report on a batch, which tells of messages on their way too."""
        now = self._clock()
        self._account.advance(now)
        message = self._account.find_message(f"SM{request.path_params['id'].lower()}")
        if message is None:
            return Response(status_code=404)
        status, code = _status(message, message.status_at(now))
        statuses = [{"code": code, "status": status, "count": 1, "recipients": [_msisdn(message)]}]
        report = {
            "type": "delivery_report_sms",
            "batch_id": batch_id(message),
            "total_message_count": 1,
            "statuses": statuses,
        }
        return JSONResponse(report)


def _status(message: Message, last: str) -> tuple[str, int]:
    """Return status and code of a message that came to one of the world's statuses."""
    if last in ("undelivered", "failed"):
        return FATES[message.error_code or 30008]
    return {"delivered": ("Delivered", 0), "sent": ("Dispatched", 401)}.get(last, ("Queued", 400))


def _msisdn(message: Message) -> str:
    return message.to.removeprefix("+")


def _build_batch(message: Message) -> Mapping[str, Any]:
    created = _date(int(message.created))
    return {
        "id": batch_id(message),
        "to": [_msisdn(message)],
        "from": message.sender,
        "canceled": False,
        "body": message.body,
        "type": "mt_text",
        "created_at": created,
        "modified_at": created,
        "delivery_report": "none",
        "flash_message": False,
    }


def _build_report(message: Message, last: str, at: float) -> Mapping[str, Any]:
    """Return a recipient delivery report, made at that time; that of the operator is in whole minutes."""
    status, code = _status(message, last)
    return {
        "type": "recipient_delivery_report_sms",
        "batch_id": batch_id(message),
        "recipient": _msisdn(message),
        "code": code,
        "status": status,
        "at": _date(at),
        "operator_status_at": _date(at // 60 * 60),
    }


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def post(account: Account, url: str, _signed_as: str | None, message: Message, status: str, at: float) -> Post:
    """Return a callback per recipient, signed with a nonce and the time."""
    closed = message.closed if status == message.last_status and message.closed is not None else at
    body = json.dumps(_build_report(message, status, closed)).encode()
    nonce, timestamp = derive_hex("sinch", "nonce", message.sid, status), str(int(at))
    signed = b".".join((body, nonce.encode(), timestamp.encode()))
    headers = {
        "Content-Type": "application/json",
        "x-sinch-webhook-signature-nonce": nonce,
        "x-sinch-webhook-signature-timestamp": timestamp,
        "x-sinch-webhook-signature-algorithm": "HmacSHA256",
        "x-sinch-webhook-signature": b64encode(
            hmac.digest(signing_secret(account).encode(), signed, "sha256")
        ).decode(),
    }
    return Post(url=url, body=body, headers=headers)


def _settings(account: Account) -> Mapping[str, Any]:
    return {"service_plan_id": service_plan_id(account), "api_token": Secret(api_token(account))}


def _callback_settings(account: Account) -> Mapping[str, Any]:
    return {"signing_secret": Secret(signing_secret(account))}


SINCH: Final = Emulator(
    prefix="/sinch",
    build=build,
    settings=_settings,
    callback_settings=_callback_settings,
    post=post,
    cannot_show={
        "account_restricted": "no call tells of a test account, and its answer to a send is not documented",
        "balance_low": "no call tells of money",
        "sender_invalid": "no call tells of senders, and the answer to a send by a wrong one is not documented",
        "sender_unregistered": "no call tells of registrations",
        "country_not_permitted": "no call tells of countries; messages there are aborted with 412",
    },
)
