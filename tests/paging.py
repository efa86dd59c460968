"""The whole way from a fault to a page, with time compressed: sandboxes, exporters, Prometheus, Alertmanager, an inbox.

One second here is a hundred: every time of the shipped rules and of the shipped Alertmanager configuration is divided
by ``FACTOR``, as are the intervals of checks as far as the product allows. Expressions, routes and inhibitions are the
shipped ones.
"""

import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import requests
import yaml

from exporter.app import App
from exporter.backfill import backfill
from exporter.demo import write_sandbox_config
from exporter.export import Site, rule_files
from exporter.meters import Meters
from exporter.sandbox.faults import Place
from exporter.sandbox.server import Sandbox
from exporter.shipped import JOB, RUNBOOKS_PATH, alerts_folder
from exporter.storage import Storage
from tests.fault_pages import Page
from tests.processes import answers, exporter, free_port, running, wait_for
from tests.repo import require_program

FACTOR: Final = 100
SCRAPE_SECONDS: Final = 0.4
"""Of scrapes and evaluations: a core does not manage the fifteenth part of a second that 15 s would be."""

OF_THE_MACHINE: Final = frozenset({"TwoFASchedulerEvents", "TwoFACheckStale", "TwoFAExporterDown", "TwoFALogNotRead"})
"""Alerts that come of the compression of time, and not of what is compressed: a machine that is asked to be a hundred
times as fast has no time for some turns, or for three seconds of scrapes, and the five seconds that a log may lag, or
the hours of a log of the past, stay what they are. The unit tests of the rules and of the inhibitions have them."""

_SCRAPE_OF_FAST: Final = "800ms"  # they have thousands of series
_FAST: Final = "fast-"  # how the names of sandboxes begin whose clock is as fast as the rules


def is_ignored(labels: Mapping[str, str]) -> bool:
    """Return whether an alert comes of the compression of time.

    Where messages come at the pace of our clock, the windows of the budget, a hundredth as long, hold too few of them.
    """
    is_fast = _FAST in labels.get("target", "")
    return labels["alertname"] in OF_THE_MACHINE or (labels["alertname"] == "TwoFADeliveryBudgetBurn" and not is_fast)


_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_RANGE: Final = re.compile(r"(?<=\[)\d+[smhdw](?=\])|(?<=\boffset )\d+[smhdw]\b")
_NUMBER_OF_SECONDS: Final = re.compile(r'(?<![\w."])\d{3,}(?![\w."])')  # of nothing else are there hundreds
_LEAST_MILLISECONDS: Final = 10


def compressed(duration: str) -> str:
    """Return a duration of Prometheus or Alertmanager, divided by ``FACTOR``; 0 stays 0."""
    seconds = int(duration[:-1]) * _SECONDS[duration[-1]]
    return f"{max(_LEAST_MILLISECONDS, round(1000 * seconds / FACTOR))}ms" if seconds else "0s"


def compressed_rules(text: str) -> str:
    """Return a rule file whose every `for`, interval, range, offset and number of seconds is divided by ``FACTOR``.

    Bounds of buckets stay: how long a message takes is asked of the sandbox, which has a clock of its own.
    """
    document = yaml.safe_load(text)
    for group in document["groups"]:
        if "interval" in group:
            group["interval"] = compressed(group["interval"])
        for rule in group["rules"]:
            expression = _RANGE.sub(lambda found: compressed(found[0]), rule["expr"])
            rule["expr"] = _NUMBER_OF_SECONDS.sub(lambda found: f"{int(found[0]) / FACTOR:g}", expression)
            for name in ("for", "keep_firing_for"):
                if name in rule:
                    rule[name] = compressed(rule[name])
    return yaml.safe_dump(document, sort_keys=False, width=200)


def compressed_alertmanager(text: str, inbox_url: str) -> str:
    """Return an Alertmanager configuration whose every time is divided by ``FACTOR``, with webhooks as receivers."""
    document = yaml.safe_load(text)

    def compress(route: dict[str, Any]) -> None:
        for name in ("group_wait", "group_interval", "repeat_interval"):
            if name in route:
                route[name] = compressed(route[name])
        for below in route.get("routes", ()):
            compress(below)

    compress(document["route"])
    document["receivers"] = [
        {"name": each["name"], "webhook_configs": [{"url": f"{inbox_url}/{each['name']}", "send_resolved": True}]}
        if each["name"] != "nobody"
        else each
        for each in document["receivers"]
    ]
    return yaml.safe_dump(document, sort_keys=False)


@dataclass(frozen=True, slots=True)
class Told:
    """One alert in one notification. ``at`` is the monotonic time of its arrival."""

    at: float
    receiver: str
    is_firing: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    @property
    def target(self) -> str:
        return self.labels.get("target", "")

    @property
    def name(self) -> str:
        return self.labels["alertname"]


class Inbox:
    """Takes the notifications of an Alertmanager, at the path that is the receiver's name."""

    def __init__(self) -> None:
        self._told: list[Told] = []
        self._lock = threading.Lock()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                inbox._take(self.path.removeprefix("/"), body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _take(self, receiver: str, body: Mapping[str, Any]) -> None:
        now = time.monotonic()
        told = [
            Told(now, receiver, alert["status"] == "firing", alert["labels"], alert["annotations"])
            for alert in body["alerts"]
        ]
        with self._lock:
            self._told += told

    def told(self, *receivers: str, since: float = -math.inf) -> Sequence[Told]:
        """Return what these receivers were told at or after a moment of the monotonic clock, in order."""
        with self._lock:
            return [each for each in self._told if each.receiver in receivers and each.at >= since]

    def to_people(self, targets: frozenset[str], *, since: float) -> Sequence[Told]:
        """Return what people were told of these targets."""
        found = self.told("page", "tickets", since=since)
        return [each for each in found if each.target in targets and not is_ignored(each.labels)]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Clock:
    """The clock of a sandbox that lives in the past, where ``FACTOR`` seconds pass in one."""

    def __init__(self) -> None:
        latest = datetime.now(UTC) - timedelta(hours=_LEFT_HOURS)
        today = latest.replace(minute=0, second=0, microsecond=0)
        begins = [today.replace(hour=hour) - timedelta(days=ago) for ago in (0, 1) for hour in _BUSY_HOURS]
        self._now = max(begin for begin in begins if begin <= latest).timestamp()

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A sandbox, and which of its checks an exporter runs."""

    name: str
    checks: Sequence[str]  # as the configuration of the demo names them
    is_fast: bool = False  # its clock runs FACTOR times as fast: for what needs much traffic
    is_typed_told: bool = False  # the application tells of typed codes
    faults: Sequence[str] = ()  # on from the start


@dataclass(slots=True)
class Stage:
    """A running sandbox with the names under which the exporter knows its parts."""

    plan: Plan
    sandbox: Sandbox
    clock: Clock | None
    job: str
    exporter_url: str = ""
    is_over: bool = False  # its clock stands still: what is over shall cost nothing
    told: set[str] = field(default_factory=set)  # attempts

    @property
    def targets(self) -> frozenset[str]:
        return frozenset(_renamed(each, self.plan.name) for each in _TARGETS)

    def target(self, kind: str) -> str:
        return _renamed(kind, self.plan.name)


_TARGETS: Final = ("twilio", "b2core", "time")
_BUSY_HOURS: Final = (8, 11, 14)  # UTC, when a fast clock begins; never a day ago: so old codes are not taken
_LEFT_HOURS: Final = 3.5  # of a fast clock to the present: in real time two minutes
_SHORT_HOURS: Final = 0.05  # of the others: few messages have few series, which are quickly scraped
_HISTORY_HOURS: Final = 36  # with the whole day before
_STEP_SECONDS: Final = 0.2
_MOST_STEP_SECONDS: Final = 0.6  # codes that are told later than that would count as not typed
_TYPED_WITHIN_SECONDS: Final = 300.0  # of the creation of a code
_INTERVALS: Final = {
    "delivery": "400ms",
    "client-readiness": "10s",  # the shortest of the product
    "totp-login": "35s",  # so is this
    "clock": "3s",  # it takes a second or two
}
_INTERVAL: Final = "1s"
_TIMEOUT: Final = "5s"  # not a hundredth: a busy machine may be slow


def _renamed(name: str, stage: str) -> str:
    return f"{name}-{stage}"


def _parts(stage: Stage, folder: Path) -> dict[str, Any]:
    """Return the configuration of one stage: the demo's, with the wanted checks and with names of its own."""
    path = folder / f"{stage.plan.name}.yml"
    write_sandbox_config(stage.sandbox, path)
    document = yaml.safe_load(path.read_text())
    checks = {}
    for name in stage.plan.checks:
        check = document["checks"][name]
        for key in ("target", "compare_with"):
            if key in check:
                check[key] = stage.target(check[key])
        check["interval"] = _INTERVALS.get(name, _INTERVAL)
        checks[_renamed(name, stage.plan.name)] = check
    used = {check[key] for check in checks.values() for key in ("target", "compare_with") if key in check}
    parts: dict[str, Any] = {"checks": checks}
    for section in ("providers", "back_offices", "clocks"):
        targets = {stage.target(name): settings for name, settings in document[section].items()}
        parts[section] = {name: settings for name, settings in targets.items() if name in used}
        for settings in parts[section].values():
            settings["timeout"] = _TIMEOUT
    if stage.plan.is_typed_told:
        token = {"file": f"{stage.plan.name}.token"}
        parts["providers"][stage.target("twilio")]["confirmations"] = {"token": token}
    return parts


def _merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for each in parts:
        for section, entries in each.items():
            merged.setdefault(section, {}).update(entries)
    return {section: entries for section, entries in merged.items() if entries}


class Chain:
    """All that runs."""

    def __init__(
        self,
        stages: Mapping[str, Stage],
        inbox: Inbox,
        prometheus_url: str,
        runs: Mapping[str, AbstractContextManager[str]],
    ) -> None:
        self.stages = stages
        self._runs = runs  # of exporters, by job
        self.ended: set[str] = set()  # jobs
        self.inbox = inbox
        self.prometheus_url = prometheus_url
        self._lock = threading.Lock()
        self._ending = threading.Lock()
        self._alerts: list[dict[str, str]] = []
        self._asked_at = -math.inf

    def end(self, stage_name: str) -> None:
        """Say that a sandbox has nothing more to show: what is over costs nothing.

        An exporter ends with its last one, but for the first, which shows the runbooks.
        """
        stage = self.stages[stage_name]
        stage.is_over = True
        if stage.job != JOB and all(each.is_over for each in self.stages.values() if each.job == stage.job):
            self.end_exporter(stage.job)

    def end_exporter(self, job: str) -> None:
        """End an exporter, once."""
        with self._ending:
            if job in self.ended:
                return
            self.ended.add(job)
        self._runs[job].__exit__(None, None, None)

    def query(self, promql: str) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.prometheus_url}/api/v1/query", params={"query": promql}, timeout=10).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def active(self, targets: frozenset[str], state: str = "pending|firing") -> set[tuple[str, str, str]]:
        """Return name, severity and state of the alerts of these targets, as they were within half a second."""
        with self._lock:
            if time.monotonic() > self._asked_at + _ASKED_EVERY_SECONDS:  # for all tracks
                self._alerts = [each["metric"] for each in self.query('ALERTS{target!=""}')]
                self._asked_at = time.monotonic()
            found = self._alerts
        return {
            (each["alertname"], each["severity"], each["alertstate"])
            for each in found
            if each["target"] in targets and each["alertstate"] in state.split("|") and not is_ignored(each)
        }


_ASKED_EVERY_SECONDS: Final = 0.5


@contextmanager
def chained(
    folder: Path, exporters: Mapping[str, Sequence[Plan]], routes: Sequence[Mapping[str, Any]] = ()
) -> Iterator[Chain]:
    """Run everything; ``exporters`` has the stages of each exporter by its name. Yields when every check has run.

    ``routes`` are those of each exporter's configuration.
    """
    programs = require_program("prometheus"), require_program("prometheus-alertmanager", "alertmanager")
    ports = {name: free_port() for name in exporters}
    with ExitStack() as stack:
        inbox = Inbox()
        stack.callback(inbox.close)
        prometheus_url = _start_companions(stack, folder, programs, exporters, ports, inbox)
        stages: dict[str, Stage] = {}
        for name, plans in exporters.items():
            of_exporter = [_open(stack, plan, _job(name, exporters)) for plan in plans]
            stages |= {stage.plan.name: stage for stage in of_exporter}
            own = folder / name
            own.mkdir()
            config = own / "exporter.yml"
            document = _merged([_parts(stage, own) for stage in of_exporter])
            config.write_text(yaml.safe_dump(document | ({"routes": list(routes)} if routes else {})))
            _warm(config, own, [stage for stage in of_exporter if stage.clock is not None])
        with ThreadPoolExecutor(len(exporters)) as pool:
            runs = {
                name: exporter(folder / name / "exporter.yml", folder / name, "--log.level=warn", port=port)
                for name, port in ports.items()
            }
            by_job = {_job(name, exporters): run for name, run in runs.items()}
            chain = Chain(stages, inbox, prometheus_url, by_job)
            for job in by_job:
                stack.callback(chain.end_exporter, job)
            urls = dict(zip(runs, pool.map(lambda run: run.__enter__(), runs.values()), strict=True))
        for name, plans in exporters.items():
            for plan in plans:
                stages[plan.name].exporter_url = urls[name]
        stack.enter_context(_time_passing([stage for stage in stages.values() if stage.clock is not None]))
        wait_for(lambda: len(chain.query(f'up{{job=~"{JOB}.*"}} == 1')) == len(exporters), seconds=60)
        wait_for(lambda: not chain.query('ALERTS{alertname="TwoFAExporterDown"}'))
        yield chain


def _job(exporter_name: str, exporters: Iterable[str]) -> str:
    """Return the name of an exporter's job; that of the first is the shipped one."""
    return JOB if exporter_name == next(iter(exporters)) else f"{JOB}-{exporter_name}"


def _open(stack: ExitStack, plan: Plan, job: str) -> Stage:
    clock = Clock() if plan.is_fast else None
    hours = _HISTORY_HOURS if plan.is_fast else _SHORT_HOURS
    sandbox = Sandbox(history_hours=hours, faults=plan.faults, clock=clock or time.time)
    return Stage(plan, stack.enter_context(sandbox), clock, job)


def _warm(config: Path, folder: Path, stages: Sequence[Stage]) -> None:
    """Let the detectors learn from what is yesterday in their sandbox."""
    if not stages:
        return
    meters = Meters()
    app = App.load(config, lambda: Storage.open(folder / "exporter.db", meters), meters)
    for stage in stages:
        assert stage.clock is not None
        backfill(
            app.client(stage.target("twilio")),
            app.storage.messages,
            stage.target("twilio"),
            days=1,
            now=datetime.fromtimestamp(stage.clock(), UTC),
            output=folder / "yesterday.om",
            step_seconds=3600,
        )
    app.stop()


def _start_companions(
    stack: ExitStack,
    folder: Path,
    programs: tuple[str, str],
    exporters: Mapping[str, Sequence[Plan]],
    ports: Mapping[str, int],
    inbox: Inbox,
) -> str:
    """Start Prometheus and Alertmanager; return the URL of the first. It looks for its targets five seconds later."""
    prometheus, alertmanager = programs
    prometheus_port, alertmanager_port = free_port(), free_port()
    first = next(iter(ports.values()))
    shipped = rule_files(Site(runbooks=f"http://127.0.0.1:{first}{RUNBOOKS_PATH}"))["twofa.rules.yml"]
    (folder / "rules.yml").write_text(compressed_rules(shipped))
    (folder / "alertmanager.yml").write_text(
        compressed_alertmanager((alerts_folder() / "alertmanager.example.yml").read_text(), inbox.url)
    )
    every = f"{SCRAPE_SECONDS * 1000:.0f}ms"
    scrape = {
        name: _SCRAPE_OF_FAST if any(plan.is_fast for plan in plans) else every for name, plans in exporters.items()
    }
    document = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [f"{folder}/rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager_port}"]}]}]},
        "scrape_configs": [
            {
                "job_name": _job(name, exporters),
                "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
                "scrape_interval": scrape[name],
                "scrape_timeout": scrape[name],
            }
            for name, port in ports.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
    stack.enter_context(
        running(
            [
                alertmanager,
                f"--config.file={folder}/alertmanager.yml",
                f"--storage.path={folder}/alertmanager",
                f"--web.listen-address=127.0.0.1:{alertmanager_port}",
                "--cluster.listen-address=",
            ],
            folder / "alertmanager.log",
        )
    )
    stack.enter_context(
        running(
            [
                prometheus,
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{prometheus_port}",
                f"--rules.alert.resend-delay={every}",
            ],
            folder / "prometheus.log",
        )
    )
    url = f"http://127.0.0.1:{prometheus_port}"
    wait_for(lambda: answers(f"{url}/-/ready"))
    wait_for(lambda: answers(f"http://127.0.0.1:{alertmanager_port}/-/ready"))
    return url


@contextmanager
def _time_passing(stages: Sequence[Stage]) -> Iterator[None]:
    """Let the fast clocks run, and the application tell which codes were typed before it gets later."""
    stopped = threading.Event()

    def run() -> None:
        with requests.Session() as session:
            latest = time.monotonic()
            while not stopped.wait(_STEP_SECONDS):
                now = time.monotonic()
                passed, latest = min(now - latest, _MOST_STEP_SECONDS), now
                for stage in stages:
                    if stage.is_over:
                        continue
                    if stage.clock is not None:
                        stage.clock.advance(passed * FACTOR)
                    if stage.plan.is_typed_told:
                        with suppress(requests.RequestException):
                            _tell_typed(stage, session)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _tell_typed(stage: Stage, session: requests.Session) -> None:
    """Post the codes that were typed since the last time, as the platform would: before it gets later."""
    assert stage.clock is not None
    since = datetime.fromtimestamp(stage.clock() - _TYPED_WITHIN_SECONDS, UTC)
    query: dict[str, Any] = {"PageSize": 1000, "Status": "converted", "DateCreatedAfter": f"{since:%Y-%m-%dT%H:%M:%SZ}"}
    own = stage.sandbox.credentials
    answer = session.get(
        f"{stage.sandbox.url}/v2/Attempts", params=query, auth=(own.account_sid, own.auth_token), timeout=10
    )
    typed = {
        each["sid"]: {"recipient": each["channel_data"]["to"], "at": each["date_updated"], "typed": True}
        for each in answer.json()["attempts"]
        if each["sid"] not in stage.told
    }
    if typed:
        session.post(
            f"{stage.exporter_url}/api/v1/confirmations/{stage.target('twilio')}",
            json={"confirmations": list(typed.values())},
            headers={"Authorization": f"Bearer {own.auth_token}"},
            timeout=10,
        ).raise_for_status()
        stage.told |= typed.keys()


def labels_of(page: Page, stage: Stage) -> dict[str, str]:
    """Return the labels of a page by which people tell alerts apart."""
    where = {} if page.place is None else {"country": page.place.country, "operator": page.place.operator}
    labels = {
        "alertname": page.name,
        "reason": page.reason,
        "severity": page.severity,
        "target": stage.target(page.kind),
    }
    return labels | {name: value for name, value in where.items() if value}


_SHOWN: Final = ("alertname", "reason", "severity", "target", "country", "operator")


def shown(told: Told) -> dict[str, str]:
    """Return the labels by which people tell alerts apart."""
    return {name: told.labels[name] for name in _SHOWN if told.labels.get(name)}


@dataclass(slots=True, kw_only=True)
class Case:
    """A fault and what became of it. Times are real seconds: FACTOR of them pass in one."""

    fault: str
    stage: str
    page: Page | None
    place: Place | None = None
    lasts: bool = False  # longer than anybody waits here
    during: Sequence[dict[str, str]] = ()  # every different alert that people were told of, the first first
    after: Sequence[dict[str, str]] = ()  # those of them that they were told of first when the fault had been ended
    told: Sequence[Told] = ()  # all notifications
    wanted: dict[str, str] = field(default_factory=dict)
    seconds_to_page: float | None = None
    seconds_to_end: float | None = None

    def find(self, told: Sequence[Told], *, is_firing: bool) -> Told | None:
        """Return the first notification about the wanted page."""
        return next((each for each in told if each.is_firing is is_firing and shown(each) == self.wanted), None)


def play(chain: Chain, cases: Sequence[Case], *, patience_seconds: float, linger_seconds: float) -> None:
    """Let faults of one sandbox be on together until all that they raise has been raised, and then end them."""
    stage = chain.stages[cases[0].stage]
    targets = stage.targets
    _wait(lambda: bool(stage.plan.faults) or not chain.active(targets), _QUIET_SECONDS)
    before = {tuple(shown(each).items()) for each in _still_told(chain.inbox.to_people(targets, since=-math.inf))}
    began = time.monotonic()
    for case in cases:
        case.wanted = {} if case.page is None else labels_of(case.page, stage)
        if case.fault in stage.plan.faults:
            before.discard(tuple(case.wanted.items()))
        else:
            stage.sandbox.set_fault(case.fault, case.place)
    since = -math.inf if any(case.fault in stage.plan.faults for case in cases) else began

    def told() -> Sequence[Told]:
        return chain.inbox.to_people(targets, since=since)

    paging = [case for case in cases if case.page is not None]
    _wait(lambda: all(case.find(told(), is_firing=True) for case in paging), patience_seconds)
    for case in paging:
        page = case.find(told(), is_firing=True)
        was_on = case.fault in stage.plan.faults
        case.seconds_to_page = None if page is None or was_on else page.at - began
    time.sleep(linger_seconds)
    _wait(lambda: not chain.active(targets, "pending"), patience_seconds)
    time.sleep(_GROUP_SECONDS)
    ended = time.monotonic()
    during = [each for each in told() if each.is_firing]
    for case in cases:
        stage.sandbox.clear_fault(case.fault)

    def later() -> Sequence[Told]:
        return chain.inbox.to_people(targets, since=ended)

    _wait(lambda: all(case.find(later(), is_firing=False) for case in paging if not case.lasts), patience_seconds)
    after = [each for each in later() if each.is_firing]
    for case in cases:
        case.told = told()
        case.during = [each for each in _different(during) if tuple(each.items()) not in before]
        case.after = [each for each in _different(after) if each not in _different(during)]
        if case.page is not None:
            end = case.find(later(), is_firing=False)
            case.seconds_to_end = None if end is None else end.at - ended


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition holds, or no longer than that: what it was about is looked at later."""
    ends_at = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends_at:
        time.sleep(_LOOK_SECONDS)


def _different(told: Sequence[Told]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for each in told:
        if shown(each) not in found:
            found.append(shown(each))
    return found


def _still_told(told: Sequence[Told]) -> Sequence[Told]:
    """Return the alerts that people believe to be firing."""
    latest = {tuple(shown(each).items()): each for each in told}
    return [each for each in latest.values() if each.is_firing]


_LOOK_SECONDS: Final = 0.25
_QUIET_SECONDS: Final = 20
_GROUP_SECONDS: Final = 0.6  # longer than the compressed group_wait, with the way there
