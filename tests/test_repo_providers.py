"""A provider touches the files that CONTRIBUTING names, and no other: nobody else knows a vendor by its name."""

import re
import subprocess
import sys
from collections.abc import Iterable

import pytest

from checks.providers import PROVIDERS
from checks.target import Wire
from exporter import presets
from exporter.sandbox.vendors import EMULATORS
from tests.repo import ROOT, source_files

FILES = (
    "checks/providers/{vendor}.py",
    "exporter/sandbox/{vendor}.py",
    "tests/test_provider_{vendor}.py",
)
"""Its own files. The first may be a folder, where one file would be too long."""

TABLES = (
    "checks/providers/__init__.py",
    "exporter/sandbox/vendors.py",
    "tests/test_provider_conformance.py",
    "tests/test_provider_faults.py",
)
"""What holds a row for each provider."""

SHARED_BY_HTTP = ["tests/test_provider_conformance.py", "tests/test_provider_faults.py"]
"""The tables of the tests that all share who speak HTTP; who does not is tested by itself."""

SDKS = (
    "bird",
    "boto3",
    "botocore",
    "infobip_api_client",
    "messagebird",
    "plivo",
    "sinch",
    "telnyx",
    "twilio",
    "vonage",
)

BACK_OFFICES = ("checks/backoffices/", "exporter/sandbox/b2core")
"""They name the vendors that they can be set up with."""

# The demo is of one vendor, the sandbox began as one, and the rest are words about it where they matter.
FIRST = "twilio"
VENDORS = [vendor for vendor, spec in PROVIDERS.items() if spec.wire is not Wire.CONFIGURED]
"""Without what the configuration describes, which is of any vendor: those come as presets, see below."""
OVER_HTTP = [vendor for vendor in VENDORS if PROVIDERS[vendor].speaks_http]
LAST = OVER_HTTP[-1]
OF_THE_HOUSE = [vendor for vendor in VENDORS if vendor != FIRST]
KIN = {"bird": ["messagebird"], "messagebird": ["bird"]}
"""Two APIs of one company: they share its domains and its status page."""


BESIDES = {"CHANGELOG.md", "SECURITY.md", "pyproject.toml"}
"""Where a vendor may be named beside its eleven files: what is new, the least rights of its key, its own library."""


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("vendor", OF_THE_HOUSE)
def test_a_provider_has_its_own_files(vendor: str) -> None:
    folder = f"checks/providers/{vendor}/__init__.py"
    missing = [path for each in FILES if not (ROOT / (path := each.format(vendor=vendor))).is_file()]
    if (ROOT / folder).is_file():
        missing.remove(FILES[0].format(vendor=vendor))
    assert missing == []


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_provider_has_a_row_in_each_table(vendor: str) -> None:
    without = [path for path in TABLES if f'"{vendor}":' not in read(path)]
    assert without == ([] if vendor in OVER_HTTP else SHARED_BY_HTTP)


def naming(vendor: str, paths: Iterable[str]) -> set[str]:
    """Those of the files that name a vendor, whatever the case; of what is no text, none does."""
    word = re.compile(rf"(?<![a-z]){vendor}(?![a-z])".encode(), re.IGNORECASE)
    return {path for path in paths if word.search((ROOT / path).read_bytes())}


def mentions(vendor: str) -> set[str]:
    """The sources of both packages that name a vendor."""
    return naming(vendor, (path for path in source_files("checks", "exporter") if path.endswith(".py")))


@pytest.mark.parametrize("vendor", OF_THE_HOUSE)
def test_no_other_source_knows_a_provider_by_its_name(vendor: str) -> None:
    speakers = (
        [vendor, *KIN.get(vendor, [])] if vendor in OVER_HTTP else OF_THE_HOUSE
    )  # of a protocol vendors may speak
    own = {each.format(vendor=speaker) for each in FILES for speaker in speakers} | set(TABLES)
    elsewhere = (f"checks/providers/{vendor}/", f"exporter/sandbox/{vendor}_", *BACK_OFFICES)
    others = {path for path in mentions(vendor) - own if not path.startswith(elsewhere)}
    assert others == set()


def test_the_last_provider_touched_what_contributing_names() -> None:
    """Counted: its own files and rows, and the pages that `make golden` writes."""
    section = read("CONTRIBUTING.md").partition("**A new provider**")[2].partition("\n\n`wire=")[0]
    named = {path.replace("<vendor>", LAST) for path in re.findall(r"`([\w./<>]+\.(?:py|md|json|yml))`", section)}
    own = {each.format(vendor=LAST) for each in FILES}
    written = {"README.md", "docs/configuration.md", "docs/providers.md", "examples/config.schema.json"}
    assert named == own | set(TABLES) | written
    assert len(named) == 11
    assert [path for path in sorted(named) if LAST not in read(path).lower()] == []
    of_kin = {each.format(vendor=kin) for each in FILES for kin in KIN.get(LAST, [])}
    outside = (path for path in source_files() if not path.startswith(("tests/", "docs/")))
    assert naming(LAST, outside) - named - of_kin == BESIDES


def test_a_vendor_is_seen_in_any_case_and_not_within_a_word() -> None:
    assert "checks/providers/vonage.py" in mentions("vonage")
    assert mentions("vona") == set()


@pytest.mark.parametrize("vendor", PROVIDERS)
def test_a_wire_that_is_held_to_a_contract_has_its_test(vendor: str) -> None:
    has_test = (ROOT / f"tests/test_contract_{vendor}.py").is_file()
    assert has_test or PROVIDERS[vendor].wire is not Wire.CONTRACT


@pytest.mark.parametrize("vendor", OVER_HTTP)
def test_a_provider_names_its_domains(vendor: str) -> None:
    assert PROVIDERS[vendor].domains


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_is_data_and_a_row_and_nothing_in_the_code(name: str) -> None:
    section = read("CONTRIBUTING.md").partition("**A new preset**")[2].partition("\n\n")[0]
    named = [path.replace("<name>", name) for path in re.findall(r"`([\w./<>-]+\.(?:py|md|yaml))`", section)]
    assert [path for path in named if name not in path + read(path)] == []
    assert len(named) == 3
    knowing = {
        path for path in source_files("checks", "exporter") if path.endswith(".py") and f'"{name}"' in read(path)
    }
    assert {path for path in knowing if not path.startswith("exporter/sandbox/")} == set()
    assert (name in EMULATORS) == bool(knowing)


def modules_after(code: str) -> set[str]:
    """What a fresh interpreter has loaded."""
    command = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    found = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in found.stdout.split()}


def test_no_sdk_is_loaded_before_a_provider_needs_it() -> None:
    assert modules_after("import exporter.app, exporter.commands, checks.targets") & set(SDKS) == set()


def test_a_provider_loads_no_sdk_of_another() -> None:
    code = (
        "from checks.targets import build_client\nfrom checks.providers.vonage import VonageSettings\n"
        "from checks.secret import Secret\n"
        "build_client(VonageSettings(type='vonage', api_key='abcd1234', api_secret=Secret('x' * 16))).close()"
    )
    loaded = modules_after(code)
    assert "requests" in loaded
    assert loaded & set(SDKS) == set()
