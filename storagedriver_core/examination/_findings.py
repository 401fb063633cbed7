"""What an examination finds, and who is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Finding:
    """How one step ended.

    Attributes:
        step: Name of the step.
        result: `left out` where it could not be tried, or was not wanted.
        detail: What was found, in one line.
        error: Class of the error.
        help: Lines that say more: facts, or what may be done.
        facts: The same facts for programs.
        seconds: How long it took.
    """

    step: str
    result: Literal["ok", "failed", "left out"]
    detail: str = ""
    error: str = ""
    help: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """What a step that went well has to tell: `Finding` says what the fields are."""

    detail: str = ""
    help: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class WrongAnswerError(Exception):
    """A step got an answer, and it is not the right one.

    Attributes:
        help: What may be done.
    """

    def __init__(self, detail: str, *help: str) -> None:
        super().__init__(detail)
        self.help = help


class Reporter(Protocol):
    """Is told of steps as they begin and end."""

    def began(self, step: str) -> None:
        """Hear that a step is under way."""

    def ended(self, finding: Finding) -> None:
        """Hear how a step ended."""
