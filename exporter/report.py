"""The answer of ``check``: a table for people, JSON for programs, one line and perfdata for Nagios."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from checks.reason import Outcome
from checks.result import CheckRun, MessageLog


class ReportFormat(StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    NAGIOS = "nagios"


_EXIT_CODES: Final = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.ERROR: 3}

# The plugin API's words and codes (https://www.monitoring-plugins.org/doc/guidelines.html, "Plugin
# Return Codes"): there 1 is a warning and 2 is critical, so these differ from the codes above.
_NAGIOS: Final = {Outcome.PASS: ("OK", 0), Outcome.FAIL: ("CRITICAL", 2), Outcome.ERROR: ("UNKNOWN", 3)}

_STYLES: Final = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.ERROR: "bold yellow"}
_MARKS: Final = {Outcome.PASS: "✓ pass", Outcome.FAIL: "✗ fail", Outcome.ERROR: "? error"}


def overall(runs: Sequence[CheckRun]) -> Outcome:
    """Return what all runs together say: a failure outweighs an error, an error outweighs a pass."""
    outcomes = {run.result.outcome for run in runs}
    return next((outcome for outcome in (Outcome.FAIL, Outcome.ERROR) if outcome in outcomes), Outcome.PASS)


def exit_code(runs: Sequence[CheckRun], format_: ReportFormat) -> int:
    """Return 0 all pass, 1 something failed, 3 could not find out; for Nagios 0, 2 and 3."""
    outcome = overall(runs)
    return _NAGIOS[outcome][1] if format_ is ReportFormat.NAGIOS else _EXIT_CODES[outcome]


def table(runs: Sequence[CheckRun], *, title: str | None = None) -> Table:
    """Return a table with one row a check, and the next step under each that did not pass."""
    grid = Table(title=title, title_justify="left", expand=False, pad_edge=False, box=None, padding=(0, 2, 0, 0))
    for heading in ("CHECK", "TARGET", "OUTCOME", "REASON"):
        grid.add_column(heading, no_wrap=heading != "REASON", overflow="fold")
    grid.add_column("TOOK", justify="right", no_wrap=True)
    for run in runs:
        result = run.result
        grid.add_row(
            run.check,
            run.target,
            Text(_MARKS[result.outcome], style=_STYLES[result.outcome]),
            _words(run),
            f"{run.duration_seconds:.2f} s",
        )
    return grid


def _words(run: CheckRun) -> str:
    result = run.result
    if result.outcome is Outcome.PASS:
        return escape(result.detail)
    row = result.reason.row
    return "\n".join(
        (
            f"[bold]{row.title}[/bold] ({result.reason})",
            escape(result.detail),
            f"→ {escape(row.next_step)} [dim]({row.owner})[/dim]",
        )
    )


def summary(runs: Sequence[CheckRun]) -> str:
    """Return one sentence on all runs."""
    bad = [run for run in runs if run.result.outcome is not Outcome.PASS]
    if not bad:
        return f"all {len(runs)} checks pass" if len(runs) != 1 else "the check passes"
    reasons = ", ".join(f"{run.check}: {run.result.reason}" for run in bad)
    return f"{len(bad)} of {len(runs)} checks do not pass ({reasons})"


def write(runs: Sequence[CheckRun], format_: ReportFormat) -> None:
    """Print the report to standard output."""
    match format_:
        case ReportFormat.JSON:
            print(as_json(runs))
        case ReportFormat.NAGIOS:
            print(as_nagios(runs))
        case ReportFormat.TABLE:
            console = Console()
            console.print(table(runs))
            console.print()
            console.print(summary(runs), highlight=False, markup=False)


@contextmanager
def progress(total: int) -> Iterator[Callable[[CheckRun], None]]:
    """Show on standard error, when it is a terminal, how many checks have run; yields what to tell of each."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("checking", total=total)
        yield lambda run: bar.update(task, advance=1, description=f"checked {run.check}")


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
        "measured": [
            {"what": type(part).__name__, **asdict(part)}
            for part in result.measured
            if not isinstance(part, MessageLog)
        ],
    }


def as_nagios(runs: Sequence[CheckRun]) -> str:
    """Return the status line with perfdata, and one line for each check that did not pass."""
    word, _ = _NAGIOS[overall(runs)]
    perfdata = " ".join(f"{run.check}={run.duration_seconds:.3f}s" for run in runs)
    lines = [f"TWOFA {word} - {summary(runs)} | {perfdata}"]
    lines += [
        f"{run.check}: {run.result.reason.row.title}: {run.result.detail}".replace("|", "/")
        for run in runs
        if run.result.outcome is not Outcome.PASS
    ]
    return "\n".join(lines)
