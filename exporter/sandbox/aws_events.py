"""What the emulated AWS is known by, and what its SNS posts: events of End User Messaging SMS, signed.

Sources: docs.aws.amazon.com/sms-voice/latest/userguide/configuration-sets-event-format.html and
docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html, /sns-verify-signature-of-message.html, read
2026-11.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from .account import Account
from .credentials import derive_hex
from .message import Message
from .outbox import Post

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

REGION: Final = "eu-central-1"

# What the world's own codes are on this wire: the type of the event. It has none for a full queue, for a fault of its
# own, or for a landline.
FATES: Final[Mapping[int, str]] = MappingProxyType(
    {
        21408: "TEXT_PROTECT_BLOCKED",
        21610: "TEXT_BLOCKED",
        30001: "TEXT_CARRIER_UNREACHABLE",
        30003: "TEXT_UNREACHABLE",
        30004: "TEXT_BLOCKED",
        30005: "TEXT_INVALID",
        30006: "TEXT_INVALID",
        30007: "TEXT_CARRIER_BLOCKED",
        30008: "TEXT_CARRIER_UNREACHABLE",
        30017: "TEXT_CARRIER_UNREACHABLE",
        30036: "TEXT_TTL_EXPIRED",
        30500: "TEXT_CARRIER_UNREACHABLE",
    }
)


def access_key_id(account: Account) -> str:
    """Return the id of the account's access key."""
    return f"AKIA{derive_hex('aws', account.seed, 'access key')[:16].upper()}"


def secret_access_key(account: Account) -> str:
    """Return the secret of that key."""
    return f"{derive_hex('aws', account.seed, 'secret')}{derive_hex('aws', account.seed, 'more of it')[:8]}"


def topic_arn(account: Account) -> str:
    """Return the topic that events go to."""
    number = int(derive_hex("aws", account.seed, "account"), 16) % 10**12
    return f"arn:aws:sns:{REGION}:{number:012}:sms-events"


def subscription_token(account: Account) -> str:
    """Return what a subscription to the topic is confirmed with."""
    return derive_hex("aws", account.seed, "subscription")


def certificate_path(account: Account) -> str:
    """Return where SNS has the certificate that its posts are signed with."""
    return f"/SimpleNotificationService-{derive_hex('aws', account.seed, 'certificate')}.pem"


@cache
def signing_key(_seed: int) -> "RSAPrivateKey":
    """Return the key that signs posts: another one in each process."""
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key  # noqa: PLC0415  # see the adapter

    return generate_private_key(public_exponent=65537, key_size=2048)


@cache
def certificate(seed: int) -> bytes:
    """Return the certificate of that key, in PEM."""
    from cryptography import x509  # noqa: PLC0415  # see the adapter
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    key = signing_key(seed)
    built = x509.CertificateBuilder(
        subject_name=name,
        issuer_name=name,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=datetime(2000, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(2099, 1, 1, tzinfo=UTC),
    )
    return built.sign(key, SHA256()).public_bytes(Encoding.PEM)


def message_id(message: Message) -> str:
    """Return AWS's id of a message."""
    return str(UUID(message.sid[2:]))


def _event(message: Message, status: str, at: float) -> Mapping[str, Any]:
    if status in ("undelivered", "failed"):
        kind = FATES[message.error_code or 30008]
    else:
        kind = {"delivered": "TEXT_DELIVERED", "sent": "TEXT_SENT"}.get(status, "TEXT_QUEUED")
    network = {} if message.operator is None else {"mcc": message.operator.mcc, "mnc": message.operator.mnc}
    return {
        "eventType": kind,
        "eventVersion": "1.0",
        "eventTimestamp": int(1000 * message.changed_at(at)),
        "isFinal": status == message.last_status,
        "originationPhoneNumber": message.sender,
        "destinationPhoneNumber": message.to,
        "isoCountryCode": message.country.code if message.country else "",
        **network,
        "messageId": message_id(message),
        "messageRequestTimestamp": int(1000 * message.created),
        "messageEncoding": "GSM",
        "messageType": "TRANSACTIONAL",
        "messageStatus": kind.removeprefix("TEXT_"),
        "messageStatusDescription": "told by the sandbox",
        "totalMessageParts": message.segments,
        "totalMessagePrice": message.price_micros / 1_000_000,
        "totalCarrierFee": 0.0,
    }


def post(account: Account, url: str, _signed_as: str | None, message: Message, status: str, at: float) -> Post:
    """Return a notification of SNS about an event, signed by version 1, which is SNS's default."""
    return notify(account, url, json.dumps(_event(message, status, at)), at)


def notify(account: Account, url: str, text: str, at: float, *, version: str = "1") -> Post:
    """Return a notification of SNS with any text."""
    fields = {
        "Type": "Notification",
        "MessageId": str(UUID(derive_hex("aws", "notification", text, at))),
        "TopicArn": topic_arn(account),
        "Message": text,
        "Timestamp": _date(at),
    }
    return _post(account, url, fields, version)


def ask_for_confirmation(account: Account, url: str, at: float) -> Post:
    """Return what SNS posts to a new subscription."""
    token = subscription_token(account)
    fields = {
        "Type": "SubscriptionConfirmation",
        "MessageId": str(UUID(derive_hex("aws", "confirmation", at))),
        "Token": token,
        "TopicArn": topic_arn(account),
        "Message": f"You have chosen to subscribe to the topic {topic_arn(account)}.",
        "SubscribeURL": f"https://sns.{REGION}.amazonaws.com/?Action=ConfirmSubscription&Token={token}",
        "Timestamp": _date(at),
    }
    return _post(account, url, fields, "1")


def _post(account: Account, url: str, fields: Mapping[str, str], version: str) -> Post:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415  # see the adapter
    from cryptography.hazmat.primitives.hashes import SHA1, SHA256  # noqa: PLC0415

    signed = "".join(f"{name}\n{fields[name]}\n" for name in sorted(fields))
    hashed = SHA1() if version == "1" else SHA256()  # noqa: S303  SNS's own default
    envelope = {
        **fields,
        "SignatureVersion": version,
        "Signature": b64encode(signing_key(account.seed).sign(signed.encode(), PKCS1v15(), hashed)).decode(),
        "SigningCertURL": f"https://sns.{REGION}.amazonaws.com{certificate_path(account)}",
    }
    headers = {
        "Content-Type": "text/plain; charset=UTF-8",
        "User-Agent": "Amazon Simple Notification Service Agent",
        "x-amz-sns-message-type": fields["Type"],
        "x-amz-sns-message-id": fields["MessageId"],
        "x-amz-sns-topic-arn": fields["TopicArn"],
    }
    return Post(url=url, body=json.dumps(envelope).encode(), headers=headers)


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
