"""What happens in the incident of ``tests/incident.py``, and what the exporter shows of it at each moment.

The product itself tells most of it. A world of clients asks for codes, faults strike them as in the sandbox, and what
becomes of the messages goes through the real database, detector and collector. Written down here are the times, the
results of the checks that would have to ask somebody, and what happens to the exporter.

It is told at a time of its own, always the same, so that the same figures come out each time.
"""

import math
import random
import tempfile
from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import yaml

from checks.callbacks import CallbackOutcome
from checks.canary_desk import Legs, Limits
from checks.clients import Incident as Trouble
from checks.clients import IncidentImpact, LogPage, Money, RecentSpend, ServiceStatus
from checks.messages import Receipt, Source, Status
from checks.messages.operator import origin_of
from checks.messages.verification import TypedCode
from checks.providers.twilio.codes import ERROR_CODES
from checks.reason import Reason
from checks.result import (
    AcceptedSteps,
    CheckResult,
    CheckRun,
    ClientShare,
    ClockOffset,
    ClockSource,
    MethodGroup,
    ProviderEnabled,
    ServiceComponent,
    ServiceState,
)
from exporter import config as configuration
from exporter.app import InForce
from exporter.config import Config, ConfiguredCheck
from exporter.demo import CANARY, PHONE, write_sandbox_config
from exporter.ledger import movement_of
from exporter.meters import ConfirmationOutcome, DiagnosisOutcome, ForwardOutcome, Meters, SchedulerEvent
from exporter.metrics import TwofaCollector
from exporter.sandbox.effects import under_faults
from exporter.sandbox.faults import Place, Switches
from exporter.sandbox.message import Message
from exporter.sandbox.server import Sandbox
from exporter.sandbox.world import World
from exporter.storage import Storage
from exporter.verifier import VerifierEvent, VerifierEventOutcome
from tests.fakes import FakeClient

STEP_SECONDS: Final = 120  # between two scrapes
END: Final = datetime(2026, 3, 3, 15, 30, tzinfo=UTC).timestamp()  # in the afternoon, the busy time

_WARM_SECONDS: Final = 26 * 3600  # before it, for the detector to learn from: more than a whole day
_SEED: Final = 7
_SPEED: Final = 0.4  # 8000 messages a day
_COUNTRIES: Final = frozenset({"GB", "DE", "NG"})  # two in three messages; all 15 would be too many series
_TARGET: Final = "twilio"
_OFFICE: Final = "b2core"
_MIN_BALANCE: Final = 20.0
_THREADS: Final = 16
_A_CANARY: Final = 0.0524  # USD


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the incident, in hours before its end."""

    since: float
    until: float

    def __contains__(self, at: float) -> bool:
        """Return whether a moment (Unix time) is in it."""
        return self.since >= (END - at) / 3600 > self.until

    @property
    def begin(self) -> float:
        """When it begins, in Unix time."""
        return END - self.since * 3600


DELIVERY_FAILING: Final = Span(24.2, 23.6)
EXPORTER_DOWN: Final = Span(16.0, 15.8)
BALANCE_EXHAUSTED: Final = Span(5.6, 5.0)
CLOCK_DRIFTS: Final = Span(5.0, 0.8)  # the platform's
API_UNREACHABLE: Final = Span(4.7, 4.35)
PROVIDER_INCIDENT: Final = Span(4.4, 3.3)
FORGERIES: Final = Span(4.0, 3.5)  # of callbacks
OPERATOR_BLOCKS: Final = Span(2.6, -math.inf)  # still at the end
PROVIDER_OFF: Final = Span(1.7, 0.9)  # in the back office
BAD_RELEASE: Final = Span(0.6, 0.2)  # of the platform: it reads the secrets of authenticator apps wrongly

_FAULTS: Final[Sequence[tuple[str, Span, Place | None]]] = (
    ("delivery_failing", DELIVERY_FAILING, None),
    ("delivery_slow", PROVIDER_INCIDENT, None),
    ("no_traffic", BALANCE_EXHAUSTED, None),  # the provider accepts nothing
    ("operator_blocking", OPERATOR_BLOCKS, Place("GB", "O2")),
    ("no_traffic", PROVIDER_OFF, None),
)

_INTERVALS: Final[Mapping[str, str]] = {  # none is shorter than a step
    "credentials": "2m",
    "account": "10m",
    "balance": "10m",
    "senders": "10m",
    "service-status": "2m",
    "delivery": "2m",
    "conversion": "10m",
    "enablement": "2m",
    "client-readiness": "10m",
    "totp-login": "10m",
    "clock": "2m",
    "verifier": "10m",
    CANARY: "30m",
}


def _miss_runs(meters: Meters, count: int) -> None:
    for _ in range(count):
        meters.scheduler_event(SchedulerEvent.MISSED)


# What goes wrong in the exporter itself, by hours before the end.
_EVENTS: Final[Mapping[float, Callable[[Meters], None]]] = {
    19.0: lambda meters: meters.config_loaded(True, _moment(END - 19.0 * 3600)),
    18.0: lambda meters: meters.scheduler_event(SchedulerEvent.MISSED),
    17.9: lambda meters: meters.scheduler_event(SchedulerEvent.OVERLAP),
    17.0: lambda meters: meters.scheduler_event(SchedulerEvent.CLOCK_JUMP),
    5.2: lambda meters: meters.storage_error(),
    4.9: lambda meters: meters.codes_unmapped(_TARGET, 2),
    4.7: lambda meters: meters.observer(_TARGET, ()).message_unreadable(),
    3.0: lambda meters: _miss_runs(meters, 6),  # more than a busy moment brings
    2.3: lambda meters: meters.config_loaded(False, _moment(END - 2.3 * 3600)),
    2.0: lambda meters: meters.config_loaded(True, _moment(END - 2.0 * 3600)),
    1.9: lambda meters: meters.codes_unmapped(_TARGET, 1),
}


class Story:
    """What happens, step by step. All times are those of the telling."""

    def __init__(self, *, hours: float) -> None:
        """``hours`` is how long before the end it begins."""
        begin = END - hours * 3600
        self._rng = random.Random(_SEED)
        self._now = self._begin = begin
        self._world = World(
            seed=_SEED,
            start=begin - _WARM_SECONDS,
            speed=_SPEED,
            service_sid="MG" + "0" * 32,
            long_code="+15005550006",
            alpha_sender="Broker",
        )
        self._switches = Switches(clock=lambda: self._now, kept_seconds=math.inf)
        self._strike()
        self.meters = Meters()
        self._config = _load_config(self.meters)
        self.meters.config_loaded(True, _moment(begin))
        self.meters.scheduler_threads(_THREADS)
        self.storage = Storage.in_memory(self.meters)
        self.collector = TwofaCollector(lambda: self._config, self.storage, self.meters)
        self._newest: Message | None = None
        self._waiting: list[Message] = []  # what may still change
        self._told: dict[str, str] = {}  # by SID, Twilio's word for the status that was told last
        self._to_type: list[tuple[float, str, bool]] = []
        self._spent = 0.0
        self._spent_by_day: dict[int, float] = {}
        self._due: dict[str, float] = {}
        self.started_at = begin - 86_400.0
        self._warm()

    @property
    def is_down(self) -> bool:
        """Whether the exporter cannot be scraped now."""
        return self._now in EXPORTER_DOWN

    def advance(self, at: float) -> None:
        """Let all happen that happens until then."""
        self._now = at
        self._send()
        if self.is_down:
            return
        if self.started_at < self._begin and at > END - EXPORTER_DOWN.until * 3600:
            self._restart()
        self._tell()
        self._type()
        self._sign_in()
        self._run_checks()
        self._count()

    def _strike(self) -> None:
        """Say when and where which fault is on. The clock of the switches goes to and fro for it."""
        for fault, span, place in _FAULTS:
            self._now = span.begin
            self._switches.set(fault, place)
            if math.isfinite(span.until):
                self._now = END - span.until * 3600
                self._switches.clear(fault)
        self._now = self._begin

    def _warm(self) -> None:
        """Let the detector learn from what was before, as a backfill does."""
        until = self._begin - STEP_SECONDS
        past = [each for each in map(self._struck, self._world.advance(until)) if each is not None]
        movements = [movement_of(self.storage.messages.key, self._receipt(each, until)) for each in past]
        self.storage.messages.warm(_TARGET, movements, known_until=until)

    def _struck(self, message: Message) -> Message | None:
        if message.country is None or message.country.code not in _COUNTRIES:
            return None
        return under_faults(message, self._switches)

    def _restart(self) -> None:
        """Begin anew, with the database of before."""
        self.started_at = self._now
        self.meters = Meters()
        self._config = _load_config(self.meters)
        self.meters.config_loaded(True, _moment(self._now))
        self.meters.scheduler_threads(_THREADS)
        self.collector = TwofaCollector(lambda: self._config, self.storage, self.meters)

    def _send(self) -> None:
        for drawn in self._world.advance(self._now):
            message = self._struck(drawn)
            if message is not None:
                self._waiting.append(message)
                self._newest = message
                self._spent += (price := message.price_micros / 1e6)
                day = int(message.created // 86_400)
                self._spent_by_day[day] = self._spent_by_day.get(day, 0.0) + price

    def _tell(self) -> None:
        """Tell of every message that has changed: most are told by a callback, the rest is found in the log."""
        receipts, waiting = [], []
        for message in self._waiting:
            word = message.status_at(self._now)
            if self._told.get(message.sid) != word:
                self._told[message.sid] = word
                receipts.append(self._receipt(message, self._now))
                self._called_back(message)
            if message.is_closed_at(self._now):
                self._told.pop(message.sid)
                typed_at = message.converted_time()
                insort(self._to_type, (typed_at or message.created + 600, message.sid, typed_at is not None))
            elif message.created > self._now - 7200:
                waiting.append(message)
        self._waiting = waiting
        self.storage.messages.take(_TARGET, receipts)

    def _receipt(self, message: Message, now: float) -> Receipt:
        status = Status(word) if (word := message.status_at(now)) != "queued" else Status.ACCEPTED
        country, operator = origin_of(message.to)
        at = message.changed_at(now)
        by_callback = message.noise % 10 > 0
        code = message.error_code if message.is_closed_at(now) else None
        row = None if code is None else ERROR_CODES.get(code)
        took = at - message.created
        return Receipt(
            message_id=message.sid,
            status=status,
            at=at,
            created_at=message.created,
            recipient=message.to,
            country=country,
            operator=operator,
            reason=None if code is None else (Reason.DELIVERY_FAILING if row is None else row.reason),
            code=None if code is None else str(code),
            code_is_mapped=code is None or row is not None,
            delivery_seconds=(took if by_callback else math.ceil(took)) if status is Status.DELIVERED else None,
            source=Source.CALLBACK if by_callback else Source.LOG,
        )

    def _called_back(self, message: Message) -> None:
        if message.noise % 10 == 0:
            return
        self.meters.callback(_TARGET, CallbackOutcome.ACCEPTED)
        self.meters.forward(_TARGET, ForwardOutcome.FAILED if message.noise % 97 == 0 else ForwardOutcome.TAKEN)

    def _type(self) -> None:
        """Let the application tell which codes were typed, and which ran out."""
        ready = [each for each in self._to_type if each[0] <= self._now]
        del self._to_type[: len(ready)]
        codes = [TypedCode(message_id=sid, at=at, typed=typed) for at, sid, typed in ready]
        unknown = self.storage.messages.confirm(_TARGET, codes)
        self.meters.confirmations(_TARGET, ConfirmationOutcome.TAKEN, len(codes) - unknown)
        self.meters.confirmations(_TARGET, ConfirmationOutcome.UNKNOWN_MESSAGE, unknown)

    @property
    def _clock_offset(self) -> float:
        """How far the platform's clock is ahead, in seconds."""
        if self._now not in CLOCK_DRIFTS:
            return 0.02 * math.sin(self._now / 900)
        begin = END - CLOCK_DRIFTS.since * 3600
        return (self._now - begin) / 3600 * 20

    def _sign_in(self) -> None:
        """Let clients sign in by an authenticator app; a clock that is off lets them match other steps, then none."""
        events = []
        busy = 4 + 4 * math.sin(math.pi * ((self._now / 3600) % 24) / 24)
        for _ in range(int(busy + self._rng.random() * 3)):
            offset = self._clock_offset + self._rng.gauss(0, 9)
            step: int | None = -round(offset / 30)
            if self._rng.random() < (0.8 if self._now in BAD_RELEASE else 0.04):
                step = None
            events.append(VerifierEvent(at=self._now, step=step, used=self._rng.random() < 0.02))
        self.storage.verifier.take(_OFFICE, events)
        self.meters.verifier_events(_OFFICE, VerifierEventOutcome.TAKEN, len(events))

    def _run_checks(self) -> None:
        for check in self._config.checks.values():
            if self._now < self._due.get(check.name, 0.0):
                continue
            self._due[check.name] = self._now + check.settings.interval
            result = self._result(check)
            took = 0.1 + self._rng.random() / 5 + (2 if result.reason in (Reason.TIMEOUT, Reason.UNREACHABLE) else 0)
            self.storage.record(
                CheckRun(
                    check=check.name,
                    kind=check.kind_name,
                    target=check.target,
                    result=result,
                    started_at=_moment(self._now - took),
                    finished_at=_moment(self._now),
                    duration_seconds=took,
                )
            )
            self.meters.scheduler_busy(took)
            self._note_request(check, result)

    def _note_request(self, check: ConfiguredCheck, result: CheckResult) -> None:
        outcome = result.reason if result.reason is Reason.UNREACHABLE else Reason.OK
        if check.target in (_TARGET, _OFFICE):
            for _ in range(3):
                self.meters.http_request(check.target, outcome.value)

    def _result(self, check: ConfiguredCheck) -> CheckResult:
        if check.kind.asks_provider and self._now in API_UNREACHABLE:
            return CheckResult(reason=Reason.UNREACHABLE, detail="connection refused")
        match check.kind_name:
            case "balance" | "delivery" | "service_status":
                past = self.storage.past(check.name, check.target, _moment(self._now))
                return check.kind.function(self._client(), check.settings, past)
            case "canary":
                return self._send_canary(check)
            case "enablement":
                return self._enablement()
            case "clock":
                return self._clock()
            case "verifier":
                offset = ClockOffset(seconds=self._clock_offset, source=ClockSource.VERIFIER)
                return CheckResult(reason=self._clock_reason, measured=(offset,))
            case "totp_login":
                is_refused = abs(self._clock_offset) > 45 or self._now in BAD_RELEASE
                reason = Reason.CODE_REJECTED if is_refused else Reason.OK
                return CheckResult(reason=reason, measured=(AcceptedSteps(steps=1),))
            case "client_readiness":
                return CheckResult(reason=Reason.OK, measured=_SAMPLE)
            case _:
                return CheckResult(reason=Reason.OK)

    def _client(self) -> "FakeClient":
        """Return a provider that answers as it would now."""
        is_empty = self._now in BALANCE_EXHAUSTED
        left = -0.12 if is_empty else _balance(self._now)
        day = self._spent_by_day.get(int(self._now // 86_400), 0.0)
        yesterday = self._spent_by_day.get(int(self._now // 86_400) - 1, 0.0)
        spent = RecentSpend(total=Money(amount=self._spent, currency="USD"), today=day, yesterday=yesterday)
        return _Provider(
            balance=Money(amount=left, currency="USD"),
            spend=spent,
            status=_status_page(self._now),
            receipts=[] if self._newest is None else [self._receipt(self._newest, self._now)],
            at=self._now,
        )

    def _enablement(self) -> CheckResult:
        is_off = self._now in PROVIDER_OFF
        enabled = tuple(
            ProviderEnabled(provider=name, is_enabled=is_enabled)
            for name, is_enabled in (("twilio-main", not is_off), ("fake", False))
        )
        detail = "twilio-main is not enabled" if is_off else ""
        return CheckResult(reason=Reason.PROVIDER_DISABLED if is_off else Reason.OK, detail=detail, measured=enabled)

    @property
    def _clock_reason(self) -> Reason:
        return Reason.SERVER_CLOCK_SKEWED if abs(self._clock_offset) > 5 else Reason.OK

    def _clock(self) -> CheckResult:
        host = ClockOffset(seconds=0.003 * math.sin(self._now / 1700), source=ClockSource.HOST)
        platform = ClockOffset(seconds=self._clock_offset, source=ClockSource.PLATFORM)
        return CheckResult(reason=self._clock_reason, measured=(host, platform))

    def _send_canary(self, check: ConfiguredCheck) -> CheckResult:
        """Send a test message, which fares as those of clients do."""
        if self._now in BALANCE_EXHAUSTED:
            return CheckResult(reason=Reason.ACCOUNT_SUSPENDED, detail="the account has no money")
        desk = self.storage.canaries.desk(check.name)
        number = desk.reserve(PHONE, _A_CANARY, _LIMITS, now=self._now, busy_until=self._now + 60)
        assert isinstance(number, int), number
        failed, slow = self._now in DELIVERY_FAILING, 10 if self._now in PROVIDER_INCIDENT else 1
        sent = 0.6 + self._rng.random()
        delivered = sent + self._rng.lognormvariate(1.2, 0.4) * slow
        legs = Legs(accepted=0.2 + self._rng.random() / 5, sent=sent)
        if not failed:
            legs = Legs(accepted=legs.accepted, sent=sent, delivered=delivered, received=delivered + 0.8)
        reason = Reason.OPERATOR_BLOCKING if failed else Reason.OK
        desk.settle(number, cost=_A_CANARY, reason=reason, detail="", legs=legs)
        return CheckResult(reason=reason)

    def _count(self) -> None:
        """Count what happens to the exporter."""
        hours = (END - self._now) / 3600
        for ago, happen in _EVENTS.items():
            if hours <= ago < hours + STEP_SECONDS / 3600:
                happen(self.meters)
        draw = self._rng.random()
        if self._now in FORGERIES:
            for _ in range(5):
                self.meters.callback(_TARGET, CallbackOutcome.BAD_SIGNATURE)
        if draw < 0.05:
            self.meters.diagnosis(DiagnosisOutcome.ANSWERED)
            self.meters.http_request(_TARGET, Reason.OK.value)
        if draw < 0.01:
            self.meters.callback(_TARGET, CallbackOutcome.IGNORED)
            self.meters.diagnosis(DiagnosisOutcome.MALFORMED)
            self.meters.http_request(_TARGET, Reason.TIMEOUT.value)


_SAMPLE: Final = (
    ClientShare(methods=MethodGroup.SMS, clients=212, without_phone=3),
    ClientShare(methods=MethodGroup.TOTP, clients=128),
    ClientShare(methods=MethodGroup.BOTH, clients=41, without_phone=1),
    ClientShare(methods=MethodGroup.NONE, clients=19),
)
_LIMITS: Final = Limits(max_sends=100, max_cost=10.0, currency="USD")
_COMPONENTS: Final = ("SMS", "REST API", "Verify")


@dataclass
class _Provider(FakeClient):
    """A provider of a moment. Of its log only the newest message is read: the others have been told before."""

    at: float = field(kw_only=True)

    def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
        """Return one page that is the last."""
        return LogPage(receipts=self.receipts, resume=None, reached=None, at=self.at)


def _status_page(at: float) -> ServiceStatus:
    hours = (at - PROVIDER_INCIDENT.begin) / 3600
    worst, incidents = ServiceState.OPERATIONAL, list[Trouble]()
    if at in PROVIDER_INCIDENT:
        worst = ServiceState.PARTIAL_OUTAGE if 0.5 <= hours < 1.1 else ServiceState.DEGRADED_PERFORMANCE
        incidents.append(Trouble(name="SMS delivery delays", impact=IncidentImpact.MINOR, components=("SMS",)))
    states = (worst, *(ServiceState.OPERATIONAL for _ in _COMPONENTS[1:]))
    components = tuple(
        ServiceComponent(component=name, state=state) for name, state in zip(_COMPONENTS, states, strict=True)
    )
    return ServiceStatus(components=components, incidents=tuple(incidents))


_PAYMENT_BOUNCES: Final = END - 8.0 * 3600


def _balance(at: float) -> float:
    """Return the money in the account: it is spent evenly; a payment bounces, and the rest is soon spent."""
    topped_up_at = END - BALANCE_EXHAUSTED.until * 3600
    if at >= topped_up_at:
        return 3000.0 - (at - topped_up_at) / 3600 * 22
    left = (BALANCE_EXHAUSTED.begin - at) / 3600 * 22
    return left if at >= _PAYMENT_BOUNCES else left + 3000.0


def _load_config(meters: Meters) -> Config:
    """Return a configuration with a target and a check of every kind, as the demo has it."""
    with tempfile.TemporaryDirectory() as folder, Sandbox(history_hours=0, speed=0) as sandbox:
        path = Path(folder) / "twofa-exporter.yml"
        write_sandbox_config(sandbox, path, callback_url="https://otp.example/callbacks/twilio")
        document = yaml.safe_load(path.read_text())
        for name, check in document["checks"].items():
            check["interval"] = _INTERVALS[name]
        document["routes"] = [
            {"countries": ["NG"], "providers": [_TARGET]},
            {"countries": "*", "providers": [_TARGET]},
        ]
        path.write_text(yaml.safe_dump(document))
        in_force = InForce.build(configuration.load(path), meters)
        in_force.close()
        return in_force.config


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
