"""Naming a test function's case and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Case:
    """One conformance case.

    Attributes:
        id: Stable id, as `W33`.
        needs: Names of capabilities that must be declared, all of them. `harness.<method>` stands
            for an optional method of the harness, `harness.<one>|<other>` for either of two,
            `strace` for that program.
    """

    id: str
    needs: tuple[str, ...]


def case(id: str, *, needs: tuple[str, ...] = ()) -> Callable[[Function], Function]:
    """Mark an `async def` test method of a suite as the case `id`; one function an id."""

    def mark(function: Function) -> Function:
        marked: Function = pytest.mark.case(Case(id, needs))(function)
        return marked

    return mark


def case_of(function: object) -> Case | None:
    """Give the case of a test function, if it is one."""
    for marker in getattr(function, "pytestmark", ()):
        if marker.name == "case" and marker.args and isinstance(marker.args[0], Case):
            found: Case = marker.args[0]
            return found
    return None
