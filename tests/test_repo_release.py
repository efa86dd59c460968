"""The checks before a release: that each can fail, and the cheap ones themselves. ``make release-check`` runs all."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.release.__main__ import (
    FailedError,
    Release,
    SkippedError,
    judge_audit,
    says_why,
    sbom_names,
    take,
)
from tests.release.artifacts import copy_sources, differences
from tests.release.environment import ALLOWED, Dependency, dependencies_of, is_permissive
from tests.repo import ROOT, source_files

OSI = "License :: OSI Approved :: "


@pytest.mark.parametrize(
    ("expression", "accepted"),
    [
        ("MIT", True),
        ("Apache-2.0 AND MIT", True),
        ("(MIT OR Apache-2.0)", True),
        ("GPL-3.0-only OR MIT", True),
        ("MIT AND LGPL-3.0-only", False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("MPL-2.0", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_a_licence_is_permissive_or_not(expression: str, accepted: bool) -> None:
    assert is_permissive(expression) is accepted


def test_what_is_let_in_is_let_in_under_one_licence() -> None:
    assert [Dependency(name, "1", licence).is_accepted for name, licence in ALLOWED.items()] == [True] * len(ALLOWED)
    assert not Dependency("certifi", "1", "GPL-3.0-only").is_accepted
    assert not Dependency("another", "1", "MPL-2.0").is_accepted


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ({"License-Expression": ["MIT OR ISC"], "Classifier": [OSI + "BSD License"]}, "MIT OR ISC"),
        ({"License": ["see the file"], "Classifier": [OSI + "MIT License"]}, "MIT"),
        ({"Classifier": ["License :: OSI Approved"], "License": ["Apache 2.0"]}, "Apache-2.0"),
        ({"Classifier": [OSI + "MIT License", OSI + "GNU General Public License v3 (GPLv3)"]},
         "GNU General Public License v3 (GPLv3) AND MIT"),
        ({"License": ["MIT License\n\nPermission is hereby granted"]}, "MIT"),
        ({"License": [" "]}, ""),
        ({}, ""),
    ],
)  # fmt: skip
def test_the_licence_is_what_the_metadata_tell(metadata: dict[str, Any], licence: str) -> None:
    named = {"Name": ["Some_thing.x"], "Version": ["1"], **metadata}
    assert dependencies_of([named]) == [Dependency("some-thing-x", "1", licence)]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("run(x)  # noqa: S608", False),
        ("run(x)  # noqa: S101, S104", False),
        ("assert x is not None  # noqa: S101", False),
        ('    assert x is not None, "the settings see to that"  # noqa: S101', True),
        ("Random(x)  # noqa: S311  a made-up network", True),
        ("load(x)  # noqa: S506  # it is safe", True),
    ],
)
def test_an_exception_says_why(line: str, told: bool) -> None:
    assert says_why(line) is told


def report(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


KNOWN = {"name": "a", "version": "1", "vulns": []}
UNKNOWN = {"name": "b", "skip_reason": "not found"}
HOLE = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1"}]}


@pytest.mark.parametrize(
    ("said", "words", "ended"),
    [
        (report(KNOWN), "", ("ok", "no known hole in 1 distributions")),
        (report(KNOWN, UNKNOWN), "", ("FAILED", "nothing is known of b")),
        (report(KNOWN, UNKNOWN, HOLE), "", ("FAILED", "c 2: PYSEC-1")),
        (report(UNKNOWN), "", ("SKIPPED", "the index that answers here has no advisories: run it where it has")),
        ("", "Traceback\nValueError: x", ("FAILED", "pip-audit: Traceback\nValueError: x")),
        (
            "",
            "Traceback\nrequests.exceptions.ProxyError: no",
            ("SKIPPED", "the advisories cannot be reached: run it where they can (requests.exceptions.ProxyError: no)"),
        ),
    ],
)
def test_an_audit_that_asked_nobody_is_no_success(said: str, words: str, ended: tuple[str, str]) -> None:
    assert take(lambda: judge_audit(said, words)) == ended


def fail(error: Exception) -> Callable[[], str]:
    def step() -> str:
        raise error

    return step


def test_a_step_ends_in_one_of_three_ways() -> None:
    assert take(lambda: "fine") == ("ok", "fine")
    assert take(fail(FailedError("no"))) == ("FAILED", "no")
    assert take(fail(SkippedError("later"))) == ("SKIPPED", "later")


def test_an_sbom_names_itself_and_its_parts() -> None:
    sbom = {"metadata": {"component": {"name": "twofa-exporter"}}, "components": [{"name": "pydantic_core"}]}
    assert sbom_names(sbom) == {"twofa-exporter", "pydantic-core"}


def wheel(path: Path, date: int, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, (date, 1, 1, 0, 0, 0)), text)
    return path


def test_wheels_are_the_same_to_the_byte_or_say_where_not(tmp_path: Path) -> None:
    one = wheel(tmp_path / "1.whl", 2026, a="x", b="y")
    assert differences(one, wheel(tmp_path / "2.whl", 2026, a="x", b="y")) == ()
    assert differences(one, wheel(tmp_path / "3.whl", 2026, a="x", c="y")) == ["b", "c"]
    assert differences(one, wheel(tmp_path / "4.whl", 2025, a="x", b="y")) == ["the archive itself"]


def test_a_copy_of_the_sources_is_complete_and_older(tmp_path: Path) -> None:
    copy = copy_sources(tmp_path, age_seconds=86_400, mode=0o600)
    assert [name for name in source_files("exporter") if not (copy / name).is_file()] == []
    assert (copy / "pyproject.toml").stat().st_mtime < (ROOT / "pyproject.toml").stat().st_mtime


def test_every_exception_from_the_rules_of_bandit_has_its_reason(tmp_path: Path) -> None:
    assert "each with its reason" in Release(tmp_path, tmp_path).check_bandit_rules()
