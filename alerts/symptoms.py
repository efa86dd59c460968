"""What clients feel, whatever its cause, or would feel by one fault more."""

from collections.abc import Iterator, Mapping
from typing import Final

from checks.kinds import KINDS, CheckKind
from checks.reason import Outcome, Reason, Severity
from exporter.readiness import OTHER

from .rule import Alert, Dashboard, by_target

_FEWEST: Final = 20  # messages or sign-ins: of fewer, a share says nothing
_LIFETIME_SECONDS: Final = 300.0  # of a code, as platforms usually have it; a bound of the histogram


def symptom_alerts() -> Iterator[Alert]:
    """Yield the symptoms, those that hit most clients first."""
    yield _no_usable_provider()
    yield _no_usable_route()
    yield _last_usable_route()
    yield _traffic_stopped()
    yield _codes_not_delivered()
    yield _codes_too_late()
    yield _totp_codes_refused()


def _no_usable_provider() -> Alert:
    """One alert for each thing that keeps a provider from being usable, so that the page names the cause."""
    providers = {name: kind for name, kind in KINDS.items() if kind.asks_provider and not kind.costs_money}
    unanswered = [reason for reason in Reason if reason.outcome is Outcome.ERROR]
    office = _stopping({"enablement": KINDS["enablement"]})
    kinds = "|".join(providers)
    found = [
        f'last_over_time(twofa_check_reason{{kind=~"{kinds}",reason=~"{"|".join(_stopping(providers))}"}}[5m]) == 1',
        f'last_over_time(twofa_check_reason{{kind="enablement",reason=~"{"|".join(office)}"}}[5m]) == 1',
        # What cannot be reached fails now for this reason and now for that one.
        f'max_over_time(twofa_check_reason{{kind=~"{kinds}",reason=~"{"|".join(unanswered)}"}}[5m]) == 1',
    ]
    return Alert(
        name="TwoFANoUsableProvider",
        severity=Severity.CRITICAL,
        expression=(
            "max by (job, target, reason) (\n  " + "\n  or\n  ".join(found) + "\n)\n"
            "and on (job)\nmax by (job) (last_over_time(twofa_sms_providers_usable[5m])) == 0"
        ),
        for_="3m",
        keep_firing_for="10m",  # longer than the ticket that it mutes, less than the cause that mutes it
        summary="No SMS provider is known to be able to deliver a code.",
        description=(
            "No provider is left that is known to deliver codes. {{ $labels.target }}: {{ $labels.reason }}."
            " Clients may get theirs all the same where only this exporter is cut off: look at sign-ins first. If not,"
            " put another provider into service in the back office: System > SMS providers."
        ),
        dashboard=Dashboard.OVERVIEW,
    )


def _no_usable_route() -> Alert:
    """One alert for each thing that keeps a provider from a country, as for providers."""
    return Alert(
        name="TwoFANoUsableRoute",
        severity=Severity.CRITICAL,
        expression=f"{_ROUTE_FAULT}\nand on (job, country)\n{_routes('usable')} == 0\n"
        f"unless on (job, country)\n{_routes('unknown')} > 0",
        for_="3m",
        keep_firing_for="7m",  # longer than the ticket that it mutes, less than what mutes it
        summary="No provider can deliver a code to a country.",
        description=(
            f"{_COUNTRY}: none of the providers that the configuration has for it can deliver a code now."
            " {{ $labels.target }}: {{ $labels.reason }}. Repair what is quickest, or give it another provider."
        ),
        dashboard=Dashboard.OVERVIEW,
    )


def _last_usable_route() -> Alert:
    """A ticket where there were several. A country that never had a second provider has no fault while it works."""
    return Alert(
        name="TwoFALastUsableRoute",
        severity=Severity.WARNING,
        expression=f"{_ROUTE_FAULT}\nand on (job, country)\n{_routes('usable')} + {_routes('unknown')} == 1",
        for_="10m",
        summary="Only one provider is left that can deliver codes to a country.",
        description=(
            f"{_COUNTRY}: one provider is left, at most, and none can take over when that one fails."
            " {{ $labels.target }}: {{ $labels.reason }}."
        ),
        dashboard=Dashboard.OVERVIEW,
    )


_COUNTRY: Final = (
    f'{{{{ if eq $labels.country "{OTHER}" }}}}Every other country{{{{ else }}}}{{{{ $labels.country }}}}{{{{ end }}}}'
)
_ROUTE_FAULT: Final = "max by (job, country, target, reason) (\n  last_over_time(twofa_sms_route_fault[5m]) == 1\n)"
"""What cannot be reached fails now for this reason and now for that one: each is kept for a while."""


def _routes(state: str) -> str:
    """Return how many providers of a country are in a state; a country that stood out is soon forgotten."""
    return f'max by (job, country) (last_over_time(twofa_sms_routes{{state="{state}"}}[2m]))'


def _stopping(kinds: Mapping[str, CheckKind]) -> list[Reason]:
    """Return what any of these kinds gives while nobody gets a code."""
    return [
        reason
        for reason in Reason
        if any(reason in kind.reasons and kind.stops_codes(reason) for kind in kinds.values())
    ]


def _traffic_stopped() -> Alert:
    accepted = 'twofa_messages_total{status="accepted"}'

    def sent(ago: str = "") -> str:
        return by_target(f"increase({accepted}[30m]{ago})")

    last_week, yesterday = sent(" offset 1w"), sent(" offset 1d")
    return Alert(
        name="TwoFATrafficStopped",
        severity=Severity.CRITICAL,
        expression=(
            f"{sent()} < 1\nand\n"
            f"(\n  {last_week} >= {_FEWEST}\n  or\n  {yesterday} >= {_FEWEST}\n  unless\n  {last_week}\n)\n"
            f"unless on (job)\n{sent()} >= {_FEWEST}\n"
            "and on (job, target)\n"
            "time() - max by (job, target) (last_over_time(twofa_log_read_until_timestamp_seconds[5m])) < 900"
        ),
        for_="5m",
        summary="No codes are sent any more.",
        description=(
            "{{ $labels.target }} has taken no message for 30 minutes, and no other provider takes them; at this time a"
            " week ago, or yesterday, it took many. Either nobody can sign in, or the back office no longer hands codes"
            " to it."
        ),
        dashboard=Dashboard.DELIVERY,
        labels=("target",),
    )


def _codes_not_delivered() -> Alert:
    def ended(status: str) -> str:
        return by_target(f'increase(twofa_messages_total{{status=~"{status}"}}[10m])')

    return Alert(
        name="TwoFACodesNotDelivered",
        severity=Severity.CRITICAL,
        expression=(
            f"{ended('undelivered|failed')} / {ended('delivered|undelivered|failed')} > 0.5\nand\n"
            f"{ended('delivered|undelivered|failed')} >= {_FEWEST}"
        ),
        for_="3m",
        summary="Most codes are not delivered.",
        description=(
            "{{ $labels.target }}: {{ $value | humanizePercentage }} of the messages that came to an end in"
            " 10 minutes were not delivered."
        ),
        dashboard=Dashboard.DELIVERY,
        labels=("target",),
    )


def _codes_too_late() -> Alert:
    def arrived(which: str) -> str:
        return by_target(f"increase(twofa_message_delivery_seconds_{which}[15m])")

    bound = f'bucket{{le="{_LIFETIME_SECONDS}"}}'
    return Alert(
        name="TwoFACodesTooLate",
        severity=Severity.CRITICAL,
        expression=f"1 - {arrived(bound)} / {arrived('count')} > 0.2\nand\n{arrived('count')} >= {_FEWEST}",
        for_="3m",
        summary="Many codes arrive after they have run out.",
        description=(
            "{{ $labels.target }}: {{ $value | humanizePercentage }} of the messages that arrived in 15 minutes took"
            f" longer than {_LIFETIME_SECONDS / 60:.0f} minutes, the usual lifetime of a code."
        ),
        dashboard=Dashboard.DELIVERY,
        labels=("target",),
    )


def _totp_codes_refused() -> Alert:
    def tried(step: str = "") -> str:
        return by_target(f"increase(twofa_totp_attempts_total{step}[15m])")

    none = '{step="none"}'
    return Alert(
        name="TwoFATotpCodesRefused",
        severity=Severity.CRITICAL,
        expression=f"{tried(none)} / {tried()} > 0.5\nand\n{tried()} >= {_FEWEST}",
        for_="3m",
        summary="Most codes of authenticator apps are refused.",
        description=(
            "{{ $labels.target }}: {{ $value | humanizePercentage }} of the sign-ins with an authenticator app in"
            " 15 minutes had a code that matches no time step. When a few accounts cause it, somebody is guessing;"
            " when many do, a clock is wrong."
        ),
        dashboard=Dashboard.TOTP,
        labels=("target",),
    )
