"""What stands around every web application: security headers, the check of the Host header, the log."""

import ipaddress
import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log: Final = logging.getLogger("exporter.web")

_MAX_LOGGED: Final = 200
_HOST: Final = re.compile(
    r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9.-]+))(?::[0-9]{0,5})?", re.IGNORECASE | re.ASCII
)

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guards:
    """Wraps an application: each response has the security headers, and loopback listeners check Host.

    A page of the web can make its own name resolve to 127.0.0.1 and then read what listens there. The
    browser still sends that name as Host, so a listener that only this machine can reach answers to
    ``localhost`` and to addresses, which nobody else can give out. Other listeners answer to any name.
    ``headers`` stand in for those of the same name that every answer has, not for those that a page sets by itself.
    """

    def __init__(
        self,
        app: ASGIApp,
        loopback: Collection[tuple[str, int]],
        headers: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._app = app
        self._headers = headers
        self._loopback = frozenset(loopback)  # address and port of each listener on loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add(message, {**SECURITY_HEADERS, **self._headers()})
            await send(message)

        refusal = self._refusal(scope)
        try:
            await (self._app if refusal is None else refusal)(scope, receive, send_guarded)
        finally:
            _log.debug(
                "request",
                extra={
                    "method": scope["method"],
                    "path": scope["path"][:_MAX_LOGGED],
                    "status": status,
                    "duration_seconds": round(time.perf_counter() - started, 4),
                },
            )

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        hosts = Headers(scope=scope).getlist("host")
        if len(hosts) > 1:
            return PlainTextResponse("A request has one Host header.\n", 400)
        if not hosts or scope["server"] not in self._loopback or is_local_name(hosts[0]):
            return None
        return PlainTextResponse(
            "This listener is bound to a loopback address and answers to localhost and to IP addresses only, so"
            " that no web page can read it by DNS rebinding. Behind a reverse proxy, let the proxy set the Host"
            " header to the address that it connects to.\n",
            421,
        )


class WithHeaders:
    """Wraps an application: each response has these headers, unless it sets them by itself."""

    def __init__(self, app: ASGIApp, headers: Callable[[], Mapping[str, str]]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add(message, self._headers())
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _add(message: Message, headers: Mapping[str, str]) -> None:
    present = MutableHeaders(raw=list(message["headers"]))
    for name, value in headers.items():
        present.setdefault(name, value)
    message["headers"] = present.raw


def is_local_name(host: str) -> bool:
    """Return whether a Host header holds ``localhost`` or an IP address: what no DNS server can point here."""
    name = _host_name(host)
    if name is None:
        return False
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, section 6.3
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _host_name(host: str) -> str | None:
    match = _HOST.fullmatch(host)
    return None if match is None else (match["address"] or match["name"]).lower()


def is_cross_site(headers: Headers) -> bool:
    """Return whether a browser sent the request for a page of another origin.

    Programs such as curl send neither header, and are no browser that somebody could lead astray.
    """
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
