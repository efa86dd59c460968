"""Two real exporters and one PostgreSQL: whichever is killed, stopped or paused, nothing is sent or counted twice."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from exporter.demo import PHONE, write_sandbox_config
from exporter.sandbox.server import Sandbox
from tests.postgresql_server import GROUP, Server, Shared
from tests.processes import COMMAND, answers, free_port, running, wait_for

LEASE_SECONDS = 2.0
SECONDS_OF_WORK = 1.5
SLACK_SECONDS = 2.0  # of a machine that has more to do


@dataclass
class Clock:
    """The sandbox's, which can be stopped: then its traffic stands still and can be counted."""

    stopped_at: float | None = None

    def __call__(self) -> float:
        return time.time() if self.stopped_at is None else self.stopped_at


@dataclass
class Replica:
    """One exporter."""

    config: Path
    name: str
    port: int = field(default_factory=free_port)
    public_port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @contextmanager
    def run(self) -> Iterator[None]:
        command = [
            *(*COMMAND, "serve", f"--config.file={self.config}", f"--web.listen-address=127.0.0.1:{self.port}"),
            f"--public.listen-address=127.0.0.1:{self.public_port}",
        ]
        with running(command, self.log) as self.process:
            yield

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.config.with_name(f"{self.name}.log")

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def metric(self, name: str) -> float | None:
        """Return the sum of a metric's samples; None where there are none."""
        text = requests.get(f"{self.url}/metrics", timeout=5).text
        values = [
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith((f"{name} ", f"{name}{{")) and _wanted(line)
        ]
        return sum(values) if values else None

    def leads(self) -> bool:
        try:
            return self.metric("twofa_exporter_leader") == 1
        except requests.RequestException:
            return False


def _wanted(line: str) -> bool:
    return "status=" not in line or 'status="accepted"' in line


def write_config(sandbox: Sandbox, shared: Shared, folder: Path) -> Path:
    path = folder / "twofa.yml"
    write_sandbox_config(sandbox, path, callback_url="https://codes.example.com/callbacks/twilio")
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    checks = {name: document["checks"][name] for name in ("delivery", "canary", "credentials")}
    checks["delivery"]["interval"] = checks["canary"]["interval"] = "500ms"
    storage = shared.document(folder, lease=f"{LEASE_SECONDS:g}s")
    path.write_text(yaml.safe_dump({"providers": document["providers"], "checks": checks, "storage": storage}))
    return path


def sent_messages(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return all messages that the sandbox knows of."""
    sid, found = sandbox.credentials.account_sid, []
    following: str | None = f"/2010-04-01/Accounts/{sid}/Messages.json?PageSize=1000"
    while following:
        page = requests.get(f"{sandbox.url}{following}", auth=(sid, sandbox.credentials.auth_token), timeout=10).json()
        found += page["messages"]
        following = page["next_page_uri"]
    return found


@pytest.mark.slow
@pytest.mark.e2e
@GROUP
def test_kills_pauses_and_stops_send_nothing_twice_and_count_nothing_twice(postgresql: Server, tmp_path: Path) -> None:
    shared, clock = postgresql.new_database(), Clock()
    with Sandbox(clock=clock, history_hours=0.1, speed=50) as sandbox, ExitStack() as stack:
        config = write_config(sandbox, shared, tmp_path)
        replicas = [Replica(config, name) for name in ("one", "two", "three")]
        for replica in replicas:
            stack.enter_context(replica.run())
        wait_for(lambda: all(answers(f"{replica.url}/-/healthy") for replica in replicas))
        killed = _leader(replicas)
        alive = [replica for replica in replicas if replica is not killed]
        for replica in alive:
            _assert_stands_by(replica)
        wait_for(lambda: shared.query("SELECT 1 FROM twofa.canaries"))
        time.sleep(SECONDS_OF_WORK)

        killed.signal(signal.SIGKILL)
        paused = _assert_takes_over(alive, LEASE_SECONDS)
        (third,) = (replica for replica in alive if replica is not paused)
        time.sleep(SECONDS_OF_WORK)

        paused.signal(signal.SIGSTOP)
        _assert_takes_over([third], LEASE_SECONDS)
        runs = shared.query("SELECT max(id) FROM twofa.runs")
        paused.signal(signal.SIGCONT)
        wait_for(lambda: not paused.leads() and "stands by" in paused.log.read_text())
        assert third.leads()
        assert shared.query("SELECT epoch FROM twofa.lease") == [(3,)]
        wait_for(lambda: shared.query("SELECT max(id) FROM twofa.runs") > runs)

        postgresql.stop(how=signal.SIGQUIT)
        postgresql.start()
        time.sleep(SECONDS_OF_WORK)
        assert third.leads()

        third.signal(signal.SIGTERM)
        _assert_takes_over([paused], 1.0)
        clock.stopped_at = time.time()
        told = sent_messages(sandbox)
        assert wait_for(lambda: paused.metric("twofa_messages_total") == len(told), seconds=30)
        assert shared.query("SELECT count(*) FROM twofa.messages") == [(len(told),)]
        canaries = [message for message in told if message["to"] == PHONE]
        ((reserved,),) = shared.query("SELECT count(*) FROM twofa.canaries")
        assert 0 < len(canaries) <= reserved <= len(canaries) + 2  # a kill or a pause may come before the sending


def _leader(replicas: Sequence[Replica]) -> Replica:
    """Return the only one that leads, once there is one."""

    def leaders() -> list[Replica]:
        return [replica for replica in replicas if replica.leads()]

    (leader,) = wait_for(leaders)
    return leader


def _assert_takes_over(replicas: Sequence[Replica], seconds: float) -> Replica:
    """Return which one of the replicas goes on."""
    began = time.monotonic()
    leader = _leader(replicas)
    assert time.monotonic() - began < seconds + SLACK_SECONDS
    return leader


def _assert_stands_by(replica: Replica) -> None:
    assert not replica.leads()
    ready = requests.get(f"{replica.url}/-/ready", timeout=5)
    assert (ready.status_code, "does not hold the lease" in ready.text) == (503, True)
    assert requests.get(f"{replica.url}/-/healthy", timeout=5).status_code == 200
    families = set(
        re.findall(r"^# TYPE (twofa_\w+)", requests.get(f"{replica.url}/metrics", timeout=5).text, re.MULTILINE)
    )
    assert {name for name in families if not name.startswith("twofa_exporter_")} == set()
    post = requests.post(f"http://127.0.0.1:{replica.public_port}/callbacks/twilio", data=b"x=1", timeout=5)
    assert (post.status_code, post.headers["Retry-After"]) == (503, "5")
    handset = requests.post(f"{replica.url}/api/v1/canary/canary/received", data=json.dumps({"text": "x"}), timeout=5)
    assert handset.status_code == 401
