"""Archives as `docker save` writes and `docker load` reads them.

```text
manifest.json               [{"Config": path, "RepoTags": ["name:tag"], "Layers": [path, ...]}]
<hex>.json                  the configuration
<hex of the diff id>.tar    a layer, not compressed
```

Source: moby, "Docker Image Specification v1.2", "Combined Image JSON + Filesystem Changeset
Format".
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from storagedriver_registry.client.errors import (
    DigestMismatchError,
    InvalidAnswerError,
    NotFoundError,
)
from storagedriver_registry.client.layouts.archives import ArchiveTarget, add_file, member
from storagedriver_registry.client.layouts.tar_files import TarFiles
from storagedriver_registry.client.manifests import FetchedManifest
from storagedriver_registry.client.reading import RunningHash
from storagedriver_registry.client.transfer.places import Blob
from storagedriver_registry.digest import Digest, compute_digest
from storagedriver_registry.manifest import MODELS, ImageManifest
from storagedriver_registry.manifest.documents import read_stored
from storagedriver_registry.manifest.media_types import OCI_MANIFEST

_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_GZIP = b"\x1f\x8b"
_GZIP_BITS = 16 + zlib.MAX_WBITS
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class _Image:
    manifest: FetchedManifest
    paths: dict[Digest, str]


class DockerArchive:
    """An image in an archive of Docker's, to be read as an OCI image.

    Args:
        path: The archive.
        reference: The image's name in it, `name:tag`; None for the only image.
    """

    def __init__(self, path: Path, reference: str | None) -> None:
        self._files = TarFiles(path)
        self._path = path
        self._reference = reference
        self._image: _Image | None = None

    @property
    def name(self) -> str:
        """The archive."""
        return str(self._path)

    async def root(self) -> FetchedManifest:
        """Make the manifest of the image: the archive has none."""
        if self._image is None:
            self._image = await self._read()
        return self._image.manifest

    async def manifest(self, digest: Digest) -> FetchedManifest:
        """Give the one manifest that there is."""
        root = await self.root()
        if root.digest != digest:
            raise NotFoundError(f"{self._path} has no manifest {digest}")
        return root

    async def chunks(
        self, blob: Blob, offset: int = 0, before: RunningHash | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Read a layer or the configuration, and check it."""
        await self.root()
        assert self._image is not None
        running = hashlib.new(blob.digest.algorithm) if offset == 0 else before
        position = offset
        path = self._image.paths[blob.digest]
        async with aclosing(self._files.chunks(path, offset)) as chunks:
            async for chunk in chunks:
                position += len(chunk)
                if running is not None:
                    await asyncio.to_thread(running.update, chunk)
                    if position == blob.size and running.hexdigest() != blob.digest.hex:
                        raise DigestMismatchError(
                            f"{self._path}: {path} is not {blob.digest}",
                            expected=str(blob.digest),
                            actual=f"{blob.digest.algorithm}:{running.hexdigest()}",
                        )
                yield chunk

    async def referrers(self, digest: Digest) -> list[dict[str, Any]]:
        """Give none: such archives have none."""
        return []

    async def _read(self) -> _Image:
        entry = self._entry(await self._files.read("manifest.json"))
        config_path, layers = entry.get("Config"), entry.get("Layers")
        if not isinstance(config_path, str) or not isinstance(layers, list):
            raise InvalidAnswerError(f"{self._path}: manifest.json has no Config or no Layers")
        config = await self._files.read(config_path)
        if config is None:
            raise InvalidAnswerError(f"{self._path} has no {config_path}")
        paths = {compute_digest(config): config_path}
        listed = [_descriptor(_CONFIG, compute_digest(config), len(config))]
        diff_ids = _diff_ids(config)
        if len(diff_ids) != len(layers):
            raise InvalidAnswerError(
                f"{self._path}: {len(layers)} layers, and {len(diff_ids)} in {config_path}"
            )
        for path, diff_id in zip(map(str, layers), diff_ids, strict=True):
            digest, size, is_gzip = await self._layer(path, diff_id)
            paths[digest] = path
            listed.append(_descriptor(f"{_LAYER}+gzip" if is_gzip else _LAYER, digest, size))
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": listed[0],
            "layers": listed[1:],
        }
        data = json.dumps(document, separators=(",", ":")).encode()
        return _Image(FetchedManifest(data, compute_digest(data), OCI_MANIFEST), paths)

    async def _layer(self, path: str, diff_id: str) -> tuple[Digest, int, bool]:
        """Give digest and size of a layer, and whether it is compressed. It is read for that.

        Raises:
            DigestMismatchError: Unpacked it is not what the configuration says.
        """
        digest, unpacked, size = hashlib.sha256(), _UnpackedHash(), 0
        async with aclosing(self._files.chunks(path, 0)) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                await asyncio.to_thread(digest.update, chunk)
                try:
                    await asyncio.to_thread(unpacked.update, chunk)
                except zlib.error as error:
                    raise InvalidAnswerError(
                        f"{self._path}: {path} cannot be unpacked: {error}"
                    ) from error
        _compare(f"{self._path}: {path}", diff_id, unpacked.hexdigest())
        return Digest("sha256", digest.hexdigest()), size, unpacked.is_packed

    def _entry(self, data: bytes | None) -> dict[str, Any]:
        if data is None:
            raise NotFoundError(f"{self._path} is no archive of Docker's: it has no manifest.json")
        try:
            listed = json.loads(data)
        except (ValueError, RecursionError):
            listed = None
        if not isinstance(listed, list):
            raise InvalidAnswerError(f"{self._path}: manifest.json is no list of JSON")
        entries = [one for one in listed if isinstance(one, dict)]
        if self._reference is not None:
            entries = [one for one in entries if self._reference in _tags(one)]
        if len(entries) != 1:
            raise NotFoundError(
                f"{self._path} has {len(entries)} images of that name"
                if self._reference
                else f"{self._path} has {len(entries)} images: say which"
            )
        return entries[0]


class _UnpackedHash:
    """The hash of a layer as it is without compression, which takes it as it is."""

    def __init__(self) -> None:
        self.is_packed = False
        self._hash = hashlib.sha256()
        self._begin: bytes | None = b""
        self._stream = zlib.decompressobj(wbits=_GZIP_BITS)

    def update(self, chunk: bytes) -> None:
        """Take the next bytes. Blocks."""
        if self._begin is not None:
            self._begin += chunk
            if len(self._begin) < len(_GZIP):
                return
            chunk, self._begin = self._begin, None
            self.is_packed = chunk.startswith(_GZIP)
        if not self.is_packed:
            self._hash.update(chunk)
            return
        while chunk:
            if self._stream.eof:
                # Members of gzip follow one another, and then maybe zeros.
                chunk = chunk.lstrip(b"\0")
                if not chunk:
                    return
                self._stream = zlib.decompressobj(wbits=_GZIP_BITS)
            # A bounded part at a time: a few bytes may be very many.
            self._hash.update(self._stream.decompress(chunk, _CHUNK))
            chunk = self._stream.unconsumed_tail or self._stream.unused_data

    def hexdigest(self) -> str:
        """Give the hash of what was taken."""
        self._hash.update(self._begin or b"")
        if self.is_packed:
            self._hash.update(self._stream.flush())
        return self._hash.hexdigest()


class DockerArchiveTarget(ArchiveTarget):
    """An image in an archive of Docker's, to be written. Its layers are unpacked.

    Args:
        path: The archive.
        reference: The image's name in it, `name:tag`; None for none.
    """

    def __init__(self, path: Path, reference: str | None) -> None:
        super().__init__(path, reference)
        self._tag = reference

    def pack(self, archive: tarfile.TarFile, root: FetchedManifest) -> None:
        """Fill the archive from the layout. Blocks."""
        if MODELS.get(root.media_type) is not ImageManifest:
            raise InvalidAnswerError("only one image goes into an archive of Docker's, no index")
        image = ImageManifest.model_validate(read_stored(root.data))
        config = self._blob(image.config.digest)
        diff_ids = _diff_ids(config.read_bytes())
        layers = image.layers or []
        if len(diff_ids) != len(layers):
            raise InvalidAnswerError("it is no image: its configuration lists other layers")
        names: list[str] = []
        for layer, diff_id in zip(layers, diff_ids, strict=True):
            name = f"{diff_id.partition(':')[2]}.tar"
            if name not in names:
                path = self._blob(layer.digest)
                with _unpacked(path, layer.media_type or "", self.folder, self.go_on) as file:
                    _check_layer(file, diff_id, self.go_on)
                    archive.addfile(member(name, os.fstat(file.fileno()).st_size), file)
            names.append(name)
        config_name = f"{image.config.digest.hex}.json"
        add_file(archive, config_name, config)
        tags = [] if self._tag is None else [self._tag]
        entry = {"Config": config_name, "RepoTags": tags, "Layers": names}
        data = json.dumps([entry]).encode()
        archive.addfile(member("manifest.json", len(data)), io.BytesIO(data))


def _tags(entry: dict[str, Any]) -> list[Any]:
    # It is null where there are none.
    tags = entry.get("RepoTags")
    return tags if isinstance(tags, list) else []


def _descriptor(media_type: str, digest: Digest, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(digest), "size": size}


def _diff_ids(config: bytes) -> list[str]:
    rootfs = read_stored(config).get("rootfs")
    listed = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    return [str(one) for one in listed] if isinstance(listed, list) else []


def _unpacked(path: Path, media_type: str, folder: Path, go_on: Callable[[], None]) -> IO[bytes]:
    """Open a layer as it is without compression."""
    file = path.open("rb")
    begin = file.read(4)
    file.seek(0)
    if begin == b"\x28\xb5\x2f\xfd" or media_type.endswith("zstd"):
        file.close()
        raise InvalidAnswerError("a layer is compressed with zstd, which Docker does not load")
    if not begin.startswith(_GZIP):
        return file
    # A tar archive wants the size first.
    unpacked = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - the caller closes it
    try:
        with file, gzip.open(file) as packed:
            while chunk := packed.read(_CHUNK):
                go_on()
                unpacked.write(chunk)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        unpacked.close()
        raise InvalidAnswerError(f"a layer cannot be unpacked: {error}") from error
    except BaseException:
        unpacked.close()
        raise
    unpacked.seek(0)
    return unpacked


def _compare(what: str, diff_id: str, actual: str) -> None:
    if f"sha256:{actual}" != diff_id:
        raise DigestMismatchError(
            f"{what}: unpacked it is sha256:{actual}, and not {diff_id}",
            expected=diff_id,
            actual=f"sha256:{actual}",
        )


def _check_layer(file: IO[bytes], diff_id: str, go_on: Callable[[], None]) -> None:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        go_on()
        digest.update(chunk)
    _compare("a layer", diff_id, digest.hexdigest())
    file.seek(0, os.SEEK_SET)
