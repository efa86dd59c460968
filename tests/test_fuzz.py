"""A short run of every fuzz target, and that the fuzzer finds what is there. ``make fuzz`` takes longer."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from checks.providers import PROVIDERS
from tests.fuzz import answers, callbacks, configuration, target
from tests.fuzz.registry import TARGETS
from tests.fuzz.target import FoundError, Run, Target, corpus, fuzz, keep
from tests.repo import source_files
from tests.stub_server import StubServer

EXAMPLES = {"answers": 60, "callbacks": 60, "configuration": 20, "metrics": 6, "web_configuration": 40}


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_hostile_breaks(name: str) -> None:
    is_ci = os.environ.get("CI") == "true"  # where a change must not fail for what is older than it
    with TARGETS[name].open() as run:
        fuzz(TARGETS[name], run, examples=EXAMPLES[name], kept=corpus(name), derandomize=is_ci)


def test_every_folder_of_the_corpus_is_of_a_target() -> None:
    assert {path.split("/")[3] for path in source_files("tests/fuzz/corpus")} <= set(TARGETS)


def test_every_vendor_has_words_to_be_fuzzed_with() -> None:
    assert [vendor for vendor in PROVIDERS if not answers.words_of(vendor)] == []


@pytest.mark.parametrize("vendor", callbacks.SIGNERS)
def test_a_signed_post_that_is_as_it_should_be_is_believed(vendor: str) -> None:
    signer = callbacks.SIGNERS[vendor]
    assert callbacks.read(callbacks.client_of(vendor), signer.sign(signer.good))


def test_recorded_answers_are_understood() -> None:
    with StubServer() as stub:
        refused = [example["call"] for example in corpus(answers.NAME) if not answers.check(stub, example)]
    assert refused == []


def test_good_documents_are_accepted() -> None:
    with configuration.TARGET.open() as run:
        accepted = [run(seed) for seed in configuration.SEEDS]
    assert accepted == [True] * len(accepted)


@contextmanager
def opened() -> Iterator[Run]:
    def run(example: Any) -> None:
        assert b"x" not in example

    yield run


FRAGILE = Target(name="fragile", examples=st.binary(max_size=50), open=opened, suffix=".txt")


def test_a_defect_is_found_made_small_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "CORPUS", tmp_path)
    with opened() as run, pytest.raises(FoundError) as caught:
        fuzz(FRAGILE, run, examples=5000)
    assert caught.value.example == b"x"
    path = keep(FRAGILE, caught.value.example)
    assert corpus("fragile") == [b"x"]
    assert path.parent == tmp_path / "fragile"
    with opened() as run, pytest.raises(FoundError):  # what is kept comes first
        fuzz(FRAGILE, run, examples=1, kept=corpus("fragile"))
