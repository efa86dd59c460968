"""The runbooks: one for each alert, in the same form, and naming only what exists."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer
import yaml

from alerts.causes import alerted_reasons, name_of
from checks.reason import Reason
from exporter.commands import app
from tests.promql import metrics_and_labels, unknown_names
from tests.repo import ROOT

RUNBOOKS = ROOT / "alerts" / "runbooks"
RULES = ROOT / "alerts" / "twofa.rules.yml"
INDEX = "README"

UsageError: Final[type[Exception]] = typer.BadParameter.__mro__[1]  # newer versions of typer bring their own click

SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Tell the client", "Call the provider"]

WARNING = [
    "> **Warning**",
    "Disabling a client's 2FA removes the protection of the account.",
    "explicit request",
    "after verifying who they are",
    "turn it on again",
]

WEAKENS_2FA = re.compile(
    r"\b(disabl|reset|remov|switch(es|ed|ing)?\s+off|turn(s|ed|ing)?\s+off)\w*\s+(\S+\s+){0,4}?(2FA|second\s+factor)"
    r"|\b(2FA|second\s+factor)\s+(\S+\s+){0,3}?(disabled|reset|removed|off)\b"
    r"|Settings > 2FA",
    re.IGNORECASE,
)
"""Words that may lead a reader to take a client's protection away."""

MENUS = {"System > SMS providers > Edit > Provider settings", "Clients > General > Edit > Settings > 2FA"}


def names() -> list[str]:
    return sorted(path.stem for path in RUNBOOKS.glob("*.md") if path.stem != INDEX)


def text_of(name: str) -> str:
    return (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> Iterator[str]:
    """The fenced blocks of a language, without their indentation."""
    for indent, block in re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE):
        yield "\n".join(line.removeprefix(indent) for line in block.splitlines())


def prose(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def expected_names() -> set[str]:
    """The reasons, which alert or are told by a diagnosis, and the alerts that have no single reason."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    return {reason.value for reason in Reason if reason is not Reason.OK} | (
        alerts - {name_of(each) for each in Reason}
    )


def expected_title(name: str) -> str:
    if name not in set(Reason):
        return name
    reason = Reason(name)
    return name_of(reason) if reason in alerted_reasons() else reason.row.title


def parse_command(line: str) -> None:
    """Parse a command line of twofa-exporter without running it. Raises UsageError."""
    program, *arguments = shlex.split(line, comments=True)
    assert program == "twofa-exporter"
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name, command, arguments = command.resolve_command(command.make_context(program, [*arguments]), arguments)
    command.make_context(name, arguments)


def commands(text: str) -> Iterator[str]:
    for block in blocks(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"\||&&|;", line):
                if part.strip().startswith("twofa-exporter"):
                    yield re.sub(r"\d?[<>]+ *\S+", "", part).strip()


def has_warning(text: str) -> bool:
    quotes = re.findall(r"^> \*\*Warning\*\*.*(?:\n>.*)*", text, re.MULTILINE)
    return any(all(words in re.sub(r"\s*\n> ?", " ", quote) for words in WARNING) for quote in quotes)


def test_every_reason_and_every_other_alert_has_a_runbook_and_nothing_else_has() -> None:
    assert set(names()) == expected_names()


@pytest.mark.parametrize("name", names())
def test_a_runbook_has_its_sections_in_order_and_none_is_empty(name: str) -> None:
    text = text_of(name)
    outside = re.sub(r"^ *```.*?^ *```$", "x", text, flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"^# (.*)$", outside, re.MULTILINE) == [expected_title(name)]
    assert outside.startswith("# ")
    assert re.findall(r"^##+ (.*)$", outside, re.MULTILINE) == SECTIONS
    assert [part.split("\n")[0] for part in outside.split("\n## ")[1:] if not part.partition("\n")[2].strip()] == []


@pytest.mark.parametrize("name", names())
def test_a_runbook_has_well_formed_blocks(name: str) -> None:
    fences = re.findall(r"^ *```(.*)$", text_of(name), re.MULTILINE)
    assert set(fences[0::2]) <= {"promql", "sh", "yaml"}
    assert set(fences[1::2]) <= {""}
    assert len(fences) % 2 == 0
    assert all(yaml.safe_load(block) for block in blocks(text_of(name), "yaml"))


@pytest.mark.parametrize("name", names())
def test_the_queries_of_a_runbook_use_only_what_is_exported(name: str) -> None:
    assert {query: unknown for query in blocks(text_of(name), "promql") if (unknown := unknown_names(query))} == {}


@pytest.mark.parametrize("name", names())
def test_the_commands_of_a_runbook_exist(name: str) -> None:
    for command in commands(text_of(name)):
        parse_command(command)


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_the_links_of_a_runbook_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)]*)\)", prose(path.read_text(encoding="utf-8")))
    assert [each for each in targets if not each.startswith("https://") and not (path.parent / each).is_file()] == []


@pytest.mark.parametrize("name", names())
def test_a_runbook_that_comes_near_a_clients_2fa_warns(name: str) -> None:
    text = text_of(name)
    without = re.sub(r"^>.*$", "", text, flags=re.MULTILINE)
    if WEAKENS_2FA.search(without) or "**Warning**" in text or name in {Reason.DEVICE_LOST, Reason.SECRET_MISMATCH}:
        assert has_warning(text)


@pytest.mark.parametrize("name", names())
def test_the_menu_paths_of_a_runbook_are_written_exactly(name: str) -> None:
    joined = " ".join(prose(text_of(name)).split())
    for menu in MENUS:
        last = menu.rpartition(" > ")[2]
        for found in re.findall(rf"\w[\w ]*(?: > [\w ]+?)* > {last}\b", joined):
            assert found.endswith(menu), found


@pytest.mark.parametrize("name", names())
def test_no_line_of_a_runbook_is_long_but_for_an_address(name: str) -> None:
    lines = [re.sub(r"https?://\S+", "", line) for line in text_of(name).splitlines()]
    assert [line for line in lines if len(line) > 150] == []


def test_no_paragraph_stands_in_two_runbooks() -> None:
    owners: dict[str, set[str]] = {}
    for name in names():
        for paragraph in re.split(r"\n\s*\n|\n(?=\d+\. )", prose(text_of(name))):
            words = " ".join(re.sub(r"^\d+\. ", "", paragraph.strip()).split())
            if len(words) > 120 and not words.startswith(("#", "> **Warning**", "|")):
                owners.setdefault(words, set()).add(name)
    assert {words: found for words, found in owners.items() if len(found) > 1} == {}


# --- what the tests above stand on ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ("twofa_check_success", []),
        ("twofa_nope", ["twofa_nope"]),
        ('twofa_check_success{nope="1"}', ["twofa_check_success{nope}"]),
        ("sum by (target, nope) (twofa_check_success)", ["twofa_check_success{nope}"]),
        ("sum without (nope) (twofa_check_success)", ["twofa_check_success{nope}"]),
        ("sum by (le) (rate(twofa_message_delivery_seconds_bucket[5m]))", []),
        ("twofa_message_delivery_seconds", ["twofa_message_delivery_seconds"]),
        ("twofa_check_success * on (nope) twofa_check_info", ["twofa_check_info{nope}", "twofa_check_success{nope}"]),
        ("twofa_check_success and ignoring (reason) twofa_check_reason", []),
        (
            "twofa_check_success and ignoring (nope) twofa_check_info",
            ["twofa_check_info{nope}", "twofa_check_success{nope}"],
        ),
        ("sum by (vendor) (twofa_provider_balance * on (target) group_left (vendor) twofa_provider_info)", []),
        ("twofa_provider_balance * on (target) group_left (nope) twofa_provider_info", ["twofa_provider_info{nope}"]),
        ("sum by (vendor) (twofa_provider_info * on (target) group_right (vendor) twofa_provider_balance)", []),
        ("sum by (reason) (twofa_check_reason and on (target) twofa_provider_info)", []),
        ("sum by (made) (label_replace(up, 'made', '$1', 'instance', '(.*)'))", []),
        ("label_replace(up, 'made', '$1', 'nope', '(.*)')", ["up{nope}"]),
        ("sum by (made) (label_join(up, 'made', '-', 'instance', 'job'))", []),
        ("sum by (made) (count_values('made', up))", []),
        ("topk(scalar(twofa_nope), up)", ["twofa_nope"]),
        ("max_over_time((-twofa_nope)[1h:1m] offset 1d)", ["twofa_nope"]),
        ('ALERTS{alertname="TwoFAWatchdog", reason="x"}', []),
        ('{job="x"}', ["a selector without a name"]),
        ('rule:with_labels{target="x", nope="y"}', ["rule:with_labels{nope}"]),
    ],
)
def test_unknown_names_are_found(expression: str, unknown: list[str]) -> None:
    assert unknown_names(expression, extra_metrics={"rule:with_labels": ["target"]}) == unknown


def test_a_metric_that_is_named_alone_may_have_any_label() -> None:
    assert unknown_names('some:rule{any="x"}', extra_metrics={"some:rule"}) == []


def test_what_is_no_promql_is_refused() -> None:
    with pytest.raises(ValueError, match="unexpected end of input"):
        unknown_names("rate(up[5m")


def test_labels_are_those_of_matchers_and_of_operators() -> None:
    expression = 'sum by (target) (twofa_verdict{reason="x"}) / on (target) sum by (target) (twofa_check_info)'
    assert list(metrics_and_labels(expression)) == [
        ("twofa_verdict", frozenset({"target", "reason"})),
        ("twofa_check_info", frozenset({"target"})),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "twofa-exporter chek",
        "twofa-exporter check --nope",
        "twofa-exporter config nope",
        "twofa-exporter backfill --days 0",
        "twofa-exporter check --format nope",
    ],
)
def test_a_command_that_does_not_exist_is_refused(line: str) -> None:
    with pytest.raises(UsageError):
        parse_command(line)


@pytest.mark.parametrize(
    ("words", "is_near"),
    [
        ("Disable the client's 2FA", True),
        ("switch off 2FA for a client", True),
        ("then reset their second factor", True),
        ("while 2FA is off", True),
        ("`Clients > General > Edit > Settings > 2FA`", True),
        ("Disable the empty provider. Clients use 2FA.", False),
        ("`2FA SMS` has to be enabled", False),
    ],
)
def test_words_near_a_clients_2fa_are_found(words: str, is_near: bool) -> None:
    assert bool(WEAKENS_2FA.search(words)) is is_near
