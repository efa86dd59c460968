"""Can clients get codes right now? One screen, for a wall and for the first look at night."""

from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models import units

from alerts.objective import OBJECTIVE, PERIOD_DAYS, WITHIN_SECONDS
from alerts.rule import Dashboard as Uid

from . import causes
from .board import Board, Line, Section
from .check_runs import stale
from .messages import (
    DELIVERED,
    FEWEST,
    FINISHED,
    IN_TIME,
    LATENCY,
    TOO_FEW_WORDS,
    delivered_share,
    in_time_share,
)
from .panels import SMOOTH, Column, figure, graph, table, word
from .queries import RULES_ARE_LOADED, Ask, Selectors, increase, quantile, rate
from .words import (
    BAD,
    DELIVERED_LEVELS,
    GOOD,
    IN_TIME_LEVELS,
    NO_MESSAGES,
    NONE_WORDS,
    PLAIN,
    RUNWAY_LEVELS,
    SILENT,
    TIME_LEVELS,
    UNKNOWN,
    WARN,
    matching,
    words,
)

_SELECTORS = Selectors()
_NOW = "15m"
_NO_PROVIDER = "none"
_NOT_YET = "unknown"
_LEFT = words(
    {
        "0": ("Enough", GOOD),
        "1": ("The only one", PLAIN),
        "2": ("Not known yet", UNKNOWN),
        "3": ("One at most", WARN),
        "4": ("None", BAD),
    }
)
"""How many providers are left for a country, the worst is the highest."""
_ACCEPTED = _SELECTORS("twofa_messages_total", 'status="accepted"')


def board() -> Board:
    """Return the dashboard."""
    now = Line(4, [(4, _usable()), (8, causes.causes(_SELECTORS)), (4, _delivered()), (4, _in_time()), (4, _time())])
    soon = Line(
        4, [(4, _firing()), (4, _traffic()), (4, _runway()), (4, _budget()), (4, _totp()), (4, stale(_SELECTORS))]
    )
    return Board(
        uid=Uid.OVERVIEW,
        title="2FA / Overview",
        description="Can clients get codes right now, and if not: why?",
        shows_alerts=True,
        sections=[
            Section(
                "Can clients get codes now?",
                [
                    now,
                    soon,
                    Line(5, [(13, causes.where(_SELECTORS)), (11, causes.alerts(_SELECTORS, 'severity!="info"'))]),
                ],
            ),
            Section("Can another provider take over?", [Line(5, [(24, _routes())])]),
            Section(
                "How it went",
                [
                    Line(
                        8,
                        [
                            (5, _traffic_over_time()),
                            (5, _shares_over_time()),
                            (5, _time_over_time()),
                            (9, causes.over_time(_SELECTORS)),
                        ],
                    ),
                ],
            ),
        ],
    )


def _usable() -> stat.Panel:
    usable = f"max({_SELECTORS('twofa_sms_providers_usable')})"
    of = f"count(count by (target) ({_SELECTORS('twofa_provider_info')}))"
    counted = f'count_values("usable", {usable}) * on () group_left (of) count_values("of", {of})'
    none = f'label_replace({usable}, "text", "{_NO_PROVIDER}", "job", ".*")'
    not_yet = f'label_replace({of}, "text", "{_NOT_YET}", "job", ".*")'
    return word(
        "Usable providers",
        "Providers that could deliver a code now, of those that are configured: they answered a check themselves, and"
        " no check gives a reason that stops codes. Red: none, no client gets a code by SMS. Orange: not all.",
        Ask(f'label_join({counted}, "text", " of ", "usable", "of") or on () {none} or on () {not_yet}'),
        label="text",
        words=matching(
            (_NO_PROVIDER, ("No provider is configured", PLAIN)),
            (_NOT_YET, ("Not known yet", UNKNOWN)),
            (r"0 of (\d+)", ("None of $1", BAD)),
            (r"(\d+) of \1", ("$1 of $1", GOOD)),
            (r"(\d+) of (\d+)", ("$1 of $2", WARN)),
        ),
        nothing=SILENT,
    )


def _routes() -> tables.Panel:
    """Return how many providers are left for each country, as the alerts count, and what keeps the others from it."""

    def count(*states: str) -> str:
        matchers = [f'state=~"{"|".join(states)}"'] if states else []
        return f"sum by (country) (max by (country, state) ({_SELECTORS('twofa_sms_routes', *matchers)}))"

    faults = f"max by (country, target, reason) ({_SELECTORS('twofa_sms_route_fault')})"

    def with_faults(counted: str) -> Ask:
        each = f"({faults}) * 0 + on (country) group_left () ({counted})"
        return Ask(f"{each} or ({counted}) unless on (country) ({faults})")

    usable, unusable, possible = count("usable"), count("unusable"), count("usable", "unknown")
    left = " or ".join(
        (
            f"({possible} == 0) * 0 + 4",
            f"({possible} == 1 and {unusable} > 0) * 0 + 3",
            f"({usable} == 0) * 0 + 2",
            f"({possible} == 1) * 0 + 1",
            f"{possible} * 0",
        )
    )
    return table(
        "Providers left for each country",
        "Of the providers that the configuration has for a country (routes): how many can deliver a code there now, and"
        " what keeps the others from it. other: every country without a route or a fault of its own. Red: none, an"
        " alert pages. Orange: one at most, of several. Click a reason for its runbook.",
        with_faults(left),
        with_faults(usable),
        with_faults(count()),
        columns=[
            Column("Value #A", "Left", words=_LEFT, width=140),
            Column("country", "Country", width=110),
            Column("Value #B", "Usable", decimals=0, width=110),
            Column("Value #C", "Configured", decimals=0, width=110),
            Column("target", "Cannot be used"),
            causes.REASON_COLUMN,
        ],
        sort="Left",
        nothing="No routes are configured",
    )


def _delivered() -> stat.Panel:
    return figure(
        f"Delivered, last {_NOW}",
        "Share of the messages that came to an end in the last 15 minutes which operators say they delivered. Orange"
        f" below 90 %, red below 50 %: then an alert fires. Of fewer than {FEWEST} messages a share says nothing.",
        Ask(delivered_share(_SELECTORS, _NOW)),
        unit=units.PercentUnit,
        levels=DELIVERED_LEVELS,
        words=[TOO_FEW_WORDS],
        decimals=1,
        nothing=NO_MESSAGES,
    )


def _in_time() -> stat.Panel:
    return figure(
        f"Within {WITHIN_SECONDS} s, last {_NOW}",
        f"Share of the messages that came to an end in the last 15 minutes which arrived within {WITHIN_SECONDS} s."
        f" The objective is {OBJECTIVE:.0%}: green. Red: less than half.",
        Ask(in_time_share(_SELECTORS, _NOW)),
        unit=units.PercentUnit,
        levels=IN_TIME_LEVELS,
        words=[TOO_FEW_WORDS],
        decimals=1,
        nothing=NO_MESSAGES,
    )


def _time() -> stat.Panel:
    bucket = _SELECTORS(LATENCY)
    return figure(
        f"Time to deliver, last {_NOW}",
        f"Within which time half and nine tenths of the delivered messages arrived. Orange above {WITHIN_SECONDS} s,"
        " red above 2 minutes. Lost messages have no time and do not count.",
        Ask(quantile(0.5, bucket, _NOW), "Half"),
        Ask(quantile(0.9, bucket, _NOW), "Nine of ten"),
        unit=units.Seconds,
        levels=TIME_LEVELS,
        decimals=0,
        nothing=NO_MESSAGES,
        named=True,
    )


def _firing() -> stat.Panel:
    critical, warning = (
        f"count({firing}) or 0 * count({RULES_ARE_LOADED})"
        for severity in ("critical", "warning")
        for firing in [_SELECTORS.firing(f'severity="{severity}"')]
    )
    return figure(
        "Alerts that fire",
        "How many alerts about 2FA fire now, by severity. They are listed below.",
        Ask(critical, "Critical"),
        Ask(warning, "Warning"),
        unit=units.NoUnit,
        levels=((0, GOOD), (1, WARN)),
        words=[NONE_WORDS],
        nothing=("No rules are loaded", BAD),
        named=True,
        worse={"Critical": ((0, GOOD), (1, BAD))},
    )


def _traffic() -> stat.Panel:
    day, week = (increase(_ACCEPTED, "30m", modifier=f"offset {ago}") for ago in ("1d", "1w"))
    return figure(
        "Traffic against yesterday",
        "Messages accepted in the last 30 minutes, as a share of those at the same time yesterday, or a week ago where"
        " they were fewer. Red below 10 %: something before the provider may be broken. Orange below 50 %, and above"
        " 300 %: look for an attack. An alert fires when none is accepted for 30 minutes and there were"
        f" {FEWEST} then.",
        Ask(f"{increase(_ACCEPTED, '30m')} / (({week} < {day} or {day}) >= {FEWEST})"),
        unit=units.PercentUnit,
        levels=((0, BAD), (0.1, WARN), (0.5, GOOD), (3, WARN)),
        decimals=0,
        nothing=("Too few then to compare", PLAIN),
    )


def _runway() -> stat.Panel:
    return figure(
        "Money lasts for",
        "Time until the first provider account is empty at its present spend. Orange below 3 days, red below 6 hours:"
        " then an alert pages.",
        Ask(f"min({_SELECTORS('twofa_provider_balance_runway_seconds')})"),
        unit=units.Seconds,
        levels=RUNWAY_LEVELS,
        decimals=1,
    )


def _budget() -> stat.Panel:
    return figure(
        f"Error budget left of {PERIOD_DAYS} days",
        f"What is left of the {1 - OBJECTIVE:.0%} of messages that may miss {WITHIN_SECONDS} s, over {PERIOD_DAYS}"
        " days; what was before the first message counts as good. Negative: the objective is missed. Orange below a"
        " quarter.",
        Ask(f"min({budget_left(_SELECTORS)})"),
        unit=units.PercentUnit,
        levels=((0, BAD), (0.0001, WARN), (0.25, GOOD)),
        decimals=0,
        nothing=("Too young", PLAIN),
    )


def budget_left(selectors: Selectors) -> str:
    """Return the share of the error budget that is left, by target.

    Where the history is younger than the period, it has spent no more than its part of the period allows.
    """
    errors = selectors.recorded(f"target:twofa_delivery_errors:ratio_rate{PERIOD_DAYS}d")
    known = selectors.recorded("target:twofa_messages_finished:rate5m")
    part = f"count_over_time({known}[{PERIOD_DAYS}d:6h]) / {PERIOD_DAYS * 4}"
    return f"1 - {errors} * {part} / on () group_left () (1 - twofa:delivery_objective:ratio)"


def _totp() -> stat.Panel:
    return causes.answer(
        _SELECTORS,
        "Authenticator codes",
        "What sign-ins with a right and a wrong code, the codes of clients and the clocks say of codes of authenticator"
        " apps (TOTP).",
        "totp_login",
        "verifier",
        "clock",
    )


def _traffic_over_time() -> timeseries.Panel:
    return graph(
        "Codes sent",
        "Messages that the providers accepted, a minute, beside those of the same time yesterday.",
        Ask(f"{rate(_ACCEPTED)} * 60", "Accepted"),
        Ask(f"{rate(_ACCEPTED, modifier='offset 1d')} * 60", "Same time yesterday"),
        unit=units.MessagesPerMinute,
        colours={"Accepted": PLAIN, "Same time yesterday": "text"},
        step=SMOOTH,
        legend_values=("mean", "lastNotNull"),
    )


def _shares_over_time() -> timeseries.Panel:
    return graph(
        "Delivered, and in time",
        f"Shares of the messages that came to an end. The dashed line is the objective for {WITHIN_SECONDS} s.",
        Ask(f"{rate(_SELECTORS(*DELIVERED))} / {rate(_SELECTORS(*FINISHED))}", "Delivered"),
        Ask(
            f"{rate(_SELECTORS(*IN_TIME))} / {rate(_SELECTORS(*FINISHED))}",
            f"Within {WITHIN_SECONDS} s",
        ),
        unit=units.PercentUnit,
        levels=((0, BAD), (OBJECTIVE, GOOD)),
        colours={"Delivered": PLAIN, f"Within {WITHIN_SECONDS} s": UNKNOWN},
        maximum=1,
        step=SMOOTH,
        legend_values=("min", "lastNotNull"),
    )


def _time_over_time() -> timeseries.Panel:
    bucket = _SELECTORS(LATENCY)
    return graph(
        "Time to deliver",
        f"Within which time half, and nine tenths, of the delivered messages arrived. The dashed line: {WITHIN_SECONDS}"
        " s.",
        Ask(quantile(0.5, bucket), "Half"),
        Ask(quantile(0.9, bucket), "Nine of ten"),
        unit=units.Seconds,
        levels=((0, GOOD), (WITHIN_SECONDS, WARN)),
        step=SMOOTH,
        legend_values=("max", "lastNotNull"),
        colours={"Half": PLAIN, "Nine of ten": UNKNOWN},
    )
