"""One account of the sandbox, as it stands under the faults that are on."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from .credentials import Credentials, derive_hex
from .faults import RECENT_SECONDS, Switches
from .geography import UNPERMITTED_COUNTRY
from .message import Message, delay, fail
from .wallet import Wallet, format_micros
from .world import MESSAGES_A_DAY, World, kept_seconds

BALANCE_UNDER_FAULT: Final[Mapping[str, str]] = {"balance_exhausted": "-0.42", "balance_low": "1.50"}
TRAFFIC_UNDER_FAULT: Final[Mapping[str, Callable[[Message], Message]]] = {
    "delivery_failing": fail,
    "delivery_slow": delay,
}


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A number that the account rents."""

    sid: str
    number: str  # E.164
    kind: str  # Twilio's type: local, tollfree
    friendly_name: str


class Account:
    """An account with its traffic, money and senders.

    Faults change what is seen, never what is: when one is cleared, everything is as if it had not
    been.
    """

    def __init__(
        self,
        *,
        credentials: Credentials,
        switches: Switches,
        seed: int,
        now: float,
        history_seconds: float,
        speed: float,
        parent_sid: str | None = None,
    ) -> None:
        start = now - min(history_seconds, kept_seconds(speed))
        self.credentials = credentials
        self.switches = switches
        self.seed = seed
        self.parent_sid = parent_sid
        self.world = World(
            seed=seed,
            start=start,
            speed=speed,
            service_sid=credentials.messaging_service_sid,
            long_code=credentials.long_code,
            alpha_sender=credentials.alpha_sender,
        )
        self.wallet = Wallet(
            start=start,
            messages_a_day=MESSAGES_A_DAY * speed,
            micros_a_day=self.world.spend_micros_a_day,
        )
        self.wallet.record(self.world.advance(now))  # paid for before the opening balance
        self._numbers = (
            self._rent(credentials.long_code, "local", "codes, long code"),
            self._rent(credentials.toll_free, "tollfree", "codes, toll-free"),
        )

    @property
    def is_subaccount(self) -> bool:
        """Whether it is the child account: it owns nothing and sends nothing."""
        return self.parent_sid is not None

    @property
    def sid(self) -> str:
        """The account SID."""
        own = self.credentials
        return own.subaccount_sid if self.is_subaccount else own.account_sid

    @property
    def auth_token(self) -> str:
        """The primary Auth Token."""
        own = self.credentials
        return own.subaccount_auth_token if self.is_subaccount else own.auth_token

    @property
    def status(self) -> str:
        """Twilio's word for the state of the account."""
        return "suspended" if self.switches.is_on("account_suspended") else "active"

    @property
    def type(self) -> str:
        """Twilio's word for the type of the account."""
        return "Trial" if self.switches.is_on("account_restricted") else "Full"

    @property
    def balance(self) -> str:
        """The balance with two decimals."""
        for fault, balance in BALANCE_UNDER_FAULT.items():
            if self.switches.is_on(fault):
                return balance
        return format_micros(self.wallet.micros, digits=2)

    @property
    def numbers(self) -> tuple[PhoneNumber, ...]:
        """The rented numbers."""
        if self.is_subaccount:
            return ()
        return tuple(each for each in self._numbers if not self._is_lost(each))

    @property
    def pool(self) -> tuple[PhoneNumber, ...]:
        """The numbers that the messaging service may send from."""
        return () if self.switches.is_on("sender_invalid") else self.numbers

    @property
    def alpha_senders(self) -> tuple[str, ...]:
        """The names that the messaging service may send from."""
        if self.is_subaccount or self.switches.is_on("sender_invalid"):
            return ()
        return (self.credentials.alpha_sender,)

    def derive_sid(self, prefix: str, name: str) -> str:
        """Return the SID of a thing of this account that exists for ever."""
        return prefix + derive_hex("twofa-exporter sandbox", self.seed, name)

    def may_send_to(self, country_code: str) -> bool:
        """Whether the geo permission of the country is on."""
        off = self.switches.is_on("country_not_permitted")
        return not (off and country_code == UNPERMITTED_COUNTRY)

    def advance(self, now: float) -> None:
        """Let the traffic reach that time, and pay for it."""
        self.wallet.charge(self.world.advance(now))

    def submit(self, *, to: str, sender: str, service_sid: str | None, body: str) -> Message:
        """Send a message for a user of the API, and pay for it."""
        message = self.world.submit(to=to, sender=sender, service_sid=service_sid, body=body)
        self.wallet.charge([message])
        return message

    def find_message(self, sid: str) -> Message | None:
        """Return the message as it is seen; None when there is none."""
        message = self.world.find(sid)
        return None if message is None else self._under_faults(message)

    def messages(self, *, before: Message | None = None) -> Iterator[Message]:
        """Yield the messages as they are seen, the newest first; `before` is where to go on."""
        for message in self.world.newest_first(before=before):
            seen = self._under_faults(message)
            if seen is not None:
                yield seen

    def _under_faults(self, message: Message) -> Message | None:
        if message.organic and self._strikes("no_traffic", message):
            return None
        for fault, change in TRAFFIC_UNDER_FAULT.items():
            if self._strikes(fault, message):
                message = change(message)
        return message

    def _strikes(self, fault: str, message: Message) -> bool:
        since = self.switches.since(fault)
        return since is not None and message.created >= since - RECENT_SECONDS

    def _is_lost(self, number: PhoneNumber) -> bool:
        gone = self.switches.is_on("sender_invalid")
        return gone and number.number == self.credentials.long_code

    def _rent(self, number: str, kind: str, name: str) -> PhoneNumber:
        return PhoneNumber(self.derive_sid("PN", number), number, kind, name)
