"""What a reader trips over: paths of one machine, missing files, broken promises."""

import os
import re
import tomllib

import pytest

from tests.repo import ROOT, source_files

# In pieces, so that this file does not hold what it forbids.
MACHINE_PATH = re.compile(
    r"(?<![\w.:/~-])/(?:" + "|".join(["work", "root", "home", "Users", "tmp/bash" + "_jobs"]) + r")/"
)
REGISTRY_HOST = re.compile(
    "|".join(
        [
            r"pypi\." + "org",
            r"pythonhosted\." + "org",
            r"registry\.npmjs\." + "org",
            r"registry\.yarnpkg\." + "com",
            r"proxy\.golang\." + "org",
            r"deb\.debian\." + "org",
            r"archive\.ubuntu\." + "com",
            "artifactory" + r"[./]",
            "--(?:extra-)?index-" + "url",
        ]
    )
)

REQUIRED = (
    ".ci/run",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "alerts/alertmanager.example.yml",
    "alerts/twofa.rules.test.yml",
    "alerts/twofa.rules.yml",
    "pyproject.toml",
)


def lines_with(pattern: re.Pattern[str], path: str, text: str) -> list[str]:
    """Every line of the text in which the pattern occurs, with its address."""
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY_HOST], ids=["machine path", "registry host"])
def test_no_file_names_one_machine_or_one_registry(pattern: re.Pattern[str]) -> None:
    assert [line for path in source_files() for line in lines_with(pattern, path, read(path))] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see /" + "work/main", True),
        ("'/" + "root/.cache'", True),
        ("PATH=/" + "home/me/bin", True),
        ("cat /tmp/bash" + "_jobs/1", True),
        ("/" + "Users/me/code", True),
        ("https://example.com/" + "home/page", False),
        ("/var/lib/twofa", False),
        ("../" + "work/file", False),
    ],
)
def test_a_machine_path_is_seen(text: str, found: bool) -> None:
    assert bool(lines_with(MACHINE_PATH, "a.md", text)) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://files.pythonhosted." + "org/packages/x.whl", True),
        ('"resolved": "https://registry.npmjs.' + 'org/x"', True),
        ("pip install --index-" + "url http://mirror/simple", True),
        ("https://www.npmjs.com/package/x", False),
        ("PyPI refuses this classifier", False),
    ],
)
def test_a_registry_host_is_seen(text: str, found: bool) -> None:
    assert bool(lines_with(REGISTRY_HOST, "a.md", text)) is found


def test_the_required_files_are_there() -> None:
    assert [path for path in REQUIRED if path not in source_files()] == []


@pytest.mark.parametrize("path", [".ci/run"])
def test_a_script_can_be_run(path: str) -> None:
    assert os.access(ROOT / path, os.X_OK)


def test_the_changelog_speaks_of_this_version() -> None:
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    headings = re.findall(r"^## \[?([^\]\s]+)", read("CHANGELOG.md"), flags=re.MULTILINE)
    assert {"Unreleased", version} & set(headings), headings


def test_the_readme_promises_the_demo_and_the_tests() -> None:
    readme = read("README.md")
    assert [command for command in ("make demo", "make test") if command not in readme] == []


def test_the_makefile_keeps_every_promise() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), flags=re.MULTILINE))
    promised = {
        (path, target)
        for path in source_files()
        if path.endswith(".md")
        for target in re.findall(r"(?:`|^\s*\$?\s*)make ([a-z-]+)", read(path), flags=re.MULTILINE)
    }
    assert {(path, target) for path, target in promised if target not in targets} == set()
    assert {"demo", "test", "check"} <= targets


def test_continuous_integration_runs_what_people_run() -> None:
    assert read(".ci/run").splitlines()[-1] == "exec make test"
