"""What is shown at the end of a run: how soon each fault of the sandbox paged; and a server that tests share."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Any]:
    """A real PostgreSQL (``tests.postgresql_server.Server``), in which each test makes a database of its own."""
    from tests.postgresql_server import run_server  # only where it is used

    with run_server() as server:
        yield server


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    rows = [
        value for report in reports if report.when == "call" for name, value in report.user_properties if name == "page"
    ]
    if not rows:
        return
    terminalreporter.section("fault, page, seconds to it and to its end, with time a hundred times as fast")
    for fault, page, to_page, to_end in rows:
        times = "".join(f"{'-' if seconds is None else f'{seconds:.1f}':>7}" for seconds in (to_page, to_end))
        terminalreporter.write_line(f"{fault:<26}{page:<62}{times}")
