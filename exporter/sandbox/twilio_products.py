"""The smaller product APIs: geo permissions and customer profiles.

Source: https://www.twilio.com/docs/messaging/api/geopermissions-resource and
/docs/trust-hub/trusthub-rest-api/customer-profiles, read 2026-11-24.
"""

from typing import Final

from .geography import COUNTRIES
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
