"""Link files: a digest as text. They say what a repository has, and so what it may serve.

What is remembered of them. On a local store nothing: each request looks. Elsewhere a link that was
found counts as there for `max_stale` seconds. That one is not there is never remembered. A change
by this process counts at once: a look that began before it leaves no trace after it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from functools import cached_property, lru_cache
from typing import NamedTuple

from storagedriver_core import PathNotFoundError, Storage, StorageDriverError
from storagedriver_registry.digest import Digest, InvalidDigestError, parse_digest

MOST_LINKS = 50_000
"""Links that are remembered at most."""


async def is_file(storage: Storage, path: str) -> bool:
    """Tell whether there is a file."""
    try:
        if storage.capabilities.local_path:
            # Says nothing but that it is there, and so costs less.
            await storage.local_path(path)
            return True
        return not (await storage.stat(path)).is_dir
    except PathNotFoundError:
        return False


@lru_cache(maxsize=1024)
def _digest_in(content: bytes) -> Digest:
    return parse_digest(content.decode("ascii").strip())


class _Found(NamedTuple):
    """What was found of a link.

    Attributes:
        when: When the look at it began, or it was written.
        digest: What it holds; None if only that it is there is known.
    """

    when: float
    digest: Digest | None


class Links:
    """The links of all repositories.

    Args:
        storage: Where they are.
        max_stale: For how many seconds a link that was found may be taken for there; 0 to look
            each time, as on local stores.
    """

    def __init__(self, storage: Storage, max_stale: float = 0.0) -> None:
        self._storage = storage
        self._stale_elsewhere = max_stale
        self._found: OrderedDict[str, _Found] = OrderedDict()
        self._deletions = 0

    @cached_property
    def _max_stale(self) -> float:
        # Asked when the storage is open: some drivers learn only then what they can do.
        return 0.0 if self._storage.capabilities.local_path else self._stale_elsewhere

    async def read(self, path: str, *, is_fresh: bool = False) -> Digest | None:
        """Give the digest that a link points to; None if there is no link.

        Args:
            path: The link.
            is_fresh: Look, whatever is remembered.

        Raises:
            StorageDriverError: The file holds no digest.
        """
        if not self._max_stale:
            return await self._look(path)
        known = None if is_fresh else self._known(path)
        if known is not None and known.digest is not None:
            return known.digest
        began, deletions = time.monotonic(), self._deletions
        digest = await self._look(path)
        if digest is not None:
            self._remember(path, _Found(began, digest), deletions)
        return digest

    async def _look(self, path: str) -> Digest | None:
        try:
            content = await self._storage.get_content(path)
        except PathNotFoundError:
            return None
        try:
            return _digest_in(content)
        except (UnicodeDecodeError, InvalidDigestError):
            raise StorageDriverError("the link holds no digest", path=path) from None

    async def exists(self, path: str) -> bool:
        """Tell whether there is a link."""
        if not self._max_stale:
            return await is_file(self._storage, path)
        if self._known(path) is not None:
            return True
        began, deletions = time.monotonic(), self._deletions
        found = await is_file(self._storage, path)
        if found:
            self._remember(path, _Found(began, None), deletions)
        return found

    async def write(self, path: str, digest: Digest) -> None:
        """Make or replace a link; durable when it returns."""
        deletions = self._deletions
        try:
            await self._storage.put_content(path, str(digest).encode())
        except BaseException:
            self._forget(path)
            raise
        self._remember(path, _Found(time.monotonic(), digest), deletions)

    async def delete(self, path: str) -> bool:
        """Delete a link, or a directory of links; False if there was none."""
        self._forget(path)
        try:
            await self._storage.delete(path)
        except PathNotFoundError:
            return False
        finally:
            self._forget(path)
        return True

    def _known(self, path: str) -> _Found | None:
        found = self._found.get(path)
        if found is None or time.monotonic() - found.when > self._max_stale:
            return None
        self._found.move_to_end(path)
        return found

    def _remember(self, path: str, found: _Found, deletions: int) -> None:
        """Remember a link, unless something newer is known or was deleted since."""
        if not self._max_stale or deletions != self._deletions:
            return
        known = self._found.get(path)
        if known is not None and known.when > found.when:
            return
        self._found[path] = found
        self._found.move_to_end(path)
        if len(self._found) > MOST_LINKS:
            self._found.popitem(last=False)

    def _forget(self, path: str) -> None:
        self._deletions += 1
        if self._found:
            below = f"{path}/"
            for known in [each for each in self._found if each == path or each.startswith(below)]:
                del self._found[known]
