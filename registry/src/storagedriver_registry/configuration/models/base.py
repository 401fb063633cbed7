"""What the sections of `config.yml` have in common: empty keys, durations, headers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    model_validator,
)

from storagedriver_core import parse_duration as parse_spelt

_FRACTIONS = {"ms": 1e-3, "us": 1e-6, "ns": 1e-9}


class Section(BaseModel):
    """A mapping of known keys. One without a value, or with empty text, counts as not given.

    So it is in distribution, where an empty variable therefore takes a value of the file away.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_what_is_empty(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if value not in (None, "")}


def parse_duration(value: object) -> float:
    """Read a duration as Go has it: `1h30m`, or a number of nanoseconds.

    Returns:
        Seconds.

    Raises:
        ValueError: It is no duration, or a negative one.
    """
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value * 1e-9
    return parse_spelt(value if isinstance(value, str) else "")


def spell_duration(seconds: float | None) -> str | None:
    """Spell seconds as Go does, `1h30m0s`."""
    if seconds is None:
        return None
    if seconds < 1:
        unit = next((unit for unit in ("ms", "us") if seconds >= _FRACTIONS[unit]), "ns")
        return f"{seconds / _FRACTIONS[unit]:g}{unit}" if seconds else "0s"
    minutes, rest = divmod(round(seconds, 9), 60)
    hours, minutes = divmod(int(minutes), 60)
    spelt = f"{round(rest, 9):.15g}s"
    if hours or minutes:
        spelt = f"{minutes}m{spelt}"
    return f"{hours}h{spelt}" if hours else spelt


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


_Seconds = Annotated[float, BeforeValidator(parse_duration), Field(ge=0)]
Duration = Annotated[_Seconds, PlainSerializer(spell_duration, when_used="json")]
"""Seconds; in the file as Go has them."""

AnyCase = BeforeValidator(_lower)
"""Words that are known in any case of their letters."""

# Source: RFC 9110, "Fields". The server answers 500 where one is not so.
HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
"""Name of a header."""

HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\t\x20-\x7e\x80-\xff]*$")]
"""Value of a header."""
