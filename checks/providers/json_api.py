"""Asking a vendor that answers in JSON: whatever is not an answer becomes one of our errors.

An adapter says which hosts there are, what its codes mean (``causes.py``) and where a code stands in an answer.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol

from ..errors import BadResponseError, NotFoundError, PermissionMissingError, ProviderError
from ..reason import Reason
from .causes import Codes
from .fields import Fields
from .http import BODY_LIMIT_BYTES, Http, Reply, reason_for_status
from .observer import NoObserver, Observer

_MOST_SECONDS_APART: Final = 86_400.0  # of the clocks: a Date further from ours is no time that could be worked with
_DATE: Final = re.compile(r"[\w,: +-]{10,40}", re.ASCII)


class ApiSettings(Protocol):
    """What a vendor's settings say of its API."""

    @property
    def base_url(self) -> str | None:
        """The URL that stands for all hosts, None for the hosts themselves."""

    @property
    def timeout(self) -> float:
        """Seconds that a call may take."""

    @property
    def max_requests_per_second(self) -> int:
        """How many calls may begin in one second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that refuses nothing."""

    payload: Any = field(repr=False)
    at: float | None  # Unix time: the vendor's clock; None: not told
    vendor: str

    @property
    def fields(self) -> Fields:
        """The answer as an object. Raises BadResponseError when it is none."""
        return Fields(self.payload, self.vendor)


class JsonApi:
    """One account's way to a vendor. Safe to use from several threads."""

    def __init__(
        self,
        vendor: str,
        hosts: Sequence[str],
        settings: ApiSettings,
        *,
        codes: Codes,
        code_of: Callable[[Any], str | None],
        public_only: bool = False,
        observer: Observer | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take the vendor's name for errors, and ``code_of``: the vendor's code in an answer that refuses, else None.

        It is asked about every answer that is JSON, those with a status of success too: many a refusal has one.
        ``public_only`` is as in ``Http``.
        """
        self._vendor = vendor
        self._codes = codes
        self._code_of = code_of
        self._observer = observer or NoObserver()
        self._now = now
        self._ahead_seconds = 0.0  # of the vendor's clock, by its last answer
        self._http = Http(
            {host: settings.base_url or f"https://{host}" for host in hosts},
            timeout_seconds=settings.timeout,
            requests_per_second=settings.max_requests_per_second,
            public_only=public_only,
            observer=observer,
        )

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()

    def now(self) -> float:
        """Return the time by the vendor's clock, as far as its last answer told (Unix time)."""
        return self._now() + self._ahead_seconds

    def ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        body_limit_bytes: int = BODY_LIMIT_BYTES,
        yields: bool = False,
        decode: Callable[[Reply], Any] = Reply.json,
    ) -> Answer:
        """Ask once. Raises ProviderError for whatever is no answer; nothing that the vendor says is quoted.

        ``decode`` makes of an answer that is not JSON what JSON would have been, or raises BadResponseError.
        """
        reply = self._http.request(
            method,
            url,
            params=params,
            data=data,
            json=json,
            body=body,
            headers={"Accept": "application/json", **(headers or {})},
            auth=auth,
            body_limit_bytes=body_limit_bytes,
            yields=yields,
        )
        at = clock_of(reply.headers, now=self._now())
        if at is not None:
            self._ahead_seconds = at - self._now()
        try:
            payload = decode(reply)
        except BadResponseError:
            by_status = reason_for_status(reply.status)
            if by_status is None:
                raise
            raise _error(by_status, f"{self._vendor} answers HTTP {reply.status}") from None
        problem = self._refusal(reply, payload)
        if problem is not None:
            raise problem
        return Answer(payload=payload, at=at, vendor=self._vendor)

    def _refusal(self, reply: Reply, payload: Any) -> ProviderError | None:
        by_status, code = reason_for_status(reply.status), self._code_of(payload)
        if code is None:
            if by_status is None:
                return None
            detail = f"{self._vendor} answers HTTP {reply.status}"
            is_told = reply.status == 404 and isinstance(payload, dict)
            return NotFoundError(detail) if is_told else _error(by_status, detail)
        return self.refused(reply.status, code)

    def refused(self, status: int, code: str) -> ProviderError:
        """Return the error of a refusal that came with an HTTP status and a code of the vendor's."""
        by_status, reason = reason_for_status(status), self._codes.of_call(code)
        if reason is None:
            self._observer.code_unmapped(code)
        detail = f"{self._vendor} answers HTTP {status}, code {code}"
        if status == 404:
            return NotFoundError(detail, code=code)
        if reason is not None and by_status is not Reason.PROVIDER_OUTAGE:  # of a failure the code does not tell of us
            return _error(reason, detail, code)
        return _error(by_status or Reason.BAD_RESPONSE, detail, code)


def _error(reason: Reason, detail: str, code: str | None = None) -> ProviderError:
    if reason is Reason.PERMISSION_MISSING:
        return PermissionMissingError(detail, code=code)
    return ProviderError(reason, detail, code=code)


def clock_of(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the time in the Date header (RFC 9110 section 6.6.1) as Unix time; None when it tells none.

    ``now`` is our clock. What is more than a day from it is not believed: a clock that wrong would lead all
    questions about times astray.
    """
    value = headers.get("Date", "")
    if not _DATE.fullmatch(value):
        return None
    try:
        at = parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return at if abs(at - now) <= _MOST_SECONDS_APART else None
