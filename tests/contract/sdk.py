"""Twilio's own SDK, pointed at one local origin instead of at Twilio's many hosts."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client


class LocalHttpClient(TwilioHttpClient):
    """Sends every request for a Twilio host to the origin, and remembers what came back."""

    def __init__(self, origin: str, *, timeout_seconds: float = 10.0) -> None:
        super().__init__(timeout=timeout_seconds)
        self._origin = urlsplit(origin)
        self.seen: list[tuple[str, str, int, dict[str, str]]] = []

    def request(  # type: ignore[override]  # as the class above: it says `url`, its parent `uri`
        self, method: str, url: str, *args: Any, **kwargs: Any
    ) -> Response:
        parts = urlsplit(url)
        is_twilio = (parts.hostname or "").endswith(".twilio.com")
        is_loopback = parts.hostname == "127.0.0.1"  # an absolute page URL
        if not (is_twilio or is_loopback):
            raise AssertionError(f"the SDK was sent to {parts.netloc}")
        there = parts._replace(scheme=self._origin.scheme, netloc=self._origin.netloc)
        response = super().request(method, urlunsplit(there), *args, **kwargs)
        headers = {k.lower(): v for k, v in dict(response.headers or {}).items()}
        self.seen.append((method, parts.path, response.status_code, headers))
        return response

    def close(self) -> None:
        """Close the connections."""
        if self.session is not None:
            self.session.close()


def build_client(http: LocalHttpClient, username: str, password: str, account_sid: str | None = None) -> Any:
    """Return the SDK's client over that transport; its annotations deny what its objects are."""
    return Client(username, password, account_sid, http_client=http)
