"""The Back Office API: what administrators and service users ask.

Paths, filters and the 2FA list are documented in the pages rest-api-reference-back-confirmations, -2fa,
-authentication, -clients and -phone-numbers of https://docs.b2core.b2broker.com/en/, read 2026-11-24. The fields of
SMS providers, templates, clients and phones, and the bodies of confirm, refresh and sign-out are not; those here are
inferred from the filters.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from .b2core_office import FAKE, TWILIO, Office, SmsProvider
from .b2core_tokens import Tokens
from .b2core_wire import B2coreError, Call, Json, cut_list, iso8601, parse_count
from .clients import FIRST_CREATED, GOOGLE, SMS, Client
from .limits import Limit
from .totp import CodeCheck

SIGN_INS_A_MINUTE: Final = 5
CHALLENGE_SECONDS: Final = 300.0
MOST_CHALLENGES: Final = 1000
ID_OF_FIRST_PHONE: Final = 5000

TYPES: Final = (TWILIO, "Vonage", FAKE)
SETTINGS: Final[Sequence[Json]] = (
    {"name": "account_sid", "caption": "Account SID", "required": True},
    {"name": "auth_token", "caption": "Auth Token", "required": 1},
    {"name": "from", "caption": "Sender", "required": True},
    {"name": "messaging_service_sid", "caption": "Messaging Service SID", "required": False},
)
CAPTIONS: Final = {SMS: "SMS Confirmation", GOOGLE: "Google Authenticator"}
TRUE_WORDS: Final = ("true", "1")


@dataclass(frozen=True, slots=True)
class _Challenge:
    email: str
    expires: float


class AdminApi:
    """The answers to service users."""

    def __init__(self, office: Office, tokens: Tokens) -> None:
        own = office.account.credentials
        self._office = office
        self._tokens = tokens
        self._passwords = {own.b2core_email: own.b2core_password, own.b2core_plain_email: own.b2core_plain_password}
        self._code_checks = {own.b2core_email: CodeCheck(own.b2core_totp_secret)}
        self._sign_ins = Limit(SIGN_INS_A_MINUTE, 60.0)
        self._challenges: dict[str, _Challenge] = {}

    def sign_in(self, call: Call) -> Json:
        """Answer with tokens, or with a challenge for a code."""
        email, password = call.text("email"), call.text("password")
        if wait := self._sign_ins.take(call.now):
            raise B2coreError(429, "Too many sign-in attempts", retry_after_seconds=wait)
        if self._passwords.get(email) != password:
            raise B2coreError(401, "The e-mail or the password is wrong")
        if email not in self._code_checks:
            return {"2faRequired": False, **self._tokens.issue(email, call.now).payload}
        challenge = secrets.token_hex(16)
        expires = call.now + CHALLENGE_SECONDS
        self._challenges[challenge] = _Challenge(email, expires)
        if len(self._challenges) > MOST_CHALLENGES:
            del self._challenges[next(iter(self._challenges))]
        details = {"token": challenge, "provider": "google", "expiresAt": iso8601(expires)}
        return {"2faRequired": True, "2faDetails": details}

    def confirm(self, call: Call) -> Json:
        """Answer with tokens when the code is right."""
        token, code = call.text("token"), call.text("code")
        challenge = self._challenges.get(token)
        if challenge is None or call.now >= challenge.expires:
            raise B2coreError(401, "The 2FA token is unknown or has expired")
        if not self._code_checks[challenge.email].take(code, call.now):
            raise B2coreError(422, "The code is wrong")
        del self._challenges[token]
        return self._tokens.issue(challenge.email, call.now).payload

    def refresh(self, call: Call) -> Json:
        """Answer with a new pair of tokens for a refresh token."""
        pair = self._tokens.refresh(call.text("refreshToken"), call.now)
        if pair is None:
            raise B2coreError(401, "The refresh token is unknown or has expired")
        return pair.payload

    def sign_out(self, call: Call) -> None:
        """Let the caller's tokens end."""
        self._tokens.revoke(call.bearer)

    def list_providers(self, call: Call) -> Json:
        """Answer with a page of the SMS providers. `total` is not how many there are."""
        shown = [each for each in self._office.sms_providers() if _is_wanted(call, each)]
        return {"total": 1, "data": cut_list(call, map(_render_provider, shown))}

    def fetch_provider(self, call: Call) -> Json:
        """Answer with one SMS provider and its settings, the secret masked."""
        wanted = call.id_param("provider")
        for each in self._office.sms_providers():
            if each.id == wanted:
                return {**_render_provider(each), "settings": each.settings}
        raise not_found()

    def list_types(self, _call: Call) -> Json:
        """Answer with the types of SMS providers that there are."""
        return {"total": 1, "data": [{"name": each} for each in TYPES]}

    def list_settings(self, call: Call) -> Json:
        """Answer with the settings of a type."""
        if call.path_params["type"] not in TYPES:
            raise not_found()
        return {"total": 1, "data": [] if call.path_params["type"] == FAKE else SETTINGS}

    def list_templates(self, _call: Call) -> Json:
        """Answer with the texts that carry codes."""
        text = self._office.template_text()
        template = {"id": 1, "name": "default", "caption": "2FA SMS", "text": text}
        return {"total": 1, "data": [] if text is None else [template]}

    def list_clients(self, call: Call) -> Json:
        """Answer with a page of clients, the youngest first unless `sort_order=asc`."""
        clients = _sort(call, self._office.clients.all)
        return {"total": len(clients), "data": cut_list(call, map(_render_client, clients))}

    def fetch_client(self, call: Call) -> Json:
        """Answer with one client."""
        return _render_client(self._find_client(call))

    def list_methods(self, call: Call) -> Json:
        """Answer with the second factors of a client. `total` is not how many there are."""
        client = self._find_client(call)
        methods, says_numbers = self._office.methods(client), client.id % 3 == 0
        names = {SMS: SMS.upper() if client.id % 2 else SMS, GOOGLE: GOOGLE}
        return {
            "total": 1,
            "data": [
                {"caption": caption, "isEnabled": _vary(method in methods, says_numbers), "name": names[method]}
                for method, caption in CAPTIONS.items()
            ],
        }

    def list_phones(self, call: Call) -> Json:
        """Answer with a page of phone numbers."""
        shown: Iterable[Client] = _sort(call, self._office.clients.all)
        for wanted, is_match in self._phone_filters(call):
            if wanted is not None:
                shown = filter(is_match, shown)
        return {"data": cut_list(call, map(self._render_phone, shown))}

    def _phone_filters(self, call: Call) -> Sequence[tuple[str | None, Callable[[Client], bool]]]:
        owner, number, confirmed = (call.filter(name) for name in ("clientId", "number", "confirmed"))
        is_sought = confirmed in TRUE_WORDS
        return (
            (owner, lambda client: client.id == parse_count(owner or "")),
            (number, lambda client: client.number == number),
            (confirmed, lambda client: self._office.is_confirmed(client) == is_sought),
        )

    def _render_phone(self, client: Client) -> Json:
        spellings: Sequence[object] = (True, 1, "1")
        return {
            "id": ID_OF_FIRST_PHONE + client.id,
            "clientId": client.id,
            "number": client.number,
            "ext": None,
            "type": "mobile",
            "confirmed": spellings[client.id % len(spellings)] if self._office.is_confirmed(client) else False,
            "createTime": iso8601(client.created),
        }

    def _find_client(self, call: Call) -> Client:
        client = self._office.clients.find(call.id_param("client") or 0)
        if client is None:
            raise not_found()
        return client


def not_found() -> B2coreError:
    """Return the answer for what does not exist."""
    return B2coreError(404, "Not found")


def _vary(is_true: bool, says_numbers: bool) -> bool | int:
    """Return the truth as a real installation may spell it."""
    return int(is_true) if says_numbers else is_true


def _is_wanted(call: Call, provider: SmsProvider) -> bool:
    kind, name, enabled = (call.filter(each) for each in ("provider", "name", "isEnabled"))
    if kind not in (None, provider.type) or name not in (None, provider.name):
        return False
    return enabled is None or (enabled in TRUE_WORDS) == provider.is_enabled


def _render_provider(provider: SmsProvider) -> Json:
    return {
        "id": provider.id,
        "provider": provider.type,
        "name": provider.name,
        "caption": provider.type,
        "isEnabled": _vary(provider.is_enabled, provider.type == FAKE),
        "createTime": iso8601(FIRST_CREATED + provider.id),
    }


def _render_client(client: Client) -> Json:
    return {
        "id": client.id,
        "email": client.email,
        "name": client.name,
        "createTime": iso8601(client.created),
    }


def _sort(call: Call, clients: Sequence[Client]) -> Sequence[Client]:
    """Return the clients by their time of creation, as the caller wants it."""
    return clients if call.query.get("sort_order") == "asc" else clients[::-1]
