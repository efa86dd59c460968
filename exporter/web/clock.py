"""The device clock page of the public listener: says how far a client's phone is from true time.

A code from an authenticator app is valid for 30 seconds of true time. The page measures in the client's browser,
over several round trips, and needs nothing else of the client: no cookie, no parameter, no line in a log.
"""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.types import Receive, Scope, Send

from .clock_texts import DEFAULT, TEXTS, ClockTexts
from .guards import SECURITY_HEADERS

PAGE_PATH: Final = "/clock"
TIME_PATH: Final = "/clock/time"

_MAX_READ: Final = 500  # characters of a query or a header that are looked at
_RANGE: Final = re.compile(
    r"\s*(?P<primary>[a-z]{2,8})(?:-[a-z0-9]{1,8})*\s*(?:;\s*q=(?P<q>0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?",
    re.IGNORECASE | re.ASCII,
)  # RFC 9110, section 12.5.4; "*" is left to the default


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    headers: Mapping[str, str]
    body: bytes = b""


class ClockPage:
    """The application: the page in the reader's language, and the time for its script.

    ``true_time`` gives the time in Unix seconds as NTP servers tell it, None while it is not known.
    """

    def __init__(self, true_time: Callable[[], float | None]) -> None:
        self._true_time = true_time

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        answer = self._answer(scope)
        headers = {**SECURITY_HEADERS, **answer.headers, "Content-Length": str(len(answer.body))}
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status.value, "headers": raw})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    def _answer(self, scope: Scope) -> _Answer:
        if scope["path"] not in (PAGE_PATH, TIME_PATH):
            return _Answer(HTTPStatus.NOT_FOUND, {"Connection": "close"})  # the rest of the request is not read
        if scope["method"] not in ("GET", "HEAD"):
            return _Answer(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD", "Connection": "close"})
        return self._time() if scope["path"] == TIME_PATH else _page(scope)

    def _time(self) -> _Answer:
        now = self._true_time()
        headers = {"Content-Type": "application/json"}
        if now is None:
            return _Answer(HTTPStatus.SERVICE_UNAVAILABLE, headers, b"{}")
        return _Answer(HTTPStatus.OK, headers, json.dumps({"now_ms": round(now * 1000, 1)}).encode())


def _page(scope: Scope) -> _Answer:
    texts = _language(
        scope["query_string"].decode("latin-1"),
        (value.decode("latin-1") for name, value in scope["headers"] if name == b"accept-language"),
    )
    body, policy = _render(texts)
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Language": texts.tag,
        "Content-Security-Policy": policy,
        "Cache-Control": "no-cache",
        "Vary": "Accept-Language",
    }
    return _Answer(HTTPStatus.OK, headers, body)


def _language(query: str, accepted: Iterable[str]) -> ClockTexts:
    """Return the texts that the query asks for or, if it does not, those that the browser likes best."""
    chosen = parse_qs(query[:_MAX_READ]).get("lang", [""])[-1]
    for ranges in (chosen, ",".join(accepted)[:_MAX_READ]):
        best, weight = None, 0.0
        for candidate in ranges.split(","):
            match = _RANGE.fullmatch(candidate)
            texts = TEXTS.get(match["primary"].lower()) if match else None
            if match and texts and (found := float(match["q"] or 1)) > weight:
                best, weight = texts, found
        if best is not None:
            return best
    return DEFAULT


@cache
def _render(texts: ClockTexts) -> tuple[bytes, str]:
    """Return the document and the content security policy that allows its own style and script alone."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    html = environment.get_template("clock.html").render(texts=texts, languages=TEXTS)
    policy = (
        f"default-src 'none'; style-src {_hash(html, 'style')}; script-src {_hash(html, 'script')};"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html.encode(), policy


def _hash(html: str, element: str) -> str:
    """Return the source expression for the one element of this name that has no attributes (CSP 3, 2.3.1)."""
    _, _, rest = html.partition(f"<{element}>")
    content, _, _ = rest.partition(f"</{element}>")
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"
