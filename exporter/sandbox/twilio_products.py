"""The smaller product APIs: geo permissions, customer profiles and the look-up of a number.

Source: https://www.twilio.com/docs/messaging/api/geopermissions-resource and
/docs/trust-hub/trusthub-rest-api/customer-profiles and
/docs/lookup/v2-api/line-type-intelligence, read 2026-11-24.
"""

from typing import Final

from .geography import COUNTRIES, find_home
from .twilio_messages import E164
from .wire import Call, Json, whole_list_product

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


def fetch_lookup(call: Call) -> Json:
    """Answer what is known of a number, with its type where `Fields` asks for that."""
    number = call.path_param("number")
    home = find_home(number)
    is_valid = E164.fullmatch(number) is not None and home is not None
    line = None
    if is_valid and home is not None and "line_type_intelligence" in call.query.get("Fields", "").split(","):
        _, operator = home
        line = {
            "type": "landline" if call.account.is_landline(number) else "mobile",
            "carrier_name": operator.name,
            "mobile_country_code": operator.mcc,
            "mobile_network_code": operator.mnc,
            "error_code": None,
        }
    return {
        "calling_country_code": home[0].calling_code if home else None,
        "country_code": home[0].code if home else None,
        "phone_number": number,
        "valid": is_valid,
        "validation_errors": [] if is_valid else ["INVALID_BUT_POSSIBLE"],
        "line_type_intelligence": line,
        "url": f"{call.origin}/v2/PhoneNumbers/{number}",
    }
