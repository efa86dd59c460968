"""The configuration file: what is accepted, and the full words of every refusal."""

import json
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.kinds import KINDS
from checks.providers import PROVIDERS
from checks.settings import Settings
from checks.targets import SECTIONS
from exporter import documents
from exporter.config import Config, ConfigError, counted, for_one_run, load, masked, schema
from exporter.documents import dump
from exporter.routes import RouteSettings

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "twofa-exporter.yaml"
BACK_OFFICE_EXAMPLE = ROOT / "examples" / "back-office.yaml"
SCHEMA = ROOT / "examples" / "config.schema.json"
NOBODY = 65534
TOKEN = "t0ken-that-never-shows"

PROVIDER = """\
providers:
  twilio:
    type: twilio
    account_sid: AC00000000000000000000000000000000
    auth_token: {env: TEST_TOKEN}
"""
CHECK = """\
checks:
  credentials:
    type: credentials
    target: twilio
"""


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_TOKEN", TOKEN)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", TOKEN)


def load_text(tmp_path: Path, text: str | bytes) -> Config:
    path = tmp_path / "c.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path)


def problems_of(tmp_path: Path, text: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text)
    return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_the_examples_load_with_every_kind_of_check(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"env: (\w+)", BACK_OFFICE_EXAMPLE.read_text()):
        monkeypatch.setenv(name, "JBSWY3DPEHPK3PXP")
    examples = [load(EXAMPLE), load(BACK_OFFICE_EXAMPLE)]
    assert {check.kind_name for config in examples for check in config.checks.values()} == set(KINDS)
    assert [config.warnings for config in examples] == [(), ()]
    assert examples[0].checks["balance"].settings.interval == 300.0


def test_two_targets_of_one_name_are_refused(tmp_path: Path) -> None:
    clock = "clocks:\n  twilio: {type: ntp, servers: [time.example.com]}\n"
    assert problems_of(tmp_path, PROVIDER + clock + CHECK) == [
        "c.yml: clocks.twilio: providers.twilio has the same name, which is a label of metrics"
    ]


def test_a_check_of_what_its_target_does_not_tell_is_refused(tmp_path: Path) -> None:
    office = "back_offices:\n  office: {type: zitadel, url: https://x.example.com, token: {env: TEST_TOKEN}}\n"
    checks = "  v: {type: verifier, target: office}\n  t: {type: totp_login, target: office}\n"
    problems = problems_of(tmp_path, PROVIDER + office + CHECK + checks)
    assert (
        "c.yml: checks.v.target: back_offices.office has no verifier_events, which the check verifier lives on"
        in problems
    )
    assert (
        "c.yml: checks.t.target: the back office type zitadel cannot answer the check totp_login; it can answer:"
        " enablement, client_readiness, verifier" in problems
    )


def test_a_comparison_names_a_provider(tmp_path: Path) -> None:
    office = "back_offices:\n  office: {type: zitadel, url: https://x.example.com, token: {env: TEST_TOKEN}}\n"
    checks = "  e: {type: enablement, target: office, compare_with: twillio}\n"
    assert problems_of(tmp_path, PROVIDER + office + CHECK + checks) == [
        'c.yml: checks.e.compare_with: no provider "twillio"; did you mean "twilio"?'
    ]


def test_what_counts_the_sections_counts_them(tmp_path: Path) -> None:
    office = "back_offices:\n  office: {type: zitadel, url: https://x.example.com, token: {env: TEST_TOKEN}}\n"
    checks = "  e: {type: enablement, target: office}\n"
    assert counted(load_text(tmp_path, PROVIDER + office + CHECK + checks)) == "1 provider, 1 back office and 2 checks"
    assert counted(load_text(tmp_path, PROVIDER + CHECK)) == "1 provider and 1 check"


def test_defaults_are_filled_in(tmp_path: Path) -> None:
    check = load_text(tmp_path, PROVIDER + CHECK).checks["credentials"]
    assert (check.settings.interval, check.settings.timeout) == (60.0, 30.0)


def test_an_unused_provider_is_a_warning(tmp_path: Path) -> None:
    second = PROVIDER.replace("  twilio:", "  spare:").removeprefix("providers:\n")
    config = load_text(tmp_path, PROVIDER + second + CHECK)
    assert [w.replace(f"{tmp_path}/", "") for w in config.warnings] == [
        "c.yml: providers.spare: no check looks at this provider"
    ]


def test_routes_are_read_in_their_order_and_shown(tmp_path: Path) -> None:
    text = with_routes(
        'countries: ["NG", "GH"], providers: [spare, twilio]', 'countries: "*", providers: [twilio, spare]'
    )
    config = load_text(tmp_path, text)
    assert [(route.countries, route.providers, route.is_of_the_rest) for route in config.routes] == [
        (("NG", "GH"), ("spare", "twilio"), False),
        ((), ("twilio", "spare"), True),
    ]
    assert config.warnings == ()
    assert yaml.safe_load(masked(config))["routes"] == yaml.safe_load(text)["routes"]
    assert list(jsonschema.Draft202012Validator(schema()).iter_errors(yaml.safe_load(text))) == []
    assert "routes" not in yaml.safe_load(masked(load_text(tmp_path, PROVIDER + CHECK)))


def test_a_route_with_nobody_to_take_over_or_nobody_who_asks_is_a_warning(tmp_path: Path) -> None:
    text = with_routes('countries: ["NG", "GH"], providers: [spare]', 'countries: "*", providers: [twilio, spare]')
    status_page = edited("type: credentials\n    target: spare", "type: service_status\n    target: spare", text=text)
    config = load_text(tmp_path, status_page)
    assert [w.replace(f"{tmp_path}/", "") for w in config.warnings] == [
        "c.yml: routes[0].providers[0]: no check asks spare, so it is never known whether it can send",
        "c.yml: routes[0]: spare is the only provider for NG, GH: none can take over",
        "c.yml: routes[1].providers[1]: no check asks spare, so it is never known whether it can send",
    ]


def test_a_secret_comes_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    config = load_text(tmp_path, PROVIDER.replace("env: TEST_TOKEN", "file: token") + CHECK)
    assert config.providers["twilio"].auth_token.reveal() == "from-file"  # type: ignore[attr-defined]


def edited(old: str, new: str, *, text: str = PROVIDER + CHECK) -> str:
    assert old in text
    return text.replace(old, new)


def with_routes(*routes: str) -> str:
    spare = PROVIDER.replace("  twilio:", "  spare:").removeprefix("providers:\n")
    asked = CHECK + "  other:\n    type: credentials\n    target: spare\n"
    return PROVIDER + spare + asked + "routes:\n" + "".join(f"  - {{{route}}}\n" for route in routes)


def with_check(lines: str) -> str:
    return PROVIDER + "checks:\n  c:\n    target: twilio\n" + "".join(f"    {line}\n" for line in lines.split("\n"))


BAD: dict[str, tuple[str | bytes, list[str]]] = {
    "empty file": ("", ["c.yml: is empty; it needs providers and checks"]),
    "a list": ("- a\n", ["c.yml: must be a mapping with providers and checks, got a list"]),
    "only text": ("hello", ["c.yml: must be a mapping with providers and checks, got text"]),
    "broken yaml": ("providers: [", ["c.yml:1: is not YAML: expected the node content, but found '<stream end>'"]),
    "tab indentation": (
        "providers:\n\ttwilio: {}\n",
        ["c.yml:2: is not YAML: found character '\\t' that cannot start any token; indent with spaces"],
    ),
    "not utf-8": (b"providers: \xff\xfe", ["c.yml: is not UTF-8 text"]),
    "a repeated key": (
        PROVIDER + CHECK + CHECK.removeprefix("checks:\n"),
        ['c.yml:10: the key "credentials" is given twice'],
    ),
    "nested too deeply": ("[" * 5000, ["c.yml: is nested too deeply"]),
    "an object tag": (
        "providers: !!python/object/apply:os.system ['true']\n",
        ["c.yml:1: tags such as !!python are not accepted"],
    ),
    "unknown section": (
        PROVIDER + CHECK + "chekcs: {}\n",
        [
            'c.yml: chekcs: unknown key, must be one of: alertmanager, back_offices, checks, clocks, diagnose, providers, routes, storage; did you mean "checks"?'
        ],
    ),
    "alertmanager that is no mapping": (
        PROVIDER + CHECK + "alertmanager: am.yml\n",
        ["c.yml: alertmanager: must be a mapping, got text"],
    ),
    "alertmanager with a wrong key": (
        PROVIDER + CHECK + "alertmanager: {config_flie: am.yml}\n",
        ['c.yml: alertmanager.config_flie: unknown key; did you mean "config_file"?'],
    ),
    "alertmanager with a wrong value": (
        PROVIDER + CHECK + "alertmanager: {config_file: 5}\n",
        ["c.yml: alertmanager.config_file: must be text in quotes, got 5"],
    ),
    "no checks": (PROVIDER, ["c.yml: checks: is required"]),
    "no providers": (CHECK, ["c.yml: providers: is required"]),
    "empty checks": (PROVIDER + "checks: {}\n", ["c.yml: checks: must hold at least one entry"]),
    "checks as a list": (PROVIDER + "checks: [a]\n", ["c.yml: checks: must be a mapping of names, got a list"]),
    "a bad name": (
        edited("  credentials:", "  Credentials!:"),
        [
            'c.yml: checks."Credentials!": a name must be made of lower case letters, digits, - and _, starting with a letter or digit'
        ],
    ),
    "a name that is false": (
        edited("  credentials:", "  no:"),
        [
            "c.yml: checks.false: a name must be made of lower case letters, digits, - and _, starting with a letter or digit"
        ],
    ),
    "a check that is text": (
        PROVIDER + "checks:\n  credentials: yes please\n",
        ["c.yml: checks.credentials: must be a mapping, got text"],
    ),
    "no type": (
        edited("    type: credentials\n", ""),
        [
            "c.yml: checks.credentials.type: is required, must be one of: account, balance, canary, client_readiness, clock, conversion, credentials, delivery, enablement, senders, service_status, totp_login, verifier"
        ],
    ),
    "unknown check type": (
        edited("type: credentials", "type: credentails"),
        [
            'c.yml: checks.credentials.type: unknown type "credentails", must be one of: account, balance, canary, client_readiness, clock, conversion, credentials, delivery, enablement, senders, service_status, totp_login, verifier; did you mean "credentials"?'
        ],
    ),
    "unknown provider type": (
        edited("type: twilio", "type: twillio"),
        [
            f'c.yml: providers.twilio.type: unknown type "twillio", must be one of: {", ".join(sorted(PROVIDERS))}; did you mean "twilio"?'
        ],
    ),
    "unknown key": (
        edited("target: twilio", "target: twilio\n    intervall: 5s"),
        ['c.yml: checks.credentials.intervall: unknown key; did you mean "interval"?'],
    ),
    "unknown key unlike any": (
        edited("target: twilio", "target: twilio\n    zzz: 5s"),
        ["c.yml: checks.credentials.zzz: unknown key, must be one of: interval, target, timeout, type"],
    ),
    "unknown target": (
        edited("target: twilio", "target: twillio"),
        ['c.yml: checks.credentials.target: no provider "twillio"; did you mean "twilio"?'],
    ),
    "unknown target unlike any": (
        edited("target: twilio", "target: vonage-eu"),
        ['c.yml: checks.credentials.target: no provider "vonage-eu", must be twilio'],
    ),
    "no target": (edited("    target: twilio\n", ""), ["c.yml: checks.credentials.target: is required"]),
    "interval as a number": (
        edited("target: twilio", "target: twilio\n    interval: 30"),
        ['c.yml: checks.credentials.interval: must be a duration such as "30s" or "5m", got 30'],
    ),
    "interval in unknown words": (
        edited("target: twilio", "target: twilio\n    interval: 5 minutes"),
        ['c.yml: checks.credentials.interval: must be a duration such as "30s" or "5m", got "5 minutes"'],
    ),
    "interval too short": (
        edited("target: twilio", "target: twilio\n    interval: 5ms"),
        ['c.yml: checks.credentials.interval: must be at least "100ms", got "5ms"'],
    ),
    "interval too long": (
        edited("target: twilio", "target: twilio\n    interval: 8d"),
        ['c.yml: checks.credentials.interval: must be at most "7d", got "8d"'],
    ),
    "inline secret": (
        edited("{env: TEST_TOKEN}", TOKEN),
        [
            "c.yml: providers.twilio.auth_token: a secret is never written into the file; give it as {env: NAME} or {file: PATH}"
        ],
    ),
    "inline secret as a number": (
        edited("{env: TEST_TOKEN}", "1234567890"),
        [
            "c.yml: providers.twilio.auth_token: a secret is never written into the file; give it as {env: NAME} or {file: PATH}"
        ],
    ),
    "secret from nowhere": (
        edited("{env: TEST_TOKEN}", "{vault: a}"),
        ["c.yml: providers.twilio.auth_token: must be {env: NAME} or {file: PATH}"],
    ),
    "secret from two places": (
        edited("{env: TEST_TOKEN}", "{env: A, file: b}"),
        ["c.yml: providers.twilio.auth_token: must be {env: NAME} or {file: PATH}"],
    ),
    "environment variable not set": (
        edited("TEST_TOKEN", "NOT_SET_ANYWHERE"),
        ["c.yml: providers.twilio.auth_token: environment variable NOT_SET_ANYWHERE is not set"],
    ),
    "environment variable empty": (
        edited("TEST_TOKEN", "EMPTY_VARIABLE"),
        ["c.yml: providers.twilio.auth_token: environment variable EMPTY_VARIABLE is empty"],
    ),
    "secret file missing": (
        edited("{env: TEST_TOKEN}", "{file: nowhere}"),
        ["c.yml: providers.twilio.auth_token: cannot read file nowhere: no such file or directory"],
    ),
    "no credentials": (
        edited("    auth_token: {env: TEST_TOKEN}\n", ""),
        ["c.yml: providers.twilio: needs either auth_token, or api_key and api_key_secret"],
    ),
    "two ways to authenticate": (
        edited("{env: TEST_TOKEN}", "{env: TEST_TOKEN}\n    api_key: SK00000000000000000000000000000000"),
        ["c.yml: providers.twilio: needs either auth_token, or api_key and api_key_secret"],
    ),
    "account sid malformed": (
        edited("AC0000", "AX0000"),
        ["c.yml: providers.twilio.account_sid: must match ^AC[0-9a-fA-F]{32}$"],
    ),
    "account sid as a number": (
        edited("AC00000000000000000000000000000000", "12"),
        ["c.yml: providers.twilio.account_sid: must be text in quotes, got 12"],
    ),
    "base url in clear text": (
        edited("type: twilio", "type: twilio\n    base_url: http://twilio.example.com"),
        ["c.yml: providers.twilio.base_url: must use https; http is accepted for loopback addresses only"],
    ),
    "base url in clear text, in capitals": (
        edited("type: twilio", "type: twilio\n    base_url: HTTP://twilio.example.com"),
        ["c.yml: providers.twilio.base_url: must use https; http is accepted for loopback addresses only"],
    ),
    "base url of a host that is called like loopback": (
        edited("type: twilio", "type: twilio\n    base_url: http://127.0.0.1.example.com"),
        ["c.yml: providers.twilio.base_url: must use https; http is accepted for loopback addresses only"],
    ),
    "base url with credentials": (
        edited("type: twilio", "type: twilio\n    base_url: https://u:p@example.com"),
        ["c.yml: providers.twilio.base_url: must not hold credentials"],
    ),
    "base url that is none": (
        edited("type: twilio", "type: twilio\n    base_url: localhost"),
        ['c.yml: providers.twilio.base_url: must be a URL such as "https://status.example.com"'],
    ),
    "unknown reason in error_codes": (
        edited("type: twilio", "type: twilio\n    error_codes: {30007: blocked}"),
        ['c.yml: providers.twilio.error_codes[30007]: must be a reason such as "operator_blocking"'],
    ),
    "error code that is text": (
        edited("type: twilio", "type: twilio\n    error_codes: {abc: ok}"),
        [
            'c.yml: providers.twilio.error_codes.abc: must be a reason such as "operator_blocking"',
            'c.yml: providers.twilio.error_codes.abc: must be a whole number, got "abc"',
        ],
    ),
    "number as text": (
        with_check('type: balance\nmin_amount: "20"'),
        ['c.yml: checks.c.min_amount: must be a number, got "20"'],
    ),
    "negative amount": (
        with_check("type: balance\nmin_amount: -1"),
        ["c.yml: checks.c.min_amount: must be at least 0, got -1"],
    ),
    "not a finite number": (
        with_check("type: balance\nmin_amount: .nan"),
        ["c.yml: checks.c.min_amount: must be a finite number, got nan"],
    ),
    "ratio above one": (
        with_check("type: delivery\nmax_failure_ratio: 30"),
        ["c.yml: checks.c.max_failure_ratio: must be at most 1, got 30"],
    ),
    "count with a fraction": (
        with_check("type: delivery\nmin_messages: 2.5"),
        ["c.yml: checks.c.min_messages: must be a whole number, got 2.5"],
    ),
    "unquoted phone number": (
        with_check("type: senders\nnumbers: [+14155550100]"),
        ['c.yml: checks.c.numbers[0]: must be a phone number in E.164 form in quotes, such as "+14155550100"'],
    ),
    "phone number not in E.164": (
        with_check('type: senders\nnumbers: ["0170 1234567"]'),
        ['c.yml: checks.c.numbers[0]: must be a phone number in E.164 form in quotes, such as "+14155550100"'],
    ),
    "the Norway problem": (
        with_check("type: senders\ncountries: [NO, DE]"),
        [
            'c.yml: checks.c.countries[0]: must be an ISO 3166 code of two capital letters in quotes, such as "DE", got false'
        ],
    ),
    "country in lower case": (
        with_check("type: senders\ncountries: [de]"),
        [
            'c.yml: checks.c.countries[0]: must be an ISO 3166 code of two capital letters in quotes, such as "DE", got "de"'
        ],
    ),
    "one number instead of a list": (
        with_check('type: senders\nnumbers: "+14155550100"'),
        ["c.yml: checks.c.numbers: must be a list"],
    ),
    "senders without anything to check": (
        with_check("type: senders"),
        ["c.yml: checks.c: needs numbers, messaging_services or countries"],
    ),
    "a pattern that is none": (
        with_check('type: service_status\ncomponents: "("'),
        ["c.yml: checks.c.components: is not a regular expression: missing ), unterminated subpattern at position 0"],
    ),
    "the same check twice": (
        with_check("type: balance") + "  d:\n    target: twilio\n    type: balance\n",
        ["c.yml: checks.d.target: checks.c is already a check of type balance for twilio"],
    ),
    "a date where a number belongs": (
        with_check("type: balance\nmin_amount: 2020-01-01"),
        ["c.yml: checks.c.min_amount: must be a number, got a date"],
    ),
    "a date that does not exist": (
        with_check("type: balance\nmin_amount: 2020-13-45"),
        ["c.yml: holds a date or a number that does not exist; put it in quotes"],
    ),
    "binary data": (
        with_check("type: balance\nmin_amount: !!binary aGVsbG8="),
        ["c.yml: checks.c.min_amount: must be a number, got binary data"],
    ),
    "a secret beside a date": (
        edited("{env: TEST_TOKEN}", f"{TOKEN}\n    timeout: 2020-01-01"),
        [
            "c.yml: providers.twilio.auth_token: a secret is never written into the file; give it as {env: NAME} or {file: PATH}",
            'c.yml: providers.twilio.timeout: must be a duration such as "30s" or "5m", got a date',
        ],
    ),
    "a huge number": (
        with_check("type: balance\nmin_amount: 0x" + "f" * 5000),
        ["c.yml: checks.c.min_amount: must be a number, got a very large number"],
    ),
    "a key that is a number": (
        edited("target: twilio", "target: twilio\n    5: x"),
        ["c.yml: checks.credentials.5: unknown key, must be one of: interval, target, timeout, type"],
    ),
    "interval with a fraction": (
        edited("target: twilio", "target: twilio\n    interval: 5.5"),
        ['c.yml: checks.credentials.interval: must be a duration such as "30s" or "5m", got 5.5'],
    ),
    "a country that does not exist": (
        with_check('type: senders\ncountries: ["UK"]'),
        [
            'c.yml: checks.c.countries[0]: must be an ISO 3166 code of two capital letters in quotes, such as "DE", got "UK"'
        ],
    ),
    "a bad target beside another problem": (
        PROVIDER + "checks:\n  c:\n    type: senders\n    target: nobody\n    numbers: [1]\n",
        [
            'c.yml: checks.c.numbers[0]: must be a phone number in E.164 form in quotes, such as "+14155550100"',
            'c.yml: checks.c.target: no provider "nobody", must be twilio',
        ],
    ),
    "routes by name": (
        PROVIDER + CHECK + "routes: {NG: [twilio]}\n",
        ["c.yml: routes: must be a list of routes, got a mapping"],
    ),
    "no routes in the list": (PROVIDER + CHECK + "routes: []\n", ["c.yml: routes: must hold at least one entry"]),
    "a route that is a name": (
        PROVIDER + CHECK + "routes: [twilio]\n",
        ["c.yml: routes[0]: must be a mapping, got text"],
    ),
    "a route without anything": (
        with_routes(""),
        ["c.yml: routes[0].countries: is required", "c.yml: routes[0].providers: is required"],
    ),
    "a route with an unknown key": (
        with_routes('countries: "*", providers: [twilio], weight: 2'),
        ["c.yml: routes[0].weight: unknown key, must be one of: countries, providers"],
    ),
    "a route for one country without a list": (
        with_routes('countries: "NG", providers: [twilio]'),
        ['c.yml: routes[0].countries: must be a list of countries, or "*" for every other one'],
    ),
    "a route for no country": (
        with_routes("countries: [], providers: [twilio]"),
        ['c.yml: routes[0].countries: must be a list of countries, or "*" for every other one'],
    ),
    "a route to Norway without quotes": (
        with_routes('countries: ["GB", NO], providers: [twilio]'),
        [
            "c.yml: routes[0].countries[1]: must be an ISO 3166 code of two capital letters in quotes,"
            ' such as "DE", got false'
        ],
    ),
    "a route by nobody": (
        with_routes('countries: ["NG"], providers: []'),
        ["c.yml: routes[0].providers: must have at least 1 entries"],
    ),
    "a route by a provider that is not there": (
        with_routes('countries: ["NG"], providers: [twillio, twilio]'),
        ['c.yml: routes[0].providers[0]: no provider "twillio"; did you mean "twilio"?'],
    ),
    "a provider twice in a route, and beside it what is wrong": (
        with_routes('countries: ["XX"], providers: [twilio, spare, twilio]'),
        [
            "c.yml: routes[0].countries[0]: must be an ISO 3166 code of two capital letters in quotes,"
            ' such as "DE", got "XX"',
            'c.yml: routes[0].providers[2]: "twilio" is in this route already',
        ],
    ),
    "a country twice": (
        with_routes(
            'countries: ["NG", "NG"], providers: [twilio, spare]', 'countries: ["GH", "NG"], providers: [spare]'
        ),
        [
            'c.yml: routes[0].countries[1]: "NG" is in routes[0] already',
            'c.yml: routes[1].countries[1]: "NG" is in routes[0] already',
        ],
    ),
    "every other country twice": (
        with_routes('countries: "*", providers: [twilio]', 'countries: "*", providers: [spare]'),
        ['c.yml: routes[1].countries: "*" is in routes[0] already'],
    ),
    "several at once": (
        edited("AC0000", "AX0000", text=with_check("type: balance\nmin_amount: -1\ninterval: 5ms")),
        [
            'c.yml: checks.c.interval: must be at least "100ms", got "5ms"',
            "c.yml: checks.c.min_amount: must be at least 0, got -1",
            "c.yml: providers.twilio.account_sid: must match ^AC[0-9a-fA-F]{32}$",
        ],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_configuration_says_where_what_and_what_is_accepted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPTY_VARIABLE", " ")
    text, expected = BAD[name]
    assert problems_of(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "cannot be read: no such file or directory"),
        (lambda path: path.mkdir(), "cannot be read: is a directory"),
        (lambda path: path.write_bytes(b"#" * (1 << 20) + b"##"), "is larger than 1 MiB"),
    ],
    ids=["missing", "folder", "huge"],
)
def test_a_file_that_cannot_be_read_is_named(make: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    make(path)  # type: ignore[operator]
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.problems == (f"{path}: {words}",)


def test_a_file_without_read_permission_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text(PROVIDER + CHECK)
    path.chmod(0)
    ourselves = os.geteuid()
    if ourselves == 0:
        os.seteuid(NOBODY)  # root may read everything
    try:
        with pytest.raises(ConfigError, match="cannot be read: permission denied"):
            load(path)
    finally:
        os.seteuid(ourselves)


def test_the_masked_configuration_shows_defaults_and_neither_secrets_nor_numbers() -> None:
    shown = masked(load(EXAMPLE))
    assert TOKEN not in shown
    assert "+14155550100" not in shown
    document = yaml.safe_load(shown)
    assert document["providers"]["twilio"]["auth_token"] == "<secret>"
    assert document["checks"]["senders"]["numbers"] == ["+1********00"]
    assert document["checks"]["delivery"]["window"] == "30m"
    assert document["alertmanager"] == {"config_file": None}


def test_a_secret_is_in_no_repr_of_the_configuration() -> None:
    assert TOKEN not in repr(load(EXAMPLE))


def test_checks_can_be_picked_by_name() -> None:
    config = load(EXAMPLE)
    assert list(for_one_run(config, ["balance"]).checks) == ["balance"]
    assert list(for_one_run(config, []).checks) == [name for name in config.checks if name != "canary"]
    with pytest.raises(ConfigError) as caught:
        for_one_run(config, ["balanse"])
    assert caught.value.problems == ('no check "balanse"; did you mean "balance"?',)
    with pytest.raises(ConfigError, match="check canary: costs money, and only serve keeps within its daily limit"):
        for_one_run(config, ["canary"])


def test_a_document_survives_being_written_and_read(tmp_path: Path) -> None:
    document = yaml.safe_load(PROVIDER + CHECK)
    assert load_text(tmp_path, dump(document)) == load_text(tmp_path, PROVIDER + CHECK)


def test_the_published_schema_is_that_of_the_models() -> None:
    text = json.dumps(schema(), indent=2) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        SCHEMA.write_text(text)
    assert SCHEMA.read_text() == text


def test_the_example_satisfies_the_published_schema() -> None:
    validator = jsonschema.Draft202012Validator(schema())
    document = yaml.safe_load(EXAMPLE.read_text())
    assert not list(validator.iter_errors(document))
    document["checks"]["balance"]["intervall"] = "5m"
    assert list(validator.iter_errors(document))


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20),
    st.dates(),
    st.binary(max_size=8),
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_is_written_becomes_a_configuration_or_a_refusal_without_secrets(data: st.DataObject) -> None:
    document = yaml.safe_load(EXAMPLE.read_text())
    for section in ("providers", "checks"):
        for name, entry in document[section].items():
            for key in list(entry):
                if data.draw(st.integers(0, 9)) == 0:
                    entry[key] = data.draw(values)
            if data.draw(st.integers(0, 9)) == 0:
                document[section][name] = data.draw(values)
    document["providers"].setdefault("twilio", {})
    if isinstance(document["providers"]["twilio"], dict):
        document["providers"]["twilio"]["auth_token"] = TOKEN
    with TemporaryDirectory() as folder:
        path = Path(folder) / "c.yml"
        path.write_text(yaml.dump(document, allow_unicode=True), encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load(path)
    assert caught.value.problems
    assert TOKEN not in str(caught.value)
    assert caught.value.__context__ is None or TOKEN not in repr(caught.value.__context__)


def test_what_is_merged_in_may_be_overridden(tmp_path: Path) -> None:
    text = PROVIDER + CHECK.replace("checks:\n  credentials:\n", "checks:\n  credentials: &all\n    interval: 5m\n")
    text += "  account:\n    <<: *all\n    type: account\n    interval: 7m\n"
    checks = load_text(tmp_path, text).checks
    assert (checks["account"].settings.interval, checks["account"].kind_name) == (420.0, "account")


def test_every_setting_is_described_in_the_schema() -> None:
    models: list[type[Settings]] = [spec.settings for section in SECTIONS.values() for spec in section.types.values()]
    models += [RouteSettings, *(kind.settings for kind in KINDS.values())]
    undescribed = [
        f"{model.__name__}.{name}"
        for model in models
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert undescribed == []


def test_a_large_file_is_read_as_a_small_one_is_and_its_faults_are_worded_alike(tmp_path: Path) -> None:
    entries = "".join(f"  c{n}: {{on: no, at: 2026-01-02, number: 1_0, text: '+49', nothing: }}\n" for n in range(1000))
    small, large = tmp_path / "small.yml", tmp_path / "large.yml"
    small.write_text(f"checks:\n{entries[: entries.index(chr(10)) + 1]}")
    large.write_text(f"checks:\n{entries}")
    assert large.stat().st_size > documents._LARGE_BYTES
    assert documents.read(large)["checks"]["c0"] == documents.read(small)["checks"]["c0"]
    for fault in ("  c0: {}\n", "  d: [\n", "  d: 2026-13-45\n", "\tx: 1\n", "  ? [1]\n  : 2\n"):
        small.write_text(f"checks:\n  c0: {{}}\n{fault}")
        large.write_text(f"checks:\n{entries}{fault}")
        with pytest.raises(documents.DocumentError) as of_small:
            documents.read(small)
        with pytest.raises(documents.DocumentError) as of_large:
            documents.read(large)
        assert str(of_large.value) == str(of_small.value)
