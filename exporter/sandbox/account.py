"""One account of the sandbox, as it stands under the faults that are on."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .credentials import Credentials, derive_hex
from .effects import under_faults
from .faults import Switches
from .geography import UNPERMITTED_COUNTRY
from .limits import Limit
from .message import Message
from .verifications import Verifications
from .wallet import Wallet, format_micros
from .world import MESSAGES_A_DAY, World, kept_seconds

ATTEMPTS_A_MINUTE: Final = 100
"""Requests for attempts and their summary: https://www.twilio.com/docs/verify/api/list-verification-attempts."""
LANDLINE_CODE: Final = 30006
"""https://www.twilio.com/docs/api/errors/30006."""
BALANCE_UNDER_FAULT: Final[Mapping[str, str]] = {"balance_exhausted": "-0.42", "balance_low": "1.50"}


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A number that the account rents."""

    sid: str
    number: str  # E.164
    kind: str  # Twilio's type: local, tollfree
    friendly_name: str


class Account:
    """An account with its traffic, money and senders.

    When a fault is cleared everything is as if it had not been, but for the messages that were created meanwhile:
    what happened to those stays.
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
        fates: Mapping[str, int] | None = None,
    ) -> None:
        """``fates`` is how every message that is submitted to a number ends: an error code."""
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
            fates=fates,
        )
        self._fates = fates or {}
        self.verifications = Verifications()
        self.attempts_limit = Limit(ATTEMPTS_A_MINUTE, 60.0)
        self.wallet = Wallet(
            start=start,
            messages_a_day=MESSAGES_A_DAY * speed,
            micros_a_day=self.world.spend_micros_a_day,
        )
        self.wallet.record(self._seen(self._create(now)))  # paid for before the opening balance
        self.on_created: Callable[[Sequence[Message]], None] = lambda _: None
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

    def is_landline(self, number: str) -> bool:
        """Whether messages to a number end as those to a landline do."""
        return self._fates.get(number) == LANDLINE_CODE

    def may_send_to(self, country_code: str) -> bool:
        """Whether the geo permission of the country is on."""
        off = self.switches.is_on("country_not_permitted")
        return not (off and country_code == UNPERMITTED_COUNTRY)

    def advance(self, now: float) -> None:
        """Let the traffic reach that time, and pay for it."""
        self._enter(self._create(now))

    def submit(
        self,
        *,
        to: str,
        sender: str,
        service_sid: str | None,
        body: str,
        status_callback: str | None = None,
        is_attempt: bool = False,
    ) -> Message:
        """Send a message for a user of the API, and pay for it."""
        message = self.world.submit(
            to=to,
            sender=sender,
            service_sid=service_sid,
            body=body,
            status_callback=status_callback,
            is_attempt=is_attempt,
        )
        self._enter([message])
        return message

    def find_message(self, sid: str) -> Message | None:
        """Return the message as it is seen; None when there is none."""
        message = self.world.find(sid)
        return None if message is None else under_faults(message, self.switches)

    def messages(self, *, before: Message | None = None) -> Iterator[Message]:
        """Yield the messages as they are seen, the newest first; `before` is where to go on."""
        return self._seen(self.world.newest_first(before=before))

    def _create(self, now: float) -> list[Message]:
        created = self.world.advance(now)
        if not self.is_subaccount:
            for period in self.switches.periods("sms_pumping"):
                created += self.world.pump(period.place, since=period.since, until=min(period.until, now))
        return created

    def _enter(self, messages: Iterable[Message]) -> None:
        seen = list(self._seen(messages))
        self.wallet.charge(seen)
        self.on_created(seen)

    def _seen(self, messages: Iterable[Message]) -> Iterator[Message]:
        return (seen for each in messages if (seen := under_faults(each, self.switches)) is not None)

    def _is_lost(self, number: PhoneNumber) -> bool:
        gone = self.switches.is_on("sender_invalid")
        return gone and number.number == self.credentials.long_code

    def _rent(self, number: str, kind: str, name: str) -> PhoneNumber:
        return PhoneNumber(self.derive_sid("PN", number), number, kind, name)
