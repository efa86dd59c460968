"""The documents say what the code does: tables are generated from it, and `make golden` rewrites them."""

import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from checks.kinds import KINDS
from checks.reason import Reason
from checks.secret import Secret
from checks.settings import Settings, format_duration
from checks.targets import SECTIONS
from exporter.alerting import AlertmanagerSettings
from exporter.config import DiagnoseSettings
from exporter.families import FAMILIES
from exporter.storage_settings import StorageSettings
from tests.repo import ROOT

README = ROOT / "README.md"
METRICS = ROOT / "docs" / "metrics.md"
REFERENCE = ROOT / "docs" / "configuration.md"


def golden(path: Path, text: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text


def test_the_table_of_metrics_is_that_of_the_catalogue() -> None:
    rows = [
        f"| `{family.name}` | {family.type} | {', '.join(family.labels) or '-'} | {family.help} |"
        for family in FAMILIES.values()
    ]
    begin, end = "<!-- metrics: written by make golden -->\n", "<!-- /metrics -->"
    head, _, rest = METRICS.read_text().partition(begin)
    _, _, tail = rest.partition(end)
    golden(METRICS, head + begin + "".join(f"{row}\n" for row in rows) + end + tail)


def test_the_configuration_reference_is_that_of_the_models() -> None:
    golden(REFERENCE, "\n".join(reference()) + "\n")


def reference() -> Iterator[str]:
    yield "# Configuration"
    yield ""
    yield "Written from the settings models by `make golden`. A duration is text such as `30s`, `5m` or `1h30m`; a"
    yield "secret is `{env: NAME}` or `{file: PATH}`, relative to the file; names of providers and checks are made of"
    yield "lower case letters, digits, `-` and `_`, and become labels."
    yield ""
    for heading, part in SECTIONS.items():
        yield f"## {heading}"
        for name, spec in part.types.items():
            yield from section(f"type: {name}", spec.settings)
        yield ""
    parts: dict[str, type[Settings]] = {
        "diagnose": DiagnoseSettings,
        "alertmanager": AlertmanagerSettings,
        "storage": StorageSettings,
    }
    for heading, model in parts.items():
        yield f"## {heading}"
        yield from section(heading, model)
        yield ""
    yield "## checks"
    for name, kind in KINDS.items():
        yield from section(f"type: {name}", kind.settings)
        yield ""
        yield f"Reasons: {', '.join(f'`{reason}`' for reason in kind.reasons)}."


def section(title: str, model: type[Settings]) -> Iterator[str]:
    yield ""
    yield f"### `{title}`"
    yield ""
    yield inspect.cleandoc(model.__doc__ or "")
    yield ""
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    yield from rows(model)


def rows(model: type[Settings], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = settings_in(field.annotation)
        if name != "type":
            yield f"| `{prefix}{name}` | {default_of(model, field)} | {field.description} |"
        if inner is not None:
            many = "[]" if get_origin(field.annotation) is list else ""
            yield from rows(inner, f"{prefix}{name}{many}.")


def settings_in(annotation: Any) -> type[Settings] | None:
    """The settings that a field holds, alone or in a list, if it holds any."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    return next((found for part in get_args(annotation) if (found := settings_in(part)) is not None), None)


def default_of(model: type[Settings], field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}) or isinstance(value, Settings):
        return "-"
    if isinstance(value, float) and "duration" in str(field.metadata):
        return f"`{format_duration(value)}`"
    return f"`{value}`".replace("|", "\\|")


def test_every_reason_that_a_check_gives_is_in_the_readme() -> None:
    text = README.read_text()
    given = {reason for kind in KINDS.values() for reason in kind.reasons} - {Reason.OK}
    assert sorted(reason for reason in given if f"`{reason}`" not in text) == []


@pytest.mark.parametrize(
    "document", [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_links_to_files_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(README.read_text().splitlines()) < 300


def test_a_secret_has_no_default() -> None:
    models: list[type[Settings]] = [spec.settings for part in SECTIONS.values() for spec in part.types.values()]
    models += [kind.settings for kind in KINDS.values()]
    models += [DiagnoseSettings, AlertmanagerSettings, StorageSettings]
    for model in models:
        assert not any(isinstance(field.default, Secret) for field in model.model_fields.values())
