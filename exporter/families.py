"""Every metric's name, type, labels and help: the only place that holds them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class MetricType(StrEnum):
    """The types that we use, in OpenMetrics' words."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. ``name`` is the name of its samples as PromQL sees them (a histogram's without suffix)."""

    name: str
    type: MetricType
    labels: tuple[str, ...]
    help: str

    @property
    def described_name(self) -> str:
        """The family's name: a counter's samples end in ``_total``, its family does not."""
        return self.name.removesuffix("_total") if self.type is MetricType.COUNTER else self.name


_GAUGE, _COUNTER, _HISTOGRAM = MetricType.GAUGE, MetricType.COUNTER, MetricType.HISTOGRAM
_CHECK: Final = ("check", "kind", "target")
_ROUTE: Final = ("target", "country", "operator")
_NODE: Final = ("target", "scope", "country", "operator")

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {
        family.name: family
        for family in (
            Family("twofa_check_info", _GAUGE, _CHECK, "A configured check; always 1."),
            Family("twofa_check_interval_seconds", _GAUGE, _CHECK, "Configured time between runs of a check."),
            Family(
                "twofa_check_success",
                _GAUGE,
                _CHECK,
                "Whether the latest run of a check passed (1) or not (0). Absent until the first run.",
            ),
            Family(
                "twofa_check_reason",
                _GAUGE,
                (*_CHECK, "reason"),
                "Whether a reason is what the latest run of a check gave (1) or not (0); exactly one is 1."
                " Absent until the first run.",
            ),
            Family("twofa_check_runs_total", _COUNTER, (*_CHECK, "outcome"), "Runs of a check, by outcome."),
            Family("twofa_check_duration_seconds", _GAUGE, _CHECK, "How long the latest run of a check took."),
            Family(
                "twofa_check_last_run_timestamp_seconds",
                _GAUGE,
                _CHECK,
                "When the latest run of a check ended, in Unix time.",
            ),
            Family(
                "twofa_check_last_success_timestamp_seconds",
                _GAUGE,
                _CHECK,
                "When a run of a check last passed, in Unix time. Absent until one has.",
            ),
            Family("twofa_provider_info", _GAUGE, ("target", "vendor"), "A configured provider; always 1."),
            Family(
                "twofa_provider_balance",
                _GAUGE,
                ("target", "currency"),
                "Money in the provider account. Absent while it is not known.",
            ),
            Family(
                "twofa_provider_balance_runway_seconds",
                _GAUGE,
                ("target",),
                "Time until the provider account is empty at the present spend. Absent while it is not known.",
            ),
            Family(
                "twofa_provider_spend_total",
                _COUNTER,
                ("target", "currency"),
                "Money spent on the provider account since its beginning, by its usage records.",
            ),
            Family(
                "twofa_provider_service_state",
                _GAUGE,
                ("target", "component", "state"),
                "Whether the provider's status page gives a component this state (1) or not (0).",
            ),
            Family(
                "twofa_messages_total",
                _COUNTER,
                (*_ROUTE, "status"),
                "Messages that reached a status, each counted once for every status on its way: a delivered"
                " message was also accepted and sent. Delivered is what the operator claims; receipt_missing was sent"
                " long ago without a receipt, and is neither success nor failure.",
            ),
            Family(
                "twofa_message_failures_total",
                _COUNTER,
                (*_ROUTE, "reason"),
                "Messages that were undelivered or failed, by the reason that the provider's error code means.",
            ),
            Family(
                "twofa_message_error_codes_total",
                _COUNTER,
                ("target", "code"),
                "Messages that were undelivered or failed, by the provider's own error code; codes that are"
                ' not in the table count as "unknown", those beyond 100 different ones as "other".',
            ),
            Family(
                "twofa_message_delivery_seconds",
                _HISTOGRAM,
                (*_ROUTE, "source"),
                "Time from the creation of a message to its receipt of delivery, by who told of it first. log: the"
                " provider's log, whose times are whole seconds and whose last change may come after the receipt, an"
                " upper bound. callback: our own clock at the arrival of the status callback, the network's way"
                " included. event_stream: the provider's clock, in milliseconds. The operator's own time of delivery"
                " (RawDlrDoneDate) is not used: whole minutes, without a time zone.",
            ),
            Family(
                "twofa_verifications_total",
                _COUNTER,
                ("target", "country", "result"),
                "Codes by whether the client typed them (converted) or they ran out after ten minutes (unconverted), as"
                " the provider's verification attempts or the application itself tell.",
            ),
            Family(
                "twofa_log_read_until_timestamp_seconds",
                _GAUGE,
                ("target",),
                "Until when all messages of the provider's log are known, in Unix time: a few seconds ago, unless the"
                " log cannot be read or is still being read. Absent until this process has read it.",
            ),
            Family(
                "twofa_verdict",
                _GAUGE,
                (*_NODE, "reason", "severity"),
                "A fault of delivery that the detector names, at the scope where it is; 1 while it stands. Severity"
                " page: clients get no codes. ticket: receipts alone are missing.",
            ),
            Family(
                "twofa_evidence_score",
                _GAUGE,
                (*_NODE, "hypothesis"),
                "Points of log-likelihood that speak for a fault at an operator, in a country or of the provider. Above"
                " twofa_evidence_threshold chance does not explain them. They lose half of their weight in 12 hours.",
            ),
            Family(
                "twofa_evidence_gain_total",
                _COUNTER,
                (*_NODE, "hypothesis"),
                "Points that spoke for a fault. increase() of these less increase() of the losses over a window"
                " is a score that Prometheus computes itself.",
            ),
            Family(
                "twofa_evidence_loss_total",
                _COUNTER,
                (*_NODE, "hypothesis"),
                "Points that spoke against a fault, as a positive number.",
            ),
            Family(
                "twofa_evidence_threshold",
                _GAUGE,
                _NODE,
                "Points above which a score names a fault; from the number of messages of the node in 30 days. Absent"
                " until enough is known to judge.",
            ),
            Family(
                "twofa_baseline_ratio",
                _GAUGE,
                (*_NODE, "outcome"),
                "Ordinary share of an outcome among first messages to a recipient, learnt from the last 14 days."
                " Absent until it is known.",
            ),
            Family(
                "twofa_canary_runs_total",
                _COUNTER,
                ("check", "target", "reason"),
                "Test messages that were sent, by what came of them.",
            ),
            Family(
                "twofa_canary_spend_total",
                _COUNTER,
                ("check", "target", "currency"),
                "Money spent on test messages: the real price, or the configured one where none was told.",
            ),
            Family(
                "twofa_canary_delivery_seconds",
                _HISTOGRAM,
                ("check", "target", "leg"),
                "Time from the sending of a test message, by our own clock, until the API took it (accepted), until it"
                " was seen to be sent and delivered (asked for every few seconds), and until our handset had it.",
            ),
            Family(
                "twofa_sms_providers_usable",
                _GAUGE,
                (),
                "Providers that could deliver a code now: they answered a check themselves, and no check gives a"
                " reason that stops codes. Absent while none is known to and one that is asked has not answered yet.",
            ),
            Family(
                "twofa_sms_routes",
                _GAUGE,
                ("country", "state"),
                "Configured providers for a country, by whether they can deliver a code there now: usable, unusable, or"
                " unknown where no check that asks has run; one that no check asks is not counted while others are."
                ' "other" is every country without a route or a fault of its'
                " own.",
            ),
            Family(
                "twofa_sms_route_fault",
                _GAUGE,
                ("country", "target", "reason"),
                "Why a provider cannot deliver a code to a country that it is configured for; 1 while it is so.",
            ),
            Family("twofa_backoffice_info", _GAUGE, ("target", "vendor"), "A configured back office; always 1."),
            Family(
                "twofa_backoffice_provider_enabled",
                _GAUGE,
                ("target", "provider"),
                "Whether the back office has an SMS provider on (1) or off (0), by the back office's own name.",
            ),
            Family(
                "twofa_clients_sampled",
                _GAUGE,
                ("target", "methods"),
                "Clients of the latest sample, by the second factors that they have; unknown where nothing is told."
                " Those by SMS whose phone cannot be read are left out.",
            ),
            Family(
                "twofa_clients_sampled_without_phone",
                _GAUGE,
                ("target", "methods"),
                "Clients of the latest sample who have 2FA by SMS and no confirmed phone, by the second factors that"
                " they have.",
            ),
            Family(
                "twofa_clock_offset_seconds",
                _GAUGE,
                ("check", "source"),
                "How far a clock is ahead of true time; negative when it is behind. By NTP for this host, by the Date"
                " header of its answers for the platform, and by the steps that codes matched for the verifier.",
            ),
            Family(
                "twofa_totp_accepted_steps",
                _GAUGE,
                ("check", "target"),
                "How many steps of 30 s off a code may be and still pass. Absent until both sides were tried.",
            ),
            Family(
                "twofa_totp_attempts_total",
                _COUNTER,
                ("target", "step"),
                "Attempts to sign in by an authenticator app that the platform told of, by the step that the code"
                " matched: 0 is the server's own, -1 the one before, none is a wrong code, replayed a used one.",
            ),
            Family("twofa_exporter_build_info", _GAUGE, ("version", "python_version"), "This exporter; always 1."),
            Family(
                "twofa_exporter_leader",
                _GAUGE,
                (),
                "Whether checks run here (1), or this exporter stands by and another one leads (0). One that stands by"
                " has no metrics but those about itself.",
            ),
            Family(
                "twofa_exporter_shards",
                _GAUGE,
                ("shard",),
                "How many shards the targets are dealt out to; the label is the number of this exporter's, from 0.",
            ),
            Family(
                "twofa_exporter_config_last_reload_successful",
                _GAUGE,
                (),
                "Whether the latest attempt to load the configuration succeeded (1) or not (0).",
            ),
            Family(
                "twofa_exporter_config_last_reload_success_timestamp_seconds",
                _GAUGE,
                (),
                "When the configuration was last loaded successfully, in Unix time.",
            ),
            Family(
                "twofa_exporter_scheduler_events_total",
                _COUNTER,
                ("event",),
                "Runs that were missed, overlapped or broke the scheduler, and jumps of the wall clock.",
            ),
            Family(
                "twofa_exporter_scheduler_threads",
                _GAUGE,
                (),
                "Most runs of checks that can be under way at once; more have to wait.",
            ),
            Family(
                "twofa_exporter_scheduler_busy_seconds_total",
                _COUNTER,
                (),
                "Time that runs of checks took, added up: its rate is how many are under way.",
            ),
            Family(
                "twofa_exporter_storage_errors_total",
                _COUNTER,
                (),
                "Results that could not be written to the database.",
            ),
            Family(
                "twofa_exporter_unmapped_codes_total",
                _COUNTER,
                ("target",),
                "Error codes of a provider that are not in our table: each deserves a row there.",
            ),
            Family(
                "twofa_exporter_unreadable_messages_total",
                _COUNTER,
                ("target",),
                "Readings of a message in a provider's log that could not be understood and were left out.",
            ),
            Family(
                "twofa_exporter_callbacks_total",
                _COUNTER,
                ("target", "outcome"),
                "Posts to the public listener, by what came of them. Accepted: its receipts are in the database.",
            ),
            Family(
                "twofa_exporter_forwards_total",
                _COUNTER,
                ("target", "outcome"),
                "Genuine callbacks that were sent on to the application, by what came of them.",
            ),
            Family(
                "twofa_exporter_confirmations_total",
                _COUNTER,
                ("target", "outcome"),
                "Codes that the application told of, and requests to tell that were refused, by what came of them.",
            ),
            Family(
                "twofa_exporter_verifier_events_total",
                _COUNTER,
                ("target", "outcome"),
                "TOTP attempts that the platform told of, and requests that were refused, by what came of them.",
            ),
            Family(
                "twofa_exporter_diagnoses_total",
                _COUNTER,
                ("outcome",),
                "Questions about a client, by what came of them.",
            ),
            Family(
                "twofa_exporter_http_requests_total",
                _COUNTER,
                ("target", "outcome"),
                "Requests to a target's API, by what came of them.",
            ),
            Family(
                "twofa_exporter_collector_success",
                _GAUGE,
                ("collector",),
                "Whether a group of metrics could be built for this scrape (1) or was left out (0).",
            ),
        )
    }
)
