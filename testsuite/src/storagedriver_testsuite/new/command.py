"""The command `storagedriver new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from storagedriver_core import load_plugins
from storagedriver_testsuite.new.writing import NotEmptyError, write_package

new = typer.Typer(add_completion=False, rich_markup_mode=None)


@new.command()
def run_new(
    name: Annotated[str, typer.Argument(help="What the driver is called, as in configurations.")],
    directory: Annotated[
        Path | None,
        typer.Option("--directory", "-d", help="Where to write; storagedriver-NAME if not given."),
    ] = None,
) -> None:
    """Write a driver package that works and passes the suite, to be made into your own.

    It keeps everything in one SQLite file. Put the calls of your store in the place of its
    statements, one method after the other, and run the suite after each.
    """
    if name in load_plugins().drivers:
        raise typer.BadParameter(f"a driver {name!r} is installed already", param_hint="NAME")
    target = directory or Path(f"storagedriver-{name.replace('_', '-')}")
    try:
        written = write_package(name, target)
    except (NotEmptyError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
    for file in written:
        typer.echo(target / file)
    typer.echo(
        f"\nNow:\n  cd {target}\n  pip install -e '.[test]'\n  pytest                        "
        f"# the conformance suite\n  storagedriver drivers         # {name} is among them"
    )
