"""The documents say what the code does: tables are generated from it, and `make golden` rewrites them."""

import inspect
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from checks.callbacks import CallbackClient
from checks.clients import MessageSearchClient
from checks.kinds import KINDS
from checks.providers import PROVIDERS
from checks.providers.http_json import HttpJsonSettings
from checks.providers.http_json.expressions import OWN_FUNCTIONS
from checks.reason import Reason
from checks.secret import Secret
from checks.settings import Settings, format_duration
from checks.target import TargetSpec, Wire
from checks.targets import SECTIONS
from exporter import presets
from exporter.alerting import AlertmanagerSettings
from exporter.config import DiagnoseSettings
from exporter.families import FAMILIES
from exporter.routes import RouteSettings
from exporter.sandbox.vendors import EMULATORS
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
    golden(METRICS, within(METRICS, "metrics", rows))


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
        "routes": RouteSettings,
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


PROVIDERS_PAGE = ROOT / "docs" / "providers.md"


def test_the_tables_of_providers_are_that_of_the_code() -> None:
    golden(PROVIDERS_PAGE, within(PROVIDERS_PAGE, "providers", provider_table()))
    golden(README, within(README, "providers", provider_table()))


def within(document: Path, name: str, lines: Iterable[str]) -> str:
    """The text of a document with a part of it anew."""
    begin, end = f"<!-- {name}: written by make golden -->\n", f"<!-- /{name} -->"
    head, found, rest = document.read_text().partition(begin)
    assert found, f"{document.name} has no part {name}"
    return head + begin + "".join(f"{line}\n" for line in lines) + end + rest.partition(end)[2]


def provider_table() -> Iterator[str]:
    """What each provider can be asked: a capability is a protocol that the client implements."""
    able = {
        **{f"`{name}`": kind.needs for name, kind in KINDS.items() if name in OF_PROVIDERS},
        "callbacks": CallbackClient,
        "search, look-up": MessageSearchClient,
    }
    yield f"| `type` | {' | '.join(able)} | wire |"
    yield f"|---|{'---|' * len(able)}---|"
    for name, spec in PROVIDERS.items():
        yield f"| `{name}` | {' | '.join(_is_able(spec, protocol) for protocol in able.values())} | {spec.wire} |"


def _is_able(spec: TargetSpec, protocol: type) -> str:
    if not spec.implements(protocol):
        return "-"
    return "if described" if spec.wire is Wire.CONFIGURED else "yes"


def test_every_word_for_how_well_a_wire_is_verified_is_explained() -> None:
    text = PROVIDERS_PAGE.read_text()
    assert [wire for wire in Wire if f"- **{wire}**: " not in text] == []


OF_PROVIDERS = [name for name, kind in KINDS.items() if any(s.implements(kind.needs) for s in PROVIDERS.values())]


PRESETS_PAGE = ROOT / "docs" / "presets.md"


def test_the_page_of_presets_is_that_of_their_files() -> None:
    golden(PRESETS_PAGE, "\n".join(presets_page()) + "\n")


def presets_page() -> Iterator[str]:
    """The page of presets: what each can answer, what it wants, and what of it no source confirms."""
    yield "# Presets"
    yield ""
    yield "Written from `checks/providers/presets` by `make golden`. A preset describes a vendor for the provider"
    yield "`http_json`: an entry names it and gives its credentials, and wins wherever it says something itself."
    yield ""
    yield "```yaml"
    yield "providers:"
    yield "  spare: {type: http_json, preset: clicksend, credentials: {username: {env: USER}, api_key: {env: KEY}}}"
    yield "```"
    yield ""
    yield "Callbacks are taken where the entry has `callbacks.verify`. What is marked unverified stands in no source of"
    yield "ours: look at the first answers yourself, with `twofa-exporter provider probe spare --dump`. For a vendor"
    yield "that is not here see [adding-a-provider.md](adding-a-provider.md)."
    names = presets.names()
    able = {
        f"check `{name}`": kind.needs for name, kind in KINDS.items() if PROVIDERS["http_json"].implements(kind.needs)
    }
    entries = {name: _entry_of(name) for name in names}
    yield ""
    yield f"| | {' | '.join(f'`{name}`' for name in names)} |"
    yield f"|---|{'---|' * len(names)}"
    for words, protocol in able.items():
        yield f"| {words} | {' | '.join('-' if each.lacks(protocol) else 'yes' for each in entries.values())} |"
    yield f"| callbacks | {' | '.join('yes' if 'callbacks' in presets.load(name) else '-' for name in names)} |"
    yield f"| unverified settings | {' | '.join(str(len(presets.preset(name).about.unverified)) for name in names)} |"
    yield f"| in the conformance tests | {' | '.join('yes' if name in EMULATORS else '-' for name in names)} |"
    for name in names:
        about = presets.preset(name).about
        yield ""
        yield f"## {about.title}"
        yield ""
        yield f"`preset: {name}`, `base_url: {entries[name].base_url}`. Credentials:"
        yield ""
        yield from (f"- `{credential}`: {words}" for credential, words in about.credentials.items())
        yield ""
        if about.notes:
            yield from ("To heed:", "", *(f"- {note}" for note in about.notes), "")
        yield f"Sources: {'; '.join(about.sources)}."
        if about.unverified:
            yield ""
            yield f"Unverified: {', '.join(f'`{path}`' for path in about.unverified)}."


def _entry_of(name: str) -> HttpJsonSettings:
    """Return the settings of a preset, with credentials of nobody."""
    credentials = dict.fromkeys(presets.preset(name).about.credentials, Secret("nobody's"))
    entry = {"type": "http_json", "preset": name, "credentials": credentials}
    return HttpJsonSettings.model_validate(entry, context=presets.CONTEXT)


ADDING_PAGE = ROOT / "docs" / "adding-a-provider.md"


def test_the_functions_of_expressions_are_those_of_the_code() -> None:
    golden(ADDING_PAGE, within(ADDING_PAGE, "functions", function_table()))


def function_table() -> Iterator[str]:
    """What an expression may call besides the functions of JMESPath."""
    yield "| call | takes | gives |"
    yield "|---|---|---|"
    for function in OWN_FUNCTIONS:
        takes = "; ".join(f"`{name}`: {' or '.join(types) or 'anything'}" for name, types in function.arguments)
        call = ", ".join(name for name, _ in function.arguments)
        yield f"| `{function.name}({call})` | {takes} | {function.gives.removesuffix('.')} |"


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


PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
_SUFFIXES = {"histogram": ("_bucket", "_count", "_sum")}  # of the series of one family


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_metric_that_a_page_names_is_there(page: Path) -> None:
    known = {name + suffix for name, family in FAMILIES.items() for suffix in ("", *_SUFFIXES.get(family.type, ()))}
    # Those with colons are rules; a star, a version or a number makes no metric of it.
    named = re.findall(r"(?<![\w:])twofa_[a-z_]*[a-z](?![\w:*-])", page.read_text())
    assert sorted(set(named) - known) == []


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(README.read_text().splitlines()) < 300


def test_a_secret_has_no_default() -> None:
    models: list[type[Settings]] = [spec.settings for part in SECTIONS.values() for spec in part.types.values()]
    models += [kind.settings for kind in KINDS.values()]
    models += [DiagnoseSettings, AlertmanagerSettings, StorageSettings]
    for model in models:
        assert not any(isinstance(field.default, Secret) for field in model.model_fields.values())
