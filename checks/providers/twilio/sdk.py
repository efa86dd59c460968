"""The SDK on our own transport: our deadlines, our errors, no other host."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ...errors import BadResponseError, ProviderError
from ..http import Http, Reply
from .settings import TwilioSettings
from .slim import load_sdk

if TYPE_CHECKING:
    from twilio.rest import Client


PAGE_SIZE: Final = 1000  # the most that the API gives at once
_NO_ENVIRONMENT: Final = {"": ""}  # the SDK takes an empty mapping for none and reads os.environ: TWILIO_REGION


def credentials_of(settings: TwilioSettings) -> tuple[str, str]:
    """Return what to sign in with: an API key and its secret, or the account and its Auth Token."""
    secret = settings.api_key_secret or settings.auth_token
    return settings.api_key or settings.account_sid, secret.reveal() if secret is not None else ""


def build_sdk(settings: TwilioSettings, http: Http, refusal: Callable[[Reply], ProviderError | None]) -> "Client":
    """Return the SDK on our transport: our deadlines, our errors, no other host.

    An answer that refuses never reaches the SDK, whose lists turn it into an error without status and code.
    """
    from twilio.http import HttpClient
    from twilio.http.response import Response
    from twilio.rest import Client

    load_sdk()
    logger = logging.getLogger("twilio.http_client")  # prints URLs, in which phone numbers stand
    logger.setLevel(logging.CRITICAL)

    class Transport(HttpClient):
        def request(
            self,
            method: str,
            uri: str,
            params: Mapping[str, Any] | None = None,
            data: Mapping[str, Any] | None = None,
            headers: Mapping[str, str] | None = None,
            auth: tuple[str, str] | None = None,
            timeout: float | None = None,  # noqa: ARG002  # ours rules
            allow_redirects: bool = False,  # noqa: ARG002  # never
        ) -> Response:
            reply = http.request(method, uri, params=params, data=data, headers=headers, auth=auth)
            problem = refusal(reply)
            if problem is not None:
                raise problem
            return Response(reply.status, reply.body.decode(), reply.headers)

    username, password = credentials_of(settings)
    return Client(
        username=username,
        password=password,
        account_sid=settings.account_sid,
        http_client=Transport(logger, is_async=False),
        environment=_NO_ENVIRONMENT,
    )


@contextmanager
def documented_shape() -> Iterator[None]:
    """Turn what the SDK raises over an answer of another shape into BadResponseError. Wraps nothing but SDK calls."""
    from twilio.base.exceptions import TwilioException

    try:
        yield
    except (
        AttributeError,
        TypeError,
        LookupError,
        ValueError,
        ArithmeticError,
        RecursionError,
        TwilioException,
    ):
        raise BadResponseError("Twilio's answer is not of the documented shape") from None
