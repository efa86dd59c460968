"""What an application posts in batches: with a bearer token, of bounded size, taken as a whole or not at all.

All that is wrong with a batch is told at once, and nothing of what was posted is quoted.
"""

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from checks.errors import StorageUnavailableError
from checks.secret import Secret

from ..runner import Defect, contained
from .access import is_bearer
from .bodies import BodyError, read_body
from .guards import is_cross_site

_BODY_LIMIT_BYTES: Final = 256 * 1024
_MOST_ITEMS: Final = 1000
_MOST_PROBLEMS: Final = 50
_OLDEST_SECONDS: Final = 86_400.0
_AHEAD_SECONDS: Final = 300.0  # clocks differ
_AT_ONCE: Final = 4

_FIELD: Final = re.compile(r"`\$\.(\w+)`$", re.ASCII)  # ends an error of the decoder's

Body = TypeVar("Body")
Batch = TypeVar("Batch")
Posted = TypeVar("Posted")
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

Fault = tuple[str, str]
"""A field of an item, "" for the whole, and what is wrong with it."""


class Problem(msgspec.Struct, frozen=True):
    """What is wrong, where, and what is accepted. Never quotes what was posted."""

    where: str
    what: str
    accepted: str


class RefusedError(Exception):
    """A request is not taken."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Generic[Batch, Outcome]):
    """What is particular to one endpoint. ``take`` runs in a thread and counts what it took."""

    path: str  # has {target}
    token: Callable[[str], Secret | None]  # of a target; None: nothing is taken for it
    absent: str  # said where there is no token
    parse: Callable[[bytes, float], Batch]  # from the body and Unix time; raises RefusedError
    take: Callable[[str, Batch], None]  # raises StorageUnavailableError
    count: Callable[[str, Outcome], None]  # what came of a request for a target
    unauthorized: Outcome
    malformed: Outcome
    storage_unavailable: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Items(Generic[Posted, Item]):
    """What is particular to one kind of item."""

    name: str  # of the list in the body
    noun: str  # plural
    decoder: msgspec.json.Decoder[Posted]
    faults: Callable[[Posted, float], Sequence[Fault]]  # of an item at a Unix time
    build: Callable[[Posted, float], Item]  # from an item without faults
    accepted: Mapping[str, str]  # what is, by field; "" for the whole


def batch_route(endpoint: Endpoint[Batch, Outcome]) -> Route:
    """Return the route of an endpoint."""
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def receive(request: Request) -> Response:
        target = request.path_params["target"]
        token = endpoint.token(target)
        if token is None:
            return _refusal(404, endpoint.absent)
        if is_cross_site(request.headers):
            return _refusal(403, "nothing is taken from a page of another site")
        if not is_bearer(request.headers.get("authorization", ""), token):
            endpoint.count(target, endpoint.unauthorized)
            return _refusal(401, "Authorization must be Bearer with the token of the configuration")
        try:
            batch = endpoint.parse(await _read(request), time.time())
        except RefusedError as refusal:
            endpoint.count(target, endpoint.malformed)
            return refusal.answer
        return await anyio.to_thread.run_sync(_take, endpoint, target, batch, limiter=limiter)

    return Route(endpoint.path, receive, methods=["POST"])


def _take(endpoint: Endpoint[Batch, Outcome], target: str, batch: Batch) -> Response:
    try:
        taken = contained(lambda: endpoint.take(target, batch))
    except StorageUnavailableError:
        endpoint.count(target, endpoint.storage_unavailable)
        return _refusal(503, "cannot be kept now; send it again")
    if isinstance(taken, Defect):
        return _refusal(500, "a defect of the exporter; its log has the traceback")
    return Response(status_code=204)


async def _read(request: Request) -> bytes:
    """Return the body. Raises RefusedError."""
    try:
        return await read_body(request, media_type="application/json", limit_bytes=_BODY_LIMIT_BYTES)
    except BodyError as problem:
        raise RefusedError(_refusal(problem.status, problem.words)) from None


def parse_body(body: bytes, decoder: msgspec.json.Decoder[Body], example: str) -> Body:
    """Return what a body holds. Raises RefusedError, which shows the example."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise malformed([Problem("the body", "is not the JSON that is expected", example)]) from None


def parse_items(
    items: Items[Posted, Item], posted: Sequence[msgspec.Raw], now: float
) -> tuple[Sequence[Item], Sequence[Problem]]:
    """Return the items of a body, and all that is wrong with them. Raises RefusedError when there are too many."""
    if len(posted) > _MOST_ITEMS:
        raise malformed([Problem(items.name, f"has {len(posted)} {items.noun}", f"{_MOST_ITEMS} at the most")])
    built: list[Item] = []
    problems: list[Problem] = []
    for place, raw in enumerate(posted):
        item, faults = _decode(items, raw, now)
        built += item
        where = f"{items.name}[{place}]"
        problems += [
            Problem(f"{where}.{field}" if field else where, what, items.accepted[field]) for field, what in faults
        ]
    return built, problems


def _decode(items: Items[Posted, Item], raw: msgspec.Raw, now: float) -> tuple[Sequence[Item], Sequence[Fault]]:
    """Return an item, or what is wrong with it."""
    try:
        posted = items.decoder.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
        found = _FIELD.search(str(problem))
        return (), [(found[1], "is of another type") if found else ("", "is no such object")]
    faults = items.faults(posted, now)
    return ((), faults) if faults else ([items.build(posted, now)], ())


def moment_of(value: str | float) -> float:
    """Return the Unix time in ISO 8601 or Unix seconds, NaN for what is neither. Without a zone it is UTC."""
    if not isinstance(value, str):
        return float(value)
    try:
        moment = datetime.fromisoformat(value)
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def is_recent(value: str | float, now: float) -> bool:
    """Return whether a time is within the last day, or ahead by no more than clocks differ."""
    return now - _OLDEST_SECONDS <= moment_of(value) <= now + _AHEAD_SECONDS


_HEADERS: Final[Mapping[int, Mapping[str, str]]] = MappingProxyType(
    {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}
)


def _refusal(status: int, words: str, **more: Any) -> Response:
    return JSONResponse({"error": words, **more}, status, headers=_HEADERS.get(status))


def malformed(problems: Sequence[Problem]) -> RefusedError:
    """Return the refusal of a batch."""
    told = [msgspec.to_builtins(problem) for problem in problems[:_MOST_PROBLEMS]]
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    answer = _refusal(400, f"{count}; nothing of the batch was taken", problems=told)
    return RefusedError(answer)
