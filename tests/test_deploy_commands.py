"""Every command line of deploy/: the exporter knows its flags, and all of them agree on where things are."""

import json
import re
from collections.abc import Mapping

import pytest
import yaml
from typer.testing import CliRunner

from exporter.commands import app
from tests.repo import ROOT

DEPLOY = ROOT / "deploy"


def commands() -> Mapping[str, list[str]]:
    """The words after the name of the program, by the file that has them."""
    unit = re.sub(r"\\\n", " ", (DEPLOY / "systemd/twofa-exporter.service").read_text())
    (start,) = re.findall(r"^ExecStart=\S+ (.*)$", unit, flags=re.MULTILINE)
    (cmd,) = re.findall(r"^CMD (.*)$", (DEPLOY / "container/Containerfile").read_text(), flags=re.MULTILINE)
    (health,) = re.findall(r"^ +CMD (.*)$", (DEPLOY / "container/Containerfile").read_text(), flags=re.MULTILINE)
    compose = yaml.safe_load((DEPLOY / "compose/compose.yml").read_text())["services"]["twofa-exporter"]["command"]
    template = (DEPLOY / "helm/twofa-exporter/templates/statefulset.yaml").read_text()
    chart = re.findall(r"^ +- (serve|--[^\s{]+)$", template, flags=re.MULTILINE)
    return {
        "systemd": start.split(),
        "container": json.loads(cmd),
        "health": json.loads(health)[1:],
        "compose": compose,
        "helm": chart,
    }


def said_of(words: list[str]) -> tuple[int, str]:
    """How a command line is taken, without running it: the help comes once every flag is known."""
    done = CliRunner().invoke(app, [*words, "--help"])
    return done.exit_code, done.stderr


@pytest.mark.parametrize("name", commands())
def test_the_exporter_knows_every_flag(name: str) -> None:
    assert said_of(commands()[name]) == (0, "")


def test_a_flag_that_the_exporter_does_not_know_is_seen() -> None:
    code, words = said_of(["serve", "--storage.folder=/var/lib"])
    assert (code, "storage.folder" in words) == (2, True)


@pytest.mark.parametrize("name", [name for name, words in commands().items() if words[0] == "serve"])
def test_each_has_a_configuration_and_a_database_at_their_usual_places(name: str) -> None:
    flags = dict(word.split("=", 1) for word in commands()[name][1:])
    assert flags["--config.file"] == "/etc/twofa-exporter/twofa-exporter.yml"
    assert flags["--storage.path"].replace("%S", "/var/lib") == "/var/lib/twofa-exporter/twofa-exporter.db"
