"""Checks over HTTPS: ours beside the probe of blackbox_exporter, against one server on loopback, by processor time.

Ours is a whole run of a check of the cheapest kind: one request on a kept connection, the answer understood, the log
line written. blackbox_exporter, as it is built, makes a connection for each probe. Its program is Debian's
prometheus-blackbox-exporter, on the PATH or named by BLACKBOX_EXPORTER; it gets one processor (GOMAXPROCS=1).
"""

import asyncio
import contextlib
import http.client
import multiprocessing
import os
import shutil
import ssl
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from checks.credentials import CredentialsSettings
from checks.providers.http import OUTCOMES
from checks.providers.twilio import TwilioClient, TwilioSettings
from checks.reason import Reason
from checks.secret import Secret
from exporter.config import ConfiguredCheck
from exporter.logs import LogFormat, LogLevel, configure
from exporter.meters import Meters
from exporter.runner import run_check
from exporter.storage import Storage
from tests.bench.measure import Goals, free_port, processor_seconds, running
from tests.certificates import Certificates, write_certificates

ROUNDS: Final = 7
CHECKS: Final = 1500  # of each side in each round
AT_ONCE: Final = 4
ACCOUNTS: Final = 50
RATIO_GOAL: Final = 1.5
NAME: Final = "checks over HTTPS a second per core"

BODY: Final = b'{"messages": [], "next_page_uri": null, "page": 0, "page_size": 1}'
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)

MODULES: Final = """
modules:
  https:
    prober: http
    timeout: 5s
    http: {preferred_ip_protocol: ip4, tls_config: {ca_file: %s}}
"""


# ---- the server


class Answering(asyncio.Protocol):
    """Answers every request alike; each comes in one piece, none has a body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER)


def serve(certificates: Certificates, ready: Connection) -> None:
    """Serve until the process ends."""

    async def run() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificates.pair("server"))
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Answering, "127.0.0.1", 0, ssl=context, backlog=512)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def https_server(certificates: Certificates) -> Iterator[str]:
    """A server in a process of its own; yields its URL."""
    with other_process(serve, certificates) as pipe:
        yield f"https://127.0.0.1:{pipe.recv()}"


@contextmanager
def other_process(target: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    """Run a function in a process of its own, its last argument a pipe; yields the other end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(*arguments, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        process.terminate()
        process.join()


# ---- the two sides


def side_by_side(work: Callable[[int], None], count: int) -> None:
    """Do ``work`` ``count`` times, by AT_ONCE threads."""
    failures: list[BaseException] = []

    def part(first: int) -> None:
        try:
            for number in range(first, count, AT_ONCE):
                work(number)
        except BaseException as failure:
            failures.append(failure)
            raise

    threads = [threading.Thread(target=part, args=(first,)) for first in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def check_of_ours(url: str, ca: str, pipe: Connection) -> None:
    """Run as many checks as the pipe asks for, and answer with the seconds of processor that they took."""
    os.environ["SSL_CERT_FILE"] = ca
    os.environ.pop("REQUESTS_CA_BUNDLE", None)
    nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # for as long as the process lives
    with contextlib.redirect_stderr(nowhere):
        configure(LogLevel.INFO, LogFormat.LOGFMT)
    serve_checks(url, pipe)


def serve_checks(url: str, pipe: Connection) -> None:
    """As ``check_of_ours``, once the environment is set."""
    meters = Meters()
    names = [f"account-{number}" for number in range(ACCOUNTS)]
    clients = [
        TwilioClient(
            TwilioSettings(
                type="twilio",
                account_sid=f"AC{number:032x}",
                auth_token=Secret("token"),
                base_url=url,
                status_page=url,
                max_requests_per_second=1000,
            ),
            observer=meters.observer(name, OUTCOMES),
        )
        for number, name in enumerate(names)
    ]
    checks = [
        ConfiguredCheck(name=f"of-{name}", kind_name="credentials", settings=CredentialsSettings(target=name))
        for name in names
    ]
    past = Storage.in_memory(meters).past(checks[0].name, names[0], datetime.now(UTC), {})

    def run(number: int) -> None:
        which = number % ACCOUNTS
        done = run_check(checks[which], clients[which], past)
        if done.result.reason is not Reason.OK:
            raise RuntimeError(f"{done.result.reason}: {done.result.detail}")

    with contextlib.suppress(EOFError):
        while True:
            count = pipe.recv()
            before = time.process_time()
            side_by_side(run, count)
            pipe.send(time.process_time() - before)


def probes_of_blackbox(port: int, pid: int, url: str, count: int) -> float:
    """Let blackbox_exporter probe; return the seconds of processor that it took."""
    local = threading.local()

    def probe(_: int) -> None:
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        local.connection.request("GET", f"/probe?module=https&target={url}/2010-04-01/Accounts/AC0/Messages.json")
        body = local.connection.getresponse().read()
        if b"\nprobe_success 1\n" not in body:
            raise RuntimeError("the probe failed")

    before = processor_seconds(pid)
    side_by_side(probe, count)
    return processor_seconds(pid) - before


@contextmanager
def blackbox(program: str, certificates: Certificates, folder: Path) -> Iterator[tuple[int, int]]:
    """Run blackbox_exporter; yield port and pid."""
    config = folder / "blackbox.yml"
    config.write_text(MODULES % certificates.ca)
    port = free_port()
    command: list[str | Path] = [
        "/usr/bin/env",
        "GOMAXPROCS=1",
        program,
        f"--config.file={config}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with running(command, log=folder / "blackbox.log") as process:
        ends_at = time.monotonic() + 20
        while True:
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=5).request("GET", "/-/healthy")
                break
            except ConnectionError:
                if time.monotonic() > ends_at:
                    raise
                time.sleep(0.05)
        yield port, process.pid


def main() -> int:
    """Measure, print, and say by the exit code whether the goal was met."""
    program = os.environ.get("BLACKBOX_EXPORTER") or shutil.which("prometheus-blackbox-exporter")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twofa-bench-")))
        certificates = write_certificates(folder)
        url = stack.enter_context(https_server(certificates))
        pipe = stack.enter_context(other_process(check_of_ours, url, str(certificates.ca)))

        def ours(count: int) -> float:
            pipe.send(count)
            seconds: float = pipe.recv()
            return seconds

        sides = {"twofa-exporter": ours}
        if program is not None:
            port, pid = stack.enter_context(blackbox(program, certificates, folder))
            sides["blackbox_exporter"] = lambda count: probes_of_blackbox(port, pid, url, count)
        for side in sides.values():
            side(CHECKS // 5)
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(ROUNDS):
            for name, side in sides.items():
                taken[name].append(CHECKS / side(CHECKS))
    for name, rates in taken.items():
        print(
            f"checks over HTTPS, {name:<17}: {statistics.median(rates):6.0f} a second per core"
            f"   (of {ROUNDS} rounds {min(rates):.0f} to {max(rates):.0f})"
        )
    goals = Goals()
    if program is None:
        goals.skip(NAME, "there is no prometheus-blackbox-exporter here")
        return 0
    ratio = statistics.median(
        mine / theirs for mine, theirs in zip(taken["twofa-exporter"], taken["blackbox_exporter"], strict=True)
    )
    mine, theirs = (f"{statistics.median(rates):.0f}/s" for rates in taken.values())
    goals.report(NAME, ratio, at_least=RATIO_GOAL, unit="x", ours=mine, peer=f"blackbox_exporter {theirs}")
    return goals.exit_code()


if __name__ == "__main__":
    raise SystemExit(main())
