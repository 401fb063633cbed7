"""The `dist` command."""

from __future__ import annotations

from typing import Annotated

import typer

from storagedriver_registry.client.commands.accounts import login, logout
from storagedriver_registry.client.commands.changing import attach, delete
from storagedriver_registry.client.commands.copying import copy_, pull, push, sync
from storagedriver_registry.client.commands.failures import EXIT_CODES
from storagedriver_registry.client.commands.looking import catalog, inspect, tags
from storagedriver_registry.client.commands.verifying import verify

app = typer.Typer(
    help="Push, pull and copy images and artifacts between registries, layouts, archives and "
    "stores.\n\nAn image in a registry is HOST/NAME[:TAG][@DIGEST], as with Docker. Elsewhere it "
    "is oci:DIR[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME:TAG], or "
    "storage:CONFIG:/PATH[:NAME] in any storage that storagedriver is configured for.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Brackets are brackets, and nothing waits for rich to be imported.
    rich_markup_mode=None,
)
for name, command in {
    "push": push,
    "pull": pull,
    "copy": copy_,
    "sync": sync,
    "inspect": inspect,
    "tags": tags,
    "catalog": catalog,
    "verify": verify,
    "attach": attach,
    "delete": delete,
    "login": login,
    "logout": logout,
}.items():
    app.command(name)(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        # Imported here: nobody else waits for it.
        from importlib.metadata import version

        typer.echo(f"dist {version('storagedriver-registry')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option(
            *("--version", "-v"),
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Take the options of the command itself."""
