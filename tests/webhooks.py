"""Posts as Twilio makes them, signed by the SDK's own code."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from twilio.request_validator import RequestValidator

ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
SHARED_KEY = "a shared key for the tests"
PUBLIC_URL = "https://codes.example.com/callbacks/twilio"
NUMBER = "+4915112345678"


def form(number: int = 1, status: str = "delivered", **more: str) -> dict[str, str]:
    """Return the fields of a status callback."""
    sid = f"SM{number:032x}"
    return {
        "AccountSid": ACCOUNT_SID,
        "ApiVersion": "2010-04-01",
        "From": "+14155550100",
        "MessageSid": sid,
        "MessageStatus": status,
        "MessagingServiceSid": "MG" + "2" * 32,
        "RawDlrDoneDate": "2611241200",
        "SmsSid": sid,
        "SmsStatus": status,
        "To": NUMBER,
        **more,
    }


def signed_form(fields: Mapping[str, str], *, token: str = AUTH_TOKEN) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a callback."""
    signature = RequestValidator(token).compute_signature(PUBLIC_URL, fields)
    return urlencode(fields).encode(), {
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "X-Twilio-Signature": signature,
    }


def event(number: int, status: str, timestamp: str, **more: Any) -> dict[str, Any]:
    """Return one CloudEvent of Event Streams."""
    return {
        "specversion": "1.0",
        "type": f"com.twilio.messaging.message.{status.lower()}",
        "source": f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/SM{number:032x}",
        "id": f"EZ{number:032x}",
        "dataschema": "https://events-schemas.twilio.com/Messaging.MessageStatus/8",
        "datacontenttype": "application/json",
        "time": timestamp,
        "data": {
            "messageSid": f"SM{number:032x}",
            "timestamp": timestamp,
            "accountSid": ACCOUNT_SID,
            "eventName": f"com.twilio.messaging.message.{status.lower()}",
            "from": "+14155550100",
            "to": NUMBER,
            "messageStatus": status,
            "numberOfSegments": 1,
            **more,
        },
    }


def signed_events(events: Sequence[Any]) -> tuple[bytes, str, dict[str, str]]:
    """Return body, query and headers of a batch of events."""
    body = json.dumps(events).encode()
    query = f"bodySHA256={hashlib.sha256(body).hexdigest()}"
    digest = hmac.digest(AUTH_TOKEN.encode(), f"{PUBLIC_URL}?{query}".encode(), "sha1")
    return body, query, {"Content-Type": "application/json", "X-Twilio-Signature": base64.b64encode(digest).decode()}
