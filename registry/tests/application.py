"""The application in this process, over a driver that can be watched and made to fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import httpx
from storagedriver_registry import create_app
from storagedriver_registry.api.request import ASGIApp

from storagedriver_core import (
    DriverMiddleware,
    Storage,
    StorageDriver,
    StorageDriverError,
    load_plugins,
)

T = TypeVar("T")


def in_memory() -> StorageDriver:
    """Give a driver that stores in memory."""
    plugins = load_plugins()
    driver: StorageDriver = plugins.load_factory(plugins.driver("inmemory"))()
    return driver


class Watched(DriverMiddleware):
    """Notes the calls, and fails those that it is told to.

    Attributes:
        calls: Operation and path of each call, in order.
    """

    def __init__(self, driver: StorageDriver | None = None) -> None:
        super().__init__(driver or in_memory())
        self.calls: list[tuple[str, str]] = []
        self._faults: dict[str, tuple[str, StorageDriverError]] = {}

    def fail(self, operation: str, error: StorageDriverError, at: str = "") -> None:
        """From now on, let every call of the operation fail for paths that end so."""
        self._faults[operation] = (at, error)

    def heal(self) -> None:
        self._faults.clear()

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        self.calls.append((operation, path))
        if operation in self._faults and path.endswith(self._faults[operation][0]):
            raise self._faults[operation][1]
        return await call()


class Application:
    """A registry in memory, with a client.

    Attributes:
        app: The application.
        driver: Its driver.
        storage: Its storage.
        http: A client of it.
    """

    def __init__(
        self,
        storage: Storage,
        driver: Watched,
        settings: Mapping[str, object] | None = None,
        sections: Mapping[str, object] | None = None,
    ) -> None:
        section = {"delete": {"enabled": True}, **(settings or {})}
        config = {"storage": section, **(sections or {})}
        self.app: ASGIApp = create_app(config, storage=storage)
        self.driver = driver
        self.storage = storage
        transport = httpx.ASGITransport(self.app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://registry")

    async def push_blob(self, name: str, data: bytes, digest: str) -> None:
        path = f"/v2/{name}/blobs/uploads/"
        response = await self.http.post(path, params={"digest": digest}, content=data)
        assert response.status_code == 201, response.text


def run(
    test: Callable[[Application], Awaitable[None]],
    narrow: Mapping[str, object] | None = None,
    *,
    on: StorageDriver | None = None,
    settings: Mapping[str, object] | None = None,
    sections: Mapping[str, object] | None = None,
) -> None:
    """Run a test with an application of its own.

    Args:
        test: The test.
        narrow: Capabilities to narrow.
        on: The driver; by default one in memory.
        settings: For the section `storage`.
        sections: Other sections of the configuration.
    """

    async def main() -> None:
        driver = Watched(on)
        async with Storage(driver, narrow=narrow) as storage:
            application = Application(storage, driver, settings, sections)
            async with application.http:
                await test(application)

    asyncio.run(main())
