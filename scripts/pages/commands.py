"""`docs/command-options.md`, from the commands themselves."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer
from storagedriver_registry.cli import app as registry_app
from storagedriver_registry.client.commands.cli import app as dist_app
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from pages.plugins import own_plugins
from pages.text import code, note, one_line, table
from storagedriver_core.cli._app import make_app

_HEAD = f"""\
{note("the commands themselves")}

# Every command and its options

What `--help` says of each, in one place. How they are used is shown in [The command](command.md),
[The client and `dist`](client.md) and [The registry](registry.md). What an exit code means is in
[Errors](errors.md#exit-codes).
"""

_VALUES = {"str": "TEXT", "int": "N", "float": "N", "path": "PATH", "int range": "N"}


def page() -> str:
    """Give the page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    plugins = own_plugins()
    yield from _program("storagedriver", make_app(plugins), plugins_too=True)
    yield from _program("dist", dist_app)
    yield from _program("registry", registry_app)


def _program(name: str, app: typer.Typer, *, plugins_too: bool = False) -> Iterator[str]:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    yield f"## `{name}`\n\n{_text(group)}\n"
    specs = own_plugins().commands if plugins_too else {}
    for command_name, command in sorted(group.commands.items()):
        spec = specs.get(command_name)
        if spec is None:
            yield from _command(f"{name} {command_name}", command)
        else:
            # What stands in the group only imports this one.
            real = get_command(own_plugins().load_factory(spec))
            package = spec.factory.partition(".")[0].replace("_", "-")
            yield from _command(f"{name} {command_name}", real, f"Comes with `{package}`.")


def _command(name: str, command: object, remark: str = "") -> Iterator[str]:
    if isinstance(command, TyperGroup):
        for inner_name, inner in sorted(command.commands.items()):
            yield from _command(f"{name} {inner_name}", inner)
        return
    assert isinstance(command, TyperCommand), name
    shown = [one for one in command.params if not getattr(one, "hidden", False)]
    arguments = [one for one in shown if isinstance(one, TyperArgument)]
    options = [one for one in shown if isinstance(one, TyperOption)]
    context = typer.Context(command, info_name=name)
    pieces = [_shown(one) if one.required else f"[{_shown(one)}]" for one in arguments]
    yield f"### `{name}`\n"
    yield f"```text\n{' '.join([name, *(['[OPTIONS]'] if options else []), *pieces])}\n```\n"
    yield f"{_text(command)}\n"
    if remark:
        yield f"{remark}\n"
    rows = [_argument(one) for one in arguments]
    rows += [_option(one, context) for one in options if one.name != "help"]
    yield from table(("", "default", "variable", "meaning"), rows)


def _argument(argument: TyperArgument) -> tuple[str, ...]:
    return (
        code(_shown(argument)),
        "required" if argument.required else _default(argument.default),
        _variable(argument.envvar),
        _plain(argument.help),
    )


def _option(option: TyperOption, context: typer.Context) -> tuple[str, ...]:
    # The long spelling first, as people look for it.
    names = sorted([*option.opts, *option.secondary_opts], key=lambda name: name[:2] != "--")
    value = "" if option.is_flag else f" {_value(option, context)}"
    return (
        ", ".join(code(f"{name}{value}") for name in names),
        "required" if option.required else "" if option.is_flag else _default(option.default),
        _variable(option.envvar),
        _plain(option.help),
    )


def _shown(argument: TyperArgument) -> str:
    name = (argument.metavar or argument.name.upper()).rstrip(".")
    # Where it may be left out is said around it.
    name = name.removeprefix("[").removesuffix("]") if not argument.required else name
    return name if argument.nargs == 1 else f"{name}..."


def _value(option: TyperOption, context: typer.Context) -> str:
    """Name the value of an option as a manual does."""
    if option.metavar:
        return option.metavar
    kind = option.display_type(context).strip("<>").removeprefix("list[").removesuffix("]")
    return _VALUES.get(kind, kind)


def _default(value: object) -> str:
    if value in (None, "", (), []) or callable(value):
        return ""
    return code(value if isinstance(value, str | Path) else json.dumps(value))


def _variable(names: str | Sequence[str] | None) -> str:
    given = [names] if isinstance(names, str) else names or []
    return ", ".join(code(name) for name in given)


def _text(command: object) -> str:
    help_text = inspect.cleandoc(getattr(command, "help", None) or "")
    return "\n\n".join(one_line(_plain(part)) for part in help_text.split("\n\n"))


def _plain(text: str | None) -> str:
    """Keep what is no code from being taken for marks."""
    parts = (text or "").split("`")
    for number in range(0, len(parts), 2):
        parts[number] = parts[number].replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
    return "`".join(parts)
