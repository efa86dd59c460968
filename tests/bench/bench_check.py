"""How long one run of a provider's checks takes from the command line, with a provider that answers at once."""

import tempfile
from pathlib import Path

from tests.bench.measure import COMMAND, Goals, interleaved_medians, sandbox, seconds_of

RUNS = 5
# 0: all passed; 1: some check did not, which takes no less time
ANSWERED = frozenset({0, 1})
# clock is not among them: it waits for another clock to tick
CHECKS = ("credentials", "account", "balance", "senders", "service-status", "delivery", "conversion", "enablement")


def main() -> int:
    """Measure, print, and say by the exit code whether the goal was met."""
    goals = Goals()
    with tempfile.TemporaryDirectory(prefix="twofa-bench-") as folder, sandbox(Path(folder)) as config:
        (seconds,) = interleaved_medians(
            RUNS, lambda: seconds_of([COMMAND, "check", *CHECKS, "--config.file", config], accepted=ANSWERED)
        )
    goals.report("check, eight checks once", seconds, at_most=2, unit="s")
    return goals.exit_code()


if __name__ == "__main__":
    raise SystemExit(main())
