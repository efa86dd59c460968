"""Whether a page can arrive when what it tells of has failed: looks into the configuration of the Alertmanager.

It is full of secrets. Nothing of it is shown but the names of receivers.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import Field

from checks.settings import Settings

from . import documents
from .documents import DocumentError
from .wording import shown, words_of_os

_INTEGRATION: Final = "_configs"  # how the keys of a receiver end
_DESTINATIONS: Final = ("url", "api_url", "webhook_url", "smarthost")  # where an integration sends to
_ONLY_SHOWN: Final = frozenset({("pushover", "url")})  # a link in the message
_GLOBAL_PREFIX: Final = {"email": "smtp"}  # of the defaults under `global`; of others it is the integration's name


class AlertmanagerSettings(Settings):
    """Where alerts go: a page about a provider must not travel by that provider."""

    config_file: str | None = Field(
        None,
        description="the configuration of your Alertmanager, relative to this file; a receiver that sends through a"
        " provider that is watched gives a warning",
    )


def delivery_warnings(
    settings: AlertmanagerSettings, folder: Path, providers: Mapping[str, Collection[str]]
) -> Iterator[str]:
    """Say which receivers send through a provider that is watched, or why that is not known.

    ``folder`` is that of the configuration; ``providers`` are the domains of the vendor of each. A webhook to a host
    that is no vendor's cannot be judged, nor can a URL in a file of its own.
    """
    if settings.config_file is None:
        return
    try:
        document = _read(folder / settings.config_file)
        receivers = _receivers(document)
    except _UnknownError as problem:
        yield f"{settings.config_file} {problem}; a receiver may send through a provider that is watched"
        return
    defaults = _mapping(document.get("global"))
    for receiver in receivers:
        hosts = set(_hosts(receiver, defaults))
        for domain in sorted({domain for domains in providers.values() for domain in domains}):
            if any(host == domain or host.endswith(f".{domain}") for host in hosts):
                names = ", ".join(sorted(name for name, domains in providers.items() if domain in domains))
                yield (
                    f"the receiver {shown(receiver.get('name'))} sends through {domain}, the service behind {names}: an"
                    f" alert about {names} would not arrive; let it go another way, such as a push message or a call by"
                    " another company"
                )


class _UnknownError(Exception):
    """The receivers are not known; the text says why, without a word of the file."""


def _read(path: Path) -> Mapping[Any, Any]:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise _UnknownError("is not a file")
        document = documents.read_as_text(path)
    except OSError as problem:
        raise _UnknownError(f"cannot be read: {words_of_os(problem)}") from None
    except ValueError:
        raise _UnknownError("is not a file name") from None
    except DocumentError as problem:
        raise _UnknownError(f"is not YAML{'' if problem.line is None else f', see line {problem.line}'}") from None
    if not isinstance(document, Mapping):
        raise _UnknownError("is not a configuration of an Alertmanager")
    return document


def _receivers(document: Mapping[Any, Any]) -> Sequence[Mapping[Any, Any]]:
    receivers = document.get("receivers")
    if not isinstance(receivers, list) or not all(isinstance(each, Mapping) for each in receivers):
        raise _UnknownError("has no list of receivers")
    return receivers


def _hosts(receiver: Mapping[Any, Any], defaults: Mapping[Any, Any]) -> Iterator[str]:
    """Return the hosts that the integrations of a receiver send to."""
    for key, integrations in _mapping(receiver).items():
        if not key.endswith(_INTEGRATION) or not isinstance(integrations, list):
            continue
        kind = key.removesuffix(_INTEGRATION)
        for integration in map(_mapping, integrations):
            for name in _DESTINATIONS:
                if (kind, name) in _ONLY_SHOWN or f"{name}_file" in integration:
                    continue
                default = defaults.get(f"{_GLOBAL_PREFIX.get(kind, kind)}_{name}")
                host = _host(integration.get(name, default))
                if host is not None:
                    yield host


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping with what is merged into it; an empty one for anything else."""
    found: dict[str, Any] = {}
    waiting, seen = [value], set[int]()
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += reversed(each)
        elif isinstance(each, Mapping) and id(each) not in seen:
            seen.add(id(each))  # aliases of aliases can make a small file a large one
            found = {**each, **found}
            waiting.append(each.get("<<"))
    return found


def _host(value: Any) -> str | None:
    """Return the host of an URL, or of a host with a port."""
    if not isinstance(value, str):
        return None
    try:
        host = urlsplit(value if "://" in value else f"//{value}").hostname
    except ValueError:
        return None
    return None if host is None else host.rstrip(".")
