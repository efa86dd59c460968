"""Do messages arrive, how fast, and where do they not? By country and operator."""

from grafana_foundation_sdk.builders import bargauge, heatmap, stat, timeseries
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models import units

from alerts.objective import OBJECTIVE, WITHIN_SECONDS
from alerts.rule import Dashboard as Uid
from checks.providers.twilio.codes import error_page

from . import canaries, detector
from .board import Board, Line, Section
from .messages import (
    FEWEST,
    FINISHED,
    IN_TIME,
    LATENCY,
    TOO_FEW_WORDS,
    delivered_share,
    in_time_share,
    share_of_enough,
)
from .panels import RUNBOOK_OF_CELL, RUNBOOK_OF_SERIES, SMOOTH, Column, Link, bar_gauge, figure, graph, heat, table
from .queries import Ask, Selectors, busiest, increase, moving, quantile, rate
from .words import (
    BAD,
    DELIVERED_LEVELS,
    GOOD,
    IN_TIME_LEVELS,
    NAMED_REASON_WORDS,
    NO_CODE_WORDS,
    NO_MESSAGES,
    PLAIN,
    TIME_LEVELS,
    UNKNOWN,
    WARN,
    code_words,
)

ROUTED = Selectors(("target", "country", "operator"))
_RANGE = "$__range"
_NOW = "1h"  # whatever the range: an average of a day hides what an alert is about
_ROUTE = "target, country, operator"
_MOST = 10  # lines in a graph
_FEWEST_OF_OPERATOR = 5  # messages in an hour: a broker of middle size has no 20 at most operators
_CODE_PAGE = Link("The vendor's page about this code", error_page(0).removesuffix("0") + "${__value.raw}")


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid=Uid.DELIVERY,
        title="2FA / Delivery",
        description="Do messages arrive, how fast, and where do they not?",
        since="now-24h",
        shows_alerts=True,
        targets="twofa_provider_info",
        by_route=True,
        sections=[
            Section(
                "From accepted to typed",
                [
                    Line(
                        4, [(4, _delivered()), (4, _in_time()), (4, _half()), (4, _most()), (4, _typed()), (4, _lost())]
                    ),
                    Line(9, [(8, _funnel()), (8, _statuses()), (8, _typed_over_time())]),
                ],
            ),
            Section(
                "Where, and why",
                [
                    Line(10, [(24, _operators())]),
                    Line(9, [(12, _failures()), (12, _codes())]),
                ],
            ),
            Section(
                "Time to deliver",
                [Line(9, [(12, _heat()), (12, _quantiles())]), Line(9, [(12, _by_country()), (12, _by_operator())])],
            ),
            detector.section(ROUTED),
            Section("Objective and reading", [Line(8, [(12, _burn()), (6, _missing()), (6, _read_until())])]),
            canaries.section(ROUTED),
        ],
    )


def _delivered() -> stat.Panel:
    return figure(
        f"Delivered, last {_NOW}",
        "Share of the messages of the last hour that came to an end which operators say they delivered. Orange below"
        f" 90 %, red below 50 %. Of fewer than {FEWEST} messages a share says nothing.",
        Ask(delivered_share(ROUTED, _NOW)),
        unit=units.PercentUnit,
        levels=DELIVERED_LEVELS,
        words=[TOO_FEW_WORDS],
        decimals=1,
        nothing=NO_MESSAGES,
    )


def _in_time() -> stat.Panel:
    return figure(
        f"Within {WITHIN_SECONDS} s, last {_NOW}",
        f"Share of the messages of the last hour that arrived within {WITHIN_SECONDS} s. The objective is"
        f" {OBJECTIVE:.0%}.",
        Ask(in_time_share(ROUTED, _NOW)),
        unit=units.PercentUnit,
        levels=IN_TIME_LEVELS,
        words=[TOO_FEW_WORDS],
        decimals=1,
        nothing=NO_MESSAGES,
    )


def _half() -> stat.Panel:
    return _time(f"Half within, last {_NOW}", 0.5)


def _most() -> stat.Panel:
    return _time(f"Nine of ten within, last {_NOW}", 0.9)


def _time(title: str, share: float) -> stat.Panel:
    return figure(
        title,
        f"Of the messages of the last hour that were delivered. Orange above {WITHIN_SECONDS} s, red above 2 minutes.",
        Ask(quantile(share, ROUTED(LATENCY), _NOW)),
        unit=units.Seconds,
        levels=TIME_LEVELS,
        decimals=1,
        nothing=NO_MESSAGES,
    )


def _typed() -> stat.Panel:
    typed = ROUTED("twofa_verifications_total", 'result="converted"')
    return figure(
        f"Typed, last {_NOW}",
        "Share of the codes of the last hour that clients typed: the one proof that a code was of use. By country; the"
        " operator is not known. Orange below 70 %, red below 40 %.",
        Ask(share_of_enough(increase(typed, _NOW), increase(ROUTED("twofa_verifications_total"), _NOW))),
        unit=units.PercentUnit,
        levels=((0, BAD), (0.4, WARN), (0.7, GOOD)),
        words=[TOO_FEW_WORDS],
        decimals=1,
        nothing=("Not told", PLAIN),
    )


def _lost() -> stat.Panel:
    missing, sent = (ROUTED("twofa_messages_total", f'status="{status}"') for status in ("receipt_missing", "sent"))
    return figure(
        f"Without a receipt, last {_NOW}",
        "Messages that still have no receipt long after they were sent, as a share of those sent in the last hour:"
        " neither a success nor a failure. Orange above 5 %.",
        Ask(share_of_enough(increase(missing, _NOW), increase(sent, _NOW))),
        unit=units.PercentUnit,
        levels=((0, GOOD), (0.05, WARN)),
        words=[TOO_FEW_WORDS],
        decimals=1,
        nothing=NO_MESSAGES,
    )


def _funnel() -> bargauge.Panel:
    typed = ROUTED("twofa_verifications_total", 'result="converted"')
    return bar_gauge(
        "From accepted to typed",
        "Messages of this time by how far they came: accepted by the API, sent to the operator, delivered as the"
        " operator says, and codes that the client typed. Typed codes are known by country, not by operator.",
        *(
            Ask(increase(ROUTED("twofa_messages_total", f'status="{status}"'), _RANGE), status.capitalize())
            for status in ("accepted", "sent", "delivered")
        ),
        Ask(increase(typed, _RANGE), "Typed (all operators)"),
        unit=units.NoUnit,
    )


def _statuses() -> timeseries.Panel:
    ends = ROUTED("twofa_messages_total", 'status!~"accepted|sent"')
    return graph(
        "How messages ended",
        "Messages a minute that reached an end, by which. receipt_missing: sent long ago, and nothing is known.",
        Ask(moving(ends, "status"), "{{status}}"),
        unit=units.MessagesPerMinute,
        colours={
            "delivered": GOOD,
            "undelivered": BAD,
            "failed": "dark-red",
            "receipt_missing": UNKNOWN,
            "canceled": PLAIN,
        },
        stacked=True,
        step=SMOOTH,
        legend_values=("mean", "max"),
    )


def _typed_over_time() -> timeseries.Panel:
    told = ROUTED("twofa_verifications_total")
    typed = ROUTED("twofa_verifications_total", 'result="converted"')
    return graph(
        "Codes that clients type",
        f"Share of an hour's codes that were typed before they ran out, by country, where there are {FEWEST} or more."
        " Delivered and not typed, at one operator: receipts may be false.",
        Ask(
            f"{increase(typed, '1h', 'country')} / ({increase(told, '1h', 'country')} >= {FEWEST})"
            f" and {busiest(_MOST, told, 'country')}",
            "{{country}}",
        ),
        unit=units.PercentUnit,
        maximum=1,
        step="15m",
        legend_values=("mean", "min"),
    )


def _busiest(by: str) -> str:
    return busiest(_MOST, ROUTED("twofa_messages_total", 'status="delivered"'), by)


def _heat() -> heatmap.Panel:
    return heat(
        "Time to deliver",
        "How many messages took how long. A second band above the first is one operator that is slow.",
        Ask(increase(ROUTED(LATENCY), "$__rate_interval", "le"), "{{le}}"),
        unit=units.Seconds,
        step="10m",
    )


def _quantiles() -> timeseries.Panel:
    return graph(
        "Time to deliver",
        f"Within which time half, nine tenths and 99 of 100 delivered messages arrived. Dashed: {WITHIN_SECONDS} s.",
        *(
            Ask(quantile(share, ROUTED(LATENCY)), name)
            for share, name in ((0.5, "Half"), (0.9, "Nine of ten"), (0.99, "99 of 100"))
        ),
        unit=units.Seconds,
        levels=((0, GOOD), (WITHIN_SECONDS, WARN)),
        step=SMOOTH,
        legend_values=("mean", "max"),
    )


def _by_country() -> timeseries.Panel:
    return graph(
        "Nine of ten arrive within, by country",
        f"The {_MOST} countries with the most messages of this time.",
        Ask(
            f"{quantile(0.9, ROUTED(LATENCY), by='target, country')} >= 0 and {_busiest('target, country')}",
            "{{target}} {{country}}",
        ),
        unit=units.Seconds,
        step="15m",
        many=True,
        legend_values=("mean", "max"),
    )


def _by_operator() -> timeseries.Panel:
    return graph(
        "Nine of ten arrive within, by operator",
        f"The {_MOST} operators with the most messages of this time. The worst are in the table above.",
        Ask(f"{quantile(0.9, ROUTED(LATENCY), by=_ROUTE)} >= 0 and {_busiest(_ROUTE)}", "{{country}} {{operator}}"),
        unit=units.Seconds,
        step="15m",
        many=True,
        legend_values=("mean", "max"),
    )


def _operators() -> tables.Panel:
    failed = ROUTED("twofa_messages_total", 'status=~"undelivered|failed"')
    finished = f"{increase(ROUTED(*FINISHED), _NOW, _ROUTE)}"
    enough = f"({finished} >= {_FEWEST_OF_OPERATOR})"
    none = f"0 * {finished}"
    verdict = ROUTED("twofa_verdict", 'scope="operator"')
    return table(
        f"Operators in the last {_NOW}, the worst first",
        "Messages of the last hour by operator: the share that did not arrive, within which time nine tenths of the"
        f" others did, and what the detector says of the operator now. Shares are of {_FEWEST_OF_OPERATOR} messages or"
        " more, and few prove little: look at the verdict.",
        Ask(f"({increase(failed, _NOW, _ROUTE)} or {none}) / {enough}"),
        Ask(f"{finished} > 0"),
        Ask(f"({increase(ROUTED(*IN_TIME), _NOW, _ROUTE)} or {none}) / {enough}"),
        Ask(f"{quantile(0.9, ROUTED(LATENCY), _NOW, _ROUTE)} >= 0"),
        Ask(f"max by ({_ROUTE}, reason) ({verdict})"),
        columns=[
            Column("country", "Country", width=90),
            Column("operator", "Operator"),
            Column("target", "Target", width=120),
            Column(
                "Value #A",
                "Not delivered",
                unit=units.PercentUnit,
                levels=((0, GOOD), (0.1, WARN), (0.5, BAD)),
                width=130,
                decimals=1,
            ),
            Column("Value #B", "Messages", unit=units.NoUnit, width=110, decimals=0),
            Column(
                "Value #C",
                f"Within {WITHIN_SECONDS} s",
                unit=units.PercentUnit,
                levels=IN_TIME_LEVELS,
                width=120,
                decimals=1,
            ),
            Column("Value #D", "Nine of ten within", unit=units.Seconds, width=150, decimals=1),
            Column("reason", "Verdict", words=NAMED_REASON_WORDS, link=RUNBOOK_OF_CELL, width=330),
        ],
        sort="Not delivered",
        nothing="No messages",
    )


def _failures() -> timeseries.Panel:
    failures = ROUTED("twofa_message_failures_total")
    return graph(
        "Failures, by reason",
        "Messages a minute that were undelivered or failed, by what the provider's error code means. Click a line for"
        " its runbook.",
        Ask(moving(failures, "reason"), "{{reason}}"),
        unit=units.MessagesPerMinute,
        stacked=True,
        step=SMOOTH,
        link=RUNBOOK_OF_SERIES,
        legend_values=("mean", "max"),
    )


def _codes() -> tables.Panel:
    codes = f"{increase(ROUTED('twofa_message_error_codes_total'), _RANGE, 'target, code')} > 0"
    ours = ROUTED("twofa_provider_info", 'vendor="twilio"')  # whose codes we know
    explained = f'label_replace({codes} and on (target) {ours}, "meaning", "$1", "code", "([0-9]+)")'
    return table(
        "Error codes",
        "The provider's own error codes in this time, and what each means to us where the provider is Twilio. They are"
        " not counted by country or operator. Click a meaning for the vendor's page about the code.",
        Ask(f"{explained} or ({codes} unless on (target) {ours})"),
        columns=[
            Column("code", "Code", words=NO_CODE_WORDS, coloured=False, width=220),
            Column("meaning", "Meaning", words=code_words(), link=_CODE_PAGE, coloured=False),
            Column("target", "Target", width=110),
            Column("Value", "Messages", unit=units.NoUnit, width=100, decimals=0),
        ],
        sort="Messages",
        nothing="No errors in this time",
    )


def _burn() -> timeseries.Panel:
    windows = ("1h", "6h", "1d", "3d")
    errors = {name: ROUTED.recorded(f"target:twofa_delivery_errors:ratio_rate{name}") for name in windows}
    return graph(
        "How fast the error budget burns",
        "How many times faster than planned the budget is spent, over each window. At 1 it lasts exactly as long as it"
        " should. Alerts look at these windows. Of all countries: rules record no more.",
        *(
            Ask(f"{recorded} / on () group_left () (1 - twofa:delivery_objective:ratio)", f"{{{{target}}}}, {name}")
            for name, recorded in errors.items()
        ),
        unit=units.Short,
        levels=((0, GOOD), (1, WARN)),
        legend_values=("max", "lastNotNull"),
    )


def _missing() -> timeseries.Panel:
    missing = ROUTED("twofa_messages_total", 'status="receipt_missing"')
    return graph(
        "Receipts that do not come",
        "Messages a minute that were sent long ago without a receipt, by country.",
        Ask(f"{rate(missing, 'country')} * 60 and {busiest(_MOST, missing, 'country')}", "{{country}}"),
        unit=units.MessagesPerMinute,
        step="15m",
        legend_values=("mean", "max"),
    )


def _read_until() -> timeseries.Panel:
    return graph(
        "How old the newest of the log is",
        "Time since what the message log has been read up to. What is younger is not in any number here. The dashed"
        " line: 15 minutes, then an alert fires.",
        Ask(
            f"time() - max by (target) ({ROUTED('twofa_log_read_until_timestamp_seconds')})",
            "{{target}}",
        ),
        unit=units.Seconds,
        levels=((0, GOOD), (900, WARN)),
    )
