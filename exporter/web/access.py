"""Who may ask about clients, and how often: who has the token; where there is none, a user, or this machine."""

import hmac
import ipaddress
import logging
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from starlette.requests import Request

from checks.secret import Secret

from ..config import DiagnoseSettings
from ..meters import DiagnosisOutcome, Meters
from .guards import is_cross_site, is_local_name
from .users import ASK_USER, is_user

_log: Final = logging.getLogger(__name__)

_WINDOW_SECONDS: Final = 60.0
_MOST_WRONG: Final = 10  # tokens in a window
_ASK_PASSWORD: Final = MappingProxyType({"WWW-Authenticate": 'Basic realm="twofa-exporter", charset="UTF-8"'})
_FORWARDED: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


class RefusedError(Exception):
    """A question is not answered."""

    def __init__(
        self,
        status: int,
        words: str,
        outcome: DiagnosisOutcome,
        headers: Mapping[str, str] = MappingProxyType({}),  # cannot be changed
    ) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.outcome = outcome
        self.headers = headers


class Window:
    """So many in a minute."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def wait(self, most: int) -> int:
        """Return after how many seconds there is room for one more; 0 for now."""
        now = time.monotonic()
        while self._times and self._times[0] <= now - _WINDOW_SECONDS:
            self._times.popleft()
        return 0 if len(self._times) < most else max(1, round(self._times[0] + _WINDOW_SECONDS - now))

    def add(self) -> None:
        """Count one."""
        self._times.append(time.monotonic())


class Gate:
    """Lets in who may ask, and so many in a minute. Each refusal is counted and logged, without what was asked."""

    def __init__(self, settings: Callable[[], DiagnoseSettings], meters: Meters) -> None:
        self._settings = settings
        self._meters = meters
        self._asked = Window()
        self._wrong = Window()

    def let_in(self, request: Request) -> None:
        """Raise RefusedError for who may not."""
        token = self._settings().token
        if request.method == "POST" and is_cross_site(request.headers):  # a link to the empty form may be anywhere
            raise RefusedError(403, "nothing is answered for a page of another site", DiagnosisOutcome.UNAUTHORIZED)
        if token is None:
            known = is_user(request.scope)
            if known is False:
                raise RefusedError(401, "give a user's name and password", DiagnosisOutcome.UNAUTHORIZED, ASK_USER)
            if known is None and not _is_from_here(request):
                words = "diagnose.token is not configured, so clients are spoken of on loopback addresses alone"
                raise RefusedError(403, words, DiagnosisOutcome.UNAUTHORIZED)
            return
        header = request.headers.get("authorization", "")
        if not is_authorized(header, token):
            if header and (wait := self._wrong.wait(_MOST_WRONG)):
                raise _too_many("too many wrong passwords", wait)
            if header:
                self._wrong.add()
            words = "the password, or the bearer token, is diagnose.token of the configuration"
            raise RefusedError(401, words, DiagnosisOutcome.UNAUTHORIZED, _ASK_PASSWORD)

    def count(self) -> None:
        """Raise RefusedError when too many were asked of late."""
        if wait := self._asked.wait(self._settings().requests_per_minute):
            raise _too_many("too many questions", wait)
        self._asked.add()

    def note(self, refusal: RefusedError) -> None:
        """Count and log a refusal."""
        self._meters.diagnosis(refusal.outcome)
        _log.info("diagnosis refused", extra={"outcome": refusal.outcome.value, "status": refusal.status})


def _too_many(words: str, wait: int) -> RefusedError:
    return RefusedError(
        429, f"{words}; ask again in {wait} s", DiagnosisOutcome.RATE_LIMITED, {"Retry-After": str(wait)}
    )


def _is_from_here(request: Request) -> bool:
    """Return whether this machine asks itself: no proxy for others, no web page under a name that resolves to here."""
    host = (request.scope.get("server") or ("", 0))[0]
    try:
        is_loopback = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
    is_forwarded = any(name in request.headers for name in _FORWARDED)
    return is_loopback and not is_forwarded and is_local_name(request.headers.get("host", ""))


def is_bearer(header: str, token: Secret) -> bool:
    """Return whether an Authorization header is Bearer with the token; how long it takes tells nothing of the token."""
    scheme, _, given = header.partition(" ")
    expected = token.reveal().encode()
    return hmac.compare_digest(given.strip().encode("latin-1"), expected) and scheme.lower() == "bearer"


def is_authorized(header: str, token: Secret) -> bool:
    """Return whether an Authorization header has the token, as Bearer or as the password of Basic."""
    scheme, _, given = header.partition(" ")
    if scheme.lower() != "basic":
        return is_bearer(header, token)
    try:
        _, _, password = b64decode(given.strip().encode("latin-1"), validate=True).partition(b":")
    except Base64Error:
        return False
    return hmac.compare_digest(password, token.reveal().encode())
