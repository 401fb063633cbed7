"""fsspec's SFTP filesystem, by the paramiko client that it holds.

Sessions are `_sftp_session`'s, and what goes over the wire otherwise than by paramiko's own calls
is `_sftp_requests`'s.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from storagedriver_core import (
    AlreadyExistsError,
    Buffer,
    ConflictError,
    FileInfo,
    NoSpaceError,
    PathNotFoundError,
    ReadOptions,
    UnsupportedMethodError,
    byte_range,
)
from storagedriver_fsspec._errors import RefusedError, translated
from storagedriver_fsspec._files import Body, GrowingFiles, Take, require_size, utc
from storagedriver_fsspec._plain import PlainFiles, check_range
from storagedriver_fsspec._sftp_requests import (
    WINDOW_BYTES,
    blocks_left,
    copy_data,
    read_at,
    sync,
    write_at,
)
from storagedriver_fsspec._sftp_session import Session, Sessions


class SftpBody(Body):
    """A range of an open file, which stays the same when another takes its name."""

    def __init__(self, session: Session, file: Any, info: FileInfo, options: ReadOptions) -> None:
        self.info = info
        self._session = session
        self._file = file
        check_range(info, options)
        self._position, self._end = byte_range(info.size, options)

    @translated()
    async def read(self, size: int) -> bytes:
        size = min(size, self._end - self._position)
        if not size:
            return b""
        with self._session.use():
            data = read_at(self._session.client, self._file, self._position, size)
        self._position += len(data)
        return data

    async def close(self) -> None:
        # Of a session that is gone the server has closed it.
        with suppress(Exception), self._session.use():
            self._file.close()


class SftpFiles(PlainFiles, GrowingFiles):
    """A directory of an SFTP server.

    Renames are OpenSSH's `posix-rename`, which replaces in one step, and the protocol's own, which
    refuses to replace. A server without the former is refused.
    """

    def __init__(self, make: Callable[[], Any], root: str) -> None:
        super().__init__(make, root)
        self.sessions = Sessions(make)

    @translated()
    async def open(self, *, create: bool) -> None:
        with self.sessions.use():
            pass
        if create and not await self.exists():
            await self._make_root()

    async def close(self) -> None:
        self.sessions.close()

    async def exists(self) -> bool:
        if not self._root:
            return True
        try:
            return (await self.info("/")).is_dir
        except PathNotFoundError:
            return False

    @translated()
    async def info(self, path: str) -> FileInfo:
        with self.sessions.use() as session:
            return _info(session.client.stat(self._at(path)), path)

    @translated()
    async def visit(self, path: str, take: Take) -> None:
        prefix = path.rstrip("/") + "/"
        links: list[str] = []
        with self.sessions.use() as session:
            for each in session.client.listdir_iter(self._at(path)):
                if stat.S_ISLNK(each.st_mode or 0):
                    links.append(each.filename)
                    continue
                with suppress(PathNotFoundError):  # a socket, ...
                    take(_info(each, prefix + each.filename))
        for name in links:
            with suppress(PathNotFoundError):  # to nowhere
                take(await self.info(prefix + name))

    @translated()
    async def body(self, path: str, options: ReadOptions) -> Body:
        with self.sessions.use() as session:
            file = session.client.open(self._at(path), "rb")
            try:
                return SftpBody(session, file, _file_info(file, path), options)
            except BaseException:
                file.close()
                raise

    @translated()
    async def read(self, path: str) -> bytes:
        with self.sessions.use() as session, session.client.open(self._at(path), "rb") as file:
            size = _file_info(file, path).size
            pieces = []
            for offset in range(0, size, WINDOW_BYTES):
                count = min(WINDOW_BYTES, size - offset)
                pieces.append(read_at(session.client, file, offset, count))
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def write(self, path: str, data: Sequence[Buffer]) -> FileInfo:
        return await self._write(path, "wb", 0, data)

    @translated(writing=True, changing=True)
    async def remove(self, path: str) -> None:
        with self.sessions.use() as session:
            session.client.remove(self._at(path))

    async def rename(self, source: str, target: str, *, replace: bool = True) -> None:
        try:
            await self._rename(source, target, replace)
        except RefusedError:
            there = await self._look(target)
            if there is not None and not replace:
                raise AlreadyExistsError(path=target) from None
            if there is not None and there.is_dir:
                raise ConflictError("it is a directory", path=target) from None
            raise

    @translated(writing=True, changing=True)
    async def _rename(self, source: str, target: str, replace: bool) -> None:
        with self.sessions.use() as session:
            client = session.client
            (client.posix_rename if replace else client.rename)(self._at(source), self._at(target))

    async def copy(self, source: str, target: str) -> None:
        raise UnsupportedMethodError(capability="copy")

    async def make_directory(self, path: str) -> None:
        try:
            await self._mkdir(self._at(path))
        except RefusedError:
            if await self._look(path) is None:
                raise
            raise AlreadyExistsError(path=path) from None

    @translated(writing=True)
    async def _mkdir(self, place: str) -> None:
        with self.sessions.use() as session:
            session.client.mkdir(place)

    @translated(writing=True)
    async def remove_directory(self, path: str) -> None:
        with self.sessions.use() as session:
            session.client.rmdir(self._at(path))

    async def _make_root(self) -> None:
        for end in [*_slashes(self._root), len(self._root)]:
            with suppress(RefusedError, AlreadyExistsError):
                await self._mkdir(self._root[:end])

    # Files that grow ---------------------------------------------------------------------------

    async def write_at(self, path: str, offset: int, data: Sequence[Buffer]) -> int:
        await self._write(path, "r+b", offset, data)
        return sum(memoryview(chunk).nbytes for chunk in data)

    @translated(writing=True)
    async def cut(self, path: str, size: int) -> None:
        with self.sessions.use() as session:
            session.client.truncate(self._at(path), size)

    @translated(writing=True)
    async def sync(self, path: str) -> None:
        with self.sessions.use() as session, session.client.open(self._at(path), "r+b") as file:
            sync(session.client, file)

    @translated(writing=True)
    async def copy_start(self, source: str, target: str, size: int) -> None:
        with (
            self.sessions.use() as session,
            session.client.open(self._at(source), "rb") as origin,
            session.client.open(self._at(target), "wb") as file,
        ):
            if not size:
                return
            if not copy_data(session.client, origin, file, size):
                for offset in range(0, size, WINDOW_BYTES):
                    count = min(WINDOW_BYTES, size - offset)
                    piece = read_at(session.client, origin, offset, count)
                    write_at(session.client, file, offset, [piece])
            require_size(file.stat().st_size, size)

    @translated(writing=True)
    async def finish(self, path: str, size: int, mark: int) -> FileInfo:
        with self.sessions.use() as session, session.client.open(self._at(path), "r+b") as file:
            require_size(file.stat().st_size, size)
            # A cut by the open file sets its time, by the server's clock, whatever the size.
            file.truncate(size)
            info = _info(file.stat(), path)
            assert info.mod_time is not None
            file.utime((mark, int(info.mod_time.timestamp())))
            sync(session.client, file)
            return info

    @translated()
    async def mark(self, path: str) -> int:
        with self.sessions.use() as session:
            return session.client.stat(self._at(path)).st_atime or 0

    async def _write(self, path: str, mode: str, offset: int, data: Sequence[Buffer]) -> FileInfo:
        try:
            return await self._write_once(path, mode, offset, data)
        except RefusedError:
            # A full disk has no number of its own in the protocol.
            if await self._is_full():
                raise NoSpaceError from None
            raise

    @translated(writing=True)
    async def _write_once(
        self, path: str, mode: str, offset: int, data: Sequence[Buffer]
    ) -> FileInfo:
        with self.sessions.use() as session, session.client.open(self._at(path), mode) as file:
            write_at(session.client, file, offset, data)
            return _info(file.stat(), path)

    async def _is_full(self) -> bool:
        with suppress(Exception), self.sessions.use() as session:
            return blocks_left(session.client, self._root or "/") == 0
        return False


def _slashes(path: str) -> Iterator[int]:
    return (index for index, character in enumerate(path) if character == "/" and index > 0)


def _info(found: Any, path: str) -> FileInfo:
    mode = found.st_mode or 0
    if stat.S_ISDIR(mode):
        return FileInfo(path, is_dir=True)
    if not stat.S_ISREG(mode):
        raise PathNotFoundError("neither a file nor a directory", path=path)
    return FileInfo(path, found.st_size or 0, utc(found.st_mtime))


def _file_info(file: Any, path: str) -> FileInfo:
    info = _info(file.stat(), path)
    if info.is_dir:
        # A server opens directories as well.
        raise PathNotFoundError("a directory is not a file", path=path)
    return info
