"""Numbers of bytes, spelt for people."""

from __future__ import annotations


def size_of(size: int) -> str:
    """Spell a number of bytes for people."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
