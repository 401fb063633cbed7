"""`python -m benchmarks [NAME ...] [--json PATH]`: run the comparisons and print the table."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path

from benchmarks._measure import Row, print_rows, to_json

NAMES = ("core_overhead", "filesystem_speed")


def main() -> None:
    """Run those that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the rows to this file")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in NAMES:
            parser.error(f"there is no benchmark {name!r}; there are {', '.join(NAMES)}")
    rows: list[Row] = []
    for name in arguments.names or NAMES:
        rows += importlib.import_module(f"benchmarks.{name}").run()
    print_rows(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(to_json(rows), indent=2) + "\n")


if __name__ == "__main__":
    main()
