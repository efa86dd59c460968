"""What checks note for their next run. Survives a restart; holds nothing personal or secret."""

from dataclasses import dataclass
from typing import Final

from .database import Database
from .statements import replace

SCHEMA: Final = """
CREATE TABLE notes (name TEXT PRIMARY KEY, note TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class CheckNotebook:
    """``checks.notebook.Notebook`` on the database."""

    database: Database
    check: str

    def read(self) -> str | None:
        """Return the note; None when there is none. Raises StorageUnavailableError when it cannot be read."""
        with self.database.lock, self.database.read() as db:
            row = db.execute("SELECT note FROM notes WHERE name = ?", (self.check,)).fetchone()
        return None if row is None else str(row[0])

    def write(self, note: str) -> None:
        """Replace the note. Raises StorageUnavailableError when it cannot be kept."""
        with self.database.lock, self.database.written() as db:
            db.execute(replace("notes", "name", "note"), (self.check, note))
