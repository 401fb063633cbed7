"""`registry config`: what a configuration says, and what is wrong with it."""

from __future__ import annotations

import json

import typer

from storagedriver_core import ConfigurationError
from storagedriver_registry.commands import ConfigArgument
from storagedriver_registry.configuration import Configuration, load_configuration

app = typer.Typer(help="Check configurations.", no_args_is_help=True)

# A line that is longer does not push the origins of all others out of sight.
_WIDTH = 70


@app.command()
def check(config: ConfigArgument) -> None:
    """Print what is in force, and where each value comes from; open nothing.

    What is not acted on is a warning, on standard error. The exit status is 1 if the registry would
    not start with it.
    """
    try:
        configuration = load_configuration(config)
        _build(configuration)
    except ConfigurationError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    for warning in configuration.warnings:
        typer.echo(f"warning: {warning}", err=True)
    rows = [
        (f"{one.key}: {json.dumps(one.value, ensure_ascii=False)}", one.origin)
        for one in configuration.effective()
    ]
    width = min(max(len(row[0]) for row in rows), _WIDTH)
    for line, origin in rows:
        typer.echo(f"{line:<{width}}  # {origin}")


def _build(configuration: Configuration) -> None:
    """Make all that can be made without opening anything."""
    # Imported here: `--help` needs no registry.
    from storagedriver_registry.app import RegistryApp

    RegistryApp(configuration, configuration.require_backend().build(), owned=True)
