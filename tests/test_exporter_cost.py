"""What the checks ask of an account: counted, shown, a quarter of polling at most, and no more for more scrapers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from checks.kinds import KINDS
from exporter.app import App, InForce
from exporter.config import Config, load
from exporter.cost import cost_of
from exporter.demo import write_sandbox_config
from exporter.meters import Meters
from exporter.sandbox.server import Sandbox
from exporter.storage import Storage
from exporter.web.internal import build_internal
from exporter.web.server import ThreadedServer, bind, url_of
from tests.processes import run_command, wait_for

# What depends on its past: the probes of a sign-in come once a day; a first look at conversions asks once more.
NOT_THE_SAME_EACH_TIME = {"totp_login"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(history_hours=1) as running:
        yield running


@pytest.fixture
def config_path(sandbox: Sandbox, tmp_path: Path) -> Path:
    path = tmp_path / "c.yml"
    write_sandbox_config(sandbox, path)
    return path


def without_intervals(path: Path) -> Config:
    """The same checks at their default intervals."""
    document = yaml.safe_load(path.read_text())
    for check in document["checks"].values():
        del check["interval"]
    path.write_text(yaml.safe_dump(document))
    return load(path)


def calls(meters: Meters) -> int:
    return sum(meters.read().http_requests.values())


def test_each_check_makes_as_many_calls_as_its_kind_says(config_path: Path) -> None:
    meters = Meters()
    document = yaml.safe_load(config_path.read_text())
    document["checks"]["client-readiness"]["clients_per_run"] = 5
    config_path.write_text(yaml.safe_dump(document))
    config = load(config_path)
    in_force = InForce.build(config, meters)
    storage = Storage.in_memory(meters)
    made, said = {}, {}
    for check in config.checks.values():
        if check.kind_name in NOT_THE_SAME_EACH_TIME:
            continue
        in_force.run(check, storage)
        before = calls(meters)
        in_force.run(check, storage)
        made[check.kind_name] = calls(meters) - before
        said[check.kind_name] = check.kind.requests(check.settings)
    in_force.close()
    assert made == said
    assert set(KINDS) - set(made) == {"canary", "verifier", *NOT_THE_SAME_EACH_TIME}


def test_an_account_is_asked_a_quarter_of_what_polling_would_ask_at_most(config_path: Path) -> None:
    costs = {cost.target: cost for cost in cost_of(without_intervals(config_path))}
    assert 0 < costs["twilio"].share <= 0.25
    assert 0 < costs["b2core"].share <= 0.25
    # credentials, account, status page: once a minute; balance every 5, senders every 15 minutes; log 20 s, codes 30 s
    assert costs["twilio"].ours == pytest.approx(1440 * (1 + 2 + 1) + 288 * 3 + 96 * 9 + 4320 + 2880)


def test_the_cost_is_shown(config_path: Path) -> None:
    without_intervals(config_path)
    shown = run_command("config", "check", f"--config.file={config_path}", "--cost")
    assert shown.returncode == 0, shown.stderr
    assert (
        "twilio: about 14,688 API calls a day, 14% of the 103,680 that asking at every scrape (15s) would take"
        in shown.stdout
    )
    plain = run_command("config", "check", f"--config.file={config_path}")
    assert "API calls" not in plain.stdout


def test_scrapes_of_two_replicas_of_prometheus_ask_nobody(config_path: Path) -> None:
    document = yaml.safe_load(config_path.read_text())
    for check in document["checks"].values():
        check["interval"] = "1h"
    config_path.write_text(yaml.safe_dump(document))
    meters = Meters()
    app = App.load(config_path, lambda: Storage.in_memory(meters), meters)
    app.start()
    listener = bind("127.0.0.1:0")
    try:
        wait_for(app.is_ready)
        before = calls(meters)
        with (
            ThreadedServer(build_internal(app), listener),
            requests.Session() as one,
            requests.Session() as other,
        ):
            for _ in range(10):
                for replica in (one, other):
                    assert replica.get(f"{url_of(listener)}/metrics", timeout=5).status_code == 200
        assert before > 0
        assert calls(meters) == before
    finally:
        app.stop()
