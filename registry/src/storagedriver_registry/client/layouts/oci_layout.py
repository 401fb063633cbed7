"""OCI image layouts. Source: image-spec, "Image Layout".

```text
oci-layout                      {"imageLayoutVersion": "1.0.0"}
index.json                      the images, each with its name in an annotation
blobs/<algorithm>/<hex>         everything, manifests too
```
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from storagedriver_core import StorageDriverError
from storagedriver_registry.client.errors import (
    DigestMismatchError,
    InvalidAnswerError,
    NotFoundError,
    RegistryError,
)
from storagedriver_registry.client.layouts.files import LayoutFiles, Presence, WritableFiles
from storagedriver_registry.client.manifests import MOST_BYTES, FetchedManifest
from storagedriver_registry.client.reading import RunningHash
from storagedriver_registry.client.transfer.places import Blob, Chunks, Outcome, Source
from storagedriver_registry.client.transfer.plans import plan
from storagedriver_registry.digest import Digest, InvalidDigestError, compute_digest, parse_digest
from storagedriver_registry.manifest import (
    MODELS,
    OCI_INDEX,
    describe_referrer,
    named_type,
    shape_type,
    subject_of,
)
from storagedriver_registry.manifest.documents import read_stored

REF_NAME = "org.opencontainers.image.ref.name"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class OCILayout:
    """An image in a layout, to be read.

    Args:
        files: The files of the layout.
        reference: The image's name in it, or its digest; None for the only image.
    """

    def __init__(self, files: LayoutFiles, reference: str | Digest | None) -> None:
        self._files = files
        self._reference = reference

    @property
    def name(self) -> str:
        """Where it is, and its name there."""
        return f"{self._files.name}:{self._reference}" if self._reference else self._files.name

    async def root(self) -> FetchedManifest:
        """Read the manifest that the reference names."""
        if isinstance(self._reference, Digest):
            return await self.manifest(self._reference)
        listed = await self.listed()
        found = [one for one in listed if self._reference in (None, _named(one))]
        if not found:
            names = ", ".join(sorted(filter(None, map(_named, listed)))) or "none with a name"
            raise NotFoundError(
                f"{self._files.name} has no image {self._reference}; it has {names}"
            )
        if len({one.get("digest") for one in found}) > 1:
            raise NotFoundError(f"{self._files.name} has several images: say which")
        return await self.manifest(_digest(found[0]), str(found[0].get("mediaType") or ""))

    async def manifest(self, digest: Digest, media_type: str = "") -> FetchedManifest:
        """Read a manifest, and check it."""
        path = _path(digest)
        size = await self._files.size(path)
        if size is not None and size > MOST_BYTES:
            raise InvalidAnswerError(f"{self._files.name}: {path} is too large for a manifest")
        data = None if size is None else await self._files.read(path)
        if data is None:
            raise NotFoundError(f"{self._files.name}: {path} is not there")
        actual = compute_digest(data, digest.algorithm)
        if actual != digest:
            raise _mismatch(self._files.name, digest, str(actual))
        return FetchedManifest(data, digest, media_type or named_type(data) or shape_type(data))

    async def chunks(
        self, blob: Blob, offset: int = 0, before: RunningHash | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Read a blob, and check it."""
        running = hashlib.new(blob.digest.algorithm) if offset == 0 else before
        position = offset
        async with aclosing(self._files.chunks(_path(blob.digest), offset)) as chunks:
            async for chunk in chunks:
                position += len(chunk)
                if position > blob.size:
                    raise self._wrong_size(blob, "more")
                if running is not None:
                    await asyncio.to_thread(running.update, chunk)
                    if position == blob.size:
                        _check(self._files.name, blob, running)
                yield chunk
        if position < blob.size:
            raise self._wrong_size(blob, str(position))
        if running is not None and position == offset:
            _check(self._files.name, blob, running)

    def _wrong_size(self, blob: Blob, actual: str) -> DigestMismatchError:
        return DigestMismatchError(
            f"{self._files.name}: {blob.digest} has not its {blob.size} bytes",
            expected=str(blob.size),
            actual=actual,
        )

    async def referrers(self, digest: Digest) -> list[dict[str, Any]]:
        """Find what refers to a manifest among the images of the layout."""
        found = []
        for one in await self.listed():
            media_type = str(one.get("mediaType") or "")
            if media_type not in MODELS:
                continue
            manifest = await self.manifest(_digest(one), media_type)
            if subject_of(manifest.data) == digest:
                found.append(describe_referrer(manifest.digest, manifest.data, media_type))
        return found

    async def tags(self) -> list[str]:
        """Give the names of the images."""
        return sorted({name for one in await self.listed() if (name := _named(one))})

    async def listed(self) -> list[dict[str, Any]]:
        """Give the descriptors of the images."""
        data = await self._files.read("index.json")
        if data is None:
            raise NotFoundError(f"{self._files.name} is no OCI layout: it has no index.json")
        listed: list[dict[str, Any]] = _index(self._files.name, data)["manifests"]
        return listed


class OCILayoutTarget(OCILayout):
    """An image in a layout, to be written; the layout is made if there is none.

    Args:
        files: The files of the layout.
        reference: The image's name in it; None for none.
    """

    def __init__(self, files: WritableFiles, reference: str | None) -> None:
        super().__init__(files, reference)
        self._target = files
        self._tag = reference
        self._put: list[str] = []
        self._presence: Presence | None = None
        self._entering = asyncio.Lock()

    async def put_blob(self, blob: Blob, chunks: Chunks, source: Source) -> Outcome:
        """Store a blob, unless it is there."""
        # Before anything is looked for: it stays there from now on.
        await self._enter()
        path = _path(blob.digest)
        if await self._target.size(path) == blob.size:
            return Outcome.PRESENT
        # Before it is there: who is cancelled in its last moment has put it.
        self._put.append(path)
        is_ours = await self._target.put_blob(path, blob, chunks)
        return Outcome.COPIED if is_ours else Outcome.PRESENT

    async def put_manifest(self, manifest: FetchedManifest, *, is_root: bool) -> None:
        """Store a manifest; the root, and what has a subject, is listed in the index."""
        await self._enter()
        path = _path(manifest.digest)
        if await self._target.size(path) is None:
            self._put.append(path)
        await self._target.write(path, manifest.data)
        if is_root or subject_of(manifest.data) is not None:
            descriptor: dict[str, Any] = {
                "mediaType": manifest.media_type,
                "digest": str(manifest.digest),
                "size": len(manifest.data),
            }
            if is_root and self._tag is not None:
                descriptor["annotations"] = {REF_NAME: self._tag}
            await self._list(descriptor)

    async def finish(self) -> None:
        """Do nothing: everything is visible."""

    async def abandon(self) -> None:
        """Remove what was put and no image of the layout needs, unless others are at work there."""
        if self._presence is None or not self._presence.is_alone():
            return
        try:
            needed = await self._needed()
        except (RegistryError, StorageDriverError, OSError):
            # It is not known what others need.
            return
        await self._target.remove([path for path in self._put if path not in needed])

    async def release(self) -> None:
        """Leave the layout to others."""
        if self._presence is not None:
            self._presence.close()
            self._presence = None

    async def _enter(self) -> None:
        async with self._entering:
            if self._presence is None:
                self._presence = await self._target.enter()

    async def _needed(self) -> set[str]:
        """Give the files of all images that are listed."""
        try:
            listed = await self.listed()
        except NotFoundError:
            return set()
        needed = {"oci-layout"}
        for one in listed:
            found = await plan(OCILayout(self._files, _digest(one)))
            needed.update(_path(manifest.digest) for manifest in found.manifests)
            needed.update(_path(blob.digest) for blob in found.blobs)
        return needed

    async def _list(self, descriptor: dict[str, Any]) -> None:
        if await self._target.read("oci-layout") is None:
            self._put.append("oci-layout")
            await self._target.write("oci-layout", _LAYOUT)

        def added(before: bytes | None) -> bytes:
            index: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
            if before is not None:
                index |= _index(self._target.name, before)
            name = _named(descriptor)
            others = [
                one
                for one in index["manifests"]
                if one != descriptor and (name is None or _named(one) != name)
            ]
            index["manifests"] = [*others, descriptor]
            return json.dumps(index, separators=(",", ":")).encode()

        await self._target.change("index.json", added)


def _path(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _index(where: str, data: bytes) -> dict[str, Any]:
    """Read an `index.json`. What makes no sense is an error: it might be replaced otherwise."""
    index = read_stored(data)
    listed = index.get("manifests")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise InvalidAnswerError(f"{where}: its index.json is no image index")
    return index


def _named(descriptor: dict[str, Any]) -> str | None:
    annotations = descriptor.get("annotations")
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None


def _digest(descriptor: dict[str, Any]) -> Digest:
    try:
        return parse_digest(str(descriptor.get("digest")))
    except InvalidDigestError as error:
        raise InvalidAnswerError(f"index.json: {error}") from None


def _check(where: str, blob: Blob, running: RunningHash) -> None:
    actual = f"{blob.digest.algorithm}:{running.hexdigest()}"
    if actual != str(blob.digest):
        raise _mismatch(where, blob.digest, actual)


def _mismatch(where: str, expected: Digest, actual: str) -> DigestMismatchError:
    return DigestMismatchError(
        f"{where}: {expected} is {actual}", expected=str(expected), actual=actual
    )
