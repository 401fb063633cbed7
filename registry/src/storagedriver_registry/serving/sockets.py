"""The socket that is listened at.

It is bound before anything else is begun, so that an address that is in use is told at once, and
listened at only when requests can be answered. Several processes share it: a connection is taken by
whichever is free, and none is lost with a process that dies before it takes it.
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from storagedriver_registry.serving.errors import StartError

BACKLOG = 1024
"""Connections that wait to be taken, at most."""

# As Go's servers have it: a client that is gone without a word is noticed.
_KEEP_ALIVE_SECONDS = 15
_KEEP_ALIVE_PROBES = 9


class Listener:
    """A bound socket.

    Attributes:
        socket: The socket.
        origin: Where it is, as the part of a URL after the scheme.
    """

    def __init__(self, bound: socket.socket, origin: str, path: Path | None = None) -> None:
        self.socket = bound
        self.origin = origin
        self._path = path
        self._file = None if path is None else path.stat()

    @property
    def is_unix(self) -> bool:
        """Whether it is a Unix socket."""
        return self._path is not None

    def listen(self) -> None:
        """Take connections from now on.

        Raises:
            StartError: Another server was quicker.
        """
        try:
            self.socket.listen(BACKLOG)
        except OSError as error:
            raise _cannot_listen(self.origin, error) from error

    def remove_file(self) -> None:
        """Remove a Unix socket's file, unless it is another's by now."""
        if self._path is None or self._file is None:
            return
        with suppress(OSError):
            if os.path.samestat(self._path.lstat(), self._file):
                self._path.unlink()

    def close(self) -> None:
        """Take no more connections in this process."""
        self.socket.close()


def bind(address: tuple[str, int] | Path) -> Listener:
    """Bind a socket.

    Raises:
        StartError: The address cannot be used, or is used by another.
    """
    if isinstance(address, Path):
        return _bind_unix(address)
    host, port = address
    try:
        bound = _bind_everywhere(port) if not host else _bind_host(host, port)
    except OSError as error:
        raise _cannot_listen(f"{host}:{port}", error) from error
    # Connections inherit these.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEP_ALIVE_SECONDS)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEP_ALIVE_SECONDS)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEP_ALIVE_PROBES)
    shown = host or "0.0.0.0"
    return Listener(bound, f"{f'[{shown}]' if ':' in shown else shown}:{bound.getsockname()[1]}")


def _bind_host(host: str, port: int) -> socket.socket:
    # As text it would be looked up in tables of all scripts, which each worker would keep.
    name = host.encode() if host.isascii() else host
    family, _, _, _, address = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0]
    return _bound(family, (str(address[0]), int(address[1])))


def _bind_everywhere(port: int) -> socket.socket:
    """Bind every address of the machine, of both kinds where it has both."""
    if socket.has_dualstack_ipv6():
        with suppress(OSError):
            return _bound(socket.AF_INET6, ("::", port), of_both_kinds=True)
    # Here an error is the one that counts.
    return _bound(socket.AF_INET, ("0.0.0.0", port))


def _bound(family: int, address: tuple[str, int], *, of_both_kinds: bool = False) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Not SO_REUSEPORT: the port would be shared with whoever has it, another registry too.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not of_both_kinds))
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _bind_unix(path: Path) -> Listener:
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        bound.bind(str(path))
        return Listener(bound, str(path), path)
    except OSError as error:
        bound.close()
        raise _cannot_listen(str(path), error) from error


def _remove_stale(path: Path) -> None:
    """Remove a socket's file that a server has left which was killed.

    Raises:
        OSError: A server is there, or what is there is no socket; binding would say so too.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


def _cannot_listen(where: str, error: OSError) -> StartError:
    return StartError(f"cannot listen at {where}: {error.strerror or error}")
