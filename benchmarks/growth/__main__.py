"""`python -m benchmarks.growth [AXIS ...]`: measure how the registry's costs grow."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from benchmarks.growth._axes import AXES, QUICK, Scale
from benchmarks.growth._curves import Growth
from benchmarks.growth._pages import report, write_json, write_page
from benchmarks.registry_load._wire import LoadError
from servers._process import MissingProgramError, ServerError


def main() -> None:
    """Measure along the axes that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    option = parser.add_argument
    option("axes", nargs="*", metavar="AXIS", help=f"{', '.join(AXES)} (all)")
    option("--quick", action="store_true", help="see whether it works, by little of everything")
    option("--json", type=Path, metavar="PATH", help="write the figures to this file")
    option("--write-docs", action="store_true", help="write docs/growth.md and its pictures")
    arguments = parser.parse_args()
    if unknown := set(arguments.axes) - set(AXES):
        parser.error(f"there is no axis {', '.join(unknown)}; there are {', '.join(AXES)}")
    if arguments.quick and arguments.write_docs:
        parser.error("the documentation shows whole runs")
    growths = []
    try:
        for name in arguments.axes or AXES:
            growths.append(_measure(name, QUICK if arguments.quick else Scale()))
            report(growths[-1]).print()
    except (LoadError, MissingProgramError, ServerError) as exc:
        sys.exit(str(exc))
    if arguments.json:
        write_json(arguments.json, growths)
    if arguments.write_docs:
        write_page(growths)


def _measure(name: str, scale: Scale) -> Growth:
    console = Console(stderr=True)
    with console.status("") as status:
        return AXES[name](scale, status.update if console.is_terminal else lambda text: None)


if __name__ == "__main__":
    main()
