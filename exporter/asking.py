"""A question about a client from the command line: asked here, or of a running exporter."""

import json
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

from checks.diagnosis import CodeMatch
from checks.diagnosis.code import match_code
from checks.errors import ProviderError
from checks.providers.http import Http, origin_of
from checks.reason import Outcome, Reason
from checks.result import CheckRun
from checks.secret import Secret
from checks.settings import parse_duration
from checks.totp import CODE_DIGITS

from .answer import written
from .answer_format import MEDIA_TYPES, REASON_HEADER, AnswerFormat
from .app import InForce
from .cli import USAGE_ERROR
from .config import Config, DiagnoseSettings, for_one_run
from .diagnosing import Diagnostician, Known, Question, QuestionError
from .meters import Meters
from .report import EXIT_CODES
from .snapshot import CheckState
from .storage import Storage

_NOT_FOUND_OUT: Final = EXIT_CODES[Outcome.ERROR]
_LONGEST_SECRET: Final = 512
_AT_ONCE: Final = 32


class AskError(Exception):
    """There is no answer; the text says why."""

    def __init__(self, words: str, exit_code: int) -> None:
        super().__init__(words)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Answer:
    """What is printed, and the exit code."""

    text: str
    exit_code: int


def read_code(code: str | None, secret: BinaryIO | None) -> CodeMatch | None:
    """Return which step a code is of by the secret in a stream; None when there is neither. Raises QuestionError."""
    if code is None and secret is None:
        return None
    if code is None or secret is None:
        raise QuestionError("--code and --secret-stdin belong together")
    digits = code.replace(" ", "")
    if not (digits.isascii() and digits.isdigit() and len(digits) == CODE_DIGITS):
        raise QuestionError(f"--code must be {CODE_DIGITS} digits")
    line = secret.readline(_LONGEST_SECRET + 1)
    try:
        if len(line) > _LONGEST_SECRET:
            raise ValueError
        return match_code(Secret(line.strip().decode("ascii")), digits, time.time())
    except ValueError:
        raise QuestionError("standard input must hold a TOTP secret in Base32, as the set-up shows it") from None


def build_question(
    client: str, phone: str, message: str, code: CodeMatch | None, *, device_lost: bool, look_up: bool
) -> Question:
    """Return the question. Raises QuestionError."""
    return Question(client=client, phone=phone, message=message, code=code, is_device_lost=device_lost, look_up=look_up)


def _seconds(timeout: str | None, default: float) -> float:
    if timeout is None:
        return default
    try:
        return parse_duration(timeout)
    except ValueError:
        raise QuestionError('--timeout must be a duration such as "5s"') from None


def ask_here(question: Question, config: Config, timeout: str | None, format_: AnswerFormat) -> Answer:
    """Gather and answer in this process; the checks that a single run can do and that matter are run once beside it.

    The others that matter are told to be missing. Raises ConfigError when a client cannot be built, and QuestionError.
    """
    seconds = _seconds(timeout, config.diagnose.timeout)
    meters = Meters()
    storage = Storage.in_memory(meters)
    in_force = InForce.build(config, meters)
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="check")

    alone = for_one_run(config, ()).checks.values()
    runs: list[Future[CheckRun]] = [
        pool.submit(in_force.run, check, storage) for check in alone if check.kind.bears_on_one
    ]

    def states(ends_at: float) -> dict[str, CheckState]:
        wait(runs, timeout=max(0.0, ends_at - time.monotonic()))
        return dict(storage.checks())

    known = Known(config=config, clients=in_force.clients, checks=states, alarms=None)
    diagnosis = Diagnostician(seconds).answer(question, known)
    pool.shutdown(wait=False, cancel_futures=True)
    return Answer(written(diagnosis, format_), EXIT_CODES[diagnosis.first.reason.outcome])


def ask_exporter(
    question: Question, url: str, settings: DiagnoseSettings, timeout: str | None, format_: AnswerFormat
) -> Answer:
    """Ask a running exporter; its answer is printed as it comes. Raises AskError and QuestionError."""
    seconds = _seconds(timeout, settings.timeout + 5.0)
    where = _place_of(url)
    headers = {"Accept": MEDIA_TYPES[format_]}
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token.reveal()}"
    try:
        with closing(Http({where: origin_of(url)}, timeout_seconds=seconds)) as http:
            reply = http.request(
                "POST", f"{url.rstrip('/')}/api/v1/diagnose", json=_document(question), headers=headers
            )
    except ProviderError as problem:
        raise AskError(f"the exporter at {where}: {problem}", _NOT_FOUND_OUT) from None
    if reply.status != HTTPStatus.OK:
        code = USAGE_ERROR if reply.status < 500 else _NOT_FOUND_OUT
        raise AskError(f"the exporter at {where} answers HTTP {reply.status}{_words(reply.status, reply.body)}", code)
    try:
        reason = Reason(reply.headers.get(REASON_HEADER, ""))
        text = _printable(reply.body)
    except ValueError:
        raise AskError(f"{where} is no twofa-exporter of this version", _NOT_FOUND_OUT) from None
    return Answer(text, EXIT_CODES[reason.outcome])


def _place_of(url: str) -> str:
    """Return host and port. Raises QuestionError for what is no URL of an exporter."""
    try:
        parts = urlsplit(url)
        is_plain = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_plain = False
    if not is_plain:
        raise QuestionError('--exporter-url must be a URL such as "http://127.0.0.1:10687"')
    if "@" in parts.netloc:
        raise QuestionError("--exporter-url must hold no password: diagnose.token of the configuration is sent")
    return parts.netloc


def _printable(body: bytes) -> str:
    """Return an answer as it may go to a terminal. Raises ValueError."""
    text = body.decode().rstrip("\n")
    if not all(line.isprintable() for line in text.split("\n")):
        raise ValueError("control characters")
    return text


_OWN_WORDS: Final[Mapping[int, str]] = {
    HTTPStatus.NOT_FOUND: "nothing there answers such questions: is it a twofa-exporter, and the URL without a path?",
    HTTPStatus.UNAUTHORIZED: "it wants a password: diagnose.token, or that of a proxy before it",
}


def _words(status: int, body: bytes) -> str:
    own = f": {_OWN_WORDS[status]}" if status in _OWN_WORDS else ""
    try:
        error = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return own
    return f": {error}" if isinstance(error, str) and error.isprintable() and len(error) < 500 else own


def _document(question: Question) -> dict[str, Any]:
    asked = {"client": question.client, "phone": question.phone, "message": question.message}
    code = None if question.code is None else {"step": question.code.step, "tried": question.code.tried}
    return {
        **{name: value for name, value in asked.items() if value},
        "device_lost": question.is_device_lost,
        "look_up": question.look_up,
        "code": code,
    }
