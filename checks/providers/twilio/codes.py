"""Twilio's error codes and what they mean to us, as data: one row a code, each with its source."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ...reason import Reason


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """What one of Twilio's codes means to us."""

    reason: Reason
    source: str  # where its meaning was read; the reason is our own conclusion from it


PAGE: Final = "the code's own page, see error_page(), read 2024 to 2026"
LIST: Final = (
    "twilio-error-codes.json as published by Twilio, copy of 2023-05: github.com/men232/twilio-error-codes d31d168"
)


def error_page(code: int) -> str:
    """Return the address of Twilio's page about a code."""
    return f"https://www.twilio.com/docs/api/errors/{code}"


def _expand(*rows: tuple[Reason, str, Sequence[int]]) -> Mapping[int, ErrorCode]:
    return MappingProxyType({code: ErrorCode(reason, source) for reason, source, codes in rows for code in codes})


_R = Reason

# Twilio says of its codes that they are subject to change and no contract (twilio-oai, Message.error_code).
# So this is data: settings override it, and a code that is not here is passed on as unmapped.
#
# INTERNAL: the caller asked for nonsense. For our own calls that is our defect. On a message the caller was
# somebody else, so there it reads as DELIVERY_FAILING.
# fmt: off
ERROR_CODES: Final = _expand(
    # credentials
    (_R.CREDENTIALS_REJECTED, PAGE, [20003]),  # wrong SID, token or key; or beyond a standard key
    (_R.CREDENTIALS_REJECTED, PAGE, [70051]),  # no such key; but PERMISSION_MISSING when it names one
    (_R.PERMISSION_MISSING, LIST, [20006]),  # access denied, insufficient privileges
    (_R.CREDENTIALS_REJECTED, LIST, [20008]),  # test credentials, which may read nothing
    (_R.CREDENTIALS_REJECTED, LIST, [20151, 20101, 20104, 20107]),  # access token invalid, expired
    (_R.CREDENTIALS_REJECTED, LIST, [60001]),  # downstream authentication failed for this account
    # account
    (_R.ACCOUNT_SUSPENDED, PAGE, [20403]),  # suspended or closed
    (_R.ACCOUNT_SUSPENDED, PAGE, [20005]),  # not active: out of funds, or trial not activated
    (_R.ACCOUNT_SUSPENDED, PAGE, [10001]),  # not active: balance, parent suspended, policy
    (_R.ACCOUNT_SUSPENDED, PAGE, [90010]),  # not active
    (_R.ACCOUNT_SUSPENDED, PAGE, [30002]),  # suspended between queueing and sending
    (_R.ACCOUNT_RESTRICTED, LIST, [20010]),  # action disabled for the account
    (_R.ACCOUNT_RESTRICTED, LIST, [10002]),  # a trial account does not support the feature
    (_R.ACCOUNT_RESTRICTED, PAGE, [21608]),  # To not verified: trial account, or no approved compliance profile
    (_R.ACCOUNT_RESTRICTED, LIST, [21607]),  # From must be the trial number
    (_R.ACCOUNT_RESTRICTED, LIST, [21219, 14111]),  # To not verified (trial), voice and TwiML
    (_R.ACCOUNT_RESTRICTED, PAGE, [572005]),  # trial: recipient added but not verified
    (_R.ACCOUNT_RESTRICTED, PAGE, [60238]),  # verification blocked: account review
    (_R.ACCOUNT_RESTRICTED, LIST, [60204, 60223]),  # feature not enabled, channel disabled
    (_R.ACCOUNT_RESTRICTED, LIST, [60600, 60601, 60606, 60699]),  # Lookup: no coverage, not approved, off
    # countries
    (_R.COUNTRY_NOT_PERMITTED, LIST, [21408]),  # messaging geographic permission is off
    (_R.COUNTRY_NOT_PERMITTED, PAGE, [60605]),  # Verify geographic permission is off
    (_R.COUNTRY_NOT_PERMITTED, LIST, [60220]),  # China needs vetting of the use case
    # recipient
    (_R.RECIPIENT_INVALID, LIST, [21211]),  # To is invalid
    (_R.RECIPIENT_INVALID, PAGE, [21265, 21266]),  # To is a short code, To equals From
    (_R.RECIPIENT_INVALID, LIST, [30005]),  # unknown handset
    (_R.RECIPIENT_LANDLINE, LIST, [21614]),  # not a mobile number
    (_R.RECIPIENT_LANDLINE, PAGE, [21635]),  # a landline, in countries where Twilio refuses
    (_R.RECIPIENT_LANDLINE, PAGE, [60205]),  # Verify: landline
    (_R.RECIPIENT_LANDLINE, PAGE, [30006]),  # landline or unreachable carrier
    (_R.RECIPIENT_OPTED_OUT, LIST, [21610]),  # STOP
    (_R.RECIPIENT_UNREACHABLE, PAGE, [30003]),  # off, no signal, roaming
    (_R.RECIPIENT_BLOCKED, LIST, [30004]),  # blocked by the destination
    # sender
    (_R.SENDER_INVALID, PAGE, [21612]),  # To cannot be reached from this From
    (_R.SENDER_INVALID, LIST, [21212, 21601, 21616, 21657]),  # From invalid, without SMS, ambiguous
    (_R.SENDER_INVALID, PAGE, [21606, 21659, 21660, 21661]),  # From not of this account, or without SMS
    (_R.SENDER_INVALID, LIST, [21701, 21705, 21702, 21704]),  # messaging service missing, unavailable, empty
    (_R.SENDER_INVALID, LIST, [21703]),  # messaging service: no suitable sender
    (_R.SENDER_UNREGISTERED, LIST, [30018, 30024]),  # sender id not registered, not provisioned
    (_R.SENDER_UNREGISTERED, LIST, [30032]),  # toll-free number not verified
    (_R.SENDER_UNREGISTERED, LIST, range(30440, 30450)),  # verification of a number rejected
    (_R.SENDER_UNREGISTERED, PAGE, [30451, 30879]),  # as before
    (_R.SENDER_UNREGISTERED, LIST, [30034, 30035, 30033]),  # A2P number not registered, campaign suspended
    (_R.SENDER_UNREGISTERED, LIST, [21729]),  # A2P campaign suspended
    # rates
    (_R.RATE_LIMITED, PAGE, [20429]),  # too many concurrent requests
    (_R.RATE_LIMITED, LIST, [21611, 60616]),  # From has filled its queue; Lookup
    (_R.RATE_LIMITED, LIST, [30001, 30022, 30023, 30027]),  # queue overflow, A2P rate, daily caps
    (_R.RATE_LIMITED, PAGE, [14107]),  # too many messages between two numbers
    (_R.TOO_MANY_ATTEMPTS, PAGE, [60202, 60203]),  # Verify: five checks, five sends in ten minutes
    (_R.TOO_MANY_ATTEMPTS, LIST, [60212]),  # Verify: concurrent requests for one number
    # on the way
    (_R.DELIVERY_SLOW, PAGE, [30036]),  # expired in Twilio's queue
    (_R.OPERATOR_BLOCKING, LIST, [30007]),  # filtered
    (_R.OPERATOR_BLOCKING, LIST, [21618]),  # text filtered by all operators
    (_R.DELIVERY_FAILING, LIST, [30008, 30017, 30410]),  # operator: unknown error, congestion, timeout
    (_R.DELIVERY_FAILING, LIST, [30010]),  # dearer than MaxPrice
    (_R.DELIVERY_FAILING, PAGE, [30038]),  # a Twilio number may not receive codes: no fault of the recipient's
    (_R.SMS_PUMPING, LIST, [30450]),  # pumping protection, temporary
    (_R.SMS_PUMPING, PAGE, [60410]),  # Verify Fraud Guard
    (_R.SMS_PUMPING, PAGE, [60413]),  # Verify device intelligence
    # Twilio itself
    (_R.PROVIDER_OUTAGE, LIST, [20500, 20503]),  # internal error, unavailable
    (_R.PROVIDER_OUTAGE, PAGE, [30500]),  # internal error
    (_R.PROVIDER_OUTAGE, LIST, [30020, 30021, 21730]),  # internal error, maintenance
    (_R.RECEIPTS_MISSING, LIST, [11200, 11205, 11210, 15003]),  # nobody takes the callbacks
    (_R.RECEIPTS_MISSING, PAGE, [57012]),  # the receiver of callbacks refuses the signature
    # the caller
    (_R.BAD_RESPONSE, PAGE, [20404]),  # no such resource: what NotFoundError says, which 404s become
    (_R.INTERNAL, LIST, [20004, 20422, 20001, 70002]),  # method, parameter or SID invalid
    (_R.INTERNAL, LIST, [21604, 21603, 21624, 90007]),  # To, From missing; validity period invalid
    (_R.INTERNAL, LIST, [21609, 21619, 21602, 21617]),  # callback URL invalid; text missing, too long
    (_R.INTERNAL, LIST, [60200]),  # Verify: parameter invalid
)
# fmt: on

NO_SUCH_RESOURCE: Final = "20404"

# "required permission twilio/messaging/messages/list is missing": https://www.twilio.com/docs/api/errors/70051
NOT_AUTHORIZED: Final = 70051
MISSING_PERMISSION: Final = re.compile(r"required permission \W?(twilio/[a-z0-9/_-]{1,100})\W? is missing", re.ASCII)
NUMBER_LIKE: Final = re.compile(r"\d{3}|(\d\D*){5}")  # no permission has many digits, and a phone number does
