"""How B2CORE writes things: errors, dates, lists, and what it reads from a request.

Source: https://docs.b2core.b2broker.com/en/overview-api-reference.html, read 2026-11-24. It leaves the error body
and the bounds of a list open; those are ours.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse

DEFAULT_LIMIT: Final = 10
MAX_LIMIT: Final = 100
"""A larger one is cut to this without a word."""
MAX_BODY_BYTES: Final = 65_536
_MOST_DIGITS: Final = 15

Json = Mapping[str, Any]


class B2coreError(Exception):
    """An answer that refuses."""

    def __init__(self, status: int, message: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = None if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}

    def to_response(self) -> JSONResponse:
        """Return the answer as it goes over the wire."""
        return JSONResponse({"code": self.status, "message": self.message}, self.status, self.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request."""

    query: Mapping[str, str]
    path_params: Mapping[str, str]
    body: Json
    bearer: str  # the token; empty when there is none
    now: float  # epoch seconds by the clock of the back office

    def text(self, name: str) -> str:
        """Return a field of the body. Raises B2coreError for one that is no text or not there."""
        value = self.body.get(name)
        if not isinstance(value, str) or not value:
            raise B2coreError(400, f"The field {name} is required and must be a string")
        return value

    def id_param(self, name: str) -> int | None:
        """Return a part of the path that is an id; None when it cannot be one."""
        return parse_count(self.path_params[name])

    def filter(self, name: str) -> str | None:
        """Return what a list is filtered by; None when it is not filtered by that."""
        return self.query.get(f"filter[{name}]")


def parse_count(text: str) -> int | None:
    """Return the whole number, 0 or more; None for anything else."""
    return int(text) if len(text) <= _MOST_DIGITS and text.isdecimal() else None


def read_bearer(request: Request) -> str:
    """Return the token of the Authorization header; empty when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def read_json(request: Request) -> Json:
    """Return the object in the body; an empty one when there is no body.

    Raises B2coreError for a body that is too large or no JSON object.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise B2coreError(413, "The payload is too large")
    try:
        payload = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        raise B2coreError(400, "The payload is not JSON") from None
    if not isinstance(payload, dict):
        raise B2coreError(400, "The payload is not an object")
    return payload


def cut_list(call: Call, rows: Iterable[Json]) -> list[Json]:
    """Return the rows of the page that is asked for.

    Raises B2coreError for a page that cannot be.
    """
    limit = parse_count(call.query.get("limit", str(DEFAULT_LIMIT)))
    offset = parse_count(call.query.get("offset", "0"))
    if not limit or offset is None:
        raise B2coreError(400, "limit and offset must be whole numbers, limit 1 or more")
    return list(rows)[offset:][: min(limit, MAX_LIMIT)]


def iso8601(time: float) -> str:
    """Return epoch seconds as B2CORE writes them: `2022-01-01T00:00:00+00:00`."""
    return datetime.fromtimestamp(int(time), UTC).isoformat()
