"""The command's subcommands put together, and what becomes of errors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from storagedriver_core._errors import ConfigurationError, StorageDriverError
from storagedriver_core._plugins import PluginRegistry, load_plugins
from storagedriver_core.cli import (
    _config,
    _content,
    _copy,
    _doctor,
    _drivers,
    _mirror,
    _tree,
    _uploads,
)
from storagedriver_core.hookspecs import CommandSpec

_TESTSUITE = "storagedriver-testsuite"
_TESTSUITE_COMMANDS = {
    "bench": "Measure a driver.",
    "conformance": "Test a driver against the contract.",
    "new": "Write a driver package that works, to be changed.",
}
"""Subcommands that are worth naming before they are installed."""

EXIT_CODES = (
    "Exit codes: 0 done; 1 the operation failed; 2 wrong usage or configuration; 130 interrupted."
)


def main() -> None:
    """Run the command and exit."""
    try:
        make_app(load_plugins())()
    except StorageDriverError as error:
        _fail(str(error), exit_code(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}", exit_code(error))


def exit_code(error: Exception) -> int:
    """Give the exit code that stands for an error."""
    return 2 if isinstance(error, ConfigurationError) else 1


def make_app(plugins: PluginRegistry) -> typer.Typer:
    """Make the application: the core's subcommands and those of plugins."""
    app = typer.Typer(
        name="storagedriver",
        help=f"Content storage through drivers. {EXIT_CODES}",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    for module in (_drivers, _doctor, _tree, _content, _copy, _mirror):
        for command in module.COMMANDS:
            app.command()(command)
    app.add_typer(_config.app, name="config")
    app.add_typer(_uploads.app, name="uploads")
    extras = {name: _missing_command(name, plugins) for name in _TESTSUITE_COMMANDS}
    summaries = dict(_TESTSUITE_COMMANDS)
    for spec in plugins.commands.values():
        extras[spec.name] = _plugin_command(spec, plugins)
        summaries[spec.name] = spec.summary
    for name, run in extras.items():
        # Whatever follows is for the command that is imported then, `--help` too.
        settings = {"allow_extra_args": True, "ignore_unknown_options": True}
        app.command(name, help=summaries[name], context_settings=settings, add_help_option=False)(
            run
        )
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"storagedriver {version('storagedriver-core')}")
        raise typer.Exit


def _options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options of the command itself."""


def _plugin_command(spec: CommandSpec, plugins: PluginRegistry) -> Callable[[typer.Context], None]:
    """Give a command that imports the plugin's application only when it runs."""

    def run(context: typer.Context) -> None:
        from typer.main import get_command

        command = get_command(plugins.load_factory(spec))
        name = f"storagedriver {spec.name}"
        code = command.main(context.args, prog_name=name, standalone_mode=False)
        raise typer.Exit(code if isinstance(code, int) else 0)

    return run


def _missing_command(name: str, plugins: PluginRegistry) -> Callable[[typer.Context], None]:
    """Give a command that tells how to get the real one."""

    def run(context: typer.Context) -> None:
        broken = [str(one) for one in plugins.problems if one.distribution == _TESTSUITE]
        raise ConfigurationError(
            broken[0] if broken else f"{name!r} is not installed; pip install {_TESTSUITE}"
        )

    return run


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    sys.exit(code)
