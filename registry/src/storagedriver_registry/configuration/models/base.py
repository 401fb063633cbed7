"""What the sections of `config.yml` have in common: empty keys, durations, headers."""

from __future__ import annotations

import re
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

# Source: Go's documentation, package time, "ParseDuration".
_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # U+00B5, the micro sign
    "μs": 1e-6,  # U+03BC, the Greek letter
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_STEP = re.compile(rf"([0-9]+\.?[0-9]*|\.[0-9]+)({'|'.join(_SECONDS)})")
_DURATION = re.compile(rf"\+?(?:{_STEP.pattern})+")


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
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise ValueError("a duration is like 90s, 10m30s or 1.5h")
    return sum(float(number) * _SECONDS[unit] for number, unit in _STEP.findall(value))


def spell_duration(seconds: float | None) -> str | None:
    """Spell seconds as Go does, `1h30m0s`."""
    if seconds is None:
        return None
    if seconds < 1:
        unit = next((unit for unit in ("ms", "us") if seconds >= _SECONDS[unit]), "ns")
        return f"{seconds / _SECONDS[unit]:g}{unit}" if seconds else "0s"
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
