"""The closed vocabulary: why a client gets no code, who can act on it, and what to do next.

The same word is the metric label, the alert label, the runbook's file name, the diagnosis and the
row on the status page. No second list of reasons exists.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Outcome(StrEnum):
    """What a run of a check says of the world."""

    PASS = "pass"  # asked, answered, within limits
    FAIL = "fail"  # answered, and the answer is bad
    ERROR = "error"  # could not find out


class Owner(StrEnum):
    """Who can act on a reason."""

    NOBODY = "nobody"  # nothing to act on
    US = "us"
    BACK_OFFICE = "back office"
    PROVIDER = "provider"
    OPERATOR = "operator"
    CLIENT = "client"


class Severity(StrEnum):
    """How urgent it is that somebody acts, in the words of alerts."""

    CRITICAL = "critical"  # now, day or night: clients get no usable codes, or are robbed
    WARNING = "warning"  # in working hours
    INFO = "info"  # no one is told: context of something else


class Reason(StrEnum):
    """One word for why codes do (not) arrive. Each has exactly one row in ``REASONS``."""

    OK = "ok"

    CREDENTIALS_REJECTED = "credentials_rejected"
    PERMISSION_MISSING = "permission_missing"
    ACCOUNT_SUSPENDED = "account_suspended"
    ACCOUNT_RESTRICTED = "account_restricted"

    PROVIDER_MISSING = "provider_missing"
    PROVIDER_DISABLED = "provider_disabled"
    PROVIDER_INCOMPLETE = "provider_incomplete"
    PROVIDER_IS_TEST = "provider_is_test"
    TEMPLATE_MISSING = "template_missing"

    BALANCE_EXHAUSTED = "balance_exhausted"
    BALANCE_LOW = "balance_low"

    SENDER_INVALID = "sender_invalid"
    SENDER_UNREGISTERED = "sender_unregistered"
    COUNTRY_NOT_PERMITTED = "country_not_permitted"

    PROVIDER_OUTAGE = "provider_outage"
    PROVIDER_DEGRADED = "provider_degraded"
    RATE_LIMITED = "rate_limited"

    OPERATOR_BLOCKING = "operator_blocking"
    OPERATOR_DELAY = "operator_delay"
    DELIVERY_FAILING = "delivery_failing"
    DELIVERY_SLOW = "delivery_slow"
    RECEIPTS_MISSING = "receipts_missing"
    RECEIPTS_FALSE = "receipts_false"
    NO_TRAFFIC = "no_traffic"
    SMS_PUMPING = "sms_pumping"

    RECIPIENT_INVALID = "recipient_invalid"
    RECIPIENT_UNREACHABLE = "recipient_unreachable"
    RECIPIENT_OPTED_OUT = "recipient_opted_out"
    RECIPIENT_LANDLINE = "recipient_landline"
    RECIPIENT_BLOCKED = "recipient_blocked"
    TOO_MANY_ATTEMPTS = "too_many_attempts"

    CLIENT_UNKNOWN = "client_unknown"
    CLIENT_2FA_DISABLED = "client_2fa_disabled"
    CLIENT_PHONE_UNCONFIRMED = "client_phone_unconfirmed"

    SERVER_CLOCK_SKEWED = "server_clock_skewed"
    DEVICE_CLOCK_SKEWED = "device_clock_skewed"
    CODE_REJECTED = "code_rejected"
    WRONG_CODE_ACCEPTED = "wrong_code_accepted"
    SECRET_MISMATCH = "secret_mismatch"
    CODE_REPLAYED = "code_replayed"
    DEVICE_LOST = "device_lost"

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    TLS_FAILED = "tls_failed"
    BAD_RESPONSE = "bad_response"
    INTERNAL = "internal"

    @property
    def row(self) -> "ReasonRow":
        """What this reason implies."""
        return REASONS[self]

    @property
    def outcome(self) -> Outcome:
        """Whether this reason is a pass, a failure or an error."""
        return REASONS[self].outcome


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """What a reason implies. Every field is required: a reason cannot be half defined."""

    outcome: Outcome
    owner: Owner  # who can act on it
    title: str  # in words: a capital letter, no full stop
    next_step: str  # what to do first: full sentences in the imperative
    stops_codes: bool = False  # while it lasts, what gave it can deliver no code to anybody
    pages: bool = False  # somebody must act now, though codes are delivered: to some, too late, or not needed

    @property
    def severity(self) -> Severity:
        """How urgent it is, when what gave it speaks for many clients."""
        if self.outcome is Outcome.PASS:
            return Severity.INFO
        return Severity.CRITICAL if self.stops_codes or self.pages else Severity.WARNING


_PASS, _FAIL, _ERROR = Outcome.PASS, Outcome.FAIL, Outcome.ERROR

REASONS: Final[Mapping[Reason, ReasonRow]] = MappingProxyType(
    {
        Reason.OK: ReasonRow(_PASS, Owner.NOBODY, "All is well", "Nothing to do."),
        # credentials
        Reason.CREDENTIALS_REJECTED: ReasonRow(
            _FAIL,
            Owner.US,
            "Our credentials are rejected",
            "Compare account id, key and secret with the provider's console; a rotated or revoked key is the"
            " usual cause. Then update them here and in the back office. Of a back office: the service user's.",
            stops_codes=True,
        ),
        Reason.PERMISSION_MISSING: ReasonRow(
            _FAIL,
            Owner.US,
            "The key is valid but lacks a right",
            "Grant the named permission to the key in the provider's console, or use a key that has it.",
        ),
        # account
        Reason.ACCOUNT_SUSPENDED: ReasonRow(
            _FAIL,
            Owner.PROVIDER,
            "The provider has suspended or closed the account",
            "Look for unpaid balance and compliance mail in the provider's console, then open an urgent"
            " ticket with the provider. Switch the back office to another provider meanwhile.",
            stops_codes=True,
        ),
        Reason.ACCOUNT_RESTRICTED: ReasonRow(
            _FAIL,
            Owner.US,
            "The account may send to verified numbers only",
            "Upgrade the trial account, or complete the compliance profile in the provider's console.",
            stops_codes=True,
        ),
        # back office
        Reason.PROVIDER_MISSING: ReasonRow(
            _FAIL,
            Owner.BACK_OFFICE,
            "The back office has no such SMS provider",
            "Add the provider in the back office: System > SMS providers.",
            stops_codes=True,
        ),
        Reason.PROVIDER_DISABLED: ReasonRow(
            _FAIL,
            Owner.BACK_OFFICE,
            "The SMS provider is not enabled in the back office",
            "Enable it in the back office: System > SMS providers > Edit.",
            stops_codes=True,
        ),
        Reason.PROVIDER_INCOMPLETE: ReasonRow(
            _FAIL,
            Owner.BACK_OFFICE,
            "The SMS provider's settings in the back office are incomplete or wrong",
            "Fill in or correct what the detail names: System > SMS providers > Edit > Provider settings.",
            stops_codes=True,
        ),
        Reason.PROVIDER_IS_TEST: ReasonRow(
            _FAIL,
            Owner.BACK_OFFICE,
            "The enabled SMS provider delivers nothing",
            "Enable a provider that really delivers and disable the test type: System > SMS providers.",
            stops_codes=True,
        ),
        Reason.TEMPLATE_MISSING: ReasonRow(
            _FAIL,
            Owner.BACK_OFFICE,
            "The back office has no usable SMS template",
            "Add a default template that contains the code's placeholder in the back office.",
            stops_codes=True,
        ),
        # balance
        Reason.BALANCE_EXHAUSTED: ReasonRow(
            _FAIL,
            Owner.US,
            "The provider account has no money left",
            "Top up the account now and switch on auto-recharge; the provider may need 5 to 10 minutes to"
            " resume sending.",
            stops_codes=True,
        ),
        Reason.BALANCE_LOW: ReasonRow(
            _FAIL,
            Owner.US,
            "The provider account will soon have no money left",
            "Top up the account, and check that auto-recharge is on and its card is valid.",
        ),
        # sender
        Reason.SENDER_INVALID: ReasonRow(
            _FAIL,
            Owner.US,
            "A configured sender cannot send SMS",
            "Compare the sender with the numbers and messaging services in the provider's console: it must"
            " exist in this account, be able to send SMS and have a sender in its pool.",
            stops_codes=True,
        ),
        Reason.SENDER_UNREGISTERED: ReasonRow(
            _FAIL,
            Owner.US,
            "A sender's registration is missing or refused",
            "Finish the registration that the detail names (A2P campaign, toll-free verification, sender ID)"
            " in the provider's console; until then operators block its messages.",
        ),
        Reason.COUNTRY_NOT_PERMITTED: ReasonRow(
            _FAIL,
            Owner.US,
            "Sending to a configured country is switched off",
            "Enable the country under the messaging geographic permissions in the provider's console.",
        ),
        # provider service
        Reason.PROVIDER_OUTAGE: ReasonRow(
            _FAIL,
            Owner.PROVIDER,
            "The provider's service is down",
            "Switch the back office to another provider; follow the provider's status page.",
            stops_codes=True,
        ),
        Reason.PROVIDER_DEGRADED: ReasonRow(
            _FAIL,
            Owner.PROVIDER,
            "The provider reports trouble",
            "Follow the provider's status page and watch delivery; be ready to switch the provider.",
        ),
        Reason.RATE_LIMITED: ReasonRow(
            _FAIL,
            Owner.US,
            "The provider refuses requests: too many at once",
            "Find what else uses this account's API (a bulk job, a loop); lengthen the check intervals.",
        ),
        # delivery
        Reason.OPERATOR_BLOCKING: ReasonRow(
            _FAIL,
            Owner.OPERATOR,
            "A mobile operator blocks our messages",
            "Send the provider message ids of blocked messages; change sender or route for that operator.",
            pages=True,
        ),
        Reason.OPERATOR_DELAY: ReasonRow(
            _FAIL,
            Owner.OPERATOR,
            "A mobile operator delays our messages",
            "Send the provider message ids with their times; offer clients another method meanwhile.",
            pages=True,
        ),
        Reason.DELIVERY_FAILING: ReasonRow(
            _FAIL,
            Owner.PROVIDER,
            "Too many messages are not delivered",
            "Look which country and error code stand out, then send the provider recent message ids.",
            stops_codes=True,
        ),
        Reason.DELIVERY_SLOW: ReasonRow(
            _FAIL,
            Owner.PROVIDER,
            "Messages arrive too late",
            "Look which country stands out, then send the provider message ids with their times.",
            pages=True,
        ),
        Reason.RECEIPTS_MISSING: ReasonRow(
            _FAIL,
            Owner.PROVIDER,
            "Delivery receipts do not come back",
            "Compare with sign-ins: when clients do type their codes only the receipts are lost. Open a"
            " ticket with the provider.",
        ),
        Reason.RECEIPTS_FALSE: ReasonRow(
            _FAIL,
            Owner.OPERATOR,
            "Receipts say delivered, yet no code is ever typed",
            "Ask the provider for another route to that operator, with message ids as proof.",
            pages=True,
        ),
        Reason.NO_TRAFFIC: ReasonRow(
            _FAIL,
            Owner.BACK_OFFICE,
            "No messages are sent any more",
            "Check that the back office still hands codes to this provider: enabled, selected, no errors in"
            " its log. Try a sign-in with SMS.",
            pages=True,
        ),
        Reason.SMS_PUMPING: ReasonRow(
            _FAIL,
            Owner.US,
            "Somebody triggers messages for profit",
            "Block the country or prefix that stands out, and add a rate limit and captcha before sending.",
            pages=True,
        ),
        # recipient
        Reason.RECIPIENT_INVALID: ReasonRow(
            _FAIL,
            Owner.CLIENT,
            "The phone number is not valid",
            "Ask the client for the right number and correct it in the back office.",
        ),
        Reason.RECIPIENT_UNREACHABLE: ReasonRow(
            _FAIL,
            Owner.CLIENT,
            "The phone cannot be reached",
            "Ask the client to switch the phone on, leave flight mode or roaming, and try again.",
        ),
        Reason.RECIPIENT_OPTED_OUT: ReasonRow(
            _FAIL,
            Owner.CLIENT,
            "The client has opted out of messages",
            "Ask the client to send START to the sender's number.",
        ),
        Reason.RECIPIENT_LANDLINE: ReasonRow(
            _FAIL,
            Owner.CLIENT,
            "The number is a landline or cannot receive SMS",
            "Ask the client for a mobile number.",
        ),
        Reason.RECIPIENT_BLOCKED: ReasonRow(
            _FAIL,
            Owner.CLIENT,
            "The phone or its operator refuses the message",
            "Ask the client to unblock the sender and to ask their operator about blocked short messages.",
        ),
        Reason.TOO_MANY_ATTEMPTS: ReasonRow(
            _FAIL,
            Owner.CLIENT,
            "Too many codes were requested or tried",
            "Ask the client to wait ten minutes before the next attempt.",
        ),
        # client
        Reason.CLIENT_UNKNOWN: ReasonRow(
            _FAIL,
            Owner.BACK_OFFICE,
            "The back office does not know this client",
            "Check the client's id or phone number.",
        ),
        Reason.CLIENT_2FA_DISABLED: ReasonRow(
            _FAIL,
            Owner.CLIENT,
            "The client has no 2FA option enabled",
            "Enable one option with the client: Clients > General > Edit > Settings > 2FA.",
        ),
        Reason.CLIENT_PHONE_UNCONFIRMED: ReasonRow(
            _FAIL,
            Owner.CLIENT,
            "The client's phone number is not confirmed",
            "Ask the client to confirm the phone number in the profile.",
        ),
        # TOTP
        Reason.SERVER_CLOCK_SKEWED: ReasonRow(
            _FAIL,
            Owner.US,
            "Our clock is wrong, so codes are refused",
            "Repair time synchronisation (NTP) on the named host.",
            pages=True,
        ),
        Reason.DEVICE_CLOCK_SKEWED: ReasonRow(
            _FAIL,
            Owner.CLIENT,
            "The client's phone shows the wrong time",
            "Ask the client to turn on automatic date and time, or the authenticator app's time correction.",
        ),
        Reason.CODE_REJECTED: ReasonRow(
            _FAIL,
            Owner.US,
            "The platform refuses right codes",
            "Check the platform's clock first, then its latest change to sign-in.",
            pages=True,
        ),
        Reason.WRONG_CODE_ACCEPTED: ReasonRow(
            _FAIL,
            Owner.US,
            "The platform accepts wrong codes",
            "Treat it as a security incident: 2FA protects nobody now. Call the security team.",
            pages=True,
        ),
        Reason.SECRET_MISMATCH: ReasonRow(
            _FAIL,
            Owner.CLIENT,
            "The client's app holds another secret",
            "Enrol the authenticator app again, at the client's explicit request only.",
        ),
        Reason.CODE_REPLAYED: ReasonRow(
            _FAIL,
            Owner.CLIENT,
            "The code had been used already",
            "Ask the client to wait for the next code.",
        ),
        Reason.DEVICE_LOST: ReasonRow(
            _FAIL,
            Owner.CLIENT,
            "The client has lost the device or the app",
            "Verify the client's identity, then disable and re-enable 2FA, at the client's explicit request"
            " only: until it is enabled again the account is not protected.",
        ),
        # could not find out
        Reason.UNREACHABLE: ReasonRow(
            _ERROR,
            Owner.US,
            "No connection to the service could be made",
            "Check this host's network, DNS, firewall and proxy; compare with the service's status page.",
        ),
        Reason.TIMEOUT: ReasonRow(
            _ERROR,
            Owner.US,
            "The service did not answer in time",
            "Check this host's network; compare with the service's status page.",
        ),
        Reason.TLS_FAILED: ReasonRow(
            _ERROR,
            Owner.US,
            "No secure connection could be made",
            "Check the certificate, the CA bundle, this host's clock and proxies that open TLS.",
        ),
        Reason.BAD_RESPONSE: ReasonRow(
            _ERROR,
            Owner.PROVIDER,
            "The service's answer cannot be understood",
            "Check the URL and proxies in between; look for API changes of the service.",
        ),
        Reason.INTERNAL: ReasonRow(
            _ERROR,
            Owner.US,
            "A defect of this exporter",
            "Read the exporter's log and report the defect with it.",
        ),
    }
)
