"""How long one run of every check takes from the command line, with a provider that answers at once."""

import tempfile
from pathlib import Path

from tests.bench.measure import COMMAND, Goals, interleaved_medians, sandbox, seconds_of

RUNS = 5
# 0: all passed; 1: some check did not, which takes no less time
ANSWERED = frozenset({0, 1})


def main() -> int:
    """Measure, print, and say by the exit code whether the goal was met."""
    goals = Goals()
    with tempfile.TemporaryDirectory(prefix="twofa-bench-") as folder, sandbox(Path(folder)) as config:
        (seconds,) = interleaved_medians(
            RUNS, lambda: seconds_of([COMMAND, "check", "--config.file", config], accepted=ANSWERED)
        )
    goals.report("check, all checks once", seconds, at_most=2, unit="s")
    return goals.exit_code()


if __name__ == "__main__":
    raise SystemExit(main())
