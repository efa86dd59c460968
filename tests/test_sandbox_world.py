"""The sandbox's traffic: the same for the same seed, and like that of a broker with clients."""

import math
import statistics
from itertools import pairwise

import phonenumbers
import pytest
from phonenumbers.carrier import name_for_number

from exporter.sandbox.faults import Place
from exporter.sandbox.geography import COUNTRIES, Country, Operator, find_home, find_operator
from exporter.sandbox.message import Message
from exporter.sandbox.trajectory import count_segments
from exporter.sandbox.world import (
    KEPT_MESSAGES,
    KEPT_SECONDS,
    MESSAGES_A_DAY,
    World,
    client_number,
    kept_seconds,
)

NOW = 1_800_000_000.0  # 2027-01-15 08:00 UTC
HOUR = 3600.0
DAY = 24 * HOUR
SPEEDS = (1.0, 7.0, 60.0, 500.0)
OPERATORS = [(country, operator) for country in COUNTRIES for operator in country.operators]
NAMES = [f"{country.code} {operator.name}" for country, operator in OPERATORS]


def build_world(*, seed: int = 1, start: float = NOW - 6 * HOUR, speed: float = 1.0) -> World:
    return World(
        seed=seed,
        start=start,
        speed=speed,
        service_sid="MG1",
        long_code="+12025550143",
        alpha_sender="SANDBOX",
    )


def draw_day(*, seed: int = 1, speed: float = 1.0) -> list[Message]:
    world = build_world(seed=seed, start=NOW - DAY, speed=speed)
    world.advance(NOW)
    return world.messages


def share_failed(messages: list[Message]) -> float:
    return sum(each.last_status != "delivered" for each in messages) / len(messages)


def test_the_same_seed_and_clock_give_the_same_world() -> None:
    assert draw_day(seed=7) == draw_day(seed=7)


def test_another_seed_gives_another_world() -> None:
    assert {each.sid for each in draw_day(seed=1)}.isdisjoint(each.sid for each in draw_day(seed=2))


@pytest.mark.parametrize("speed", SPEEDS)
def test_many_small_steps_give_the_same_world_as_one_large_one(speed: float) -> None:
    start = NOW - 6 * HOUR / speed
    at_once, stepwise = build_world(start=start, speed=speed), build_world(start=start, speed=speed)
    at_once.advance(NOW)
    for step in range(1, 6 * 3600, 7):
        stepwise.advance(start + step / speed)
    stepwise.advance(NOW)
    assert len(at_once.messages) > 1000
    assert stepwise.messages == at_once.messages


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_world_that_starts_later_holds_the_same_messages(speed: float) -> None:
    later = NOW - 1234.5 / speed
    early, late = build_world(start=NOW - 6 * HOUR / speed, speed=speed), build_world(start=later, speed=speed)
    early.advance(NOW)
    late.advance(NOW)
    assert len(late.messages) > 50
    assert late.messages == [each for each in early.messages if each.created > later]


def test_advancing_returns_each_message_once_the_oldest_first() -> None:
    world = build_world()
    fresh = [each for step in range(0, 3600, 13) for each in world.advance(NOW - 6 * HOUR + step)]
    assert fresh == world.messages
    assert all(a.created <= b.created for a, b in pairwise(fresh))


def test_a_clock_that_goes_back_changes_nothing() -> None:
    world = build_world()
    world.advance(NOW)
    before = list(world.messages)
    assert world.advance(NOW - HOUR) == []
    assert world.messages == before


def test_messages_are_forgotten_after_two_days_however_long_the_sleep() -> None:
    world = build_world()
    world.advance(NOW)
    old = world.messages[0].sid
    world.advance(NOW + 30 * DAY)
    assert world.find(old) is None
    assert min(each.created for each in world.messages) >= NOW + 30 * DAY - KEPT_SECONDS
    assert len(world.messages) == pytest.approx(2 * MESSAGES_A_DAY, rel=0.2)


def test_a_very_busy_world_keeps_less_of_its_past() -> None:
    assert kept_seconds(1.0) == kept_seconds(0.0) == KEPT_SECONDS
    assert kept_seconds(100.0) * MESSAGES_A_DAY * 100 / DAY == pytest.approx(KEPT_MESSAGES)


@pytest.mark.parametrize("speed", [0.5, 1.0, 3.0])
def test_speed_multiplies_the_arrivals(speed: float) -> None:
    assert len(draw_day(speed=speed)) == pytest.approx(MESSAGES_A_DAY * speed, rel=0.15)


def test_speed_does_not_touch_the_latency() -> None:
    slow, fast = (
        statistics.median(each.closed - each.created for each in draw_day(speed=s) if each.closed) for s in (1.0, 4.0)
    )
    assert fast == pytest.approx(slow, rel=0.1)


def test_there_are_fifteen_countries_and_forty_operators_all_with_traffic() -> None:
    assert (len(COUNTRIES), len(OPERATORS)) == (15, 40)
    homes = {(each.country.code, each.operator.name) for each in draw_day() if each.country and each.operator}
    assert homes == {(country.code, operator.name) for country, operator in OPERATORS}


@pytest.mark.parametrize(("country", "operator"), OPERATORS, ids=NAMES)
def test_every_number_is_a_valid_mobile_number_of_its_country(country: Country, operator: Operator) -> None:
    mobile = {
        phonenumbers.PhoneNumberType.MOBILE,
        phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE,
    }
    for client in range(0, 900, 9):
        number = phonenumbers.parse(client_number(country, operator, client))
        assert phonenumbers.is_valid_number(number), number
        assert phonenumbers.region_code_for_number(number) == country.code
        assert phonenumbers.number_type(number) in mobile


@pytest.mark.parametrize(("country", "operator"), OPERATORS, ids=NAMES)
def test_an_operator_has_the_name_that_the_number_plan_gives_it(country: Country, operator: Operator) -> None:
    numbers = [client_number(country, operator, client) for client in range(900)]
    names = {name_for_number(phonenumbers.parse(number), "en") for number in numbers}
    assert names == ({""} if country.code == "US" else {operator.name})  # the plan of the US names no operator


def test_an_operator_is_found_by_its_country_and_name() -> None:
    assert [find_operator(country.code, operator.name) for country, operator in OPERATORS] == OPERATORS
    assert len(set(NAMES)) == len(NAMES)
    with pytest.raises(LookupError, match="no operator EE in DE"):
        find_operator("DE", "EE")


@pytest.mark.parametrize("speed", [1.0, 60.0])
def test_a_burst_goes_to_sequential_numbers_once_however_often_it_is_asked_for(speed: float) -> None:
    start, place = NOW - HOUR / speed, Place("NG", "MTN")
    at_once, stepwise = build_world(start=start, speed=speed), build_world(start=start, speed=speed)
    at_once.advance(NOW)
    whole = at_once.pump(place, since=start, until=NOW)
    pieces = []
    for step in range(1, 41):
        now = start + step * HOUR / 40 / speed
        stepwise.advance(now)
        pieces += stepwise.pump(place, since=start, until=now)
    assert pieces == whole
    assert stepwise.messages == at_once.messages == sorted(at_once.messages, key=lambda each: each.created)
    assert {(int(later.to) - int(sooner.to)) % 10**7 for sooner, later in pairwise(whole)} == {1}
    assert len(whole) == pytest.approx(1200, abs=1)
    assert {each.types_code for each in whole} == {False}
    assert all(at_once.find(each.sid) is each for each in whole)


def test_a_burst_of_a_month_costs_no_more_than_what_is_kept() -> None:
    world = build_world()
    world.advance(NOW)
    pumped = world.pump(Place("NG", "MTN"), since=NOW - 30 * DAY, until=NOW)
    assert pumped[0].created >= NOW - KEPT_SECONDS


def test_no_two_clients_share_a_number() -> None:
    numbers = [client_number(c, o, n) for c, o in OPERATORS for n in range(900)]
    assert len(set(numbers)) == len(numbers)


def test_a_number_is_found_at_home() -> None:
    assert [find_home(client_number(c, o, 5)) for c, o in OPERATORS] == OPERATORS
    assert find_home("+15005550006") is None


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_normal_day_is_healthy_for_every_seed(seed: int) -> None:
    messages = draw_day(seed=seed)
    latencies = [each.closed - each.created for each in messages if each.arrived and each.closed]
    ninetieth = statistics.quantiles(latencies, n=10)[-1]
    lost = sum(each.closed is None for each in messages) / len(messages)
    assert 0.02 < share_failed(messages) < 0.05
    assert 3.0 < statistics.median(latencies) < 8.0
    assert ninetieth < 25.0
    assert 0.0 < lost < 0.02


def test_the_volumes_have_a_heavy_tail() -> None:
    messages = draw_day()
    counts = {country.code: sum(each.country is country for each in messages) for country in COUNTRIES}
    ranked = sorted(counts.values(), reverse=True)
    assert ranked[0] == counts[COUNTRIES[0].code]
    assert ranked[0] / len(messages) > 0.3
    assert ranked[-1] > 50


@pytest.mark.parametrize("speed", SPEEDS)
def test_nights_are_quiet_and_a_fast_world_has_more_of_them(speed: float) -> None:
    world = build_world(start=NOW - DAY / speed, speed=speed)
    world.advance(NOW)
    british = [each for each in world.messages if each.country and each.country.code == "GB"]
    by_hour = [sum(math.floor(e.created * speed / HOUR) % 24 == hour for e in british) for hour in range(24)]
    assert max(by_hour[13:17]) > 5 * max(by_hour[1:5])


def test_a_slow_world_has_the_nights_of_the_real_day() -> None:
    by_hour = [sum(math.floor(e.created / HOUR) % 24 == hour for e in draw_day(speed=0.5)) for hour in range(24)]
    assert max(by_hour) > 2.5 * min(by_hour)


def test_every_code_of_a_normal_day_turns_up_and_only_on_failures() -> None:
    messages = draw_day()
    codes = {each.error_code for each in messages} - {None}
    assert {30003, 30004, 30005, 30006, 30007, 30008} <= codes
    assert all((each.error_code is None) == (each.last_status == "delivered") for each in messages)


def test_a_failed_message_never_left() -> None:
    failed = [each for each in draw_day() if each.last_status == "failed"]
    assert failed
    assert {(each.sent, each.arrived) for each in failed} == {(None, None)}


def test_the_status_follows_from_the_trajectory() -> None:
    message = next(each for each in draw_day() if each.last_status == "delivered" and each.closed)
    assert message.sent
    assert message.closed
    seen = [message.status_at(t) for t in (message.created, message.sent, message.closed, math.inf)]
    assert seen == ["accepted", "sent", "delivered", "delivered"]


def test_a_lost_receipt_leaves_the_message_sent_though_the_code_is_typed() -> None:
    lost = [each for each in draw_day() if each.closed is None]
    assert {each.status_at(math.inf) for each in lost} == {"sent"}
    assert any(each.converted_time() for each in lost)


@pytest.mark.parametrize(
    ("body", "segments"),
    [("a", 1), ("a" * 160, 1), ("a" * 161, 2), ("a" * 307, 3), ("ж" * 70, 1), ("ж" * 71, 2)],
)
def test_segments_are_counted_as_carriers_do(body: str, segments: int) -> None:
    assert count_segments(body) == segments
