"""Everything that is kept in one store."""

from __future__ import annotations

from dataclasses import dataclass

from storagedriver_core import Storage
from storagedriver_registry.storage.blobs import BlobStore
from storagedriver_registry.storage.caches import Caches, no_caches
from storagedriver_registry.storage.catalog import Catalog
from storagedriver_registry.storage.condemned import Condemned
from storagedriver_registry.storage.links import Links
from storagedriver_registry.storage.manifests import ManifestStore
from storagedriver_registry.storage.referrers import ReferrerStore
from storagedriver_registry.storage.sessions import SessionStore
from storagedriver_registry.storage.tags import TagStore
from storagedriver_registry.storage.tickets import Tickets
from storagedriver_registry.storage.uploads import UploadStore


@dataclass(frozen=True, slots=True)
class Stores:
    """The registry's view of one `Storage`."""

    blobs: BlobStore
    manifests: ManifestStore
    tags: TagStore
    uploads: UploadStore
    sessions: SessionStore
    catalog: Catalog
    referrers: ReferrerStore
    condemned: Condemned


def make_stores(
    storage: Storage,
    upload_key: bytes | None = None,
    caches: Caches | None = None,
    *,
    tags_at_once: int = 0,
) -> Stores:
    """Make the stores on a storage; no I/O.

    Args:
        storage: Opened before the first use of the stores.
        upload_key: Signs upload sessions; None for a key that is kept in the storage.
        caches: What is remembered; by default nothing. Whoever hands them in closes them.
        tags_at_once: Tags that are looked at at once for those of a manifest that is deleted; 0 for
            as many as of anything.
    """
    caches = caches or no_caches()
    links = Links(storage, caches.max_stale)
    condemned = Condemned(storage, caches.max_stale)
    blobs = BlobStore(storage, links, caches, condemned)
    manifests = ManifestStore(storage, links, blobs, caches, condemned)
    tags = TagStore(storage, links, tags_at_once)
    uploads = UploadStore(storage, blobs, Tickets(storage, upload_key))
    return Stores(
        blobs=blobs,
        manifests=manifests,
        tags=tags,
        uploads=uploads,
        sessions=SessionStore(storage, uploads),
        catalog=Catalog(storage),
        referrers=ReferrerStore(storage, links, manifests, tags),
        condemned=condemned,
    )
