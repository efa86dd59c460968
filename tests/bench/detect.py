"""How soon, how surely and how rightly the detector of operator faults speaks, in simulated traffic.

Every figure is printed beside its goal; the exit code is 1 when one is missed. Seeds and world are arguments: the
detector's settings are the defaults, whatever the world.

    python -m tests.bench.detect --seeds 7,8,9,10,11 --runs 30
"""

import argparse
import math
import random
import statistics
import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from checks.messages import Confirmation, Movement, Receipt, Status
from checks.messages.detector import Detector, DetectorSettings, NodeReading, Scope, Verdict
from checks.reason import Reason
from exporter.ledger import keyed_hash
from exporter.meters import Meters
from exporter.storage import Storage
from tests.bench.measure import Goals
from tests.bench.traffic import (
    DAY,
    EPOCH,
    HOUR,
    NEVER,
    SIZES,
    Fault,
    Kind,
    Message,
    Operator,
    Poll,
    Traffic,
    World,
    size_of,
)

LEARNING_DAYS: Final = 6
LOG_DELAY: Final = 5.0  # seconds: a reader of the log believes to know what is older
RUN_HOURS: Final = 10
SNAPSHOTS: Final = 8  # of the last day
COMPLAINTS: Final = 0.03  # of the harmed clients
COMPLAINT_MEDIAN: Final = 20 * 60.0
NODES: Final = 56  # operators, countries and the provider of the reference world
LOOK_SECONDS: Final[Mapping[Kind, float]] = {
    Kind.BLOCK: 21,
    Kind.BLOCK_30: 21,
    Kind.GEO_OFF: 21,
    Kind.SILENT: 90,
    Kind.DELAY: 90,
    Kind.NO_RECEIPTS: 90,
    Kind.LYING: 210,
    Kind.PUMPING: 210,
}
"""How long it takes at least to see what a message shows."""

_R = Reason
RIGHT: Final[Mapping[Kind, frozenset[Reason]]] = {
    Kind.BLOCK: frozenset({_R.OPERATOR_BLOCKING}),
    Kind.BLOCK_30: frozenset({_R.OPERATOR_BLOCKING}),
    Kind.SILENT: frozenset({_R.OPERATOR_BLOCKING}),
    Kind.LYING: frozenset({_R.RECEIPTS_FALSE}),
    Kind.DELAY: frozenset({_R.OPERATOR_DELAY}),
    Kind.NO_RECEIPTS: frozenset({_R.RECEIPTS_MISSING}),
    Kind.PUMPING: frozenset({_R.SMS_PUMPING}),
    Kind.GEO_OFF: frozenset({_R.COUNTRY_NOT_PERMITTED}),
    Kind.PROVIDER_30: frozenset({_R.DELIVERY_FAILING, _R.PROVIDER_OUTAGE}),
    Kind.PROVIDER_SLOW: frozenset({_R.DELIVERY_SLOW}),
    Kind.SUSPENDED: frozenset({_R.ACCOUNT_SUSPENDED}),
    Kind.OUTAGE: frozenset({_R.PROVIDER_OUTAGE}),
}
OF_OPERATOR: Final = (Kind.BLOCK, Kind.BLOCK_30, Kind.SILENT, Kind.LYING, Kind.DELAY, Kind.NO_RECEIPTS, Kind.PUMPING)
OF_PROVIDER: Final = (Kind.PROVIDER_30, Kind.PROVIDER_SLOW, Kind.SUSPENDED, Kind.OUTAGE)
HARMLESS: Final = (Kind.NO_RECEIPTS, Kind.PUMPING)  # to clients


# --- the way from the log to the detector -----------------------------------------------------------------------------


class DirectPath:
    """From receipts to movements, once for each status, without a database between."""

    def __init__(self, detector: Detector, key: bytes = b"") -> None:
        self.detector = detector
        self._key = key
        self.seconds = 0.0  # of CPU, in the detector
        self._seen: dict[str, Status] = {}

    def take(self, poll: Poll) -> list[Movement]:
        """Feed the detector; return what was new."""
        movements = self.movements(poll)
        confirmations = [Confirmation(keyed_hash(self._key, recipient), at) for recipient, at in poll.typed]
        started = time.process_time()
        self.detector.advance(movements, confirmations=confirmations, known_until=poll.at - LOG_DELAY)
        self.seconds += time.process_time() - started
        return movements

    def movements(self, poll: Poll) -> list[Movement]:
        """Return what is new in a reading of the log."""
        movements = []
        for receipt in poll.receipts:
            if self._seen.get(receipt.message_id) is not receipt.status:
                self._seen[receipt.message_id] = receipt.status
                movements.append(self._movement(receipt))
        if len(self._seen) > 50_000:
            self._seen = dict(islice(self._seen.items(), 25_000, None))
        return movements

    def _movement(self, receipt: Receipt) -> Movement:
        return Movement(
            keyed_hash(self._key, receipt.message_id),
            keyed_hash(self._key, receipt.recipient),
            receipt.created_at or receipt.at,
            receipt.country,
            receipt.operator,
            receipt.status,
            receipt.at,
            receipt.reason,
            receipt.code,
        )


# --- what it is compared with -----------------------------------------------------------------------------------------


class RatioRule:
    """A fixed ratio, well guarded: of at least 20 messages that ended within an hour more than so many failed."""

    def __init__(self, ratio: float = 0.6) -> None:
        self._ratio = ratio
        self._ended: defaultdict[tuple[str, str], deque[tuple[float, bool]]] = defaultdict(deque)
        self._failed: Counter[tuple[str, str]] = Counter()

    def take(self, at: float, movements: Sequence[Movement]) -> set[tuple[str, str]]:
        """Return the nodes, by country and operator, that would page."""
        for movement in movements:
            if movement.status.is_final:
                failed = movement.status is not Status.DELIVERED
                for node in (("", ""), (movement.country, ""), (movement.country, movement.operator)):
                    self._ended[node].append((at, failed))
                    self._failed[node] += failed
        pages = set()
        for node, ended in self._ended.items():
            while ended and ended[0][0] <= at - HOUR:
                self._failed[node] -= ended.popleft()[1]
            if len(ended) >= 20 and self._failed[node] > self._ratio * len(ended):
                pages.add(node)
        return pages


@cache
def divergence(world: World, number: int, kind: Kind) -> float:
    """Return the information that one session of an operator gives on a fault (Kullback-Leibler, in nats)."""
    healthy, faulty = (_outcomes(world, number, each) for each in (None, kind))
    total = sum(healthy.values()), sum(faulty.values())
    cells = healthy.keys() | faulty.keys()
    gained = 0.0
    for cell in cells:
        before = (healthy[cell] + 0.5) / (total[0] + 0.5 * len(cells))
        after = (faulty[cell] + 0.5) / (total[1] + 0.5 * len(cells))
        gained += after * math.log(after / before)
    return gained


def _outcomes(world: World, number: int, kind: Kind | None) -> Counter[tuple[str, bool]]:
    operator = world.draw()[number]
    fault = None if kind is None else Fault(kind, EPOCH, operator.country, operator.number)
    traffic = Traffic(world, f"outcomes {number} {kind}", fault)
    counts: Counter[tuple[str, bool]] = Counter()
    for message in traffic.sample(operator, 3000):
        took = message.final_at - message.created_at
        ended = message.code or "delivered"
        told = f"fast {ended}" if took <= 10 else ended if took <= 30 else f"late {ended}" if took <= 180 else "lost"
        counts[told, message.typed_at <= message.created_at + 180] += 1
    return counts


# --- healthy days -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Days:
    """What healthy days brought."""

    world: World
    days: int
    pages: Sequence[str]  # false ones, in words
    tickets: int
    messages: int
    seconds: float  # of CPU in the detector
    ratio_pages: int

    @property
    def counted(self) -> float:
        """Days that count."""
        return self.days - LEARNING_DAYS


def live_healthy(world: World, days: int, every: float, folder: Path) -> Days:
    """Live through days without any fault; leave snapshots of the last one in the folder."""
    path, rule = DirectPath(Detector(DetectorSettings())), RatioRule()
    traffic = Traffic(world, "healthy")
    pages: list[str] = []
    messages = tickets = ratio_pages = 0
    told: dict[tuple[bool, str, str], float] = {}
    ratio_told: dict[tuple[str, str], float] = {}
    end = EPOCH + days * DAY
    snapshots = [end - (turn + 1) * DAY / SNAPSHOTS for turn in range(SNAPSHOTS)]
    for poll in traffic.polls(EPOCH, every):
        if poll.at > end:
            break
        movements = path.take(poll)
        messages += len(traffic.newest)
        is_counted = poll.at > EPOCH + LEARNING_DAYS * DAY
        for verdict in path.detector.verdicts():
            if _is_new(told, (verdict.pages, verdict.country, verdict.operator), poll.at) and is_counted:
                tickets += not verdict.pages
                if verdict.pages:
                    pages.append(f"day {(poll.at - EPOCH) / DAY:.1f}: {_words(verdict)}")
        for node in rule.take(poll.at, movements):
            ratio_pages += _is_new(ratio_told, node, poll.at) and is_counted
        if snapshots and poll.at >= snapshots[-1]:
            (folder / f"{world.seed}-{len(snapshots) - 1}").write_bytes(path.detector.dump())
            (folder / f"{world.seed}-{len(snapshots) - 1}.at").write_text(repr(poll.at))
            snapshots.pop()
    return Days(world, days, pages, tickets, messages, path.seconds, ratio_pages)


def _is_new(told: dict[Any, float], key: Any, at: float) -> bool:
    is_new = at - told.get(key, -NEVER) > 6 * HOUR
    told[key] = at
    return is_new


def _words(verdict: Verdict) -> str:
    where = " ".join(part for part in (verdict.scope, verdict.country, verdict.operator) if part)
    return f"{verdict.reason} {where} {verdict.score:.1f}/{verdict.threshold:.1f}: {verdict.evidence}"


# --- faults -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One fault to be found."""

    world: World
    kind: Kind
    size: str  # of the operator
    operator: int
    turn: int
    every: float


@dataclass
class Found:
    """What became of one fault. Times are seconds after its beginning."""

    case: Case
    delay: float = NEVER
    reason: Reason | None = None  # first, at the page
    later: Reason | None = None  # three minutes after it
    scope_is_right: bool = False
    harmed: int = 0  # clients, before the page
    complaint: float = NEVER  # the first one
    ratio: float = NEVER  # the fixed-ratio rule's page
    bound: float = NEVER
    elsewhere: int = 0  # pages for what has no fault
    evidence: str = ""


def run(case: Case, folder: Path) -> Found:
    """Begin on an ordinary day, let the fault begin, and see."""
    chance = random.Random(f"{case}")
    snapshot = chance.randrange(SNAPSHOTS)
    begin = float((folder / f"{case.world.seed}-{snapshot}.at").read_text())
    detector = Detector.load(DetectorSettings(), (folder / f"{case.world.seed}-{snapshot}").read_bytes())
    operator = case.world.draw()[case.operator]
    since = begin + HOUR * (1 + chance.random())
    if case.kind in OF_OPERATOR:
        fault = Fault(case.kind, since, operator.country, operator.number)
    else:
        fault = Fault(case.kind, since, operator.country if case.kind is Kind.GEO_OFF else "")
    traffic = Traffic(case.world, f"run {chance.random()}", fault)
    found = Found(case)
    path, rule = DirectPath(detector), RatioRule()
    needed = _needed(case, operator)
    hit: list[float] = []
    elsewhere: set[tuple[str, str]] = set()
    for poll in traffic.polls(begin, case.every):
        if poll.at > since + RUN_HOURS * HOUR:
            break
        is_told = poll.at > since + found.delay + 180 + case.every
        if is_told and found.ratio < NEVER and len(hit) >= needed:
            break
        movements = path.movements(poll) if is_told else path.take(poll)
        pages = rule.take(poll.at, movements)
        if poll.at > since and found.ratio == NEVER and any(_is_there(*node, fault) for node in pages):
            found.ratio = poll.at - since
        for message in traffic.newest:
            _follow(found, message, fault, hit, chance)
        if is_told or poll.at <= since:
            continue
        verdicts = [each for each in path.detector.verdicts() if each.pages or case.kind is Kind.NO_RECEIPTS]
        there = [each for each in verdicts if _is_there(each.country, each.operator, fault)]
        elsewhere |= {(each.country, each.operator) for each in verdicts if each not in there and each.since > since}
        if there and found.delay == NEVER:
            first = there[0]
            found.delay = poll.at - since
            found.reason = first.reason
            found.scope_is_right = _is_right_scope(first, case)
            found.evidence = first.evidence
            found.harmed = sum(at <= poll.at for at in hit)
        if there:
            found.later = there[0].reason
    found.elsewhere = len(elsewhere)
    if needed <= len(hit):
        found.bound = hit[max(1, math.ceil(needed)) - 1] - since + LOOK_SECONDS.get(case.kind, 60)
    return found


def _needed(case: Case, operator: Operator) -> float:
    if case.kind not in LOOK_SECONDS:
        return NEVER
    return math.log(operator.a_day * 30 * NODES) / divergence(case.world, operator.number, case.kind)


def _follow(found: Found, message: Message, fault: Fault, hit: list[float], chance: random.Random) -> None:
    """Count a client whom the fault meets, and let some complain."""
    if message.created_at < fault.since or not message.is_first or not fault.meets(message.operator):
        return
    if message.is_pumped or fault.kind is not Kind.PUMPING:
        hit.append(message.created_at)
    if message.is_harmed and chance.random() < COMPLAINTS:
        at = message.created_at + math.exp(chance.gauss(math.log(COMPLAINT_MEDIAN), 1.0))
        found.complaint = min(found.complaint, at - fault.since)


def _is_there(country: str, operator: str, fault: Fault) -> bool:
    """Return whether a node is where the fault is, or around it or a part of it."""
    if not fault.country or not country:
        return True
    return country == fault.country and (not operator or fault.operator < 0 or operator == f"operator {fault.operator}")


def _is_right_scope(verdict: Verdict, case: Case) -> bool:
    if case.kind in OF_PROVIDER:
        return verdict.scope is Scope.PROVIDER
    if case.kind in OF_OPERATOR:
        return verdict.scope is Scope.OPERATOR
    return verdict.scope is Scope.COUNTRY


def cases(worlds: Sequence[World], runs: int, every: float) -> Iterator[Case]:
    """Yield every kind of fault, at operators of every size, spread over the worlds."""
    operators = {
        (world, size): [each.number for each in world.draw() if size_of(each) == size]
        for world in worlds
        for size in SIZES
    }
    chance = random.Random(f"cases {[world.seed for world in worlds]}")
    for kind in Kind:
        for size in SIZES if kind in OF_OPERATOR else ("",):
            for turn in range(runs):
                some = [world for world in worlds if not size or operators[world, size]]
                if not some:
                    continue
                world = some[turn % len(some)]
                among = operators[world, size] if size else [each.number for each in world.draw() if each.a_day > 50]
                yield Case(world, kind, size, chance.choice(among), turn, every)


# --- the report -------------------------------------------------------------------------------------------------------


def report_days(lived: Sequence[Days], goals: Goals) -> None:
    """Print what healthy days brought."""
    print("\nhealthy days: false pages in 30 days, the fixed-ratio rule's, tickets, CPU of the detector a message")
    for days in lived:
        cost = days.seconds / days.messages * 1e6
        scale = 30 / days.counted
        print(
            f"  world {days.world.seed:>4}: {len(days.pages) * scale:4.1f}  {days.ratio_pages * scale:5.1f}"
            f"  {days.tickets * scale:5.1f}  {cost:5.1f} us  ({days.messages} messages)"
        )
        for page in days.pages:
            print(f"      {page}")
    at_most = 1 if all(days.world.wobble <= 0.25 for days in lived) else 5
    most = max(len(days.pages) * 30 / days.counted for days in lived)
    goals.report("false pages in 30 days, worst world", most, at_most=at_most, unit="")
    cost = min(days.seconds / days.messages * 1e6 for days in lived)  # what else runs can only add to it
    goals.report("detector, CPU a message", cost, at_most=20, unit="us")


def report_runs(runs: Sequence[Found], goals: Goals) -> None:
    """Print what became of the faults."""
    print(
        "\nminutes to the page: median, 95 %, missed within 10 h | bound, delay / bound: of medians, run by run | rule"
    )
    for (kind, size), some in _grouped(runs, lambda found: (found.case.kind, found.case.size)).items():
        delays = [found.delay for found in some]
        bounds = [found.bound for found in some]
        print(
            f"  {kind:18} {size or 'all':6} {_minutes(_middle(delays))} {_minutes(_share(delays, 0.95))}"
            f" {_percent(found.delay == NEVER for found in some)} | {_minutes(_middle(bounds))}"
            f" {_ratio(_middle(delays), _middle(bounds))} {_ratio(_middle(_against_bound(some)), 1.0)}"
            f" | {_minutes(_middle([found.ratio for found in some]))}"
        )
    for kind, some in _grouped(runs, lambda found: found.case.kind).items():
        if kind in OF_PROVIDER:
            delay = _middle([found.delay for found in some]) / 60
            goals.report(f"{kind}, minutes to the page", delay, at_most=4, unit="min")
            continue
        for name, at_most, sizes in _SIZES_OF_GOAL:
            against = _against_bound([found for found in some if found.case.size in sizes])
            if against:
                goals.report(f"{kind}, {name}: delay / bound", _middle(against), at_most=at_most, unit="x")
    _report_words(runs, goals)
    _report_complaints(runs, goals)


_SIZES_OF_GOAL: Final = (
    ("200 a day or more", 1.3, ("large", "mid", "")),
    ("less than 200 a day", 1.6, ("small", "tiny")),
)


def _report_words(runs: Sequence[Found], goals: Goals) -> None:
    paged = [found for found in runs if found.delay < NEVER]
    print("\nwhat the fault is, and what it is called at the page")
    for kind, some in _grouped(paged, lambda found: found.case.kind).items():
        names = Counter(str(found.reason) for found in some)
        print(f"  {kind:18} {', '.join(f'{name} {count}' for name, count in names.most_common())}")
    wrong = [
        ("wrong reason at the page", 5, [found.reason not in RIGHT[found.case.kind] for found in paged]),
        ("wrong reason three minutes later", 1, [found.later not in RIGHT[found.case.kind] for found in paged]),
        ("wrong scope", 5, [not found.scope_is_right for found in paged]),
    ]
    for name, at_most, answers in wrong:
        goals.report(name, 100 * sum(answers) / max(1, len(answers)), at_most=at_most, unit="%")
    elsewhere = sum(found.elsewhere for found in runs)
    print(f"pages where no fault was, during {len(runs)} faults: {elsewhere}")
    for kind, some in _grouped(paged, lambda found: found.case.kind).items():
        print(f"  {kind}: {some[0].evidence}")


def _report_complaints(runs: Sequence[Found], goals: Goals) -> None:
    harmful = [found for found in runs if found.case.kind not in HARMLESS]
    print("\nclients harmed before the page, median")
    for kind, some in _grouped(harmful, lambda found: found.case.kind).items():
        by_size = _grouped(some, lambda found: found.case.size)
        shown = (f"{size or 'all'} {_middle([found.harmed for found in each]):.0f}" for size, each in by_size.items())
        print(f"  {kind:18} {', '.join(shown)}")
    for size, at_most in (("large", 5), ("mid", 10), ("small", 15)):
        some = [found for found in harmful if found.case.size == size]
        told = [found for found in some if min(found.delay, found.complaint) < NEVER]  # the others say nothing yet
        if told:
            late = [found.delay > found.complaint for found in told]
            goals.report(
                f"{size}: page after the first complaint", 100 * sum(late) / len(late), at_most=at_most, unit="%"
            )
        if len(told) < len(some):
            print(f"  {len(some) - len(told)} of {len(some)} without a page and without a complaint in {RUN_HOURS} h")


def _grouped(runs: Sequence[Found], key: Callable[[Found], Any]) -> Mapping[Any, list[Found]]:
    groups: dict[Any, list[Found]] = {}
    for found in runs:
        groups.setdefault(key(found), []).append(found)
    return groups


def _against_bound(runs: Sequence[Found]) -> list[float]:
    """Return the delay in units of the bound, where the fault could be found in the time of the run at all."""
    return [found.delay / found.bound for found in runs if found.bound < NEVER]


def _middle(values: Sequence[float]) -> float:
    return statistics.median(values) if values else NEVER


def _share(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:6.1f}" if seconds < NEVER else f"{'-':>6}"


def _ratio(delay: float, bound: float) -> str:
    return f"{delay / bound:5.2f}" if bound < NEVER and delay < NEVER else f"{'-':>5}"


def _percent(answers: Iterable[bool]) -> str:
    each = list(answers)
    return f"{100 * sum(each) / len(each):3.0f} %"


def check_ledger(world: World, every: float) -> bool:
    """Return whether a day through the real ledger gives exactly the scores of the direct way."""
    storage = Storage.in_memory(Meters())
    direct = DirectPath(Detector(DetectorSettings()), storage._database.key)
    book = storage.book("bench")
    for poll in Traffic(world, "ledger").polls(EPOCH, every):
        if poll.at > EPOCH + DAY + 2 * HOUR:
            break
        direct.take(Poll(poll.at, poll.receipts, []))
        book.take(poll.receipts, known_until=poll.at - LOG_DELAY)
    readings = storage.messages.evidence()["bench"].readings
    storage.close()
    return _by_name(readings) == _by_name(direct.detector.readings())


def _by_name(readings: Iterable[NodeReading]) -> Mapping[tuple[str, str, str], NodeReading]:
    return {(each.scope, each.country, each.operator): each for each in readings}


def main() -> int:
    """Measure, print, and say by the exit code whether every goal was met."""
    options = _options()
    worlds = [
        World(seed, options.messages_a_day, options.countries, options.operators, options.wobble)
        for seed in options.seeds
    ]
    goals = Goals()
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="twofa-detect-") as name,
        ProcessPoolExecutor(options.processes) as pool,
    ):
        folder = Path(name)
        same = pool.submit(check_ledger, worlds[0], options.poll)
        lived = list(pool.map(partial(live_healthy, days=options.days, every=options.poll, folder=folder), worlds))
        print(f"through the real ledger the scores are {'the same' if same.result() else 'DIFFERENT'}")
        goals.report("scores that the ledger changes", float(not same.result()), at_most=0, unit="")
        report_days(lived, goals)
        todo = list(cases(worlds, options.runs, options.poll))
        report_runs(list(pool.map(partial(run, folder=folder), todo, chunksize=4)), goals)
    print(f"\n{len(todo)} faults and {len(worlds) * options.days} healthy days in {time.monotonic() - started:.0f} s")
    if goals.missed:
        print(f"missed: {'; '.join(goals.missed)}")
    return goals.exit_code()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=_numbers, default=_numbers("7,8,9,10,11"), help="one world each")
    parser.add_argument("--messages-a-day", type=int, default=20_000)
    parser.add_argument("--countries", type=int, default=15)
    parser.add_argument("--operators", type=int, default=40)
    parser.add_argument("--wobble", type=float, default=0.25, help="of the hourly failure rates, in logits")
    parser.add_argument("--days", type=int, default=36, help=f"healthy days; the first {LEARNING_DAYS} do not count")
    parser.add_argument("--runs", type=int, default=30, help="of each fault at each size of operator")
    parser.add_argument("--poll", type=float, default=20.0, help="seconds between two readings of the log")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    if options.days <= LEARNING_DAYS:
        parser.error(f"--days must be more than {LEARNING_DAYS}")
    return options


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    raise SystemExit(main())
