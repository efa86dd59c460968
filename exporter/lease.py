"""Who of several exporters leads: runs checks, spends money, counts. One row of the shared database says it.

The row holds an epoch, which rises with each change of the leader, and when the lease runs out by the database's own
clock. Each transaction of the leader reads the row under a lock that the next leader has to wait for, and ends when the
epoch is not its own any more: one that was stopped for a while and wakes up can write nothing. Renewals do not wait for
such transactions, so that a long one does not cost the lease.
"""

import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from .database import DATABASE_ERRORS, Connection, StorageError, words_of
from .runner import Defect, contained

_log: Final = logging.getLogger(__name__)

SCHEMA: Final = """
CREATE TABLE lease (
    one BIGINT PRIMARY KEY, holder TEXT NOT NULL, epoch BIGINT NOT NULL, expires_at TIMESTAMPTZ NOT NULL
);
INSERT INTO lease VALUES (1, '', 0, clock_timestamp());
"""

_RENEWALS: Final = 3  # in the time of a lease
_LOOK_SECONDS: Final = 1.0  # of a standby: so soon it goes on after a clean stop


class Lease:
    """This exporter's claim to lead, kept up by a thread. Any thread may call any method."""

    def __init__(self, db: Connection, seconds: float) -> None:
        """``db`` is a connection of the lease's own; ``seconds`` is how long it lasts unless it is renewed."""
        self.seconds: Final = seconds
        self.holder: Final = f"{socket.gethostname()}/{secrets.token_hex(4)}"
        self._db = db
        self._lock = threading.Lock()
        self._epoch: int | None = None
        self._valid_until = self._not_before = 0.0  # by the monotonic clock
        self._wake = threading.Event()
        self._stopping = False
        self._leading: threading.Thread | None = None
        self._thread: threading.Thread | None = None
        self._problem = ""

    @property
    def epoch(self) -> int | None:
        """The number of this exporter's term as the one that leads; None when it does not."""
        return self._epoch

    def start(self, on_taken: Callable[[], None], on_lost: Callable[[], None]) -> None:
        """Begin to try. ``on_taken`` is called when this exporter is to lead, ``on_lost`` when it no longer may.

        They never run at the same time. When ``on_taken`` raises, the lease is left to another exporter.
        """
        self._thread = threading.Thread(target=self._run, args=(on_taken, on_lost), name="lease", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Connect for the first time. One that cannot be reached is logged. Raises StorageError for an unusable one."""
        try:
            self._db.execute("SELECT epoch FROM lease")
        except DATABASE_ERRORS as problem:
            self._tell(problem)

    def take(self) -> bool:
        """Try once to lead, and return whether it does. Raises one of DATABASE_ERRORS and StorageError.

        Who held the lease and lost sight of what is written need not wait for it to run out.
        """
        with self._lock:
            asked_at = time.monotonic()
            (is_free,) = self._db.execute(
                "SELECT expires_at <= clock_timestamp() OR holder = ? FROM lease", (self.holder,)
            ).fetchone()
            epoch = self._take_over() if is_free else None
            if epoch is not None:
                self._epoch, self._valid_until = epoch, asked_at + self.seconds
        return epoch is not None

    def lose(self) -> None:
        """Stop leading: the row says so, or it is not known any more what is written."""
        self._epoch = None
        self._wake.set()

    def is_alive(self) -> bool:
        """Return whether the lease is being watched."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """End, and let another exporter lead at once."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._release()
        self._epoch = None
        self._db.close()

    def _run(self, on_taken: Callable[[], None], on_lost: Callable[[], None]) -> None:
        while not self._stopping:
            if self._epoch is None:
                self._end_term(on_lost)
                pause = self._try(on_taken)
            else:
                pause = self._renew()
            self._wake.wait(pause)
            self._wake.clear()

    def _end_term(self, on_lost: Callable[[], None]) -> None:
        """Stop what the term that is over has begun."""
        if self._leading is None:
            return
        _log.warning("this exporter stands by: it does not hold the lease any more", extra={"holder": self.holder})
        self._leading.join()
        self._leading = None
        contained(on_lost)

    def _try(self, on_taken: Callable[[], None]) -> float:
        """Try to lead; return the seconds until the next attempt."""
        if time.monotonic() < self._not_before:
            return _LOOK_SECONDS
        try:
            if not self.take():
                return _LOOK_SECONDS
        except (*DATABASE_ERRORS, StorageError) as problem:
            self._tell(problem)
            return _LOOK_SECONDS
        self._problem = ""
        _log.info("this exporter leads", extra={"holder": self.holder, "epoch": self._epoch})
        # in a thread of its own, as what is loaded may be much and the lease has to be renewed meanwhile
        self._leading = threading.Thread(target=self._lead, args=(on_taken,), name="lead", daemon=True)
        self._leading.start()
        return self.seconds / _RENEWALS

    def _lead(self, on_taken: Callable[[], None]) -> None:
        problem = contained(lambda: _problem_of(on_taken))
        if problem is not None:
            words = problem.name if isinstance(problem, Defect) else words_of(problem)
            _log.error("this exporter cannot lead", extra={"problem": words})
            self._not_before = time.monotonic() + 2 * self.seconds  # another one may be able to
            self._release()
            self.lose()

    def _release(self) -> None:
        with self._lock, suppress(*DATABASE_ERRORS, StorageError):  # else it runs out by itself
            if self._epoch is not None:
                self._db.execute(
                    "UPDATE lease SET holder = '', expires_at = clock_timestamp() WHERE epoch = ?", (self._epoch,)
                )

    def _take_over(self) -> int | None:
        """Return the epoch of a new term; None when another exporter was faster."""
        self._db.begin()
        try:
            # a lock that waits for what the one before is writing; from now on it writes nothing
            self._db.execute("SELECT one FROM lease FOR UPDATE")
            row = self._db.execute(
                "UPDATE lease SET holder = ?, epoch = epoch + 1,"
                " expires_at = clock_timestamp() + ? * interval '1 second'"
                " WHERE expires_at <= clock_timestamp() OR holder = ? RETURNING epoch",
                (self.holder, self.seconds, self.holder),
            ).fetchone()
        except DATABASE_ERRORS:
            with suppress(*DATABASE_ERRORS):  # the first error is the one to tell
                self._db.rollback()
            raise
        self._db.commit()
        return None if row is None else int(row[0])

    def _renew(self) -> float:
        """Make the lease last longer; return the seconds until the next time."""
        asked_at = time.monotonic()
        try:
            with self._lock:
                cursor = self._db.execute(
                    "UPDATE lease SET expires_at = clock_timestamp() + ? * interval '1 second' WHERE epoch = ?",
                    (self.seconds, self._epoch),
                )
                is_ours = cursor.rowcount == 1
        except (*DATABASE_ERRORS, StorageError) as problem:
            self._tell(problem)
            if time.monotonic() > self._valid_until:
                self.lose()
            return _LOOK_SECONDS
        if not is_ours:
            self.lose()
            return 0.0
        self._problem, self._valid_until = "", asked_at + self.seconds
        return self.seconds / _RENEWALS

    def _tell(self, problem: Exception) -> None:
        """Log a problem, the first of a row."""
        words = words_of(problem)
        if words != self._problem:
            self._problem = words
            _log.error("the lease cannot be read or renewed", extra={"problem": words})


def _problem_of(work: Callable[[], None]) -> Exception | None:
    """Return what keeps an exporter from leading that is no defect of ours."""
    try:
        work()
    except (*DATABASE_ERRORS, StorageError) as problem:
        return problem
    return None
