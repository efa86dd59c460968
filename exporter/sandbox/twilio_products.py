"""The smaller product APIs: geo permissions, customer profiles and Verify.

Source: https://www.twilio.com/docs/messaging/api/geopermissions-resource,
/docs/trust-hub/trusthub-rest-api/customer-profiles and /docs/verify/api/list-verification-attempts,
read 2026-11-24.
"""

from collections.abc import Callable
from typing import Final

from .geography import COUNTRIES
from .message import Message
from .wallet import CURRENCY, format_micros
from .wire import Call, Json, PageRequest, TwilioError, cut_page, iso8601, list_product, whole_list_product

# The policy of a primary business profile, the same for everybody: public code that talks to Trust Hub, one of it
# quoting an answer of /v1/Policies (read 2026-11). RNdfbf3fae... is that of a secondary profile.
PRIMARY_PROFILE_POLICY: Final = "RN6433641899984f951173ef1738c3bdd0"
CALLING_CODES: Final = {each.code: each.calling_code for each in COUNTRIES}


def fetch_geo_permissions(call: Call) -> Json:
    """Answer for the countries of CountryCode, or for all where the sandbox has clients."""
    asked = call.query.get("CountryCode")
    codes = [code.strip().upper() for code in asked.split(",")] if asked else list(CALLING_CODES)
    return {
        "permissions": [
            {
                "country_code": code,
                "type": "country",
                "enabled": call.account.may_send_to(code),
                "prefix": f"+{CALLING_CODES[code]}",
                "message": "",
            }
            for code in codes
            if code in CALLING_CODES
        ]
    }


def list_customer_profiles(call: Call) -> Json:
    """Answer with the primary customer profile, which is approved."""
    sid = call.account.derive_sid("BU", "customer profile")
    born = f"{call.account.wallet.born.isoformat()}T00:00:00Z"
    url = f"{call.origin}/v1/CustomerProfiles/{sid}"
    profile = {
        "sid": sid,
        "account_sid": call.account.sid,
        "policy_sid": PRIMARY_PROFILE_POLICY,
        "friendly_name": "Sandbox Brokerage",
        "status": "twilio-approved",
        "valid_until": None,
        "email": "compliance@example.com",
        "status_callback": None,
        "date_created": born,
        "date_updated": born,
        "url": url,
        "links": {"customer_profiles_entity_assignments": f"{url}/EntityAssignments"},
        "errors": None,
    }
    wanted = call.query.get("Status")
    is_shown = not call.account.is_subaccount and wanted in (None, profile["status"])
    return whole_list_product(call, "results", [profile] if is_shown else [])


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


def list_attempts(call: Call) -> Json:
    """Answer with a page of verification attempts, one a client's message, the newest first."""
    asked = PageRequest.parse(call.query)
    before = None
    if asked.after is not None:
        before = call.account.world.find(f"SM{asked.after[2:]}")
        if before is None:
            raise TwilioError(400, 20001, "Invalid PageToken")
    wanted = _build_filter(call)
    matching = (each for each in call.account.messages(before=before) if wanted(each))
    page = cut_page(asked, matching, lambda each: _render_attempt(call, each), lambda each: _sid(each, "VL"))
    return list_product(call, "attempts", page)


def fetch_attempts_summary(call: Call) -> Json:
    """Answer with how many of the attempts led to a typed code."""
    wanted = _build_filter(call)
    prefix = call.query.get("DestinationPrefix", "")
    matching = [each for each in call.account.messages() if wanted(each) and each.to.startswith(prefix)]
    converted = sum(_is_converted(call, each) for each in matching)
    rate = 100 * converted / len(matching) if matching else 0.0
    return {
        "total_attempts": len(matching),
        "total_converted": converted,
        "total_unconverted": len(matching) - converted,
        "conversion_rate_percentage": f"{rate:.9f}",
        "url": f"{call.origin}{call.path}",
    }


def _build_filter(call: Call) -> Callable[[Message], bool]:
    query = call.query
    after, before = call.date_param("DateCreatedAfter"), call.date_param("DateCreatedBefore")
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
            and message.organic
            and (after is None or message.created >= after)
            and (before is None or message.created <= before)
            and to in (None, message.to)
            and (country is None or country == (message.country and message.country.code))
            and verification in (None, _sid(message, "VE"))
            and (status is None or (status.lower() == "converted") == _is_converted(call, message))
        )

    return is_wanted


def _sid(message: Message, prefix: str) -> str:
    return prefix + message.sid[2:]


def _is_converted(call: Call, message: Message) -> bool:
    time = message.converted_time()
    return time is not None and time <= call.now


def _render_attempt(call: Call, message: Message) -> Json:
    sid = _sid(message, "VL")
    now, operator = call.now, message.operator
    time = message.converted_time()
    converted = time is not None and time <= now
    code = message.error_code if message.is_closed_at(now) else None
    return {
        "sid": sid,
        "account_sid": call.account.sid,
        "service_sid": call.account.credentials.verify_service_sid,
        "verification_sid": _sid(message, "VE"),
        "date_created": iso8601(message.created),
        "date_updated": iso8601(time if time is not None and converted else message.changed_at(now)),
        "conversion_status": "converted" if converted else "unconverted",
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
