"""One sign-in for everybody: who asks the back office gets the access token that is in force.

https://docs.b2core.b2broker.com/en/rest-api-reference-back-authentication.html, read 2026-11: five sign-ins a minute,
then none for a while. Documented are ``signin`` and what it answers; the fields of ``2fa/confirm`` and ``refresh`` are
inferred from it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import TIMEOUT_MAX, Lock
from time import monotonic, sleep, time
from typing import Any, Final

from ...errors import BadResponseError, DeadlineExceededError, ProviderError
from ...providers.http import Reply, seconds_left
from ...providers.limiter import RateLimiter, parse_retry_after
from ...reason import Reason
from ...secret import Secret
from ...totp import STEP_SECONDS, code_of, step_at
from .answers import Token, parse_flag, parse_object, parse_token
from .settings import B2CoreSettings

Post = Callable[[str, Mapping[str, Any]], Reply]
"""Posts JSON to a path below ``/api/v2`` without authentication."""

SIGN_INS_A_MINUTE: Final = 5

_UNTOLD_LIFETIME_SECONDS: Final = 300.0
_MARGIN: Final = 0.1  # of the lifetime: refreshed when that little is left
_FIRST_REST_SECONDS: Final = 900.0  # B2CORE blocks for ten minutes after five tries, as its settings come
_FIRST_SHORT_REST_SECONDS: Final = 120.0  # where the password was not refused
_LONGEST_REST_SECONDS: Final = 4 * 3600.0
_ATTEMPT_SECONDS: Final = 3.0
_NEW_SECONDS: Final = 60.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
_CODE_REFUSALS: Final = frozenset({400, 401, 403, 422})
_BY_EMAIL: Final = "email"


class _CodeRefusedError(Exception):
    """The code of the second step was refused."""


class Session:
    """Holds the tokens. Safe to use from several threads: one of them signs in, the others wait for it.

    A sign-in that was answered and came to nothing is not repeated before a rest, which doubles each time: neither a
    wrong password nor a sign-in that never ends must lock the user.
    None of its errors is a PermissionMissingError, which is about one call, whatever the reason: nobody is signed in.
    """

    def __init__(self, settings: B2CoreSettings, post: Post) -> None:
        self._settings = settings
        self._post = post
        self._lock = Lock()
        self._limiter = RateLimiter(SIGN_INS_A_MINUTE, window_seconds=60.0)
        self._access: Token | None = None if settings.token is None else Token(settings.token, None)
        self._refresh: Secret | None = None
        self._obtained_at = 0.0  # by the monotonic clock, as the next ones
        self._good_until = 0.0
        self._rest_until = 0.0
        self._rest_seconds = _FIRST_REST_SECONDS
        self._refused: tuple[Reason, str] | None = None
        self._short_rest_seconds = _FIRST_SHORT_REST_SECONDS
        self._step = -1  # of the last code, by TOTP

    def access_token(self) -> Secret:
        """Return a token that is good for a while. Raises ProviderError."""
        with self._held():
            if self._access is None or (self._settings.token is None and monotonic() >= self._good_until):
                self._renew()
            assert self._access is not None, "renewed, or an error was raised"  # noqa: S101
            return self._access.value

    def rejected(self, token: Secret) -> bool:
        """Note that the back office refused a token; return whether it is worth asking for another one.

        A token of the last minute is kept: it is a right that is missing, and another sign-in would bring no other.
        """
        with self._held():
            if self._settings.token is not None:
                return False
            if self._access is None or self._access.value != token:  # somebody noted it before
                return True
            if monotonic() < self._obtained_at + _NEW_SECONDS:
                return False
            self._access, self._good_until = None, 0.0
            return True

    def end_rest(self) -> None:
        """Let the next call sign in, whatever was refused before: somebody says that it is mended."""
        self._rest_until = 0.0

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Be the only one; who signs in may take longer than others have time."""
        left = seconds_left()
        if not self._lock.acquire(timeout=min(max(left, 0.0), TIMEOUT_MAX)):
            raise DeadlineExceededError("no time was left to wait for the sign-in to the back office")
        try:
            yield
        finally:
            self._lock.release()

    def _renew(self) -> None:
        refresh, self._refresh = self._refresh, None
        self._access = None
        if refresh is not None:
            reply = self._post("refresh", {"refreshToken": refresh.reveal()})
            if reply.status < 300:
                self._keep(parse_object(reply.json()))
                return
            if reply.status >= 500:
                self._refresh = refresh
                raise ProviderError(Reason.PROVIDER_OUTAGE, f"the back office answers HTTP {reply.status}")
        self._sign_in()

    def _sign_in(self) -> None:
        if self._refused is not None and self._is_resting:
            reason, detail = self._refused
            again = datetime.fromtimestamp(time() + self._rest_until - monotonic(), UTC)
            raise ProviderError(reason, f"{detail}; not tried again before {again:%H:%M} UTC, lest it be locked")
        email, password = self._settings.email, self._settings.password
        assert email is not None, "the settings see to that"  # noqa: S101
        assert password is not None, "the settings see to that"  # noqa: S101
        self._wait_for_unused_code()
        try:
            self._attempt(email, password)
        except _CodeRefusedError:
            self._attempt_with_next_code(email, password)
        self._refused = None
        self._rest_seconds, self._short_rest_seconds = _FIRST_REST_SECONDS, _FIRST_SHORT_REST_SECONDS

    def _attempt(self, email: str, password: Secret) -> None:
        self._limiter.wait(monotonic() + min(self._settings.timeout, seconds_left()))
        reply = self._post("signin", {"email": email, "password": password.reveal()})
        if reply.status >= 500:
            raise ProviderError(Reason.PROVIDER_OUTAGE, f"the back office answers HTTP {reply.status}")
        with self._resting_on_failure():
            answer = self._accepted(reply, "the back office refuses the service user's e-mail or password")
            if parse_flag(answer.get("2faRequired")):
                answer = self._confirm(answer.get("2faDetails"))
            self._keep(answer)

    def _attempt_with_next_code(self, email: str, password: Secret) -> None:
        """A refused code may have been used by another program of the same user: the next one tells."""
        pause = STEP_SECONDS * (max(self._step, step_at(time())) + 1) - time()
        if not _is_time_for(pause):
            raise self._rest_of_code()
        sleep(pause)
        with self._resting_on_failure():
            try:
                self._attempt(email, password)
            except _CodeRefusedError:
                raise self._rest_of_code() from None

    def _wait_for_unused_code(self) -> None:
        """Return when the code of this time step or of the next one was not sent yet: no server takes a later one.

        Raises DeadlineExceededError when there is no time for that.
        """
        here = step_at(time())
        if self._step > here + 1:  # the clock was set back
            self._step = -1
        if self._step <= here:
            return
        pause = STEP_SECONDS * self._step - time()
        if not _is_time_for(pause):
            raise DeadlineExceededError("no time was left to wait for a code that was not sent yet")
        sleep(pause)

    @property
    def _is_resting(self) -> bool:
        return monotonic() < self._rest_until

    @contextmanager
    def _resting_on_failure(self) -> Iterator[None]:
        """Rest, if only for a short while, after any error inside."""
        try:
            yield
        except ProviderError as error:
            if not self._is_resting:
                self._short_rest(error.reason, str(error))
            raise

    def _rest_of_code(self) -> ProviderError:
        words = "the back office refuses the service user's code: a wrong secret or clock, or another program took it"
        return self._short_rest(Reason.CREDENTIALS_REJECTED, words)

    def _short_rest(self, reason: Reason, detail: str) -> ProviderError:
        seconds, self._short_rest_seconds = self._short_rest_seconds, 2 * self._short_rest_seconds
        return self._rest(reason, detail, seconds)

    def _confirm(self, details: Any) -> Mapping[str, Any]:
        token = parse_token(details)
        if not isinstance(details, Mapping) or token is None:
            raise BadResponseError("the back office asks for a code and gives no token for it")
        method, secret = details.get("provider"), self._settings.totp_secret
        is_by_email = isinstance(method, str) and method.strip().lower() == _BY_EMAIL
        if secret is None or is_by_email:
            way = "sends a code by e-mail" if is_by_email else "asks for a code and no totp_secret is set"
            raise self._rest(
                Reason.PERMISSION_MISSING,
                f"at sign-in the back office {way}; use a service user with an authenticator app, or a token",
            )
        # A code is good once (RFC 6238, section 5.2): who signs in again within its step takes the next one early.
        # _wait_for_unused_code sees to it that it is not taken earlier than that.
        self._step = max(step_at(time()), self._step + 1)
        code = code_of(secret, self._step)
        reply = self._post("2fa/confirm", {"token": token.value.reveal(), "code": code})
        if reply.status in _CODE_REFUSALS:
            raise _CodeRefusedError
        return self._accepted(reply, "the back office refuses the service user's code")

    def _accepted(self, reply: Reply, refusal: str) -> Mapping[str, Any]:
        if reply.status < 300:
            return parse_object(reply.json())
        if reply.status == 429:
            seconds = parse_retry_after(reply.headers.get("Retry-After", ""), time()) or 60.0
            raise self._rest(Reason.RATE_LIMITED, "the back office takes no sign-ins now: too many", seconds)
        if reply.status >= 500:
            raise ProviderError(Reason.PROVIDER_OUTAGE, f"the back office answers HTTP {reply.status}")
        if reply.status == 404:
            raise BadResponseError("the back office has no sign-in at this URL")
        raise self._rest(Reason.CREDENTIALS_REJECTED, refusal)

    def _rest(self, reason: Reason, detail: str, seconds: float | None = None) -> ProviderError:
        if seconds is None:
            seconds = self._rest_seconds
            self._rest_seconds = min(2 * seconds, _LONGEST_REST_SECONDS)
        self._rest_until = monotonic() + min(seconds, _LONGEST_REST_SECONDS)
        self._refused = reason, detail
        return ProviderError(reason, detail)

    def _keep(self, answer: Mapping[str, Any]) -> None:
        access, refresh = parse_token(answer.get("accessToken")), parse_token(answer.get("refreshToken"))
        if access is None:
            raise BadResponseError("the back office signs us in and gives no access token")
        lifetime = access.lifetime_seconds or _UNTOLD_LIFETIME_SECONDS
        self._access, self._refresh = access, None if refresh is None else refresh.value
        self._obtained_at = monotonic()
        self._good_until = self._obtained_at + lifetime * (1 - _MARGIN)


def _is_time_for(pause: float) -> bool:
    """Return whether a sign-in is still possible after a pause of so many seconds."""
    return pause + _ATTEMPT_SECONDS < min(seconds_left(), _LONGEST_PAUSE_SECONDS)
