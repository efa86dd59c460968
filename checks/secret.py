"""A string that does not show itself."""

from typing import Final

MASK: Final = "<secret>"


class Secret:
    """A secret value: repr, str and format are masked; only ``reveal`` gives it out.

    Not comparable to strings and without length, so that no accident prints or measures it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself, to be handed to the service that it belongs to and to nobody else."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> str:
        msg = "a Secret is never serialised"
        raise TypeError(msg)
