"""The support page in a real browser, as somebody uses it who answers tickets all day."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from checks.reason import Reason
from exporter.app import App
from exporter.demo import write_sandbox_config
from exporter.meters import Meters
from exporter.runner import run_check
from exporter.sandbox.clients import Clients
from exporter.sandbox.server import Sandbox
from exporter.storage import Storage
from exporter.web.internal import build_internal
from exporter.web.server import ThreadedServer, bind
from tests.chromium import CONTRASTS, Page, running
from tests.processes import wait_for
from tests.repo import require_program

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SCREENS: Final = {"desktop": (1280, 900), "phone": (390, 844), "narrow": (320, 640)}
UNCONFIRMED = Clients(seed=1).persona("unconfirmed")
TITLE = Reason.CLIENT_PHONE_UNCONFIRMED.row.title
CONTROL, SHIFT = 2, 8


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    program = require_program("chromium", "chromium-browser", "google-chrome")
    with running(program, tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An exporter whose check of the back office has found the provider disabled."""
    path = tmp_path_factory.mktemp("exporter") / "twofa-exporter.yml"
    with Sandbox(history_hours=0, speed=0, faults=["provider_disabled"]) as sandbox:
        write_sandbox_config(sandbox, path)
        meters = Meters()
        app = App.load(path, lambda: Storage.in_memory(meters), meters)
        try:
            assert app.reload() == ()  # the storage then waits for results of its checks
            check = app.config.checks["enablement"]
            past = app.storage.past(check.name, check.target, datetime.now(UTC), app.config.identities())
            app.storage.record(run_check(check, app.client(check.target), past))
            with ThreadedServer(build_internal(app), bind("127.0.0.1:0")) as server:
                yield f"{server.url}/diagnose"
        finally:
            app.stop()


def press(browser: Page, key: str, *, modifiers: int = 0, text: str = "") -> None:
    """Press a key, as the keyboard does."""
    codes = {"Tab": 9, "Enter": 13, " ": 32, "ArrowRight": 39, "ArrowDown": 40, "a": 65}
    event = {"key": key, "modifiers": modifiers, "windowsVirtualKeyCode": codes[key], "text": text}
    if key == "a" and modifiers == CONTROL:
        event["commands"] = ["selectAll"]  # what the window system makes of it
    browser.call("Input.dispatchKeyEvent", type="keyDown", **event)
    browser.call("Input.dispatchKeyEvent", type="keyUp", **event)


def submit(browser: Page) -> None:
    """Press Enter in the form and wait for the next page."""
    browser.evaluate("window.isOld = true")
    press(browser, "Enter", text="\r")
    wait_for(lambda: browser.evaluate("!window.isOld && document.readyState === 'complete'"))


def show(browser: Page, url: str, *, screen: str = "desktop", dark: bool = False) -> None:
    """Open the page and wait until the field has the focus, which is a moment after it has loaded."""
    width, height = SCREENS[screen]
    browser.open(url, width=width, height=height, dark=dark)
    wait_for(lambda: focused(browser) == "value")


def ask(browser: Page, url: str, value: str, *, screen: str = "desktop", dark: bool = False) -> None:
    """Ask about a client, with the keyboard alone."""
    show(browser, url, screen=screen, dark=dark)
    browser.call("Input.insertText", text=value)
    submit(browser)


def focused(browser: Page) -> Any:
    return browser.evaluate("document.activeElement.id || document.activeElement.value")


@pytest.mark.parametrize("screen", SCREENS)
def test_a_client_is_asked_about_with_the_keyboard_alone(browser: Page, url: str, screen: str, tmp_path: Path) -> None:
    ask(browser, url, str(UNCONFIRMED.id), screen=screen)
    assert browser.evaluate("document.querySelector('h1').innerText") == TITLE
    first = browser.evaluate("document.querySelector('.finding').innerText")
    assert "Certain" in first
    assert "2FA by SMS is on" in first
    assert "Next step\nAsk the client to confirm" in first.replace("\n\n", "\n")
    findings = browser.evaluate("[...document.querySelectorAll('.finding .kind')].map(kind => kind.innerText)")
    assert findings == ["client_phone_unconfirmed", "provider_disabled"]
    assert browser.complaints == []
    assert len(browser.screenshot(tmp_path / f"{screen}.png", whole=True)) > 10_000


def test_the_question_is_ready_to_be_typed_and_tab_goes_through_it_in_order(browser: Page, url: str) -> None:
    show(browser, url)
    order = []
    for _ in range(4):
        order.append(browser.evaluate("document.activeElement.name || document.activeElement.localName"))
        press(browser, "Tab")
    assert order == ["value", "device_lost", "look_up", "button"]
    browser.evaluate("document.getElementById('value').focus()")
    press(browser, "Tab", modifiers=SHIFT)
    assert focused(browser) == "client"
    press(browser, "ArrowRight")
    assert browser.evaluate("document.querySelector('input[name=subject]:checked').value") == "phone"


def test_a_number_and_what_the_client_says_are_asked_with_the_keyboard(browser: Page, url: str) -> None:
    show(browser, url)
    press(browser, "Tab", modifiers=SHIFT)
    press(browser, "ArrowRight")
    press(browser, "Tab")
    browser.call("Input.insertText", text=f"{UNCONFIRMED.number[:3]} {UNCONFIRMED.number[3:]}")
    press(browser, "Tab")
    press(browser, " ", text=" ")
    press(browser, "Tab")
    submit(browser)
    findings = browser.evaluate("[...document.querySelectorAll('.finding .kind')].map(kind => kind.innerText)")
    assert {"client_phone_unconfirmed", "device_lost"} <= set(findings)
    assert browser.evaluate("document.querySelector('input[name=subject]:checked').value") == "phone"


def test_what_was_asked_is_neither_in_the_address_nor_in_the_page(browser: Page, url: str) -> None:
    ask(browser, url, "904711588")
    assert browser.evaluate("location.href") == url
    assert browser.evaluate("document.getElementById('value').value") == ""
    assert "904711588" not in browser.evaluate("document.documentElement.outerHTML")
    assert "904711588" not in browser.evaluate("document.title")


def test_the_whole_ticket_is_selected_and_copied_from_the_keyboard(browser: Page, url: str) -> None:
    ask(browser, url, str(UNCONFIRMED.id))
    browser.evaluate("document.getElementById('ticket-text').focus()")
    press(browser, "a", modifiers=CONTROL)
    ticket = browser.evaluate("document.getElementById('ticket-text').value")
    selected = browser.evaluate("getSelection().toString()")
    assert selected == ticket
    assert ticket.startswith("**Why ")
    assert "`client_phone_unconfirmed`" in ticket
    assert UNCONFIRMED.number[3:] not in ticket


def test_on_a_desktop_the_ticket_is_seen_whole(browser: Page, url: str) -> None:
    ask(browser, url, "2")
    text = "document.getElementById('ticket-text')"
    assert browser.evaluate(f"{text}.scrollHeight <= {text}.clientHeight")


def test_a_question_that_is_not_understood_is_answered_beside_the_form(browser: Page, url: str) -> None:
    ask(browser, url, "two words")
    assert browser.evaluate("document.querySelector('[role=alert]').innerText").strip().startswith("A client's id")
    assert browser.evaluate("document.title") == "Not answered · twofa-exporter"
    assert focused(browser) == "value"
    assert browser.evaluate(
        "document.activeElement.getAttribute('aria-describedby').split(' ')"
        ".map(id => Boolean(document.getElementById(id).innerText))"
    ) == [True, True]
    assert [text for text in browser.complaints if "400 (Bad Request)" not in text] == []


def test_a_field_left_empty_is_not_sent(browser: Page, url: str) -> None:
    show(browser, url)
    press(browser, "Enter", text="\r")
    assert browser.evaluate("document.querySelector('#value:invalid') !== null")
    assert browser.evaluate("document.querySelector('[role=alert], .finding')") is None


TOO_WIDE = """
[...document.querySelectorAll('body *:not(.skip)')]
  .filter(e => e.getBoundingClientRect().right > innerWidth || (e.clientWidth && e.scrollWidth > e.clientWidth + 1))
  .map(e => e.outerHTML.slice(0, 200))
"""


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("value", ["", str(UNCONFIRMED.id), "two words"], ids=["form", "answer", "problem"])
def test_nothing_is_wider_than_the_screen(browser: Page, url: str, screen: str, value: str) -> None:
    if value:
        ask(browser, url, value, screen=screen)
    else:
        show(browser, url, screen=screen)
    assert browser.evaluate("document.documentElement.scrollWidth") == SCREENS[screen][0]
    assert browser.evaluate(TOO_WIDE) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("value", [str(UNCONFIRMED.id), "no-such", "two words"])
def test_every_text_has_the_contrast_of_wcag_aa(browser: Page, url: str, value: str, dark: bool) -> None:
    ask(browser, url, value, dark=dark)
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(16, 20, 27)" if dark else "rgb(245, 246, 248)")
    contrasts = browser.evaluate(CONTRASTS)
    assert len(contrasts) > 15
    assert [(text, round(ratio, 2)) for text, ratio in contrasts if ratio < 4.5] == []


def test_on_a_phone_whatever_is_touched_is_big_enough(browser: Page, url: str) -> None:
    show(browser, url, screen="phone")
    heights = browser.evaluate(
        "[...document.querySelectorAll('.choice, #value, button')].map(e => e.getBoundingClientRect().height)"
    )
    assert len(heights) == 7
    assert min(heights) >= 44


def test_each_control_has_a_name_and_the_page_one_heading(browser: Page, url: str) -> None:
    ask(browser, url, str(UNCONFIRMED.id))
    nameless = "[...document.querySelectorAll('input, textarea')].filter(e => !e.labels[0]?.innerText.trim()).length"
    assert browser.evaluate(nameless) == 0
    assert browser.evaluate("document.querySelectorAll('h1').length") == 1
    assert browser.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id).length") == browser.evaluate(
        "new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"
    )
