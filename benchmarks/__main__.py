"""`python -m benchmarks [NAME ...]`: run the comparisons and print their tables."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks._report import Report, write_section
from servers._process import MissingProgramError

BENCHMARKS = {
    "core_overhead": "benchmarks.core_overhead:run",
    "filesystem_speed": "benchmarks.filesystem_speed:run",
    "cloud_s3": "benchmarks.cloud_drivers:s3",
    "cloud_gcs": "benchmarks.cloud_drivers:gcs",
    "cloud_gcs_strict": "benchmarks.cloud_drivers:gcs_strict",
    "cloud_azure": "benchmarks.cloud_drivers:azure",
}


def main() -> None:
    """Run those that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"{', '.join(BENCHMARKS)}, or how several begin (all)",
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="measured rounds of each work")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures to this file")
    parser.add_argument(
        "--write-docs", action="store_true", help="write the tables to docs/benchmarks.md"
    )
    arguments = parser.parse_args()
    for name in arguments.names:
        if not _chosen([name]):
            parser.error(f"there is no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    found: dict[str, Report] = {}
    for name in _chosen(arguments.names or [""]):
        module, _, function = BENCHMARKS[name].partition(":")
        run: Callable[[int | None], Report] = getattr(importlib.import_module(module), function)
        try:
            found[name] = run(arguments.rounds)
        except MissingProgramError as exc:
            print(f"{name} was left out: {exc}", file=sys.stderr)
            continue
        found[name].print()
        if arguments.write_docs:
            write_section(name, found[name].to_markdown())
    if arguments.json:
        figures = {name: report.to_json() for name, report in found.items()}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _chosen(beginnings: list[str]) -> list[str]:
    return [name for name in BENCHMARKS if any(name.startswith(each) for each in beginnings)]


if __name__ == "__main__":
    main()
