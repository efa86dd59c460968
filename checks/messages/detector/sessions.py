"""From the movements of messages to what is judged: one session a recipient, looked at when its time has come.

Looks are taken in the order of their own time, whatever the order in which movements arrive. So many small
readings of a log give the same looks as one large one.
"""

import math
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final, NamedTuple

import msgspec

from ..movement import Confirmation, Movement
from ..receipt import Status
from .recipients import Filter, ReachedRecipients
from .settings import DetectorSettings
from .signatures import OUTCOME_OF, TYPED, UNTYPED, Outcome

_FAST_SECONDS: Final = 10.0
_REACHED_KEPT: Final = 90 * 86_400.0  # seconds: numbers are given to other people after a quarter of a year or later
_ABSURD: Final = 31 * 86_400.0  # seconds: no log is read so far ahead of what is known
_MOST_WAITING: Final = 100_000  # sessions in memory, about 40 MB
_MOST_EVENTS: Final = 4 * _MOST_WAITING
_MOST_RECIPIENTS: Final = 100_000  # of each memory
_SILENCE: Final = 12  # sessions without any code typed anywhere: then nobody tells of codes any more

_NEVER: Final = math.inf
_NEW: Final = -1

# Plain numbers: these run for every message.
_FAST, _SLOW, _LATE, _LOST, _PENDING, _NUMBER_WRONG, _NUMBER_GONE = (
    int(each)
    for each in (
        Outcome.FAST,
        Outcome.SLOW,
        Outcome.LATE,
        Outcome.LOST,
        Outcome.PENDING,
        Outcome.NUMBER_WRONG,
        Outcome.NUMBER_GONE,
    )
)

_CONFIRM, _OPEN, _FAIL, _FIRST, _SECOND = range(5)


class Session(msgspec.Struct, gc=False, array_like=True):
    """The first message to a recipient after a pause. Times are Unix time."""

    recipient: bytes
    created_at: float
    operator: int
    delivered_at: float = _NEVER
    failed_at: float = _NEVER
    failure: int = Outcome.FAILING
    told: tuple[str, str] = ("", "")  # reason and the vendor's code of a failure
    is_open: bool = False
    is_void: bool = False  # withdrawn by the sender
    is_typed: bool = False
    is_resent: bool = False
    outcome: int = _NEW


class Look(NamedTuple):
    """What one look at a session shows."""

    at: float  # Unix time
    session: Session
    before: int  # the outcome of the look before, or -1
    after: int
    leaf: int  # what became of the message, once that is clear; else -1


class SessionsState(msgspec.Struct):
    """All that ``Sessions`` remembers."""

    now: float = 0.0  # Unix time: until when looks are taken
    timeline: list[tuple[float, int, bytes]] = []  # a heap
    sessions: dict[bytes, Session] = {}  # by the message
    recipients: dict[bytes, tuple[float, bytes]] = {}  # the latest message and the session's; the oldest first
    failed: dict[bytes, float] = {}  # recipients of failed messages; the oldest first
    heard: bool = False  # whether a typed code was ever told of
    unheard: int = 0  # sessions judged since
    filters: list[Filter] = []


class Sessions:
    """Sorts movements into sessions and takes the looks."""

    def __init__(self, settings: DetectorSettings, state: SessionsState) -> None:
        self.state = state
        self._settings = settings
        self._reached = ReachedRecipients(_REACHED_KEPT, state.filters)
        state.filters = self._reached.filters

    def take(self, movement: Movement, operator: int, known_until: float) -> None:
        """Note a movement; ``operator`` is the number under which looks name the operator."""
        state = self.state
        session = state.sessions.get(movement.message)
        if session is None:
            created_at = movement.created_at
            if not self._is_of_now(created_at, known_until) or len(state.sessions) >= _MOST_WAITING:
                return
            session = Session(movement.recipient or movement.message, created_at, operator)
            state.sessions[movement.message] = session
            heappush(state.timeline, (max(created_at, state.now), _OPEN, movement.message))
        status = movement.status
        if status is Status.DELIVERED:
            session.delivered_at = min(session.delivered_at, max(movement.at, session.created_at))
        elif status in (Status.UNDELIVERED, Status.FAILED):
            self._note_failure(session, movement)
        elif status is Status.CANCELED:
            session.is_void = True

    def _note_failure(self, session: Session, movement: Movement) -> None:
        if session.failed_at < _NEVER:
            return
        session.failed_at = max(movement.at, session.created_at)
        if session.failed_at > session.created_at + self._settings.second_look:
            return
        if movement.reason is not None:
            session.failure = OUTCOME_OF.get(movement.reason, Outcome.FAILING)
        session.told = (movement.reason or "", movement.code or "")
        heappush(self.state.timeline, (max(session.failed_at, self.state.now), _FAIL, movement.message))

    def confirm(self, confirmation: Confirmation, known_until: float) -> None:
        """Note that a code was typed."""
        state = self.state
        if self._is_of_now(confirmation.at, known_until) and len(state.timeline) < _MOST_EVENTS:
            heappush(state.timeline, (max(confirmation.at, state.now), _CONFIRM, confirmation.recipient))

    def _is_of_now(self, at: float, known_until: float) -> bool:
        """Whether it is neither judged long ago nor absurd (NaN is)."""
        return self.state.now - self._settings.session <= at <= known_until + _ABSURD

    def looks(self, known_until: float, typed_until: float = math.inf) -> Iterator[Look]:
        """Take and yield the looks whose time has come; what is typed is known until ``typed_until``."""
        state = self.state
        timeline, sessions = state.timeline, state.sessions
        while timeline and timeline[0][0] < known_until:
            at, kind, message = heappop(timeline)
            if kind == _CONFIRM:
                self._hear(message, at)
                continue
            session = sessions.get(message)
            if session is None:
                continue
            if session.is_void:
                del sessions[message]
            elif kind == _OPEN:
                self._open(message, session, at)
            elif kind == _FAIL:
                if session.is_open and session.outcome in (_NEW, _PENDING):
                    yield self._fail(session, at)
            elif kind == _FIRST:
                if session.outcome == _NEW:
                    yield self._look_first(session, at)
            else:
                del sessions[message]
                if session.is_open and session.outcome in _UNDECIDED:
                    yield self._look_last(session, at, is_told=at <= typed_until)
        state.now = max(state.now, known_until)

    def _open(self, message: bytes, session: Session, at: float) -> None:
        """Begin a session, unless the message is a resend, or to one who lately got none: both say nothing new."""
        state, recipient, created_at = self.state, session.recipient, session.created_at
        recipients = state.recipients
        oldest = at - self._settings.session
        while recipients:
            first = next(iter(recipients))
            if recipients[first][0] >= oldest and len(recipients) < _MOST_RECIPIENTS:
                break
            del recipients[first]
        known = recipients.get(recipient)
        if known is not None and known[0] >= oldest:
            if created_at > known[0]:
                del recipients[recipient]
                recipients[recipient] = (created_at, known[1])
            resent = state.sessions.get(known[1])
            if resent is not None:
                resent.is_resent = True
        elif state.failed.get(recipient, -math.inf) >= at - self._settings.half_life:
            recipients[recipient] = (created_at, b"")
        else:
            recipients[recipient] = (created_at, message)
            session.is_open = True
            heappush(state.timeline, (max(at, created_at + self._settings.first_look), _FIRST, message))
            heappush(state.timeline, (max(at, created_at + self._settings.second_look), _SECOND, message))
            return
        del state.sessions[message]

    def _hear(self, recipient: bytes, at: float) -> None:
        state = self.state
        state.heard = True
        state.unheard = 0
        known = state.recipients.get(recipient)
        session = state.sessions.get(known[1]) if known is not None else None
        if session is not None and session.created_at <= at:
            session.is_typed = True

    def _fail(self, session: Session, at: float) -> Look:
        failed = self.state.failed
        while failed:
            first = next(iter(failed))
            if failed[first] >= at - self._settings.half_life and len(failed) < _MOST_RECIPIENTS:
                break
            del failed[first]
        failed.pop(session.recipient, None)
        failed[session.recipient] = at
        if session.failure == _NUMBER_WRONG and session.recipient in self._reached:
            session.failure = _NUMBER_GONE
        before, session.outcome = session.outcome, session.failure
        return Look(at, session, before, session.failure, session.failure)

    def _look_first(self, session: Session, at: float) -> Look:
        took = session.delivered_at - session.created_at
        if took <= _FAST_SECONDS:
            session.outcome = _FAST
        elif took <= self._settings.first_look:
            session.outcome = _SLOW
        else:
            session.outcome = _PENDING
        return Look(at, session, _NEW, session.outcome, -1)

    def _look_last(self, session: Session, at: float, *, is_told: bool) -> Look:
        before = leaf = session.outcome
        if before == _PENDING:
            is_late = session.delivered_at <= session.created_at + self._settings.second_look
            leaf = _LATE if is_late else _LOST
        if leaf != _LOST:
            self._reached.add(session.recipient, at)
        after = leaf
        if is_told and self._is_heard():
            after = leaf + (TYPED if session.is_typed else UNTYPED)
        session.outcome = after
        return Look(at, session, before, after, leaf)

    def _is_heard(self) -> bool:
        """Whether it means anything that a code was not typed."""
        self.state.unheard += 1
        return self.state.heard and self.state.unheard <= _SILENCE


_UNDECIDED: Final = (_NEW, _FAST, _SLOW, _PENDING)
