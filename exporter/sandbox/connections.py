"""What a fault does to a connection itself: it is dropped, or held without an answer."""

import asyncio
from typing import Final

from starlette.types import Receive, Scope

HANG_UP: Final = "twofa.sandbox.hang_up"
"""The ASGI extension that drops the connection; `server.py` provides it."""


async def hang_up(scope: Scope, receive: Receive) -> None:
    """Drop the connection of a request without an answer."""
    scope["extensions"][HANG_UP]()
    await _wait_for_disconnect(receive)


async def hold(receive: Receive, closing: asyncio.Event) -> None:
    """Wait until the caller gives up or the server closes."""
    waits = [
        asyncio.ensure_future(_wait_for_disconnect(receive)),
        asyncio.ensure_future(closing.wait()),
    ]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for each in waits:
        each.cancel()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
