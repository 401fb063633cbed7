"""Uploads: staging files that outlive calls, and who may write to them.

Theory of operation. An upload is one staging file; its bytes are where they will be in the object.
Whoever resumes it takes the file's lock, so of two processes one gets it, and the other's
`ConflictError` comes before it has written anything. The kernel frees the lock of a process that
dies. In one driver, where the lock is already ours, a new holder takes over from the one before,
which may be a writer that was lost; calls of the old holder that are under way are waited for, and
its later ones are refused.

A commit is the rename of the locked file. A commit whose reply was lost is recognised by the mark
that the file carries as an extended attribute, or by the descriptor that is still open; where the
filesystem keeps no attributes, another process can only say that the outcome is unknown. (An inode
number would not do: after two replacements it may be another file's.)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from storagedriver_core import (
    Buffer,
    ClosedError,
    CompleteOptions,
    ConflictError,
    FileInfo,
    Part,
    StorageDriverError,
    Upload,
    UploadCuts,
    UploadNotFoundError,
    UploadOptions,
    UploadState,
)
from storagedriver_filesystem._direct import DirectWriting
from storagedriver_filesystem._errors import translating
from storagedriver_filesystem._info import (
    full_info,
    read_cuts,
    read_upload_mark,
    set_unique_time,
    write_attributes,
    write_cuts,
    write_upload_mark,
)
from storagedriver_filesystem._publish import Parents, Target, publish
from storagedriver_filesystem._shared import SharedDescriptor
from storagedriver_filesystem._staging import (
    UPLOADS,
    Staging,
    StagingLostError,
    has_name,
    mark_of,
    staging_name,
)
from storagedriver_filesystem._threads import Stop
from storagedriver_filesystem._tree import Tree, split
from storagedriver_filesystem._writeback import begin_writeback
from storagedriver_filesystem._writing import copy_range, write_all

# What is smaller is most often the last before a sync, which begins with it anyway.
_WRITEBACK_BYTES = 256 * 1024


@dataclass(slots=True, eq=False)
class Handle:
    """An upload that this driver has open and locked.

    Attributes:
        file: The staging file.
        holder: The writer that it belongs to.
        is_over: Published or aborted: nothing may write to the file any more.
        is_entered: The file's name is durable, too.
        is_suspect: A sync has failed, so what was written since the one before may be lost.
    """

    file: SharedDescriptor
    holder: str
    is_over: bool = False
    is_entered: bool = False
    is_suspect: bool = False


class Uploads:
    """The uploads of one driver. Every method blocks, but for `release`.

    Args:
        tree: The tree of the objects.
        staging: Where the uploads are.
        direct: Writes large ones.
    """

    def __init__(self, tree: Tree, staging: Staging, direct: DirectWriting) -> None:
        self._tree = tree
        self._staging = staging
        self._direct = direct
        self._handles: dict[str, Handle] = {}
        self._lock = threading.Lock()
        self._acquiring = threading.Lock()

    def after_fork(self) -> None:
        """Let go, in a child process, of what belongs to its parent: the lock stays there."""
        self._lock = threading.Lock()
        self._acquiring = threading.Lock()
        handles, self._handles = self._handles, {}
        for handle in handles.values():
            handle.file.abandon()

    def close(self) -> None:
        """Let go of every upload. They stay, and can be resumed."""
        with self._lock:
            handles, self._handles = self._handles, {}
        for handle in handles.values():
            handle.file.close()

    # Writing -----------------------------------------------------------------------------------

    def open(self, path: str, holder: str, options: UploadOptions) -> Upload:
        """Begin an upload."""
        name = staging_name(path)
        with self._tree.open_root() as root, self._staging.make(root) as directory:
            created = self._staging.create(directory, name)
            with created as fd:
                try:
                    write_attributes(fd, options.content_type, options.metadata)
                    write_upload_mark(fd, mark_of(name))
                except BaseException:
                    os.unlink(name, dir_fd=directory)
                    raise
                handle = Handle(SharedDescriptor(created.detach()), holder)
        with self._lock:
            self._handles[name] = handle
        return Upload(path, name, holder=holder, options=options)

    def write(self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]) -> Part:
        """Store one part where it belongs."""
        handle = self._handle(upload)
        with handle.file.use() as fd:
            self._require_holder(handle, upload)
            size = self._direct.write(fd, offset, data)
            if size is None:
                size = write_all(fd, offset, data)
                if size >= _WRITEBACK_BYTES:
                    begin_writeback(fd, offset, size)
            return Part(number, offset, size)

    def copy(
        self,
        upload: Upload,
        number: int,
        offset: int,
        source: str,
        source_offset: int,
        size: int,
        stop: Stop,
    ) -> Part:
        """Store a range of a file as one part."""
        handle = self._handle(upload)
        with translating(writing=False, path=source), self._tree.open_root() as root:
            opened = self._tree.open_file(root, source)
        with opened as origin, handle.file.use() as fd:
            self._require_holder(handle, upload)
            copy_range(origin, source_offset, fd, offset, size, stop)
        return Part(number, offset, size)

    def sync(self, upload: Upload) -> None:
        """Make durable what was written, and the name that a token holds."""
        handle = self._handle(upload)
        with handle.file.use() as fd:
            self._require_holder(handle, upload)
            _sync(handle, fd)
            if not handle.is_entered:
                with self._tree.open_root() as root, self._directory(root) as directory:
                    os.fsync(directory)
                    self._tree.sync_way(root, UPLOADS, directory)
                handle.is_entered = True

    # Taking over and ending --------------------------------------------------------------------

    def resume(self, upload: Upload, size: int) -> UploadState:
        """Give the upload to a new holder, cut to `size` bytes."""
        with self._tree.open_root() as root:
            try:
                with self._directory(root) as directory:
                    cuts = self._take(directory, upload, size)
            except UploadNotFoundError:
                completed = self._published(root, upload, upload.path)
                return UploadState(completed.size, completed)
        return UploadState(size, data=cuts.data())

    def _take(self, directory: int, upload: Upload, size: int) -> UploadCuts:
        while True:
            handle = self._find_or_acquire(directory, upload)
            try:
                with handle.file.use_alone() as fd:
                    cuts = read_cuts(fd)
                    cuts.require(upload.data, size)
                    with self._lock:
                        if self._handles.get(upload.upload_id) is not handle:
                            continue
                        handle.holder = upload.holder
                    if not has_name(directory, upload.upload_id, fd):
                        raise UploadNotFoundError
                    if os.fstat(fd).st_size > size:
                        # Noted first: bytes that are cut off unnoted could pass for others.
                        cuts = cuts.at(size)
                        write_cuts(fd, cuts)
                    _cut(fd, size)
                    # What is left is older than the sync that failed.
                    handle.is_suspect = False
                    return cuts
            except ClosedError:
                continue  # the holder before has let go in this moment
            except BaseException:
                self.release(upload)
                raise

    def _find_or_acquire(self, directory: int, upload: Upload) -> Handle:
        name = upload.upload_id
        with self._acquiring:
            with self._lock:
                handle = self._handles.get(name)
            if handle is None:
                opened = self._staging.acquire(directory, name)
                handle = Handle(SharedDescriptor(opened.detach()), upload.holder)
                with self._lock:
                    self._handles[name] = handle
        return handle

    def complete(self, upload: Upload, options: CompleteOptions, stop: Stop) -> FileInfo:
        """Publish the first `options.size` bytes."""
        with self._tree.open_root() as root:
            try:
                handle = self._handle(upload)
                with self._directory(root) as directory, handle.file.use_alone() as fd:
                    if handle.holder == upload.holder and handle.is_over:
                        return self._published(root, upload, options.path, fd)
                    self._require_holder(handle, upload)
                    _cut(fd, options.size)
                    os.utime(fd)
                    set_unique_time(fd)
                    _sync(handle, fd)
                    stop.check()
                    target = Target(options.path, options.if_absent)
                    with Parents(self._tree, root) as parents:
                        try:
                            way = publish(parents, directory, upload.upload_id, fd, target)
                        except StagingLostError:
                            raise UploadNotFoundError from None
                        finally:
                            handle.is_over = not has_name(directory, upload.upload_id, fd)
                        parents.settle(way)
                    return full_info(options.path, fd)
            except UploadNotFoundError:
                # A writer that has committed still has its handle: this was another one.
                self._published(root, upload, options.path)
                raise ConflictError("another writer has committed the upload") from None

    def abort(self, upload: Upload) -> None:
        """Drop the upload: a writer's own or another's, but no active one for a purge."""
        name = upload.upload_id
        with self._tree.open_root() as root, self._directory(root) as directory:
            while True:
                handle = self._find_or_acquire(directory, upload)
                try:
                    with handle.file.use_alone() as fd:
                        # Without a holder it comes from a listing, when nobody held it.
                        if handle.holder and not upload.holder:
                            raise ConflictError("a writer holds the upload")
                        handle.is_over = True
                        if not has_name(directory, name, fd):
                            raise UploadNotFoundError
                        os.unlink(name, dir_fd=directory)
                        return
                except ClosedError:
                    continue  # the holder has let go in this moment
                finally:
                    if handle.is_over or not handle.holder:
                        self._forget(name, handle)

    def release(self, upload: Upload) -> None:
        """Let go of an upload, without blocking; calls that are under way end first."""
        with self._lock:
            handle = self._handles.get(upload.upload_id)
            if handle is None or handle.holder != upload.holder:
                return
            del self._handles[upload.upload_id]
        handle.file.close()

    # Helpers -----------------------------------------------------------------------------------

    def _handle(self, upload: Upload) -> Handle:
        with self._lock:
            handle = self._handles.get(upload.upload_id)
        if handle is not None:
            return handle
        with self._tree.open_root() as root, self._directory(root) as directory:
            with suppress(FileNotFoundError), self._staging.look(directory, upload.upload_id):
                raise ConflictError("the upload has to be resumed first")
            raise UploadNotFoundError

    @staticmethod
    def _require_holder(handle: Handle, upload: Upload) -> None:
        if handle.holder != upload.holder:
            raise ConflictError("another writer has taken the upload over")
        if handle.is_over:
            raise UploadNotFoundError

    @contextmanager
    def _directory(self, root: int) -> Iterator[int]:
        try:
            opened = self._staging.open(root)
        except FileNotFoundError:
            raise UploadNotFoundError from None
        with opened as directory:
            yield directory

    def _forget(self, name: str, handle: Handle) -> None:
        with self._lock:
            if self._handles.get(name) is handle:
                del self._handles[name]
        handle.file.close()

    def _published(self, root: int, upload: Upload, path: str, own: int | None = None) -> FileInfo:
        """Give the object at `path` if this very upload made it.

        Whoever made it visible may have died before it was durable, so that is done once more.
        """
        with (
            suppress(FileNotFoundError, NotADirectoryError),
            self._tree.open_file(root, path) as fd,
        ):
            if read_upload_mark(fd) == mark_of(upload.upload_id) or (
                own is not None and os.path.sameopenfile(own, fd)
            ):
                self._tree.sync_upwards(root, split(path)[0])
                return full_info(path, fd)
        raise UploadNotFoundError(outcome="unknown")


def _sync(handle: Handle, fd: int) -> None:
    """Make the file durable, unless that has failed before.

    The kernel tells of a failure once, and takes the pages for written from then on: a second sync
    would succeed over bytes that are not there.
    """
    if handle.is_suspect:
        raise StorageDriverError("what was written since the last token may be lost")
    try:
        os.fsync(fd)
    except OSError:
        handle.is_suspect = True
        raise


def _cut(fd: int, size: int) -> None:
    stored = os.fstat(fd).st_size
    if stored < size:
        # Not "not found": the upload is there, but an older token of it was resumed since.
        raise ConflictError(f"the upload holds {stored} bytes, not {size}")
    if stored > size:
        os.ftruncate(fd, size)
