"""Good answers in which any part is something else, for fuzzing what reads them."""

from collections.abc import Sequence
from typing import Any, Final

from hypothesis import strategies as st

_SCALARS: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
)


def anything(odd_texts: Sequence[str]) -> st.SearchStrategy[Any]:
    """Draw any JSON, with these texts among the rest."""
    return st.recursive(
        st.one_of(_SCALARS, st.sampled_from(odd_texts)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
        max_leaves=8,
    )


@st.composite
def spoiled(draw: st.DrawFn, good: Any, strange: st.SearchStrategy[Any], names: Sequence[str] = ("stranger",)) -> Any:
    """Draw a copy of a good answer in which one part is missing, or is strange, or has a stranger beside it.

    ``names`` are what strangers are called.
    """
    if not isinstance(good, (dict, list)) or not good or draw(st.integers(0, 5)) == 0:
        return draw(strange)
    places = list(good) if isinstance(good, dict) else range(len(good))
    copy: Any = good.copy()
    place = draw(st.sampled_from(places))
    match draw(st.sampled_from(["deeper", "deeper", "deeper", "missing", "stranger"])):
        case "missing":
            del copy[place]
        case "stranger" if isinstance(copy, dict):
            copy[draw(st.sampled_from(names))] = draw(strange)
        case _:
            copy[place] = draw(spoiled(good[place], strange, names))
    return copy
