"""The database as its users see it; and its files, locked against a second process, with the key beside them.

Statements are written once for SQLite and PostgreSQL: question marks for values, ``ON CONFLICT`` with its key named,
booleans as 0 and 1. What differs is in here and in ``exporter/postgresql.py``.
"""

import fcntl
import logging
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from checks.errors import StorageUnavailableError

from .meters import Meters

if TYPE_CHECKING:
    from .lease import Lease  # it speaks to a server of databases

_log: Final = logging.getLogger(__name__)

KEY_BYTES: Final = 32

_BUSY_SECONDS: Final = 5.0


class StorageError(Exception):
    """The database cannot be used; the text says which, why and what to do."""


class ServerError(Exception):
    """A server of databases refused, failed, or cannot be reached."""


class StandbyError(ServerError):
    """Another exporter leads, or none does: this one may not write."""


DATABASE_ERRORS: Final = (sqlite3.Error, ServerError)

# A text that a database cannot store is a defect of ours elsewhere, but no reason to lose the rest.
WRITE_ERRORS: Final = (*DATABASE_ERRORS, UnicodeEncodeError, OverflowError)


class Cursor(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""

    def fetchone(self) -> Any:
        """Return the next row; None after the last."""

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows that are left."""


class Connection(Protocol):
    """A connection to a database. Its methods raise one of DATABASE_ERRORS."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Cursor:
        """Run one statement."""

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]], /) -> Cursor:
        """Run one statement for each row of values."""

    def begin(self) -> None:
        """Begin a transaction that may write."""

    def commit(self) -> None:
        """Keep what it wrote."""

    def rollback(self) -> None:
        """Drop what it wrote."""

    def close(self) -> None:
        """Close the connection."""


class _SqliteConnection(sqlite3.Connection):
    """``Connection`` on SQLite."""

    def begin(self) -> None:
        """Begin a transaction that may write."""
        self.execute("BEGIN IMMEDIATE")


@dataclass(slots=True)
class Database:
    """One connection that writes, one that reads history while a write waits, and the key of the hashes."""

    writer: Connection
    reader: Connection
    key: bytes
    meters: Meters
    lock_file: int | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)  # of the connection that writes
    lease: "Lease | None" = None  # None: nobody else uses the database
    _usable: bool = True

    @classmethod
    def in_memory(cls, schema: str, meters: Meters) -> Self:
        """Return a database that is gone with the process."""
        connection = _connect(":memory:")
        connection.executescript(schema)
        return cls(connection, connection, secrets.token_bytes(KEY_BYTES), meters)

    @classmethod
    def open(cls, path: Path, schema: str, migrations: Sequence[str], meters: Meters) -> Self:
        """Open the database at ``path``, or make it; a key file and a lock file stand beside it.

        Each of ``migrations`` leads from one version of the schema to the next, the first from version 1 on.

        Raises StorageError when it cannot be used.
        """
        if path.is_dir():
            raise StorageError(f"{path}: is a folder; --storage.path names a file")
        lock_file = _lock(path)
        connections: list[_SqliteConnection] = []
        try:
            for _ in ("writer", "reader"):
                connections.append(_connect(path))
                _prepare(connections[-1], path, schema, migrations)
            return cls(connections[0], connections[1], _load_key(path, connections[0]), meters, lock_file)
        except (sqlite3.Error, OSError) as problem:
            refusal = StorageError(f"{path}: cannot be used: {words_of(problem)}")
        except StorageError as problem:
            refusal = problem
        for connection in connections:
            connection.close()
        os.close(lock_file)
        raise refusal

    def lead(self) -> None:
        """Make ready to be written, for who holds the lock and the lease. Raises one of DATABASE_ERRORS, StorageError.

        What nobody else uses has been made ready when it was opened.
        """

    def close(self) -> None:
        """Write everything back and let another process use the database."""
        self.reader.close()
        self.writer.close()
        if self.lock_file is not None:
            os.close(self.lock_file)
            self.lock_file = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield the connection that writes: all that is written with it is kept, or nothing."""
        with self._transaction() as db:
            yield db

    @contextmanager
    def light_transaction(self) -> Iterator[Connection]:
        """As ``transaction``, but a power cut may lose it: for what is found out again, many times a second.

        It outlasts the end of the process all the same. Waiting for the disk would hold up who waits for the lock.
        """
        if not isinstance(self.writer, _SqliteConnection):
            with self._transaction() as db:
                yield db
            return
        self.writer.execute("PRAGMA synchronous = NORMAL")
        try:
            with self._transaction() as db:
                yield db
        finally:
            self.writer.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        self.writer.begin()
        committed = False
        try:
            yield self.writer
            self.writer.commit()
            committed = True
        finally:
            if not committed:
                with suppress(*DATABASE_ERRORS):  # the first error is the one to tell
                    self.writer.rollback()

    @contextmanager
    def written(self) -> Iterator[Connection]:
        """As ``transaction``, for who holds the lock and cannot go on without it.

        Raises StorageUnavailableError when it cannot be written, and then nothing of it is.
        """
        try:
            with self.transaction() as db:
                yield db
        except WRITE_ERRORS as problem:
            self.failed(problem)
            msg = f"the database cannot be written: {words_of(problem)}"
            raise StorageUnavailableError(msg) from None
        self.succeeded()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield the connection that writes, to read what it wrote, for who holds the lock.

        Raises StorageUnavailableError when it cannot be read.
        """
        try:
            yield self.writer
        except DATABASE_ERRORS as problem:
            self.failed(problem)
            msg = f"the database cannot be read: {words_of(problem)}"
            raise StorageUnavailableError(msg) from None

    def failed(self, problem: Exception) -> None:
        """Count a write that failed, and log the first of a row; that another exporter leads is no failure."""
        if isinstance(problem, StandbyError):
            return
        self.meters.storage_error()
        if self._usable:
            self._usable = False
            _log.error("database not usable: results are kept in memory only", extra={"problem": words_of(problem)})

    def succeeded(self) -> None:
        """Note a write that succeeded."""
        if not self._usable:
            self._usable = True
            _log.info("database usable again")


def words_of(problem: Exception) -> str:
    """Return what went wrong, in lower case."""
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror.lower()
    return str(problem).lower()


def _connect(path: Path | str) -> _SqliteConnection:
    return sqlite3.connect(
        path, check_same_thread=False, isolation_level=None, timeout=_BUSY_SECONDS, factory=_SqliteConnection
    )


def _prepare(db: sqlite3.Connection, path: Path, schema: str, migrations: Sequence[str]) -> None:
    version = 1 + len(migrations)
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found > version:
        raise StorageError(
            f"{path}: was written by a newer version (schema {found}, this version knows {version});"
            " run that version, or give another --storage.path"
        )
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")  # what was answered for, or paid for, outlasts a power cut
    if found == 0:
        db.executescript(f"BEGIN; {schema} PRAGMA user_version = {version}; COMMIT;")
        return
    for step, migration in enumerate(migrations[found - 1 :], start=found + 1):
        db.executescript(f"BEGIN; {migration} PRAGMA user_version = {step}; COMMIT;")


def _lock(path: Path) -> int:
    """Keep a second process from counting into the database; the kernel frees the lock on any exit."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise StorageError(f"{path}: cannot be used: {words_of(problem)}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StorageError(
            f"{path}: is in use by another twofa-exporter; stop it, or give another --storage.path"
        ) from None
    return descriptor


def _load_key(path: Path, db: sqlite3.Connection) -> bytes:
    """Return the key of the message hashes, made at first use, from the file beside the database.

    Without its key no message in the database would be recognised, and each counted again.
    """
    key_path = Path(f"{path}.key")
    if not key_path.exists():
        (holds_messages,) = db.execute("SELECT EXISTS (SELECT 1 FROM messages)").fetchone()
        if holds_messages:
            raise StorageError(f"{key_path}: is missing; restore it, or remove {path} to start anew")
        draft = Path(f"{key_path}.new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(key_path)  # whole or not at all, whenever we are killed
    key = key_path.read_bytes()
    if len(key) != KEY_BYTES:
        raise StorageError(
            f"{key_path}: must hold {KEY_BYTES} bytes, holds {len(key)}; restore it, or remove it and {path}"
        )
    return key
