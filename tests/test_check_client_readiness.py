"""The check `client_readiness`: all clients in turn, nobody twice, only counts leave."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest
from pydantic import ValidationError

from checks.back_office import Client, ClientPage, ClientPhone, Method
from checks.backoffices.b2core import B2CoreClient, B2CoreSettings
from checks.client_readiness import ClientReadinessSettings, check_client_readiness, group_of
from checks.errors import BadResponseError, PermissionMissingError, ProviderError, UnreachableError
from checks.providers.http import deadline
from checks.reason import Reason
from checks.result import CheckResult, ClientShare, MethodGroup
from checks.secret import Secret
from exporter.sandbox.server import Sandbox
from tests.fakes import past

NUMBER: Final = "+14155550100"
CONFIRMED: Final = ClientPhone(number=NUMBER, is_confirmed=True)
UNCONFIRMED: Final = ClientPhone(number=NUMBER, is_confirmed=False)
UNTOLD: Final = ClientPhone(number=NUMBER, is_confirmed=None)
GROUPS: Final = tuple(MethodGroup)


def client(*methods: Method, phones: Sequence[ClientPhone] | None = (CONFIRMED,)) -> Client:
    return Client(
        methods={method: method in methods for method in Method}, phones=None if phones is None else tuple(phones)
    )


READY: Final = client(Method.SMS)
LOST: Final = client(Method.SMS, phones=[UNCONFIRMED])
BARE: Final = client()


@dataclass
class Note:
    """A notebook in memory."""

    text: str | None = None

    def read(self) -> str | None:
        return self.text

    def write(self, note: str) -> None:
        self.text = note


@dataclass
class Directory:
    """Clients by id, the eldest first; None for one who is deleted as soon as he was listed."""

    clients: list[Client | None]
    most: int = 1000  # that it gives at once
    seconds: float = 0.0  # that each look takes
    asked: list[str] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    error: ProviderError | None = None
    errors: dict[int, ProviderError] = field(default_factory=dict)  # by client

    def read_clients(self, *, resume: str | None, limit: int) -> ClientPage:
        self.limits.append(limit)
        start = int(resume or 0)
        end = min(start + min(limit, self.most), len(self.clients))
        ids = [f"id-{number}" for number in range(start, end)]
        return ClientPage(ids=ids, resume=str(end) if end < len(self.clients) else None)

    def fetch_client(self, client_id: str) -> Client | None:
        self.asked.append(client_id)
        if self.error is not None:
            raise self.error
        time.sleep(self.seconds)
        number = int(client_id.removeprefix("id-"))
        if number in self.errors:
            raise self.errors[number]
        return self.clients[number]

    def find_clients(self, number: str) -> Sequence[str]:
        raise NotImplementedError


def check(directory: Any, note: Note, per_run: int = 10, **more: Any) -> CheckResult:
    settings = ClientReadinessSettings(target="office", clients_per_run=per_run, **{"min_clients": 1, **more})
    return check_client_readiness(directory, settings, replace(past("client_readiness"), notebook=note))


def counts(result: CheckResult) -> dict[str, int]:
    shares = [share for share in result.measured if isinstance(share, ClientShare)]
    assert [share.methods for share in shares] == [group for group in GROUPS if group in {s.methods for s in shares}]
    return {share.methods.value: share.clients for share in shares if share.clients}


def looked_at(result: CheckResult) -> int:
    return sum(counts(result).values())


# Who counts as what.


@pytest.mark.parametrize(
    ("methods", "group"),
    [
        ((), MethodGroup.NONE),
        ((Method.SMS,), MethodGroup.SMS),
        ((Method.TOTP,), MethodGroup.TOTP),
        ((Method.OTHER,), MethodGroup.OTHER),
        ((Method.SMS, Method.OTHER), MethodGroup.SMS),
        ((Method.TOTP, Method.OTHER), MethodGroup.TOTP),
        ((Method.SMS, Method.TOTP), MethodGroup.BOTH),
    ],
)
def test_clients_are_grouped_by_their_second_factors(methods: Sequence[Method], group: MethodGroup) -> None:
    assert group_of(client(*methods)) is group


def test_a_client_whose_methods_are_not_told_is_not_one_without() -> None:
    untold = Client(methods={}, phones=())
    assert group_of(untold) is MethodGroup.UNKNOWN
    result = check(Directory([untold, untold, BARE, READY]), Note(), min_clients=2)
    assert counts(result) == {"unknown": 2, "none": 1, "sms": 1}
    assert (result.reason, result.detail) == (
        Reason.OK,
        "0 of 1 clients with 2FA by SMS have no confirmed phone; 1 of 2 no 2FA, not readable of 2 more",
    )


def test_clients_whose_methods_are_not_told_are_none_of_those_who_are_judged() -> None:
    untold = Client(methods={}, phones=())
    result = check(Directory([untold] * 5), Note())
    assert (result.reason, counts(result)) == (Reason.OK, {"unknown": 5})
    assert result.detail.endswith("too few to judge")
    assert check(Directory([*[untold] * 3, LOST, LOST]), Note(), min_clients=3).reason is Reason.OK
    assert check(Directory([*[untold] * 3, BARE, BARE]), Note(), min_clients=2).reason is Reason.CLIENT_2FA_DISABLED


@pytest.mark.parametrize(
    ("phones", "is_confirmed"),
    [
        ([], False),
        ([UNCONFIRMED, UNCONFIRMED], False),
        ([UNCONFIRMED, CONFIRMED], True),
        ([UNTOLD, CONFIRMED], True),
        ([UNTOLD], None),
        ([UNCONFIRMED, UNTOLD], None),
        ([UNTOLD, UNCONFIRMED], None),
        (None, None),
    ],
)
def test_a_phone_is_confirmed_or_not_or_that_is_not_told(
    phones: Sequence[ClientPhone] | None, is_confirmed: bool | None
) -> None:
    assert client(Method.SMS, phones=phones).has_confirmed_phone is is_confirmed


@pytest.mark.parametrize(
    ("methods", "phones", "is_lost"),
    [
        ([Method.SMS], [CONFIRMED], False),
        ([Method.SMS], [UNCONFIRMED, CONFIRMED], False),
        ([Method.SMS], [UNCONFIRMED], True),
        ([Method.SMS], [UNCONFIRMED, UNTOLD], False),
        ([Method.SMS], [], True),
        ([Method.SMS], [UNTOLD], False),
        ([Method.SMS], None, False),
        ([Method.SMS, Method.TOTP], [], True),
        ([Method.TOTP], [], False),
        ([], [], False),
    ],
)
def test_who_has_sms_and_surely_no_confirmed_phone_is_without(
    methods: Sequence[Method], phones: Sequence[ClientPhone] | None, is_lost: bool
) -> None:
    result = check(Directory([client(*methods, phones=phones), READY]), Note())
    assert sum(share.without_phone for share in result.measured if isinstance(share, ClientShare)) == is_lost


HIDDEN: Final = client(Method.SMS, phones=None)


def test_clients_whose_phones_are_not_readable_are_on_neither_side() -> None:
    hidden_too = client(Method.SMS, phones=[UNTOLD, UNCONFIRMED])
    hidden_both = client(Method.SMS, Method.TOTP, phones=None)
    clients = [READY] * 3 + [LOST] + [HIDDEN] * 4 + [hidden_too, hidden_both]
    result = check(Directory([*clients]), Note(), max_without_phone=0.2)
    assert result.reason is Reason.CLIENT_PHONE_UNCONFIRMED
    assert result.detail == (
        "1 of 4 clients with 2FA by SMS have no confirmed phone, not readable of 6 more; 0 of 10 no 2FA"
    )
    assert ClientShare(methods=MethodGroup.SMS, clients=4, without_phone=1) in result.measured
    assert MethodGroup.BOTH not in {share.methods for share in result.measured if isinstance(share, ClientShare)}


def test_clients_whose_phones_are_not_readable_do_not_make_a_sample_large_enough() -> None:
    assert check(Directory([LOST, HIDDEN, HIDDEN]), Note(), min_clients=2).detail.endswith("too few to judge")


def test_phones_of_which_none_is_readable_are_a_missing_right_run_after_run() -> None:
    directory, note = Directory([client(Method.TOTP), BARE, *[HIDDEN] * 10]), Note()
    for _ in range(2):
        with pytest.raises(PermissionMissingError):
            check(directory, note, per_run=6)
    assert directory.asked == [f"id-{number}" for number in range(12)]  # it goes on: others may be readable
    directory.clients = [READY] * 12
    assert check(directory, note, per_run=6).reason is Reason.OK


def test_phones_of_clients_without_sms_are_not_needed() -> None:
    assert check(Directory([client(Method.TOTP, phones=None)] * 5), Note()).reason is Reason.OK


# The verdict.


@pytest.mark.parametrize(("lost", "reason"), [(1, Reason.OK), (2, Reason.OK), (3, Reason.CLIENT_PHONE_UNCONFIRMED)])
def test_the_share_without_a_phone_is_judged_on_both_sides_of_its_bound(lost: int, reason: Reason) -> None:
    clients = [LOST] * lost + [READY] * (8 - lost) + [client(Method.TOTP), BARE]
    result = check(Directory([*clients]), Note(), max_without_phone=0.25)
    assert result == CheckResult(
        reason=reason,
        detail=f"{lost} of 8 clients with 2FA by SMS have no confirmed phone; 1 of 10 no 2FA",
        measured=(
            ClientShare(methods=MethodGroup.SMS, clients=8, without_phone=lost),
            ClientShare(methods=MethodGroup.TOTP, clients=1),
            ClientShare(methods=MethodGroup.BOTH, clients=0),
            ClientShare(methods=MethodGroup.OTHER, clients=0),
            ClientShare(methods=MethodGroup.NONE, clients=1),
            ClientShare(methods=MethodGroup.UNKNOWN, clients=0),
        ),
    )


def test_too_few_clients_are_counted_and_not_judged() -> None:
    result = check(Directory([LOST] * 3), Note(), min_clients=4)
    assert (result.reason, result.detail) == (
        Reason.OK,
        "3 of 3 clients with 2FA by SMS have no confirmed phone; 0 of 3 no 2FA; too few to judge",
    )
    assert counts(result) == {"sms": 3}
    assert check(Directory([LOST] * 4), Note(), min_clients=4).reason is Reason.CLIENT_PHONE_UNCONFIRMED


def test_second_factors_that_everybody_lacks_are_a_fault_of_their_own() -> None:
    assert check(Directory([BARE] * 5), Note()).reason is Reason.CLIENT_2FA_DISABLED
    assert check(Directory([*[BARE] * 5, client(Method.OTHER)]), Note()).reason is Reason.OK


def test_a_back_office_without_clients_is_not_judged() -> None:
    note = Note()
    for _ in range(3):
        result = check(Directory([]), note)
        assert (result.reason, looked_at(result)) == (Reason.OK, 0)


# All of them in time, nobody twice.


def test_each_run_goes_on_where_the_last_one_ended() -> None:
    directory, note = Directory([READY] * 25), Note()
    assert [looked_at(check(directory, note)) for _ in range(3)] == [10, 20, 25]
    assert directory.asked == [f"id-{number}" for number in range(25)]


def test_the_next_round_begins_with_the_eldest_and_counts_nobody_twice() -> None:
    directory, note = Directory([READY] * 25), Note()
    sizes = [looked_at(check(directory, note)) for _ in range(9)]
    assert max(sizes) == 25
    assert sizes[2::3] == [25, 25, 25]
    assert Counter(directory.asked) == {f"id-{number}": 3 for number in range(25)}


def too_many(directory: Directory, note: Note, per_run: int) -> int:
    """Run once; return how many more are counted than there are."""
    return looked_at(check(directory, note, per_run)) - len(directory.clients)


def test_nobody_is_counted_twice_when_later_runs_look_at_more() -> None:
    directory, note = Directory([READY] * 60), Note()
    for _ in range(12):
        check(directory, note, 5)
    assert max(too_many(directory, note, 25) for _ in range(9)) == 0


def test_nobody_is_counted_twice_when_later_runs_look_at_fewer() -> None:
    directory, note = Directory([READY] * 60), Note()
    for _ in range(3):
        check(directory, note, 25)
    assert max(too_many(directory, note, 7) for _ in range(30)) == 0


def test_a_client_who_becomes_ready_is_counted_as_ready_alone() -> None:
    directory, note = Directory([LOST] * 30), Note()
    for _ in range(3):
        check(directory, note)
    directory.clients = [READY] * 30
    lost = [int(check(directory, note).detail.split()[0]) for _ in range(3)]
    assert lost == [20, 10, 0]


def test_an_estate_that_grows_and_shrinks_is_counted_as_it_is_after_a_round() -> None:
    directory, note = Directory([READY] * 30), Note()
    for size in (30, 90, 20, 50):
        directory.clients = [READY] * size
        check(directory, note)
        while json.loads(note.text or "{}")["resume"] is not None:
            check(directory, note)
        assert looked_at(check(directory, note, 1)) <= size
        while json.loads(note.text or "{}")["resume"] is not None:
            result = check(directory, note)
        assert looked_at(result) == size


def test_no_more_than_the_last_twenty_runs_are_judged() -> None:
    directory, note = Directory([READY] * 1000), Note()
    assert [looked_at(check(directory, note)) for _ in range(25)][-6:] == [200] * 6


def test_clients_deleted_meanwhile_count_as_nothing() -> None:
    directory, note = Directory([READY, None, READY, None]), Note()
    for _ in range(4):
        assert looked_at(check(directory, note)) == 2
    directory.clients = [None] * 4
    assert looked_at(check(directory, note)) == 0


def test_a_back_office_that_gives_fewer_at_once_is_read_to_the_end_too() -> None:
    directory, note = Directory([READY] * 25, most=4), Note()
    assert [looked_at(check(directory, note)) for _ in range(7)][-1] == 25


# Too little time.


def test_a_run_without_time_counts_nobody_and_looks_at_fewer_next_time() -> None:
    directory, note = Directory([READY] * 30, seconds=0.02), Note()
    with deadline(0.15):
        assert looked_at(check(directory, note, timeout="1s")) == 0  # the last 0.1 s are for the end of the run
    seen = len(directory.asked)
    assert 1 <= seen < 10
    directory.seconds = 0.0
    assert looked_at(check(directory, note)) == seen
    assert directory.limits == [10, seen]
    assert directory.asked == [f"id-{number}" for number in [*range(seen), *range(seen)]]
    check(directory, note)
    assert directory.limits[2] == min(10, 2 * seen)


def test_runs_that_never_have_time_still_look_at_one_client_each() -> None:
    directory, note = Directory([READY] * 5), Note()
    with deadline(1.0):
        results = [looked_at(check(directory, note, per_run=3)) for _ in range(20)]
    assert max(results) == 5
    assert set(directory.asked) == {f"id-{number}" for number in range(5)}


def test_a_run_that_fails_leaves_the_note_as_it_was() -> None:
    directory, note = Directory([READY] * 30), Note()
    check(directory, note)
    before = note.text
    directory.error = PermissionMissingError("no right")
    with pytest.raises(PermissionMissingError):
        check(directory, note)
    assert note.text == before
    directory.error = None
    assert looked_at(check(directory, note)) == 20


# Clients of whom there is no answer.


OUTAGE: Final = ProviderError(Reason.PROVIDER_OUTAGE, "500")
NONSENSE: Final = BadResponseError("no answer of theirs")
SLOWED: Final = ProviderError(Reason.RATE_LIMITED, "429")
REFUSED: Final = ProviderError(Reason.CREDENTIALS_REJECTED, "401")


@pytest.mark.parametrize("error", [OUTAGE, NONSENSE, UnreachableError("cut off")])
@pytest.mark.parametrize("broken", [[0], [0, 1], [9], [4, 5, 6, 7], [0, 1, 3, 4, 5], [1, 2, 3]])
def test_a_client_of_whom_there_is_no_answer_is_passed_over(broken: Sequence[int], error: ProviderError) -> None:
    directory, note = Directory([READY] * 20, errors=dict.fromkeys(broken, error)), Note()
    result = check(directory, note)
    assert counts(result) == {"sms": 10 - len(broken), "unknown": len(broken)}
    assert f"not readable of {len(broken)} more" in result.detail
    assert looked_at(check(directory, note)) == 20
    assert directory.asked == [f"id-{number}" for number in range(20)]


@pytest.mark.parametrize("error", [OUTAGE, NONSENSE, UnreachableError("cut off")])
def test_the_run_fails_when_there_is_no_answer_of_its_first_three(error: ProviderError) -> None:
    directory, note = Directory([READY] * 30), Note()
    check(directory, note)
    before = note.text
    directory.errors = dict.fromkeys([10, 11, 12], error)
    with pytest.raises(ProviderError) as caught:
        check(directory, note)
    assert caught.value is error
    assert directory.asked[10:] == ["id-10", "id-11", "id-12"]
    assert note.text == before


def test_a_refused_sign_in_is_no_single_clients() -> None:
    directory, note = Directory([READY] * 20, errors={5: REFUSED}), Note()
    with pytest.raises(ProviderError) as caught:
        check(directory, note)
    assert (caught.value, note.text) == (REFUSED, None)


def test_one_client_a_run_is_passed_over_too_but_nobody_at_all_is_no_answer() -> None:
    directory, note = Directory([READY] * 4, errors={0: OUTAGE, 2: OUTAGE}), Note()
    with pytest.raises(ProviderError) as caught:
        check(directory, note, per_run=1)
    assert caught.value is OUTAGE
    results = [counts(check(directory, note, per_run=1)) for _ in range(3)]
    assert results == [{"sms": 1, "unknown": 1}, {"sms": 1, "unknown": 2}, {"sms": 2, "unknown": 2}]


def test_fewer_requests_asked_for_end_the_page_and_halve_the_next() -> None:
    directory, note = Directory([READY] * 40), Note()
    check(directory, note)
    directory.errors = {16: SLOWED}
    assert looked_at(check(directory, note)) == 10  # those before it come again
    assert directory.asked[10:] == [f"id-{number}" for number in range(10, 17)]
    assert looked_at(check(directory, note)) == 15
    assert directory.limits == [10, 10, 5]
    directory.errors = {}
    assert [looked_at(check(directory, note)) for _ in range(3)] == [25, 35, 40]
    assert directory.limits[3:] == [10, 10, 10]
    assert Counter(directory.asked).keys() == {f"id-{number}" for number in range(40)}


def test_fewer_requests_asked_for_at_once_are_no_answer_and_halve_the_next_all_the_same() -> None:
    directory, note = Directory([READY] * 40), Note()
    check(directory, note)
    directory.error = SLOWED
    for _ in range(5):
        with pytest.raises(ProviderError) as caught:
            check(directory, note)
        assert caught.value is SLOWED
    assert directory.limits == [10, 10, 5, 2, 1, 1]
    directory.error = None
    assert looked_at(check(directory, note)) == 11


# What is kept.


def test_only_counts_leave_and_only_counts_are_kept() -> None:
    note = Note()
    clients: list[Client | None] = [LOST, READY, BARE]
    result = check(Directory(clients), note, per_run=2)
    for text in (repr(result), note.text or ""):
        assert NUMBER.removeprefix("+") not in text
        assert "id-" not in text
    assert json.loads(note.text or "") == {
        "resume": "2",
        "limit": 4,
        "blocks": [{"ids": 2, "methods": {"sms": 2}, "without_phone": {"sms": 1}, "phone_untold": {"sms": 0}}],
        "last_round": 0,
        "this_round": 2,
    }


@pytest.mark.parametrize(
    "text",
    ["", "nul", "[]", '{"resume": 5}', '{"blocks": [{"methods": {}}]}', '{"limit": 0}', '{"limit": -5}', "[" * 5000],
)
def test_a_note_that_is_not_understood_is_a_beginning(text: str) -> None:
    directory = Directory([READY] * 25)
    assert looked_at(check(directory, Note(text))) == 10
    assert directory.limits == [10]


@pytest.mark.parametrize(
    "settings",
    [
        {"clients_per_run": 0},
        {"clients_per_run": 1001},
        {"max_without_phone": 1.1},
        {"max_without_phone": -0.1},
        {"min_clients": 0},
        {"timeout": "10ms"},
        {"interval": "1s"},
    ],
)
def test_settings_out_of_bounds_are_refused(settings: Any) -> None:
    with pytest.raises(ValidationError):
        ClientReadinessSettings(target="office", **settings)


# Against the sandbox.


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (None, Reason.OK),
        ("client_phone_unconfirmed", Reason.CLIENT_PHONE_UNCONFIRMED),
        ("client_2fa_disabled", Reason.CLIENT_2FA_DISABLED),
    ],
)
def test_the_sandboxs_clients_are_ready_unless_it_is_told_otherwise(fault: str | None, reason: Reason) -> None:
    with Sandbox(history_hours=0, faults=[] if fault is None else [fault]) as sandbox:
        own = sandbox.credentials
        reader = B2CoreClient(
            B2CoreSettings(
                type="b2core",
                max_requests_per_second=1000,
                url=sandbox.b2core_url,
                email=own.b2core_plain_email,
                password=Secret(own.b2core_plain_password),
                timeout="5s",
            )
        )
        note = Note()
        results = [check(reader, note, per_run=30) for _ in range(2)]
        reader.close()
    assert [looked_at(result) for result in results] == [30, 60]
    assert results[1].reason is reason
