"""Archives that are written: an image is gathered in a layout beside, and then packed."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import tarfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from storagedriver_core import finish
from storagedriver_registry.client.errors import BusyError
from storagedriver_registry.client.layouts.local_files import LocalFiles, sync_folder
from storagedriver_registry.client.layouts.locks import locked_file, missing, remove_empty
from storagedriver_registry.client.layouts.oci_layout import OCILayoutTarget
from storagedriver_registry.client.manifests import FetchedManifest
from storagedriver_registry.client.transfer.places import Blob, Chunks, Outcome, Source
from storagedriver_registry.digest import Digest

_OPEN_FILE_MODE = 0o644

_LOCK = "lock"
"""Says whose the folder is."""


class ArchiveTarget:
    """An archive of an OCI layout, or of what is made of one.

    The layout is gathered in `ARCHIVE.partial`, where another run goes on with what a kill or a
    broken connection has left. One process at a time has that folder: a second one fails. The
    archive appears whole, in place of one that was there.

    Args:
        path: The archive.
        reference: The image's name in it; None for none.
    """

    def __init__(self, path: Path, reference: str | None) -> None:
        self._path = path
        self.folder = path.with_name(f"{path.name}.partial")
        self._layout = OCILayoutTarget(LocalFiles(self.folder), reference)
        self._root: FetchedManifest | None = None
        self._members: set[Path] = set()
        self._has_index = False
        self._lock: int | None = None
        self._made: list[Path] = []
        self._is_cancelled = threading.Event()

    @property
    def name(self) -> str:
        """The archive."""
        return str(self._path)

    async def put_blob(self, blob: Blob, chunks: Chunks, source: Source) -> Outcome:
        """Store a blob, unless it is there.

        Raises:
            BusyError: Another process writes the archive.
        """
        self._take()
        self._members.add(self._blob(blob.digest))
        return await self._layout.put_blob(blob, chunks, source)

    async def put_manifest(self, manifest: FetchedManifest, *, is_root: bool) -> None:
        """Store a manifest."""
        self._take()
        if is_root:
            self._root = manifest
        if not self._has_index:
            # What another run has left may be of another image.
            await asyncio.to_thread((self.folder / "index.json").unlink, missing_ok=True)
            self._has_index = True
        self._members.add(self._blob(manifest.digest))
        await self._layout.put_manifest(manifest, is_root=is_root)

    async def finish(self) -> None:
        """Pack the archive, and remove what it was made of."""
        assert self._root is not None
        partial = self.folder / "archive"
        packing = asyncio.ensure_future(asyncio.to_thread(self._packed, partial, self._root))
        try:
            await asyncio.shield(packing)
        except asyncio.CancelledError:
            # No thread can be stopped, but for one that looks whether it should.
            self._is_cancelled.set()
            try:
                await finish(asyncio.wait({packing}))
            finally:
                if packing.done() and not packing.cancelled():
                    # It ends with an error, of course, and nobody else is to be told.
                    packing.exception()
            raise
        await finish(asyncio.to_thread(self._publish, partial))

    async def abandon(self) -> None:
        """Remove everything, unless it is another process's."""
        if self._lock is not None:
            await asyncio.to_thread(self._clear)

    async def release(self) -> None:
        """Let another process have the folder."""
        await self._layout.release()
        if self._lock is not None:
            await asyncio.to_thread(self._leave, self._lock)
            self._lock = None

    def _publish(self, partial: Path) -> None:
        """Put the archive in its place. Blocks."""
        partial.replace(self._path)
        sync_folder(self._path.parent)
        self._clear()

    def _take(self) -> None:
        """Have the folder alone from now on."""
        if self._lock is not None:
            return
        path = self.folder / _LOCK
        self._made = missing(self.folder)
        self._lock = locked_file(path)
        if self._lock is None:
            holder = ""
            with suppress(FileNotFoundError):
                holder = path.read_text(errors="replace")
            raise BusyError(
                f"{self._path}: {holder or 'another process'} is writing it, in {self.folder}"
            )
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"process {os.getpid()} on {platform.node()}".encode(), 0)

    def _clear(self) -> None:
        """Empty the folder, but for the lock. Blocks."""
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != _LOCK:
                path.unlink()

    def _leave(self, lock: int) -> None:
        """Let go of the lock, and of the folder if there is nothing to go on with. Blocks."""
        with suppress(FileNotFoundError):
            if [path.name for path in self.folder.iterdir()] == [_LOCK]:
                # Whoever comes from now on has the folder.
                (self.folder / _LOCK).unlink()
                remove_empty([self.folder, *self._made])
        os.close(lock)

    def _packed(self, partial: Path, root: FetchedManifest) -> None:
        try:
            with partial.open("wb") as file:
                # Of a file, tarfile wants these two to write.
                output: Any = _Output(file, self.go_on)
                with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
                    self.pack(archive, root)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            # Of a full disk it would have the most.
            partial.unlink(missing_ok=True)
            raise

    def pack(self, archive: tarfile.TarFile, root: FetchedManifest) -> None:
        """Fill the archive from the layout. Blocks."""
        for path in (self.folder / "oci-layout", self.folder / "index.json"):
            add_file(archive, path.name, path)
        for path in sorted(self._members):
            add_file(archive, str(path.relative_to(self.folder)), path)

    def go_on(self) -> None:
        """Return, unless the copy was cancelled."""
        if self._is_cancelled.is_set():
            raise InterruptedError("the copy was cancelled")

    def _blob(self, digest: Digest) -> Path:
        return self.folder / "blobs" / digest.algorithm / digest.hex


class _Output:
    """A file that is written only as long as it is wanted."""

    def __init__(self, file: IO[bytes], go_on: Callable[[], None]) -> None:
        self._file = file
        self._go_on = go_on

    def write(self, data: bytes) -> int:
        self._go_on()
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()


def add_file(archive: tarfile.TarFile, name: str, path: Path) -> None:
    """Add a file, with nothing of this machine: the same image gives the same archive."""
    with path.open("rb") as file:
        archive.addfile(member(name, path.stat().st_size), file)


def member(name: str, size: int) -> tarfile.TarInfo:
    """Give the header of a file."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, _OPEN_FILE_MODE
    return info
