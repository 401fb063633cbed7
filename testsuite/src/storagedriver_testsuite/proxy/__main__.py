"""The proxy's process: `python -m storagedriver_testsuite.proxy http://127.0.0.1:8333`.

It writes a line of JSON with its URL, then answers each line of its standard input with one. It
ends with its standard input.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from storagedriver_testsuite.proxy._faults import Rules
from storagedriver_testsuite.proxy._http import HEAD_BYTES
from storagedriver_testsuite.proxy._relay import Relay
from storagedriver_testsuite.proxy._rules import Fault

# So that what a client does not take stays with the server, and is not counted.
_SEND_BYTES = 64 * 1024


class Server:
    """The proxy: a listening socket, connections and rules.

    Args:
        upstream: Base URL of the server.
    """

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname is not None
        self._host = parts.hostname
        self._port = parts.port or 80
        self._upstream = f"{parts.scheme}://{parts.netloc}".encode()
        self._rules = Rules()
        self._connections: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Server | None = None
        # Keeps the port while nobody listens, so that connections are refused.
        self._place = listening_socket(0)
        self.url = f"http://127.0.0.1:{self._place.getsockname()[1]}"

    async def listen(self, wanted: bool) -> None:
        """Begin to take connections, or refuse new ones and break those that are there."""
        if not wanted:
            if self._listening is not None:
                self._listening.close()
                self._listening = None
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
        elif self._listening is None:
            listener = listening_socket(self._place.getsockname()[1])
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
            self._listening = await asyncio.start_server(
                self._connected, sock=listener, limit=HEAD_BYTES
            )

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        relay = Relay(
            self._rules,
            self._host,
            self._port,
            self._upstream,
            self.url.encode(),
            (reader, writer),
        )
        try:
            await relay.run()
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._connections.discard(task)

    async def obey(self, order: Mapping[str, Any]) -> Any:
        """Do what one line says, and give what is answered."""
        match order["do"]:
            case "add":
                for values in order["faults"]:
                    self._rules.add(Fault.from_json(values))
            case "clear":
                self._rules.clear()
            case "listen":
                await self.listen(order["wanted"])
            case "forget":
                await self._settle()
                self._rules.log.clear()
            case "log":
                await self._settle()
                return [dataclasses.asdict(entry) for entry in self._rules.log]
        return None

    async def _settle(self) -> None:
        """Wait a moment for what is under way, so that its bytes are counted."""
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await self._rules.idle.wait()


def listening_socket(port: int) -> socket.socket:
    """Give a socket that is bound to a port of this machine, 0 for any."""
    # With the protocol's number: without it asyncio leaves Nagle's algorithm on, and then an answer
    # whose head and body are two writes waits for the client's delayed acknowledgement, 40 ms.
    made = socket.socket(proto=socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    return made


async def main(upstream: str) -> None:
    """Serve until standard input ends."""
    server = Server(upstream)
    await server.listen(True)
    orders = asyncio.StreamReader(limit=16 * 1024 * 1024)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    _say(server.url)
    while line := await orders.readline():
        _say(await server.obey(json.loads(line)))
    os._exit(0)  # nobody waits for what is under way


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
