"""What a case holds: opened storages, the back door, child processes; and the checks around it."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from storagedriver_core import (
    DEFAULT_PART_SIZE,
    Capabilities,
    PathNotFoundError,
    Storage,
    StorageDriver,
    at_once,
)
from storagedriver_testsuite._child import Child
from storagedriver_testsuite._harness import Harness
from storagedriver_testsuite.proxy import Proxy

PART = 64 * 1024
"""Bytes of a part where limits can be lowered."""

MAX_PARTS = 8
"""Parts of an upload where limits can be lowered."""

Wrap = Callable[[StorageDriver], StorageDriver]
Facade = Callable[[Storage], Storage]


class Kit:
    """The world of one case.

    Attributes:
        harness: The store behind the case.
        storage: An opened storage on the store.
        random: Source of bytes and choices; the same in each run.
        large: Whether cases that come in two sizes take the real one.
        may_leave_uploads: Whether uploads may be in progress at the end, as they are after kills
            on a store that cannot list them.
    """

    storage: Storage

    def __init__(
        self,
        harness: Harness,
        *,
        wrap: Wrap = lambda driver: driver,
        facade: Facade = lambda storage: storage,
        narrow: Mapping[str, Any] | None = None,
        part_size: int | None = None,
        large: bool = False,
    ) -> None:
        self.harness = harness
        self.large = large
        self.may_leave_uploads = False
        self.random = random.Random(20141222)
        self._wrap = wrap
        self._facade = facade
        self._narrow = dict(narrow or {})
        self._part_size = part_size
        self._stack = AsyncExitStack()
        self._behind: Storage | None = None
        self._loop_errors: list[Mapping[str, Any]] = []

    @property
    def capabilities(self) -> Capabilities:
        """What the driver under test declares."""
        return self.unopened().capabilities

    def random_bytes(self, size: int) -> bytes:
        """Give `size` random bytes."""
        # Python makes less than 256 MiB at once.
        block = 64 * 1024 * 1024
        if size <= block:
            return self.random.randbytes(size)
        sizes = [block] * (size // block) + [size % block]
        return b"".join(self.random.randbytes(each) for each in sizes)

    def wrapped_driver(self, driver: StorageDriver | None = None) -> StorageDriver:
        """Put the middleware under test around a new, unopened driver on the store.

        Args:
            driver: Instead: a driver around such a one, to watch it or to make it fail.
        """
        return self._wrap(driver if driver is not None else self.harness.driver())

    def unopened(
        self,
        driver: StorageDriver | None = None,
        *,
        narrow: Mapping[str, Any] | None = None,
        part_size: int | None = None,
    ) -> Storage:
        """Give a new, unopened storage on the store, or over `driver`."""
        return self._facade(self._plain(driver, narrow or {}, part_size))

    async def open(
        self,
        driver: StorageDriver | None = None,
        *,
        narrow: Mapping[str, Any] | None = None,
        part_size: int | None = None,
    ) -> Storage:
        """Open one more storage on the store; it is closed when the case ends."""
        storage = self.unopened(driver, narrow=narrow, part_size=part_size)
        return await self._stack.enter_async_context(storage)

    async def open_parts(self, driver: StorageDriver | None = None, **narrow: Any) -> Storage:
        """Open a storage, on the store or over `driver`, whose uploads are made of small parts.

        Limits are lowered to `PART` bytes and `MAX_PARTS` parts where the driver allows it; a
        driver with a greater least part keeps it.
        """
        declared = self.capabilities
        if declared.min_part_size > PART:
            return await self.open(driver, narrow=narrow, part_size=declared.min_part_size)
        lowered: dict[str, Any] = {"min_part_size": PART}
        if declared.max_parts is None or declared.max_parts > MAX_PARTS:
            lowered["max_parts"] = MAX_PARTS
        return await self.open(driver, narrow={**lowered, **narrow}, part_size=PART)

    def child(
        self,
        function: Callable[..., Awaitable[None]],
        *arguments: Any,
        storage: Storage | None = None,
        prefix: Sequence[str] = (),
    ) -> Child:
        """Run `function(storage, say, *arguments)` in another process, on the same store.

        Args:
            function: An `async def` at the top of a module. `say(value)` sends JSON to the case.
            arguments: What can be pickled.
            storage: The storage that the child opens a copy of; without special limits by default.
            prefix: A command that runs the child's, such as one that traces it.
        """
        return Child(storage or self.unopened(), function, arguments, prefix)

    async def proxied(self) -> tuple[Proxy, Storage]:
        """Start a fault proxy in front of the server, and open a storage that goes through it."""
        proxy = await self.proxy()
        driver = self.wrapped_driver(self.harness.proxied_driver(proxy.url))
        return proxy, await self.open(driver)

    async def proxy(self) -> Proxy:
        """Start a fault proxy in front of the server; it is stopped when the case ends."""
        return await self._stack.enter_async_context(Proxy(self.harness.upstream_url()))

    async def snapshot(self, directory: str = "/") -> dict[str, bytes]:
        """Give what shows below a directory, by path, past all that a case has put around."""
        storage = await self._other()
        paths: list[str] = []
        with suppress(PathNotFoundError):
            paths = [info.path async for info in storage.walk(directory)]
        return {path: await self.peek(path) for path in paths}

    async def seed(self, path: str, data: bytes) -> None:
        """Store an object by the back door, or where there is none through another driver."""
        await self.seed_many({path: data})

    async def seed_many(self, objects: Mapping[str, bytes]) -> None:
        """Store objects as `seed` does, several at once."""
        put: Callable[[str, bytes], Awaitable[object]] = self.harness.raw_put
        if not self.harness.offers("raw_put"):
            put = (await self._other()).put_content
        await at_once(list(objects.items()), lambda entry: put(*entry))

    async def peek(self, path: str) -> bytes:
        """Give an object's bytes by the back door, or through another driver."""
        if self.harness.offers("raw_get"):
            return await self.harness.raw_get(path)
        return await (await self._other()).get_content(path)

    def _plain(
        self, driver: StorageDriver | None, narrow: Mapping[str, Any], part_size: int | None
    ) -> Storage:
        return Storage(
            driver if driver is not None else self.wrapped_driver(),
            narrow={**self._narrow, **narrow},
            part_size=part_size or self._part_size or DEFAULT_PART_SIZE,
        )

    async def _other(self) -> Storage:
        """Give a storage without middleware and facade under test, in place of a back door."""
        if self._behind is None:
            behind = self._plain(self.harness.driver(), {}, None)
            self._behind = await self._stack.enter_async_context(behind)
        return self._behind

    def run(self, body: Callable[[], Awaitable[None]]) -> None:
        """Run a case: store made, storage opened, body, then nothing may be left behind."""
        before = Resources.now()
        with _short_differences(), asyncio.Runner() as runner:
            runner.run(self._run(body))
        # Only now are executors and pools of the loop gone.
        gc.collect()
        # What is alive now no case has made: the next ones need not look through it again.
        gc.freeze()
        before.check()

    async def _run(self, body: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self._loop_errors.append(context))
        async with asyncio.timeout(self.harness.max_seconds * (10 if self.large else 1)):
            async with self.opened():
                await body()
        gc.collect()
        await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        assert not tasks, f"tasks left behind: {tasks}"
        unseen = self.unseen_errors()
        assert not unseen, f"errors nobody saw: {unseen}"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Make the store and open the storage; in the end nothing may be left in it."""
        await self.harness.start()
        try:
            async with self._stack:
                self.storage = await self.open()
                yield
                await self._check_nothing_left()
        finally:
            await self.harness.stop()

    def unseen_errors(self) -> list[Mapping[str, Any]]:
        """Give what the event loop reported because nobody asked for it; only once."""
        errors, self._loop_errors = self._loop_errors, []
        return errors

    async def _check_nothing_left(self) -> None:
        """Uploads must be gone by the case's own doing; objects go by a delete of everything."""
        uploads = await self.harness.raw_uploads()
        if self.may_leave_uploads:
            uploads = []
        assert not uploads, f"open uploads left behind: {uploads}"
        await (await self._other()).delete("/", everything=True)
        left = await self.harness.raw_list()
        if self.may_leave_uploads:
            left = [name for name in left if name.startswith("/")]
        assert not left, f"left behind in the store: {left}"


class Resources:
    """Descriptors and threads of this process."""

    def __init__(self, descriptors: int, threads: int) -> None:
        self._descriptors = descriptors
        self._threads = threads

    @classmethod
    def now(cls) -> Resources:
        """Count what there is now."""
        # The event loop's own pool takes one more thread or not, as it happens, and ends with it.
        names = [thread.name for thread in threading.enumerate()]
        return cls(count_descriptors(), sum(not name.startswith("asyncio_") for name in names))

    def check(self, patience: float = 10.0) -> None:
        """Fail unless there is no more than before; threads of pools take a moment to end."""
        deadline = time.monotonic() + patience
        while True:
            now = Resources.now()
            if now._descriptors <= self._descriptors and now._threads <= self._threads:
                return
            if time.monotonic() > deadline:
                names = [thread.name for thread in threading.enumerate()]
                raise AssertionError(
                    f"descriptors {self._descriptors} -> {now._descriptors}, "
                    f"threads {self._threads} -> {now._threads}: {names}"
                )
            time.sleep(0.005)


def count_descriptors() -> int:
    """Count the open descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


@contextmanager
def _short_differences() -> Iterator[None]:
    """Keep pytest from explaining in full how megabytes differ, which takes it hours.

    It does so wherever these variables say that it runs in CI.
    """
    taken = {name: os.environ.pop(name) for name in ("CI", "BUILD_NUMBER") if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)
