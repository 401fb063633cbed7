"""The catalog: which repositories there are."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from storagedriver_core import PathNotFoundError, Storage
from storagedriver_registry.storage import paths


class Catalog:
    """Finds repositories by walking their directories; there is no other record of them."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def names(self, after: str = "") -> AsyncGenerator[str, None]:
        """Give the names of the repositories, in distribution's order.

        That is component by component: `a/z` comes before `a-b`. Only directories on the way
        are listed, each when its turn comes.

        Args:
            after: Only names after this one, which need not exist.
        """
        async for name in self._below("", _key(after)):
            yield name

    async def _below(self, directory: str, after: tuple[str, ...]) -> AsyncGenerator[str, None]:
        """Give the repositories in `directory` and below that come after the key `after`."""
        children = await self._children(directory)
        if directory and paths.MANIFESTS in children and _key(directory) > after:
            yield directory
        for child in sorted(children):
            name = f"{directory}/{child}" if directory else child
            key = _key(name)
            # Whatever lies below begins with `key`, and so comes after all that is less.
            if not child.startswith("_") and key >= after[: len(key)]:
                async for found in self._below(name, after):
                    yield found

    async def _children(self, directory: str) -> set[str]:
        try:
            entries = self._storage.list(paths.repository(directory))
            return {entry.path.rpartition("/")[2] async for entry in entries if entry.is_dir}
        except PathNotFoundError:
            return set()


def _key(name: str) -> tuple[str, ...]:
    return tuple(name.split("/")) if name else ()
