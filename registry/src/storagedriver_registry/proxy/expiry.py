"""What has been kept for `proxy.ttl` goes.

The notes of what was fetched say since when it is kept (see `fetched`). Any number of servers may
look at the same storage, after any number of restarts: each finds the same.

Rule 1: only what was fetched goes, never what was pushed.
Rule 2: a manifest goes when its time is over, with the tags that point to it; one that an index
lists which stays, stays too.
Rule 3: a blob goes out of a repository when its time is over, unless a manifest that stays there
names it.
Rule 4: the bytes go by garbage collection, once no repository has any use for them, with a grace
period as always: a client may have begun to pull. Where the storage does not allow for that beside
servers at work, they stay until `registry garbage-collect --offline`.

What was fetched anew meanwhile is looked at again just before it would go. If another server links
it after that look, it is not cached, though its bytes are, and the next request links it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from storagedriver_core import Storage, StorageDriverError
from storagedriver_registry.digest import Digest
from storagedriver_registry.manifest import listed_digests, named_digests
from storagedriver_registry.proxy.fetched import Fetched
from storagedriver_registry.storage import Stores, paths
from storagedriver_registry.storage.collector_turn import CollectorBusyError
from storagedriver_registry.storage.errors import BlobUnknownError, ManifestUnknownError
from storagedriver_registry.storage.garbage import Collector, least_grace
from storagedriver_registry.storage.garbage_report import GarbageOptions
from storagedriver_registry.storage.garbage_scan import GarbageError

logger = logging.getLogger(__name__)

_MOST_GRACE = timedelta(hours=24)
_LEAST_INTERVAL_SECONDS = 1.0
_MOST_INTERVAL_SECONDS = 3600.0


@dataclass(slots=True)
class Expired:
    """What has gone.

    Attributes:
        manifests: Out of so many repositories, all in all.
        blobs: Likewise.
    """

    manifests: int = 0
    blobs: int = 0


class Expirer:
    """Looks from time to time for what has been kept long enough.

    Args:
        storage: Where it is kept.
        stores: The same.
        fetched: What of it was fetched.
        ttl: Seconds that it is kept.
        max_stale: For how many seconds servers remember a link, where the store is not local.
        forget: Is told of each blob that is gone.
    """

    def __init__(
        self,
        storage: Storage,
        stores: Stores,
        fetched: Fetched,
        ttl: float,
        max_stale: float,
        forget: Callable[[Digest], Awaitable[None]],
    ) -> None:
        self._storage = storage
        self._stores = stores
        self._fetched = fetched
        self._ttl = ttl
        self._max_stale = max_stale
        self._forget = forget
        self._task: asyncio.Task[None] | None = None
        self._told = ""

    def start(self) -> None:
        """Begin, if it has not begun."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """End. A look that is under way is cut off; the next one goes on."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        interval = min(max(self._ttl / 10, _LEAST_INTERVAL_SECONDS), _MOST_INTERVAL_SECONDS)
        while True:
            await asyncio.sleep(interval)
            try:
                limit = await self._storage.now() - timedelta(seconds=self._ttl)
                found = await self.expire(limit)
                if found.manifests or found.blobs:
                    text = "%d manifests and %d blobs have been cached long enough"
                    logger.info(text, found.manifests, found.blobs)
                await self._collect()
            except StorageDriverError as error:
                logger.warning("nothing of the cache expires: %s", error)
            except Exception:
                logger.exception("nothing of the cache expires")

    async def expire(self, limit: datetime) -> Expired:
        """Let go what has been kept long enough; the bytes stay.

        Args:
            limit: When that was fetched, at the latest.
        """
        expired = Expired()
        for name, fetched in (await self._fetched.all()).items():
            blobs = [digest for digest, when in fetched.blobs.items() if when <= limit]
            manifests = {digest for digest, when in fetched.manifests.items() if when <= limit}
            if not (blobs or manifests):
                continue
            staying, named = await self._staying(name, manifests)
            for digest in manifests - staying:
                expired.manifests += await self._drop_manifest(name, digest, limit)
            for digest in blobs:
                if digest not in named:
                    expired.blobs += await self._drop_blob(name, digest, limit)
        return expired

    async def _staying(self, name: str, old: set[Digest]) -> tuple[set[Digest], set[Digest]]:
        """Give the manifests that stay, as they are not old or are listed, and all they name."""
        linked = {digest async for digest in self._stores.manifests.all(name)}
        staying, named = linked - old, set[Digest]()
        rest = list(staying)
        while rest:
            try:
                data = await self._stores.manifests.content(name, rest.pop())
            except ManifestUnknownError:
                continue
            named.update(named_digests(data))
            listed = {digest for digest in listed_digests(data) if digest in linked} - staying
            staying |= listed
            rest += listed
        return staying, named

    async def _drop_manifest(self, name: str, digest: Digest, limit: datetime) -> bool:
        note = paths.fetched_manifest(name, digest)
        if not await self._fetched.is_older(note, limit):
            return False
        # Tags first: cut off in between, none is left that points to nothing.
        await self._stores.tags.delete_all(name, digest)
        is_dropped = True
        try:
            await self._stores.manifests.delete(name, digest)
        except ManifestUnknownError:
            is_dropped = False
        await self._forget_note(note, limit)
        return is_dropped

    async def _drop_blob(self, name: str, digest: Digest, limit: datetime) -> bool:
        note = paths.fetched_blob(name, digest)
        if not await self._fetched.is_older(note, limit):
            return False
        is_dropped = True
        try:
            await self._stores.blobs.unlink(name, digest)
        except BlobUnknownError:
            is_dropped = False
        await self._forget_note(note, limit)
        return is_dropped

    async def _forget_note(self, note: str, limit: datetime) -> None:
        """Forget a note whose content is gone, and is not fetched anew meanwhile.

        Where the content could not be let go of, the note stays: without it, it would stay forever.
        """
        if await self._fetched.is_older(note, limit):
            await self._fetched.forget(note)

    async def _collect(self) -> None:
        """Delete the bytes that nothing needs any more."""
        least = least_grace(self._storage, self._max_stale)
        grace = max(least, min(timedelta(seconds=self._ttl), _MOST_GRACE))
        options = GarbageOptions(grace=grace, max_stale=self._max_stale)
        try:
            report = await Collector(self._storage, options, self._forget).collect()
        except CollectorBusyError:
            return  # another server sees to it
        except GarbageError as error:
            if str(error) != self._told:
                logger.warning("what has expired stays stored: %s", error)
            self._told = str(error)
            return
        if report.deleted:
            text = "%d blobs and manifests (%d bytes) are deleted from the cache"
            logger.info(text, len(report.deleted), report.deleted_bytes)
