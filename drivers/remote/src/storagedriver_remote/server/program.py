"""The program `registry-storagedriver-python`: serves to the driver that has started it.

Its parameters are a storage's: `{"driver": "filesystem", "parameters": {…}}`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

from storagedriver_core import ConfigurationError, StorageDriverError, open_storage
from storagedriver_remote._client import VERSION
from storagedriver_remote.server._listening import listening
from storagedriver_remote.server._service import Service

_STDIN = 0


def main() -> None:
    """Serve until standard input ends."""
    try:
        order = json.loads(_read_line())
        if order["version"] != VERSION:
            raise ConfigurationError(f"version {order['version']}; this program speaks {VERSION}")
        service = Service(open_storage({"storage": order["parameters"]}))
        asyncio.run(_serve(service, str(order["listen"])))
    except ConfigurationError as error:
        _fail(str(error), 2)
    except (KeyError, TypeError, ValueError) as error:
        _fail(f"a line of JSON is wanted on standard input: {error!r}", 2)
    except StorageDriverError as error:
        _fail(str(error), 1)


async def _serve(service: Service, listen: str) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)

    def look() -> None:
        # Whoever has started this holds the other end, and lets go of it however it dies.
        if not os.read(_STDIN, 4096):
            loop.remove_reader(_STDIN)
            ended.set()

    loop.add_reader(_STDIN, look)
    async with listening(service, listen):
        _say({"ready": True})
        await ended.wait()


def _read_line() -> bytes:
    """Read the first line, and not a byte more than has come with it."""
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(_STDIN, 65536)
        if not piece:
            break
        line += piece
    return line


def _say(value: Any) -> None:
    os.write(sys.stdout.fileno(), json.dumps(value).encode() + b"\n")


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"error: {message}\n")
    sys.exit(code)
