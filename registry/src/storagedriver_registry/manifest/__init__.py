"""Manifests and indexes of OCI and Docker: what they are and what they refer to."""

from __future__ import annotations

from storagedriver_registry.manifest.documents import read_stored
from storagedriver_registry.manifest.media_types import OCI_INDEX, named_type, shape_type
from storagedriver_registry.manifest.models import (
    ArtifactManifest,
    Descriptor,
    ImageManifest,
    Index,
    Manifest,
)
from storagedriver_registry.manifest.naming import named_digests
from storagedriver_registry.manifest.parsing import (
    MODELS,
    InvalidManifestError,
    PushedManifest,
    parse_manifest,
)
from storagedriver_registry.manifest.referring import (
    describe_referrer,
    listed_digests,
    referrers_tag,
    subject_of,
)

__all__ = [
    "MODELS",
    "OCI_INDEX",
    "ArtifactManifest",
    "Descriptor",
    "ImageManifest",
    "Index",
    "InvalidManifestError",
    "Manifest",
    "PushedManifest",
    "describe_referrer",
    "listed_digests",
    "named_digests",
    "named_type",
    "parse_manifest",
    "read_stored",
    "referrers_tag",
    "shape_type",
    "subject_of",
]
