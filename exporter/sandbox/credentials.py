"""The fictional identity of the sandbox's accounts: derived from the seed, never a literal."""

from base64 import b32encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

LONG_CODE: Final = "+12025550143"
TOLL_FREE: Final = "+18005550199"
"""The exchange 555 is kept for fiction."""
ALPHA_SENDER: Final = "SANDBOX"
B2CORE_EMAIL: Final = "exporter@sandbox.example"
B2CORE_PLAIN_EMAIL: Final = "exporter-plain@sandbox.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Everything that a user needs to know to configure a client of the sandbox."""

    account_sid: str
    auth_token: str
    api_key_sid: str  # a standard key: all but /Accounts and /Keys
    api_key_secret: str
    restricted_key_sid: str  # may read, may not send
    restricted_key_secret: str
    subaccount_sid: str
    subaccount_auth_token: str
    messaging_service_sid: str
    verify_service_sid: str
    long_code: str
    toll_free: str
    alpha_sender: str
    b2core_email: str  # a service user of the back office whose second factor is an authenticator app
    b2core_password: str
    b2core_totp_secret: str  # base32
    b2core_plain_email: str  # a service user without a second factor
    b2core_plain_password: str


def derive_hex(*parts: object) -> str:
    """Return 32 hex digits that are always the same for the same parts."""
    return sha256("/".join(map(str, parts)).encode()).hexdigest()[:32]


def derive_totp_secret(seed: int, name: str) -> str:
    """Return the base32 secret of an authenticator app: 160 bits, always the same for the same name."""
    digest = bytes.fromhex(derive_hex("totp", seed, name) + derive_hex("totp, more", seed, name))
    return b32encode(digest[:20]).decode()


def build_credentials(seed: int) -> Credentials:
    """Return the identity of the account of that seed."""

    def sid(prefix: str, name: str) -> str:
        return prefix + derive_hex("twofa-exporter sandbox", seed, name)

    return Credentials(
        account_sid=sid("AC", "account"),
        auth_token=sid("", "auth token"),
        api_key_sid=sid("SK", "standard key"),
        api_key_secret=sid("", "standard key secret"),
        restricted_key_sid=sid("SK", "restricted key"),
        restricted_key_secret=sid("", "restricted key secret"),
        subaccount_sid=sid("AC", "subaccount"),
        subaccount_auth_token=sid("", "subaccount auth token"),
        messaging_service_sid=sid("MG", "messaging service"),
        verify_service_sid=sid("VA", "verify service"),
        long_code=LONG_CODE,
        toll_free=TOLL_FREE,
        alpha_sender=ALPHA_SENDER,
        b2core_email=B2CORE_EMAIL,
        b2core_password=sid("", "back office password"),
        b2core_totp_secret=derive_totp_secret(seed, B2CORE_EMAIL),
        b2core_plain_email=B2CORE_PLAIN_EMAIL,
        b2core_plain_password=sid("", "back office plain password"),
    )
