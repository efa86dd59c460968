"""Targets are dealt out to exporters: each to one, always the same one, and few move when there is one more."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Config, for_shard, load
from exporter.meters import Meters
from exporter.metrics import TwofaCollector
from exporter.shard import MOST_SHARDS, Shard, ShardError, jump, shard_of
from exporter.storage import Storage
from tests.processes import run_command

CONFIG = """
providers:
  one: {type: twilio, account_sid: AC11111111111111111111111111111111, auth_token: {env: TOKEN}}
  two: {type: twilio, account_sid: AC22222222222222222222222222222222, auth_token: {env: TOKEN}}
back_offices:
  office: {type: b2core, url: "https://b2core.example.com", email: a@example.com, password: {env: TOKEN}}
checks:
  keys-one: {type: credentials, target: one}
  keys-two: {type: credentials, target: two}
  sms: {type: enablement, target: office, provider: main, compare_with: one}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("TOKEN", "t" * 32)
    path = tmp_path / "c.yml"
    path.write_text(CONFIG)
    return load(path)


def test_the_hash_is_the_same_for_ever() -> None:
    """With another one an upgrade would move targets, and count their messages anew."""
    names = ("twilio", "twilio-eu", "vonage", "b2core", "clock", "a", "target-1000")
    assert [shard_of(name, 2) for name in names] == [1, 1, 1, 1, 0, 0, 1]
    assert [shard_of(name, 7) for name in names] == [2, 5, 3, 2, 2, 6, 6]


def test_the_hash_is_the_published_one() -> None:
    # the first twenty numbers among 100, as Guava's own tests have them
    known = [0, 55, 62, 8, 45, 59, 86, 97, 82, 59, 73, 37, 17, 56, 86, 21, 90, 37, 38, 83]
    assert [jump(key, 100) for key in range(20)] == known


@given(st.text(max_size=64), st.integers(1, MOST_SHARDS - 1))
def test_one_more_shard_moves_a_target_there_or_not_at_all(name: str, count: int) -> None:
    before, after = shard_of(name, count), shard_of(name, count + 1)
    assert 0 <= before < count
    assert after in (before, count)


def test_targets_are_dealt_out_evenly() -> None:
    found = Counter(shard_of(f"target-{number}", 5) for number in range(5000))
    assert all(900 < found[shard] < 1100 for shard in range(5))


@pytest.mark.parametrize("text", ["", "1", "2/2", "-1/2", "0/0", "1/2/3", "a/b", "0/101", " 0/2", "0/2\n"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ShardError, match="--shard: must be i/n with i from 0 to n - 1 and n up to 100"):
        Shard.parse(text)


def test_a_shard_is_what_it_is_written_as() -> None:
    assert (Shard.parse("1/3"), str(Shard.parse("1/3"))) == (Shard(1, 3), "1/3")


def test_each_check_belongs_to_one_shard_with_its_target(config: Config) -> None:
    parts = [for_shard(config, Shard(number, 3)) for number in range(3)]
    assert Counter(name for part in parts for name in part.checks) == Counter(config.checks.keys())
    assert Counter(name for part in parts for name in part.targets) == Counter(config.targets.keys())
    assert all(check.target in part.targets for part in parts for check in part.checks.values())


def test_a_check_that_compares_knows_the_provider_of_another_shard(config: Config) -> None:
    parts = [for_shard(config, Shard(number, 50)) for number in range(50)]
    (office,) = (part for part in parts if "office" in part.targets)
    assert "one" not in office.targets
    assert office.identities()["one"] == config.identities()["one"]


def test_one_shard_of_one_has_everything(config: Config) -> None:
    assert for_shard(config, Shard()) is config


def test_a_shard_without_targets_says_so(config: Config) -> None:
    (empty, *_) = (part for number in range(50) if not (part := for_shard(config, Shard(number, 50))).checks)
    assert any("no check looks at a target of it" in warning for warning in empty.warnings)


def test_each_exporter_tells_which_shard_it_is(config: Config) -> None:
    collector = TwofaCollector(lambda: config, Storage.in_memory(Meters()), Meters(), shard=Shard(1, 3))
    samples = {
        sample.name: (sample.labels, sample.value)
        for metric in collector.collect()
        for sample in metric.samples
        if sample.name in ("twofa_exporter_shards", "twofa_exporter_leader")
    }
    assert samples == {"twofa_exporter_shards": ({"shard": "1"}, 3.0), "twofa_exporter_leader": ({}, 1.0)}


def test_the_command_refuses_what_is_no_shard(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text(CONFIG)
    done = run_command("serve", f"--config.file={path}", "--web.listen-address=127.0.0.1:0", "--shard=2/2")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        '--shard: must be i/n with i from 0 to n - 1 and n up to 100, such as 0/2, got "2/2"'
    )
