"""How fast the message log is read, beside the SDK of the vendor, from the same server.

Both follow ``next_page_uri`` over pages of 1000 messages of all 20 fields and take the same fields from each;
what ours finds beyond them (country, operator, reason) is in its time. The log is served by another process.
"""

import contextlib
import json
import multiprocessing
import random
import re
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import phonenumbers
from phonenumbers import carrier

from checks.messages import Receipt
from checks.messages.book import Reading, Recent
from checks.messages.detector import Verdict
from checks.messages.operator import operator_label, origin_of
from checks.messages.reading import ReadingSettings, read_log
from checks.messages.windows import Window, read_windows
from checks.providers.twilio import TwilioClient, TwilioSettings
from checks.secret import Secret
from tests.bench.measure import Goals

RUNS: Final = 5
SID: Final = "AC" + "a" * 32
PATH: Final = f"/2010-04-01/Accounts/{SID}/Messages.json"
NOW: Final = datetime(2026, 11, 24, 7, 30, tzinfo=UTC)
PAGE: Final = 1000
BODIES: Final = 20  # different pages; the log repeats them
PREFIXES: Final = ("+49151", "+4915", "+23480", "+9198", "+44790", "+3361", "+25571", "+5511987", "+62812", "+1415555")

Sums = tuple[int, float, float, int, int, int]


# ---- the server


def render_message(number: int, dice: random.Random) -> dict[str, Any]:
    created = NOW - timedelta(seconds=number // 10)
    status = dice.choices(("delivered", "sent", "undelivered", "failed"), (90, 5, 3, 2))[0]
    recipient = dice.choice(PREFIXES)
    return {
        "account_sid": SID,
        "api_version": "2010-04-01",
        "body": "Your verification code is 123456. Do not share it with anyone, we never ask for it." + "x" * 60,
        "date_created": mail_date(created),
        "date_sent": mail_date(created + timedelta(seconds=1)),
        "date_updated": mail_date(created + timedelta(seconds=dice.randrange(2, 60))),
        "direction": "outbound-api",
        "error_code": dice.choice((30003, 30005, 30007)) if status in ("undelivered", "failed") else None,
        "error_message": None,
        "from": "+18005550100",
        "messaging_service_sid": "MG" + "c" * 32,
        "num_media": "0",
        "num_segments": "1",
        "price": "-0.00750",
        "price_unit": "USD",
        "sid": f"SM{dice.getrandbits(128):032x}",
        "status": status,
        "subresource_uris": {"media": f"{PATH}/SM{number:032x}/Media.json", "feedback": f"{PATH}/Feedback.json"},
        "to": recipient + "".join(dice.choices("0123456789", k=12 - len(recipient))),
        "uri": f"{PATH}/SM{number:032x}.json",
    }


def mail_date(moment: datetime) -> str:
    return moment.strftime("%a, %d %b %Y %H:%M:%S +0000")


def serve(ready: Connection) -> None:
    """Serve the log until the process ends. ``/pages/<count>/<milliseconds a page>/`` comes before each path."""
    dice = random.Random(7)
    bodies = [
        json.dumps([render_message(page * PAGE + row, dice) for row in range(PAGE)]).encode() for page in range(BODIES)
    ]
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        ready.send(listener.getsockname()[1])
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer_all, args=(connection, bodies), daemon=True).start()


def answer_all(connection: socket.socket, bodies: Sequence[bytes]) -> None:
    head = b""
    with connection, contextlib.suppress(ConnectionError):
        while received := connection.recv(65536):
            head += received
            if b"\r\n\r\n" not in head:
                continue
            line = head.partition(b"\r\n")[0]
            head = b""
            count, milliseconds = (int(part) for part in line.split(b"/")[2:4])
            found = re.search(rb"[?&]Page=(\d+)", line)
            page = int(found[1]) if found else 0
            time.sleep(milliseconds / 1000)
            following = (
                "null" if page + 1 >= count else f'"{PATH}?PageSize={PAGE}&Page={page + 1}&PageToken=PASM{page}"'
            )
            body = bodies[page % len(bodies)]
            tail = f', "next_page_uri": {following}, "page": {page}, "page_size": {PAGE}}}'.encode()
            length = len(b'{"messages": ') + len(body) + len(tail)
            connection.sendall(
                f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()
                + b'{"messages": '
                + body
                + tail
            )


@contextlib.contextmanager
def log_server() -> Iterator[str]:
    """A server of the log in a process of its own; yields its URL."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


# ---- the two readers


def read_with_sdk(url: str, pages: int) -> Sums:
    """Take the fields of all messages by the SDK's stream."""
    from twilio.http.http_client import TwilioHttpClient
    from twilio.rest import Client

    class Redirected(TwilioHttpClient):
        def request(
            self,
            method: str,
            url: str,
            params: Any = None,
            data: Any = None,
            headers: Any = None,
            auth: Any = None,
            timeout: float | None = None,
            allow_redirects: bool = False,
        ) -> Any:
            ours = url.replace("https://api.twilio.com", root)
            return super().request(method, ours, params, data, headers, auth, timeout, allow_redirects)

    root = f"{url}/pages/{pages}/0"
    client = Client(SID, "token", http_client=Redirected())
    sums = Totals()
    for message in client.messages.stream(page_size=PAGE):
        sums.add(
            message.sid,
            message.status,
            message.error_code,
            _time(message.date_created),
            _time(message.date_updated),
            message.to,
        )
    return sums.all()


def _time(moment: datetime | None) -> float:
    assert moment is not None
    return moment.timestamp()


def read_with_ours(url: str, pages: int) -> Sums:
    """Take the fields of all messages by our own reader."""
    with closing(client_of(f"{url}/pages/{pages}/0")) as client:
        sums = Totals()
        resume = None
        while True:
            page = client.read_page(since=0.0, resume=resume)
            for one in page.receipts:
                sums.add(one.message_id, one.status, one.code, one.created_at, one.at, one.recipient)
            resume = page.resume
            if resume is None:
                return sums.all()


@dataclass(slots=True)
class Totals:
    """What was read, added up: equal for two readers when each field of each message is."""

    count: int = 0
    created: float = 0.0
    updated: float = 0.0
    sids: int = 0
    recipients: int = 0
    failures: int = 0

    def add(self, sid: Any, status: Any, code: Any, created: Any, updated: Any, to: Any) -> None:
        self.count += 1
        self.created += created
        self.updated += updated
        self.sids ^= hash(sid)
        self.recipients += hash(to)
        self.failures += hash((status, None if code is None else str(code)))

    def all(self) -> Sums:
        return (self.count, self.created, self.updated, self.sids, self.recipients, self.failures)


@contextlib.contextmanager
def closing(client: TwilioClient) -> Iterator[TwilioClient]:
    try:
        yield client
    finally:
        client.close()


def client_of(url: str) -> TwilioClient:
    return TwilioClient(
        TwilioSettings(
            type="twilio",
            account_sid=SID,
            auth_token=Secret("token"),
            base_url=url,
            timeout="60s",
            max_requests_per_second=1000,
        )
    )


@dataclass(slots=True)
class CountingBook:
    """A book that counts, so that nothing but the reader takes memory."""

    messages: int = 0
    now: Reading = field(default_factory=Reading)

    def reading(self) -> Reading:
        return self.now

    def take(
        self, receipts: Sequence[Receipt], *, reading: Reading | None = None, known_until: float | None = None
    ) -> None:
        self.messages += len(receipts)
        self.now = reading or self.now

    def expire(self, sent_before: float) -> None:
        raise NotImplementedError

    def recent(self, since: float, *, overdue_before: float) -> Recent:
        raise NotImplementedError

    def verdicts(self) -> Sequence[Verdict]:
        raise NotImplementedError


# ---- what is measured


def measure_cpu(goals: Goals, url: str) -> None:
    pages = 20
    readers: tuple[Callable[[str, int], Sums], ...] = (read_with_sdk, read_with_ours)
    assert read_with_sdk(url, pages) == read_with_ours(url, pages), "the two readers differ"
    cpu: list[list[float]] = [[], []]
    wall: list[list[float]] = [[], []]
    for _ in range(RUNS):
        for place, reader in enumerate(readers):
            cpu_before, wall_before = time.process_time(), time.perf_counter()
            reader(url, pages)
            cpu[place].append((time.process_time() - cpu_before) / (pages * PAGE) * 1e6)
            wall[place].append((time.perf_counter() - wall_before) / (pages * PAGE) * 1e6)
    theirs, ours = (statistics.median(values) for values in cpu)
    print(f"wall a message: SDK {statistics.median(wall[0]):.2f} us, ours {statistics.median(wall[1]):.2f} us")
    goals.report(
        "CPU a message, log reader / SDK",
        ours / theirs,
        at_most=1 / 5,
        unit="",
        ours=f"{ours:.2f} us",
        peer=f"{theirs:.2f} us",
    )


def measure_memory(goals: Goals, url: str) -> None:
    for pages in (100, 1000):
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=read_and_tell_growth, args=(theirs, url, pages))
        process.start()
        growth = ours.recv()
        process.join()
        goals.report(f"peak memory growth, {pages} k messages", growth, at_most=10, unit="MB")


def read_and_tell_growth(result: Connection, url: str, pages: int) -> None:
    """Send by how many MB the peak of this process grows while it reads the log."""
    with closing(client_of(f"{url}/pages/{pages}/0")) as client:
        origin_of("+4915112345678")  # the number plan is code, loaded once
        book = CountingBook()
        settings = ReadingSettings(max_pages=1000, overlap="6h", catch_up="30d")
        before = memory("VmRSS")
        read_log(client, book, settings, NOW.timestamp())
        assert book.messages == pages * PAGE
        result.send(memory("VmHWM") - before)


def memory(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def measure_windows(goals: Goals, url: str) -> None:
    windows = [Window(0.0, NOW.timestamp() + 86400)] * 8
    took: dict[int, list[float]] = {1: [], 8: []}
    with closing(client_of(f"{url}/pages/2/300")) as client:
        for _ in range(RUNS):
            for workers, values in took.items():
                before = time.perf_counter()
                pages = [len(page.receipts) for _, page in read_windows(client, windows, workers=workers)]
                values.append(time.perf_counter() - before)
                assert pages == [PAGE] * 16
    one, eight = (statistics.median(values) for values in took.values())
    goals.report(
        "wall of 8 windows / one after the other",
        eight / one,
        at_most=1 / 6,
        unit="",
        ours=f"{eight:.2f} s",
        peer=f"{one:.2f} s",
    )


def measure_numbers(goals: Goals) -> None:
    dice = random.Random(7)
    numbers = [prefix + "".join(dice.choices("0123456789", k=12 - len(prefix))) for prefix in PREFIXES * 500]

    def plainly() -> list[tuple[str, str]]:
        parsed = [phonenumbers.parse(number) for number in numbers]
        return [(region(one), operator_label(carrier.name_for_number(one, "en"))) for one in parsed]

    def ours() -> list[tuple[str, str]]:
        return [origin_of(number) for number in numbers]

    same = sum(a == b for a, b in zip(plainly(), ours(), strict=True)) / len(numbers)
    theirs, mine = (
        statistics.median(cpu_of(work) / len(numbers) * 1e6 for _ in range(RUNS)) for work in (plainly, ours)
    )
    goals.report(
        "country and operator / phonenumbers",
        mine / theirs,
        at_most=1 / 20,
        unit="",
        ours=f"{mine:.2f} us",
        peer=f"{theirs:.2f} us",
    )
    goals.report("answers that differ from phonenumbers", 1 - same, at_most=0.001, unit="")


def region(number: phonenumbers.PhoneNumber) -> str:
    found = phonenumbers.region_code_for_number(number)
    return "unknown" if found is None or not found.isalpha() else found


def cpu_of(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def main() -> int:
    goals = Goals()
    with log_server() as url:
        measure_cpu(goals, url)
        measure_memory(goals, url)
        measure_windows(goals, url)
    measure_numbers(goals)
    return goals.exit_code()


if __name__ == "__main__":
    sys.exit(main())
