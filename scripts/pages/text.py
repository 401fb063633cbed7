"""Docstrings read, and Markdown written."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence

_SECTION = r"^{}:\n((?:(?:    .*)?\n)*)"
_ENTRY = re.compile(r"^    (\w[\w., ]*): (.*(?:\n(?:        .*)?(?=\n|$))*)", re.MULTILINE)


def note(*sources: str) -> str:
    """Give the comment that a page begins with: where it comes from."""
    return (
        f"<!-- Written by scripts/reference.py from {', '.join(sources)}.\n"
        "     Change those, and run it. -->"
    )


def docstring(thing: object) -> str:
    """Give the docstring of a thing itself, without its indentation."""
    return inspect.cleandoc(getattr(thing, "__doc__", None) or "")


def summary(thing: object) -> str:
    """Give the first line of a docstring."""
    return docstring(thing).partition("\n")[0]


def prose(thing: object) -> str:
    """Give a docstring without its sections, such as `Args`."""
    return re.split(r"^\w+:\n    ", docstring(thing), maxsplit=1, flags=re.MULTILINE)[0].strip()


def entries(thing: object, section: str) -> dict[str, str]:
    """Read a section of a docstring, such as `Attributes`: what it says of each name."""
    found = re.search(_SECTION.format(section), f"{docstring(thing)}\n", re.MULTILINE)
    if found is None:
        return {}
    return {
        name.strip(): one_line(text)
        for names, text in _ENTRY.findall(found[1])
        for name in names.split(",")
    }


def block(thing: object, section: str) -> str:
    """Read a section of a docstring that is one text, such as `Returns`."""
    found = re.search(_SECTION.format(section), f"{docstring(thing)}\n", re.MULTILINE)
    return one_line(found[1]) if found else ""


def one_line(text: str) -> str:
    """Give a text without line breaks."""
    return re.sub(r"\s+", " ", text).strip()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Give the lines of a table, none without rows; columns of empty cells are left out."""
    rows = [[cell(text) for text in row] for row in rows]
    if not rows:
        return
    kept = [number for number in range(len(head)) if any(row[number] for row in rows)]
    yield f"| {' | '.join(head[number] for number in kept)} |"
    yield f"|{'---|' * len(kept)}"
    for row in rows:
        yield f"| {' | '.join(row[number] for number in kept)} |"
    yield ""


def cell(text: str) -> str:
    """Write a text so that it stays one cell."""
    return one_line(text).replace("|", "\\|")


def code(text: object) -> str:
    """Write a text as code, or nothing if it is empty."""
    return f"`{text}`" if text != "" else ""


def listed(names: Iterable[str]) -> str:
    """Write names as code, one after the other."""
    return ", ".join(code(name) for name in names)
