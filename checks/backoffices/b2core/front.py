"""A client's own sign-in, through the client-facing API.

https://docs.b2core.b2broker.com/en/rest-api-reference-front-authentication.html and its sibling about 2FA, read
2026-11: wizard, sign-in, the choice between two methods, the code. The wizard's ``code`` is 200 for a step on the way
and 202 for the last one. What a refusal looks like is inferred from the HTTP status.
"""

import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

from ...back_office import SignIn
from ...errors import BadResponseError, PermissionMissingError, ProviderError
from ...providers.http import Reply, reason_for_status
from ...reason import Reason
from ...secret import Secret
from .answers import parse_flag, parse_object, parse_token

_LAST_STEP: Final = 202
_REFUSED: Final = frozenset({400, 401, 403, 422})
_LOCKED: Final = frozenset({423, 429})
_UUID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")


class Ask(Protocol):
    """Sends one request below ``/api/v2/my``, with a client's access token or without."""

    def __call__(self, method: str, path: str, body: Mapping[str, Any] | None, token: Secret | None) -> Reply:
        """Return the answer, whatever its status."""


def sign_in(ask: Ask, *, email: str, password: Secret, code: str) -> SignIn:
    """Sign in once; return what came of it. Raises ProviderError."""
    wizard = _understood(ask("GET", "signin/wizard", None, None))
    uuid = wizard.get("uuid")
    if not isinstance(uuid, str) or not _UUID.fullmatch(uuid):
        raise BadResponseError("the client sign-in gives no uuid")
    if _asks_captcha(wizard):
        raise PermissionMissingError("the client sign-in wants a captcha solved; let it spare the canary client")
    credentials = {"email": email, "password": password.reveal(), "device_fingerprint": secrets.token_hex(16)}
    first = ask("POST", "signin", {"uuid": uuid, **credentials}, None)
    if first.status in _LOCKED:
        return SignIn.LOCKED
    if first.status in _REFUSED:
        return SignIn.PASSWORD_REFUSED
    answer = _understood(first)
    if _is_done(answer):
        _sign_out(ask, answer)
        return SignIn.CODE_NOT_ASKED
    ask("POST", "signin/2fa", {"uuid": uuid, "type": "google"}, None)  # refused where there is nothing to choose
    last = ask("POST", "2fa/google", {"uuid": uuid, "code": code}, None)
    if last.status in _LOCKED:
        return SignIn.LOCKED
    if last.status in _REFUSED:
        return SignIn.CODE_REFUSED
    answer = _understood(last)
    if not _is_done(answer):
        raise BadResponseError("the client sign-in takes the code and does not end")
    _sign_out(ask, answer)
    return SignIn.ACCEPTED


def _understood(reply: Reply) -> Mapping[str, Any]:
    reason = reason_for_status(reply.status)
    if reason is None:
        payload = reply.json()
        if not isinstance(payload, Mapping):
            raise BadResponseError("the client sign-in's answer is no object")
        return payload
    if reason in (Reason.PROVIDER_OUTAGE, Reason.RATE_LIMITED):
        raise ProviderError(reason, f"the client sign-in answers HTTP {reply.status}")
    raise BadResponseError(f"the client sign-in answers HTTP {reply.status}")


def _asks_captcha(wizard: Mapping[str, Any]) -> bool:
    data = wizard.get("data")
    captcha = data.get("recaptcha") if isinstance(data, Mapping) else None
    return isinstance(captcha, Mapping) and bool(parse_flag(captcha.get("enabled")))


def _is_done(answer: Mapping[str, Any]) -> bool:
    return bool(parse_flag(answer.get("done"))) or answer.get("code") == _LAST_STEP


def _sign_out(ask: Ask, answer: Mapping[str, Any]) -> None:
    token = parse_token(parse_object(answer).get("accessToken"))
    if token is not None:
        with suppress(ProviderError):  # what came of the sign-in is known, and must not be lost
            ask("POST", "signout", None, token.value)
