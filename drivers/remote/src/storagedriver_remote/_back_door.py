"""The process of the harness: harnesses of other drivers, whose drivers it serves.

```text
the suite                          this process
  RemoteHarness  ── orders ──────►   the other driver's harness: store and back door
  RemoteDriver   ── protocol ────►   a server for each of its drivers
```

Orders come as lines of JSON over a socket. The process ends with its standard
input. Nothing but the harness uses it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import resource
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

from storagedriver_core import Storage, StorageDriver, load_plugins
from storagedriver_remote.server._listening import listening
from storagedriver_remote.server._service import Service, carried

_LINE_BYTES = 256 * 1024 * 1024


class BackDoor:
    """The harnesses that were asked for.

    Args:
        directory: For sockets.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._served: dict[int, _Served] = {}

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one order after the other."""
        try:
            while line := await reader.readline():
                try:
                    said = {"result": await self._obey(json.loads(line))}
                except Exception as error:
                    said = {"error": f"{type(error).__name__}: {error}"}
                writer.write(json.dumps(said).encode() + b"\n")
                await writer.drain()
        finally:
            writer.close()

    async def _obey(self, order: dict[str, Any]) -> Any:
        if order["do"] == "make":
            number = len(self._served) + 1
            place = self._directory / str(number)
            place.mkdir()
            self._served[number] = _Served(place, order["driver"], order["tokens"])
            return {"number": number, **self._served[number].facts()}
        return await getattr(self._served[order["number"]], order["do"])(**order["with"])


class _Served:
    """One harness, and a server for each driver of it that was asked for.

    Args:
        directory: For its sockets and its store.
        driver: The name of the other driver.
        tokens: With which its servers listen at TCP; none for sockets.
    """

    def __init__(self, directory: Path, driver: str, tokens: list[str]) -> None:
        self._directory = directory
        self._tokens = tokens
        plugins = load_plugins()
        spec = next(one for one in plugins.harnesses.values() if one.driver_name == driver)
        store = directory / "store"
        store.mkdir()
        parameters = {"root_directory": str(store)} if driver == "filesystem" else {}
        self._harness = plugins.load_factory(spec)(store, parameters)
        self._servers = AsyncExitStack()
        self._services: list[Service] = []
        self._states: dict[str, AbstractContextManager[None]] = {}

    def facts(self) -> dict[str, Any]:
        """Give what does not change."""
        methods = [name for name in dir(self._harness) if not name.startswith("_")]
        return {
            "capabilities": carried(self._harness.driver().capabilities).to_json(),
            "offers": [name for name in methods if self._harness.offers(name)],
            "keys_per_delete": self._harness.keys_per_delete,
        }

    async def start(self) -> dict[str, str]:
        """Make the store, and serve the drivers; give the address of each."""
        await self._harness.start()
        makers = {
            name: getattr(self._harness, name)
            for name in ("driver", "missing_driver", "other_root_driver")
            if name == "driver" or self._harness.offers(name)
        }
        return {name: await self._serve(name, make()) for name, make in makers.items()}

    async def _serve(self, name: str, driver: StorageDriver) -> str:
        listen = "127.0.0.1:0" if self._tokens else f"unix:{self._directory}/{name}"
        service = Service(Storage(driver))
        self._services.append(service)
        return await self._servers.enter_async_context(listening(service, listen, self._tokens))

    async def stop(self) -> None:
        """Stop the servers and remove the store."""
        await self._servers.aclose()
        await self._harness.stop()

    async def _settled(self) -> None:
        """Wait until what was cancelled on the other side has ended here, too."""
        while any(service.under_way for service in self._services):  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.001)

    async def raw_list(self) -> list[str]:
        await self._settled()
        return list(await self._harness.raw_list())

    async def raw_uploads(self) -> list[str]:
        await self._settled()
        return list(await self._harness.raw_uploads())

    async def raw_get(self, path: str) -> str:
        return base64.b64encode(await self._harness.raw_get(path)).decode()

    async def raw_put(self, path: str, data: str) -> None:
        await self._harness.raw_put(path, base64.b64decode(data))

    async def plant_link(self, path: str, target: str) -> None:
        await self._harness.plant_link(path, target)

    async def plant_directory(self, path: str) -> None:
        await self._harness.plant_directory(path)

    async def list_requests(self) -> int:
        count: int = self._harness.list_requests()
        return count

    async def enter(self, state: str, arguments: Mapping[str, Any]) -> None:
        """Enter one of the harness's contexts, as `full_store`."""
        context = getattr(self._harness, state)(**arguments)
        context.__enter__()
        self._states[state] = context

    async def leave(self, state: str) -> None:
        """Leave it again."""
        self._states.pop(state).__exit__(None, None, None)


async def serve(directory: Path) -> None:
    """Take orders until standard input ends."""
    back_door = BackDoor(directory)
    server = await asyncio.start_unix_server(
        back_door.answer, directory / "orders", limit=_LINE_BYTES
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def look() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            ended.set()

    loop.add_reader(0, look)
    async with server:
        os.write(1, b"ready\n")
        await ended.wait()


if __name__ == "__main__":
    # A full store is made by a limit on this process's files, which may not hit the log.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asyncio.run(serve(Path(sys.argv[1])))
