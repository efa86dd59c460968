"""Requests as the configuration describes them: texts filled, and signed as the provider wants it."""

import hmac
import json
import secrets
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final
from urllib.parse import urlencode, urlsplit

from ...errors import BadResponseError, ProviderError
from ...reason import Reason
from ...secret import Secret
from ..causes import Codes
from ..fields import Fields
from ..json_api import JsonApi
from ..observer import Observer
from .settings import SIGNATURE, AuthKind, AuthSettings, HttpJsonSettings, RequestSettings, fits_a_header
from .signing import Encoding, decode_key
from .templates import Value, encode_for_path, fill_body, templates_in

_EARLY_SECONDS: Final = 60.0  # before its end a token is replaced
_LIFETIME_SECONDS: Final = 300.0  # of a token that does not tell
_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A request as it goes out."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)


class Requests:
    """Builds the requests of one account. Safe to use from several threads."""

    def __init__(self, settings: HttpJsonSettings, *, observer: Observer | None = None) -> None:
        self._settings = settings
        self._auth = settings.auth
        self._base = settings.base_url or ""
        self._secrets = settings.revealed()
        self._key = b""  # of hmac
        if self._auth.key is not None:
            self._key = decode_key(self._auth.key.fill(self._secrets, "UTC"), self._auth.key_encoding)
        self._tokens = None
        if self._auth.kind is AuthKind.OAUTH:
            self._tokens = _Tokens(self._auth, settings, self._secrets, observer)

    def close(self) -> None:
        """Close the idle connections."""
        if self._tokens is not None:
            self._tokens.close()

    def forget_token(self) -> None:
        """Let the next request get a new token: this one was refused."""
        if self._tokens is not None:
            self._tokens.forget()

    def fill(
        self,
        request: RequestSettings,
        values: Mapping[str, Value],
        *,
        now: float,
        more: Mapping[str, str] | None = None,
        link: str | None = None,
    ) -> Filled:
        """Return a request with its texts filled; ``now`` is by the provider's clock, ``more`` goes into the query.

        A ``link`` stands for path and query. Raises ProviderError where a value cannot stand where it should, and
        where no token is to be had.
        """
        zone = self._settings.times.timezone
        known: dict[str, Value] = {**self._secrets, "now": now, **values}
        path, _, linked = (request.path.fill(known, zone, encode_for_path) if link is None else link).partition("?")
        given = {} if link is not None else {name: each.fill(known, zone) for name, each in request.query.items()}
        query = {**given, **(more or {})}
        headers = {name: each.fill(known, zone) for name, each in {**self._settings.headers, **request.headers}.items()}
        form = {name: each.fill(known, zone) for name, each in request.form.items()}
        auth = self._auth
        if auth.kind is AuthKind.QUERY:
            query |= {name: each.fill(known, zone) for name, each in auth.params.items()}
        elif auth.kind is AuthKind.FORM:
            form |= {name: each.fill(known, zone) for name, each in auth.params.items()}
        elif auth.kind is AuthKind.HEADER:
            headers |= {name: each.fill(known, zone) for name, each in auth.headers.items()}
        body = None
        if request.body is not None:
            body, headers = json.dumps(fill_body(request.body, known, zone)).encode(), {"Content-Type": _JSON} | headers
        elif form:
            body, headers = urlencode(form).encode(), {"Content-Type": _FORM} | headers
        asked = "&".join(part for part in (linked, urlencode(query)) if part)
        if auth.kind is AuthKind.HMAC:
            signed = self._signature(request.method, path, asked, body or b"", now)
            headers |= {name: each.fill({**known, **signed}, zone) for name, each in auth.headers.items()}
            added = {name: each.fill({**known, **signed}, zone) for name, each in auth.params.items()}
            asked = "&".join(part for part in (asked, urlencode(added)) if part)
        headers |= self._authorization(known, zone)
        if not all(fits_a_header(value) for value in headers.values()):
            raise self._odd_header(request, values)
        return Filled(
            method=request.method,
            url=f"https://{urlsplit(self._base).netloc}{path}{'?' if asked else ''}{asked}",
            headers=headers,
            body=body,
        )

    def _odd_header(self, request: RequestSettings, values: Mapping[str, Value]) -> ProviderError:
        """Return the error of a request with a header that cannot hold what was filled in."""
        filled = {name for each in templates_in((self._settings.headers, request.headers)) for name in each.names}
        odd = {name for name in filled & values.keys() if not fits_a_header(str(values[name]))}
        if not odd:
            return ProviderError(Reason.CREDENTIALS_REJECTED, "a header cannot hold a credential: odd signs are in it")
        if "id" in odd:
            return BadResponseError("an id of the provider cannot stand in a header")
        return ProviderError(Reason.INTERNAL, f"a header cannot hold {', '.join(sorted(odd))}: odd signs are in it")

    def _authorization(self, known: Mapping[str, Value], zone: str) -> Mapping[str, str]:
        auth = self._auth
        if auth.kind is AuthKind.BASIC and auth.username is not None and auth.password is not None:
            pair = f"{auth.username.fill(known, zone)}:{auth.password.fill(known, zone)}"
            return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
        if auth.kind is AuthKind.BEARER and auth.token is not None:
            return {"Authorization": f"Bearer {auth.token.fill(known, zone)}"}
        if self._tokens is not None:
            return {"Authorization": f"Bearer {self._tokens.token().reveal()}"}
        return {}

    def _signature(self, method: str, path: str, query: str, body: bytes, now: float) -> Mapping[str, str]:
        """Return the signature of a request, and what it was made of that the provider has to know."""
        auth, zone = self._auth, self._settings.times.timezone
        if auth.string_to_sign is None:
            return {}
        signed = {
            "method": method,
            "path": urlsplit(self._base).path + path,
            "query": query,
            "body": body.decode("latin-1"),
            "body_sha256": sha256(body).hexdigest(),
            "timestamp": str(int(now)),
            "nonce": secrets.token_hex(16),
        }
        text = auth.string_to_sign.fill({**self._secrets, **signed}, zone)
        digest = hmac.digest(self._key, text.encode("latin-1", "replace"), auth.algorithm)
        return {**signed, SIGNATURE: digest.hex() if auth.encoding is Encoding.HEX else b64encode(digest).decode()}


class _Tokens:
    """The access token of OAuth 2.0, client credentials (RFC 6749 section 4.4): kept until shortly before its end."""

    def __init__(
        self,
        auth: AuthSettings,
        settings: HttpJsonSettings,
        secrets_by_name: Mapping[str, str],
        observer: Observer | None,
    ) -> None:
        self._auth = auth
        self._secrets = secrets_by_name
        self._url = auth.token_url or ""
        self._token: tuple[Secret, float] | None = None  # with its end, by the provider's clock
        codes = Codes({}, {"invalid_client": Reason.CREDENTIALS_REJECTED, "invalid_grant": Reason.CREDENTIALS_REJECTED})
        self._api = JsonApi(
            "the token endpoint",
            (urlsplit(self._url).netloc,),
            _TokenWay(self._url, settings.timeout, settings.max_requests_per_second),
            codes=codes,
            code_of=_code_of_a_token_error,
            public_only=settings.public_only(self._url),
            observer=observer,
        )

    def close(self) -> None:
        self._api.close()

    def forget(self) -> None:
        self._token = None

    def token(self) -> Secret:
        """Return the token. Raises ProviderError where there is none to be had."""
        kept = self._token
        if kept is not None and self._api.now() < kept[1]:
            return kept[0]
        auth, parts = self._auth, urlsplit(self._url)
        client_id = "" if auth.client_id is None else auth.client_id.fill(self._secrets, "UTC")
        secret = "" if auth.client_secret is None else auth.client_secret.fill(self._secrets, "UTC")
        asked = {"grant_type": "client_credentials"} | ({} if auth.scope is None else {"scope": auth.scope})
        answer = self._api.ask("POST", f"https://{parts.netloc}{parts.path}", data=asked, auth=(client_id, secret))
        token = answer.fields.text("access_token")
        if not token.isascii() or not token.isprintable():
            raise BadResponseError("the token endpoint gives no token that a header can hold")
        told = Fields({"expires_in": _LIFETIME_SECONDS, **answer.payload}, "the token endpoint").number("expires_in")
        made = (Secret(token), self._api.now() + max(told - _EARLY_SECONDS, told / 2))
        self._token = made
        return made[0]


@dataclass(frozen=True, slots=True)
class _TokenWay:
    url: str
    timeout: float
    max_requests_per_second: int

    @property
    def base_url(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


def _code_of_a_token_error(payload: object) -> str | None:
    error = payload.get("error") if isinstance(payload, dict) else None
    return error if error in ("invalid_client", "invalid_grant") else None
