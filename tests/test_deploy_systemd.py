"""The systemd unit: what systemd itself says of it."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.repo import ROOT, require_program

HERE = ROOT / "deploy" / "systemd"
UNIT = HERE / "twofa-exporter.service"
SECRETS = HERE / "secrets.conf"
HIGHEST_EXPOSURE = 1.5  # of 10; versions of systemd count differently


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [require_program("systemd-analyze"), "--no-pager", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"LANG": "C.UTF-8"})


def exposure_of(unit: Path) -> float:
    done = analyze("security", "--offline=true", unit)
    match = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert match is not None, done.stdout + done.stderr
    return float(match[1])


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit and its drop-in, with a program that is there."""
    path = tmp_path / UNIT.name
    path.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE))
    drop_ins = tmp_path / f"{UNIT.name}.d"
    drop_ins.mkdir()
    (drop_ins / SECRETS.name).write_text(SECRETS.read_text())
    return path


def settings() -> Mapping[str, str]:
    text = re.sub(r"\\\n\s*", " ", UNIT.read_text())
    return dict(re.findall(r"^(\w+)=(.*)$", text, flags=re.MULTILINE))


def test_systemd_understands_every_line(unit: Path) -> None:
    done = analyze("verify", "--man=no", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_line_that_systemd_does_not_know_is_seen(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("PrivateTmp=yes", "PrivateTemp=yes"))
    done = analyze("verify", "--man=no", unit)
    assert "PrivateTemp" in done.stderr


def test_it_is_hardly_exposed(unit: Path) -> None:
    assert exposure_of(unit) <= HIGHEST_EXPOSURE
    unit.write_text(unit.read_text().replace("SystemCallFilter", "X-SystemCallFilter"))
    assert exposure_of(unit) > HIGHEST_EXPOSURE


def test_the_documents_tell_its_exposure(unit: Path) -> None:
    version = analyze("--version").stdout.split()[1]
    told = dict(re.findall(r"exposure of ([\d.]+) by systemd (\d+)", (ROOT / "docs/deploy.md").read_text()))
    assert told
    known = {major: float(exposure) for exposure, major in told.items()}
    if version in known:
        assert exposure_of(unit) == known[version]


def test_a_reload_is_a_hang_up_and_a_wrong_configuration_is_not_tried_again() -> None:
    assert settings()["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert settings()["RestartPreventExitStatus"] == "2"


def test_it_promises_systemd_nothing_that_the_exporter_does_not_do() -> None:
    said = [path for path in (ROOT / "exporter").rglob("*.py") if "NOTIFY_SOCKET" in path.read_text()]
    assert (settings()["Type"], "WatchdogSec" in settings(), said) == ("exec", False, [])


def test_the_database_is_in_the_folder_that_systemd_gives_it() -> None:
    assert settings()["StateDirectory"] == "twofa-exporter"
    assert "--storage.path=%S/twofa-exporter/" in settings()["ExecStart"]


def test_a_secret_is_read_from_where_systemd_puts_it() -> None:
    (loaded,) = re.findall(r"^LoadCredential=(\w+):(\S+)$", SECRETS.read_text(), flags=re.MULTILINE)
    (read,) = re.findall(r"\{ file: (\S+) \}", SECRETS.read_text())
    assert read == f"/run/credentials/{UNIT.name}/{loaded[0]}"
    assert read in (ROOT / "docs/deploy.md").read_text()
