"""A real PostgreSQL for tests: on a free loopback port, in a folder of its own, as a user without rights."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from checks.secret import Secret
from exporter.meters import Meters
from exporter.storage import Storage
from exporter.storage_settings import StorageSettings
from tests.processes import free_port, wait_for
from tests.repo import require_program

USER = "twofa"
KEY = "a key for tests that has forty characters"
GROUP = pytest.mark.xdist_group("postgresql")
"""Tests with it share one server, and one process where several run the tests."""
BOTH = ("sqlite", pytest.param("postgresql", marks=GROUP))
"""Parameters of a fixture that opens either database."""


@dataclass
class Server:
    """A server that can be stopped and started again."""

    folder: Path
    programs: Path
    port: int
    password: str = field(repr=False)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        command = [
            *_as_user(),
            str(self.programs / "postgres"),
            *("-D", str(self.folder / "data"), "-p", str(self.port), "-h", "127.0.0.1", "-k", ""),
            *("-c", "fsync=off", "-c", "max_connections=60", "-c", "shared_buffers=16MB"),
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        wait_for(self._answers, seconds=30)

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends all connections and writes everything down; SIGQUIT is as a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def connect(self, database: str) -> "psycopg.Connection[tuple[Any, ...]]":
        return psycopg.connect(self.url(database), password=self.password, autocommit=True)

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> "Shared":
        """Empty the one database that tests use one after the other: quicker than to make another."""
        with self.connect("postgres") as db:
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'twofa-exporter'"
            )
            found = db.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'twofa%'").fetchall()
            for (name,) in found:
                db.execute(f"DROP SCHEMA {name} CASCADE".encode())
        return Shared(self, "postgres")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            self.connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True


@dataclass(frozen=True)
class Shared:
    """One database of the server, for several exporters."""

    server: Server
    name: str

    def settings(self, *, lease: float = 5.0, key: str = KEY) -> StorageSettings:
        return StorageSettings.model_construct(
            url=self.server.url(self.name), password=Secret(self.server.password), key=Secret(key), lease=lease
        )

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement beside the exporters."""
        with self.server.connect(self.name) as db:
            cursor = db.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def document(self, folder: Path, *, lease: str) -> dict[str, Any]:
        """Return what the configuration says of this database, its secrets in files of the folder."""
        for name, secret in (("db-password", self.server.password), ("db-key", KEY)):
            (folder / name).write_text(secret)
        return {
            "url": self.server.url(self.name),
            "password": {"file": "db-password"},
            "key": {"file": "db-key"},
            "lease": lease,
        }


def _as_user() -> Sequence[str]:
    """Return what runs a command as somebody else than root, as whom PostgreSQL refuses to run."""
    if os.getuid() != 0:
        return ()
    user = _user()
    return (
        require_program("setpriv"),
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        "--no-new-privs",
    )


def _user() -> pwd.struct_passwd:
    names = {each.pw_name: each for each in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _programs() -> Path:
    """Return where the programs of the server are; Debian does not put them on the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    found = next((path for path in reversed(folders) if (path / "initdb").exists()), None)
    return found or Path(require_program("initdb")).resolve().parent


@contextmanager
def run_server() -> Iterator[Server]:
    """Run a new server until the block ends."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="twofa-postgresql-"))
    server = Server(folder, programs, free_port(), secrets.token_hex(16))
    try:
        (folder / "password").write_text(server.password)
        if os.getuid() == 0:
            for path in (folder, folder / "password"):
                os.chown(path, _user().pw_uid, _user().pw_gid)
        subprocess.run(
            [
                *_as_user(),
                str(programs / "initdb"),
                *("-D", str(folder / "data"), "-U", USER, "-A", "scram-sha-256"),
                *("--pwfile", str(folder / "password"), "-E", "UTF8", "--locale=C", "--no-sync"),
            ],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def open_leading(shared: Shared, meters: Meters, *, lease: float = 5.0) -> Storage:
    """Open a database that no other exporter leads in."""
    return Storage.open_leading(shared.settings(lease=lease), {}, meters)
