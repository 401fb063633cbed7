"""The catalog: which repositories there are."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from storagedriver_core import PathNotFoundError, Storage
from storagedriver_registry.storage import paths
from storagedriver_registry.storage.directories import directories


class Catalog:
    """Finds repositories by walking their directories; there is no other record of them."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def names(self, after: str = "") -> AsyncGenerator[str, None]:
        """Give the names of the repositories, in distribution's order.

        That is component by component: `a/z` comes before `a-b`. Only directories on the way
        are listed, each when its turn comes, and only as far as names are taken.

        Args:
            after: Only names after this one, which need not exist.
        """
        async with aclosing(self._below("", _key(after))) as names:
            async for name in names:
                yield name

    async def _below(self, directory: str, after: tuple[str, ...]) -> AsyncGenerator[str, None]:
        """Give the repositories in `directory` and below that come after the key `after`."""
        key = _key(directory)
        is_on_the_way = key == after[: len(key)] and len(key) < len(after)
        children = self._children(directory, after[len(key)] if is_on_the_way else "")
        if directory and key > after:
            # Whether it is one itself is to be known before anything below it is given.
            known = [child async for child in children]
            if paths.MANIFESTS in known:
                yield directory
            children = _each(known)
        async with aclosing(children):
            async for child in children:
                if child.startswith("_"):
                    continue
                name = f"{directory}/{child}" if directory else child
                async with aclosing(self._below(name, after)) as names:
                    async for found in names:
                        yield found

    async def _children(self, directory: str, start: str) -> AsyncGenerator[str, None]:
        try:
            async with aclosing(
                directories(self._storage, paths.repository(directory), start)
            ) as names:
                async for name in names:
                    yield name
        except PathNotFoundError:
            return


async def _each(names: Iterable[str]) -> AsyncGenerator[str, None]:
    for name in names:
        yield name


def _key(name: str) -> tuple[str, ...]:
    return tuple(name.split("/")) if name else ()
