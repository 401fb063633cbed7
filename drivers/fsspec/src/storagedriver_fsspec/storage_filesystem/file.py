"""An open file of a storage, by fsspec's interface."""

from __future__ import annotations

import asyncio
import sys
import warnings
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from fsspec.asyn import sync
from fsspec.spec import AbstractBufferedFile

from storagedriver_core import FileWriter, PathNotFoundError

if TYPE_CHECKING:
    from storagedriver_fsspec.storage_filesystem.filesystem import StorageFileSystem

_FRAMES_TO_EXIT = 8
"""How far above `close` a `with` statement's exit is looked for: fsspec and pandas need three."""


class StorageFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """A file that is read by ranges of one version, or written whole or not at all.

    What is written shows at `close`. A file that a `with` statement leaves by an exception, also
    one that fsspec, pandas or another holds it by, publishes nothing; nor does one that was never
    closed. `discard` gives up by hand.

    A file that is replaced while it is read is `ConflictError`: never bytes of two versions.
    """

    fs: StorageFileSystem

    def __init__(self, fs: StorageFileSystem, path: str, mode: str = "rb", **options: Any) -> None:
        if mode not in ("rb", "wb", "ab", "xb"):
            raise ValueError(f"mode is rb, wb, ab or xb, not {mode!r}")
        self._writer: FileWriter | None = None
        self._error_at_open = sys.exc_info()[1]
        if mode == "xb" and fs.exists(path):
            self.closed = True
            raise FileExistsError(path)
        super().__init__(fs, path, mode, **options)
        if mode == "rb" and self.details["type"] == "directory":
            self.closed = True
            raise PathNotFoundError("a directory is not a file", path=path)
        if mode == "ab":
            self.loc = self._size_before()

    # Reading -----------------------------------------------------------------------------------

    def _fetch_range(self, start: int, end: int) -> bytes:
        etag = self.details.get("etag")
        return cast(
            "bytes", sync(self.fs.loop, self.fs._cat_file, self.path, start, end, etag=etag)
        )

    # Writing -----------------------------------------------------------------------------------

    def _initiate_upload(self) -> None:
        whole_at_once = self.forced and self.autocommit and self.mode != "ab"
        if not whole_at_once:
            self._writer = sync(self.fs.loop, self._open_writer)

    def _upload_chunk(self, final: bool = False) -> bool:
        sync(self.fs.loop, self._upload, self.buffer.getvalue(), final)
        return True

    async def _upload(self, data: bytes, final: bool) -> None:
        if self._writer is None:
            create = "create" if self.mode == "xb" else "overwrite"
            await self.fs._pipe_file(self.path, data, mode=create, **self.kwargs)
            return
        await self._writer.write(data)
        if final and self.autocommit:
            await self._commit()

    async def _open_writer(self) -> FileWriter:
        storage = await self.fs.storage()
        content_type = self.kwargs.get("content_type")
        writer = await storage.writer(self.path, hashes=(), content_type=content_type)
        if self.mode == "ab":
            try:
                async with await storage.reader(self.path) as before:
                    async for chunk in before:
                        await writer.write(chunk)
            except PathNotFoundError:
                pass
            except BaseException:
                await writer.cancel()
                raise
        return writer

    async def _commit(self) -> None:
        assert self._writer is not None
        await self._writer.commit(if_absent=self.mode == "xb")

    def commit(self) -> None:
        """Publish a file of a transaction."""
        if self._writer is not None:
            sync(self.fs.loop, self._commit)

    def discard(self) -> None:
        """Give up what was written; nothing shows."""
        self.closed = True
        writer, self._writer = self._writer, None
        if writer is not None:
            sync(self.fs.loop, writer.cancel)

    # Closing -----------------------------------------------------------------------------------

    def close(self) -> None:
        """Publish what was written, unless an exception leaves a `with` statement by this call."""
        if self.closed:
            return
        if self.mode != "rb" and _leaves_by_an_error(self._error_at_open):
            self.discard()
        else:
            self._close()

    def _close(self) -> None:
        try:
            super().close()
        except BaseException:
            self.discard()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        # Here it is known whether an exception leaves: nobody has to look for one.
        if kind is not None and self.mode != "rb":
            self.discard()
        elif not self.closed:
            self._close()

    def __del__(self) -> None:
        if getattr(self, "closed", True):
            return
        if self.mode == "rb":
            self._close()
            return
        self.closed = True
        warnings.warn(f"{self.path} was never closed: not stored", ResourceWarning, stacklevel=2)
        if self._writer is not None and self.fs.loop.is_running():
            asyncio.run_coroutine_threadsafe(self._writer.cancel(), self.fs.loop)

    def _size_before(self) -> int:
        try:
            return cast("int", self.fs.info(self.path)["size"])
        except FileNotFoundError:
            return 0


def _leaves_by_an_error(known: BaseException | None) -> bool:
    """Tell whether `close` is called by the end of a `with` statement that an exception leaves.

    `fsspec.open` and pandas close the file in their own `__exit__`, and keep the exception to
    themselves; without this look it would publish half a file. A plain `close` in an `except` or
    `finally` is not one: there, somebody has decided.
    """
    error = sys.exc_info()[1]
    if error is None or error is known:
        return False
    frame = sys._getframe(2)
    for _ in range(_FRAMES_TO_EXIT):
        if frame.f_code.co_name == "__exit__":
            return True
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return False
