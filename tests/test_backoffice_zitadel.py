"""The ZITADEL client: what it asks, what it makes of the answers, and that no answer breaks it."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from checks.back_office import BackOffice, Client, ClientPhone, Identifier, Method, SmsProvider
from checks.backoffices.zitadel import ZitadelClient, ZitadelSettings
from checks.errors import BadResponseError, PermissionMissingError, ProviderError
from checks.reason import Reason
from checks.secret import Secret
from tests import stub_server as stubs
from tests.spoiling import anything, spoiled
from tests.stub_server import Request, StubServer, answer, answer_by

PROVIDERS: Final = "/admin/v1/sms/_search"
USERS: Final = "/v2/users"
USER: Final = "/v2/users/101"
METHODS: Final = "/v2/users/101/authentication_methods"

TOKEN: Final = "pat-0123_abc"
NUMBER: Final = "+14155550100"
SID: Final = "AC" + "0" * 32

TWILIO: Final = {
    "details": {"sequence": "3", "creationDate": "2026-01-15T01:30:15.01Z", "resourceOwner": "7"},
    "id": "71",
    "state": "SMS_PROVIDER_CONFIG_ACTIVE",
    "description": "ours",
    "twilio": {"sid": SID, "senderNumber": "+15005550006"},
}


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


def build(url: str, **more: Any) -> ZitadelClient:
    return ZitadelClient(
        ZitadelSettings(
            type="zitadel", url=url, token=Secret(TOKEN), timeout="5s", max_requests_per_second=1000, **more
        )
    )


@pytest.fixture
def client(stub: StubServer) -> Iterator[ZitadelClient]:
    reader = build(stub.url)
    yield reader
    reader.close()


def error_body(code: Any, id_: str, message: str = "words of theirs") -> dict[str, Any]:
    detail = {"@type": "type.googleapis.com/zitadel.v1.ErrorDetail", "id": id_, "message": message}
    return {"code": code, "message": f"{message} ({id_})", "details": [detail]}


def human(id_: str = "101", phone: Any = None, **more: Any) -> dict[str, Any]:
    part = {"profile": {"givenName": "Minnie"}, "email": {"email": "minnie@example.com"}, "phone": phone or {}}
    return {"userId": id_, "state": "USER_STATE_ACTIVE", "human": part, **more}


def serve_user(stub: StubServer, user: Any, methods: Any = ()) -> None:
    types = [f"AUTHENTICATION_METHOD_TYPE_{name}" for name in methods]
    stub.on(USER, answer({"details": {"sequence": "2"}, "user": user}))
    stub.on(METHODS, answer({"details": {"totalResult": str(len(types))}, "authMethodTypes": types}))


def body_of(request: Request) -> Any:
    return json.loads(request.body)


def list_providers(stub: StubServer, client: ZitadelClient, *providers: Any) -> list[SmsProvider]:
    stub.on(PROVIDERS, answer({"details": {"totalResult": str(len(providers))}, "result": list(providers)}))
    return list(client.fetch_sms_providers())


# The protocol and the settings.


def test_it_is_a_back_office(client: ZitadelClient) -> None:
    back_office: BackOffice = client
    assert back_office.fetch_sms_templates() is None


def test_the_token_is_sent_as_bearer_and_stands_in_no_repr(stub: StubServer, client: ZitadelClient) -> None:
    list_providers(stub, client)
    assert stub.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in repr(ZitadelSettings(type="zitadel", url=stub.url, token=Secret(TOKEN)))


@pytest.mark.parametrize("token", ["", "two words", "line\n", "pass\u00e9", "a\r\nX-Evil: 1"])
def test_a_token_that_is_no_bearer_token_is_refused_without_quoting_it(token: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ZitadelSettings(type="zitadel", url="https://login.example.com", token=Secret(token))
    assert "personal access token" in str(caught.value)
    assert not token.strip() or token.strip() not in str(caught.value)


@pytest.mark.parametrize("organization", ["", "a\r\nX-Evil: 1", "a/b", "1" * 65, "69\n"])
def test_an_organization_that_is_no_id_is_refused(organization: str) -> None:
    with pytest.raises(ValidationError):
        build("https://login.example.com", organization=organization)


def test_the_settings_have_a_json_schema_in_which_the_token_is_a_reference() -> None:
    token = ZitadelSettings.model_json_schema()["properties"]["token"]
    assert [set(way["properties"]) for way in token["oneOf"]] == [{"env"}, {"file"}]


def test_an_instance_under_a_path_is_asked_there(stub: StubServer) -> None:
    stub.on(f"/auth{PROVIDERS}", answer({}))
    client = build(f"{stub.url}/auth")
    assert list(client.fetch_sms_providers()) == []
    client.close()


# SMS providers.


def test_an_active_twilio_provider_is_enabled_and_complete(stub: StubServer, client: ZitadelClient) -> None:
    (provider,) = list_providers(stub, client, TWILIO)
    assert provider == SmsProvider(
        name="ours",
        vendor="twilio",
        is_enabled=True,
        identifiers={Identifier.ACCOUNT: Secret(SID), Identifier.SENDER: Secret("+15005550006")},
    )
    assert SID not in repr(provider)
    assert "15005550006" not in repr(provider)
    assert (stub.requests[0].method, stub.requests[0].path) == ("POST", PROVIDERS)


@pytest.mark.parametrize(
    "state",
    ["SMS_PROVIDER_CONFIG_INACTIVE", "SMS_PROVIDER_CONFIG_STATE_UNSPECIFIED", "SMS_PROVIDER_CONFIG_NEW", "", None],
)
def test_a_provider_in_any_other_state_is_not_enabled(stub: StubServer, client: ZitadelClient, state: Any) -> None:
    (provider,) = list_providers(stub, client, TWILIO | {"state": state})
    assert provider.is_enabled is False


def test_a_provider_without_a_state_is_not_enabled(stub: StubServer, client: ZitadelClient) -> None:
    (provider,) = list_providers(stub, client, {name: TWILIO[name] for name in ("id", "twilio")})
    assert provider.is_enabled is False


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ({"twilio": {}}, ("sid", "senderNumber or verifyServiceSid")),
        ({"twilio": {"sid": "", "senderNumber": "+15005550006"}}, ("sid",)),
        ({"twilio": {"sid": SID}}, ("senderNumber or verifyServiceSid",)),
        ({"twilio": {"sid": SID, "senderNumber": None, "verifyServiceSid": "VA1"}}, ()),
        ({"http": {}}, ("endpoint",)),
        ({"http": {"endpoint": "https://sms.example.com", "signingKey": "k"}}, ()),
    ],
)
def test_settings_that_a_type_demands_and_that_are_empty_are_told(
    stub: StubServer, client: ZitadelClient, kind: dict[str, Any], missing: tuple[str, ...]
) -> None:
    (provider,) = list_providers(stub, client, {"id": "1"} | kind)
    assert (provider.vendor, provider.missing) == (*kind, missing)


def test_a_provider_of_a_type_that_is_not_known_is_told_with_what_could_not_be_judged(
    stub: StubServer, client: ZitadelClient
) -> None:
    (provider,) = list_providers(stub, client, {"id": "5", "state": "SMS_PROVIDER_CONFIG_ACTIVE", "pigeon": {}})
    assert (provider.vendor, provider.is_enabled) == ("unknown", True)
    assert provider.unreadable


@pytest.mark.parametrize(
    ("number", "sender"),
    [
        ("+15005550006", "+15005550006"),
        ("+1 (500) 555-0006", "+15005550006"),
        ("15005550006", "+15005550006"),
        (" Example ", "Example"),
        ("72543", "72543"),
    ],
)
def test_a_sender_is_told_in_the_form_in_which_senders_are_compared(
    stub: StubServer, client: ZitadelClient, number: str, sender: str
) -> None:
    (provider,) = list_providers(stub, client, TWILIO | {"twilio": {"sid": SID, "senderNumber": number}})
    assert provider.identifiers[Identifier.SENDER] == Secret(sender)


def test_a_sender_of_spaces_is_none(stub: StubServer, client: ZitadelClient) -> None:
    (provider,) = list_providers(stub, client, TWILIO | {"twilio": {"sid": SID, "senderNumber": "  "}})
    assert Identifier.SENDER not in provider.identifiers


def test_an_instance_without_providers_has_none(stub: StubServer, client: ZitadelClient) -> None:
    stub.on(PROVIDERS, answer({}))
    assert list(client.fetch_sms_providers()) == []


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("Twilio, main", "Twilio, main"),
        ("", "twilio 71"),
        (" ", "twilio 71"),
        (None, "twilio 71"),
        (f"call\x1b[31m {NUMBER}", "call[31m ***"),
        ("x" * 200, "x" * 80),
    ],
)
def test_a_provider_is_called_by_its_description_made_safe(
    stub: StubServer, client: ZitadelClient, description: Any, name: str
) -> None:
    (provider,) = list_providers(stub, client, TWILIO | {"description": description})
    assert provider.name == name


# One client.


def test_sms_and_totp_are_told_whether_they_are_on(stub: StubServer, client: ZitadelClient) -> None:
    serve_user(stub, human(phone={"phone": NUMBER, "isVerified": True}), ["PASSWORD", "OTP_SMS"])
    found = client.fetch_client("101")
    assert found == Client(
        methods={Method.SMS: True, Method.TOTP: False, Method.OTHER: False},
        phones=(ClientPhone(number=NUMBER, is_confirmed=True),),
    )
    assert NUMBER not in repr(found)


@pytest.mark.parametrize(
    ("listed", "on"),
    [
        ([], set()),
        (["PASSWORD", "IDP", "UNSPECIFIED"], set()),
        (["TOTP"], {Method.TOTP}),
        (["U2F"], {Method.OTHER}),
        (["PASSKEY", "OTP_EMAIL", "SOMETHING_NEW"], {Method.OTHER}),
        (["TOTP", "OTP_SMS", "OTP_EMAIL"], set(Method)),
    ],
)
def test_a_method_that_is_not_listed_is_off(
    stub: StubServer, client: ZitadelClient, listed: list[str], on: set[Method]
) -> None:
    serve_user(stub, human(), listed)
    found = client.fetch_client("101")
    assert found is not None
    assert found.methods == {method: method in on for method in Method}


@pytest.mark.parametrize(
    ("phone", "phones"),
    [
        (None, ()),
        ({"isVerified": True}, ()),
        ({"phone": NUMBER}, (ClientPhone(number=NUMBER, is_confirmed=False),)),
        ({"phone": NUMBER, "isVerified": None}, (ClientPhone(number=NUMBER, is_confirmed=False),)),
        ({"phone": "079 123 45 67", "isVerified": True}, (ClientPhone(number="", is_confirmed=True),)),
    ],
)
def test_a_phone_is_confirmed_only_when_that_is_told(
    stub: StubServer, client: ZitadelClient, phone: Any, phones: tuple[ClientPhone, ...]
) -> None:
    serve_user(stub, human(phone=phone))
    found = client.fetch_client("101")
    assert found is not None
    assert found.phones == phones


def test_a_user_without_a_phone_part_has_no_phone(stub: StubServer, client: ZitadelClient) -> None:
    serve_user(stub, {"userId": "101", "human": {}})
    found = client.fetch_client("101")
    assert found is not None
    assert found.has_confirmed_phone is False


@pytest.mark.parametrize("code", [5, "not_found"])
def test_a_client_that_is_not_found_is_none(stub: StubServer, client: ZitadelClient, code: Any) -> None:
    stub.on(USER, answer(error_body(code, "QUERY-Dfbg2"), status=404))
    assert client.fetch_client("101") is None


def test_a_client_that_goes_between_the_two_questions_is_none(stub: StubServer, client: ZitadelClient) -> None:
    serve_user(stub, human())
    stub.on(METHODS, answer(error_body(5, "QUERY-Dfbg2"), status=404))
    assert client.fetch_client("101") is None


def test_a_service_user_is_no_client(stub: StubServer, client: ZitadelClient) -> None:
    serve_user(stub, {"userId": "101", "machine": {"name": "exporter"}})
    assert client.fetch_client("101") is None


@pytest.mark.parametrize("id_", ["", ".", "..", "a/b", "../v2/users", "1?x=1", "1#", "%2e", "1\n", "\u0661", "1" * 65])
def test_an_id_that_is_none_is_an_unknown_client_and_never_sent(
    stub: StubServer, client: ZitadelClient, id_: str
) -> None:
    assert client.fetch_client(id_) is None
    assert stub.requests == []


def test_another_user_than_was_asked_for_is_a_bad_response(stub: StubServer, client: ZitadelClient) -> None:
    serve_user(stub, human("102", {"phone": NUMBER}))
    with pytest.raises(BadResponseError, match="another user"):
        client.fetch_client("101")


# Many clients.


class Directory:
    """Pages as ZITADEL does: it cuts a page, and then leaves out whom the token may not see."""

    def __init__(self, users: list[dict[str, Any]], hidden: frozenset[str] = frozenset()) -> None:
        self.users, self.hidden = users, hidden

    def __call__(self, request: Request) -> Any:
        asked = body_of(request)
        offset, limit = int(asked["query"]["offset"]), asked["query"]["limit"]
        page = self.users[offset : offset + limit]
        if not page:
            return {"details": {}}
        seen = [user for user in page if user["userId"] not in self.hidden]
        return {"details": {"totalResult": str(len(self.users))}, "result": seen}


def read_all(client: ZitadelClient, limit: int) -> tuple[list[str], int]:
    ids: list[str] = []
    resume, pages = None, 0
    while pages == 0 or resume is not None:
        page = client.read_clients(resume=resume, limit=limit)
        ids += page.ids
        resume, pages = page.resume, pages + 1
    return ids, pages


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (1, 1), (3, 1), (4, 2), (7, 3)])
def test_every_client_is_read_once_page_by_page(
    stub: StubServer, client: ZitadelClient, count: int, pages: int
) -> None:
    users = [human(str(number)) for number in range(count)]
    stub.on(USERS, answer_by(Directory(users)))
    assert read_all(client, limit=3) == ([str(number) for number in range(count)], pages)


def test_a_page_that_is_short_of_hidden_clients_is_not_the_last_one(stub: StubServer, client: ZitadelClient) -> None:
    users = [human(str(number)) for number in range(6)]
    stub.on(USERS, answer_by(Directory(users, frozenset({"0", "1", "4"}))))
    assert read_all(client, limit=3) == (["2", "3", "5"], 2)


def test_a_page_on_which_all_are_hidden_is_a_missing_permission(stub: StubServer, client: ZitadelClient) -> None:
    stub.on(USERS, answer_by(Directory([human("1"), human("2")], frozenset({"1", "2"}))))
    with pytest.raises(PermissionMissingError, match="IAM_OWNER_VIEWER"):
        client.read_clients(resume=None, limit=3)
    with pytest.raises(PermissionMissingError):
        client.find_clients(NUMBER)


def test_a_full_page_without_a_total_is_not_the_last_one(stub: StubServer, client: ZitadelClient) -> None:
    stub.on(USERS, answer({"result": [human("1"), human("2")]}))
    assert client.read_clients(resume=None, limit=2).resume == "2"
    assert client.read_clients(resume=None, limit=3).resume is None


def test_humans_are_asked_for_in_the_order_of_their_creation(stub: StubServer, client: ZitadelClient) -> None:
    stub.on(USERS, answer({}))
    client.read_clients(resume="40", limit=20)
    assert body_of(stub.requests[0]) == {
        "query": {"offset": 40, "limit": 20, "asc": True},
        "sortingColumn": "USER_FIELD_NAME_CREATION_DATE",
        "queries": [{"typeQuery": {"type": "TYPE_HUMAN"}}],
    }
    assert "x-zitadel-orgid" not in stub.requests[0].headers


def test_an_organization_limits_the_clients_but_not_the_providers(stub: StubServer) -> None:
    stub.on(USERS, answer({}))
    stub.on(PROVIDERS, answer({}))
    client = build(stub.url, organization="6900")
    client.read_clients(resume=None, limit=20)
    client.fetch_sms_providers()
    client.close()
    users, providers = stub.requests
    assert {"organizationIdQuery": {"organizationId": "6900"}} in body_of(users)["queries"]
    assert users.headers["x-zitadel-orgid"] == "6900"
    assert "x-zitadel-orgid" not in providers.headers


@pytest.mark.parametrize("resume", ["", "-1", "1e3", "0x10", "1 ", "\u0661", "9" * 19, "'; --", "null"])
def test_a_place_to_resume_that_is_none_begins_anew(stub: StubServer, client: ZitadelClient, resume: str) -> None:
    stub.on(USERS, answer({}))
    client.read_clients(resume=resume, limit=20)
    assert body_of(stub.requests[0])["query"]["offset"] == 0


@pytest.mark.parametrize(("limit", "asked"), [(-1, 1), (0, 1), (100, 100), (5000, 100)])
def test_no_more_is_asked_for_than_an_instance_gives(
    stub: StubServer, client: ZitadelClient, limit: int, asked: int
) -> None:
    stub.on(USERS, answer({}))
    client.read_clients(resume=None, limit=limit)
    assert body_of(stub.requests[0])["query"]["limit"] == asked


def test_service_users_and_ids_that_are_none_are_left_out(stub: StubServer, client: ZitadelClient) -> None:
    users = [human("1"), {"userId": "2", "machine": {}}, human("../3"), human("x" * 65), human("4")]
    stub.on(USERS, answer_by(Directory(users)))
    page = client.read_clients(resume=None, limit=20)
    assert (page.ids, page.resume) == (("1", "4"), None)


def test_clients_are_found_by_their_number_which_stands_in_no_url(stub: StubServer, client: ZitadelClient) -> None:
    stub.on(USERS, answer({"details": {"totalResult": "1"}, "result": [human("7", {"phone": NUMBER})]}))
    assert list(client.find_clients(NUMBER)) == ["7"]
    (request,) = stub.requests
    query = {"phoneQuery": {"number": NUMBER, "method": "TEXT_QUERY_METHOD_EQUALS"}}
    assert query in body_of(request)["queries"]
    assert request.target == USERS


def test_a_client_with_another_number_is_not_found(stub: StubServer, client: ZitadelClient) -> None:
    users = [human("1"), human("2", {"phone": "+14155550199"}), human("3", {"phone": NUMBER})]
    stub.on(USERS, answer_by(Directory(users)))
    assert list(client.find_clients(NUMBER)) == ["3"]


@pytest.mark.parametrize("number", ["", "14155550100", "+0", "+1415555010%", f"{NUMBER}\n"])
def test_a_number_that_is_not_in_e164_form_belongs_to_nobody(
    stub: StubServer, client: ZitadelClient, number: str
) -> None:
    assert list(client.find_clients(number)) == []
    assert stub.requests == []


# Faults.


def questions(client: ZitadelClient) -> tuple[Callable[[], Any], ...]:
    return (
        client.fetch_sms_providers,
        lambda: client.read_clients(resume=None, limit=20),
        lambda: client.fetch_client("101"),
        lambda: client.find_clients(NUMBER),
    )


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, error_body(16, "AUTH-7fs1e"), Reason.CREDENTIALS_REJECTED),
        (403, error_body(7, "AUTH-5mWD2"), Reason.PERMISSION_MISSING),
        (404, error_body(5, "AUTHZ-cdgFk"), Reason.PERMISSION_MISSING),
        (404, {"code": "not_found", "message": "membership not found (AUTHZ-cdgFk)"}, Reason.PERMISSION_MISSING),
        (404, b"<html>no such page</html>", Reason.BAD_RESPONSE),
        (404, {"code": 12, "message": "Not Found"}, Reason.BAD_RESPONSE),
        (404, [5], Reason.BAD_RESPONSE),
        (400, error_body(3, "GRPC-vR9nC"), Reason.BAD_RESPONSE),
        (429, error_body(8, "QUOTA-xxxxx"), Reason.RATE_LIMITED),
        (500, error_body(13, "QUERY-Bgah2"), Reason.PROVIDER_OUTAGE),
        (503, b"", Reason.PROVIDER_OUTAGE),
    ],
)
def test_a_refusal_is_told_by_its_reason_and_in_our_words(
    stub: StubServer, client: ZitadelClient, status: int, body: Any, reason: Reason
) -> None:
    stub.everywhere(answer(body, status=status))
    for question in questions(client):
        with pytest.raises(ProviderError) as caught:
            question()
        assert caught.value.reason is reason
        assert "words of theirs" not in str(caught.value)


def test_a_list_that_is_not_found_is_a_bad_response(stub: StubServer, client: ZitadelClient) -> None:
    stub.everywhere(answer(error_body(5, "QUERY-1kIjX"), status=404))
    for question in (client.fetch_sms_providers, lambda: client.find_clients(NUMBER)):
        with pytest.raises(BadResponseError):
            question()


def test_a_broken_connection_and_a_redirect_are_told_by_their_reasons(stub: StubServer, client: ZitadelClient) -> None:
    for behaviour, reason in (
        (stubs.reset(), Reason.UNREACHABLE),
        (stubs.redirect("https://elsewhere.example.com/"), Reason.BAD_RESPONSE),
    ):
        stub.everywhere(behaviour)
        for question in questions(client):
            with pytest.raises(ProviderError) as caught:
                question()
            assert caught.value.reason is reason


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[]", b"null", b"NaN", b'{"result": 1}', b'{"result": [1]}', b'{"user": []}', b"[" * 100_000],
)
def test_an_answer_that_is_none_of_zitadels_is_a_bad_response(
    stub: StubServer, client: ZitadelClient, body: bytes
) -> None:
    stub.everywhere(answer(body))
    with pytest.raises(BadResponseError):
        client.fetch_client("101")
    if b"user" not in body:
        with pytest.raises(BadResponseError):
            client.fetch_sms_providers()


@pytest.mark.parametrize("details", [1, True, "QUERY-Dfbg2", {}, [1, {"id": 5}, {}]])
def test_a_refusal_with_odd_details_is_still_understood(stub: StubServer, client: ZitadelClient, details: Any) -> None:
    stub.on(USER, answer({"code": 5, "message": None, "details": details}, status=404))
    assert client.fetch_client("101") is None


@pytest.mark.parametrize(
    "user",
    [
        human(phone={"phone": NUMBER, "isVerified": "true"}),
        human(phone={"phone": NUMBER, "isVerified": 1}),
        human(phone={"phone": 14155550100}),
        human(phone=[NUMBER]),
        {"userId": "101", "human": True},
        {"userId": "101"},
        {"userId": 101, "human": {}},
        {"human": {}},
        None,
    ],
)
def test_a_user_that_is_not_as_documented_is_a_bad_response(stub: StubServer, client: ZitadelClient, user: Any) -> None:
    serve_user(stub, user)
    with pytest.raises(BadResponseError):
        client.fetch_client("101")


@pytest.mark.parametrize(
    "provider",
    [
        {"twilio": {}},
        TWILIO | {"id": 71},
        TWILIO | {"id": f"71 {NUMBER}"},
        TWILIO | {"state": 1},
        TWILIO | {"twilio": [SID]},
        TWILIO | {"twilio": {"sid": 5}},
        {"id": "1", "http": {"endpoint": {}}},
        None,
    ],
)
def test_a_provider_that_is_not_as_documented_is_a_bad_response(
    stub: StubServer, client: ZitadelClient, provider: Any
) -> None:
    with pytest.raises(BadResponseError):
        list_providers(stub, client, provider)


@pytest.mark.parametrize("methods", [[6], [None], "TOTP", {}, 1])
def test_methods_that_are_not_as_documented_are_a_bad_response(
    stub: StubServer, client: ZitadelClient, methods: Any
) -> None:
    serve_user(stub, human())
    stub.on(METHODS, answer({"authMethodTypes": methods}))
    with pytest.raises(BadResponseError):
        client.fetch_client("101")


@pytest.mark.parametrize("total", [True, -1, 1.5, "many", "9" * 19, [], {}])
def test_a_total_that_is_no_number_is_a_bad_response(stub: StubServer, client: ZitadelClient, total: Any) -> None:
    stub.on(USERS, answer({"details": {"totalResult": total}}))
    with pytest.raises(BadResponseError):
        client.read_clients(resume=None, limit=20)


# Fuzz: good answers in which any part is something else.

_ANYTHING: Final = anything(["\ud800", "101", NUMBER, "+1\u0661\u0661\u0661\u0661\u0661\u0661\u0661", "9" * 5000])

_GOOD_USER: Final = human(phone={"phone": NUMBER, "isVerified": True})
_GOOD: Final[dict[str, Any]] = {
    PROVIDERS: {"result": [TWILIO, {"id": "2", "http": {"endpoint": "https://sms.example.com"}}]},
    USERS: {"details": {"totalResult": "30"}, "result": [_GOOD_USER, {"userId": "9", "machine": {}}]},
    USER: {"user": _GOOD_USER},
    METHODS: {"authMethodTypes": ["AUTHENTICATION_METHOD_TYPE_TOTP", "AUTHENTICATION_METHOD_TYPE_OTP_SMS"]},
}


def ask(question: Callable[[], Any]) -> tuple[Any, ProviderError | None]:
    try:
        return question(), None
    except ProviderError as error:
        return None, error


def assert_well_typed(result: Any) -> None:
    """Assert that everything in an answer of ours is of the type that it is declared to be."""
    match result:
        case None | str():
            pass
        case tuple() | list():
            for part in result:
                assert_well_typed(part)
        case SmsProvider():
            assert all(type(text) is str for text in (result.name, result.vendor, *result.missing, *result.unreadable))
            assert 0 < len(result.name.encode()) <= 400
            assert type(result.is_enabled) is bool
            assert all(type(key) is Identifier for key in result.identifiers)
            assert all(type(value.reveal()) is str for value in result.identifiers.values())
        case Client():
            assert dict(result.methods).keys() == set(Method)
            assert all(type(value) is bool for value in result.methods.values())
            assert result.phones is not None
            assert all(type(phone.number) is str for phone in result.phones)
            assert all(type(phone.is_confirmed) is bool for phone in result.phones)
            assert all(phone.number == "" or phone.number.startswith("+") for phone in result.phones)
        case _:
            assert all(id_.isascii() and id_ and "/" not in id_ for id_ in result.ids)
            assert result.resume is None or result.resume.isdigit()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_answer_raises_anything_else_or_is_taken_for_what_it_is_not(
    data: st.DataObject, stub: StubServer, client: ZitadelClient
) -> None:
    path = data.draw(st.sampled_from(list(_GOOD)))
    for good_path, good in _GOOD.items():
        stub.on(good_path, answer(data.draw(spoiled(good, _ANYTHING)) if good_path == path else good))
    for question in questions(client):
        result, error = ask(question)
        assert_well_typed(result)
        assert NUMBER not in str(error)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=spoiled(error_body(5, "QUERY-Dfbg2"), _ANYTHING))
def test_no_refusal_raises_anything_else(stub: StubServer, client: ZitadelClient, body: Any) -> None:
    stub.everywhere(answer(body, status=404))
    for question in questions(client):
        result, error = ask(question)
        assert_well_typed(result)
        assert error is None or error.reason in (Reason.BAD_RESPONSE, Reason.PERMISSION_MISSING)
