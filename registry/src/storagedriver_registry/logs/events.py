"""Messages that have fields, and the request that a line belongs to."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Protocol, TypeAlias

Fields: TypeAlias = Mapping[str, object]

# What logrus leaves without quotes.
_is_bare = re.compile(r"[A-Za-z0-9._/@^+-]+").fullmatch


class FieldSource(Protocol):
    """Whatever a line belongs to."""

    def fields(self) -> Fields:
        """Give the fields that each of its lines has."""
        ...


current_request: ContextVar[FieldSource | None] = ContextVar("current_request", default=None)
"""The request that this task is at work on. Its fields are asked for when a line is written."""


class Event:
    """A message with fields of its own, to be handed to a logger in place of a text.

    Loggers that know nothing of it write it as one text, fields and all.

    Attributes:
        text: What has happened.
        fields: With what.
    """

    __slots__ = ("fields", "text")

    def __init__(self, text: str, fields: Fields) -> None:
        self.text = text
        self.fields = fields

    def __str__(self) -> str:
        return f"{self.text} {pairs(self.fields)}"


def pairs(fields: Fields) -> str:
    """Give `name=value` for each field, with quotes where they are needed."""
    return " ".join(f"{name}={_quoted(value)}" for name, value in fields.items())


def _quoted(value: object) -> str:
    # Line ends and the like are escaped: what a client sends makes no second line.
    text = str(value)
    return text if _is_bare(text) else json.dumps(text, ensure_ascii=False)
