"""`storagedriver config`: check, show and describe configurations."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from storagedriver_core._config import driver_schema, load_config
from storagedriver_core._document import Setting
from storagedriver_core.cli._common import DEFAULT_CONFIG, JsonOption, print_json

app = typer.Typer(help="Check, show and describe configurations.", no_args_is_help=True)


FileArgument: TypeAlias = Annotated[
    Path,
    typer.Argument(metavar="FILE", envvar="STORAGEDRIVER_CONFIG", help="Configuration file."),
]


@app.command()
def check(file: FileArgument = DEFAULT_CONFIG) -> None:
    """Check a configuration without opening the store."""
    config = load_config(file)
    config.build()
    typer.echo(f"{file}: driver {config.driver_name!r}, no faults")


@app.command()
def show(
    file: FileArgument = DEFAULT_CONFIG,
    effective: Annotated[
        bool, typer.Option("--effective", help="Defaults too, and where each value comes from.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print a configuration, its secrets hidden."""
    loaded = load_config(file)
    if effective:
        settings = loaded.settings()
        if as_json:
            print_json([dataclasses.asdict(setting) for setting in settings])
        else:
            _print_settings(settings)
    elif as_json:
        print_json(loaded.to_mapping())
    else:
        typer.echo(loaded.to_yaml(), nl=False)


@app.command()
def schema(
    driver: Annotated[str, typer.Argument(metavar="DRIVER", help="Name of a driver.")],
) -> None:
    """Print the JSON schema of a configuration for a driver."""
    typer.echo(json.dumps(driver_schema(driver), indent=2))


def _print_settings(settings: list[Setting]) -> None:
    lines = [f"{setting.key}: {json.dumps(setting.value)}" for setting in settings]
    width = max(map(len, lines))
    for line, setting in zip(lines, settings, strict=True):
        typer.echo(f"{line:<{width}}  # {setting.origin}")
