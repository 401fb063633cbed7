"""Repositories as places that images are copied from and to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Any

from storagedriver_registry.client.errors import InvalidReferenceError, RegistryError
from storagedriver_registry.client.manifests import FetchedManifest
from storagedriver_registry.client.reading import RunningHash
from storagedriver_registry.client.repository import Repository
from storagedriver_registry.client.transfer.journal import Journal
from storagedriver_registry.client.transfer.places import Blob, Chunks, Outcome, Source
from storagedriver_registry.client.uploading import UploadSession
from storagedriver_registry.digest import Digest
from storagedriver_registry.manifest import subject_of

_JOURNALED_BYTES = 4 << 20
"""Bytes from which it is worth the while to go on with an upload, instead of a new one."""


class RepositoryPlace:
    """An image in a repository.

    Args:
        repository: The repository.
        reference: A tag or digest; None where only digests will do, as in a copy of referrers.
        journal: Where uploads are kept that another run can go on with; None to keep none.
    """

    def __init__(
        self,
        repository: Repository,
        reference: str | Digest | None,
        journal: Journal | None = None,
    ) -> None:
        self.repository = repository
        self._reference = reference
        self._journal = journal

    @property
    def name(self) -> str:
        """Host, name and reference."""
        joint = "@" if isinstance(self._reference, Digest) or ":" in str(self._reference) else ":"
        rest = "" if self._reference is None else f"{joint}{self._reference}"
        return f"{self.repository.host}/{self.repository.name}{rest}"

    async def root(self) -> FetchedManifest:
        """Fetch the manifest that the reference names."""
        if self._reference is None:
            raise InvalidReferenceError("a tag or a digest is needed")
        return await self.repository.manifests.get(self._reference)

    async def manifest(self, digest: Digest) -> FetchedManifest:
        """Fetch a manifest."""
        return await self.repository.manifests.get(digest)

    async def chunks(
        self, blob: Blob, offset: int = 0, before: RunningHash | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Fetch a blob."""
        if 0 < offset == blob.size:
            # For registries no range begins at the end.
            return
        async with await self.repository.blobs.open(
            blob.digest, offset=offset, before=before, size=blob.size
        ) as reader:
            async for chunk in reader:
                yield chunk

    async def referrers(self, digest: Digest) -> list[dict[str, Any]]:
        """List what refers to a manifest."""
        return [one async for one in self.repository.referrers.list(digest)]

    async def put_blob(self, blob: Blob, chunks: Chunks, source: Source) -> Outcome:
        """Upload a blob, unless it is there or can be mounted."""
        blobs = self.repository.blobs
        if await blobs.exists(blob.digest):
            return Outcome.PRESENT
        session: UploadSession | None = None
        if isinstance(source, RepositoryPlace) and source.repository.host == self.repository.host:
            session = await blobs.uploads.mount_or_begin(blob.digest, source.repository.name)
            if session is None:
                return Outcome.MOUNTED

        def opened(offset: int) -> AsyncIterator[bytes]:
            return chunks(offset, None)

        if self._journal is None or blob.size < _JOURNALED_BYTES:
            await blobs.upload(blob.digest, opened, blob.size, session=session)
            return Outcome.COPIED
        where = (self.repository.host, self.repository.name, str(blob.digest))
        with self._journal.entry("upload", *where) as entry:
            kept = entry.read().get("location")

            def keep(session: UploadSession) -> None:
                entry.write(location=session.location)

            if kept is not None:
                if session is not None:
                    # It was begun as there was nothing to mount. Where it cannot be, it ages out.
                    with suppress(RegistryError):
                        await blobs.uploads.cancel(session)
                session = UploadSession(kept)
            elif session is not None:
                keep(session)
            try:
                await blobs.upload(blob.digest, opened, blob.size, session=session, on_session=keep)
            except BaseException as error:
                # What is cancelled, or wrong for good, was dropped.
                if not (isinstance(error, RegistryError) and error.temporary):
                    entry.remove()
                raise
            entry.remove()
        return Outcome.COPIED

    async def put_manifest(self, manifest: FetchedManifest, *, is_root: bool) -> None:
        """Put a manifest, and list it for its subject where the registry does not."""
        reference = self._reference if is_root and self._reference is not None else manifest.digest
        done = await self.repository.manifests.put(reference, manifest.data, manifest.media_type)
        if not done.lists_subject and subject_of(manifest.data) is not None:
            await self.repository.referrers.record(manifest.data, manifest.media_type)

    async def finish(self) -> None:
        """Do nothing: everything is visible."""

    async def abandon(self) -> None:
        """Do nothing: the registry collects blobs that no manifest names."""

    async def release(self) -> None:
        """Do nothing: nobody waits."""
