"""What the detector says: verdicts, suspicions, and the numbers behind them."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from ...reason import Reason
from .signatures import Hypothesis


class Scope(StrEnum):
    """How much of the traffic of one provider a verdict is about."""

    PROVIDER = "provider"
    COUNTRY = "country"
    OPERATOR = "operator"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that chance does not explain."""

    reason: Reason
    scope: Scope
    country: str = ""  # "" where the scope is wider
    operator: str = ""
    score: float  # points
    threshold: float  # points
    since: float  # Unix time: when the evidence began
    evidence: str  # one line for a human, with counts and what is normal
    pages: bool = True  # False: a ticket is enough, no client is harmed


class Suspicion(msgspec.Struct, frozen=True, kw_only=True):
    """A fault for which there is more than half of the evidence that a verdict takes."""

    reason: Reason
    scope: Scope
    country: str = ""
    operator: str = ""
    score: float  # points
    threshold: float  # points


class NodeReading(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of one node: an operator, a country or the provider."""

    scope: Scope
    country: str = ""
    operator: str = ""
    threshold: float  # points
    scores: Mapping[Hypothesis, float]  # points
    gains: Mapping[Hypothesis, float]  # points that ever spoke for it
    losses: Mapping[Hypothesis, float]  # points that ever spoke against it, as a positive number
    baseline: Mapping[str, float]  # by outcome: its ordinary share of the messages, 0 to 1; empty: not known yet
