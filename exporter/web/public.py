"""The public listener: takes the posts of providers, shows clients the clock page, and nothing else.

It is a plain ASGI application: thousands of posts a second must not cost a framework each. What it does with a
post is decided by the provider's client (is it genuine, what does it say) and by the intake (is it on disk).
"""

import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

import anyio
import anyio.to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from checks.callbacks import (
    AskingCallbackClient,
    Callback,
    CallbackClient,
    CallbackOutcome,
    CallbackRefusedError,
    QueryCallbackClient,
)
from checks.errors import ProviderError
from checks.messages import Receipt

from ..forwarding import Forwarder
from ..intake import Intake, OverloadedError
from ..messages import Messages
from ..meters import Meters
from ..runner import Defect, contained
from .clock import PAGE_PATH, TIME_PATH, ClockPage
from .connection import Limits
from .protection import Protection
from .server import ThreadedServer

_log: Final = logging.getLogger("exporter.web")

BODY_LIMIT_BYTES: Final = 64 * 1024
PUBLIC_LIMITS: Final = Limits(request_seconds=10.0, answer_seconds=15.0, request_bytes=BODY_LIMIT_BYTES + 16 * 1024)

_PREFIX: Final = "/callbacks/"
_MOST_ASKING: Final = 4  # threads
CLOCK_PATHS: Final = (PAGE_PATH, TIME_PATH)

_STATUS: Final[Mapping[CallbackOutcome, HTTPStatus]] = {
    CallbackOutcome.ACCEPTED: HTTPStatus.NO_CONTENT,
    CallbackOutcome.IGNORED: HTTPStatus.NO_CONTENT,
    CallbackOutcome.UNSIGNED: HTTPStatus.FORBIDDEN,
    CallbackOutcome.BAD_SIGNATURE: HTTPStatus.FORBIDDEN,
    CallbackOutcome.UNVERIFIABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    CallbackOutcome.WRONG_ACCOUNT: HTTPStatus.FORBIDDEN,
    CallbackOutcome.MALFORMED: HTTPStatus.BAD_REQUEST,
    CallbackOutcome.REPLAYED: HTTPStatus.BAD_REQUEST,
    CallbackOutcome.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    CallbackOutcome.INCOMPLETE: HTTPStatus.REQUEST_TIMEOUT,
    CallbackOutcome.UNKNOWN_TARGET: HTTPStatus.NOT_FOUND,
    CallbackOutcome.OVERLOADED: HTTPStatus.SERVICE_UNAVAILABLE,
    CallbackOutcome.STORAGE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    CallbackOutcome.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    CallbackOutcome.STANDBY: HTTPStatus.SERVICE_UNAVAILABLE,
}

_EMPTY: Final = (b"content-length", b"0")
_CLOSE: Final = (b"connection", b"close")  # the rest of the request is not read
_ALLOWED: Final = "POST"
_ALLOWED_WITH_QUERIES: Final = "GET, POST"
_HEADERS: Final[Mapping[HTTPStatus, Sequence[tuple[bytes, bytes]]]] = {
    HTTPStatus.NO_CONTENT: (),  # RFC 9110 section 8.6
    HTTPStatus.BAD_REQUEST: (_EMPTY,),
    HTTPStatus.FORBIDDEN: (_EMPTY,),
    HTTPStatus.NOT_FOUND: (_EMPTY, _CLOSE),
    HTTPStatus.METHOD_NOT_ALLOWED: (_EMPTY, _CLOSE),
    HTTPStatus.REQUEST_TIMEOUT: (_EMPTY, _CLOSE),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (_EMPTY, _CLOSE),
    HTTPStatus.INTERNAL_SERVER_ERROR: (_EMPTY,),
    HTTPStatus.SERVICE_UNAVAILABLE: (_EMPTY, (b"retry-after", b"5")),
}


class PublicSite:
    """The application. ``clients`` gives those that take callbacks, by target; ``clock`` answers for the clock page."""

    def __init__(
        self,
        clients: Callable[[], Mapping[str, CallbackClient]],
        clock: ASGIApp,
        intake: Intake,
        forwarder: Forwarder,
        meters: Meters,
        now: Callable[[], float],
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._clients = clients
        self._clock = clock
        self._intake = intake
        self._forwarder = forwarder
        self._meters = meters
        self._now = now
        self._askers = anyio.CapacityLimiter(_MOST_ASKING)
        self._leads = leads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, without a word about what runs here."""
        if scope["type"] != "http":
            return
        if scope["path"] in CLOCK_PATHS:
            await self._clock(scope, receive, send)
            return
        status = await self._answer(scope, receive)
        headers = _HEADERS[status]
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers = (*headers, (b"allow", self._allowed(scope["path"]).encode()))
        await send({"type": "http.response.start", "status": status.value, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _answer(self, scope: Scope, receive: Receive) -> HTTPStatus:
        path: str = scope["path"]
        if not path.startswith(_PREFIX):
            return HTTPStatus.NOT_FOUND
        if scope["method"] not in _ALLOWED_WITH_QUERIES.split(", "):
            return HTTPStatus.METHOD_NOT_ALLOWED
        target = path[len(_PREFIX) :]
        client = self._clients().get(target)
        if client is None:
            self._meters.callback("", CallbackOutcome.UNKNOWN_TARGET)  # its name comes from outside: no label
            return HTTPStatus.NOT_FOUND
        if scope["method"] not in self._allowed(path).split(", "):
            return HTTPStatus.METHOD_NOT_ALLOWED
        if self._leads():
            outcome = await self._take(target, client, scope, receive)
        else:  # nor is it sent on: who posts again would make two of it
            outcome = CallbackOutcome.STANDBY
        self._meters.callback(target, outcome)
        return _STATUS[outcome]

    def _allowed(self, path: str) -> str:
        """Return the methods that a path takes, in the words of the header."""
        client: object = self._clients().get(path[len(_PREFIX) :])
        takes_queries = isinstance(client, QueryCallbackClient) and client.takes_queries
        return _ALLOWED_WITH_QUERIES if takes_queries else _ALLOWED

    async def _take(self, target: str, client: CallbackClient, scope: Scope, receive: Receive) -> CallbackOutcome:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if int(headers.get("content-length", "0")) > BODY_LIMIT_BYTES:  # a number: the parser has seen to that
            return CallbackOutcome.TOO_LARGE
        body = await _read_body(receive)
        if isinstance(body, CallbackOutcome):
            return body
        peer = scope.get("client")  # address and port
        callback = Callback(
            scope["query_string"].decode("latin-1"), headers, body, self._now(), None if peer is None else peer[0]
        )
        receipts = await self._read(client, callback)
        if isinstance(receipts, CallbackOutcome):
            return receipts
        if client.forward_to is not None:  # whatever becomes of it here, the application is to have it
            self._forwarder.send(
                target,
                client.forward_to,
                callback.query,
                headers,
                body,
                signed=client.signed_headers,
                method=scope["method"],
            )
        if receipts:
            try:
                kept = await self._intake.keep(target, receipts)
            except OverloadedError:
                return CallbackOutcome.OVERLOADED
            if not kept:
                return CallbackOutcome.STORAGE_UNAVAILABLE
        return CallbackOutcome.ACCEPTED if receipts else CallbackOutcome.IGNORED

    async def _read(self, client: CallbackClient, callback: Callback) -> Sequence[Receipt] | CallbackOutcome:
        """Return what a post says; one for which somebody else has to be asked must not keep the others waiting."""
        if isinstance(client, AskingCallbackClient) and contained(lambda: _has_to_ask(client, callback)):
            return await anyio.to_thread.run_sync(lambda: _read(client, callback), limiter=self._askers)
        return _read(client, callback)


def _has_to_ask(client: AskingCallbackClient, callback: Callback) -> bool:
    try:
        return client.has_to_ask(callback)
    except ProviderError:
        return True  # it will say so when it is read


def _read(client: CallbackClient, callback: Callback) -> Sequence[Receipt] | CallbackOutcome:
    """Return what a post says, or what came of it. Raises nothing."""

    def read() -> Sequence[Receipt] | CallbackOutcome:
        try:
            return client.read_callback(callback)
        except CallbackRefusedError as refusal:
            return refusal.outcome
        except ProviderError as error:
            _log.error("callback cannot be read", extra={"reason": error.reason.value})
            return CallbackOutcome.INTERNAL

    found = contained(read)
    return CallbackOutcome.INTERNAL if isinstance(found, Defect) else found


@contextmanager
def serve_public(
    listener: socket.socket,
    clients: Callable[[], Mapping[str, CallbackClient]],
    messages: Messages,
    meters: Meters,
    true_time: Callable[[], float | None],
    limits: Limits = PUBLIC_LIMITS,
    protection: Protection | None = None,
    leads: Callable[[], bool] = lambda: True,
) -> Iterator[str]:
    """Take posts and show the clock page, on a socket that listens, beside whatever else the process does.

    Yields its URL. ``true_time`` is in Unix seconds, None while it is not known. While this exporter does
    not lead, posts are refused for now. At the end requests under way are
    answered first, then what they brought has been written.
    """
    intake, forwarder = Intake(messages), Forwarder(meters)
    intake.start()
    forwarder.start()
    try:
        site = PublicSite(clients, ClockPage(true_time), intake, forwarder, meters, time.time, leads)
        with ThreadedServer(site, listener, limits, guarded=False, protection=protection) as server:
            _log.info("listening for callbacks", extra={"url": server.url})
            yield server.url
    finally:
        forwarder.stop()
        intake.stop()


async def _read_body(receive: Receive) -> bytes | CallbackOutcome:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return CallbackOutcome.INCOMPLETE
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_LIMIT_BYTES:
            return CallbackOutcome.TOO_LARGE
        if not message.get("more_body"):
            return b"".join(parts)
