"""Files in a tar archive, read where they lie."""

from __future__ import annotations

import asyncio
import os
import stat
import tarfile
from collections.abc import AsyncGenerator
from pathlib import Path, PurePosixPath

from storagedriver_registry.client.errors import InvalidAnswerError, NotFoundError
from storagedriver_registry.client.layouts.files import MOST_OF_A_SMALL_FILE

_CHUNK = 1 << 20

_MOST_MEMBERS = 50_000
"""More than any image has files in its archive: who lists more wants to keep us busy."""

_MOST_LINKS = 10


class TarFiles:
    """The files in an archive. Nothing is unpacked; paths in it lead nowhere else.

    Args:
        path: The archive, which is not compressed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._members: dict[str, tuple[int, int]] | None = None
        self._links: dict[str, str] = {}

    @property
    def name(self) -> str:
        """The archive."""
        return str(self._path)

    async def read(self, path: str) -> bytes | None:
        """Give a small file; None if there is none."""
        found = await self._find(path)
        if found is None:
            return None
        if found[1] > MOST_OF_A_SMALL_FILE:
            raise InvalidAnswerError(f"{self._path}: {path} is too large for what it is")
        return await asyncio.to_thread(_pread, self._path, *found)

    async def size(self, path: str) -> int | None:
        """Give the bytes of a file; None if there is none."""
        found = await self._find(path)
        return None if found is None else found[1]

    async def chunks(self, path: str, offset: int) -> AsyncGenerator[bytes, None]:
        """Give a file from an offset on."""
        found = await self._find(path)
        if found is None:
            raise NotFoundError(f"{self._path} has no {path}")
        begin, size = found
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while offset < size:
                count = min(_CHUNK, size - offset)
                chunk = await asyncio.to_thread(os.pread, descriptor, count, begin + offset)
                if not chunk:
                    raise InvalidAnswerError(f"{self._path} is cut off")
                offset += len(chunk)
                yield chunk
        finally:
            os.close(descriptor)

    async def _find(self, path: str) -> tuple[int, int] | None:
        """Give offset and size of a file."""
        if self._members is None:
            self._members = await asyncio.to_thread(self._index)
        # Docker's archives have layers that are links to others.
        for _ in range(_MOST_LINKS):
            path = str(PurePosixPath(path))
            if path in self._members or path not in self._links:
                break
            path = self._links[path]
        return self._members.get(path)

    def _index(self) -> dict[str, tuple[int, int]]:
        members: dict[str, tuple[int, int]] = {}
        try:
            # Anything else may give bytes for ever, or never.
            if not stat.S_ISREG(self._path.stat().st_mode):
                raise InvalidAnswerError(f"{self._path} is no file")
            with tarfile.open(self._path, "r:") as archive:
                for number, member in enumerate(archive):
                    if number == _MOST_MEMBERS:
                        raise InvalidAnswerError(f"{self._path} has more than {number} files")
                    name = str(PurePosixPath(member.name))
                    if member.issparse():
                        # What lies in the archive is not what the file is.
                        raise InvalidAnswerError(f"{self._path}: {name} is a sparse file")
                    if member.isreg():
                        members[name] = (member.offset_data, member.size)
                    elif member.issym():
                        target = os.path.normpath(PurePosixPath(name).parent / member.linkname)
                        self._links[name] = target
                    elif member.islnk():
                        self._links[name] = str(PurePosixPath(member.linkname))
        except tarfile.TarError as error:
            raise InvalidAnswerError(
                f"{self._path} is no tar archive, or a compressed one: {error}"
            ) from None
        except FileNotFoundError:
            raise NotFoundError(f"{self._path} is not there") from None
        return members


def _pread(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)
