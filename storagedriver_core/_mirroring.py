"""Making one storage's files equal to another's: compared, copied several at once, resumable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Literal, Protocol, TypeAlias

from storagedriver_core._at_once import at_once
from storagedriver_core._errors import ConflictError, PathNotFoundError, StorageDriverError
from storagedriver_core._paths import child_prefix
from storagedriver_core._storage import Storage
from storagedriver_core._transfer import CHECKPOINT_BYTES, content_digest, transfer
from storagedriver_core._types import FileInfo

SURE = timedelta(seconds=5)
"""A target is newer for certain if it is by more than so much: stores round times, clocks jump."""

DELETED_AT_ONCE = 1000
"""Paths of one `delete_many`: what S3 takes in a request."""


class TransferState(Protocol):
    """What one file's copy needs to go on after it was broken off."""

    def load(self) -> str | None:
        """Give the state that was saved last; None if there is none."""

    def save(self, state: str) -> None:
        """Keep a state in place of the one before."""

    def clear(self) -> None:
        """Forget it: the copy has ended."""


Action: TypeAlias = Literal["copied", "deleted", "failed", "vanished"]


@dataclass(frozen=True, slots=True)
class MirrorEvent:
    """What became of one file.

    Attributes:
        action: `vanished` is a source that was deleted after it was listed: left out.
        path: Below the directories that are compared, without a leading slash.
        size: Bytes that went over; in a dry run, those that would.
        error: Why it failed.
    """

    action: Action
    path: str
    size: int = 0
    error: StorageDriverError | None = None


@dataclass(slots=True)
class MirrorReport:
    """What a run did; in a dry run, what it would do.

    Attributes:
        copied: Files that were copied.
        copied_bytes: Bytes that went over; less than their sizes where copies went on.
        unchanged: Files that were the same already.
        vanished: Files that were deleted at the source while the run was at work.
        deleted: Files that were deleted at the target.
        extra: Files at the target that the source has not, and that were left.
        failed: Files that could not be copied or deleted, with the reason.
    """

    copied: int = 0
    copied_bytes: int = 0
    unchanged: int = 0
    vanished: int = 0
    deleted: int = 0
    extra: int = 0
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MirrorOptions:
    """How to compare and what to change.

    Attributes:
        checksum: Compare by digest, which reads both, also where size and time say enough.
        delete: Delete at the target what the source has not; not if a file failed.
        dry_run: Change nothing.
        exclude: Shell patterns of paths to leave alone, at both ends, as in `*/_uploads/*`.
        jobs: Copies at once.
        checkpoint_bytes: Bytes after which a copy can go on: what a crash costs at most.
    """

    checksum: bool = False
    delete: bool = False
    dry_run: bool = False
    exclude: tuple[str, ...] = ()
    jobs: int = 8
    checkpoint_bytes: int = CHECKPOINT_BYTES

    def leaves_out(self, path: str) -> bool:
        """Tell whether a path matches a pattern of `exclude`."""
        return any(fnmatchcase(path, pattern) for pattern in self.exclude)


class Mirror:
    """Makes the files below a target directory equal to those below a source directory.

    A file is copied where the target has none or another one. That is told by the sizes, and by
    the times where the target is newer for certain, by both stores' clocks; else by the digests.
    Each copy is checked by digest, and made again if the source was replaced meanwhile. A copy that
    was broken off goes on where it was in the next run.

    Args:
        source: Where to read; open.
        source_path: The directory there.
        target: Where to write; open.
        target_path: The directory there; it need not be there yet.
        options: How to compare and what to change.
        state_of: Gives the state of the copy from one path to the other.
        on_event: Called for each file that is not the same already.
        on_progress: Called with the bytes of all files done, and of those found until now.
    """

    def __init__(
        self,
        source: Storage,
        source_path: str,
        target: Storage,
        target_path: str,
        options: MirrorOptions | None = None,
        *,
        state_of: Callable[[str, str], TransferState],
        on_event: Callable[[MirrorEvent], None] = lambda event: None,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._source, self._source_path = source, source_path
        self._target, self._target_path = target, target_path
        self._options = options or MirrorOptions()
        self._state_of = state_of
        self._on_event = on_event
        self._on_progress = on_progress
        self._report = MirrorReport()
        self._extra: list[str] = []
        self._done = self._total = 0
        # How far the target's clock is ahead; None where a store does not tell its time.
        self._ahead: timedelta | None = None

    async def run(self) -> MirrorReport:
        """Compare, copy, and delete if asked.

        Raises:
            PathNotFoundError: The source directory is not there.
            ConflictError: Everything at the target was to be deleted, since the source is empty.
        """
        with suppress(StorageDriverError):  # as of a source that cannot be written to
            self._ahead = await self._target.now() - await self._source.now()
        pairs = self._pairs()
        # One generator feeds all: whoever is free takes the next pair.
        turn = asyncio.Lock()
        async with aclosing(pairs):
            jobs = range(max(1, self._options.jobs))
            await at_once(jobs, lambda _: self._work(pairs, turn), len(jobs))
        self._report.extra = len(self._extra)
        if self._options.delete:
            await self._delete_extra()
        return self._report

    async def _work(
        self, pairs: AsyncIterator[tuple[str, FileInfo, FileInfo | None]], turn: asyncio.Lock
    ) -> None:
        while True:
            async with turn:
                pair = await anext(pairs, None)
            if pair is None:
                return
            path, info, there = pair
            try:
                await self._compare(path, info, there)
            except StorageDriverError as error:
                if isinstance(error, PathNotFoundError) and await self._has_vanished(info.path):
                    self._report.vanished += 1
                    self._on_event(MirrorEvent("vanished", path))
                else:
                    self._report.failed[path] = str(error)
                    self._on_event(MirrorEvent("failed", path, error=error))
            self._done += info.size
            self._on_progress(self._done, self._total)

    async def _compare(self, path: str, info: FileInfo, there: FileInfo | None) -> None:
        if there is not None and await self._is_same(info, there):
            self._report.unchanged += 1
            return
        size = info.size
        if not self._options.dry_run:
            size = await self._copy(path, info)
        self._report.copied += 1
        self._report.copied_bytes += size
        self._on_event(MirrorEvent("copied", path, size))

    async def _is_same(self, info: FileInfo, there: FileInfo) -> bool:
        if info.size != there.size:
            return False
        if not self._options.checksum and self._is_surely_newer(there, info):
            return True
        digest = await content_digest(self._source, info.path)
        return digest == await content_digest(self._target, there.path)

    def _is_surely_newer(self, there: FileInfo, info: FileInfo) -> bool:
        """Tell whether the target was written after the source, by more than clocks are wrong."""
        if info.mod_time is None or there.mod_time is None or self._ahead is None:
            return False
        return info.mod_time + SURE < there.mod_time - self._ahead

    async def _has_vanished(self, source_path: str) -> bool:
        try:
            await self._source.stat(source_path)
        except PathNotFoundError:
            return True
        except StorageDriverError:
            pass  # nobody knows
        return False

    async def _copy(self, path: str, info: FileInfo) -> int:
        """Copy a file, again if it was replaced meanwhile; give the bytes that went over."""
        copied = 0
        # Not the listing's: a store may tell times and etags otherwise there.
        before = await self._source.stat(info.path)
        while True:
            copied += await self._copy_once(path, before)
            after = await self._source.stat(info.path)
            if _version(after) == _version(before):
                return copied
            before = after

    async def _copy_once(self, path: str, info: FileInfo) -> int:
        target_path = child_prefix(self._target_path) + path
        state = self._state_of(info.path, target_path)
        before = self._done

        def show(done: int, _: int) -> None:
            self._on_progress(before + done, self._total)

        report = await transfer(
            self._source,
            info.path,
            self._target,
            target_path,
            state=state.load(),
            on_state=state.save,
            on_progress=show if info.size > self._options.checkpoint_bytes else None,
            checkpoint_bytes=self._options.checkpoint_bytes,
        )
        state.clear()
        return report.copied

    async def _delete_extra(self) -> None:
        report = self._report
        if report.failed or not self._extra:
            return
        if not report.copied + report.unchanged + report.vanished:
            raise ConflictError(
                "the source holds no file: not deleting everything at the target",
                path=self._target_path,
            )
        prefix = child_prefix(self._target_path)
        for begin in range(0, len(self._extra), DELETED_AT_ONCE):
            paths = self._extra[begin : begin + DELETED_AT_ONCE]
            failures: dict[str, StorageDriverError] = {}
            if not self._options.dry_run:
                failures = dict((await self._target.delete_many(paths)).failed)
            for path in paths:
                below = path.removeprefix(prefix)
                error = failures.get(path)
                if error is None:
                    report.deleted += 1
                    self._on_event(MirrorEvent("deleted", below))
                else:
                    report.failed[below] = str(error)
                    self._on_event(MirrorEvent("failed", below, error=error))
        report.extra -= report.deleted

    async def _pairs(self) -> AsyncGenerator[tuple[str, FileInfo, FileInfo | None], None]:
        """Give each file of the source with that of the target; keep those of the target alone."""
        sources = self._files(self._source, self._source_path)
        targets = self._files(self._target, self._target_path)
        async with aclosing(sources), aclosing(targets):
            there = await _first_or_none(targets)
            async for path, info in sources:
                while there is not None and there[0].encode() < path.encode():
                    self._extra.append(there[1].path)
                    there = await anext(targets, None)
                self._total += info.size
                if there is not None and there[0] == path:
                    yield path, info, there[1]
                    there = await anext(targets, None)
                else:
                    yield path, info, None
            while there is not None:
                self._extra.append(there[1].path)
                there = await anext(targets, None)

    async def _files(
        self, storage: Storage, directory: str
    ) -> AsyncGenerator[tuple[str, FileInfo], None]:
        """Give the files below a directory, by what follows its path, in byte order."""
        prefix = child_prefix(directory)
        infos = storage.walk(directory)
        async with aclosing(infos):
            if storage.capabilities.ordered_walk:
                async for info in infos:
                    path = info.path.removeprefix(prefix)
                    if not self._options.leaves_out(path):
                        yield path, info
                return
            found = [info async for info in infos]
        for info in sorted(found, key=lambda info: info.path.encode()):
            path = info.path.removeprefix(prefix)
            if not self._options.leaves_out(path):
                yield path, info


def _version(info: FileInfo) -> tuple[object, ...]:
    return info.size, info.mod_time, info.etag


async def _first_or_none(
    files: AsyncGenerator[tuple[str, FileInfo], None],
) -> tuple[str, FileInfo] | None:
    """Give the first file; None where there is none, or no such directory yet."""
    try:
        return await anext(files, None)
    except PathNotFoundError:
        return None
