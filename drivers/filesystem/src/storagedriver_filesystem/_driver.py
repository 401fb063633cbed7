"""The driver: a thin translation of the contract to blocking calls in threads."""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import ClassVar

from storagedriver_core import (
    Buffer,
    ByteStream,
    Capabilities,
    ClosedError,
    CompleteOptions,
    Conditions,
    ConfigurationError,
    FileInfo,
    ListOptions,
    Part,
    PutOptions,
    ReadOptions,
    StorageDriver,
    Upload,
    UploadInfo,
    UploadOptions,
    UploadState,
)
from storagedriver_filesystem import _deleting, _publish, _reading, _writing
from storagedriver_filesystem._cached import CachedFiles
from storagedriver_filesystem._config import FilesystemConfig
from storagedriver_filesystem._direct import DirectWriting
from storagedriver_filesystem._gathering import PutQueue
from storagedriver_filesystem._info import utc
from storagedriver_filesystem._listing import Listing, Walk
from storagedriver_filesystem._publish import Target
from storagedriver_filesystem._putting import Put, put_all
from storagedriver_filesystem._reading import FileStream
from storagedriver_filesystem._staging import Staging
from storagedriver_filesystem._threads import Stop, Threads
from storagedriver_filesystem._tree import Tree
from storagedriver_filesystem._uploads import Uploads

_PATH_MAX = 4096  # with the terminating NUL
_LEAST_PATH_BYTES = 512
_UPLOADS_PER_PAGE = 1000
_MAX_GATHERED_BYTES = 64 * 1024


class FilesystemDriver(StorageDriver):
    """Keeps each object as a file of its own below a root directory.

    A file's path below the root is the object's path, so that data of docker/distribution's
    driver of the same name can be used as it is. Not declared: signed URLs; `durable_parts`, since
    parts become durable by `sync_upload`.

    Args:
        config: Where the root is, and how to write.

    Raises:
        ConfigurationError: The root's own path leaves no room for paths below it.
    """

    name: ClassVar[str] = "filesystem"

    def __init__(self, config: FilesystemConfig) -> None:
        self._config = config
        root = str(config.root_directory.absolute())
        self._capabilities = _capabilities(_PATH_MAX - 1 - len(os.fsencode(root)))
        self._tree = Tree(root, config.directory_mode)
        self._staging = Staging(self._tree, config.file_mode)
        self._direct = DirectWriting()
        self._uploads = Uploads(self._tree, self._staging, self._direct)
        self._threads = Threads(config.max_threads)
        self._cached = CachedFiles(root, self._threads.close_later)
        self._puts = PutQueue(self._threads, self._write_puts)
        _drivers.add(self)

    def __reduce__(self) -> tuple[object, ...]:
        return (FilesystemDriver, (self._config,))

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def open(self) -> None:
        self._threads.open()
        try:
            if self._config.create:
                await self._threads.run(self._tree.make_root, writing=True)
            await self.check()
            await self._threads.run(self._cached.open)
            self._direct.is_wanted = self._cached.is_local
        except BaseException:
            await self._threads.aclose()
            raise

    async def aclose(self) -> None:
        self._cached.close()
        with suppress(ClosedError):
            await self._threads.finish(self._uploads.close)
        await self._threads.aclose()

    async def check(self) -> None:
        await self._threads.run(self._check)

    def _check(self) -> None:
        with self._tree.open_root():
            pass

    async def identity(self) -> Mapping[str, str]:
        root = str(self._config.root_directory.absolute())
        # By number: the name may be known to a directory service that does not answer.
        return {"principal": f"uid {os.geteuid()}, gid {os.getegid()}", "root_directory": root}

    async def now(self) -> datetime:
        return await self._threads.run(self._now, writing=True)

    def _now(self) -> datetime:
        # The staging directory's own time, set by whichever machine has the clock.
        with self._tree.open_root() as root, self._staging.make(root) as directory:
            os.utime(directory)
            return utc(os.fstat(directory).st_mtime_ns)

    # Objects -----------------------------------------------------------------------------------

    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        return await self._threads.run(_reading.stat, self._tree, path, conditions)

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        return await self._threads.run(
            _reading.open_stream,
            self._tree,
            self._threads,
            self._cached,
            path,
            options,
            dispose=FileStream.dispose,
        )

    async def get_content(self, path: str) -> bytes:
        if self._cached.is_due():
            await asyncio.sleep(0)
        content = self._cached.content(path)
        if content is not None:
            return content
        return await self._threads.run(_reading.read_file, self._tree, path)

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        put = Put(path, data, options)
        if len(data) <= _MAX_GATHERED_BYTES:
            return await self._puts.run(put)
        await self._threads.run(self._write_puts, [put], stop=put.stop)
        return put.result()

    def _write_puts(self, puts: Sequence[Put]) -> float:
        # On a local disk little is waited for but the syncs and the interpreter's lock, and more
        # threads would wait for that the longer. On a file server they wait beside each other.
        clock = time.thread_time if self._cached.is_local else time.perf_counter
        return put_all(self._tree, self._staging, self._threads, puts, clock)

    async def list(
        self, path: str, options: ListOptions
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        listing = await self._threads.run(Listing, self._tree, path, options)
        while (page := await self._threads.run(listing.page)) is not None:
            yield page

    async def walk(
        self, path: str, options: ListOptions
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        walk = await self._threads.run(Walk, self._tree, path, options)
        while (page := await self._threads.run(walk.page)) is not None:
            yield page

    async def delete(self, path: str) -> None:
        stop = Stop()
        await self._threads.run(_deleting.delete, self._tree, path, stop, stop=stop)

    async def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        await self._threads.run(_publish.move, self._tree, source, Target(target, if_absent))

    async def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        stop = Stop()
        await self._threads.run(
            _writing.copy,
            self._tree,
            self._staging,
            source,
            Target(target, if_absent),
            stop,
            stop=stop,
        )

    async def checksum(self, path: str, algorithm: str) -> str:
        stop = Stop()
        return await self._threads.run(
            _reading.digest, self._tree, path, algorithm, stop, stop=stop
        )

    async def local_path(self, path: str) -> str:
        if self._cached.is_due():
            await asyncio.sleep(0)
        if self._cached.has_file(path):
            return self._real_path(path)
        return await self._threads.run(self._local_path, path)

    def _local_path(self, path: str) -> str:
        with self._tree.open_root() as root, self._tree.open_file(root, path):
            return self._real_path(path)

    def _real_path(self, path: str) -> str:
        return self._tree.root.rstrip("/") + path

    # Uploads -----------------------------------------------------------------------------------

    async def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        return await self._threads.run(
            self._uploads.open,
            path,
            holder,
            options,
            writing=True,
            dispose=self._uploads.abort,
        )

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        return await self._threads.run(
            self._uploads.write, upload, number, offset, data, writing=True
        )

    async def copy_part(
        self, upload: Upload, number: int, offset: int, source: str, source_offset: int, size: int
    ) -> Part:
        stop = Stop()
        return await self._threads.run(
            self._uploads.copy,
            upload,
            number,
            offset,
            source,
            source_offset,
            size,
            stop,
            writing=True,
            stop=stop,
        )

    async def sync_upload(self, upload: Upload) -> None:
        await self._threads.run(self._uploads.sync, upload, writing=True)

    def release_upload(self, upload: Upload) -> None:
        self._uploads.release(upload)

    async def upload_state(self, upload: Upload, size: int) -> UploadState:
        return await self._threads.run(
            self._uploads.resume,
            upload,
            size,
            writing=True,
            dispose=lambda _: self.release_upload(upload),
        )

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        # Released by the caller, not here: until then the commit can be repeated.
        stop = Stop()
        return await self._threads.run(
            self._uploads.complete, upload, options, stop, writing=True, stop=stop
        )

    async def abort_upload(self, upload: Upload) -> None:
        await self._threads.run(self._uploads.abort, upload, writing=True)

    async def list_uploads(self) -> AsyncGenerator[Sequence[UploadInfo], None]:
        names = await self._threads.run(self._staging.names)
        for start in range(0, len(names), _UPLOADS_PER_PAGE):
            page = names[start : start + _UPLOADS_PER_PAGE]
            yield await self._threads.run(self._staging.infos, page)

    def _after_fork(self) -> None:
        self._threads.after_fork()
        self._tree.after_fork()
        self._puts.after_fork()
        self._uploads.after_fork()


def _capabilities(max_path_bytes: int) -> Capabilities:
    if max_path_bytes < _LEAST_PATH_BYTES:
        raise ConfigurationError(
            f"the path of the root directory leaves {max_path_bytes} bytes for those below it; "
            f"{_LEAST_PATH_BYTES} are needed"
        )
    return Capabilities(
        get_range=True,
        get_with_conditions=True,
        put_if_absent=True,
        put_if_match=True,
        put_with_metadata=True,
        copy=True,
        copy_if_absent=True,
        move_if_absent=True,
        copy_part=True,
        upload=True,
        upload_out_of_order=True,
        list_uploads=True,
        walk_with_start_after=True,
        checksum_algorithms=("md5", "sha256", "sha512"),
        local_path=True,
        late_target=True,
        move="atomic",
        atomic_commit=True,
        list_after_write=True,
        durable_on_commit=True,
        ordered_walk=True,
        fresh_reads=True,
        pinned_reads=True,
        shared_between_processes=True,
        bounded_memory=True,
        abort_frees=True,
        independent_uploads=True,
        any_event_loop=True,
        path_alphabet="any",
        max_path_bytes=max_path_bytes,
        max_component_bytes=255,
        max_metadata_bytes=2048,
    )


_drivers: weakref.WeakSet[FilesystemDriver] = weakref.WeakSet()


def _after_fork() -> None:
    for driver in list(_drivers):
        driver._after_fork()


os.register_at_fork(after_in_child=_after_fork)
