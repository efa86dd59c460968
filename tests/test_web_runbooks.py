"""The runbooks as pages of the exporter, and the links that lead to them."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from checks.diagnosis import diagnose
from checks.reason import REASONS, Reason
from exporter.answer import as_document
from exporter.web.guards import SECURITY_HEADERS
from exporter.web.internal import build_internal
from exporter.web.server import ThreadedServer, WebError, bind
from tests.chromium import CONTRASTS, Page, running
from tests.repo import ROOT, require_program
from tests.served import FakeApp, Served, serving
from tests.test_diagnosis_rules import alarm, evidence

RUNBOOKS = ROOT / "alerts" / "runbooks"
NAMES = sorted(path.stem for path in RUNBOOKS.glob("*.md"))

FULL = """\
# TwoFABalanceLow

What was **seen**. See [pumping](sms_pumping.md#what-to-do), [all](README.md) and [docs](https://example.com/a?b=c&d=e).

## What to do

1. Ask `now`:

   ```sh
   twofa-exporter check balance --config.file twofa-exporter.yml --log.level debug > /tmp/answer && echo "$?"
   ```

> **Warning**: mind the client.

| left | right |
|:-----|------:|
| a    | b     |

## Who's next?

<script>alert(1)</script> and <b>bold</b> and [click](javascript:alert(1)).
"""


@contextmanager
def serving_from(folder: Path) -> Iterator[Served]:
    """Serve the pages of an exporter with the runbooks of a folder."""
    app = FakeApp()
    pages = build_internal(app, runbooks=folder)
    with closing(app.storage), ThreadedServer(pages, bind("127.0.0.1:0")) as server:
        yield Served(server.url)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An exporter with runbooks that were written for this test."""
    top = tmp_path_factory.mktemp("alerts")
    (top / "secret.md").write_text("# Not to be seen\n")
    folder = top / "runbooks"
    folder.mkdir()
    (folder / "balance_low.md").write_text(FULL)
    (folder / "TwoFAMessagesUnreadableByTheExporter.md").write_text(
        "# TwoFAMessagesUnreadableByTheExporter\n\nWords.\n"
    )
    (folder / "plain.md").write_text("No heading.\n")
    (folder / "README.md").write_text("# Runbooks\n\n- [balance_low](balance_low.md)\n")
    (folder / "notes.txt").write_text("not a runbook")
    with serving_from(folder) as running_server:
        yield running_server


# --- one page --------------------------------------------------------------------------------------


def test_a_page_has_the_runbook_and_what_the_product_knows_of_its_reason(served: Served) -> None:
    answer = served.ask("/runbooks/balance_low")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<title>TwoFABalanceLow · twofa-exporter</title>" in answer.text
    assert answer.text.count("<h1>") == 1
    assert "What was <strong>seen</strong>." in answer.text
    row = REASONS[Reason.BALANCE_LOW]
    assert f'<p class="lead">{row.title}</p>' in answer.text
    assert f"<dd>{row.next_step}</dd>" in answer.text
    assert f'<dd class="owner">{row.owner}</dd>' in answer.text


def test_the_sections_are_linked_at_the_top(served: Served) -> None:
    text = served.ask("/runbooks/balance_low").text
    links = re.findall(r'<a href="(#[^"]+)">([^<]+)</a>\n', text)
    assert links == [("#what-to-do", "What to do"), ("#who-s-next", "Who&#39;s next?")]
    assert '<h2 id="what-to-do">What to do</h2>' in text
    assert '<h2 id="who-s-next">' in text


def test_links_to_other_runbooks_lead_to_their_pages(served: Served) -> None:
    text = served.ask("/runbooks/balance_low").text
    assert '<a href="/runbooks/sms_pumping#what-to-do">pumping</a>' in text
    assert '<a href="/runbooks/">all</a>' in text
    assert '<a href="https://example.com/a?b=c&amp;d=e">docs</a>' in text


def test_html_and_scripts_in_a_runbook_are_text(served: Served) -> None:
    text = served.ask("/runbooks/balance_low").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; and &lt;b&gt;bold&lt;/b&gt;" in text
    assert "<script" not in text
    assert "javascript:" not in re.sub(r"\[click\]\(javascript:alert\(1\)\)", "", text)
    assert "style=" not in text


def test_a_runbook_of_no_reason_has_its_own_words_alone(served: Served) -> None:
    text = served.ask("/runbooks/TwoFAMessagesUnreadableByTheExporter").text
    assert "<h1>Two<wbr>FAMessages<wbr>Unreadable<wbr>By<wbr>The<wbr>Exporter</h1>" in text
    assert '<dl class="next">' not in text
    assert "<p>No heading.</p>" in served.ask("/runbooks/plain").text


def test_a_file_that_changes_is_shown_as_it_is_now(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Old\n")
    with serving_from(tmp_path) as served:
        before = served.ask("/runbooks/")
        (tmp_path / "README.md").write_text("# New\n")
        after = served.ask("/runbooks/", headers={"If-None-Match": before.headers["etag"]})
    assert ("<h1>Old</h1>" in before.text, after.status, "<h1>New</h1>" in after.text) == (True, 200, True)


# --- how it is asked for ---------------------------------------------------------------------------


def test_the_index_is_below_its_own_name(served: Served) -> None:
    answer = served.ask("/runbooks")
    assert (answer.status, answer.headers["location"]) == (308, "/runbooks/")
    assert '<a href="/runbooks/balance_low">balance_low</a>' in served.ask("/runbooks/").text
    assert served.ask("/runbooks/README").status == 404


def test_who_asks_what_to_do_about_nothing_is_led_to_the_index(served: Served) -> None:
    answer = served.ask("/runbooks/ok")
    assert (answer.status, answer.headers["location"]) == (303, "./")


@pytest.mark.parametrize(
    "path",
    [
        "/runbooks/nonsense",
        "/runbooks/balance_low.md",
        "/runbooks/balance_low/",
        "/runbooks/Balance_Low",
        "/runbooks/notes",
        "/runbooks/notes.txt",
        "/runbooks/../secret",
        "/runbooks/..%2fsecret",
        "/runbooks/%2e%2e%2fsecret",
        "/runbooks/..%5csecret",
        "/runbooks/balance_low%00",
        "/runbooks/" + "a" * 5000,
        "/runbooks//",
    ],
)
def test_nothing_but_the_runbooks_can_be_asked_for(served: Served, path: str) -> None:
    answer = served.ask(path)
    assert answer.status == 404
    assert "Not to be seen" not in answer.text


def test_head_and_get_agree_and_nothing_else_is_answered(served: Served) -> None:
    get, head = (served.ask("/runbooks/balance_low", method=method) for method in ("GET", "HEAD"))
    assert head.body == b""
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}
    assert served.ask("/runbooks/balance_low", method="POST").status == 405


def test_a_browser_asks_again_and_is_told_that_nothing_changed(served: Served) -> None:
    first = served.ask("/runbooks/balance_low")
    assert first.headers["cache-control"] == "no-cache"
    again = served.ask("/runbooks/balance_low", headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert served.ask("/runbooks/balance_low", headers={"If-None-Match": '"other"'}).status == 200
    assert served.ask("/runbooks/plain").headers["etag"] != first.headers["etag"]


def test_the_pages_have_the_headers_of_all_pages(served: Served) -> None:
    headers = served.ask("/runbooks/balance_low").headers
    for name, value in SECURITY_HEADERS.items():
        assert headers[name.lower()] == ("no-cache" if name == "Cache-Control" else value)


def test_the_metrics_cannot_be_put_where_the_runbooks_are() -> None:
    with pytest.raises(WebError, match="must be a path of its own"):
        build_internal(FakeApp(), telemetry_path="/runbooks/metrics")


def test_a_start_does_not_pay_for_reading_markdown() -> None:
    script = (
        "import sys; from tests.served import FakeApp; from exporter.web.internal import build_internal;"
        " build_internal(FakeApp()); print('starlette' in sys.modules, 'markdown_it' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"


# --- the runbooks that come with the exporter ------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> Iterator[Served]:
    with serving_from(RUNBOOKS) as running_server:
        yield running_server


@pytest.mark.parametrize("name", ["" if name == "README" else name for name in NAMES])
def test_a_shipped_runbook_is_a_page_whose_links_lead_somewhere(shipped: Served, name: str) -> None:
    answer = shipped.ask(f"/runbooks/{name}")
    assert answer.status == 200
    links = set(re.findall(r'href="([^"]+)"', answer.text))
    anchors = {link for link in links if link.startswith("#")}
    assert {anchor for anchor in anchors if f'id="{anchor[1:]}"' not in answer.text} == set()
    here = {link.partition("#")[0] for link in links - anchors if not link.startswith("https://")}
    assert {link: shipped.ask(link).status for link in here} == dict.fromkeys(here, 200)


def test_the_index_links_to_every_runbook(shipped: Served) -> None:
    links = set(re.findall(r'href="/runbooks/(\w+)', shipped.ask("/runbooks/").text))
    assert links == {*NAMES} - {"README"}


# --- the links -------------------------------------------------------------------------------------


def test_the_status_page_links_what_is_wrong_to_its_runbook() -> None:
    app = FakeApp()
    now = datetime.now(UTC)
    app.record("twilio-eu-balance", Reason.BALANCE_LOW, at=now)
    app.record("twilio-eu-delivery", Reason.TIMEOUT, at=now)
    app.record("twilio-eu-account", at=now)
    with serving(app) as served:
        text = served.ask("/").text
    assert sorted(re.findall(r'href="(/runbooks/[^"]*)"', text)) == [
        "/runbooks/",
        "/runbooks/balance_low",
        "/runbooks/timeout",
    ]


def test_a_diagnosis_names_the_runbook_of_each_reason_and_none_where_nothing_was_found() -> None:
    blocked = diagnose(evidence(alarms=(alarm(Reason.OPERATOR_BLOCKING),)))
    findings = as_document(blocked)["findings"]
    assert findings[0]["reason"] == "operator_blocking"
    assert [each["runbook"] for each in findings] == [f"/runbooks/{each['reason']}" for each in findings]

    nothing = as_document(diagnose(evidence()))["findings"]
    assert [(each["reason"], each["runbook"]) for each in nothing] == [("ok", None)]


# --- in a browser ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    program = require_program("chromium", "chromium-browser", "google-chrome")
    with running(program, tmp_path_factory.mktemp("chromium")) as page:
        yield page


PAGES = ("/runbooks/balance_low", "/runbooks/TwoFAMessagesUnreadableByTheExporter")


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(("width", "height"), [(320, 640), (390, 844), (1280, 900)])
def test_nothing_is_wider_than_the_screen(browser: Page, served: Served, path: str, width: int, height: int) -> None:
    browser.open(served.url + path, width=width, height=height)
    too_wide = browser.evaluate(
        "[...document.querySelectorAll('body *:not(.skip)')]"
        f".filter(e => e.getBoundingClientRect().right > {width} || e.scrollWidth > e.clientWidth + 1 && e.clientWidth)"
        ".map(e => e.outerHTML.slice(0, 200))"
    )
    assert (browser.evaluate("document.documentElement.scrollWidth"), too_wide) == (width, [])


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_has_the_contrast_of_wcag_aa_and_no_rule_of_the_page_is_broken(
    browser: Page, served: Served, dark: bool
) -> None:
    browser.open(served.url + PAGES[0], width=390, height=844, dark=dark)
    contrasts = browser.evaluate(CONTRASTS)
    assert len(contrasts) > 20
    assert [(text, round(ratio, 2)) for text, ratio in contrasts if ratio < 4.5] == []
    assert browser.evaluate("document.styleSheets.length") == 2
    assert browser.complaints == []


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_the_text_is_large_and_a_click_selects_a_whole_command(browser: Page, served: Served) -> None:
    browser.open(served.url + PAGES[0], width=390, height=844)
    size = browser.evaluate("parseFloat(getComputedStyle(document.querySelector('.runbook p')).fontSize)")
    assert size >= 17
    x, y = browser.evaluate(
        "(() => { const e = document.querySelector('pre'); e.scrollIntoView({block: 'center', behavior: 'instant'});"
        " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    (command,) = re.findall(r"```sh\n +(.+)\n", FULL)
    assert browser.evaluate("getSelection().toString()").strip() == command
