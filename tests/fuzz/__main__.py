"""Fuzzes for a while: ``python -m tests.fuzz --minutes 10``, or the named targets alone.

Half of the time is for the targets in turn, the other for the property tests of the suite, with new examples each time.
An example that shows a defect is kept in the corpus, to be committed with what mends it, and the exit code is 1.
"""

import argparse
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Final

from hypothesis.database import DirectoryBasedExampleDatabase

from tests.fuzz.registry import TARGETS
from tests.fuzz.target import FoundError, Target, corpus, fuzz, keep
from tests.repo import ROOT

_AT_ONCE: Final = 100  # examples of a target, before it is the turn of the next
_PYTEST: Final = (sys.executable, "-m", "pytest", "-q", "-m", "hypothesis", "-p", "no:cacheprovider", "tests")


def fuzz_targets(targets: Mapping[str, Target], seconds: float) -> bool:
    """Fuzz targets in turn; return whether a defect was found. A target that shows one is left alone from then on."""
    until = time.monotonic() + seconds
    database = DirectoryBasedExampleDatabase(ROOT / ".hypothesis" / "fuzz")
    done, spent = dict.fromkeys(targets, 0), dict.fromkeys(targets, 0.0)
    failed: set[str] = set()
    with ExitStack() as stack:
        runs = {name: stack.enter_context(target.open()) for name, target in targets.items()}
        kept = {name: corpus(name) for name in targets}
        while time.monotonic() < until and failed != set(targets):
            name = min(targets.keys() - failed, key=lambda each: spent[each])
            began = time.monotonic()
            try:
                fuzz(targets[name], runs[name], examples=_AT_ONCE, kept=kept.pop(name, ()), database=database)
            except FoundError as found:
                failed.add(name)
                path = keep(targets[name], found.example)
                print(f"{name}: FOUND, kept as {path.relative_to(ROOT)}")
                traceback.print_exception(found.__cause__, limit=-6)
            done[name] += _AT_ONCE
            spent[name] += time.monotonic() - began
    for name in sorted(targets):
        print(f"{name}: {done[name]} examples in {spent[name]:.0f} s{', FOUND' * (name in failed)}", flush=True)
    return bool(failed)


def fuzz_properties(seconds: float) -> bool:
    """Run the property tests of the suite again and again; return whether one failed."""
    until = time.monotonic() + seconds
    inherited = {name: value for name, value in os.environ.items() if name != "CI"}  # there the examples are the same
    rounds = 0
    while time.monotonic() < until:
        if subprocess.run(_PYTEST, check=False, cwd=ROOT, env=inherited).returncode != 0:
            return True
        rounds += 1
    print(f"property tests: {rounds} rounds")
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    given = parser.parse_args(arguments)
    unknown = set(given.targets) - TARGETS.keys()
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    seconds = 60 * given.minutes
    if given.targets:
        return int(fuzz_targets({name: TARGETS[name] for name in given.targets}, seconds))
    found = [fuzz_targets(TARGETS, seconds / 2), fuzz_properties(seconds / 2)]
    return int(any(found))


if __name__ == "__main__":
    sys.exit(main())
