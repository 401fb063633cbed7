"""`storagedriver drivers`: what is installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from storagedriver_core._plugins import PluginRegistry, load_plugins
from storagedriver_core.cli._common import JsonOption, print_json
from storagedriver_core.hookspecs import DriverSpec, MiddlewareSpec


def drivers(as_json: JsonOption = False) -> None:
    """List the installed drivers and middlewares, and what is wrong with plugins."""
    plugins = load_plugins()
    listing = {
        "drivers": _rows(plugins, plugins.drivers),
        "middlewares": _rows(plugins, plugins.middlewares),
    }
    if as_json:
        problems = [
            {
                "distribution": problem.distribution,
                "entry_point": problem.entry_point,
                "message": problem.message,
            }
            for problem in plugins.problems
        ]
        print_json({**listing, "problems": problems})
        return
    for title, rows in listing.items():
        typer.echo(f"{title}:")
        for row in rows:
            package = f"{row['distribution']} {row['version']}"
            typer.echo(f"  {row['name']:<14}  {package:<32}  {row['summary']}")
    for problem in plugins.problems:
        typer.echo(f"problem: {problem}", err=True)


def _rows(
    plugins: PluginRegistry, specs: Mapping[str, DriverSpec] | Mapping[str, MiddlewareSpec]
) -> list[dict[str, Any]]:
    return [
        {
            "name": spec.name,
            "distribution": plugins.sources[spec].distribution,
            "version": plugins.sources[spec].version,
            "summary": spec.summary,
        }
        for spec in specs.values()
    ]


COMMANDS = (drivers,)
