"""The answer of ``check``: what all runs say together, as JSON for programs and in Nagios' form.

The table for people is in ``terminal.py``: what draws it is costly to load.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Any, Final

from checks.kinds import KINDS
from checks.reason import Outcome
from checks.result import CheckRun


class ReportFormat(StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    NAGIOS = "nagios"


EXIT_CODES: Final = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.ERROR: 3}
"""Of the command line, by what it found; 2 is a usage or configuration error."""

# The plugin API's words and codes (https://www.monitoring-plugins.org/doc/guidelines.html, "Plugin
# Return Codes") differ from the codes above: there 1 is a warning and 2 is critical.
_OK, _WARNING, _CRITICAL, _UNKNOWN = ("OK", 0), ("WARNING", 1), ("CRITICAL", 2), ("UNKNOWN", 3)


def overall(runs: Sequence[CheckRun]) -> Outcome:
    """Return what all runs together say: a failure outweighs an error, an error outweighs a pass."""
    outcomes = {run.result.outcome for run in runs}
    return next((outcome for outcome in (Outcome.FAIL, Outcome.ERROR) if outcome in outcomes), Outcome.PASS)


def exit_code(runs: Sequence[CheckRun], format_: ReportFormat) -> int:
    """Return 0 all pass, 1 something failed, 3 could not find out; for Nagios the plugin API's code."""
    return _nagios(runs)[1] if format_ is ReportFormat.NAGIOS else EXIT_CODES[overall(runs)]


def _nagios(runs: Sequence[CheckRun]) -> tuple[str, int]:
    match overall(runs):
        case Outcome.PASS:
            return _OK
        case Outcome.ERROR:
            return _UNKNOWN
        case Outcome.FAIL:
            return _CRITICAL if any(KINDS[run.kind].stops_codes(run.result.reason) for run in runs) else _WARNING


def summary(runs: Sequence[CheckRun]) -> str:
    """Return one sentence on all runs."""
    bad = [run for run in runs if run.result.outcome is not Outcome.PASS]
    if not bad:
        return f"all {len(runs)} checks pass" if len(runs) != 1 else "the check passes"
    reasons = ", ".join(f"{run.check}: {run.result.reason}" for run in bad)
    return f"{len(bad)} of {len(runs)} checks do not pass ({reasons})"


def as_json(runs: Sequence[CheckRun]) -> str:
    """Return all runs as a JSON document."""
    document = {"outcome": overall(runs).value, "checks": [_entry(run) for run in runs]}
    return json.dumps(document, indent=2, ensure_ascii=False)


def _entry(run: CheckRun) -> dict[str, Any]:
    result = run.result
    row = result.reason.row
    return {
        "check": run.check,
        "kind": run.kind,
        "target": run.target,
        "outcome": result.outcome.value,
        "reason": result.reason.value,
        "title": row.title,
        "detail": result.detail,
        "owner": row.owner.value,
        "next_step": row.next_step,
        "finished_at": run.finished_at.isoformat(timespec="milliseconds"),
        "duration_seconds": round(run.duration_seconds, 3),
        "measured": [{"what": type(part).__name__, **asdict(part)} for part in result.measured],
    }


def as_nagios(runs: Sequence[CheckRun]) -> str:
    """Return the status line with perfdata, and one line for each check that did not pass."""
    word, _ = _nagios(runs)
    perfdata = " ".join(f"{run.check}={run.duration_seconds:.3f}s" for run in runs)
    lines = [f"TWOFA {word} - {summary(runs)} | {perfdata}"]
    lines += [
        f"{run.check}: {run.result.reason.row.title}: {run.result.detail}".replace("|", "/")
        for run in runs
        if run.result.outcome is not Outcome.PASS
    ]
    return "\n".join(lines)


def unknown_to_nagios(problems: Sequence[str]) -> str:
    """Return the status line for a configuration that cannot be used."""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"TWOFA UNKNOWN - {problems[0]}{more}".replace("|", "/")
