"""Sends one message and asks how far it has come: for canaries, which are never sent twice.

https://www.twilio.com/docs/messaging/api/message-resource. A number of Twilio's own cannot receive codes (error
30038), so the recipient has to be a real phone.
"""

from collections.abc import Mapping
from typing import Any, Final

from ...clients import CanaryStatus
from ...errors import BadResponseError
from ...messages import Status
from ...reason import Reason
from ..http import Reply
from .answers import parse_code, parse_currency, parse_number
from .log import MESSAGE_SID, STATUSES, Failure

_FAILURES: Final = (Status.UNDELIVERED, Status.FAILED)


def form_of(*, to: str, sender: str, text: str, validity_seconds: int) -> Mapping[str, str]:
    """Return the fields of a request that sends."""
    by = "From" if sender.startswith("+") else "MessagingServiceSid"
    return {"To": to, by: sender, "Body": text, "ValidityPeriod": str(validity_seconds)}


def parse_sid(reply: Reply) -> str:
    """Return the SID of the message that was sent. Raises BadResponseError."""
    sid = _message(reply).get("sid")
    if not isinstance(sid, str) or not MESSAGE_SID.fullmatch(sid):
        raise BadResponseError("Twilio gives no SID of the message")
    return sid


def parse_status(reply: Reply, failure: Failure) -> CanaryStatus:
    """Return how far a message has come. Raises BadResponseError."""
    message = _message(reply)
    word = message.get("status")
    status = STATUSES.get(word) if isinstance(word, str) else None
    if status is None:
        raise BadResponseError("a message has an unknown status")
    reason, code = None, None
    if status in _FAILURES:
        code = parse_code(message.get("error_code"))
        reason = Reason.DELIVERY_FAILING if code is None else failure(code)[0]
    elif status is Status.CANCELED:
        reason = Reason.DELIVERY_FAILING
    price = message.get("price")
    return CanaryStatus(
        status=status,
        reason=reason,
        code=None if code is None else str(code),
        cost=None if price in (None, "") else abs(parse_number(price, "price")),
        currency=None if price in (None, "") else parse_currency(message.get("price_unit")),
    )


def _message(reply: Reply) -> Mapping[str, Any]:
    message = reply.json()
    if not isinstance(message, dict):
        raise BadResponseError("Twilio's answer is not of the documented shape")
    return message
