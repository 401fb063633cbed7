"""How garbage is collected, what is collected, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

from storagedriver_registry.digest import Digest, parse_digest
from storagedriver_registry.storage import paths
from storagedriver_registry.storage.garbage_scan import Scan


@dataclass(frozen=True, slots=True, kw_only=True)
class GarbageOptions:
    """How to collect.

    Attributes:
        grace: From when something is condemned to when it may be deleted, at least; and for how
            long what was pushed is in use without a manifest.
        delete_untagged: Collect manifests that no tag leads to as well.
        dry_run: Change nothing.
        offline: No server is at work, whosever: delete at once, and mark nothing.
        max_stale: For how many seconds servers remember a link, where the store is not local.
    """

    grace: timedelta
    delete_untagged: bool = False
    dry_run: bool = False
    offline: bool = False
    max_stale: float = 0.0


class Item(NamedTuple):
    """A blob, or a manifest of a repository.

    Attributes:
        name: The repository; empty for a blob.
        digest: The digest.
    """

    name: str
    digest: Digest

    @classmethod
    def of_marker(cls, path: str) -> Item:
        """Give what a marker is about, by its path."""
        if path.startswith(f"{paths.CONDEMNED_BLOBS}/"):
            algorithm, _, value = path.removeprefix(f"{paths.CONDEMNED_BLOBS}/").split("/")
            return cls("", parse_digest(f"{algorithm}:{value}"))
        rest = path.removeprefix(f"{paths.CONDEMNED_REVISIONS}/")
        name, algorithm, value = rest.rsplit("/", 2)
        return cls(name, parse_digest(f"{algorithm.removeprefix('_')}:{value}"))

    @property
    def marker(self) -> str:
        """The path of its marker."""
        if self.name:
            return paths.condemned_revision(self.name, self.digest)
        return paths.condemned_blob(self.digest)

    def is_stored(self, scan: Scan) -> bool:
        """Tell whether it is there, and not only what was left of it."""
        if not self.name:
            return self.digest in scan.blobs
        return self.digest in scan.linked(self.name)

    def is_used(self, scan: Scan) -> bool:
        """Tell whether it is in use."""
        if self.name:
            return scan.uses_revision(self.name, self.digest)
        return scan.uses_blob(self.digest)


@dataclass(slots=True)
class GarbageReport:
    """What a collection has found and done, or with `dry_run` would have done.

    Attributes:
        repositories: Repositories that hold manifests.
        manifests: Manifests of all repositories.
        blobs: Blobs that were stored, manifests among them.
        deleted: What was deleted.
        deleted_bytes: Bytes of the blobs among that.
        condemned: What may be deleted after the grace period.
        waiting: How many were condemned before, and their time is not up.
        spared: How many were condemned before, and are in use again.
        emptied: Repositories of which nothing was left but empty directories.
        foreign_uploads: Upload sessions of docker/distribution, with which only a `dry_run` ends.
    """

    repositories: int = 0
    manifests: int = 0
    blobs: int = 0
    deleted: list[Item] = field(default_factory=list)
    deleted_bytes: int = 0
    condemned: list[Item] = field(default_factory=list)
    waiting: int = 0
    spared: int = 0
    emptied: list[str] = field(default_factory=list)
    foreign_uploads: list[str] = field(default_factory=list)
