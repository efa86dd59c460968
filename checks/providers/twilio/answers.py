"""What single answers say, taken apart with suspicion: nothing of a wrong type gets further."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from ...clients import AccountState
from ...errors import BadResponseError
from ...messages import country_of
from .sdk import PAGE_SIZE

if TYPE_CHECKING:
    from twilio.rest.api.v2010.account import AccountInstance


TOLL_FREE: Final = re.compile(r"\+1(800|833|844|855|866|877|888)\d{7}")

# The policy of a secondary profile, which an account makes for its own customers and which does not stand for
# the account itself: https://www.twilio.com/docs/messaging/compliance/a2p-10dlc/onboarding-isv-api (read 2026-11).
_SECONDARY_PROFILE: Final = "RNdfbf3fae0e1107f8aded0e7cead80bf5"


def parse_code(value: Any) -> int | None:
    """Return an error code, None for what is none."""
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    return int(text) if re.fullmatch(r"[1-9]\d{0,6}", text, re.ASCII) else None


def parse_text(value: Any, what: str) -> str:
    """Return a text that is not empty. Raises BadResponseError, as all of these do."""
    if not isinstance(value, str) or not value:
        raise BadResponseError(f"Twilio gives no {what}")
    return value


def parse_number(value: Any, what: str) -> float:
    """Return a number that came as text or as a number: the documentation has both."""
    text = value if isinstance(value, str) else str(value) if type(value) in (int, float, Decimal) else ""
    if not re.fullmatch(r"[+-]?\d{1,18}(\.\d*)?(E[+-]?\d{1,3})?", text, re.ASCII | re.IGNORECASE):
        raise BadResponseError(f"Twilio's {what} is no number")
    number = float(text)
    if not math.isfinite(number):
        raise BadResponseError(f"Twilio's {what} is no number")
    return number


def parse_currency(value: Any) -> str:
    """Return an ISO 4217 code in capital letters."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z]{3}", value):
        raise BadResponseError("Twilio gives no currency")
    return value.upper()


def parse_day(value: Any) -> date:
    """Return the date of a usage record."""
    if not isinstance(value, date):
        raise BadResponseError("Twilio gives no date of a usage record")
    return value


def parse_account_state(value: Any) -> AccountState:
    """Return the account's state, in the words that Twilio and we share."""
    try:
        return AccountState(parse_text(value, "account status"))
    except ValueError:
        raise BadResponseError("Twilio gives an unknown account status") from None


def has_parent(account: "AccountInstance") -> bool:
    """Return whether the account is a sub-account."""
    owner = account.owner_account_sid  # an account without a parent owns itself (twilio-oai: Account)
    return isinstance(owner, str) and owner not in ("", account.sid)


def has_approved(profiles: Sequence[Any]) -> bool:
    """Return whether an account's own profile is approved.

    Where only secondary ones are to be seen, an approved one will do: it needs an approved primary one
    (https://www.twilio.com/docs/trust-hub/trusthub-rest-api/api-create-secondary-customer-profile).
    """
    own = [profile for profile in profiles if profile.policy_sid != _SECONDARY_PROFILE]
    return any(parse_text(profile.status, "profile status") == "twilio-approved" for profile in own or profiles)


@dataclass(frozen=True, slots=True)
class Pool:
    """The senders of a messaging service."""

    size: int
    has_long_code: bool  # of country code 1: those need an A2P campaign to send to the US
    has_us_long_code: bool


def fetch_pool(service: Any) -> Pool:
    """Count the senders of a messaging service. Those per destination are asked for when there is no other."""
    limits = {"limit": PAGE_SIZE, "page_size": PAGE_SIZE}
    numbers = [parse_text(entry.phone_number, "number in a pool") for entry in service.phone_numbers.list(**limits)]
    size = len(numbers) + len(service.short_codes.list(**limits)) + len(service.alpha_senders.list(**limits))
    if size == 0:
        size = len(service.destination_alpha_senders.list(**limits))
    long_codes = [number for number in numbers if number.startswith("+1") and not TOLL_FREE.fullmatch(number)]
    return Pool(
        size=size,
        has_long_code=bool(long_codes),
        has_us_long_code=any(country_of(number) == "US" for number in long_codes),
    )


def toll_free_problem(verifications: Sequence[Any]) -> str | None:
    """Return what keeps a toll-free number from sending (twilio-oai: tollfree_verification status)."""
    states = {parse_text(entry.status, "verification status") for entry in verifications}
    if not states:
        return "toll-free verification is missing"
    if "TWILIO_APPROVED" in states:
        return None
    if states & {"PENDING_REVIEW", "IN_REVIEW"}:
        return "toll-free verification is pending"
    return "toll-free verification is rejected"


def campaign_problem(campaigns: Sequence[Any]) -> str | None:
    """Return what keeps a service from sending to the US; the status is free text with these examples."""
    states = {parse_text(entry.campaign_status, "campaign status") for entry in campaigns}
    if not states:
        return "no A2P campaign is registered"
    if "VERIFIED" in states:
        return None
    if states & {"PENDING", "IN_PROGRESS"}:
        return "the A2P campaign is not verified yet"
    if "SUSPENDED" in states:
        return "the A2P campaign is suspended"
    return "the A2P campaign has failed" if "FAILED" in states else "the A2P campaign is not verified"


def enabled_by_country(permissions: Any) -> Mapping[str, bool]:
    """Return country -> whether messages may be sent there."""
    if not isinstance(permissions, list):
        raise BadResponseError("Twilio gives no country permissions")
    enabled: dict[str, bool] = {}
    for entry in permissions:
        if not isinstance(entry, dict):
            raise BadResponseError("Twilio gives no country permissions")
        country, is_enabled = entry.get("country_code"), entry.get("enabled")
        if isinstance(country, str) and isinstance(is_enabled, bool):
            enabled[country] = enabled.get(country, True) and is_enabled
    return enabled
