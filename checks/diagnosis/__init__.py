"""Why does this client get no code? From evidence to ranked reasons with next steps. Pure, without I/O."""

from .diagnose import Diagnosis, diagnose
from .evidence import METHOD_WORDS, Alarm, CheckStanding, CodeMatch, Evidence, Missing, Subject
from .findings import Confidence, Finding, Line

__all__ = [
    "METHOD_WORDS",
    "Alarm",
    "CheckStanding",
    "CodeMatch",
    "Confidence",
    "Diagnosis",
    "Evidence",
    "Finding",
    "Line",
    "Missing",
    "Subject",
    "diagnose",
]
