"""Tags: names for manifests, each with an index of what it has pointed to."""

from __future__ import annotations

from contextlib import aclosing

from storagedriver_core import AT_ONCE, PathNotFoundError, Storage, at_once
from storagedriver_registry.digest import Digest
from storagedriver_registry.storage import paths
from storagedriver_registry.storage.directories import directories
from storagedriver_registry.storage.errors import NameUnknownError, TagUnknownError
from storagedriver_registry.storage.links import Links


class TagStore:
    """The tags of each repository."""

    def __init__(self, storage: Storage, links: Links, at_once: int = 0) -> None:
        self._storage = storage
        self._links = links
        self._at_once = at_once or AT_ONCE

    async def resolve(self, name: str, tag: str) -> Digest:
        """Give the digest that a tag points to.

        Raises:
            TagUnknownError: The repository has no such tag.
        """
        digest = await self._links.read(paths.tag_link(name, tag))
        if digest is None:
            raise TagUnknownError(tag)
        return digest

    async def put(self, name: str, tag: str, digest: Digest) -> None:
        """Point a tag to a manifest; durable when it returns."""
        await self._links.write(paths.tag_index_link(name, tag, digest), digest)
        await self._links.write(paths.tag_link(name, tag), digest)

    async def delete(self, name: str, tag: str) -> None:
        """Delete a tag; the manifest stays.

        Raises:
            TagUnknownError: The repository has no such tag.
        """
        if not await self._links.delete(paths.tag(name, tag)):
            raise TagUnknownError(tag)

    async def delete_all(self, name: str, digest: Digest) -> list[str]:
        """Delete every tag that points to a manifest, and give them in byte order."""
        try:
            tags = await self.list(name)
        except NameUnknownError:
            return []
        deleted: set[str] = set()

        async def delete(tag: str) -> None:
            path = paths.tag_link(name, tag)
            if await self._links.read(path, is_fresh=True) == digest:
                await self._links.delete(paths.tag(name, tag))
                deleted.add(tag)

        await at_once(tags, delete, self._at_once)
        return sorted(deleted)

    async def list(self, name: str, *, after: str = "", most: int | None = None) -> list[str]:
        """Give the tags of a repository in byte order.

        Args:
            name: The repository.
            after: Only tags after this one, which need not exist.
            most: So many at most; None for all.

        Raises:
            NameUnknownError: There is no such repository.
        """
        found: list[str] = []
        try:
            async with aclosing(directories(self._storage, paths.tags(name), after)) as tags:
                async for tag in tags:
                    if tag == after:
                        continue
                    if len(found) == most:
                        break
                    found.append(tag)
            return found
        except PathNotFoundError:
            pass
        # One whose tags were all deleted is a repository still.
        try:
            await self._storage.stat(paths.manifests(name))
        except PathNotFoundError:
            raise NameUnknownError(name) from None
        return []
