"""Whole objects: one put, or several small ones in one call.

A put takes a dozen short system calls and two that wait for the disk. Eight threads that each do
all of them spend, measured, more time on handing the interpreter's lock to each other than on the
calls. So small puts that come at once are gathered: one thread makes all the files, syncs them
together, renames all, and syncs each directory once. Every file is still synced before its own
rename, and every put waits for the sync of its directory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from storagedriver_core import Buffer, FileInfo, PutOptions, StorageDriverError
from storagedriver_filesystem._beneath import Descriptor
from storagedriver_filesystem._errors import translate
from storagedriver_filesystem._info import set_unique_time, write_attributes, written_info
from storagedriver_filesystem._publish import Parents, Target, publish, unsettled
from storagedriver_filesystem._staging import Staging, passing_name
from storagedriver_filesystem._syncing import sync_together
from storagedriver_filesystem._threads import Stop, Threads
from storagedriver_filesystem._tree import Tree, Way
from storagedriver_filesystem._writing import write_all

# Gives seconds, like `time.perf_counter`.
Clock: TypeAlias = Callable[[], float]


@dataclass(slots=True, eq=False)
class Put:
    """One object to store, and what has become of it.

    Attributes:
        path: Contract path.
        data: The bytes.
        options: As given.
        stop: Whether anybody still waits for it.
        error: Why it was not stored; None if it was.
        name: Name of its staging file.
        file: The staging file.
        info: What `stat` says of it.
        way: The directory that it was renamed into; None if it was not.
    """

    path: str
    data: Buffer
    options: PutOptions
    stop: Stop = field(default_factory=Stop)
    error: Exception | None = None
    name: str = field(default_factory=passing_name)
    file: Descriptor | None = None
    info: FileInfo | None = None
    way: Way | None = None

    @property
    def fd(self) -> int:
        """Descriptor of the staging file, once there is one."""
        assert self.file is not None
        return self.file.fd

    def result(self) -> FileInfo:
        """Tell of the stored object, or raise why there is none; once."""
        error, self.error = self.error, None
        try:
            if error is not None:
                raise error
        finally:
            # The error's traceback has this frame, and would keep itself and the data.
            del error
        assert self.info is not None
        return self.info


def put_all(
    tree: Tree, staging: Staging, threads: Threads, puts: Sequence[Put], clock: Clock
) -> float:
    """Store objects; what becomes of one does not touch the others.

    Returns:
        Seconds, by the clock, that were spent on one put after the other. What is left of the time
        is the syncs', for which all of them wait together.
    """
    started, synced = clock(), 0.0
    try:
        with (
            tree.open_root() as root,
            staging.make(root) as directory,
            Parents(tree, root) as parents,
        ):
            batch = _Batch(parents, staging, threads, directory, puts, clock)
            batch.run()
            synced = batch.synced
    except (OSError, StorageDriverError) as error:
        if len(puts) == 1:
            _fail(puts[0], error)
        else:  # each with an error of its own
            for put in puts:
                put_all(tree, staging, threads, [put], clock)
    return clock() - started - synced


class _Batch:
    """Puts on their way from the staging directory to their targets.

    Attributes:
        synced: Seconds that the syncs have taken.
    """

    def __init__(
        self,
        parents: Parents,
        staging: Staging,
        threads: Threads,
        directory: int,
        puts: Sequence[Put],
        clock: Clock,
    ) -> None:
        self._parents = parents
        self._staging = staging
        self._threads = threads
        self._directory = directory
        self._puts = puts
        self._clock = clock
        self.synced = 0.0

    def run(self) -> None:
        """Take the puts through their steps, all through one before any through the next."""
        try:
            self._each(self._write)
            self._sync()
            self._each(self._publish)
            self._settle()
        finally:
            for put in self._puts:
                self._clean_up(put)

    def _each(self, step: Callable[[Put], None]) -> None:
        for put in self._puts:
            if put.error is None:
                try:
                    step(put)
                except Exception as error:
                    _fail(put, error)

    def _write(self, put: Put) -> None:
        put.file = self._staging.create(self._directory, put.name)
        options = put.options
        write_attributes(put.fd, options.content_type, options.metadata)
        write_all(put.fd, 0, [put.data])
        status = set_unique_time(put.fd)
        put.info = written_info(put.path, status, options.content_type, dict(options.metadata))

    def _publish(self, put: Put) -> None:
        # From here on a caller who has left may change the data.
        put.stop.check()
        target = Target(put.path, put.options.if_absent, put.options.if_match)
        put.way = publish(self._parents, self._directory, put.name, put.fd, target)

    def _settle(self) -> None:
        published = [(put, put.way) for put in self._puts if put.way is not None]
        changed = list(dict.fromkeys(each for _, way in published for each in way.changed))
        error = self._sync_directories(changed)
        # Not asked again for each: the kernel tells of a failure once.
        for put, way in published:
            if error is not None:
                _fail(put, unsettled(error))
            else:
                self._parents.tree.settled(way.unsettled)

    def _sync(self) -> None:
        written = [put for put in self._puts if put.error is None]
        codes = self._together([put.fd for put in written])
        for put, code in zip(written, codes, strict=True):
            if code:
                _fail(put, _error(code))

    def _sync_directories(self, directories: Sequence[str]) -> OSError | None:
        try:
            with self._parents.opened(directories) as descriptors:
                codes = self._together(descriptors)
        except OSError as error:
            return error
        return next((_error(code) for code in codes if code), None)

    def _together(self, descriptors: Sequence[int]) -> list[int]:
        started = self._clock()
        codes = sync_together(self._threads, descriptors)
        self.synced += self._clock() - started
        return codes

    def _clean_up(self, put: Put) -> None:
        if put.file is None:
            return
        with put.file:
            if put.way is None:
                with suppress(OSError):  # the first error is the one that counts
                    os.unlink(put.name, dir_fd=self._directory)


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def _fail(put: Put, error: Exception) -> None:
    if isinstance(error, OSError) and not isinstance(error, StorageDriverError):
        put.error = translate(error, writing=True)
        put.error.__cause__ = error
    else:
        put.error = error
