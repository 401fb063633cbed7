"""What images are copied from and to: a repository, a layout, an archive, a store."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias

from storagedriver_registry.client.manifests import FetchedManifest
from storagedriver_registry.client.reading import RunningHash
from storagedriver_registry.digest import Digest


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob as a manifest names it.

    Attributes:
        digest: Its digest.
        size: Its bytes.
        media_type: Its type.
    """

    digest: Digest
    size: int
    media_type: str = "application/octet-stream"


class Outcome(Enum):
    """What became of a blob."""

    COPIED = "copied"
    PRESENT = "present"
    MOUNTED = "mounted"


Chunks: TypeAlias = Callable[[int, "RunningHash | None"], AsyncGenerator[bytes, None]]
"""Begins to give a blob at an offset; with a hash of what is before, or from the beginning, it is
checked, and the error comes before the last chunk."""


class Source(Protocol):
    """Where an image is read."""

    @property
    def name(self) -> str:
        """What messages call it; no secret is in it."""

    async def root(self) -> FetchedManifest:
        """Give the manifest that the reference names.

        Raises:
            NotFoundError: There is none.
        """

    async def manifest(self, digest: Digest) -> FetchedManifest:
        """Give a manifest by its digest."""

    def chunks(
        self, blob: Blob, offset: int = 0, before: RunningHash | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Give a blob from an offset on; see `Chunks`."""

    async def referrers(self, digest: Digest) -> list[dict[str, Any]]:
        """Give descriptors of what refers to a manifest."""


class Target(Protocol):
    """Where an image is written."""

    @property
    def name(self) -> str:
        """What messages call it; no secret is in it."""

    async def put_blob(self, blob: Blob, chunks: Chunks, source: Source) -> Outcome:
        """Store a blob, whole or not at all, unless it is there."""

    async def put_manifest(self, manifest: FetchedManifest, *, is_root: bool) -> None:
        """Store a manifest whose content is there; the root gets the name that was asked for."""

    async def finish(self) -> None:
        """Make everything visible that is not yet. Called once, when all is there."""

    async def abandon(self) -> None:
        """Remove what was put, as nobody will use it: the copy was cancelled."""

    async def release(self) -> None:
        """Let go of what others wait for. Called once, at the end, whatever it was."""
