"""Nothing secret and nothing personal leaves the process: everything is run, and all output searched."""

import base64
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import requests

from exporter.demo import write_sandbox_config
from exporter.sandbox import PERSONAS, Notifications
from exporter.sandbox.faults import FAULTS
from exporter.sandbox.server import Sandbox
from tests.processes import exporter, free_port, run_command, wait_for
from tests.test_e2e_prometheus import quick

ASKED_UNDER = {"balance_low", "provider_outage", "credentials_rejected", "back_office_down", "operator_blocking"}
PAGES = ("/", "/diagnose", "/metrics", "/config", "/-/healthy", "/-/ready", "/nothing", "/-/reload")


@pytest.fixture(scope="module")
def callback_url() -> str:
    return f"http://127.0.0.1:{free_port()}/callbacks/twilio"


@pytest.fixture(scope="module")
def sandbox(callback_url: str) -> Iterator[Sandbox]:
    with Sandbox(history_hours=2, notifications=Notifications(callback_url=callback_url)) as running:
        yield running


@pytest.fixture(scope="module")
def canaries(sandbox: Sandbox) -> set[str]:
    """What must be found nowhere: every secret, and every number and text in the sandbox's message log."""
    given = sandbox.credentials
    url = f"{sandbox.url}/2010-04-01/Accounts/{given.account_sid}/Messages.json?PageSize=1000"
    messages = requests.get(url, auth=(given.account_sid, given.auth_token), timeout=10).json()["messages"]
    numbers = {number for message in messages for number in (message["to"], message["from"]) if number}
    numbers = {number for number in numbers if re.fullmatch(r"\+\d+", number)}
    bodies = {message["body"] for message in messages}
    ids = {message["sid"] for message in messages}
    assert len(numbers) > 100
    assert all(re.search(r"\d{6}", body) for body in bodies)
    basic = base64.b64encode(f"{given.account_sid}:{given.auth_token}".encode()).decode()
    secrets = {given.auth_token, given.api_key_secret, given.restricted_key_secret, basic}
    secrets |= {given.b2core_password, given.b2core_totp_secret, given.b2core_plain_password}
    clients = [sandbox.client(name) for name in PERSONAS]
    secrets |= {secret for client in clients for secret in (client.password, client.totp_secret, client.email)}
    numbers |= {client.number for client in clients}
    without_plus = {number.removeprefix("+") for number in numbers}
    return secrets | without_plus | bodies | ids | {given.long_code[1:], given.toll_free[1:]}


def found(canaries: set[str], *texts: str) -> list[str]:
    everything = "\n".join(texts)
    return sorted(canary for canary in canaries if canary in everything)


def test_the_search_finds_what_is_there(canaries: set[str]) -> None:
    one = next(iter(canaries))
    assert found(canaries, "some text", f"before {one} after") == [one]


@pytest.mark.slow
@pytest.mark.parametrize(("log_format", "faults"), [("logfmt", tuple(FAULTS)), ("json", ("balance_low",))])
def test_serving_through_every_fault_shows_no_secret_and_nothing_personal(
    sandbox: Sandbox,
    canaries: set[str],
    callback_url: str,
    log_format: str,
    faults: Sequence[str],
    tmp_path: Path,
) -> None:
    config = tmp_path / "exporter.yml"
    write_sandbox_config(sandbox, config, callback_url=callback_url)
    quick(config)
    seen: list[str] = []
    listen = f"--public.listen-address={callback_url.split('/')[2]}"
    with exporter(config, tmp_path, "--log.level=debug", f"--log.format={log_format}", listen) as url:

        def look() -> None:
            seen.extend(requests.get(f"{url}{page}", timeout=5).text for page in PAGES)

        def ask() -> None:
            asked = ({"client": "1"}, {"phone": sandbox.client("landline").number})
            seen.extend(requests.post(f"{url}/api/v1/diagnose", json=each, timeout=10).text for each in asked)

        for fault in faults:
            sandbox.set_fault(fault)
            wait_for_runs(url, 2 if fault in ASKED_UNDER else 1)
            look()
            if fault in ASKED_UNDER:
                ask()
            sandbox.clear_fault(fault)
        good = config.read_text()
        config.write_text(good.replace("file: exporter.token", f"file: {'x' * 20}"))
        seen.append(requests.post(f"{url}/-/reload", timeout=5).text)
        config.write_text(good.replace("{file", "{fil").replace("auth_token:", "auth_token: {a: b}\n    api_key:"))
        seen.append(requests.post(f"{url}/-/reload", timeout=5).text)
        config.write_text(re.sub(r"auth_token:\n\s+file: .*", f"auth_token: {sandbox.credentials.auth_token}", good))
        refused = requests.post(f"{url}/-/reload", timeout=5)
        seen.append(refused.text)
        assert "a secret is never written into the file" in refused.text
        look()
    log = (tmp_path / "exporter.log").read_text()
    assert "balance_low" in log
    assert "<phone number>" not in log  # the net had nothing to catch
    written = [
        path.read_bytes().decode("latin-1")
        for path in tmp_path.iterdir()
        if path.name.startswith("exporter.db") and not path.name.endswith(".key")
    ]
    assert any("balance_low" in text for text in written)
    assert found(canaries, log, *seen, *written) == []


def wait_for_runs(url: str, count: int) -> None:
    """Wait until a quick check has ended so often since now: the second of them has begun since, too."""
    before = runs_of(url, 'kind="balance"')
    # rendering what is asked costs more than the checks
    wait_for(lambda: runs_of(url, 'kind="balance"') >= before + count, every=0.2)


def runs_of(url: str, label: str) -> float:
    text = requests.get(f"{url}/metrics", timeout=5).text
    lines = [line for line in text.splitlines() if line.startswith("twofa_check_runs_total") and label in line]
    assert lines
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


@pytest.mark.parametrize("format_", ["table", "json", "nagios"])
def test_checking_once_shows_no_secret_and_nothing_personal(
    sandbox: Sandbox, canaries: set[str], format_: str, tmp_path: Path
) -> None:
    config = tmp_path / "exporter.yml"
    write_sandbox_config(sandbox, config)
    sandbox.set_fault("delivery_failing")
    sandbox.set_fault("sender_invalid")
    try:
        done = run_command("check", f"--config.file={config}", f"--format={format_}", "--log.level=debug")
    finally:
        sandbox.clear_fault("delivery_failing")
        sandbox.clear_fault("sender_invalid")
    assert "sender_invalid" in done.stdout
    assert found(canaries, done.stdout, done.stderr) == []
