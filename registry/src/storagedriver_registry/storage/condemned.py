"""What a server has to know of garbage: what it hides from clients, and what it must keep.

While no collector has marked anything, that is one look in a while (`learns_within`) at one file,
and nothing for most requests. While there are markers, it is one look at the marker of each blob
that is mounted, pushed, or named by a manifest that is pushed; and of one that is asked for by
HEAD, once in that while. Pulls never look. `garbage` says why that is enough.
"""

from __future__ import annotations

import asyncio
import time
from functools import cached_property

from storagedriver_core import Storage
from storagedriver_registry.digest import Digest
from storagedriver_registry.storage import paths
from storagedriver_registry.storage.links import is_file
from storagedriver_registry.storage.markers import Marker, Markers, State, can_mark

LEARN_SECONDS = 1.0
"""A server looks no more often whether there are markers at all."""

DEAD_SECONDS = 20.0
"""A collector whose sweep of one blob has not ended after so long is taken for dead. It gives up
after half of that."""

_LOOK_SECONDS = 0.05
_MOST_SHOWN = 10_000
_HIDDEN = (State.CONDEMNED, State.SWEEPING, State.SWEPT)


def learns_within(storage: Storage, max_stale: float) -> float:
    """Give for how many seconds a server may not know that there are markers, or not any more.

    Args:
        storage: The store.
        max_stale: For how many seconds a link may be taken for there, where it is not local.
    """
    return max(LEARN_SECONDS, 0.0 if storage.capabilities.local_path else max_stale)


class Condemned:
    """The garbage of a store, as a server sees it.

    Args:
        storage: The store.
        max_stale: For how many seconds a link may be taken for there, where it is not local.
    """

    def __init__(self, storage: Storage, max_stale: float) -> None:
        self._storage = storage
        self._markers = Markers(storage)
        self._max_stale = max_stale
        self._looked = float("-inf")
        self._are_any = False
        self._shown: dict[str, float] = {}

    # What the storage can do is asked when it is open: some drivers learn it only then.

    @cached_property
    def _can_mark(self) -> bool:
        return can_mark(self._storage)

    @cached_property
    def _learns_within(self) -> float:
        return learns_within(self._storage, self._max_stale)

    async def are_any(self) -> bool:
        """Tell whether there may be markers."""
        if not self._can_mark:
            return False
        began = time.monotonic()
        if began - self._looked < self._learns_within:
            return self._are_any
        are_any = await is_file(self._storage, paths.GARBAGE_SIGN)
        self._looked, self._are_any = began, are_any
        return are_any

    async def hides_blob(self, digest: Digest) -> bool:
        """Tell whether clients are told that there is no such blob."""
        return await self.are_any() and await self._hides(paths.condemned_blob(digest))

    async def hides_revision(self, name: str, digest: Digest) -> bool:
        """Tell whether clients are told that the repository has no such manifest."""
        return await self.are_any() and await self._hides(paths.condemned_revision(name, digest))

    async def release_blob(self, digest: Digest) -> None:
        """See to it that a blob which is to be stored now is not deleted under way."""
        if await self.are_any():
            await self._release(paths.condemned_blob(digest))

    async def release_revision(self, name: str, digest: Digest) -> None:
        """See to it that a revision which is to be linked now is not deleted under way."""
        if await self.are_any():
            await self._release(paths.condemned_revision(name, digest))

    async def keep_blob(self, digest: Digest) -> bool:
        """See to it that a blob stays, after what needs it was linked; False if it is gone."""
        return not await self.are_any() or await self._keep(
            paths.condemned_blob(digest), paths.blob(digest)
        )

    async def keep_revision(self, name: str, digest: Digest) -> bool:
        """See to it that a revision stays, after what needs it was linked; False if it is gone."""
        return not await self.are_any() or await self._keep(
            paths.condemned_revision(name, digest), paths.revision_link(name, digest)
        )

    async def _hides(self, path: str) -> bool:
        began = time.monotonic()
        if began - self._shown.get(path, float("-inf")) < self._learns_within:
            return False
        marker = await self._markers.read(path)
        if marker is not None and marker.state in _HIDDEN:
            # Not remembered: another server may be given it at any moment.
            return True
        if len(self._shown) >= _MOST_SHOWN:
            self._shown.clear()
        self._shown[path] = began
        return False

    async def _release(self, path: str) -> Marker | None:
        """Lift a marker; give it if it is too late, once the collector is done."""
        word, since = "", 0.0
        while True:
            marker = await self._markers.read(path)
            if marker is None or marker.state is State.KEPT:
                return None
            if marker.state is State.SWEPT:
                return marker
            if marker.state is not State.SWEEPING:
                if await self._markers.replace(marker, State.KEPT):
                    return None
                continue
            now = time.monotonic()
            if marker.word != word:
                word, since = marker.word, now
            elif now - since > DEAD_SECONDS:
                await self._markers.replace(marker, State.SWEPT)
                continue
            await asyncio.sleep(_LOOK_SECONDS)

    async def _keep(self, path: str, content: str) -> bool:
        while (swept := await self._release(path)) is not None:
            # What is there was stored after the deletion, which comes before this marker.
            if not await is_file(self._storage, content):
                return False
            if await self._markers.replace(swept, State.KEPT):
                return True
        return True
