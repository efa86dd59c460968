"""What ZITADEL's refusals mean."""

from collections.abc import Iterator
from typing import Any, Final

from ...errors import BadResponseError, NotFoundError, PermissionMissingError, ProviderError
from ...providers.http import Reply, reason_for_status
from ...reason import Reason

# grpc-gateway tells the number, Connect the word: https://grpc.io/docs/guides/status-codes/
_NOT_FOUND: Final = (5, "not_found")

# A service user without any role gets 404 "membership not found (AUTHZ-cdgFk)", as ZITADEL's integration tests have it.
_AUTHORIZATION: Final = "AUTHZ-"

_RIGHTS: Final = "the service user needs IAM_OWNER_VIEWER, or ORG_OWNER_VIEWER of the organization that is set"


def refusal(reply: Reply) -> ProviderError | None:
    """Return what an answer refuses to tell, None for one that tells it; NotFoundError when there is no such thing."""
    reason = reason_for_status(reply.status)
    if reason is None:
        return None
    if reason is Reason.PERMISSION_MISSING:
        return permission_missing()
    if reply.status == 404:
        return _absence(reply)
    if reason is Reason.CREDENTIALS_REJECTED:
        return ProviderError(reason, "ZITADEL rejects the token")
    return ProviderError(reason, f"ZITADEL answers HTTP {reply.status}")


def permission_missing() -> PermissionMissingError:
    """Return the error that says which rights a service user needs."""
    return PermissionMissingError(_RIGHTS)


def _absence(reply: Reply) -> ProviderError:
    """Return what a 404 means: ZITADEL knows no such thing, or this is not ZITADEL's API."""
    try:
        body = reply.json()
    except BadResponseError:
        body = None
    if not isinstance(body, dict) or body.get("code") not in _NOT_FOUND:
        return BadResponseError("there is no ZITADEL API at this URL")
    if any(id_.startswith(_AUTHORIZATION) for id_ in _error_ids(body)):
        return permission_missing()
    return NotFoundError("ZITADEL knows no such thing")


def _error_ids(body: dict[str, Any]) -> Iterator[str]:
    """Yield ZITADEL's own names of an error: in its details, and in brackets at the end of its message."""
    details = body.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(detail.get("id"), str):
            yield detail["id"]
    message = body.get("message")
    if isinstance(message, str):
        yield message.rpartition("(")[2]
