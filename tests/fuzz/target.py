"""What is fuzzed: a source of hostile examples, what has to hold for each, and the corpus of those worth keeping."""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import example as explicit
from hypothesis import strategies as st
from hypothesis.database import ExampleDatabase

from tests.repo import ROOT

CORPUS: Final = ROOT / "tests" / "fuzz" / "corpus"

Run = Callable[[Any], object]
"""Raises for an example that shows a defect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One surface that takes what comes from outside. An example is bytes, or a value of JSON."""

    name: str
    examples: st.SearchStrategy[Any]
    open: Callable[[], AbstractContextManager[Run]]
    suffix: str = ".json"  # of its files in the corpus: another one is for bytes


def corpus(name: str) -> list[Any]:
    """Return the examples that are kept of a target: good ones to start from, and those that once showed a defect."""
    return [_decode(path) for path in sorted((CORPUS / name).glob("*"))]


def keep(target: Target, found: Any) -> Path:
    """Add an example to the corpus; return its file."""
    content = found if isinstance(found, bytes) else json.dumps(found, indent=1).encode() + b"\n"
    path = CORPUS / target.name / f"found-{hashlib.sha256(content).hexdigest()[:12]}{target.suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _decode(path: Path) -> Any:
    content = path.read_bytes()
    return json.loads(content) if path.suffix == ".json" else content


class FoundError(AssertionError):
    """An example shows a defect; the cause is what it raised. ``example`` is the smallest that was found."""

    def __init__(self, target: Target, found: Any) -> None:
        super().__init__(f"{target.name}: {found!r}")
        self.example = found


def fuzz(
    target: Target,
    run: Run,
    *,
    examples: int,
    kept: Sequence[Any] = (),
    database: ExampleDatabase | None = None,
    derandomize: bool = False,
) -> None:
    """Run what is kept and then new examples. Raises FoundError."""
    failed: list[Any] = []

    def check(example: Any) -> None:
        try:
            run(example)
        except BaseException:
            failed[:] = [example]  # the last one to fail is the smallest
            raise

    test = given(target.examples)(check)
    for each in kept:
        test = explicit(each)(test)
    limited = settings(
        max_examples=examples,
        deadline=None,
        database=database,
        derandomize=derandomize,
        report_multiple_bugs=False,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=[phase for phase in Phase if phase is not Phase.explain],
    )
    try:
        limited(test)()
    except Exception as error:
        if not failed:  # the fault of the strategy
            raise
        raise FoundError(target, failed[0]) from error
