"""Drivers that learn at their opening what they can do."""

from __future__ import annotations

import asyncio
import dataclasses
import pickle

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    Capabilities,
    ConfigurationError,
    DriverMiddleware,
    InvalidPathError,
    Storage,
    StorageDriver,
    UnsupportedMethodError,
)
from storagedriver_core.middleware.prefix import PrefixMiddleware, PrefixParameters

LEARNT = dataclasses.replace(
    InMemoryDriver().capabilities, put_if_absent=False, max_parts=100, max_path_bytes=20
)


class LateDriver(DriverMiddleware):
    """Declares everything, and less when it is open."""

    def __init__(self, driver: StorageDriver | None = None) -> None:
        super().__init__(driver or InMemoryDriver())
        self._capabilities = dataclasses.replace(LEARNT, put_if_absent=True, max_path_bytes=4096)
        self.closed = 0

    async def open(self) -> None:
        await self.driver.open()
        self._capabilities = LEARNT

    async def aclose(self) -> None:
        self.closed += 1
        await super().aclose()


def test_open_storage_refuses_what_the_driver_turns_out_not_to_have() -> None:
    async def run() -> None:
        for storage in (Storage(LateDriver()), Storage(DriverMiddleware(LateDriver()))):
            assert storage.capabilities.put_if_absent
            async with storage:
                assert storage.capabilities == LEARNT
                with pytest.raises(UnsupportedMethodError):
                    await storage.put_content("/a", b"", if_absent=True)
                with pytest.raises(InvalidPathError):
                    await storage.put_content("/" + "a" * 20, b"")

    asyncio.run(run())


@pytest.mark.parametrize("layer", ["storage", "middleware"])
def test_what_would_widen_is_refused_at_the_opening_and_the_driver_closed(layer: str) -> None:
    async def run() -> None:
        driver = LateDriver()
        wide = {"max_path_bytes": 1000}
        if layer == "storage":
            storage = Storage(driver, narrow=wide)
        else:
            storage = Storage(DriverMiddleware(driver, narrow=wide))
        with pytest.raises(ConfigurationError, match="max_path_bytes"):
            await storage.open()
        assert driver.closed == 1

    asyncio.run(run())


def test_prefix_shortens_the_paths_that_the_driver_turns_out_to_take() -> None:
    async def run() -> None:
        driver = PrefixMiddleware(LateDriver(), PrefixParameters(prefix="/pre"))
        assert _most(driver) == 4092
        async with Storage(driver) as storage:
            assert storage.capabilities.max_path_bytes == 16

    asyncio.run(run())


def test_prefix_can_be_pickled() -> None:
    prefix = PrefixMiddleware(DriverMiddleware(_Picklable()), PrefixParameters(prefix="/pre"))
    assert _most(pickle.loads(pickle.dumps(prefix))) == _most(prefix)


def _most(driver: StorageDriver) -> int:
    declared: Capabilities = driver.capabilities
    return declared.max_path_bytes


class _Picklable(InMemoryDriver):
    def __reduce__(self) -> tuple[object, ...]:  # type: ignore[override]  # a string there: refused
        return (_Picklable, ())
