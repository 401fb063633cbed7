"""A proxy that counts bytes, and holds them where a test wants to strike."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

_CHUNK = 64 * 1024
_PATIENCE = 120


class CountingProxy:
    """Passes connections on to a server.

    Attributes:
        host: Where it listens.
        up: Bytes that went to the server.
        down: Bytes that came from it.
        held: Is set when the limit is reached.
    """

    def __init__(self, server: str) -> None:
        name, _, port = server.partition(":")
        self._server = (name, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.up = 0
        self.down = 0
        self.held = threading.Event()
        self._released = threading.Event()
        self._limit: int | None = None
        self._lock = threading.Lock()
        self._sockets = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def hold_after(self, count: int) -> None:
        """Pass so many more bytes in both directions together, and then none."""
        self._released.clear()
        self.held.clear()
        self._limit = self.up + self.down + count

    def wait_until_held(self) -> None:
        assert self.held.wait(_PATIENCE), "the limit was not reached"

    def release(self) -> None:
        """Pass everything."""
        self._limit = None
        self._released.set()

    def close(self) -> None:
        """Cut all connections, and end."""
        self.release()
        self._listener.shutdown(socket.SHUT_RDWR)
        # What it was about to take is among the others then.
        self._threads[0].join()
        for one in self._sockets[1:]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                # What waits here is lost with the client: the less the better.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _CHUNK)
                try:
                    server = socket.create_connection(self._server)
                except ConnectionError:
                    # It was killed, and whoever asks is to notice.
                    with contextlib.suppress(OSError):
                        client.shutdown(socket.SHUT_RDWR)
                    continue
                self._sockets.append(server)
                for ends in ((client, server, True), (server, client, False)):
                    thread = threading.Thread(target=self._pump, args=ends)
                    self._threads.append(thread)
                    thread.start()

    def _pump(self, source: socket.socket, target: socket.socket, is_up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                with self._lock:
                    self.up += len(data) if is_up else 0
                    self.down += 0 if is_up else len(data)
                    is_full = self._limit is not None and self.up + self.down >= self._limit
                if is_full:
                    self.held.set()
                    self._released.wait(_PATIENCE)
                target.sendall(data)
        for end, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
            with contextlib.suppress(OSError):
                end.shutdown(how)


@contextlib.contextmanager
def counting(server: str) -> Iterator[CountingProxy]:
    """Run a proxy before a server."""
    proxy = CountingProxy(server)
    try:
        yield proxy
    finally:
        proxy.close()
