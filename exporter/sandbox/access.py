"""Who calls, and what they may do.

Source: https://www.twilio.com/docs/iam/api-keys and
https://www.twilio.com/docs/iam/api-keys/restricted-api-keys, read 2026-11-24. Of the permissions
only `twilio/messaging/messages/list` and `/read` are named there; the others are formed alike.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hmac import compare_digest

from .account import Account
from .wire import TwilioError


class Permission(StrEnum):
    """What an endpoint asks of its caller."""

    MASTER = "master"  # the Auth Token, no key
    BALANCE_READ = "twilio/billing/balance/read"
    USAGE_LIST = "twilio/usage/records/list"
    MESSAGES_LIST = "twilio/messaging/messages/list"
    MESSAGES_READ = "twilio/messaging/messages/read"
    MESSAGES_CREATE = "twilio/messaging/messages/create"
    SERVICES_LIST = "twilio/messaging/services/list"
    COMPLIANCE_LIST = "twilio/messaging/compliance/list"
    GEO_READ = "twilio/messaging/geo-permissions/read"
    NUMBERS_LIST = "twilio/phone-numbers/incoming/list"
    PROFILES_LIST = "twilio/trusthub/customer-profiles/list"
    VERIFY_SERVICES_LIST = "twilio/verify/services/list"
    VERIFICATIONS_CREATE = "twilio/verify/verifications/create"
    VERIFICATION_CHECKS_CREATE = "twilio/verify/verification-checks/create"
    ATTEMPTS_LIST = "twilio/verify/attempts/list"
    LOOKUP_READ = "twilio/lookup/phone-numbers/read"


class Rights(StrEnum):
    """The kinds of credentials."""

    AUTH_TOKEN = "auth token"  # noqa: S105  a kind, not a token
    STANDARD_KEY = "standard key"
    RESTRICTED_KEY = "restricted key"


DENIED: Mapping[Rights, frozenset[Permission]] = {
    Rights.AUTH_TOKEN: frozenset(),
    Rights.STANDARD_KEY: frozenset({Permission.MASTER}),
    Rights.RESTRICTED_KEY: frozenset(
        {
            Permission.MASTER,
            Permission.MESSAGES_CREATE,
            Permission.VERIFICATIONS_CREATE,
            Permission.VERIFICATION_CHECKS_CREATE,
        }
    ),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Authenticated credentials and the account that they belong to."""

    account: Account
    rights: Rights


def rejected() -> TwilioError:
    """Return the answer to wrong credentials, and to a key on a call for the Auth Token."""
    return TwilioError(401, 20003, "Authenticate", headers={"WWW-Authenticate": "Basic"})


def authenticate(authorization: str | None, main: Account, child: Account) -> Caller:
    """Return the caller. Raises TwilioError when the credentials are not known."""
    known = main.credentials
    callers = {
        known.account_sid: (known.auth_token, Caller(main, Rights.AUTH_TOKEN)),
        known.subaccount_sid: (known.subaccount_auth_token, Caller(child, Rights.AUTH_TOKEN)),
        known.api_key_sid: (known.api_key_secret, Caller(main, Rights.STANDARD_KEY)),
        known.restricted_key_sid: (
            known.restricted_key_secret,
            Caller(main, Rights.RESTRICTED_KEY),
        ),
    }
    username, password = _parse_basic(authorization)
    expected, caller = callers.get(username, (None, None))
    if expected is None or caller is None or not compare_digest(expected, password):
        raise rejected()
    return caller


def choose_account(caller: Caller, sid: str | None, child: Account) -> Account:
    """Return the account that a path names: the caller's own or, by Auth Token, its child.

    Raises TwilioError for any other account.
    """
    if sid is None or sid == caller.account.sid:
        return caller.account
    if sid == child.sid and caller.rights is Rights.AUTH_TOKEN:
        return child
    raise rejected()


def require(caller: Caller, permission: Permission) -> None:
    """Raise TwilioError when the caller, or the fault `permission_missing`, lacks the permission."""
    withdrawn = caller.account.switches.is_on("permission_missing")
    if permission in DENIED[caller.rights]:
        raise rejected() if permission is Permission.MASTER else _lacking(permission)
    if withdrawn and permission is Permission.MESSAGES_LIST:
        raise _lacking(permission)


def _lacking(permission: Permission) -> TwilioError:
    return TwilioError(
        401,
        70051,
        f"Authorization failed: required permission {permission} is missing",
    )


def _parse_basic(authorization: str | None) -> tuple[str, str]:
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        raise rejected()
    try:
        username, _, password = base64.b64decode(encoded, validate=True).decode("ascii").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise rejected() from None
    return username, password
