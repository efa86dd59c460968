"""The sandbox's own controls: faults, credentials, clients to sign in, what it plays, and whether it is up."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from .b2core import B2core
from .b2core_wire import parse_count
from .clients import CLIENTS, PERSONAS, Clients
from .credentials import Credentials
from .faults import AT_AN_OPERATOR, FAULTS, Place, PlaceError, Switches, UnknownFaultError
from .geography import COUNTRIES, UNPERMITTED_COUNTRY, find_operator
from .world import MESSAGES_A_DAY, rhythm_speed

PREFIX: Final = "/sandbox"


SPEED: Final = (
    "It multiplies how many messages arrive and, above 1, how fast the day's rhythm of quiet nights and busy"
    " afternoons turns. Dates, latencies, prices and receipts stay those of the real clock."
)


def build_control(
    credentials: Credentials, switches: Switches, b2core: B2core, clients: Clients, *, seed: int, speed: float
) -> Mount:
    """Return the controls under their prefix."""

    async def show_play(_request: Request) -> JSONResponse:
        return JSONResponse(
            {
                "seed": seed,
                "speed": speed,
                "what_speed_does": SPEED,
                "messages_a_day": MESSAGES_A_DAY * speed,
                "day_of_rhythm_seconds": 86_400 / rhythm_speed(speed),
                "see": [f"{PREFIX}/{name}" for name in ("faults", "credentials", "clients", "healthy")],
            }
        )

    async def list_faults(_request: Request) -> JSONResponse:
        return JSONResponse({"faults": _render_faults(switches)})

    async def show_credentials(_request: Request) -> JSONResponse:
        countries = [each.code for each in COUNTRIES]
        shown = {"countries": countries, "unpermitted_country": UNPERMITTED_COUNTRY}
        return JSONResponse({**asdict(credentials), **shown})

    async def say_healthy(_request: Request) -> JSONResponse:
        return JSONResponse({"healthy": True})

    async def list_personas(_request: Request) -> JSONResponse:
        shown = [{"id": each.id, "name": name, "what": each.what} for name, each in PERSONAS.items()]
        return JSONResponse({"clients": shown})

    async def sign_in(request: Request) -> JSONResponse:
        client = clients.find(parse_count(request.path_params["client"]) or 0)
        if client is None:
            return JSONResponse({"error": "no such client", "known": f"1 to {CLIENTS}"}, 404)
        return JSONResponse({"id": client.id, "code_sent": b2core.sign_in(client)})

    return Mount(
        PREFIX,
        routes=[
            Route("/", show_play),
            Route("/faults", list_faults),
            Route("/faults/{name}", _build_switch(switches, switches.set), methods=["PUT"]),
            Route("/faults/{name}", _build_switch(switches, lambda name, _: switches.clear(name)), methods=["DELETE"]),
            Route("/credentials", show_credentials),
            Route("/clients", list_personas),
            Route("/clients/{client}/sign-in", sign_in, methods=["POST"]),
            Route("/healthy", say_healthy),
        ],
    )


def _build_switch(
    switches: Switches, turn: Callable[[str, Place | None], None]
) -> Callable[[Request], Awaitable[JSONResponse]]:
    async def answer(request: Request) -> JSONResponse:
        try:
            turn(request.path_params["name"], _parse_place(request.query_params))
        except UnknownFaultError as error:
            return JSONResponse({"error": str(error), "known": sorted(FAULTS)}, 404)
        except LookupError as error:
            known = [asdict(Place(country.code, each.name)) for country in COUNTRIES for each in country.operators]
            return JSONResponse({"error": str(error), "known": known}, 404)
        except PlaceError as error:
            return JSONResponse({"error": str(error), "known": sorted(AT_AN_OPERATOR)}, 400)
        return JSONResponse({"faults": _render_faults(switches)})

    return answer


def _parse_place(query: Mapping[str, str]) -> Place | None:
    """Return the operator that a query names; None when it names none. Raises LookupError for one that is none."""
    country, operator = query.get("country"), query.get("operator")
    if country is None and operator is None:
        return None
    home, found = find_operator(country or "", operator or "")
    return Place(home.code, found.name)


def _render_faults(switches: Switches) -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "active": switches.is_on(name),
            "description": description,
            "place": asdict(switches.place(name)) if name in AT_AN_OPERATOR else None,
        }
        for name, description in FAULTS.items()
    ]
