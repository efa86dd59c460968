"""The sandbox's back office over HTTP: service users, its lists, clients who sign in, and what can go wrong."""

import http.client
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import pyotp
import pytest
import requests

from exporter.sandbox import FAULTS, PERSONAS, Client, Sandbox
from exporter.sandbox.b2core_wire import MAX_BODY_BYTES
from exporter.sandbox.clients import CONFIRMED_SHARE, Clients
from exporter.sandbox.faults import OF_THE_BACK_OFFICE, Place
from exporter.sandbox.gate import STOPPING
from exporter.sandbox.geography import find_home

START = 1_800_000_000.0
TEXT = "Sandbox Broker: Your verification code is "
UNWELL = {"landline": 30006, "opted_out": 21610, "invalid": 30005, "unreachable": 30003, "blocked": 30004}


class Clock:
    """Stands still until it is told otherwise."""

    now = START

    def __call__(self) -> float:
        return self.now


@dataclass
class User:
    """Asks the back office what service users and clients ask."""

    sandbox: Sandbox
    clock: Clock

    def ask(self, path: str, *, method: str = "GET", token: str = "", **options: Any) -> requests.Response:
        """The answer to one call, with a token where there is one."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{self.sandbox.b2core_url}/api/v2/{path}"
        return requests.request(method, url, headers=headers, timeout=options.pop("timeout", 5), **options)

    def post(self, path: str, **fields: object) -> requests.Response:
        """The answer to an object in JSON."""
        return self.ask(path, method="POST", json=fields)

    def confirm(self, challenge: str, code: str) -> requests.Response:
        """The answer to a code of a service user."""
        return self.post("2fa/confirm", token=challenge, code=code)

    def sign_in(self, email: str | None = None, password: str | None = None) -> requests.Response:
        """A service user's sign-in, by default of the one without a second factor."""
        known = self.sandbox.credentials
        return self.post(
            "signin", email=email or known.b2core_plain_email, password=password or known.b2core_plain_password
        )

    def token(self) -> str:
        """An access token of a service user."""
        return str(self.sign_in().json()["accessToken"]["token"])

    def challenge(self) -> str:
        """The 2FA token of the service user who has a second factor."""
        known = self.sandbox.credentials
        return str(self.sign_in(known.b2core_email, known.b2core_password).json()["2faDetails"]["token"])

    def rows(self, path: str, **query: object) -> list[dict[str, Any]]:
        """The rows of a list."""
        return list(self.ask(path, token=self.token(), params=query).json()["data"])

    def begin(self) -> str:
        """A new sign-in of some client."""
        return str(self.ask("my/signin/wizard").json()["uuid"])

    def enter(self, client: Client, **other: object) -> tuple[str, requests.Response]:
        """Give a client's password; the sign-in and the answer."""
        uuid = self.begin()
        fields = {"email": client.email, "password": client.password, "device_fingerprint": "test", **other}
        return uuid, self.post("my/signin", uuid=uuid, **fields)

    def check(self, method: str, uuid: str, code: str) -> int:
        """The status of the answer to a code."""
        return self.post(f"my/2fa/{method}", uuid=uuid, code=code).status_code

    def sign_in_with_app(self, client: Client, code: str | None = None) -> int:
        """Sign a client in with an authenticator app; the status of the last answer."""
        uuid, answer = self.enter(client)
        return self.check("google", uuid, code or self.code(client.totp_secret)) if answer.ok else answer.status_code

    def code(self, secret: str, *, steps: int = 0) -> str:
        """The code that an app shows, so many steps from now."""
        return pyotp.TOTP(secret).at(int(self.clock.now) + 30 * steps)

    def messages(self, client: Client) -> list[dict[str, Any]]:
        """What Twilio has of a client, the newest first."""
        known = self.sandbox.credentials
        path = f"/2010-04-01/Accounts/{known.account_sid}/Messages.json"
        answer = requests.get(
            self.sandbox.url + path,
            params={"To": client.number},
            auth=(known.account_sid, known.auth_token),
            timeout=5,
        )
        return list(answer.json()["messages"])

    def has_new_message(self, client: Client) -> bool:
        """Whether a message to a client was created just now."""
        return any(
            parsedate_to_datetime(each["date_created"]).timestamp() == self.clock.now for each in self.messages(client)
        )


@pytest.fixture(scope="module")
def running() -> Iterator[User]:
    clock = Clock()
    with Sandbox(clock=clock, history_hours=0.0, speed=0.0) as sandbox:
        yield User(sandbox, clock)


@pytest.fixture
def user(running: User) -> Iterator[User]:
    running.clock.now += 12 * 3600  # limits, locks and tokens of the test before are over
    yield running
    for fault in FAULTS:
        running.sandbox.clear_fault(fault)


# Service users


def test_a_service_user_without_a_second_factor_gets_tokens_for_ten_hours(user: User) -> None:
    answer = user.sign_in().json()
    assert answer["2faRequired"] is False
    times = [parse_iso(answer["accessToken"][name]) for name in ("createdAt", "expiresAt")]
    assert times == [user.clock.now, user.clock.now + 36_000]
    token = answer["accessToken"]["token"]
    assert user.ask("clients", token=token).status_code == 200
    user.clock.now += 36_000 - 1
    assert user.ask("clients", token=token).status_code == 200
    user.clock.now += 1
    assert user.ask("clients", token=token).status_code == 401


def parse_iso(text: str) -> float:
    assert text.endswith("+00:00")
    return datetime.fromisoformat(text).timestamp()


def test_a_service_user_with_a_second_factor_gets_tokens_for_a_code(user: User) -> None:
    known = user.sandbox.credentials
    answer = user.sign_in(known.b2core_email, known.b2core_password).json()
    assert (answer["2faRequired"], answer["2faDetails"]["provider"]) == (True, "google")
    assert "accessToken" not in answer
    token = answer["2faDetails"]["token"]
    code = user.code(known.b2core_totp_secret)
    assert user.confirm(token, f"{(int(code) + 1) % 10**6:06d}").status_code == 422
    pair = user.confirm(token, code).json()
    assert user.ask("clients", token=pair["accessToken"]["token"]).status_code == 200
    assert user.confirm(token, code).status_code == 401  # the challenge is over
    assert user.confirm(user.challenge(), code).status_code == 422  # the code is used up


def test_the_challenge_of_a_service_user_expires(user: User) -> None:
    token = user.challenge()
    user.clock.now += 300
    code = user.code(user.sandbox.credentials.b2core_totp_secret)
    assert user.confirm(token, code).status_code == 401


@pytest.mark.parametrize(("steps", "status"), [(-2, 422), (-1, 200), (0, 200), (1, 200), (2, 422)])
def test_codes_of_a_service_user_are_good_for_one_step_on_either_side(user: User, steps: int, status: int) -> None:
    code = user.code(user.sandbox.credentials.b2core_totp_secret, steps=steps)
    assert user.confirm(user.challenge(), code).status_code == status


def test_a_sixth_sign_in_within_a_minute_is_refused_until_the_minute_is_over(user: User) -> None:
    assert [user.sign_in(password="wrong").status_code for _ in range(5)] == [401] * 5
    refused = user.sign_in()
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    user.clock.now += 60
    assert user.sign_in().status_code == 200


def test_a_refresh_token_gives_a_new_pair_once(user: User) -> None:
    first = user.sign_in().json()
    refresh = first["refreshToken"]["token"]
    second = user.post("refresh", refreshToken=refresh).json()
    assert user.ask("clients", token=second["accessToken"]["token"]).status_code == 200
    assert user.ask("clients", token=first["accessToken"]["token"]).status_code == 401
    assert user.post("refresh", refreshToken=refresh).status_code == 401


def test_signing_out_ends_a_token(user: User) -> None:
    token = user.token()
    left = user.ask("signout", method="POST", token=token)
    assert (left.status_code, left.content) == (204, b"")
    assert user.ask("clients", token=token).status_code == 401


def test_the_lifetime_of_tokens_can_be_chosen() -> None:
    clock = Clock()
    with Sandbox(clock=clock, history_hours=0.0, speed=0.0, token_seconds=5.0) as sandbox:
        user = User(sandbox, clock)
        token = user.token()
        clock.now += 5
        assert user.ask("clients", token=token).status_code == 401


@pytest.mark.parametrize(
    "path", ["clients", "clients/1", "phones", "confirmations/providers", "nonsense", "my/nonsense"]
)
def test_without_a_token_nothing_is_told_not_even_what_exists(user: User, path: str) -> None:
    assert user.ask(path).status_code == 401
    assert user.ask(path, token="0" * 64).status_code == 401


def test_a_clients_token_opens_nothing_of_the_back_office(user: User) -> None:
    _, answer = user.enter(user.sandbox.client("no_2fa"))
    assert user.ask("clients", token=answer.json()["data"]["accessToken"]["token"]).status_code == 401


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("nonsense", "GET", 404), ("clients", "DELETE", 405), ("clients/0", "GET", 404), ("clients/1201", "GET", 404),
     ("clients/x", "GET", 404), ("clients/" + "9" * 5000, "GET", 404), ("clients/1/2fa/3", "GET", 404),
     ("confirmations/providers/4", "GET", 404), ("confirmations/providers/types/X/settings", "GET", 404)],
)  # fmt: skip
def test_what_is_not_there_is_said_in_json(user: User, path: str, method: str, status: int) -> None:
    answer = user.ask(path, method=method, token=user.token())
    assert (answer.status_code, answer.json()["code"]) == (status, status)


@pytest.mark.parametrize("path", ["signin", "2fa/confirm", "refresh", "my/signin", "my/signin/2fa", "my/2fa/google"])
@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff\xfe", b"[]", b"null", b'"x"', b"[" * 60_000, b"{}", b"NaN", b'{"email": 1, "uuid": [], "token": {}}',
     b'{"email": "\\ud800", "password": null, "uuid": "", "token": true}'],
    ids=["cut", "bytes", "list", "null", "text", "deep", "empty", "nan", "types", "surrogate"],
)  # fmt: skip
def test_a_body_that_is_no_such_object_is_a_bad_request(user: User, path: str, body: bytes) -> None:
    assert user.ask(path, method="POST", data=body).status_code == 400


def test_a_body_that_is_too_large_is_refused(user: User) -> None:
    body = json.dumps({"email": "x" * MAX_BODY_BYTES})
    assert user.ask("signin", method="POST", data=body).status_code == 413


def test_odd_characters_in_a_sign_in_are_just_wrong(user: User) -> None:
    assert user.sign_in("\ud800\u0000@x", "\U0001f600").status_code == 401


# Its lists


def test_the_providers_are_listed_with_a_total_that_lies_and_truth_in_two_spellings(user: User) -> None:
    answer = user.ask("confirmations/providers", token=user.token()).json()
    told = [(each["id"], each["provider"], each["name"], each["isEnabled"]) for each in answer["data"]]
    assert told == [(7, "Twilio", "twilio-main", True), (3, "Fake", "fake", 0)]
    assert [type(each["isEnabled"]) for each in answer["data"]] == [bool, int]
    assert answer["total"] == 1


def test_the_providers_can_be_filtered(user: User) -> None:
    assert [each["id"] for each in user.rows("confirmations/providers", **{"filter[isEnabled]": "true"})] == [7]
    assert [each["id"] for each in user.rows("confirmations/providers", **{"filter[provider]": "Fake"})] == [3]
    assert [each["id"] for each in user.rows("confirmations/providers", limit=1, offset=1)] == [3]


def test_a_provider_shows_the_account_and_the_sender_but_not_the_secret(user: User) -> None:
    known = user.sandbox.credentials
    answer = user.ask("confirmations/providers/7", token=user.token())
    settings = {"account_sid": known.account_sid, "auth_token": "********", "from": known.long_code}
    assert answer.json()["settings"] == settings
    assert known.auth_token not in answer.text


def test_the_types_of_providers_say_which_settings_they_need(user: User) -> None:
    assert [each["name"] for each in user.rows("confirmations/providers/types")] == ["Twilio", "Vonage", "Fake"]
    settings = user.rows("confirmations/providers/types/Twilio/settings")
    assert [each["name"] for each in settings if each["required"]] == ["account_sid", "auth_token", "from"]
    assert {each["name"] for each in settings if not each["required"]} == {"messaging_service_sid"}


def test_the_template_carries_the_place_of_the_code(user: User) -> None:
    (template,) = user.rows("confirmations/templates")
    assert (template["name"], template["text"]) == ("default", f"{TEXT}%CODE%.")


def test_all_clients_are_listed_page_by_page_the_eldest_first(user: User) -> None:
    token = user.token()
    ids: list[int] = []
    while True:
        query = {"limit": 100, "offset": len(ids), "sort_by": "createTime", "sort_order": "asc"}
        answer = user.ask("clients", token=token, params=query).json()
        if not answer["data"]:
            break
        ids += [each["id"] for each in answer["data"]]
    assert ids == sorted(set(ids))
    assert len(ids) == answer["total"] == 1200


def test_a_page_is_no_longer_than_a_hundred_and_the_youngest_come_first(user: User) -> None:
    rows = user.rows("clients", limit=5000)
    assert len(rows) == 100
    assert rows[0]["id"] == 1200
    assert parse_iso(rows[0]["createTime"]) > parse_iso(rows[1]["createTime"])


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "-1"}, {"limit": "x"}, {"offset": "-1"}, {"limit": "9" * 99}]
)
def test_a_page_that_cannot_be_is_a_bad_request(user: User, query: dict[str, str]) -> None:
    assert user.ask("clients", token=user.token(), params=query).status_code == 400


def test_what_a_client_has_on_is_told_in_more_than_one_spelling(user: User) -> None:
    token = user.token()
    answers = {client_id: user.ask(f"clients/{client_id}/2fa", token=token).json() for client_id in range(1, 13)}
    assert {answer["total"] for answer in answers.values()} == {1}
    names = {each["name"] for answer in answers.values() for each in answer["data"]}
    types = {type(each["isEnabled"]) for answer in answers.values() for each in answer["data"]}
    assert (names, types) == ({"sms", "SMS", "google"}, {bool, int})
    on = {
        client_id: {each["name"].lower() for each in answer["data"] if each["isEnabled"]}
        for client_id, answer in answers.items()
    }
    expected = [{"sms"}, {"google"}, {"sms", "google"}, set(), *[{"sms"}] * 6, {"google"}]
    assert [on[client_id] for client_id in range(1, 12)] == expected


def test_phones_are_found_by_client_and_by_number(user: User) -> None:
    client = user.sandbox.client("landline")
    by_client = user.rows("phones", **{"filter[clientId]": str(client.id)})
    by_number = user.rows("phones", **{"filter[number]": client.number})
    assert by_client == by_number
    assert [(each["clientId"], each["number"]) for each in by_client] == [(client.id, client.number)]
    assert user.rows("phones", **{"filter[number]": "+447415999999"}) == []
    assert user.rows("phones", **{"filter[clientId]": "x"}) == []


def test_whether_a_phone_is_confirmed_is_spelt_in_three_ways(user: User) -> None:
    told = {json.dumps(each["confirmed"]) for each in user.rows("phones", limit=20, sort_order="asc")}
    assert told == {"true", "1", '"1"', "false"}
    unconfirmed = user.rows("phones", limit=100, sort_order="asc", **{"filter[confirmed]": "false"})
    assert unconfirmed[0]["clientId"] == user.sandbox.client("unconfirmed").id
    assert not any(each["confirmed"] for each in unconfirmed)


# The population


def test_the_clients_are_those_of_a_broker() -> None:
    clients = Clients(1).all[len(PERSONAS) :]
    methods = Counter("+".join(sorted(each.methods)) for each in clients)
    for name, share in {"sms": 0.6, "google": 0.15, "google+sms": 0.2, "": 0.05}.items():
        assert math.isclose(methods[name] / len(clients), share, abs_tol=0.03)
    assert math.isclose(sum(each.is_confirmed for each in clients) / len(clients), CONFIRMED_SHARE, abs_tol=0.01)
    assert len({each.number for each in clients}) == len({each.totp_secret for each in clients}) == len(clients)
    assert None not in {find_home(each.number) for each in clients}


def test_the_same_seed_has_the_same_clients_and_another_has_others() -> None:
    first, again, other = Clients(1).all, Clients(1).all, Clients(2).all
    assert first == again
    assert {each.password for each in first}.isdisjoint(each.password for each in other)


def test_no_client_shows_a_secret_in_its_repr() -> None:
    client = Clients(1).persona("sms")
    shown = repr(client)
    assert not any(each in shown for each in (client.number, client.password, client.totp_secret, client.email))


def test_the_personas_are_told_and_an_unknown_one_is_not_there(user: User) -> None:
    told = requests.get(f"{user.sandbox.url}/sandbox/clients", timeout=5).json()["clients"]
    assert {each["name"]: each["id"] for each in told} == {name: each.id for name, each in PERSONAS.items()}
    assert [each["id"] for each in told] == list(range(1, 12))
    assert user.sandbox.client("sms").email == "sms@sandbox.example"
    with pytest.raises(LookupError, match='no persona "nobody", must be one of: sms, google'):
        user.sandbox.client("nobody")


@pytest.mark.parametrize(("name", "code"), UNWELL.items())
def test_messages_to_an_unwell_persona_end_with_its_code_whoever_sends_them(user: User, name: str, code: int) -> None:
    client, known = user.sandbox.client(name), user.sandbox.credentials
    path = f"/2010-04-01/Accounts/{known.account_sid}/Messages.json"
    form = {"To": client.number, "From": known.toll_free, "Body": "by hand"}
    requests.post(user.sandbox.url + path, data=form, auth=(known.account_sid, known.auth_token), timeout=5)
    user.enter(client)
    user.clock.now += 1
    told = [(each["status"], each["error_code"]) for each in user.messages(client)]
    assert told == [("failed" if code == 21610 else "undelivered", code)] * 2


def test_faults_strike_an_unwell_persona_as_everybody_else(user: User) -> None:
    client = user.sandbox.client("landline")
    user.sandbox.set_fault("operator_silent", Place("DE", "Vodafone"))
    user.clock.now += 1
    user.enter(client)
    user.clock.now += 60
    assert user.messages(client)[0]["status"] == "sent"


# Clients who sign in


def test_the_wizard_begins_a_sign_in(user: User) -> None:
    answer = user.ask("my/signin/wizard").json()
    assert len(answer.pop("uuid")) == 32
    data = {"recaptcha": {"enabled": False}, "is_qr_available": False, "is_password_recovery_available": True}
    assert answer == {"code": 200, "done": False, "workflow": "signin", "data": data}


def test_a_client_without_a_second_factor_is_in_at_once_and_can_leave(user: User) -> None:
    _, answer = user.enter(user.sandbox.client("no_2fa"))
    assert (answer.json()["code"], answer.json()["done"]) == (202, True)
    token = answer.json()["data"]["accessToken"]["token"]
    assert user.ask("my/signout", method="POST", token=token).status_code == 204
    assert user.ask("my/signout", method="POST", token=token).status_code == 401


def test_a_wrong_password_a_strange_address_and_a_strange_sign_in_are_refused(user: User) -> None:
    client = user.sandbox.client("sms")
    assert user.enter(client, password="wrong")[1].status_code == 401
    assert user.enter(client, email="nobody@sandbox.example")[1].status_code == 401
    fields = {"email": client.email, "password": client.password}
    assert user.post("my/signin", uuid="0" * 32, **fields).status_code == 422
    late = user.begin()
    user.clock.now += 900
    assert user.post("my/signin", uuid=late, **fields).status_code == 422
    assert user.messages(client) == []


def test_a_client_with_sms_alone_gets_a_code_at_once_and_signs_in_with_it(user: User) -> None:
    client = user.sandbox.client("sms")
    uuid, answer = user.enter(client)
    assert (answer.json()["code"], answer.json()["done"], answer.json()["uuid"]) == (200, False, uuid)
    message = user.messages(client)[0]
    assert message["from"] == user.sandbox.credentials.long_code
    assert message["body"].startswith(TEXT)
    code = message["body"].removeprefix(TEXT).removesuffix(".")
    assert user.check("sms", uuid, f"{(int(code) + 1) % 10**6:06d}") == 422
    done = user.post("my/2fa/sms", uuid=uuid, code=code).json()
    assert (done["code"], done["done"], set(done["data"])) == (202, True, {"accessToken", "refreshToken"})
    assert user.check("sms", uuid, code) == 422  # the sign-in is over


def test_a_code_by_sms_expires(user: User) -> None:
    client = user.sandbox.client("sms")
    uuid, _ = user.enter(client)
    code = user.messages(client)[0]["body"].removeprefix(TEXT).removesuffix(".")
    user.clock.now += 300
    assert user.check("sms", uuid, code) == 422


def test_a_client_with_two_methods_chooses_and_gets_a_code_then(user: User) -> None:
    client = user.sandbox.client("both")
    uuid, _ = user.enter(client)
    assert user.messages(client) == []
    assert user.check("google", uuid, user.code(client.totp_secret)) == 409
    assert user.post("my/signin/2fa", uuid=uuid, type="fax").status_code == 422
    assert user.post("my/signin/2fa", uuid=uuid, type="google").status_code == 200
    assert user.messages(client) == []
    assert user.post("my/signin/2fa", uuid=uuid, type="sms").status_code == 200
    code = user.messages(client)[0]["body"].removeprefix(TEXT).removesuffix(".")
    assert user.check("google", uuid, user.code(client.totp_secret)) == 409
    assert user.check("sms", uuid, code) == 200


@pytest.mark.parametrize("name", ["sms", "google"])
def test_a_client_with_one_method_has_nothing_to_choose(user: User, name: str) -> None:
    uuid, _ = user.enter(user.sandbox.client(name))
    assert user.post("my/signin/2fa", uuid=uuid, type=name).status_code == 409
    assert user.post("my/signin/2fa", uuid=user.begin(), type=name).status_code == 409


def test_no_code_is_taken_before_the_password(user: User) -> None:
    assert user.check("google", user.begin(), "123456") == 409


def test_a_code_of_an_app_is_taken_once_and_none_older_than_it(user: User) -> None:
    canary = user.sandbox.client("canary")
    assert user.sign_in_with_app(canary) == 200
    assert user.sign_in_with_app(canary) == 422
    assert user.sign_in_with_app(canary, user.code(canary.totp_secret, steps=-1)) == 422
    assert user.sign_in_with_app(canary, user.code(canary.totp_secret, steps=1)) == 200
    assert user.sign_in_with_app(canary) == 422


@pytest.mark.parametrize(("steps", "status"), [(-2, 422), (-1, 200), (0, 200), (1, 200), (2, 422)])
def test_codes_of_a_client_are_good_for_one_step_on_either_side(user: User, steps: int, status: int) -> None:
    canary = user.sandbox.client("canary")
    assert user.sign_in_with_app(canary, user.code(canary.totp_secret, steps=steps)) == status


def test_five_wrong_codes_in_a_row_lock_that_client_alone_for_ten_minutes(user: User) -> None:
    canary, other = user.sandbox.client("canary"), user.sandbox.client("google")
    assert user.sign_in_with_app(canary) == 200
    user.clock.now += 60
    assert [user.sign_in_with_app(canary, "x") for _ in range(4)] == [422] * 4
    assert user.sign_in_with_app(canary) == 200  # the row is broken
    user.clock.now += 60
    open_one, _ = user.enter(canary)
    assert [user.sign_in_with_app(canary, "x") for _ in range(5)] == [422] * 5
    assert user.check("google", open_one, user.code(canary.totp_secret)) == 429
    _, refused = user.enter(canary)
    assert (refused.status_code, int(refused.headers["Retry-After"])) == (429, 601)
    assert user.sign_in_with_app(other) == 200
    user.clock.now += 600
    assert user.sign_in_with_app(canary) == 200


def test_one_call_signs_a_client_in_as_far_as_the_code(user: User) -> None:
    def sign_in(client_id: object) -> tuple[int, object]:
        answer = requests.post(f"{user.sandbox.url}/sandbox/clients/{client_id}/sign-in", timeout=5)
        return answer.status_code, answer.json().get("code_sent")

    client = user.sandbox.client("both")
    before = len(user.messages(client))
    assert sign_in(client.id) == (200, True)
    assert len(user.messages(client)) == before + 1
    assert sign_in(user.sandbox.client("google").id) == (200, False)
    assert sign_in(user.sandbox.client("no_2fa").id) == (200, False)
    assert {sign_in(each) for each in ("0", "1201", "x", "9" * 5000)} == {(404, None)}
    user.sandbox.set_fault("back_office_down")
    assert sign_in(client.id) == (200, False)


# What can go wrong


def providers(user: User) -> list[tuple[str, bool]]:
    return [(each["provider"], bool(each["isEnabled"])) for each in user.rows("confirmations/providers")]


def is_without_settings(user: User) -> bool:
    settings = user.ask("confirmations/providers/7", token=user.token()).json()["settings"]
    return (settings["auth_token"], settings["from"]) == ("", "")


def methods_on(user: User) -> int:
    token = user.token()
    answers = [user.ask(f"clients/{client_id}/2fa", token=token).json()["data"] for client_id in range(1, 12)]
    return sum(bool(each["isEnabled"]) for answer in answers for each in answer)


def date_of(user: User) -> float:
    return parsedate_to_datetime(user.ask("my/signin/wizard").headers["Date"]).timestamp()


def is_fast(user: User) -> bool:
    canary = user.sandbox.client("canary")
    user.clock.now += 60
    ahead = date_of(user) - user.clock.now
    takes_right, takes_fast = (user.sign_in_with_app(canary, user.code(canary.totp_secret, steps=n)) for n in (0, 3))
    assert (ahead, takes_right, takes_fast) in ((94, 422, 200), (0, 200, 422))
    user.clock.now += 600  # a code used three steps ahead is behind then
    return ahead == 94


def is_refusing_codes(user: User) -> bool:
    user.clock.now += 60
    return user.sign_in_with_app(user.sandbox.client("canary")) == 422


def takes_any_code(user: User) -> bool:
    client = user.sandbox.client("sms")
    uuid, _ = user.enter(client)
    statuses = {user.sign_in_with_app(user.sandbox.client("canary"), "any"), user.check("sms", uuid, "any")}
    assert len(statuses) == 1
    return statuses == {200}


def is_unreachable(user: User) -> bool:
    try:
        user.ask("my/signin/wizard")
    except requests.ConnectionError:
        return True
    return False


def hangs(user: User) -> bool:
    try:
        user.ask("my/signin/wizard", timeout=0.3)
    except requests.ReadTimeout:
        return True
    return False


def rejects(user: User) -> bool:
    user.clock.now += 60
    statuses = {
        user.sign_in().status_code,
        user.sign_in(user.sandbox.credentials.b2core_email, user.sandbox.credentials.b2core_password).status_code,
        user.enter(user.sandbox.client("no_2fa"))[1].status_code,
    }
    assert len(statuses) == 1
    return statuses == {401}


SYMPTOMS: dict[str, Callable[[User], bool]] = {
    "provider_missing": lambda user: providers(user) == [("Fake", False)],
    "provider_disabled": lambda user: providers(user) == [("Twilio", False), ("Fake", False)],
    "provider_incomplete": is_without_settings,
    "provider_is_test": lambda user: providers(user) == [("Twilio", False), ("Fake", True)],
    "template_missing": lambda user: user.rows("confirmations/templates") == [],
    "client_2fa_disabled": lambda user: methods_on(user) == 0,
    "client_phone_unconfirmed": lambda user: not any(e["confirmed"] for e in user.rows("phones", limit=100)),
    "server_clock_skewed": is_fast,
    "code_rejected": is_refusing_codes,
    "wrong_code_accepted": takes_any_code,
    "back_office_down": lambda user: user.ask("my/signin/wizard").status_code == 503,
    "back_office_unreachable": is_unreachable,
    "back_office_timeout": hangs,
    "back_office_rejects": rejects,
}


def test_every_fault_of_the_back_office_has_its_symptom_here() -> None:
    assert SYMPTOMS.keys() == OF_THE_BACK_OFFICE.keys()


@pytest.mark.parametrize("fault", SYMPTOMS)
def test_a_fault_shows_at_once_and_is_gone_when_cleared(user: User, fault: str) -> None:
    has_symptom = SYMPTOMS[fault]
    assert not has_symptom(user)
    user.sandbox.set_fault(fault)
    assert has_symptom(user)
    user.sandbox.clear_fault(fault)
    assert not has_symptom(user)


def test_a_token_that_was_given_before_is_rejected_too(user: User) -> None:
    token = user.token()
    user.sandbox.set_fault("back_office_rejects")
    assert user.ask("clients", token=token).status_code == 401
    user.sandbox.clear_fault("back_office_rejects")
    assert user.ask("clients", token=token).status_code == 200


def test_right_codes_that_are_refused_lock_nobody(user: User) -> None:
    canary = user.sandbox.client("canary")
    user.sandbox.set_fault("code_rejected")
    for _ in range(6):
        user.clock.now += 30
        assert user.sign_in_with_app(canary) == 422
    user.sandbox.clear_fault("code_rejected")
    user.clock.now += 30
    assert user.sign_in_with_app(canary) == 200


@pytest.mark.parametrize(
    "fault",
    ["provider_missing", "provider_disabled", "provider_incomplete", "provider_is_test", "template_missing",
     "client_2fa_disabled", "client_phone_unconfirmed", "balance_exhausted", "sender_invalid", "account_restricted",
     "country_not_permitted", *sorted(STOPPING)],
)  # fmt: skip
def test_no_code_leaves_while_a_fault_is_in_its_way(user: User, fault: str) -> None:
    client = user.sandbox.client("sms")
    user.sandbox.set_fault(fault)
    assert user.enter(client)[1].ok  # the client is told nothing of it, and waits
    user.sandbox.clear_fault(fault)  # or the log would not be told
    assert not user.has_new_message(client)
    user.enter(client)
    assert user.has_new_message(client)


def test_no_code_goes_to_a_phone_that_is_not_confirmed(user: User) -> None:
    client = user.sandbox.client("unconfirmed")
    assert user.enter(client)[1].json()["done"] is False
    assert user.messages(client) == []


@pytest.mark.parametrize("fault", sorted(STOPPING))
def test_no_fault_of_twilio_touches_the_back_office(user: User, fault: str) -> None:
    user.sandbox.set_fault(fault)
    assert len(user.rows("clients")) == 10


@pytest.mark.parametrize("fault", ["back_office_unreachable", "back_office_timeout", "back_office_down"])
def test_no_fault_of_the_back_office_touches_twilio(user: User, fault: str) -> None:
    user.sandbox.set_fault(fault)
    assert isinstance(user.messages(user.sandbox.client("sms")), list)


@pytest.mark.parametrize("fault", [None, "server_clock_skewed", "back_office_down", "provider_outage"])
def test_every_answer_has_one_date_by_the_clock_of_who_answers(user: User, fault: str | None) -> None:
    if fault is not None:
        user.sandbox.set_fault(fault)
    address = urlsplit(user.sandbox.url)
    skew = 94 if fault == "server_clock_skewed" else 0
    for path, ahead in [
        ("/b2core/api/v2/my/signin/wizard", skew),
        ("/b2core/api/v2/nonsense", skew),
        ("/sandbox/healthy", 0),
        ("/statuspage/api/v2/summary.json", 0),
        ("/v1/Services", 0),
        ("/nonsense", 0),
    ]:
        with closing(http.client.HTTPConnection(str(address.hostname), address.port, timeout=5)) as connection:
            connection.request("GET", path)
            dates = connection.getresponse().headers.get_all("Date") or []
        assert [parsedate_to_datetime(each).timestamp() for each in dates] == [user.clock.now + ahead]
