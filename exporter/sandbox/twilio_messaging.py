"""The Messaging API: services, their senders, and what the carriers have approved.

Source: https://www.twilio.com/docs/messaging/api/service-resource,
/docs/messaging/api/services-usa2p-resource, /docs/messaging/api/brand-registration-resource and
/docs/messaging/api/tollfree-verification-resource, read 2026-11-24.
"""

from collections.abc import Iterable

from .wire import Call, Json, iso8601, not_found, whole_list_product

SERVICE_LINKS = {
    "phone_numbers": "PhoneNumbers",
    "short_codes": "ShortCodes",
    "alpha_senders": "AlphaSenders",
    "messages": "Messages",
    "us_app_to_person": "Compliance/Usa2p",
}


def list_services(call: Call) -> Json:
    """Answer with the one messaging service; a child account has none."""
    rows = [] if call.account.is_subaccount else [_render_service(call)]
    return whole_list_product(call, "services", rows)


def fetch_service(call: Call) -> Json:
    """Answer with the messaging service."""
    _service_sid(call)
    return _render_service(call)


def _service_sid(call: Call) -> str:
    """Return the service that the path names. Raises TwilioError for one that is not there."""
    sid = call.path_param("service")
    if call.account.is_subaccount or sid != call.account.credentials.messaging_service_sid:
        raise not_found(call.path)
    return sid


def _born(call: Call) -> str:
    return f"{call.account.wallet.born.isoformat()}T00:00:00Z"


def _render_service(call: Call) -> Json:
    sid = call.account.credentials.messaging_service_sid
    url = f"{call.origin}/v1/Services/{sid}"
    return {
        "account_sid": call.account.sid,
        "friendly_name": "Two-factor codes",
        "sid": sid,
        "date_created": _born(call),
        "date_updated": _born(call),
        "sticky_sender": True,
        "mms_converter": True,
        "smart_encoding": False,
        "fallback_to_long_code": False,
        "area_code_geomatch": True,
        "validity_period": 600,
        "scan_message_content": "inherit",
        "synchronous_validation": False,
        "inbound_request_url": None,
        "inbound_method": "POST",
        "fallback_url": None,
        "fallback_method": "POST",
        "status_callback": None,
        "usecase": "verification",
        "us_app_to_person_registered": not call.account.switches.is_on("sender_unregistered"),
        "use_inbound_webhook_on_number": False,
        "links": {name: f"{url}/{path}" for name, path in SERVICE_LINKS.items()},
        "url": url,
    }


def list_pool_numbers(call: Call) -> Json:
    """Answer with the numbers in the service's sender pool."""
    rows = (
        {
            **_render_sender(call, "PhoneNumbers", each.sid),
            "phone_number": each.number,
            "country_code": "US",
            "capabilities": ["SMS", "Voice"],
        }
        for each in call.account.pool
    )
    return _list_senders(call, "phone_numbers", rows)


def list_pool_short_codes(call: Call) -> Json:
    """Answer with the short codes in the sender pool: there are none."""
    return _list_senders(call, "short_codes", ())


def list_pool_alpha_senders(call: Call) -> Json:
    """Answer with the alphanumeric sender names in the sender pool."""
    rows = (
        {
            **_render_sender(call, "AlphaSenders", call.account.derive_sid("AI", name)),
            "alpha_sender": name,
            "capabilities": ["SMS"],
        }
        for name in call.account.alpha_senders
    )
    return _list_senders(call, "alpha_senders", rows)


def list_pool_destination_alpha_senders(call: Call) -> Json:
    """Answer with the sender names that hold for one country each: there are none."""
    return _list_senders(call, "alpha_senders", ())


def _list_senders(call: Call, key: str, rows: Iterable[Json]) -> Json:
    _service_sid(call)
    return whole_list_product(call, key, rows)


def _render_sender(call: Call, collection: str, sid: str) -> Json:
    service_sid = call.account.credentials.messaging_service_sid
    return {
        "sid": sid,
        "account_sid": call.account.sid,
        "service_sid": service_sid,
        "date_created": _born(call),
        "date_updated": _born(call),
        "url": f"{call.origin}/v1/Services/{service_sid}/{collection}/{sid}",
    }


def list_campaigns(call: Call) -> Json:
    """Answer with the A2P campaign of the service: verified, or failed under the fault."""
    service_sid = _service_sid(call)
    account = call.account
    failed = account.switches.is_on("sender_unregistered")
    sid = account.derive_sid("QE", "campaign")
    error = {
        "error_code": 30909,
        "fields": ["MESSAGE_FLOW"],
        "url": "https://www.twilio.com/docs/api/errors/30909",
        "description": "The campaign submission has been rejected.",
    }
    campaign = {
        "sid": sid,
        "account_sid": account.sid,
        "brand_registration_sid": account.derive_sid("BN", "brand"),
        "messaging_service_sid": service_sid,
        "description": "One-time codes for logging in.",
        "message_samples": ["Your code is 000000", "000000 is your code"],
        "us_app_to_person_usecase": "2FA",
        "has_embedded_links": False,
        "has_embedded_phone": False,
        "subscriber_opt_in": True,
        "age_gated": False,
        "direct_lending": False,
        "campaign_status": "FAILED" if failed else "VERIFIED",
        "campaign_id": None if failed else "CSANDBX",
        "is_externally_registered": False,
        "rate_limits": {"att": {"mps": 240, "msg_class": "E"}, "tmobile": {"brand_tier": "TOP"}},
        "message_flow": "Clients opt in when they switch on two-factor authentication.",
        "opt_in_message": "",
        "opt_out_message": "",
        "help_message": "",
        "opt_in_keywords": [],
        "opt_out_keywords": ["STOP"],
        "help_keywords": ["HELP"],
        "date_created": _born(call),
        "date_updated": _since(call, failed=failed),
        "url": f"{call.origin}/v1/Services/{service_sid}/Compliance/Usa2p/{sid}",
        "mock": False,
        "errors": [error] if failed else [],
    }
    return whole_list_product(call, "compliance", [campaign])


def list_brands(call: Call) -> Json:
    """Answer with the A2P brand, which is approved."""
    account = call.account
    sid = account.derive_sid("BN", "brand")
    url = f"{call.origin}/v1/a2p/BrandRegistrations/{sid}"
    brand: Json = {
        "sid": sid,
        "account_sid": account.sid,
        "customer_profile_bundle_sid": account.derive_sid("BU", "customer profile"),
        "a2p_profile_bundle_sid": account.derive_sid("BU", "a2p profile"),
        "date_created": _born(call),
        "date_updated": _born(call),
        "brand_type": "STANDARD",
        "status": "APPROVED",
        "tcr_id": "BSANDBX",
        "failure_reason": None,
        "url": url,
        "brand_score": 78,
        "brand_feedback": [],
        "identity_status": "VERIFIED",
        "russell_3000": False,
        "government_entity": False,
        "tax_exempt_status": "",
        "skip_automatic_sec_vet": False,
        "errors": [],
        "mock": False,
        "links": {"brand_vettings": f"{url}/Vettings", "brand_registration_otps": f"{url}/SmsOtp"},
    }
    return whole_list_product(call, "data", [] if account.is_subaccount else [brand])


def list_tollfree_verifications(call: Call) -> Json:
    """Answer with the verification of each toll-free number: approved, or rejected by the fault."""
    wanted_sid = call.query.get("TollfreePhoneNumberSid")
    wanted_status = call.query.get("Status")
    rows = (
        _render_tollfree(call, each.sid, each.number)
        for each in call.account.numbers
        if each.kind == "tollfree" and wanted_sid in (None, each.sid)
    )
    kept = [row for row in rows if wanted_status in (None, row["status"])]
    return whole_list_product(call, "verifications", kept)


def _render_tollfree(call: Call, number_sid: str, number: str) -> Json:
    account = call.account
    rejected = account.switches.is_on("sender_unregistered")
    sid = account.derive_sid("HH", number)
    reason = "The use case is not clear from the sample message."
    return {
        "sid": sid,
        "account_sid": account.sid,
        "customer_profile_sid": account.derive_sid("BU", "customer profile"),
        "trust_product_sid": account.derive_sid("BU", "trust product"),
        "regulated_item_sid": None,
        "date_created": _born(call),
        "date_updated": _since(call, failed=rejected),
        "business_name": "Sandbox Brokerage",
        "use_case_categories": ["TWO_FACTOR_AUTHENTICATION"],
        "use_case_summary": "One-time codes for logging in.",
        "production_message_sample": "Your code is 000000",
        "opt_in_image_urls": ["https://www.example.com/opt-in.png"],
        "opt_in_type": "WEB_FORM",
        "message_volume": "100,000",
        "tollfree_phone_number_sid": number_sid,
        "tollfree_phone_number": number,
        "status": "TWILIO_REJECTED" if rejected else "TWILIO_APPROVED",
        "rejection_reason": reason if rejected else None,
        "error_code": 30445 if rejected else None,
        "rejection_reasons": [{"code": 30445, "reason": reason}] if rejected else [],
        "edit_allowed": rejected,
        "edit_expiration": None,
        "url": f"{call.origin}/v1/Tollfree/Verifications/{sid}",
        "resource_links": {},
        "external_reference_id": None,
    }


def _since(call: Call, *, failed: bool) -> str:
    since = call.account.switches.since("sender_unregistered")
    return iso8601(since) if failed and since is not None else _born(call)
