"""Writes the pages and pictures of `docs/` that come from the code.

python scripts/reference.py              all of them
python scripts/reference.py drivers.md   one of them
python scripts/reference.py --check      changes nothing; exit code 1 if one is not what it would be
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pages import (
    capabilities,
    commands,
    drivers,
    errors,
    hooks,
    pictures,
    protocol,
    registry_configuration,
    storages,
)

DOCS = Path(__file__).resolve().parent.parent / "docs"

FILES: Mapping[str, Callable[[], str]] = {
    "capabilities.md": capabilities.page,
    "command-options.md": commands.page,
    "drivers.md": drivers.page,
    "errors.md": errors.page,
    "hooks.md": hooks.page,
    "protocol.md": protocol.page,
    "registry-configuration.md": registry_configuration.page,
    "storage-configuration.md": storages.page,
    "images/architecture.svg": pictures.architecture,
    "images/writer-states.svg": pictures.writer_states,
}
"""What makes each file, by its name below `docs`."""


def main() -> None:
    """Write what is asked for, or say what differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="say what differs; write nothing")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FILES))
    options = parser.parse_args()
    # Errors are made to see what becomes of them, and that is logged.
    logging.disable()
    made = {name: FILES[name]() for name in options.names or FILES}
    differing = [name for name, text in made.items() if _is_other(DOCS / name, text)]
    if not options.check:
        for name in differing:
            (DOCS / name).write_text(made[name], encoding="utf-8")
            print(f"docs/{name}")
    elif differing:
        sys.exit(f"not what the code says; run scripts/reference.py: {', '.join(differing)}")


def _is_other(file: Path, text: str) -> bool:
    return not file.is_file() or file.read_text(encoding="utf-8") != text


if __name__ == "__main__":
    main()
