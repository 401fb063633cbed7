"""Referrers: which manifests have another one as their subject.

Our index is a file for each referrer, so that pushes at the same time do not lose each other. It is
joined with the index that clients keep at the subject's referrers tag, where a registry of the
past did not list referrers. Neither is believed: a referrer is listed if the repository has it.

Rule: a push writes the file after the revision's link, and before it is answered; a delete leaves
the file where it is. So whatever is acknowledged is listed, whoever pushes and deletes the same
manifest at the same time, and wherever either is cut off. A delete that removed the file as well
could remove the one that a push has just written.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from storagedriver_core import AT_ONCE, PathNotFoundError, Storage, at_once
from storagedriver_registry.digest import Digest, as_digest
from storagedriver_registry.manifest import (
    describe_referrer,
    listed_digests,
    referrers_tag,
    subject_of,
)
from storagedriver_registry.storage import paths
from storagedriver_registry.storage.errors import ManifestUnknownError, TagUnknownError
from storagedriver_registry.storage.links import Links
from storagedriver_registry.storage.manifests import ManifestStore
from storagedriver_registry.storage.tags import TagStore

MOST_PAGE_BYTES = 4 * 1024 * 1024
"""Bytes of a page's descriptors: clients take no larger manifest, and a page is one."""


@dataclass(frozen=True, slots=True)
class ReferrersPage:
    """Some referrers of a subject.

    Attributes:
        descriptors: Their descriptors, in the order of their digests.
        last: The digest after which the next page begins; empty if there is none.
    """

    descriptors: list[dict[str, Any]]
    last: str = ""


async def first_page(
    found: AsyncIterator[dict[str, Any]], artifact_type: str, count: int | None
) -> ReferrersPage:
    """Take as many descriptors as fit a page.

    Args:
        found: Descriptors, in the order of their digests.
        artifact_type: Only those of this type; empty for all.
        count: At most so many; None for what fits a page.
    """
    descriptors: list[dict[str, Any]] = []
    size = 0
    async for descriptor in found:
        if artifact_type and descriptor.get("artifactType") != artifact_type:
            continue
        size += len(json.dumps(descriptor))
        if len(descriptors) == count or (descriptors and size > MOST_PAGE_BYTES):
            last = descriptors[-1]["digest"] if descriptors else ""
            return ReferrersPage(descriptors, last)
        descriptors.append(descriptor)
    return ReferrersPage(descriptors)


class ReferrerStore:
    """The referrers of every manifest, whether that manifest exists or not."""

    def __init__(
        self, storage: Storage, links: Links, manifests: ManifestStore, tags: TagStore
    ) -> None:
        self._storage = storage
        self._links = links
        self._manifests = manifests
        self._tags = tags

    async def put(self, name: str, subject: Digest, digest: Digest) -> None:
        """Note that a stored manifest refers to a subject; durable when it returns."""
        await self._links.write(paths.referrer(name, subject, digest), digest)

    async def page(
        self, name: str, subject: Digest, artifact_type: str, after: str, count: int | None
    ) -> ReferrersPage:
        """List referrers.

        Args:
            name: The repository.
            subject: The digest that they refer to.
            artifact_type: Only those of this type; empty for all.
            after: Only those with digests after this one, which need not exist.
            count: At most so many; None for what fits a page.
        """
        return await first_page(self._described(name, subject, after), artifact_type, count)

    async def rebuild(self, name: str) -> AsyncIterator[Digest | None]:
        """Index what a registry without this index has stored in a repository.

        Yields:
            For each manifest its subject, if it has one, once that is noted.
        """
        async for digest in self._manifests.all(name):
            subject = await self._subject_of(name, digest)
            if subject is not None:
                await self.put(name, subject, digest)
            yield subject

    async def _subject_of(self, name: str, digest: Digest) -> Digest | None:
        """Give the subject of a manifest; None if it has none, or is not there or not whole."""
        try:
            return subject_of(await self._manifests.content(name, digest))
        except ManifestUnknownError:
            return None

    async def _described(
        self, name: str, subject: Digest, after: str
    ) -> AsyncIterator[dict[str, Any]]:
        async def describe(digest: Digest) -> dict[str, Any] | None:
            try:
                data = await self._manifests.content(name, digest)
            except ManifestUnknownError:
                return None
            if subject_of(data) != subject:
                return None
            media_type = await self._manifests.media_type(name, digest, data)
            return describe_referrer(digest, data, media_type)

        indexes = (self._indexed, self._at_tag)
        found = await at_once(indexes, lambda index: index(name, subject))
        named = {digest for digests in found for digest in digests if str(digest) > after}
        digests = sorted(named, key=str)
        for start in range(0, len(digests), AT_ONCE):
            for descriptor in await at_once(digests[start : start + AT_ONCE], describe):
                if descriptor is not None:
                    yield descriptor

    async def _indexed(self, name: str, subject: Digest) -> list[Digest]:
        digests = []
        try:
            async for entry in self._storage.list(paths.referrers(name, subject)):
                digest = as_digest(entry.path.rpartition("/")[2].replace("-", ":", 1))
                if digest is not None:
                    digests.append(digest)
        except PathNotFoundError:
            pass
        return digests

    async def _at_tag(self, name: str, subject: Digest) -> list[Digest]:
        try:
            digest = await self._tags.resolve(name, referrers_tag(subject))
            return listed_digests(await self._manifests.content(name, digest))
        except (TagUnknownError, ManifestUnknownError):
            return []
