"""From evidence to the ranked list."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..reason import Reason
from .evidence import Evidence
from .findings import Confidence, Finding, Line
from .rules import RULES

_CONFIDENCE_ORDER = tuple(Confidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The answer: never empty, the best explanation first."""

    evidence: Evidence
    findings: Sequence[Finding]

    @property
    def first(self) -> Finding:
        """The best explanation."""
        return self.findings[0]


def diagnose(evidence: Evidence) -> Diagnosis:
    """Return what explains the evidence, ranked.

    The order is that of the table, and what is merely possible comes after the rest; a reason that several rules name
    stands where the first of them put it, with the evidence of all. That nothing was found is said where nothing was
    found.
    """
    found: dict[Reason, Finding] = {}
    for rule in RULES:
        for finding in rule.judge(evidence):
            if finding.reason is Reason.OK and found:
                continue
            known = found.get(finding.reason)
            found[finding.reason] = finding if known is None else _joined(known, finding)
    ranked = sorted(found.values(), key=lambda finding: finding.confidence is Confidence.POSSIBLE)
    return Diagnosis(evidence=evidence, findings=tuple(ranked))


def _joined(first: Finding, second: Finding) -> Finding:
    lines: list[Line] = [*first.evidence]
    lines += [line for line in second.evidence if line not in lines]
    return replace(
        first,
        confidence=min(first.confidence, second.confidence, key=_CONFIDENCE_ORDER.index),
        evidence=tuple(lines),
    )
