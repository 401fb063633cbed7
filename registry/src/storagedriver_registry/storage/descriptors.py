"""What is remembered of blobs by their digests, for any length of time: they never change.

Nothing here says that a repository has a blob, nor that the bytes are still stored: who is given a
descriptor has looked for the link, and who finds the bytes gone says so (`forget`).

Two stores may stand one behind the other: this process's memory, and what all processes share.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from storagedriver_registry.digest import Digest


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What is remembered of one blob.

    Attributes:
        size: Its bytes.
        media_type: Of a manifest that names it; empty where it is another blob, or not known.
    """

    size: int
    media_type: str = ""


class SharedDescriptors(Protocol):
    """What all processes remember together. It fails nothing: an error is as good as no answer."""

    async def get(self, digest: Digest) -> Descriptor | None:
        """Give a descriptor; None if there is none, or no answer in time."""

    async def put(self, digest: Digest, descriptor: Descriptor) -> None:
        """Remember a descriptor."""

    async def forget(self, digest: Digest) -> None:
        """Forget a descriptor."""

    async def aclose(self) -> None:
        """Let go of connections. It can be asked again afterwards."""


class Descriptors:
    """Descriptors in this process's memory and, behind it, in what all share.

    Args:
        most: Descriptors in memory at most; 0 for any number. The least recently used goes first.
        shared: What all processes share.
        is_enabled: Whether anything is remembered.
    """

    def __init__(
        self, most: int, shared: SharedDescriptors | None = None, *, is_enabled: bool = True
    ) -> None:
        self._most = most
        self._shared = shared
        self._is_enabled = is_enabled
        self._known: OrderedDict[Digest, Descriptor] = OrderedDict()

    async def get(self, digest: Digest) -> Descriptor | None:
        """Give a descriptor; None if none is remembered."""
        known = self._known.get(digest)
        if known is not None:
            self._known.move_to_end(digest)
            return known
        if self._shared is None:
            return None
        shared = await self._shared.get(digest)
        if shared is not None:
            self._keep(digest, shared)
        return shared

    async def put(self, digest: Digest, descriptor: Descriptor) -> None:
        """Remember a descriptor of bytes that are stored."""
        if not self._is_enabled:
            return
        if self._known.get(digest) == descriptor:
            return
        self._keep(digest, descriptor)
        if self._shared is not None:
            await self._shared.put(digest, descriptor)

    async def forget(self, digest: Digest) -> None:
        """Forget a descriptor: the bytes are gone."""
        self._known.pop(digest, None)
        if self._shared is not None:
            await self._shared.forget(digest)

    async def aclose(self) -> None:
        """Let go of connections."""
        if self._shared is not None:
            await self._shared.aclose()

    def _keep(self, digest: Digest, descriptor: Descriptor) -> None:
        self._known[digest] = descriptor
        self._known.move_to_end(digest)
        if self._most and len(self._known) > self._most:
            self._known.popitem(last=False)
