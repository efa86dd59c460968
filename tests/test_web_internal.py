"""The internal listener's answers, over real sockets."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from checks.kinds import KINDS
from checks.providers.twilio import TwilioSettings
from checks.secret import Secret
from exporter.config import Config, ConfiguredCheck
from exporter.web.guards import SECURITY_HEADERS, is_local_name
from exporter.web.internal import build_internal
from exporter.web.server import WebError
from tests.served import FakeApp, serving

PATHS = ("/", "/metrics", "/-/healthy", "/-/ready", "/config", "/static/status.css", "/static/pass.svg")


@pytest.mark.parametrize("path", PATHS)
def test_a_page_answers_to_get_and_head_and_to_nothing_else(path: str) -> None:
    with serving(FakeApp()) as served:
        get, head = served.ask(path), served.ask(path, method="HEAD")
        others = {method: served.ask(path, method=method).status for method in ("POST", "PUT", "DELETE", "OPTIONS")}
    assert (get.status, head.status, head.body) == (200, 200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert others == dict.fromkeys(others, 405)


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/config", "text/plain; charset=utf-8"),
        ("/-/healthy", "text/plain; charset=utf-8"),
        ("/static/status.css", "text/css; charset=utf-8"),
        ("/static/pass.svg", "image/svg+xml"),
    ],
)
def test_a_page_says_what_it_is(path: str, content_type: str) -> None:
    with serving(FakeApp()) as served:
        assert served.ask(path).headers["content-type"] == content_type


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/metrics/",
        "/-/",
        "/static/",
        "/static/../status.py",
        "/static/..%2fstatus.py",
        "/static/%2e%2e/templates/status.html",
        "/static//etc/passwd",
        "/templates/status.html",
        "//",
    ],
)
def test_any_other_path_is_not_found(path: str) -> None:
    with serving(FakeApp()) as served:
        answer = served.ask(path)
    assert (answer.status, answer.text) == (404, "Not Found")


@pytest.mark.parametrize(
    ("path", "method", "status"), [*((path, "GET", 200) for path in PATHS), ("/x", "GET", 404), ("/", "PUT", 405)]
)
def test_every_answer_has_the_security_headers(path: str, method: str, status: int) -> None:
    with serving(FakeApp()) as served:
        answer = served.ask(path, method=method)
    assert answer.status == status
    expected = {name.lower(): value for name, value in SECURITY_HEADERS.items()}
    if path.startswith("/static/"):
        expected["cache-control"] = "no-cache"
    assert {name: answer.headers.get(name) for name in expected} == expected
    assert "server" not in answer.headers
    assert "date" in answer.headers


def test_a_browser_keeps_a_static_file_and_asks_whether_it_has_changed() -> None:
    with serving(FakeApp()) as served:
        first = served.ask("/static/status.css")
        again = served.ask("/static/status.css", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status, first.headers["cache-control"]) == (200, "no-cache")
    assert (again.status, again.headers["cache-control"], again.body) == (304, "no-cache", b"")


def test_the_policy_allows_our_style_sheet_and_images_and_nothing_else() -> None:
    assert SECURITY_HEADERS["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )


# --- health ----------------------------------------------------------------------------------------


def test_healthy_follows_the_scheduler() -> None:
    app = FakeApp()
    with serving(app) as served:
        before = served.ask("/-/healthy")
        app.healthy = False
        after = served.ask("/-/healthy")
    assert (before.status, before.text) == (200, "twofa-exporter is healthy.\n")
    assert (after.status, after.text) == (503, "twofa-exporter is not healthy: no checks are scheduled.\n")


def test_ready_once_every_check_has_run() -> None:
    app = FakeApp(ready=False)
    with serving(app) as served:
        before = served.ask("/-/ready")
        app.ready = True
        after = served.ask("/-/ready")
    assert (before.status, before.text) == (503, "twofa-exporter is not ready: not every check has run yet.\n")
    assert (after.status, after.text) == (200, "twofa-exporter is ready.\n")


# --- reload ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_reload_puts_a_good_configuration_in_force(method: str) -> None:
    app = FakeApp()
    with serving(app) as served:
        answer = served.ask("/-/reload", method=method)
    assert (answer.status, answer.text) == (200, "The configuration has been reloaded.\n")
    assert app.reloads == 1


def test_reload_says_everything_that_is_wrong_with_a_bad_configuration() -> None:
    with serving(FakeApp(problems=("a.yml: providers: is required", "a.yml: checks: is required"))) as served:
        answer = served.ask("/-/reload", method="POST")
    assert answer.status == 500
    assert answer.text == (
        "The old configuration stays in force:\na.yml: providers: is required\na.yml: checks: is required\n"
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_reload_is_not_for_reading(method: str) -> None:
    app = FakeApp()
    with serving(app) as served:
        answer = served.ask("/-/reload", method=method)
    assert answer.status == 405
    assert sorted(answer.headers["allow"].split(", ")) == ["POST", "PUT"]
    assert app.reloads == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:1234", "Host": "localhost:1234"}, 200),
        ({"Origin": "http://LOCALHOST:1234", "Host": "localhost:1234"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "something-new"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://localhost:3000", "Host": "localhost:1234"}, 403),
        ({"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, 403),
    ],
)
def test_no_page_of_another_site_can_reload(headers: dict[str, str], status: int) -> None:
    app = FakeApp()
    with serving(app) as served:
        answer = served.ask("/-/reload", method="POST", headers=headers)
    assert (answer.status, app.reloads) == (status, int(status == 200))


# --- the configuration -----------------------------------------------------------------------------


def config_with_secrets() -> Config:
    providers = {
        "twilio-eu": TwilioSettings(
            type="twilio", account_sid="AC" + "0" * 32, auth_token=Secret("d3adb33f" * 4), base_url=None
        )
    }
    settings = KINDS["senders"].settings.model_validate({"target": "twilio-eu", "numbers": ["+14155550100"]})
    return Config(
        targets=providers,
        checks={"senders": ConfiguredCheck(name="senders", kind_name="senders", settings=settings)},
    )


def test_the_configuration_is_shown_complete_and_masked() -> None:
    with serving(FakeApp(config=config_with_secrets())) as served:
        text = served.ask("/config").text
    assert "auth_token: <secret>" in text
    assert "interval: 15m" in text
    assert "d3adb33f" not in text
    assert "4155550100" not in text


def test_the_configuration_shown_is_the_one_in_force() -> None:
    app = FakeApp(config=config_with_secrets())
    with serving(app) as served:
        app.config = FakeApp().config
        assert "twilio-eu-balance:" in served.ask("/config").text


# --- Host ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST:10687", True),
        ("prometheus.localhost", True),
        ("127.0.0.1", True),
        ("127.0.0.1:10687", True),
        ("127.1.2.3:80", True),
        ("[::1]", True),
        ("[::1]:10687", True),
        ("192.0.2.7:10687", True),
        ("", False),
        ("evil.example", False),
        ("evil.example:10687", False),
        ("localhost.evil.example", False),
        ("evillocalhost", False),
        ("127.0.0.1.nip.io", False),
        ("127.0.0.1@evil.example", False),
        ("evil.example/127.0.0.1", False),
        ("evil.example#@127.0.0.1", False),
        ("evil.example@127.0.0.1", False),
        ("localhost/.evil.example", False),
        ("localhost?.evil.example", False),
        ("localhost#.evil.example", False),
        ("[::1", False),
        ("127.0.0.1:port", False),
        ("2130706433", False),
    ],
)
def test_only_localhost_and_addresses_cannot_be_pointed_here(host: str, expected: bool) -> None:
    assert is_local_name(host) is expected


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/reload"])
def test_a_loopback_listener_refuses_the_names_of_others(path: str) -> None:
    app = FakeApp()
    with serving(app) as served:
        answer = served.ask(path, method="POST" if path == "/-/reload" else "GET", headers={"Host": "evil.example"})
    assert answer.status == 421
    assert answer.text.startswith("This listener is bound to a loopback address and answers to localhost and")
    assert answer.headers["cache-control"] == "no-store"
    assert app.reloads == 0


@pytest.mark.parametrize("host", ["localhost:10687", "127.0.0.1", "[::1]:99"])
def test_a_loopback_listener_answers_to_this_machine(host: str) -> None:
    with serving(FakeApp()) as served:
        assert served.ask("/metrics", headers={"Host": host}).status == 200


@pytest.mark.parametrize("address", ["0.0.0.0:0", ":0"])
def test_another_listener_answers_to_any_name(address: str) -> None:
    with serving(FakeApp(), address=address) as served:
        assert served.ask("/metrics", headers={"Host": "exporter.prod.example:10687"}).status == 200


def test_a_request_with_two_hosts_is_refused() -> None:
    with serving(FakeApp()) as served, served.connect() as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_a_program_without_host_is_answered() -> None:
    with serving(FakeApp()) as served, served.connect() as client:
        client.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")


# --- the path of the metrics -----------------------------------------------------------------------


def test_the_metrics_can_have_another_path() -> None:
    with serving(FakeApp(), telemetry_path="/twofa/metrics.txt") as served:
        assert served.ask("/twofa/metrics.txt").status == 200
        assert served.ask("/metrics").status == 404
        assert '<a href="/twofa/metrics.txt">Metrics</a>' in served.ask("/").text


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "metrics",
        "/me trics",
        "/metrics/",
        "//metrics",
        "/{x}",
        "/config",
        "/config/x",
        "/-/healthy",
        "/static/x",
    ],
)
def test_a_path_that_is_no_path_or_taken_is_refused(path: str) -> None:
    with pytest.raises(WebError) as caught:
        build_internal(FakeApp(), telemetry_path=path)
    assert str(caught.value) == (f'--web.telemetry-path: must be a path of its own, such as "/metrics", got "{path}"')


# --- trouble ---------------------------------------------------------------------------------------


class Blocked(Collector):
    """A collector that is stuck until the test lets it go."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.released = threading.Event()

    def collect(self) -> Iterator[Metric]:
        self.entered.release()
        self.released.wait(20)
        return iter(())


def app_with_stuck_metrics() -> tuple[FakeApp, Blocked]:
    app, stuck = FakeApp(), Blocked()
    app.registry.register(stuck)
    return app, stuck


def test_a_scrape_that_is_stuck_does_not_keep_the_server_from_stopping() -> None:
    app, stuck = app_with_stuck_metrics()
    with ThreadPoolExecutor(1) as scrapers:
        with serving(app) as served:
            scrape = scrapers.submit(served.ask, "/metrics")
            stuck.entered.acquire(timeout=10)
            began = time.monotonic()
        took = time.monotonic() - began
        stuck.released.set()
        assert took < 4
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            scrape.result(timeout=20)


def test_scrapes_that_are_stuck_hold_up_nobody_else() -> None:
    app, stuck = app_with_stuck_metrics()
    with serving(app) as served, ThreadPoolExecutor(20) as scrapers:
        scrapes = [scrapers.submit(served.ask, "/metrics") for _ in range(20)]
        stuck.entered.acquire(timeout=10)
        try:
            statuses = {path: served.ask(path).status for path in PATHS if path != "/metrics"}
            assert statuses == dict.fromkeys(statuses, 200)
            assert not any(scrape.done() for scrape in scrapes)
        finally:
            stuck.released.set()
        assert {scrape.result(timeout=20).status for scrape in scrapes} == {200}


class Broken(Collector):
    """A collector with a defect."""

    def __init__(self) -> None:
        self.broken = False

    def collect(self) -> Iterator[Metric]:
        if self.broken:
            raise RuntimeError("about +14155550100")
        return iter(())


def test_a_defect_is_a_500_that_tells_nothing_and_does_not_end_the_server() -> None:
    app = FakeApp()
    defect = Broken()
    app.registry.register(defect)
    defect.broken = True
    with serving(app) as served:
        answer = served.ask("/metrics")
        assert served.ask("/-/healthy").status == 200
    assert (answer.status, answer.text) == (500, "A defect of the exporter; its log has the traceback.\n")
    assert answer.headers["x-content-type-options"] == "nosniff"


class BrokenHealth(FakeApp):
    """An app whose health cannot be asked for."""

    def is_healthy(self) -> bool:
        raise RuntimeError("about +14155550100")


def test_a_defect_outside_a_thread_is_the_same_500() -> None:
    with serving(BrokenHealth()) as served:
        answer = served.ask("/-/healthy")
    assert (answer.status, answer.text) == (500, "A defect of the exporter; its log has the traceback.\n")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "request_line",
    [
        b"NONSENSE\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"CONNECT example:443 HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
def test_what_is_not_http_gets_an_answer_or_nothing_and_never_a_result(request_line: bytes) -> None:
    with serving(FakeApp()) as served:
        with served.connect() as client:
            client.sendall(request_line)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(4096)[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 404", b"HTTP/1.1 405")
        assert served.ask("/-/healthy").status == 200
