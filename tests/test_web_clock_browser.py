"""The device clock page in a real browser whose clock is wrong, or right, or cannot be measured."""
# ruff: noqa: RUF001 - the page's own typographic quotation marks

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from exporter.web.clock import ClockPage
from exporter.web.clock_texts import TEXTS
from exporter.web.server import ThreadedServer, bind
from tests.chromium import CONTRASTS, Page, running
from tests.processes import wait_for
from tests.repo import require_program

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

PHONE, DESKTOP, NARROW = (390, 844), (1280, 900), (320, 640)
HOUR = 3600


@dataclass
class Site:
    """The page for a browser on this machine: a true time that is ahead makes the browser's clock late."""

    url: str = ""
    ahead_seconds: float | None = 0.0  # of this machine; None: the true time is not known
    paths: list[str] = field(default_factory=list)
    with_cookie: list[str] = field(default_factory=list)
    first_answer_late_seconds: float = 0.0

    def true_time(self) -> float | None:
        return None if self.ahead_seconds is None else time.time() + self.ahead_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        self.with_cookie.extend(scope["path"] for name, _ in scope["headers"] if name == b"cookie")

        async def send_late(message: Any) -> None:
            late, self.first_answer_late_seconds = self.first_answer_late_seconds, 0.0
            time.sleep(late)  # noqa: ASYNC251 - the only client waits for it
            await send(message)

        await ClockPage(self.true_time)(scope, receive, send_late if scope["path"] == "/clock/time" else send)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    program = require_program("chromium", "chromium-browser", "google-chrome")
    with running(program, tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture(scope="module")
def served() -> Iterator[Site]:
    site = Site()
    with ThreadedServer(site, bind("127.0.0.1:0"), guarded=False) as server:
        site.url = server.url
        yield site


@pytest.fixture
def site(served: Site) -> Site:
    served.ahead_seconds = 0.0
    served.paths.clear()
    served.with_cookie.clear()
    return served


def state(browser: Page) -> str:
    found: str = browser.evaluate("document.getElementById('result').dataset.state")
    return found


def measured(browser: Page) -> tuple[str, str]:
    """The state of the result and its text, once measured."""
    wait_for(lambda: state(browser) != "measuring")
    return state(browser), browser.evaluate("document.querySelector('[role=status]').innerText")


def look(
    browser: Page, site: Site, *, lang: str = "en", size: tuple[int, int] = PHONE, dark: bool = False
) -> tuple[str, str]:
    """Open the page and return the state of the result and its text."""
    browser.open(f"{site.url}/clock?lang={lang}", width=size[0], height=size[1], dark=dark)
    return measured(browser)


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_phone_that_is_behind_is_told_by_how_much_and_what_to_do(
    browser: Page, site: Site, size: tuple[int, int]
) -> None:
    site.ahead_seconds = 94
    assert look(browser, site, size=size) == (
        "refused",
        "Your phone is 94 seconds behind.\n\nCodes will be refused until you turn on automatic date and time.",
    )
    assert browser.complaints == []


@pytest.mark.parametrize(
    ("ahead_seconds", "expected_state", "said"),
    [
        (0, "right", "Your phone’s clock is right (within 1 second)."),
        (-3.2, "right", "Your phone’s clock is right (within 4 seconds)."),
        (4.7, "right", "Your phone’s clock is right (within 5 seconds)."),
        (6, "little", "Your phone is 6 seconds behind."),
        (-29, "little", "Your phone is 29 seconds ahead."),
        (-31, "refused", "Your phone is 31 seconds ahead."),
        (-94, "refused", "Your phone is 94 seconds ahead."),
        (200, "refused", "Your phone is 3 minutes and 20 seconds behind."),
        (-(25 * 60), "refused", "Your phone is 25 minutes ahead."),
        (3 * HOUR + 20 * 60, "refused", "Your phone is 3 hours and 20 minutes behind."),
        (47 * HOUR + 59.9 * 60, "refused", "Your phone is 48 hours behind."),
        (400 * 24 * HOUR, "refused", "Your phone is 400 days behind."),
        (-(10 * 366 * 24 * HOUR), "refused", "Your phone is 10 years ahead."),
    ],
)
def test_the_difference_is_judged_and_said_in_words(
    browser: Page, site: Site, ahead_seconds: float, expected_state: str, said: str
) -> None:
    site.ahead_seconds = ahead_seconds
    found, text = look(browser, site)
    assert (found, text.split("\n")[0]) == (expected_state, said)
    consequence = {
        "right": "not the cause",
        "little": "refused now and then",
        "refused": "refused until you turn on automatic date and time",
    }
    assert consequence[found] in text


@pytest.mark.parametrize(
    ("ahead_seconds", "hinted"), [(3 * HOUR, True), (-HOUR + 40, True), (3.5 * HOUR, False), (94, False)]
)
def test_whole_hours_hint_at_the_time_zone(browser: Page, site: Site, ahead_seconds: float, hinted: bool) -> None:
    site.ahead_seconds = ahead_seconds
    _, text = look(browser, site)
    assert ("time zone" in text) is hinted


def test_a_wrong_time_zone_alone_is_no_fault(browser: Page, site: Site) -> None:
    browser.call("Emulation.setTimezoneOverride", timezoneId="Pacific/Kiritimati")
    try:
        found, text = look(browser, site)
    finally:
        browser.call("Emulation.setTimezoneOverride", timezoneId="")
    assert found == "right"
    assert "time zone" not in text


def test_a_clock_that_is_wrong_in_the_browser_itself_is_found(browser: Page, site: Site) -> None:
    script = "const real = Date.now; Date.now = () => real() + 94000;"
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)
    try:
        assert look(browser, site)[1].startswith("Your phone is 94 seconds ahead.")
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])


def test_a_slow_network_does_not_make_the_clock_wrong(browser: Page, site: Site) -> None:
    slow = {"offline": False, "downloadThroughput": 6000, "uploadThroughput": 6000}  # bytes per second: 2G
    browser.open(f"{site.url}/clock", width=390, height=844)
    measured(browser)
    site.ahead_seconds = 94
    browser.call("Network.emulateNetworkConditions", latency=800, **slow)
    try:
        started = time.monotonic()
        browser.evaluate("document.getElementById('again').click()")
        assert measured(browser)[1].startswith("Your phone is 94 seconds behind.")
        assert time.monotonic() - started > 2  # it really was slow
    finally:
        browser.call(
            "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )


def test_of_several_round_trips_the_shortest_counts(browser: Page, site: Site) -> None:
    site.first_answer_late_seconds = 2.4
    assert look(browser, site)[1].startswith("Your phone’s clock is right (within 1 second).")
    assert site.paths.count("/clock/time") == 5


def test_what_is_not_known_here_is_not_judged(browser: Page, site: Site) -> None:
    site.ahead_seconds = None
    found, text = look(browser, site)
    assert found == "none"
    assert "could not be measured" in text
    assert "do not know the exact time ourselves" in text
    assert browser.evaluate("document.querySelectorAll('ol li').length") == 8


def test_no_answer_is_said_and_can_be_tried_again(browser: Page, site: Site) -> None:
    look(browser, site)
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.call("Network.emulateNetworkConditions", offline=True, **offline)
    browser.evaluate("document.getElementById('again').click()")
    found, text = measured(browser)
    browser.call("Network.emulateNetworkConditions", offline=False, **offline)
    assert (found, "There was no answer." in text) == ("none", True)
    assert browser.evaluate("document.getElementById('true-time').textContent") == "–"
    browser.evaluate("document.getElementById('again').click()")
    assert measured(browser)[0] == "right"


def test_without_javascript_the_steps_are_there_and_nothing_is_claimed(browser: Page, site: Site) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        found, text = look(browser, site)
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert found == "none"
    assert "could not be measured" in text
    assert "JavaScript is off" in text
    assert "Set Automatically" in browser.evaluate("document.querySelector('main').innerText")
    assert browser.evaluate("document.getElementById('again').offsetParent") is None  # a button that would do nothing
    assert site.paths == ["/clock"]


def test_who_comes_back_from_the_settings_sees_the_new_result(browser: Page, site: Site) -> None:
    site.ahead_seconds = 94
    assert look(browser, site)[0] == "refused"
    site.ahead_seconds = 0
    browser.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert measured(browser)[0] == "right"


def test_both_times_are_shown_and_go_on(browser: Page, site: Site) -> None:
    site.ahead_seconds = 2 * HOUR
    look(browser, site)
    times = "['true-time', 'phone-time'].map(id => Date.parse(document.getElementById(id).textContent) / 1000)"
    true_time, phone_time = browser.evaluate(times)
    assert true_time - phone_time == pytest.approx(2 * HOUR, abs=1)
    assert phone_time == pytest.approx(time.time(), abs=5)
    wait_for(lambda: browser.evaluate(times)[0] > true_time)


def test_a_browser_that_cannot_write_units_gets_abbreviations(browser: Page, site: Site) -> None:
    script = (
        "const Real = Intl.NumberFormat; Intl.NumberFormat = function (locale, options) {"
        " if (options && options.style === 'unit') throw new RangeError(); return new Real(locale, options); };"
    )
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)
    site.ahead_seconds = 200
    try:
        assert look(browser, site, lang="de")[1].startswith("Ihr Telefon geht 3 min und 20 s nach.")
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])


@pytest.mark.parametrize(
    ("lang", "said"),
    [
        ("de", "Ihr Telefon geht 3 Minuten und 21 Sekunden nach."),
        ("es", "Su teléfono va 3 minutos y 21 segundos atrasado."),
        ("ru", "Часы телефона отстают. Разница: 3 минуты 21 секунда."),
        ("ar", "ساعة هاتفك متأخرة. الفارق: 3 دقائق و21 ثانية."),
        ("zh", "您的手机慢了3分钟21秒钟。"),
    ],
)
def test_numbers_and_units_are_those_of_the_language(browser: Page, site: Site, lang: str, said: str) -> None:
    site.ahead_seconds = 201
    _, text = look(browser, site, lang=lang)
    western = text.translate(str.maketrans("٠١٢٣٤٥٦٧٨٩", "0123456789")).split("\n")[0]
    assert re.sub(r"\s|[\u200e\u200f]", " ", western).strip().replace("分钟 ", "分钟") == said


def test_arabic_runs_from_right_to_left(browser: Page, site: Site) -> None:
    look(browser, site, lang="ar")
    icon, verdict = browser.evaluate(
        "['.said svg', '#verdict'].map(e => document.querySelector(e).getBoundingClientRect().left)"
    )
    assert icon > verdict
    assert browser.evaluate("getComputedStyle(document.getElementById('verdict')).direction") == "rtl"


TOO_WIDE = """
[document.documentElement.scrollWidth - innerWidth, [...document.querySelectorAll('body *')]
  .filter(e => { const box = e.getBoundingClientRect(); return box.right > innerWidth + 1 || box.left < -1; })
  .map(e => e.outerHTML.slice(0, 100))]
"""


@pytest.mark.parametrize("zoomed", [False, True], ids=["100%", "200%"])
@pytest.mark.parametrize("lang", TEXTS)
def test_nothing_is_wider_than_the_narrowest_screen(browser: Page, site: Site, lang: str, zoomed: bool) -> None:
    site.ahead_seconds = 3 * HOUR
    look(browser, site, lang=lang, size=NARROW)
    if zoomed:
        browser.evaluate("document.documentElement.style.fontSize = '200%'")
    assert browser.evaluate(TOO_WIDE) == [0, []]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("ahead_seconds", [0, 10, 94, None], ids=["right", "little", "refused", "unknown"])
def test_every_text_has_the_contrast_of_wcag_aa(
    browser: Page, site: Site, ahead_seconds: float | None, dark: bool
) -> None:
    site.ahead_seconds = ahead_seconds
    look(browser, site, dark=dark)
    contrasts = browser.evaluate(CONTRASTS)
    assert len(contrasts) > 20
    assert [(text, round(ratio, 2)) for text, ratio in contrasts if ratio < 4.5] == []


def test_the_result_is_announced_and_the_button_is_reached_by_keyboard(browser: Page, site: Site) -> None:
    look(browser, site)
    browser.evaluate("[...document.links].pop().focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert browser.evaluate("document.activeElement.id") == "again"
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert browser.evaluate("document.activeElement.getBoundingClientRect().height") >= 44
    assert browser.evaluate("document.querySelector('[aria-live=polite]').contains(document.getElementById('verdict'))")
    headings = browser.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(e => e.tagName)")
    assert headings == ["H1", "H2", "H3", "H3", "H3"]
    landmarks = browser.evaluate("['header', 'nav', 'main', 'footer'].map(e => document.querySelectorAll(e).length)")
    assert landmarks == [1, 1, 1, 1]


@pytest.mark.parametrize("lang", TEXTS)
def test_the_page_asks_nobody_else_keeps_nothing_and_complains_of_nothing(browser: Page, site: Site, lang: str) -> None:
    assert look(browser, site, lang=lang)[0] == "right"
    asked = browser.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert asked == [f"{site.url}/clock/time"] * 5
    assert set(site.paths) <= {"/clock", "/clock/time", "/favicon.ico"}
    assert site.with_cookie == []
    assert browser.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
    assert browser.complaints == []


@pytest.mark.parametrize(
    ("name", "lang", "size", "dark", "ahead_seconds"),
    [
        ("phone", "en", PHONE, False, 94),
        ("phone-right", "en", PHONE, False, 0),
        ("phone-dark", "de", PHONE, True, 3 * HOUR),
        ("phone-arabic", "ar", PHONE, False, 94),
        ("desktop", "en", DESKTOP, False, 12),
        ("desktop-dark", "ru", DESKTOP, True, 0),
        ("narrow", "es", NARROW, False, None),
    ],
)
def test_the_page_can_be_looked_at(
    browser: Page,
    site: Site,
    name: str,
    lang: str,
    size: tuple[int, int],
    dark: bool,
    ahead_seconds: float | None,
    tmp_path: Path,
) -> None:
    site.ahead_seconds = ahead_seconds
    look(browser, site, lang=lang, size=size, dark=dark)
    assert len(browser.screenshot(tmp_path / f"{name}.png", whole=True)) > 10_000
