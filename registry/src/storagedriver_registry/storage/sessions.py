"""All upload sessions of a store: found by walking the repositories, and purged by their age.

Those of docker/distribution age like ours. An upload of the core that no session knows (its server
died before the first record) is purged with them.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from storagedriver_core import FileInfo, PathNotFoundError, Storage, StorageDriverError
from storagedriver_registry.storage import paths
from storagedriver_registry.storage.errors import UploadBusyError, UploadUnknownError
from storagedriver_registry.storage.uploads import UploadStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One upload session.

    Attributes:
        name: The repository.
        id: Its id.
        updated: When it was last stored, by the store's clock.
        size: Bytes that came, as far as they are durable; None where only the server that began it
            could tell.
    """

    name: str
    id: str
    updated: datetime
    size: int | None


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """What a purge has removed, or would remove.

    Attributes:
        sessions: Sessions.
        others: Uploads that no session knows.
    """

    sessions: list[SessionInfo]
    others: int


class SessionStore:
    """Every upload session.

    Args:
        storage: Where they are.
        uploads: What knows them one by one.
    """

    def __init__(self, storage: Storage, uploads: UploadStore) -> None:
        self._storage = storage
        self._uploads = uploads

    async def list(self) -> AsyncGenerator[SessionInfo, None]:
        """Give every session that has stored anything, repository by repository."""
        async for name in self._names(""):
            async for upload in self._children(paths.uploads(name)):
                info = await self._look(name, _last(upload))
                if info is not None:
                    yield info

    async def purge(self, older_than: timedelta, *, dry_run: bool = False) -> PurgeReport:
        """Drop what nobody has gone on with for a time, by the store's clock.

        A session that a request is at work on is left alone.

        Args:
            older_than: How long nothing was stored.
            dry_run: Only say what would be dropped.
        """
        limit = await self._storage.now() - older_than
        purged = []
        async for info in self.list():
            if info.updated <= limit and (dry_run or await self._drop(info, limit)):
                purged.append(info)
        others = 0
        if self._storage.capabilities.list_uploads:
            found = await self._storage.purge_uploads(older_than=older_than, dry_run=dry_run)
            others = len(found)
        return PurgeReport(purged, others)

    async def _names(self, directory: str) -> AsyncIterator[str]:
        """Give each repository that has sessions, whether or not it has manifests."""
        children = sorted(
            [_last(entry) async for entry in self._children(paths.repository(directory))]
        )
        if directory and paths.UPLOADS in children:
            yield directory
        for child in children:
            if not child.startswith("_"):
                async for name in self._names(f"{directory}/{child}" if directory else child):
                    yield name

    async def _look(self, name: str, upload_id: str) -> SessionInfo | None:
        """Find out how old a session is; None if it has ended meanwhile."""
        newest: datetime | None = None
        sizes: dict[str, int] = {}
        try:
            async for info in self._storage.walk(paths.upload(name, upload_id)):
                sizes[info.path] = info.size
                if info.mod_time is not None:
                    newest = max(newest or info.mod_time, info.mod_time)
        except PathNotFoundError:
            pass
        if newest is None:
            return None
        # Of another server its bytes are here, if they are not in an upload of the store.
        size = sizes.get(paths.upload_data(name, upload_id))
        if paths.upload_token(name, upload_id) in sizes:
            try:
                size = (await self._uploads.find(name, upload_id, "")).offset
            except UploadUnknownError:
                size = None
        return SessionInfo(name, upload_id, newest, size)

    async def _drop(self, info: SessionInfo, limit: datetime) -> bool:
        try:
            async with self._uploads.hold(info.name, info.id, "", patience=0) as session:
                now = await self._look(info.name, info.id)
                if now is None or now.updated > limit:
                    return False
                await session.cancel()
        except UploadBusyError:
            return False
        except UploadUnknownError:
            # Another server's, or the rest of one that is over.
            await self._storage.delete(paths.upload(info.name, info.id), missing_ok=True)
        except StorageDriverError as error:
            logger.warning("upload %s of %s is not purged: %s", info.id, info.name, error)
            return False
        return True

    async def _children(self, directory: str) -> AsyncIterator[FileInfo]:
        try:
            async for entry in self._storage.list(directory):
                if entry.is_dir:
                    yield entry
        except PathNotFoundError:
            pass


def _last(entry: FileInfo) -> str:
    return entry.path.rpartition("/")[2]
