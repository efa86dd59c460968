"""Who watches the watchman: alerts about the exporter, and about the way from it to on-call."""

from collections.abc import Iterator

from checks.callbacks import CallbackOutcome
from checks.reason import Severity
from exporter.meters import SchedulerEvent
from exporter.shipped import JOB

from .rule import Alert, Dashboard

_REFUSED = tuple(
    outcome
    for outcome in CallbackOutcome
    if outcome not in {CallbackOutcome.ACCEPTED, CallbackOutcome.IGNORED, CallbackOutcome.UNKNOWN_TARGET}
)
"""Posts to a configured path that were not taken. Unknown paths are what scanners of the internet ask for."""


_SCRAPED = "and on (job, instance)\n(up == 1 unless on (job, instance) last_over_time(twofa_exporter_leader[5m]) == 0)"
"""What an exporter knew before it went down does not make it stale: TwoFAExporterDown says it. Nor what it knew before
another one went on from there."""

_SHARDS = "last_over_time(twofa_exporter_shards[5m])"


def exporter_alerts() -> Iterator[Alert]:
    """Yield the alerts about the exporter, the worst first."""
    yield Alert(
        name="TwoFAExporterDown",
        severity=Severity.CRITICAL,
        expression=f'max by (job) (up{{job="{JOB}"}}) == 0\nor\nabsent(up{{job="{JOB}"}})',
        for_="5m",
        summary="No 2FA exporter can be scraped.",
        description=(
            "Prometheus has scraped no target of the job {{ $labels.job }} for 5 minutes. Nobody would learn that codes"
            " do not arrive."
        ),
        dashboard=Dashboard.EXPORTER,  # of all instances: where the job has no target, there is none to show
    )
    yield Alert(
        name="TwoFAExporterDown",
        severity=Severity.WARNING,
        expression=f'up{{job="{JOB}"}} == 0\nand on (job)\nmax by (job) (up{{job="{JOB}"}}) == 1',
        for_="5m",
        summary="One of the 2FA exporters cannot be scraped.",
        description=(
            "Prometheus has not scraped {{ $labels.instance }} for 5 minutes. Another exporter of the job"
            " {{ $labels.job }} still answers."
        ),
        dashboard=Dashboard.EXPORTER,
        labels=("instance",),
    )
    yield Alert(
        name="TwoFANoLeader",
        severity=Severity.CRITICAL,
        expression=(
            f"max by (job, shard) (\n  {_SHARDS}\n  * on (job, instance) group_left ()\n"
            "  last_over_time(twofa_exporter_leader[5m])\n) == 0"
        ),
        for_="5m",
        summary="All 2FA exporters stand by, and none runs checks.",
        description=(
            "No exporter of the job {{ $labels.job }} has led shard {{ $labels.shard }} for 5 minutes: they cannot"
            " reach the database that they share, or cannot use it. Nobody would learn that codes do not arrive."
        ),
        dashboard=Dashboard.EXPORTER,
    )
    yield Alert(
        name="TwoFAShardMissing",
        severity=Severity.CRITICAL,
        expression=(
            f"sum by (job) (max by (job, shard) ({_SHARDS} > bool 0))\n< on (job)\nmax by (job) ({_SHARDS})\nor\n"
            f"max by (job) ({_SHARDS}) > on (job) min by (job) ({_SHARDS})"
        ),
        for_="10m",
        summary="Some targets of the 2FA exporters are looked at by nobody.",
        description=(
            "Fewer shards of the job {{ $labels.job }} are scraped than there are, or they do not agree how many there"
            " are. Of the targets of a missing shard nobody would learn that codes do not arrive."
        ),
        dashboard=Dashboard.EXPORTER,
    )
    check = "Check {{ $labels.check }} ({{ $labels.kind }}) on {{ $labels.target }}"
    yield Alert(
        name="TwoFACheckStale",
        severity=Severity.WARNING,
        expression=(
            "time() - last_over_time(twofa_check_last_run_timestamp_seconds[5m])\n"
            f"> 3 * last_over_time(twofa_check_interval_seconds[5m])\n{_SCRAPED}"
        ),
        for_="2m",
        summary="A 2FA check has stopped running.",
        description=(
            f"{check} last ran {{{{ $value | humanizeDuration }}}} ago, more than three of its intervals. What it shows"
            " is old."
        ),
        dashboard=Dashboard.EXPORTER,
        labels=("instance",),
    )
    yield Alert(
        name="TwoFACheckNeverRan",
        severity=Severity.WARNING,
        expression=(
            "last_over_time(twofa_check_interval_seconds[5m])\nunless\n"
            f"last_over_time(twofa_check_last_run_timestamp_seconds[5m])\n{_SCRAPED}"
        ),
        for_="15m",
        summary="A 2FA check has not run since the exporter started.",
        description=(
            f"{check} is configured, but {{{{ $labels.instance }}}} has not finished a single run of it for 15 minutes."
        ),
        dashboard=Dashboard.EXPORTER,
        labels=("instance",),
    )
    behind = "time() - last_over_time(twofa_log_read_until_timestamp_seconds[5m])"
    yield Alert(
        name="TwoFALogNotRead",
        severity=Severity.WARNING,
        expression=(
            f"{behind} > 900\nand on (job, instance, target)\n{behind}\n"
            "> on (job, instance, target) group_left ()\n"
            '3 * last_over_time(twofa_check_interval_seconds{kind="delivery"}[5m])\n'
            f"{_SCRAPED}"
        ),
        for_="5m",
        summary="The message log of a provider is not being read.",
        description=(
            "The messages of {{ $labels.target }} are known up to {{ $value | humanizeDuration }} ago only. A fault of"
            " delivery since then would be seen late."
        ),
        dashboard=Dashboard.EXPORTER,
        labels=("instance",),
    )
    yield Alert(
        name="TwoFACollectorFailing",
        severity=Severity.WARNING,
        expression="max_over_time(twofa_exporter_collector_success[5m]) == 0",
        for_="5m",
        summary="The 2FA exporter leaves metrics out.",
        description=(
            "{{ $labels.instance }} cannot build the metrics of {{ $labels.collector }}: a defect, its log has the"
            " traceback. Alerts on those metrics cannot fire."
        ),
        dashboard=Dashboard.EXPORTER,
        labels=("instance",),
    )
    posts = "sum by (job, instance, target) (increase(twofa_exporter_callbacks_total[15m]))"
    yield Alert(
        name="TwoFACallbacksRefused",
        severity=Severity.WARNING,
        expression=(
            "sum by (job, instance, target) "
            f'(increase(twofa_exporter_callbacks_total{{outcome=~"{"|".join(_REFUSED)}"}}[15m]))\n/\n'
            f"{posts} > 0.1\nand\n{posts} >= 10"
        ),
        for_="5m",
        summary="Status callbacks are refused.",
        description=(
            "{{ $labels.instance }} refuses {{ $value | humanizePercentage }} of the posts to the callback path of"
            " {{ $labels.target }}. A wrong signature is a wrong token or a wrong public URL, or somebody who forges."
        ),
        dashboard=Dashboard.EXPORTER,
        labels=("instance",),
    )
    yield Alert(
        name="TwoFAConfigReloadFailed",
        severity=Severity.WARNING,
        expression="max_over_time(twofa_exporter_config_last_reload_successful[5m]) == 0",
        for_="5m",
        summary="The 2FA exporter runs with an old configuration.",
        description=(
            "The last reload of {{ $labels.instance }} was refused, and the configuration before it is still in force."
            " Run twofa-exporter config check on the file: it says everything that is wrong."
        ),
        dashboard=Dashboard.EXPORTER,
        labels=("instance",),
    )
    yield Alert(
        name="TwoFASchedulerEvents",
        severity=Severity.WARNING,
        expression=f'increase(twofa_exporter_scheduler_events_total{{event!="{SchedulerEvent.CLOCK_JUMP}"}}[15m]) > 3',
        summary="The scheduler of the 2FA exporter skips or loses runs.",
        description=(
            "{{ $labels.instance }} has counted scheduler events of the kind {{ $labels.event }} in the last"
            " 15 minutes, more than three times. Checks take longer than their interval, or the machine has no time to"
            " run them."
        ),
        dashboard=Dashboard.EXPORTER,
        labels=("instance",),
    )
    yield Alert(
        name="TwoFAStorageErrors",
        severity=Severity.WARNING,
        expression="increase(twofa_exporter_storage_errors_total[15m]) > 0",
        summary="The 2FA exporter cannot write its database.",
        description=(
            "{{ $labels.instance }} keeps results in memory only: after a restart messages may be missing from its"
            " counts. Look for a full or read-only disk."
        ),
        dashboard=Dashboard.EXPORTER,
        labels=("instance",),
    )
    yield Alert(
        name="TwoFAMessagesUnreadable",
        severity=Severity.WARNING,
        expression="increase(twofa_exporter_unreadable_messages_total[1h]) > 0",
        summary="Entries of a message log cannot be understood.",
        description=(
            "Entries of the message log of {{ $labels.target }} were left out in the last hour: the provider may have"
            " changed its API. Counts are too low by them."
        ),
        dashboard=Dashboard.EXPORTER,
        labels=("instance",),
    )
    yield Alert(
        name="TwoFACodesUnmapped",
        severity=Severity.INFO,
        expression="increase(twofa_exporter_unmapped_codes_total[1d]) > 0",
        summary="A provider gives error codes that have no reason yet.",
        description=(
            "{{ $labels.target }} gave error codes in the last day that are in no table: they count as failures"
            " without a named cause. The log names each once; map it in the configuration or report it."
        ),
        dashboard=Dashboard.DELIVERY,
        labels=("target",),
    )


def watchdog() -> Alert:
    """Return the alert that always fires. It has no instance: it is about Prometheus and Alertmanager."""
    return Alert(
        name="TwoFAWatchdog",
        severity=Severity.INFO,
        expression="vector(1)",
        summary="The way from Prometheus to Alertmanager works.",
        description="This alert always fires. When it stops, alerts about 2FA no longer reach anybody.",
        dashboard=Dashboard.EXPORTER,
    )
