"""The running exporter: reload, readiness, and a scrape that no provider can hold up."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import yaml

from checks.errors import ProviderError
from checks.reason import Outcome, Reason
from exporter.app import App, InForce, run_once
from exporter.config import ConfigError, load
from exporter.demo import write_sandbox_config, write_vendor_config
from exporter.meters import Meters, SchedulerEvent
from exporter.sandbox.server import Sandbox
from exporter.storage import Storage
from exporter.web.internal import build_internal
from exporter.web.server import ThreadedServer, bind, url_of
from tests import stub_server as stubs
from tests.processes import wait_for
from tests.stub_server import StubServer


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(history_hours=1) as running:
        yield running


@pytest.fixture
def config_path(sandbox: Sandbox, tmp_path: Path) -> Path:
    path = tmp_path / "c.yml"
    write_sandbox_config(sandbox, path)
    return path


@contextmanager
def started(path: Path, meters: Meters | None = None) -> Iterator[App]:
    meters = meters or Meters()
    app = App.load(path, lambda: Storage.in_memory(meters), meters)
    app.start()
    try:
        yield app
    finally:
        app.stop()


def edit(path: Path, change: Callable[[dict[str, dict[str, dict[str, object]]]], object]) -> None:
    document = yaml.safe_load(path.read_text())
    change(document)
    path.write_text(yaml.safe_dump(document))


def test_it_is_ready_once_every_check_has_run(config_path: Path) -> None:
    meters = Meters()
    app = App.load(config_path, lambda: Storage.in_memory(meters), meters)
    assert (app.is_healthy(), app.is_ready()) == (False, False)
    app.start()
    try:
        assert app.is_healthy()
        wait_for(app.is_ready)
    finally:
        app.stop()
    assert not app.is_healthy()


def test_what_a_provider_bills_is_counted_over_a_restart(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    write_vendor_config(sandbox, "vonage", path)
    edit(path, lambda document: document["providers"]["vonage"].update(max_log_records_per_day=1000))

    def read_in_lives_of_one_page() -> None:
        for _ in range(20):
            meters = Meters()
            app = App.load(path, lambda: Storage.open(tmp_path / "c.db", meters), meters)  # noqa: B023  # called here
            try:
                app.client("vonage").read_page(since=time.time() - 3600)
            finally:
                app.stop()

    with pytest.raises(ProviderError, match="our own limit max_log_records_per_day 1000 is used up until midnight UTC"):
        read_in_lives_of_one_page()


def test_storage_is_not_touched_when_the_configuration_is_bad(tmp_path: Path) -> None:
    def open_storage() -> Storage:
        raise AssertionError("opened")

    with pytest.raises(ConfigError):
        App.load(tmp_path / "nowhere.yml", open_storage, Meters())


def test_a_reload_adds_removes_and_changes_checks(config_path: Path) -> None:
    with started(config_path) as app:
        wait_for(app.is_ready)
        edit(config_path, lambda document: document["checks"].pop("account"))
        edit(config_path, lambda document: document["checks"]["balance"].update(min_amount=10**9, interval="1h"))
        assert app.reload() == ()
        assert "account" not in app.storage.snapshot().checks
        wait_for(lambda: app.storage.snapshot().checks["balance"].last.result.reason is Reason.BALANCE_LOW)
        edit(config_path, lambda document: document["checks"].update(new={"type": "credentials", "target": "twilio"}))
        assert app.reload() == ()
        wait_for(app.is_ready)
        assert app.storage.snapshot().checks["new"].last.result.outcome is Outcome.PASS


def test_a_bad_reload_keeps_everything_and_says_why(config_path: Path) -> None:
    meters = Meters()
    with started(config_path, meters) as app:
        before = app.config
        config_path.write_text("providers: {}")
        problems = app.reload()
        assert [problem.partition(": ")[2] for problem in problems] == [
            "checks: is required",
            "providers: must hold at least one entry",
        ]
        assert app.config is before
        assert not meters.read().reload_succeeded
        assert app.is_healthy()


def test_a_client_is_kept_until_its_settings_change(config_path: Path) -> None:
    first = InForce.build(load(config_path), Meters())
    same = InForce.build(load(config_path), Meters(), first)
    assert same.clients["twilio"] is first.clients["twilio"]
    edit(config_path, lambda document: document["providers"]["twilio"].update(timeout="9s"))
    other = InForce.build(load(config_path), Meters(), same)
    assert other.clients["twilio"] is not same.clients["twilio"]
    same.close(after=other)
    other.close()


def test_a_defect_while_loading_keeps_everything_and_is_a_failed_reload(
    config_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> None:
        raise ZeroDivisionError

    meters = Meters()
    with started(config_path, meters) as app:
        before = app.config
        monkeypatch.setattr("exporter.config.load", broken)
        assert app.reload() == (f"{config_path}: a defect of the exporter (ZeroDivisionError); see its log",)
        assert app.config is before
        assert not meters.read().reload_succeeded


def test_a_run_under_way_at_a_reload_leaves_no_ghost_and_new_settings_are_tried_at_once(
    sandbox: Sandbox, config_path: Path
) -> None:
    edit(
        config_path,
        lambda document: [check.update(interval="1h", timeout="2s") for check in document["checks"].values()],
    )
    meters = Meters()
    sandbox.set_fault("timeout")
    try:
        with started(config_path, meters) as app:
            wait_for(lambda: "service-status" in app.storage.snapshot().checks)  # the others hang
            edit(config_path, lambda document: document["checks"].pop("account"))
            edit(config_path, lambda document: document["checks"]["balance"].update(min_amount=10**9))
            assert app.reload() == ()
            sandbox.clear_fault("timeout")
            wait_for(lambda: reason_of(app, "balance") is Reason.BALANCE_LOW)
            assert "account" not in app.storage.snapshot().checks
            assert meters.read().scheduler_events[SchedulerEvent.OVERLAP] == 0
    finally:
        sandbox.clear_fault("timeout")


def reason_of(app: App, check: str) -> Reason | None:
    state = app.storage.snapshot().checks.get(check)
    return None if state is None else state.last.result.reason


def test_checks_of_one_account_run_side_by_side(sandbox: Sandbox, config_path: Path) -> None:
    edit(config_path, lambda document: [check.update(timeout="1s") for check in document["checks"].values()])
    sandbox.set_fault("timeout")
    try:
        began = time.monotonic()
        runs = run_once(load(config_path), Storage.in_memory(Meters()), Meters())
        took = time.monotonic() - began
    finally:
        sandbox.clear_fault("timeout")
    assert [run.result.reason for run in runs].count(Reason.TIMEOUT) == 6
    assert took < 3  # five checks of one second each


@pytest.mark.parametrize(
    "behaviour",
    [
        stubs.hang(),
        stubs.drip_body(),
        stubs.reset(),
        stubs.answer(b"<html>", status=500),
        stubs.gzip_bomb(),
        stubs.big_body(10_000_000),
    ],
    ids=["hang", "drip", "reset", "500", "gzip bomb", "10 MB"],
)
def test_a_scrape_is_quick_while_the_provider_misbehaves(behaviour: stubs.Behaviour, config_path: Path) -> None:
    with StubServer() as stub:
        stub.everywhere(behaviour)

        def change(document: dict[str, dict[str, dict[str, object]]]) -> None:
            document["providers"]["twilio"].update(base_url=stub.url, status_page=stub.url)
            for name, check in list(document["checks"].items()):
                check.update(timeout="1s", interval="200ms")
                if check["target"] != "twilio":
                    del document["checks"][name]

        edit(config_path, change)
        with started(config_path) as app:
            listener = bind("127.0.0.1:0")
            with ThreadedServer(build_internal(app), listener), requests.Session() as session:
                took = []
                for _ in range(30):
                    began = time.monotonic()
                    assert session.get(f"{url_of(listener)}/metrics", timeout=5).status_code == 200
                    took.append(time.monotonic() - began)
                    time.sleep(0.05)
                wait_for(app.is_ready)
            outcomes = {state.last.result.outcome for state in app.storage.snapshot().checks.values()}
    assert Outcome.PASS not in outcomes
    assert statistics.quantiles(took, n=10)[-1] < 0.3  # nine scrapes in ten, beside other tests on two cores
