"""The application tells which codes were typed: the one thing about a message that only it can know.

``POST /api/v1/confirmations/<target>`` with ``Authorization: Bearer …``, off unless the provider's settings have a
token. A batch is taken as a whole or not at all; the answer comes when it is on disk.
"""

import hmac
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

import anyio.to_thread
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from checks.errors import StorageUnavailableError
from checks.messages.country import E164
from checks.messages.verification import TypedCode
from checks.secret import Secret

from ..config import Config
from ..messages import Messages
from ..meters import ConfirmationOutcome, Meters
from ..runner import Defect, contained
from .guards import is_cross_site

BODY_LIMIT_BYTES: Final = 256 * 1024
_MOST_CODES: Final = 1000
_MOST_PROBLEMS: Final = 50
_OLDEST_SECONDS: Final = 86_400.0
_AHEAD_SECONDS: Final = 300.0  # clocks differ
_AT_ONCE: Final = 4

_MESSAGE_ID: Final = re.compile(r"[!-~]{1,64}")
_FIELD: Final = re.compile(r"`\$\.(\w+)`$", re.ASCII)  # ends an error of the decoder's

_ACCEPTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "": "an object with either message_id or recipient, and at and typed if need be",
        "message_id": "the provider's id of the message: up to 64 printable ASCII characters",
        "recipient": 'a phone number in E.164 form, such as "+14155550100"',
        "at": "when the code was typed, within the last day: ISO 8601 or Unix seconds; now if left out beside an id",
        "typed": "true or false; true if left out",
    }
)
"""What is accepted, by field of a code; "" for the whole."""


class _Code(msgspec.Struct, forbid_unknown_fields=True):
    """One code as it is posted."""

    message_id: str = ""
    recipient: str = ""
    at: str | float | None = None
    typed: bool = True


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    """The body; each code is decoded by itself, so that all problems can be told."""

    confirmations: list[msgspec.Raw]


class _Problem(msgspec.Struct, frozen=True):
    """What is wrong, where, and what is accepted. Never quotes what was posted."""

    where: str
    what: str
    accepted: str


class _RefusedError(Exception):
    """A request is not taken."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.answer = answer


_batches: Final = msgspec.json.Decoder(_Batch)
_codes: Final = msgspec.json.Decoder(_Code)


def confirmation_routes(config: Callable[[], Config], messages: Messages, meters: Meters) -> Sequence[Route]:
    """Return the endpoint."""
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def confirm(request: Request) -> Response:
        target = request.path_params["target"]
        settings = config().providers.get(target)
        if settings is None or settings.confirmations is None:
            return _refusal(404, "no such target, or its providers entry has no confirmations.token")
        if is_cross_site(request.headers):
            return _refusal(403, "nothing is taken from a page of another site")
        if not _is_authorized(request.headers.get("authorization", ""), settings.confirmations.token):
            meters.confirmations(target, ConfirmationOutcome.UNAUTHORIZED)
            return _refusal(401, "Authorization must be Bearer with the token of the configuration")
        try:
            codes = _parse(await _read(request), time.time())
        except _RefusedError as refusal:
            meters.confirmations(target, ConfirmationOutcome.MALFORMED)
            return refusal.answer
        return await anyio.to_thread.run_sync(_take, messages, meters, target, codes, limiter=limiter)

    return [Route("/api/v1/confirmations/{target}", confirm, methods=["POST"])]


def _is_authorized(header: str, token: Secret) -> bool:
    scheme, _, given = header.partition(" ")
    expected = token.reveal().encode()
    return hmac.compare_digest(given.strip().encode("latin-1"), expected) and scheme.lower() == "bearer"


async def _read(request: Request) -> bytes:
    """Return the body. Raises _RefusedError."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _RefusedError(_refusal(415, "Content-Type must be application/json"))
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > BODY_LIMIT_BYTES:
                raise _RefusedError(_refusal(413, f"the body must be {BODY_LIMIT_BYTES // 1024} KiB at the most"))
    except ClientDisconnect:
        raise _RefusedError(_refusal(400, "the body is incomplete")) from None
    return bytes(body)


def _parse(body: bytes, now: float) -> Sequence[TypedCode]:
    """Return the codes in a body. Raises _RefusedError with all that is wrong."""
    try:
        posted = _batches.decode(body).confirmations
    except (msgspec.MsgspecError, ValueError, RecursionError):
        accepted = '{"confirmations": [{"message_id": "SM…", "at": "2026-11-24T12:00:00Z", "typed": true}]}'
        raise _malformed([_Problem("the body", "is not the JSON that is expected", accepted)]) from None
    if len(posted) > _MOST_CODES:
        raise _malformed([_Problem("confirmations", f"has {len(posted)} codes", f"{_MOST_CODES} at the most")])
    codes: list[TypedCode] = []
    problems: list[_Problem] = []
    for place, raw in enumerate(posted):
        code = _decode(raw)
        if not isinstance(code, _Code):
            faults: Sequence[tuple[str, str]] = [code]
        elif not (faults := _faults(code, now)):
            at = now if code.at is None else _moment(code.at)
            codes.append(TypedCode(message_id=code.message_id, recipient=code.recipient, at=at, typed=code.typed))
        where = f"confirmations[{place}]"
        problems += [_Problem(f"{where}.{field}" if field else where, what, _ACCEPTED[field]) for field, what in faults]
    if problems:
        raise _malformed(problems)
    return codes


def _decode(raw: msgspec.Raw) -> _Code | tuple[str, str]:
    """Return a code, or a field and what is wrong with it; "" for the whole."""
    try:
        return _codes.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
        found = _FIELD.search(str(problem))
        return (found[1], "is of another type") if found else ("", "is no such object")


def _faults(code: _Code, now: float) -> Sequence[tuple[str, str]]:
    """Return each field that is wrong, and what is."""
    faults = []
    if bool(code.message_id) == bool(code.recipient):
        faults.append(("", "has both message_id and recipient, or neither"))
    if code.message_id and not _MESSAGE_ID.fullmatch(code.message_id):
        faults.append(("message_id", "is no id"))
    if code.recipient and not E164.fullmatch(code.recipient):
        faults.append(("recipient", "is no phone number"))
    if code.recipient and code.at is None:  # without it a repetition would be another code
        faults.append(("at", "is missing beside a recipient"))
    if code.at is not None and not now - _OLDEST_SECONDS <= _moment(code.at) <= now + _AHEAD_SECONDS:
        faults.append(("at", "is no such time"))
    return faults


def _moment(value: str | float) -> float:
    """Return Unix time, NaN for what is none."""
    if not isinstance(value, str):
        return float(value)
    try:
        moment = datetime.fromisoformat(value)
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def _take(messages: Messages, meters: Meters, target: str, codes: Sequence[TypedCode]) -> Response:
    try:
        unknown = contained(lambda: messages.confirm(target, codes))
    except StorageUnavailableError:
        meters.confirmations(target, ConfirmationOutcome.STORAGE_UNAVAILABLE)
        return _refusal(503, "cannot be kept now; send it again")
    if isinstance(unknown, Defect):
        return _refusal(500, "a defect of the exporter; its log has the traceback")
    meters.confirmations(target, ConfirmationOutcome.TAKEN, len(codes) - unknown)
    meters.confirmations(target, ConfirmationOutcome.UNKNOWN_MESSAGE, unknown)
    return Response(status_code=204)


_HEADERS: Final[Mapping[int, Mapping[str, str]]] = MappingProxyType(
    {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}
)


def _refusal(status: int, words: str, **more: Any) -> Response:
    return JSONResponse({"error": words, **more}, status, headers=_HEADERS.get(status))


def _malformed(problems: Sequence[_Problem]) -> _RefusedError:
    told = [msgspec.to_builtins(problem) for problem in problems[:_MOST_PROBLEMS]]
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    answer = _refusal(400, f"{count}; nothing of the batch was taken", problems=told)
    return _RefusedError(answer)
