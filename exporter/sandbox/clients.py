"""The clients of the back office, and the personas among them: the same for the same seed.

They have numbers of the world's operators: the messages of the traffic go to many of them too.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from random import Random
from typing import Final

from .credentials import derive_hex, derive_totp_secret
from .faults import Place
from .geography import find_operator
from .world import CLIENTS_AN_OPERATOR, client_number, draw_volumes

CLIENTS: Final = 1200
DOMAIN: Final = "sandbox.example"
SMS: Final = "sms"
GOOGLE: Final = "google"

METHODS: Final = (frozenset({SMS}), frozenset({GOOGLE}), frozenset({SMS, GOOGLE}), frozenset[str]())
METHOD_WEIGHTS: Final = (60, 15, 20, 5)
CONFIRMED_SHARE: Final = 0.985

FIRST_CREATED: Final = datetime(2025, 1, 6, tzinfo=UTC).timestamp()
SECONDS_BETWEEN_CLIENTS: Final = 8 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """A client to ask about by name."""

    id: int
    what: str  # is special
    home: Place
    methods: frozenset[str]
    is_confirmed: bool = True  # the phone
    fate: int | None = None  # the error code with which all messages to the phone end; None: they arrive


_SMS_ALONE: Final = frozenset({SMS})

PERSONAS: Final[Mapping[str, Persona]] = {
    "sms": Persona(id=1, what="codes by SMS, all is well", home=Place("GB", "EE"), methods=_SMS_ALONE),
    "google": Persona(
        id=2, what="an authenticator app alone", home=Place("DE", "T-Mobile"), methods=frozenset({GOOGLE})
    ),
    "both": Persona(
        id=3,
        what="SMS and an authenticator app, chooses at each sign-in",
        home=Place("GB", "Vodafone"),
        methods=frozenset({SMS, GOOGLE}),
    ),
    "no_2fa": Persona(id=4, what="no second factor", home=Place("ES", "Movistar"), methods=frozenset()),
    "unconfirmed": Persona(
        id=5,
        what="codes by SMS, but the phone is not confirmed",
        home=Place("GB", "O2"),
        methods=_SMS_ALONE,
        is_confirmed=False,
    ),
    "landline": Persona(
        id=6,
        what="the number is a landline: undelivered, 30006",
        home=Place("DE", "Vodafone"),
        methods=_SMS_ALONE,
        fate=30006,
    ),
    "opted_out": Persona(
        id=7, what="has replied STOP: failed, 21610", home=Place("ZA", "Vodacom"), methods=_SMS_ALONE, fate=21610
    ),
    "invalid": Persona(
        id=8,
        what="the number does not exist any more: undelivered, 30005",
        home=Place("PL", "Orange"),
        methods=_SMS_ALONE,
        fate=30005,
    ),
    "unreachable": Persona(
        id=9, what="the phone is off: undelivered, 30003", home=Place("IN", "Airtel"), methods=_SMS_ALONE, fate=30003
    ),
    "blocked": Persona(
        id=10,
        what="blocks the sender: undelivered, 30004",
        home=Place("AE", "Etisalat"),
        methods=_SMS_ALONE,
        fate=30004,
    ),
    "canary": Persona(
        id=11,
        what="the client of the sign-in check, an authenticator app",
        home=Place("GB", "EE"),
        methods=frozenset({GOOGLE}),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client of the back office."""

    id: int
    name: str
    email: str = field(repr=False)
    password: str = field(repr=False)
    totp_secret: str = field(repr=False)  # base32; of use where an authenticator app is on
    number: str = field(repr=False)  # E.164
    methods: frozenset[str]  # those that are on
    is_confirmed: bool  # the phone

    @property
    def created(self) -> float:
        """When the client was created, epoch seconds; of two clients the one with the smaller id is the elder."""
        return FIRST_CREATED + self.id * SECONDS_BETWEEN_CLIENTS


class Clients:
    """All clients of one seed."""

    def __init__(self, seed: int) -> None:
        personas = [_draw_persona(seed, name, persona) for name, persona in PERSONAS.items()]
        self.all: Final[Sequence[Client]] = (*personas, *_draw_others(seed, range(len(personas) + 1, CLIENTS + 1)))
        self._by_id = {each.id: each for each in self.all}
        self._by_email = {each.email: each for each in self.all}
        self._by_name = {each.name: each for each in personas}

    @property
    def fates(self) -> Mapping[str, int]:
        """The error code with which every message to a number ends, by number."""
        fates = {self.persona(name).number: persona.fate for name, persona in PERSONAS.items()}
        return {number: fate for number, fate in fates.items() if fate is not None}

    def find(self, client_id: int) -> Client | None:
        """Return the client of that id; None when there is none."""
        return self._by_id.get(client_id)

    def find_email(self, email: str) -> Client | None:
        """Return the client who signs in with that e-mail address; None when there is none."""
        return self._by_email.get(email)

    def persona(self, name: str) -> Client:
        """Return a persona. Raises LookupError for a name that is not in ``PERSONAS``."""
        if name not in self._by_name:
            raise LookupError(f'no persona "{name}", must be one of: {", ".join(PERSONAS)}')
        return self._by_name[name]


def _build_client(
    seed: int, client_id: int, name: str, *, number: str, methods: frozenset[str], is_confirmed: bool
) -> Client:
    return Client(
        id=client_id,
        name=name,
        email=f"{name}@{DOMAIN}",
        password=derive_hex("client password", seed, name),
        totp_secret=derive_totp_secret(seed, name),
        number=number,
        methods=methods,
        is_confirmed=is_confirmed,
    )


def _draw_persona(seed: int, name: str, persona: Persona) -> Client:
    country, operator = find_operator(persona.home.country, persona.home.operator)
    # beyond the numbers of the traffic: only what somebody sends to a persona is in the log
    number = client_number(country, operator, CLIENTS_AN_OPERATOR + persona.id)
    return _build_client(
        seed, persona.id, name, number=number, methods=persona.methods, is_confirmed=persona.is_confirmed
    )


def _draw_others(seed: int, ids: Iterable[int]) -> Iterable[Client]:
    rng = Random(f"{seed}/clients")  # noqa: S311  a made-up world, no secret
    homes, volumes = draw_volumes(seed)
    bounds = list(accumulate(volumes))
    living = Counter[int]()
    for client_id in ids:
        home = bisect_left(bounds, rng.random() * bounds[-1])
        country, operator = homes[home]
        (methods,) = rng.choices(METHODS, METHOD_WEIGHTS)
        yield _build_client(
            seed,
            client_id,
            f"client{client_id}",
            number=client_number(country, operator, living[home]),
            methods=methods,
            is_confirmed=rng.random() < CONFIRMED_SHARE,
        )
        living[home] += 1
