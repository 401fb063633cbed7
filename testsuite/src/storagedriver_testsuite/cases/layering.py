"""Middlewares around the driver, and what observers are told: Y01 to Y03."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import itertools
from collections.abc import AsyncGenerator, Awaitable
from datetime import timedelta
from typing import Any

import pytest

from storagedriver_core import (
    ConfigurationError,
    FileInfo,
    OperationEvent,
    PathNotFoundError,
    Storage,
    StorageDriver,
    StorageDriverError,
    UploadNotFoundError,
    open_storage,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import PART, Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._support import names, with_middleware

LAYERS: dict[str, dict[str, Any]] = {
    "prefix": {"prefix": "/some/where"},
    "retry": {},
    "limit": {},
    "timeout": {},
}
"""The core's middlewares with their parameters, from the outermost to the innermost."""


class LayerCases(CaseGroup):
    """A layer changes what it is there for, and nothing else."""

    @case("Y01")
    async def test_operations_give_the_same_through_each_layer_and_through_all(
        self, kit: Kit
    ) -> None:
        data = kit.random_bytes(2 * PART + 100)
        expected = await _round(kit.storage, data)
        for layers in [*([name] for name in LAYERS), list(LAYERS)]:
            storage = await kit.open(_stack(kit.wrapped_driver(), layers))
            assert await _round(storage, data) == expected, f"through {layers}"

    @case("Y02", needs=("harness.parameters",))
    async def test_wrong_order_is_refused_and_no_layer_widens(self, kit: Kit) -> None:
        driver = {"driver": kit.storage.driver_name, "parameters": kit.harness.parameters()}
        for outer, inner in itertools.combinations(LAYERS, 2):
            right = [{outer: LAYERS[outer]}, {inner: LAYERS[inner]}]
            open_storage({"storage": {**driver, "middleware": right}})
            with pytest.raises(ConfigurationError, match=f"the right order is {outer}, {inner}"):
                open_storage({"storage": {**driver, "middleware": right[::-1]}})
        bare = kit.wrapped_driver().capabilities
        for layers in [*([name] for name in LAYERS), list(LAYERS)]:
            through = _stack(kit.wrapped_driver(), layers).capabilities
            bare.narrow(  # raises if any of it is wider
                {field.name: getattr(through, field.name) for field in dataclasses.fields(through)}
            )
        with pytest.raises(ConfigurationError):
            kit.unopened(narrow={"max_path_bytes": bare.max_path_bytes + 1})

    @case("Y03", needs=("upload",))
    async def test_observers_are_told_of_each_operation_and_of_whole_streams(
        self, kit: Kit
    ) -> None:
        events: list[OperationEvent] = []
        storage = Storage(kit.wrapped_driver(), observers=[events.append])

        def told(operation: str) -> OperationEvent:
            (event,) = [event for event in events if event.operation == operation]
            assert (event.driver_name, event.path) == (storage.driver_name, "/a")
            assert event.duration >= 0
            events.clear()
            return event

        data = kit.random_bytes(300_000)
        async with storage:
            await storage.put_content("/a", data)
            event = told("put_content")
            assert (event.size, event.error) == (len(data), None)
            with pytest.raises(PathNotFoundError) as missing:
                await storage.get_content("/missing")
            assert [event.error for event in events] == [missing.value]
            events.clear()

            async with await storage.reader("/a") as reader:
                await reader.read(10)
                assert all(event.operation != "read" for event in events), "it is not over"
            assert 10 <= told("read").size <= len(data)
            async with await storage.writer("/a") as writer:
                await writer.write(data)
                await writer.commit()
            assert told("write").size == len(data)
            async with await storage.writer("/a") as writer:
                await writer.write(b"left")
            assert told("write").size == len(b"left")

            reader = await storage.reader("/a")
            await reader.read(10)
            events.clear()
            with pytest.warns(ResourceWarning, match="never closed"):
                del reader
                gc.collect()
            await asyncio.sleep(0)
            lost = told("read")
            assert lost.size >= 10 and isinstance(lost.error, ResourceWarning)
            writer = await storage.writer("/a")
            await writer.write(b"lost")
            token = writer.token()
            events.clear()
            with pytest.warns(ResourceWarning, match="never closed"):
                del writer
                gc.collect()
            await asyncio.sleep(0)
            lost = told("write")
            assert lost.size == len(b"lost") and isinstance(lost.error, ResourceWarning)
            await (await storage.resume(token)).cancel()


def _stack(driver: StorageDriver, layers: list[str]) -> StorageDriver:
    for name in reversed(layers):
        driver = with_middleware(driver, name, **LAYERS[name])
    return driver


async def _round(storage: Storage, data: bytes) -> list[object]:
    """Do a bit of everything on an empty store, and leave it empty; give what came."""
    declared, came = storage.capabilities, []

    async def note(call: Awaitable[object]) -> None:
        try:
            came.append(_plain(await call))
        except StorageDriverError as error:
            came.append((type(error), error.driver_name, error.operation, error.path))

    async def listed(entries: AsyncGenerator[FileInfo, None]) -> list[str]:
        found = await names(entries)
        return found if declared.ordered_walk else sorted(found)

    await note(storage.put_content("/a/b", data))
    await note(storage.put_content("/a/c", iter([data[:PART], data[PART:]])))
    await note(storage.get_content("/a/b"))
    await note(_read(storage, "/a/b"))
    await note(storage.stat("/a"))
    await note(storage.stat("/"))
    await note(listed(storage.list("/")))
    await note(listed(storage.walk("/a", page_size=1)))
    if declared.upload:
        async with await storage.writer("/w") as writer:
            await writer.write(data)
            token = await writer.suspend()
        await note(_uploads(storage))
        async with await storage.resume(token.to_json()) as writer:
            await writer.write(b"tail")
            await note(writer.commit())
        await note(storage.get_content("/w"))
        await note(_gone(storage, token.to_json()))
    if declared.copy:
        await note(storage.copy("/a/b", "/copied"))
    await note(storage.move("/a/c", "/x/y"))
    await note(storage.delete_many(["/x/y", "/missing"]))
    for call in (
        storage.get_content("/missing"),
        storage.stat("/x"),
        names(storage.list("/missing")),
        storage.move("/missing", "/a"),
        storage.delete("/missing"),
        storage.put_content("/a/../b", b""),
    ):
        await note(call)
    await note(listed(storage.walk("/")))
    await note(storage.delete("/", everything=True))
    await note(listed(storage.list("/")))
    return came


async def _read(storage: Storage, path: str) -> bytes:
    offset = 10 if storage.capabilities.get_range else 0
    async with await storage.reader(path, offset=offset) as reader:
        assert reader.info.path == path
        return await reader.read()


async def _uploads(storage: Storage) -> list[str]:
    if not storage.capabilities.list_uploads:
        return []
    await storage.purge_uploads(older_than=timedelta(days=1))
    return [info.upload.path async for info in storage.list_uploads()]


async def _gone(storage: Storage, token: str) -> str:
    await storage.delete("/w")
    try:
        await storage.resume(token)
    except UploadNotFoundError as error:
        return f"{error.path} {error.outcome}"
    return "found"


def _plain(result: object) -> object:
    """Leave out of a result what differs from one object to the next."""
    if isinstance(result, FileInfo):
        return dataclasses.replace(result, mod_time=None, etag=None)
    return result
