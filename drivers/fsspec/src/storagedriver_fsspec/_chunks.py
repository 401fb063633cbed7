"""Uploads on stores whose files are written whole: chunks, which are joined at the end.

```text
.storagedriver/uploads/<32 hex digits>+a+b/
    head~<holder>           who may write
    <number>~<holder>       a part; who has put it is in the ledger
    whole~<holder>          the chunks, joined
    done~<holder>           in place of the head: the holder is about to publish, or has
```

Theory of operation. A part is never changed once the ledger has it: another holder puts it under
another name. So every token stays good until the upload ends. Where the store renames, of two that
rename the head one finds it gone. To commit is to join, to rename the head to `done`, and to rename
`whole` to the object's name. Whoever finds `done` and removes `whole` has kept that from happening;
if there is no `whole`, it has happened. Whether the object is still that one its stamp tells, where
the store keeps stamps; elsewhere the outcome is unknown.

Where the store does not rename, the head is looked at before the object is put, and two that resume
one token in the same moment are not told apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress

from storagedriver_core import (
    AlreadyExistsError,
    Buffer,
    CompleteOptions,
    ConflictError,
    FileInfo,
    Part,
    PathNotFoundError,
    StorageDriverError,
    UnavailableError,
    Upload,
    UploadInfo,
    UploadNotFoundError,
    UploadOptions,
    UploadState,
)
from storagedriver_fsspec._errors import RefusedError
from storagedriver_fsspec._files import Files
from storagedriver_fsspec._names import (
    LONG_AGO,
    PUTS,
    SEEN,
    UPLOADS,
    checked_name,
    checked_rest,
    files_as_uploads,
    is_name,
    new_name,
    path_of,
    seen_of,
)
from storagedriver_fsspec._store import Store

_TRIES = 20
_LOOKS = 3


class ChunkUploads:
    """The uploads of one driver.

    Args:
        store: Where the objects are.
        files: Its filesystem.
        renames: The filesystem renames, in one step.
    """

    def __init__(self, store: Store, files: Files, *, renames: bool) -> None:
        self._store = store
        self._files = files
        self._renames = renames
        # What writers of this driver have published and not let go of yet.
        self._done: dict[tuple[str, str], FileInfo] = {}
        # Those that are published and not cleaned up, and of these the ones that were let go of.
        self._left: set[str] = set()
        self._due: list[Upload] = []
        # What they were about to publish.
        self._begun: dict[tuple[str, str], FileInfo] = {}

    async def open(self, path: str, holder: str, options: UploadOptions) -> Upload:
        """Begin an upload."""
        await self.sweep()
        upload = Upload(path, new_name(path), holder=holder, options=options)
        # It is never there, so there is no need to find that out by a write that fails. If it is,
        # the reply to this very request was lost: nobody else has the name.
        with suppress(PathNotFoundError, RefusedError, AlreadyExistsError):
            await self._files.make_directory(_directory(upload))
        await self._store.write(_file(upload, "head"), [holder.encode()])
        return upload

    async def write(self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]) -> Part:
        """Store one part as a file."""
        await self._require_head(upload)
        try:
            await self._files.write(_file(upload, str(number)), data)
        except PathNotFoundError:
            raise await self._gone(upload) from None
        size = sum(memoryview(chunk).nbytes for chunk in data)
        return Part(number, offset, size, upload.holder)

    async def sync(self, upload: Upload) -> None:
        """Nothing: parts are as durable as the store makes them."""

    def forget(self, upload: Upload) -> None:
        """Forget what the holder has published."""
        self._done.pop((upload.upload_id, upload.holder), None)
        self._begun.pop((upload.upload_id, upload.holder), None)
        if upload.upload_id in self._left:
            self._left.discard(upload.upload_id)
            self._due.append(upload)

    async def release(self, upload: Upload) -> None:
        """Forget what the holder has published, and try to clean up once more."""
        self.forget(upload)
        await self.sweep()

    async def sweep(self) -> None:
        """Remove what could not be removed before; what still cannot be is left to the purge."""
        while self._due:
            with suppress(IndexError, StorageDriverError):  # another thread sweeps as well
                await self._files.remove_all(_directory(self._due.pop()))

    async def resume(self, upload: Upload, size: int) -> UploadState:
        """Give the upload to a new holder."""
        for _ in range(_TRIES):
            names = await self._names(upload)
            found = next((each for each in names if each.startswith(("head~", "done~"))), None)
            if found is None:
                info = await self._published(upload, upload.path)
                return UploadState(info.size, info)
            with suppress(PathNotFoundError):  # taken by another in this moment
                completed = await self._take(upload, found)
                return UploadState(completed.size if completed else size, completed)
        raise ConflictError("others take the upload over all the time")

    async def _take(self, upload: Upload, found: str) -> FileInfo | None:
        """Become the holder; give the object, if it was published already."""
        kind, _, holder = found.partition("~")
        directory, own = _directory(upload), _file(upload, "head")
        if kind == "done":
            try:
                await self._files.remove(f"{directory}/whole~{holder}")
            except PathNotFoundError:
                return await self._published(upload, upload.path)
        if self._renames:
            await self._files.rename(f"{directory}/{found}", own)
        else:
            await self._files.write(own, [upload.holder.encode()])
            await self._files.remove(f"{directory}/{found}")
        return None

    async def _published(self, upload: Upload, path: str) -> FileInfo:
        """Give the object at `path` if this very upload made it."""
        with suppress(PathNotFoundError):
            info = await self._files.info(path)
            if not info.is_dir and await self._files.stamp_of(path) == stamp_for(upload):
                return info
        raise UploadNotFoundError(outcome="unknown")

    async def complete(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        """Join the parts and publish them."""
        done = self._done.get((upload.upload_id, upload.holder))
        if done is not None:
            return await self._again(done)
        try:
            await self._require_head(upload)
        except StorageDriverError:
            # This writer's own attempt may have come as far as that.
            if not await self._has_begun(upload):
                raise
            info = await self._go_on(upload, options)
            self._done[upload.upload_id, upload.holder] = info
            return info
        directory = _directory(upload)
        chunks = [f"{directory}/{part.number}~{checked_rest(part.etag)}" for part in parts]
        publish = self._publish if self._renames else self._put
        info = await publish(upload, chunks, options)
        self._done[upload.upload_id, upload.holder] = info
        return info

    async def _publish(
        self, upload: Upload, chunks: Sequence[str], options: CompleteOptions
    ) -> FileInfo:
        head, done, whole = (_file(upload, kind) for kind in ("head", "done", "whole"))
        made = await self._join(upload, chunks, whole, options.size)
        await self._files.stamp(whole, stamp_for(upload))
        try:
            await self._files.rename(head, done)
        except PathNotFoundError:
            raise await self._gone(upload) from None
        info = FileInfo(options.path, made.size, made.mod_time, etag=made.etag)
        self._begun[upload.upload_id, upload.holder] = info
        await self._give_name(upload, options)
        await self._remove_rest(upload)
        return info

    async def _has_begun(self, upload: Upload) -> bool:
        return f"done~{upload.holder}" in await self._names(upload)

    async def _go_on(self, upload: Upload, options: CompleteOptions) -> FileInfo:
        if f"whole~{upload.holder}" in await self._names(upload):
            await self._give_name(upload, options)
            info = await self._files.info(options.path)
        else:
            begun = self._begun.get((upload.upload_id, upload.holder))
            if begun is None:
                info = await self._published(upload, options.path)
            else:
                info = await self._again(begun)
        await self._remove_rest(upload)
        return info

    async def _remove_rest(self, upload: Upload) -> None:
        """Remove what a published upload leaves."""
        try:
            await self._files.remove_all(_directory(upload))
        except StorageDriverError:
            self._left.add(upload.upload_id)  # tried once more after the writer lets go
        else:
            self._left.discard(upload.upload_id)

    async def _give_name(self, upload: Upload, options: CompleteOptions) -> None:
        head, done, whole = (_file(upload, kind) for kind in ("head", "done", "whole"))
        try:
            await self._store.publish(whole, options.path, replace=not options.if_absent)
        except PathNotFoundError:
            raise ConflictError("another writer has taken the upload over") from None
        except StorageDriverError as error:
            if error.outcome == "none":
                with suppress(StorageDriverError):
                    await self._files.rename(done, head)
            raise

    async def _put(
        self, upload: Upload, chunks: Sequence[str], options: CompleteOptions
    ) -> FileInfo:
        await self._require_head(upload)
        info = await self._join(upload, chunks, options.path, options.size)
        await self._remove_rest(upload)
        return info

    async def _join(
        self, upload: Upload, chunks: Sequence[str], target: str, size: int
    ) -> FileInfo:
        try:
            if not chunks:
                await self._files.write(target, [])
            else:
                await self._files.concatenate(chunks, target)
        except PathNotFoundError:
            raise await self._gone(upload) from None
        info = await self._files.info(target)
        if info.size != size:
            raise ConflictError(f"the parts hold {info.size} bytes, not {size}")
        return info

    async def _again(self, done: FileInfo) -> FileInfo:
        with suppress(PathNotFoundError):
            info = await self._files.info(done.path)
            if (info.size, info.mod_time, info.etag) == (done.size, done.mod_time, done.etag):
                return info
        raise UploadNotFoundError(outcome="unknown")

    async def abort(self, upload: Upload) -> None:
        """Drop the upload: a writer's own or another's, but for a purge only what it has seen."""
        seen = seen_of(upload)
        if seen is not None and seen.startswith(f"{PUTS}/"):
            try:
                await self._files.remove(seen)
            except PathNotFoundError:
                raise UploadNotFoundError from None
            return
        place = seen
        if not self._renames or seen in (None, _directory(upload)):
            place = await self._head(upload)
            if seen is not None and place is not None and place != seen:
                raise ConflictError("a writer has resumed the upload")
            # Without a head, what a listing has seen is the rest of an upload that is over.
            if place is None and seen != _directory(upload):
                raise UploadNotFoundError
        if place is not None and self._renames:
            await self._take_away(upload, place)
        await self._files.remove_all(_directory(upload))

    async def _take_away(self, upload: Upload, place: str) -> None:
        """Take the head away, after which nobody resumes the upload."""
        gone = f"{PUTS}/{new_name()}"
        try:
            await self._store.within(gone, lambda: self._files.rename(place, gone), source=place)
        except PathNotFoundError:
            if upload.data.get(SEEN) and await self._head(upload):
                raise ConflictError("a writer has resumed the upload") from None
            raise UploadNotFoundError from None
        with suppress(PathNotFoundError):
            await self._files.remove(gone)

    async def _head(self, upload: Upload) -> str | None:
        names = await self._names(upload)
        found = next((each for each in names if each.startswith(("head~", "done~"))), None)
        return f"{_directory(upload)}/{found}" if found else None

    async def all(self) -> list[UploadInfo]:
        """Give every upload, and every put that is under way or was left over."""
        uploads = await files_as_uploads(self._files, PUTS)
        with suppress(PathNotFoundError):
            for each in await self._files.children(UPLOADS):
                upload_id = each.path.rpartition("/")[2]
                if each.is_dir and is_name(upload_id):
                    with suppress(PathNotFoundError):
                        uploads.append(await self._info(each.path, upload_id))
        return uploads

    async def _info(self, directory: str, upload_id: str) -> UploadInfo:
        found = await self._files.children(directory)
        heads = [each for each in found if "/head~" in each.path or "/done~" in each.path]
        times = [each.mod_time for each in found if each.mod_time is not None] or [LONG_AGO]
        size = sum(each.size for each in found if each not in heads)
        # The head is renamed, which keeps its time.
        started = min(times)
        seen = heads[0].path if heads else directory
        upload = Upload(path_of(upload_id), upload_id, data={SEEN: seen})
        return UploadInfo(upload, started, max(times), size)

    async def _names(self, upload: Upload) -> list[str]:
        for attempt in range(_LOOKS):
            try:
                found = await self._files.children(_directory(upload))
            except PathNotFoundError:
                await self._store.check()
                break
            except UnavailableError:
                # rclone's list of what another writer renames meanwhile breaks off.
                if attempt == _LOOKS - 1:
                    raise
            else:
                return [each.path.rpartition("/")[2] for each in found]
        return []

    async def _require_head(self, upload: Upload) -> None:
        try:
            await self._files.is_directory(_file(upload, "head"))
        except PathNotFoundError:
            raise await self._gone(upload) from None
        except UnavailableError:
            # rclone fails over what another writer renames in this moment.
            if f"head~{upload.holder}" in await self._names(upload):
                raise
            raise await self._gone(upload) from None

    async def _gone(self, upload: Upload) -> StorageDriverError:
        names = await self._names(upload)
        if f"head~{upload.holder}" in names:
            return ConflictError("a part of the upload is gone")
        if any(name.startswith(("head~", "done~")) for name in names):
            return ConflictError("another writer has taken the upload over")
        return UploadNotFoundError(outcome="unknown")


def stamp_for(upload: Upload) -> str:
    """Give what marks a file as published by the upload, and tells nobody its id."""
    return hashlib.sha256(upload.upload_id.encode()).hexdigest()[:32]


def _directory(upload: Upload) -> str:
    return f"{UPLOADS}/{checked_name(upload.upload_id)}"


def _file(upload: Upload, kind: str) -> str:
    return f"{_directory(upload)}/{kind}~{checked_rest(upload.holder)}"
