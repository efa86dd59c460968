"""The device clock page over real HTTP: its languages, its size, its rules, and the time that it hands out."""

import http.client
import json
import logging
import re
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, fields
from hashlib import sha256
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest

from exporter.web.clock import ClockPage
from exporter.web.clock_texts import TEXTS, ClockTexts
from exporter.web.server import ThreadedServer, bind

LIMIT_BYTES = 20_000
PLACEHOLDER = "{difference}"


@dataclass
class Clock:
    """The page on a listener; the test says what the true time is."""

    url: str = ""
    now: float | None = 1764000000.0

    def ask(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        parts = urlsplit(self.url)
        with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)) as connection:
            connection.request(method, path, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer, answer.read()

    def language(self, path: str = "/clock", accepted: str | None = None) -> str | None:
        answer, body = self.ask(path, headers={} if accepted is None else {"Accept-Language": accepted})
        assert answer.status == 200
        language = answer.getheader("Content-Language")
        assert f'<html lang="{language}"'.encode() in body
        return language


@pytest.fixture(scope="module")
def served() -> Iterator[Clock]:
    clock = Clock()
    with ThreadedServer(ClockPage(lambda: clock.now), bind("127.0.0.1:0"), guarded=False) as server:
        clock.url = server.url
        yield clock


@pytest.fixture
def clock(served: Clock) -> Clock:
    served.now = Clock.now
    return served


def test_the_time_is_given_in_milliseconds_and_never_cached(clock: Clock) -> None:
    clock.now = 1764000000.1234
    answer, body = clock.ask("/clock/time")
    assert (answer.status, json.loads(body)) == (200, {"now_ms": 1764000000123.4})
    assert answer.getheader("Content-Type") == "application/json"
    assert answer.getheader("Cache-Control") == "no-store"


def test_a_time_that_is_not_known_is_not_invented(clock: Clock) -> None:
    clock.now = None
    answer, body = clock.ask("/clock/time")
    assert (answer.status, body) == (503, b"{}")
    assert answer.getheader("Cache-Control") == "no-store"
    assert clock.language() == "en"  # the page itself is there all the same


@pytest.mark.parametrize("path", ["/clock", "/clock/time"])
def test_head_has_the_headers_of_get_and_no_body(clock: Clock, path: str) -> None:
    got, body = clock.ask(path)
    head, nothing = clock.ask(path, "HEAD")
    assert (head.status, nothing) == (200, b"")
    assert head.getheader("Content-Length") == str(len(body))
    assert {k: v for k, v in head.getheaders() if k != "date"} == {k: v for k, v in got.getheaders() if k != "date"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
@pytest.mark.parametrize("path", ["/clock", "/clock/time"])
def test_other_methods_are_refused(clock: Clock, path: str, method: str) -> None:
    answer, body = clock.ask(path, method)
    assert (answer.status, answer.getheader("Allow"), body) == (405, "GET, HEAD", b"")


@pytest.mark.parametrize("path", ["/", "/clock/", "/clock/time/", "/clocks", "/clock/../clock", "/clock%2Ftime/x"])
def test_there_is_nothing_else(clock: Clock, path: str) -> None:
    answer, body = clock.ask(path)
    assert (answer.status, body) == (404, b"")


@pytest.mark.parametrize("path", ["/clock", "/clock/time", "/elsewhere"])
def test_every_answer_has_the_security_headers_and_no_cookie(clock: Clock, path: str) -> None:
    answer, _ = clock.ask(path)
    headers = {name.lower() for name, _ in answer.getheaders()}
    assert {"content-security-policy", "x-content-type-options", "referrer-policy", "x-frame-options"} <= headers
    assert "set-cookie" not in headers
    assert "server" not in headers


@pytest.mark.parametrize("code", TEXTS)
def test_the_policy_allows_this_style_and_this_script_and_nothing_else(clock: Clock, code: str) -> None:
    answer, body = clock.ask(f"/clock?lang={code}")
    html = body.decode()

    def hashed(element: str) -> str:
        (content,) = re.findall(f"<{element}>(.*?)</{element}>", html, flags=re.DOTALL)
        return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"

    policy = dict(part.strip().split(" ", 1) for part in (answer.getheader("Content-Security-Policy") or "").split(";"))
    assert policy == {
        "default-src": "'none'",
        "style-src": hashed("style"),
        "script-src": hashed("script"),
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("code", TEXTS)
def test_the_document_is_small_and_needs_nothing_from_elsewhere(clock: Clock, code: str) -> None:
    _, body = clock.ask(f"/clock?lang={code}")
    assert len(body) < LIMIT_BYTES
    elements = Elements(body.decode()).found
    assert [tag for tag, attributes in elements if "src" in attributes or tag in ("link", "iframe", "form")] == []
    assert [tag for tag, attributes in elements if "style" in attributes or "onclick" in attributes] == []
    links = [attributes["href"] for tag, attributes in elements if tag == "a"]
    assert links == [f"?lang={other}" for other in TEXTS]
    assert b"http://" not in body
    assert b"https://" not in body
    for store in (b"cookie", b"localStorage", b"sessionStorage", b"indexedDB"):
        assert store not in body.partition(b"<script>")[2]


def test_the_script_is_read_by_browsers_of_2017(clock: Clock) -> None:
    _, body = clock.ask("/clock")
    script = body.decode().partition("<script>")[2]
    assert (
        re.findall(r"\?\.|\?\?|catch\s*\{|\{\s*\.\.\.|\*\*=|#\w+\s*[;=(]|replaceAll|\.flat|await\s+import", script)
        == []
    )


@pytest.mark.parametrize("code", TEXTS)
def test_language_and_direction_are_declared(clock: Clock, code: str) -> None:
    _, body = clock.ask(f"/clock?lang={code}")
    elements = Elements(body.decode()).found
    (root,) = [attributes for tag, attributes in elements if tag == "html"]
    assert root == {"lang": TEXTS[code].tag, "dir": "rtl" if code == "ar" else "ltr"}
    (current,) = [attributes for _, attributes in elements if "aria-current" in attributes]
    assert current["lang"] == TEXTS[code].tag


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)
def test_every_language_is_complete(texts: ClockTexts) -> None:
    english = TEXTS["en"]
    for field in fields(ClockTexts):
        text, model = getattr(texts, field.name), getattr(english, field.name)
        parts, models = (text, model) if isinstance(model, tuple) else ((text,), (model,))
        assert len(parts) == len(models), field.name
        for part, counterpart in zip(parts, models, strict=True):
            assert part.strip() or field.name == "joint", field.name
            assert part.count(PLACEHOLDER) == counterpart.count(PLACEHOLDER), field.name
            assert not set("{}<>") & set(part.replace(PLACEHOLDER, "")), field.name
            if texts is not english and len(counterpart) > 20:
                assert part != counterpart, field.name
    assert [name for name in ("behind", "ahead", "right") if PLACEHOLDER not in getattr(texts, name)] == []


@pytest.mark.parametrize(
    ("code", "letters"), [("ru", "[\u0400-\u04ff]"), ("ar", "[\u0600-\u06ff]"), ("zh", "[\u4e00-\u9fff]")]
)
def test_every_sentence_is_in_the_letters_of_its_language(code: str, letters: str) -> None:
    texts = [getattr(TEXTS[code], field.name) for field in fields(ClockTexts)]
    sentences = [part for text in texts for part in (text if isinstance(text, tuple) else (text,)) if len(part) > 15]
    assert len(sentences) > 15
    assert [sentence for sentence in sentences if not re.search(letters, sentence)] == []


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("*", "en"),
        ("de", "de"),
        ("de-AT", "de"),
        ("DE-at", "de"),
        ("zh-Hans-CN", "zh-Hans"),
        ("zh-TW, en;q=0.5", "zh-Hans"),
        ("fr-FR, fr;q=0.9, ru;q=0.8, en;q=0.7", "ru"),
        ("en;q=0.2, ar;q=0.9, es;q=0.5", "ar"),
        ("es, ru", "es"),
        ("de;q=0, es;q=0.1", "es"),
        ("de;q=0", "en"),
        ("de ; q=0.5 , es ; q=0.6", "es"),
        ("de;q=2, es;q=0.1", "es"),
        ("de;q=abc, es;q=nan, ru;q=0.1", "ru"),
        ("fr, ja", "en"),
        ("d, e, -, ;q=1, ,,,", "en"),
        ("\xe4\xff\x80, de", "de"),
        ("x" * 4000 + ", de", "en"),
        ("fr;q=0.1," * 400 + "de", "en"),
        ("a-" * 5000, "en"),
    ],
)
def test_the_browser_gets_the_language_that_it_prefers(clock: Clock, accepted: str | None, language: str) -> None:
    started = time.perf_counter()
    assert clock.language(accepted=accepted) == language
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("query", "language"),
    [
        ("?lang=ar", "ar"),
        ("?lang=zh-Hans", "zh-Hans"),
        ("?lang=RU", "ru"),
        ("?lang=xx", "de"),
        ("?lang=", "de"),
        ("?lang=es&lang=ru", "ru"),
        ("?lang=%FF%00", "de"),
        ("?lang=" + "e" * 20000, "de"),
        ("?" + "&" * 20000, "de"),
        ("?lang=%3Cscript%3E", "de"),
        ("?language=es", "de"),
    ],
)
def test_a_link_overrides_the_browser(clock: Clock, query: str, language: str) -> None:
    assert clock.language(f"/clock{query}", accepted="de") == language


def test_caches_keep_languages_apart(clock: Clock) -> None:
    answer, _ = clock.ask("/clock")
    assert answer.getheader("Vary") == "Accept-Language"


def test_nothing_is_logged(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for path in ("/clock?lang=de", "/clock/time", "/clock/nowhere"):
            clock.ask(path)
    assert [record for record in caplog.records if record.name != "asyncio"] == []
