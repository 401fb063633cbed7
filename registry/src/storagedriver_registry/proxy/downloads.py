"""Blobs on their way from the upstream: each is fetched once, however many wait for it.

```text
  upstream ──► spool ──┬──► client, client, …      from the first byte on
                       └──► storage ──► links      once it is whole, and right
```

Rule 1: a download that has begun comes to its end, whoever leaves: what has come is worth more than
what is saved.
Rule 2: who joins late is given everything from the spool, as the first one is.
Rule 3: a blob takes room in the spool until it is stored, and no longer, however slow clients are.
Rule 4: where the storage fails, clients get the blob all the same; it is only not cached.
Rule 5: a blob is linked to a repository only if the upstream has it there.

Each process fetches for itself: what another one has fetched is seen once it is stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial

from storagedriver_core import StorageDriverError
from storagedriver_registry.digest import Digest
from storagedriver_registry.proxy.counting import Kind, ProxyCounter
from storagedriver_registry.proxy.errors import UpstreamDownError, UpstreamError
from storagedriver_registry.proxy.fetched import Fetched
from storagedriver_registry.proxy.spool import Spool, SpoolReader
from storagedriver_registry.proxy.upstream import Upstream
from storagedriver_registry.storage.blobs import BlobStore
from storagedriver_registry.storage.errors import RegistryError

logger = logging.getLogger(__name__)

STALL_SECONDS = 60.0
"""An upstream that sends nothing for so long is given up."""

# Of a server that ends, for what has come and is not stored yet.
_STORING_SECONDS = 5.0

# Followers are woken for each piece, and read it in a thread.
_PIECE_BYTES = 1024 * 1024
_PIECE_SECONDS = 0.1


class _Download:
    """One blob on its way. Who needs its spool holds it.

    Attributes:
        digest: The digest.
        name: The repository that it is fetched from.
        names: Those that are known to have it upstream, and are not linked to it yet.
        begun: The spool, once it begins to come; or why it does not.
    """

    def __init__(self, digest: Digest, name: str) -> None:
        self.digest = digest
        self.name = name
        self.names = {name}
        self.begun: asyncio.Future[Spool] = asyncio.get_running_loop().create_future()
        # The task that fetches it is the first to hold it, and lets go with `end`.
        self._holders = 1

    @property
    def is_whole(self) -> bool:
        """Whether everything has come, and is right."""
        has_begun = self.begun.done() and self.begun.exception() is None
        return has_begun and self.begun.result().is_whole

    def __enter__(self) -> _Download:
        self._holders += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._holders -= 1
        if not self._holders and self.begun.exception() is None:
            self.begun.result().release()

    def end(self, task: asyncio.Task[None]) -> None:
        """Let go, once it was fetched or was not."""
        # Asked for in any case: nobody may wait for it any more, and it is no loss then.
        failure = None if task.cancelled() else task.exception()
        if not self.begun.done():
            self.begun.set_exception(failure or UpstreamDownError("this server ends"))
        self.begun.exception()
        self.__exit__()


class Downloads:
    """All blobs that are on their way to this process.

    Args:
        upstream: Where they come from.
        blobs: Where they are kept.
        fetched: Where that is noted.
        directory: For their bytes while they come; None for the system's.
        counter: Is told.
    """

    def __init__(
        self,
        upstream: Upstream,
        blobs: BlobStore,
        fetched: Fetched,
        directory: str | None,
        counter: ProxyCounter,
    ) -> None:
        self._upstream = upstream
        self._blobs = blobs
        self._fetched = fetched
        self._directory = directory
        self._counter = counter
        self._under_way: dict[Digest, _Download] = {}
        self._tasks: dict[asyncio.Task[None], _Download] = {}

    async def follow(
        self, name: str, digest: Digest, offset: int = 0, length: int | None = None
    ) -> tuple[int, SpoolReader]:
        """Give a blob as it comes, and how many bytes it has; begin to fetch it if nobody has.

        Args:
            name: The repository.
            digest: The digest.
            offset: Where to begin.
            length: How many bytes to give; None for all that are left.

        Raises:
            UpstreamError: It does not come. Nothing was given of it.
            NoSpaceError: There is no room to keep it while it comes.
            UnavailableError: It cannot be kept while it comes.
        """
        while True:
            with self._join(name, digest) as download:
                if name != download.name and name not in download.names:
                    await self._upstream.blob_size(name, digest)
                    download.names.add(name)
                try:
                    spool = await asyncio.shield(download.begun)
                except UpstreamError:
                    if name == download.name:
                        raise
                    continue  # what is refused to another repository may be given to this one
                return spool.size, spool.follow(offset, length)

    def size(self, name: str, digest: Digest) -> int | None:
        """Give the bytes of a blob that is on its way for a repository; None of others."""
        download = self._under_way.get(digest)
        is_known = download is not None and name in (download.name, *download.names)
        spool = self._spool(digest) if is_known else None
        return None if spool is None else spool.size

    def follow_range(self, digest: Digest, offset: int, length: int) -> SpoolReader | None:
        """Give a range of a blob whose beginning has come; None of others."""
        spool = self._spool(digest)
        if spool is None or spool.received <= offset:
            return None
        return spool.follow(offset, length)

    def _spool(self, digest: Digest) -> Spool | None:
        """Give what comes of a blob, if it has begun to."""
        download = self._under_way.get(digest)
        if download is None or not download.begun.done() or download.begun.exception():
            return None
        return download.begun.result()

    async def aclose(self) -> None:
        """Give up what has not come yet, with nothing left of it; what has come is kept."""
        for task, download in self._tasks.items():
            if not download.is_whole:
                task.cancel()
        tasks = list(self._tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_STORING_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.wait(tasks)

    def _join(self, name: str, digest: Digest) -> _Download:
        download = self._under_way.get(digest)
        if download is None:
            download = self._under_way[digest] = _Download(digest, name)
            task = asyncio.create_task(self._run(download))
            self._tasks[task] = download
            task.add_done_callback(partial(self._end, download))
        return download

    def _end(self, download: _Download, task: asyncio.Task[None]) -> None:
        self._part_with(download)
        del self._tasks[task]
        download.end(task)

    def _part_with(self, download: _Download) -> None:
        """Let whoever comes next begin anew."""
        if self._under_way.get(download.digest) is download:
            del self._under_way[download.digest]

    async def _run(self, download: _Download) -> None:
        try:
            await self._fetch(download)
        except (UpstreamError, StorageDriverError) as error:
            # Else whoever waits for the beginning is told, and so is the log.
            if download.begun.done():
                text = "blob %s of %s does not come to its end: %s"
                logger.warning(text, download.digest, download.name, error)
            raise
        except Exception:
            logger.exception("blob %s of %s cannot be taken", download.digest, download.name)
            raise

    async def _fetch(self, download: _Download) -> None:
        storing: asyncio.Task[None] | None = None
        try:
            async with self._upstream.blob(download.name, download.digest) as fetched:
                spool = Spool(fetched.length, self._directory)
                download.begun.set_result(spool)
                storing = asyncio.create_task(self._store(download, spool))
                try:
                    async with aclosing(_pieces(fetched.chunks)) as pieces:
                        async for piece in pieces:
                            await spool.append(piece)
                    spool.finish()
                    self._counter.fetched(Kind.BLOB, spool.size)
                except BaseException as error:
                    self._part_with(download)
                    if isinstance(error, UpstreamError | StorageDriverError):
                        spool.fail(error)
                    else:
                        spool.fail(UpstreamDownError(f"it cannot be taken: {error}"))
                    raise
        finally:
            if storing is not None:
                await storing

    async def _store(self, download: _Download, spool: Spool) -> None:
        """Keep a blob, and link it to every repository that has asked for it meanwhile."""
        try:
            async with spool.follow() as pieces:
                await self._blobs.put(download.digest, pieces)
            while download.names:
                name = download.names.pop()
                await self._fetched.note_blob(name, download.digest)
                await self._blobs.link(name, download.digest)
            spool.hand_over(partial(self._blobs.reader, download.digest))
        except UpstreamError:
            pass  # who fetches it says so
        except (StorageDriverError, RegistryError) as error:
            logger.warning("blob %s is not cached: %s", download.digest, error)


async def next_chunk(chunks: AsyncIterator[bytes]) -> bytes | None:
    """Give the next bytes of the upstream's, None at their end.

    Raises:
        UpstreamDownError: Nothing came for too long.
    """
    try:
        async with asyncio.timeout(STALL_SECONDS):
            return await anext(chunks, None)
    except TimeoutError:
        raise UpstreamDownError(f"nothing came for {STALL_SECONDS:g}s") from None


async def _pieces(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Gather chunks to pieces that are worth waking everybody for.

    Raises:
        UpstreamDownError: Nothing came for too long.
    """
    clock = asyncio.get_running_loop().time
    gathered: list[bytes] = []
    size, since = 0, clock()
    while True:
        chunk = await next_chunk(chunks)
        if chunk is not None:
            gathered.append(chunk)
            size += len(chunk)
        if gathered and (
            chunk is None or size >= _PIECE_BYTES or clock() - since >= _PIECE_SECONDS
        ):
            yield b"".join(gathered)
            gathered, size, since = [], 0, clock()
        if chunk is None:
            return
