"""The internal listener: metrics, health, reload, configuration, status page, runbooks and questions about clients."""

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import anyio.to_thread
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from checks.secret import Secret
from checks.settings import BackOfficeSettings

from ..config import Config, masked
from ..diagnosing import Known
from ..meters import Meters
from ..runner import Defect, contained
from ..shipped import runbook_path, runbooks_folder
from ..storage import Storage
from .confirmations import confirmation_routes
from .diagnose import diagnose_routes
from .exposition import Scrapes, accepts_gzip, choose_format
from .guards import is_cross_site
from .protection import Protection
from .received import received_routes
from .runbooks import runbook_routes
from .server import WebError
from .status import build_page, read_history
from .users import Door
from .verifier_events import verifier_event_routes

_FOLDER: Final = Path(__file__).parent
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_SCRAPES_AT_ONCE: Final = 4  # rendering is work for the processor: more at once would only all be later
_PAGES_AT_ONCE: Final = 4
_HEALTH_PATHS: Final = ("/-/healthy", "/-/ready")
_DEFECT: Final = "A defect of the exporter; its log has the traceback.\n"

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]


class ServedApp(Protocol):
    """What the pages need of the running exporter."""

    @property
    def config(self) -> Config:
        """The configuration in force."""

    @property
    def storage(self) -> Storage:
        """All results."""

    @property
    def registry(self) -> CollectorRegistry:
        """All metrics."""

    @property
    def meters(self) -> Meters:
        """What the exporter counts about itself."""

    @property
    def version(self) -> str:
        """The version of the exporter."""

    def known(self) -> Known:
        """Return what a question about a client starts from."""

    def is_healthy(self) -> bool:
        """Return whether checks are being scheduled."""

    def is_ready(self) -> bool:
        """Return whether every configured check has run."""

    def leads(self) -> bool:
        """Return whether checks run here; where not, another of several exporters leads, or none does."""

    def reload(self) -> tuple[str, ...]:
        """Read the configuration again; return what is wrong with it, and keep the old one then."""


class _Threads:
    """Runs work beside the event loop, so that it never waits; a flood of one kind does not hold up another."""

    def __init__(self, at_once: int) -> None:
        self._limiter = anyio.CapacityLimiter(at_once)

    async def run(self, work: Callable[[], T]) -> T:
        done = await anyio.to_thread.run_sync(contained, work, limiter=self._limiter, abandon_on_cancel=True)
        if isinstance(done, Defect):
            raise HTTPException(500, _DEFECT)
        return done


class _Static(StaticFiles):
    """Files that a browser keeps and asks for again by their ETag: an upgrade shows at once."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        response = super().file_response(*arguments, **named)
        response.headers["Cache-Control"] = "no-cache"
        return response


def build_internal(
    app: ServedApp,
    *,
    telemetry_path: str = "/metrics",
    runbooks: Path | None = None,
    protection: Protection | None = None,
    others: Sequence[Protection] = (),
) -> Starlette:
    """Return the application of the internal listener; ``runbooks`` are those that come with it unless given.

    ``others`` are the protections of other listeners, which are read again with ours.

    Raises WebError for a path that cannot be used.
    """
    templates = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    guarded = [  # each asks for a token of its own
        *diagnose_routes(app.known, lambda: app.config.diagnose, app.meters, templates, app.version),
        *received_routes(lambda: app.config, app.storage.canaries, app.leads),
        *confirmation_routes(lambda: app.config, app.storage.messages, app.meters),
        *verifier_event_routes(
            lambda target: _verifier_token(app.config, target), app.storage.verifier, app.meters.verifier_events
        ),
    ]
    routes = [
        *guarded,
        *_status_routes(app, telemetry_path, templates),
        *runbook_routes(runbooks or runbooks_folder(), templates, app.version),
        *_health_routes(app, others if protection is None else (protection, *others)),
        Route("/config", _config_endpoint(app)),
        Mount("/static", _Static(directory=_FOLDER / "static")),
    ]
    taken = {route.path for route in routes if isinstance(route, Route | Mount)}
    if not _PATH.fullmatch(telemetry_path) or any(f"{telemetry_path}/".startswith(f"{path}/") for path in taken):
        raise WebError(f'--web.telemetry-path: must be a path of its own, such as "/metrics", got "{telemetry_path}"')
    routes.append(Route(telemetry_path, _metrics_endpoint(app)))
    middleware = [] if protection is None else [_door(protection, guarded)]
    starlette = Starlette(routes=routes, middleware=middleware, exception_handlers={Exception: _on_defect})
    starlette.router.redirect_slashes = False
    return starlette


def _door(protection: Protection, guarded: Sequence[Route]) -> Middleware:
    return Middleware(
        Door,
        users=lambda: protection.users,
        rate=lambda: protection.rate,
        open_to_all=_HEALTH_PATHS,
        guarded=guarded,
    )


def _verifier_token(config: Config, target: str) -> Secret | None:
    settings = config.targets.get(target)
    if not isinstance(settings, BackOfficeSettings) or settings.verifier_events is None:
        return None
    return settings.verifier_events.token


async def _on_defect(request: Request, defect: Exception) -> Response:  # noqa: ARG001  # Starlette's signature
    return PlainTextResponse(_DEFECT, 500)


def _metrics_endpoint(app: ServedApp) -> Endpoint:
    scrapes = Scrapes(app.registry, _Threads(_SCRAPES_AT_ONCE).run)

    async def metrics(request: Request) -> Response:
        format_ = choose_format(",".join(request.headers.getlist("accept")))
        gzipped = accepts_gzip(",".join(request.headers.getlist("accept-encoding")))
        names = request.query_params.getlist("name[]")
        body = await scrapes.body(format_, names, gzipped=gzipped)
        headers = {"Content-Type": format_.content_type, "Vary": "Accept, Accept-Encoding"}
        if gzipped:
            headers["Content-Encoding"] = "gzip"
        return Response(body, headers=headers)

    return metrics


def _health_routes(app: ServedApp, protections: Sequence[Protection]) -> list[Route]:
    threads = _Threads(1)

    async def healthy(_: Request) -> Response:
        if app.is_healthy():
            return PlainTextResponse("twofa-exporter is healthy.\n")
        return PlainTextResponse("twofa-exporter is not healthy: no checks are scheduled.\n", 503)

    async def ready(_: Request) -> Response:
        if app.is_ready():
            return PlainTextResponse("twofa-exporter is ready.\n")
        if not app.leads():
            return PlainTextResponse("twofa-exporter is not ready: it stands by, as it does not hold the lease.\n", 503)
        return PlainTextResponse("twofa-exporter is not ready: not every check has run yet.\n", 503)

    def reload_all() -> tuple[str, ...]:
        return (*app.reload(), *(problem for each in protections for problem in each.reload()))

    async def reload(request: Request) -> Response:
        if is_cross_site(request.headers):
            return PlainTextResponse("The configuration is not reloaded for a page of another site.\n", 403)
        try:
            async for _ in request.stream():  # none is asked for, but a request that is malformed does nothing
                pass
        except ClientDisconnect:
            return PlainTextResponse("The request is incomplete.\n", 400)
        problems = await threads.run(reload_all)
        if problems:
            lines = "".join(f"{problem}\n" for problem in problems)
            return PlainTextResponse(f"The old configuration stays in force:\n{lines}", 500)
        return PlainTextResponse("The configuration has been reloaded.\n")

    return [
        *(Route(path, answer) for path, answer in zip(_HEALTH_PATHS, (healthy, ready), strict=True)),
        Route("/-/reload", reload, methods=["POST", "PUT"]),
    ]


def _config_endpoint(app: ServedApp) -> Endpoint:
    threads = _Threads(_PAGES_AT_ONCE)

    async def config(_: Request) -> Response:
        return PlainTextResponse(await threads.run(lambda: masked(app.config)))

    return config


def _status_routes(app: ServedApp, telemetry_path: str, templates: Environment) -> list[Route]:
    threads = _Threads(_PAGES_AT_ONCE)

    def page(opened: frozenset[str], refreshes: bool) -> str:
        config = app.config
        view = build_page(
            config=config,
            snapshot=app.storage.snapshot(),
            history=read_history(app.storage, config, opened),
            readings=app.meters.read(),
            scheduled=app.is_healthy(),
            leads=app.leads(),
            now=datetime.now(UTC),
            opened=opened,
            refreshes=refreshes,
        )
        return templates.get_template("status.html").render(
            page=view, version=app.version, telemetry_path=telemetry_path, runbooks_path=runbook_path("")
        )

    async def status(request: Request) -> Response:
        opened = frozenset(request.query_params.getlist("runs"))
        refreshes = request.query_params.get("refresh") != "off"
        return Response(await threads.run(lambda: page(opened, refreshes)), media_type="text/html")

    return [Route("/", status)]
