"""What a manifest that is pushed must not lack, as far as the configuration asks.

Source: distribution's documentation, "Configuring a registry", section `validation`.
"""

from __future__ import annotations

from collections.abc import Collection

from storagedriver_core import at_once
from storagedriver_registry.api.codes import MANIFEST_BLOB_UNKNOWN, MANIFEST_INVALID
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.configuration.models import ValidationSettings, compile_pattern
from storagedriver_registry.digest import Digest
from storagedriver_registry.manifest import Descriptor, Manifest
from storagedriver_registry.storage import Stores


class ManifestValidation:
    """Checks manifests before they are stored."""

    def __init__(self, settings: ValidationSettings) -> None:
        self._disabled = settings.disabled
        urls = settings.manifests.urls
        self._allow = [compile_pattern(pattern) for pattern in urls.allow]
        self._deny = [compile_pattern(pattern) for pattern in urls.deny]
        indexes = settings.manifests.indexes
        self._members = indexes.platforms
        self._platforms = {(item.architecture, item.os) for item in indexes.platformlist}

    async def check(self, stores: Stores, name: str, manifest: Manifest) -> None:
        """Raise unless the repository may have the manifest.

        Raises:
            ApiError: It lacks blobs or manifests, each of which is named; or a URL of a layer is
                not allowed.
        """
        if self._disabled:
            return
        for url in manifest.named_urls:
            if not self._may_name(url):
                raise ApiError(MANIFEST_INVALID, f"a layer's URL is not allowed: {url}")

        async def has_blob(digest: Digest) -> bool:
            return await stores.blobs.has(name, digest)

        async def has_member(digest: Digest) -> bool:
            # BuildKit's caches are indexes of blobs, which distribution takes as well.
            return await stores.manifests.exists(name, digest) or await has_blob(digest)

        blobs, members = self._required(manifest)
        present = [*await at_once(blobs, has_blob), *await at_once(members, has_member)]
        wanted = [*blobs, *members]
        missing = [digest for digest, found in zip(wanted, present, strict=True) if not found]
        _refuse(missing)

    def require(self, manifest: Manifest, lost: Collection[Digest]) -> None:
        """Raise if any of what is lost is needed.

        Args:
            manifest: A manifest that was checked.
            lost: What was there at the check, and is gone by now.

        Raises:
            ApiError: The repository lacks what is named.
        """
        if lost and not self._disabled:
            blobs, members = self._required(manifest)
            _refuse([digest for digest in (*blobs, *members) if digest in lost])

    def _required(self, manifest: Manifest) -> tuple[list[Digest], list[Digest]]:
        """Give the blobs and the members that the repository must have."""
        members = [each for each in manifest.required_manifests if self._needs(each)]
        return _distinct(manifest.required_blobs), _distinct(members)

    def _may_name(self, url: str) -> bool:
        if self._allow and not any(pattern.search(url) for pattern in self._allow):
            return False
        return not any(pattern.search(url) for pattern in self._deny)

    def _needs(self, member: Descriptor) -> bool:
        """Tell whether the repository must have a member of an index."""
        if self._members == "list":
            platform = member.platform
            return platform is not None and (platform.architecture, platform.os) in self._platforms
        return self._members == "all"


def _refuse(missing: list[Digest]) -> None:
    if missing:
        first, *others = [ApiError(MANIFEST_BLOB_UNKNOWN, str(digest)) for digest in missing]
        raise ApiError(first.code, first.detail, others=tuple(others))


def _distinct(descriptors: list[Descriptor]) -> list[Digest]:
    return list(dict.fromkeys(descriptor.digest for descriptor in descriptors))
