"""`python -m benchmarks.registry_load`: load a registry, and print what it does in each second.

Alone, or `--against docker-registry` by turns; `--profile` runs a profiler beside a row:

    python -m benchmarks.registry_load --rows push-1 --rounds 1 --scale 3 \
        --profile "py-spy record --native --threads -p {pid} -o /tmp/{row}.svg -d 60"
    python -m benchmarks.registry_load --rows manifest-get --rounds 1 \
        --profile "perf record -g -p {pid} -o /tmp/{row}.data"
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.registry_load._pages import write_comparison, write_json, write_limits
from benchmarks.registry_load._plan import QUICK, Plan
from benchmarks.registry_load._rounds import measure
from benchmarks.registry_load._rows import ROWS, Row
from benchmarks.registry_load._servers import KINDS, Contender, Given
from benchmarks.registry_load._table import BASE, table
from benchmarks.registry_load._wire import LoadError
from servers._process import MissingProgramError, ServerError


def main() -> None:
    """Run what the command line asks for."""
    parser = _parser()
    arguments = parser.parse_args()
    if (arguments.url is None) != (arguments.pid is None):
        parser.error("--url and --pid come together")
    if unknown := set(arguments.rows) - {row.name for row in ROWS}:
        parser.error(f"there is no row {', '.join(unknown)}; there are {', '.join(_names())}")
    rows = [row for row in ROWS if not arguments.rows or row.name in arguments.rows]
    if {row.name for row in rows} == {"memory"}:
        parser.error("memory is watched during other rows: name one, too")
    contenders, plan = _contenders(arguments), _plan(arguments)
    if len({each.name for each in contenders}) < len(contenders):
        parser.error("a server is not compared with itself")
    if len(contenders) > 1 and plan.rounds < 3 and not arguments.quick and not arguments.profile:
        parser.error("a comparison takes at least three rounds")
    if arguments.write_docs:
        _check_docs(parser, arguments)
    try:
        _run(arguments, contenders, rows, plan)
    except ProcessLookupError as exc:
        sys.exit(f"there is no process {exc} any more")
    except (LoadError, MissingProgramError, ServerError) as exc:
        sys.exit(str(exc))


def _run(
    arguments: argparse.Namespace, contenders: list[Contender], rows: list[Row], plan: Plan
) -> None:
    console = Console(stderr=True)
    with console.status("") as status:
        measured = measure(
            contenders,
            rows,
            plan,
            status.update if console.is_terminal else lambda text: None,
            directory=arguments.directory,
            profile=arguments.profile,
        )
    report = table(contenders, rows, plan, measured)
    report.print()
    if arguments.json:
        write_json(arguments.json, report)
    if arguments.write_docs and len(contenders) > 1:
        write_comparison(contenders, rows, plan, measured, report)
    elif arguments.write_docs:
        write_limits(report)


def _names() -> list[str]:
    return [row.name for row in ROWS]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.registry_load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    option = parser.add_argument
    option("--server", choices=KINDS, default="ours", help="which is started (%(default)s)")
    option("--url", help="load one that runs already, as http://127.0.0.1:5000")
    option("--pid", type=int, help="the process of --url")
    option("--against", choices=KINDS, help="start this one, too, and load both by turns")
    option("--workers", type=int, help="processes of ours (its default)")
    option("--rows", nargs="+", default=[], metavar="NAME", help=f"of {', '.join(_names())} (all)")
    option("--rounds", type=int, metavar="N", help="fresh starts of each (6)")
    option("--connections", type=int, metavar="N", help="that make small requests (16)")
    option("--scale", type=int, default=1, metavar="N", help="make each row N times as long")
    option("--framing", choices=["chunked", "length"], help="of the streamed PATCH (chunked)")
    option("--quick", action="store_true", help="see whether it works, by little of everything")
    option("--directory", type=Path, metavar="PATH", help="where storage is made and removed")
    option(
        "--profile",
        default="",
        metavar="COMMAND",
        help="run this during each row, and interrupt it then; {pid}, {row}, {server} are replaced",
    )
    option("--json", type=Path, metavar="PATH", help="write every round's figures to this file")
    option(
        "--write-docs",
        action="store_true",
        help="write docs/registry-speed.md: a comparison, or (--server nothing) the limits",
    )
    return parser


def _contenders(arguments: argparse.Namespace) -> list[Contender]:
    def started(name: str) -> Contender:
        return Contender(name, KINDS[name], arguments.workers if name == "ours" else None)

    if arguments.url is not None:
        given = Given(arguments.url.rstrip("/"), arguments.pid)
        contenders = [Contender(given.url, given=given)]
    else:
        contenders = [started(arguments.server)]
    return contenders + ([started(arguments.against)] if arguments.against else [])


def _plan(arguments: argparse.Namespace) -> Plan:
    plan = (QUICK if arguments.quick else Plan()).scaled(arguments.scale)
    return replace(
        plan,
        rounds=arguments.rounds or plan.rounds,
        connections=arguments.connections or plan.connections,
        framing=arguments.framing or plan.framing,
    )


def _check_docs(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.quick or arguments.rows or arguments.profile or arguments.url:
        parser.error("the documentation shows whole runs of servers that are started here")
    if arguments.against != BASE and (arguments.against or arguments.server != "nothing"):
        parser.error(f"the documentation shows --against {BASE}, and --server nothing alone")


if __name__ == "__main__":
    main()
