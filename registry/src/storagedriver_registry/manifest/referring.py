"""What a manifest says of the one that it refers to.

Source: distribution-spec, "Listing Referrers" and "Pushing Manifests with Subject".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storagedriver_registry.digest import Digest, as_digest
from storagedriver_registry.manifest.documents import read_stored
from storagedriver_registry.manifest.media_types import DOCKER_LIST, OCI_INDEX

# Source: distribution-spec, "Referrers Tag Schema". Both algorithms have names that a tag can have.
_MOST_HEX_IN_TAG = 64


def subject_of(data: bytes) -> Digest | None:
    """Give the digest of a manifest's subject; None if it has no valid one."""
    subject = read_stored(data).get("subject")
    return as_digest(subject.get("digest")) if isinstance(subject, dict) else None


def describe_referrer(digest: Digest, data: bytes, media_type: str) -> dict[str, Any]:
    """Give the descriptor by which a manifest is listed among the referrers of its subject.

    An image that has no artifact type counts as one of its configuration's type; an index without
    one has none.
    """
    document = read_stored(data)
    descriptor = {"mediaType": media_type, "digest": str(digest), "size": len(data)}
    artifact_type = document.get("artifactType")
    if not artifact_type and media_type not in (OCI_INDEX, DOCKER_LIST):
        config = document.get("config")
        artifact_type = config.get("mediaType") if isinstance(config, Mapping) else None
    if isinstance(artifact_type, str) and artifact_type:
        descriptor["artifactType"] = artifact_type
    # In manifests of unknown types, and in what another registry has stored, they may be anything.
    annotations = document.get("annotations")
    if isinstance(annotations, Mapping):
        texts = {key: value for key, value in annotations.items() if isinstance(value, str)}
        if texts:
            descriptor["annotations"] = texts
    return descriptor


def referrers_tag(subject: Digest) -> str:
    """Give the tag at which clients keep the referrers where a registry does not list them."""
    return f"{subject.algorithm}-{subject.hex[:_MOST_HEX_IN_TAG]}"


def listed_digests(index: bytes) -> list[Digest]:
    """Give the digests that an index lists; what is no digest is left out."""
    members = read_stored(index).get("manifests")
    descriptors = members if isinstance(members, list) else []
    found = (as_digest(one.get("digest")) for one in descriptors if isinstance(one, dict))
    return [digest for digest in found if digest is not None]
