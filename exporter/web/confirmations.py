"""The application tells which codes were typed: the one thing about a message that only it can know.

``POST /api/v1/confirmations/<target>`` with ``Authorization: Bearer …``, off unless the provider's settings have a
token. A batch is taken as a whole or not at all; the answer comes when it is on disk.
"""

import hmac
import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from checks.errors import StorageUnavailableError
from checks.messages.verification import TypedCode
from checks.secret import Secret

from ..config import Config
from ..messages import Messages
from ..meters import ConfirmationOutcome, Meters
from ..runner import Defect, contained

_MOST_CODES: Final = 1000
_OLDEST_SECONDS: Final = 86_400.0
_AHEAD_SECONDS: Final = 300.0  # clocks differ
_AT_ONCE: Final = 4


class _Code(msgspec.Struct, forbid_unknown_fields=True):
    """One code as it is posted."""

    message_id: str = ""
    recipient: str = ""
    at: str | float | None = None
    typed: bool = True


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    confirmations: list[_Code]


class _RefusedError(Exception):
    """What is wrong, where, and what is accepted. Never quotes what was posted."""


_batches: Final = msgspec.json.Decoder(_Batch)


def confirmation_routes(config: Callable[[], Config], messages: Messages, meters: Meters) -> Sequence[Route]:
    """Return the endpoint."""
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def confirm(request: Request) -> Response:
        target = request.path_params["target"]
        settings = config().providers.get(target)
        if settings is None or settings.confirmations is None:
            return _problem(404, "no such target, or its providers entry has no confirmations.token")
        if not _is_authorized(request.headers.get("authorization", ""), settings.confirmations.token):
            meters.confirmations(target, ConfirmationOutcome.UNAUTHORIZED)
            return _problem(401, "Authorization must be Bearer with the token of the configuration")
        try:
            codes = _parse(await request.body(), time.time())
        except _RefusedError as refusal:
            meters.confirmations(target, ConfirmationOutcome.MALFORMED)
            return _problem(400, str(refusal))
        return await anyio.to_thread.run_sync(_take, messages, meters, target, codes, limiter=limiter)

    return [Route("/api/v1/confirmations/{target}", confirm, methods=["POST"])]


def _take(messages: Messages, meters: Meters, target: str, codes: Sequence[TypedCode]) -> Response:
    try:
        unknown = contained(lambda: messages.confirm(target, codes))
    except StorageUnavailableError:
        unknown = Defect("StorageUnavailableError")
    if isinstance(unknown, Defect):
        meters.confirmations(target, ConfirmationOutcome.STORAGE_UNAVAILABLE)
        return JSONResponse({"error": "cannot be kept now; send it again"}, 503, headers={"Retry-After": "5"})
    meters.confirmations(target, ConfirmationOutcome.TAKEN, len(codes) - unknown)
    meters.confirmations(target, ConfirmationOutcome.UNKNOWN_MESSAGE, unknown)
    return Response(status_code=204)


def _is_authorized(header: str, token: Secret) -> bool:
    scheme, _, given = header.partition(" ")
    expected = token.reveal().encode()
    return hmac.compare_digest(given.strip().encode(), expected) and scheme.lower() == "bearer"


def _parse(body: bytes, now: float) -> Sequence[TypedCode]:
    try:
        batch = _batches.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
        _, is_told, place = str(problem).rpartition(" - at ")
        where = place if is_told else "the body"
        msg = (
            f"{where}: must be JSON such as"
            ' {"confirmations": [{"message_id": "SM…", "at": "2026-11-24T12:00:00Z", "typed": true}]}'
        )
        raise _RefusedError(msg) from None
    if len(batch.confirmations) > _MOST_CODES:
        msg = f"confirmations: must be {_MOST_CODES} at the most"
        raise _RefusedError(msg)
    return [_code(place, code, now) for place, code in enumerate(batch.confirmations)]


def _code(place: int, code: _Code, now: float) -> TypedCode:
    if bool(code.message_id) == bool(code.recipient):
        msg = f"confirmations[{place}]: must have either message_id or recipient"
        raise _RefusedError(msg)
    number = code.recipient
    is_number = number[:1] == "+" and number[1:].isdigit() and number.isascii() and 7 <= len(number) <= 16
    if number and not is_number:
        msg = f"confirmations[{place}].recipient: must be a phone number in E.164 form"
        raise _RefusedError(msg)
    at = now if code.at is None else _moment(code.at)
    if not now - _OLDEST_SECONDS <= at <= now + _AHEAD_SECONDS:
        msg = f"confirmations[{place}].at: must be ISO 8601 or Unix seconds, of the last day"
        raise _RefusedError(msg)
    return TypedCode(message_id=code.message_id[:64], recipient=number, at=at, typed=code.typed)


def _moment(value: str | float) -> float:
    """Return Unix time, NaN for what is none."""
    if not isinstance(value, str):
        return float(value)
    try:
        moment = datetime.fromisoformat(value)
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def _problem(status: int, words: str) -> Response:
    return JSONResponse({"error": words}, status)
