"""Notes of what was fetched: an empty file for each, whose time says when.

They are what may expire. Whatever else is in the storage was pushed, before there was a proxy, or
is another registry's: nobody said that there is another copy of it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from storagedriver_core import FileInfo, PathNotFoundError, Storage
from storagedriver_registry.digest import Digest, as_digest
from storagedriver_registry.storage import paths
from storagedriver_registry.storage.links import is_file


@dataclass(slots=True)
class FetchedContent:
    """What was fetched for one repository, and when it was last.

    Attributes:
        blobs: By digest.
        manifests: By digest.
    """

    blobs: dict[Digest, datetime] = field(default_factory=dict)
    manifests: dict[Digest, datetime] = field(default_factory=dict)


class Fetched:
    """The notes of all repositories.

    Args:
        storage: Where they are.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def note_blob(self, name: str, digest: Digest) -> None:
        """Note that a blob is fetched now; to be done before it is linked."""
        await self._storage.put_content(paths.fetched_blob(name, digest), b"")

    async def note_manifest(self, name: str, digest: Digest) -> None:
        """Note that a manifest is fetched now; to be done before it is linked."""
        await self._storage.put_content(paths.fetched_manifest(name, digest), b"")

    async def has_manifest(self, name: str, digest: Digest) -> bool:
        """Tell whether a manifest was fetched; else it was pushed, or is not here."""
        return await is_file(self._storage, paths.fetched_manifest(name, digest))

    async def all(self) -> dict[str, FetchedContent]:
        """Give everything that is noted, by repository."""
        found: dict[str, FetchedContent] = defaultdict(FetchedContent)
        for directory in (paths.FETCHED_BLOBS, paths.FETCHED_MANIFESTS):
            try:
                async for info in self._storage.walk(directory):
                    _add(found, directory, info)
            except PathNotFoundError:
                pass
        return found

    async def is_older(self, note: str, limit: datetime) -> bool:
        """Tell whether a note is still there, and not newer than a limit."""
        try:
            when = (await self._storage.stat(note)).mod_time
        except PathNotFoundError:
            return False
        return when is not None and when <= limit

    async def forget(self, note: str) -> None:
        """Delete a note."""
        await self._storage.delete(note, missing_ok=True)


def _add(found: dict[str, FetchedContent], directory: str, info: FileInfo) -> None:
    name, _, rest = info.path.removeprefix(f"{directory}/").rpartition("/_")
    digest = as_digest(rest.replace("/", ":", 1))
    if digest is not None and info.mod_time is not None:
        is_blob = directory == paths.FETCHED_BLOBS
        content = found[name]
        (content.blobs if is_blob else content.manifests)[digest] = info.mod_time
