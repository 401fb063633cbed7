"""The upstream registry, as the proxy sees it. Every call may raise an `UpstreamError`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from storagedriver_registry.digest import Digest


@dataclass(frozen=True, slots=True)
class FetchedManifest:
    """A manifest as it came.

    Attributes:
        data: The bytes.
        media_type: The type that they came with; empty if none.
    """

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class FetchedBlob:
    """A blob, or a range of it, while it comes.

    Attributes:
        length: Bytes that will come.
        chunks: The bytes. Those of a whole blob come to an end only if they have the right digest,
            those of a range unchecked.
    """

    length: int
    chunks: AsyncIterator[bytes]


class Upstream(Protocol):
    """The upstream registry."""

    async def tagged(self, name: str, tag: str) -> Digest | None:
        """Give the digest that a tag points to; None if the registry does not say."""

    async def manifest(self, name: str, reference: str) -> FetchedManifest:
        """Fetch a manifest by its tag or digest."""

    async def blob_size(self, name: str, digest: Digest) -> int:
        """Give the bytes of a blob."""

    def blob(
        self, name: str, digest: Digest, offset: int = 0, length: int | None = None
    ) -> AbstractAsyncContextManager[FetchedBlob]:
        """Fetch a blob, or a range of it."""

    async def tags(self, name: str) -> list[str]:
        """Give all tags of a repository."""

    async def referrers(self, name: str, subject: Digest) -> Sequence[dict[str, Any]]:
        """Give the descriptors of all manifests that refer to a subject."""

    async def open(self) -> None:
        """Make ready; no connection is made yet."""

    async def aclose(self) -> None:
        """Let go of connections."""
