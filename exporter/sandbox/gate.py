"""What stands before the endpoints of any vendor: the faults that answer before anybody asks who is calling."""

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .connections import hang_up, hold
from .faults import Switches

REFUSED: Final = ("provider_outage", "rate_limited")
"""The faults for which each vendor has its own words, the first that is on wins."""
STOPPING: Final = frozenset(
    {"unreachable", "timeout", "bad_response", "credentials_rejected", "account_suspended", *REFUSED}
)
"""The faults during which nothing can be sent by anybody."""
RETRY_AFTER_SECONDS: Final = 1

Refuse = Callable[[str, Request], Response]
"""Returns the answer to a request while one of ``REFUSED`` is on."""
Admit = Callable[[Request], Response | None]
"""Notes who is calling, or returns the refusal; whoever reads the body leaves that to its endpoints."""


def admit_all(_request: Request) -> None:
    """Let everybody through: the endpoints ask themselves."""


class Gate:
    """Lets requests through to the endpoints that no fault stops and whose caller is admitted."""

    def __init__(
        self,
        app: ASGIApp,
        switches: Switches,
        closing: asyncio.Event,
        *,
        refuse: Refuse,
        admit: Admit = admit_all,
    ) -> None:
        """Held connections are dropped when ``closing`` is set."""
        self._app = app
        self._switches = switches
        self._closing = closing
        self._refuse = refuse
        self._admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or do not."""
        if self._switches.is_on("unreachable"):
            await hang_up(scope, receive)
        elif self._switches.is_on("timeout"):
            await hold(receive, self._closing)
            await hang_up(scope, receive)
        else:
            refusal = self._find_refusal(Request(scope))
            await (refusal or self._app)(scope, receive, send)

    def _find_refusal(self, request: Request) -> Response | None:
        if self._switches.is_on("bad_response"):
            return HTMLResponse("<!DOCTYPE html><html><head><title>Welcome</title></head><body>Welcome</body></html>")
        for fault in REFUSED:
            if self._switches.is_on(fault):
                return self._refuse(fault, request)
        return self._admit(request)
