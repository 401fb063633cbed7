"""A scan: everything that is stored, and which of it is in use.

In use is what a manifest names that a repository links, and what was linked or stored a short time
ago: its manifest is still to come. With `delete_untagged` a manifest is in use if it is tagged or
young, or if one that is linked lists it, or is its subject. So untagged manifests go from the top
down, one level with each collection, and what a push needs of a manifest that it tags or lists is
never condemned before that manifest itself. Where no server is at work they go all at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeAlias

from storagedriver_core import AT_ONCE, FileInfo, PathNotFoundError, Storage, at_once
from storagedriver_registry.digest import Digest, as_digest
from storagedriver_registry.manifest import listed_digests, named_digests, subject_of
from storagedriver_registry.manifest.documents import read_stored
from storagedriver_registry.storage import paths
from storagedriver_registry.storage.links import Links

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Is called with what is being done, how much of it is, and how much there is, if that is known."""


class GarbageError(Exception):
    """Garbage cannot be collected; the text says why."""


class UnreadableManifestError(GarbageError):
    """A stored manifest is no JSON, so nobody can say what it names."""

    def __init__(self, name: str, digest: Digest) -> None:
        super().__init__(
            f"manifest {digest} of {name} cannot be read, so what it names is not known; "
            "delete it, or restore its content"
        )


class ForeignUploadError(GarbageError):
    """There is an upload session of docker/distribution."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"docker/distribution has an upload session here ({path}). It knows nothing of this "
            "collector, so it must not be at work: stop it and collect with --offline; or, if it "
            "serves this storage no more, drop its sessions with `registry uploads purge`"
        )


class Named(NamedTuple):
    """What one manifest says.

    Attributes:
        digests: All that it names, but for its subject.
        listed: Members, if it is an index.
        subject: What it refers to.
    """

    digests: tuple[Digest, ...] = ()
    listed: tuple[Digest, ...] = ()
    subject: Digest | None = None


@dataclass(slots=True)
class Revision:
    """What is stored in a repository about one manifest.

    Attributes:
        link: When its link was written; None if there is none.
        newest: When the newest of its files was written.
        files: The others: its type, its entry among referrers, and where it was tagged.
        signatures: Blobs that sign it, in Docker's schema 1.
    """

    link: datetime | None = None
    newest: datetime | None = None
    files: list[str] = field(default_factory=list)
    signatures: list[Digest] = field(default_factory=list)


@dataclass(slots=True)
class Repository:
    """What is stored in one repository.

    Attributes:
        name: Its name.
        revisions: By digest.
        tags: Its tags that point to anything.
    """

    name: str
    revisions: dict[Digest, Revision] = field(default_factory=lambda: defaultdict(Revision))
    tags: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Layer:
    """The links to one blob.

    Attributes:
        names: The repositories.
        newest: When the newest was written.
    """

    names: list[str]
    newest: datetime | None


@dataclass(slots=True)
class Scan:
    """What one scan found.

    Attributes:
        began: When it began, by the store's clock.
        young_after: What was written after this is in use.
        repositories: By name.
        layers: Links to blobs.
        blobs: Size and time of every blob; empty if they were not asked for.
        live: Blobs that a manifest names, and those manifests.
        names: Repositories that hold any file.
        kept: Manifests in use, by repository.
        foreign_uploads: Upload sessions of docker/distribution, where it may be at work.
    """

    began: datetime
    young_after: datetime
    repositories: dict[str, Repository] = field(default_factory=dict)
    layers: dict[Digest, Layer] = field(default_factory=dict)
    blobs: dict[Digest, FileInfo] = field(default_factory=dict)
    live: set[Digest] = field(default_factory=set)
    kept: dict[str, set[Digest]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    foreign_uploads: list[str] = field(default_factory=list)

    def linked(self, name: str) -> set[Digest]:
        """Give the manifests that a repository links."""
        repository = self.repositories.get(name)
        revisions = repository.revisions if repository else {}
        return {digest for digest, one in revisions.items() if one.link is not None}

    def uses_blob(self, digest: Digest) -> bool:
        """Tell whether a blob is in use."""
        if digest in self.live:
            return True
        layer, info = self.layers.get(digest), self.blobs.get(digest)
        times = [layer.newest if layer else None, info.mod_time if info else None]
        return any(map(self._is_young, times))

    def uses_revision(self, name: str, digest: Digest) -> bool:
        """Tell whether a repository's manifest is in use."""
        if digest in self.kept.get(name, ()):
            return True
        repository = self.repositories.get(name)
        found = repository.revisions.get(digest) if repository else None
        return found is not None and self._is_young(found.newest)

    def unused_blobs(self) -> list[Digest]:
        """Give blobs that nothing uses, and those of which only links are left."""
        found = dict.fromkeys((*self.blobs, *(d for d in self.layers if d not in self.blobs)))
        return [digest for digest in found if not self.uses_blob(digest)]

    def unused_revisions(self) -> list[tuple[str, Digest]]:
        """Give manifests that nothing uses, and those of which only other files are left."""
        return [
            (repository.name, digest)
            for repository in self.repositories.values()
            for digest in repository.revisions
            if not self.uses_revision(repository.name, digest)
        ]

    def _is_young(self, when: datetime | None) -> bool:
        return when is not None and when > self.young_after


class Scanner:
    """Scans a store. What manifests say is read once, whatever the number of scans.

    Args:
        storage: The store.
        delete_untagged: Whether a manifest is in use only if it is reached from a tag.
        is_alone: Whether no server is at work, whosever.
        is_dry: Whether nothing is deleted for what is found.
        progress: Is told how far a scan is.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        delete_untagged: bool,
        is_alone: bool,
        is_dry: bool,
        progress: Progress,
    ) -> None:
        self._storage = storage
        self._links = Links(storage)
        self._delete_untagged = delete_untagged
        self._is_alone = is_alone
        self._is_dry = is_dry
        self._progress = progress
        self._named: dict[Digest, Named] = {}

    async def scan(self, young_after: datetime, *, with_blobs: bool) -> Scan:
        """Find out what is stored and what is in use.

        Args:
            young_after: What was written after this is in use.
            with_blobs: Whether blobs are looked for, too.

        Raises:
            UnreadableManifestError: A manifest cannot be read.
            ForeignUploadError: docker/distribution may be at work, and something is to be deleted.
        """
        scan = Scan(await self._storage.now(), young_after)
        await self._walk_repositories(scan)
        for repository in scan.repositories.values():
            await self._find_used(scan, repository)
        if with_blobs:
            await self._walk_blobs(scan)
        return scan

    async def _walk_repositories(self, scan: Scan) -> None:
        count = 0
        try:
            async with aclosing(self._storage.walk(paths.REPOSITORIES)) as files:
                async for info in files:
                    self._add(scan, info)
                    count += 1
                    self._progress("links", count, None)
        except PathNotFoundError:
            pass

    def _add(self, scan: Scan, info: FileInfo) -> None:
        name, kind, rest = _split(info.path)
        scan.names.add(name)
        if kind == "_layers":
            _add_layer(scan.layers, name, rest, info)
        elif kind == paths.UPLOADS:
            if rest[-1] == "startedat" and not self._is_alone:
                if not self._is_dry:
                    raise ForeignUploadError(info.path)
                scan.foreign_uploads.append(info.path.rpartition("/")[0])
        elif kind:
            if name not in scan.repositories:
                scan.repositories[name] = Repository(name)
            _add_file(scan.repositories[name], kind, rest, info)

    async def _walk_blobs(self, scan: Scan) -> None:
        try:
            async for info in self._storage.walk(paths.BLOBS):
                parts = info.path.removeprefix(f"{paths.BLOBS}/").split("/")
                digest = _digest(parts[0], parts[-2]) if parts[-1] == "data" else None
                if digest is not None and paths.blob(digest) == info.path:
                    scan.blobs[digest] = info
                    self._progress("blobs", len(scan.blobs), None)
        except PathNotFoundError:
            pass

    async def _find_used(self, scan: Scan, repository: Repository) -> None:
        """Find the manifests in use, and what they name."""
        linked = scan.linked(repository.name)
        await self._read(repository.name, linked)
        kept = linked
        if self._delete_untagged:
            kept = await self._reached(scan, repository, linked)
        scan.kept[repository.name] = kept
        for digest in kept if self._is_alone else linked:
            scan.live.add(digest)
            scan.live.update(self._says(digest).digests)
            scan.live.update(repository.revisions[digest].signatures)

    async def _reached(
        self, scan: Scan, repository: Repository, linked: set[Digest]
    ) -> set[Digest]:
        """Give the manifests in use, where one has to be tagged."""

        async def resolve(tag: str) -> Digest | None:
            return await self._links.read(paths.tag_link(repository.name, tag))

        roots = {digest for digest in await at_once(repository.tags, resolve) if digest} & linked
        for digest in linked:
            newest = repository.revisions[digest].newest
            if newest is not None and newest > scan.young_after:
                roots.add(digest)
        below: dict[Digest, list[Digest]] = defaultdict(list)
        for digest in linked:
            said = self._says(digest)
            below[digest] += [member for member in said.listed if member in linked]
            if said.subject is not None:
                below[said.subject].append(digest)
        if not self._is_alone:
            return roots.union(*(below[digest] for digest in linked))
        rest, reached = list(roots), set(roots)
        while rest:
            for digest in below[rest.pop()]:
                if digest not in reached:
                    reached.add(digest)
                    rest.append(digest)
        return reached

    def _says(self, digest: Digest) -> Named:
        return self._named.get(digest, Named())

    async def _read(self, name: str, digests: Iterable[Digest]) -> None:
        """Read what manifests say. One whose bytes are gone says nothing."""

        async def read(digest: Digest) -> None:
            try:
                data = await self._storage.get_content(paths.blob(digest))
            except PathNotFoundError:
                return
            # An object that is empty, however it is spaced, names nothing.
            if not read_stored(data) and b"".join(data.split()) != b"{}":
                raise UnreadableManifestError(name, digest)
            self._named[digest] = Named(
                tuple(named_digests(data)), tuple(listed_digests(data)), subject_of(data)
            )

        unread = [digest for digest in digests if digest not in self._named]
        for start in range(0, len(unread), AT_ONCE):
            await at_once(unread[start : start + AT_ONCE], read)
            self._progress("manifests", len(self._named), None)


def _split(path: str) -> tuple[str, str, list[str]]:
    """Give the repository of a file, the directory that tells its kind, and the rest of its path.

    All are empty if it is in no repository.
    """
    parts = path.removeprefix(f"{paths.REPOSITORIES}/").split("/")
    # Names have no component that begins with `_`.
    for index, part in enumerate(parts):
        if part.startswith("_") and index and index + 1 < len(parts):
            return "/".join(parts[:index]), part, parts[index + 1 :]
    return "", "", []


def _add_layer(layers: dict[Digest, Layer], name: str, rest: list[str], info: FileInfo) -> None:
    digest = _digest(rest[0], rest[1]) if len(rest) == 3 and rest[2] == "link" else None
    if digest is None:
        return
    layer = layers.setdefault(digest, Layer([], None))
    layer.names.append(name)
    layer.newest = _later(layer.newest, info.mod_time)


def _add_file(repository: Repository, kind: str, rest: list[str], info: FileInfo) -> None:
    """Add what is stored about a manifest to its revision."""
    match (kind, *rest):
        case (paths.MANIFESTS, "revisions", algorithm, value, *others):
            digest = _digest(algorithm, value)
            if digest is None:
                return
            revision = repository.revisions[digest]
            if others == ["link"]:
                revision.link = revision.newest = _later(revision.newest, info.mod_time)
                return
            if len(others) == 4 and others[0] == "signatures" and others[3] == "link":
                signature = _digest(others[1], others[2])
                revision.signatures += [signature] if signature else []
        case (paths.MANIFESTS, "tags", tag, "current", "link"):
            repository.tags.append(tag)
            return
        case (paths.MANIFESTS, "tags", _, "index", algorithm, value, "link"):
            digest = _digest(algorithm, value)
        case ("_referrers", _, _, entry):
            digest = _digest(*entry.split("-", 1)) if "-" in entry else None
        case _:
            return
    if digest is not None:
        revision = repository.revisions[digest]
        revision.files.append(info.path)
        revision.newest = _later(revision.newest, info.mod_time)


def _digest(algorithm: str, value: str) -> Digest | None:
    return as_digest(f"{algorithm}:{value}")


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((when for when in (one, other) if when is not None), default=None)
