"""What refers to a manifest: signatures, descriptions, and whatever else is attached to it.

Where a registry lists no referrers, clients keep the list themselves, at a tag that the digest
gives. Source: distribution-spec, "Listing Referrers" and "Referrers Tag Schema".
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from yarl import URL

from storagedriver_registry.client.errors import NotFoundError, UnsupportedError
from storagedriver_registry.client.manifests import Manifests
from storagedriver_registry.client.origins import Origin, Origins
from storagedriver_registry.client.paging import pages
from storagedriver_registry.client.platforms import members
from storagedriver_registry.client.tokens import repository_scope
from storagedriver_registry.digest import Digest, compute_digest, parse_digest
from storagedriver_registry.manifest import (
    OCI_INDEX,
    describe_referrer,
    referrers_tag,
    subject_of,
)


class Referrers:
    """The referrers in one repository; `Repository.referrers`.

    No mirror is asked: it may have a part of them.

    Args:
        origin: Where they are listed.
        manifests: Where they are recorded.
    """

    def __init__(self, origin: Origin, manifests: Manifests) -> None:
        self._transport = origin.transport
        self._path = f"/v2/{origin.name}/referrers/"
        self._scopes = frozenset({repository_scope(origin.name, "pull")})
        self._listed_manifests = Manifests(origin.transport, origin.name, Origins((), origin))
        self._manifests = manifests

    async def list(
        self, subject: Digest | str, *, artifact_type: str | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Give the descriptors of what refers to a manifest, as the registry or the tag has them.

        Args:
            subject: Digest of the manifest; nothing is wrong if there is no such one.
            artifact_type: Only those of this type.
        """
        subject = parse_digest(subject) if isinstance(subject, str) else subject
        listed = self._listed(subject, artifact_type)
        try:
            async for descriptor in listed:
                if artifact_type in (None, descriptor.get("artifactType")):
                    yield descriptor
        except (NotFoundError, UnsupportedError):
            for descriptor in await _tagged(self._listed_manifests, subject):
                if artifact_type in (None, descriptor.get("artifactType")):
                    yield descriptor

    async def record(self, manifest: bytes, media_type: str) -> None:
        """Add a manifest to the list at the tag of its subject, for a registry that lists none.

        Two clients that do it at the same time may lose one of the two: the specification has no
        way around that.

        Args:
            manifest: What has a subject, and is in the repository.
            media_type: Its type.
        """
        subject = subject_of(manifest)
        if subject is None:
            raise ValueError("the manifest has no subject")
        descriptor = describe_referrer(compute_digest(manifest), manifest, media_type)
        others = await _tagged(self._manifests, subject)
        if any(one.get("digest") == descriptor["digest"] for one in others):
            return
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*others, descriptor]}
        await self._manifests.put(
            referrers_tag(subject), json.dumps(index, separators=(",", ":")).encode(), OCI_INDEX
        )

    async def _listed(
        self, subject: Digest, artifact_type: str | None
    ) -> AsyncGenerator[dict[str, Any], None]:
        target = URL(f"{self._path}{subject}")
        if artifact_type is not None:
            target = target.with_query(artifactType=artifact_type)
        headers = {"Accept": OCI_INDEX}
        async for document, _ in pages(self._transport, str(target), self._scopes, headers):
            listed = document.get("manifests")
            for one in listed if isinstance(listed, list) else []:
                if isinstance(one, dict):
                    yield one


async def _tagged(manifests: Manifests, subject: Digest) -> Sequence[dict[str, Any]]:
    try:
        index = await manifests.get(referrers_tag(subject), accept=(OCI_INDEX,))
    except NotFoundError:
        return []
    return members(index.data)
