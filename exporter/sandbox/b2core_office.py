"""What stands behind both APIs of the back office: its clients, its SMS set-up and its clock, under the faults."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from .account import Account
from .clients import Client, Clients
from .faults import Switches
from .gate import STOPPING
from .twilio_messages import send_message
from .verifications import draw_code
from .wire import TwilioError

SKEW_SECONDS: Final = 94.0
"""How fast the clock is under `server_clock_skewed`: three steps of a TOTP, and so outside of every window."""

MASK: Final = "********"
PLACEHOLDER: Final = "%CODE%"
TEMPLATE_TEXT: Final = f"Sandbox Broker: Your verification code is {PLACEHOLDER}."
TWILIO: Final = "Twilio"
FAKE: Final = "Fake"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsProvider:
    """One configuration of an SMS provider."""

    id: int
    type: str
    name: str
    is_enabled: bool
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def delivers(self) -> bool:
        """Whether it is set up to send codes to phones."""
        return self.is_enabled and self.type != FAKE and all(self.settings.values())


class Office:
    """The state of the back office, which both of its APIs show and use."""

    def __init__(self, *, account: Account, clients: Clients, clock: Callable[[], float]) -> None:
        """``account`` is the Twilio account that codes are sent through; ``clock`` returns epoch seconds."""
        self.account: Final = account
        self.clients: Final = clients
        self.switches: Final[Switches] = account.switches
        self._clock = clock

    def now(self) -> float:
        """Return the time by the clock of the back office, epoch seconds."""
        return self._clock() + (SKEW_SECONDS if self.switches.is_on("server_clock_skewed") else 0.0)

    def methods(self, client: Client) -> frozenset[str]:
        """Return the second factors of a client that are on."""
        return frozenset() if self.switches.is_on("client_2fa_disabled") else client.methods

    def is_confirmed(self, client: Client) -> bool:
        """Whether the phone of a client is confirmed."""
        return client.is_confirmed and not self.switches.is_on("client_phone_unconfirmed")

    def sms_providers(self) -> Sequence[SmsProvider]:
        """Return the configurations of SMS providers."""
        is_on = self.switches.is_on
        is_missing, is_test = is_on("provider_missing"), is_on("provider_is_test")
        fake = SmsProvider(id=3, type=FAKE, name="fake", is_enabled=is_test and not is_missing)
        if is_missing:
            return (fake,)
        own, is_incomplete = self.account.credentials, is_on("provider_incomplete")
        twilio = SmsProvider(
            id=7,
            type=TWILIO,
            name="twilio-main",
            is_enabled=not is_test and not is_on("provider_disabled"),
            settings={
                "account_sid": own.account_sid,
                "auth_token": "" if is_incomplete else MASK,
                "from": "" if is_incomplete else own.long_code,
            },
        )
        return (twilio, fake)

    def template_text(self) -> str | None:
        """Return the text of the template for codes; None when there is no template."""
        return None if self.switches.is_on("template_missing") else TEMPLATE_TEXT

    def send_code(self, client: Client) -> str | None:
        """Send a code by SMS to the client's phone; return it, None when nothing could be sent.

        The client is told nothing of that, and waits.
        """
        text = self.template_text()
        sender = next((each.settings["from"] for each in self.sms_providers() if each.delivers), None)
        if text is None or sender is None or not self.is_confirmed(client):
            return None
        now = self._clock()
        code = draw_code(self.account.seed, client.number, now)
        form = {"To": client.number, "From": sender, "Body": text.replace(PLACEHOLDER, code)}
        return code if self._submit(form, now) else None

    def _submit(self, form: Mapping[str, str], now: float) -> bool:
        """Hand a message to Twilio; whether that takes it."""
        if any(self.switches.is_on(fault) for fault in STOPPING):
            return False
        self.account.advance(now)
        try:
            send_message(self.account, form)
        except TwilioError:
            return False
        return True
