"""The command as a user runs it: what it prints and how it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import requests
import yaml

from exporter.demo import write_sandbox_config
from exporter.sandbox.server import Sandbox
from tests.processes import COMMAND, ROOT, exporter, free_port, run_command, running, wait_for

CHECKS = ["credentials", "account", "balance", "senders", "service-status", "delivery", "conversion"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(history_hours=2) as running_sandbox:
        yield running_sandbox


@pytest.fixture
def config(sandbox: Sandbox, tmp_path: Path) -> Path:
    """Of the provider alone: a back office takes five sign-ins a minute, and each command here would need one."""
    path = tmp_path / "exporter.yml"
    write_sandbox_config(sandbox, path)
    document = yaml.safe_load(path.read_text())
    del document["back_offices"], document["clocks"]
    document["checks"] = {name: document["checks"][name] for name in CHECKS}
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


@pytest.fixture
def _balance_exhausted(sandbox: Sandbox) -> Iterator[None]:
    sandbox.set_fault("balance_exhausted")
    yield
    sandbox.clear_fault("balance_exhausted")


@pytest.fixture
def _unreachable(sandbox: Sandbox) -> Iterator[None]:
    sandbox.set_fault("unreachable")
    yield
    sandbox.clear_fault("unreachable")


def test_version_is_that_of_the_package() -> None:
    done = run_command("--version")
    assert (done.returncode, done.stdout) == (0, f"twofa-exporter {version('twofa-exporter')}\n")


def test_version_loads_neither_libraries_nor_the_application() -> None:
    script = "from exporter.cli import main; import sys; sys.argv[1:] = ['--version']; main(); print(*sys.modules)"
    done = subprocess.run([COMMAND[0], "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.split())
    assert not loaded & {
        "typer",
        "rich",
        "pydantic",
        "requests",
        "starlette",
        "uvicorn",
        "twilio",
        "apscheduler",
        "yaml",
    }


def test_without_a_command_it_explains_itself() -> None:
    done = run_command()
    assert done.returncode == 2
    for command in ("serve", "check", "config", "sandbox", "demo"):
        assert command in done.stdout + done.stderr


def test_checking_once_passes(config: Path) -> None:
    done = run_command("check", f"--config.file={config}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 7 checks pass" in done.stdout
    for check in CHECKS:
        assert check in done.stdout


@pytest.mark.usefixtures("_balance_exhausted")
def test_a_failure_ends_with_1_and_says_why_and_what_to_do(config: Path) -> None:
    done = run_command("check", f"--config.file={config}")
    assert done.returncode == 1
    words = re.sub(r"\s+", " ", done.stdout)
    assert "The provider account has no money left (balance_exhausted)" in words
    assert "→ Top up the account now" in words


@pytest.mark.usefixtures("_unreachable")
def test_not_finding_out_ends_with_3(config: Path) -> None:
    done = run_command("check", f"--config.file={config}")
    assert done.returncode == 3
    assert "unreachable" in done.stdout


@pytest.mark.usefixtures("_unreachable", "_balance_exhausted")
def test_a_failure_outweighs_not_finding_out(config: Path, sandbox: Sandbox) -> None:
    sandbox.set_fault("provider_degraded")
    try:
        assert run_command("check", f"--config.file={config}").returncode == 1
    finally:
        sandbox.clear_fault("provider_degraded")


@pytest.mark.usefixtures("_balance_exhausted")
def test_json_holds_every_check_with_its_reason(config: Path) -> None:
    done = run_command("check", f"--config.file={config}", "--format=json")
    document = json.loads(done.stdout)
    assert document["outcome"] == "fail"
    assert [entry["check"] for entry in document["checks"]] == CHECKS
    balance = next(entry for entry in document["checks"] if entry["check"] == "balance")
    assert balance["reason"] == "balance_exhausted"
    assert balance["owner"] == "us"
    assert balance["measured"][0]["currency"] == "USD"


def test_nagios_follows_the_plugin_api(config: Path, sandbox: Sandbox) -> None:
    def nagios() -> tuple[int, str]:
        done = run_command("check", f"--config.file={config}", "--format=nagios")
        return done.returncode, done.stdout

    code, text = nagios()
    assert (code, text.split(" | ")[0]) == (0, "TWOFA OK - all 7 checks pass")
    assert re.search(r" \| credentials=\d+\.\d{3}s ", text)
    sandbox.set_fault("balance_exhausted")
    try:
        code, text = nagios()
    finally:
        sandbox.clear_fault("balance_exhausted")
    assert code == 2
    assert text.startswith("TWOFA CRITICAL - 1 of 7 checks do not pass (balance: balance_exhausted)")
    sandbox.set_fault("balance_low")
    try:
        code, text = nagios()
    finally:
        sandbox.clear_fault("balance_low")
    assert (code, text.split(" - ")[0]) == (1, "TWOFA WARNING")
    done = run_command("check", "--config.file=/nowhere.yml", "--format=nagios")
    assert done.returncode == 3
    assert done.stdout.startswith("TWOFA UNKNOWN - /nowhere.yml: cannot be read")


def test_single_checks_can_be_picked(config: Path) -> None:
    done = run_command("check", "balance", f"--config.file={config}")
    assert (done.returncode, "the check passes" in done.stdout, "senders" in done.stdout) == (0, True, False)
    done = run_command("check", "balanse", f"--config.file={config}")
    assert (done.returncode, done.stderr) == (2, 'no check "balanse"; did you mean "balance"?\n')


def test_a_bad_configuration_ends_with_2_and_no_traceback(config: Path) -> None:
    config.write_text(config.read_text().replace("type: balance", "type: balanse"))
    for command in (["check"], ["config", "check"], ["serve"]):
        done = run_command(*command, f"--config.file={config}")
        assert done.returncode == 2
        assert 'checks.balance.type: unknown type "balanse"' in done.stderr
        assert "Traceback" not in done.stderr


def test_config_check_says_ok(config: Path) -> None:
    done = run_command("config", "check", f"--config.file={config}")
    assert (done.returncode, done.stdout) == (0, f"{config}: ok, 1 provider and 7 checks\n")


def test_config_schema_is_json() -> None:
    done = run_command("config", "schema")
    assert done.returncode == 0
    assert json.loads(done.stdout)["title"] == "twofa-exporter configuration"


def test_the_demo_runs_once_and_ends_with_0() -> None:
    done = run_command("demo", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 11 checks pass" in done.stdout


def test_the_demo_shows_an_injected_fault() -> None:
    done = run_command("demo", "--once", "--fault", "balance_exhausted")
    assert done.returncode == 1
    assert "balance_exhausted" in done.stdout


def test_an_unknown_fault_names_the_known_ones() -> None:
    done = run_command("demo", "--once", "--fault", "nonsense")
    assert done.returncode == 2
    assert 'no fault "nonsense", must be one of: ' in done.stderr


def test_an_interrupt_does_not_wait_for_hung_calls(config: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.set_fault("timeout")
    try:
        with running([*COMMAND, "check", f"--config.file={config}", "--log.level=info"], tmp_path / "log") as process:
            wait_for(lambda: "check done" in (tmp_path / "log").read_text())  # that of the status page
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(15) == 130
            assert time.monotonic() - began < 4  # the calls would hang for ten seconds
    finally:
        sandbox.clear_fault("timeout")
    assert (tmp_path / "log").read_text().endswith("interrupted\n")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_demo_serves_until_it_is_told_to_stop(number: signal.Signals, tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "demo.log"
    with running([*COMMAND, "demo", f"--web.listen-address=127.0.0.1:{port}", "--no-companions"], log) as process:
        wait_for(lambda: "all 12 checks pass" in log.read_text(), seconds=60)
        page = requests.get(f"http://127.0.0.1:{port}/", timeout=5).text
        assert "credentials" in page
        process.send_signal(number)
        assert process.wait(15) == 0
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("command", [["check"], ["serve"]])
def test_a_ca_bundle_that_cannot_be_read_is_named(command: list[str], config: Path, tmp_path: Path) -> None:
    done = run_command(
        *command,
        f"--config.file={config}",
        env={**os.environ, "REQUESTS_CA_BUNDLE": "/nowhere.pem"},
    )
    assert done.returncode == 2
    assert done.stderr == 'providers.twilio: the CA bundle "/nowhere.pem" cannot be read\n'


@pytest.mark.parametrize("path", ["/", "metrics"])
def test_a_bad_telemetry_path_is_refused_before_anything_runs(path: str, config: Path, tmp_path: Path) -> None:
    done = run_command(
        "serve",
        f"--config.file={config}",
        f"--web.listen-address=127.0.0.1:{free_port()}",
        f"--storage.path={tmp_path / 'x.db'}",
        f"--web.telemetry-path={path}",
    )
    assert done.returncode == 2
    assert path in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_without_unicode_shows_what_it_can(config: Path) -> None:
    done = run_command("check", f"--config.file={config}", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert "? pass" in done.stdout


def test_a_port_in_use_is_named(config: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run_command(
            "serve", f"--config.file={config}", f"--web.listen-address={address}", f"--storage.path={tmp_path / 'x.db'}"
        )
    assert done.returncode == 2
    assert done.stderr.startswith(f"{address}: already in use")
    assert "Traceback" not in done.stderr


def test_a_database_in_use_is_named(config: Path, tmp_path: Path) -> None:
    with exporter(config, tmp_path):
        done = run_command(
            "serve",
            f"--config.file={config}",
            f"--web.listen-address=127.0.0.1:{free_port()}",
            f"--storage.path={tmp_path / 'exporter.db'}",
        )
    assert (done.returncode, "is in use by another twofa-exporter" in done.stderr) == (2, True)


def test_hangup_reloads_and_a_bad_file_changes_nothing(config: Path, tmp_path: Path) -> None:
    def metric(name: str) -> str:
        lines = requests.get(f"{url}/metrics", timeout=5).text.splitlines()
        return next((line.rsplit(" ", 1)[1] for line in lines if line.startswith(name)), "absent")

    good = config.read_text()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [*COMMAND, "serve", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}"]
    with running([*command, f"--storage.path={tmp_path / 'x.db'}"], tmp_path / "log") as process:
        wait_for(lambda: metric_or_absent(url, "twofa_sms_providers_usable") == "1.0")
        assert metric("twofa_exporter_config_last_reload_successful") == "1.0"
        config.write_text(good.replace("type: balance", "type: balanse"))
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: metric("twofa_exporter_config_last_reload_successful") == "0.0")
        assert metric('twofa_check_info{check="balance"') == "1.0"
        config.write_text(good.replace("  balance:", "  money:"))
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: metric('twofa_check_success{check="money"') == "1.0")
        assert metric('twofa_check_info{check="balance"') == "absent"
        assert metric("twofa_exporter_config_last_reload_successful") == "1.0"


def metric_or_absent(url: str, name: str) -> str:
    try:
        lines = requests.get(f"{url}/metrics", timeout=5).text.splitlines()
    except requests.ConnectionError:
        return "absent"
    return next((line.rsplit(" ", 1)[1] for line in lines if line.startswith(name)), "absent")


def test_after_a_kill_it_comes_up_with_what_it_knew(config: Path, tmp_path: Path) -> None:
    text = config.read_text()
    with exporter(config, tmp_path) as url:
        before = counted(url)
        pids = [int(line.split()[1]) for line in processes_of(tmp_path)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    config.write_text(text.replace("interval: 5s", "interval: 1h"))
    with exporter(config, tmp_path) as url:
        runs = 'twofa_check_runs_total{check="balance",kind="balance",outcome="pass",target="twilio"}'
        wait_for(lambda: counted(url)[runs] == before[runs] + 1)
        after = counted(url)
        assert all(after[name] >= value for name, value in before.items())


def processes_of(folder: Path) -> list[str]:
    listing = subprocess.run(["ps", "-eo", "user,pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if f"--storage.path={folder}/exporter.db" in line]


def counted(url: str) -> dict[str, float]:
    lines = requests.get(f"{url}/metrics", timeout=5).text.splitlines()
    return {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
        for line in lines
        if line.startswith(("twofa_messages_total", "twofa_message_failures_total", "twofa_check_runs_total"))
    }
