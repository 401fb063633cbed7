"""The command `storagedriver serve`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from storagedriver_core import ConfigurationError, open_storage
from storagedriver_remote.server._listening import listening
from storagedriver_remote.server._service import Service

serve = typer.Typer(add_completion=False, rich_markup_mode=None)


@serve.command()
def run_server(
    config: Annotated[Path, typer.Argument(help="Configuration file of the storage.")],
    listen: Annotated[
        str, typer.Option(help="Where: unix:/path or 127.0.0.1:port; port 0 is any that is free.")
    ] = "",
    token_file: Annotated[
        Path | None,
        typer.Option(help="File of the bearer tokens, one a line; each of them is taken."),
    ] = None,
    token_variable: Annotated[
        str, typer.Option(help="Variable that holds the bearer token.")
    ] = "STORAGEDRIVER_SERVE_TOKEN",
    describe: Annotated[
        bool, typer.Option("--describe", help="Print what is declared as JSON, and serve nothing.")
    ] = False,
) -> None:
    """Serve a storage to `remote` drivers, until SIGTERM or SIGINT.

    A socket is for its owner alone (mode 0600); TCP wants a token.
    """
    service = Service(open_storage(config))
    if describe:
        asyncio.run(_describe(service))
        return
    if not listen:
        raise typer.BadParameter("say where: --listen unix:/path or --listen 127.0.0.1:port")
    tokens = _tokens(token_file, token_variable)
    asyncio.run(_serve(service, listen, tokens))


async def _describe(service: Service) -> None:
    await service.open()
    try:
        typer.echo(json.dumps(service.capabilities.to_json()))
    finally:
        await service.aclose()


async def _serve(service: Service, listen: str, tokens: list[str]) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await service.open()
    try:
        async with listening(service, listen, tokens) as address:
            typer.echo(f"serving at {address}")
            await ended.wait()
    finally:
        await service.aclose()


def _tokens(file: Path | None, variable: str) -> list[str]:
    """Read the tokens.

    Raises:
        ConfigurationError: The file is empty or no text, or others than its owner may read it.
    """
    if file is None:
        given = os.environ.get(variable, "").strip()
        return [given] if given else []
    if file.stat().st_mode & 0o077:
        raise ConfigurationError(f"{file}: others than its owner may use it; chmod 600")
    try:
        tokens = file.read_text(encoding="utf-8").split()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}: not UTF-8 at byte {error.start}") from None
    if not tokens:
        raise ConfigurationError(f"{file}: there is no token in it")
    return tokens
