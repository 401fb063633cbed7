"""`python -m benchmarks [NAME ...]`: run the comparisons and print their tables."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Protocol

from benchmarks._report import Report, write_section
from servers._process import MissingProgramError

BENCHMARKS = {
    "core_overhead": "benchmarks.core_overhead:run",
    "filesystem_speed": "benchmarks.filesystem_speed:run",
    "drivers_filesystem": "benchmarks.drivers:filesystem",
    "drivers_fsspec": "benchmarks.drivers:fsspec",
    "drivers_inmemory": "benchmarks.drivers:inmemory",
    "drivers_s3": "benchmarks.drivers:s3",
    "drivers_gcs": "benchmarks.drivers:gcs",
    "drivers_gcs_strict": "benchmarks.drivers:gcs_strict",
    "drivers_azure": "benchmarks.drivers:azure",
    "drivers_resume": "benchmarks.drivers:resume",
    "registry_s3": "benchmarks.registry_s3:run",
    "registry_crowd": "benchmarks.registry_crowd:run",
    "client": "benchmarks.client:run",
}


class Benchmark(Protocol):
    """One of them."""

    def __call__(self, rounds: int | None, *, quick: bool) -> Report:
        """Run it: `rounds` times, or as often as is its custom; or by little of everything."""


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
    parser.add_argument(
        "--quick", action="store_true", help="see whether it works, by little of everything"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures to this file")
    parser.add_argument(
        "--write-docs", action="store_true", help="write the tables to docs/benchmarks.md"
    )
    arguments = parser.parse_args()
    if arguments.quick and arguments.write_docs:
        parser.error("the documentation shows whole runs")
    for name in arguments.names:
        if not _chosen([name]):
            parser.error(f"there is no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    found: dict[str, Report] = {}
    for name in _chosen(arguments.names or [""]):
        module, _, function = BENCHMARKS[name].partition(":")
        run: Benchmark = getattr(importlib.import_module(module), function)
        try:
            found[name] = run(arguments.rounds, quick=arguments.quick)
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
