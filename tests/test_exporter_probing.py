"""What people see of a provider who describe it: what was understood, and shapes of answers without their contents."""

import json
import os
import re
import string
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from checks.providers import PROVIDERS
from checks.providers.http_json import HttpJsonSettings
from checks.providers.twilio.settings import TwilioSettings
from checks.secret import Secret
from checks.senders import SendersSettings
from checks.settings import ProviderSettings
from exporter import presets
from exporter.commands import app
from exporter.config import load
from exporter.demo import write_vendor_config
from exporter.probing import probe
from exporter.sandbox import Sandbox
from exporter.sandbox.vendors import EMULATORS, LINKS
from exporter.shapes import Shapes, secrets_in
from tests.processes import COMMAND, ROOT, free_port, run_command, running, wait_for
from tests.stub_server import StubServer, answer

KEY = "sk_live_7d41c09a"
NUMBER = "+4915112345678"
SHAPES = Shapes(secrets={KEY}, redacted=("account.plan", "note"), words={"ec-known"})


def shown(value: Any) -> str:
    return "\n".join(SHAPES.of_body(json.dumps(value).encode()))


# Shapes


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"status": "delivered"}, 'status: "delivered"'),
        ({"status": "DELIVERED_TO_HANDSET"}, 'status: "DELIVERED_TO_HANDSET"'),
        ({"error_code": "301"}, 'error_code: "301"'),
        ({"count": 97}, "count: 97"),
        ({"flag": True, "none": None}, "flag: true"),
        ({"text": ""}, 'text: ""'),
        ({"amount": "12.50"}, "amount: <99.99>"),
        ({"balance": "KES 1785.50"}, "balance: <AAA 9999.99>"),
        ({"balance": 28550.65}, "balance: <number of 5 digits, 2 behind the point>"),
        ({"created": "2027-01-15T08:00:00Z"}, "created: <9999-99-99A99:99:99A>"),
        ({"date": 1_800_000_000}, "date: <number of 10 digits>"),
        ({"to": NUMBER}, "to: <+9999999999999>"),
        ({"to": NUMBER[1:]}, "to: <13 digits>"),
        ({"status": NUMBER[1:]}, "status: <13 digits>"),
        ({"code": "482913"}, "code: <6 digits>"),
        ({"code": 482913}, "code: <number of 6 digits>"),
        ({"id": "b48d95dc-e3ac"}, "id: <13 letters and digits and other signs>"),
        ({"code": "XKQZ"}, "code: <4 letters>"),
        ({"code": "WrongNumber"}, "code: <11 letters>"),
        ({"code": "FAILED"}, 'code: "FAILED"'),
        ({"code": "EC-Known"}, 'code: "EC-Known"'),
        ({"verification_code": "KXQZRT"}, "verification_code: <6 letters>"),
        ({"verification_code": "FAILED"}, "verification_code: <6 letters>"),
        ({"login_code": 482}, "login_code: <number of 3 digits>"),
        ({"pin": 123}, "pin: <number of 3 digits>"),
        ({"otp": 0}, "otp: <number of 1 digit>"),
        ({"confirmation_type": "sms"}, "confirmation_type: <3 letters>"),
        ({"status": "Johnson"}, "status: <7 letters>"),
        ({"reason": "Ann-Johnson"}, "reason: <11 letters and other signs>"),
        ({"state": "ABC123"}, "state: <6 letters and digits>"),
        ({"result": "delivered"}, "result: <9 letters>"),
        ({"currency": "EUR"}, 'currency: "EUR"'),
        ({"countryCode": "DE"}, 'countryCode: "DE"'),
        ({"country": "Ann"}, "country: <3 letters>"),
        ({"status": "DeliveredToHandset"}, 'status: "DeliveredToHandset"'),
        ({"status_text": "delivered"}, "status_text: <9 letters>"),
        ({"name": "Johnson"}, "name: <7 letters>"),
        ({"status": "Ann Johnson"}, "status: <11 letters and other signs>"),
        ({"type": KEY}, "type: <secret>"),
        ({"type": f"x{KEY}y"}, "type: <secret>"),
        ({"account": {"plan": "gold"}}, "plan: <redacted>"),
        ({"note": {"deep": ["x"]}}, "note: <redacted>"),
        ({NUMBER: 1}, "<key: 14 digits and other signs>: 1"),
        ({"4915112345678": 1}, "<key: 13 digits>: 1"),
        ({KEY: 1}, "<key: 16 letters and digits and other signs>: 1"),
        (
            {"\x1b[31m": "\x1b[31m"},
            "<key: 5 letters and digits and other signs>: <5 letters and digits and other signs>",
        ),
        ({"rows": [{"status": "ok"}, {"status": "bad", "more": 1}]}, 'status: "ok" | "bad"'),
        ({"rows": [{"status": "ok"}, {"status": "bad", "more": 1}]}, "more: 1  (in 1 of 2)"),
        ({"rows": []}, "rows: []"),
    ],
)
def test_what_is_shown_of_a_value(value: Any, line: str) -> None:
    assert line in [each.strip() for each in shown(value).splitlines()]


def test_a_secret_of_letters_is_no_key_and_no_word() -> None:
    shapes = Shapes(secrets={"horsebattery"})
    assert list(shapes.of_body(b'{"horsebattery": 1, "status": "horsebattery"}')) == [
        "{",
        "  <key: 12 letters>: 1",
        "  status: <secret>",
        "}",
    ]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"", "<nothing>"),
        (b"1234.50 credits\n", "<15 letters and digits and other signs>"),
        (b"12.50 EUR", "<99.99 AAA>"),
        (b"Dear Ann Johnson, your code is 482913", "<37 letters and digits and other signs>"),
        (b"\xff\xfe", "<2 other signs>"),
        (f"error {KEY}".encode(), "<secret>"),
        (b"[" * 100_000, "<100000 other signs>"),
    ],
)
def test_what_is_shown_of_what_is_no_json(body: bytes, line: str) -> None:
    assert list(SHAPES.of_body(body)) == [line]


def test_an_answer_of_any_size_is_a_few_lines() -> None:
    deep: Any = "x"
    for _ in range(300):
        deep = {"a": deep}
    assert "<deeper>" in shown(deep)
    assert len(shown({f"k{chr(97 + n % 26)}{chr(97 + n // 26)}": 1 for n in range(600)}).splitlines()) < 70
    assert len(shown([{"status": word} for word in string.ascii_letters * 50])) < 300


WORDS = st.text(alphabet=string.printable, min_size=4, max_size=40)
PRIVATE = (
    st.from_regex(r"\+?[0-9]{4,15}", fullmatch=True)
    | st.from_regex(r"[A-Za-z0-9]{5,12}[0-9]{4}[A-Za-z0-9]{5,12}", fullmatch=True)
    | st.from_regex(r"[A-Z][a-z]{3,8} [A-Z][a-z]{3,9}", fullmatch=True)
    | st.from_regex(r"[a-z]{3,8}@[a-z]{3,8}\.com", fullmatch=True)
)


@hypothesis_settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(WORDS | st.sampled_from(["status", "code", "to", "type"]), PRIVATE), max_size=6), PRIVATE)
def test_nothing_that_looks_private_is_ever_shown(pairs: list[tuple[str, str]], secret: str) -> None:
    values = [value for _, value in pairs]
    answer_ = {"rows": [dict(pairs)], "by": {value: value for value in values}, "echo": [secret, f"a{secret}"]}
    lines = Shapes(secrets={secret}).of_body(json.dumps(answer_).encode())
    text = "\n".join(lines)
    assert all(each in string.printable and each not in "\x1b\x0b\x0c\r" for each in text)
    for value in (*values, secret):
        if not any(value in key for key, _ in pairs):  # a key that is a word is shown
            assert value not in text, value


def test_all_secrets_of_a_configuration_are_known() -> None:
    entry = {
        "type": "http_json",
        "preset": "clicksend",
        "credentials": {"username": Secret("user-name"), "api_key": Secret("api-key-1")},
        "callbacks": {
            "fields": {"id": "id", "status": "s"},
            "verify": {"kind": "token", "header": "X", "token": Secret("post-token")},
        },
    }
    made = HttpJsonSettings.model_validate(entry, context=presets.CONTEXT)
    assert secrets_in(made) == {"user-name", "api-key-1", "post-token"}


# Probes


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(history_hours=1.5) as running_sandbox:
        yield running_sandbox


@pytest.mark.parametrize("vendor", ["46elks", "smsc", "clicksend", "vonage"])
def test_a_probe_tells_of_every_vendor_and_shows_nothing_private(sandbox: Sandbox, vendor: str) -> None:
    given_ = sandbox.provider_settings(vendor)
    entry = PROVIDERS[given_["type"]].settings.model_validate(given_, context=presets.CONTEXT)
    assert isinstance(entry, ProviderSettings)
    answers = list(probe(entry, dump=True, now=time.time))
    assert all(each.is_understood for each in answers)
    text = "\n".join(line for each in answers for line in each.lines)
    assert text.startswith("credentials: accepted\n")
    assert re.search(r"^messages: \d+ of the last hour on the first page", text, re.MULTILINE)
    assert re.search(r"^  statuses: delivered \(\d+\)", text, re.MULTILINE)
    for message in sandbox.account.messages():
        assert message.to[1:] not in text
        assert message.body not in text
    for secret in secrets_in(entry):
        assert secret not in text
    assert vendor in EMULATORS


def hostile() -> dict[str, Any]:
    row = {"id": f"{NUMBER}", "status": f"{KEY}", "created": NUMBER, "to": KEY, "text": f"your code is 482913 {KEY}"}
    return {KEY: NUMBER, NUMBER: KEY, "rows": [row] * 7, "code": NUMBER, "currency": KEY, "balance": f"{KEY}"}


def test_a_hostile_answer_gets_nothing_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with StubServer() as stub:
        stub.default = answer(hostile())
        entry = HttpJsonSettings.model_validate(
            {
                "type": "http_json",
                "base_url": stub.url,
                "credentials": {"key": Secret(KEY)},
                "auth": {"kind": "query", "params": {"key": "{key}"}},
                "error": {"when": "nothing", "code": "code"},
                "endpoints": {
                    "credentials": {"request": {"path": "/me"}, "ok_when": "rows"},
                    "balance": {"request": {"path": "/me"}, "amount": "balance", "currency": "currency"},
                    "messages": {
                        "request": {"path": "/log"},
                        "items": "rows",
                        "fields": {"id": "id", "status": "status", "to": "to", "created_at": "created"},
                    },
                },
                "statuses": {"*": "sent"},
            }
        )
        answers = list(probe(entry, dump=True, now=lambda: 1_800_000_000.0))
    text = "\n".join(line for each in answers for line in each.lines) + capsys.readouterr().out
    assert [each.is_understood for each in answers] == [True, True, False, False, True, True]
    for private in (KEY, NUMBER, NUMBER[1:], "482913", "your code"):
        assert private not in text
    assert "HTTP 200" in text


def test_a_refusal_is_said_and_its_answer_shown_redacted() -> None:
    with StubServer() as stub:
        stub.default = answer({"error": {"code": 17, "message": f"{KEY} is wrong"}}, status=401)
        entry = HttpJsonSettings.model_validate(
            {
                "type": "http_json",
                "base_url": stub.url,
                "credentials": {"key": Secret(KEY)},
                "auth": {"kind": "bearer", "token": "{key}"},
                "endpoints": {"credentials": {"request": {"path": "/me"}}},
            }
        )
        (first, *_) = probe(entry, dump=True, now=lambda: 0.0)
    assert not first.is_understood
    assert list(first.lines) == [
        "credentials: credentials_rejected: the provider answers HTTP 401",
        f"  answer: HTTP 401, {len(json.dumps({'error': {'code': 17, 'message': f'{KEY} is wrong'}}))} bytes",
        "    {",
        "      error: {",
        "        code: 17",
        "        message: <secret>",
        "      }",
        "    }",
    ]


def test_a_text_of_auth_that_is_no_credential_is_hidden_too() -> None:
    entry = {
        "type": "http_json",
        "base_url": "https://a.example.com",
        "credentials": {"key": Secret(KEY)},
        "auth": {"kind": "basic", "username": "our-shop", "password": "{key}"},
        "endpoints": {"credentials": {"request": {"path": "/me"}}},
    }
    assert secrets_in(HttpJsonSettings.model_validate(entry)) == {"our-shop", KEY}


def test_a_defect_of_an_adapter_is_internal_and_no_error_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Any) -> None:
        raise ValueError(NUMBER)

    monkeypatch.setattr("checks.providers.http_json.client.HttpJsonClient.verify_credentials", broken)
    monkeypatch.setenv("ACME_KEY", KEY)
    config = tmp_path / "c.yml"
    config.write_text(
        """\
providers:
  acme:
    type: http_json
    base_url: http://127.0.0.1:1
    credentials: {key: {env: ACME_KEY}}
    auth: {kind: bearer, token: "{key}"}
    endpoints: {credentials: {request: {path: /me}}}
"""
    )
    done = CliRunner().invoke(app, ["provider", "probe", "acme", "--config.file", str(config)])
    assert done.exit_code == 1
    assert "credentials: internal: a defect of the exporter (ValueError); see its log" in done.output
    assert "messages: not there" in done.output  # the others are asked all the same
    assert NUMBER not in done.output + caplog.text


# The walk of the docs, with its own words


DOC = ROOT / "docs" / "adding-a-provider.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)


def said(output: str) -> set[str]:
    return {line.strip() for line in output.splitlines()}


def assert_said(expected: str, output: str) -> None:
    """Every line of the docs is in the output; what is different each time is an ellipsis there."""
    for line in expected.splitlines():
        pattern = ".*".join(re.escape(part) for part in line.strip().split("…"))
        assert any(re.fullmatch(pattern, each) for each in said(output)), line


@pytest.mark.slow
def test_the_docs_add_a_provider(tmp_path: Path) -> None:
    port = free_port()
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert commands[0] == "twofa-exporter sandbox --write-config sandbox.yml --vendor 46elks"
    probed, *_ = (command for command in commands if "--dump" in command)
    first, money_wrong, money, log, complete = (block.replace(":10688", f":{port}") for block in blocks("yaml"))
    config = tmp_path / "acme.yml"

    def run(command: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [str(config) if part == "acme.yml" else part for part in command.split()[1:]])
        return done.exit_code, done.output.replace(str(config), "acme.yml")

    start = [*COMMAND, "sandbox", "--port", str(port), "--write-config", str(tmp_path / "sandbox.yml")]
    with running([*start, "--vendor", "46elks", "--history-hours", "1"], tmp_path / "log"):
        wait_for(lambda: "listening" in (tmp_path / "log").read_text())
        whole = yaml.safe_load((tmp_path / "sandbox.yml").read_text())
        assert list(whole["checks"]) == ["credentials", "balance", "delivery"]
        assert os.stat(tmp_path / "sandbox.password").st_mode & 0o077 == 0
        told = blocks("text")
        config.write_text(first)
        code, output = run(probed)
        assert code == 0
        assert_said(told[0], output)
        config.write_text(first + money_wrong)
        code, output = run(probed)
        wrong = re.search(r"^balance: (\d+\.\d\d) USD$", output, re.MULTILINE)
        assert wrong is not None
        config.write_text(first + money + log)
        code, output = run(probed)
        assert code == 1  # some are left out
        assert_said(told[1], output)
        assert f"balance: {float(wrong[1]) / 10_000:.2f} USD"[:12] in output
        config.write_text(complete)
        outputs = [run(command) for command in commands[-3:]]
        assert [code for code, _ in outputs] == [0, 0, 0]
        assert_said(told[2], "\n".join(output for _, output in outputs))
        (config.parent / "acme.yml").write_text(complete + "  a: {type: account, target: acme}\n")
        code, output = run(commands[-2])
        assert code == 2
        assert "acme has no endpoints.account" in output


def test_a_vendor_that_the_sandbox_does_not_speak_is_refused() -> None:
    done = run_command("sandbox", "--vendor", "46elk", "--write-config", "/nonexistent/x")
    assert done.returncode == 2
    assert 'no vendor "46elk", must be one of: 46elks, ' in done.stderr
    assert 'did you mean "46elks"?' in done.stderr


def test_a_vendor_without_a_file_to_write_to_is_refused() -> None:
    done = run_command("sandbox", "--vendor", "smsc", "--port", "0")
    assert done.returncode == 2
    assert "--vendor: needs --write-config" in done.stderr


def test_what_the_sandbox_writes_for_each_vendor_can_be_used(tmp_path: Path) -> None:
    with Sandbox(history_hours=0) as sandbox:
        for vendor in {*EMULATORS, *LINKS}:
            path = tmp_path / f"{vendor}.yml"
            write_vendor_config(sandbox, vendor, path)
            assert load(path).checks, vendor


def test_the_senders_that_checks_name_are_asked_for() -> None:
    with Sandbox(history_hours=0) as sandbox:
        entry = TwilioSettings.model_validate(sandbox.provider_settings("twilio"))
        asked = SendersSettings(target="t", numbers=(sandbox.credentials.long_code, NUMBER))
        named = list(probe(entry, dump=False, now=time.time, senders=[asked]))[-1]
        unnamed = list(probe(entry, dump=False, now=time.time))[-1]
    assert named.lines == ["senders: sender_invalid: +49*********78 is not in this account"]
    assert NUMBER not in "".join(named.lines)
    assert unnamed.lines == ["senders: not asked: no check of type senders names any"]
    assert (named.is_understood, unnamed.is_understood) == (True, True)
