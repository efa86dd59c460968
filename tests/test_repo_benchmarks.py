"""What the benchmarks write down: each result beside its goal, on a page that says where it was measured."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.bench.measure import Goals
from tests.bench.report import Result, benchmarks, document, figure, record, row


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.0, "", "0"),
        (0.1666667, "x", "0.167 x"),
        (12.345, "ms", "12.3 ms"),
        (2.0, "s", "2 s"),
        (12345.6, "", "12,346"),
    ],
)
def test_figures_have_three_digits(value: float, unit: str, expected: str) -> None:
    assert figure(value, unit) == expected


def test_a_goal_that_is_missed_shows_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    monkeypatch.setenv("TWOFA_BENCH_RESULTS", str(results))
    goals = Goals()
    goals.report("fast | slow", 12.0, at_least=10, unit="x", ours="1 ms", peer="12 ms")
    assert goals.exit_code() == 0
    goals.report("memory", 81.0, at_most=80, unit="MB")
    goals.report("a figure", 3.0, unit="")
    goals.skip("the other", "it is not installed")
    assert (goals.exit_code(), goals.missed) == (1, ["memory"])
    assert "SKIPPED: it is not installed" in capsys.readouterr().out
    assert len(results.read_bytes().splitlines()) == 4


def test_the_page_says_what_was_measured_and_where() -> None:
    results = [
        Result(name="fast | slow", value=12.0, unit="x", goal=">= 10 x", ours="1 ms", peer="12 ms"),
        Result(name="memory", value=81.0, unit="MB", goal="<= 80 MB", met=False),
        Result(name="the other", skipped="it is not installed"),
    ]
    assert [row(result) for result in results] == [
        "| fast \\| slow | 1 ms | 12 ms | 12 x | >= 10 x | met |",
        "| memory |  |  | 81 MB | <= 80 MB | **missed** |",
        "| the other |  |  |  |  | skipped: it is not installed |",
    ]
    page = document(
        [("some", "What it is.", results, 1), ("broken", "Another.", [], 3)], datetime(2026, 11, 24, tzinfo=UTC), 0.5
    )
    assert "- Date: 2026-11-24" in page
    assert "prometheus-client" in page
    assert "## some\n\nWhat it is.\n\n`make bench ARGS=some`\n" in page
    assert all(row(result) in page for result in results)
    assert page.count("It ended with exit code") == 1


def test_nothing_is_kept_where_no_page_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWOFA_BENCH_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    record(Result(name="x"))
    assert list(tmp_path.iterdir()) == []


def test_each_benchmark_says_what_it_is() -> None:
    assert {"scrape", "histogram", "startup"} <= set(benchmarks())
    assert all(benchmarks().values())
