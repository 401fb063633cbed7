"""A storage whose every call goes through `SyncStorage`, so that the cases try the facade, too.

```text
  case, on its event loop ──► a thread ──► SyncStorage ──► its own event loop ──► driver
```

A call that is cancelled is brought to its end first, since a thread cannot be stopped.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
)
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from itertools import islice
from typing import Any, ParamSpec, TypeVar

from storagedriver_core import (
    Body,
    Buffer,
    Capabilities,
    FileInfo,
    FileReader,
    FileWriter,
    LoopIterator,
    Storage,
    StorageDriver,
    SyncReader,
    SyncStorage,
    SyncWriter,
    UploadInfo,
    UploadToken,
    WriterState,
    finish,
)

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 128
"""More calls at once than any case makes: one that waited for a thread could wait for ever."""

_MOST_ITEMS = 64

_END = object()


class ThroughSync(Storage):
    """A `Storage` by whose methods those of a `SyncStorage` are called.

    What is not defined here fails: nothing gets past the facade.

    Args:
        inner: The storage that `SyncStorage` is to hold; unopened.
    """

    def __init__(self, inner: Storage) -> None:
        self._inner = inner
        self._sync = SyncStorage(inner)
        self._calls = _Calls()

    def __repr__(self) -> str:
        return repr(self._sync)

    def __reduce__(self) -> tuple[object, ...]:
        return (ThroughSync, (self._inner,))

    @property
    def driver_name(self) -> str:
        return self._sync.driver_name

    @property
    def driver(self) -> StorageDriver:
        return self._inner.driver

    @property
    def capabilities(self) -> Capabilities:
        return self._sync.capabilities

    async def open(self) -> None:
        await self._calls.run(self._sync.open)

    async def aclose(self) -> None:
        await self._calls.run(self._sync.close)
        self._calls.close()

    async def reader(self, path: str, **options: Any) -> FileReader:
        return _Reader(self._calls, await self._calls.run(self._sync.reader, path, **options))

    async def writer(self, path: str, **options: Any) -> FileWriter:
        return _Writer(self._calls, await self._calls.run(self._sync.writer, path, **options))

    async def resume(self, token: UploadToken | str) -> FileWriter:
        return _Writer(self._calls, await self._calls.run(self._sync.resume, token))

    async def put_content(self, path: str, data: Body, **options: Any) -> FileInfo:
        if not isinstance(data, AsyncIterable):
            return await self._calls.run(self._sync.put_content, path, data, **options)
        # What a caller that blocks could give in its place.
        chunks = _blocking(data, asyncio.get_running_loop())
        try:
            return await self._calls.run(self._sync.put_content, path, chunks, **options)
        finally:
            # Not by the garbage collector: on this loop it would wait for itself.
            await self._calls.run(chunks.close)

    def list(self, path: str, **options: Any) -> AsyncGenerator[FileInfo, None]:
        return self._calls.each(lambda: self._sync.list(path, **options))

    def walk(self, path: str, **options: Any) -> AsyncGenerator[FileInfo, None]:
        return self._calls.each(lambda: self._sync.walk(path, **options))

    def list_uploads(self) -> AsyncGenerator[UploadInfo, None]:
        # Called at once, as there: without the capability it raises before the first step.
        uploads = self._calls.at_once(self._sync.list_uploads)
        return self._calls.each(lambda: uploads)


def _through(name: str) -> Callable[..., Awaitable[Any]]:
    async def call(self: ThroughSync, *args: Any, **kwargs: Any) -> Any:
        return await self._calls.run(getattr(self._sync, name), *args, **kwargs)

    return call


# What gives a plain value is the same for each.
for _name in (
    *("check", "identity", "now", "get_content", "read_ranges", "stat", "move", "copy", "delete"),
    *("delete_many", "checksum", "redirect_url", "local_path", "purge_uploads"),
):
    setattr(ThroughSync, _name, _through(_name))


class _Calls:
    """Threads that the calls of one storage are made in."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._process = 0

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that blocks."""
        loop = asyncio.get_running_loop()
        call = partial(copy_context().run, function, *args, **kwargs)
        return await finish(_until_done(loop.run_in_executor(self._threads(), call)))

    async def each(self, function: Callable[[], LoopIterator[T]]) -> AsyncGenerator[T, None]:
        """Give what a blocking listing gives."""
        items = await self.run(function)
        # Not more than as many again as were asked for: what is taken ahead, the driver is asked.
        count = 1
        try:
            while taken := await self.run(_take, items, count):
                for item in taken:
                    yield item
                count = min(2 * count, _MOST_ITEMS)
        finally:
            await self.run(items.close)

    def at_once(self, function: Callable[[], T]) -> T:
        """Call a function that takes no time, from where nothing can be awaited."""
        return self._threads().submit(function).result()

    def close(self) -> None:
        """End the threads. The next call makes new ones."""
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None

    def _threads(self) -> ThreadPoolExecutor:
        # A forked child has none of its parent's threads.
        if self._executor is None or self._process != os.getpid():
            self._process = os.getpid()
            self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="through-sync")
        return self._executor


def _take(items: Iterator[T], count: int) -> list[T]:
    return list(islice(items, count))


async def _until_done(future: asyncio.Future[T]) -> T:
    return await future


class _Reader(FileReader):
    """A `FileReader` by whose methods those of a `SyncReader` are called."""

    def __init__(self, calls: _Calls, reader: SyncReader) -> None:
        self.info = reader.info
        self._calls = calls
        self._reader = reader

    def __repr__(self) -> str:
        return repr(self._reader)

    def __del__(self) -> None:
        """Nothing: the one inside warns."""

    @property
    def position(self) -> int:
        return self._reader.position

    async def __anext__(self) -> bytes:
        chunk = await self._calls.run(next, self._reader, b"")
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def read(self, size: int = -1) -> bytes:
        return await self._calls.run(self._reader.read, size)

    async def seek(self, offset: int) -> None:
        await self._calls.run(self._reader.seek, offset)

    async def aclose(self) -> None:
        await self._calls.run(self._reader.close)


class _Writer(FileWriter):
    """A `FileWriter` by whose methods those of a `SyncWriter` are called."""

    def __init__(self, calls: _Calls, writer: SyncWriter) -> None:
        self._calls = calls
        self._writer = writer

    def __repr__(self) -> str:
        return repr(self._writer)

    def __del__(self) -> None:
        """Nothing: the one inside warns."""

    @property
    def path(self) -> str:
        return self._writer.path

    @property
    def state(self) -> WriterState:
        return self._writer.state

    @property
    def offset(self) -> int:
        return self._writer.offset

    @property
    def durable_offset(self) -> int:
        return self._writer.durable_offset

    @property
    def digests(self) -> dict[str, str]:
        return self._writer.digests

    async def write(self, data: Buffer, *, offset: int | None = None, frozen: bool = False) -> None:
        await self._calls.run(self._writer.write, data, offset=offset, frozen=frozen)

    def token(self) -> UploadToken:
        return self._calls.at_once(self._writer.token)

    async def suspend(self) -> UploadToken:
        return await self._calls.run(self._writer.suspend)

    async def commit(self, **options: Any) -> FileInfo:
        return await self._calls.run(self._writer.commit, **options)

    async def cancel(self) -> None:
        await self._calls.run(self._writer.cancel)

    async def aclose(self) -> None:
        await self._calls.run(self._writer.close)


def _blocking(
    chunks: AsyncIterable[T], loop: asyncio.AbstractEventLoop
) -> Generator[T, None, None]:
    """Give what an asynchronous iterable gives, to a thread that waits for it."""
    items: AsyncIterator[T] = aiter(chunks)

    async def step() -> object:
        return await anext(items, _END)

    async def close() -> None:
        aclose = getattr(items, "aclose", None)
        if aclose is not None:
            await aclose()

    try:
        while (item := asyncio.run_coroutine_threadsafe(step(), loop).result()) is not _END:
            yield item  # type: ignore[misc]  # the mark is of no type that is given
    finally:
        asyncio.run_coroutine_threadsafe(close(), loop).result()
