"""A page about a provider must not travel by that provider: what is said of an Alertmanager's configuration."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from checks.providers import PROVIDERS
from exporter.alerting import AlertmanagerSettings, delivery_warnings
from exporter.config import load
from exporter.documents import dump
from tests.processes import exporter, free_port, run_command
from tests.repo import ROOT

SECRET = "hunter2-in-the-clear"
TWILIO = {"twilio": PROVIDERS["twilio"].domains}
ALERTMANAGER = "route: {receiver: page}\nreceivers:\n- name: page\n"
BY_TWILIO = f"{ALERTMANAGER}  webhook_configs:\n  - url: https://pager-1234.twil.io/page?key={SECRET}\n"


def warnings_of(folder: Path, text: str, providers: Mapping[str, tuple[str, ...]] = TWILIO) -> list[str]:
    (folder / "am.yml").write_text(text)
    return list(delivery_warnings(AlertmanagerSettings(config_file="am.yml"), folder, providers))


def through(domain: str, receiver: str = "page", providers: str = "twilio") -> str:
    return (
        f'the receiver "{receiver}" sends through {domain}, the service behind {providers}: an alert about {providers}'
        " would not arrive; let it go another way, such as a push message or a call by another company"
    )


@pytest.mark.parametrize(
    ("integration", "domain"),
    [
        ("webhook_configs: [{url: 'https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json'}]", "twilio.com"),
        ("webhook_configs: [{url: 'https://user:hunter2@STUDIO.Twilio.com./v2/Flows'}]", "twilio.com"),
        ("webhook_configs: [{url: 'https://pager-1234.twil.io/page'}]", "twil.io"),
        ("webhook_configs: [{send_resolved: true, <<: {url: 'https://pager-1234.twil.io/page'}}]", "twil.io"),
        ("slack_configs: [{api_url: 'https://pager-1234.twil.io/page'}]", "twil.io"),
        ("discord_configs: [{webhook_url: 'https://pager-1234.twil.io/page'}]", "twil.io"),
        ("email_configs: [{to: oncall@example.com, smarthost: 'smtp.twilio.com:587'}]", "twilio.com"),
        ("some_later_integration_configs: [{url: 'https://api.twilio.com/'}]", "twilio.com"),
    ],
)
def test_a_receiver_that_sends_through_a_watched_provider_is_named(
    tmp_path: Path, integration: str, domain: str
) -> None:
    assert warnings_of(tmp_path, f"{ALERTMANAGER}  {integration}\n") == [through(domain)]


@pytest.mark.parametrize(
    "integration",
    [
        "webhook_configs: [{url: 'http://127.0.0.1:9000/sms'}]",  # what it does cannot be known
        "webhook_configs: [{url: 'https://nottwilio.com/'}]",
        "webhook_configs: [{url: 'https://twilio.com.example.com/'}]",
        "webhook_configs: [{url: 'https://example.com/?to=api.twilio.com'}]",
        "webhook_configs: [{url: 'https://[broken/api.twilio.com'}]",
        "webhook_configs: [{url_file: /etc/alertmanager/twilio.com}]",
        "webhook_configs: [{url: {not: text}}]",
        "webhook_configs: {url: 'https://api.twilio.com/'}",  # an Alertmanager refuses it
        "pagerduty_configs: [{routing_key: x, links: [{href: 'https://www.twilio.com/console'}]}]",
        "slack_configs: [{api_url: 'https://hooks.slack.com/x', text: 'https://console.twilio.com'}]",
        "pushover_configs: [{user_key: x, token: y, url: 'https://console.twilio.com'}]",
        "opsgenie_configs: [null, 7, []]",
    ],
)
def test_another_way_and_what_cannot_be_known_are_passed_over(tmp_path: Path, integration: str) -> None:
    assert warnings_of(tmp_path, f"{ALERTMANAGER}  {integration}\n") == []


@pytest.mark.parametrize(
    ("defaults", "integration", "warned"),
    [
        ("slack_api_url: 'https://pager-1.twil.io/'", "slack_configs: [{channel: x}]", True),
        ("slack_api_url: 'https://pager-1.twil.io/'", "slack_configs: [{api_url: 'https://hooks.slack.com/x'}]", False),
        ("slack_api_url: 'https://pager-1.twil.io/'", "slack_configs: [{api_url_file: /run/slack}]", False),
        ("slack_api_url: 'https://pager-1.twil.io/'", "webhook_configs: [{url: 'https://example.com/'}]", False),
        ("pagerduty_url: 'https://pager-1.twil.io/'", "pagerduty_configs: [{routing_key: x}]", True),
        ("smtp_smarthost: 'smtp.twilio.com:587'", "email_configs: [{to: a@example.com}]", True),
        ("smtp_smarthost: 'smtp.twilio.com:587'", "slack_configs: [{channel: x}]", False),
    ],
)
def test_a_default_counts_where_a_receiver_uses_it(
    tmp_path: Path, defaults: str, integration: str, warned: bool
) -> None:
    found = warnings_of(tmp_path, f"global: {{{defaults}}}\n{ALERTMANAGER}  {integration}\n")
    assert bool(found) is warned


def test_every_provider_of_the_vendor_is_named_and_no_other_vendor(tmp_path: Path) -> None:
    providers = {"sms-b": ("twilio.com", "twil.io"), "other": ("example.com",), "sms-a": ("twilio.com", "twil.io")}
    assert warnings_of(tmp_path, BY_TWILIO, providers) == [through("twil.io", providers="sms-a, sms-b")]
    assert warnings_of(tmp_path, BY_TWILIO, {"other": ("example.com",)}) == []


def test_every_receiver_is_looked_at(tmp_path: Path) -> None:
    second = "- name: tickets\n  slack_configs: [{api_url: 'https://hooks.slack.com/x'}]\n- name: nobody\n"
    third = "- name: backup\n  webhook_configs: [{url: 'http://sms.internal/'}, {url: 'https://api.twilio.com/'}]\n"
    assert warnings_of(tmp_path, BY_TWILIO + second + third) == [
        through("twil.io"),
        through("twilio.com", receiver="backup"),
    ]


def test_without_the_setting_nothing_is_read(tmp_path: Path) -> None:
    assert list(delivery_warnings(AlertmanagerSettings(), tmp_path, TWILIO)) == []


def test_the_example_sends_through_nobody_that_is_watched() -> None:
    settings = AlertmanagerSettings(config_file="alertmanager.example.yml")
    assert list(delivery_warnings(settings, ROOT / "alerts", TWILIO)) == []


UNKNOWN = "; a receiver may send through a provider that is watched"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{ALERTMANAGER}  api_key: *{SECRET}\n", "is not YAML, see line 4"),
        (f"{ALERTMANAGER}  {SECRET}: 1\n  {SECRET}: 2\n", "is not YAML, see line 5"),
        (f"receivers: [{{name: '{SECRET}}}]\n", "is not YAML, see line 2"),
        (f"a: {SECRET}\0", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        (f"a: &a [*a, {SECRET}]", "is not YAML, see line 1"),
        ("a: " + SECRET * 100_000, "is not YAML"),  # or is larger than 1 MiB
        ("", "is not a configuration of an Alertmanager"),
        (f"- {SECRET}", "is not a configuration of an Alertmanager"),
        (f"global: {{smtp_auth_password: {SECRET}}}\n", "has no list of receivers"),
        (f"receivers: [{SECRET}]\n", "has no list of receivers"),
    ],
)
def test_a_file_that_cannot_be_understood_is_a_warning_without_a_word_of_it(
    tmp_path: Path, text: str, words: str
) -> None:
    assert warnings_of(tmp_path, text) == [f"am.yml {words}{UNKNOWN}"]


def test_values_that_are_no_dates_or_numbers_do_not_hide_the_receivers(tmp_path: Path) -> None:
    text = BY_TWILIO + "  pagerduty_configs: [{routing_key: 2001-99-99, class: !secret x, group: 1_0:99}]\n"
    assert warnings_of(tmp_path, text) == [through("twil.io")]


def test_a_file_of_aliases_of_aliases_takes_no_time(tmp_path: Path) -> None:
    levels = "".join(f"l{n}: &l{n} {{<<: [*l{n - 1}, *l{n - 1}]}}\n" for n in range(1, 60))
    text = f"l0: &l0 {{url: 'https://pager-1.twil.io/'}}\n{levels}{ALERTMANAGER}  webhook_configs: [*l59]\n"
    assert warnings_of(tmp_path, text) == [through("twil.io")]


@pytest.mark.parametrize(
    ("name", "words"),
    [("nowhere.yml", "cannot be read: no such file or directory"), ("", "is not a file"), ("pipe", "is not a file")],
)
def test_a_file_that_cannot_be_read_is_a_warning(tmp_path: Path, name: str, words: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    settings = AlertmanagerSettings(config_file=name)
    assert list(delivery_warnings(settings, tmp_path, TWILIO)) == [f"{name} {words}{UNKNOWN}"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose Alertmanager pages by the provider that is watched."""
    (tmp_path / "monitoring").mkdir()
    (tmp_path / "monitoring" / "am.yml").write_text(BY_TWILIO)
    (tmp_path / "token").write_text("not-a-token")
    document = {
        "providers": {
            "twilio": {
                "type": "twilio",
                "account_sid": f"AC{'0' * 32}",
                "auth_token": {"file": "token"},
                "base_url": f"http://127.0.0.1:{free_port()}",  # nobody answers there
            }
        },
        "checks": {"credentials": {"type": "credentials", "target": "twilio"}},
        "alertmanager": {"config_file": "monitoring/am.yml"},
    }
    path = tmp_path / "c.yml"
    path.write_text(dump(document))
    return path


def test_the_file_is_looked_for_beside_the_configuration(config: Path) -> None:
    assert load(config).warnings == (f"{config}: alertmanager.config_file: {through('twil.io')}",)


def test_config_check_and_check_warn_and_programs_read_on(config: Path) -> None:
    warning = f"warning: {config}: alertmanager.config_file: {through('twil.io')}\n"

    checked = run_command("config", "check", f"--config.file={config}")
    assert (checked.returncode, checked.stderr) == (0, warning)

    ran = run_command("check", f"--config.file={config}")
    assert (ran.returncode, ran.stderr) == (3, warning)  # 3: the provider does not answer

    for format_ in ("json", "nagios"):
        for_a_program = run_command("check", f"--config.file={config}", "--format", format_)
        assert (for_a_program.stderr, "warning: " in for_a_program.stdout) == (warning, False)


def test_serve_starts_and_logs_the_warning_without_the_secret(config: Path, tmp_path: Path) -> None:
    with exporter(config, tmp_path):
        log = (tmp_path / "exporter.log").read_text().replace('\\"', '"')
    assert through("twil.io") in log
    assert SECRET not in log
