"""The options that every command has, and how they come to its function."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from storagedriver_registry.client.connections import TIMEOUT

CERTIFICATES = Path("/etc/docker/certs.d")


def _timeout(seconds: float) -> float:
    if not 0 < seconds < math.inf:
        raise typer.BadParameter("it is more than 0")
    return seconds


@dataclass(frozen=True, slots=True)
class Connection:
    """How registries are asked, and how results are told."""

    plain_http: Annotated[
        list[str] | None,
        typer.Option(
            "--plain-http",
            metavar="HOST",
            help="Ask this registry by http. May be given several times. On the loopback it is "
            "found out.",
        ),
    ] = None
    ca_file: Annotated[
        list[Path] | None,
        typer.Option(
            "--ca-file", metavar="FILE", help="Trust the authorities in this PEM file as well."
        ),
    ] = None
    certs_dir: Annotated[
        Path,
        typer.Option(
            "--certs-dir",
            metavar="DIR",
            help="Has a folder for each HOST: authorities in *.crt, a client's certificate and "
            "key in *.cert and *.key.",
        ),
    ] = CERTIFICATES
    authfile: Annotated[
        Path | None,
        typer.Option(
            "--authfile",
            metavar="FILE",
            help="Credentials, instead of those in ~/.docker/config.json.",
        ),
    ] = None
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            help="Give a connection up that gives or takes nothing for so long, and try again.",
            callback=_timeout,
        ),
    ] = TIMEOUT
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Tell no progress.")] = False
    json: Annotated[bool, typer.Option("--json", help="Print results and errors as JSON.")] = False


def connected(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; its argument `connection` gets them in one."""
    hints = get_type_hints(Connection, include_extras=True)
    options = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(Connection)
    ]
    own_hints = get_type_hints(function, include_extras=True)
    own = [
        parameter.replace(annotation=own_hints[name])
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "connection"
    ]

    @functools.wraps(function)
    def command(**values: Any) -> None:
        chosen = {option.name: values.pop(option.name) for option in options}
        function(connection=Connection(**chosen), **values)

    command.__dict__["__signature__"] = inspect.Signature(
        [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own] + options
    )
    command.__annotations__ = {one.name: one.annotation for one in [*own, *options]}
    return command
