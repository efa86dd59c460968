"""Signed calls of AWS's APIs, and what their answers are.

Requests are as in the models of botocore 1.44.5: pinpoint-sms-voice-v2 and CloudWatch by JSON 1.0, SNS by the query
protocol, whose answers are XML. The signature is botocore's own; all else is our transport, with its deadlines.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode
from xml.etree import ElementTree

from ...errors import BadResponseError, ProviderError
from ...reason import Reason
from ..fields import Fields
from ..http import Reply
from ..json_api import JsonApi
from .settings import AwsSettings, host_of

if TYPE_CHECKING:
    from botocore.credentials import Credentials

NAME: Final = "AWS"

_TARGETS: Final = {"sms-voice": "PinpointSMSVoiceV2", "monitoring": "GraniteServiceVersion20100801"}
_SNS_VERSION: Final = "2010-03-31"
_MOST_PAGES: Final = 50
_MOST_ROWS: Final = 100  # of a page: MaxResults
_DEEPEST: Final = 8
_CERTIFICATE_BYTES: Final = 64 * 1024


class Calls:
    """One account's calls in one region. Safe to use from several threads.

    Raises ProviderError, as all that asks does. Credentials that are not in the settings are looked for, and renewed,
    by botocore, in its own time and outside of any deadline.
    """

    def __init__(self, api: JsonApi, settings: AwsSettings) -> None:
        # They cost 30 MB and a quarter of a second, which only who has an account at AWS pays.
        from botocore.auth import SigV4Auth  # noqa: PLC0415
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415

        logging.getLogger("botocore").setLevel(logging.CRITICAL)  # at DEBUG it logs tokens
        self._auth, self._request = SigV4Auth, AWSRequest
        self._api = api
        self._settings = settings

    @cached_property
    def _credentials(self) -> "Credentials":
        from botocore.credentials import Credentials  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415
        from botocore.session import Session  # noqa: PLC0415

        settings = self._settings
        if settings.access_key_id is not None and settings.secret_access_key is not None:
            return Credentials(settings.access_key_id, settings.secret_access_key.reveal())
        try:
            found = Session(profile=settings.profile).get_credentials()
        except BotoCoreError as error:
            raise _no_credentials(error) from None
        if found is None:
            raise ProviderError(Reason.CREDENTIALS_REJECTED, "no credentials are where AWS's own tools look for them")
        return found

    def ask(self, service: str, operation: str, payload: Mapping[str, Any] | None = None) -> Fields:
        """Return the answer of an operation of ``sms-voice`` or ``monitoring``."""
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"{_TARGETS[service]}.{operation}",
        }
        body = json.dumps(payload or {}).encode()
        url = self._url(service, self._settings.region)
        return self._api.ask("POST", url, body=body, headers=self._signed(service, url, body, headers)).fields

    def rows(self, operation: str, key: str, payload: Mapping[str, Any] | None = None) -> Iterator[Fields]:
        """Yield what an operation of ``sms-voice`` lists, page by page."""
        token: Mapping[str, str] = {}
        for _ in range(_MOST_PAGES):
            page = self.ask("sms-voice", operation, {**(payload or {}), "MaxResults": _MOST_ROWS, **token})
            yield from (Fields(row, NAME, f"row of {key}") for row in page.rows(key))
            if page.get("NextToken") in (None, "", token.get("NextToken")):
                return
            token = {"NextToken": page.text("NextToken")}

    def ask_sns(self, action: str, parameters: Mapping[str, str] | None = None) -> Fields:
        """Return the answer of an action of SNS."""
        return self._ask_sns(self._settings.region, action, parameters or {}, is_signed=True)

    def confirm_subscription(self, region: str, topic_arn: str, token: str) -> None:
        """Confirm a subscription, without a signature: the token is all that is needed, and so no permission."""
        parameters = {"TopicArn": topic_arn, "Token": token}
        self._ask_sns(region, "ConfirmSubscription", parameters, is_signed=False).text("SubscriptionArn")

    def fetch_certificate(self, region: str, path: str) -> bytes:
        """Return a certificate of SNS in PEM. Whoever else wants to ask goes first: anybody can make us ask for it."""
        url = self._url("sns", region).removesuffix("/") + path
        answer = self._api.ask(
            "GET",
            url,
            headers={"Accept": "*/*"},
            body_limit_bytes=_CERTIFICATE_BYTES,
            yields=True,
            decode=lambda reply: reply.body,
        )
        return bytes(answer.payload)

    def _ask_sns(self, region: str, action: str, parameters: Mapping[str, str], *, is_signed: bool) -> Fields:
        body = urlencode({"Action": action, "Version": _SNS_VERSION, **parameters}).encode()
        url = self._url("sns", region)
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        if is_signed:
            headers = self._signed("sns", url, body, headers)
        answer = self._api.ask("POST", url, body=body, headers={**headers, "Accept": "*/*"}, decode=parse_xml)
        return answer.fields.inner(f"{action}Result")

    def _url(self, service: str, region: str) -> str:
        return f"{self._settings.base_url or f'https://{host_of(service, region)}'}/"

    def _signed(self, service: str, url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415

        request = self._request(method="POST", url=url, data=body, headers=dict(headers))
        try:
            key = self._credentials.get_frozen_credentials()  # renews them where they run out
        except BotoCoreError as error:
            raise _no_credentials(error) from None
        self._auth(key, service, self._settings.region).add_auth(request)
        return {name: str(value) for name, value in request.headers.items()}


def _no_credentials(error: Exception) -> ProviderError:
    return ProviderError(Reason.CREDENTIALS_REJECTED, f"AWS's credentials cannot be got: {type(error).__name__}")


def parse_xml(reply: Reply) -> Any:
    """Return an answer in XML as it would be in JSON: an object of what is in the root, all values text.

    Raises BadResponseError for what is no XML, and for what has a document type: with one it could grow.
    """
    problem = BadResponseError("the answer is not XML")
    try:
        text = reply.body.decode()
        if "<!" in text:
            raise problem
        root = ElementTree.fromstring(text)  # noqa: S314  no document type: nothing expands, nothing is fetched
    except (UnicodeDecodeError, ElementTree.ParseError, ValueError):
        raise problem from None
    value = _value(root, _DEEPEST)
    if not isinstance(value, dict):
        raise problem
    return value


def _value(element: ElementTree.Element, depth: int) -> Any:
    if not len(element):
        return element.text or ""
    if depth == 0:
        raise BadResponseError("the answer is too deep")
    inner = [(_tag(child), _value(child, depth - 1)) for child in element]
    if all(tag == "entry" and isinstance(value, dict) for tag, value in inner):  # a map: SNS writes it so
        entries = [(value.get("key", ""), value.get("value", "")) for _, value in inner]
        if not all(isinstance(key, str) for key, _ in entries):
            raise BadResponseError("the answer has a map whose key is no text")
        return dict(entries)
    return dict(inner)


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
