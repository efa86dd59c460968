"""Of the SDK only what is used is loaded, and the rest is there for who calls it."""

import subprocess
import sys

from tests.processes import ROOT

PROGRAM = """
import sys
{before}
from checks.providers.twilio.slim import load_sdk
from twilio.rest import Client
load_sdk()
client = Client("AC" + "0" * 32, "token")
loaded = {{name for name in sys.modules if name.startswith("twilio.rest.")}}
print(len(loaded) < 60, "twilio.rest.api.v2010.account.conference" in loaded)
print(type(client.conferences("CF1").participants).__module__)
import twilio.rest.api.v2010.account.call as calls
print(client.calls.__class__ is calls.CallList, not any("slim" in repr(finder) for finder in sys.meta_path))
"""


def told_by(before: str) -> list[str]:
    program = PROGRAM.format(before=before)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    return done.stdout.splitlines()


def test_sister_resources_are_loaded_when_they_are_called() -> None:
    assert told_by("") == ["True False", "twilio.rest.api.v2010.account.conference.participant", "True True"]


def test_an_sdk_that_is_loaded_already_is_left_as_it_is() -> None:
    told = told_by("import twilio.rest.api.v2010")
    assert told == ["False True", "twilio.rest.api.v2010.account.conference.participant", "True True"]
