"""The directory of a cache: whole objects in files, at most so many bytes together.

```text
<directory>/
    accounts                   bytes of all files below; locked while it changes
    filling/<bytes>-<random>   being filled; locked by who fills it, as long as it lives
    entries/<2 hex>/<62 hex>   an entry, by the SHA-256 of its path
```

An entry is one file, and becomes one by a rename:

```text
data | CRC-32 of each 256 KiB of it | JSON: path, etag, … | footer: lengths, CRC-32 of the middle
```

Nothing is synced: what a crash or a bad disk leaves of an entry is found by its checksums, and is
then no entry. Several processes may use one directory. The time of a file's last change is that of
its last use.

Everything here blocks, and is called in threads.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import logging
import os
import secrets
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from storagedriver_core._types import FileInfo

logger = logging.getLogger(__name__)

_BLOCK = 256 * 1024
_READ = 4 * _BLOCK
# Read by one call as an entry is opened: all of a small one, or else what stands behind the data.
_END = 32 * 1024
_MAGIC = b"SDC1"
# Magic, bytes of data, bytes of JSON, CRC-32 of what is between data and footer.
_FOOTER = struct.Struct("<4sQII")
# So that not every new entry has to look through all others.
_FULL_SHARE = 0.9


class DamagedError(Exception):
    """The bytes on the disk are not those that were written."""


class Entry:
    """A whole object on the disk, open.

    Attributes:
        info: The object.
        content: All of its bytes, if they are so few that they have been read.
    """

    def __init__(
        self, descriptor: int, info: FileInfo, checksums: memoryview, content: memoryview | None
    ) -> None:
        self.info = info
        self.content = content
        self._descriptor = descriptor
        self._checksums = checksums

    def __del__(self) -> None:
        self.close()

    @classmethod
    def open(cls, file: Path, path: str) -> Entry | None:
        """Open an entry, and note that it is used; None where there is none.

        Raises:
            DamagedError: It is damaged, or another path's.
        """
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            info, checksums, content = _read_end(descriptor)
            if info.path != path:
                raise DamagedError("it is of another path")
            os.utime(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, info, checksums, content)

    def read(self, position: int, end: int) -> bytes:
        """Give bytes from `position` on, some of those up to `end`.

        Raises:
            DamagedError: They are damaged.
        """
        first = position // _BLOCK
        begin = first * _BLOCK
        whole = min(begin + _READ, self.info.size)
        data = _read_exactly(self._descriptor, whole - begin, begin)
        _require_undamaged(data, first, self._checksums)
        return bytes(data[position - begin : end - begin])

    def close(self) -> None:
        """Close it; may be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Filling:
    """A file that becomes an entry once it is full. Made by `CacheDirectory.begin`."""

    def __init__(self, cache: CacheDirectory, file: Path, info: FileInfo, reserved: int) -> None:
        self._cache = cache
        self._file = file
        self._info = info
        self._reserved = reserved
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(file, flags, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._size = 0
        self._block_checksum = 0
        self._checksums: list[int] = []
        self._is_over = False

    def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        view = memoryview(chunk)
        while view:
            piece = view[: _BLOCK - self._size % _BLOCK]
            view = view[len(piece) :]
            _write_all(self._descriptor, piece, self._size)
            self._size += len(piece)
            self._block_checksum = zlib.crc32(piece, self._block_checksum)
            if self._size % _BLOCK == 0:
                self._end_block()

    def read(self, position: int, end: int) -> bytes:
        """Give bytes that were written."""
        return bytes(_read_exactly(self._descriptor, min(end - position, _READ), position))

    def publish(self) -> None:
        """Make it the entry of its path. It can still be read."""
        if self._size % _BLOCK:
            self._end_block()
        checksums = struct.pack(f"<{len(self._checksums)}I", *self._checksums)
        description = _describe(self._info)
        middle = checksums + description
        footer = _FOOTER.pack(_MAGIC, self._size, len(description), zlib.crc32(middle))
        _write_all(self._descriptor, memoryview(middle + footer), self._size)
        self._cache.publish(self._file, self._info.path)
        self._is_over = True

    def close(self) -> None:
        """Close it, and drop it unless it was published; may be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        try:
            if not self._is_over:
                self._is_over = True
                self._file.unlink(missing_ok=True)
                self._cache.give_back(self._reserved)
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _end_block(self) -> None:
        self._checksums.append(self._block_checksum)
        self._block_checksum = 0


class CacheDirectory:
    """The directory, made if it is not there.

    Args:
        directory: Where it is, on a local disk.
        max_bytes: Bytes of all its files at most; while an entry is made, too.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._accounts = directory / "accounts"
        self._filling = directory / "filling"
        self._entries = directory / "entries"
        self._max_bytes = max_bytes

    def open(self) -> None:
        """Make the directories, drop what dead processes have left, and count the rest."""
        for directory in (self._filling, self._entries):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked() as accounts:
            _set_total(accounts, self._make_room(self._max_bytes))

    def find(self, path: str) -> Entry | None:
        """Open the entry of a path; one that is damaged is dropped."""
        try:
            return Entry.open(self._place(path), path)
        except DamagedError as error:
            logger.warning("cache: the copy of %s is dropped: %s", path, error)
            try:
                self.drop(path)
            except OSError as failure:
                logger.warning("cache: the copy of %s stays: %s", path, failure)
        except OSError as error:
            logger.warning("cache: the copy of %s cannot be read: %s", path, error)
        return None

    def drop(self, path: str) -> None:
        """Delete the entry of a path, if there is one. Who reads it can go on."""
        place = self._place(path)
        with self._locked() as accounts, suppress(FileNotFoundError):
            size = place.stat().st_size
            place.unlink()
            _set_total(accounts, _total(accounts) - size)

    def begin(self, info: FileInfo) -> Filling | None:
        """Begin an entry; None where there is no room, however much of the rest is dropped."""
        size = _bytes_of_entry(info)
        if size > self._max_bytes:
            return None
        with self._locked() as accounts:
            total = _total(accounts)
            if total + size > self._max_bytes:
                goal = min(self._max_bytes - size, int(self._max_bytes * _FULL_SHARE))
                total = self._make_room(goal)
            _set_total(accounts, total)
            if total + size > self._max_bytes:
                return None
            filling = Filling(self, self._filling / f"{size}-{secrets.token_hex(8)}", info, size)
            _set_total(accounts, total + size)
            return filling

    def publish(self, file: Path, path: str) -> None:
        """Put a filled file in the place of its path's entry."""
        place = self._place(path)
        place.parent.mkdir(exist_ok=True, mode=0o700)
        with self._locked() as accounts:
            replaced = place.stat().st_size if place.exists() else 0
            file.rename(place)
            _set_total(accounts, _total(accounts) - replaced)

    def give_back(self, size: int) -> None:
        """Count bytes no more that were reserved."""
        with self._locked() as accounts:
            _set_total(accounts, _total(accounts) - size)

    def _place(self, path: str) -> Path:
        name = hashlib.sha256(path.encode()).hexdigest()
        return self._entries / name[:2] / name[2:]

    @contextmanager
    def _locked(self) -> Iterator[int]:
        # A descriptor of its own for each lock: threads of one process exclude each other, too.
        descriptor = os.open(self._accounts, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _make_room(self, goal: int) -> int:
        """Drop what was not used for longest until at most `goal` bytes are left; give how many."""
        total = sum(self._living())
        entries = []
        for directory in os.scandir(self._entries):
            for entry in os.scandir(directory.path):
                status = entry.stat()
                entries.append((status.st_mtime_ns, status.st_size, entry.path))
                total += status.st_size
        for _, size, place in sorted(entries):
            if total <= goal:
                break
            Path(place).unlink(missing_ok=True)
            total -= size
        return total

    def _living(self) -> Iterator[int]:
        """Give the bytes that are reserved for each file that somebody fills; drop the others."""
        for file in self._filling.iterdir():
            with suppress(FileNotFoundError):
                descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield int(file.name.partition("-")[0])
                else:
                    file.unlink(missing_ok=True)
                finally:
                    os.close(descriptor)


def _total(accounts: int) -> int:
    text = os.pread(accounts, 32, 0)
    return int(text) if text.strip().isdigit() else 0


def _set_total(accounts: int, total: int) -> None:
    # In one write of always the same length.
    os.pwrite(accounts, b"%031d\n" % max(total, 0), 0)


def _describe(info: FileInfo) -> bytes:
    fields = dataclasses.asdict(info) if info.metadata is None else _plain(info)
    fields["mod_time"] = info.mod_time.isoformat() if info.mod_time is not None else None
    return json.dumps(fields).encode()


def _plain(info: FileInfo) -> dict[str, object]:
    # `asdict` would copy a mapping of another type by its constructor.
    return {
        **dataclasses.asdict(dataclasses.replace(info, metadata=None)),
        "metadata": dict(info.metadata or {}),
    }


def _bytes_of_entry(info: FileInfo) -> int:
    blocks = -(-info.size // _BLOCK)
    return info.size + 4 * blocks + len(_describe(info)) + _FOOTER.size


def _read_end(descriptor: int) -> tuple[FileInfo, memoryview, memoryview | None]:
    """Read what stands behind the data, and the data if they are few."""
    size = os.fstat(descriptor).st_size
    if size < _FOOTER.size:
        raise DamagedError("it is too short")
    begin = max(size - _END, 0)
    end = _read_exactly(descriptor, size - begin, begin)
    magic, length, described, checksum = _FOOTER.unpack(end[-_FOOTER.size :])
    blocks = -(-length // _BLOCK)
    if magic != _MAGIC or length + 4 * blocks + described + _FOOTER.size != size:
        raise DamagedError("its end is damaged")
    if begin <= length:
        middle = end[length - begin : -_FOOTER.size]
    else:
        middle = _read_exactly(descriptor, 4 * blocks + described, length)
    if zlib.crc32(middle) != checksum:
        raise DamagedError("its description is damaged")
    try:
        fields = json.loads(bytes(middle[4 * blocks :]))
        if fields["mod_time"] is not None:
            fields["mod_time"] = datetime.fromisoformat(fields["mod_time"])
        info = FileInfo(**fields)
    except (ValueError, KeyError, TypeError) as error:
        # As of another release, which knows other fields.
        raise DamagedError(f"its description is not understood: {error!r}") from error
    checksums, content = middle[: 4 * blocks], end[:length] if begin == 0 else None
    if content is not None:
        _require_undamaged(content, 0, checksums)
    return info, checksums, content


def _require_undamaged(data: memoryview, first: int, checksums: memoryview) -> None:
    """Compare blocks, from the one of number `first` on, with their checksums."""
    for at in range(0, len(data), _BLOCK):
        number = first + at // _BLOCK
        (wanted,) = struct.unpack_from("<I", checksums, 4 * number)
        if zlib.crc32(data[at : at + _BLOCK]) != wanted:
            raise DamagedError(f"block {number} is damaged")


def _read_exactly(descriptor: int, size: int, offset: int) -> memoryview:
    pieces = []
    while size:
        piece = os.pread(descriptor, size, offset)
        if not piece:
            raise DamagedError("it is cut off")
        pieces.append(piece)
        size -= len(piece)
        offset += len(piece)
    return memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces))


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data = data[written:]
        offset += written
