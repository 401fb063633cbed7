"""The `registry` command."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from storagedriver_core import ConfigurationError, StorageDriverError
from storagedriver_registry.commands import ConfigArgument, failure, load
from storagedriver_registry.config_commands import app as config_app
from storagedriver_registry.configuration import CONFIGURATION_PATH
from storagedriver_registry.doctor.command import doctor
from storagedriver_registry.garbage_commands import garbage_collect
from storagedriver_registry.upload_commands import app as uploads_app
from storagedriver_registry.user_commands import app as user_app

app = typer.Typer(
    help="An OCI and Docker registry on a storage driver.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(config_app, name="config")
app.add_typer(user_app, name="user")
app.add_typer(uploads_app, name="uploads")
app.command()(doctor)
app.command("garbage-collect")(garbage_collect)
referrers_app = typer.Typer(help="The index of referrers.", no_args_is_help=True)
app.add_typer(referrers_app, name="referrers")

_ServedArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[CONFIG]",
        envvar=CONFIGURATION_PATH,
        help="A config.yml. Without one: files below ./registry-data, at 127.0.0.1:5000, with "
        "deletion enabled.",
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"registry {version('storagedriver-registry')}")
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


@app.command()
def serve(
    config: _ServedArgument = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that serve. Without it two for local files on several processors, else "
            "one.",
        ),
    ] = None,
) -> None:
    """Serve a registry until it is interrupted."""
    # Imported here: the other commands need no server.
    from storagedriver_registry.serving import StartError
    from storagedriver_registry.serving import serve as serve_until_stopped

    configuration = load(config)
    try:
        serve_until_stopped(
            configuration, lambda url: typer.echo(f"serving {url}", err=True), workers
        )
    except (ConfigurationError, StartError) as error:
        raise failure(str(error)) from None


@referrers_app.command()
def rebuild(config: ConfigArgument) -> None:
    """Index the referrers in a root that another registry has written.

    It may be run while servers are at work, and again.
    """
    import asyncio

    from storagedriver_registry.maintenance import rebuild_referrers

    def report(name: str, manifests: int, referrers: int) -> None:
        typer.echo(f"{name}: {manifests} manifests, {referrers} with a subject", err=True)

    try:
        manifests, referrers = asyncio.run(rebuild_referrers(load(config), report))
    except (ConfigurationError, StorageDriverError) as error:
        raise failure(str(error)) from None
    typer.echo(f"{manifests} manifests, {referrers} with a subject")


@app.command("token-server")
def token_server(
    config: Annotated[Path, typer.Argument(help="A YAML file; docs/registry.md has one.")],
) -> None:
    """Serve tokens for registries until it is interrupted."""
    from storagedriver_registry.serving import StartError
    from storagedriver_registry.token_server.running import serve_tokens

    try:
        serve_tokens(config, lambda url: typer.echo(f"serving {url}", err=True))
    except (ConfigurationError, StartError) as error:
        raise failure(str(error)) from None


def main() -> None:
    """Run the command."""
    app()
