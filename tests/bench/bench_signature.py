"""The check of a callback's signature: ours beside the SDK's ``RequestValidator``, with the same verdicts."""

import base64
import hmac
import statistics
import time
from collections.abc import Callable

from twilio.request_validator import RequestValidator

from checks.providers.twilio.signature import SHA1, SignedUrl
from tests.bench.measure import Goals

URL = "https://codes.example.com/callbacks/twilio"
TOKEN = "0123456789abcdef0123456789abcdef"
FORM = {
    "AccountSid": "AC" + "0" * 32,
    "ApiVersion": "2010-04-01",
    "From": "+14155550100",
    "MessageSid": "SM" + "1" * 32,
    "MessageStatus": "delivered",
    "MessagingServiceSid": "MG" + "2" * 32,
    "RawDlrDoneDate": "2611241200",
    "SmsSid": "SM" + "1" * 32,
    "SmsStatus": "delivered",
    "To": "+4915112345678",
    "ErrorCode": "30007",
    "ChannelPrefix": "",
}
ROUNDS, CALLS, GOAL = 7, 3000, 8.0


def microseconds(call: Callable[[], bool]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            call()
        times.append((time.process_time() - began) / CALLS * 1e6)
    return statistics.median(times)


def main() -> int:
    signed = URL + "".join(name + FORM[name] for name in sorted(FORM))
    signature = base64.b64encode(hmac.digest(TOKEN.encode(), signed.encode(), "sha1")).decode()
    validator, url, secret, fields = RequestValidator(TOKEN), SignedUrl(URL), TOKEN.encode(), list(FORM.items())

    def theirs() -> bool:
        return bool(validator.validate(URL, FORM, signature))

    def ours() -> bool:
        return url.is_signed_form(secret, "", fields, signature, SHA1)

    assert ours()
    assert theirs()
    slow, fast = microseconds(theirs), microseconds(ours)
    goals = Goals()
    goals.report(
        "signature of 12 fields, SDK / ours",
        slow / fast,
        at_least=GOAL,
        unit="x",
        ours=f"{fast:.1f} us",
        peer=f"{slow:.1f} us",
    )
    return goals.exit_code()


if __name__ == "__main__":
    raise SystemExit(main())
