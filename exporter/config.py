"""Reads the configuration file: everything that is wrong with it is said at once, in the user's words.

The only module that reads YAML and resolves secrets. A raw mapping never leaves it.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import ValidationError

from checks.delivery import DeliverySettings
from checks.kinds import KINDS, CheckKind
from checks.messages.detector import DetectorSettings
from checks.providers import PROVIDERS
from checks.secret import Secret
from checks.settings import CheckSettings, ProviderSettings, Settings

from .wording import (
    hint,
    kind_of,
    known_names,
    location_of,
    one_of,
    shown,
    words_of,
    words_of_os,
)

_MAX_BYTES: Final = 1 << 20
_NAME_WORDS: Final = "lower case letters, digits, - and _, starting with a letter or digit"
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_SECTIONS: Final = ("checks", "providers")
_MAX_NAME: Final = 64

_S = TypeVar("_S", bound=Settings)


class ConfigError(Exception):
    """The configuration cannot be used; ``problems`` holds one line for each thing that is wrong."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration without contradictions."""

    providers: Mapping[str, ProviderSettings]
    checks: Mapping[str, ConfiguredCheck]
    warnings: tuple[str, ...] = ()

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


def load(path: Path) -> Config:
    """Return the configuration in ``path``.

    Raises ConfigError with every problem in the file, sorted by where it is.
    """
    document = _read(path)
    problems = _Problems()
    for key in set(document) - set(_SECTIONS):
        problems.add((str(key),), f"unknown key, must be {one_of(_SECTIONS)}{hint(key, _SECTIONS)}")
    resolve = _secret_resolver(path.parent)
    providers = _load_providers(_section(document, "providers", problems), resolve, problems)
    checks = _load_checks(_section(document, "checks", problems), resolve, problems)
    _check_references(document, problems)
    if problems.lines:
        raise ConfigError(f"{path}: {line}" for line in sorted(problems.lines))
    used = {check.target for check in checks.values()}
    unused = sorted(name for name in providers if name not in used)
    return Config(
        providers=providers,
        checks=checks,
        warnings=tuple(f"{path}: providers.{name}: no check looks at this provider" for name in unused),
    )


def for_one_run(config: Config, names: Iterable[str]) -> Config:
    """Return the configuration with the named checks alone, or with all that cost nothing when none is named.

    Raises ConfigError for a name that is not there, and for a check whose day's money only ``serve`` knows.
    """
    wanted = set(names)
    unknown = sorted(wanted - config.checks.keys())
    if unknown:
        raise ConfigError(
            f"no check {shown(name)}{hint(name, config.checks) or known_names(config.checks)}" for name in unknown
        )
    paid = [name for name, check in config.checks.items() if check.kind.costs_money]
    if wanted & set(paid):
        raise ConfigError(
            f"check {name}: costs money, and only serve keeps within its daily limit; ask the running exporter"
            for name in paid
            if name in wanted
        )
    kept = wanted or config.checks.keys() - set(paid)
    return replace(config, checks={name: check for name, check in config.checks.items() if name in kept})


def masked(config: Config) -> str:
    """Return the configuration as YAML, complete with defaults, every secret masked."""
    document = {
        "providers": {name: settings.model_dump(mode="json") for name, settings in config.providers.items()},
        "checks": {
            name: {"type": check.kind_name, **check.settings.model_dump(mode="json")}
            for name, check in config.checks.items()
        },
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def dump(document: Mapping[str, Any]) -> str:
    """Return a configuration document as YAML, as a user would write it."""
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True)


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the configuration file, for editors."""
    parts: dict[str, Any] = {}  # settings within settings, by the name of their model
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "twofa-exporter configuration",
        "type": "object",
        "additionalProperties": False,
        "required": ["providers", "checks"],
        "properties": {
            "providers": _named({name: spec.settings for name, spec in PROVIDERS.items()}, parts),
            "checks": _named({name: kind.settings for name, kind in KINDS.items()}, parts),
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


_MERGE_TAG: Final = "tag:yaml.org,2002:merge"


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader for which a repeated key is an error, not the silent loss of the first value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE_TAG:  # what is merged in may be overridden: that is its use
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise yaml.constructor.ConstructorError(None, None, "a key must be text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f'the key "{key}" is given twice', key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        if len(raw) > _MAX_BYTES:
            raise ConfigError([f"{path}: is larger than 1 MiB"])
        document = yaml.load(raw.decode("utf-8-sig"), Loader=_UniqueKeyLoader)  # noqa: S506  # a SafeLoader
    except OSError as problem:
        raise ConfigError([f"{path}: cannot be read: {words_of_os(problem)}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not UTF-8 text"]) from None
    except yaml.MarkedYAMLError as problem:
        raise ConfigError([f"{path}{_position(problem)}: {_yaml_words(problem)}"]) from None
    except yaml.YAMLError:
        raise ConfigError([f"{path}: is not YAML"]) from None
    except ValueError:  # raised by what YAML takes for a date or a number
        raise ConfigError([f"{path}: holds a date or a number that does not exist; put it in quotes"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: is nested too deeply"]) from None
    if document is None:
        raise ConfigError([f"{path}: is empty; it needs providers and checks"])
    if not isinstance(document, Mapping):
        raise ConfigError([f"{path}: must be a mapping with providers and checks, got {kind_of(document)}"])
    return document


def _position(problem: yaml.MarkedYAMLError) -> str:
    return "" if problem.problem_mark is None else f":{problem.problem_mark.line + 1}"


def _yaml_words(problem: yaml.MarkedYAMLError) -> str:
    if isinstance(problem, yaml.constructor.ConstructorError) and problem.problem:
        is_tag = "constructor for the tag" in problem.problem
        return "tags such as !!python are not accepted" if is_tag else problem.problem.partition("\n")[0]
    words = f"is not YAML: {problem.problem}"
    if problem.problem and "\\t" in problem.problem:
        words += "; indent with spaces"
    return words


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


def _section(document: Mapping[str, Any], name: str, problems: _Problems) -> Mapping[str, Any]:
    section = document.get(name)
    if section is None:
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


def _load_providers(
    section: Mapping[str, Any], resolve: Callable[[Mapping[str, str]], Secret], problems: _Problems
) -> dict[str, ProviderSettings]:
    providers: dict[str, ProviderSettings] = {}
    for name, entry in section.items():
        where = ("providers", name)
        vendor = _type_of(entry, PROVIDERS, where, problems)
        if vendor is None:
            continue
        settings = _validate(PROVIDERS[vendor].settings, entry, where, problems, resolve)
        if settings is not None:
            providers[name] = settings
    return providers


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
    where: tuple[str, str],
    problems: _Problems,
    resolve: Callable[[Mapping[str, str]], Secret] | None,
) -> _S | None:
    named = {key: value for key, value in fields.items() if isinstance(key, str)}
    for key in fields.keys() - named.keys():
        problems.add((*where, shown(key)), f"unknown key, must be {one_of(('type', *model.model_fields))}")
    try:
        return model.model_validate(named, context={"resolve_secret": resolve})
    except ValidationError as error:
        found = error.errors(include_url=False)
    for details in found:  # outside the handler: what goes wrong here must not drag the values along
        problems.add((*where, *location_of(details)), words_of(details, model))
    return None


def _check_references(document: Mapping[str, Any], problems: _Problems) -> None:
    """Check what names what. Looks at the raw file, so that one bad setting does not hide a bad name."""
    providers, checks = document.get("providers"), document.get("checks")
    if not isinstance(providers, Mapping) or not isinstance(checks, Mapping):  # has been said already
        return
    known = [str(name) for name in providers]
    owners: dict[tuple[str, str], str] = {}
    for name, entry in checks.items():
        target, kind = (entry.get("target"), entry.get("type")) if isinstance(entry, Mapping) else (None, None)
        if not _is_name(name) or not isinstance(target, str):
            continue
        where = ("checks", name, "target")
        if target not in known:
            problems.add(where, f"no provider {shown(target)}{hint(target, known) or known_names(known)}")
        elif isinstance(kind, str) and kind in KINDS:
            owner = owners.setdefault((target, kind), name)
            if owner != name and KINDS[kind].once_per_target:
                problems.add(where, f"checks.{owner} is already a check of type {kind} for {target}")
            provider = providers[target]
            _check_capability(kind, provider.get("type") if isinstance(provider, Mapping) else None, where, problems)


def _check_capability(kind: str, vendor: Any, where: Iterable[str], problems: _Problems) -> None:
    if not isinstance(vendor, str) or vendor not in PROVIDERS:  # has been said already
        return
    client = PROVIDERS[vendor].client
    if not issubclass(client, KINDS[kind].needs):
        able = [name for name, row in KINDS.items() if issubclass(client, row.needs)]
        problems.add(where, f"a {vendor} provider cannot answer the check {kind}; it can answer: {', '.join(able)}")
