"""Names from outside as labels: from what is stored to the text of a scrape none is lost, doubled or broken out of."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final
from unittest.mock import patch

from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from checks.messages import Receipt, Status
from checks.messages.book import Reading
from checks.messages.detector import Hypothesis, NodeReading, Scope, Verdict
from checks.reason import Reason
from checks.result import Balance, ProviderEnabled, ServiceComponent, ServiceState, Spend
from exporter import config as configuration
from exporter.config import Config
from exporter.meters import Meters
from exporter.metrics import TwofaCollector
from exporter.snapshot import Evidence
from exporter.storage import Storage
from exporter.web.exposition import OPENMETRICS, TEXT, render
from exporter.web.rendering import Renderer
from tests.fakes import NOW, receipt, run
from tests.fuzz.configuration import VARIABLES
from tests.fuzz.target import Run, Target
from tests.repo import ROOT

_EXAMPLES: Final = ("twofa-exporter.yaml", "back-office.yaml")
_TARGET: Final = "twilio"

_names: Final = (
    st.text(max_size=12)
    | st.text(alphabet='\\"\n\r\t%s{},=# é😀\u2028\u0085\x00', max_size=8)
    | st.sampled_from(
        [
            "",
            "} 1\n",
            '"} 1\ntwofa_check_success{check="x',
            "\\",
            "\\n",
            "\\\\n",
            "# EOF\n",
            "# HELP x",
            "NaN",
            "e\u0301",
            "é",
        ]
    )
)
_several: Final = st.lists(_names, min_size=1, max_size=3, unique=True)
_examples: Final = st.fixed_dictionaries(
    {
        "names": _several,
        "countries": _several,
        "codes": _several,
        "state": st.sampled_from([each.value for each in ServiceState]),
    }
)


@contextmanager
def _opened() -> Iterator[Run]:
    with patch.dict(os.environ, dict.fromkeys(VARIABLES, "JBSWY3DPEHPK3PXP")):
        one, two = (configuration.load(ROOT / "examples" / name) for name in _EXAMPLES)
    yield partial(_check, Config(targets={**one.targets, **two.targets}, checks={**one.checks, **two.checks}))


def _check(config: Config, example: Mapping[str, Any]) -> None:
    names, countries, codes = example["names"], example["countries"], example["codes"]
    storage = Storage.in_memory(Meters())
    components = (ServiceComponent(component=name, state=ServiceState(example["state"])) for name in names)
    storage.record(run(Reason.OK, *components, check="service-status", kind="service_status"))
    enabled = (ProviderEnabled(provider=name, is_enabled=True) for name in names)
    storage.record(run(Reason.OK, *enabled, check="enablement", kind="enablement", target="b2core"))
    money = Balance(amount=1.5, currency=names[0]), Spend(total=2.5, currency=names[0])
    storage.record(run(Reason.OK, *money, detail=names[-1]))
    storage.book(_TARGET).take(_receipts(names, countries, codes), reading=Reading(read_until=NOW.timestamp()))
    with patch.object(storage.messages, "evidence", lambda: {_TARGET: _evidence(names, countries)}):
        registry = CollectorRegistry()
        registry.register(TwofaCollector(lambda: config, storage, Meters()))
        registry.collect()  # what is new is shown as 0 once
        expected = _series(registry.collect())
        assert max(expected.values()) == 1
        assert set(names) <= _values(expected, "component") & _values(expected, "provider")
        assert set(codes) <= _values(expected, "code")
        assert set(names) <= _values(expected, "operator")
        for format_, parse in ((TEXT, parse_text), (OPENMETRICS, parse_openmetrics)):
            text = render(registry, format_, (), Renderer()).decode()
            assert _series(parse(text)) == expected


def _receipts(names: Sequence[str], countries: Sequence[str], codes: Sequence[str]) -> list[Receipt]:
    routes = [(country, name) for country in countries for name in names]
    sent = [receipt(number, country=country, operator=name) for number, (country, name) in enumerate(routes)]
    country, name = routes[0]
    failed = (
        receipt(1000 + number, Status.FAILED, country=country, operator=name, reason=Reason.DELIVERY_FAILING, code=code)
        for number, code in enumerate(codes)
    )
    return [*sent, *failed]


def _evidence(names: Sequence[str], countries: Sequence[str]) -> Evidence:
    nodes = [(country, name) for country in countries for name in names]
    return Evidence(
        readings=tuple(
            NodeReading(
                scope=Scope.OPERATOR,
                country=country,
                operator=name,
                threshold=15.5,
                scores={Hypothesis.BLOCKED: 18.0},
                gains={Hypothesis.BLOCKED: 20.25},
                losses={Hypothesis.BLOCKED: 2.25},
                baseline={"fast": 0.9, "lost": 0.1},
            )
            for country, name in nodes
        ),
        verdicts=tuple(
            Verdict(
                scope=Scope.OPERATOR,
                country=country,
                operator=name,
                reason=Reason.OPERATOR_BLOCKING,
                score=18.0,
                threshold=15.5,
                since=NOW.timestamp(),
                evidence="4 of 4 recipients",
            )
            for country, name in nodes
        ),
    )


def _series(families: Any) -> Counter[tuple[str, frozenset[tuple[str, str]]]]:
    """Return how often each series is there."""
    metrics: Iterator[Metric] = iter(families)
    return Counter((sample.name, frozenset(sample.labels.items())) for family in metrics for sample in family.samples)


def _values(series: Mapping[tuple[str, frozenset[tuple[str, str]]], int], label: str) -> set[str]:
    return {value for _, labels in series for name, value in labels if name == label}


TARGET: Final = Target(name="metrics", examples=_examples, open=_opened)
