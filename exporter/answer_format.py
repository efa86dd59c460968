"""How an answer to a question about a client can be written, and how it is asked for and told over HTTP."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class AnswerFormat(StrEnum):
    """How an answer is written."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


MEDIA_TYPES: Final[Mapping[AnswerFormat, str]] = MappingProxyType(
    {
        AnswerFormat.TEXT: "text/plain",
        AnswerFormat.MARKDOWN: "text/markdown",
        AnswerFormat.JSON: "application/json",
    }
)

REASON_HEADER: Final = "Diagnosis-Reason"
"""The header of an answer that holds its first reason."""
