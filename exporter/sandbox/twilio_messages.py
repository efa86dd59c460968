"""The 2010 API about messages: list, fetch and send.

Source: https://www.twilio.com/docs/messaging/api/message-resource and
https://www.twilio.com/docs/api/errors, read 2026-11-24.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Final

from .account import Account
from .geography import find_home
from .message import Message
from .outbox import is_loopback_url
from .wallet import CURRENCY, format_micros
from .wire import (
    API_VERSION,
    Call,
    Json,
    PageRequest,
    TwilioError,
    cut_page,
    list_2010,
    not_found,
    rfc2822,
)

E164: Final = re.compile(r"\+[1-9]\d{6,14}")
MAX_BODY: Final = 1600
MAX_VALIDITY_SECONDS: Final = 36_000

# Numbers that always answer with an error: https://www.twilio.com/docs/iam/test-credentials.
MAGIC_RECIPIENTS: Final[Mapping[str, tuple[int, str]]] = {
    "+15005550001": (21211, "Invalid 'To' Phone Number"),
    "+15005550002": (21612, "The 'To' phone number is not currently reachable"),
    "+15005550003": (21408, "Permission to send an SMS has not been enabled for the region"),
    "+15005550004": (21610, "Attempt to send to unsubscribed recipient"),
    "+15005550009": (21614, "'To' number is not a valid mobile number"),
}

# What an undelivered or failed message says of its code: same source as the codes.
ERROR_MESSAGES: Final[Mapping[int, str]] = {
    21408: "Permission to send an SMS has not been enabled for the region",
    21610: "Attempt to send to unsubscribed recipient",
    30001: "Queue overflow",
    30003: "Unreachable destination handset",
    30004: "Message blocked",
    30005: "Unknown destination handset",
    30006: "Landline or unreachable carrier",
    30007: "Message filtered",
    30008: "Unknown error",
    30017: "Carrier network congestion",
    30036: "Validity period expired",
    30500: "Internal messaging error",
}


def fetch_message(call: Call) -> Json:
    """Answer with one message."""
    message = call.account.find_message(call.path_param("sid"))
    if message is None:
        raise not_found(call.path)
    return render_message(call, message)


def list_messages(call: Call) -> Json:
    """Answer with a page of messages, the newest first. DateSent filters by day (UTC)."""
    asked = PageRequest.parse(call.query)
    before = None
    if asked.after is not None:
        before = call.account.world.find(asked.after)
        if before is None:
            raise TwilioError(400, 20001, "Invalid PageToken")
    wanted = _build_filter(call)
    matching = (each for each in call.account.messages(before=before) if wanted(each))
    page = cut_page(asked, matching, lambda each: render_message(call, each), lambda each: each.sid)
    return list_2010(call, "messages", page)


def _build_filter(call: Call) -> Callable[[Message], bool]:
    to, sender = call.query.get("To"), call.query.get("From")
    on, until, since = (_day_param(call, f"DateSent{suffix}") for suffix in ("", "<", ">"))
    by_day = (on, until, since) != (None, None, None)

    def is_wanted(message: Message) -> bool:
        if to is not None and message.to != to:
            return False
        if sender is not None and message.sender != sender:
            return False
        if not by_day:
            return True
        if message.sent is None or message.sent > call.now:
            return False
        day = datetime.fromtimestamp(message.sent, UTC).date()
        return (on is None or day == on) and (until is None or day <= until) and (since is None or day >= since)

    return is_wanted


def _day_param(call: Call, name: str) -> date | None:
    time = call.date_param(name)
    return None if time is None else datetime.fromtimestamp(time, UTC).date()


def create_message(call: Call) -> Json:
    """Send a message and answer with it. Raises what `send_message` raises."""
    return render_message(call, send_message(call.account, call.form))


def send_message(account: Account, form: Mapping[str, str]) -> Message:
    """Send a message as the form says.

    Raises TwilioError for what is wrong with it, in the order in which Twilio looks.
    """
    to, body = form.get("To", ""), form.get("Body", "")
    refuse_without_money(account)
    for is_wrong, error in _objections(account, form, to, body):
        if is_wrong:
            raise error
    service_sid = form.get("MessagingServiceSid") or None
    pool = [each.number for each in account.pool]
    sender = form.get("From") or pool[0]
    return account.submit(
        to=to,
        sender=sender,
        service_sid=service_sid,
        body=body,
        status_callback=form.get("StatusCallback") or None,
    )


def is_closed_country(account: Account, to: str) -> bool:
    """Whether the geo permission of the country of a number is off."""
    home = find_home(to)
    return home is not None and not account.may_send_to(home[0].code)


def refuse_without_money(account: Account) -> None:
    """Raise TwilioError when nothing can be sent for want of money."""
    if account.switches.is_on("balance_exhausted"):
        raise TwilioError(403, 20005, "Account not active")


def _objections(account: Account, form: Mapping[str, str], to: str, body: str) -> Iterator[tuple[bool, TwilioError]]:
    sender, service = form.get("From", ""), form.get("MessagingServiceSid", "")
    owned = {each.number for each in account.numbers}
    magic = MAGIC_RECIPIENTS.get(to, (0, ""))
    yield not to, _bad(21604, "A 'To' phone number is required.")
    yield not (sender or service), _bad(21603, "A 'From' phone number is required.")
    has_content = body or form.get("MediaUrl") or form.get("ContentSid")
    yield not has_content, _bad(21602, "Message body is required.")
    callback = form.get("StatusCallback", "")
    yield callback != "" and not is_loopback_url(callback), _bad(21609, "The 'StatusCallback' URL is not on loopback")
    yield len(body) > MAX_BODY, _bad(21617, "The concatenated message body exceeds 1600 characters")
    yield not _is_validity(form.get("ValidityPeriod")), _bad(21624, "Invalid validity period value")
    yield not E164.fullmatch(to), _bad(21211, f"Invalid 'To' Phone Number: {to}")
    yield bool(magic[0]), _bad(*magic)
    yield to == sender, _bad(21266, "'To' and 'From' number cannot be the same")
    if service:
        is_ours = not account.is_subaccount and service == account.credentials.messaging_service_sid
        yield not is_ours, TwilioError(404, 21701, "The Messaging Service does not exist")
        yield not account.pool, _bad(21704, "The Messaging Service contains no phone numbers")
    else:
        is_ours = sender in owned or sender in account.alpha_senders
        yield not is_ours, _bad(21606, f"The 'From' phone number {sender} is not yours")
    yield is_closed_country(account, to), _bad(21408, "Permission to send an SMS has not been enabled for the region")
    yield account.type == "Trial", _bad(21608, f"The number {to} is unverified")


def _bad(code: int, message: str) -> TwilioError:
    return TwilioError(400, code, message)


def _is_validity(text: str | None) -> bool:
    return text is None or (text.isdecimal() and 1 <= int(text) <= MAX_VALIDITY_SECONDS)


def render_message(call: Call, message: Message) -> Json:
    """Return the message as the API shows it now."""
    now, account_sid = call.now, call.account.sid
    is_sent = message.is_sent_at(now)
    code = message.error_code if message.is_closed_at(now) else None
    uri = f"/{API_VERSION}/Accounts/{account_sid}/Messages/{message.sid}"
    waits_for_sender = message.service_sid is not None and not is_sent
    return {
        "body": message.body,
        "num_segments": str(message.segments),
        "direction": "outbound-api",
        "from": None if waits_for_sender else message.sender,
        "date_updated": rfc2822(message.changed_at(now)),
        "price": f"-{format_micros(message.price_micros, digits=5)}" if message.is_priced_at(now) else None,
        "error_message": ERROR_MESSAGES.get(code) if code else None,
        "uri": f"{uri}.json",
        "account_sid": account_sid,
        "num_media": "0",
        "to": message.to,
        "date_created": rfc2822(message.created),
        "status": message.status_at(now),
        "sid": message.sid,
        "date_sent": rfc2822(message.sent) if message.sent is not None and is_sent else None,
        "messaging_service_sid": message.service_sid,
        "error_code": code,
        "price_unit": CURRENCY,
        "api_version": API_VERSION,
        "subresource_uris": {"media": f"{uri}/Media.json", "feedback": f"{uri}/Feedback.json"},
    }
