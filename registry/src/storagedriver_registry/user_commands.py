"""`registry user`: the users of a password file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from storagedriver_registry.auth.htpasswd_file import DEFAULT_COST, MalformedFileError

app = typer.Typer(help="The users of a password file (htpasswd, bcrypt).", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The password file.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]


@app.command()
def add(
    file: File,
    name: Name,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    cost: Annotated[
        int, typer.Option(min=4, max=17, help="Each step more doubles the time of a check.")
    ] = DEFAULT_COST,
) -> None:
    """Add a user, or give another password to one. The file is made if there is none."""
    from storagedriver_registry.auth.htpasswd_users import add_user

    with _told(file):
        replaced = add_user(file, name, _password(password_stdin), cost)
        typer.echo(f"{name} has another password now" if replaced else f"{name} was added")


@app.command("list")
def list_(file: File) -> None:
    """List the users."""
    from storagedriver_registry.auth.htpasswd_users import list_users

    with _told(file):
        for name in list_users(file):
            typer.echo(name)


@app.command()
def remove(file: File, name: Name) -> None:
    """Remove a user."""
    from storagedriver_registry.auth.htpasswd_users import remove_user

    with _told(file):
        remove_user(file, name)
        typer.echo(f"{name} was removed")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        # One line, or the whole without one, as docker login has it.
        return sys.stdin.read().removesuffix("\n").removesuffix("\r")
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """Tell what fails in one line."""
    from storagedriver_registry.auth.htpasswd_users import UserError

    try:
        yield
    except UserError as error:
        message = str(error)
    except MalformedFileError as error:
        message = f"{file}: {error}"
    except OSError as error:
        message = f"{file}: {error.strerror}"
    else:
        return
    typer.echo(message, err=True)
    raise typer.Exit(1)
