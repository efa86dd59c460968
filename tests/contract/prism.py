"""Prism between us and the sandbox: it refuses whatever breaks the vendor's own documents."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.processes import running, wait_for

HOME: Final = Path(__file__).parent
PRISM: Final = HOME / "node_modules/.bin/prism"
START_SECONDS: Final = 60.0
LISTENING: Final = re.compile(r"Prism is listening on (http://127\.0\.0\.1:\d+)")


def require_prism() -> str:
    """The path of Node; skips, or fails where CI=true, when it or Prism is not installed."""
    node = shutil.which("node")
    missing = [name for name, there in (("node", node), (str(PRISM), PRISM.exists())) if not there]
    if node and not missing:
        return node
    message = f"not installed: {', '.join(missing)} (npm install --prefix tests/contract)"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def proxy(node: str, spec: Path, upstream: str, log: Path) -> Iterator[str]:
    """Run Prism between us and the upstream, on a port that it finds itself; yields its origin."""
    command = [node, str(PRISM.resolve()), "proxy", "-h", "127.0.0.1", "-p", "0", "--errors", str(spec), upstream]
    with running(command, log, env={**os.environ, "FORCE_COLOR": "0"}) as process:
        wait_for(lambda: process.poll() is not None or LISTENING.search(said_by(log)), seconds=START_SECONDS)
        listening = LISTENING.search(said_by(log))
        assert listening, f"Prism did not start: {said_by(log)[-2000:]}"
        yield listening[1]


def said_by(log: Path) -> str:
    """What a program has printed so far."""
    return log.read_text("utf-8", "replace")
