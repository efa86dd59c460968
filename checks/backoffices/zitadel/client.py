"""ZITADEL's API in our words: the SMS providers of an instance, and the second factors of its users."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from ...back_office import Client, ClientPage, SmsProvider, SmsTemplate
from ...errors import BadResponseError, NotFoundError
from ...messages.country import E164
from ...providers.http import Http, origin_of
from ...providers.observer import Observer
from .answers import Users, is_id, parse_client, parse_count, parse_human, parse_object, parse_providers, parse_users
from .refusals import permission_missing, refusal
from .settings import ZitadelSettings

_PROVIDERS: Final = "/admin/v1/sms/_search"
_USERS: Final = "/v2/users"

_MOST: Final = 100  # what an instance lists when it is not told how many; more than its limit is refused


class ZitadelClient:
    """One ZITADEL instance, its Admin API version 1 and User API version 2. Safe to use from several threads.

    Every method may raise ProviderError: a token that is rejected, a right that is missing (PermissionMissingError),
    an answer that is not what ZITADEL documents (BadResponseError), and what the transport raises.
    """

    def __init__(self, settings: ZitadelSettings, *, observer: Observer | None = None) -> None:
        self._origin = origin_of(settings.url)
        self._headers = {"Accept": "application/json", "Authorization": f"Bearer {settings.token.reveal()}"}
        self._organization = settings.organization
        self._http = Http(
            {urlsplit(settings.url).netloc: settings.url},
            timeout_seconds=settings.timeout,
            requests_per_second=settings.max_requests_per_second,
            observer=observer,
        )

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()

    def fetch_sms_providers(self) -> Sequence[SmsProvider]:
        """Return every SMS provider of the instance, called by its description, or by type and id when it has none.

        Needs ``iam.read``, which IAM_OWNER_VIEWER has. Whether a provider's token is right is not told by ZITADEL.
        """
        return parse_providers(self._list(_PROVIDERS, {"query": {"limit": _MOST}}))

    def fetch_sms_templates(self) -> Sequence[SmsTemplate] | None:
        """Return None: ZITADEL comes with its texts, and always has one."""
        return None

    def read_clients(self, *, resume: str | None, limit: int) -> ClientPage:
        """Return ids of human users, the eldest first, 100 at most; a ``resume`` that is none begins anew.

        ZITADEL pages by position: who is deleted meanwhile shifts the younger ones, so that one may be missed.
        Raises PermissionMissingError when the token may see no one of those on a page.
        """
        offset = parse_count(resume) or 0
        limit = max(1, min(limit, _MOST))
        users = self._search_users(offset=offset, limit=limit)
        # It leaves out whom the token may not see after it cut the page: a short one is not the last one.
        has_more = offset + limit < users.total if users.total else users.listed >= limit
        return ClientPage(ids=tuple(user.id for user in users.humans), resume=str(offset + limit) if has_more else None)

    def fetch_client(self, client_id: str) -> Client | None:
        """Return a human user's second factors; None for an id that no human user has.

        SMS and TOTP are always told, and so is the phone: ZITADEL keeps one for each user.
        """
        if not is_id(client_id):
            return None
        path = f"{_USERS}/{client_id}"
        try:
            human = parse_human(self._ask("GET", path), client_id)
            return None if human is None else parse_client(human, self._ask("GET", f"{path}/authentication_methods"))
        except NotFoundError:
            return None

    def find_clients(self, number: str) -> Sequence[str]:
        """Return the ids of human users who have an E.164 number, confirmed or not, 100 at most; the eldest first."""
        if not E164.fullmatch(number):
            return ()
        query = {"phoneQuery": {"number": number, "method": "TEXT_QUERY_METHOD_EQUALS"}}
        users = self._search_users(query, offset=0, limit=_MOST)
        return tuple(user.id for user in users.humans if user.phone == number)

    def _search_users(self, *queries: Mapping[str, Any], offset: int, limit: int) -> Users:
        conditions = [{"typeQuery": {"type": "TYPE_HUMAN"}}, *queries]
        if self._organization is not None:
            conditions.append({"organizationIdQuery": {"organizationId": self._organization}})
        question = {
            "query": {"offset": offset, "limit": limit, "asc": True},
            "sortingColumn": "USER_FIELD_NAME_CREATION_DATE",
            "queries": conditions,
        }
        users = parse_users(self._list(_USERS, question))
        if not users.listed and users.total > offset:
            raise permission_missing()
        return users

    def _list(self, path: str, question: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return self._ask("POST", path, json=question)
        except NotFoundError:  # lists may be empty, but are never absent
            raise BadResponseError("there is no ZITADEL instance at this URL") from None

    def _ask(self, method: str, path: str, *, json: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        headers = dict(self._headers)
        if self._organization is not None and path.startswith(_USERS):
            headers["x-zitadel-orgid"] = self._organization
        reply = self._http.request(method, f"{self._origin}{path}", json=json, headers=headers)
        error = refusal(reply)
        if error is not None:
            raise error
        return parse_object(reply.json())
