"""fsspec's SFTP filesystem, by the paramiko client that it holds.

paramiko's session is for one thread at a time, so there are several on one connection, each behind
a lock. Requests are sent ahead of their answers, which may come in any order; paramiko's own way to
do so (`set_pipelined`) drops the errors of writes.
"""

from __future__ import annotations

import itertools
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from storagedriver_core import (
    AlreadyExistsError,
    Buffer,
    ConflictError,
    FileInfo,
    NoSpaceError,
    PathNotFoundError,
    ReadOptions,
    UnavailableError,
    UnsupportedMethodError,
    byte_range,
)
from storagedriver_fsspec._errors import RefusedError, translated
from storagedriver_fsspec._files import Body, GrowingFiles, Take, require_size, utc
from storagedriver_fsspec._plain import PlainFiles, check_range

_SESSIONS = 8
"""A server allows ten on one connection, unless it is told otherwise (sshd_config, MaxSessions)."""

_REQUEST_BYTES = 32 * 1024
"""What every server takes in one request (draft-ietf-secsh-filexfer-02, section 3)."""

_WINDOW_BYTES = 1024 * 1024

_SILENCE_SECONDS = 60.0
"""After this time without an answer the server counts as gone."""

# The numbers of the draft, section 3.
_CMD_READ, _CMD_WRITE, _CMD_STATUS, _CMD_EXTENDED = 5, 6, 101, 200


class Session:
    """One SFTP session, used by one thread at a time."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.lock = threading.Lock()
        client.get_channel().settimeout(_SILENCE_SECONDS)


class Answers:
    """Takes the answers to requests that were sent ahead, in any order."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._waiting: list[int] = []
        self._got: dict[int, tuple[int, Any]] = {}

    def ask(self, command: int, *arguments: Any) -> None:
        """Send a request."""
        self._waiting.append(self._client._async_request(self, command, *arguments))

    def all(self) -> list[tuple[int, Any]]:
        """Wait for all answers; give kind and message of each, in the order of the requests."""
        while len(self._got) < len(self._waiting):
            self._client._read_response()
        return [self._got[number] for number in self._waiting]

    def _async_response(self, kind: int, message: Any, number: int) -> None:
        # paramiko calls this for requests that name no thread to wait for them.
        self._got[number] = (kind, message)


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
        with self._session.lock:
            data = _read_at(self._session.client, self._file, self._position, size)
        self._position += len(data)
        return data

    async def close(self) -> None:
        # Of a session that is gone the server has closed it.
        with suppress(Exception), self._session.lock:
            self._file.close()


class SftpFiles(PlainFiles, GrowingFiles):
    """A directory of an SFTP server.

    Renames are OpenSSH's `posix-rename`, which replaces in one step, and the protocol's own, which
    refuses to replace. A server without the former is refused.
    """

    def __init__(self, make: Callable[[], Any], root: str) -> None:
        super().__init__(make, root)
        self._sessions: list[Session] = []
        self._turns = itertools.count()
        self._connecting = threading.Lock()

    @translated()
    async def open(self, *, create: bool) -> None:
        with self._session():
            pass
        if create and not await self.exists():
            await self._make_root()

    async def close(self) -> None:
        with self._connecting:
            self._disconnect()

    async def exists(self) -> bool:
        if not self._root:
            return True
        try:
            return (await self.info("/")).is_dir
        except PathNotFoundError:
            return False

    @translated()
    async def info(self, path: str) -> FileInfo:
        with self._session() as session:
            return _info(session.client.stat(self._at(path)), path)

    @translated()
    async def visit(self, path: str, take: Take) -> None:
        prefix = path.rstrip("/") + "/"
        links: list[str] = []
        with self._session() as session:
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
        with self._session() as session:
            file = session.client.open(self._at(path), "rb")
            try:
                return SftpBody(session, file, _file_info(file, path), options)
            except BaseException:
                file.close()
                raise

    @translated()
    async def read(self, path: str) -> bytes:
        with self._session() as session, session.client.open(self._at(path), "rb") as file:
            size = _file_info(file, path).size
            pieces = []
            for offset in range(0, size, _WINDOW_BYTES):
                count = min(_WINDOW_BYTES, size - offset)
                pieces.append(_read_at(session.client, file, offset, count))
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def write(self, path: str, data: Sequence[Buffer]) -> FileInfo:
        return await self._write(path, "wb", 0, data)

    @translated(writing=True, changing=True)
    async def remove(self, path: str) -> None:
        with self._session() as session:
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
        with self._session() as session:
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
        with self._session() as session:
            session.client.mkdir(place)

    @translated(writing=True)
    async def remove_directory(self, path: str) -> None:
        with self._session() as session:
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
        with self._session() as session:
            session.client.truncate(self._at(path), size)

    @translated(writing=True)
    async def sync(self, path: str) -> None:
        with self._session() as session, session.client.open(self._at(path), "r+b") as file:
            _sync(session.client, file)

    @translated(writing=True)
    async def copy_start(self, source: str, target: str, size: int) -> None:
        from paramiko.sftp import int64

        with (
            self._session() as session,
            session.client.open(self._at(source), "rb") as origin,
            session.client.open(self._at(target), "wb") as file,
        ):
            if not size:
                return
            try:
                # Source: OpenSSH's PROTOCOL, "copy-data". At the server, where it can.
                session.client._request(
                    _CMD_EXTENDED,
                    "copy-data",
                    origin.handle,
                    int64(0),
                    int64(size),
                    file.handle,
                    int64(0),
                )
            except OSError:
                for offset in range(0, size, _WINDOW_BYTES):
                    count = min(_WINDOW_BYTES, size - offset)
                    piece = _read_at(session.client, origin, offset, count)
                    _write_at(session.client, file, offset, [piece])
            require_size(file.stat().st_size, size)

    @translated(writing=True)
    async def finish(self, path: str, size: int, mark: int) -> FileInfo:
        with self._session() as session, session.client.open(self._at(path), "r+b") as file:
            require_size(file.stat().st_size, size)
            # A cut by the open file sets its time, by the server's clock, whatever the size.
            file.truncate(size)
            info = _info(file.stat(), path)
            assert info.mod_time is not None
            file.utime((mark, int(info.mod_time.timestamp())))
            _sync(session.client, file)
            return info

    @translated()
    async def mark(self, path: str) -> int:
        with self._session() as session:
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
        with self._session() as session, session.client.open(self._at(path), mode) as file:
            _write_at(session.client, file, offset, data)
            return _info(file.stat(), path)

    async def _is_full(self) -> bool:
        with suppress(Exception), self._session() as session:
            # Source: OpenSSH's PROTOCOL, "statvfs@openssh.com": the fifth number is of free blocks.
            _, answer = session.client._request(
                _CMD_EXTENDED, "statvfs@openssh.com", self._root or "/"
            )
            return bool([answer.get_int64() for _ in range(5)][4] == 0)
        return False

    # Sessions ----------------------------------------------------------------------------------

    @contextmanager
    def _session(self) -> Iterator[Session]:
        session = self._pick()
        with session.lock:
            yield session

    def _pick(self) -> Session:
        with self._connecting:
            if self._fs is not None and not self._is_connected():
                self._disconnect()
            if self._fs is None:
                self._fs = self._make()
                self._sessions = [Session(self._fs.ftp)]
            free = next((each for each in self._sessions if not each.lock.locked()), None)
            if free is None and len(self._sessions) < _SESSIONS:
                free = self._another()
            return free or self._sessions[next(self._turns) % len(self._sessions)]

    def _another(self) -> Session | None:
        import paramiko

        try:
            session = Session(self._fs.client.open_sftp())
        except paramiko.ChannelException:
            return None  # the server allows no more
        self._sessions.append(session)
        return session

    def _is_connected(self) -> bool:
        transport = self._fs.client.get_transport()
        return transport is not None and transport.is_active()

    def _disconnect(self) -> None:
        fs, self._fs, self._sessions = self._fs, None, []
        if fs is not None:
            transport = fs.client.get_transport()
            fs.client.close()
            if transport is not None:
                transport.join(5.0)  # its thread takes a moment to end


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


def _read_at(client: Any, file: Any, offset: int, size: int) -> bytes:
    """Give `size` bytes; the file is not shorter, since nobody cuts one that is published."""
    from paramiko.sftp import int64

    answers = Answers(client)
    counts = [min(_REQUEST_BYTES, size - start) for start in range(0, size, _REQUEST_BYTES)]
    for number, count in enumerate(counts):
        place = int64(offset + number * _REQUEST_BYTES)
        answers.ask(_CMD_READ, file.handle, place, count)
    pieces = []
    for number, (kind, message) in enumerate(answers.all()):
        if kind == _CMD_STATUS:
            client._convert_status(message)
        piece = message.get_string() if kind != _CMD_STATUS else b""
        while len(piece) < counts[number]:
            # A server may give less than was asked.
            start = offset + number * _REQUEST_BYTES + len(piece)
            rest = _read_once(client, file, start, counts[number] - len(piece))
            piece += rest
        pieces.append(piece)
    return b"".join(pieces)


def _read_once(client: Any, file: Any, offset: int, size: int) -> bytes:
    from paramiko.sftp import int64

    try:
        kind, message = client._request(_CMD_READ, file.handle, int64(offset), size)
    except EOFError:
        raise UnavailableError("the file is shorter than it was") from None
    data: bytes = message.get_string() if kind != _CMD_STATUS else b""
    if not data:
        raise UnavailableError("the file is shorter than it was")
    return data


def _write_at(client: Any, file: Any, offset: int, data: Sequence[Buffer]) -> None:
    from paramiko.sftp import int64

    answers, sent = Answers(client), 0
    for chunk in data:
        view = memoryview(chunk).cast("B")
        for start in range(0, len(view), _REQUEST_BYTES):
            piece = bytes(view[start : start + _REQUEST_BYTES])
            answers.ask(_CMD_WRITE, file.handle, int64(offset), piece)
            offset += len(piece)
            sent += len(piece)
            if sent >= _WINDOW_BYTES:
                _check(client, answers)
                answers, sent = Answers(client), 0
    _check(client, answers)


def _check(client: Any, answers: Answers) -> None:
    for kind, message in answers.all():
        if kind != _CMD_STATUS:
            raise UnavailableError("the server answers out of turn")
        client._convert_status(message)


def _sync(client: Any, file: Any) -> None:
    # Source: OpenSSH's PROTOCOL, "fsync@openssh.com". Others promise nothing, and nor do we.
    with suppress(OSError):
        client._request(_CMD_EXTENDED, "fsync@openssh.com", file.handle)
