"""Support asks why a client gets no code: the page ``/diagnose`` and ``POST /api/v1/diagnose``.

What is asked is in the body, never in a URL. It needs the configured token as the password of Basic authentication,
or as bearer token; without a token it answers on loopback alone.
"""

import hmac
import ipaddress
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from unicodedata import category
from urllib.parse import parse_qsl

import anyio.to_thread
import msgspec
from jinja2 import Environment
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from checks.diagnosis import CodeMatch, Confidence, Diagnosis, Finding, Subject
from checks.reason import Outcome, Reason
from checks.secret import Secret

from ..answer import as_markdown, clock_of, facts_of, next_step_of, subject_of, title_of, written
from ..answer_format import MEDIA_TYPES, REASON_HEADER, AnswerFormat
from ..config import DiagnoseSettings
from ..diagnosing import Diagnostician, Known, Question, QuestionError
from ..meters import DiagnosisOutcome, Meters
from ..runner import Defect, contained
from .guards import SECURITY_HEADERS, is_cross_site, is_local_name
from .views import State

_BODY_LIMIT_BYTES: Final = 16 * 1024
_AT_ONCE: Final = 8
_WINDOW_SECONDS: Final = 60.0
_MOST_STEPS: Final = 1_000_000
_EXAMPLE: Final = '{"client": "1042"}, {"phone": "+14155550100"} or {"message": "SM…"}'
_ASK_PASSWORD: Final = {"WWW-Authenticate": 'Basic realm="twofa-exporter", charset="UTF-8"'}
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


class _RefusedError(Exception):
    def __init__(self, status: int, words: str, outcome: DiagnosisOutcome, headers: Mapping[str, str]) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.outcome = outcome
        self.headers = headers


class _Gate:
    """Lets in who may ask, and so many in a minute."""

    def __init__(self, settings: Callable[[], DiagnoseSettings]) -> None:
        self._settings = settings
        self._asked: deque[float] = deque()

    def let_in(self, request: Request) -> None:
        """Raise _RefusedError for who may not."""
        token = self._settings().token
        if request.method == "POST" and is_cross_site(request.headers):  # a link to the empty form may be anywhere
            raise _RefusedError(
                403, "nothing is answered for a page of another site", DiagnosisOutcome.UNAUTHORIZED, {}
            )
        if token is None and not _is_loopback(request):
            words = "diagnose.token is not configured, so clients are spoken of on loopback addresses alone"
            raise _RefusedError(403, words, DiagnosisOutcome.UNAUTHORIZED, {})
        if token is not None and not _is_authorized(request.headers.get("authorization", ""), token):
            words = "the password, or the bearer token, is diagnose.token of the configuration"
            raise _RefusedError(401, words, DiagnosisOutcome.UNAUTHORIZED, _ASK_PASSWORD)

    def count(self) -> None:
        """Raise _RefusedError when too many were asked of late."""
        now = time.monotonic()
        while self._asked and self._asked[0] <= now - _WINDOW_SECONDS:
            self._asked.popleft()
        if len(self._asked) >= self._settings().requests_per_minute:
            wait = max(1, round(self._asked[0] + _WINDOW_SECONDS - now))
            words = f"too many questions; ask again in {wait} s"
            raise _RefusedError(429, words, DiagnosisOutcome.RATE_LIMITED, {"Retry-After": str(wait)})
        self._asked.append(now)


def diagnose_routes(
    known: Callable[[], Known], meters: Meters, templates: Environment, version: str
) -> Sequence[Route]:
    """Return the page and the API."""
    gate = _Gate(lambda: known().config.diagnose)
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def answered(question: Question) -> Diagnosis:
        at_hand = known()
        diagnostician = Diagnostician(at_hand.config.diagnose.timeout)
        diagnosis = await anyio.to_thread.run_sync(
            contained, lambda: diagnostician.answer(question, at_hand), limiter=limiter
        )
        if isinstance(diagnosis, Defect):
            raise HTTPException(500, "A defect of the exporter; its log has the traceback.\n")
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
            lookups=known().config.diagnose.max_lookups_per_day > 0,
            problem=problem,
            answer=answer,
        )
        return Response(html, status, headers=headers, media_type="text/html")

    async def show(request: Request) -> Response:
        try:
            gate.let_in(request)
        except _RefusedError as refusal:
            meters.diagnosis(refusal.outcome)
            return PlainTextResponse(f"{refusal.words}\n", refusal.status, dict(refusal.headers))
        return page()

    async def ask(request: Request) -> Response:
        subject = Subject.CLIENT.value
        try:
            gate.let_in(request)
            form = _form(await _read(request, "application/x-www-form-urlencoded"))
            subject = form.get("subject", subject)
            question = _question(form)
            gate.count()
        except _RefusedError as refusal:
            meters.diagnosis(refusal.outcome)
            if refusal.status in (401, 403):
                return PlainTextResponse(f"{refusal.words}\n", refusal.status, dict(refusal.headers))
            headers = {**_FORMS, **refusal.headers}
            return page(refusal.status, subject=subject, problem=_sentence(refusal.words), headers=headers)
        return page(subject=subject, answer=_view(await answered(question)))

    async def ask_by_api(request: Request) -> Response:
        try:
            gate.let_in(request)
            question = _parse(await _read(request, "application/json"))
            gate.count()
        except _RefusedError as refusal:
            meters.diagnosis(refusal.outcome)
            return JSONResponse({"error": refusal.words}, refusal.status, dict(refusal.headers))
        diagnosis = await answered(question)
        format_ = _chosen_format(",".join(request.headers.getlist("accept")))
        headers = {REASON_HEADER: diagnosis.first.reason.value, "Vary": "Accept"}
        return Response(written(diagnosis, format_) + "\n", headers=headers, media_type=MEDIA_TYPES[format_])

    async def show_or_ask(request: Request) -> Response:
        return await (ask if request.method == "POST" else show)(request)

    return [
        Route("/diagnose", show_or_ask, methods=["GET", "POST"]),
        Route("/api/v1/diagnose", ask_by_api, methods=["POST"]),
    ]


def _is_loopback(request: Request) -> bool:
    """Return whether this machine asks itself, and no web page does so under a name that it made resolve to here."""
    host = (request.scope.get("server") or ("", 0))[0]
    try:
        is_loopback = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
    return is_loopback and is_local_name(request.headers.get("host", ""))


def _is_authorized(header: str, token: Secret) -> bool:
    scheme, _, given = header.partition(" ")
    secret = given.strip().encode("latin-1")
    if scheme.lower() == "basic":
        try:
            _, _, secret = b64decode(secret, validate=True).partition(b":")
        except Base64Error:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(secret, token.reveal().encode())


def _malformed(words: str, status: int = 400) -> _RefusedError:
    return _RefusedError(status, words, DiagnosisOutcome.MALFORMED, {})


async def _read(request: Request, media_type: str) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != media_type:
        raise _malformed(f"Content-Type must be {media_type}", 415)
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > _BODY_LIMIT_BYTES:
                raise _malformed(f"the body must be {_BODY_LIMIT_BYTES // 1024} KiB at the most", 413)
    except ClientDisconnect:
        raise _malformed("the body is incomplete") from None
    return bytes(body)


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
        if not 0 < tried <= _MOST_STEPS or (step is not None and abs(step) > tried):
            raise _malformed("code must have the step that matched, or null, and how many were tried")
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
