"""A client of registries: pull, push and whatever else the specification has, from Python."""

# General layout. A module imports only from those above it:
#
#   errors                       the error tree
#   addresses, tls, credentials,
#   challenges, retrying         where, who, and what is tried again
#   tokens                       answering challenges
#   stalls, bodies, answers,
#   connections, transport       requests
#   mirrors, registries_conf,
#   origins                      who is asked first
#   reading, uploading, paging   what takes several of them
#   platforms, blobs, manifests,
#   tags, referrers              parts of a repository
#   repository, registry         what users hold
#   blocking                     the same for callers without an event loop
#   references, docker_config    names of images, and credentials, as Docker has them
#   transfer                     copying images between places, repositories among them
#   layouts                      the other places: OCI layouts, archives, stores
#   commands                     the `dist` command
#
# Everything public is exported here. Nothing of the server is imported.

from __future__ import annotations

from storagedriver_registry.client.blobs import BlobContent, BlobInfo, Blobs
from storagedriver_registry.client.blocking import (
    SyncBlobReader,
    SyncRegistryClient,
    SyncRepository,
)
from storagedriver_registry.client.credentials import Credentials, CredentialSource
from storagedriver_registry.client.docker_config import DockerConfig
from storagedriver_registry.client.errors import (
    BlockedError,
    BusyError,
    CertificateError,
    ConnectionFailedError,
    CredentialsError,
    DeniedError,
    DigestMismatchError,
    ErrorEntry,
    InvalidAnswerError,
    InvalidReferenceError,
    NotFoundError,
    RangeInvalidError,
    RedirectRefusedError,
    RegistriesConfigError,
    RegistryError,
    ResponseError,
    ServerError,
    StalledError,
    TooManyRequestsError,
    UnauthorizedError,
    UnsupportedError,
)
from storagedriver_registry.client.manifests import (
    FetchedManifest,
    ManifestInfo,
    Manifests,
    PutManifest,
)
from storagedriver_registry.client.mirrors import Mirror, RegistriesConfig, RegistryRule
from storagedriver_registry.client.platforms import Platform
from storagedriver_registry.client.reading import BlobReader
from storagedriver_registry.client.references import ImageReference, parse_reference
from storagedriver_registry.client.referrers import Referrers
from storagedriver_registry.client.registries_conf import read_registries_conf
from storagedriver_registry.client.registry import RegistryClient
from storagedriver_registry.client.repository import Repository
from storagedriver_registry.client.retrying import Clock, Retries
from storagedriver_registry.client.tags import Tags
from storagedriver_registry.client.tls import TLSOptions
from storagedriver_registry.client.uploading import UploadSession

__all__ = [
    "BlobContent",
    "BlobInfo",
    "BlobReader",
    "Blobs",
    "BlockedError",
    "BusyError",
    "CertificateError",
    "Clock",
    "ConnectionFailedError",
    "CredentialSource",
    "Credentials",
    "CredentialsError",
    "DeniedError",
    "DigestMismatchError",
    "DockerConfig",
    "ErrorEntry",
    "FetchedManifest",
    "ImageReference",
    "InvalidAnswerError",
    "InvalidReferenceError",
    "ManifestInfo",
    "Manifests",
    "Mirror",
    "NotFoundError",
    "Platform",
    "PutManifest",
    "RangeInvalidError",
    "RedirectRefusedError",
    "Referrers",
    "RegistriesConfig",
    "RegistriesConfigError",
    "RegistryClient",
    "RegistryError",
    "RegistryRule",
    "Repository",
    "ResponseError",
    "Retries",
    "ServerError",
    "StalledError",
    "SyncBlobReader",
    "SyncRegistryClient",
    "SyncRepository",
    "TLSOptions",
    "Tags",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnsupportedError",
    "UploadSession",
    "parse_reference",
    "read_registries_conf",
]
