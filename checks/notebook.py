"""What a check notes for its next run: small, without anything personal or secret, kept over restarts."""

from typing import Protocol


class Notebook(Protocol):
    """The note of one check."""

    def read(self) -> str | None:
        """Return the note; None when there is none. Raises StorageUnavailableError when it cannot be read."""

    def write(self, note: str) -> None:
        """Replace the note. Raises StorageUnavailableError when it cannot be kept."""
