"""Uploads on filesystems whose files grow: each is one file, written in place, renamed at the end.

```text
.storagedriver/uploads/
    <32 hex digits>+a+b~<holder>~<cuts>     an upload for /a/b that a writer holds
    <32 hex digits>+a+b~free~<cuts>         one that its writer has let go of
```

Theory of operation. The name says who may write, and a rename is the one step that changes it: to
take an upload over, to let go of it, to publish it. Of two that try, one finds the name gone. Every
part is written by name, so whoever was dispossessed notices at its next part.

A writer that was not heard to let go (its process died, or it lives elsewhere) may still have a
write on its way to the file. So the new one goes on with a copy of what the token promises; at the
server, where the server copies.

A resume from an older token cuts off what came after it, and the name keeps that (`UploadCuts`).
A commit whose reply was lost is recognised by the time of the last access, which is set to a mark
of the upload: a second between 2038 and 2106, which no read replaces as long as the filesystem is
mounted with `relatime` or `noatime`. Where it is lost, the outcome is unknown.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from storagedriver_core import (
    Buffer,
    CompleteOptions,
    ConflictError,
    FileInfo,
    Part,
    PathNotFoundError,
    StorageDriverError,
    Upload,
    UploadCuts,
    UploadInfo,
    UploadNotFoundError,
    UploadOptions,
    UploadState,
)
from storagedriver_fsspec._errors import NotDurableError
from storagedriver_fsspec._files import GrowingFiles
from storagedriver_fsspec._names import (
    PUTS,
    UPLOADS,
    checked_name,
    checked_rest,
    files_as_uploads,
    is_name,
    new_name,
    seen_of,
)
from storagedriver_fsspec._store import Store

_FREE = "free"
_CUTS = "name"
_TRIES = 20
_NO_CUTS = UploadCuts()
_MAX_CUTS_LENGTH = 50


@dataclass(frozen=True, slots=True)
class Staged:
    """The name of an upload's file.

    Attributes:
        upload_id: The upload.
        holder: Who may write; `free` for nobody.
        cuts: Cuts that some token may not know.
    """

    upload_id: str
    holder: str
    cuts: UploadCuts = _NO_CUTS

    @property
    def path(self) -> str:
        """Path of the file.

        Raises:
            UploadNotFoundError: The upload or the holder is none, and would lead elsewhere.
        """
        name = f"{checked_name(self.upload_id)}~{checked_rest(self.holder)}"
        return f"{UPLOADS}/{name}~{_spell(self.cuts)}"

    @classmethod
    def of(cls, upload: Upload) -> Staged:
        """Give the name by which the upload's holder knows it."""
        return cls(upload.upload_id, upload.holder, _read(upload.data.get(_CUTS, "")))

    @classmethod
    def parse(cls, name: str) -> Staged | None:
        """Read a name; None for what is no upload."""
        upload_id, _, rest = name.partition("~")
        holder, _, cuts = rest.partition("~")
        return cls(upload_id, holder, _read(cuts)) if holder and is_name(upload_id) else None

    def by(self, holder: str) -> Staged:
        """Give the name for another holder."""
        return Staged(self.upload_id, holder, self.cuts)

    def data(self) -> Mapping[str, str]:
        """Give what tokens carry."""
        return {**self.cuts.data(), _CUTS: _spell(self.cuts)} if self.cuts.cuts else {}


class StagedUploads:
    """The uploads of one driver.

    Args:
        store: Where the objects are.
        files: Its filesystem.
    """

    def __init__(self, store: Store, files: GrowingFiles) -> None:
        self._store = store
        self._files = files
        # What writers of this driver have published and not let go of yet.
        self._done: dict[tuple[str, str], FileInfo] = {}
        # Those of them that a sync has failed for.
        self._suspect: set[tuple[str, str]] = set()

    async def open(self, path: str, holder: str, options: UploadOptions) -> Upload:
        """Begin an upload."""
        staged = Staged(new_name(path), holder)
        await self._store.write(staged.path, [])
        return Upload(path, staged.upload_id, holder=holder, options=options)

    async def write(self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]) -> Part:
        """Store one part where it belongs."""
        try:
            size = await self._files.write_at(Staged.of(upload).path, offset, data)
        except PathNotFoundError:
            raise await self._gone(upload) from None
        return Part(number, offset, size)

    async def sync(self, upload: Upload) -> None:
        """Make durable what was written."""
        try:
            with self._trusted(upload):
                await self._files.sync(Staged.of(upload).path)
        except PathNotFoundError:
            raise await self._gone(upload) from None

    async def release(self, upload: Upload) -> None:
        """Say that the holder writes no more."""
        self._suspect.discard((upload.upload_id, upload.holder))
        if self._done.pop((upload.upload_id, upload.holder), None) is not None:
            return
        staged = Staged.of(upload)
        with suppress(StorageDriverError):
            await self._files.rename(staged.path, staged.by(_FREE).path)

    async def resume(self, upload: Upload, size: int) -> UploadState:
        """Give the upload to a new holder, cut to `size` bytes."""
        for _ in range(_TRIES):
            found = await self._find(upload)
            if found is None:
                completed = await self._published(upload, upload.path)
                return UploadState(completed.size, completed)
            with suppress(PathNotFoundError):  # taken by another in this moment
                return await self._take(found, upload, size)
        raise ConflictError("others take the upload over all the time")

    async def _take(self, found: Staged, upload: Upload, size: int) -> UploadState:
        own = found.by(upload.holder)
        await self._files.rename(found.path, own.path)
        try:
            stored = (await self._files.info(own.path)).size
            found.cuts.require(upload.data, size)
            if stored < size:
                raise ConflictError(f"the upload holds {stored} bytes, not {size}")
        except BaseException:
            with suppress(StorageDriverError):
                await self._files.rename(own.path, found.path)
            raise
        if stored > size:
            # Noted first: bytes that are cut off unnoted could pass for others.
            cut = Staged(own.upload_id, own.holder, _bounded(own.cuts.at(size)))
            await self._files.rename(own.path, cut.path)
            own = cut
        if found.holder != _FREE:
            copy = f"{PUTS}/{new_name()}"
            await self._store.within(
                copy, lambda: self._files.copy_start(own.path, copy, size), source=own.path
            )
            await self._files.rename(copy, own.path)
        elif stored > size:
            await self._files.cut(own.path, size)
        return UploadState(size, data=own.data())

    async def complete(self, upload: Upload, options: CompleteOptions) -> FileInfo:
        """Publish the first `options.size` bytes."""
        done = self._done.get((upload.upload_id, upload.holder))
        if done is not None:
            return await self._again(upload, done)
        staged = Staged.of(upload)
        try:
            with self._trusted(upload):
                made = await self._files.finish(staged.path, options.size, mark_of(upload))
            await self._store.publish(staged.path, options.path, replace=not options.if_absent)
        except PathNotFoundError:
            with suppress(UploadNotFoundError):
                await self._published(upload, options.path)
                raise ConflictError("another writer has committed the upload") from None
            raise await self._gone(upload) from None
        info = FileInfo(options.path, made.size, made.mod_time)
        self._done[upload.upload_id, upload.holder] = info
        return info

    @contextmanager
    def _trusted(self, upload: Upload) -> Iterator[None]:
        """Refuse to sync what a sync has failed for; whoever resumes writes it again."""
        if (upload.upload_id, upload.holder) in self._suspect:
            raise NotDurableError
        try:
            yield
        except NotDurableError:
            self._suspect.add((upload.upload_id, upload.holder))
            raise

    async def _again(self, upload: Upload, done: FileInfo) -> FileInfo:
        info = await self._published(upload, done.path)
        if info.size != done.size:
            raise UploadNotFoundError(outcome="unknown")
        return info

    async def abort(self, upload: Upload) -> None:
        """Drop the upload: a writer's own or another's, but for a purge only what it has seen."""
        seen = seen_of(upload)
        place = seen
        if place is None:
            found = await self._find(upload)
            place = found.path if found else None
        gone = f"{PUTS}/{new_name()}"
        try:
            if place is None:
                raise PathNotFoundError
            await self._store.within(gone, lambda: self._files.rename(place, gone), source=place)
        except PathNotFoundError:
            if seen is not None and await self._find(upload) is not None:
                raise ConflictError("a writer has resumed the upload") from None
            raise UploadNotFoundError from None
        with suppress(PathNotFoundError):
            await self._files.remove(gone)

    async def all(self) -> list[UploadInfo]:
        """Give every upload, and every put that is under way or was left over."""
        return [
            *await files_as_uploads(self._files, UPLOADS),
            *await files_as_uploads(self._files, PUTS),
        ]

    async def _find(self, upload: Upload) -> Staged | None:
        likely = Staged(upload.upload_id, _FREE, _read(upload.data.get(_CUTS, "")))
        with suppress(PathNotFoundError):
            await self._files.info(likely.path)
            return likely
        with suppress(PathNotFoundError):
            for each in await self._files.children(UPLOADS):
                staged = Staged.parse(each.path.rpartition("/")[2])
                if staged is not None and staged.upload_id == upload.upload_id:
                    return staged
        await self._store.check()
        return None

    async def _gone(self, upload: Upload) -> StorageDriverError:
        found = await self._find(upload)
        if found is not None and found.path == Staged.of(upload).path:
            return StorageDriverError("the upload's file cannot be written")
        if found is not None:
            return ConflictError("another writer has taken the upload over")
        return UploadNotFoundError(outcome="unknown")

    async def _published(self, upload: Upload, path: str) -> FileInfo:
        """Give the object at `path` if this very upload made it."""
        with suppress(PathNotFoundError):
            info = await self._files.info(path)
            if not info.is_dir and await self._files.mark(path) == mark_of(upload):
                return info
        raise UploadNotFoundError(outcome="unknown")


def mark_of(upload: Upload) -> int:
    """Give the second, between 2038 and 2106, that marks a file as published by the upload."""
    return 2**31 + zlib.crc32(upload.upload_id.encode()) // 2


def _spell(cuts: UploadCuts) -> str:
    return cuts.to_text().replace(":", "_").replace(",", "-")


def _read(text: str) -> UploadCuts:
    return UploadCuts.from_text(text.replace("_", ":").replace("-", ","))


def _bounded(cuts: UploadCuts) -> UploadCuts:
    """Keep the name short: one cut that says at least as much takes the place of many."""
    if len(_spell(cuts)) <= _MAX_CUTS_LENGTH:
        return cuts
    return UploadCuts(((cuts.cuts[-1][0], cuts.cuts[0][1]),))
