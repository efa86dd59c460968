"""Support asks why a client gets no code: the page ``/diagnose`` and ``POST /api/v1/diagnose``.

What is asked is in the body, never in a URL. It needs the configured token as the password of Basic authentication,
or as bearer token; without a token it answers on loopback alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from unicodedata import category
from urllib.parse import parse_qsl

import anyio.to_thread
import msgspec
from jinja2 import Environment
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from checks.diagnosis import CodeMatch, Confidence, Diagnosis, Finding, Subject
from checks.diagnosis.code import TRIED_STEPS
from checks.reason import Outcome, Reason

from ..answer import as_markdown, clock_of, facts_of, next_step_of, runbook_of, subject_of, title_of, written
from ..answer_format import MEDIA_TYPES, REASON_HEADER, AnswerFormat
from ..config import DiagnoseSettings
from ..diagnosing import Diagnostician, Known, Question, QuestionError
from ..meters import DiagnosisOutcome, Meters
from ..runner import Defect, contained
from .access import Gate, RefusedError
from .bodies import BodyError, read_body
from .guards import SECURITY_HEADERS
from .views import State

_BODY_LIMIT_BYTES: Final = 16 * 1024
_AT_ONCE: Final = 8
_MOST_STEPS: Final = 1_000_000
_EXAMPLE: Final = '{"client": "1042"}, {"phone": "+14155550100"} or {"message": "SM…"}'
_FORMS: Final = {
    "Content-Security-Policy": SECURITY_HEADERS["Content-Security-Policy"].replace(
        "form-action 'none'", "form-action 'self'"
    ),
    "Referrer-Policy": "same-origin",  # with "no-referrer" a browser sends "Origin: null" with the page's own form
}
_FIELDS: Final = frozenset({"subject", "value", "device_lost", "look_up"})
_SUBJECTS: Final = (
    (Subject.CLIENT.value, "a client"),
    (Subject.PHONE.value, "a phone number"),
    (Subject.MESSAGE.value, "a message"),
)


class _CodeMatch(msgspec.Struct, forbid_unknown_fields=True):
    """Which step a code matched, found out where its secret is."""

    step: int | None
    tried: int


class _Posted(msgspec.Struct, forbid_unknown_fields=True):
    """The body of the API."""

    client: str = ""
    phone: str = ""
    message: str = ""
    device_lost: bool = False
    look_up: bool = False
    code: _CodeMatch | None = None


def diagnose_routes(
    known: Callable[[], Known],
    settings: Callable[[], DiagnoseSettings],
    meters: Meters,
    templates: Environment,
    version: str,
) -> Sequence[Route]:
    """Return the page and the API."""
    gate = Gate(settings, meters)
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def answered(question: Question) -> Diagnosis:
        def answer() -> Diagnosis | RefusedError:
            try:
                return Diagnostician(settings().timeout).answer(question, known())
            except QuestionError as problem:
                return _malformed(str(problem), 404)

        diagnosis = await anyio.to_thread.run_sync(contained, answer, limiter=limiter)
        if isinstance(diagnosis, Defect):
            raise HTTPException(500, "A defect of the exporter; its log has the traceback.\n")
        if isinstance(diagnosis, RefusedError):
            raise diagnosis
        meters.diagnosis(DiagnosisOutcome.ANSWERED)
        return diagnosis

    def page(
        status: int = 200,
        *,
        subject: str = Subject.CLIENT.value,
        problem: str | None = None,
        answer: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] = _FORMS,
    ) -> Response:
        html = templates.get_template("diagnose.html").render(
            version=version,
            subjects=_SUBJECTS,
            subject=subject,
            lookups=settings().max_lookups_per_day > 0,
            problem=problem,
            answer=answer,
        )
        return Response(html, status, headers=headers, media_type="text/html")

    async def ask(request: Request) -> Response:
        subject = Subject.CLIENT.value
        try:
            form = _form(await _read(request, "application/x-www-form-urlencoded"))
            subject = form.get("subject", subject)
            question = _question(form)
            gate.count()
            diagnosis = await answered(question)
        except RefusedError as refusal:
            gate.note(refusal)
            headers = {**_FORMS, **refusal.headers}
            return page(refusal.status, subject=subject, problem=_sentence(refusal.words), headers=headers)
        return page(subject=subject, answer=_view(diagnosis))

    async def ask_by_api(request: Request) -> Response:
        try:
            gate.let_in(request)
            question = _parse(await _read(request, "application/json"))
            gate.count()
            diagnosis = await answered(question)
        except RefusedError as refusal:
            gate.note(refusal)
            return JSONResponse({"error": refusal.words}, refusal.status, dict(refusal.headers))
        format_ = _chosen_format(",".join(request.headers.getlist("accept")))
        headers = {REASON_HEADER: diagnosis.first.reason.value, "Vary": "Accept"}
        return Response(written(diagnosis, format_) + "\n", headers=headers, media_type=MEDIA_TYPES[format_])

    async def show_or_ask(request: Request) -> Response:
        try:
            gate.let_in(request)
        except RefusedError as refusal:  # who is not let in is shown no form
            gate.note(refusal)
            return PlainTextResponse(f"{refusal.words}\n", refusal.status, dict(refusal.headers))
        return await ask(request) if request.method == "POST" else page()

    return [
        Route("/diagnose", show_or_ask, methods=["GET", "POST"]),
        Route("/api/v1/diagnose", ask_by_api, methods=["POST"]),
    ]


def _malformed(words: str, status: int = 400) -> RefusedError:
    return RefusedError(status, words, DiagnosisOutcome.MALFORMED)


async def _read(request: Request, media_type: str) -> bytes:
    try:
        return await read_body(request, media_type=media_type, limit_bytes=_BODY_LIMIT_BYTES)
    except BodyError as problem:
        raise _malformed(problem.words, problem.status) from None


def _form(body: bytes) -> Mapping[str, str]:
    try:
        fields = dict(
            parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=len(_FIELDS), errors="strict")
        )
    except ValueError:
        raise _malformed("the form cannot be read") from None
    if not fields.keys() <= _FIELDS:
        raise _malformed("the form has fields that are not asked for")
    return {name: value.strip() for name, value in fields.items()}


def _question(form: Mapping[str, str]) -> Question:
    subject, value = form.get("subject", ""), form.get("value", "")
    if subject not in {each.value for each in Subject}:
        raise _malformed("choose what to ask about")
    if subject == Subject.PHONE.value:
        value = "".join(letter for letter in value if not _is_filler(letter))
    return _asked(
        **{subject: value},
        is_device_lost=form.get("device_lost") == "yes",
        look_up=form.get("look_up") == "yes",
    )


def _is_filler(letter: str) -> bool:
    """Return whether a letter only makes a phone number easier to read: a space, dash or mark of direction too."""
    return letter in "()./" or category(letter) in ("Zs", "Pd", "Cf")


def _chosen_format(accept: str) -> AnswerFormat:
    """Return the format that an Accept header names first; JSON where it names none of ours."""
    named = [entry.partition(";")[0].strip().lower() for entry in accept.split(",")]
    format_of = {type_: format_ for format_, type_ in MEDIA_TYPES.items()}
    return next((format_of[type_] for type_ in named if type_ in format_of), AnswerFormat.JSON)


def _parse(body: bytes) -> Question:
    try:
        posted = _posted.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _malformed(f"the body must be JSON such as {_EXAMPLE}") from None
    code = None
    if posted.code is not None:
        step, tried = posted.code.step, posted.code.tried
        if not TRIED_STEPS <= tried <= _MOST_STEPS or (step is not None and abs(step) > tried):
            raise _malformed(
                f"code must have the step that matched, or null, and how many were tried: {TRIED_STEPS} or more"
            )
        code = CodeMatch(step=step, tried=tried)
    return _asked(
        client=posted.client,
        phone=posted.phone,
        message=posted.message,
        is_device_lost=posted.device_lost,
        look_up=posted.look_up,
        code=code,
    )


def _asked(**fields: Any) -> Question:
    try:
        return Question(**fields)
    except QuestionError as problem:
        raise _malformed(str(problem)) from None


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


_STATES: Final = {Outcome.PASS: State.PASS, Outcome.FAIL: State.FAIL, Outcome.ERROR: State.ERROR}


def _view(diagnosis: Diagnosis) -> Mapping[str, Any]:
    evidence = diagnosis.evidence

    def shown(finding: Finding) -> Mapping[str, Any]:
        return {
            "reason": finding.reason.value,
            "explains": finding.reason is not Reason.OK,
            "state": _state(finding).value,
            "confidence": finding.confidence.value,
            "title": title_of(finding),
            "lines": [{"clock": clock_of(line.at, evidence.now), "text": line.text} for line in finding.evidence],
            "next_step": next_step_of(finding),
            "owner": finding.owner.value,
            "runbook": runbook_of(finding),
        }

    return {
        "state": _state(diagnosis.first).value,
        "subject": subject_of(evidence),
        "at": f"{evidence.now:%H:%M:%S} UTC",
        "findings": [shown(finding) for finding in diagnosis.findings],
        "facts": facts_of(evidence),
        "missing": evidence.missing,
        "ticket": as_markdown(diagnosis),
    }


def _state(finding: Finding) -> State:
    state = _STATES[finding.reason.outcome]
    return State.ERROR if state is State.FAIL and finding.confidence is Confidence.POSSIBLE else state


_posted: Final = msgspec.json.Decoder(_Posted)
