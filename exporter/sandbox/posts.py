"""What Twilio posts by itself about a message, and what a phone's gateway posts that has received it.

Sources: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status,
https://www.twilio.com/docs/usage/webhooks/webhooks-security (the signature) and
https://www.twilio.com/docs/events/event-types/messaging/outbound-message (schema Messaging.MessageStatus),
read 2026-11-24.
"""

import hmac
import json
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from urllib.parse import urldefrag, urlencode

from .credentials import derive_hex
from .message import Message
from .outbox import Post
from .twilio_messages import ERROR_MESSAGES
from .wire import API_VERSION, Json

FAILURES: Final = ("undelivered", "failed")
SCHEMA: Final = "https://events-schemas.twilio.com/Messaging.MessageStatus/8"
USER_AGENT: Final = "TwilioProxy/1.1"


class Signer:
    """Builds the signed posts of one account."""

    def __init__(self, *, account_sid: str, auth_token: str, signed_as: str | None) -> None:
        """``signed_as`` is the URL that is signed where it is not the one that is posted to."""
        self._account_sid = account_sid
        self._token = auth_token.encode()
        self._signed_as = signed_as

    def callback(self, url: str, message: Message, status: str, at: float) -> Post:
        """Return a status callback; ``at`` is when the message came to the status, epoch seconds."""
        url = urldefrag(url).url  # a fragment is for Twilio alone
        fields = {
            "AccountSid": self._account_sid,
            "ApiVersion": API_VERSION,
            "From": message.sender,
            "MessageSid": message.sid,
            "MessageStatus": status,
            "SmsSid": message.sid,
            "SmsStatus": status,
            "To": message.to,
        }
        if message.service_sid is not None:
            fields["MessagingServiceSid"] = message.service_sid
        if status in ("delivered", "undelivered"):
            fields["RawDlrDoneDate"] = datetime.fromtimestamp(at, UTC).strftime("%y%m%d%H%M")
        if status in FAILURES and message.error_code is not None:
            fields["ErrorCode"] = str(message.error_code)
            fields["ErrorMessage"] = ERROR_MESSAGES[message.error_code]
        signature = self._sign((self._signed_as or url) + "".join(name + fields[name] for name in sorted(fields)))
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "X-Twilio-Signature": signature,
            "I-Twilio-Idempotency-Token": derive_hex("callback", message.sid, status),
            "User-Agent": USER_AGENT,
        }
        return Post(url=url, body=urlencode(fields).encode(), headers=headers)

    def events(self, url: str, events: Sequence[Json]) -> Post:
        """Return a batch of events for a webhook sink; the hash of the body stands in the query, which is signed."""
        body = json.dumps(events).encode()

        def with_hash(url: str) -> str:
            return f"{url}{'&' if '?' in url else '?'}bodySHA256={sha256(body).hexdigest()}"

        headers = {
            "Content-Type": "application/json",
            "X-Twilio-Signature": self._sign(with_hash(self._signed_as or url)),
            "User-Agent": USER_AGENT,
        }
        return Post(url=with_hash(url), body=body, headers=headers)

    def _sign(self, signed: str) -> str:
        return b64encode(hmac.digest(self._token, signed.encode(), "sha1")).decode()


def build_event(account_sid: str, message: Message, status: str, at: float) -> Json:
    """Return the CloudEvent of a message that came to a status at that time, epoch seconds."""
    timestamp = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    name = f"com.twilio.messaging.message.{status}"
    return {
        "specversion": "1.0",
        "type": name,
        "source": f"/{API_VERSION}/Accounts/{account_sid}/Messages/{message.sid}.json",
        "id": "EZ" + derive_hex("event", message.sid, status),
        "dataschema": SCHEMA,
        "datacontenttype": "application/json",
        "time": timestamp,
        "data": {
            "accountSid": account_sid,
            "messageSid": message.sid,
            "timestamp": timestamp,
            "eventName": name,
            "from": message.sender,
            "to": message.to,
            "messageStatus": status.upper(),
            "messagingServiceSid": message.service_sid,
            "errorCode": message.error_code if status in FAILURES else None,
            "mcc": message.operator.mcc if message.operator else None,
            "mnc": message.operator.mnc if message.operator else None,
            "numberOfSegments": message.segments,
        },
    }


def build_received(url: str, token: str, message: Message, at: float) -> Post:
    """Return what the gateway of a phone posts that has received the message at that time, epoch seconds."""
    received_at = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    body = {"from": message.sender, "to": message.to, "text": message.body, "received_at": received_at}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    return Post(url=url, body=json.dumps(body).encode(), headers=headers)
