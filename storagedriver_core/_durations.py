"""Spans of time as Go spells them, which docker/distribution's configurations have."""

from __future__ import annotations

import re

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


def parse_duration(text: str) -> float:
    """Read a duration such as `90s` or `1h30m`.

    Returns:
        Seconds.

    Raises:
        ValueError: It is no duration, or a negative one.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError("a duration is like 90s, 10m30s or 1.5h")
    return sum(float(number) * _SECONDS[unit] for number, unit in _STEP.findall(text))
