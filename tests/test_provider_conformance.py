"""What every first-class provider must do, against the sandbox: the same traffic behind each vendor's wire.

A vendor joins with a row in ``VENDORS``; what its wire cannot tell is said there and in its emulator.
"""

import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from checks.callbacks import Callback, CallbackClient, CallbackOutcome, CallbackRefusedError
from checks.clients import (
    BalanceClient,
    CanaryClient,
    CredentialsClient,
    MessageLogClient,
    ServiceStatusClient,
)
from checks.delivery import DeliverySettings
from checks.errors import ProviderError
from checks.messages import Receipt, Status
from checks.messages.reading import read_log
from checks.providers import PROVIDERS
from checks.providers.http import deadline
from checks.providers.twilio.codes import ERROR_CODES
from checks.reason import Reason
from checks.secret import Secret
from checks.target import TargetSpec, Wire
from checks.targets import build_client
from exporter import presets
from exporter.meters import Meters
from exporter.sandbox import FAULTS, Sandbox
from exporter.sandbox.message import Message
from exporter.sandbox.outbox import Post
from exporter.sandbox.vendors import EMULATORS, LINKS
from exporter.storage import Storage
from tests.our_clock import set_our_clock

NUMBER: Final = "+4915112345678"
CALLBACK_URL: Final = "https://codes.example.com/callbacks/provider"
START: Final = 1_800_000_000.0
HISTORY_SECONDS: Final = 2 * 3600.0
_S, _R = Status, Reason

# What the world's words and codes mean; a vendor's row says where its wire tells less.
STATUS_OF: Final[Mapping[str, Status]] = {
    "accepted": _S.ACCEPTED,
    "queued": _S.ACCEPTED,
    "sent": _S.SENT,
    "delivered": _S.DELIVERED,
    "undelivered": _S.UNDELIVERED,
    "failed": _S.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """What a vendor's wire tells of the world less than, or other than, what there is."""

    statuses: Mapping[Status, Status] = field(default_factory=dict)
    fates: Mapping[int, tuple[Status, Reason]] = field(default_factory=dict)  # by the world's code
    leaves_out_unsent: bool = False  # a span of the past is filtered by when messages were sent
    wrong: Mapping[str, Any] = field(default_factory=dict)  # wrong credentials that have to look like right ones
    told_otherwise: Mapping[str, Reason] = field(default_factory=dict)  # by the fault, where a send is refused
    own_url: str | None = None  # where each account has a host of its own, and no other is known: one of them
    not_at_a_send: frozenset[str] = frozenset()  # faults that other calls show
    logs_delivery_times: bool = True
    tells_cost: bool = True  # of a message
    outcomes: int = 8  # statuses and reasons that a log tells apart, at least
    follows_by_callbacks: bool = False  # no call tells of a message


EVERY_CODE: Final = (21408, 21610, 30001, 30003, 30004, 30005, 30006, 30007, 30008, 30017, 30036, 30500)

VENDORS: Final[Mapping[str, Vendor]] = {
    "twilio": Vendor(
        leaves_out_unsent=True,
        told_otherwise={"balance_exhausted": _R.ACCOUNT_SUSPENDED},  # 20005: without money it is not active
    ),
    "vonage": Vendor(
        statuses={_S.ACCEPTED: _S.SENT},  # its records begin with the operator's words
        fates={
            21408: (_S.FAILED, _R.COUNTRY_NOT_PERMITTED),
            30001: (_S.FAILED, _R.RATE_LIMITED),
            30006: (_S.UNDELIVERED, _R.RECIPIENT_INVALID),  # it knows no landline
            30036: (_S.UNDELIVERED, _R.DELIVERY_SLOW),  # expired, wherever that was
            30500: (_S.FAILED, _R.DELIVERY_FAILING),  # it has no code for a fault of its own
        },
    ),
    "infobip": Vendor(
        fates={30036: (_S.UNDELIVERED, _R.DELIVERY_SLOW)},  # expired, wherever that was
        own_url="https://xyz1.api.infobip.com",
    ),
    "plivo": Vendor(
        fates={
            30001: (_S.FAILED, _R.DELIVERY_FAILING),  # it has no code for a full queue
            30004: (_S.UNDELIVERED, _R.DELIVERY_FAILING),  # nor for a phone that blocks
            30006: (_S.UNDELIVERED, _R.RECIPIENT_INVALID),  # it knows no landline
            30500: (_S.FAILED, _R.DELIVERY_FAILING),  # it has no code for a fault of its own
        },
        logs_delivery_times=False,
        not_at_a_send=frozenset({"account_restricted"}),  # the account tells of it; of a send nothing is documented
    ),
    "aws": Vendor(
        fates={
            21408: (_S.FAILED, _R.SMS_PUMPING),  # blocked by the protect configuration, for whatever cause
            21610: (_S.UNDELIVERED, _R.RECIPIENT_BLOCKED),  # an opt-out is refused at once, and no event
            30001: (_S.UNDELIVERED, _R.DELIVERY_FAILING),  # it has no event for a full queue
            30006: (_S.UNDELIVERED, _R.RECIPIENT_INVALID),  # it knows no landline
            30008: (_S.UNDELIVERED, _R.DELIVERY_FAILING),
            30036: (_S.UNDELIVERED, _R.DELIVERY_SLOW),  # expired, wherever that was
            30500: (_S.UNDELIVERED, _R.DELIVERY_FAILING),  # nor one for a fault of its own
        },
        follows_by_callbacks=True,
    ),
    "telnyx": Vendor(
        fates={30004: (_S.UNDELIVERED, _R.OPERATOR_BLOCKING)},  # it has no code for a subscriber who is barred
    ),
    "sinch": Vendor(
        statuses={_S.ACCEPTED: _S.SENT},  # only finished messages have a report
        fates={
            21610: (_S.UNDELIVERED, _R.RECIPIENT_BLOCKED),  # it has no code for an opt-out
            30001: (_S.UNDELIVERED, _R.RATE_LIMITED),
            30007: (_S.FAILED, _R.OPERATOR_BLOCKING),  # rejected, by whichever message centre
        },
        told_otherwise={"balance_exhausted": _R.ACCOUNT_SUSPENDED},  # the account is blocked
        tells_cost=False,
    ),
    "bird": Vendor(
        fates={
            21408: (_S.FAILED, _R.DELIVERY_FAILING),  # a country that is off is refused at once: it has no code for it
            30001: (_S.FAILED, _R.PROVIDER_OUTAGE),  # nor for a full queue
            30036: (_S.UNDELIVERED, _R.DELIVERY_SLOW),  # expired, wherever that was
        },
        wrong={"api_key": Secret("bk_eu1_" + "f" * 32)},
    ),
    "messagebird": Vendor(
        statuses={_S.ACCEPTED: _S.SENT},  # "scheduled" is for messages that are to be sent later
        fates={  # a message that failed and one that never left are the same to it
            21408: (_S.UNDELIVERED, _R.DELIVERY_FAILING),  # nothing tells of countries
            21610: (_S.UNDELIVERED, _R.RECIPIENT_BLOCKED),
            30001: (_S.UNDELIVERED, _R.DELIVERY_FAILING),
            30007: (_S.UNDELIVERED, _R.DELIVERY_FAILING),  # nor of the filter of an operator
            30036: (_S.UNDELIVERED, _R.DELIVERY_SLOW),  # expired, wherever that was
            30500: (_S.UNDELIVERED, _R.DELIVERY_FAILING),
        },
    ),
    # presets of the provider that the configuration describes
    "clicksend": Vendor(
        fates=dict.fromkeys(EVERY_CODE, (_S.UNDELIVERED, _R.DELIVERY_FAILING)),  # all have code 301
        wrong={"credentials": {"username": Secret("nobody"), "api_key": Secret("F" * 32)}},
        own_url="https://rest.clicksend.com/v3",
        logs_delivery_times=False,
        tells_cost=False,
        outcomes=4,
    ),
    "smsc": Vendor(
        fates={
            21408: (_S.FAILED, _R.COUNTRY_NOT_PERMITTED),
            21610: (_S.UNDELIVERED, _R.RECIPIENT_BLOCKED),  # it has no code for an opt-out
            30001: (_S.UNDELIVERED, _R.DELIVERY_FAILING),  # nor for a full queue
            30005: (_S.FAILED, _R.RECIPIENT_INVALID),
            30036: (_S.UNDELIVERED, _R.DELIVERY_SLOW),  # expired, wherever that was
            30500: (_S.UNDELIVERED, _R.DELIVERY_FAILING),
        },
        wrong={"credentials": {"login": Secret("nobody"), "password": Secret("f" * 32)}},
        own_url="https://smsc.ru/sys",
    ),
    "46elks": Vendor(
        fates=dict.fromkeys(EVERY_CODE, (_S.UNDELIVERED, _R.DELIVERY_FAILING)),  # it tells no cause
        wrong={"credentials": {"username": Secret("nobody"), "password": Secret("F" * 32)}},
        own_url="https://api.46elks.com/a1",
        not_at_a_send=frozenset({"balance_exhausted"}),  # of a send nothing is documented
        tells_cost=False,
        outcomes=4,
    ),
}

DESCRIBED: Final = PROVIDERS["http_json"]


def spec_of(vendor: str) -> TargetSpec:
    return PROVIDERS.get(vendor, DESCRIBED)


def settings_of(vendor: str, given: Mapping[str, Any]) -> Any:
    return spec_of(vendor).settings.model_validate(given, context=presets.CONTEXT)


def can(vendor: str, protocol: type) -> bool:
    """Whether a vendor's client can do what a protocol asks; that of a preset by what it describes."""
    if vendor in PROVIDERS:
        return PROVIDERS[vendor].implements(protocol)
    secrets = dict.fromkeys(presets.preset(vendor).about.credentials, Secret("x" * 16))
    return DESCRIBED.implements(
        protocol, settings_of(vendor, {"type": "http_json", "preset": vendor, "credentials": secrets})
    )


class Clock:
    """Stands still until it is told otherwise."""

    now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    """A sandbox whose clock is the real one, for what changes nothing."""
    with Sandbox(history_hours=HISTORY_SECONDS / 3600) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def day() -> Iterator[Sandbox]:
    """A sandbox with more than one page of messages, at whatever time of the day this runs."""
    with Sandbox(history_hours=24) as sandbox:
        yield sandbox


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The sandbox's clock, and ours an hour ahead of it: a Date that is days from ours would not be believed."""
    set_our_clock(monkeypatch, lambda: START + 3600)
    return Clock()


def client_of(sandbox: Sandbox, vendor: str, **changes: Any) -> Any:
    settings = {**sandbox.provider_settings(vendor), "timeout": "10s", "max_requests_per_second": 1000, **changes}
    return build_client(settings_of(vendor, settings))


def secrets_of(sandbox: Sandbox, vendor: str) -> list[str]:
    settings = sandbox.provider_settings(vendor, callback_url=CALLBACK_URL)
    values = [*settings.values(), *settings["callbacks"].values(), *settings.get("credentials", {}).values()]
    return [value.reveal() for value in values if isinstance(value, Secret)]


def pages_of(client: MessageLogClient, *, since: float, until: float | None = None) -> list[list[Receipt]]:
    """Read the log page by page until it has reached far enough back."""
    pages, resume = [], None
    for _ in range(400):  # some pages are of 20 messages
        page = client.read_page(since=since, until=until, resume=resume)
        pages.append(list(page.receipts))
        resume = page.resume
        if resume is None or (page.reached is not None and page.reached < since):
            return pages
    raise AssertionError("the log has no end")


def expected_of(vendor: str, message: Message, now: float) -> tuple[Status, Reason | None]:
    row = VENDORS[vendor]
    status = STATUS_OF[message.status_at(now)]
    if status not in (_S.UNDELIVERED, _S.FAILED):
        return row.statuses.get(status, status), None
    assert message.error_code is not None
    return row.fates.get(message.error_code, (status, ERROR_CODES[message.error_code].reason))


def reason_of(vendor: str, code: int) -> Reason:
    fates = VENDORS[vendor].fates
    return fates[code][1] if code in fates else ERROR_CODES[code].reason


def number_of(receipts: list[Receipt]) -> dict[tuple[str, int], Receipt]:
    """By recipient and second of creation, which is what all vendors tell."""
    return {(each.recipient, int(each.created_at or 0)): each for each in receipts}


every_vendor = pytest.mark.parametrize("vendor", VENDORS)


def able(protocol: type) -> list[str]:
    return [vendor for vendor in VENDORS if can(vendor, protocol)]


def test_every_provider_and_every_emulator_has_its_row() -> None:
    over_http = {vendor for vendor, spec in PROVIDERS.items() if spec.speaks_http}
    described = {vendor for vendor, spec in PROVIDERS.items() if spec.wire is Wire.CONFIGURED}
    assert set(VENDORS) == set(EMULATORS)
    assert set(VENDORS) & set(PROVIDERS) == over_http - described
    assert set(VENDORS) - set(PROVIDERS) <= set(presets.names())
    assert set(LINKS) == set(PROVIDERS) - over_http


@pytest.mark.parametrize("vendor", able(CredentialsClient))
def test_good_credentials_are_accepted_and_wrong_ones_are_not(world: Sandbox, vendor: str) -> None:
    with closing(client_of(world, vendor)) as client:
        client.verify_credentials()
    settings = world.provider_settings(vendor)
    wrong = {name: Secret("f" * len(value.reveal())) for name, value in settings.items() if isinstance(value, Secret)}
    wrong |= VENDORS[vendor].wrong
    with closing(client_of(world, vendor, **wrong)) as client, pytest.raises(ProviderError) as caught:
        client.verify_credentials()
    assert caught.value.reason is Reason.CREDENTIALS_REJECTED


@pytest.mark.parametrize("vendor", able(BalanceClient))
def test_the_balance_is_that_of_the_wallet(clock: Clock, vendor: str) -> None:
    with Sandbox(clock=clock, history_hours=1) as sandbox, closing(client_of(sandbox, vendor)) as client:
        money = client.fetch_balance()
        assert money is not None
        assert (f"{money.amount:.2f}", money.currency) == (sandbox.account.balance, "USD")
        sandbox.set_fault("balance_low")
        assert client.fetch_balance().amount == 1.5


@pytest.mark.parametrize("vendor", able(MessageLogClient))
def test_the_log_has_every_message_once_and_the_newest_first(clock: Clock, vendor: str) -> None:
    with Sandbox(clock=clock, history_hours=3) as sandbox, closing(client_of(sandbox, vendor)) as client:
        since = START - HISTORY_SECONDS
        pages = pages_of(client, since=since)
        told = [receipt for page in pages for receipt in page]
        world = [each for each in sandbox.account.messages() if int(each.created) >= since]
        assert len(told) == len({each.message_id for each in told}) == len(world) > 1000
        assert sorted((each.recipient, each.created_at) for each in told) == sorted(
            (each.to, float(int(each.created))) for each in world
        )
        for page in pages:
            moments = [each.created_at or 0.0 for each in page]
            assert moments == sorted(moments, reverse=True)


@pytest.mark.parametrize("vendor", able(MessageLogClient))
def test_a_span_of_the_past_is_read_alone(clock: Clock, vendor: str) -> None:
    with Sandbox(clock=clock, history_hours=3) as sandbox, closing(client_of(sandbox, vendor)) as client:
        since, until = START - 7200, START - 3600
        told = [receipt for page in pages_of(client, since=since, until=until) for receipt in page]
        world = [
            each
            for each in sandbox.account.messages()
            if since <= int(each.created) < until and (each.sent is not None or not VENDORS[vendor].leaves_out_unsent)
        ]
    assert sorted(each.recipient for each in told) == sorted(each.to for each in world)


@pytest.mark.parametrize("vendor", able(MessageLogClient))
def test_statuses_codes_and_reasons_are_right(clock: Clock, vendor: str) -> None:
    with Sandbox(clock=clock, history_hours=3) as sandbox, closing(client_of(sandbox, vendor)) as client:
        sandbox.set_fault("delivery_failing")
        sandbox.set_fault("provider_partial_outage")
        clock.now += 1800
        sandbox.clear_fault("delivery_failing")
        sandbox.set_fault("country_not_permitted")
        clock.now += 1800
        told = number_of([each for page in pages_of(client, since=START - 7200) for each in page])
        seen: set[tuple[Status, Reason | None]] = set()
        for message in sandbox.account.messages():
            receipt = told.get((message.to, int(message.created)))
            if receipt is None:
                continue
            expected = expected_of(vendor, message, clock.now)
            assert (receipt.status, receipt.reason) == expected, message.error_code
            seen.add(expected)
            assert receipt.code_is_mapped
            if receipt.reason is None:
                assert receipt.code is None
            elif receipt.reason is not Reason.DELIVERY_SLOW:  # some statuses say it all
                assert receipt.code is not None
            if not VENDORS[vendor].logs_delivery_times:
                assert receipt.delivery_seconds is None
            elif receipt.status is Status.DELIVERED:
                took = (message.closed or 0) - message.created
                assert receipt.delivery_seconds == pytest.approx(took, abs=1.0)
            assert message.country is not None
            assert receipt.country == message.country.code
        of_the_faults = {reason_of(vendor, code) for code in (30007, 30003, 21408)}
        assert {*of_the_faults, None} <= {reason for _, reason in seen}
        assert len(seen) >= VENDORS[vendor].outcomes


def totals(storage: Storage) -> Mapping[Any, int]:
    return dict(storage.snapshot().tallies["target"].messages)


@pytest.mark.parametrize("vendor", able(MessageLogClient))
def test_a_log_read_again_counts_nothing_twice_and_a_change_once(clock: Clock, vendor: str) -> None:
    settings = DeliverySettings(target="target", interval="15m")
    storage = Storage.in_memory(Meters())
    with Sandbox(clock=clock, history_hours=2) as sandbox, closing(client_of(sandbox, vendor)) as client:
        read_log(client, storage.book("target"), settings, clock.now)
        first = totals(storage)
        read_log(client, storage.book("target"), settings, clock.now)
        assert totals(storage) == first
        clock.now += 300
        read_log(client, storage.book("target"), settings, clock.now)
        later = totals(storage)
        # every message that is accepted is counted as that once, and those of the first reading have moved on
        assert sum(later.values()) > sum(first.values())
        assert all(later[key] >= first[key] for key in first)
        known = [each for each in sandbox.account.messages() if int(each.created) >= START - 1200]
        accepted = sum(total for (_, status), total in later.items() if status is Status.ACCEPTED)
        assert accepted == len(known)


@pytest.mark.parametrize("ahead", [-3000.0, -30.0, 30.0, 3000.0])
@pytest.mark.parametrize("vendor", able(MessageLogClient))
def test_a_vendor_whose_clock_differs_is_read_all_the_same(vendor: str, ahead: float) -> None:
    """The reader's clock is right; that of the vendor and all its times are not."""
    clock = Clock()
    clock.now = time.time() + ahead
    settings = DeliverySettings(target="target", interval="15m")
    storage = Storage.in_memory(Meters())
    with Sandbox(clock=clock, history_hours=2) as sandbox, closing(client_of(sandbox, vendor)) as client:
        for _ in range(3):
            read_log(client, storage.book("target"), settings, time.time())
            clock.now += 60
        accepted = sum(total for (_, status), total in totals(storage).items() if status is Status.ACCEPTED)
        known = [each for each in sandbox.account.messages() if each.created >= clock.now - 900]
        assert accepted >= len(known) * 0.9
        assert client.read_page(since=0.0).at == pytest.approx(clock.now, abs=1.0)


STOPS: Final[Mapping[str, Reason]] = {
    "unreachable": Reason.UNREACHABLE,
    "timeout": Reason.TIMEOUT,
    "bad_response": Reason.BAD_RESPONSE,
    "provider_outage": Reason.PROVIDER_OUTAGE,
    "rate_limited": Reason.RATE_LIMITED,
    "credentials_rejected": Reason.CREDENTIALS_REJECTED,
}
OF_SENDING: Final[Mapping[str, Reason]] = {
    "account_suspended": Reason.ACCOUNT_SUSPENDED,
    "account_restricted": Reason.ACCOUNT_RESTRICTED,
    "balance_exhausted": Reason.BALANCE_EXHAUSTED,
    "sender_invalid": Reason.SENDER_INVALID,
}


def send(client: CanaryClient, sandbox: Sandbox) -> str:
    return client.send_canary(to=NUMBER, sender=sandbox.credentials.long_code, text="a test 1a2b", validity_seconds=60)


@pytest.mark.parametrize("fault", STOPS)
@every_vendor
def test_a_fault_that_stops_the_api_has_its_reason_at_every_call(world: Sandbox, vendor: str, fault: str) -> None:
    with closing(client_of(world, vendor)) as client:
        calls: Mapping[Any, Any] = {
            CredentialsClient: client.verify_credentials,
            BalanceClient: getattr(client, "fetch_balance", None),
            MessageLogClient: lambda: client.read_page(since=time.time() - 60),
            CanaryClient: lambda: send(client, world),
        }
        world.set_fault(fault)
        try:
            for protocol, call in calls.items():
                if can(vendor, protocol):
                    with pytest.raises(ProviderError) as caught, deadline(0.5):
                        call()
                    assert caught.value.reason is STOPS[fault], protocol
        finally:
            world.clear_fault(fault)


SHOWN_BY_SENDING: Final = [
    (vendor, fault)
    for vendor in able(CanaryClient)
    for fault in OF_SENDING
    if fault not in EMULATORS[vendor].cannot_show.keys() | VENDORS[vendor].not_at_a_send
]


@every_vendor
def test_what_a_wire_cannot_show_is_a_fault(vendor: str) -> None:
    assert EMULATORS[vendor].cannot_show.keys() <= FAULTS.keys()
    assert not EMULATORS[vendor].cannot_show.keys() & STOPS.keys()


@pytest.mark.parametrize(("vendor", "fault"), SHOWN_BY_SENDING)
def test_a_fault_of_the_account_has_its_reason_at_a_send(world: Sandbox, vendor: str, fault: str) -> None:
    world.set_fault(fault)
    try:
        with closing(client_of(world, vendor)) as client, pytest.raises(ProviderError) as caught:
            send(client, world)
    finally:
        world.clear_fault(fault)
    assert caught.value.reason is VENDORS[vendor].told_otherwise.get(fault, OF_SENDING[fault])
    assert caught.value.code is not None


@pytest.mark.parametrize(
    "vendor",
    [each for each in able(MessageLogClient) if "permission_missing" not in EMULATORS[each].cannot_show],
)
def test_a_missing_permission_has_its_reason(world: Sandbox, vendor: str) -> None:
    world.set_fault("permission_missing")
    try:
        with closing(client_of(world, vendor)) as client, pytest.raises(ProviderError) as caught:
            client.read_page(since=time.time() - 60)
    finally:
        world.clear_fault("permission_missing")
    assert caught.value.reason is Reason.PERMISSION_MISSING


@pytest.mark.parametrize("vendor", able(ServiceStatusClient))
def test_the_status_page_is_read(world: Sandbox, vendor: str) -> None:
    with closing(client_of(world, vendor)) as client:
        assert client.fetch_service_status().components


@pytest.mark.parametrize("vendor", able(CanaryClient))
def test_a_canary_is_sent_once_and_followed(clock: Clock, vendor: str) -> None:
    build = callback_client if VENDORS[vendor].follows_by_callbacks else client_of
    with Sandbox(clock=clock, history_hours=0.1) as sandbox, closing(build(sandbox, vendor)) as client:
        message_id = send(client, sandbox)
        sent = [each for each in sandbox.account.messages() if each.to == NUMBER]
        assert len(sent) == 1
        assert client.fetch_canary(message_id).status in (Status.ACCEPTED, Status.SENT)
        clock.now += 600
        if VENDORS[vendor].follows_by_callbacks:
            client.read_callback(arrived(post_of(sandbox, vendor, sent[0], at=clock.now), clock.now))
        after = client.fetch_canary(message_id)
        tells_cost = VENDORS[vendor].tells_cost
        assert (after.status, after.reason, after.code) == (Status.DELIVERED, None, None)
        assert after.currency == ("USD" if tells_cost else None)
        assert after.cost == (pytest.approx(sent[0].price_micros / 1e6) if tells_cost else None)


# Callbacks


def post_of(sandbox: Sandbox, vendor: str, message: Message, *, at: float) -> Post:
    return EMULATORS[vendor].post(sandbox.account, CALLBACK_URL, None, message, message.status_at(at), at)


def arrived(post: Post, at: float) -> Callback:
    headers = {name.lower(): value for name, value in post.headers.items()}
    return Callback(urlsplit(post.url).query, headers, post.body, at)


@pytest.fixture
def posts(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock, history_hours=0.5) as sandbox:
        yield sandbox


def callback_client(sandbox: Sandbox, vendor: str) -> Any:
    return client_of(sandbox, vendor, **sandbox.provider_settings(vendor, callback_url=CALLBACK_URL))


def closed_messages(sandbox: Sandbox, now: float) -> list[Message]:
    return [each for each in sandbox.account.messages() if each.is_closed_at(now)][:200]


@pytest.mark.parametrize("vendor", able(CallbackClient))
def test_a_genuine_callback_says_what_became_of_its_message(posts: Sandbox, vendor: str) -> None:
    with closing(callback_client(posts, vendor)) as client:
        assert client.takes_callbacks
        for message in closed_messages(posts, START):
            (receipt,) = client.read_callback(arrived(post_of(posts, vendor, message, at=START), START))
            assert (receipt.status, receipt.reason) == expected_of(vendor, message, START)
            assert receipt.recipient == message.to


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("vendor", [each for each in able(CallbackClient) if each in able(MessageLogClient)])
def test_callbacks_and_the_log_tell_of_the_same_messages(posts: Sandbox, vendor: str) -> None:
    storage = Storage.in_memory(Meters())
    with closing(callback_client(posts, vendor)) as client:
        read_log(client, storage.book("target"), DeliverySettings(target="target", interval="15m"), START)
        before = totals(storage)
        fresh = [each for each in closed_messages(posts, START) if each.created > START - 600]
        for message in fresh:
            storage.book("target").take(client.read_callback(arrived(post_of(posts, vendor, message, at=START), START)))
    assert fresh
    assert totals(storage) == before


@pytest.mark.parametrize("vendor", able(CallbackClient))
def test_a_replayed_callback_counts_nothing(posts: Sandbox, vendor: str) -> None:
    storage = Storage.in_memory(Meters())
    message = closed_messages(posts, START)[0]
    post = post_of(posts, vendor, message, at=START)
    with closing(callback_client(posts, vendor)) as client:
        storage.book("target").take(client.read_callback(arrived(post, START)))
        before = totals(storage)
        for later in (1.0, 3600.0, 7 * 86_400.0):
            with suppress(CallbackRefusedError):
                storage.book("target").take(client.read_callback(arrived(post, START + later)))
    assert totals(storage) == before


def forgeries(post: Post) -> Iterator[Post]:
    """Yield the post with letters of its body or query changed, added and gone, and one that no header signs."""
    for at in range(post.url.find("?") + 1, len(post.url), 7) if "?" in post.url else ():
        changed_letter = "7" if post.url[at] != "7" else "3"
        yield replace(post, url=post.url[:at] + changed_letter + post.url[at + 1 :])
    for at in range(0, len(post.body), 7):
        changed = b"7" if post.body[at : at + 1] != b"7" else b"3"
        yield replace(post, body=post.body[:at] + changed + post.body[at + 1 :])
    yield replace(post, body=post.body + b"&more=1")
    yield replace(post, body=b"", url=post.url.partition("?")[0])
    yield replace(
        post, headers={name: value for name, value in post.headers.items() if name == "Content-Type"}, body=b"a=b"
    )


@pytest.mark.parametrize("vendor", able(CallbackClient))
def test_a_forged_callback_is_refused(posts: Sandbox, vendor: str) -> None:
    post = post_of(posts, vendor, closed_messages(posts, START)[0], at=START)
    with closing(callback_client(posts, vendor)) as client:
        for forged in forgeries(post):
            with pytest.raises(CallbackRefusedError) as caught:
                client.read_callback(arrived(forged, START))
            assert caught.value.outcome in (
                CallbackOutcome.BAD_SIGNATURE,
                CallbackOutcome.UNSIGNED,
                CallbackOutcome.MALFORMED,
                CallbackOutcome.REPLAYED,
            ), forged.body


@pytest.mark.parametrize("vendor", able(CallbackClient))
def test_a_callback_for_another_account_is_refused(posts: Sandbox, vendor: str) -> None:
    with Sandbox(seed=2, clock=lambda: START, history_hours=0.1) as other:
        post = post_of(other, vendor, closed_messages(posts, START)[0], at=START)
    with closing(callback_client(posts, vendor)) as client, pytest.raises(CallbackRefusedError) as caught:
        client.read_callback(arrived(post, START))
    assert caught.value.outcome in (CallbackOutcome.BAD_SIGNATURE, CallbackOutcome.WRONG_ACCOUNT)


@pytest.mark.parametrize("vendor", able(CallbackClient))
def test_without_settings_no_callback_is_believed(posts: Sandbox, vendor: str) -> None:
    post = post_of(posts, vendor, closed_messages(posts, START)[0], at=START)
    with closing(client_of(posts, vendor)) as client, pytest.raises(CallbackRefusedError) as caught:
        client.read_callback(arrived(post, START))
    assert (client.takes_callbacks, caught.value.outcome) == (False, CallbackOutcome.UNKNOWN_TARGET)


# Secrecy


@every_vendor
def test_no_secret_number_or_text_gets_out(world: Sandbox, vendor: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = []
    numbers: list[str] = []
    with closing(client_of(world, vendor)) as client:
        settings = settings_of(vendor, world.provider_settings(vendor))
        shown += [repr(settings), str(settings), settings.model_dump_json(), repr(client)]
        if can(vendor, MessageLogClient):
            page = client.read_page(since=time.time() - 3600)
            shown += [repr(each) for each in page.receipts] + [page.resume or ""]
            numbers = [each.recipient[1:] for each in page.receipts]
        for fault in ("", *STOPS, *OF_SENDING):
            if fault:
                world.set_fault(fault)
            try:
                with deadline(0.5):
                    client.verify_credentials()
                    if can(vendor, CanaryClient):
                        send(client, world)
            except ProviderError as error:
                shown += [str(error), repr(error), str(error.__dict__), repr(error.__cause__), repr(error.__context__)]
            finally:
                if fault:
                    world.clear_fault(fault)
    text = "\n".join([*shown, caplog.text])
    for secret in (*secrets_of(world, vendor), NUMBER[1:], "a test 1a2b", *numbers):
        assert secret not in text


@pytest.mark.parametrize("vendor", able(MessageLogClient))
def test_a_bookmark_holds_nothing_personal_and_is_not_trusted(day: Sandbox, vendor: str) -> None:
    with closing(client_of(day, vendor)) as client:
        page = client.read_page(since=0.0)
        assert page.resume is not None
        assert len(page.resume) < 2048
        for receipt in page.receipts:
            assert receipt.recipient[1:] not in page.resume
        for bad in ("", "x", "https://evil.example.com/", page.resume + "&To=%2B4915112345678", "a=" + "b" * 5000):
            with pytest.raises(ProviderError) as caught:
                client.read_page(since=0.0, resume=bad)
            assert caught.value.reason is Reason.BAD_RESPONSE


@every_vendor
def test_a_host_of_somebody_else_is_never_asked(world: Sandbox, vendor: str) -> None:
    """A URL for all hosts stands for the vendor's hosts alone, and those are below its own domains."""
    with closing(client_of(world, vendor, base_url=VENDORS[vendor].own_url)) as client:
        http = next(value for value in _within(client) if type(value).__name__ == "Http")
        hosts = [urlsplit(origin).hostname for origin in http._origins.values()]
    assert hosts
    domains = spec_of(vendor).domains or (urlsplit(VENDORS[vendor].own_url or "").hostname or "",)
    assert [
        host for host in hosts if not any(re.fullmatch(rf"(.*\.)?{re.escape(each)}", host) for each in domains)
    ] == []


def _within(client: Any) -> Iterator[Any]:
    for value in vars(client).values():
        yield value
        if type(value).__name__ == "JsonApi":
            yield from vars(value).values()
