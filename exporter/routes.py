"""Which providers serve which countries, as the configuration says it: the ways that codes may take."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from checks.settings import CountryCode, Settings

from .wording import hint, known_names, shown

EVERY_OTHER: Final = "*"

Place = tuple[str | int, ...]
"""Where something stands below the section."""


def _countries(value: Any) -> Any:
    if value == EVERY_OTHER:
        return ()
    if not isinstance(value, list | tuple) or not value:
        raise PydanticCustomError("countries", f'must be a list of countries, or "{EVERY_OTHER}" for every other one')
    return value


_Countries = Annotated[
    tuple[CountryCode, ...],
    BeforeValidator(_countries),
    PlainSerializer(lambda countries: list(countries) or EVERY_OTHER),
    WithJsonSchema(
        {
            "oneOf": [
                {"const": EVERY_OTHER},
                {"type": "array", "items": {"type": "string", "pattern": "^[A-Z]{2}$"}, "minItems": 1},
            ]
        }
    ),
]


class RouteSettings(Settings):
    """One entry of the list: some countries, and the providers that can send codes there. Off unless given."""

    countries: _Countries = Field(
        description=f'ISO 3166 alpha-2, in quotes; "{EVERY_OTHER}" is every country that no other route names'
    )
    providers: tuple[str, ...] = Field(
        min_length=1, description="names of providers, the one in use first and then those that can take over, in order"
    )

    @property
    def is_of_the_rest(self) -> bool:
        """Whether it is for every country that no other route names."""
        return not self.countries


def contradictions(entries: Sequence[Any], providers: Collection[str]) -> Iterator[tuple[Place, str]]:
    """Yield where raw routes name something twice or a provider that is not there, and the words for it.

    What is no route at all is passed over: its model says so.
    """
    homes: dict[str, int] = {}
    for index, entry in enumerate(entries):
        for where, country in _listed(entry, "countries"):
            if country in homes:
                yield (index, *where), f"{shown(country)} is in routes[{homes[country]}] already"
            homes.setdefault(country, index)
        named: set[str] = set()
        for where, name in _listed(entry, "providers"):
            if name not in providers:
                yield (index, *where), f"no provider {shown(name)}{hint(name, providers) or known_names(providers)}"
            elif name in named:
                yield (index, *where), f"{shown(name)} is in this route already"
            named.add(name)


def _listed(entry: Any, key: str) -> Sequence[tuple[Place, str]]:
    """Return the texts of a list in a raw entry, each with its place; one text alone stands at the key."""
    value = entry.get(key) if isinstance(entry, Mapping) else None
    if key == "countries" and value == EVERY_OTHER:
        return [((key,), EVERY_OTHER)]
    texts = value if isinstance(value, list) else ()
    return [((key, number), text) for number, text in enumerate(texts) if isinstance(text, str)]


def advice(routes: Sequence[RouteSettings], asked: Collection[str]) -> Iterator[str]:
    """Yield what routes lack, though they can be used; ``asked`` are the providers that a check asks."""
    for index, route in enumerate(routes):
        if len(route.providers) == 1:
            countries = ", ".join(route.countries) or "every other country"
            yield f"[{index}]: {route.providers[0]} is the only provider for {countries}: none can take over"
        for number, name in enumerate(route.providers):
            if name not in asked:
                yield f"[{index}].providers[{number}]: no check asks {name}, so it is never known whether it can send"
