"""Images outside of registries: OCI layouts, archives, and any configured storage."""

from __future__ import annotations

from storagedriver_registry.client.layouts.archives import ArchiveTarget
from storagedriver_registry.client.layouts.docker_archive import (
    DockerArchive,
    DockerArchiveTarget,
)
from storagedriver_registry.client.layouts.files import LayoutFiles, WritableFiles
from storagedriver_registry.client.layouts.local_files import LocalFiles
from storagedriver_registry.client.layouts.oci_layout import OCILayout, OCILayoutTarget
from storagedriver_registry.client.layouts.storage_files import StorageFiles
from storagedriver_registry.client.layouts.tar_files import TarFiles

__all__ = [
    "ArchiveTarget",
    "DockerArchive",
    "DockerArchiveTarget",
    "LayoutFiles",
    "LocalFiles",
    "OCILayout",
    "OCILayoutTarget",
    "StorageFiles",
    "TarFiles",
    "WritableFiles",
]
