"""The emulated B2CORE back office: which endpoints there are, and what stands before them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .b2core_admin import AdminApi, not_found
from .b2core_front import FrontApi
from .b2core_office import Office
from .b2core_tokens import Tokens
from .b2core_wire import B2coreError, Call, Json, read_bearer, read_json
from .clients import Client
from .connections import hang_up, hold
from .dates import Dated

PREFIX: Final = "/b2core"
API: Final = "/api/v2"
DEFAULT_TOKEN_SECONDS: Final = 36_000.0
"""Of access tokens: 10 hours, as in the sample token of a sister product,
https://docs.b2copy.b2broker.com/api-documentation/authorization-in-the-back-office, read 2026-11-24."""

STOPPING: Final = ("back_office_unreachable", "back_office_timeout", "back_office_down", "back_office_rejects")
"""The faults during which nobody can sign in."""


class Door(StrEnum):
    """Whose token a call needs."""

    OPEN = "open"
    ADMIN = "admin"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One call of the API."""

    method: str
    path: str
    door: Door
    answer: Callable[[Call], Json | None]  # None: an answer without a body
    signs_in: bool = False


def _admin_endpoints(api: AdminApi) -> Sequence[Endpoint]:
    return (
        Endpoint("POST", "/signin", Door.OPEN, api.sign_in, signs_in=True),
        Endpoint("POST", "/2fa/confirm", Door.OPEN, api.confirm, signs_in=True),
        Endpoint("POST", "/refresh", Door.OPEN, api.refresh, signs_in=True),
        Endpoint("POST", "/signout", Door.ADMIN, api.sign_out),
        Endpoint("GET", "/confirmations/providers", Door.ADMIN, api.list_providers),
        Endpoint("GET", "/confirmations/providers/types", Door.ADMIN, api.list_types),
        Endpoint("GET", "/confirmations/providers/types/{type}/settings", Door.ADMIN, api.list_settings),
        Endpoint("GET", "/confirmations/providers/{provider}", Door.ADMIN, api.fetch_provider),
        Endpoint("GET", "/confirmations/templates", Door.ADMIN, api.list_templates),
        Endpoint("GET", "/clients", Door.ADMIN, api.list_clients),
        Endpoint("GET", "/clients/{client}", Door.ADMIN, api.fetch_client),
        Endpoint("GET", "/clients/{client}/2fa", Door.ADMIN, api.list_methods),
        Endpoint("GET", "/phones", Door.ADMIN, api.list_phones),
    )


def _front_endpoints(api: FrontApi) -> Sequence[Endpoint]:
    return (
        Endpoint("GET", "/my/signin/wizard", Door.OPEN, api.begin),
        Endpoint("POST", "/my/signin", Door.OPEN, api.sign_in, signs_in=True),
        Endpoint("POST", "/my/signin/2fa", Door.OPEN, api.choose, signs_in=True),
        Endpoint("POST", "/my/2fa/google", Door.OPEN, api.check_google, signs_in=True),
        Endpoint("POST", "/my/2fa/sms", Door.OPEN, api.check_sms, signs_in=True),
        Endpoint("POST", "/my/signout", Door.CLIENT, api.sign_out),
    )


class B2core:
    """The back office as an application under its prefix."""

    def __init__(self, office: Office, *, token_seconds: float, closing: asyncio.Event) -> None:
        """``token_seconds`` is how long access tokens live. Held connections are dropped when ``closing`` is set."""
        self._office = office
        self._tokens = {door: Tokens(token_seconds) for door in (Door.ADMIN, Door.CLIENT)}
        self._front = FrontApi(office, self._tokens[Door.CLIENT])
        admin = AdminApi(office, self._tokens[Door.ADMIN])
        endpoints = (*_admin_endpoints(admin), *_front_endpoints(self._front))
        routes = [Route(API + each.path, self._build_route(each), methods=[each.method]) for each in endpoints]
        handlers = {HTTPException: self._refuse_route, B2coreError: _refuse}
        app = Starlette(routes=routes, exception_handlers=handlers)
        self.mount: Final = Mount(PREFIX, app=Dated(_Gate(app, office, closing), office.now))

    def sign_in(self, client: Client) -> bool:
        """Sign a client in as far as the code by SMS; whether one was sent."""
        is_stopped = any(self._office.switches.is_on(fault) for fault in STOPPING)
        return not is_stopped and self._front.sign_in_by_sms(client)

    def _build_route(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            now = self._office.now()
            if endpoint.signs_in and self._office.switches.is_on("back_office_rejects"):
                raise B2coreError(401, "The e-mail or the password is wrong")
            if endpoint.door is not Door.OPEN:
                self._require_token(request, endpoint.door, now)
            call = Call(
                query=request.query_params,
                path_params=request.path_params,
                body=await read_json(request),
                bearer=read_bearer(request),
                now=now,
            )
            payload = endpoint.answer(call)
            return Response(status_code=204) if payload is None else JSONResponse(payload)

        return answer

    def _require_token(self, request: Request, door: Door, now: float) -> None:
        is_rejected = self._office.switches.is_on("back_office_rejects")
        if is_rejected or self._tokens[door].owner(read_bearer(request), now) is None:
            raise B2coreError(401, "Unauthenticated")

    async def _refuse_route(self, request: Request, error: Exception) -> Response:
        """Answer for a path or method that is not there, which strangers are not told."""
        try:
            self._require_token(request, Door.ADMIN, self._office.now())
        except B2coreError as refusal:
            return refusal.to_response()
        is_method = isinstance(error, HTTPException) and error.status_code == 405
        return (B2coreError(405, "Method not allowed") if is_method else not_found()).to_response()


async def _refuse(_request: Request, error: Exception) -> Response:
    if not isinstance(error, B2coreError):
        raise error
    return error.to_response()


class _Gate:
    """Lets requests through that no fault stops."""

    def __init__(self, app: ASGIApp, office: Office, closing: asyncio.Event) -> None:
        self._app = app
        self._is_on = office.switches.is_on
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_on("back_office_unreachable"):
            await hang_up(scope, receive)
        elif self._is_on("back_office_timeout"):
            await hold(receive, self._closing)
            await hang_up(scope, receive)
        elif self._is_on("back_office_down"):
            await B2coreError(503, "Service unavailable").to_response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)
