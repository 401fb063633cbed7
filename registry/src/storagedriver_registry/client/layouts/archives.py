"""Archives that are written: an image is gathered in a layout beside, and then packed."""

from __future__ import annotations

import asyncio
import os
import shutil
import tarfile
from pathlib import Path

from storagedriver_registry.client.layouts.local_files import LocalFiles, sync_folder
from storagedriver_registry.client.layouts.oci_layout import OCILayoutTarget
from storagedriver_registry.client.manifests import FetchedManifest
from storagedriver_registry.client.transfer.places import Blob, Chunks, Outcome, Source
from storagedriver_registry.digest import Digest

_OPEN_FILE_MODE = 0o644


class ArchiveTarget:
    """An archive of an OCI layout, or of what is made of one.

    The layout is gathered in `ARCHIVE.partial`, where another run goes on with what a kill or a
    broken connection has left. The archive appears whole, in place of one that was there.

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

    @property
    def name(self) -> str:
        """The archive."""
        return str(self._path)

    async def put_blob(self, blob: Blob, chunks: Chunks, source: Source) -> Outcome:
        """Store a blob, unless it is there."""
        self._members.add(self._blob(blob.digest))
        return await self._layout.put_blob(blob, chunks, source)

    async def put_manifest(self, manifest: FetchedManifest, *, is_root: bool) -> None:
        """Store a manifest."""
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
        await asyncio.to_thread(self._packed, partial, self._root)
        await asyncio.to_thread(partial.replace, self._path)
        await asyncio.to_thread(sync_folder, self._path.parent)
        await asyncio.to_thread(shutil.rmtree, self.folder)

    async def abandon(self) -> None:
        """Remove everything."""
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    def _packed(self, partial: Path, root: FetchedManifest) -> None:
        with partial.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                self.pack(archive, root)
            file.flush()
            os.fsync(file.fileno())

    def pack(self, archive: tarfile.TarFile, root: FetchedManifest) -> None:
        """Fill the archive from the layout. Blocks."""
        for path in (self.folder / "oci-layout", self.folder / "index.json"):
            add_file(archive, path.name, path)
        for path in sorted(self._members):
            add_file(archive, str(path.relative_to(self.folder)), path)

    def _blob(self, digest: Digest) -> Path:
        return self.folder / "blobs" / digest.algorithm / digest.hex


def add_file(archive: tarfile.TarFile, name: str, path: Path) -> None:
    """Add a file, with nothing of this machine: the same image gives the same archive."""
    with path.open("rb") as file:
        archive.addfile(member(name, path.stat().st_size), file)


def member(name: str, size: int) -> tarfile.TarInfo:
    """Give the header of a file."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, _OPEN_FILE_MODE
    return info
