"""`dist login` and `logout`."""

from __future__ import annotations

import getpass
import sys
import warnings
from typing import Annotated

import typer

from storagedriver_registry.client.commands.connection import Connection, connected
from storagedriver_registry.client.commands.failures import (
    EXPECTED,
    INTERRUPTED,
    exit_code,
    tell,
)
from storagedriver_registry.client.commands.output import say
from storagedriver_registry.client.commands.session import Session, print_json, run
from storagedriver_registry.client.credentials import Credentials
from storagedriver_registry.client.docker_config import DockerConfig


@connected
def login(
    connection: Connection,
    host: Annotated[
        str, typer.Argument(metavar="HOST", help="HOST[:PORT]; docker.io for Docker Hub")
    ],
    username: Annotated[
        str | None, typer.Option("--username", "-u", metavar="NAME", help="Asked for if missing.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Try a name and a password, and keep them where Docker does if the registry takes them."""
    if password_stdin and username is None:
        raise typer.BadParameter("--password-stdin needs --username")
    user = username or _asked("Username")
    if password_stdin:
        password = sys.stdin.read().rstrip("\r\n")
    else:
        password = _asked("Password", hide_input=True)
    if not password:
        raise typer.BadParameter("there is no password")
    try:
        credentials = Credentials(user, password)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None

    async def work(session: Session) -> str:
        await session.client(host, credentials).ping()
        return session.accounts.store(host, credentials)

    where = run(connection, work)
    if connection.json:
        print_json({"host": host, "username": user, "stored": where})
    else:
        say(f"logged in to {host} as {user}; kept in {where}")


@connected
def logout(
    connection: Connection, host: Annotated[str, typer.Argument(metavar="HOST", help="HOST[:PORT]")]
) -> None:
    """Forget the credentials for a registry."""
    try:
        found = DockerConfig(connection.authfile).erase(host)
    except EXPECTED as error:
        tell(error, as_json=connection.json)
        raise typer.Exit(exit_code(error)) from None
    if connection.json:
        print_json({"host": host, "removed": found})
    else:
        say(f"logged out of {host}" if found else f"not logged in to {host}")


def _asked(text: str, *, hide_input: bool = False) -> str:
    try:
        with warnings.catch_warnings():
            # Without a terminal the password would show, and warnings of the program's inside.
            warnings.simplefilter("error", getpass.GetPassWarning)
            answer: str = typer.prompt(text, hide_input=hide_input, err=True)
    except (typer.Abort, getpass.GetPassWarning) as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            say("dist: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        raise typer.BadParameter(
            f"there is nobody to ask for the {text.lower()}: see --username and --password-stdin"
        ) from None
    return answer
