"""What the status page says: as values, and as the HTML that is served."""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from checks.reason import REASONS, Outcome, Reason
from checks.result import RefusedCountry
from exporter.config import Config, ConfiguredCheck
from exporter.routes import RouteSettings
from exporter.web.sparkline import HEIGHT, WIDTH, build_sparkline
from exporter.web.status import build_page, read_history
from exporter.web.views import PageView, State
from exporter.web.words import amount, counted, listed, moment, span
from tests.served import NOW, FakeApp, build_config, serving, usd

INLINE_ELEMENTS = {"a", "span", "strong", "time", "svg", "use"}
VOID_ELEMENTS = {"meta", "link", "br", "circle", "line", "path", "polygon", "polyline", "use"}


def page_of(app: FakeApp, *, now: datetime = NOW, **more: Any) -> PageView:
    """The page of an app at a moment."""
    more = {"scheduled": True, **more}
    return build_page(
        config=app.config,
        snapshot=app.storage.snapshot(),
        history=read_history(app.storage, app.config, more.get("opened", frozenset())),
        readings=app.meters.read(),
        now=now,
        **more,
    )


def app_with(reasons: Sequence[Reason | None], targets: Sequence[str] = ("sms-a",)) -> FakeApp:
    """An app whose checks gave these reasons half a minute ago; None: the check has not run."""
    app = FakeApp(config=build_config(targets=targets))
    for name, reason in zip(app.config.checks, reasons, strict=False):
        if reason is not None:
            app.record(name, reason, at=NOW - timedelta(seconds=30))
    return app


OK, LOW, SLOW, LOST = Reason.OK, Reason.BALANCE_LOW, Reason.DELIVERY_SLOW, Reason.TIMEOUT
EMPTY, FAILING = Reason.BALANCE_EXHAUSTED, Reason.DELIVERY_FAILING
ATTENTION = "Codes can still be sent, but something needs attention before they stop."
SUSPENDED = Reason.ACCOUNT_SUSPENDED


# --- the headline ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reasons", "state", "headline", "lead"),
    [
        (
            [OK] * 6,
            State.PASS,
            "All 6 checks pass",
            "Nothing that the checks can see keeps codes from clients.",
        ),
        ([], State.WAITING, "No check has run yet", "Results come in as the checks run for the first time."),
        (
            [OK] * 5,
            State.WAITING,
            "1 of 6 checks has not run yet",
            "Results come in as the checks run for the first time.",
        ),
        (
            [OK, OK, LOW, OK, OK, SLOW],
            State.FAIL,
            "2 of 6 checks fail",
            ATTENTION,
        ),
        ([OK, OK, OK, OK, OK, LOW], State.FAIL, "1 of 6 checks fails", ATTENTION),
        ([EMPTY] * 6, State.FAIL, "All 6 checks fail", "Clients do not get codes through sms-a."),
        (
            [OK, OK, OK, OK, OK, LOST],
            State.ERROR,
            "1 of 6 checks gives no answer",
            "Nothing is known to keep codes from clients, but not every question could be answered.",
        ),
        (
            [LOST] * 6,
            State.ERROR,
            "All 6 checks give no answer",
            "Nothing is known to keep codes from clients, but not every question could be answered.",
        ),
        (
            [OK, LOST, LOW, LOST, SLOW],
            State.FAIL,
            "2 of 6 checks fail, 2 give no answer, 1 has not run yet",
            ATTENTION,
        ),
    ],
)
def test_the_headline_says_how_many_checks_do_not_pass(
    reasons: list[Reason | None], state: State, headline: str, lead: str
) -> None:
    app = app_with(reasons)
    with closing(app.storage):
        page = page_of(app)
    assert (page.state, page.headline, page.lead) == (state, headline, lead)


def test_a_single_check_is_no_plural() -> None:
    app = FakeApp(config=build_config({"account": {}}))
    with closing(app.storage):
        app.record("twilio-eu-account")
        assert page_of(app).headline == "The only check passes"


@pytest.mark.parametrize(
    ("reasons", "worst"),
    [
        ([OK] * 6, None),
        ([], None),
        ([OK, OK, LOW, OK, OK, SLOW], "sms-a-balance"),
        ([OK, OK, LOW, OK, OK, FAILING], "sms-a-delivery"),  # what stops codes before what may stop them
        ([LOST, OK, OK, OK, OK, SLOW], "sms-a-delivery"),  # a failure before what could not be found out
        ([OK, SUSPENDED, LOW, OK, OK, SLOW], "sms-a-account"),  # the cause before its effects
        ([OK, OK, LOST], "sms-a-balance"),
    ],
)
def test_the_worst_check_is_named(reasons: list[Reason | None], worst: str | None) -> None:
    app = app_with(reasons)
    with closing(app.storage):
        page = page_of(app)
    assert (None if page.worst is None else page.worst.name) == worst


@pytest.mark.parametrize(
    ("reasons", "lead"),
    [
        ([EMPTY] + [OK] * 11, "Clients do not get codes through sms-a. sms-b can be used."),
        ([OK] * 6 + [EMPTY] + [OK] * 5, "Clients do not get codes through sms-b. sms-a can be used."),
        ([EMPTY] + [OK] * 5 + [FAILING] + [OK] * 5, "Clients do not get codes through sms-a and sms-b."),
        ([EMPTY] + [OK] * 5 + [LOST] * 6, "Clients do not get codes through sms-a."),
        ([EMPTY] + [OK] * 5, "Clients do not get codes through sms-a."),
        ([LOW] + [OK] * 5, ATTENTION),
    ],
)
def test_the_lead_names_the_provider_that_can_be_used(reasons: list[Reason | None], lead: str) -> None:
    app = app_with(reasons, targets=("sms-a", "sms-b"))
    with closing(app.storage):
        assert page_of(app).lead == lead


# --- order -----------------------------------------------------------------------------------------


def test_the_worst_comes_first() -> None:
    app = app_with([OK] * 6 + [OK, LOST, OK, LOW, None, SUSPENDED], targets=("sms-a", "sms-b"))
    with closing(app.storage):
        first, second = page_of(app).targets
    assert (first.name, first.state, first.summary) == (
        "sms-b",
        State.FAIL,
        "2 of 6 checks fail, 1 gives no answer, 1 has not run yet",
    )
    assert [(check.kind, check.state) for check in first.checks] == [
        ("delivery", State.FAIL),
        ("senders", State.FAIL),
        ("account", State.ERROR),
        ("service_status", State.WAITING),
        ("credentials", State.PASS),
        ("balance", State.PASS),
    ]
    assert (second.name, second.state, second.summary) == ("sms-a", State.PASS, "All 6 checks pass")


def test_a_provider_without_checks_says_so() -> None:
    whole = build_config({"account": {}}, targets=("sms-a", "sms-b"))
    app = FakeApp(config=Config(targets=whole.targets, checks={"sms-a-account": whole.checks["sms-a-account"]}))
    with closing(app.storage):
        app.record("sms-a-account")
        page = page_of(app)
    assert [(p.name, p.summary) for p in page.targets] == [
        ("sms-b", "No check looks at it"),
        ("sms-a", "The only check passes"),
    ]
    assert page.state is State.PASS


# --- one check -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", Reason)
def test_a_check_shows_its_reason_in_words(reason: Reason) -> None:
    app = app_with([reason])
    with closing(app.storage):
        check = next(c for c in page_of(app).targets[0].checks if c.kind == "credentials")
    row = REASONS[reason]
    assert (check.reason, check.title) == (reason, row.title)
    assert check.state.value == row.outcome.value
    assert check.acts is (row.outcome is not Outcome.PASS)


def test_a_check_tells_since_when_and_when_it_last_passed() -> None:
    app = FakeApp(config=build_config({"account": {}}))
    with closing(app.storage):
        for minutes, reason in ((40, OK), (12, SUSPENDED), (7, SUSPENDED), (1, SUSPENDED)):
            app.record("twilio-eu-account", reason, "the account is closed", at=NOW - timedelta(minutes=minutes))
        (check,) = page_of(app).targets[0].checks
    assert check.since is not None
    assert (check.since.ago, check.since.clock, check.since.iso) == ("12 min", "07:18:00 UTC", "2026-11-24T07:18:00Z")
    assert check.last_run is not None
    assert check.last_run.ago == "1 min"
    assert check.last_success is not None
    assert check.last_success.clock == "06:50:00 UTC"
    assert (check.detail, check.interval, check.stale) == ("the account is closed", "1m", False)


def test_a_check_that_never_ran_has_nothing_to_tell() -> None:
    app = FakeApp(config=build_config({"account": {}}))
    with closing(app.storage):
        (check,) = page_of(app).targets[0].checks
    assert (check.state, check.title, check.detail) == (State.WAITING, "Not run yet", "")
    assert (check.reason, check.since, check.last_run, check.last_success, check.chart) == (None,) * 5
    assert not check.acts


@pytest.mark.parametrize(
    ("age_seconds", "reason", "state", "stale"),
    [
        (180, OK, State.PASS, False),  # the interval is one minute
        (181, OK, State.STALE, True),
        (181, SUSPENDED, State.FAIL, True),
        (181, LOST, State.ERROR, True),
        (-5, OK, State.PASS, False),  # the clock was set back
    ],
)
def test_a_result_older_than_three_intervals_is_stale(
    age_seconds: float, reason: Reason, state: State, stale: bool
) -> None:
    app = FakeApp(config=build_config({"account": {}}))
    with closing(app.storage):
        app.record("twilio-eu-account", reason, at=NOW - timedelta(seconds=age_seconds))
        page = page_of(app)
    (check,) = page.targets[0].checks
    assert (check.state, check.stale, page.state) == (state, stale, state)


def test_stale_passes_are_no_good_news() -> None:
    app = app_with([OK] * 6)
    with closing(app.storage):
        page = page_of(app, now=NOW + timedelta(days=3))
    assert page.headline == "All 6 checks are stale"
    assert page.lead == "The last answers were good, but they are too old to rely on."


# --- charts ----------------------------------------------------------------------------------------


def test_a_balance_is_drawn_with_its_limit() -> None:
    app = FakeApp(config=build_config({"balance": {"min_amount": 20}}))
    with closing(app.storage):
        for index, value in enumerate((30.0, 40.0, 1250.5, 25.0)):
            at = NOW - timedelta(minutes=4 - index)
            app.record("twilio-eu-balance", at=at, measured=usd(value))
        chart = page_of(app).targets[0].checks[0].chart
        assert chart is not None
        assert (chart.caption, chart.latest) == ("Balance", "25.00 USD")
        assert chart.description == (
            "Balance: 4 values, from 30.00 USD to 25.00 USD, lowest 25.00 USD, highest 1,250.50 USD"
        )
        assert chart.sparkline.limit_y is not None
        app.record("twilio-eu-balance", Reason.TIMEOUT, at=NOW)
        assert page_of(app).targets[0].checks[0].chart is None  # what is not known is not shown


def test_other_checks_show_how_long_they_take() -> None:
    app = FakeApp(config=build_config({"account": {}}))
    with closing(app.storage):
        for took in (0.25, 1.5, 0.1):
            app.record("twilio-eu-account", took=took)
        chart = page_of(app).targets[0].checks[0].chart
    assert chart is not None
    assert chart.description == "Run takes: 3 values, from 250 ms to 100 ms, lowest 100 ms, highest 1.5 s"
    assert chart.sparkline.limit_y is None


@pytest.mark.parametrize(
    ("values", "limit", "line", "limit_y"),
    [
        ([0, 10], None, "3,33.0 157,3.0", None),
        ([10, 10, 10], None, "3,3.0 80,3.0 157,3.0", None),
        ([0, 0], None, "3,33.0 157,33.0", None),
        ([5, 10], 20, "3,25.5 157,18.0", 3.0),
        ([5, 10], 5, "3,18.0 157,3.0", 18.0),
        ([5, 10], 31, "3,18.0 157,3.0", None),  # far away: it would only flatten the line
        ([5, 10], 0, "3,18.0 157,3.0", None),
        ([-10, 10], None, "3,33.0 157,3.0", None),
    ],
)
def test_a_chart_begins_at_zero(values: list[float], limit: float | None, line: str, limit_y: float | None) -> None:
    chart = build_sparkline(values, limit)
    assert chart is not None
    assert (chart.line, chart.limit_y) == (line, limit_y)
    assert f"{chart.end_x},{chart.end_y}" == line.rpartition(" ")[2]
    assert chart.area == f"3,{HEIGHT} {line} {WIDTH - 3},{HEIGHT}"


@pytest.mark.parametrize("values", [[], [1.0]])
def test_too_few_values_are_no_chart(values: list[float]) -> None:
    assert build_sparkline(values) is None


# --- history ---------------------------------------------------------------------------------------


def test_opened_runs_show_the_latest_and_the_failures_before_them() -> None:
    app = FakeApp(config=build_config({"account": {}, "credentials": {}}))
    with closing(app.storage):
        for minutes in range(40, 0, -1):
            reason = SUSPENDED if minutes in (35, 20, 5) else OK
            app.record("twilio-eu-account", reason, f"run {minutes}", at=NOW - timedelta(minutes=minutes))
        app.record("twilio-eu-credentials")
        page = page_of(app, opened=frozenset({"twilio-eu-account"}))
    shown = {check.name: check for check in page.targets[0].checks}
    account, credentials = shown["twilio-eu-account"], shown["twilio-eu-credentials"]
    assert [run.detail for run in account.runs] == [f"run {minutes}" for minutes in range(1, 11)]
    assert [run.state for run in account.runs].count(State.FAIL) == 1
    assert [(run.detail, run.title) for run in account.earlier_failures] == [
        ("run 20", "The provider has suspended or closed the account"),
        ("run 35", "The provider has suspended or closed the account"),
    ]
    assert (credentials.is_open, credentials.runs, credentials.earlier_failures) == (False, (), ())


@pytest.mark.parametrize(
    ("opened", "refreshes", "toggle", "refresh_toggle"),
    [
        (set(), True, "/?runs=twilio-eu-account#check-twilio-eu-account", "/?refresh=off"),
        (set(), False, "/?runs=twilio-eu-account&refresh=off#check-twilio-eu-account", "/"),
        ({"twilio-eu-account"}, True, "/#check-twilio-eu-account", "/?runs=twilio-eu-account&refresh=off"),
        ({"other"}, True, "/?runs=twilio-eu-account#check-twilio-eu-account", "/?refresh=off"),
    ],
)
def test_links_keep_what_is_open_and_whether_the_page_refreshes(
    opened: set[str], refreshes: bool, toggle: str, refresh_toggle: str
) -> None:
    app = FakeApp(config=build_config({"account": {}}))
    with closing(app.storage):
        page = page_of(app, opened=frozenset(opened), refreshes=refreshes)
    assert (page.targets[0].checks[0].toggle, page.refresh_toggle) == (toggle, refresh_toggle)


# --- notices ---------------------------------------------------------------------------------------


def test_trouble_of_the_exporter_itself_is_noticed() -> None:
    app = FakeApp()
    with closing(app.storage):
        app.meters.config_loaded(True, NOW - timedelta(hours=1))
        assert page_of(app).notices == ()
        app.meters.config_loaded(False, NOW)
        app.meters.storage_error()
        assert page_of(app, scheduled=False).notices == (
            "No checks are being scheduled: these results will not change. Restart the exporter.",
            "The last reload of the configuration was refused; that of 06:30:00 UTC is in force.",
            "Results could not be written to the database: see the exporter's log.",
        )


def test_one_that_stands_by_says_where_to_look() -> None:
    app = FakeApp()
    with closing(app.storage):
        assert page_of(app, leads=False).notices == (
            "This exporter stands by and runs no checks. Look at the one that leads, which is ready.",
        )


# --- words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.0002, "1 ms"),
        (0.25, "250 ms"),
        (0.9999, "1.0 s"),
        (1, "1 s"),
        (1.52, "1.5 s"),
        (9.96, "9 s"),
        (10.4, "10 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (118, "1 min 58 s"),
        (599, "9 min 59 s"),
        (619, "10 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (12060, "3 h 21 min"),
        (2 * 86400, "2 days"),
        (100 * 86400 - 1, "99 days"),
    ],
)
def test_a_span_has_the_unit_that_suits_it(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("at", "clock", "ago"),
    [
        (NOW - timedelta(minutes=12), "07:18:00 UTC", "12 min"),
        (NOW - timedelta(hours=8), "2026-11-23 23:30 UTC", "8 h"),
        (NOW + timedelta(seconds=3), "07:30:03 UTC", "0 s"),
        (NOW.astimezone() - timedelta(minutes=12), "07:18:00 UTC", "12 min"),
    ],
)
def test_a_moment_is_told_absolute_and_relative(at: datetime, clock: str, ago: str) -> None:
    told = moment(at, NOW)
    assert (told.clock, told.ago) == (clock, ago)
    assert datetime.fromisoformat(told.iso).astimezone(UTC) == at.astimezone(UTC)


def test_amounts_counts_and_lists_are_told_as_people_do() -> None:
    assert amount(1250.5, "USD") == "1,250.50 USD"
    assert (counted(1, "check"), counted(2, "check"), counted(0, "check")) == ("1 check", "2 checks", "0 checks")
    assert (listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])) == ("a", "a and b", "a, b and c")


# --- the HTML --------------------------------------------------------------------------------------


class Document(HTMLParser):
    """Reads a page; complains of elements that are not closed in their order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._part(tag)
        if tag not in VOID_ELEMENTS:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        self._part(tag)

    def handle_data(self, data: str) -> None:
        self.text += data

    def _part(self, tag: str) -> None:
        if tag not in INLINE_ELEMENTS:
            self.text += " "

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def live_app() -> FakeApp:
    """An app with fresh results of every state but stale."""
    app = FakeApp(config=build_config(targets=("sms-a", "sms-b")))
    now = datetime.now(UTC)
    for name, check in app.config.checks.items():
        if name == "sms-b-senders":
            continue
        reason = {"sms-a-balance": LOW, "sms-b-delivery": LOST}.get(name, OK)
        for minutes in range(30, -1, -1):
            measured = usd(10 + minutes) if check.kind_name == "balance" else ()
            app.record(name, reason, "as expected", at=now - timedelta(minutes=minutes), measured=measured)
    return app


def test_the_page_tells_everything_without_colours_and_scripts() -> None:
    with serving(live_app()) as served:
        answer = served.ask("/?runs=sms-a-balance")
    page = Document(answer.text)
    assert answer.text.startswith('<!doctype html>\n<html lang="en">')
    for words in (
        "1 of 12 checks fails, 1 gives no answer, 1 has not run yet",
        ATTENTION,
        "Look first at sms-a-balance: The provider account will soon have no money left",
        "Fail sms-a-balance balance The provider account will soon have no money left",
        "Next step Top up the account, and check that auto-recharge is on and its card is valid. Who acts us",
        "All is well: as expected",
        "Not run yet",
        "every 5m",
        "Hide last runs of sms-a-balance",
        "Last runs Ended Result Found Took",
        "twofa-exporter 1.2.3",
    ):
        assert words in page.words
    assert [a["href"] for a in page.named("a")][-4:] == ["/metrics", "/config", "/-/healthy", "/-/ready"]
    assert page.named("script") == []
    assert [
        name for _, attributes in page.elements for name in attributes if name == "style" or name.startswith("on")
    ] == []


def test_the_page_has_landmarks_names_and_unique_ids() -> None:
    with serving(live_app()) as served:
        page = Document(served.ask("/").text)
    tags = [tag for tag, _ in page.elements]
    assert [tags.count(tag) for tag in ("h1", "main", "footer", "nav", "title")] == [1] * 5
    assert tags.count("h2") == 2
    assert tags.count("h3") == 12
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for reference in ("aria-labelledby",):
            assert attributes.get(reference) in (None, *ids)
        href = attributes.get("href") or ""
        assert not href.startswith("#") or href[1:] in ids
    for svg in page.named("svg"):
        assert svg.get("aria-hidden") == "true" or (svg["role"] == "img" and svg["aria-label"])


@pytest.mark.parametrize(
    ("reasons", "title", "icon"),
    [
        ([OK] * 6, "All 6 checks pass · twofa-exporter", "/static/pass.svg"),
        ([LOW], "1 of 6 checks fails, 5 have not run yet · twofa-exporter", "/static/fail.svg"),
        ([], "No check has run yet · twofa-exporter", "/static/waiting.svg"),
        ([LOST], "1 of 6 checks gives no answer, 5 have not run yet · twofa-exporter", "/static/error.svg"),
    ],
)
def test_the_tab_of_the_browser_tells_the_state(reasons: list[Reason | None], title: str, icon: str) -> None:
    app = FakeApp(config=build_config(targets=("sms-a",)))
    for name, reason in zip(app.config.checks, reasons, strict=False):
        if reason is not None:
            app.record(name, reason, at=datetime.now(UTC))
    with serving(app) as served:
        html = served.ask("/").text
        assert served.ask(icon).status == 200
    assert f"<title>{title}</title>" in html
    assert {"rel": "icon", "type": "image/svg+xml", "href": icon} in Document(html).named("link")


def test_the_page_refreshes_unless_told_to_stand_still() -> None:
    with serving(FakeApp()) as served:
        moving, still = served.ask("/").text, served.ask("/?refresh=off").text
    assert {"http-equiv": "refresh", "content": "15"} in Document(moving).named("meta")
    assert "http-equiv" not in still
    assert "Refreshes every 15 s Pause" in Document(moving).words
    assert "Stands still Refresh by itself" in Document(still).words


def test_the_routes_show_who_can_serve_which_countries() -> None:
    whole = build_config(targets=("sms-a", "sms-b"))
    routes = (
        RouteSettings(countries=("NG", "GH", "KE"), providers=("sms-a", "sms-b")),
        RouteSettings.model_validate({"countries": "*", "providers": ["sms-b"]}),
    )
    app = FakeApp(config=Config(targets=whole.targets, checks=whole.checks, routes=routes))
    assert [(view.countries, view.state, view.count) for view in page_of(app).routes] == [
        ("NG, GH, KE", State.WAITING, "0 of 2"),
        ("every other", State.WAITING, "0 of 1"),
    ]
    app.record("sms-b-account")
    app.record("sms-a-balance", EMPTY)
    app.record("sms-b-senders", Reason.COUNTRY_NOT_PERMITTED, measured=(RefusedCountry(country="GH"),))
    assert [(view.countries, view.state, view.count, view.providers) for view in page_of(app).routes] == [
        (
            "NG, KE",
            State.FAIL,
            "1 of 2",
            ("sms-a: The provider account has no money left", "sms-b: usable"),
        ),
        (
            "GH",
            State.FAIL,
            "0 of 2",
            (
                "sms-a: The provider account has no money left",
                "sms-b: Sending to a configured country is switched off",
            ),
        ),
        ("every other", State.PASS, "1 of 1", ("sms-b: usable",)),
    ]
    app.record("sms-a-balance", OK)
    assert page_of(app).routes[0].state is State.PASS
    with serving(app) as served:
        page = Document(served.ask("/").text)
    assert "Routes Providers that can deliver codes to each country" in page.words
    assert "2 of 2 NG, KE sms-a: usable sms-b: usable" in page.words


HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}"


def test_hostile_text_is_text() -> None:
    whole = build_config({"account": {}})
    settings = whole.checks["twilio-eu-account"].settings.model_copy(update={"target": HOSTILE})
    check = ConfiguredCheck(name=HOSTILE, kind_name="account", settings=settings)
    app = FakeApp(config=Config(targets={HOSTILE: whole.providers["twilio-eu"]}, checks={HOSTILE: check}))
    for reason in (OK, SUSPENDED):
        app.record(HOSTILE, reason, HOSTILE, at=datetime.now(UTC))
    with serving(app) as served:
        html = served.ask("/?runs=%3Cscript%3Ealert(1)%3C%2Fscript%3E%22%27%26%7B%7B%207*7%20%7D%7D").text
    page = Document(html)
    assert page.named("script") == []
    assert page.words.count(HOSTILE) >= 6
    assert {name for _, attributes in page.elements for name in attributes if name.startswith("on")} == set()


def test_a_query_is_never_shown() -> None:
    with serving(FakeApp()) as served:
        html = served.ask("/?runs=%3Cscript%3E&refresh=%3Cscript%3E&x=%3Cscript%3E").text
    assert "<script" not in html


def test_the_page_is_small() -> None:
    with serving(live_app()) as served:
        assert len(served.ask("/").body) < 30_000
        assert len(served.ask("/?" + "&".join(f"runs=none-{number}" for number in range(4000))).body) < 30_000
        assert len(served.ask("/static/status.css").body) < 10_000
