"""One provider: may we use its account, how long does the money last, does its service work?"""

from grafana_foundation_sdk.builders import bargauge, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models import units

from alerts.rule import Dashboard as Uid

from . import causes
from .board import Board, Line, Section
from .check_runs import durations
from .panels import Column, bar_gauge, figure, graph, states, table
from .queries import Ask, Selectors, increase, moving, rate
from .words import BAD, ENABLED_WORDS, GOOD, PLAIN, RUNWAY_LEVELS, SERVICE_STATE_WORDS, SERVICE_STATES, WARN

_SELECTORS = Selectors()
_ANY_TARGET = Selectors(())  # back offices are targets of their own
_OURS = _SELECTORS("twofa_exporter_http_requests_total")


def board() -> Board:
    """Return the dashboard."""
    answers = [
        ("credentials", "Credentials", "Whether the provider takes our key, and what the key may do."),
        ("account", "Account", "Whether the account is active, and not limited to verified numbers."),
        ("balance", "Balance", "Whether there is money in the account, and for how long."),
        ("senders", "Senders", "Whether the configured senders exist, can send SMS and are registered."),
        ("service_status", "Service", "What the provider's own status page says."),
        ("enablement", "Back office", "Whether every back office has the right provider on and complete."),
    ]
    return Board(
        uid=Uid.PROVIDER,
        title="2FA / Provider",
        description="The account and the service of the providers that send the codes, and the back office's side.",
        sections=[
            Section(
                "What the checks say",
                [
                    Line(
                        4, [(4, causes.answer(_selectors_of(kind), title, text, kind)) for kind, title, text in answers]
                    )
                ],
            ),
            Section(
                "Money",
                [
                    Line(4, [(6, _balance()), (6, _runway()), (6, _spent()), (6, _providers())]),
                    Line(8, [(8, _balance_over_time()), (8, _runway_over_time()), (8, _spend_over_time())]),
                ],
            ),
            Section("The provider's status page", [Line(8, [(24, _service())])]),
            Section("Back office", [Line(7, [(16, _enabled()), (8, _offices())])]),
            Section(
                "Requests to the API",
                [
                    Line(8, [(12, _requests()), (12, _errors())]),
                    Line(8, [(12, durations(_SELECTORS)), (12, _outcomes())]),
                ],
            ),
            Section("Reasons", [Line(8, [(13, causes.where(_SELECTORS)), (11, causes.over_time(_SELECTORS))])]),
        ],
    )


def _selectors_of(kind: str) -> Selectors:
    return _ANY_TARGET if kind == "enablement" else _SELECTORS


def _balance() -> stat.Panel:
    return figure(
        "Balance",
        "Money in the account, in its currency. Absent while it is not known.",
        Ask(f"max by (target, currency) ({_SELECTORS('twofa_provider_balance')})", "{{target}}, {{currency}}"),
        unit=units.NoUnit,
        levels=((0, BAD), (0.01, PLAIN)),
        decimals=2,
        named=True,
    )


def _runway() -> stat.Panel:
    return figure(
        "Money lasts for",
        "Time until the account is empty at its present spend. Orange below 3 days, red below 6 hours.",
        Ask(f"min by (target) ({_SELECTORS('twofa_provider_balance_runway_seconds')})", "{{target}}"),
        unit=units.Seconds,
        levels=RUNWAY_LEVELS,
        decimals=1,
        named=True,
    )


def _spent() -> stat.Panel:
    spend = _SELECTORS("twofa_provider_spend_total")
    return figure(
        "Spent in 24 hours",
        "Money spent on the account in the last 24 hours, by its usage records.",
        Ask(increase(spend, "24h", "target, currency"), "{{target}}, {{currency}}"),
        unit=units.NoUnit,
        decimals=2,
        named=True,
    )


def _providers() -> tables.Panel:
    return table(
        "Configured providers",
        "The providers of the configuration and who they are.",
        Ask(f"max by (target, vendor) ({_SELECTORS('twofa_provider_info')})"),
        columns=[Column("target", "Target"), Column("vendor", "Vendor")],
        nothing="No provider is configured",
    )


def _balance_over_time() -> timeseries.Panel:
    return graph(
        "Balance",
        "Money in the account. A rise is a top-up; a line that ends is a balance that is not known.",
        Ask(f"max by (target, currency) ({_SELECTORS('twofa_provider_balance')})", "{{target}}, {{currency}}"),
        unit=units.NoUnit,
        levels=((0, BAD), (0.01, PLAIN)),
    )


def _runway_over_time() -> timeseries.Panel:
    return graph(
        "Money lasts for",
        "Time until the account is empty at its present spend. The dashed lines: 6 hours and 3 days.",
        Ask(f"min by (target) ({_SELECTORS('twofa_provider_balance_runway_seconds')})", "{{target}}"),
        unit=units.Seconds,
        levels=RUNWAY_LEVELS,
    )


def _spend_over_time() -> timeseries.Panel:
    spend = _SELECTORS("twofa_provider_spend_total")
    return graph(
        "Spend an hour",
        "Money spent an hour, by the usage records, which the provider writes with a delay.",
        Ask(f"{rate(spend, 'target, currency')} * 3600", "{{target}}, {{currency}}"),
        unit=units.NoUnit,
        step="15m",
    )


def _service() -> statetimeline.Panel:
    weighed = " or ".join(
        f"{selected} * {number}"
        for number, state in enumerate(SERVICE_STATES)
        for selected in [_SELECTORS("twofa_provider_service_state", f'state="{state}"')]
    )
    return states(
        "Parts of the service",
        "What the provider's status page says of each part that is watched. It is the provider's word: it comes late.",
        Ask(f"max by (target, component) ({weighed})", "{{target}}: {{component}}"),
        words=[SERVICE_STATE_WORDS],
        nothing="No status page is watched",
    )


def _enabled() -> statetimeline.Panel:
    enabled = _ANY_TARGET("twofa_backoffice_provider_enabled")
    return states(
        "SMS providers in the back office",
        "Which SMS providers are on in each back office; a spare one may be off. With none on, no code is sent.",
        Ask(f"max by (target) ({enabled}) + 2", "{{target}}: any"),
        Ask(f"max by (target, provider) ({enabled})", "{{target}}: {{provider}}"),
        words=[ENABLED_WORDS],
        nothing="No back office is asked",
    )


def _offices() -> tables.Panel:
    return table(
        "Configured back offices",
        "The back offices of the configuration and who they are.",
        Ask(f"max by (target, vendor) ({_ANY_TARGET('twofa_backoffice_info')})"),
        columns=[Column("target", "Target"), Column("vendor", "Vendor")],
        nothing="No back office is configured",
    )


def _requests() -> timeseries.Panel:
    return graph(
        "Requests, by what came of them",
        "Requests of the exporter to the APIs of its targets, a minute.",
        Ask(moving(_OURS, "target, outcome"), "{{target}}: {{outcome}}"),
        unit=units.RequestsPerMinute,
        stacked=True,
        legend_values=("mean", "max"),
        many=True,
    )


def _errors() -> timeseries.Panel:
    failed = _SELECTORS("twofa_exporter_http_requests_total", 'outcome!="ok"')
    return graph(
        "Share of requests that fail",
        "Requests to a target's API that did not end well, as a share of all.",
        Ask(f"{rate(failed, 'target')} / {rate(_OURS, 'target')}", "{{target}}"),
        unit=units.PercentUnit,
        levels=((0, GOOD), (0.05, WARN), (0.5, BAD)),
        maximum=1,
    )


def _outcomes() -> bargauge.Panel:
    runs = _SELECTORS("twofa_check_runs_total", 'outcome!="pass"')
    return bar_gauge(
        "Runs that did not pass",
        "Runs of checks in this time that failed, or could not find out (error).",
        Ask(f"{increase(runs, '$__range', 'check, target, outcome')} > 0", "{{target}}: {{check}}, {{outcome}}"),
        unit=units.NoUnit,
        levels=((0, WARN),),
        nothing="All runs passed",
    )
