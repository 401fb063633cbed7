"""How much of a thing is shown: whoever pushes says how much there is of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")

REPOSITORIES = 100
"""Repositories on a page."""

TAGS = 100
"""Tags on a page. Of each its digest is read."""

REFERRERS = 25
"""Referrers on a page. Of each its manifest is read."""

ROWS = 200
"""Layers, members, annotations and the like, of each."""

ROWS_OF_ONE = 10
"""Annotations of one referrer."""

CHARACTERS = 2000
"""Of one text of somebody else's."""


@dataclass(frozen=True, slots=True)
class Some(Generic[Item]):
    """The first of a list.

    Attributes:
        items: Those that are shown.
        count: How many there are.
    """

    items: Sequence[Item]
    count: int

    @property
    def left_out(self) -> int:
        """How many are not shown."""
        return self.count - len(self.items)

    def __bool__(self) -> bool:
        return bool(self.count)


def first(items: object) -> Some[object]:
    """Give the first of a list; of what is no list, none."""
    if not isinstance(items, list):
        return Some((), 0)
    return Some(items[:ROWS], len(items))


def first_pairs(mapping: object, most: int = ROWS) -> Some[tuple[str, object]]:
    """Give the first pairs of an object of JSON; of what is none, no pairs."""
    if not isinstance(mapping, dict):
        return Some((), 0)
    return Some(list(islice(mapping.items(), most)), len(mapping))
