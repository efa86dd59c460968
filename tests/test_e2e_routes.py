"""Two providers for each country: one fails, then the other. What people are told of it, with time compressed."""

from collections.abc import Iterator
from typing import Any

import pytest

from checks.reason import Reason
from exporter.sandbox.geography import UNPERMITTED_COUNTRY
from tests.paging import Chain, Plan, chained
from tests.processes import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

MAIN, SPARE = "twilio-main", "twilio-spare"
STRUCK, LISTED, OTHER = UNPERMITTED_COUNTRY, "KE", "other"
ROUTES: list[dict[str, Any]] = [
    {"countries": [STRUCK, LISTED], "providers": [MAIN, SPARE]},
    {"countries": "*", "providers": [MAIN, SPARE]},
]
CHECKS = ("credentials", "balance", "senders")
NONE_LEFT, ONE_LEFT, NO_PROVIDER = "TwoFANoUsableRoute", "TwoFALastUsableRoute", "TwoFANoUsableProvider"
Alert = tuple[str, str, str, str]  # name, target, reason, country


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    plans = [Plan(name="main", checks=CHECKS), Plan(name="spare", checks=CHECKS)]
    with chained(tmp_path_factory.mktemp("routes"), {"both": plans}, routes=ROUTES) as made:
        yield made


def alert_of(labels: Any) -> Alert:
    return labels["alertname"], labels["target"], labels["reason"], labels.get("country", "")


def firing(chain: Chain, *names: str) -> set[Alert]:
    found = chain.query(f'ALERTS{{alertname=~"{"|".join(names)}",alertstate="firing"}}')
    return {alert_of(each["metric"]) for each in found}


def told(chain: Chain, receiver: str) -> set[Alert]:
    """What this receiver was told of, up to now."""
    return {alert_of(each.labels) for each in chain.inbox.told(receiver) if each.is_firing and each.target}


def test_one_left_is_a_ticket_none_is_a_page_and_what_has_a_page_is_not_told_twice(chain: Chain) -> None:
    main, spare = (chain.stages[name].sandbox for name in ("main", "spare"))

    # All can be used, and nothing was thought to be wrong before that was known.
    wait_for(lambda: len(chain.query('twofa_sms_routes{state="usable"} == 2')) == len((STRUCK, LISTED, OTHER)))
    assert chain.query('ALERTS{alertname=~"TwoFA.*Usable.*"}') == []

    # The spare may not send to one country: there, and nowhere else, one is left.
    spare.set_fault("country_not_permitted")
    refused = SPARE, Reason.COUNTRY_NOT_PERMITTED.value, STRUCK
    wait_for(lambda: (ONE_LEFT, *refused) in told(chain, "tickets"))
    assert firing(chain, NONE_LEFT, ONE_LEFT) == {(ONE_LEFT, *refused)}
    assert told(chain, "page") == set()

    # The other cannot be reached: no provider is left for that country, and one for all others.
    main.set_fault("unreachable")
    unreachable = MAIN, Reason.UNREACHABLE.value
    none_left = {(NONE_LEFT, *refused), (NONE_LEFT, *unreachable, STRUCK)}
    wait_for(lambda: told(chain, "page") == none_left)
    wait_for(lambda: firing(chain, ONE_LEFT) == {(ONE_LEFT, *unreachable, each) for each in (LISTED, OTHER)})
    assert firing(chain, NONE_LEFT, NO_PROVIDER) == none_left

    # No provider is left for anybody. That has pages which name it; the countries have none beside them.
    spare.set_fault("balance_exhausted")
    empty = SPARE, Reason.BALANCE_EXHAUSTED.value
    wait_for(lambda: {(NONE_LEFT, *each, OTHER) for each in (unreachable, empty)} <= firing(chain, NONE_LEFT))
    named = {("TwoFABalanceExhausted", *empty, ""), (NO_PROVIDER, *unreachable, "")}
    wait_for(lambda: named <= told(chain, "page"))
    wait_for(
        lambda: not chain.query('ALERTS{alertname=~"TwoFA.+",alertname!="TwoFALastUsableRoute",alertstate="pending"}')
    )
    assert told(chain, "page") == none_left | named
    assert not {each for each in told(chain, "tickets") if each[0] == ONE_LEFT} - {(ONE_LEFT, *refused)}

    # All is well again, and nobody is told of anything new.
    main.clear_fault("unreachable")
    spare.clear_fault("balance_exhausted")
    spare.clear_fault("country_not_permitted")
    wait_for(lambda: not firing(chain, "TwoFA.*Usable.*", "TwoFABalanceExhausted"), seconds=30)
    assert told(chain, "page") == none_left | named
