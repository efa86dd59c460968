"""What stands around every web application: security headers, the check of the Host header, the log."""

import ipaddress
import logging
import time
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log: Final = logging.getLogger("exporter.web")

_MAX_LOGGED: Final = 200

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
    """

    def __init__(self, app: ASGIApp, loopback: Collection[tuple[str, int]]) -> None:
        self._app = app
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
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
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
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises for one that is none
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and "@" not in host else None


def is_cross_site(headers: Headers) -> bool:
    """Return whether a browser sent the request for a page of another origin.

    Programs such as curl send neither header, and are no browser that somebody could lead astray.
    """
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
