"""fsspec's local filesystem, whose paths are the operating system's."""

# Names are text to the end: pathlib would make them others.
# ruff: noqa: PTH100, PTH102, PTH105, PTH106, PTH108, PTH116, PTH123

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from typing import BinaryIO

from storagedriver_core import (
    Buffer,
    FileInfo,
    PathNotFoundError,
    ReadOptions,
    byte_range,
)
from storagedriver_fsspec._errors import NotDurableError, translated, translating
from storagedriver_fsspec._files import Body, GrowingFiles, Take, require_size, utc
from storagedriver_fsspec._plain import PlainFiles, check_range

_COPY_BYTES = 16 * 1024 * 1024


class LocalBody(Body):
    """A range of an open file, which stays the same when another takes its name."""

    def __init__(self, info: FileInfo, file: BinaryIO, options: ReadOptions) -> None:
        self.info = info
        self._file = file
        try:
            check_range(info, options)
            self._position, self._end = byte_range(info.size, options)
        except BaseException:
            file.close()
            raise

    @translated()
    async def read(self, size: int) -> bytes:
        size = min(size, self._end - self._position)
        data = os.pread(self._file.fileno(), size, self._position)
        self._position += len(data)
        return data

    async def close(self) -> None:
        self._file.close()

    def __del__(self) -> None:
        # Of a reader that was lost; the portable layer warns of it.
        if not self._file.closed:
            self._file.close()


class LocalFiles(PlainFiles, GrowingFiles):
    """A directory of this machine. Symbolic links are followed, wherever they lead."""

    async def open(self, *, create: bool) -> None:
        self._root = _absolute(self._root or "/").rstrip("/")
        await super().open(create=create)

    @translated()
    async def info(self, path: str) -> FileInfo:
        return _info(os.stat(self._at(path)), path)

    @translated()
    async def visit(self, path: str, take: Take) -> None:
        prefix = path.rstrip("/") + "/"
        with os.scandir(self._at(path)) as found:
            for each in found:
                try:
                    info = _info(each.stat(), prefix + each.name)
                except (FileNotFoundError, PathNotFoundError):
                    continue  # gone since, or a link to nowhere, a socket, ...
                take(info)

    @translated()
    async def body(self, path: str, options: ReadOptions) -> Body:
        file = self._open(path, "rb")
        return LocalBody(_info(os.fstat(file.fileno()), path), file, options)

    @translated()
    async def read(self, path: str) -> bytes:
        with self._open(path, "rb") as file:
            return file.read()

    @translated(writing=True)
    async def write(self, path: str, data: Sequence[Buffer]) -> FileInfo:
        with self._open(path, "wb") as file:
            _write_all(file.fileno(), 0, data)
            return _info(os.fstat(file.fileno()), path)

    @translated(writing=True, changing=True)
    async def remove(self, path: str) -> None:
        os.unlink(self._at(path))

    @translated(writing=True, changing=True)
    async def rename(self, source: str, target: str, *, replace: bool = True) -> None:
        if replace:
            os.replace(self._at(source), self._at(target))
        else:
            os.link(self._at(source), self._at(target))
            os.unlink(self._at(source))

    @translated(writing=True)
    async def copy(self, source: str, target: str) -> None:
        shutil.copyfile(self._at(source), self._at(target))

    @translated(writing=True)
    async def make_directory(self, path: str) -> None:
        os.mkdir(self._at(path))

    @translated(writing=True)
    async def remove_directory(self, path: str) -> None:
        os.rmdir(self._at(path))

    async def local_path(self, path: str) -> str:
        if (await self.info(path)).is_dir:
            raise PathNotFoundError("a directory is not a file")
        return self._at(path)

    @translated(writing=True)
    async def write_at(self, path: str, offset: int, data: Sequence[Buffer]) -> int:
        with self._open(path, "r+b") as file:
            return _write_all(file.fileno(), offset, data)

    @translated(writing=True)
    async def cut(self, path: str, size: int) -> None:
        os.truncate(self._at(path), size)

    @translated(writing=True)
    async def sync(self, path: str) -> None:
        with self._open(path, "r+b") as file:
            _sync(file.fileno())

    @translated(writing=True)
    async def copy_start(self, source: str, target: str, size: int) -> None:
        with self._open(source, "rb") as origin, self._open(target, "wb") as file:
            done = 0
            while done < size:
                count = min(size - done, _COPY_BYTES)
                sent = os.sendfile(file.fileno(), origin.fileno(), done, count)
                if not sent:
                    require_size(done, size)
                done += sent

    @translated(writing=True)
    async def finish(self, path: str, size: int, mark: int) -> FileInfo:
        with self._open(path, "r+b") as file:
            fd = file.fileno()
            require_size(os.fstat(fd).st_size, size)
            os.truncate(fd, size)
            os.utime(fd)
            status = os.fstat(fd)
            os.utime(fd, ns=(mark * 10**9, status.st_mtime_ns))
            _sync(fd)
            return _info(status, path)

    @translated()
    async def mark(self, path: str) -> int:
        return int(os.stat(self._at(path)).st_atime)

    def _open(self, path: str, mode: str) -> BinaryIO:
        # The plain file that fsspec's opener holds: that one would publish it when it is closed.
        with translating(writing=mode != "rb"):
            opened: BinaryIO = open(self._at(path), mode, buffering=0)  # type: ignore[assignment]  # noqa: SIM115  # FileIO
            return opened


def _absolute(path: str) -> str:
    return os.path.abspath(path)


def _info(status: os.stat_result, path: str) -> FileInfo:
    if stat.S_ISDIR(status.st_mode):
        return FileInfo(path, is_dir=True)
    if not stat.S_ISREG(status.st_mode):
        raise PathNotFoundError("neither a file nor a directory", path=path)
    return FileInfo(path, status.st_size, utc(status.st_mtime_ns / 1e9))


def _sync(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        raise NotDurableError from error


def _write_all(fd: int, offset: int, data: Sequence[Buffer]) -> int:
    start = offset
    for chunk in data:
        left = memoryview(chunk).cast("B")
        while left:
            written = os.pwrite(fd, left, offset)
            offset += written
            left = left[written:]
    return offset - start
