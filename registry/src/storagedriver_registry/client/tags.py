"""The tags of a repository."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from storagedriver_registry.client.errors import InvalidReferenceError
from storagedriver_registry.client.manifests import Manifests
from storagedriver_registry.client.origins import Origin
from storagedriver_registry.client.paging import pages, texts
from storagedriver_registry.client.tokens import repository_scope
from storagedriver_registry.reference import is_tag


class Tags:
    """The tags of one repository; `Repository.tags`. No mirror is asked, as it may have a part."""

    def __init__(self, origin: Origin, manifests: Manifests) -> None:
        self._transport = origin.transport
        self._target = f"/v2/{origin.name}/tags/list"
        self._scopes = frozenset({repository_scope(origin.name, "pull")})
        self._manifests = manifests

    async def list(self, *, page_size: int | None = None) -> AsyncGenerator[str, None]:
        """Give the tags, in the registry's order.

        Args:
            page_size: Tags that one request asks for; None for what the registry likes.

        Raises:
            NotFoundError: There is no such repository.
        """
        query = "" if page_size is None else f"?n={page_size}"
        async for document, _ in pages(self._transport, self._target + query, self._scopes, {}):
            for tag in texts(document, "tags"):
                yield tag

    async def delete(self, tag: str) -> None:
        """Delete a tag, and leave the manifest.

        Raises:
            NotFoundError: There is no such tag.
            UnsupportedError: The registry deletes no tags.
        """
        if not is_tag(tag):
            raise InvalidReferenceError(f"{tag!r} is no tag")
        await self._manifests.delete(tag)
