"""The fast way to write metrics: to the byte what the library writes of them, and one rendering for many scrapers."""

import asyncio
import gzip
import math
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest as library_text
from prometheus_client.openmetrics.exposition import generate_latest as library_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from exporter.families import FAMILIES, Family, MetricType
from exporter.metrics import Samples, Series
from exporter.snapshot import LATENCY_BOUNDS, Latency
from exporter.web import rendering
from exporter.web.exposition import OPENMETRICS, TEXT, Scrapes
from exporter.web.rendering import Renderer
from tests.repo import require_program

BOUNDS: Final = (0.25, 1, 30, 2.5e6)

# ---- the same as the library


@dataclass(eq=False)
class Held(Collector):
    """A collector of what it was given."""

    metrics: Sequence[Metric] = field(default_factory=list)

    def collect(self) -> Sequence[Metric]:
        return self.metrics


label_names = st.lists(st.from_regex(r"[a-km-z_][a-zA-Z0-9]{0,6}", fullmatch=True), max_size=4, unique=True)
texts = st.text(max_size=12) | st.text(alphabet='\\"\n%s{},= é😀', max_size=8)
helps = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r"), max_size=20).map(
    lambda text: f"H{text}."
)
special = st.sampled_from([0.0, -0.0, 1.0, 999999.0, 1e6, 1234567.5, 1e15, 1e16, 1e21, 1e-5, 5e-324, math.pi, 2.0**63])
numbers = special | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**9), 10**9).map(float)
gauges = numbers | st.sampled_from([math.nan, math.inf, -math.inf])
counts = st.lists(st.integers(0, 3) | st.integers(0, 10**7), min_size=len(BOUNDS) + 1, max_size=len(BOUNDS) + 1)
latencies = st.builds(Latency, counts.map(tuple), st.floats(0, 1e9))


@st.composite
def families(draw: st.DrawFn, number: int) -> Family:
    type_ = draw(st.sampled_from(list(MetricType)))
    name = f"twofa_{draw(st.sampled_from(['some', 'other']))}_{number}" + "_total" * (type_ is MetricType.COUNTER)
    return Family(name, type_, tuple(draw(label_names)), draw(helps))


def filled(draw: st.DrawFn, family: Family, several: Sequence[tuple[str, ...]]) -> Series:
    series = Series(family, BOUNDS)
    series.labels.extend(several)
    for _ in several:
        match family.type:
            case MetricType.GAUGE:
                series.values.append(draw(gauges))
            case MetricType.COUNTER:
                series.values.append(abs(draw(numbers)))
            case MetricType.HISTOGRAM:
                series.latencies.append(draw(latencies))
    return series


@st.composite
def two_scrapes(draw: st.DrawFn) -> tuple[list[Series], list[Series]]:
    """What a registry holds at two scrapes: series stay with other values, come and go."""
    first, second = [], []
    for number in range(draw(st.integers(1, 4))):
        family = draw(families(number))
        known = draw(st.lists(st.tuples(*(texts for _ in family.labels)), min_size=1, max_size=5, unique=True))
        first.append(filled(draw, family, known))
        again = draw(st.lists(st.sampled_from(known), unique=True, min_size=1))
        new = draw(st.lists(st.tuples(*(texts for _ in family.labels)), max_size=2, unique=True))
        second.append(filled(draw, family, list(dict.fromkeys([*again, *new]))))
    return first, second


def registry_of(series: Sequence[Metric]) -> CollectorRegistry:
    """Ours between metrics of the library."""
    registry = CollectorRegistry()
    Gauge("a_gauge", 'Of the "library".', ["label"], registry=registry).labels("\n").set(2)
    registry.register(Held(series))
    Counter("z_counter", "Of the \\ library.", registry=registry).inc()
    return registry


def values(families_: Iterable[Metric]) -> dict[tuple[object, ...], str]:
    """The value of each series as text, by which NaN equals NaN, in order."""
    return {
        (one.name, one.type, one.documentation, sample.name, *sorted(sample.labels.items())): repr(float(sample.value))
        for one in families_
        for sample in one.samples
    }


def with_decimals(body: bytes) -> str:
    """The counts of histograms, which we write as whole numbers, as the library writes them."""

    def of_library(count: re.Match[str]) -> str:
        return str(floatToGoString(count[0]))

    return re.sub(r"(?m)(?<= )\d+$", of_library, body.decode())


@given(two_scrapes())
@settings(max_examples=80, deadline=None)
def test_the_body_is_that_of_the_library_and_parses_to_the_same(
    scrapes: tuple[list[Series], list[Series]],
) -> None:
    renderer = Renderer()
    for series in scrapes:
        registry = registry_of(series)
        text, openmetrics = renderer.text(registry), renderer.openmetrics(registry)
        assert with_decimals(text) == library_text(registry).decode()
        assert with_decimals(openmetrics) == library_openmetrics(registry).decode()
        assert values(parse_text(text.decode())) == values(parse_text(library_text(registry).decode()))
        assert values(parse_openmetrics(openmetrics.decode())) == values(registry.collect())


@given(two_scrapes())
@settings(max_examples=10, deadline=None)
def test_promtool_reads_it(scrapes: tuple[list[Series], list[Series]]) -> None:
    promtool = require_program("promtool")
    text = Renderer().text(registry_of(scrapes[0]))
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert done.returncode in {0, 3}, done.stderr  # 3: it could read them, and finds fault with random names


def verdicts(count: int, value: float = 1.0) -> Series:
    samples = Samples()
    for number in range(count):
        place = {"target": "twilio", "scope": "operator", "country": "DE", "operator": f"O{number}"}
        samples.add("twofa_verdict", value, reason="delivery_failing", severity="page", **place)
    (series,) = samples.metrics()
    return series


@pytest.mark.parametrize("count", [1, 499, 500, 501, 1100])
def test_no_series_is_lost_between_the_pieces(count: int) -> None:
    registry = Held([verdicts(count)])
    assert Renderer().text(registry) == library_text(registry)


def histograms(count: int) -> Series:
    samples = Samples()
    for number in range(count):
        of_route = {"target": "twilio", "country": "DE", "operator": f"O{number}", "source": "log"}
        counts = tuple(range(number, number + len(LATENCY_BOUNDS) + 1))
        samples.add_histogram("twofa_message_delivery_seconds", Latency(counts, 0.5 * number), **of_route)
    (series,) = samples.metrics()
    return series


@pytest.mark.parametrize("count", [1, 14, 15, 16, 120])
def test_no_histogram_is_lost_between_the_pieces(count: int) -> None:
    registry = Held([histograms(count)])
    assert with_decimals(Renderer().openmetrics(registry)) == library_openmetrics(registry).decode()


def test_what_is_gone_is_forgotten() -> None:
    renderer = Renderer()
    renderer.text(Held([verdicts(5000)]))
    few = Held([verdicts(10)])
    assert renderer.text(few) == library_text(few)
    assert sum(len(lines) for lines in renderer._heads.values()) == 10


def test_the_lines_of_the_scrape_before_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = Renderer()
    renderer.text(Held([verdicts(10), histograms(10)]))

    def never(*_: object) -> str:
        raise AssertionError("written anew")

    monkeypatch.setattr(rendering, "_series", never)
    again = Held([verdicts(10, 2.0), histograms(10)])
    assert with_decimals(renderer.openmetrics(again)) == library_openmetrics(again).decode()


def test_every_family_of_the_table_can_be_written() -> None:
    for family in FAMILIES.values():
        series = Series(family)
        series.labels.append(tuple("x" for _ in family.labels))
        series.values.append(1.0)
        series.latencies.append(Latency())
        registry = Held([series])
        assert with_decimals(Renderer().text(registry)) == library_text(registry).decode()
        assert with_decimals(Renderer().openmetrics(registry)) == library_openmetrics(registry).decode()


# ---- one rendering for many


class Counted(Collector):
    """A collector that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def collect(self) -> Iterator[Metric]:
        self.asked += 1
        yield verdicts(3, self.asked)


class Gate:
    """Does work once it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def run(self, work: Callable[[], bytes]) -> bytes:
        await self.open.wait()
        return work()


def counted() -> tuple[Counted, CollectorRegistry]:
    registry, counting = CollectorRegistry(), Counted()
    registry.register(counting)
    counting.asked = 0  # registering asks, too
    return counting, registry


def test_scrapers_at_once_share_one_body_and_one_gzip() -> None:
    async def scenario() -> None:
        counting, registry = counted()
        gate = Gate()
        scrapes = Scrapes(registry, gate.run)
        asked = [asyncio.create_task(scrapes.body(OPENMETRICS, (), gzipped=gzipped)) for gzipped in (True, False) * 4]
        await asyncio.sleep(0)
        gate.open.set()
        bodies = await asyncio.gather(*asked)
        assert counting.asked == 1
        assert bodies[1] == library_openmetrics(Held([verdicts(3, 1)]))
        assert gzip.decompress(bodies[0]) == bodies[1]
        assert all(body is bodies[index % 2] for index, body in enumerate(bodies))

    asyncio.run(scenario())


def test_a_scrape_after_the_last_one_gets_a_body_of_its_own() -> None:
    async def scenario() -> None:
        counting, registry = counted()
        gate = Gate()
        gate.open.set()
        scrapes = Scrapes(registry, gate.run)
        first = await scrapes.body(TEXT, (), gzipped=False)
        second = await scrapes.body(TEXT, (), gzipped=False)
        assert counting.asked == 2
        assert first != second

    asyncio.run(scenario())


def test_those_who_ask_for_something_else_get_that() -> None:
    async def scenario() -> None:
        _, registry = counted()
        gate = Gate()
        scrapes = Scrapes(registry, gate.run)
        asked = [
            asyncio.create_task(scrapes.body(format_, names, gzipped=False))
            for format_ in (TEXT, OPENMETRICS)
            for names in ((), ("no_such",))
        ]
        await asyncio.sleep(0)
        gate.open.set()
        text, no_text, openmetrics, no_openmetrics = await asyncio.gather(*asked)
        assert (no_text, no_openmetrics) == (b"", b"# EOF\n")
        assert openmetrics.endswith(b"# EOF\n")
        assert b"# EOF" not in text

    asyncio.run(scenario())


def test_a_scraper_that_goes_away_leaves_the_others_theirs() -> None:
    async def scenario() -> None:
        counting, registry = counted()
        gate = Gate()
        scrapes = Scrapes(registry, gate.run)
        first = asyncio.create_task(scrapes.body(TEXT, (), gzipped=True))
        await asyncio.sleep(0)
        second = asyncio.create_task(scrapes.body(TEXT, (), gzipped=True))
        await asyncio.sleep(0)
        first.cancel()
        gate.open.set()
        assert gzip.decompress(await second) == library_text(Held([verdicts(3, 1)]))
        assert counting.asked == 1

    asyncio.run(scenario())


def test_a_defect_reaches_each_scraper_and_not_the_next() -> None:
    async def scenario() -> None:
        _, registry = counted()
        works = iter([False, True])

        async def run(work: Callable[[], bytes]) -> bytes:
            await asyncio.sleep(0)
            if next(works):
                return work()
            raise RuntimeError("a defect")

        scrapes = Scrapes(registry, run)
        both = await asyncio.gather(*(scrapes.body(TEXT, (), gzipped=False) for _ in range(2)), return_exceptions=True)
        assert [str(each) for each in both] == ["a defect"] * 2
        assert b"twofa_verdict{" in await scrapes.body(TEXT, (), gzipped=False)

    asyncio.run(scenario())
