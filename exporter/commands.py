"""The commands of ``twofa-exporter``: what each takes, and which parts it puts together."""

import io
import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO, NoReturn

import typer

from .answer_format import AnswerFormat
from .cli import USAGE_ERROR
from .logs import LogFormat, LogLevel, configure
from .report import ReportFormat
from .shipped import EXPORTER_URL, GRAFANA_URL, JOB, RUNBOOKS_PATH, RUNBOOKS_URL

ConfigFile = Annotated[
    Path, typer.Option("--config.file", help="The configuration file.", show_default=True, dir_okay=False)
]
ListenAddresses = Annotated[
    list[str],
    typer.Option("--web.listen-address", help="Where to serve metrics and the status page; may be given again."),
]
WebConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--web.config.file",
        help="TLS, users and headers of the internal listener, in the format of exporter-toolkit.",
        dir_okay=False,
    ),
]
PublicWebConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--public.web.config.file", help="TLS and headers of the public listener, in the same format.", dir_okay=False
    ),
]
TelemetryPath = Annotated[str, typer.Option("--web.telemetry-path", help="The path of the metrics.")]
StoragePath = Annotated[
    Path,
    typer.Option(
        "--storage.path", help="The database; made when it is not there. Not used where the configuration has storage."
    ),
]
Level = Annotated[LogLevel, typer.Option("--log.level", help="The least severity that is logged.")]
Format = Annotated[LogFormat, typer.Option("--log.format", help="How log lines are written.")]
ExportFolder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Where to write; made when it is not there.", file_okay=False)
]
RunbookUrl = Annotated[
    str, typer.Option("--runbook-url", help="Where your runbooks are; the exporter itself serves them at /runbooks.")
]
Operator = Annotated[
    bool, typer.Option("--prometheus-operator", help="Write manifests for Kubernetes with the Prometheus operator.")
]
Namespace = Annotated[str | None, typer.Option("--namespace", help="The namespace of the manifests.")]
Labels = Annotated[
    list[str],
    typer.Option(
        "--label", help="name=value, a label of the manifests, as your selectors want it; may be given again."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Write over files that differ.")]
Faults = Annotated[
    list[str], typer.Option("--fault", help="A fault to begin with, by the reason it causes; may be given again.")
]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same traffic.")]
Speed = Annotated[float, typer.Option("--speed", min=0.001, max=1000, help="1 is 20,000 messages a day.")]
History = Annotated[float, typer.Option("--history-hours", min=0, max=48, help="Hours of traffic at the start.")]

INTERRUPTED = 128 + 2  # what a shell makes of SIGINT

DEFAULT_CONFIG = Path("twofa-exporter.yml")
DEFAULT_LISTEN_ADDRESS = "127.0.0.1:10687"
DEFAULT_STORAGE = Path("twofa-exporter.db")
DEFAULT_BACKFILL = Path("twofa-backfill.om")


app = typer.Typer(
    name="twofa-exporter",
    help="Knows that clients stop receiving 2FA codes, and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
config_app = typer.Typer(name="config", help="Look at the configuration.", no_args_is_help=True)
rules_app = typer.Typer(name="rules", help="The alert rules and their runbooks.", no_args_is_help=True)
dashboards_app = typer.Typer(name="dashboards", help="The Grafana dashboards.", no_args_is_help=True)
provider_app = typer.Typer(name="provider", help="Look at what a provider tells.", no_args_is_help=True)
for group in (config_app, rules_app, dashboards_app, provider_app):
    app.add_typer(group)


def _refuse(problems: Iterable[str]) -> NoReturn:
    for problem in problems:
        typer.echo(problem, err=True)
    raise typer.Exit(USAGE_ERROR)


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Show the version and end.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"twofa-exporter {version_of('twofa-exporter')}")
        raise typer.Exit


@app.command()
def serve(
    config_file: ConfigFile = DEFAULT_CONFIG,
    listen_addresses: ListenAddresses = [DEFAULT_LISTEN_ADDRESS],  # noqa: B006  # typer copies it
    telemetry_path: TelemetryPath = "/metrics",
    public_listen_address: Annotated[
        str | None,
        typer.Option(
            "--public.listen-address", help="Where to take callbacks and show the clock page; nowhere unless given."
        ),
    ] = None,
    web_config_file: WebConfigFile = None,
    public_web_config_file: PublicWebConfigFile = None,
    storage_path: StoragePath = DEFAULT_STORAGE,
    shard: Annotated[
        str, typer.Option("--shard", help="i/n: only the targets of this one of n exporters, counted from 0.")
    ] = "0/1",
    log_level: Level = LogLevel.INFO,
    log_format: Format = LogFormat.LOGFMT,
) -> None:
    """Run the checks on a schedule and serve metrics and the status page, until SIGTERM or SIGINT.

    SIGHUP, or a POST to /-/reload, reads the configuration again. Web configurations and certificates are also read
    again when they change.
    """
    from .app import App, settle
    from .config import ConfigError
    from .database import StorageError
    from .meters import Meters
    from .shard import Shard, ShardError
    from .storage import Storage
    from .web.internal import build_internal
    from .web.protection import Protection
    from .web.public import serve_public
    from .web.server import WebError, bind
    from .web.server import serve as serve_web

    configure(log_level, log_format)
    meters = Meters()
    if public_web_config_file is not None and public_listen_address is None:
        _refuse(["--public.web.config.file: has no use without --public.listen-address"])
    try:
        protection = None if web_config_file is None else Protection(web_config_file)
        public_protection = None
        if public_web_config_file is not None:
            public_protection = Protection(public_web_config_file, is_public=True)
        sockets = [bind(address) for address in listen_addresses]
        public = None
        if public_listen_address is not None:
            public = bind(public_listen_address, option="--public.listen-address")
        ours = Shard.parse(shard)
        exporter = App.load(config_file, lambda: Storage.open(storage_path, meters), meters, ours)
        others = [] if public_protection is None else [public_protection]
        site = build_internal(exporter, telemetry_path=telemetry_path, protection=protection, others=others)
    except ConfigError as error:
        _refuse(error.problems)
    except (ShardError, StorageError, WebError) as error:
        _refuse([str(error)])
    protections = others if protection is None else [protection, *others]
    for each in protections:
        each.tell()

    def reload() -> None:
        exporter.reload()
        for each in protections:
            each.reload()

    settle()
    exporter.start()
    try:
        with ExitStack() as stack:
            if public is not None:
                stack.enter_context(
                    serve_public(
                        public,
                        exporter.callback_clients,
                        exporter.storage.messages,
                        meters,
                        exporter.true_time,
                        protection=public_protection,
                        leads=exporter.leads,
                    )
                )
            serve_web(site, sockets, on_hangup=reload, protection=protection)
    finally:
        exporter.stop()


@app.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Only these checks; all when none is named.")] = None,
    config_file: ConfigFile = DEFAULT_CONFIG,
    format_: Annotated[ReportFormat, typer.Option("--format", help="How the answer is written.")] = ReportFormat.TABLE,
    log_level: Level = LogLevel.WARN,
    log_format: Format = LogFormat.LOGFMT,
) -> None:
    """Run every check once and say what each found.

    Ends with 0 when all pass, 1 when something failed, 2 for a usage or configuration error and 3 when it
    could not find out. With --format nagios it keeps to the plugin API: 0 OK, 1 WARNING for what does not
    stop codes yet, 2 CRITICAL, 3 UNKNOWN.
    """
    from .app import run_once
    from .config import ConfigError, for_one_run, load
    from .meters import Meters
    from .report import exit_code, unknown_to_nagios
    from .storage import Storage
    from .terminal import progress, write

    configure(log_level, log_format)
    meters = Meters()
    try:
        config = for_one_run(load(config_file), names or ())
        with progress(len(config.checks)) as advance:
            runs = run_once(config, Storage.in_memory(meters), meters, on_done=advance)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # the calls under way would be waited for until their timeout
    except ConfigError as error:
        if format_ is ReportFormat.NAGIOS:
            typer.echo(unknown_to_nagios(error.problems))
            raise typer.Exit(3) from None
        _refuse(error.problems)
    _warn(config.warnings)
    write(runs, format_)
    raise typer.Exit(exit_code(runs, format_))


def _stdin() -> BinaryIO:
    """Return standard input; an empty one where it is closed."""
    return io.BytesIO() if sys.stdin is None else sys.stdin.buffer  # type: ignore[redundant-expr, unused-ignore]


@app.command()
def diagnose(
    client: Annotated[str, typer.Option("--client", help="The client's id in the back office.")] = "",
    phone: Annotated[str, typer.Option("--phone", help="A phone number in E.164 form, such as +14155550100.")] = "",
    message: Annotated[str, typer.Option("--message", help="The provider's id of a message.")] = "",
    code: Annotated[
        str | None, typer.Option("--code", help="A code that the client's app shows now; needs --secret-stdin.")
    ] = None,
    secret_stdin: Annotated[
        bool, typer.Option("--secret-stdin", help="Read the client's TOTP secret (Base32) from standard input.")
    ] = False,
    device_lost: Annotated[
        bool, typer.Option("--device-lost", help="The client says that the phone or the app is lost.")
    ] = False,
    look_up: Annotated[bool, typer.Option("--look-up", help="Look the number up with the provider; billed.")] = False,
    exporter_url: Annotated[
        str | None,
        typer.Option("--exporter-url", help="Ask this running exporter, which also knows alarms and past checks."),
    ] = None,
    timeout: Annotated[str | None, typer.Option("--timeout", help="Time that the answer may take, as 5s.")] = None,
    config_file: ConfigFile = DEFAULT_CONFIG,
    format_: Annotated[AnswerFormat, typer.Option("--format", help="How the answer is written.")] = AnswerFormat.TEXT,
    log_level: Level = LogLevel.WARN,
    log_format: Format = LogFormat.LOGFMT,
) -> None:
    """Say why a client gets no code: reasons, ranked, with evidence, who acts and what to do next.

    Ends with 0 when nothing was found, 1 when something was, 2 for a usage or configuration error and 3 when it
    could not find out. A TOTP secret is used here, and neither kept nor sent anywhere.
    """
    from .asking import AskError, ask_exporter, ask_here, build_question, read_code
    from .config import ConfigError, load
    from .diagnosing import QuestionError

    configure(log_level, log_format)
    try:
        match = read_code(code, _stdin() if secret_stdin else None)
        question = build_question(client, phone, message, match, device_lost=device_lost, look_up=look_up)
        config = load(config_file)
        if exporter_url is not None:
            answer = ask_exporter(question, exporter_url, config.diagnose, timeout, format_)
        else:
            answer = ask_here(question, config, timeout, format_)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.stderr.flush()
        os._exit(INTERRUPTED)
    except ConfigError as error:
        _refuse(error.problems)
    except QuestionError as error:
        _refuse([str(error)])
    except AskError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None
    typer.echo(answer.text)
    sys.stdout.flush()
    os._exit(answer.exit_code)  # calls under way would be waited for until their timeout


@app.command()
def backfill(
    target: Annotated[str | None, typer.Argument(help="The provider; may be left out when there is one.")] = None,
    config_file: ConfigFile = DEFAULT_CONFIG,
    storage_path: StoragePath = DEFAULT_STORAGE,
    days: Annotated[int, typer.Option("--days", min=1, max=400, help="Whole days (UTC) before today.")] = 14,
    output: Annotated[
        Path, typer.Option("--output", help="The OpenMetrics file to write.", dir_okay=False)
    ] = DEFAULT_BACKFILL,
    step_seconds: Annotated[
        int, typer.Option("--step-seconds", min=15, max=3600, help="Time between two samples of a series.")
    ] = 300,
    labels: Annotated[
        list[str],
        typer.Option("--label", help="name=value, added to every series: the job and instance of your scrapes."),
    ] = [],  # noqa: B006  # typer copies it
    log_level: Level = LogLevel.WARN,
    log_format: Format = LogFormat.LOGFMT,
) -> None:
    """Read days of a provider's message log: warm the baselines, and write history for Prometheus.

    What was interrupted goes on where it was when the same command is given again. Stop the exporter first, or all
    that share a database, as one holds it. Then: promtool tsdb create-blocks-from openmetrics FILE DIRECTORY
    """
    from datetime import UTC, datetime

    from checks.errors import ProviderError

    from .app import InForce
    from .backfill import backfill as run_backfill
    from .config import ConfigError, load
    from .database import StorageError
    from .meters import Meters
    from .openmetrics import LabelError, parse_labels
    from .storage import Storage
    from .terminal import day_progress

    configure(log_level, log_format)
    meters = Meters()
    try:
        extra = parse_labels(labels)
        config = load(config_file)
        name = config.provider(target)
        in_force = InForce.build(config, meters)
        if config.storage is None:
            storage = Storage.open(storage_path, meters)
        else:
            storage = Storage.open_leading(config.storage, config.detectors(), meters)
    except ConfigError as error:
        _refuse(error.problems)
    except (StorageError, LabelError) as error:
        _refuse([str(error)])
    try:
        in_force.remember_in(storage)
        storage.messages.watch(config.detectors())
        with day_progress(days) as on_progress:
            report = run_backfill(
                in_force.clients[name],
                storage.messages,
                name,
                days=days,
                now=datetime.now(UTC),
                output=output,
                step_seconds=step_seconds,
                labels=extra,
                on_progress=on_progress,
            )
    except ProviderError as error:
        typer.echo(
            f"{name}: {error.reason.row.title}: {error}; what was read is kept, the same command goes on", err=True
        )
        raise typer.Exit(3) from None
    except OSError as error:
        _refuse([f"{error.filename}: cannot be written: {(error.strerror or '').lower()}"])
    except KeyboardInterrupt:
        typer.echo("interrupted; what was read is kept, the same command goes on", err=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        storage.close()
        in_force.close()
    typer.echo(f"{output}: {report.messages} messages of {report.days} days")
    if not report.warmed:
        typer.echo(f"the baselines of {name} were left alone: the exporter reads its log already")


@config_app.command("check")
def config_check(
    config_file: ConfigFile = DEFAULT_CONFIG,
    web_config_file: WebConfigFile = None,
    public_web_config_file: PublicWebConfigFile = None,
    cost: Annotated[bool, typer.Option("--cost", help="Also say how many API calls a day the checks make.")] = False,
) -> None:
    """Say everything that is wrong with the configuration. Ends with 0 when it can be used, else with 2.

    Web configurations are looked at where they are given, with the certificates that they name.
    """
    from .config import ConfigError, counted, load

    problems: list[str] = []
    lines: list[str] = []
    warnings: list[str] = []
    try:
        config = load(config_file)
        lines.append(f"{config_file}: ok, {counted(config)}")
        warnings += config.warnings
        if cost:
            from .cost import described

            lines += described(config)
    except ConfigError as error:
        problems += error.problems
    for web_file, is_public in ((web_config_file, False), (public_web_config_file, True)):
        if web_file is None:
            continue
        from .web.protection import Protection

        try:
            protection = Protection(web_file, is_public=is_public)
            lines.append(f"{web_file}: ok, {protection.described()}")
            warnings += protection.warnings
        except ConfigError as error:
            problems += error.problems
    if problems:
        _refuse(problems)
    _warn(warnings)
    for line in lines:
        typer.echo(line)


@app.command()
def health(
    listen_address: Annotated[
        str, typer.Option("--web.listen-address", help="Where the exporter listens, as it was told.")
    ] = DEFAULT_LISTEN_ADDRESS,
    web_config_file: WebConfigFile = None,
    client_cert: Annotated[
        Path | None, typer.Option("--client-cert", help="A client certificate, where the listener asks for one.")
    ] = None,
    client_key: Annotated[Path | None, typer.Option("--client-key", help="Its key.")] = None,
) -> None:
    """Ask a running exporter on this machine whether it is healthy: for the health check of a container.

    Ends with 0 when it is, 1 when it is not or does not answer, and 2 for a usage or configuration error.
    """
    from .config import ConfigError
    from .web.health import ask_health
    from .web.server import WebError

    if (client_cert is None) != (client_key is None):
        _refuse(["--client-cert and --client-key: give both, or neither"])
    client = None if client_cert is None or client_key is None else (client_cert, client_key)
    try:
        problem = ask_health(listen_address, web_config_file, client)
    except ConfigError as error:
        _refuse(error.problems)
    except WebError as error:
        _refuse([str(error)])
    if problem is not None:
        typer.echo(problem, err=True)
        raise typer.Exit(1)


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    from .config import schema

    typer.echo(json.dumps(schema(), indent=2))


@provider_app.command("probe")
def provider_probe(
    name: Annotated[str | None, typer.Argument(help="The provider; may be left out when there is one.")] = None,
    dump: Annotated[
        bool, typer.Option("--dump", help="Show below what the answers look like, without what stands in them.")
    ] = False,
    config_file: ConfigFile = DEFAULT_CONFIG,
    log_level: Level = LogLevel.WARN,
    log_format: Format = LogFormat.LOGFMT,
) -> None:
    """Ask a provider once for all that it is configured to tell, and say what was understood of it.

    It sends no message. A log that costs money is read once, for the last hour. Ends with 0 when everything was
    understood, 1 when something was refused or not understood, and 2 for a usage or configuration error.
    """
    import time

    from .config import ConfigError, load
    from .probing import UnusableError, probe

    configure(log_level, log_format)
    is_understood = True
    try:
        config = load(config_file, needs_checks=False)
        target = config.provider(name)
        senders = config.senders_of(target)
        for answer in probe(config.providers[target], dump=dump, now=time.time, senders=senders):
            for line in answer.lines:
                typer.echo(line)
            is_understood = is_understood and answer.is_understood
    except ConfigError as error:
        _refuse(error.problems)
    except UnusableError as problem:
        _refuse([f"{target}: {problem}"])
    raise typer.Exit(0 if is_understood else 1)


@rules_app.command("export")
def rules_export(
    folder: ExportFolder,
    runbook_url: RunbookUrl = RUNBOOKS_URL,
    grafana_url: Annotated[str, typer.Option("--grafana-url", help="Where your Grafana is.")] = GRAFANA_URL,
    job: Annotated[str, typer.Option("--job", help="The name of the scrape job.")] = JOB,
    prometheus_operator: Operator = False,
    namespace: Namespace = None,
    labels: Labels = [],  # noqa: B006  # typer copies it
    force: Force = False,
) -> None:
    """Write the alert rules with their tests, an Alertmanager example and the runbooks to a folder.

    With --prometheus-operator a PrometheusRule and a ServiceMonitor instead. Nothing is written when a file there
    differs, unless --force is given.
    """
    from .export import ExportError, Site, rule_files
    from .kubernetes import parse_placement, rule_manifests

    try:
        site = Site(runbooks=runbook_url, grafana=grafana_url, job=job)
        placement = parse_placement(prometheus_operator, namespace, labels)
        _export(rule_files(site) if placement is None else rule_manifests(site, placement), folder, force)
        _warn(site.warnings("--runbook-url", "--grafana-url"))
    except ExportError as error:
        _refuse(error.problems)


@dashboards_app.command("export")
def dashboards_export(
    folder: ExportFolder,
    exporter_url: Annotated[
        str, typer.Option("--exporter-url", help="Where people see the exporter's status page.")
    ] = EXPORTER_URL,
    runbook_url: Annotated[
        str | None, typer.Option("--runbook-url", help="Where your runbooks are; the exporter's own unless given.")
    ] = None,
    prometheus_operator: Operator = False,
    namespace: Namespace = None,
    labels: Labels = [],  # noqa: B006  # typer copies it
    force: Force = False,
) -> None:
    """Write the Grafana dashboards, and what provisions them, to a folder.

    With --prometheus-operator one ConfigMap a dashboard instead, for the sidecar of Grafana's Helm chart. Nothing is
    written when a file there differs, unless --force is given.
    """
    from .export import ExportError, Site, dashboard_files
    from .kubernetes import dashboard_manifests, parse_placement

    try:
        site = Site(exporter=exporter_url, runbooks=runbook_url or exporter_url + RUNBOOKS_PATH)
        placement = parse_placement(prometheus_operator, namespace, labels)
        _export(dashboard_files(site) if placement is None else dashboard_manifests(site, placement), folder, force)
        _warn(site.warnings("--exporter-url"))
    except ExportError as error:
        _refuse(error.problems)


def _export(files: Mapping[str, str], folder: Path, force: bool) -> None:
    from .export import write

    written = write(files, folder, force=force)
    for path in written:
        typer.echo(path)
    typer.echo(f"{folder}: {len(written)} written, {len(files) - len(written)} as they were")


@app.command()
def sandbox(
    host: Annotated[str, typer.Option("--host", help="A loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 10688,
    faults: Faults = [],  # noqa: B006  # typer copies it
    seed: Seed = 1,
    speed: Speed = 1.0,
    history_hours: History = 6.0,
    write_config: Annotated[
        Path | None, typer.Option("--write-config", help="Write a configuration for this sandbox to this file.")
    ] = None,
    vendor: Annotated[
        str | None,
        typer.Option("--vendor", help="Write the configuration for this vendor's account alone: a type or a preset."),
    ] = None,
    callback_url: Annotated[
        str | None, typer.Option("--callback-url", help="Where to post status callbacks; on this machine.")
    ] = None,
    event_url: Annotated[
        str | None, typer.Option("--event-url", help="Where to post Event Streams; on this machine.")
    ] = None,
) -> None:
    """Run the sandbox alone: Twilio, B2CORE, a status page and a time server on loopback, with traffic and faults."""
    from .demo import write_sandbox_config, write_vendor_config
    from .sandbox.faults import UnknownFaultError
    from .sandbox.notifier import NotificationError, Notifications
    from .sandbox.server import Sandbox, SandboxError, run
    from .sandbox.vendors import EMULATORS, LINKS
    from .wording import hint, one_of, shown

    known = {*EMULATORS, *LINKS}
    if vendor is not None and write_config is None:
        _refuse(["--vendor: needs --write-config, the file to write the vendor's configuration to"])
    if vendor is not None and vendor not in known:
        _refuse([f"--vendor: no vendor {shown(vendor)}, must be {one_of(known)}{hint(vendor, known)}"])

    def ready(running: Sandbox) -> None:
        if write_config is not None and vendor is not None:
            write_vendor_config(running, vendor, write_config)
        elif write_config is not None:
            write_sandbox_config(running, write_config, callback_url=callback_url)
        typer.echo(f"sandbox listening on {running.url}")
        typer.echo(f"back office {running.b2core_url}, time server {running.ntp_address}")
        typer.echo(", ".join(f"{vendor} {address}" for vendor, address in running.link_addresses.items()))
        sys.stdout.flush()

    try:
        run(
            host=host,
            port=port,
            faults=faults,
            seed=seed,
            speed=speed,
            history_hours=history_hours,
            notifications=Notifications(callback_url=callback_url, event_url=event_url),
            on_ready=ready,
        )
    except (SandboxError, UnknownFaultError, NotificationError) as error:
        _refuse([str(error)])
    except OSError as error:
        _refuse([f"{error.filename}: cannot be written: {(error.strerror or '').lower()}"])


@app.command()
def demo(
    faults: Faults = [],  # noqa: B006  # typer copies it
    once: Annotated[bool, typer.Option("--once", help="Run every check once, show the answer and end.")] = False,
    listen_address: Annotated[
        str, typer.Option("--web.listen-address", help="Where to serve metrics and the status page.")
    ] = DEFAULT_LISTEN_ADDRESS,
    web_config_file: WebConfigFile = None,
    seed: Seed = 1,
    speed: Speed = 1.0,
    companions: Annotated[
        bool, typer.Option(help="Also run Prometheus and Alertmanager where they are installed.")
    ] = True,
) -> None:
    """Run everything on this machine with no account: sandbox, exporter, Prometheus and Alertmanager."""
    from .demo import DemoError, run_demo, run_demo_once
    from .report import exit_code
    from .terminal import write

    configure(LogLevel.WARN, LogFormat.LOGFMT)
    try:
        if once:
            runs = run_demo_once(faults=faults, seed=seed, speed=speed)
            write(runs, ReportFormat.TABLE)
            raise typer.Exit(exit_code(runs, ReportFormat.TABLE))
        run_demo(
            faults=faults,
            listen_address=listen_address,
            web_config=web_config_file,
            seed=seed,
            speed=speed,
            companions=companions,
        )
    except DemoError as error:
        _refuse([str(error)])
