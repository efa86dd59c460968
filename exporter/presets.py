"""The presets that come with the exporter: descriptions of providers as data, one YAML file each."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import Field

from checks.providers.http_json.presets import CONTEXT_KEY
from checks.settings import Settings

from . import documents
from .wording import hint, one_of, shown

_SUFFIX: Final = ".yaml"


class About(Settings):
    """What a reader has to know of a preset."""

    title: str = Field(description="the name of the vendor")
    sources: tuple[str, ...] = Field(description="where its facts were read")
    credentials: dict[str, str] = Field(description="what each credential is, in words")
    notes: tuple[str, ...] = Field((), description="what to heed, and what is not there")
    unverified: tuple[str, ...] = Field((), description="settings that no source confirms, by their path")


class Preset(Settings):
    """One file: what a reader has to know, and the settings of ``type: http_json`` that it gives."""

    about: About
    settings: dict[str, Any]


def names() -> Sequence[str]:
    """Return the names of all presets."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in _folder().iterdir() if path.name.endswith(_SUFFIX))


@cache
def preset(name: str) -> Preset:
    """Return a preset. Raises ValueError in the user's words for one that there is not."""
    known = names()
    if name not in known:
        msg = f"no preset {shown(name)}, must be {one_of(known)}{hint(name, known)}"
        raise ValueError(msg)
    return Preset.model_validate(documents.read(_folder() / f"{name}{_SUFFIX}"))


def load(name: str) -> Mapping[str, Any]:
    """Return the settings of a preset. Raises ValueError in the user's words for one that there is not."""
    return preset(name).settings


CONTEXT: Final[Mapping[str, Any]] = MappingProxyType({CONTEXT_KEY: load})
"""What a validation of settings needs to know presets."""


def _folder() -> Path:
    return Path(str(files("checks.providers"))) / "presets"
