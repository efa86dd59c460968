"""Reads the configuration file: everything that is wrong with it is said at once, in the user's words.

The only module that resolves secrets. A raw mapping never leaves it.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from checks.back_office import Identifier
from checks.canary import CanarySettings
from checks.delivery import DeliverySettings
from checks.kinds import KINDS, CheckKind
from checks.messages.detector import DetectorSettings
from checks.past import ProviderIdentity
from checks.secret import Secret
from checks.senders import SendersSettings
from checks.settings import (
    CheckSettings,
    Count,
    ProviderSettings,
    Seconds,
    SecretSetting,
    Settings,
    TargetSettings,
    between,
    format_duration,
)
from checks.target import TargetSpec
from checks.targets import SECTIONS

from . import documents, presets
from .alerting import AlertmanagerSettings, delivery_warnings
from .documents import DocumentError
from .routes import RouteSettings, advice, contradictions
from .shard import Shard
from .storage_settings import StorageSettings
from .wording import (
    hint,
    keys_of,
    kind_of,
    known_names,
    location_of,
    one_line,
    one_of,
    shown,
    words_of,
    words_of_os,
)

_NAME_WORDS: Final = "lower case letters, digits, - and _, starting with a letter or digit"
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_CHECKS: Final = "checks"
_DIAGNOSE: Final = "diagnose"
_ALERTMANAGER: Final = "alertmanager"
_ROUTES: Final = "routes"
_STORAGE: Final = "storage"
_KNOWN: Final = tuple(sorted((*SECTIONS, _CHECKS, _DIAGNOSE, _ALERTMANAGER, _ROUTES, _STORAGE)))
_MAX_NAME: Final = 64

_S = TypeVar("_S", bound=Settings)


class ConfigError(Exception):
    """The configuration cannot be used; ``problems`` holds one line for each thing that is wrong."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(map(one_line, problems))
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredCheck:
    """One entry under ``checks``."""

    name: str
    kind_name: str
    settings: CheckSettings

    @property
    def kind(self) -> CheckKind:
        """The row of the table of kinds."""
        return KINDS[self.kind_name]

    @property
    def target(self) -> str:
        """The configured name of what the check looks at."""
        return self.settings.target


_SHORTEST_TOKEN: Final = 16


class DiagnoseSettings(Settings):
    """Who may ask about clients."""

    token: SecretSetting | None = Field(
        None,
        description="the password of /diagnose (the user's name does not matter), and the bearer token of its API;"
        " required where the listener is not on loopback",
    )
    max_lookups_per_day: Count = Field(
        0, ge=0, le=10_000, description="billed look-ups of a number, which are asked for one by one; 0 allows none"
    )
    requests_per_minute: Count = Field(30, ge=1, le=600, description="questions that are answered in one minute")
    timeout: Annotated[Seconds, between("500ms", "1m")] = Field(
        5.0, description="time that one answer may take; what is not known by then is said to be missing"
    )

    @field_validator("token")
    @classmethod
    def _long_enough(cls, token: Secret | None) -> Secret | None:
        if token is not None and len(token.reveal()) < _SHORTEST_TOKEN:
            raise PydanticCustomError("token", f"must have at least {_SHORTEST_TOKEN} characters")
        return token


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration without contradictions."""

    targets: Mapping[str, TargetSettings]  # of all sections; no two have the same name
    checks: Mapping[str, ConfiguredCheck]
    diagnose: DiagnoseSettings = field(default_factory=DiagnoseSettings)
    alertmanager: AlertmanagerSettings = field(default_factory=AlertmanagerSettings)
    routes: tuple[RouteSettings, ...] = ()
    storage: StorageSettings | None = None  # None: a file of this exporter's own
    elsewhere: Mapping[str, ProviderIdentity] = field(default_factory=dict)  # of the providers of other shards
    warnings: tuple[str, ...] = ()

    @property
    def providers(self) -> Mapping[str, ProviderSettings]:
        """The targets that send codes by SMS."""
        return {name: each for name, each in self.targets.items() if isinstance(each, ProviderSettings)}

    @property
    def asked_providers(self) -> frozenset[str]:
        """The providers that a check asks, so that it becomes known whether they can send."""
        return frozenset(check.target for check in self.checks.values() if check.kind.asks_provider)

    def section_of(self, target: str) -> str:
        """Return the section that holds a target."""
        settings = type(self.targets[target])
        return next(
            name for name, section in SECTIONS.items() if settings in {spec.settings for spec in section.types.values()}
        )

    def identities(self) -> Mapping[str, ProviderIdentity]:
        """Return what each provider is known by: its account, its key and the senders that are checked."""
        senders: dict[str, list[Secret]] = {}
        for check in self.checks.values():
            if isinstance(check.settings, SendersSettings):
                numbers = (*check.settings.numbers, *check.settings.messaging_services)
                senders.setdefault(check.target, []).extend(Secret(sender) for sender in numbers)
        unknown = {what: frozenset[Secret]() for what in Identifier}
        ours = {
            name: {**unknown, **settings.identity(), Identifier.SENDER: senders.get(name, [])}
            for name, settings in self.providers.items()
        }
        return {**self.elsewhere, **ours}

    def senders_of(self, provider: str) -> Sequence[SendersSettings]:
        """Return what the checks of senders ask a provider for."""
        return [
            check.settings
            for check in self.checks.values()
            if check.target == provider and isinstance(check.settings, SendersSettings)
        ]

    def detectors(self) -> Mapping[str, DetectorSettings]:
        """Return how operator faults are looked for, by target."""
        return {
            check.target: check.settings.detector
            for check in self.checks.values()
            if isinstance(check.settings, DeliverySettings)
        }

    def provider(self, name: str | None) -> str:
        """Return the name of a provider, of the only one for None. Raises ConfigError for one that is not there."""
        if name is not None and name in self.providers:
            return name
        if name is None and len(self.providers) == 1:
            return next(iter(self.providers))
        raise ConfigError([f"{name or 'no provider given'}: must be {one_of(sorted(self.providers))}"])


def load(path: Path, *, needs_checks: bool = True) -> Config:
    """Return the configuration in ``path``; one that is not finished yet may be without checks.

    Raises ConfigError with every problem in the file, sorted by where it is.
    """
    document = _read(path)
    problems = _Problems()
    for key in set(document) - set(_KNOWN):
        problems.add((str(key),), f"unknown key, must be {one_of(_KNOWN)}{hint(key, _KNOWN)}")
    resolve = _secret_resolver(path.parent)
    targets: dict[str, TargetSettings] = {}
    warnings = []
    for name, section in SECTIONS.items():
        entries = _section(document, name, problems, is_required=section.is_required)
        targets |= _load_targets(name, section.types, entries, resolve, problems)
    checks = _load_checks(_section(document, _CHECKS, problems, is_required=needs_checks), resolve, problems)
    diagnose = _load_part(DiagnoseSettings, _DIAGNOSE, document, resolve, problems)
    alertmanager = _load_part(AlertmanagerSettings, _ALERTMANAGER, document, resolve, problems)
    routes = _load_routes(document, problems)
    storage = None
    if document.get(_STORAGE) is not None:
        storage = _load_part(StorageSettings, _STORAGE, document, resolve, problems)
    _check_references(document, problems)
    _check_paces(targets, checks, problems)
    _check_what_is_lacking(targets, checks, problems)
    _check_witnesses(targets, checks, problems)
    if problems.lines or diagnose is None or alertmanager is None:
        raise ConfigError(f"{path}: {line}" for line in sorted(problems.lines))
    config = Config(
        targets=targets,
        checks=checks,
        diagnose=diagnose,
        alertmanager=alertmanager,
        routes=routes,
        storage=storage,
    )
    used = {check.target for check in checks.values()}
    for name in sorted(targets.keys() - used):
        section_name = config.section_of(name)
        noun = SECTIONS[section_name].noun
        warnings.append(f"{path}: {section_name}.{name}: no check looks at this {noun}")
    warnings += [
        f"{path}: {config.section_of(name)}.{name}.{words}"
        for name, settings in targets.items()
        for words in settings.warnings()
    ]
    domains = {
        name: (*SECTIONS[config.section_of(name)].types[settings.type].domains, *settings.hosts())
        for name, settings in config.providers.items()
    }
    warnings += [
        f"{path}: {_ALERTMANAGER}.config_file: {words}"
        for words in delivery_warnings(alertmanager, path.parent, domains)
    ]
    warnings += [f"{path}: {_ROUTES}{words}" for words in advice(routes, config.asked_providers)]
    return replace(config, warnings=tuple(sorted(warnings)))


def for_shard(config: Config, shard: Shard) -> Config:
    """Return the configuration with the targets of one shard and their checks alone."""
    if shard.count == 1:
        return config
    targets = {name: settings for name, settings in config.targets.items() if shard.has(name)}
    checks = {name: check for name, check in config.checks.items() if check.target in targets}
    warnings = config.warnings if checks else (*config.warnings, f"--shard {shard}: no check looks at a target of it")
    return replace(config, targets=targets, checks=checks, elsewhere=config.identities(), warnings=warnings)


def for_one_run(config: Config, names: Iterable[str]) -> Config:
    """Return the configuration with the named checks alone; when none is named, with all that a single run can do.

    Raises ConfigError for a name that is not there, and for a check that has to know what it did before.
    """
    wanted = set(names)
    unknown = sorted(wanted - config.checks.keys())
    if unknown:
        raise ConfigError(
            f"no check {shown(name)}{hint(name, config.checks) or known_names(config.checks)}" for name in unknown
        )
    refusals = {name: words for name, check in config.checks.items() if (words := _refusal(check.kind))}
    if wanted & refusals.keys():
        raise ConfigError(f"check {name}: {words}" for name, words in refusals.items() if name in wanted)
    kept = wanted or config.checks.keys() - refusals.keys()
    return replace(config, checks={name: check for name, check in config.checks.items() if name in kept})


def _refusal(kind: CheckKind) -> str:
    """Return why a check of this kind is not run by itself; empty when it is."""
    if kind.costs_money:
        return "costs money, and only serve keeps within its daily limit; ask the running exporter"
    if kind.has_memory:
        return "only serve knows which codes were used, and how not to lock the client; ask the running exporter"
    return ""


def counted(config: Config) -> str:
    """Return how much is configured, as "1 provider, 1 back office and 9 checks"."""
    counts = [f"{many} {noun}{'s' * (many != 1)}" for noun, many in _counts(config)]
    return f"{', '.join(counts[:-1])} and {counts[-1]}"


def _counts(config: Config) -> Iterable[tuple[str, int]]:
    sections = Counter(config.section_of(target) for target in config.targets)
    yield from ((section.noun, sections[name]) for name, section in SECTIONS.items() if sections[name])
    yield "check", len(config.checks)


def masked(config: Config) -> str:
    """Return the configuration as YAML, complete with defaults, every secret masked."""
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for name, settings in config.targets.items():
        sections[config.section_of(name)][name] = settings.model_dump(mode="json")
    document = {
        **{name: entries for name, entries in sections.items() if entries},
        _CHECKS: {
            name: {"type": check.kind_name, **check.settings.model_dump(mode="json")}
            for name, check in config.checks.items()
        },
        _DIAGNOSE: config.diagnose.model_dump(mode="json"),
        _ALERTMANAGER: config.alertmanager.model_dump(mode="json"),
        **({_ROUTES: [route.model_dump(mode="json") for route in config.routes]} if config.routes else {}),
        **({} if config.storage is None else {_STORAGE: config.storage.model_dump(mode="json")}),
    }
    return documents.dump(document)


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the configuration file, for editors."""
    parts: dict[str, Any] = {}  # settings within settings, by the name of their model
    required = [name for name, section in SECTIONS.items() if section.is_required]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "twofa-exporter configuration",
        "type": "object",
        "additionalProperties": False,
        "required": [*required, _CHECKS],
        "properties": {
            **{
                name: _named({type_: spec.settings for type_, spec in section.types.items()}, parts)
                for name, section in SECTIONS.items()
            },
            _CHECKS: _named({name: kind.settings for name, kind in KINDS.items()}, parts),
            _DIAGNOSE: DiagnoseSettings.model_json_schema(),
            _ALERTMANAGER: AlertmanagerSettings.model_json_schema(),
            _ROUTES: {"type": "array", "minItems": 1, "items": RouteSettings.model_json_schema()},
            _STORAGE: StorageSettings.model_json_schema(),
        },
        "$defs": parts,
    }


def _named(models: Mapping[str, type[Settings]], parts: dict[str, Any]) -> dict[str, Any]:
    branches = []
    for name, model in models.items():
        branch = model.model_json_schema()
        parts |= branch.pop("$defs", {})  # references to them are from the root of the whole schema
        branch["properties"]["type"] = {"const": name}
        branch["required"] = sorted({"type", *branch.get("required", ())})
        branches.append(branch)
    return {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": "^[a-z0-9][a-z0-9_-]*$", "maxLength": _MAX_NAME},
        "additionalProperties": {"oneOf": branches},
    }


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = documents.read(path)
    except OSError as problem:
        raise ConfigError([f"{path}: cannot be read: {words_of_os(problem)}"]) from None
    except DocumentError as problem:
        position = "" if problem.line is None else f":{problem.line}"
        raise ConfigError([f"{path}{position}: {problem}"]) from None
    if document is None:
        raise ConfigError([f"{path}: is empty; it needs providers and checks"])
    if not isinstance(document, Mapping):
        raise ConfigError([f"{path}: must be a mapping with providers and checks, got {kind_of(document)}"])
    return document


def _secret_resolver(folder: Path) -> Callable[[Mapping[str, str]], Secret]:
    def resolve(reference: Mapping[str, str]) -> Secret:
        (source, name), *_ = reference.items()
        if source == "env":
            value = os.environ.get(name)
            if value is None:
                msg = f"environment variable {name} is not set"
                raise ValueError(msg)
            words = f"environment variable {name}"
        else:
            try:
                value = (folder / name).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                msg = f"file {name} is not UTF-8 text"
                raise ValueError(msg) from None
            except (OSError, ValueError) as problem:
                why = words_of_os(problem) if isinstance(problem, OSError) else "not a file name"
                msg = f"cannot read file {name}: {why}"
                raise ValueError(msg) from None
            words = f"file {name}"
        value = value.strip()
        if not value:
            msg = f"{words} is empty"
            raise ValueError(msg)
        if not value.isprintable():
            msg = f"{words} holds control characters"
            raise ValueError(msg)
        return Secret(value)

    return resolve


class _Problems:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, where: Iterable[str | int], what: str) -> None:
        self.lines.append(f"{_dotted(where)}: {what}")


def _dotted(where: Iterable[str | int]) -> str:
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _section(
    document: Mapping[str, Any], name: str, problems: _Problems, *, is_required: bool = True
) -> Mapping[str, Any]:
    section = document.get(name)
    if section is None:
        if is_required:
            problems.add((name,), "is required")
    elif not isinstance(section, Mapping):
        problems.add((name,), f"must be a mapping of names, got {kind_of(section)}")
    elif not section:
        problems.add((name,), "must hold at least one entry")
    else:
        for key in section:
            if not _is_name(key):
                problems.add((name, shown(key)), f"a name must be made of {_NAME_WORDS}")
        return {key: entry for key, entry in section.items() if _is_name(key)}
    return {}


def _is_name(key: Any) -> bool:
    return isinstance(key, str) and 0 < len(key) <= _MAX_NAME and set(key) <= _NAME_CHARACTERS and key[0].isalnum()


def _load_targets(
    section: str,
    types: Mapping[str, TargetSpec],
    entries: Mapping[str, Any],
    resolve: Callable[[Mapping[str, str]], Secret],
    problems: _Problems,
) -> dict[str, TargetSettings]:
    targets: dict[str, TargetSettings] = {}
    for name, entry in entries.items():
        where = (section, name)
        vendor = _type_of(entry, types, where, problems)
        if vendor is None:
            continue
        settings = _validate(types[vendor].settings, entry, where, problems, resolve)
        if settings is not None:
            targets[name] = settings
    return targets


def _load_part(
    model: type[_S],
    name: str,
    document: Mapping[str, Any],
    resolve: Callable[[Mapping[str, str]], Secret],
    problems: _Problems,
) -> _S | None:
    """Return the settings of a section that is no list of entries; the defaults where it is left out."""
    section = document.get(name)
    if section is None:
        return model()
    if not isinstance(section, Mapping):
        problems.add((name,), f"must be a mapping, got {kind_of(section)}")
        return None
    return _validate(model, section, (name,), problems, resolve)


def _load_routes(document: Mapping[str, Any], problems: _Problems) -> tuple[RouteSettings, ...]:
    section = document.get(_ROUTES)
    if section is None:
        return ()
    if not isinstance(section, list):
        problems.add((_ROUTES,), f"must be a list of routes, got {kind_of(section)}")
        return ()
    if not section:
        problems.add((_ROUTES,), "must hold at least one entry")
    routes = []
    for number, entry in enumerate(section):
        if not isinstance(entry, Mapping):
            problems.add((_ROUTES, number), f"must be a mapping, got {kind_of(entry)}")
            continue
        settings = _validate(RouteSettings, entry, (_ROUTES, number), problems, None)
        if settings is not None:
            routes.append(settings)
    providers = document.get("providers")
    if isinstance(providers, Mapping):  # else that has been said
        for where, what in contradictions(section, [str(name) for name in providers]):
            problems.add((_ROUTES, *where), what)
    return tuple(routes)


def _load_checks(
    section: Mapping[str, Any], resolve: Callable[[Mapping[str, str]], Secret], problems: _Problems
) -> dict[str, ConfiguredCheck]:
    checks: dict[str, ConfiguredCheck] = {}
    for name, entry in section.items():
        where = ("checks", name)
        kind = _type_of(entry, KINDS, where, problems)
        if kind is None:
            continue
        fields = {key: value for key, value in entry.items() if key != "type"}
        settings = _validate(KINDS[kind].settings, fields, where, problems, resolve)
        if settings is not None:
            checks[name] = ConfiguredCheck(name=name, kind_name=kind, settings=settings)
    return checks


def _type_of(entry: Any, known: Mapping[str, Any], where: tuple[str, str], problems: _Problems) -> str | None:
    if not isinstance(entry, Mapping):
        problems.add(where, f"must be a mapping, got {kind_of(entry)}")
        return None
    if "type" not in entry:
        problems.add((*where, "type"), f"is required, must be {one_of(known)}")
        return None
    given = entry["type"]
    if not isinstance(given, str) or given not in known:
        problems.add((*where, "type"), f"unknown type {shown(given)}, must be {one_of(known)}{hint(given, known)}")
        return None
    return given


def _validate(
    model: type[_S],
    fields: Mapping[Any, Any],
    where: tuple[str | int, ...],
    problems: _Problems,
    resolve: Callable[[Mapping[str, str]], Secret] | None,
) -> _S | None:
    named = {key: value for key, value in fields.items() if isinstance(key, str)}
    for key in fields.keys() - named.keys():
        problems.add((*where, shown(key)), f"unknown key, must be {one_of(keys_of(model))}")
    try:
        return model.model_validate(named, context={"resolve_secret": resolve, **presets.CONTEXT})
    except ValidationError as error:
        found = error.errors(include_url=False)
    for details in found:  # outside the handler: what goes wrong here must not drag the values along
        problems.add((*where, *location_of(details)), words_of(details, model))
    return None


def _check_references(document: Mapping[str, Any], problems: _Problems) -> None:
    """Check what names what. Looks at the raw file, so that one bad setting does not hide a bad name."""
    checks = document.get(_CHECKS, {})
    sections = {name: document.get(name, {}) for name in SECTIONS}
    required = all(name in document for name, section in SECTIONS.items() if section.is_required)
    if not required or not all(isinstance(each, Mapping) for each in (checks, *sections.values())):
        return  # has been said already
    homes: dict[str, str] = {}  # of targets: the section
    for section, entries in sections.items():
        for name in entries:
            home = homes.setdefault(str(name), section)
            if home != section:
                problems.add((section, name), f"{home}.{name} has the same name, which is a label of metrics")
    owners: dict[tuple[str, str], str] = {}
    for name, entry in checks.items():
        target, kind = (entry.get("target"), entry.get("type")) if isinstance(entry, Mapping) else (None, None)
        if not _is_name(name) or not isinstance(target, str):
            continue
        where = (_CHECKS, name, "target")
        other = entry.get("compare_with")
        if isinstance(other, str) and other not in sections["providers"]:
            known = [str(each) for each in sections["providers"]]
            problems.add(
                (_CHECKS, name, "compare_with"), f"no provider {shown(other)}{hint(other, known) or known_names(known)}"
            )
        if target not in homes:
            nouns = " or ".join(section.noun for name, section in SECTIONS.items() if sections[name])
            problems.add(where, f"no {nouns} {shown(target)}{hint(target, homes) or known_names(homes)}")
        elif isinstance(kind, str) and kind in KINDS:
            owner = owners.setdefault((target, kind), name)
            if owner != name and KINDS[kind].once_per_target:
                problems.add(where, f"checks.{owner} is already a check of type {kind} for {target}")
            settings = sections[homes[target]][target]
            vendor = settings.get("type") if isinstance(settings, Mapping) else None
            _check_capability(kind, homes[target], vendor, where, problems)
            basis = KINDS[kind].lives_on
            if basis is not None and isinstance(settings, Mapping) and basis not in settings:
                problems.add(where, f"{homes[target]}.{target} has no {basis}, which the check {kind} lives on")


def _check_paces(
    targets: Mapping[str, TargetSettings], checks: Mapping[str, ConfiguredCheck], problems: _Problems
) -> None:
    """Check that nothing is asked more often than its target wants to be."""
    for name, check in checks.items():
        settings = targets.get(check.target)
        pace = None if settings is None else settings.paces().get(check.kind_name)
        if pace is not None and check.settings.interval < pace.seconds:
            shortest, given = format_duration(pace.seconds), format_duration(check.settings.interval)
            problems.add((_CHECKS, name, "interval"), f'must be at least "{shortest}", is "{given}": {pace.why}')


def _check_what_is_lacking(
    targets: Mapping[str, TargetSettings], checks: Mapping[str, ConfiguredCheck], problems: _Problems
) -> None:
    """Check that no check asks what the settings of its target leave out. Of what a type cannot at all see below."""
    for name, check in checks.items():
        settings = targets.get(check.target)
        lacking = None if settings is None else settings.lacks(check.kind.needs)
        if settings is not None and lacking is not None:
            section = next(each for each in SECTIONS.values() if settings.type in each.types)
            able = [kind for kind, row in KINDS.items() if section.types[settings.type].implements(row.needs, settings)]
            problems.add(
                (_CHECKS, name, "target"),
                f"{check.target} has no {lacking}, which the check {check.kind_name} asks; {_able(able)}",
            )


def _check_witnesses(
    targets: Mapping[str, TargetSettings], checks: Mapping[str, ConfiguredCheck], problems: _Problems
) -> None:
    """Check that somebody can tell whether a test message arrives: else its check would pass and know nothing."""
    for name, check in checks.items():
        settings = targets.get(check.target)
        silence = settings.silence() if isinstance(settings, ProviderSettings) else None
        if silence is not None and isinstance(check.settings, CanarySettings):
            for number, recipient in enumerate(check.settings.recipients):
                if not recipient.tells:
                    what = (
                        f"must be true: only the phone can tell whether a message of {check.target} arrives ({silence})"
                    )
                    problems.add((_CHECKS, name, "recipients", number, "tells"), what)


def _able(kinds: Iterable[str]) -> str:
    return f"it can answer: {', '.join(kinds)}"


def _check_capability(kind: str, section: str, vendor: Any, where: Iterable[str], problems: _Problems) -> None:
    types = SECTIONS[section].types
    if not isinstance(vendor, str) or vendor not in types:  # has been said already
        return
    spec = types[vendor]
    if not spec.implements(KINDS[kind].needs):
        able = [name for name, row in KINDS.items() if spec.implements(row.needs)]
        noun = SECTIONS[section].noun
        problems.add(where, f"the {noun} type {vendor} cannot answer the check {kind}; {_able(able)}")
