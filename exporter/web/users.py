"""The users and the rate limit of a web configuration, in front of every page."""

import hashlib
import hmac
import secrets
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

import anyio
import anyio.to_thread
import bcrypt
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .webconfig import RateSettings

ASK_USER: Final = MappingProxyType({"WWW-Authenticate": 'Basic realm="twofa-exporter users", charset="UTF-8"'})
_IS_USER: Final = "twofa_exporter.is_user"  # in a request's scope

_BCRYPT_BYTES: Final = 72  # the rest of a password counts for nothing, here as in Go
_MOST_WAITING: Final = 16  # passwords; each costs a processor a good part of a second


class BusyError(Exception):
    """Too many passwords are being looked at."""


class Users:
    """Names and bcrypt hashes.

    A right password is remembered, as a keyed hash in memory, so that a scrape does not cost a bcrypt each. For a name
    that nobody has, somebody else's hash is worked through: that there is no such user cannot be timed.
    """

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes: Final = {name.encode(): hashed.encode() for name, hashed in hashes.items()}
        self._decoys: Final = sorted(self._hashes.values())
        self._key: Final = secrets.token_bytes(32)
        self._right: dict[bytes, bytes] = {}
        self._waiting = 0
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def has(self, authorization: str) -> bool:
        """Return whether an Authorization header has a user's name and password. Raises BusyError."""
        credentials = _credentials(authorization)
        if credentials is None:
            return False
        name, password = credentials
        hashed = self._hashes.get(name) or self._decoy(name)
        given = hmac.digest(self._key, password, "sha256")
        if hmac.compare_digest(self._right.get(name, b""), given):
            return True
        if self._waiting >= _MOST_WAITING:
            raise BusyError
        self._waiting += 1
        try:
            is_right = await anyio.to_thread.run_sync(
                bcrypt.checkpw, password[:_BCRYPT_BYTES], hashed, limiter=self._one_at_a_time
            )
        finally:
            self._waiting -= 1
        if not is_right or name not in self._hashes:
            return False
        self._right[name] = given
        return True

    def _decoy(self, name: bytes) -> bytes:
        """Return a hash to work through for a stranger: for the same name always the same, as for a user."""
        number = int.from_bytes(hashlib.blake2b(name, key=self._key, digest_size=8).digest())
        return self._decoys[number % len(self._decoys)]


def _credentials(authorization: str) -> tuple[bytes, bytes] | None:
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = b64decode(given.strip().encode("latin-1"), validate=True).partition(b":")
    except Base64Error:
        return None
    return (name, password) if colon else None


class RateLimit:
    """A bucket of requests that fills again as time goes by."""

    def __init__(self, settings: RateSettings, now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._now = now
        self._left = float(settings.burst)
        self._at = now()

    def takes(self) -> bool:
        """Return whether there is room for one more request, and count it."""
        now = self._now()
        self._left = min(float(self._settings.burst), self._left + (now - self._at) / self._settings.interval_seconds)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Door:
    """Lets in who is a user, where there are users, and so many a time, where there is a limit.

    Routes ``open_to_all`` say nothing that is worth a password. Routes that are ``guarded`` ask for a token of their
    own; they are told by ``is_user`` what is known of who asks, and answer for it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        users: Callable[[], Users | None],
        rate: Callable[[], RateLimit | None],
        open_to_all: Collection[str],
        guarded: Sequence[Route],
    ) -> None:
        self._app = app
        self._users = users
        self._rate = rate
        self._open_to_all = frozenset(open_to_all)
        self._guarded = tuple(guarded)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        refusal = await self._refusal(scope) if scope["type"] == "http" else None
        await (self._app if refusal is None else refusal)(scope, receive, send)

    async def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        rate, users = self._rate(), self._users()
        if rate is not None and not rate.takes():
            return _refuse(HTTPStatus.TOO_MANY_REQUESTS)
        if users is None or scope["path"] in self._open_to_all:
            return None
        given = Headers(scope=scope).getlist("authorization")
        try:
            scope[_IS_USER] = len(given) == 1 and await users.has(given[0])
        except BusyError:
            return _refuse(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "1"})
        if scope[_IS_USER] or any(route.matches(scope)[0] is not Match.NONE for route in self._guarded):
            return None
        return _refuse(HTTPStatus.UNAUTHORIZED, ASK_USER)


def is_user(scope: Scope) -> bool | None:
    """Return whether a user asks; None where the listener knows no users."""
    known: bool | None = scope.get(_IS_USER)
    return known


def _refuse(status: HTTPStatus, headers: Mapping[str, str] = MappingProxyType({})) -> PlainTextResponse:
    return PlainTextResponse(f"{status.phrase}\n", status, headers=dict(headers))
