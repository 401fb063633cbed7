"""Keeps the digest of what is written, and compares whatever is read as a whole.

A digest is an object beside the one that it is of, in a tree of the same shape:

```text
/a/b                              the object
/.storagedriver/checksums/a/b     {"version": its etag, "size": bytes, "sha256": hex}
```

They are two objects, and no store writes two at once. So a digest counts only for the version that
it names: what another program has written since, or a crash has left without one, is read as it is
and not compared. A wrong digest can therefore not come about by a race, only a missing one. Where a
store has no etags, nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from storagedriver_core._capabilities import Capabilities
from storagedriver_core._driver import ByteStream, StorageDriver
from storagedriver_core._errors import (
    ChecksumMismatchError,
    PathNotFoundError,
    StorageDriverError,
)
from storagedriver_core._hashing import update_aside
from storagedriver_core._paths import INTERNAL_COMPONENT, is_internal
from storagedriver_core._reader import byte_range
from storagedriver_core._types import (
    Buffer,
    CompleteOptions,
    DeleteReport,
    FileInfo,
    Part,
    PutOptions,
    ReadOptions,
    Upload,
)
from storagedriver_core.middleware._wrapper import DriverMiddleware

logger = logging.getLogger(__name__)

_DIRECTORY = f"/{INTERNAL_COMPONENT}/checksums"
_ALGORITHM = "sha256"


class ChecksumParameters(BaseModel):
    """Parameters of `checksum`: it has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class _Note:
    """What is kept of one version of an object."""

    version: str
    size: int
    digest: str

    def is_of(self, info: FileInfo) -> bool:
        return (self.version, self.size) == (info.etag, info.size)


class ChecksumMiddleware(DriverMiddleware):
    """Keeps the SHA-256 of each object that is put or committed, and compares whole reads with it.

    A reader that differs raises `ChecksumMismatchError` in the place of its last chunk, so nobody
    takes damaged content for whole; ranges and redirected clients are not compared. Each write
    costs one more request, each whole read and each delete another one. A move or copy that gives
    the object another etag leaves it without a digest until it is written again, and an object
    without an etag never has one.
    """

    own_digests = (_ALGORITHM,)

    def __init__(self, driver: StorageDriver, parameters: ChecksumParameters) -> None:
        super().__init__(driver, narrow=_shorter_paths)

    # Writing -----------------------------------------------------------------------------------

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        if is_internal(path):
            return await super().put_content(path, data, options)
        hasher = hashlib.sha256()
        await update_aside(hasher, data)
        info = await super().put_content(path, data, options)
        await self._keep(path, info, hasher.hexdigest())
        return info

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        info = await super().complete_upload(upload, parts, options)
        digest = options.digests.get(_ALGORITHM)
        if digest is not None and not is_internal(options.path):
            await self._keep(options.path, info, digest)
        return info

    async def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        note = await self._note(source)
        await super().copy(source, target, if_absent=if_absent)
        await self._keep_for_same(target, note)

    async def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        note = await self._note(source)
        await super().move(source, target, if_absent=if_absent)
        await self._keep_for_same(target, note)
        await self._forget(source)

    async def delete(self, path: str) -> None:
        await super().delete(path)
        await self._forget(path)

    async def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        report = await super().delete_many(paths)
        notes = [_place(path) for path in report.deleted if not is_internal(path)]
        if notes:
            try:
                await self.driver.delete_many(notes)
            except StorageDriverError as error:
                logger.warning("%d digests of what was deleted stay: %s", len(notes), error)
        return report

    # Reading -----------------------------------------------------------------------------------

    async def get_content(self, path: str) -> bytes:
        if is_internal(path):
            return await super().get_content(path)
        # By a reader, which tells the version that it reads.
        return await StorageDriver.get_content(self, path)

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        stream = await super().open_reader(path, options)
        if is_internal(path) or byte_range(stream.info.size, options) != (0, stream.info.size):
            return stream
        try:
            note = await self._note(path)
        except BaseException:
            await stream.aclose()
            raise
        if note is None or not note.is_of(stream.info):
            return stream
        return _ComparedStream(stream, note.digest)

    # Digests -----------------------------------------------------------------------------------

    async def _note(self, path: str) -> _Note | None:
        """Give what is kept for a path."""
        if is_internal(path):
            return None
        try:
            content = await self.driver.get_content(_place(path))
        except PathNotFoundError:
            return None
        try:
            kept = json.loads(content)
            return _Note(str(kept["version"]), int(kept["size"]), str(kept[_ALGORITHM]))
        except (ValueError, KeyError, TypeError):
            logger.warning("%s: what is kept of its digest cannot be read", path)
            return None

    async def _keep(self, path: str, info: FileInfo, digest: str) -> None:
        if info.etag is None:
            return  # two versions can have the same time and size, so nothing names one
        note = {"version": info.etag, "size": info.size, _ALGORITHM: digest}
        try:
            await self.driver.put_content(_place(path), json.dumps(note).encode(), PutOptions())
        except StorageDriverError as error:
            # The object itself is there, and what is kept of the one before is not of this one.
            logger.warning("%s: its digest could not be kept: %s", path, error)

    async def _keep_for_same(self, path: str, note: _Note | None) -> None:
        """Keep a digest for a moved or copied object, if nothing says that it is another one."""
        if note is None or is_internal(path):
            return
        try:
            info = await self.driver.stat(path)
        except StorageDriverError as error:
            logger.warning("%s: its digest could not be kept: %s", path, error)
            return
        if note.is_of(info):
            await self._keep(path, info, note.digest)

    async def _forget(self, path: str) -> None:
        """Delete what is kept for a file, or for all below a directory."""
        if is_internal(path):
            return
        try:
            await self.driver.delete(_place(path))
        except PathNotFoundError:
            pass
        except StorageDriverError as error:
            logger.warning("%s: the digest of what was deleted stays: %s", path, error)


class _ComparedStream(ByteStream):
    """A stream of a whole object, whose last chunk comes only if all of it is what was written."""

    def __init__(self, stream: ByteStream, digest: str) -> None:
        self.info = stream.info
        self._stream = stream
        self._digest = digest
        self._hasher = hashlib.sha256()
        self._position = 0
        self._is_compared = False

    async def next_chunk(self) -> bytes:
        self._stream.chunk_size = self.chunk_size
        chunk = await self._stream.next_chunk()
        self._position += len(chunk)
        await update_aside(self._hasher, chunk)
        if self._position >= self.info.size and not self._is_compared:
            actual = self._hasher.hexdigest()
            if actual != self._digest:
                raise ChecksumMismatchError(
                    f"sha256:{actual} came, and sha256:{self._digest} was written"
                )
            self._is_compared = True
        return chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _shorter_paths(declared: Capabilities) -> dict[str, int]:
    return {"max_path_bytes": declared.max_path_bytes - len(_DIRECTORY)}


def _place(path: str) -> str:
    return _DIRECTORY if path == "/" else _DIRECTORY + path
