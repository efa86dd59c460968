"""The status page in a real browser: nothing overflows, everything can be read, no rule of its own is broken."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from checks.reason import Reason
from tests.chromium import CONTRASTS, Page, running
from tests.repo import require_program
from tests.served import FakeApp, Served, build_config, serving, usd

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

LONG = "MostOftenInDE" * 12
SCREENS = [(360, 740), (390, 844), (768, 1024), (1280, 900), (2560, 1440)]
VIEWS = ("/", "/?runs=sms-a-balance&runs=sms-b-with-a-long-name-that-some-operator-gave-it-delivery")


def fill(app: FakeApp, state: str) -> None:
    """Give every check a past of an hour that ends as ``state`` says."""
    bad = {
        "balance": (Reason.BALANCE_LOW, "balance 12.40 USD is below min_amount 20.00"),
        "delivery": (Reason.DELIVERY_FAILING, f"231 of 540 messages in 30m were not delivered, {LONG}"),
        "senders": (Reason.TIMEOUT, "no complete answer within 30s"),
    }
    now = datetime.now(UTC)
    for name, check in app.config.checks.items():
        for minutes in range(40, -1, -1):
            late = state == "stale" or (state == "mixed" and check.kind_name == "account")
            at = now - timedelta(minutes=minutes + 600 * late)
            failing = state == "mixed" and check.kind_name in bad and minutes < 12
            reason, detail = bad[check.kind_name] if failing else (Reason.OK, "as it should be")
            if state == "mixed" and check.kind_name == "service_status":
                break
            measured = usd(12 + minutes) if check.kind_name == "balance" else ()
            app.record(name, reason, detail, at=at, took=0.2 + minutes % 3 / 10, measured=measured)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    program = require_program("chromium", "chromium-browser", "google-chrome")
    with running(program, tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture(params=["pass", "mixed", "stale", "waiting"], scope="module")
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    targets = ("sms-a", "sms-b-with-a-long-name-that-some-operator-gave-it")
    app = FakeApp(config=build_config(targets=targets))
    if request.param != "waiting":
        fill(app, request.param)
    app.meters.config_loaded(True, datetime.now(UTC))
    app.meters.config_loaded(False, datetime.now(UTC))  # shows a notice
    with serving(app) as running_server:
        yield running_server


@pytest.mark.parametrize("view", VIEWS, ids=["closed", "opened"])
@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_nothing_is_wider_than_the_screen(browser: Page, served: Served, view: str, width: int, height: int) -> None:
    browser.open(served.url + view, width=width, height=height)
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    too_wide = browser.evaluate(
        "[...document.querySelectorAll('body *:not(.skip)')]"
        f".filter(e => e.getBoundingClientRect().right > {width}).map(e => e.outerHTML.slice(0, 200))"
    )
    assert too_wide == []
    cut_off = browser.evaluate(
        "[...document.querySelectorAll('body *:not(.hidden, .skip)')]"
        ".filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1).map(e => e.outerHTML.slice(0, 200))"
    )
    assert cut_off == []


RUNS = """
[...document.querySelectorAll('.runs tbody tr')].map(row => {
  const box = name => row.querySelector(name).getBoundingClientRect();
  return {top: [box('.at').top, box('.result').top, box('.number').top], found: box('.found').toJSON()};
})
"""


def test_on_a_phone_a_run_is_one_line_and_its_text_is_below(browser: Page, served: Served) -> None:
    browser.open(served.url + VIEWS[1], width=390, height=844)
    runs = browser.evaluate(RUNS)
    assert bool(runs) is browser.evaluate("document.querySelectorAll('.runs').length > 0")
    for run in runs:
        assert len(set(run["top"])) == 1
        assert run["found"]["top"] > run["top"][0]
        assert run["found"]["width"] > 300


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_has_the_contrast_of_wcag_aa(browser: Page, served: Served, dark: bool) -> None:
    browser.open(served.url + VIEWS[1], width=1280, height=900, dark=dark)
    contrasts = browser.evaluate(CONTRASTS)
    assert len(contrasts) > 50
    assert [(text, round(ratio, 2)) for text, ratio in contrasts if ratio < 4.5] == []


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900)])
def test_dark_and_light_follow_the_reader(
    browser: Page, served: Served, width: int, height: int, tmp_path: Path
) -> None:
    pages = {}
    for dark in (False, True):
        browser.open(served.url, width=width, height=height, dark=dark)
        background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        pages[background] = browser.screenshot(tmp_path / f"{width}-{dark}.png")
    assert list(pages) == ["rgb(245, 246, 248)", "rgb(16, 20, 27)"]
    assert all(len(png) > 10_000 for png in pages.values())


def test_the_page_breaks_none_of_its_own_rules(browser: Page, served: Served) -> None:
    browser.open(served.url + VIEWS[1], width=1280, height=900)
    assert browser.evaluate("document.styleSheets.length") == 1
    assert browser.evaluate("getComputedStyle(document.querySelector('.icon')).width") != "20px"  # the sheet applies
    assert browser.complaints == []


def test_every_link_leads_somewhere(browser: Page, served: Served) -> None:
    browser.open(served.url, width=1280, height=900)
    links = set(browser.evaluate("[...document.links].map(a => a.getAttribute('href'))"))
    assert {"/metrics", "/config", "/-/healthy", "/-/ready", "/?refresh=off"} <= links
    answers = {link: served.ask(link.partition("#")[0] or "/").status for link in links}
    assert answers == dict.fromkeys(links, 200)


def test_a_click_opens_the_runs_and_a_second_one_closes_them(browser: Page, served: Served) -> None:
    browser.open(served.url, width=1280, height=900)
    opening = browser.evaluate("document.querySelector('#check-sms-a-account .when a').href")
    browser.open(opening, width=1280, height=900)
    assert browser.evaluate("document.querySelectorAll('#check-sms-a-account .history').length") == 1
    assert browser.evaluate("document.querySelectorAll('.history').length") == 1
    closing = browser.evaluate("document.querySelector('#check-sms-a-account .when a').href")
    browser.open(closing, width=1280, height=900)
    assert browser.evaluate("document.querySelectorAll('.history').length") == 0
