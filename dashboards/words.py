"""Values of labels and metrics in words and colours. Nothing is told by a colour alone."""

from collections.abc import Callable, Mapping
from typing import Final

from grafana_foundation_sdk.models.dashboard import (
    DashboardRegexMapOptions,
    DashboardSpecialValueMapOptions,
    RegexMap,
    SpecialValueMap,
    SpecialValueMatch,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

from alerts.objective import OBJECTIVE, WITHIN_SECONDS
from checks.messages.detector import NAMED
from checks.providers.twilio.codes import ERROR_CODES
from checks.reason import REASONS, Outcome, Reason, Severity
from checks.result import ServiceState

GOOD: Final = "green"
WARN: Final = "orange"
BAD: Final = "red"
UNKNOWN: Final = "purple"  # could not find out
PLAIN: Final = "blue"  # neither good nor bad

SEVERITY_COLOURS: Final[Mapping[Severity, str]] = {Severity.CRITICAL: BAD, Severity.WARNING: WARN, Severity.INFO: PLAIN}

SERVICE_STATES: Final[Mapping[ServiceState, str]] = {
    ServiceState.OPERATIONAL: GOOD,
    ServiceState.UNDER_MAINTENANCE: PLAIN,
    ServiceState.DEGRADED_PERFORMANCE: "yellow",
    ServiceState.PARTIAL_OUTAGE: WARN,
    ServiceState.MAJOR_OUTAGE: BAD,
}
"""The states of a part of a provider's service and their colours; a state's place here is its number in graphs."""


RUNWAY_PAGES_BELOW: Final = 6 * 3600  # seconds, as the alert has it
RUNWAY_LEVELS: Final = ((0, BAD), (RUNWAY_PAGES_BELOW, WARN), (3 * 86_400, GOOD))
DELIVERED_LEVELS: Final = ((0, BAD), (0.5, WARN), (0.9, GOOD))  # shares; an alert pages below the first
IN_TIME_LEVELS: Final = ((0, BAD), (0.5, WARN), (OBJECTIVE, GOOD))
TIME_LEVELS: Final = ((0, GOOD), (WITHIN_SECONDS, WARN), (120, BAD))  # seconds


Word = tuple[str, str]
"""A text and its colour."""

SILENT: Final[Word] = ("The exporter is silent", UNKNOWN)
NOT_KNOWN: Final[Word] = ("Not known", PLAIN)
NO_MESSAGES: Final[Word] = ("No messages", PLAIN)


def words(of: Mapping[str, Word]) -> ValueMapping:
    """Return the mapping of values to a text and a colour."""
    return ValueMap(
        {
            value: ValueMappingResult(text=text, color=colour, index=index)
            for index, (value, (text, colour)) in enumerate(of.items())
        }
    )


def no_number(word: Word) -> ValueMapping:
    """Return what stands where there is no value, or a share of nothing: else it had the colour of the lowest."""
    text, colour = word
    result = ValueMappingResult(text=text, color=colour, index=100)
    return SpecialValueMap(DashboardSpecialValueMapOptions(match=SpecialValueMatch.NULL_AND_NAN, result=result))


def matching(*rows: tuple[str, Word]) -> list[ValueMapping]:
    """Return the mappings of texts by regular expression, the first that matches."""
    return [
        RegexMap(DashboardRegexMapOptions(f"/^{pattern}$/", ValueMappingResult(text=text, color=colour, index=index)))
        for index, (pattern, (text, colour)) in enumerate(rows)
    ]


def reason_words(severity: Callable[[Reason], Severity]) -> ValueMapping:
    """Return the mapping of all reasons to their titles; the colour of a fault is that of its severity."""
    colours = {Outcome.PASS: GOOD, Outcome.ERROR: UNKNOWN}
    return words(
        {
            reason.value: (row.title, colours.get(reason.outcome) or SEVERITY_COLOURS[severity(reason)])
            for reason, row in REASONS.items()
        }
    )


def named_severity(reason: Reason) -> Severity:
    """Return how urgent it is that the detector names a reason; of one that it cannot name, its own severity."""
    naming = NAMED.get(reason)
    if naming is None:
        return reason.row.severity
    return Severity.CRITICAL if naming.pages else Severity.WARNING


REASON_TITLES: Final = words({reason.value: (row.title, PLAIN) for reason, row in REASONS.items()})
NAMED_REASON_WORDS: Final = reason_words(named_severity)

SEVERITY_WORDS: Final = words(
    {severity.value: (severity.value.capitalize(), colour) for severity, colour in SEVERITY_COLOURS.items()}
)

VERDICT_SEVERITY_WORDS: Final = words({"page": ("Page", BAD), "ticket": ("Ticket", WARN)})

SERVICE_STATE_WORDS: Final = words(
    {
        str(number): (state.value.replace("_", " ").capitalize(), colour)
        for number, (state, colour) in enumerate(SERVICE_STATES.items())
    }
)

PASS_WORDS: Final = words({"0": ("Fails", BAD), "1": ("Passes", GOOD)})
WORKS_WORDS: Final = words({"0": ("Failed", BAD), "1": ("Works", GOOD)})
ENABLED_WORDS: Final = words(
    {"0": ("Off", "light-blue"), "1": ("On", PLAIN), "2": ("None is on", BAD), "3": ("At least one is on", GOOD)}
)
"""A spare one may be off; 2 and 3 are of all of a back office."""
LEADS_WORDS: Final = words({"0": ("Stands by", PLAIN), "1": ("Runs", PLAIN)})
UP_WORDS: Final = words({"0": ("Down", BAD), "1": ("Up", GOOD)})
NONE_WORDS: Final = words({"0": ("None", GOOD)})


def code_words() -> ValueMapping:
    """Return what each of Twilio's error codes means to us; of a message, as its log reads them."""
    known = sorted(ERROR_CODES.items(), key=lambda each: each[0])
    return words({str(code): (_on_a_message(row.reason).row.title, PLAIN) for code, row in known})


NO_CODE_WORDS: Final = words(
    {"unknown": ("No code, or one in no table", PLAIN), "other": ("Codes beyond the first 100", PLAIN)}
)


def _on_a_message(reason: Reason) -> Reason:
    return Reason.DELIVERY_FAILING if reason is Reason.INTERNAL else reason
