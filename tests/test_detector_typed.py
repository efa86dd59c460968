"""Typed codes in the detector: what is not known is not held against anybody."""

import math

import pytest

from checks.messages import Confirmation, Movement, Status
from checks.messages.detector import DetectorSettings
from checks.messages.detector.sessions import Sessions, SessionsState
from checks.messages.detector.signatures import Outcome


@pytest.mark.parametrize(
    ("typed_until", "outcome"),
    [(math.inf, Outcome.FAST_UNTYPED), (1180.0, Outcome.FAST_UNTYPED), (1179.0, Outcome.FAST)],
)
def test_a_code_is_untyped_only_where_typing_would_be_known(typed_until: float, outcome: Outcome) -> None:
    sessions = Sessions(DetectorSettings(), SessionsState(now=1000.0))
    arrived = Movement(b"message", b"recipient", 1000.0, "DE", "O2", Status.DELIVERED, 1005.0)
    sessions.take(arrived, 0, 1000.0)
    sessions.confirm(Confirmation(b"another", 1010.0), 1000.0)
    looks = list(sessions.looks(1200.0, typed_until))
    assert looks[-1].after == outcome
