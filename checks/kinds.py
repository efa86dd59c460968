"""The literal table of check kinds: what each needs, what it can say and the function that does it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from .account import AccountSettings, check_account
from .back_office import ClientDirectory, SmsSetupClient, TotpSignInClient
from .balance import BalanceSettings, check_balance
from .canary import CanarySettings, check_canary
from .client_readiness import ClientReadinessSettings, check_client_readiness
from .clients import (
    AccountClient,
    BalanceClient,
    CanaryClient,
    ClockClient,
    ConversionClient,
    CredentialsClient,
    MessageLogClient,
    SendersClient,
    ServiceStatusClient,
)
from .clock import ClockSettings, check_clock
from .conversion import ConversionSettings, check_conversion
from .credentials import CredentialsSettings, check_credentials
from .delivery import DeliverySettings, check_delivery
from .enablement import EnablementSettings, check_enablement
from .messages import FAILURE_REASONS
from .past import Past
from .reason import Reason, Severity
from .result import CheckResult
from .senders import SendersSettings, check_senders
from .service_status import ServiceStatusSettings, check_service_status
from .settings import CheckSettings
from .totp_login import TotpLoginSettings, check_totp_login
from .verifier import VerifierSettings, check_verifier

CheckFunction = Callable[[Any, Any, Past], CheckResult]

_CANNOT_FIND_OUT: Final = (
    Reason.UNREACHABLE,
    Reason.TIMEOUT,
    Reason.TLS_FAILED,
    Reason.BAD_RESPONSE,
    Reason.INTERNAL,
)

_ANY_API_CALL: Final = (
    Reason.CREDENTIALS_REJECTED,
    Reason.PERMISSION_MISSING,
    Reason.ACCOUNT_SUSPENDED,
    Reason.PROVIDER_OUTAGE,
    Reason.RATE_LIMITED,
    *_CANNOT_FIND_OUT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckKind:
    """One kind of check."""

    settings: type[CheckSettings]
    needs: type  # the protocol that the target's client must implement
    function: CheckFunction
    reasons: tuple[Reason, ...]  # all that it can give, in the order of checks/reason.py
    once_per_target: bool = False  # it measures something of the target, which can have one value only
    costs_money: bool = False  # it may only run where the day's money is kept
    has_memory: bool = False  # it may only run where what it did before is known
    asks_provider: bool = True  # it asks the service that sends the codes, not somebody who speaks of it
    asks_back_office: bool = False  # what keeps us from asking it keeps no code from a client
    bears_on_one: bool = True  # what it finds may explain what one client sees
    lives_on: str | None = None  # the setting of the target without which there is nothing to judge
    requests: Callable[[Any], float] = lambda settings: 1  # noqa: ARG005  # API calls of one run, as a rule

    def stops_codes(self, reason: Reason) -> bool:
        """Return whether nobody gets a code while this check gives that reason."""
        return reason.row.stops_codes and self._speaks_for_many(reason)

    def severity(self, reason: Reason) -> Severity:
        """Return how urgent it is that this check gives that reason."""
        severity = reason.row.severity
        return severity if severity is not Severity.CRITICAL or self._speaks_for_many(reason) else Severity.WARNING

    def _speaks_for_many(self, reason: Reason) -> bool:
        """Return whether a reason is about the codes of all clients.

        One message that costs money is not, and neither is a back office that cannot be asked.
        """
        return not self.costs_money and not (self.asks_back_office and reason in _ANY_API_CALL)


def _of_senders(settings: SendersSettings) -> float:
    """Two for a number and its verification, four for a service and its pool, one for the countries."""
    return 2 * len(settings.numbers) + 4 * len(settings.messaging_services) + bool(settings.countries)


def _of_totp_login(settings: TotpLoginSettings) -> float:
    """Two for each sign-in: one a run, and once in a while those that probe."""
    probes = 2 + 2 * settings.max_steps
    return 2 * (1 + probes * settings.interval / settings.probe_interval)


def _of_canary(settings: CanarySettings) -> float:
    """The message, and the question how it fares every few seconds, until it has mostly arrived."""
    return 1 + min(settings.final_within, 60.0) / 5


def _timeless(function: Callable[[Any, Any], CheckResult]) -> CheckFunction:
    """Adapt a check that asks nothing of the past."""

    def run(client: Any, settings: Any, past: Past) -> CheckResult:  # noqa: ARG001  # that is the point
        return function(client, settings)

    return run


def _reasons(*own: Reason, calls: tuple[Reason, ...] = _ANY_API_CALL) -> tuple[Reason, ...]:
    can_give = {Reason.OK, *own, *calls}
    return tuple(reason for reason in Reason if reason in can_give)


KINDS: Final[Mapping[str, CheckKind]] = MappingProxyType(
    {
        "credentials": CheckKind(
            settings=CredentialsSettings,
            needs=CredentialsClient,
            function=_timeless(check_credentials),
            reasons=_reasons(),
        ),
        "account": CheckKind(
            settings=AccountSettings,
            needs=AccountClient,
            function=_timeless(check_account),
            reasons=_reasons(Reason.ACCOUNT_RESTRICTED),
            requests=lambda _: 2,  # the account and its compliance profiles
        ),
        "balance": CheckKind(
            settings=BalanceSettings,
            needs=BalanceClient,
            function=check_balance,
            reasons=_reasons(Reason.BALANCE_EXHAUSTED, Reason.BALANCE_LOW),
            once_per_target=True,
            requests=lambda _: 3,  # the balance, all spend, and that of two days
        ),
        "senders": CheckKind(
            settings=SendersSettings,
            needs=SendersClient,
            function=_timeless(check_senders),
            reasons=_reasons(Reason.SENDER_INVALID, Reason.SENDER_UNREGISTERED, Reason.COUNTRY_NOT_PERMITTED),
            requests=_of_senders,
        ),
        "service_status": CheckKind(
            settings=ServiceStatusSettings,
            needs=ServiceStatusClient,
            function=_timeless(check_service_status),
            reasons=_reasons(Reason.PROVIDER_OUTAGE, Reason.PROVIDER_DEGRADED, calls=_CANNOT_FIND_OUT),
            once_per_target=True,
            asks_provider=False,
        ),
        "canary": CheckKind(
            settings=CanarySettings,
            needs=CanaryClient,
            function=check_canary,
            reasons=_reasons(
                *FAILURE_REASONS,
                Reason.RECEIPTS_MISSING,
                Reason.RECEIPTS_FALSE,
            ),
            costs_money=True,
            requests=_of_canary,
        ),
        "conversion": CheckKind(
            settings=ConversionSettings,
            needs=ConversionClient,
            function=check_conversion,
            reasons=_reasons(Reason.DELIVERY_FAILING, Reason.RECEIPTS_FALSE, Reason.SMS_PUMPING),
            once_per_target=True,
            bears_on_one=False,
        ),
        "delivery": CheckKind(
            settings=DeliverySettings,
            needs=MessageLogClient,
            function=check_delivery,
            reasons=_reasons(
                Reason.COUNTRY_NOT_PERMITTED,
                Reason.OPERATOR_BLOCKING,
                Reason.OPERATOR_DELAY,
                Reason.DELIVERY_FAILING,
                Reason.DELIVERY_SLOW,
                Reason.RECEIPTS_MISSING,
                Reason.RECEIPTS_FALSE,
                Reason.NO_TRAFFIC,
                Reason.SMS_PUMPING,
            ),
            once_per_target=True,
        ),
        "enablement": CheckKind(
            settings=EnablementSettings,
            needs=SmsSetupClient,
            function=check_enablement,
            reasons=_reasons(
                Reason.PROVIDER_MISSING,
                Reason.PROVIDER_DISABLED,
                Reason.PROVIDER_INCOMPLETE,
                Reason.PROVIDER_IS_TEST,
                Reason.TEMPLATE_MISSING,
            ),
            asks_provider=False,
            asks_back_office=True,
            requests=lambda _: 4,
        ),
        "client_readiness": CheckKind(
            settings=ClientReadinessSettings,
            needs=ClientDirectory,
            function=check_client_readiness,
            reasons=_reasons(Reason.CLIENT_2FA_DISABLED, Reason.CLIENT_PHONE_UNCONFIRMED),
            once_per_target=True,
            asks_provider=False,
            asks_back_office=True,
            bears_on_one=False,
            requests=lambda settings: 1 + 2 * settings.clients_per_run,
        ),
        "totp_login": CheckKind(
            settings=TotpLoginSettings,
            needs=TotpSignInClient,
            function=check_totp_login,
            reasons=_reasons(
                Reason.TOO_MANY_ATTEMPTS,
                Reason.CLIENT_2FA_DISABLED,
                Reason.CODE_REJECTED,
                Reason.WRONG_CODE_ACCEPTED,
            ),
            has_memory=True,
            asks_provider=False,
            asks_back_office=True,
            requests=_of_totp_login,
        ),
        "verifier": CheckKind(
            settings=VerifierSettings,
            needs=ClientDirectory,
            function=check_verifier,
            reasons=_reasons(Reason.SERVER_CLOCK_SKEWED, calls=_CANNOT_FIND_OUT),
            once_per_target=True,
            lives_on="verifier_events",
            asks_provider=False,
            asks_back_office=True,
            bears_on_one=False,
            requests=lambda _: 0,  # it is told
        ),
        "clock": CheckKind(
            settings=ClockSettings,
            needs=ClockClient,
            function=_timeless(check_clock),
            reasons=_reasons(Reason.SERVER_CLOCK_SKEWED, calls=_CANNOT_FIND_OUT),
            asks_provider=False,
            requests=lambda _: 4,  # the platform's page, until its clock ticks
        ),
    }
)
