"""How soon a fault pages in production: the document is that of the rules, and every fault is in it."""

import pytest

from exporter.sandbox.faults import FAULTS
from tests.fault_pages import PAGES
from tests.repo import ROOT
from tests.test_repo_docs import golden
from tests.time_to_page import DETECTED, Row, document, minutes, rows

DOCUMENT = ROOT / "docs" / "time-to-page.md"


def test_the_document_is_that_of_the_rules() -> None:
    golden(DOCUMENT, document())


def test_every_fault_that_pages_has_a_time() -> None:
    timed = {row.fault for row in rows()} | set(DETECTED)
    assert timed == {fault for fault in FAULTS if PAGES[fault] is not None}


@pytest.mark.parametrize(
    ("interval", "holds", "bound", "median", "worst"),
    [
        (60.0, 120.0, "3:30", "3:15", "4:00"),
        (20.0, 50.0, "1:40", "1:55", "2:20"),  # 50 s are four evaluations
    ],
)
def test_times_are_those_of_the_phases(interval: float, holds: float, bound: str, median: str, worst: str) -> None:
    page = PAGES["balance_exhausted"]
    assert page is not None
    row = Row("balance_exhausted", page, "balance", interval, holds, 30.0)
    assert (minutes(row.bound), minutes(row.median), minutes(row.worst)) == (bound, median, worst)
