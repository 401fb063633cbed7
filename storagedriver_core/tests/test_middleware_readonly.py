from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    CompleteOptions,
    ListOptions,
    PutOptions,
    Storage,
    StorageDriver,
    UnsupportedMethodError,
    Upload,
    UploadOptions,
)
from storagedriver_core.middleware.readonly import ReadOnlyMiddleware, ReadOnlyParameters
from storagedriver_core.tests.faults import Blank

UPLOAD = Upload("/u", "upload-1", holder="holder")
CALLS: dict[str, Callable[[StorageDriver], Awaitable[object]]] = {
    "put_content": lambda driver: driver.put_content("/u", b"", PutOptions()),
    "delete": lambda driver: driver.delete("/u"),
    "delete_many": lambda driver: driver.delete_many([]),
    "move": lambda driver: driver.move("/u", "/v"),
    "copy": lambda driver: driver.copy("/u", "/v"),
    "open_upload": lambda driver: driver.open_upload("/u", "h", UploadOptions()),
    "put_part": lambda driver: driver.put_part(UPLOAD, 1, 0, [b"x"]),
    "copy_part": lambda driver: driver.copy_part(UPLOAD, 1, 0, "/v", 0, 1),
    "sync_upload": lambda driver: driver.sync_upload(UPLOAD),
    "upload_state": lambda driver: driver.upload_state(UPLOAD, 0),
    "complete_upload": lambda driver: driver.complete_upload(
        UPLOAD, [], CompleteOptions(path="/u", size=0)
    ),
    "abort_upload": lambda driver: driver.abort_upload(UPLOAD),
    "list_uploads": lambda driver: anext(driver.list_uploads()),
}
OF_STORAGES: dict[str, Callable[[Storage], Awaitable[object]]] = {
    "put": lambda storage: storage.put_content("/new", b"x"),
    "put over": lambda storage: storage.put_content("/a", b"x"),
    "put of a stream": lambda storage: storage.put_content("/new", iter([b"x"])),
    "put of metadata": lambda storage: storage.put_content("/new", b"", metadata={"a": "b"}),
    "writer": lambda storage: storage.writer("/new"),
    "delete": lambda storage: storage.delete("/a"),
    "delete of nothing": lambda storage: storage.delete("/missing", missing_ok=True),
    "delete of all": lambda storage: storage.delete("/", everything=True),
    "delete_many": lambda storage: storage.delete_many(["/a"]),
    "move": lambda storage: storage.move("/a", "/b"),
    "copy": lambda storage: storage.copy("/a", "/b"),
    "purge": lambda storage: storage.purge_uploads(older_than=timedelta(0)),
    "url to write": lambda storage: storage.redirect_url("/a", method="PUT"),
}


def read_only(driver: StorageDriver) -> ReadOnlyMiddleware:
    return ReadOnlyMiddleware(driver, ReadOnlyParameters())


@pytest.mark.parametrize("call", CALLS)
def test_call_that_writes_is_refused_and_reaches_no_driver(call: str) -> None:
    async def main() -> None:
        with pytest.raises(UnsupportedMethodError):
            await CALLS[call](read_only(Blank()))  # fails, were it called

    asyncio.run(main())


@pytest.mark.parametrize("call", OF_STORAGES)
def test_storage_refuses_what_writes_and_goes_on_reading(call: str) -> None:
    async def main() -> None:
        driver = InMemoryDriver()
        await driver.put_content("/a", b"kept", PutOptions())
        async with Storage(read_only(driver)) as storage:
            with pytest.raises(UnsupportedMethodError):
                await OF_STORAGES[call](storage)
            assert await storage.get_content("/a") == b"kept"
            assert [info.path async for info in storage.list("/")] == ["/a"]

    asyncio.run(main())


def test_reading_comes_from_the_driver() -> None:
    async def main() -> None:
        driver = InMemoryDriver()
        await driver.put_content("/a/b", b"0123456789", PutOptions())
        async with Storage(read_only(driver)) as storage:
            async with await storage.reader("/a/b", offset=3, length=4) as reader:
                assert await reader.read() == b"3456"
            assert (await storage.stat("/a/b")).size == 10
            assert [one async for page in driver.walk("/", ListOptions()) for one in page]
            await storage.check()

    asyncio.run(main())
