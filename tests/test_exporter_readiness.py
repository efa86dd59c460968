"""Which providers can deliver a code, and how many of them can for each country."""

from collections.abc import Mapping, Sequence

import pytest

from checks.kinds import KINDS
from checks.messages.detector import NAMED, Scope, Verdict
from checks.providers.twilio.settings import TwilioSettings
from checks.reason import Reason
from checks.result import CheckRun, RefusedCountry
from checks.secret import Secret
from checks.settings import CheckSettings
from exporter.config import Config, ConfiguredCheck
from exporter.meters import Meters
from exporter.readiness import OTHER, Readiness, Usability, count_usable, judge_providers, judge_routes
from exporter.routes import RouteSettings
from exporter.snapshot import Evidence, Snapshot
from exporter.storage import Storage
from tests.fakes import NOW, run

R = Reason
USABLE, UNKNOWN = Readiness(Usability.USABLE), Readiness(Usability.UNKNOWN)
KINDS_OF_A = ("credentials", "balance", "senders", "service_status", "delivery")
AFRICA = RouteSettings(countries=("NG", "GH"), providers=("a", "b"))
REST = RouteSettings.model_validate({"countries": "*", "providers": ["b", "a"]})


def unusable(*faults: Reason) -> Readiness:
    return Readiness(Usability.UNUSABLE, faults)


def config_of(*checks: tuple[str, str], routes: Sequence[RouteSettings] = (AFRICA, REST)) -> Config:
    """A configuration of two providers, of which these kinds of check look at these."""
    settings = TwilioSettings(type="twilio", account_sid="AC" + "0" * 32, auth_token=Secret("x"))
    return Config(
        targets={"a": settings, "b": settings},
        checks={
            f"{target}-{kind}": ConfiguredCheck(
                name=f"{target}-{kind}",
                kind_name=kind,
                settings=_settings(kind, target),
            )
            for target, kind in checks
        },
        routes=tuple(routes),
    )


def _settings(kind: str, target: str) -> CheckSettings:
    needed = {"countries": ["NG"]} if kind == "senders" else {}
    return KINDS[kind].settings.model_validate({"target": target, **needed})


CONFIG = config_of(*((target, kind) for target in ("a", "b") for kind in KINDS_OF_A), ("office", "enablement"))


def given(target: str, kind: str, reason: Reason, *refused: str) -> CheckRun:
    return run(
        reason,
        *(RefusedCountry(country=country) for country in refused),
        check=f"{target}-{kind}",
        kind=kind,
        target=target,
    )


def verdict(reason: Reason, scope: Scope, country: str = "", operator: str = "") -> Verdict:
    return Verdict(
        reason=reason,
        scope=scope,
        country=country,
        operator=operator,
        score=20.0,
        threshold=15.0,
        since=NOW.timestamp(),
        evidence="20 of 20",
        pages=NAMED[reason].pages,
    )


def known(*runs: CheckRun, verdicts: Mapping[str, Sequence[Verdict]] | None = None) -> Snapshot:
    """What storage would know after these runs, and with these verdicts of the detector."""
    storage = Storage.in_memory(Meters())
    for each in runs:
        storage.record(each)
    checks = storage.snapshot().checks
    storage.close()
    return Snapshot(checks=checks, evidence={name: Evidence(verdicts=each) for name, each in (verdicts or {}).items()})


ANSWERED = (given("a", "credentials", R.OK), given("b", "credentials", R.OK))


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ((), UNKNOWN),
        ((given("a", "service_status", R.OK),), UNKNOWN),  # somebody who speaks of it
        ((given("a", "credentials", R.OK),), USABLE),
        ((given("a", "credentials", R.OK), given("a", "balance", R.TIMEOUT)), USABLE),
        ((given("a", "credentials", R.OK), given("a", "senders", R.COUNTRY_NOT_PERMITTED, "NG")), USABLE),
        ((given("a", "credentials", R.TIMEOUT),), unusable(R.TIMEOUT)),
        ((given("a", "credentials", R.TIMEOUT), given("a", "balance", R.INTERNAL)), unusable(R.TIMEOUT, R.INTERNAL)),
        ((given("a", "credentials", R.OK), given("a", "balance", R.BALANCE_EXHAUSTED)), unusable(R.BALANCE_EXHAUSTED)),
        ((given("a", "service_status", R.PROVIDER_OUTAGE),), unusable(R.PROVIDER_OUTAGE)),
        ((*ANSWERED, given("office", "enablement", R.PROVIDER_DISABLED)), unusable(R.PROVIDER_DISABLED)),
        ((given("a", "credentials", R.OK), given("office", "enablement", R.TIMEOUT)), USABLE),
        ((given("a", "credentials", R.OK), given("a", "delivery", R.DELIVERY_FAILING)), unusable(R.DELIVERY_FAILING)),
    ],
)  # fmt: skip
def test_a_provider_at_large(runs: Sequence[CheckRun], expected: Readiness) -> None:
    assert judge_providers(CONFIG, known(*runs))["a"] == expected


@pytest.mark.parametrize(
    ("runs", "usable"),
    [
        ((), None),
        ((given("a", "credentials", R.TIMEOUT),), None),  # nothing is known yet of the other
        ((given("a", "credentials", R.TIMEOUT), given("b", "service_status", R.OK)), None),
        ((given("a", "credentials", R.OK),), 1),
        ((given("a", "credentials", R.TIMEOUT), given("b", "credentials", R.TIMEOUT)), 0),
        (ANSWERED, 2),
    ],
)
def test_no_provider_is_usable_when_all_have_been_asked(runs: Sequence[CheckRun], usable: int | None) -> None:
    assert count_usable(CONFIG, known(*runs)) == usable


def test_who_is_never_asked_is_not_waited_for() -> None:
    config = config_of(("a", "credentials"), ("b", "service_status"))
    assert count_usable(config, known(given("a", "credentials", R.TIMEOUT))) == 0
    assert count_usable(config, known(given("b", "service_status", R.OK))) is None
    assert count_usable(config_of(("b", "service_status")), known(given("b", "service_status", R.OK))) is None


NG, GH = ("NG", "GH")


def faults(snapshot: Snapshot, config: Config = CONFIG) -> dict[tuple[str, str], tuple[Reason, ...]]:
    """What keeps which provider from which country."""
    return {
        (judged.country, name): each.faults
        for judged in judge_routes(config, snapshot)
        for name, each in judged.providers.items()
        if each.state is not Usability.USABLE
    }


def test_all_is_well() -> None:
    judged = judge_routes(CONFIG, known(*ANSWERED))
    assert [(each.country, list(each.providers), each.count(Usability.USABLE)) for each in judged] == [
        ("NG", ["a", "b"], 2),
        ("GH", ["a", "b"], 2),
        (OTHER, ["b", "a"], 2),
    ]


def test_what_is_unknown_is_neither_usable_nor_unusable() -> None:
    counts = [
        tuple(each.count(state) for state in Usability)
        for each in judge_routes(CONFIG, known(given("a", "credentials", R.OK)))
    ]
    assert counts == [(1, 0, 1)] * 3
    only_bad_news = known(given("a", "credentials", R.OK), given("b", "senders", R.OK, "NG"))
    assert faults(only_bad_news) == {("NG", "b"): (R.COUNTRY_NOT_PERMITTED,)}


def test_who_is_never_asked_keeps_no_page_of_a_country_back() -> None:
    config = config_of(("a", "credentials"), ("b", "service_status"))

    def counted(*runs: CheckRun) -> set[tuple[int, ...]]:
        return {tuple(each.count(state) for state in Usability) for each in judge_routes(config, known(*runs))}

    assert counted() == {(0, 0, 1)}
    assert counted(given("a", "credentials", R.TIMEOUT)) == {(0, 1, 0)}
    assert counted(given("a", "credentials", R.OK)) == {(1, 0, 0)}
    nobody = config_of(("b", "service_status"))
    assert judge_routes(nobody, known())[0].count(Usability.UNKNOWN) == 2


def test_a_provider_that_is_unusable_at_large_is_so_for_every_country() -> None:
    snapshot = known(*ANSWERED, given("a", "balance", R.BALANCE_EXHAUSTED))
    assert faults(snapshot) == {(country, "a"): (R.BALANCE_EXHAUSTED,) for country in (NG, GH, OTHER)}


def test_a_country_that_the_account_may_not_send_to() -> None:
    assert faults(known(*ANSWERED, given("a", "senders", R.COUNTRY_NOT_PERMITTED, "NG"))) == {
        ("NG", "a"): (R.COUNTRY_NOT_PERMITTED,)
    }
    # a worse reason comes first, and does not hide it
    assert faults(known(*ANSWERED, given("a", "senders", R.SENDER_UNREGISTERED, "GH"))) == {
        ("GH", "a"): (R.COUNTRY_NOT_PERMITTED,)
    }


@pytest.mark.parametrize("reason", [reason for reason, naming in NAMED.items() if naming.pages and naming.has_place])
def test_what_the_detector_pages_for_in_a_country_or_everywhere(reason: Reason) -> None:
    expected: tuple[Reason, ...] = () if reason is R.SMS_PUMPING else (reason,)

    def found(scope: Scope, country: str = "", operator: str = "") -> dict[tuple[str, str], tuple[Reason, ...]]:
        return faults(known(*ANSWERED, verdicts={"a": [verdict(reason, scope, country, operator)]}))

    assert found(Scope.COUNTRY, "NG") == ({("NG", "a"): expected} if expected else {})
    assert found(Scope.PROVIDER) == ({(each, "a"): expected for each in (NG, GH, OTHER)} if expected else {})
    assert found(Scope.OPERATOR, "NG", "MTN") == {}


def test_a_ticket_of_the_detector_keeps_no_code_from_a_country() -> None:
    receipts = [verdict(R.RECEIPTS_MISSING, Scope.COUNTRY, "NG"), verdict(R.RECIPIENT_INVALID, Scope.PROVIDER)]
    assert faults(known(*ANSWERED, verdicts={"a": receipts})) == {}


@pytest.mark.parametrize(
    ("scope", "country", "operator"), [(Scope.COUNTRY, "NG", ""), (Scope.OPERATOR, "NG", "MTN")], ids=["NG", "MTN"]
)
def test_what_the_delivery_check_repeats_of_a_place_is_not_everywhere(
    scope: Scope, country: str, operator: str
) -> None:
    repeated = given("a", "delivery", R.DELIVERY_FAILING)
    of_place = [verdict(R.DELIVERY_FAILING, scope, country, operator)]
    snapshot = known(*ANSWERED, repeated, verdicts={"a": of_place})
    assert judge_providers(CONFIG, snapshot)["a"] == USABLE
    assert {where for where, _ in faults(snapshot)} == ({"NG"} if not operator else set())
    everywhere = known(*ANSWERED, repeated, verdicts={"a": [*of_place, verdict(R.DELIVERY_FAILING, Scope.PROVIDER)]})
    assert judge_providers(CONFIG, everywhere)["a"] == unusable(R.DELIVERY_FAILING)


def test_a_country_of_the_rest_stands_alone_while_something_is_wrong_there() -> None:
    french = [verdict(R.DELIVERY_FAILING, Scope.COUNTRY, "FR"), verdict(R.DELIVERY_FAILING, Scope.COUNTRY, "unknown")]
    snapshot = known(*ANSWERED, given("b", "senders", R.COUNTRY_NOT_PERMITTED, "NG", "DE"), verdicts={"b": french})
    judged = [(each.country, each.count(Usability.UNUSABLE)) for each in judge_routes(CONFIG, snapshot)]
    assert judged == [("NG", 1), ("GH", 0), (OTHER, 0), ("DE", 1), ("FR", 1)]
    without_rest = config_of(("a", "credentials"), ("b", "senders"), routes=[AFRICA])
    assert [each.country for each in judge_routes(without_rest, snapshot)] == ["NG", "GH"]


def test_without_routes_there_is_nothing_to_judge() -> None:
    assert judge_routes(config_of(("a", "credentials"), routes=()), known(*ANSWERED)) == []
