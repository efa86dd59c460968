"""A PostgreSQL that several exporters share: the statements in its words, connections that heal, and the fence.

The only module that knows its driver, which is an extra and is loaded when it is used.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .database import KEY_BYTES, Cursor, Database, ServerError, StandbyError, StorageError
from .lease import SCHEMA as LEASE
from .lease import Lease
from .meters import Meters
from .shard import Shard
from .storage_settings import EXTRA, StorageSettings

if TYPE_CHECKING:
    import psycopg

_log: Final = logging.getLogger(__name__)

T = TypeVar("T")

_CONNECT_SECONDS: Final = 5
_SILENCE_MILLISECONDS: Final = 5000  # of the network, before a connection is given up
_STATEMENT_SECONDS: Final = 30.0
_ONE_AT_A_TIME: Final = 0x2FA_0001  # the advisory lock of who makes the tables

_KEPT: Final = "CREATE TABLE kept (version BIGINT NOT NULL, key_hash BYTEA NOT NULL)"

_TYPES: Final = (
    (re.compile(r"\bINTEGER PRIMARY KEY( AUTOINCREMENT)?"), "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
    (re.compile(r"\bINTEGER\b"), "BIGINT"),
    (re.compile(r"\bREAL\b"), "DOUBLE PRECISION"),  # their REAL has four bytes
    (re.compile(r"\bBLOB\b"), "BYTEA"),
    (re.compile(r"\) WITHOUT ROWID\b"), ")"),
)


def translated(schema: str) -> str:
    """Return tables that were written for SQLite in the words of PostgreSQL."""
    for pattern, words in _TYPES:
        schema = pattern.sub(words, schema)
    return schema


@lru_cache(maxsize=500)
def _marked(statement: str) -> str:
    return statement.replace("?", "%s")


class ServerConnection:
    """``exporter.database.Connection`` on PostgreSQL: made when it is needed, and anew when it broke."""

    def __init__(self, connect: "Callable[[], psycopg.Connection[tuple[Any, ...]]]") -> None:
        self._connect = connect
        self._open: psycopg.Connection[tuple[Any, ...]] | None = None
        self._in_transaction = False

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Cursor:
        """Run one statement. Raises ServerError."""
        return self._run(lambda db: db.execute(_marked(statement).encode(), values or None))

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]], /) -> Cursor:
        """Run one statement for each row of values. Raises ServerError."""

        def work(db: "psycopg.Connection[tuple[Any, ...]]") -> Cursor:
            cursor = db.cursor()
            cursor.executemany(_marked(statement).encode(), rows)
            return cursor

        return self._run(work)

    def script(self, statements: str) -> None:
        """Run several statements without values. Raises ServerError."""
        self._run(lambda db: db.execute(statements.encode()))

    def begin(self) -> None:
        """Begin a transaction that may write. Raises ServerError."""
        self.script("BEGIN")
        self._in_transaction = True

    def commit(self) -> None:
        """Keep what was written. Raises ServerError; where the connection broke, it may have been kept."""
        cursor = self._run(lambda db: db.execute("COMMIT"), may_repeat=False)
        self._in_transaction = False
        if cursor.statusmessage != "COMMIT":
            raise ServerError("the server rolled the transaction back")

    def rollback(self) -> None:
        """Drop what was written. Raises ServerError."""
        was_begun, self._in_transaction = self._in_transaction, False
        if was_begun and self._open is not None:
            try:
                self._run(lambda db: db.execute("ROLLBACK"), may_repeat=False)
            except ServerError:
                self._drop()  # the server rolls back by itself
                raise

    def close(self) -> None:
        """Close the connection; the next statement makes another."""
        self._in_transaction = False
        self._drop()

    def _run(self, work: "Callable[[psycopg.Connection[tuple[Any, ...]]], T]", *, may_repeat: bool = True) -> T:
        """Do work; between two transactions once more, when the server was restarted since the last statement."""
        import psycopg  # noqa: PLC0415  # an extra

        if self._in_transaction and self._open is None:
            raise ServerError("the connection broke")
        was_open = self._open is not None
        try:
            return work(self._connected())
        except psycopg.Error as problem:
            is_broken = self._open is None or self._open.closed
            if is_broken:
                self._drop()
            if not (is_broken and was_open and may_repeat and not self._in_transaction):
                raise ServerError(_words(problem)) from None
        try:
            return work(self._connected())
        except psycopg.Error as problem:
            if self._open is not None and self._open.closed:
                self._drop()
            raise ServerError(_words(problem)) from None

    def _connected(self) -> "psycopg.Connection[tuple[Any, ...]]":
        if self._open is None:
            self._open = self._connect()
        return self._open

    def _drop(self) -> None:
        import psycopg  # noqa: PLC0415  # an extra

        if self._open is not None:
            with suppress(psycopg.Error):
                self._open.close()
            self._open = None


class FencedConnection(ServerConnection):
    """The connection that writes: a transaction begins only in the term in which this exporter leads."""

    def __init__(self, connect: "Callable[[], psycopg.Connection[tuple[Any, ...]]]", lease: Lease) -> None:
        super().__init__(connect)
        self.epoch: int | None = None  # of the term whose state is in memory
        self._lease = lease

    def begin(self) -> None:
        """Begin a transaction, with a lock that keeps the next leader waiting until it ends. Raises ServerError."""
        if self.epoch is None or self.epoch != self._lease.epoch:
            raise StandbyError("this exporter does not lead")
        fence = f"BEGIN; SELECT one FROM lease WHERE epoch = {int(self.epoch)} FOR KEY SHARE"  # noqa: S608  # a number
        try:
            cursor = self._run(lambda db: db.execute(fence.encode()))
        except ServerError:
            self._drop()  # it may be in a transaction that has failed
            raise
        self._in_transaction = True
        cursor.nextset()
        if cursor.fetchone() is None:
            with suppress(ServerError):
                self.rollback()
            self._lose()
            raise StandbyError("another exporter leads now")

    def commit(self) -> None:
        """Keep what was written. Raises ServerError.

        Where the connection breaks meanwhile, it may be kept or not: the term ends, and what there is is loaded anew.
        """
        committed = False
        try:
            super().commit()
            committed = True
        finally:
            if not committed:
                self._lose()

    def _lose(self) -> None:
        self.epoch = None
        self._lease.lose()


@dataclass(slots=True, kw_only=True)
class SharedDatabase(Database):
    """A database that other exporters use too."""

    fenced: FencedConnection
    leads: Lease
    schema: str = field(repr=False)
    migrations: Sequence[str] = field(repr=False)

    def lead(self) -> None:
        """Bring the tables to this version, in this exporter's term. Raises ServerError and StorageError."""
        self.fenced.epoch = self.leads.epoch
        with self.transaction() as db:
            (found,) = db.execute("SELECT version FROM kept").fetchone()
            version = 1 + len(self.migrations)
            _refuse_newer(found, version)
            if found < version:
                steps = [self.schema] if found == 0 else self.migrations[found - 1 :]
                for step in steps:
                    self.fenced.script(translated(step))
                db.execute("UPDATE kept SET version = ?", (version,))

    def close(self) -> None:
        """Let another exporter lead at once."""
        self.fenced.epoch = None
        self.leads.stop()
        self.writer.close()
        self.reader.close()


def open_shared(
    settings: StorageSettings, shard: Shard, schema: str, migrations: Sequence[str], meters: Meters
) -> SharedDatabase:
    """Return a database whose lease is not held yet; one that cannot be reached is logged, and tried again.

    Raises StorageError for one that can be reached and cannot be used.
    """
    try:
        import psycopg  # noqa: F401, PLC0415  # an extra
    except ImportError:
        raise StorageError(f"storage.url: needs the driver of PostgreSQL: pip install '{EXTRA}'") from None
    key = hashlib.blake2b(settings.key.reveal().encode(), digest_size=KEY_BYTES).digest()
    namespace = "twofa" if shard.count == 1 else f"twofa_shard_{shard.number}_of_{shard.count}"
    version = 1 + len(migrations)

    def connect(statement_seconds: float) -> "psycopg.Connection[tuple[Any, ...]]":
        return _connect(settings, namespace, statement_seconds)

    def connect_and_introduce() -> "psycopg.Connection[tuple[Any, ...]]":
        db = connect(settings.lease / 3)
        with ExitStack() as stack:
            stack.callback(db.close)
            _introduce(db, namespace, key, version)
            stack.pop_all()
        return db

    lease = Lease(ServerConnection(connect_and_introduce), settings.lease)
    writer = FencedConnection(lambda: connect(_STATEMENT_SECONDS), lease)
    reader = ServerConnection(lambda: connect(_STATEMENT_SECONDS))
    lease.look()
    return SharedDatabase(
        writer=writer,
        reader=reader,
        key=key,
        meters=meters,
        lease=lease,
        fenced=writer,
        leads=lease,
        schema=schema,
        migrations=migrations,
    )


def _connect(
    settings: StorageSettings, namespace: str, statement_seconds: float
) -> "psycopg.Connection[tuple[Any, ...]]":
    import psycopg  # noqa: PLC0415  # an extra

    db = psycopg.connect(
        settings.url,
        password=None if settings.password is None else settings.password.reveal(),
        application_name="twofa-exporter",
        connect_timeout=_CONNECT_SECONDS,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=_SILENCE_MILLISECONDS,
        autocommit=True,
    )
    db.adapters.register_dumper(bool, _number_dumper())
    # SET, not a parameter of the connection, which poolers refuse. A transaction that falls silent is ended by the
    # server: it would keep the next leader waiting.
    db.execute(
        f"SET search_path TO {namespace};"
        " SET synchronous_commit TO on;"
        f" SET statement_timeout TO {int(statement_seconds * 1000)};"
        f" SET idle_in_transaction_session_timeout TO {int(settings.lease * 500)};".encode()
    )
    return db


def _number_dumper() -> "type[psycopg.abc.Dumper]":
    """Return what keeps a boolean as 0 or 1, as SQLite does."""
    from psycopg.adapt import Dumper  # noqa: PLC0415  # an extra

    class NumberDumper(Dumper):
        oid = 20  # int8

        def dump(self, obj: bool) -> bytes:
            return b"1" if obj else b"0"

    return NumberDumper


def _introduce(db: "psycopg.Connection[tuple[Any, ...]]", namespace: str, key: bytes, version: int) -> None:
    """Make what exporters need to agree on who leads, where it is not there yet.

    Raises StorageError where their keys differ, or a newer version has changed the tables.
    """
    key_hash = hashlib.blake2b(b"the key of these hashes", key=key, digest_size=16).digest()
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(%s)", (_ONE_AT_A_TIME,))
        if db.execute("SELECT to_regclass(%s)", (f"{namespace}.lease",)).fetchone() == (None,):
            if db.execute("SELECT to_regnamespace(%s)", (namespace,)).fetchone() == (None,):
                db.execute(f"CREATE SCHEMA {namespace}".encode())
            db.execute(_KEPT)
            db.execute("INSERT INTO kept VALUES (0, %s)", (key_hash,))
            db.execute(LEASE)
        row_found = db.execute("SELECT version, key_hash FROM kept").fetchone()
    if row_found is None or row_found[1] != key_hash:
        raise StorageError("storage.key: is not the key that the database was begun with")
    _refuse_newer(row_found[0], version)


def _refuse_newer(found: int, version: int) -> None:
    if found > version:
        raise StorageError(
            f"storage.url: the database was written by a newer version (schema {found}, this version knows {version});"
            " run that version"
        )


def _words(problem: "psycopg.Error") -> str:
    """Return what the server or the driver said, without the values that a detail may quote."""
    said = problem.diag.message_primary or str(problem).strip().partition("\n")[0]
    return said or type(problem).__name__
