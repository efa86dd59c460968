"""Is what the other dashboards show to be trusted? The exporter about itself."""

from dataclasses import replace
from functools import partial

from grafana_foundation_sdk.builders import stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models import units

from alerts.exporter_itself import exporter_alerts
from alerts.rule import Dashboard as Uid
from checks.reason import Reason

from .board import Board, Line, Section
from .causes import REASON_COLUMN, alerts
from .check_runs import durations, stale
from .panels import SMOOTH, Column, figure, graph, states, table
from .queries import Ask, Selectors, increase, moving, rate
from .urgency import URGENCY_WORDS, given, weighed
from .words import BAD, GOOD, LEADS_WORDS, NONE_WORDS, PASS_WORDS, SILENT, UNKNOWN, UP_WORDS, WARN, WORKS_WORDS

_SELECTORS = Selectors()
MOST_SCHEDULER_EVENTS = 3  # in 15 minutes, as the alert has it
_CHECK = "instance, check, kind, target"  # of two that do not agree both are shown
_LAST_RUN = _SELECTORS("twofa_check_last_run_timestamp_seconds")
_INTERVAL = _SELECTORS("twofa_check_interval_seconds")


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid=Uid.EXPORTER,
        title="2FA / Exporter",
        description="The exporter itself: does it run, does it see, and what does it take?",
        sections=[
            Section(
                "Is it alive?",
                [
                    Line(
                        4,
                        [
                            (4, _up()),
                            (4, stale(_SELECTORS)),
                            (4, _never()),
                            (4, _reload()),
                            (4, _left_out()),
                            (4, _loaded()),
                        ],
                    ),
                    Line(7, [(12, _build()), (12, _alerts())]),
                ],
            ),
            Section(
                "Checks",
                [
                    Line(12, [(24, _checks())]),
                    Line(8, [(6, _age()), (6, _runs()), (12, durations(_SELECTORS))]),
                ],
            ),
            Section(
                "What comes in, and goes out",
                [
                    Line(8, [(8, _callbacks()), (8, _forwards()), (8, _confirmations())]),
                    Line(8, [(8, _verifier_events()), (8, _diagnoses()), (8, _requests())]),
                ],
            ),
            Section(
                "What should not happen",
                [
                    Line(8, [(8, _scheduler()), (8, _storage()), (8, _collectors())]),
                    Line(8, [(12, _unmapped()), (12, _unreadable())]),
                ],
            ),
            Section(
                "What it takes",
                [
                    Line(8, [(8, _memory()), (8, _processor()), (8, _files())]),
                    Line(8, [(12, _scrape()), (12, _under_way())]),
                ],
            ),
        ],
    )


def _up() -> stat.Panel:
    return figure(
        "Scrape",
        "Whether Prometheus can scrape each exporter. Down: everything on these dashboards is old.",
        Ask(_SELECTORS("up"), "{{instance}}"),
        unit=units.NoUnit,
        levels=((0, BAD), (1, GOOD)),
        words=[UP_WORDS],
        nothing=("Prometheus knows no exporter", BAD),
        named=True,
    )


def _never() -> stat.Panel:
    configured = _SELECTORS("twofa_check_info")
    return figure(
        "Checks that never ran",
        "Checks of the configuration that have not ended a run since the exporter started. A minute after a start that"
        " is ordinary.",
        Ask(f"count({configured} unless {_LAST_RUN}) or 0 * count({configured})"),
        unit=units.NoUnit,
        levels=((0, GOOD), (1, WARN)),
        words=[NONE_WORDS],
        nothing=SILENT,
    )


def _reload() -> stat.Panel:
    return figure(
        "Configuration",
        "Whether the latest attempt to load the configuration succeeded. Failed: the one before is still in force.",
        Ask(f"min({_SELECTORS('twofa_exporter_config_last_reload_successful')})"),
        unit=units.NoUnit,
        levels=((0, BAD), (1, GOOD)),
        words=[WORKS_WORDS],
        nothing=SILENT,
    )


def _left_out() -> stat.Panel:
    collectors = _SELECTORS("twofa_exporter_collector_success")
    return figure(
        "Groups of metrics left out",
        "Groups of metrics that could not be built for the latest scrape: a defect of the exporter.",
        Ask(f"count({collectors} == 0) or 0 * count({collectors})"),
        unit=units.NoUnit,
        levels=((0, GOOD), (1, BAD)),
        words=[NONE_WORDS],
        nothing=SILENT,
    )


def _loaded() -> stat.Panel:
    loaded = _SELECTORS("twofa_exporter_config_last_reload_success_timestamp_seconds")
    return figure(
        "Configuration loaded",
        "When the configuration was last loaded successfully.",
        Ask(f"max({loaded}) * 1000"),
        unit=units.DateTimeFromNow,
        nothing=SILENT,
    )


def _build() -> tables.Panel:
    build = _SELECTORS("twofa_exporter_build_info")
    started = _SELECTORS("process_start_time_seconds")
    return table(
        "Versions",
        "The exporters that are scraped, their versions, when they started, and which of them run checks: of several"
        " that share a database one of each shard does.",
        Ask(f"max by (instance, version, python_version) ({build})"),
        Ask(f"max by (instance) ({started}) * 1000"),
        Ask(f"max by (instance) ({_SELECTORS('twofa_exporter_leader')})"),
        Ask(f"max by (instance, shard) ({_SELECTORS('twofa_exporter_shards')})"),
        columns=[
            Column("instance", "Instance"),
            Column("version", "Version", width=80),
            Column("python_version", "Python", width=80),
            Column("Value #B", "Started", unit=units.DateTimeFromNow, width=130),
            Column("Value #C", "Checks", words=LEADS_WORDS, coloured=False, width=80),
            Column("shard", "Shard", width=60),
            Column("Value #D", "of", width=50, decimals=0),
        ],
        nothing="No exporter is scraped",
    )


def _alerts() -> tables.Panel:
    names = "|".join(sorted({alert.name for alert in exporter_alerts()}))
    return alerts(_SELECTORS, f'alertname=~"{names}"')


def _checks() -> tables.Panel:
    urgency = weighed(f"{_CHECK}, reason", partial(given, _SELECTORS))
    passing = _SELECTORS("twofa_check_reason", f'reason="{Reason.OK}"')
    succeeded = _SELECTORS("twofa_check_last_success_timestamp_seconds")
    return table(
        "Checks",
        "Every check: what its latest run gave, when it ran and when it last passed. Click a reason for its runbook.",
        Ask(f"{urgency} or max by ({_CHECK}, reason) ({passing} == 1) * 0"),
        Ask(f"max by ({_CHECK}) ({_SELECTORS('twofa_check_success')})"),
        Ask(f"max by ({_CHECK}) ({_LAST_RUN}) * 1000"),
        Ask(f"max by ({_CHECK}) ({succeeded}) * 1000"),
        Ask(f"max by ({_CHECK}) ({_INTERVAL})"),
        Ask(f"max by ({_CHECK}) ({_SELECTORS('twofa_check_duration_seconds')})"),
        columns=[
            Column("Value #A", "Urgency", words=URGENCY_WORDS, width=140),
            Column("Value #B", "Run", words=PASS_WORDS, coloured=False, width=80),
            Column("check", "Check"),
            Column("kind", "Kind", width=130),
            Column("target", "Target", width=100),
            replace(REASON_COLUMN, width=320),
            Column("Value #C", "Last run", unit=units.DateTimeFromNow, width=140),
            Column("Value #D", "Last passed", unit=units.DateTimeFromNow, width=140),
            Column("Value #E", "Every", unit=units.Seconds, width=80),
            Column("Value #F", "Took", unit=units.Seconds, width=90, decimals=2),
            Column("instance", "Instance"),
        ],
        sort="Urgency",
        nothing="No check has run",
    )


def _age() -> timeseries.Panel:
    age = f"((time() - {_LAST_RUN}) / {_INTERVAL})"
    return graph(
        "How old results are, in intervals",
        "Time since the last run of the check that is latest, as a share of its interval. The most of 5 minutes. About"
        " 1 is healthy; above 3, the dashed line, an alert fires. The table above says which check it is.",
        Ask(f"max by (instance) (max_over_time({age}[5m:30s]))", "{{instance}}"),
        unit=units.Short,
        levels=((0, GOOD), (3, BAD)),
        legend_values=("max",),
    )


def _runs() -> timeseries.Panel:
    return graph(
        "Runs, by outcome",
        "Runs of checks a minute. fail: the answer is bad. error: there was none.",
        Ask(f"{rate(_SELECTORS('twofa_check_runs_total'), 'outcome')} * 60", "{{outcome}}"),
        unit=units.CountsPerMinute,
        stacked=True,
        colours={"pass": GOOD, "fail": BAD, "error": UNKNOWN},
        step=SMOOTH,
        legend_values=("mean", "max"),
    )


def _by_outcome(metric: str, title: str, description: str, unit: str = units.CountsPerMinute) -> timeseries.Panel:
    return graph(
        title,
        f"{description} A minute, by what came of it.",
        Ask(moving(_SELECTORS(metric), "target, outcome"), "{{target}} {{outcome}}"),
        unit=unit,
        step=SMOOTH,
        legend_values=("mean", "max"),
    )


def _callbacks() -> timeseries.Panel:
    return _by_outcome(
        "twofa_exporter_callbacks_total",
        "Status callbacks",
        "Posts to the public listener. bad_signature: a wrong token, a wrong public URL or a forger.",
    )


def _forwards() -> timeseries.Panel:
    return _by_outcome(
        "twofa_exporter_forwards_total",
        "Callbacks sent on",
        "Genuine callbacks that were sent on to the application.",
    )


def _confirmations() -> timeseries.Panel:
    return _by_outcome(
        "twofa_exporter_confirmations_total",
        "Confirmations",
        "Codes that the application told of.",
    )


def _verifier_events() -> timeseries.Panel:
    return _by_outcome(
        "twofa_exporter_verifier_events_total",
        "Verifier events",
        "TOTP attempts that the platform told of.",
    )


def _diagnoses() -> timeseries.Panel:
    asked = _SELECTORS("twofa_exporter_diagnoses_total")
    return graph(
        "Questions about a client",
        "Questions to diagnose, in 15 minutes, by what came of them.",
        Ask(increase(asked, "15m", "outcome"), "{{outcome}}"),
        unit=units.NoUnit,
        decimals=0,
        legend_values=("max", "lastNotNull"),
    )


def _requests() -> timeseries.Panel:
    return _by_outcome(
        "twofa_exporter_http_requests_total",
        "Requests to targets",
        "Requests to the APIs of targets.",
        units.RequestsPerMinute,
    )


def _counted(metric: str, by: str, window: str, title: str, description: str, *, limit: float = 1) -> timeseries.Panel:
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return graph(
        title,
        description,
        Ask(increase(_SELECTORS(metric), window, by), legend),
        unit=units.NoUnit,
        levels=((0, GOOD), (limit, WARN)),
        legend_values=("max", "lastNotNull"),
        decimals=0,
    )


def _scheduler() -> timeseries.Panel:
    return _counted(
        "twofa_exporter_scheduler_events_total",
        "event",
        "15m",
        "Scheduler events",
        "Runs that were missed or overlapped, defects of the scheduler, and jumps of the wall clock, in 15 minutes."
        f" A busy moment may bring one; above {MOST_SCHEDULER_EVENTS}, the dashed line, an alert fires.",
        limit=MOST_SCHEDULER_EVENTS,
    )


def _storage() -> timeseries.Panel:
    return _counted(
        "twofa_exporter_storage_errors_total",
        "instance",
        "15m",
        "Results that could not be written",
        "Writes to the database that failed, in 15 minutes. Above none: look for a full or read-only disk.",
    )


def _collectors() -> statetimeline.Panel:
    return states(
        "Groups of metrics",
        "Whether each group of metrics could be built for the scrape. Failed: its alerts cannot fire.",
        Ask(f"min by (collector) ({_SELECTORS('twofa_exporter_collector_success')})", "{{collector}}"),
        words=[WORKS_WORDS],
        nothing="No exporter is scraped",
    )


def _unmapped() -> timeseries.Panel:
    return _counted(
        "twofa_exporter_unmapped_codes_total",
        "target",
        "1h",
        "Error codes that have no reason yet",
        "Error codes in an hour that are in no table. The log names each once: map it in the configuration.",
    )


def _unreadable() -> timeseries.Panel:
    return _counted(
        "twofa_exporter_unreadable_messages_total",
        "target",
        "1h",
        "Messages that could not be understood",
        "Readings of the message log in an hour that were left out: the provider may have changed its API.",
    )


def _memory() -> timeseries.Panel:
    return graph(
        "Memory",
        "Resident memory of the process.",
        Ask(_SELECTORS("process_resident_memory_bytes"), "{{instance}}"),
        unit=units.BytesIEC,
    )


def _processor() -> timeseries.Panel:
    return graph(
        "Processor",
        "Share of one processor core that the process uses.",
        Ask(rate(_SELECTORS("process_cpu_seconds_total"), "instance"), "{{instance}}"),
        unit=units.PercentUnit,
    )


def _files() -> timeseries.Panel:
    return graph(
        "Open files",
        "File descriptors that the process holds, as a share of those that it may.",
        Ask(f"{_SELECTORS('process_open_fds')} / {_SELECTORS('process_max_fds')}", "{{instance}}"),
        unit=units.PercentUnit,
    )


def _scrape() -> timeseries.Panel:
    return graph(
        "Duration of a scrape",
        "How long Prometheus waited for the metrics.",
        Ask(_SELECTORS("scrape_duration_seconds"), "{{instance}}"),
        unit=units.Seconds,
    )


def _under_way() -> timeseries.Panel:
    return graph(
        "Runs under way",
        "Threads that are busy with runs of checks, as a share of those that can be. Near 100 %, runs begin late,"
        " and then are missed.",
        Ask(
            f"{rate(_SELECTORS('twofa_exporter_scheduler_busy_seconds_total'), 'instance')}"
            f" / max by (instance) ({_SELECTORS('twofa_exporter_scheduler_threads')})",
            "{{instance}}",
        ),
        unit=units.PercentUnit,
    )
