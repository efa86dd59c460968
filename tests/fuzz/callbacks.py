"""Posts to the public listener: what nobody has signed is refused, what is signed is understood or refused.

Every provider is posted to without its signature by itself. A row in ``SIGNERS`` lets one be posted to with it.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from hypothesis import assume
from hypothesis import strategies as st
from pydantic import ValidationError

from checks.callbacks import Callback, CallbackClient, CallbackRefusedError
from checks.messages import Receipt
from checks.providers import PROVIDERS
from checks.secret import Secret
from checks.targets import build_client
from tests import webhooks
from tests.fuzz import schemas
from tests.fuzz.answers import assert_sane
from tests.fuzz.target import Run, Target
from tests.spoiling import anything, spoiled
from tests.test_provider_faults import VENDORS

NAME: Final = "callbacks"
_ARRIVED_AT: Final = 1_795_521_605.25
_TIME: Final = "2026-11-24T12:00:05.000Z"
_ODD: Final = (
    "\x00\x1b[31m",
    "9" * 5000,
    "\ud800",
    "whatsapp:+49",
    "+" + "1" * 40,
    "0001-01-01T00:00:00",
    "delivered",
    "\u0661",
)
_SECRET: Final = Secret(webhooks.AUTH_TOKEN)
_HEADER_NAMES: Final = (
    "x-twilio-signature",
    "authorization",
    "content-type",
    "i-twilio-signature-settings",
    "x-signature",
)
_HEADER_VALUES: Final = (
    "",
    "application/json",
    "application/x-www-form-urlencoded",
    "Basic Og==",
    "a=b,c=d",
    "\xff",
    "e30=",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """How a vendor's genuine posts are made."""

    settings: Mapping[str, Any]
    good: Any  # what is posted; a value of JSON
    contents: st.SearchStrategy[Any]  # the same, spoiled
    sign: Callable[[Any], Callback]


def _sign_for_twilio(content: Any) -> Callback:
    if isinstance(content, dict):
        fields = {str(name): str(value) for name, value in content.items()}
        fields = {_encodable(name): _encodable(value) for name, value in fields.items()}
        body, headers = webhooks.signed_form(fields)
        query = ""
    else:
        body, query, headers = webhooks.signed_events(content)
    return Callback(query, {name.lower(): value for name, value in headers.items()}, body, _ARRIVED_AT)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


_EVENT: Final = webhooks.event(1, "undelivered", _TIME, errorCode=30007, mcc="262", mnc="01")
_FORM_FIELDS: Final = ("MessageStatus", "SmsStatus", "ErrorCode", "MessageSid", "AccountSid", "To")

SIGNERS: Final[Mapping[str, Signer]] = {
    "twilio": Signer(
        settings={
            "type": "twilio",
            "account_sid": webhooks.ACCOUNT_SID,
            "auth_token": _SECRET,
            "callbacks": {"public_url": webhooks.PUBLIC_URL, "shared_key": Secret(webhooks.SHARED_KEY)},
        },
        good=[_EVENT],
        contents=st.one_of(
            spoiled(webhooks.form(1, "undelivered", ErrorCode="30007"), anything(_ODD), _FORM_FIELDS).filter(
                lambda content: isinstance(content, dict)
            ),
            spoiled([_EVENT, webhooks.event(2, "delivered", _TIME)], anything(_ODD), (*_EVENT, *_EVENT["data"])).filter(
                lambda content: not isinstance(content, dict)
            ),
        ),
        sign=_sign_for_twilio,
    ),
}


@st.composite
def _examples(draw: st.DrawFn) -> Any:
    vendor = draw(st.sampled_from(sorted(VENDORS)))
    if vendor in SIGNERS and draw(st.integers(0, 3)):
        example = {"vendor": vendor, "content": draw(SIGNERS[vendor].contents)}
        if draw(st.booleans()):  # changed on its way
            example["at"], example["byte"] = draw(st.integers(0, 1500)), draw(st.integers(1, 255))
        return example
    text = draw(st.binary(max_size=60) | st.sampled_from([b"{}", b"[]", b"a=b&c=d", b"[" * 2000, b"\xff"]))
    return {
        "vendor": vendor,
        "settings": draw(_callback_settings(vendor)),
        "query": draw(st.sampled_from(["", "a=1", "bodySHA256=", "secret=x", "%"]) | st.text(max_size=8)),
        "headers": draw(
            st.dictionaries(
                st.sampled_from(_HEADER_NAMES), st.sampled_from(_HEADER_VALUES) | st.text(max_size=30), max_size=4
            )
        ),
        "body": base64.b64encode(text).decode(),
    }


@cache
def _callback_settings(vendor: str) -> st.SearchStrategy[Any]:
    """Return what a vendor's settings can say of callbacks."""
    schema = PROVIDERS[vendor].settings.model_json_schema()
    described = schema["properties"].get("callbacks", {"type": "null"})
    return schemas.documents({**described, "$defs": schema.get("$defs", {})})


@contextmanager
def _opened() -> Iterator[Run]:
    yield _check


def _check(example: Any) -> None:
    vendor: str = example["vendor"]
    if "content" in example:
        _check_signed(client_of(vendor), SIGNERS[vendor].sign(example["content"]), example)
        return
    row, spec = VENDORS[vendor], PROVIDERS[vendor]
    try:
        given = {**row.settings, "callbacks": example["settings"]}
        settings = spec.settings.model_validate(given, context={"resolve_secret": lambda _: _SECRET})
    except ValidationError:
        assume(False)
    client = build_client(settings)
    if isinstance(client, CallbackClient):
        callback = Callback(example["query"], example["headers"], base64.b64decode(example["body"]), _ARRIVED_AT)
        assert read(client, callback) is None  # nobody has signed it
    client.close()


@cache
def client_of(vendor: str) -> CallbackClient:
    """Return a client that believes what its vendor's signer signs."""
    client = build_client(PROVIDERS[vendor].settings.model_validate(SIGNERS[vendor].settings))
    assert isinstance(client, CallbackClient)
    return client


def _check_signed(client: CallbackClient, genuine: Callback, example: Any) -> None:
    receipts = read(client, genuine)
    if "at" in example and genuine.body:
        body = bytearray(genuine.body)
        body[example["at"] % len(body)] ^= example["byte"]
        changed = Callback(genuine.query, genuine.headers, bytes(body), genuine.at)
        forged = read(client, changed)
        assert forged is None or repr(forged) == repr(receipts)  # the same, written in another way


def read(client: CallbackClient, callback: Callback) -> object:
    """Return the receipts in a post, after a look at them; None when it is refused."""
    try:
        receipts = client.read_callback(callback)
    except CallbackRefusedError:
        return None
    for receipt in receipts:
        assert type(receipt) is Receipt
        assert_sane(receipt)
        assert len(receipt.operator) <= 100
        assert receipt.code is None or len(receipt.code) <= 20
        assert receipt.recipient not in repr(receipt) or not receipt.recipient
    return list(receipts)


TARGET: Final = Target(name=NAME, examples=_examples(), open=_opened)
