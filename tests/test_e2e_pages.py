"""From a fault to a page: each fault of the sandbox wakes on-call once, with its reason, and the page ends with it.

`make test` plays the faults that the next run of a check finds. Those that show in many messages, and an hour in which
nothing is wrong, need a machine of their own for two minutes: `make pages` plays them all.
"""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import pytest
import requests
import yaml

from exporter.sandbox.faults import FAULTS
from exporter.shipped import dashboards_folder, runbooks_folder
from tests.fault_pages import PAGES, PLACES
from tests.paging import FACTOR, OF_THE_MACHINE, Case, Plan, Told, chained, compressed_rules, play, shown
from tests.repo import require_program

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.xdist_group("e2e of pages")]


@dataclass(frozen=True, slots=True)
class Track:
    """Faults of one sandbox, one set after the other; those of a set are on together."""

    plan: Plan
    sets: Sequence[Sequence[str]]
    quiet_seconds: float = 0.0  # before the first one
    patience_seconds: float = 60.0  # for a page, and for its end


def one_by_one(*faults: str) -> Sequence[Sequence[str]]:
    return [[fault] for fault in faults]


def fast(name: str, *faults: str) -> Track:
    """A sandbox with the traffic of minutes in a second, for faults that show in messages."""
    return Track(Plan(name=f"fast-{name}", checks=LOG, is_fast=True), one_by_one(*faults))


HOUR: Final = 3600 / FACTOR
API: Final = ("credentials", "account", "balance", "senders", "service-status")
LOG: Final = ("credentials", "account", "senders", "delivery")  # of fast sandboxes: nothing that knows the real date
OFFICE: Final = ("enablement", "clock")
EXPORTERS: Final[Mapping[str, Sequence[Track]]] = {  # each with one provider: without it nobody gets a code
    "operators": [
        Track(  # the hour before tells how many codes are typed on an ordinary day
            Plan(name="fast-operators", checks=LOG, is_fast=True, is_typed_told=True),
            [list(PLACES)],
            1.05 * HOUR,
            100.0,
        )
    ],
    "a": [
        Track(Plan(name="api-a", checks=API), one_by_one("unreachable", "credentials_rejected", "provider_degraded")),
        Track(Plan(name="office-a", checks=OFFICE), one_by_one("provider_missing", "provider_disabled")),
        Track(Plan(name="sign-in-a", checks=["totp-login"], faults=["code_rejected"]), [["code_rejected"]]),
    ],
    "b": [
        Track(
            Plan(name="api-b", checks=API),
            one_by_one("rate_limited", "account_suspended", "balance_low"),
        ),
        Track(
            Plan(name="office-b", checks=(*OFFICE, "client-readiness"), faults=["client_2fa_disabled"]),
            one_by_one("client_2fa_disabled", "client_phone_unconfirmed"),
        ),
        Track(Plan(name="sign-in-b", checks=["totp-login"], faults=["wrong_code_accepted"]), [["wrong_code_accepted"]]),
    ],
    "c": [
        Track(Plan(name="api-c", checks=API), one_by_one("timeout", "provider_outage", "sender_invalid")),
        Track(Plan(name="office-c", checks=OFFICE), one_by_one("back_office_unreachable", "back_office_down")),
        Track(Plan(name="clock-c", checks=["clock"]), one_by_one("host_clock_skewed", "ntp_unsynchronised")),
    ],
    "d": [
        Track(
            Plan(name="api-d", checks=API),
            one_by_one("bad_response", "permission_missing", "balance_exhausted"),
        ),
        Track(Plan(name="office-d", checks=OFFICE), one_by_one("back_office_timeout", "back_office_rejects")),
    ],
    "e": [
        Track(
            Plan(name="both-e", checks=(*API, "enablement")),
            [["account_restricted", "template_missing"], ["sender_unregistered"], ["maintenance"]],
        ),
        Track(
            Plan(name="office-e", checks=OFFICE),
            one_by_one("provider_incomplete", "provider_is_test", "server_clock_skewed"),
        ),
    ],
    "failing": [fast("failing", "country_not_permitted", "delivery_failing")],
    "slow": [fast("slow", "delivery_slow")],
    "queue": [fast("queue", "provider_slow")],
    "partial": [fast("partial", "no_traffic", "provider_partial_outage")],
}
CLEAN: Final = "fast-operators"  # before its faults
IS_WHOLE: Final = bool(os.environ.get("ALL_PAGES"))
PLAYED: Final = {
    name: tracks for name, tracks in EXPORTERS.items() if IS_WHOLE or not any(track.plan.is_fast for track in tracks)
}
TOGETHER: Final = ("account_restricted", "template_missing")
LASTS: Final = {
    "client_phone_unconfirmed",  # until its clients are looked at once more, which takes hours
    "operator_blocking_partial",  # three in ten: what speaks against it comes as slowly
    "wrong_code_accepted",  # until a wrong and a used code are refused again: sign-ins are 35 s apart
}
NO_PAGE_SECONDS: Final = 15 * 60 / FACTOR + 1


@dataclass(slots=True)
class Story:
    """What happened."""

    cases: Mapping[str, Case]
    clean: Sequence[Told]  # of the hour without a fault
    links: Mapping[str, int]  # the status of each page of a runbook
    stray: Sequence[Told]  # what belongs to no sandbox


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    require_program("prometheus")
    folder = tmp_path_factory.mktemp("pages")
    tracks = [track for of_exporter in PLAYED.values() for track in of_exporter]
    plans = {name: [track.plan for track in of_exporter] for name, of_exporter in PLAYED.items()}
    cases: list[Case] = []
    clean: list[Told] = []
    with chained(folder, plans) as chain:
        began = time.monotonic()

        def run(track: Track) -> None:
            time.sleep(track.quiet_seconds)
            if track.plan.name == CLEAN:
                clean.extend(chain.inbox.to_people(chain.stages[CLEAN].targets, since=-math.inf))
            for faults in track.sets:
                together = [
                    Case(
                        fault=fault,
                        stage=track.plan.name,
                        page=PAGES[fault],
                        place=PLACES.get(fault),
                        lasts=fault in LASTS,
                    )
                    for fault in faults
                ]
                cases.extend(together)
                linger = NO_PAGE_SECONDS if None in (PAGES[fault] for fault in faults) else 0.5
                play(chain, together, patience_seconds=track.patience_seconds, linger_seconds=linger)
            chain.end(track.plan.name)

        with ThreadPoolExecutor(len(tracks)) as pool:
            list(pool.map(run, tracks))
        told = chain.inbox.told("page", "tickets")
        links = {
            url: requests.get(url, timeout=5).status_code
            for url in sorted({each.annotations["runbook_url"] for each in told})
        }
        owned = frozenset().union(*(stage.targets for stage in chain.stages.values()))
        stray = [
            each
            for each in told
            if each.is_firing and each.at > began and each.target not in owned and each.name not in OF_THE_MACHINE
        ]
    return Story({case.fault: case for case in cases}, clean, links, stray)


def test_each_fault_has_its_page_and_is_played_once() -> None:
    played = [fault for tracks in EXPORTERS.values() for track in tracks for faults in track.sets for fault in faults]
    assert sorted(played) == sorted(PAGES) == sorted(FAULTS)


WANTED: Final = {
    fault: PAGES[fault] for tracks in PLAYED.values() for track in tracks for faults in track.sets for fault in faults
}


@pytest.mark.parametrize("fault", WANTED)
def test_a_fault_is_one_page_with_its_reason(
    story: Story, fault: str, record_property: Callable[[str, object], None]
) -> None:
    case = story.cases[fault]
    name = "none" if case.page is None else f"{case.page.name} {case.page.reason} {case.page.severity}"
    record_property("page", [fault, name, case.seconds_to_page, case.seconds_to_end])
    together = [each for each in story.cases.values() if each.stage == case.stage and fault in set_of(each.fault)]
    assert sorted(case.during, key=str) == sorted((each.wanted for each in together if each.page), key=str)


def set_of(fault: str) -> Sequence[str]:
    """Return the faults that were on together with that one."""
    return next(faults for tracks in EXPORTERS.values() for track in tracks for faults in track.sets if fault in faults)


@pytest.mark.parametrize("fault", [fault for fault, page in WANTED.items() if page is not None and fault not in LASTS])
def test_the_page_ends_with_the_fault(story: Story, fault: str) -> None:
    assert story.cases[fault].seconds_to_end is not None


# The ticket of the budget is of a day, of which Prometheus has seen little more than the fault here: it may come.
BUDGET_TICKET: Final = ("TwoFADeliveryBudgetBurn", "warning")


@pytest.mark.parametrize("fault", WANTED)
def test_the_end_of_a_fault_wakes_nobody(story: Story, fault: str) -> None:
    after = [each for each in story.cases[fault].after if (each["alertname"], each["severity"]) != BUDGET_TICKET]
    assert after == []


def test_two_faults_together_page_for_both(story: Story) -> None:
    for fault in TOGETHER:
        assert sorted(story.cases[fault].during, key=str) == sorted(
            (story.cases[each].wanted for each in TOGETHER), key=str
        )


if IS_WHOLE:

    def test_a_clean_hour_wakes_nobody(story: Story) -> None:
        assert [shown(each) for each in story.clean] == []


def test_nothing_is_told_of_the_exporters(story: Story) -> None:
    assert [dict(each.labels) for each in story.stray] == []


def test_every_page_leads_to_its_runbook_and_a_dashboard(story: Story) -> None:
    dashboards = {path.stem for path in dashboards_folder().glob("*.json")}
    told = [each for case in story.cases.values() for each in case.told]
    for each in told:
        runbook = urlsplit(each.annotations["runbook_url"]).path.rpartition("/")[2]
        assert runbook in {each.labels.get("reason"), each.name}
        assert (runbooks_folder() / f"{runbook}.md").is_file(), runbook
        _, _, uid, slug = urlsplit(each.annotations["dashboard_url"]).path.split("/")
        assert uid == slug
        assert uid in dashboards
    assert set(story.links.values()) == {200}


def test_every_time_of_the_rules_is_compressed_and_nothing_else() -> None:
    rule = {
        "alert": "A",
        "expr": 'increase(a{le="300.0"}[30m] offset 1d) < 6 * 3600 and b_rate5m > 0.75'
        " and time() - c > 900 and d >= 20",
        "for": "2m",
        "keep_firing_for": "15m",
    }
    shipped = {"groups": [{"name": "g", "interval": "5m", "rules": [rule]}]}
    (group,) = yaml.safe_load(compressed_rules(yaml.safe_dump(shipped)))["groups"]
    assert group == {
        "name": "g",
        "interval": "3000ms",
        "rules": [
            {
                "alert": "A",
                "expr": 'increase(a{le="300.0"}[18000ms] offset 864000ms) < 6 * 36 and b_rate5m > 0.75'
                " and time() - c > 9 and d >= 20",
                "for": "1200ms",
                "keep_firing_for": "9000ms",
            }
        ],
    }
