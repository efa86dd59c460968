"""The emulated Bird: message log, senders, sending and webhooks over the traffic that all vendors share.

Source: the models of PyPI messagebird-sdk 0.106.0 (the SDK) and the guides below https://bird.com/docs, read 2026-11.
Made up, as nobody documents them: codes of errors that begin with E99, and whether the ends of a filter belong to it.
"""

import binascii
import hmac
import json
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
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
from .geography import COUNTRIES, find_home
from .message import Message
from .outbox import Post
from .wallet import CURRENCY, format_micros

MOST_ROWS: Final = 100
DEFAULT_ROWS: Final = 25
"""https://bird.com/docs/api/pagination."""

LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Of ids: Crockford's base 32."""
REDACTED: Final = "**REDACTED**"
"""SMSMessage.text of a message that carries a code."""

# What the world's own codes are on this wire: status and code of the error. It has no code for a country that is off
# and for the failure of an operator; what expires has none at all.
FATES: Final[Mapping[int, tuple[str, str | None]]] = MappingProxyType(
    {
        21408: ("rejected", "unknown"),
        21610: ("rejected", "recipient_opted_out"),
        30001: ("failed", "provider_unavailable"),
        30003: ("undelivered", "unreachable"),
        30004: ("undelivered", "blocked_by_recipient"),
        30005: ("undelivered", "invalid_destination"),
        30006: ("undelivered", "landline_unreachable"),
        30007: ("undelivered", "blocked_by_carrier"),
        30008: ("undelivered", "unknown"),
        30017: ("undelivered", "unknown"),
        30036: ("expired", None),
        30500: ("failed", "provider_unavailable"),
    }
)

# Status, type, code and name of an error: ErrorBody of the SDK, and what SMSMessageSendRequest says of a send.
ERRORS: Final[Mapping[str, tuple[int, str, str]]] = MappingProxyType(
    {
        "ValidationError": (422, "validation_error", "E01001"),
        "InvalidCursor": (422, "validation_error", "E01012"),
        "CountryNotEnabled": (422, "validation_error", "E12020"),
        "SMSInvalidRecipient": (422, "validation_error", "E99001"),
        "SMSSenderNotConfigured": (422, "validation_error", "E99002"),
        "InvalidAPIKey": (401, "auth_error", "E99401"),
        "InsufficientBalance": (402, "billing_error", "E99402"),
        "InsufficientScope": (403, "permission_error", "E99403"),
        "NotFound": (404, "not_found_error", "E99404"),
        "RateLimited": (429, "rate_limit_error", "E99429"),
        "ServiceUnavailable": (503, "service_unavailable_error", "E99503"),
    }
)


def api_key(account: Account) -> str:
    """Return the workspace's API key."""
    return f"bk_eu1_{derive_hex('bird', account.seed, 'api key')}"


def signing_secret(account: Account) -> str:
    """Return the secret that signs webhooks."""
    return f"whsec_{b64encode(bytes.fromhex(derive_hex('bird', account.seed, 'signing secret'))).decode()}"


def typed_id(prefix: str, digits: str) -> str:
    """Return an id as Bird writes them: 32 hex digits behind a prefix, in base 32."""
    number = int(digits, 16)
    return prefix + "".join(LETTERS[number >> 5 * place & 31] for place in reversed(range(26)))


def message_id(message: Message) -> str:
    """Return Bird's id of a message."""
    return typed_id("sms_", message.sid[2:])


def _sid(letters: str) -> str:
    """Return the world's id of a message by the letters of Bird's; "" for what is none."""
    if len(letters) != 26 or not set(letters) <= set(LETTERS):
        return ""
    number = 0
    for letter in letters:
        number = number << 5 | LETTERS.index(letter)
    return f"SM{number:032x}"


def build(ground: Ground) -> ASGIApp:
    """Return the application that answers like Bird."""
    wire = _Wire(ground.account, ground.clock)
    routes = [
        Route("/v1/sms/messages", wire.get_messages),
        Route("/v1/sms/messages", wire.send, methods=["POST"]),
        Route("/v1/sms/messages/{id}", wire.get_message),
        Route("/v1/sms/senders", wire.get_senders),
        Route("/v1/sms/senders/{id}", wire.get_sender),
    ]
    return Gate(Starlette(routes=routes), ground.account.switches, ground.closing, refuse=_refuse, admit=wire.admit)


def _refuse(fault: str, _request: Request) -> Response:
    if fault == "rate_limited":
        return _error("RateLimited", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    return _error("ServiceUnavailable")


def _error(name: str, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    status, kind, code = ERRORS[name]
    error = {
        "type": kind,
        "code": code,
        "name": name,
        "message": "refused by the sandbox",
        "doc_url": f"https://bird.com/docs/api/errors/{code}",
        "request_id": typed_id("req_", derive_hex("bird", "request", name)),
    }
    return JSONResponse({"error": error}, status, headers)


class _Wire:
    """The endpoints."""

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
        self._account = account
        self._clock = clock

    def admit(self, request: Request) -> Response | None:
        """Refuse another API key."""
        is_known = request.headers.get("authorization") == f"Bearer {api_key(self._account)}"
        if is_known and not self._account.switches.is_on("credentials_rejected"):
            return None
        return _error("InvalidAPIKey")

    async def get_messages(self, request: Request) -> Response:
        """Answer with a page of messages, the newest first."""
        query, account, now = request.query_params, self._account, self._clock()
        if account.switches.is_on("permission_missing"):
            return _error("InsufficientScope")
        try:
            limit = int(query.get("limit", DEFAULT_ROWS))
            since, until = (
                datetime.fromisoformat(query[name]).timestamp() if name in query else default
                for name, default in (("created_after", float("-inf")), ("created_before", float("inf")))
            )
        except ValueError:
            return _error("ValidationError")
        if not 1 <= limit <= MOST_ROWS or query.get("direction", "outbound") != "outbound":
            return _error("ValidationError")
        account.advance(now)
        last = None
        if "starting_after" in query:
            last = account.find_message(_parse_cursor(query["starting_after"]))
            if last is None:
                return _error("InvalidCursor")
        page: list[Message] = []
        is_last = True
        for message in account.messages(before=last):
            if int(message.created) <= since:
                break
            if int(message.created) < until:
                if len(page) == limit:
                    is_last = False
                    break
                page.append(message)
        return JSONResponse(
            _build_list(
                [_build_message(each, now) for each in page],
                first=_cursor(page[0]) if page else None,
                following=None if is_last else _cursor(page[-1]),
            )
        )

    async def get_message(self, request: Request) -> Response:
        """Answer with one message."""
        now = self._clock()
        self._account.advance(now)
        message = self._account.find_message(_sid(request.path_params["id"].removeprefix("sms_")))
        return _error("NotFound") if message is None else JSONResponse(_build_message(message, now))

    async def send(self, request: Request) -> Response:
        """Send a message."""
        account = self._account
        try:
            wanted = json.loads(await request.body())
            to, sender, text = wanted["to"], wanted["from"], wanted["text"]
            is_classified = wanted["category"] in ("authentication", "transactional", "marketing", "service")
        except (ValueError, LookupError, TypeError, RecursionError):
            return _error("ValidationError")
        if not is_classified or not all(isinstance(each, str) and each for each in (to, sender, text)):
            return _error("ValidationError")
        refusal = self._find_refusal(to, sender)
        if refusal is not None:
            return _error(refusal)
        now = self._clock()
        account.advance(now)
        message = account.submit(to=to, sender=sender, service_sid=None, body=text)
        return JSONResponse(_build_message(message, now), 202)

    def _find_refusal(self, to: str, sender: str) -> str | None:
        if not to.startswith("+") or not to[1:].isdecimal() or to.startswith("+0"):
            return "SMSInvalidRecipient"
        if sender not in {each["sender"] for each in self._build_senders()}:
            return "SMSSenderNotConfigured"
        if self._account.switches.is_on("balance_exhausted"):
            return "InsufficientBalance"
        home = find_home(to)
        return "CountryNotEnabled" if home is not None and not self._account.may_send_to(home[0].code) else None

    async def get_senders(self, _request: Request) -> Response:
        """Answer with all senders: they are few."""
        senders = self._build_senders()
        return JSONResponse(_build_list(senders, first=senders[0]["id"] if senders else None, following=None))

    async def get_sender(self, request: Request) -> Response:
        """Answer with one sender."""
        found = [each for each in self._build_senders() if each["id"] == request.path_params["id"]]
        return JSONResponse(found[0]) if found else _error("NotFound")

    def _build_senders(self) -> Sequence[Mapping[str, Any]]:
        account = self._account
        may_send_to = [country.code for country in COUNTRIES if account.may_send_to(country.code)]
        off = [country.code for country in COUNTRIES if country.code not in may_send_to]
        is_pending = account.switches.is_on("sender_unregistered")
        held: list[tuple[str, str, str | None]] = [(each.number, "long_code", "US") for each in account.numbers]
        held += [(name, "alphanumeric", None) for name in account.alpha_senders]
        return [
            {
                "id": typed_id("snd_", derive_hex("bird", account.seed, sender)),
                "sender": sender,
                "source_kind": "alpha" if country is None else "number",
                "sender_type": kind,
                "country_code": country,
                "number_id": None if country is None else typed_id("nda_", derive_hex("bird", sender)),
                "status": "pending_registrations" if is_pending and country else "active",
                "next": [],
                "destinations": {
                    "active": [] if is_pending and country else may_send_to,
                    "pending": [],
                    "needs_attention": [*off, *([country] if is_pending and country and country not in off else [])],
                },
                "created_at": "2026-01-01T00:00:00Z",
                "updated_at": "2026-01-01T00:00:00Z",
            }
            for sender, kind, country in held
        ]


def _build_list(rows: Sequence[Mapping[str, Any]], *, first: str | None, following: str | None) -> Mapping[str, Any]:
    return {"data": rows, "next_cursor": following, "prev_cursor": None, "refresh_cursor": first}


def _cursor(message: Message) -> str:
    place = json.dumps({"v": 1, "s": _date(message.created), "i": message.sid}).encode()
    return urlsafe_b64encode(place).rstrip(b"=").decode()


def _parse_cursor(cursor: str) -> str:
    """Return the world's id of the message that a cursor stands for; "" for what is none."""
    try:
        return str(json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))["i"])
    except (binascii.Error, ValueError, LookupError, TypeError):
        return ""


def _status(message: Message, last: str) -> tuple[str, str | None]:
    """Return Bird's status and code of a message that came to one of the world's statuses."""
    if last in ("undelivered", "failed"):
        return FATES[message.error_code or 30008]
    return {"queued": "accepted"}.get(last, last), None


def _build_message(message: Message, now: float) -> Mapping[str, Any]:
    status, code = _status(message, message.status_at(now))
    closed_at = _date(message.changed_at(now)) if message.is_closed_at(now) else None
    shown: dict[str, Any] = {
        "id": message_id(message),
        "direction": "outbound",
        "status": status,
        "text": REDACTED,
        "category": "authentication",
        "segments": {"count": message.segments, "encoding": "GSM_7BIT", "characters": len(message.body)},
        "created_at": _date(message.created),
        "sent_at": _date(message.sent or 0.0) if message.is_sent_at(now) else None,
        "delivered_at": closed_at if status == "delivered" else None,
        "options": {"smart_encoding": False},
        **_build_common(message, is_priced=message.is_sent_at(now)),
    }
    if code is not None and closed_at is not None:
        shown["last_error"] = _build_error(code, closed_at)
    if closed_at is not None:
        shown |= _build_carrier(message)
    return shown


def _build_common(message: Message, *, is_priced: bool) -> Mapping[str, Any]:
    """Return what a message and an event have in common."""
    price = format_micros(message.price_micros, digits=6)
    cost = {
        "amount": price,
        "currency_code": CURRENCY,
        "transaction_amount": price,
        "passthrough_amount": None,
    }
    return {
        "to": message.to,
        "from": message.sender,
        "requested_language": None,
        "resolved_language": None,
        "template_id": None,
        "template_version_id": None,
        "template_content_hash": None,
        "cost": cost if is_priced else None,
        "tags": None,
        "metadata": None,
        **({} if message.country is None else {"country_code": message.country.code}),
    }


def _build_carrier(message: Message) -> Mapping[str, Any]:
    if message.operator is None:
        return {}
    return {"carrier": message.operator.name, "mcc_mnc": f"{message.operator.mcc}{message.operator.mnc}"}


def _build_error(code: str, at: str) -> Mapping[str, Any]:
    return {
        "code": code,
        "description": "ended by the sandbox",
        "carrier_error_code": None,
        "occurred_at": at,
        "permanent": None,
    }


def _date(moment: float) -> str:
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def post(account: Account, url: str, _signed_as: str | None, message: Message, status: str, at: float) -> Post:
    """Return a webhook: EventSMS... of the SDK, signed as https://www.standardwebhooks.com says."""
    word, code = _status(message, status)
    data: dict[str, Any] = {
        "sms_id": message_id(message),
        "workspace_id": typed_id("ws_", derive_hex("bird", account.seed, "workspace")),
        **_build_common(message, is_priced=word not in ("accepted", "rejected")),
    }
    if word in ("sent", "delivered"):
        data |= _build_carrier(message)
    if word in ("undelivered", "failed", "rejected", "expired"):
        data["error"] = None if code is None else _build_error(code, _date(at))
    body = json.dumps({"type": f"sms.{word}", "timestamp": _date(at), "data": data}).encode()
    post_id, timestamp = typed_id("msg_", derive_hex("bird", "post", message.sid, status)), str(int(at))
    key = b64decode(signing_secret(account).removeprefix("whsec_"))
    signature = hmac.digest(key, f"{post_id}.{timestamp}.".encode() + body, "sha256")
    headers = {
        "Content-Type": "application/json",
        "webhook-id": post_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{b64encode(signature).decode()}",
    }
    return Post(url=url, body=body, headers=headers)


def _settings(account: Account) -> Mapping[str, Any]:
    return {"api_key": Secret(api_key(account))}


def _callback_settings(account: Account) -> Mapping[str, Any]:
    return {"signing_secret": Secret(signing_secret(account))}


BIRD: Final = Emulator(
    prefix="/bird",
    build=build,
    settings=_settings,
    callback_settings=_callback_settings,
    post=post,
    cannot_show={
        "account_suspended": "no call tells of the account, and its answer to a send is not documented",
        "account_restricted": "no call tells of a trial, and its answer to a send is not documented",
        "balance_low": "an API key cannot read the balance",
    },
)
