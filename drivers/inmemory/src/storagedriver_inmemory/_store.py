"""Objects by path, in order, and uploads by id: what several drivers of one process can share."""

from __future__ import annotations

import itertools
import os
import threading
import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from storagedriver_core import (
    AlreadyExistsError,
    ConflictError,
    FileInfo,
    PathNotFoundError,
    UploadCuts,
    UploadNotFoundError,
    UploadOptions,
    child_prefix,
    is_internal,
)


@dataclass(frozen=True, slots=True)
class Object:
    """One stored object; replaced as a whole, never changed.

    Attributes:
        data: The bytes.
        etag: Differs from that of every other object of this and of any other store.
        mod_time: Aware UTC.
        content_type: As given.
        metadata: As given.
        upload_id: The upload that made it; empty for a plain put or a copy.
        holder: The writer that completed the upload.
    """

    data: bytes
    etag: str
    mod_time: datetime
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    upload_id: str = ""
    holder: str = ""


@dataclass(slots=True)
class PendingUpload:
    """One upload in progress.

    Attributes:
        path: What it was opened for.
        options: As given.
        holder: The writer that may go on with it; empty while there is none.
        started_at: Aware UTC.
        updated_at: Aware UTC.
        data: The bytes so far; a gap is zero.
        cuts: What became of bytes that older tokens promised.
    """

    path: str
    options: UploadOptions
    holder: str
    started_at: datetime
    updated_at: datetime
    data: bytearray = field(default_factory=bytearray)
    cuts: UploadCuts = field(default_factory=UploadCuts)


class Store:
    """The content of one in-memory store.

    Every method is one atomic step, from any thread. Paths sort by code point, which is the byte
    order of their UTF-8.

    Attributes:
        exists: False makes a store that is missing, as a bucket can be.
    """

    def __init__(self, *, exists: bool = True) -> None:
        self.exists = exists
        self._lock = threading.RLock()
        self._objects: dict[str, Object] = {}
        self._paths: list[str] = []
        self._uploads: dict[str, PendingUpload] = {}
        self._numbers = itertools.count(1)
        # A store that begins anew repeats no etag: what somebody kept of the last one is stale.
        self._etag_prefix = os.urandom(8).hex()

    @staticmethod
    def now() -> datetime:
        """Give the time by the store's own clock."""
        # Not time.time(): the store's clock is no other than the kernel's, whatever a caller
        # has put in its place.
        return datetime.fromtimestamp(time.clock_gettime(time.CLOCK_REALTIME), UTC)

    def paths(self) -> list[str]:
        """Give every path, internal ones included."""
        with self._lock:
            return list(self._paths)

    # Objects

    def get(self, path: str) -> Object:
        """Give the object at `path`."""
        found = self._objects.get(path)
        if found is None:
            raise PathNotFoundError
        return found

    def stat(self, path: str) -> FileInfo:
        """Tell of the file at `path`, or else of the directory."""
        found = self._objects.get(path)
        if found is not None:
            return file_info(path, found, whole=True)
        if path == "/" or self.has_directory(path):
            return FileInfo(path, is_dir=True)
        raise PathNotFoundError

    def has_directory(self, path: str) -> bool:
        """Tell whether anything lies below `path`."""
        prefix = child_prefix(path)
        with self._lock:
            index = bisect_left(self._paths, prefix)
            return index < len(self._paths) and self._paths[index].startswith(prefix)

    def put(
        self,
        path: str,
        data: bytes,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
        upload_id: str = "",
        holder: str = "",
    ) -> FileInfo:
        """Store an object, if the conditions hold."""
        with self._lock:
            old = self._objects.get(path)
            if if_absent and old is not None:
                raise AlreadyExistsError
            if if_match is not None and (old is None or old.etag != if_match):
                raise ConflictError("the etag is another")
            new = Object(
                data,
                self._new_etag(),
                self.now(),
                content_type,
                dict(metadata or {}),
                upload_id,
                holder,
            )
            self._insert(path, new)
            return file_info(path, new, whole=True)

    def move(self, source: str, target: str, *, if_absent: bool) -> None:
        """Give the object at `source` the path `target`."""
        with self._lock:
            moved = self.get(source)
            if if_absent and target in self._objects:
                raise AlreadyExistsError(path=target)
            self._insert(target, moved)
            self._remove(source)

    def copy(self, source: str, target: str, *, if_absent: bool) -> None:
        """Store the object at `source` a second time."""
        found = self.get(source)
        self.put(
            target,
            found.data,
            content_type=found.content_type,
            metadata=found.metadata,
            if_absent=if_absent,
        )

    def delete(self, path: str) -> None:
        """Delete the file at `path` and everything below it."""
        with self._lock:
            prefix = child_prefix(path)
            start = bisect_left(self._paths, prefix)
            end = bisect_left(self._paths, prefix[:-1] + "0")  # "0" follows "/"
            gone = self._paths[start:end]
            if path == "/":
                gone = [below for below in gone if not is_internal(below)]
            if path in self._objects:
                gone.append(path)
            elif not gone and path != "/":
                raise PathNotFoundError
            if len(gone) == 1:
                self._remove(gone[0])
                return
            for each in gone:
                del self._objects[each]
            self._paths = [each for each in self._paths if each in self._objects]

    def children(self, path: str, after: str | None, count: int) -> list[FileInfo]:
        """Give up to `count` direct children after the sort key `after`, in order.

        The sort key of a file is its path, that of a directory its path and a `/`.
        """
        prefix = child_prefix(path)
        found: list[FileInfo] = []
        with self._lock:
            paths = self._paths
            index = bisect_left(paths, prefix) if after is None else bisect_right(paths, after)
            while len(found) < count and index < len(paths):
                key = paths[index]
                if not key.startswith(prefix):
                    if key > prefix:
                        break
                    index = bisect_left(paths, prefix)
                    continue
                slash = key.find("/", len(prefix))
                if slash < 0:
                    found.append(file_info(key, self._objects[key]))
                    index += 1
                    continue
                if after is None or key[: slash + 1] > after:
                    found.append(FileInfo(key[:slash], is_dir=True))
                index = bisect_left(paths, key[:slash] + "0", index)
        return found

    def below(self, path: str, after: str | None, count: int) -> list[FileInfo]:
        """Give up to `count` files below the directory `path`, after the path `after`."""
        prefix = child_prefix(path)
        with self._lock:
            start = bisect_left(self._paths, prefix)
            if after is not None:
                start = max(start, bisect_right(self._paths, after))
            end = bisect_left(self._paths, prefix[:-1] + "0")
            chosen = self._paths[start : min(end, start + count)]
            return [file_info(each, self._objects[each]) for each in chosen]

    # Uploads

    def open_upload(self, path: str, holder: str, options: UploadOptions) -> str:
        """Begin an upload and give its id."""
        with self._lock:
            upload_id = f"upload-{next(self._numbers)}"
            now = self.now()
            self._uploads[upload_id] = PendingUpload(path, options, holder, now, now)
            return upload_id

    def upload(self, upload_id: str, holder: str | None = None) -> PendingUpload:
        """Give an upload in progress, if `holder` (where given) still has it."""
        found = self._uploads.get(upload_id)
        if found is None:
            raise UploadNotFoundError
        if holder is not None and found.holder != holder:
            raise ConflictError("another writer has resumed the upload")
        return found

    def complete_upload(
        self, upload_id: str, holder: str, path: str, size: int, *, if_absent: bool
    ) -> FileInfo:
        """Publish the first `size` bytes of an upload."""
        with self._lock:
            pending = self.upload(upload_id, holder)
            if len(pending.data) < size:
                raise ConflictError(f"the upload holds {len(pending.data)} bytes, not {size}")
            info = self.put(
                path,
                bytes(memoryview(pending.data)[:size]),
                content_type=pending.options.content_type,
                metadata=pending.options.metadata,
                if_absent=if_absent,
                upload_id=upload_id,
                holder=holder,
            )
            del self._uploads[upload_id]
            return info

    def release_upload(self, upload_id: str, holder: str) -> None:
        """Say that `holder` is gone; nothing if it has not got the upload."""
        with self._lock:
            found = self._uploads.get(upload_id)
            if found is not None and found.holder == holder:
                found.holder = ""

    def abort_upload(self, upload_id: str, holder: str) -> None:
        """Drop an upload; one that is held only for a holder, whichever it is."""
        with self._lock:
            found = self.upload(upload_id)
            if found.holder and not holder:
                raise ConflictError("a writer holds the upload")
            del self._uploads[upload_id]

    def uploads(self) -> list[tuple[str, PendingUpload]]:
        """Give every upload in progress with its id."""
        with self._lock:
            return list(self._uploads.items())

    def _new_etag(self) -> str:
        return f"{self._etag_prefix}{next(self._numbers):x}"

    def _insert(self, path: str, new: Object) -> None:
        if path not in self._objects:
            insort(self._paths, path)
        self._objects[path] = new

    def _remove(self, path: str) -> None:
        del self._objects[path]
        del self._paths[bisect_left(self._paths, path)]


def file_info(path: str, stored: Object, *, whole: bool = False) -> FileInfo:
    """Tell of an object; `whole` with content type and metadata, as `stat` does."""
    return FileInfo(
        path,
        size=len(stored.data),
        mod_time=stored.mod_time,
        etag=stored.etag,
        content_type=stored.content_type if whole else None,
        metadata=stored.metadata if whole else None,
    )
