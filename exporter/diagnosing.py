"""Gathers what is known of one client or one message, side by side and within a deadline."""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

from checks.back_office import ID as CLIENT_ID
from checks.back_office import Client, ClientDirectory
from checks.clients import MessageSearchClient, NumberLookup, NumberLookupClient
from checks.daily_count import DailyCount
from checks.diagnosis import Alarm, CheckStanding, CodeMatch, Diagnosis, Evidence, Missing, Subject, diagnose
from checks.errors import ProviderError, StorageUnavailableError
from checks.messages import UNKNOWN_COUNTRY, UNKNOWN_OPERATOR, Receipt
from checks.messages.country import E164
from checks.messages.operator import origin_of
from checks.messages.verification import Attempt
from checks.notebook import Notebook
from checks.providers.http import deadline
from checks.reason import Reason

from .config import Config
from .runner import Defect, contained
from .snapshot import CheckState
from .snapshot import Evidence as Standing

_log: Final = logging.getLogger(__name__)

_MESSAGES: Final = 20
_ATTEMPTS_SECONDS: Final = 86_400.0
_NO_TIME: Final = "did not answer in time"
_ID: Final = re.compile(r"[!-~]{1,64}")

T = TypeVar("T")


class QuestionError(ValueError):
    """The question cannot be understood, or is about nothing that is there; the text says what is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked. Exactly one of client, phone and message."""

    client: str = field(default="", repr=False)
    phone: str = field(default="", repr=False)  # E.164
    message: str = ""
    code: CodeMatch | None = None
    is_device_lost: bool = False
    look_up: bool = False  # the number, for money

    def __post_init__(self) -> None:
        """Raises QuestionError."""
        if sum(map(bool, (self.client, self.phone, self.message))) != 1:
            raise QuestionError("give one of: a client's id, a phone number, a message id")
        if self.client and not CLIENT_ID.fullmatch(self.client):
            raise QuestionError("a client's id has up to 64 letters, digits, - and _: it is no e-mail address or name")
        if self.phone and not E164.fullmatch(self.phone):
            raise QuestionError('a phone number must be in E.164 form, such as "+14155550100"')
        if self.message and not _ID.fullmatch(self.message):
            raise QuestionError("a message id has up to 64 letters, digits and signs, and no space")

    @property
    def subject(self) -> Subject:
        """What it is about."""
        return Subject.CLIENT if self.client else Subject.PHONE if self.phone else Subject.MESSAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Whom to ask, and what is known without asking."""

    config: Config
    clients: Mapping[str, Any]
    checks: Callable[[float], Mapping[str, CheckState]]  # as known at a time of the monotonic clock, waited for
    alarms: Mapping[str, Standing] | None  # None: nobody has watched
    lookups: "LookupBudget | None" = None


@dataclass(slots=True)
class LookupBudget:
    """Look-ups that may still be paid for today (UTC). Survives a restart. Safe to use from several threads."""

    notebook: Notebook
    most_a_day: int

    def take(self, now: float) -> bool:
        """Return whether one more may be paid for, and count it. Raises StorageUnavailableError."""
        return DailyCount(self.notebook).use(1, now, most=self.most_a_day)


class Diagnostician:
    """Answers questions. Safe to use from several threads."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds

    def answer(self, question: Question, known: Known) -> Diagnosis:
        """Return what explains what the client sees. Takes as long as the timeout at the most.

        Raises QuestionError when there is no such message.
        """
        with _Gathering(question, known, self._timeout_seconds).open() as gathering:
            evidence = gathering.gather()
        diagnosis = diagnose(evidence)
        _log.info(
            "diagnosis",
            extra={
                "subject": question.subject.value,
                "reason": diagnosis.first.reason.value,
                "findings": len(diagnosis.findings),
                "missing": len(evidence.missing),
            },
        )
        return diagnosis


class _Gathering:
    """One question's work."""

    def __init__(self, question: Question, known: Known, timeout_seconds: float) -> None:
        self._question = question
        self._known = known
        self._ends_at = time.monotonic() + timeout_seconds
        self._missing: list[Missing] = []
        # Nobody waits for another's answer: three questions at once to each at the most.
        self._pool = ThreadPoolExecutor(3 * len(known.clients) + 1, thread_name_prefix="diagnose")
        self._directories = {n: c for n, c in known.clients.items() if isinstance(c, ClientDirectory)}
        self._searchers = {n: c for n, c in known.clients.items() if isinstance(c, MessageSearchClient)}

    @contextmanager
    def open(self) -> Iterator["_Gathering"]:
        """Yield itself; at the end nobody is waited for."""
        try:
            yield self
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def gather(self) -> Evidence:
        """Return all that could be found out."""
        question = self._question
        found: dict[str, Any] = {}
        number = question.phone
        office: Mapping[str, Future[Any]] = {}
        if question.message:
            messages = self._results("message", self._ask_providers(lambda c: c.find_message(question.message)))
            receipts = [each for each in messages.values() if each is not None]
            is_whole = bool(self._searchers) and len(messages) == len(self._searchers)
            found["messages"] = receipts if receipts or is_whole else None
            number = receipts[0].recipient if receipts else ""
            if not receipts and is_whole:
                raise QuestionError("no provider here has a message of this id")
        # Of a message no more is asked of the provider: its number is known one answer later than that of others.
        log = self._ask_log(number) if question.phone else {}
        attempts = self._ask_attempts(number) if question.phone else {}
        lookup = self._ask_lookup(number) if number else {}
        office = self._ask_back_offices(number)
        client, is_known = self._client(office)
        if not number and client is not None:
            number = next((each.number for each in client.phones or () if each.is_confirmed and each.number), "")
            number = number or next((each.number for each in client.phones or () if each.number), "")
            if number:
                log, attempts = self._ask_log(number), self._ask_attempts(number)
                lookup = self._ask_lookup(number)
        if log:
            found["messages"] = self._merged(self._results("messages", log), len(log))
        if attempts:
            found["attempts"] = self._merged_attempts(self._results("verification attempts", attempts))
        for answer in self._results("look-up", lookup).values():
            found["lookup"] = answer
        country, operator = _origin(number, found.get("messages") or (), found.get("lookup"))
        if not number and not question.message:
            self._miss("messages", "no phone number is known")
        return Evidence(
            now=datetime.now(UTC),
            subject=question.subject,
            number=number,
            country=country,
            operator=operator,
            is_known=is_known,
            client=client,
            checks=self._standings(),
            alarms=self._alarms(),
            code=question.code,
            is_device_lost=question.is_device_lost,
            missing=tuple(self._missing),
            **found,
        )

    # --- whom to ask

    def _ask_providers(self, ask: Callable[[Any], T]) -> dict[str, Future[T | ProviderError | Defect]]:
        if not self._searchers:
            self._miss("messages", "no provider here can be asked for them")
        return {name: self._submit(partial(ask, client)) for name, client in self._searchers.items()}

    def _ask_log(self, number: str) -> dict[str, Future[Any]]:
        return self._ask_providers(lambda client: client.find_messages(number, limit=_MESSAGES))

    def _ask_attempts(self, number: str) -> dict[str, Future[Any]]:
        since = time.time() - _ATTEMPTS_SECONDS
        return {
            name: self._submit(partial(client.find_attempts, number, since=since))
            for name, client in self._searchers.items()
        }

    def _ask_lookup(self, number: str) -> dict[str, Future[Any]]:
        if not self._question.look_up:
            return {}
        able = {n: c for n, c in self._known.clients.items() if isinstance(c, NumberLookupClient)}
        budget = self._known.lookups
        if not able or budget is None or budget.most_a_day == 0:
            self._miss("look-up", _why_no_lookup(bool(able), budget))
            return {}
        name, client = next(iter(able.items()))
        try:
            if not budget.take(time.time()):
                self._miss("look-up", "today's look-ups have all been paid for")
                return {}
        except StorageUnavailableError as problem:
            self._miss("look-up", str(problem))
            return {}
        return {name: self._submit(lambda: client.look_up_number(number))}

    def _ask_back_offices(self, number: str) -> dict[str, Future[Any]]:
        question = self._question
        if not self._directories:
            self._miss("the client's settings", "no back office is configured")
            return {}
        if question.client:
            return {
                name: self._submit(partial(client.fetch_client, question.client))
                for name, client in self._directories.items()
            }
        if not number:
            self._miss("the client's settings", "no phone number is known")
            return {}
        return {name: self._submit(partial(_client_of, client, number)) for name, client in self._directories.items()}

    def _submit(self, work: Callable[[], T]) -> Future[T | ProviderError | Defect]:
        def run() -> T | ProviderError | Defect:
            try:
                with deadline(max(0.001, self._ends_at - time.monotonic())):
                    return contained(work)
            except ProviderError as error:
                return error

        return self._pool.submit(run)

    # --- what they said

    def _results(self, what: str, asked: Mapping[str, Future[Any]]) -> dict[str, Any]:
        """Return the answers by who gave them; what is not there is noted as missing."""
        wait(asked.values(), timeout=max(0.0, self._ends_at - time.monotonic()))
        answers: dict[str, Any] = {}
        for name, future in asked.items():
            where = f"{what} ({name})"
            if not future.done():
                self._missing.append(Missing(what=where, why=_NO_TIME, reason=Reason.TIMEOUT))
                continue
            answer = future.result()
            if isinstance(answer, ProviderError):
                is_late = answer.reason is Reason.TIMEOUT
                why = _NO_TIME if is_late else str(answer)
                self._missing.append(Missing(what=where, why=why, reason=answer.reason))
            elif isinstance(answer, Defect):
                self._missing.append(Missing(what=where, why="a defect of the exporter", reason=Reason.INTERNAL))
            else:
                answers[name] = answer
        return answers

    def _client(self, asked: Mapping[str, Future[Any]]) -> tuple[Client | None, bool | None]:
        answers = self._results("the client's settings", asked)
        client = next((answer for answer in answers.values() if answer is not None), None)
        if client is not None:
            for what in client.unreadable:
                self._miss(f"the client's {what}", "the service user may not read them")
            return client, True
        return None, False if asked and len(answers) == len(asked) else None

    def _merged(self, answers: Mapping[str, Sequence[Receipt]], asked: int) -> Sequence[Receipt] | None:
        if not answers and asked:
            return None
        receipts = [receipt for each in answers.values() for receipt in each]
        return sorted(receipts, key=lambda each: each.created_at or each.at, reverse=True)

    def _merged_attempts(self, answers: Mapping[str, Sequence[Attempt] | None]) -> Sequence[Attempt] | None:
        told = [each for each in answers.values() if each is not None]
        for name in (name for name, each in answers.items() if each is None):
            self._miss(f"verification attempts ({name})", "the provider's credentials may not read them")
        return [attempt for each in told for attempt in each] if told else None

    def _standings(self) -> Sequence[CheckStanding]:
        standings = []
        states = self._known.checks(self._ends_at)
        for check in self._known.config.checks.values():
            state = states.get(check.name)
            if state is None:
                if check.kind.bears_on_one:
                    self._miss(f"check {check.name}", "it has no result")
                continue
            result = state.last.result
            standings.append(
                CheckStanding(
                    check=check.name,
                    kind=check.kind_name,
                    target=check.target,
                    reason=result.reason,
                    detail=result.detail,
                    since=state.reason_since,
                    at=state.last.finished_at,
                    stops_codes=check.kind.stops_codes(result.reason),
                    measured=result.measured,
                )
            )
        return standings

    def _alarms(self) -> Sequence[Alarm] | None:
        if self._known.alarms is None:
            self._miss("alarms of operators", "only a running exporter watches them")
            return None
        return [
            Alarm(target=target, verdict=verdict)
            for target, standing in self._known.alarms.items()
            if target in self._known.config.targets
            for verdict in standing.verdicts
        ]

    def _miss(self, what: str, why: str) -> None:
        self._missing.append(Missing(what=what, why=why))


def _origin(number: str, messages: Sequence[Receipt], lookup: NumberLookup | None) -> tuple[str, str]:
    """Return country and operator: what a look-up says, else the latest message, else the number plan."""
    country, operator = origin_of(number) if number else ("", "")
    for receipt in messages[:1]:
        country = receipt.country if receipt.country != UNKNOWN_COUNTRY else country
        operator = receipt.operator if receipt.operator != UNKNOWN_OPERATOR else operator
    return country, (lookup and lookup.operator) or operator


def _why_no_lookup(is_offered: bool, budget: LookupBudget | None) -> str:
    if not is_offered:
        return "no provider here offers it"
    if budget is None:
        return "it is billed, and only a running exporter keeps count of what was paid"
    return "none is paid for: diagnose.max_lookups_per_day is 0"


def _client_of(directory: ClientDirectory, number: str) -> Client | None:
    """Return the client who has a number; of several, the first with it confirmed."""
    found = None
    for client_id in directory.find_clients(number)[:5]:
        client = directory.fetch_client(client_id)
        if client is not None:
            found = found or client
            if any(phone.number == number and phone.is_confirmed for phone in client.phones or ()):
                return client
    return found
