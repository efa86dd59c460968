"""Codes of authenticator apps, the clocks on which they depend, and what second factors clients have."""

from grafana_foundation_sdk.builders import bargauge, stat, timeseries
from grafana_foundation_sdk.models import units

from alerts.rule import Dashboard as Uid
from checks.clock import ClockSettings
from checks.totp import STEP_SECONDS

from .board import Board, Line, Section
from .causes import answer
from .check_runs import durations
from .messages import TOO_FEW_WORDS, share_of_enough
from .panels import SMOOTH, bar_gauge, figure, graph
from .queries import Ask, Selectors, increase, moving, rate
from .words import BAD, GOOD, PLAIN, UNKNOWN, WARN, words

_SELECTORS = Selectors()
_MAX_OFFSET = float(ClockSettings.model_fields["max_offset"].default)
_ATTEMPTS = _SELECTORS("twofa_totp_attempts_total")
_REFUSED = _SELECTORS("twofa_totp_attempts_total", 'step="none"')


def board() -> Board:
    """Return the dashboard."""
    answers = [
        ("totp_login", "Sign-in with a right and a wrong code", "What the platform does with codes of our own secret."),
        ("verifier", "Codes of clients", "Whether the codes that clients type match the steps of a right clock."),
        ("clock", "Clocks", "Whether the clocks of this host and of the platform are right."),
    ]
    return Board(
        uid=Uid.TOTP,
        title="2FA / TOTP and clocks",
        description="Codes of authenticator apps, the clocks on which they depend, and clients' second factors.",
        sections=[
            Section(
                "Do right codes pass?",
                [
                    Line(
                        4,
                        [
                            *((5, answer(_SELECTORS, title, text, kind)) for kind, title, text in answers),
                            (3, _worst_offset()),
                            (3, _accepted_steps()),
                            (3, _refused()),
                        ],
                    )
                ],
            ),
            Section("Clocks", [Line(9, [(16, _offsets()), (8, _steps_over_time())])]),
            Section(
                "Attempts of clients",
                [Line(9, [(12, _attempts()), (6, _by_step()), (6, _refused_over_time())])],
            ),
            Section(
                "Second factors of clients", [Line(8, [(8, _methods()), (8, _without_phone()), (8, _phone_share())])]
            ),
            Section(
                "What the platform tells",
                [
                    Line(
                        8,
                        [
                            (12, _events()),
                            (12, durations(_SELECTORS, 'kind=~"totp_login|verifier|clock|client_readiness"')),
                        ],
                    )
                ],
            ),
        ],
    )


def _worst_offset() -> stat.Panel:
    return figure(
        "Clock furthest off",
        f"The largest offset of any clock from true time, to either side. Orange above {_MAX_OFFSET:g} s, the usual"
        f" limit of the clock check; red above {STEP_SECONDS // 2} s: then right codes are refused.",
        Ask(f"max(abs({_SELECTORS('twofa_clock_offset_seconds')}))"),
        unit=units.Seconds,
        levels=((0, GOOD), (_MAX_OFFSET, WARN), (STEP_SECONDS / 2, BAD)),
        decimals=1,
        nothing=("No clock is read", PLAIN),
    )


def _accepted_steps() -> stat.Panel:
    return figure(
        "Accepted steps",
        f"How many steps of {STEP_SECONDS} s off a code may be and still pass, to either side. 1 is what RFC 6238"
        " recommends. 0 refuses clients who type slowly; more than 2 makes guessing easier.",
        Ask(f"min({_SELECTORS('twofa_totp_accepted_steps')})"),
        unit=units.NoUnit,
        levels=((0, WARN), (1, GOOD), (3, WARN)),
        words=[words({"0": ("None", WARN)})],
        nothing=("Not tried", PLAIN),
    )


def _refused() -> stat.Panel:
    return figure(
        "Refused, last 15m",
        "Share of the attempts of clients in the last 15 minutes whose code matched no step. Some mistype: orange above"
        " 20 %, red above 50 %: then an alert fires.",
        Ask(share_of_enough(increase(_REFUSED, "15m"), increase(_ATTEMPTS, "15m"))),
        unit=units.PercentUnit,
        levels=((0, GOOD), (0.2, WARN), (0.5, BAD)),
        words=[TOO_FEW_WORDS],
        decimals=1,
        nothing=("Not told", PLAIN),
    )


def _offsets() -> timeseries.Panel:
    return graph(
        "Clock offsets",
        "How far each clock is ahead of true time (below 0: behind): of this host by NTP, of the platform by its"
        f" answers, of the verifier by the steps that codes matched. Dashed: {_MAX_OFFSET:g} s to either side.",
        Ask(f"max by (check, source) ({_SELECTORS('twofa_clock_offset_seconds')})", "{{source}} ({{check}})"),
        unit=units.Seconds,
        levels=((0, BAD), (-_MAX_OFFSET, BAD), (_MAX_OFFSET, BAD)),
        minimum=None,
        legend_values=("min", "max", "lastNotNull"),
    )


def _steps_over_time() -> timeseries.Panel:
    return graph(
        "Accepted steps",
        f"How many steps of {STEP_SECONDS} s off a code may be and still pass, as tried by the check.",
        Ask(f"min by (check, target) ({_SELECTORS('twofa_totp_accepted_steps')})", "{{target}} ({{check}})"),
        unit=units.NoUnit,
        decimals=0,
    )


def _attempts() -> timeseries.Panel:
    return graph(
        "Attempts, by the step that the code matched",
        "Attempts a minute. 0 is the server's own step, -1 the one before. All moved to one side: the server's clock is"
        " wrong. none: a wrong code. replayed: a code that was used before.",
        Ask(moving(_ATTEMPTS, "step"), "{{step}}"),
        unit=units.CountsPerMinute,
        colours={"0": GOOD, "-1": "light-green", "none": BAD, "replayed": UNKNOWN},
        stacked=True,
        step=SMOOTH,
        legend_values=("mean", "max"),
    )


def _by_step() -> bargauge.Panel:
    return bar_gauge(
        "Attempts in this time, by step",
        "Healthy is a mountain at 0 with most of the rest at -1: codes are typed a little late, never early.",
        Ask(f"{increase(_ATTEMPTS, '$__range', 'step')} > 0", "{{step}}"),
        unit=units.NoUnit,
        nothing="Nothing is told",
    )


def _refused_over_time() -> timeseries.Panel:
    return graph(
        "Share that matched no step",
        "Attempts whose code matched no step, as a share of all. Dashed: half, then an alert fires.",
        Ask(f"{rate(_REFUSED, 'target')} / {rate(_ATTEMPTS, 'target')}", "{{target}}"),
        unit=units.PercentUnit,
        levels=((0, GOOD), (0.5, BAD)),
        maximum=1,
        step="15m",
        legend_values=("mean", "max"),
    )


def _sampled(metric: str) -> str:
    return f"max by (target, methods) ({_SELECTORS(metric)})"


def _methods() -> bargauge.Panel:
    return bar_gauge(
        "Clients of the latest sample, by second factor",
        "What second factors the sampled clients have. none: an account that no second factor protects.",
        Ask(_sampled("twofa_clients_sampled"), "{{target}}: {{methods}}"),
        unit=units.NoUnit,
        nothing="No clients are sampled",
    )


def _without_phone() -> bargauge.Panel:
    return bar_gauge(
        "Without a confirmed phone",
        "Clients of the latest sample who have 2FA by SMS and no confirmed phone: they get no code.",
        Ask(f"{_sampled('twofa_clients_sampled_without_phone')} > 0", "{{target}}: {{methods}}"),
        unit=units.NoUnit,
        levels=((0, WARN),),
        nothing="All have one",
    )


def _phone_share() -> timeseries.Panel:
    by_sms = 'methods=~"sms|both"'
    without = _SELECTORS("twofa_clients_sampled_without_phone", by_sms)
    return graph(
        "Share without a confirmed phone",
        "Of the sampled clients who have 2FA by SMS, those without a confirmed phone.",
        Ask(
            f"sum by (target) ({without}) / sum by (target) ({_SELECTORS('twofa_clients_sampled', by_sms)})",
            "{{target}}",
        ),
        unit=units.PercentUnit,
        maximum=1,
    )


def _events() -> timeseries.Panel:
    told = _SELECTORS("twofa_exporter_verifier_events_total")
    return graph(
        "Attempts that were told, and requests that were refused",
        "What the platform posts to the exporter about TOTP attempts, a minute, by what came of it.",
        Ask(moving(told, "target, outcome"), "{{target}}: {{outcome}}"),
        unit=units.CountsPerMinute,
        step=SMOOTH,
        legend_values=("mean", "max"),
    )
