"""Generation and metageneration preconditions.

Source: request-preconditions, "Precondition criteria" and "Use in requests": the request proceeds
only if every criterion holds; `ifGenerationMatch=0` means that there is no live object; a criterion
that does not hold is 412, or 304 for a `NotMatch` on a request that only reads. All calls that name
an object have them; those of the source of a rewrite begin with `ifSource`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ._errors import ApiError, condition_not_met

if TYPE_CHECKING:
    from ._store import StoredObject


def check(
    query: Mapping[str, str],
    found: StoredObject | None,
    *,
    prefix: str = "if",
    reads: bool = False,
) -> None:
    """Raise unless the preconditions of `query` hold for the live object.

    A `Match` of a missing object is 412 on writes; reads of what is missing are 404 before this.
    """
    generation = found.generation if found else 0
    metageneration = found.metageneration if found else 0
    for name, actual in (("Generation", generation), ("Metageneration", metageneration)):
        wanted = _number(query, f"{prefix}{name}Match")
        if wanted is not None and (wanted != actual or (found is None and wanted != 0)):
            raise condition_not_met()
        unwanted = _number(query, f"{prefix}{name}NotMatch")
        if unwanted is not None and unwanted == actual:
            if reads:
                raise ApiError(304, "Not Modified")
            raise condition_not_met()


def has_any(query: Mapping[str, str]) -> bool:
    return any(name.startswith("if") and name.endswith("Match") for name in query)


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    # A generation is a 64-bit number; anything else is an invalid value of the parameter.
    if not text.isdecimal() or int(text) >= 1 << 63:
        raise ApiError(400, f"Invalid value '{text}'. Values must be integers: {name}")
    return int(text)
