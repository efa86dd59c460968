"""A phone of our own tells what it received: an SMS gateway app, or a modem's daemon, posts each message.

``POST /api/v1/canary/<check>/received`` with ``Authorization: Bearer …`` and JSON that has the text as ``text``,
``body`` or ``message``. Nothing of it is kept but the time, and that only when it is one of our test messages.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from checks.canary import CanarySettings

from ..canaries import CanaryStore
from ..config import Config
from .access import is_bearer


class _Received(msgspec.Struct):
    """What is posted, under the names that gateways use."""

    text: str = ""
    body: str = ""
    message: str = ""


_received: Final = msgspec.json.Decoder(_Received)


def received_routes(
    config: Callable[[], Config], canaries: CanaryStore, leads: Callable[[], bool] = lambda: True
) -> Sequence[Route]:
    """Return the endpoint. ``leads`` says whether test messages are sent from here."""

    async def received(request: Request) -> Response:
        name = request.path_params["check"]
        check = config().checks.get(name)
        if check is None or not isinstance(check.settings, CanarySettings) or check.settings.receive_token is None:
            return JSONResponse({"error": "no such canary check, or it has no receive_token"}, 404)
        if not is_bearer(request.headers.get("authorization", ""), check.settings.receive_token):
            return JSONResponse({"error": "Authorization must be Bearer with the check's receive_token"}, 401)
        try:
            posted = _received.decode(await request.body())
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return JSONResponse({"error": 'the body must be JSON such as {"text": "…"}'}, 400)
        if not leads():
            return JSONResponse({"error": "this exporter stands by; post again"}, 503, {"Retry-After": "5"})
        texts = (posted.text, posted.body, posted.message)
        if not any(canaries.received(name, text) for text in texts):
            # no error: a gateway posts all that its phone receives, and would send a refused post again
            return JSONResponse({"ignored": "no test message that is on its way has this text"})
        return Response(status_code=204)

    return [Route("/api/v1/canary/{check}/received", received, methods=["POST"])]
