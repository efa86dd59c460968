"""How long a fault lasts before it pages, with the default intervals and the shipped rules: docs/time-to-page.md.

A check finds the fault at its next run, Prometheus sees that at its next scrape and its next evaluation, the alert
then has to hold for some evaluations, and Alertmanager waits once more. The three phases are independent and uniform.
Each is symmetric, so their sum is, and its median is its mean: half of the intervals.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from checks.kinds import KINDS
from exporter.sandbox.faults import FAULTS
from tests.bench.traffic import SIZES, Kind
from tests.fault_pages import PAGES, Page
from tests.repo import ROOT
from tests.test_e2e_prometheus import SEEN_BY, SEEN_BY_DEMO, SEEN_ONCE, SEEN_ONCE_AS

SCRAPE_SECONDS: Final = 15
EVALUATION_SECONDS: Final = 15
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

BENCH: Final = "python -m tests.bench.detect --seeds 7 --days 8 --runs 5"
MINUTES: Final[Mapping[Kind, tuple[float | None, ...]]] = {
    Kind.BLOCK: (8.2, 105.7, 69.9, 271.1),
    Kind.BLOCK_30: (23.5, 324.4, 186.7, None),
    Kind.SILENT: (4.1, 17.5, 87.1, 196.3),
    Kind.DELAY: (12.0, 99.3, 114.8, 512.5),
    Kind.NO_RECEIPTS: (2.4, 10.1, 84.2, 307.7),
    Kind.LYING: (7.5, 55.8, 149.9, 275.8),
    Kind.PUMPING: (4.9, 14.0, 9.4, 8.3),
    Kind.GEO_OFF: (3.6,),
    Kind.PROVIDER_30: (2.1,),
    Kind.PROVIDER_SLOW: (3.6,),
}
"""Median minutes until the detector names a fault, as ``BENCH`` printed them on 2026-11-24: by the size of the operator
in the order of ``SIZES``, or one for all. None: most runs ended without, after ten hours."""

DETECTED: Final[Mapping[str, Kind]] = {
    "delivery_failing": Kind.PROVIDER_30,  # of which twice as much fails: no later than that
    "delivery_slow": Kind.PROVIDER_SLOW,
    "provider_slow": Kind.PROVIDER_SLOW,
    "provider_partial_outage": Kind.PROVIDER_30,
    "country_not_permitted": Kind.GEO_OFF,
    "operator_blocking": Kind.BLOCK,
    "operator_blocking_partial": Kind.BLOCK_30,
    "operator_silent": Kind.SILENT,
    "operator_delay": Kind.DELAY,
    "receipts_missing": Kind.NO_RECEIPTS,
    "receipts_false": Kind.LYING,
    "sms_pumping": Kind.PUMPING,
}
"""Faults of the sandbox that the detector names, by what the bench calls them."""


_TRIED_EVERY: Final = {"wrong_code_accepted": "probe_interval"}
"""Settings that say how often a fault is looked for, where that is not in each run."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one fault. Seconds."""

    fault: str
    page: Page
    seen_by: str  # a kind of check
    interval: float
    holds: float
    waits: float  # Alertmanager, before the first notification

    @property
    def bound(self) -> float:
        """What the parts add up to, one of each, without Alertmanager."""
        return self.interval + SCRAPE_SECONDS + EVALUATION_SECONDS + self.holds

    @property
    def _fixed(self) -> float:
        return math.ceil(self.holds / EVALUATION_SECONDS) * EVALUATION_SECONDS + self.waits

    @property
    def median(self) -> float:
        """From the fault to the notification, in half of the cases at most."""
        return (self.interval + SCRAPE_SECONDS + EVALUATION_SECONDS) / 2 + self._fixed

    @property
    def worst(self) -> float:
        """From the fault to the notification at the most, when the next run finds it."""
        return self.interval + SCRAPE_SECONDS + EVALUATION_SECONDS + self._fixed


def seconds_of(duration: str) -> float:
    """Return the seconds of a duration of Prometheus with one unit."""
    return int(duration[:-1]) * _UNITS[duration[-1]]


def rows() -> Iterator[Row]:
    """Yield a row for each fault that a check finds by itself, in the order of the sandbox."""
    waits = _group_wait()
    for fault in FAULTS:
        page, check = PAGES[fault], _check_of(fault)
        if page is None or check is None:
            continue
        kind = check.replace("-", "_")
        interval = KINDS[kind].settings.model_fields[_TRIED_EVERY.get(fault, "interval")].default
        yield Row(fault, page, kind, interval, _holds(page), waits)


def _check_of(fault: str) -> str | None:
    """Return the check that finds a fault by itself, as the configuration of the demo names it."""
    if fault in DETECTED:
        return None
    if fault in SEEN_BY_DEMO:
        return "totp-login"
    return SEEN_ONCE_AS[fault][0] if fault in SEEN_ONCE_AS else (SEEN_BY | SEEN_ONCE).get(fault)


def _holds(page: Page) -> float:
    document = yaml.safe_load((ROOT / "alerts" / "twofa.rules.yml").read_text(encoding="utf-8"))
    rules: list[dict[str, Any]] = [rule for group in document["groups"] for rule in group["rules"]]
    (rule,) = (rule for rule in rules if rule.get("alert") == page.name and rule["labels"]["severity"] == page.severity)
    return seconds_of(rule.get("for", "0s"))


def _group_wait() -> float:
    text = (ROOT / "alerts" / "alertmanager.example.yml").read_text(encoding="utf-8")
    return seconds_of(str(yaml.safe_load(text)["route"]["group_wait"]))


def minutes(seconds: float) -> str:
    """Return seconds as minutes and seconds, such as 3:15; half a day and more in hours."""
    if seconds >= 86_400 / 2:
        return f"{seconds / 3600:.0f} h"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def document() -> str:
    """Return docs/time-to-page.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    wait = _group_wait()
    yield "# From a fault to a page"
    yield ""
    yield "Written by `make golden` from the default intervals of the checks, the `for` of the shipped rules and the"
    yield f"`group_wait` of `alerts/alertmanager.example.yml` ({wait:.0f} s), with a scrape and an evaluation every"
    yield f"{SCRAPE_SECONDS} s. Times are minutes:seconds; without the time that a check and the page take."
    yield ""
    yield "## Faults that the next run of a check finds"
    yield ""
    yield "The fault begins somewhere between two runs, the run lies somewhere between two scrapes, the scrape"
    yield "somewhere between two evaluations; `for` counts in whole evaluations. Median and worst are exact for these"
    yield "phases. The bound is interval + scrape + evaluation + `for`: what the settings promise without Alertmanager."
    yield "A page of a cause fires 15 minutes longer than the fault, so that symptoms that remember it do not page at"
    yield "its end."
    yield ""
    yield "| fault of the sandbox | alert | severity | seen by | interval | `for` | bound | median | worst |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in rows():
        times = (row.interval, row.holds, row.bound, row.median, row.worst)
        cells = (f"`{row.fault}`", f"`{row.page.name}`", row.page.severity, f"`{row.seen_by}`", *map(minutes, times))
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield "A second alert of a target that has paged already waits for `group_interval` instead, up to 5 minutes."
    yield "`no_traffic` begins to count when `no_traffic_after` is over. A wrong code is tried once a day. Clients"
    yield "without 2FA or phone are found by a sample: soon when all are without, hours later when few are."
    yield ""
    yield "## Faults that show in many messages"
    yield ""
    yield "The detector needs so many messages that chance does not explain them; how long they take to come depends"
    yield "on the operator and on the hour: some of these faults began at night. The minutes until it names the fault"
    yield "are medians of five simulated faults each, with 20,000 messages a day in 15 countries and the log read every"
    yield f"20 s: `{BENCH}`. [How it judges](messages.md)."
    yield "To them come a scrape, an evaluation, `for` and `group_wait`: at most the minutes in the last column."
    yield ""
    yield "| fault of the sandbox | alert | severity | above 1000 a day | to 1000 | to 200 | below 50 | to page |"
    yield "|---|---|---|---|---|---|---|---|"
    for fault, kind in DETECTED.items():
        page = PAGES[fault]
        assert page is not None
        shown = [_shown(value) for value in MINUTES[kind] * (len(SIZES) // len(MINUTES[kind]))]
        holds = math.ceil(_holds(page) / EVALUATION_SECONDS) * EVALUATION_SECONDS
        more = f"+ {minutes(SCRAPE_SECONDS + EVALUATION_SECONDS + holds + wait)}"
        yield f"| `{fault}` | `{page.name}` | {page.severity} | {' | '.join(shown)} | {more} |"
    yield ""
    yield "A fault of the provider or of a country is the same for all operators. -: not named within ten hours."


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} min"
