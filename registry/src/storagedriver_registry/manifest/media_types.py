"""Media types of manifests, and how the type of a stored one is found again.

The store keeps bytes and no type, as distribution's does: the type is in the manifest, or its shape
says it. A push whose manifest would be served under another type than it came with is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_SCHEMA1 = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)

_GENERIC = ("", "application/json", "application/octet-stream", "text/plain")


def media_type_of(data: bytes) -> str:
    """Give the media type of a stored manifest."""
    document = json.loads(data)
    return declared_type(document) if isinstance(document, dict) else OCI_MANIFEST


def declared_type(document: Mapping[str, Any]) -> str:
    """Give the type that a manifest declares, or else the one that its shape means.

    Only OCI's may leave the type out. Source: image-spec, "Image Manifest Property Descriptions".
    """
    declared = document.get("mediaType")
    if isinstance(declared, str) and declared:
        return declared
    if document.get("schemaVersion") == 1:
        signed = "signatures" in document
        return DOCKER_SCHEMA1[1 if signed else 0]
    return OCI_INDEX if "manifests" in document else OCI_MANIFEST


def is_specific(content_type: str) -> bool:
    """Tell whether a `Content-Type`, without parameters, says more than that it is data."""
    return content_type not in _GENERIC
