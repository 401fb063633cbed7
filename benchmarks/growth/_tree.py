"""A store on files, written directly as pushes would leave it: thousands of them take seconds."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from storagedriver_registry.digest import Digest, parse_digest
from storagedriver_registry.storage import paths

from benchmarks.registry_load._seeding import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE

_LAYER_BYTES = 2048


class Tree:
    """A root directory with one image, of which every repository has the links.

    Args:
        root: The root directory.

    Attributes:
        manifest: The image's.
        layer: Digest of its layer.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        layer, config = os.urandom(_LAYER_BYTES), b'{"architecture":"amd64","os":"linux"}'
        self.layer, self._config = self._blob(layer), self._blob(config)
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": _descriptor(CONFIG_TYPE, self._config, len(config)),
                "layers": [_descriptor(LAYER_TYPE, self.layer, len(layer))],
            }
        ).encode()
        self._digest = self._blob(self.manifest)

    def plant(self, name: str, tags: Iterable[str]) -> None:
        """Write a repository with the image's links, and tags that point to it."""
        self._link(paths.revision_link(name, self._digest), self._digest)
        for blob in (self.layer, self._config):
            self._link(paths.layer_link(name, blob), blob)
        for tag in tags:
            self._link(paths.tag_link(name, tag), self._digest)

    def plant_bare(self, names: Iterable[str]) -> None:
        """Write repositories that have lost all their manifests: for lists they are as others."""
        for name in names:
            self._place(paths.manifests(name)).mkdir(parents=True)

    def plant_bare_tags(self, name: str, tags: Iterable[str]) -> None:
        """Write tags that point to nothing: for lists they are as others."""
        place = self._place(paths.tags(name))
        place.mkdir(parents=True)
        for tag in tags:
            (place / tag).mkdir()

    def _blob(self, data: bytes) -> Digest:
        digest = parse_digest(f"sha256:{hashlib.sha256(data).hexdigest()}")
        place = self._place(paths.blob(digest))
        place.parent.mkdir(parents=True)
        place.write_bytes(data)
        return digest

    def _link(self, path: str, digest: Digest) -> None:
        place = self._place(path)
        place.parent.mkdir(parents=True)
        place.write_text(str(digest))

    def _place(self, path: str) -> Path:
        return self._root / path[1:]


def _descriptor(media_type: str, digest: Digest, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(digest), "size": size}
