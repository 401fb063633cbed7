"""How a commit publishes: checked first, completed in the right place, moved where it has to be."""

from __future__ import annotations

from dataclasses import dataclass

from storagedriver_core._context import Context
from storagedriver_core._errors import AlreadyExistsError, ChecksumMismatchError
from storagedriver_core._hash_queue import HashQueue
from storagedriver_core._hashing import new_hasher, update_aside
from storagedriver_core._sidecars import delete_sidecars, tail_directory
from storagedriver_core._types import CompleteOptions, FileInfo, ReadOptions
from storagedriver_core._uploader import PartUploader


@dataclass(frozen=True, slots=True)
class Commit:
    """One attempt to publish an upload.

    Attributes:
        context: The storage.
        uploader: What was written.
        hashes: The digests of what was written.
        completed: The object, where the upload was found to be published already.
        has_sidecars: Whether there may be sidecars.
        target: Where to publish.
        if_absent: Refuse if there is an object.
        digest: Digest that must come out, as `sha256:<hex>`; None to compare nothing.
    """

    context: Context
    uploader: PartUploader
    hashes: HashQueue
    completed: FileInfo | None
    has_sidecars: bool
    target: str
    if_absent: bool
    digest: str | None

    async def publish(self) -> tuple[FileInfo, dict[str, str]]:
        """Publish; give the object and the digests that are known of it."""
        await self.hashes.reach(self.uploader.offset)
        digests = self.hashes.hexdigests()
        to_read = self.digest if self._is_unknown(digests) else None
        place = self._place(to_read)
        if self.if_absent and place != self.target:
            self.context.require("move_if_absent")
        info = self.completed or await self._complete(place)
        if to_read is not None:
            digests.update(await self._check_stored(place, to_read))
        if place != self.target:
            info = await self._move(place)
        await self._delete_sidecars()
        return info, digests

    def _is_unknown(self, digests: dict[str, str]) -> bool:
        """Check the digest that was computed on the way; True where there is none."""
        if self.digest is None:
            return False
        algorithm, _, expected = self.digest.partition(":")
        actual = digests.get(algorithm)
        if actual is None:
            new_hasher(algorithm)  # what nobody can compute is refused before anything is sent
            return True
        if actual != expected:
            raise ChecksumMismatchError(f"{algorithm}:{actual} was written, not {self.digest}")
        return False

    def _place(self, to_read: str | None) -> str:
        """Choose where the object is completed: at the target, or where it has to be before."""
        upload = self.uploader.upload
        if self.completed is not None:
            return self.completed.path
        if self.context.capabilities.late_target:
            if to_read is None:
                return self.target
            return f"{tail_directory(upload.upload_id)}/whole"
        if to_read is not None and self.target == upload.path:
            self.context.require("late_target")
        return upload.path

    async def _complete(self, place: str) -> FileInfo:
        upload = self.uploader.upload
        if_absent = self.if_absent
        if place != self.target:
            # On the way to a target elsewhere, what is at the writer's own path must not be lost.
            if_absent = place == upload.path and self.context.capabilities.put_if_absent
        parts = await self.uploader.finish()
        options = CompleteOptions(
            path=place,
            size=self.uploader.offset,
            if_absent=if_absent,
            digests=self.hashes.hexdigests(),
        )
        try:
            return await self.context.driver.complete_upload(upload, parts, options)
        except AlreadyExistsError as error:
            error.stamp(self.context.name, "commit", place)
            raise

    async def _check_stored(self, place: str, digest: str) -> dict[str, str]:
        """Read the object once and compare; what differs is deleted, unless it was there before."""
        algorithm, _, expected = digest.partition(":")
        hasher = new_hasher(algorithm)
        async with await self.context.driver.open_reader(place, ReadOptions()) as stream:
            while chunk := await stream.next_chunk():
                await update_aside(hasher, chunk, self.context.workers)
        actual = hasher.hexdigest()
        if actual != expected:
            if self.completed is None:
                await self._discard(place)
            raise ChecksumMismatchError(f"{algorithm}:{actual} is stored, not {digest}")
        return {algorithm: actual}

    async def _move(self, place: str) -> FileInfo:
        try:
            await self.context.driver.move(place, self.target, if_absent=self.if_absent)
        except AlreadyExistsError:
            # What an earlier commit has published is not this one's to delete.
            if self.completed is None:
                await self._discard(place)
            raise
        return await self.context.driver.stat(self.target)

    async def _discard(self, place: str) -> None:
        """Delete what was completed on the way and then refused."""
        await self.context.driver.delete(place)
        await self._delete_sidecars()

    async def _delete_sidecars(self) -> None:
        if self.has_sidecars:
            await delete_sidecars(self.context, self.uploader.upload)
