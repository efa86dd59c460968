"""What is shown at the end of a run: how soon each fault of the sandbox paged."""

from typing import Any


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
