"""Media types of manifests, and how the type of a stored one is found again.

A manifest names its type, or came with one that is kept beside it, or else its shape says it. A
push whose manifest names another type than it came with is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storagedriver_registry.manifest.documents import read_stored

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


def named_type(data: bytes) -> str | None:
    """Give the type that a stored manifest names, or that a schema 1 has; None if none."""
    return declared_type(read_stored(data))


def shape_type(data: bytes) -> str:
    """Give the type that the shape of a stored manifest means."""
    return type_by_shape(read_stored(data))


def declared_type(document: Mapping[str, Any]) -> str | None:
    """Give the type that a manifest declares; None if it does not."""
    declared = document.get("mediaType")
    if isinstance(declared, str) and declared:
        return declared
    if document.get("schemaVersion") == 1:
        # Schema 1 has no such field.
        return DOCKER_SCHEMA1[1 if "signatures" in document else 0]
    return None


def type_by_shape(document: Mapping[str, Any]) -> str:
    """Give OCI's type of a manifest that declares none.

    Source: image-spec, "Image Manifest Property Descriptions".
    """
    return OCI_INDEX if "manifests" in document else OCI_MANIFEST


def is_specific(content_type: str) -> bool:
    """Tell whether a `Content-Type`, without parameters, says more than that it is data."""
    return content_type.lower() not in _GENERIC
