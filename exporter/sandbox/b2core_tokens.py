"""The tokens that a back office hands out: which there are, whose, and until when.

Source of their fields: https://docs.b2core.b2broker.com/en/rest-api-reference-back-authentication.html,
read 2026-11-24.
"""

import secrets
from dataclasses import dataclass
from typing import Final

from .b2core_wire import Json, iso8601

REFRESH_SECONDS: Final = 30 * 86_400.0
MOST_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Pair:
    """An access token and the refresh token that came with it."""

    owner: str
    access: str
    refresh: str
    issued: float  # epoch seconds
    access_seconds: float

    @property
    def payload(self) -> Json:
        """The pair as it goes over the wire."""
        return {
            "accessToken": self._render(self.access, self.access_seconds),
            "refreshToken": self._render(self.refresh, REFRESH_SECONDS),
        }

    def _render(self, token: str, seconds: float) -> Json:
        return {"token": token, "createdAt": iso8601(self.issued), "expiresAt": iso8601(self.issued + seconds)}


class Tokens:
    """The tokens of one sort of users. The oldest are forgotten."""

    def __init__(self, access_seconds: float) -> None:
        self._access_seconds = access_seconds
        self._by_access: dict[str, Pair] = {}

    def issue(self, owner: str, now: float) -> Pair:
        """Return a new pair for a user who has signed in."""
        pair = Pair(owner, secrets.token_hex(32), secrets.token_hex(32), now, self._access_seconds)
        self._by_access[pair.access] = pair
        if len(self._by_access) > MOST_KEPT:
            del self._by_access[next(iter(self._by_access))]
        return pair

    def owner(self, access: str, now: float) -> str | None:
        """Return whose access token it is; None when it is nobody's, or has expired."""
        pair = self._by_access.get(access)
        return pair.owner if pair is not None and now < pair.issued + pair.access_seconds else None

    def refresh(self, token: str, now: float) -> Pair | None:
        """Return a new pair for a refresh token, which ends the old pair; None when the token is not good."""
        pair = next((each for each in self._by_access.values() if each.refresh == token), None)
        if pair is None or now >= pair.issued + REFRESH_SECONDS:
            return None
        self.revoke(pair.access)
        return self.issue(pair.owner, now)

    def revoke(self, access: str) -> None:
        """Let a pair end; the access token names it."""
        self._by_access.pop(access, None)
