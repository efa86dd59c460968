"""A diagnosis in words: for a terminal, for a ticket, for a program. Numbers and ids are masked in each of them."""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from checks.diagnosis import METHOD_WORDS, Diagnosis, Evidence, Finding, Line, Subject
from checks.messages.country import mask_number
from checks.reason import Outcome, Reason

from .answer_format import AnswerFormat
from .shipped import runbook_path

_NOTHING: Final = "Nothing was found that keeps codes from this client"
_NOTHING_NEXT: Final = "Ask the client to try again while you watch, and ask again with the message's id."


def title_of(finding: Finding) -> str:
    """Return what a finding says, in words."""
    return _NOTHING if finding.reason is Reason.OK else finding.reason.row.title


def next_step_of(finding: Finding) -> str:
    """Return what to do first."""
    return _NOTHING_NEXT if finding.reason is Reason.OK else finding.next_step


def runbook_of(finding: Finding) -> str | None:
    """Return where the exporter serves what to do about it; None for nothing to do."""
    return None if finding.reason is Reason.OK else runbook_path(finding.reason)


def subject_of(evidence: Evidence) -> str:
    """Return what was asked about, without the client's id and number."""
    where = ", ".join(part for part in (evidence.operator, evidence.country) if part and part != "unknown")
    number = f"{_shortened(evidence.number)}{f' ({where})' if where else ''}" if evidence.number else ""
    match evidence.subject:
        case Subject.CLIENT:
            return f"the client{f' with {number}' if number else ''}"
        case Subject.PHONE:
            return f"phone {number}"
        case Subject.MESSAGE:
            return f"a message{f' to {number}' if number else ''}"


def facts_of(evidence: Evidence) -> Sequence[tuple[str, str]]:
    """Return what was found out, by what it is about; whether it explains anything or not."""
    return list(_facts(evidence))


def _facts(evidence: Evidence) -> Iterator[tuple[str, str]]:
    client = evidence.client
    if client is not None:
        methods = [f"{METHOD_WORDS[method]} {'on' if is_on else 'off'}" for method, is_on in client.methods.items()]
        yield "2FA", ", ".join(methods) or "the back office does not tell"
        if client.phones is not None:
            confirmed = sum(phone.is_confirmed is True for phone in client.phones)
            yield "phones", f"{confirmed} of {len(client.phones)} confirmed" if client.phones else "none"
    if evidence.messages is not None:
        yield "messages", _messages(evidence)
    if evidence.attempts is not None:
        typed = sum(each.converted_at is not None for each in evidence.attempts)
        told = f"{len(evidence.attempts)} in the last day, {typed} typed" if evidence.attempts else "none"
        yield "verifications", told
    if evidence.checks:
        bad = [f"{each.check} ({each.reason})" for each in evidence.checks if each.outcome is not Outcome.PASS]
        passing = f"{len(evidence.checks) - len(bad)} of {len(evidence.checks)} pass"
        yield "checks", f"{passing}; not: {', '.join(bad)}" if bad else passing
    if evidence.alarms is not None:
        yield "alarms", f"{len(evidence.alarms)}, of all operators" if evidence.alarms else "none"
    if evidence.lookup is not None:
        kind = evidence.lookup.line_type.value if evidence.lookup.line_type else "of unknown type"
        yield "look-up", f"{'valid' if evidence.lookup.is_valid else 'not valid'}, {kind}"


def _messages(evidence: Evidence) -> str:
    latest = evidence.latest
    if latest is None:
        return "none found"
    at = datetime.fromtimestamp(latest.at if latest.created_at is None else latest.created_at, UTC)
    status = latest.status.value.replace("_", " ")
    return f"{len(evidence.messages or ())} found; the latest of {clock_of(at, evidence.now)}: {status}"


def clock_of(at: datetime | None, now: datetime) -> str:
    """Return a time (UTC) as short as it can be; empty for none."""
    if at is None:
        return ""
    return f"{at:%H:%M:%S} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"


def words_of(line: Line, now: datetime) -> str:
    """Return a line of evidence with its time."""
    clock = clock_of(line.at, now)
    return f"{clock}  {line.text}" if clock else line.text


def as_text(diagnosis: Diagnosis) -> str:
    """Return the answer for a terminal."""
    evidence = diagnosis.evidence
    lines = [f"About {subject_of(evidence)}, {evidence.now:%Y-%m-%d %H:%M:%S} UTC", ""]
    for rank, finding in enumerate(diagnosis.findings, start=1):
        lines.append(f"{rank}. {title_of(finding)} [{finding.reason}, {finding.confidence}]")
        lines += [f"   - {words_of(line, evidence.now)}" for line in finding.evidence]
        lines.append(f"   → Next step{_by(finding)}: {next_step_of(finding)}")
        lines.append("")
    lines += [f"{name + ':':15}{words}" for name, words in facts_of(evidence)]
    if evidence.missing:
        lines += ["", "Could not be checked:"]
        lines += [f"  {each.what}: {each.why}" for each in evidence.missing]
    return "\n".join(map(_plain, lines))


def _by(finding: Finding) -> str:
    return "" if finding.reason is Reason.OK else f" ({finding.owner})"


def as_markdown(diagnosis: Diagnosis) -> str:
    """Return the answer for a ticket."""
    evidence = diagnosis.evidence
    lines = [f"**Why no code arrives: {_escaped(subject_of(evidence))}** ({evidence.now:%Y-%m-%d %H:%M} UTC)", ""]
    for rank, finding in enumerate(diagnosis.findings, start=1):
        lines.append(f"{rank}. **{_escaped(title_of(finding))}** (`{finding.reason}`, {finding.confidence})")
        lines += [f"   - {_escaped(words_of(line, evidence.now))}" for line in finding.evidence]
        lines.append(f"   - Next step{_by(finding)}: {_escaped(next_step_of(finding))}")
    lines.append("")
    lines += [f"- {name}: {_escaped(words)}" for name, words in facts_of(evidence)]
    if evidence.missing:
        lines += ["", "Could not be checked:", ""]
        lines += [f"- {_escaped(each.what)}: {_escaped(each.why)}" for each in evidence.missing]
    return "\n".join(lines)


def _shortened(number: str) -> str:
    """Return a masked number that needs no escapes in a ticket."""
    return re.sub(r"\*+", "…", mask_number(number))


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#&~" else letter for letter in _plain(text))


def _plain(text: str) -> str:
    """Return text without what steers a terminal, breaks a line or turns letters round."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def as_document(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the answer for a program."""
    evidence = diagnosis.evidence
    return {
        "asked_about": evidence.subject.value,
        "at": evidence.now.isoformat(timespec="seconds"),
        "phone": mask_number(evidence.number) if evidence.number else None,
        "country": evidence.country or None,
        "operator": _plain(evidence.operator) or None,
        "findings": [
            {
                "reason": finding.reason.value,
                "confidence": finding.confidence.value,
                "title": title_of(finding),
                "owner": finding.owner.value,
                "next_step": next_step_of(finding),
                "runbook": runbook_of(finding),
                "evidence": [
                    {
                        "at": None if line.at is None else line.at.isoformat(timespec="seconds"),
                        "text": _plain(line.text),
                    }
                    for line in finding.evidence
                ],
            }
            for finding in diagnosis.findings
        ],
        "facts": {name: _plain(words) for name, words in facts_of(evidence)},
        "missing": [{"what": _plain(each.what), "why": _plain(each.why)} for each in evidence.missing],
    }


def as_json(diagnosis: Diagnosis) -> str:
    """Return the answer for a program, as JSON."""
    return json.dumps(as_document(diagnosis), indent=2, ensure_ascii=False)


def written(diagnosis: Diagnosis, format_: AnswerFormat) -> str:
    """Return the answer in a format."""
    match format_:
        case AnswerFormat.TEXT:
            return as_text(diagnosis)
        case AnswerFormat.JSON:
            return as_json(diagnosis)
        case AnswerFormat.MARKDOWN:
            return as_markdown(diagnosis)
