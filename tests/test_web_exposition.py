"""Metrics over HTTP: the format that a scraper asks for, compressed, restricted, and readable by the parsers."""

import gzip

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from checks.reason import Reason
from exporter.families import FAMILIES
from exporter.web.exposition import OPENMETRICS, TEXT, Format, accepts_gzip, choose_format
from tests.served import FakeApp, serving, usd

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_2_53 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_5 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROTOBUF_FIRST = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
    + PROMETHEUS_2_53
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        # the scrapers
        (PROMETHEUS_2_42, OPENMETRICS),
        (PROMETHEUS_2_53, OPENMETRICS),
        (PROMETHEUS_3_5, OPENMETRICS),
        (PROTOBUF_FIRST, OPENMETRICS),
        ("text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.4", TEXT),
        ("text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.5", TEXT),
        ("application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", TEXT),
        # people
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT),
        # the rules
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; Version=1.0.0; Charset=UTF-8", OPENMETRICS),
        ('application/openmetrics-text;version="1.0.0"', OPENMETRICS),
        ("text/plain;q=0.9,application/openmetrics-text;q=0.8", TEXT),
        ("text/plain;q=0.8,application/openmetrics-text;q=0.9", OPENMETRICS),
        ("application/openmetrics-text;q=0.5,*/*;q=0.5", OPENMETRICS),
        ("application/*;q=0.5,*/*;q=0.4", OPENMETRICS),
        ("text/plain,application/openmetrics-text", TEXT),
        ("application/openmetrics-text,text/plain", OPENMETRICS),
        ("*/*;q=0.9,application/openmetrics-text;q=0.1", TEXT),
        ("application/openmetrics-text;q=0,text/plain;q=0.1", TEXT),
        ("application/openmetrics-text;q=0,*/*;q=0", TEXT),
        # a version that we do not write is no version of ours
        ("application/openmetrics-text;version=2.0.0,text/plain;q=0.1", TEXT),
        ("application/openmetrics-text;version=9.9.9", TEXT),
        ("application/openmetrics-text;charset=latin-1,text/plain;q=0.1", TEXT),
        ("application/json", TEXT),
        # nonsense
        ("application/openmetrics-text;q=high,text/plain;q=0.1", TEXT),
        ("application/openmetrics-text;q=2,text/plain;q=0.1", TEXT),
        ("application/openmetrics-text;q=nan,text/plain;q=0.1", TEXT),
        (",;,=;q,;;;", TEXT),
    ],
)
def test_the_format_is_what_the_accept_header_prefers(accept: str, expected: Format) -> None:
    assert choose_format(accept) is expected


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("gzip, deflate, br", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("*", True),
        ("gzip;q=0", False),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("deflate, br", False),
        ("gzip;q=much", False),
    ],
)
def test_the_body_is_compressed_for_who_accepts_gzip(accept_encoding: str, expected: bool) -> None:
    assert accepts_gzip(accept_encoding) is expected


def filled_app() -> FakeApp:
    app = FakeApp()
    app.record("twilio-eu-balance", Reason.BALANCE_LOW, "balance 12.40 USD", measured=usd(12.4))
    app.record("twilio-eu-account", Reason.OK)
    return app


@pytest.mark.parametrize("accept", [PROMETHEUS_2_42, PROMETHEUS_2_53, PROMETHEUS_3_5])
def test_prometheus_gets_openmetrics_that_parses(accept: str) -> None:
    with serving(filled_app()) as served:
        answer = served.ask("/metrics", headers={"Accept": accept})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("# EOF\n")
    families = {family.name: family for family in parse_openmetrics(answer.text)}
    assert families["twofa_check_runs"].type == "counter"
    (balance,) = families["twofa_provider_balance"].samples
    assert (balance.labels, balance.value) == ({"target": "twilio-eu", "currency": "USD"}, 12.4)


def test_everybody_else_gets_text_that_parses() -> None:
    with serving(filled_app()) as served:
        answer = served.ask("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert "content-encoding" not in answer.headers
    (balance,) = {f.name: f for f in parse_text(answer.text)}["twofa_provider_balance"].samples
    assert (balance.labels, balance.value) == ({"target": "twilio-eu", "currency": "USD"}, 12.4)


@pytest.mark.parametrize("accept", ["", PROMETHEUS_3_5])
def test_no_created_series_doubles_the_counters(accept: str) -> None:
    with serving(filled_app()) as served:
        text = served.ask("/metrics", headers={"Accept": accept}).text
    assert "twofa_check_runs_total{" in text
    assert "_created" not in text


def test_gzip_halves_the_body_and_holds_the_same() -> None:
    with serving(filled_app()) as served:
        plain = served.ask("/metrics?name[]=twofa_check_info&name[]=twofa_check_reason")
        packed = served.ask(
            "/metrics?name[]=twofa_check_info&name[]=twofa_check_reason", headers={"Accept-Encoding": "gzip"}
        )
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2
    assert packed.headers["content-length"] == str(len(packed.body))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name[]=twofa_provider_balance", {"twofa_provider_balance"}),
        ("name%5B%5D=twofa_provider_balance", {"twofa_provider_balance"}),
        (
            "name[]=twofa_check_runs_total&name[]=twofa_check_info",
            {"twofa_check_runs_total", "twofa_check_info"},
        ),
        ("name[]=no_such_metric", set()),
    ],
)
def test_name_restricts_the_metrics(query: str, names: set[str]) -> None:
    with serving(filled_app()) as served:
        answer = served.ask(f"/metrics?{query}")
    assert answer.status == 200
    assert {sample.name for family in parse_text(answer.text) for sample in family.samples} == names


def test_without_name_every_family_that_has_samples_is_there() -> None:
    with serving(filled_app()) as served:
        found = {sample.name for family in parse_text(served.ask("/metrics").text) for sample in family.samples}
    assert {name for name in found if name.startswith("twofa_")} <= set(FAMILIES)
    assert {"twofa_check_info", "twofa_exporter_build_info", "process_start_time_seconds"} <= found


def test_head_has_the_headers_of_get_and_no_body() -> None:
    with serving(filled_app()) as served:
        head = served.ask("/metrics?name[]=twofa_check_info", method="HEAD")
        get = served.ask("/metrics?name[]=twofa_check_info")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers["content-length"] == str(len(get.body))
