"""What on-call should get for each fault of the sandbox."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from checks.reason import Reason
from exporter.sandbox.faults import Place
from exporter.sandbox.geography import UNPERMITTED_COUNTRY


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An alert that reaches people: a page when it is critical, a ticket when it is a warning."""

    name: str
    reason: str
    severity: str
    kind: str  # of the target: its name in the configuration of the demo
    place: Place | None = None


def page(name: str, reason: Reason, *, ticket: bool = False, at: str = "twilio", place: Place | None = None) -> Page:
    severity = "warning" if ticket else "critical"
    return Page(name=f"TwoFA{name}", reason=reason.value, severity=severity, kind=at, place=place)


R = Reason
B2CORE, TIME = "b2core", "time"
PLACES: Final[Mapping[str, Place]] = {
    "operator_blocking": Place("NG", "MTN"),
    "operator_blocking_partial": Place("GB", "O2"),
    "operator_silent": Place("DE", "T-Mobile"),
    "operator_delay": Place("AE", "Etisalat"),
    "receipts_missing": Place("IN", "Reliance Jio"),
    "receipts_false": Place("GB", "EE"),
    "sms_pumping": Place("ES", "Movistar"),
}
# What on-call wants. Who gets no code is a page; who would get none next week, or only we are hindered, is a ticket.
PAGES: Final[Mapping[str, Page | None]] = {
    "credentials_rejected": page("CredentialsRejected", R.CREDENTIALS_REJECTED),
    "permission_missing": page("PermissionMissing", R.PERMISSION_MISSING, ticket=True),
    "account_suspended": page("AccountSuspended", R.ACCOUNT_SUSPENDED),
    "account_restricted": page("AccountRestricted", R.ACCOUNT_RESTRICTED),
    "balance_exhausted": page("BalanceExhausted", R.BALANCE_EXHAUSTED),
    "balance_low": page("BalanceLow", R.BALANCE_LOW),  # a page: at the present spend it is gone within minutes
    "sender_invalid": page("SenderInvalid", R.SENDER_INVALID),
    "sender_unregistered": page("SenderUnregistered", R.SENDER_UNREGISTERED, ticket=True),
    "country_not_permitted": page("CountryNotPermitted", R.COUNTRY_NOT_PERMITTED, place=Place(UNPERMITTED_COUNTRY, "")),
    "provider_outage": page("ProviderOutage", R.PROVIDER_OUTAGE),
    "provider_degraded": page("ProviderDegraded", R.PROVIDER_DEGRADED, ticket=True),
    "rate_limited": page("RateLimited", R.RATE_LIMITED, ticket=True),
    # The only provider does not answer: nobody knows whether it would deliver a code.
    "unreachable": page("NoUsableProvider", R.UNREACHABLE),
    "timeout": page("NoUsableProvider", R.TIMEOUT),
    "bad_response": page("NoUsableProvider", R.BAD_RESPONSE),
    "maintenance": None,
    "delivery_failing": page("DeliveryFailing", R.DELIVERY_FAILING),
    "delivery_slow": page("DeliverySlow", R.DELIVERY_SLOW),
    "provider_slow": page("DeliverySlow", R.DELIVERY_SLOW),
    "provider_partial_outage": page("ProviderOutage", R.PROVIDER_OUTAGE),
    "no_traffic": page("NoTraffic", R.NO_TRAFFIC),
    "operator_blocking": page("OperatorBlocking", R.OPERATOR_BLOCKING, place=PLACES["operator_blocking"]),
    "operator_blocking_partial": page(
        "OperatorBlocking", R.OPERATOR_BLOCKING, place=PLACES["operator_blocking_partial"]
    ),
    "operator_silent": page("OperatorBlocking", R.OPERATOR_BLOCKING, place=PLACES["operator_silent"]),
    "operator_delay": page("OperatorDelay", R.OPERATOR_DELAY, place=PLACES["operator_delay"]),
    "receipts_missing": page("ReceiptsMissing", R.RECEIPTS_MISSING, ticket=True, place=PLACES["receipts_missing"]),
    "receipts_false": page("ReceiptsFalse", R.RECEIPTS_FALSE, place=PLACES["receipts_false"]),
    "sms_pumping": page("SmsPumping", R.SMS_PUMPING, place=PLACES["sms_pumping"]),
    "provider_missing": page("ProviderMissing", R.PROVIDER_MISSING, at=B2CORE),
    "provider_disabled": page("ProviderDisabled", R.PROVIDER_DISABLED, at=B2CORE),
    "provider_incomplete": page("ProviderIncomplete", R.PROVIDER_INCOMPLETE, at=B2CORE),
    "provider_is_test": page("ProviderIsTest", R.PROVIDER_IS_TEST, at=B2CORE),
    "template_missing": page("TemplateMissing", R.TEMPLATE_MISSING, at=B2CORE),
    "client_2fa_disabled": page("Client2faDisabled", R.CLIENT_2FA_DISABLED, ticket=True, at=B2CORE),
    "client_phone_unconfirmed": page("ClientPhoneUnconfirmed", R.CLIENT_PHONE_UNCONFIRMED, ticket=True, at=B2CORE),
    "server_clock_skewed": page("ServerClockSkewed", R.SERVER_CLOCK_SKEWED, at=TIME),
    "code_rejected": page("CodeRejected", R.CODE_REJECTED, at=B2CORE),
    "wrong_code_accepted": page("WrongCodeAccepted", R.WRONG_CODE_ACCEPTED, at=B2CORE),
    # A back office that cannot be asked keeps no code from anybody: only our checks of it are blind.
    "back_office_down": page("ProviderOutage", R.PROVIDER_OUTAGE, ticket=True, at=B2CORE),
    "back_office_unreachable": page("Unreachable", R.UNREACHABLE, ticket=True, at=B2CORE),
    "back_office_timeout": page("Timeout", R.TIMEOUT, ticket=True, at=B2CORE),
    "back_office_rejects": page("CredentialsRejected", R.CREDENTIALS_REJECTED, ticket=True, at=B2CORE),
    "host_clock_skewed": page("ServerClockSkewed", R.SERVER_CLOCK_SKEWED, at=TIME),
    "ntp_unsynchronised": page("Unreachable", R.UNREACHABLE, ticket=True, at=TIME),
}
