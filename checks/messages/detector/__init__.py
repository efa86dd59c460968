"""The detector of operator faults: pure, without I/O, clock and randomness."""

from .detector import Detector
from .ranking import NAMED
from .settings import DetectorSettings
from .signatures import Hypothesis
from .verdict import NodeReading, Scope, Suspicion, Verdict

__all__ = ["NAMED", "Detector", "DetectorSettings", "Hypothesis", "NodeReading", "Scope", "Suspicion", "Verdict"]
