"""What the commands share: a configuration that is read, and a failure that is told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from storagedriver_core import ConfigurationError
from storagedriver_registry.configuration import (
    CONFIGURATION_PATH,
    Configuration,
    default_configuration,
    load_configuration,
)

ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", envvar=CONFIGURATION_PATH, help="A config.yml.")
]
"""The configuration of a command that needs one."""


def load(config: Path | None) -> Configuration:
    """Read a configuration; without a file, give that of `registry serve`.

    What is wrong with it is told, and ends the command.
    """
    try:
        return default_configuration() if config is None else load_configuration(config)
    except ConfigurationError as error:
        raise failure(str(error)) from None


def failure(message: str) -> typer.Exit:
    """Tell what is wrong, and give what ends the command with status 1."""
    typer.echo(message, err=True)
    return typer.Exit(1)
