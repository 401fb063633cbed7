"""Garbage collection while servers push, pull and delete.

```text
  run 1   scan ─► mark what is not in use: suspect ─► scan again ─► still not: condemned
                                                                    │ the grace period
  run 2   scan ─► still not in use ─► sweeping ─► links, then data deleted ─► swept
```

Each run does both: it sweeps what earlier ones condemned, and condemns what is new. `markers` has
the states. Words used below: a *push* is whatever needs a blob: an upload, a mount, a manifest. Of
revisions of a repository all this holds as it does of blobs, with the revision's link for the data.

Rule 1: a push writes first, and looks at the marker afterwards (`Condemned.keep_blob`): a manifest
its revision's link, an upload or mount the layer's link. The collector marks first, and scans
afterwards. So of a push and a collector at the same time, at least one sees the other: either the
scan finds the link, or the push finds the marker and lifts it.
Rule 2: lifting and sweeping replace the marker that was read, and the store lets one of them win. A
push that lost waits until the sweep is over. An upload then stores the blob anew; a manifest is
refused with `MANIFEST_BLOB_UNKNOWN` before anything tells the client that it was taken.
Rule 3: what is swept was condemned before the scan of this run began, by the grace period at least.

The races, one by one:

- *HEAD, then condemned, then the manifest is pushed.* The push lifts the marker. Only a client that
  takes longer than the grace period (less `condemned.learns_within`) from one to the other can be
  told that the blob is gone; HEAD of what is condemned is 404, so that the client uploads it again
  and lifts the marker.
- *The manifest is pushed between the first scan and the marker.* The second scan of the run finds
  it, before anything is hidden: what is suspect is served as before.
- *A mount between mark and sweep.* What is condemned is not mounted: the client is given an upload.
  If the marker came after that look, the mount lifts it, or finds that it is too late, and gives
  an upload as well.
- *A push of the same blob while it is swept.* It looks before it stores (`release_blob`), and
  waits: otherwise it would find the data there, store nothing, and lose them a moment later.
- *Links that another server remembers* (`storage.cache.max_stale`). The links are deleted before
  the data, but may be remembered after. The marker stays for another grace period, and hides the
  blob; the grace period has to be longer than anything is remembered. What is remembered of a blob
  by its digest (`Descriptors`, in Redis too) is worth nothing without a link, and forgotten.
- *A server that does not know yet that there are markers* (`condemned.learns_within`). What it
  links meanwhile is there when the scan of the sweep begins, by rule 3: the grace period is twice
  that long at least.
- *Two collectors at once.* The second one is refused (`collector_turn`).
- *A collector that is killed.* Anywhere: what it marked is suspect or condemned as before, and
  looked at again. In the sweep of a blob: the marker says `sweeping`, the next run sweeps it again,
  and a push that waits for it takes it for swept after `condemned.DEAD_SECONDS`. No collector goes
  on with one deletion for half of that; one that was stopped in the very middle of it, for longer,
  could delete what that push has stored.
- *A server that is killed* between data and link, or link and marker: the client was told nothing.

All times are the store's. What links or stores is young for one grace period and in use, so that
the manifest of a push under way may take its time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import datetime, timedelta
from typing import TypeVar

from storagedriver_core import AT_ONCE, Storage, at_once
from storagedriver_registry.digest import Digest
from storagedriver_registry.storage import paths
from storagedriver_registry.storage.catalog import Catalog
from storagedriver_registry.storage.collector_turn import collector_turn
from storagedriver_registry.storage.condemned import DEAD_SECONDS, learns_within
from storagedriver_registry.storage.garbage_report import GarbageOptions, GarbageReport, Item
from storagedriver_registry.storage.garbage_scan import GarbageError, Progress, Scan, Scanner
from storagedriver_registry.storage.markers import Marker, Markers, State, can_mark

logger = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")


class Collector:
    """Collects garbage once.

    Args:
        storage: The store.
        options: How.
        forget: Is told of each blob that is gone.
        progress: Is told how far it is.
    """

    def __init__(
        self,
        storage: Storage,
        options: GarbageOptions,
        forget: Callable[[Digest], Awaitable[None]],
        progress: Progress = lambda what, count, total: None,
    ) -> None:
        self._storage = storage
        self._options = options
        self._forget = forget
        self._progress = progress
        self._markers = Markers(storage)
        self._scanner = Scanner(
            storage,
            delete_untagged=options.delete_untagged,
            is_alone=options.offline,
            is_dry=options.dry_run,
            progress=progress,
        )
        self._report = GarbageReport()

    async def collect(self) -> GarbageReport:
        """Collect. If it is cut off anywhere, the next one goes on.

        Raises:
            GarbageError: It must not be done here and now; or a manifest cannot be read.
            StorageDriverError: The store failed.
        """
        options = self._options
        may_mark = can_mark(self._storage)
        if not options.offline:
            _require_grace(self._storage, options)
        async with AsyncExitStack() as stack:
            if may_mark and not options.dry_run:
                await stack.enter_async_context(collector_turn(self._storage))
            await (self._collect_alone() if options.offline else self._collect_beside())
        return self._report

    # Where servers are at work -----------------------------------------------------------------

    async def _collect_beside(self) -> None:
        if not self._options.dry_run:
            await self._storage.put_content(paths.GARBAGE_SIGN, b"")
        young_after = await self._storage.now() - self._options.grace
        found = await self._load()
        scan = await self._scan(young_after)
        due, suspects, marked = await self._sort(found, scan)
        await self._each("deleted", [(*one, scan) for one in due], self._sweep)
        unused = [item for item in _unused(scan) if item not in marked]
        if self._options.dry_run:
            self._report.condemned = [*(item for item, _ in suspects), *unused]
            return
        suspects += await self._suspect(unused)
        if suspects:
            # Begins after the last marker was written.
            again = await self._scanner.scan(young_after, with_blobs=False)
            await self._each("condemned", [(*one, again) for one in suspects], self._condemn)
        async with aclosing(self._markers.all()) as left:
            if await anext(left, None) is None:
                await self._storage.delete_many([paths.GARBAGE_SIGN])

    async def _load(self) -> dict[Item, tuple[Marker, datetime | None]]:
        """Read all markers, with the times at which they were written."""
        found: dict[Item, tuple[Marker, datetime | None]] = {}

        async def read(entry: tuple[str, datetime | None]) -> None:
            marker = await self._markers.read(entry[0])
            if marker is not None:
                found[Item.of_marker(entry[0])] = (marker, entry[1])
                self._progress("markers", len(found), len(entries))

        entries = [(info.path, info.mod_time) async for info in self._markers.all()]
        await at_once(entries, read)
        return found

    async def _sort(
        self, found: dict[Item, tuple[Marker, datetime | None]], scan: Scan
    ) -> tuple[list[tuple[Item, Marker]], list[tuple[Item, Marker]], set[Item]]:
        """Say what becomes of each marker; what is over is removed.

        Returns:
            What is to be swept; what is suspect; and all that keeps its marker.
        """
        due: list[tuple[Item, Marker]] = []
        suspects: list[tuple[Item, Marker]] = []
        over: list[Item] = []
        marked: set[Item] = set()
        report = self._report
        for item, (marker, written) in found.items():
            is_due = written is not None and written + self._options.grace <= scan.began
            is_used = item.is_used(scan)
            match marker.state:
                case State.KEPT:
                    over.append(item)
                    continue
                case State.SWEPT if is_due:
                    over.append(item)
                    continue
                case State.SWEPT:
                    pass
                case State.SWEEPING if is_used and not item.is_stored(scan):
                    # A push may wait for the end of it, and has to see that it came too late.
                    if not self._options.dry_run:
                        await self._markers.replace(marker, State.SWEPT)
                case _ if is_used:
                    over.append(item)
                    report.spared += marker.state is not State.SUSPECT
                    continue
                case State.SUSPECT:
                    suspects.append((item, marker))
                case State.CONDEMNED if not is_due:
                    report.waiting += 1
                case _:
                    due.append((item, marker))
            marked.add(item)
        if not self._options.dry_run:
            for start in range(0, len(over), 1000):
                lot = [item.marker for item in over[start : start + 1000]]
                await self._storage.delete_many(lot)
        return due, suspects, marked

    async def _sweep(self, one: tuple[Item, Marker, Scan]) -> None:
        item, marker, scan = one
        if self._options.dry_run:
            self._count(item, scan)
            return
        taken = await self._markers.replace(marker, State.SWEEPING)
        if taken is None:
            self._report.spared += 1
            return
        try:
            async with asyncio.timeout(DEAD_SECONDS / 2):
                await self._delete(item, scan)
        except TimeoutError:
            logger.warning("%s takes too long to delete, and is left to the next run", item.digest)
            return
        await self._markers.replace(taken, State.SWEPT)
        self._count(item, scan)

    async def _suspect(self, items: Sequence[Item]) -> list[tuple[Item, Marker]]:
        suspects: list[tuple[Item, Marker]] = []

        async def mark(item: Item) -> None:
            marker = await self._markers.add(item.marker, State.SUSPECT)
            if marker is not None:
                suspects.append((item, marker))

        await self._each("marked", items, mark)
        return suspects

    async def _condemn(self, one: tuple[Item, Marker, Scan]) -> None:
        item, marker, scan = one
        if item.is_used(scan):
            await self._markers.remove(item.marker)
        elif await self._markers.replace(marker, State.CONDEMNED):
            self._report.condemned.append(item)

    # Where none is -----------------------------------------------------------------------------

    async def _collect_alone(self) -> None:
        young_after = await self._storage.now() - self._options.grace
        scan = await self._scan(young_after)

        async def delete(item: Item) -> None:
            if not self._options.dry_run:
                await self._delete(item, scan)
            self._count(item, scan)

        # Revisions first: cut off in between, none is left whose blobs are gone.
        unused = _unused(scan)
        await self._each("deleted", [item for item in unused if item.name], delete)
        await self._each("deleted", [item for item in unused if not item.name], delete)
        if self._options.dry_run:
            return
        markers = [info.path async for info in self._markers.all()]
        for start in range(0, len(markers), 1000):
            await self._storage.delete_many(markers[start : start + 1000])
        await self._storage.delete_many([paths.GARBAGE_SIGN])
        await self._delete_empty()

    async def _delete_empty(self) -> None:
        """Delete the directories of repositories that hold no file, where the store has any."""
        names = [name async for name in Catalog(self._storage).names()]
        left = (await self._scanner.scan(await self._storage.now(), with_blobs=False)).names
        for name in names:
            if name not in left:
                for directory in paths.parts(name):
                    await self._storage.delete(directory, missing_ok=True)
                self._report.emptied.append(name)

    # Both --------------------------------------------------------------------------------------

    async def _scan(self, young_after: datetime) -> Scan:
        scan = await self._scanner.scan(young_after, with_blobs=True)
        self._report.repositories = len(scan.repositories)
        self._report.manifests = sum(len(scan.linked(name)) for name in scan.repositories)
        self._report.blobs = len(scan.blobs)
        self._report.foreign_uploads = scan.foreign_uploads
        return scan

    async def _delete(self, item: Item, scan: Scan) -> None:
        """Delete what is stored of an item: links before what they lead to."""
        name, digest = item
        if name:
            repository = scan.repositories.get(name)
            found = repository.revisions.get(digest) if repository else None
            await self._remove([paths.revision_link(name, digest)])
            await self._remove(found.files if found else [])
            return
        layer = scan.layers.get(digest)
        await self._remove(
            [paths.layer_link(each, digest) for each in layer.names] if layer else []
        )
        await self._remove([paths.blob(digest)])
        await self._forget(digest)

    async def _remove(self, files: list[str]) -> None:
        if files:
            report = await self._storage.delete_many(files)
            for error in report.failed.values():
                raise error

    def _count(self, item: Item, scan: Scan) -> None:
        info = None if item.name else scan.blobs.get(item.digest)
        self._report.deleted.append(item)
        self._report.deleted_bytes += 0 if info is None else info.size

    async def _each(
        self, what: str, items: Sequence[ItemT], function: Callable[[ItemT], Awaitable[None]]
    ) -> None:
        """Do something to each item, several at once, and tell how far that is."""
        for start in range(0, len(items), AT_ONCE):
            lot = items[start : start + AT_ONCE]
            await at_once(lot, function)
            self._progress(what, start + len(lot), len(items))


def least_grace(storage: Storage, max_stale: float) -> timedelta:
    """Give the shortest grace period that is safe."""
    return timedelta(seconds=2 * learns_within(storage, max_stale))


def _require_grace(storage: Storage, options: GarbageOptions) -> None:
    if not can_mark(storage):
        raise GarbageError(
            "this storage does not compare what it replaces, so garbage cannot be told from what "
            "is being pushed: stop the servers, and collect with --offline"
        )
    least = least_grace(storage, options.max_stale)
    if options.grace < least:
        raise GarbageError(
            f"the grace period is {least.total_seconds():g}s at least: servers may not know for "
            "half of that what has been condemned (storage.cache.max_stale)"
        )


def _unused(scan: Scan) -> list[Item]:
    revisions = [Item(name, digest) for name, digest in scan.unused_revisions()]
    return [*revisions, *(Item("", digest) for digest in scan.unused_blobs())]
