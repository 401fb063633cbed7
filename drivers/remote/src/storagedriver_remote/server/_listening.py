"""Where a server listens, and how it ends."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from storagedriver_core import ConfigurationError
from storagedriver_remote._client import KEEP_ALIVE_SECONDS
from storagedriver_remote.server._app import make_app
from storagedriver_remote.server._service import Service

_READ_BYTES = 256 * 1024
_BACKLOG = 512
# For calls that are under way when the server ends.
_SHUTDOWN_SECONDS = 5.0

_SOCKET_MODE = 0o600

# Device and number, which tell a file from another that has taken its name.
_File = tuple[int, int]


@asynccontextmanager
async def listening(
    service: Service, listen: str, tokens: Sequence[str] = ()
) -> AsyncIterator[str]:
    """Serve while the block lasts.

    Args:
        service: What is served.
        listen: `unix:/path` or `host:port`; port 0 is any that is free.
        tokens: The bearer tokens that are taken; TCP has to have one.

    Yields:
        Where it listens, as a client's `connect` takes it.

    Raises:
        ConfigurationError: The address is none, in use, or not to be listened at without a token.
    """
    made, own = await asyncio.to_thread(_bind, listen, bool(tokens))
    runner = web.AppRunner(
        make_app(service, tokens),
        access_log=None,
        # Who goes away has no use for the answer: the call is cancelled.
        handler_cancellation=True,
        read_bufsize=_READ_BYTES,
        keepalive_timeout=2 * KEEP_ALIVE_SECONDS,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    try:
        await runner.setup()
        await web.SockSite(runner, made, backlog=_BACKLOG).start()
        yield _address(listen, made)
    finally:
        try:
            # While the socket is open, for then no other file has its number.
            await asyncio.to_thread(_remove, listen, own)
        finally:
            await runner.cleanup()
            made.close()


def _bind(listen: str, has_token: bool) -> tuple[socket.socket, _File | None]:
    """Give the bound socket, and the file of one that has a path."""
    try:
        if listen.startswith("unix:/"):
            made = _bind_path(listen.removeprefix("unix:"))
            return made, _file_at(listen)
        found = re.fullmatch(r"\[?([^\[\]]+)\]?:(\d+)", listen)
        if found is None:
            raise ConfigurationError(f"{listen!r}: unix:/path or host:port")
        if not has_token:
            raise ConfigurationError(
                f"{listen}: everybody could connect, so there has to be a token"
            )
        host, port = found[1], int(found[2])
        (family, kind, protocol, _, place), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(place)
        return made, None
    except OSError as error:
        raise ConfigurationError(f"{listen}: {error.strerror or error}") from error


def _bind_path(path: str) -> socket.socket:
    """Bind to a path, which a server that was killed may have left behind."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if Path(path).is_socket() and not _is_served(path):
            Path(path).unlink(missing_ok=True)
        made.bind(path)
        # Before it listens, so that nobody gets in who may not.
        Path(path).chmod(_SOCKET_MODE)
    except BaseException:
        made.close()
        raise
    return made


def _is_served(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        return True


def _address(listen: str, made: socket.socket) -> str:
    if listen.startswith("unix:"):
        return listen
    host, port = made.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _file_at(listen: str) -> _File | None:
    try:
        status = Path(listen.removeprefix("unix:")).lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _remove(listen: str, own: _File | None) -> None:
    """Remove the socket, but not that of a server which was started since."""
    if own is not None and _file_at(listen) == own:
        Path(listen.removeprefix("unix:")).unlink(missing_ok=True)
