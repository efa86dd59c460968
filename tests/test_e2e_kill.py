"""kill -9 under a flood of callbacks: what was answered is there, and nothing is counted twice."""

from pathlib import Path

import pytest

from tests.flood import flood_and_kill


@pytest.mark.slow
@pytest.mark.e2e
def test_kills_under_a_flood_lose_nothing_that_was_answered_and_count_nothing_twice(tmp_path: Path) -> None:
    report = flood_and_kill(tmp_path, kills=5)
    assert report.acknowledged > 500
    assert report.missing == 0
    assert report.sent_again > 0
    assert report.replayed > 0
    assert report.rows == report.counted == report.acknowledged
