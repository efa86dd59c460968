"""What people see in a terminal: the table of checks and the progress of a run."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from checks.reason import Outcome
from checks.result import CheckRun

from .report import ReportFormat, as_json, as_nagios, summary

_WIDTH_WITHOUT_TERMINAL: Final = 200

_STYLES: Final = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.ERROR: "bold yellow"}
_MARKS: Final = {Outcome.PASS: "✓ pass", Outcome.FAIL: "✗ fail", Outcome.ERROR: "? error"}


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


def write(runs: Sequence[CheckRun], format_: ReportFormat) -> None:
    """Print the report to standard output."""
    match format_:
        case ReportFormat.JSON:
            print(as_json(runs))
        case ReportFormat.NAGIOS:
            print(as_nagios(runs))
        case ReportFormat.TABLE:
            console = console_for_stdout()
            console.print(table(runs))
            console.print()
            console.print(summary(runs), highlight=False, markup=False)


def console_for_stdout() -> Console:
    """Return a console as wide as the terminal, or wide enough for a log file to be searched line by line."""
    return Console() if sys.stdout.isatty() else Console(width=_WIDTH_WITHOUT_TERMINAL)


@contextmanager
def day_progress(days: int) -> Iterator[Callable[[int, int], None]]:
    """Show on standard error, when it is a terminal, how many days and messages of a log have been read."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=days)
        yield lambda complete, read: bar.update(task, completed=complete, description=f"{read} messages read")


@contextmanager
def progress(total: int) -> Iterator[Callable[[CheckRun], None]]:
    """Show on standard error, when it is a terminal, how many checks have run; yields what to tell of each."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("checking", total=total)
        yield lambda run: bar.update(task, advance=1, description=f"checked {run.check}")
