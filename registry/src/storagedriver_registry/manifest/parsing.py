"""From pushed bytes to a typed manifest, with the least validation that keeps a registry sound."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from storagedriver_registry.manifest.documents import read_pushed
from storagedriver_registry.manifest.media_types import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    DOCKER_SCHEMA1,
    OCI_ARTIFACT,
    OCI_INDEX,
    OCI_MANIFEST,
    declared_type,
    is_specific,
    type_by_shape,
)
from storagedriver_registry.manifest.models import (
    ArtifactManifest,
    ImageManifest,
    Index,
    Manifest,
)

# Source: RFC 6838, section 4.2.
_RESTRICTED_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_MEDIA_TYPE = re.compile(f"{_RESTRICTED_NAME}/{_RESTRICTED_NAME}")

MODELS: Mapping[str, type[Manifest]] = {
    OCI_MANIFEST: ImageManifest,
    DOCKER_MANIFEST: ImageManifest,
    OCI_INDEX: Index,
    DOCKER_LIST: Index,
    OCI_ARTIFACT: ArtifactManifest,
}
"""What is known of manifests, by their media type."""


class InvalidManifestError(ValueError):
    """The bytes are no manifest that can be taken; the text says why."""


@dataclass(frozen=True, slots=True)
class PushedManifest:
    """A manifest that may be taken.

    Attributes:
        manifest: What is known of it.
        media_type: Its type.
        names_type: Whether the bytes name the type, so that it need not be kept.
    """

    manifest: Manifest
    media_type: str
    names_type: bool


def parse_manifest(data: bytes, content_type: str) -> PushedManifest:
    """Read a manifest that is pushed.

    Args:
        data: The bytes.
        content_type: The `Content-Type` that they came with; empty if none.

    Raises:
        InvalidManifestError: It is malformed, ambiguous, or names another type than it came with.
    """
    try:
        document = read_pushed(data)
    except ValueError as error:
        raise InvalidManifestError(str(error)) from None
    declared = declared_type(document)
    came_as = content_type.partition(";")[0].strip()
    media_type = declared or (came_as if is_specific(came_as) else type_by_shape(document))
    # It is sent back as a header.
    named = document.get("mediaType", "")
    if named not in ("", None, declared) or _MEDIA_TYPE.fullmatch(media_type) is None:
        raise InvalidManifestError("mediaType: it is no media type")
    if {media_type, came_as.lower()} & {*DOCKER_SCHEMA1}:
        raise InvalidManifestError("Docker schema 1 is not accepted; push schema 2 or OCI")
    if is_specific(came_as) and came_as.lower() != media_type.lower():
        raise InvalidManifestError(f"it came as {came_as}, but is {media_type}")
    # One client could take such a document for an image and another for an index.
    if "manifests" in document and ("layers" in document or "config" in document):
        raise InvalidManifestError("it is both an image and an index")
    try:
        manifest = MODELS.get(media_type, Manifest).model_validate(document)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise InvalidManifestError(f"{place}: {fault['msg']}") from None
    return PushedManifest(manifest, media_type, names_type=declared is not None)
