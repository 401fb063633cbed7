"""Manifests and indexes of OCI and Docker: what they are and what they refer to."""

from __future__ import annotations

from storagedriver_registry.manifest.media_types import media_type_of
from storagedriver_registry.manifest.models import (
    ArtifactManifest,
    Descriptor,
    ImageManifest,
    Index,
    Manifest,
)
from storagedriver_registry.manifest.parsing import InvalidManifestError, parse_manifest

__all__ = [
    "ArtifactManifest",
    "Descriptor",
    "ImageManifest",
    "Index",
    "InvalidManifestError",
    "Manifest",
    "media_type_of",
    "parse_manifest",
]
