"""The container image: its lock files, its Containerfile, and what goes to the engine. ``make image-check`` runs it."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.deploy.lock import LOCKS
from tests.repo import ROOT, source_files

HERE = ROOT / "deploy" / "container"
CONTAINERFILE = (HERE / "Containerfile").read_text()
IGNORE = (HERE / "Containerfile.dockerignore").read_text().splitlines()
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
SECRET = re.compile(r"TOKEN|SECRET|PASSW|API_?KEY|CREDENTIAL", re.IGNORECASE)


def instructions(stage: int) -> list[tuple[str, str]]:
    """Name and rest of each instruction of a stage of the Containerfile."""
    lines = [line for line in CONTAINERFILE.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines()
    stages: list[list[tuple[str, str]]] = []
    for line in filter(None, joined):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, rest))
    return stages[stage]


def the(name: str, stage: int = -1) -> str:
    (rest,) = (rest for given, rest in instructions(stage) if given == name)
    return rest


def copied() -> list[str]:
    """What the image takes from the repository."""
    return [
        source
        for name, rest in instructions(0)
        if name == "COPY" and not rest.startswith("--")
        for source in rest.split()[:-1]
    ]


def locked(name: str) -> list[tuple[Requirement, list[str]]]:
    """Each requirement of a lock file, with its hashes."""
    text = "\n".join(line for line in (HERE / name).read_text().splitlines() if not line.startswith("#"))
    entries = text.replace("\\\n", " ").splitlines()
    return [
        (Requirement(entry.partition("--hash=")[0]), re.findall(r"--hash=(\S+)", entry))
        for entry in entries
        if entry.strip()
    ]


# --- the lock files --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_names_one_version_of_each_package_and_its_files(name: str) -> None:
    requirements = locked(name)
    assert requirements
    for requirement, hashes in requirements:
        assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), requirement
        assert hashes, requirement
        assert [value for value in hashes if not re.fullmatch(r"sha256:[0-9a-f]{64}", value)] == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_satisfies_what_the_project_asks_for(name: str) -> None:
    section, key = LOCKS[name]
    # where versions differ by Python, the lock holds one for each
    versions: dict[str, list[str]] = {}
    for requirement, _ in locked(name):
        versions.setdefault(canonicalize_name(requirement.name), []).append(str(requirement.specifier)[2:])
    asked = [Requirement(text) for text in PYPROJECT[section][key]]
    unmet = [
        str(requirement)
        for requirement in asked
        if not versions.get(canonicalize_name(requirement.name))
        or not all(requirement.specifier.contains(version) for version in versions[canonicalize_name(requirement.name)])
    ]
    assert unmet == [], "make lock brings the lock files up to date"


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_says_what_writes_it_and_names_no_index(name: str) -> None:
    head = [line for line in (HERE / name).read_text().splitlines() if not line.startswith(("    --hash", " "))]
    assert head[1] == "#    make lock"
    assert [line for line in head if line.startswith("-")] == []


# --- the Containerfile -----------------------------------------------------------------------------


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, HERE / "Containerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_base_is_one_release_that_the_project_runs_on() -> None:
    bases = {instructions(stage)[0][1].removesuffix(" AS build") for stage in (0, 1)}
    assert len(bases) == 1
    match = re.fullmatch(r"docker\.io/library/python:(3\.\d+)-slim-[a-z]+", bases.pop())
    assert match is not None
    assert SpecifierSet(PYPROJECT["project"]["requires-python"]).contains(match[1])
    assert f'base.name="{instructions(0)[0][1].removesuffix(" AS build")}"' in the("LABEL")


def test_everything_is_installed_by_its_hash() -> None:
    installing = [rest for stage in (0, 1) for name, rest in instructions(stage) if name == "RUN"]
    commands = [part.strip() for rest in installing for part in rest.split("&&")]
    for command in commands:
        if re.search(r"-m pip .*(install|wheel)", command):
            assert "--require-hashes" in command or "--no-index" in command, command
    for name in LOCKS:
        assert sum(f"--requirement {name}" in command for command in commands) == 1


def test_it_runs_as_a_user_who_is_not_root_by_number() -> None:
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", the("USER"))
    names = [name for name, _ in instructions(-1)]
    assert "RUN" not in names[names.index("USER") :]


def test_the_database_is_in_the_volume() -> None:
    (volume,) = json.loads(the("VOLUME"))
    assert f"--storage.path={volume}/twofa-exporter.db" in json.loads(the("CMD"))
    assert the("WORKDIR") == volume
    user = the("USER").partition(":")[0]
    (making,) = (rest for name, rest in instructions(-1) if name == "RUN")
    assert f"--uid {user} " in making
    assert making.endswith(f"{volume}")


def test_it_stops_and_is_looked_at_as_the_exporter_expects() -> None:
    assert the("STOPSIGNAL") == "SIGTERM"
    # its own command: the image has no curl
    assert json.loads(the("HEALTHCHECK").partition("CMD ")[2])[:2] == [*json.loads(the("ENTRYPOINT")), "health"]


def test_no_secret_is_built_in() -> None:
    given = [rest for stage in (0, 1) for name, rest in instructions(stage) if name in ("ARG", "ENV")]
    assert given
    assert [rest for rest in given if SECRET.search(rest)] == []


def test_the_labels_are_those_of_oci() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\S+?)="([^"]*)"', the("LABEL")))
    assert labels["title"] == PYPROJECT["project"]["name"]
    assert labels["licenses"] == PYPROJECT["project"]["license"]
    assert {"description", "version", "revision", "created", "base.name"} <= labels.keys()


# --- what goes to the engine -----------------------------------------------------------------------


def test_all_that_the_image_takes_is_there_and_goes_to_the_engine() -> None:
    assert [source for source in copied() if not (ROOT / source).exists()] == []
    assert IGNORE[IGNORE.index("*") + 1 :] == [*(f"!{source}" for source in sorted(copied())), "**/__pycache__"]


def test_the_image_takes_all_that_the_wheel_is_made_of() -> None:
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {path.split("/")[0] for path in (*wheel["packages"], *wheel["force-include"])}
    needed |= {PYPROJECT["project"]["readme"], *PYPROJECT["project"]["license-files"], "pyproject.toml"}
    assert needed <= set(copied())


def test_nothing_that_git_does_not_know_goes_to_the_engine_by_name() -> None:
    known = {path.split("/")[0] for path in source_files()}
    assert {line[1:].split("/")[0] for line in IGNORE if line.startswith("!")} <= known
