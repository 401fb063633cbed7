"""Operations that faults are put into at each of their requests, and what may become of them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from storagedriver_core import (
    Capabilities,
    FileWriter,
    Storage,
    StorageDriver,
    StorageDriverError,
    WriterState,
)
from storagedriver_testsuite._kit import PART, Kit
from storagedriver_testsuite.cases._support import names, with_middleware
from storagedriver_testsuite.proxy import Exchange, Fault, Proxy

FILE = bytes(range(256)) * 400
NEW = b"new content " * 2000
SEEDED = {"/a": FILE, "/d/x": b"x"}

Shown = Mapping[str, bytes]


async def _nothing(storage: Storage, context: Any) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Call:
    """One operation of a storage, on files below a directory.

    Attributes:
        name: What it is called in messages.
        make: Makes it: on the storage, below the directory, with what `prepare` gave.
        result: What `make` returns.
        after: What shows below the directory then, by path.
        changes: Whether it changes anything.
        prepare: What comes before; no fault is put into it.
        finish: What comes after, whether it failed or not; nor into this.
    """

    name: str
    make: Callable[[Storage, str, Any], Awaitable[object]]
    result: object = None
    after: Shown = field(default_factory=lambda: SEEDED)
    changes: bool = True
    prepare: Callable[[Storage, str], Awaitable[Any]] = _nothing
    finish: Callable[[Storage, Any], Awaitable[None]] = _nothing


def calls(declared: Capabilities) -> list[Call]:
    """Give the operations that a driver of these capabilities has."""
    rest = {path: data for path, data in SEEDED.items() if path != "/a"}
    found = [
        Call("get", lambda s, base, _: s.get_content(f"{base}/a"), FILE, changes=False),
        Call("read", lambda s, base, _: _read(s, f"{base}/a"), FILE, changes=False),
        Call("stat", lambda s, base, _: _size(s, f"{base}/a"), len(FILE), changes=False),
        Call("list", lambda s, base, _: _listed(s, base), ["/a", "/d/"], changes=False),
        Call("put", lambda s, base, _: _put(s, f"{base}/a"), after={**SEEDED, "/a": NEW}),
        Call("delete", lambda s, base, _: s.delete(f"{base}/a"), after=rest),
        Call("delete of a tree", lambda s, base, _: s.delete(f"{base}/d"), after={"/a": FILE}),
        Call(
            "move",
            lambda s, base, _: s.move(f"{base}/a", f"{base}/moved"),
            after={**rest, "/moved": FILE},
        ),
    ]
    if declared.put_if_absent:
        found.append(
            Call(
                "create-only put",
                lambda s, base, _: _put(s, f"{base}/new", if_absent=True),
                after={**SEEDED, "/new": NEW},
            )
        )
    if declared.copy:
        found.append(
            Call(
                "copy",
                lambda s, base, _: s.copy(f"{base}/a", f"{base}/copy"),
                after={**SEEDED, "/copy": FILE},
            )
        )
    if declared.upload:
        found += _calls_of_a_writer(declared)
    return found


def _calls_of_a_writer(declared: Capabilities) -> list[Call]:
    # One part that is full, and one that is not.
    part = max(PART, declared.min_part_size)
    data = (FILE * (2 + 2 * part // len(FILE)))[: part + PART // 2]

    async def begin(storage: Storage, base: str) -> FileWriter:
        return await storage.writer(f"{base}/w")

    async def write(storage: Storage, base: str, writer: FileWriter) -> None:
        await writer.write(data)
        await writer.suspend()

    async def drop(storage: Storage, writer: FileWriter) -> None:
        if writer.state is WriterState.SUSPENDED:
            writer = await storage.resume(writer.token())
        await writer.cancel()

    async def fill(storage: Storage, base: str) -> FileWriter:
        writer = await begin(storage, base)
        await writer.write(data)
        # The full part has to have arrived: a writer never forgets that one failed.
        while declared.durable_parts and writer.durable_offset == 0:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.001)
        return writer

    async def commit(storage: Storage, base: str, writer: FileWriter) -> None:
        assert (await writer.commit()).size == len(data)

    async def commit_again(storage: Storage, writer: FileWriter) -> None:
        if writer.state is WriterState.OPEN:
            await commit(storage, "", writer)
        path = writer.path
        assert await storage.get_content(path) == data
        await storage.delete(path)

    return [
        Call("part", write, prepare=begin, finish=drop),
        Call(
            "complete",
            commit,
            after={**SEEDED, "/w": data},
            prepare=fill,
            finish=commit_again,
        ),
    ]


async def _read(storage: Storage, path: str) -> bytes:
    async with await storage.reader(path) as reader:
        return await reader.read()


async def _size(storage: Storage, path: str) -> int:
    return (await storage.stat(path)).size


async def _listed(storage: Storage, base: str) -> list[str]:
    return sorted(name.removeprefix(base) for name in await names(storage.list(base)))


async def _put(storage: Storage, path: str, **options: Any) -> None:
    await storage.put_content(path, NEW, **options)


def retrying(driver: StorageDriver, **parameters: Any) -> StorageDriver:
    """Put `retry` around a driver, without its pauses."""
    return with_middleware(driver, "retry", base_delay=0.001, max_delay=0.001, **parameters)


class FaultyCalls:
    """Makes operations with a fault at one of their requests, and looks at what has become of them.

    Attributes:
        proxy: Where faults are put.
        bare: A storage through the proxy without any middleware.
        retried: A storage through the proxy with `retry` around what is under test.
    """

    proxy: Proxy
    bare: Storage
    retried: Storage

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._bases = itertools.count(1)
        self._unchanged = ""

    async def open(self) -> None:
        """Start the proxy and open the storages."""
        kit = self._kit
        self.proxy = await kit.proxy()
        url = self.proxy.url
        self.bare = await kit.open_parts(kit.harness.proxied_driver(url))
        wrapped = kit.wrapped_driver(kit.harness.proxied_driver(url))
        self.retried = await kit.open_parts(retrying(wrapped))

    async def requests(self, call: Call) -> list[Exchange]:
        """Make a call without a fault, and give its requests."""
        async with self._prepared(call, self.bare) as (base, context):
            await self.proxy.forget()
            assert await call.make(self.bare, base, context) == call.result
            log = await self.proxy.log()
            assert await self._shown(base) == call.after, call.name
        return log

    async def fail(self, call: Call, *faults: Fault) -> StorageDriverError | None:
        """Make a call with faults and no middleware; give its error, if there was one.

        Whatever the error says must be true, and nothing may show that is neither old nor new.
        """
        async with self._prepared(call, self.bare) as (base, context):
            async with self.proxy.faults(*faults):
                error = await self._error(call, base, context)
            await self.check(call, base, error)
        return error

    async def refuse(self, call: Call) -> StorageDriverError | None:
        """Make a call while no connection can be made."""
        async with self._prepared(call, self.bare) as (base, context):
            async with self.proxy.refusing():
                error = await self._error(call, base, context)
            await self.check(call, base, error)
        return error

    async def succeed(self, call: Call, *faults: Fault) -> None:
        """Make a call with faults through `retry`, which must give the right result."""
        async with self._prepared(call, self.retried) as (base, context):
            async with self.proxy.faults(*faults):
                assert await call.make(self.retried, base, context) == call.result, call.name
            if call.changes:
                assert await self._shown(base) == call.after, call.name

    @asynccontextmanager
    async def _prepared(self, call: Call, storage: Storage) -> AsyncIterator[tuple[str, Any]]:
        # What nothing has changed can be used again, and is looked at as often as it may have been.
        base = self._unchanged if not call.changes and self._unchanged else await self._seeded()
        if not call.changes:
            self._unchanged = base
        context = await call.prepare(storage, base)
        try:
            yield base, context
        except BaseException:
            if isinstance(context, FileWriter):
                await context.aclose()
            raise
        await call.finish(storage, context)

    async def check(self, call: Call, base: str, error: StorageDriverError | None) -> None:
        """Compare what shows with what a call said."""
        said = f"{call.name}: {error!r}"
        if not call.changes:
            assert error is None or error.outcome == "none", said
            return
        shown, before = await self._shown(base), SEEDED
        if error is None:
            assert shown == call.after, said
            return
        for path in {*shown, *before, *call.after}:
            assert shown.get(path) in (before.get(path), call.after.get(path)), said
        if call.name == "move":
            assert FILE in (shown.get("/a"), shown.get("/moved")), said
        if error.outcome == "none":
            assert shown == before, said

    async def _error(self, call: Call, base: str, context: Any) -> StorageDriverError | None:
        try:
            result = await call.make(self.bare, base, context)
        except StorageDriverError as error:
            return error
        assert result == call.result, call.name
        return None

    async def _seeded(self) -> str:
        base = f"/f{next(self._bases)}"
        await self._kit.seed_many({base + path: data for path, data in SEEDED.items()})
        return base

    async def _shown(self, base: str) -> dict[str, bytes]:
        shown = await self._kit.snapshot(base)
        return {path.removeprefix(base): data for path, data in shown.items()}
