"""A preset: the description of a provider as data, below what an entry of the configuration says itself."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic_core import PydanticCustomError

LoadPreset = Callable[[str], Mapping[str, Any]]
"""Returns the settings of the preset of a name; raises ValueError in the user's words for one that there is not."""

CONTEXT_KEY: Final = "load_preset"
"""Where a validation's context has the LoadPreset."""

_KIND: Final = "kind"
_ONLY_WHEN_ASKED_FOR: Final = "callbacks"  # they are on where the entry has them, as it has to say how to believe them


def with_preset(given: Any, context: Mapping[str, Any] | None) -> Any:
    """Return an entry with its preset below it; one without a preset as it is."""
    if not isinstance(given, Mapping) or given.get("preset") is None:
        return given
    name, load = given["preset"], (context or {}).get(CONTEXT_KEY)
    if load is None or not isinstance(name, str):
        raise PydanticCustomError("preset", "preset must be the name of one")
    try:
        preset = dict(load(name))
    except ValueError as problem:
        raise PydanticCustomError("preset", "{problem}", {"problem": str(problem)}) from None
    if given.get(_ONLY_WHEN_ASKED_FOR) is None:
        preset.pop(_ONLY_WHEN_ASKED_FOR, None)
    return merged(preset, given)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return two mappings in one, however deep; where both say something the one above wins.

    A mapping of another kind replaces the one below as a whole: nothing of that would fit it.
    """
    both = dict(below)
    for key, value in above.items():
        old = both.get(key)
        is_deep = isinstance(old, Mapping) and isinstance(value, Mapping)
        if is_deep and value.get(_KIND, old.get(_KIND)) == old.get(_KIND):  # type: ignore[union-attr]
            both[key] = merged(old, value)  # type: ignore[arg-type]
        else:
            both[key] = value
    return both
