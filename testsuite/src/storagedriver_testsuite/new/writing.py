"""The example driver package, written under another name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""What a driver can be called: its package and its module are called after it."""


class NotEmptyError(Exception):
    """The directory to write to holds something."""


def write_package(name: str, directory: Path) -> list[Path]:
    """Write a driver package, and give the files, relative to `directory`.

    Args:
        name: What the driver is called; see `NAME`.
        directory: Where its pyproject.toml goes; made if it is not there.

    Raises:
        NotEmptyError: There is something in `directory` already.
        ValueError: `name` cannot be that of a module.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not made of a-z, 0-9 and _, beginning with a letter")
    if directory.exists() and any(directory.iterdir()):
        raise NotEmptyError(f"{directory} is not empty")
    written = []
    for path, text in _example():
        file = Path(_renamed(path, name))
        target = directory / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_renamed(text, name), encoding="utf-8")
        written.append(file)
    return sorted(written)


def _example() -> Iterator[tuple[str, str]]:
    """Give each file of the example: its path and its text."""
    waiting: list[tuple[str, Traversable]] = [("", files(__package__) / "storagedriver-sqlite")]
    while waiting:
        path, entry = waiting.pop()
        if entry.is_file():
            yield path, entry.read_text(encoding="utf-8")
        elif not entry.name.startswith((".", "__pycache__")):
            waiting.extend((f"{path}/{one.name}".lstrip("/"), one) for one in entry.iterdir())


def _renamed(text: str, name: str) -> str:
    """Put the driver's name in the place of the example's; SQLite itself stays."""
    title = "".join(word.capitalize() for word in name.split("_"))
    text = re.sub(r"storagedriver-sqlite", f"storagedriver-{name.replace('_', '-')}", text)
    text = re.sub(r"storagedriver_sqlite", f"storagedriver_{name}", text)
    text = re.sub(r"Sqlite", title, text)
    # By itself, as a name in quotes or as a key; not sqlite3, objects.sqlite or sqlite_errorcode.
    return re.sub(
        r'(?<=["`])sqlite(?=["`])|^sqlite(?= = )|(?<=driver: )sqlite', name, text, flags=re.M
    )
