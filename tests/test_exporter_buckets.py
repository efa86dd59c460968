"""The buckets of delivery times: what goes in comes out, and a percentile can be read from them."""

import math
import subprocess
from itertools import accumulate
from pathlib import Path
from statistics import NormalDist

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.buckets import Buckets
from exporter.snapshot import LATENCY_BOUNDS
from tests.repo import require_program

NORMAL = NormalDist()
MESSAGES = 1_000_000  # of one distribution

times = st.lists(st.floats(0, 1e5))


@given(times, times)
def test_each_time_is_counted_once_in_the_first_bucket_that_holds_it(some: list[float], more: list[float]) -> None:
    buckets, others = Buckets(), Buckets()
    for seconds in some:
        buckets.observe(seconds)
    for seconds in more:
        others.observe(seconds)
    buckets.update(others)
    latency = buckets.latency()
    for bound, total in zip((*LATENCY_BOUNDS, math.inf), accumulate(latency.counts), strict=True):
        assert total == sum(seconds <= bound for seconds in some + more)
    assert latency.total_seconds == pytest.approx(sum(some) + sum(more))
    assert [total for _, total, _ in buckets.filled()] == [total for total in latency.counts if total]


def test_what_was_handed_out_does_not_change() -> None:
    buckets = Buckets()
    buckets.observe(3.0)
    before = buckets.latency()
    buckets.observe(3.0)
    assert (sum(before.counts), before.total_seconds) == (1, 3.0)


def test_the_objectives_of_the_rules_are_bounds() -> None:
    assert {30, 60, 300} <= set(LATENCY_BOUNDS)
    assert list(LATENCY_BOUNDS) == sorted(set(LATENCY_BOUNDS))


def test_prometheus_reads_the_99th_percentile_within_5_percent(tmp_path: Path) -> None:
    promtool = require_program("promtool")
    spreads = [(median, sigma) for median in (2, 3, 4, 6, 8, 12, 15) for sigma in (0.4, 0.6, 0.8, 1.0, 1.3, 1.6)]
    expected = {
        f"{median}-{sigma}": p99
        for median, sigma in spreads
        if 4 <= (p99 := median * math.exp(sigma * NORMAL.inv_cdf(0.99))) <= 600
    }
    assert len(expected) > 35
    series = []
    for median, sigma in spreads:
        for bound in (*LATENCY_BOUNDS, math.inf):
            total = round(MESSAGES * NORMAL.cdf(math.log(bound / median) / sigma))
            le = "+Inf" if bound == math.inf else str(float(bound))
            series.append({"series": f'x_bucket{{of="{median}-{sigma}",le="{le}"}}', "values": f"{total}"})
    within = [
        {
            "expr": f'abs(histogram_quantile(0.99, x_bucket{{of="{of}"}}) / {p99} - 1) < bool 0.05',
            "eval_time": "0",
            "exp_samples": [{"labels": f'{{of="{of}"}}', "value": 1}],
        }
        for of, p99 in expected.items()
    ]
    tests = tmp_path / "tests.yml"
    tests.write_text(
        yaml.safe_dump({"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": within}]})
    )
    done = subprocess.run([promtool, "test", "rules", tests], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
