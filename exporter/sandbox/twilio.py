"""The emulated Twilio: which endpoints there are, and what stands before them.

All products share one origin, told apart by their paths, as those do not collide.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from checks.secret import Secret

from . import twilio_account, twilio_messages, twilio_messaging, twilio_products, twilio_verify
from .access import Caller, Permission, authenticate, choose_account, require
from .account import Account
from .emulator import Emulator, Ground
from .gate import RETRY_AFTER_SECONDS, Admit, Gate
from .message import Message
from .outbox import Post
from .posts import Signer
from .wire import API_VERSION, Call, Json, TwilioError, not_found, parse_form

ACCOUNT_PATH: Final = f"/{API_VERSION}/Accounts/{{account}}"
SERVICE_PATH: Final = "/v1/Services/{service}"
VERIFY_SERVICE_PATH: Final = "/v2/Services/{verify_service}"

CALLER: Final = "twofa.sandbox.caller"

CONCURRENT_REQUESTS: Final = 100
"""What the account is said to do at once while it is limited. Twilio does not say where the limit lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One call of the API."""

    path: str
    answer: Callable[[Call], Json]
    needs: Permission
    method: str = "GET"
    status: int = 200
    works_suspended: bool = False
    is_limited: bool = False  # to so many requests a minute


ENDPOINTS: Final = (
    Endpoint(
        path=f"/{API_VERSION}/Accounts.json",
        answer=twilio_account.list_accounts,
        needs=Permission.MASTER,
    ),
    Endpoint(
        path=f"{ACCOUNT_PATH}.json",
        answer=twilio_account.fetch_account,
        needs=Permission.MASTER,
        works_suspended=True,
    ),
    Endpoint(
        path=f"{ACCOUNT_PATH}/Balance.json",
        answer=twilio_account.fetch_balance,
        needs=Permission.BALANCE_READ,
    ),
    Endpoint(
        path=f"{ACCOUNT_PATH}/Keys.json",
        answer=twilio_account.list_keys,
        needs=Permission.MASTER,
    ),
    Endpoint(
        path=f"{ACCOUNT_PATH}/Usage/Records.json",
        answer=twilio_account.list_usage,
        needs=Permission.USAGE_LIST,
    ),
    Endpoint(
        path=f"{ACCOUNT_PATH}/Usage/Records/{{period}}.json",
        answer=twilio_account.list_usage,
        needs=Permission.USAGE_LIST,
    ),
    Endpoint(
        path=f"{ACCOUNT_PATH}/IncomingPhoneNumbers.json",
        answer=twilio_account.list_incoming_numbers,
        needs=Permission.NUMBERS_LIST,
    ),
    Endpoint(
        path=f"{ACCOUNT_PATH}/SMS/ShortCodes.json",
        answer=twilio_account.list_short_codes,
        needs=Permission.NUMBERS_LIST,
    ),
    Endpoint(
        path=f"{ACCOUNT_PATH}/Messages.json",
        answer=twilio_messages.list_messages,
        needs=Permission.MESSAGES_LIST,
    ),
    Endpoint(
        path=f"{ACCOUNT_PATH}/Messages.json",
        answer=twilio_messages.create_message,
        needs=Permission.MESSAGES_CREATE,
        method="POST",
        status=201,
    ),
    Endpoint(
        path=f"{ACCOUNT_PATH}/Messages/{{sid}}.json",
        answer=twilio_messages.fetch_message,
        needs=Permission.MESSAGES_READ,
    ),
    Endpoint(
        path="/v1/Services",
        answer=twilio_messaging.list_services,
        needs=Permission.SERVICES_LIST,
    ),
    Endpoint(
        path=SERVICE_PATH,
        answer=twilio_messaging.fetch_service,
        needs=Permission.SERVICES_LIST,
    ),
    Endpoint(
        path=f"{SERVICE_PATH}/PhoneNumbers",
        answer=twilio_messaging.list_pool_numbers,
        needs=Permission.SERVICES_LIST,
    ),
    Endpoint(
        path=f"{SERVICE_PATH}/ShortCodes",
        answer=twilio_messaging.list_pool_short_codes,
        needs=Permission.SERVICES_LIST,
    ),
    Endpoint(
        path=f"{SERVICE_PATH}/AlphaSenders",
        answer=twilio_messaging.list_pool_alpha_senders,
        needs=Permission.SERVICES_LIST,
    ),
    Endpoint(
        path=f"{SERVICE_PATH}/DestinationAlphaSenders",
        answer=twilio_messaging.list_pool_destination_alpha_senders,
        needs=Permission.SERVICES_LIST,
    ),
    Endpoint(
        path=f"{SERVICE_PATH}/Compliance/Usa2p",
        answer=twilio_messaging.list_campaigns,
        needs=Permission.COMPLIANCE_LIST,
    ),
    Endpoint(
        path="/v1/a2p/BrandRegistrations",
        answer=twilio_messaging.list_brands,
        needs=Permission.COMPLIANCE_LIST,
    ),
    Endpoint(
        path="/v1/Tollfree/Verifications",
        answer=twilio_messaging.list_tollfree_verifications,
        needs=Permission.COMPLIANCE_LIST,
    ),
    Endpoint(
        path="/v1/Messaging/GeoPermissions",
        answer=twilio_products.fetch_geo_permissions,
        needs=Permission.GEO_READ,
    ),
    Endpoint(
        path="/v1/CustomerProfiles",
        answer=twilio_products.list_customer_profiles,
        needs=Permission.PROFILES_LIST,
    ),
    Endpoint(
        path="/v2/Services",
        answer=twilio_verify.list_verify_services,
        needs=Permission.VERIFY_SERVICES_LIST,
    ),
    Endpoint(
        path=f"{VERIFY_SERVICE_PATH}/Verifications",
        answer=twilio_verify.start_verification,
        needs=Permission.VERIFICATIONS_CREATE,
        method="POST",
        status=201,
    ),
    Endpoint(
        path=f"{VERIFY_SERVICE_PATH}/VerificationCheck",
        answer=twilio_verify.check_verification,
        needs=Permission.VERIFICATION_CHECKS_CREATE,
        method="POST",
    ),
    Endpoint(
        path="/v2/Attempts",
        answer=twilio_verify.list_attempts,
        needs=Permission.ATTEMPTS_LIST,
        is_limited=True,
    ),
    Endpoint(
        path="/v2/PhoneNumbers/{number}",
        answer=twilio_products.fetch_lookup,
        needs=Permission.LOOKUP_READ,
    ),
    Endpoint(
        path="/v2/Attempts/Summary",
        answer=twilio_verify.fetch_attempts_summary,
        needs=Permission.ATTEMPTS_LIST,
        is_limited=True,
    ),
)


def build_twilio(ground: Ground) -> ASGIApp:
    """Return the application that answers like Twilio."""
    main, child = ground.account, ground.child
    routes = [Route(each.path, _build_route(each, child, ground.clock), methods=[each.method]) for each in ENDPOINTS]
    handlers = {HTTPException: _refuse_route, TwilioError: _refuse}
    app = Starlette(routes=routes, exception_handlers=handlers)
    return Gate(app, main.switches, ground.closing, refuse=_refuse_under_fault, admit=_admit(main, child))


def _build_route(
    endpoint: Endpoint, child: Account, clock: Callable[[], float]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        caller: Caller = request.scope[CALLER]
        account = choose_account(caller, request.path_params.get("account"), child)
        if account.status == "suspended" and not endpoint.works_suspended:
            raise TwilioError(403, 20403, "Forbidden: the account has been suspended")
        require(caller, endpoint.needs)
        form = parse_form(await request.body())
        now = clock()
        if endpoint.is_limited and (wait := account.attempts_limit.take(now)):
            raise TwilioError(429, 20429, "Too many requests", headers={"Retry-After": str(wait)})
        account.advance(now)
        call = Call(request=request, account=account, child=child, now=now, form=form)
        return JSONResponse(endpoint.answer(call), endpoint.status)

    return answer


async def _refuse(_request: Request, error: Exception) -> Response:
    if not isinstance(error, TwilioError):
        raise error
    return error.to_response()


async def _refuse_route(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:
        return TwilioError(405, 20004, "Method not allowed").to_response()
    return not_found(request.url.path).to_response()


def _refuse_under_fault(fault: str, _request: Request) -> Response:
    if fault == "rate_limited":
        headers = {
            "Retry-After": str(RETRY_AFTER_SECONDS),
            "Twilio-Concurrent-Requests": str(CONCURRENT_REQUESTS),
        }
        return TwilioError(429, 20429, "Too many concurrent requests", headers=headers).to_response()
    return TwilioError(503, 20503, "Service unavailable").to_response()


def _admit(main: Account, child: Account) -> Admit:
    """Return what notes the caller of a request, or refuses it."""

    def admit(request: Request) -> Response | None:
        authorization = request.headers.get("authorization")
        if main.switches.is_on("credentials_rejected"):
            authorization = None
        try:
            request.scope[CALLER] = authenticate(authorization, main, child)
        except TwilioError as error:
            return error.to_response()
        return None

    return admit


def _post(account: Account, url: str, signed_as: str | None, message: Message, status: str, at: float) -> Post:
    signer = Signer(account_sid=account.sid, auth_token=account.auth_token, signed_as=signed_as)
    return signer.callback(url, message, status, at)


TWILIO: Final = Emulator(
    prefix="",
    build=build_twilio,
    settings=lambda account: {"account_sid": account.sid, "auth_token": Secret(account.auth_token)},
    callback_settings=lambda _: {},  # the Auth Token signs
    post=_post,
    signs_url=True,
)
