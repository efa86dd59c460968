"""Very many signed callbacks over kept connections: for the kill test and the benchmark.

``python -m tests.flood --kills 200`` kills a real exporter so many times under the flood and says what came of it.
Like a provider, it sends again what was not answered; and now and then what was, as a replay would.
"""

import argparse
import asyncio
import base64
import hmac
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from exporter.ledger import keyed_hash
from tests.processes import free_port, wait_for
from tests.webhooks import ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL, form

EXPORTER: Final = Path(sys.executable).with_name("twofa-exporter")
_MARK: Final = f"SM{0:032x}"
_REPLAYS: Final = 50  # in each life of the exporter


def requests_of(first: int) -> Iterator[tuple[str, bytes]]:
    """Yield message SIDs and complete signed requests, each of a new message, without end."""
    fields = form(0)
    signed = PUBLIC_URL + "".join(name + fields[name] for name in sorted(fields))
    body = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())
    head = (
        "POST /callbacks/twilio HTTP/1.1\r\nHost: codes.example.com\r\n"
        "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n"
        f"Content-Length: {len(body)}\r\nX-Twilio-Signature: "
    )
    number = first
    while True:
        sid = f"SM{number:032x}"
        digest = hmac.digest(AUTH_TOKEN.encode(), signed.replace(_MARK, sid).encode(), "sha1")
        yield sid, f"{head}{base64.b64encode(digest).decode()}\r\n\r\n{body.replace(_MARK, sid)}".encode()
        number += 1


@dataclass
class Flood:
    """What was sent and answered."""

    acknowledged: list[str] = field(default_factory=list)  # message SIDs
    refused: int = 0
    latencies: list[float] = field(default_factory=list)  # seconds
    sources: Iterator[tuple[str, bytes]] = field(default_factory=lambda: requests_of(1))
    again: list[tuple[str, bytes]] = field(default_factory=list)  # to be sent once more, before what is new

    def next(self) -> tuple[str, bytes] | None:
        """Return the next message SID and request to send, None when there is none."""
        return self.again.pop() if self.again else next(self.sources, None)


class _Connection(asyncio.Protocol):
    """Sends one request after the other on one connection, until the time is up or the server is gone."""

    def __init__(self, flood: Flood, ends_at: float) -> None:
        self._flood = flood
        self._ends_at = ends_at
        self._request = ("", b"")
        self._is_answered = True
        self._began = 0.0
        self._received = b""
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        request = self._flood.next() if time.perf_counter() < self._ends_at else None
        if request is None:
            self._transport.close()
            return
        self._request = request
        self._is_answered = False
        self._began = time.perf_counter()
        self._transport.write(self._request[1])

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\r\n\r\n" not in self._received:
            return
        self._is_answered = True
        if self._received.startswith(b"HTTP/1.1 204"):
            self._flood.acknowledged.append(self._request[0])
            self._flood.latencies.append(time.perf_counter() - self._began)
        else:
            self._flood.refused += 1
        self._received = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._is_answered:
            self._flood.again.append(self._request)
        if not self.closed.done():
            self.closed.set_result(None)


async def pour(flood: Flood, port: int, *, seconds: float, connections: int = 16) -> None:
    """Flood a server on loopback for some seconds; a server that goes away ends it."""
    loop = asyncio.get_running_loop()
    ends_at = time.perf_counter() + seconds
    made = []
    with suppress(ConnectionRefusedError):
        for _ in range(connections):
            made.append(await loop.create_connection(lambda: _Connection(flood, ends_at), "127.0.0.1", port))  # noqa: PERF401  # those made so far are kept
    if not made:
        raise ConnectionRefusedError
    await asyncio.gather(*(protocol.closed for _, protocol in made))


def write_config(folder: Path) -> Path:
    """Write a configuration that takes callbacks and asks nobody."""
    (folder / "token").write_text(AUTH_TOKEN)
    path = folder / "exporter.yaml"
    path.write_text(
        "providers:\n"
        f"  twilio: {{type: twilio, account_sid: {ACCOUNT_SID}, auth_token: {{file: token}},\n"
        f'    base_url: "http://127.0.0.1:9", callbacks: {{public_url: "{PUBLIC_URL}"}}}}\n'
        "checks: {credentials: {type: credentials, target: twilio, interval: 1d}}\n"
    )
    return path


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a real exporter; return it once it takes callbacks."""
    process = subprocess.Popen(
        [
            EXPORTER,
            "serve",
            f"--config.file={folder / 'exporter.yaml'}",
            f"--storage.path={folder / 'x.db'}",
            "--web.listen-address=127.0.0.1:0",
            f"--public.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )

    def answers() -> bool:
        assert process.poll() is None, "the exporter has ended"
        try:
            asyncio.run(pour(Flood(), port, seconds=0))
        except OSError:
            return False
        return True

    wait_for(answers)
    return process


@dataclass
class KillReport:
    """What was left of the flood after all kills."""

    kills: int
    acknowledged: int  # messages
    a_second: float  # acknowledged, while the exporter ran
    sent_again: int  # unanswered when the exporter was killed
    replayed: int  # acknowledged before, and sent once more to another life of the exporter
    missing: int  # acknowledged and not in the database
    rows: int
    counted: int  # delivered, by the counters


def flood_and_kill(folder: Path, kills: int, *, seed: int = 1) -> KillReport:
    """Kill an exporter again and again while callbacks arrive, and compare its database with what it answered."""
    rng = random.Random(seed)
    write_config(folder)
    flood, flooded = Flood(), 0.0
    sent_again = replayed = 0
    for _ in range(kills):
        sent_again += len(flood.again)
        replays = rng.choices(flood.acknowledged, k=_REPLAYS) if flood.acknowledged else []
        replayed += len(replays)
        flood.again += [next(requests_of(int(sid.removeprefix("SM"), 16))) for sid in replays]
        process = start(folder, port := free_port())
        life = rng.uniform(0.05, 0.6)
        began = time.perf_counter()
        asyncio.run(_pour_until_killed(flood, port, process, life))
        flooded += time.perf_counter() - began
        process.wait()
    process = start(folder, port := free_port())
    flood.sources = iter(())
    asyncio.run(pour(flood, port, seconds=30))  # what is still unanswered
    process.send_signal(signal.SIGTERM)
    process.wait()
    key = (folder / "x.db.key").read_bytes()
    with sqlite3.connect(folder / "x.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = {id_hash for (id_hash,) in db.execute("SELECT id_hash FROM messages WHERE status = 'delivered'")}
        (counted,) = db.execute("SELECT sum(total) FROM message_counts WHERE status = 'delivered'").fetchone()
    db.close()
    acknowledged = set(flood.acknowledged)
    return KillReport(
        kills=kills,
        acknowledged=len(acknowledged),
        a_second=len(flood.acknowledged) / flooded,
        sent_again=sent_again,
        replayed=replayed,
        missing=sum(keyed_hash(key, sid) not in rows for sid in acknowledged),
        rows=len(rows),
        counted=counted,
    )


async def _pour_until_killed(flood: Flood, port: int, process: subprocess.Popen[bytes], life: float) -> None:
    before = len(flood.acknowledged)
    pouring = asyncio.create_task(pour(flood, port, seconds=30, connections=64))
    while len(flood.acknowledged) == before:  # noqa: ASYNC110  # a test may poll
        await asyncio.sleep(0.001)
    await asyncio.sleep(life)
    os.kill(process.pid, signal.SIGKILL)
    await pouring


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = flood_and_kill(Path(folder), arguments.kills, seed=arguments.seed)
    print(report)
    if report.missing or not report.rows == report.counted == report.acknowledged:
        raise SystemExit("lost or counted twice")


if __name__ == "__main__":
    main()
