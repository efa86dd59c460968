"""Verify: codes that Twilio makes, sends and checks itself, and whether they were typed.

Each start of a verification is one of its own, also while an older one to the same number is pending.
Source: https://www.twilio.com/docs/verify/api/verification, /verification-check, /list-verification-attempts and
/rate-limits-and-timeouts, read 2026-11-24.
"""

from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Final

from .message import Message
from .twilio_messages import E164, is_closed_country, refuse_without_money
from .verifications import code_in, draw_code
from .wallet import CURRENCY, format_micros
from .wire import (
    Call,
    Json,
    PageRequest,
    TwilioError,
    cut_page,
    iso8601,
    list_product,
    not_found,
    whole_list_product,
)

CODE_SECONDS: Final = 600.0
"""How long a verification lives, and the time in which sends to one number are counted."""
MOST_CHECKS: Final = 5
MOST_SENDS: Final = 5


def list_verify_services(call: Call) -> Json:
    """Answer with the one Verify service."""
    sid = call.account.credentials.verify_service_sid
    born = f"{call.account.wallet.born.isoformat()}T00:00:00Z"
    url = f"{call.origin}/v2/Services/{sid}"
    service = {
        "sid": sid,
        "account_sid": call.account.sid,
        "friendly_name": "Two-factor codes",
        "code_length": 6,
        "lookup_enabled": False,
        "psd2_enabled": False,
        "skip_sms_to_landlines": True,
        "dtmf_input_required": True,
        "tts_name": None,
        "do_not_share_warning_enabled": True,
        "custom_code_enabled": False,
        "push": {"include_date": False, "apn_credential_sid": None, "fcm_credential_sid": None},
        "totp": {"issuer": None, "time_step": None, "code_length": None, "skew": None},
        "default_template_sid": None,
        "verify_event_subscription_enabled": False,
        "date_created": born,
        "date_updated": born,
        "url": url,
        "links": {
            "verifications": f"{url}/Verifications",
            "verification_checks": f"{url}/VerificationCheck",
        },
    }
    return whole_list_product(call, "services", [] if call.account.is_subaccount else [service])


def start_verification(call: Call) -> Json:
    """Send a code, or say why none is sent."""
    service_sid, to = _service_sid(call), call.form.get("To", "")
    refuse_without_money(call.account)
    if not E164.fullmatch(to):
        raise TwilioError(400, 60200, "Invalid parameter `To`")
    if call.form.get("Channel") != "sms":
        raise TwilioError(400, 60200, "Invalid parameter `Channel`: the sandbox sends by sms only")
    if is_closed_country(call.account, to):
        raise TwilioError(403, 60605, "The destination country is blocked by geo permissions")
    if sum(1 for _ in _living(call, to)) >= MOST_SENDS:
        raise TwilioError(429, 60203, "Max send attempts reached")
    account = call.account
    message = account.submit(
        to=to,
        sender=account.credentials.alpha_sender,
        service_sid=None,
        body=f"Your code is {draw_code(account.seed, to, call.now)}",
        is_attempt=True,
    )
    attempts = [{"time": iso8601(call.now), "channel": "sms", "attempt_sid": _sid(message, "VL")}]
    url = f"{call.origin}{call.path}/{_sid(message, 'VE')}"
    return {
        **_render_verification(call, message, service_sid, status="pending"),
        "lookup": {},
        "send_code_attempts": attempts,
        "sna": None,
        "url": url,
    }


def check_verification(call: Call) -> Json:
    """Say whether a code is the right one, which is right only once and not for ever."""
    service_sid = _service_sid(call)
    code, verifications = call.form.get("Code", ""), call.account.verifications
    if not code:
        raise TwilioError(400, 60200, "Missing required parameter Code")
    message = _find_living(call)
    if message is None or verifications.approved_at(message.sid) is not None:
        raise not_found(call.path)
    if verifications.checks(message.sid) >= MOST_CHECKS:
        raise TwilioError(429, 60202, "Max check attempts reached")
    is_right = code == code_in(message.body)
    verifications.note_check(message.sid, approved_at=call.now if is_right else None)
    status = "approved" if is_right else "pending"
    return {**_render_verification(call, message, service_sid, status=status), "sna_attempts_error_codes": []}


def _service_sid(call: Call) -> str:
    """Return the service that the path names. Raises TwilioError for one that is not there."""
    sid = call.path_param("verify_service")
    if call.account.is_subaccount or sid != call.account.credentials.verify_service_sid:
        raise not_found(call.path)
    return sid


def _living(call: Call, to: str) -> Iterator[Message]:
    """Yield the attempts to a number whose verification has not expired, the newest first."""
    recent = takewhile(lambda each: each.created > call.now - CODE_SECONDS, call.account.messages())
    return (each for each in recent if each.is_attempt and each.to == to)


def _find_living(call: Call) -> Message | None:
    sid, to = call.form.get("VerificationSid"), call.form.get("To", "")
    if sid is None:
        return next(_living(call, to), None)
    message = call.account.find_message(f"SM{sid[2:]}")
    lives = message is not None and message.is_attempt and message.created > call.now - CODE_SECONDS
    return message if lives else None


def _render_verification(call: Call, message: Message, service_sid: str, *, status: str) -> Json:
    return {
        "sid": _sid(message, "VE"),
        "service_sid": service_sid,
        "account_sid": call.account.sid,
        "to": message.to,
        "channel": "sms",
        "status": status,
        "valid": status == "approved",
        "amount": None,
        "payee": None,
        "date_created": iso8601(message.created),
        "date_updated": iso8601(call.now),
    }


def list_attempts(call: Call) -> Json:
    """Answer with a page of verification attempts, one a client's message, the newest first."""
    asked = PageRequest.parse(call.query)
    before = None
    if asked.after is not None:
        before = call.account.world.find(f"SM{asked.after[2:]}")
        if before is None:
            raise TwilioError(400, 20001, "Invalid PageToken")
    matching = _matching(call, before=before)
    page = cut_page(asked, matching, lambda each: _render_attempt(call, each), lambda each: _sid(each, "VL"))
    return list_product(call, "attempts", page)


def fetch_attempts_summary(call: Call) -> Json:
    """Answer with how many of the attempts led to a typed code."""
    prefix = call.query.get("DestinationPrefix", "")
    matching = [each for each in _matching(call) if each.to.startswith(prefix)]
    converted = sum(_is_converted(call, each) for each in matching)
    rate = 100 * converted / len(matching) if matching else 0.0
    return {
        "total_attempts": len(matching),
        "total_converted": converted,
        "total_unconverted": len(matching) - converted,
        "conversion_rate_percentage": f"{rate:.9f}",
        "url": f"{call.origin}{call.path}",
    }


def _matching(call: Call, *, before: Message | None = None) -> Iterator[Message]:
    """Yield the attempts that are asked for, the newest first; `before` is where to go on."""
    wanted, after = _build_filter(call), call.date_param("DateCreatedAfter")
    messages = call.account.messages(before=before)
    if after is not None:
        messages = takewhile(lambda each: each.created >= after, messages)
    return filter(wanted, messages)


def _build_filter(call: Call) -> Callable[[Message], bool]:
    query = call.query
    before = call.date_param("DateCreatedBefore")
    to, country = query.get("ChannelData.To"), query.get("Country")
    verification, status = query.get("VerificationSid"), query.get("Status")
    is_our_service = query.get("VerifyServiceSid") in (
        None,
        call.account.credentials.verify_service_sid,
    )
    is_our_channel = query.get("Channel", "sms").lower() == "sms"

    def is_wanted(message: Message) -> bool:
        return (
            is_our_service
            and is_our_channel
            and message.is_attempt
            and (before is None or message.created <= before)
            and to in (None, message.to)
            and (country is None or country == (message.country and message.country.code))
            and verification in (None, _sid(message, "VE"))
            and (status is None or (status.lower() == "converted") == _is_converted(call, message))
        )

    return is_wanted


def _sid(message: Message, prefix: str) -> str:
    return prefix + message.sid[2:]


def _converted_time(call: Call, message: Message) -> float | None:
    """Return when the code was typed; None when it has not been."""
    time = call.account.verifications.approved_at(message.sid) or message.converted_time()
    return time if time is not None and time <= call.now else None


def _is_converted(call: Call, message: Message) -> bool:
    return _converted_time(call, message) is not None


def _render_attempt(call: Call, message: Message) -> Json:
    sid = _sid(message, "VL")
    now, operator = call.now, message.operator
    converted = _converted_time(call, message)
    code = message.error_code if message.is_closed_at(now) else None
    return {
        "sid": sid,
        "account_sid": call.account.sid,
        "service_sid": call.account.credentials.verify_service_sid,
        "verification_sid": _sid(message, "VE"),
        "date_created": iso8601(message.created),
        "date_updated": iso8601(message.changed_at(now) if converted is None else converted),
        "conversion_status": "unconverted" if converted is None else "converted",
        "channel": "sms",
        "price": {
            "value": format_micros(message.price_micros, digits=5),
            "currency": CURRENCY.lower(),
        },
        "channel_data": {
            "to": message.to,
            "status": message.status_at(now),
            "message_status": message.status_at(now),
            "error_code": None if code is None else str(code),
            "country": message.country.code if message.country else None,
            "mcc": operator.mcc if operator else None,
            "mnc": operator.mnc if operator else None,
            "carrier": operator.name if operator else None,
            "locale": "en",
            "code_length": "6",
        },
        "url": f"{call.origin}/v2/Attempts/{sid}",
    }
