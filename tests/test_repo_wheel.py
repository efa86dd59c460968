"""The wheel that users install: what is in it, and that it works far from the checkout."""

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.repo import ROOT, source_files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("wheel"),  # one build and one installation for all of these tests
]

EXAMPLES = [path for path in source_files("examples") if path.endswith((".yaml", ".yml"))]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, as packagers do: so that one is complete as well."""
    folder = tmp_path_factory.mktemp("dist")
    build = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", folder, ROOT],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    (path,) = folder.glob("*.whl")
    return path


@dataclass(frozen=True, slots=True)
class Installation:
    """The wheel in an environment of its own."""

    bin: Path
    home: Path  # an empty folder to run from

    def run(self, program: str, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        return subprocess.run(
            [self.bin / program, *arguments],
            check=False,
            cwd=self.home,
            env={**inherited, **env},
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture(scope="module")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", environment], check=True, timeout=60)
    home = tmp_path_factory.mktemp("elsewhere")
    installed = Installation(environment / "bin", home)
    pip = installed.run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    assert pip.returncode == 0, pip.stderr
    return installed


def assert_succeeds(finished: subprocess.CompletedProcess[str]) -> None:
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_wheel_holds_two_packages_and_nothing_else(wheel: Path) -> None:
    names = [name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")]
    assert {re.sub(r"^twofa_exporter-.*\.dist-info$", "dist-info", name.split("/")[0]) for name in names} == {
        "checks",
        "dist-info",
        "exporter",
    }


def test_the_wheel_holds_every_file_of_the_packages_and_the_data_of_alerts_and_dashboards(wheel: Path) -> None:
    # the sources of templates, static files and data lie in the repository: compare, name none twice
    expected = source_files("checks", "exporter")
    expected += [f"exporter/{path}" for path in source_files("alerts", "dashboards") if not path.endswith(".py")]
    names = zipfile.ZipFile(wheel).namelist()
    packaged = [name for name in names if ".dist-info/" not in name and not name.endswith("/")]
    assert sorted(packaged) == sorted(expected)
    assert {"exporter/alerts/twofa.rules.yml", "exporter/dashboards/twofa-overview.json"} <= set(packaged)


def test_the_installed_command_says_its_version(installation: Installation, wheel: Path) -> None:
    finished = installation.run("twofa-exporter", "--version")
    assert_succeeds(finished)
    assert wheel.name.split("-")[1] in finished.stdout.split()


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_installed_command_accepts_an_example(installation: Installation, example: str) -> None:
    text = (ROOT / example).read_text(encoding="utf-8")
    secrets = dict.fromkeys(re.findall(r"\benv:\s*[\"']?(\w+)", text), "JBSWY3DPEHPK3PXP")
    assert_succeeds(installation.run("twofa-exporter", "config", "check", "--config.file", ROOT / example, **secrets))


def test_the_installed_demo_runs_every_check_once(installation: Installation) -> None:
    assert_succeeds(installation.run("twofa-exporter", "demo", "--once"))


@pytest.mark.parametrize(("group", "folder"), [("rules", "alerts"), ("dashboards", "dashboards")])
def test_the_installed_command_exports_what_is_in_the_repository(
    installation: Installation, tmp_path: Path, group: str, folder: str
) -> None:
    assert_succeeds(installation.run("twofa-exporter", group, "export", tmp_path))
    exported = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(exported) > 5
    for path in exported:
        assert path.read_bytes() == (ROOT / folder / path.relative_to(tmp_path)).read_bytes()


def test_both_packages_come_from_the_installation(installation: Installation) -> None:
    show = "import checks, exporter; print(checks.__file__, exporter.__file__)"
    finished = installation.run("python", "-c", show)
    assert_succeeds(finished)
    first, second = (Path(file).parents[1] for file in finished.stdout.split())
    assert first == second
    assert first.is_relative_to(installation.bin.parent)


def test_another_package_called_checks_is_refused(installation: Installation, tmp_path: Path) -> None:
    foreign = tmp_path / "checks"
    foreign.mkdir()
    (foreign / "__init__.py").touch()
    finished = installation.run("twofa-exporter", "--version", PYTHONPATH=str(tmp_path))
    assert (finished.returncode, finished.stderr) == (
        2,
        f'twofa-exporter: another package named "checks" is installed in {tmp_path.resolve()};'
        " install twofa-exporter in its own environment\n",
    )
