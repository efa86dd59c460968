"""What a provider's client tells about its own work, for whoever counts it."""

from typing import Protocol


class Observer(Protocol):
    """Counts what clients do. Called from several threads at once; must not raise."""

    def request_done(self, outcome: str) -> None:
        """Count one HTTP request; ``outcome`` is one of ``checks.providers.http.OUTCOMES``."""

    def code_unmapped(self, code: str) -> None:
        """Count an error code of the vendor that our table does not hold."""

    def message_unreadable(self) -> None:
        """Count one message of a log that was left out because it cannot be understood; each is told once."""


class NoObserver:
    """Counts nothing."""

    def request_done(self, outcome: str) -> None:
        """Ignore it."""

    def code_unmapped(self, code: str) -> None:
        """Ignore it."""

    def message_unreadable(self) -> None:
        """Ignore it."""
