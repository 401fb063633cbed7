"""Blobs: stored once for all repositories, and linked by each that has them.

A repository has a blob when it links it and the bytes are stored. Either may be there alone: the
bytes for other repositories, or since a push was cut off; the link for a push that was.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cached_property
from io import FileIO

from storagedriver_core import (
    AlreadyExistsError,
    Body,
    ChecksumMismatchError,
    FileReader,
    FileWriter,
    PathNotFoundError,
    Storage,
    UploadNotFoundError,
    at_once,
)
from storagedriver_registry.digest import Digest, compute_digest
from storagedriver_registry.storage import paths
from storagedriver_registry.storage.bodies import Chunk, gathered
from storagedriver_registry.storage.caches import Caches, NamedContent
from storagedriver_registry.storage.condemned import Condemned
from storagedriver_registry.storage.descriptors import Descriptor
from storagedriver_registry.storage.errors import BlobUnknownError, DigestMismatchError
from storagedriver_registry.storage.links import Links, is_file

# Larger ones are sent without being held here.
_SMALL_BYTES = 64 * 1024


class BlobStore:
    """Stores bytes under their digest. Which repository may serve them is said by links."""

    def __init__(
        self, storage: Storage, links: Links, caches: Caches, condemned: Condemned
    ) -> None:
        self._storage = storage
        self._links = links
        self._condemned = condemned
        self._descriptors = caches.descriptors
        self._kept = caches.contents

    # What the storage can do is asked when it is open: some drivers learn it only then.

    @cached_property
    def _if_absent(self) -> bool:
        return self._storage.capabilities.put_if_absent

    @cached_property
    def _if_absent_late(self) -> bool:
        # A commit that has to check its digest by reading back ends with a move.
        return self._if_absent and self._storage.capabilities.move_if_absent

    # What a repository links -------------------------------------------------------------------

    async def is_linked(self, name: str, digest: Digest) -> bool:
        """Tell whether the repository links the blob, which need not be stored (see `has`)."""
        return await self._links.exists(paths.layer_link(name, digest))

    async def has(self, name: str, digest: Digest) -> bool:
        """Tell whether the repository has the blob: it is linked, and as far as is known stored."""
        try:
            await self.size(name, digest)
        except BlobUnknownError:
            return False
        return True

    async def size(self, name: str, digest: Digest) -> int:
        """Give the bytes of a blob of the repository.

        Raises:
            BlobUnknownError: The repository does not have it.
        """
        if not await self.is_linked(name, digest):
            raise BlobUnknownError(digest)
        known = await self._descriptors.get(digest)
        if known is not None:
            return known.size
        try:
            size = (await self._storage.stat(paths.blob(digest))).size
        except PathNotFoundError:
            raise BlobUnknownError(digest) from None
        await self._descriptors.put(digest, Descriptor(size))
        return size

    async def add(self, name: str, digest: Digest, body: AsyncIterator[Chunk]) -> None:
        """Store a body whose digest is known beforehand, as a blob of the repository.

        A small one and its link are stored at the same time, which takes half as long: neither is
        worth anything without the other (see `has`).

        Raises:
            DigestMismatchError: The body has another digest; nothing was stored.
            BlobUnknownError: It was garbage, and is gone by now.
        """
        data = await gathered(body, _SMALL_BYTES)
        if not isinstance(data, bytes):
            await self.put(digest, data)
            await self.link(name, digest)
            return
        actual = compute_digest(data, digest.algorithm)
        if actual != digest:
            raise DigestMismatchError(f"the digest is {actual}, not {digest}")
        await self._condemned.release_blob(digest)

        async def store() -> None:
            with suppress(AlreadyExistsError):
                await self._storage.put_content(paths.blob(digest), data, if_absent=self._if_absent)

        async def link() -> None:
            await self._links.write(paths.layer_link(name, digest), digest)

        await at_once((store, link), lambda step: step())
        await self._descriptors.put(digest, Descriptor(len(data)))
        await self._keep(digest)

    async def link(self, name: str, digest: Digest) -> None:
        """Make a stored blob part of the repository.

        Raises:
            BlobUnknownError: It was garbage, and is gone by now.
        """
        await self._links.write(paths.layer_link(name, digest), digest)
        await self._keep(digest)

    async def unlink(self, name: str, digest: Digest) -> None:
        """Take a blob out of the repository; its bytes stay for the others.

        Raises:
            BlobUnknownError: The repository does not have it.
        """
        if not await self._links.delete(paths.layer_link(name, digest)):
            raise BlobUnknownError(digest)

    # What is stored ----------------------------------------------------------------------------

    async def is_stored(self, digest: Digest) -> bool:
        """Tell whether the bytes are there, whoever links them."""
        return await is_file(self._storage, paths.blob(digest))

    async def get(self, digest: Digest) -> bytes:
        """Give the bytes of a small blob.

        Raises:
            BlobUnknownError: They are not stored.
        """
        try:
            return await self._storage.get_content(paths.blob(digest))
        except PathNotFoundError:
            raise await self._gone(digest) from None

    async def small(self, digest: Digest, size: int) -> bytes | None:
        """Give the bytes of a blob if there are few of them; None if it has to be streamed.

        Raises:
            BlobUnknownError: They are not stored.
        """
        if size > _SMALL_BYTES:
            return None
        kept = self._kept.get(digest)
        if kept is not None:
            return kept.data
        data = await self.get(digest)
        if len(data) != size:
            return None  # damaged: who streams it cuts it off
        self._kept.put(digest, NamedContent(data), size)
        return data

    async def reader(self, digest: Digest, offset: int, length: int) -> FileReader:
        """Open a blob for streaming.

        Raises:
            BlobUnknownError: The bytes are not stored.
        """
        try:
            return await self._storage.reader(paths.blob(digest), offset=offset, length=length)
        except PathNotFoundError:
            raise await self._gone(digest) from None

    async def local_path(self, digest: Digest) -> str | None:
        """Give a path at which the server can open the blob; None where the store is not local.

        Raises:
            BlobUnknownError: The bytes are not stored.
        """
        if not self._storage.capabilities.local_path:
            return None
        try:
            return await self._storage.local_path(paths.blob(digest))
        except PathNotFoundError:
            raise await self._gone(digest) from None

    async def local_file(self, digest: Digest, size: int) -> FileIO | None:
        """Open the file that a blob is; None where there is none, or one of another size.

        Raises:
            BlobUnknownError: The bytes are not stored.
        """
        path = await self.local_path(digest)
        return None if path is None else await asyncio.to_thread(_opened, path, size)

    async def redirect_url(self, digest: Digest) -> str | None:
        """Give a URL at which the store sends a blob itself; None where it signs none.

        Whoever has the URL can read the blob for some minutes.
        """
        if not self._storage.capabilities.sign_get:
            return None
        return await self._storage.redirect_url(paths.blob(digest))

    async def put(self, digest: Digest, body: Body) -> None:
        """Store a body whose digest is known beforehand. What is there already stays.

        Nobody may change what the body gives.

        Raises:
            DigestMismatchError: The body has another digest; nothing was stored.
        """
        await self._condemned.release_blob(digest)
        try:
            await self._storage.put_content(
                paths.blob(digest),
                body,
                digest=str(digest),
                if_absent=self._if_absent,
                frozen=True,
            )
        except AlreadyExistsError:
            pass  # the same bytes, or they would have another digest
        except ChecksumMismatchError as error:
            raise DigestMismatchError(error.message) from error

    async def publish(self, writer: FileWriter, digest: Digest) -> None:
        """Commit a writer as the blob `digest`. What is there already stays.

        Raises:
            DigestMismatchError: Other bytes were written. The upload is cancelled.
        """
        await self._condemned.release_blob(digest)
        try:
            info = await writer.commit(
                to=paths.blob(digest), digest=str(digest), if_absent=self._if_absent_late
            )
            await self._descriptors.put(digest, Descriptor(info.size))
        except AlreadyExistsError:
            await _drop(writer)
        except ChecksumMismatchError as error:
            await _drop(writer)
            raise DigestMismatchError(error.message) from error

    async def _keep(self, digest: Digest) -> None:
        """See to it that a blob that was linked just now stays.

        Raises:
            BlobUnknownError: It was garbage, and is gone by now.
        """
        if not await self._condemned.keep_blob(digest):
            raise await self._gone(digest)

    async def _gone(self, digest: Digest) -> BlobUnknownError:
        """Forget what is remembered of a blob whose bytes are gone, and give the error."""
        await self._descriptors.forget(digest)
        return BlobUnknownError(digest)


async def _drop(writer: FileWriter) -> None:
    # Where the digest was found by reading back, the upload is over already.
    with suppress(UploadNotFoundError):
        await writer.cancel()


def _opened(path: str, size: int) -> FileIO | None:
    """Open a file of this size. Of any other, or none, who reads it by the driver tells."""
    try:
        file = FileIO(path)
    except OSError:
        return None
    if os.fstat(file.fileno()).st_size == size:
        return file
    file.close()
    return None
