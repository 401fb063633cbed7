"""What others have written, sizes and times, as people read them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import urlsplit

from storagedriver_registry.pages.limits import CHARACTERS

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_MOST_SIZE = 2**63
_SHORT = 20


def text_of(value: object) -> str:
    """Give any value of JSON as text, cut off where it is long."""
    text = value if isinstance(value, str) else _spelt(value)
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]}…"


def _spelt(value: object) -> str:
    if value is None:
        return ""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):  # a number of too many digits, or too deep
        return "…"


def size_of(value: object) -> int | None:
    """Give a number of bytes; None if it is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < _MOST_SIZE else None


def human_size(size: int) -> str:
    """Spell bytes shortly: `3.2 MiB`."""
    if size < 1024:
        return exact_size(size)
    value = float(size)
    for unit in _UNITS:
        value /= 1024
        if value < 1000 or unit == _UNITS[-1]:
            break
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"


def exact_size(size: int) -> str:
    """Spell bytes exactly: `1,234 bytes`."""
    return f"{size:,} byte{'' if size == 1 else 's'}"


def human_time(text: str) -> str:
    """Spell a time of RFC 3339 by UTC, to the minute; whatever is none stays as it is."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError):
        return text


def short_digest(text: str) -> str:
    """Give the beginning of a digest, enough to tell it from others; of any other text, too."""
    algorithm, _, value = text.partition(":")
    short = f"{algorithm}:{value[:12]}" if value else text
    return short if len(short) <= _SHORT else f"{short[: _SHORT - 1]}…"


def web_address(text: str) -> str:
    """Give the text if it is the URL of something on the web, to link to; else nothing."""
    try:
        parts = urlsplit(text)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return ""
    plain = text.isascii() and text.isprintable() and not any(each in text for each in ' "<>\\')
    return text if is_one and plain and len(text) <= CHARACTERS else ""
