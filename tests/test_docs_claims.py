"""What docs/ tells people to type works, and what it says of the code is so."""

import re
import shlex
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from typer.testing import CliRunner

from checks import balance
from exporter import app as application
from exporter import commands, forwarding, ledger, scheduler, storage, verifications
from exporter.demo import write_sandbox_config
from exporter.meters import Meters
from exporter.sandbox.server import Sandbox
from exporter.storage import Storage
from exporter.web import diagnose, internal
from exporter.web.server import ThreadedServer, bind
from tests.processes import wait_for
from tests.promql import unknown_names
from tests.repo import ROOT, require_prometheus, source_files
from tests.test_alerts_runbooks import blocks, parse_command, prose
from tests.test_alerts_runbooks import commands as exporter_commands

DOCS = ROOT / "docs"
PAGES = ("architecture.md", "faq.md", "getting-started.md", "migrating.md")
RULES = ROOT / "alerts" / "twofa.rules.yml"
PICTURE = DOCS / "images" / "architecture.svg"


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def command_lines(name: str) -> list[list[str]]:
    """The words of each command line of a page."""
    lines = "\n".join(blocks(text_of(name), "sh")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


# --- commands, queries and names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_the_exporters_commands_exist(name: str) -> None:
    inline = re.findall(r"`(twofa-exporter [^`]+)`", prose(text_of(name)))
    for line in [*exporter_commands(text_of(name)), *inline]:
        parse_command(line)


@pytest.mark.parametrize("name", PAGES)
def test_the_flags_that_are_named_alone_exist(name: str) -> None:
    known = set(re.findall(r'"(--[a-z.-]+)"', Path(commands.__file__).read_text())) | {"--web.enable-admin-api"}
    assert set(re.findall(r"`(--[a-z.-]+)`", text_of(name))) - known == set()


@pytest.mark.parametrize("name", PAGES)
def test_the_queries_use_only_what_is_exported(name: str) -> None:
    inline = [code for code in re.findall(r"`([^`]+)`", prose(text_of(name))) if "twofa_" in code]
    queries = [*inline, *blocks(text_of(name), "promql")]
    assert {query: unknown for query in queries if (unknown := unknown_names(query))} == {}


@pytest.mark.parametrize("name", PAGES)
def test_the_alerts_that_are_named_exist(name: str) -> None:
    assert set(re.findall(r"\bTwoFA\w+", text_of(name))) - {alert["alert"] for alert in alerts()} == set()


def alerts() -> list[Mapping[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_the_old_names_can_be_recorded(tmp_path: Path) -> None:
    (text,) = blocks(text_of("migrating.md"), "yaml")
    (tmp_path / "old.yml").write_text(text)
    run(require_prometheus().promtool, "check", "rules", str(tmp_path / "old.yml"))
    rules = yaml.safe_load(text)["groups"][0]["rules"]
    assert {rule["expr"]: unknown for rule in rules if (unknown := unknown_names(rule["expr"]))} == {}
    assert all(f"`{rule['record']}`" in text_of("migrating.md") for rule in rules)


def run(*words: str) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


# --- getting started, followed -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(history_hours=1) as running_sandbox:
        yield running_sandbox


@pytest.fixture(scope="module")
def demo(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Where the demo's addresses lead in the test: an exporter that looks at the sandbox, without a schedule."""
    path = tmp_path_factory.mktemp("demo") / "twofa-exporter.yml"
    write_sandbox_config(sandbox, path)
    document = yaml.safe_load(path.read_text())
    document["diagnose"]["requests_per_minute"] = 600  # a message needs a moment to fail
    path.write_text(yaml.safe_dump(document))
    meters = Meters()
    exporter = application.App.load(path, lambda: Storage.in_memory(meters), meters)
    with ExitStack() as stack:
        stack.callback(exporter.stop)
        server = stack.enter_context(ThreadedServer(internal.build_internal(exporter), bind("127.0.0.1:0")))
        yield {"http://127.0.0.1:10687": server.url, "http://127.0.0.1:10688": sandbox.url}


def here(url: str, demo: Mapping[str, str]) -> str:
    return re.sub(r"^http://[^/]+", lambda found: demo[found[0]], url)


def test_the_addresses_of_the_demo_answer(demo: Mapping[str, str]) -> None:
    urls = re.findall(r"<(http://127\.0\.0\.1:1068[78]/[^>]*)>", text_of("getting-started.md"))
    assert len(urls) > 3
    assert {
        url: status for url in urls if (status := requests.get(here(url, demo), timeout=10).status_code) != 200
    } == {}


def curls(name: str, port: str) -> Iterator[tuple[str, str, dict[str, str], str | None]]:
    """Method, URL, headers and body of each curl of a page to one of these ports, in order."""
    for words in command_lines(name):
        if words[0] != "curl":
            continue
        options = [(flag, value) for flag, value in pairwise(words) if flag in {"-X", "-H", "-d"}]
        (url,) = (word for word in words if word.startswith("http"))
        if re.match(rf"http://127\.0\.0\.1:{port}/", url):
            headers = dict(value.split(": ", 1) for flag, value in options if flag == "-H")
            chosen = dict(options)
            yield chosen.get("-X", "POST" if "-d" in chosen else "GET"), url, headers, chosen.get("-d")


def test_what_the_page_asks_of_the_demo_is_answered_as_it_says(demo: Mapping[str, str]) -> None:
    def ask(method: str, url: str, headers: dict[str, str], body: str | None) -> requests.Response:
        answer = requests.request(method, here(url, demo), headers=headers, data=body, timeout=20)
        answer.raise_for_status()
        return answer

    break_it, mend_it, sign_in, question = curls("getting-started.md", "1068[78]")
    assert active_faults(ask(*break_it)) == ["balance_exhausted"]
    assert active_faults(ask(*mend_it)) == []
    assert ask(*sign_in).json()["code_sent"] is True
    wait_for(lambda: "1. The client has opted out of messages [" in ask(*question).text)


def active_faults(answer: requests.Response) -> list[str]:
    return [fault["name"] for fault in answer.json()["faults"] if fault["active"]]


@pytest.fixture
def folder(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the page tells to write; the account is that of the sandbox."""
    ours, prometheus = blocks(text_of("getting-started.md"), "yaml")
    document = yaml.safe_load(ours)
    document["providers"]["twilio"] |= {
        "account_sid": sandbox.credentials.account_sid,
        "base_url": sandbox.url,
        "status_page": f"{sandbox.url}/statuspage",
    }
    (tmp_path / commands.DEFAULT_CONFIG).write_text(yaml.safe_dump(document))
    (tmp_path / "prometheus.yml").write_text(prometheus)
    secret = document["providers"]["twilio"]["auth_token"]["file"]
    assert ["install", "-m", "0600", "/dev/stdin", secret] in command_lines("getting-started.md")
    (tmp_path / secret).write_text(sandbox.credentials.auth_token)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_files_of_the_page_are_good(folder: Path) -> None:
    """Everything of it that ends by itself, as it is written."""
    ran = set()
    for words in command_lines("getting-started.md"):
        match words:
            case ["twofa-exporter", *arguments] if arguments[0] != "serve":
                done = CliRunner().invoke(commands.app, arguments)
                assert done.exit_code == 0, done.output
            case ["cp", source, target]:
                (folder / target).write_bytes((folder / source).read_bytes())
            case ["promtool", *arguments]:
                run(require_prometheus().promtool, *arguments)
            case ["amtool", *arguments]:
                run(require_prometheus().amtool, *arguments)
            case _:
                continue
        ran.add(" ".join(words[:2]))
    assert {"twofa-exporter config", "twofa-exporter check", "twofa-exporter rules", "promtool check"} <= ran


@pytest.mark.parametrize(
    ("alert", "hold", "said"),
    [("TwoFABalanceExhausted", "2m", "Two minutes later"), ("TwoFAExporterDown", "5m", "After about six minutes")],
)
def test_the_times_of_the_page_are_those_of_the_rules(alert: str, hold: str, said: str) -> None:
    held = [rule["for"] for rule in alerts() if rule["alert"] == alert and rule["labels"]["severity"] == "critical"]
    assert (held, said in text_of("getting-started.md")) == ([hold], True)


# --- architecture --------------------------------------------------------------------------------------------------


def test_the_table_of_threads_is_complete() -> None:
    sources = [ROOT / path for path in source_files("exporter", "checks") if path.endswith(".py")]
    named = set()
    for path in sources:
        if "sandbox" not in path.parts:
            text = path.read_text(encoding="utf-8")
            named |= set(re.findall(r'Thread\([^\n]*name=f?"([a-z-]+)', text))
            named |= set(re.findall(r'(?:thread_name_prefix=|start_thread\()"([a-z-]+)"', text))
    section = text_of("architecture.md").partition("## Threads")[2].partition("\n## ")[0]
    assert {name.rstrip("-") for name in named} == set(re.findall(r"`([a-z-]+)`", section)) - {"backfill"}


@pytest.mark.parametrize(
    "claim",
    [
        f"| `check` | up to {scheduler._MAX_THREADS}, ",
        f"| up to {internal._SCRAPES_AT_ONCE} for scrapes, {internal._PAGES_AT_ONCE} for pages,",
        f" {diagnose._AT_ONCE} for questions |",
        f"| `forward` | {forwarding._THREADS}, with",
        f"| the last {storage._KEPT_RUNS} of each check, and as many failed ones |",
        f"| {balance.HISTORY.days + 1} days |",  # and one that the storage adds
        f"| {verifications.KEPT_HOURS_SECONDS / 86_400:.0f} days at the most |",
        f": {ledger.KEPT.days} days behind it |",
        f"| unless given | `{commands.DEFAULT_LISTEN_ADDRESS}` | off |",
    ],
)
def test_the_numbers_of_the_architecture_are_those_of_the_code(claim: str) -> None:
    assert claim in text_of("architecture.md")


def test_the_picture_is_a_picture_and_nothing_else() -> None:
    root = ET.fromstring(PICTURE.read_text(encoding="utf-8"))
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names == {"svg", "title", "desc", "style", "defs", "marker", "path", "g", "rect", "text"}
    attributes = {name for element in root.iter() for name in element.attrib}
    assert [name for name in attributes if name.startswith("on") or name.endswith("href")] == []
    assert f"up to {scheduler._MAX_THREADS}" in "".join(root.itertext())


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_the_picture_can_be_read(scheme: int) -> None:
    """WCAG 2.2: text 4.5 to 1, lines that mean something 3 to 1."""
    found = re.findall(r"--paper: [^}]*", PICTURE.read_text(encoding="utf-8"))
    assert len(found) == 2
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", found[scheme]))
    least = {**dict.fromkeys(("ink", "soft"), 4.5), **dict.fromkeys(("line", "call", "inside"), 3.0)}
    low = [
        (front, back)
        for (front, ratio), back in product(least.items(), ("paper", "box", "part"))
        if contrast(colours[front], colours[back]) < ratio
    ]
    assert low == []


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
