"""fsspec's memory filesystem: one store for all of a process."""

from __future__ import annotations

from collections.abc import Sequence

from storagedriver_core import (
    AlreadyExistsError,
    Buffer,
    FileInfo,
    PathNotFoundError,
    ReadOptions,
)
from storagedriver_fsspec._errors import translated
from storagedriver_fsspec._files import Body, Take
from storagedriver_fsspec._plain import PlainFiles, WholeBody, file_info


class MemoryFiles(PlainFiles):
    """A directory of the memory filesystem.

    The store is a dictionary of files by path. Each is replaced, never changed, and a name is
    given in one step of the dictionary.
    """

    async def exists(self) -> bool:
        return True

    @translated()
    async def info(self, path: str) -> FileInfo:
        found = self._fs.store.get(self._at(path))
        if found is not None:
            return self._info(found, path)
        return file_info(self._fs.info(self._at(path)), path)

    async def visit(self, path: str, take: Take) -> None:
        start = self._at(path) + "/"
        seen: set[str] = set()
        # The class's own `ls` makes a dictionary of each entry.
        for place, found in list(self._fs.store.items()):
            if not place.startswith(start):
                continue
            name, below, _ = place[len(start) :].partition("/")
            child = f"{path.rstrip('/')}/{name}"
            if not below:
                take(self._info(found, child))
            elif name not in seen:
                seen.add(name)
                take(FileInfo(child, is_dir=True))
        if path != "/" and not seen and not (await self.info(path)).is_dir:
            raise PathNotFoundError("a file is not a directory")

    async def body(self, path: str, options: ReadOptions) -> Body:
        found = self._file(path)
        return WholeBody(self._info(found, path), found.getvalue(), options)

    async def read(self, path: str) -> bytes:
        found = self._file(path)
        data: bytes = found.getvalue()
        return data

    @translated(writing=True)
    async def write(self, path: str, data: Sequence[Buffer]) -> FileInfo:
        self._fs.pipe_file(self._at(path), b"".join(data))
        return await self.info(path)

    async def remove(self, path: str) -> None:
        if self._fs.store.pop(self._at(path), None) is None:
            raise PathNotFoundError(path=path)

    async def rename(self, source: str, target: str, *, replace: bool = True) -> None:
        moved = self._fs.store.pop(self._at(source), None)
        if moved is None:
            raise PathNotFoundError(path=source)
        if replace:
            self._fs.store[self._at(target)] = moved
        elif self._fs.store.setdefault(self._at(target), moved) is not moved:
            self._fs.store[self._at(source)] = moved
            raise AlreadyExistsError(path=target)

    async def copy(self, source: str, target: str) -> None:
        await self.write(target, [await self.read(source)])

    async def concatenate(self, sources: Sequence[str], target: str) -> None:
        await self.write(target, [await self.read(source) for source in sources])

    async def make_directory(self, path: str) -> None:
        """Nothing: a directory is there while something is below it."""

    async def remove_directory(self, path: str) -> None:
        """Nothing, for the same reason."""

    async def stamp(self, path: str, stamp: str) -> None:
        self._file(path).storagedriver_stamp = stamp

    async def stamp_of(self, path: str) -> str:
        return getattr(self._file(path), "storagedriver_stamp", "")

    def _file(self, path: str):  # type: ignore[no-untyped-def]  # fsspec's
        found = self._fs.store.get(self._at(path))
        if found is None:
            raise PathNotFoundError(path=path)
        return found

    @staticmethod
    def _info(found, path: str) -> FileInfo:  # type: ignore[no-untyped-def]  # fsspec's
        kept = {"type": "file", "size": len(found.getbuffer()), "mtime": found.modified}
        return file_info(kept, path)
