"""What the exporter counts about itself. Thread-safe; starts at 0 with every process."""

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from checks.callbacks import CallbackOutcome

from .verifier import VerifierEventOutcome

_log: Final = logging.getLogger(__name__)

_MAX_CODES_LOGGED: Final = 200  # codes come from outside


class SchedulerEvent(StrEnum):
    """What should not happen to a scheduled run."""

    MISSED = "missed"  # not started in its turn
    OVERLAP = "overlap"  # the run before had not ended yet
    ERROR = "error"  # a defect outside the runner
    CLOCK_JUMP = "clock_jump"  # the wall clock was set; the schedule was laid anew


class ConfirmationOutcome(StrEnum):
    """What came of what the application told: of single codes, and of requests that were refused."""

    TAKEN = "taken"
    UNKNOWN_MESSAGE = "unknown_message"  # taken, about a message that was not seen
    UNAUTHORIZED = "unauthorized"
    MALFORMED = "malformed"
    STORAGE_UNAVAILABLE = "storage_unavailable"


class ForwardOutcome(StrEnum):
    """What came of a callback that was sent on to the application."""

    TAKEN = "taken"
    REFUSED = "refused"  # by an answer that no repetition will change
    FAILED = "failed"  # after the last attempt
    DROPPED = "dropped"  # too many were waiting, or the exporter stopped


class DiagnosisOutcome(StrEnum):
    """What came of a question about a client."""

    ANSWERED = "answered"
    UNAUTHORIZED = "unauthorized"
    MALFORMED = "malformed"
    RATE_LIMITED = "rate_limited"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReadings:
    """All counts at one moment."""

    scheduler_events: Mapping[SchedulerEvent, int]
    scheduler_threads: int  # 0 where nothing is scheduled
    scheduler_busy_seconds: float
    http_requests: Mapping[tuple[str, str], int]  # by target and outcome
    unmapped_codes: Mapping[str, int]  # by target
    unreadable_messages: Mapping[str, int]  # by target
    callbacks: Mapping[tuple[str, CallbackOutcome], int]  # by target, "" for one that is not known
    forwards: Mapping[tuple[str, ForwardOutcome], int]  # by target
    confirmations: Mapping[tuple[str, ConfirmationOutcome], int]  # by target
    verifier_events: Mapping[tuple[str, VerifierEventOutcome], int]  # by target
    diagnoses: Mapping[DiagnosisOutcome, int]
    storage_errors: int
    reload_succeeded: bool
    reload_succeeded_at: datetime | None  # aware, UTC


class Meters:
    """The counters; any thread may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scheduler_events: Counter[SchedulerEvent] = Counter(dict.fromkeys(SchedulerEvent, 0))
        self._scheduler_threads = 0
        self._scheduler_busy_seconds = 0.0
        self._http_requests: Counter[tuple[str, str]] = Counter()
        self._unmapped_codes: Counter[str] = Counter()
        self._unreadable_messages: Counter[str] = Counter()
        self._callbacks: Counter[tuple[str, CallbackOutcome]] = Counter()
        self._forwards: Counter[tuple[str, ForwardOutcome]] = Counter()
        self._confirmations: Counter[tuple[str, ConfirmationOutcome]] = Counter()
        self._verifier_events: Counter[tuple[str, VerifierEventOutcome]] = Counter()
        self._diagnoses: Counter[DiagnosisOutcome] = Counter(dict.fromkeys(DiagnosisOutcome, 0))
        self._storage_errors = 0
        self._reload_succeeded = False
        self._reload_succeeded_at: datetime | None = None

    def scheduler_event(self, event: SchedulerEvent) -> None:
        """Count something that should not happen to a run."""
        with self._lock:
            self._scheduler_events[event] += 1

    def scheduler_threads(self, threads: int) -> None:
        """Note how many runs may be under way at once."""
        with self._lock:
            self._scheduler_threads = threads

    def scheduler_busy(self, seconds: float) -> None:
        """Add the time that a run had a thread."""
        with self._lock:
            self._scheduler_busy_seconds += seconds

    def storage_error(self) -> None:
        """Count a result that could not be written to the database."""
        with self._lock:
            self._storage_errors += 1

    def codes_unmapped(self, target: str, count: int) -> None:
        """Count error codes that the vendor's table does not know."""
        with self._lock:
            self._unmapped_codes[target] += count

    def expect_callbacks(self, target: str) -> None:
        """Let the counts of a target's callbacks start at 0."""
        with self._lock:
            self._callbacks["", CallbackOutcome.UNKNOWN_TARGET] += 0
            for outcome in CallbackOutcome:
                if outcome is not CallbackOutcome.UNKNOWN_TARGET:
                    self._callbacks[target, outcome] += 0
            for forwarded in ForwardOutcome:
                self._forwards[target, forwarded] += 0

    def callback(self, target: str, outcome: CallbackOutcome) -> None:
        """Count one post to the public listener."""
        with self._lock:
            self._callbacks[target, outcome] += 1

    def forward(self, target: str, outcome: ForwardOutcome) -> None:
        """Count one callback that was sent on, or not."""
        with self._lock:
            self._forwards[target, outcome] += 1

    def expect_confirmations(self, target: str) -> None:
        """Let the counts of what the application tells of a target start at 0."""
        for outcome in ConfirmationOutcome:
            self.confirmations(target, outcome, 0)

    def confirmations(self, target: str, outcome: ConfirmationOutcome, count: int = 1) -> None:
        """Count what the application told."""
        with self._lock:
            self._confirmations[target, outcome] += count

    def expect_verifier_events(self, target: str) -> None:
        """Let the counts of what the platform tells of codes start at 0."""
        for outcome in VerifierEventOutcome:
            self.verifier_events(target, outcome, 0)

    def verifier_events(self, target: str, outcome: VerifierEventOutcome, count: int = 1) -> None:
        """Count what the platform told of codes."""
        with self._lock:
            self._verifier_events[target, outcome] += count

    def diagnosis(self, outcome: DiagnosisOutcome) -> None:
        """Count a question about a client."""
        with self._lock:
            self._diagnoses[outcome] += 1

    def config_loaded(self, succeeded: bool, at: datetime) -> None:
        """Note the outcome of the latest attempt to load the configuration."""
        with self._lock:
            self._reload_succeeded = succeeded
            if succeeded:
                self._reload_succeeded_at = at

    def observer(self, target: str, outcomes: tuple[str, ...]) -> "TargetObserver":
        """Return what a client reports its calls to; every outcome starts at 0."""
        with self._lock:
            for outcome in outcomes:
                self._http_requests[target, outcome] += 0
            self._unmapped_codes[target] += 0
            self._unreadable_messages[target] += 0
        return TargetObserver(target, self)

    def http_request(self, target: str, outcome: str) -> None:
        """Count one request to a target's API."""
        with self._lock:
            self._http_requests[target, outcome] += 1

    def unreadable_message(self, target: str) -> None:
        """Count one message of a target's log that could not be understood."""
        with self._lock:
            self._unreadable_messages[target] += 1

    def read(self) -> MeterReadings:
        """Return all counts as they are now."""
        with self._lock:
            return MeterReadings(
                scheduler_events=MappingProxyType(dict(self._scheduler_events)),
                scheduler_threads=self._scheduler_threads,
                scheduler_busy_seconds=self._scheduler_busy_seconds,
                http_requests=MappingProxyType(dict(self._http_requests)),
                unmapped_codes=MappingProxyType(dict(self._unmapped_codes)),
                unreadable_messages=MappingProxyType(dict(self._unreadable_messages)),
                callbacks=MappingProxyType(dict(self._callbacks)),
                forwards=MappingProxyType(dict(self._forwards)),
                confirmations=MappingProxyType(dict(self._confirmations)),
                verifier_events=MappingProxyType(dict(self._verifier_events)),
                diagnoses=MappingProxyType(dict(self._diagnoses)),
                storage_errors=self._storage_errors,
                reload_succeeded=self._reload_succeeded,
                reload_succeeded_at=self._reload_succeeded_at,
            )


@dataclass(frozen=True, slots=True)
class TargetObserver:
    """Counts one target's calls (``checks.providers.observer.Observer``); logs an unmapped code once."""

    target: str
    meters: Meters
    codes_logged: set[str] = field(default_factory=set)

    def request_done(self, outcome: str) -> None:
        """Count one request."""
        self.meters.http_request(self.target, outcome)

    def code_unmapped(self, code: str) -> None:
        """Count one error code that the vendor's table does not know."""
        self.meters.codes_unmapped(self.target, 1)
        if code not in self.codes_logged and len(self.codes_logged) < _MAX_CODES_LOGGED:
            self.codes_logged.add(code)
            _log.warning("error code not in the table", extra={"target": self.target, "code": code})

    def message_unreadable(self) -> None:
        """Count one message of the log that was left out because it cannot be understood."""
        self.meters.unreadable_message(self.target)
