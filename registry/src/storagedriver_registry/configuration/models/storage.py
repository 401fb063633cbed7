"""The section `storage`, but for the driver's key and what the core reads."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field

from storagedriver_registry.configuration.models.base import Duration, Section


class DeleteSettings(Section):
    """Whether blobs, manifests and tags can be deleted.

    Attributes:
        enabled: If not, deletions are answered 405.
    """

    enabled: bool = False


class RedirectSettings(Section):
    """Whether clients fetch blobs from the store itself, where it signs URLs.

    Attributes:
        disable: Send every blob through this server.
    """

    disable: bool = False


class CacheSettings(Section):
    """Where the sizes and media types of blobs are remembered.

    Attributes:
        blobdescriptor: In this process, in Redis, or nowhere; `layerinfo` is accepted as well.
        blobdescriptorsize: Descriptors that this process remembers; 0 for any number.
        max_bytes: Bytes of manifests and other small blobs that this process remembers; ours.
        max_stale: Seconds for which what a repository has may be remembered, where the store is not
            local; 0 to look each time. Ours.
    """

    blobdescriptor: Literal["inmemory", "redis"] | None = Field(
        None, validation_alias=AliasChoices("blobdescriptor", "layerinfo")
    )
    blobdescriptorsize: int = Field(default=10000, ge=0)
    max_bytes: int = Field(default=16 * 1024 * 1024, ge=0)
    max_stale: Duration = 10.0


class UploadPurgingSettings(Section):
    """Removal of uploads that nobody goes on with.

    Attributes:
        enabled: Whether it happens.
        age: Seconds after which an upload is removed.
        interval: Seconds between two rounds.
        dryrun: Only say what would be removed.
    """

    enabled: bool = True
    age: Duration = 168 * 3600.0
    interval: Duration = 24 * 3600.0
    dryrun: bool = False


class ReadOnlySettings(Section):
    """A registry that takes nothing.

    Attributes:
        enabled: Answer 405 to whatever writes.
    """

    enabled: bool = False


class MaintenanceSettings(Section):
    """Work on the storage.

    Attributes:
        uploadpurging: Removal of uploads that nobody goes on with.
        readonly: A registry that takes nothing.
    """

    uploadpurging: UploadPurgingSettings = UploadPurgingSettings()
    readonly: ReadOnlySettings = ReadOnlySettings()


class TagSettings(Section):
    """How tags are looked through for those of a manifest.

    Attributes:
        concurrencylimit: Reads at once; 0 for 16.
    """

    concurrencylimit: int = Field(default=0, ge=0)


class StorageSettings(Section):
    """What the registry does with its storage; the driver's key stands beside these.

    Attributes:
        delete: Deletion.
        redirect: Redirects of blobs.
        cache: What is remembered of blobs.
        maintenance: Work on the storage.
        tag: How tags are looked through.
    """

    delete: DeleteSettings = DeleteSettings()
    redirect: RedirectSettings = RedirectSettings()
    cache: CacheSettings = CacheSettings()
    maintenance: MaintenanceSettings = MaintenanceSettings()
    tag: TagSettings = TagSettings()
