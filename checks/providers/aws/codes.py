"""AWS's codes: reasons and names of exceptions, and the types of events.

Sources: the models pinpoint-sms-voice-v2 2022-03-31 and sns 2010-03-31 of botocore 1.44.5 (Apache-2.0), the common
errors of AWS's query and JSON APIs, and docs.aws.amazon.com/sms-voice/latest/userguide, read 2026-11.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from ...messages import Status
from ..causes import Cause, CodeRow, code_table, parse_code

_REASON: Final = "pinpoint-sms-voice-v2: the Reason of an exception"
_NAME: Final = "pinpoint-sms-voice-v2: exceptions"
_SNS: Final = "sns: codes of exceptions"
_COMMON: Final = "docs.aws.amazon.com/sns/latest/api/CommonErrors.html"
_EVENT: Final = "docs.aws.amazon.com/sms-voice/latest/userguide/configuration-sets-event-types.html"

# fmt: off
ERROR_CODES: Final[Mapping[str, CodeRow]] = code_table(
    (Cause.ACCOUNT_SUSPENDED, _REASON, ["ACCOUNT_DISABLED", "INSUFFICIENT_ACCOUNT_REPUTATION"]),
    # The month's money is used up: what is left of it is what the balance tells.
    (Cause.INSUFFICIENT_BALANCE, _REASON, ["MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT"]),
    (Cause.ACCOUNT_RESTRICTED, _REASON, ["DESTINATION_PHONE_NUMBER_NOT_VERIFIED"]),  # of an account in the sandbox
    (Cause.RECIPIENT_OPTED_OUT, _REASON, ["DESTINATION_PHONE_NUMBER_OPTED_OUT"]),
    (Cause.COUNTRY_BLOCKED, _REASON, [
        "DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION", "COUNTRY_NOT_ENABLED", "DESTINATION_COUNTRY_BLOCKED",
        "INTERNATIONAL_SENDING_NOT_SUPPORTED",
    ]),
    (Cause.FRAUD_BLOCKED, _REASON, ["DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE"]),
    (Cause.SENDER_REJECTED, _REASON, [
        "SENDER_ID_NOT_REGISTERED", "SENDER_ID_REQUIRES_REGISTRATION", "REGISTRATION_NOT_COMPLETE",
    ]),
    (Cause.SENDER_UNKNOWN, _REASON, [
        "NO_ORIGINATION_IDENTITIES_FOUND", "RESOURCE_NOT_ACTIVE", "NUMBER_CAPABILITIES_MISMATCH",
        "MESSAGE_TYPE_MISMATCH", "SENDER_ID_NOT_SUPPORTED", "INVALID_IDENTITY_FOR_DESTINATION_COUNTRY",
        "RESOURCE_NOT_ACCESSIBLE",
    ]),
    (Cause.QUOTA_EXCEEDED, _REASON, ["PRICE_OVER_THRESHOLD"]),  # our own max_price
    (Cause.SENDER_UNKNOWN, _NAME, ["ResourceNotFoundException"]),  # all that we ask for by a name are senders
    (Cause.PERMISSION_MISSING, _NAME, ["AccessDeniedException"]),  # without a reason that says more
    (Cause.RATE_LIMITED, _NAME, ["ThrottlingException"]),
    (Cause.QUOTA_EXCEEDED, _NAME, ["ServiceQuotaExceededException"]),
    (Cause.INVALID_REQUEST, _NAME, ["ValidationException", "ConflictException"]),
    (Cause.PROVIDER_ERROR, _NAME, ["InternalServerException"]),
    (Cause.PERMISSION_MISSING, _SNS, ["AuthorizationError"]),
    (Cause.RATE_LIMITED, _SNS, ["Throttled"]),
    (Cause.RECIPIENT_OPTED_OUT, _SNS, ["OptedOut"]),
    (Cause.ACCOUNT_RESTRICTED, _SNS, ["UserError"]),  # the recipient is not verified, as the sandbox wants it
    (Cause.INVALID_REQUEST, _SNS, ["InvalidParameter", "ParameterValueInvalid"]),
    (Cause.PROVIDER_ERROR, _SNS, ["InternalError"]),
    (Cause.AUTH_FAILED, _COMMON, [
        "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch",
        "ExpiredTokenException", "ExpiredToken", "MissingAuthenticationTokenException", "MissingAuthenticationToken",
        "IncompleteSignatureException", "IncompleteSignature", "RequestExpired",
    ]),
    (Cause.ACCOUNT_RESTRICTED, _COMMON, ["OptInRequired", "OptInRequiredException"]),
    (Cause.PERMISSION_MISSING, _COMMON, ["AccessDenied", "NotAuthorized"]),
    (Cause.RATE_LIMITED, _COMMON, ["Throttling"]),
    (Cause.PROVIDER_ERROR, _COMMON, ["InternalFailure", "ServiceUnavailable", "ServiceUnavailableException"]),
    (Cause.INVALID_DESTINATION, _EVENT, ["TEXT_INVALID"]),
    (Cause.UNREACHABLE_TEMPORARY, _EVENT, ["TEXT_UNREACHABLE"]),  # the device
    (Cause.NETWORK_ERROR, _EVENT, ["TEXT_CARRIER_UNREACHABLE"]),  # a transient error of the carrier's network
    (Cause.SUBSCRIBER_BARRED, _EVENT, ["TEXT_BLOCKED"]),  # device or carrier blocks what goes to that recipient
    (Cause.CARRIER_BLOCKED, _EVENT, ["TEXT_CARRIER_BLOCKED", "TEXT_SPAM"]),
    (Cause.CONTENT_REJECTED, _EVENT, ["TEXT_INVALID_MESSAGE"]),
    (Cause.FRAUD_BLOCKED, _EVENT, ["TEXT_PROTECT_BLOCKED"]),
    (Cause.TIMEOUT, _EVENT, ["TEXT_TTL_EXPIRED"]),
)
# fmt: on

# TEXT_SUCCESSFUL is the carrier's word that it took the message; where TEXT_DELIVERED never comes nothing more is
# known. TEXT_UNKNOWN comes when no carrier has said anything for 72 hours. TEXT_SENT is in the list of types that may
# be subscribed to, and not in the description of types.
STATUSES: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "TEXT_QUEUED": Status.ACCEPTED,
        "TEXT_PENDING": Status.ACCEPTED,
        "TEXT_SENT": Status.SENT,
        "TEXT_SUCCESSFUL": Status.SENT,
        "TEXT_UNKNOWN": Status.SENT,
        "TEXT_DELIVERED": Status.DELIVERED,
        "TEXT_UNREACHABLE": Status.UNDELIVERED,
        "TEXT_CARRIER_UNREACHABLE": Status.UNDELIVERED,
        "TEXT_BLOCKED": Status.UNDELIVERED,
        "TEXT_CARRIER_BLOCKED": Status.UNDELIVERED,
        "TEXT_SPAM": Status.UNDELIVERED,
        "TEXT_INVALID": Status.UNDELIVERED,
        "TEXT_TTL_EXPIRED": Status.UNDELIVERED,
        "TEXT_INVALID_MESSAGE": Status.FAILED,
        "TEXT_PROTECT_BLOCKED": Status.FAILED,
    }
)


def code_finder(overrides: Mapping[str, Any]) -> Callable[[Any], str | None]:
    """Return what finds the code in an answer that refuses: the reason where it is known, else the exception's name."""
    known = ERROR_CODES.keys() | overrides.keys()

    def code_of(payload: Any) -> str | None:
        if not isinstance(payload, dict):
            return None
        error = payload.get("Error")
        if isinstance(error, dict):  # the query protocol
            return parse_code(error.get("Code"))
        name = payload.get("__type")  # JSON 1.0: may be qualified, as in com.amazonaws.x#ThrottlingException
        if not isinstance(name, str):
            return None
        reason = parse_code(payload.get("Reason"))
        return reason if reason in known else parse_code(name.rpartition("#")[2].partition(":")[0])

    return code_of
