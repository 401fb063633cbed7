"""The blocking facade: the client for code without an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from storagedriver_core import LoopThread
from storagedriver_registry.client.blobs import BlobContent, BlobInfo
from storagedriver_registry.client.manifests import FetchedManifest, ManifestInfo, PutManifest
from storagedriver_registry.client.platforms import Platform
from storagedriver_registry.client.reading import BlobReader
from storagedriver_registry.client.registry import RegistryClient
from storagedriver_registry.client.repository import Repository
from storagedriver_registry.digest import Digest

if TYPE_CHECKING:
    from typing import Self

_CHUNK = 1 << 20


class SyncRegistryClient:
    """A `RegistryClient` whose methods block; any number of threads may call them.

    ```python
    with SyncRegistryClient(RegistryClient("localhost:5000")) as registry:
        manifest = registry.repository("a/b").get_manifest("v1")
    ```

    The operations run on an event loop in a thread that is started by `with` and ended with it.
    `ClosedError` comes at once where blocking could not work: inside a running event loop, in a
    forked child, outside of `with`. An interrupt (Ctrl-C) cancels what is waited for.

    Args:
        client: The client, which is closed with this, and used by nobody else.
    """

    def __init__(self, client: RegistryClient) -> None:
        self._client = client
        self._loop = LoopThread("client of the registry", "RegistryClient")

    def __repr__(self) -> str:
        return f"<SyncRegistryClient of {self._client.host}>"

    def __enter__(self) -> Self:
        self._loop.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, and end the thread. Idempotent."""
        self._loop.stop(self._client.aclose)

    def ping(self) -> None:
        """Return if it is a registry, and it takes the credentials."""
        self._loop.run(self._client.ping)

    def repository(self, name: str) -> SyncRepository:
        """Give a repository, whether it is there or not; nothing is asked."""
        return SyncRepository(self._loop, self._client.repository(name))

    def catalog(self, *, page_size: int | None = None) -> Iterator[str]:
        """Give the names of the repositories, in the registry's order."""
        return self._loop.iterate(lambda: self._client.catalog(page_size=page_size))


class SyncRepository:
    """A `Repository` whose methods block; they are described there."""

    def __init__(self, loop: LoopThread, repository: Repository) -> None:
        self.name = repository.name
        self._loop = loop
        self._repository = repository

    def __repr__(self) -> str:
        return f"<Sync{repr(self._repository)[1:]}"

    # Manifests ---------------------------------------------------------------------------------

    def head_manifest(self, reference: Digest | str) -> ManifestInfo:
        """Ask what a tag or digest is."""
        return self._loop.run(self._repository.manifests.head, reference)

    def get_manifest(
        self, reference: Digest | str, *, platform: Platform | str | None = None
    ) -> FetchedManifest:
        """Fetch a manifest; of an index, if a platform is given, the one for it."""
        return self._loop.run(self._repository.manifests.get, reference, platform=platform)

    def put_manifest(
        self, reference: Digest | str, data: bytes, media_type: str | None = None
    ) -> PutManifest:
        """Store a manifest, byte for byte."""
        return self._loop.run(self._repository.manifests.put, reference, data, media_type)

    def delete_manifest(self, reference: Digest | str) -> None:
        """Delete a manifest with its tags, if it is named by its digest; else the tag alone."""
        self._loop.run(self._repository.manifests.delete, reference)

    def tags(self, *, page_size: int | None = None) -> Iterator[str]:
        """Give the tags, in the registry's order."""
        return self._loop.iterate(lambda: self._repository.tags.list(page_size=page_size))

    def referrers(
        self, subject: Digest | str, *, artifact_type: str | None = None
    ) -> Iterator[Mapping[str, Any]]:
        """Give the descriptors of what refers to a manifest."""
        return self._loop.iterate(
            lambda: self._repository.referrers.list(subject, artifact_type=artifact_type)
        )

    # Blobs -------------------------------------------------------------------------------------

    def stat_blob(self, digest: Digest | str) -> BlobInfo:
        """Ask for a blob's size."""
        return self._loop.run(self._repository.blobs.stat, digest)

    def open_blob(
        self, digest: Digest | str, *, offset: int = 0, length: int | None = None
    ) -> SyncBlobReader:
        """Open a blob for reading; use it in `with`."""
        reader = self._loop.run(self._repository.blobs.open, digest, offset=offset, length=length)
        return SyncBlobReader(self._loop, reader)

    def read_blob(self, digest: Digest | str, most: int = 4 << 20) -> bytes:
        """Read a small blob."""
        return self._loop.run(self._repository.blobs.read, digest, most)

    def upload_blob(self, digest: Digest | str, content: bytes | BinaryIO) -> None:
        """Upload a blob.

        Args:
            digest: Its digest.
            content: Its bytes, or a file that can be sought in, from its beginning on.
        """
        source: BlobContent
        if isinstance(content, bytes):
            source, size = content, len(content)
        else:
            source, size = _chunks_of(content), content.seek(0, 2)
        self._loop.run(self._repository.blobs.upload, digest, source, size)

    def mount_blob(self, digest: Digest | str, source: str) -> bool:
        """Link a blob of another repository; tell whether that could be."""
        return self._loop.run(self._repository.blobs.mount, digest, source)

    def delete_blob(self, digest: Digest | str) -> None:
        """Delete a blob from the repository."""
        self._loop.run(self._repository.blobs.delete, digest)


class SyncBlobReader:
    """A `BlobReader` whose methods block. One thread at a time may use it."""

    def __init__(self, loop: LoopThread, reader: BlobReader) -> None:
        self._loop = loop
        self._reader = reader

    def __repr__(self) -> str:
        return f"<Sync{repr(self._reader)[1:]}"

    @property
    def size(self) -> int:
        """Bytes of the whole blob."""
        return self._reader.size

    def read(self, size: int = -1) -> bytes:
        """Give the next `size` bytes, fewer only at the end; all that is left for -1."""
        return self._loop.run(self._reader.read, size)

    def __iter__(self) -> Iterator[bytes]:
        async def step() -> bytes:
            return await anext(self._reader, b"")

        while chunk := self._loop.run(step):
            yield chunk

    def close(self) -> None:
        """Let go of the connection. Idempotent."""
        if self._loop.is_running:
            self._loop.run(self._reader.aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _chunks_of(file: BinaryIO) -> Callable[[int], AsyncIterator[bytes]]:
    async def chunks(offset: int) -> AsyncIterator[bytes]:
        file.seek(offset)
        # Blocks the loop, which is this client's alone, no longer than a disk takes.
        while chunk := file.read(_CHUNK):
            yield chunk

    return chunks
