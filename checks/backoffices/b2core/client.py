"""B2CORE's API in our words: SMS providers, templates, clients' second factors and a client's own sign-in."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit

from ...back_office import Client, ClientPage, ClientPhone, SignIn, SmsProvider, SmsTemplate
from ...errors import BadResponseError, NotFoundError, PermissionMissingError, ProviderError
from ...providers.http import Http, Reply, origin_of, reason_for_status
from ...providers.observer import Observer
from ...reason import Reason
from ...secret import Secret
from . import front
from .answers import (
    TEST_TYPES,
    first_told,
    identity_of,
    is_id,
    missing_settings,
    parse_entries,
    parse_flag,
    parse_id,
    parse_methods,
    parse_name,
    parse_object,
    parse_phones,
    parse_provider_settings,
    parse_required,
    parse_template,
    untold_settings,
)
from .session import Session
from .settings import B2CoreSettings

_MOST_PROVIDERS: Final = 50
_MOST_PHONES: Final = 100  # of one client
_PAGE: Final = 100  # no largest ``limit`` is documented
_SHORTEST_FULL_PAGE: Final = 10
_MOST_PAGES: Final = 10
_JSON: Final[Mapping[str, str]] = {"Accept": "application/json", "Accept-Language": "en"}


class B2CoreClient:
    """One B2CORE installation. Safe to use from several threads, which share one sign-in."""

    def __init__(self, settings: B2CoreSettings, *, observer: Observer | None = None) -> None:
        self._root = f"{settings.url}/api/v2"
        self._client_root = f"{settings.client_url or settings.url}/api/v2/my"
        self._http = Http(
            _origins(self._root),
            timeout_seconds=settings.timeout,
            requests_per_second=settings.max_requests_per_second,
            observer=observer,
        )
        # Without a limiter: an answer 429 is about one client there, who is locked, and must silence nobody else.
        self._client_http = Http(_origins(self._client_root), timeout_seconds=settings.timeout, observer=observer)
        self._session = Session(settings, self._post)

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()
        self._client_http.close()

    def end_rest(self) -> None:
        """Let the next call sign in, whatever was refused before."""
        self._session.end_rest()

    def fetch_sms_providers(self) -> Sequence[SmsProvider]:
        """Return every configuration of an SMS provider.

        Which of them the back office demands settings for is asked of those that are on: the others harm nobody.
        https://docs.b2core.b2broker.com/en/rest-api-reference-back-confirmations.html
        """
        entries = list(islice(self._entries("confirmations/providers"), _MOST_PROVIDERS))
        required: dict[str, Mapping[str, str] | None] = {}
        return [self._provider(entry, required) for entry in entries]

    def _provider(self, entry: Mapping[str, Any], required: dict[str, Mapping[str, str] | None]) -> SmsProvider:
        type_ = parse_name(entry, "provider", "type", "name")
        name = parse_name(entry, "name", "caption", "provider") or "unnamed"
        is_enabled = parse_flag(first_told(entry, "isEnabled", "enabled"))
        delivers = type_.lower() not in TEST_TYPES
        shown = SmsProvider(name=name, vendor=type_.lower(), is_enabled=is_enabled, delivers=delivers)
        if not is_enabled or not delivers:
            return shown
        identity = parse_id(entry.get("id"))
        details = self._readable(f"confirmations/providers/{identity}") if identity else None
        found = None if details is None else parse_provider_settings(parse_object(details))
        if found is None:
            return replace(shown, unreadable=("its settings",))
        if type_ not in required:
            schema = self._readable(f"confirmations/providers/types/{type_}/settings") if is_id(type_) else None
            required[type_] = None if schema is None else parse_required(schema)
        shown, demanded = replace(shown, identifiers=found.identifiers), required[type_]
        if demanded is None:
            return replace(shown, unreadable=("what its type demands",))
        untold = tuple(f"its setting {setting}" for setting in untold_settings(demanded, found))
        return replace(shown, missing=missing_settings(demanded, found), unreadable=untold)

    def fetch_sms_templates(self) -> Sequence[SmsTemplate]:
        """Return the texts that carry codes."""
        return [parse_template(entry) for entry in self._entries("confirmations/templates")]

    def read_clients(self, *, resume: str | None, limit: int) -> ClientPage:
        """Return the next ids of clients, the eldest client first.

        A user who is restricted to clients with certain tags sees those alone, and is not told:
        https://docs.b2core.b2broker.com/en/rest-api-reference-back-clients.html.
        """
        offset = int(resume) if resume is not None and resume.isascii() and resume.isdigit() and len(resume) < 10 else 0
        entries = self._clients(offset, limit)
        end = offset + len(entries)
        # A short page is the last one only if nothing follows it: how many entries are given at most is not told.
        has_more = len(entries) == limit or (len(entries) > 0 and len(self._clients(end, 1)) > 0)
        ids = [found for entry in entries if (found := parse_id(first_told(entry, "id", "clientId")))]
        return ClientPage(ids=ids, resume=str(end) if has_more else None)

    def _clients(self, offset: int, limit: int) -> Sequence[Mapping[str, Any]]:
        query = {"limit": limit, "offset": offset, "sort_by": "createTime", "sort_order": "asc"}
        return parse_entries(self._get("clients", query))[:limit]

    def fetch_client(self, client_id: str) -> Client | None:
        """Return one client's second factors; None when there is no such client."""
        if not is_id(client_id):
            return None
        try:
            methods = parse_methods(self._get(f"clients/{client_id}/2fa"))
        except NotFoundError:
            return None
        phones = self._phones_of(client_id)
        return Client(methods=methods, phones=phones, unreadable=("phones",) if phones is None else ())

    def _phones_of(self, client_id: str) -> tuple[ClientPhone, ...] | None:
        """Return a client's phones; None when they may not be read, or those of others are all that is given."""
        try:
            entries = islice(self._entries("phones", {"filter[clientId]": client_id}), _MOST_PHONES)
            phones = list(parse_phones(entries))
        except PermissionMissingError:
            return None
        own = tuple(phone for owner, phone in phones if owner in ("", client_id))
        return None if phones and not own else own  # a filter that is not heeded: the client's may be further on

    def find_clients(self, number: str) -> Sequence[str]:
        """Return the ids of the clients who have an E.164 number."""
        phones = parse_phones(self._entries("phones", {"filter[number]": number}))
        return list(dict.fromkeys(owner for owner, phone in phones if owner and phone.number == number))

    def sign_in(self, *, email: str, password: Secret, code: str) -> SignIn:
        """Sign in to the client-facing API once, with a code of the authenticator app, and sign out again."""
        return front.sign_in(self._ask_client_api, email=email, password=password, code=code)

    def _ask_client_api(self, method: str, path: str, body: Mapping[str, Any] | None, token: Secret | None) -> Reply:
        headers = dict(_JSON) if token is None else {**_JSON, "Authorization": f"Bearer {token.reveal()}"}
        return self._client_http.request(method, f"{self._client_root}/{path}", json=body, headers=headers)

    def _post(self, path: str, body: Mapping[str, Any]) -> Reply:
        return self._http.request("POST", f"{self._root}/{path}", json=body, headers=_JSON)

    def _readable(self, path: str) -> Any:
        """Return the answer; None when these credentials may not read it or there is no such thing."""
        try:
            return self._get(path)
        except (PermissionMissingError, NotFoundError):
            return None

    def _entries(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of a list, page after page until one brings nothing new, a thousand or so at most.

        A page may be shorter than was asked for and still not be the last one; one of fewer than the ten entries that
        the documentation's own calls ask for is.
        """
        seen: set[Hashable] = set()
        offset = 0
        for _ in range(_MOST_PAGES):
            page = parse_entries(self._get(path, {"limit": _PAGE, "offset": offset, **(query or {})}))
            new = [entry for entry in page if identity_of(entry) not in seen]
            yield from new
            if not new or len(page) < _SHORTEST_FULL_PAGE:
                return
            seen.update(map(identity_of, new))
            offset += len(page)

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        token = self._session.access_token()
        reply = self._ask(path, query, token)
        if reply.status == 401 and self._session.rejected(token):
            reply = self._ask(path, query, self._session.access_token())
        reason = reason_for_status(reply.status)
        if reason is None:
            return reply.json()
        if reply.status == 404:
            raise NotFoundError("the back office has no such thing")
        if reason is Reason.PERMISSION_MISSING:
            raise PermissionMissingError(f"the service user may not read {path.partition('/')[0]}")
        if reason is Reason.CREDENTIALS_REJECTED:
            raise ProviderError(reason, f"the back office refuses the token for {path.partition('/')[0]}")
        if reason is Reason.BAD_RESPONSE:
            raise BadResponseError(f"the back office answers HTTP {reply.status}")
        raise ProviderError(reason, f"the back office answers HTTP {reply.status}")

    def _ask(self, path: str, query: Mapping[str, Any] | None, token: Secret) -> Reply:
        headers = {**_JSON, "Authorization": f"Bearer {token.reveal()}"}
        return self._http.request("GET", f"{self._root}/{path}", params=query, headers=headers)


def _origins(root: str) -> Mapping[str, str]:
    return {urlsplit(root).netloc: origin_of(root)}
