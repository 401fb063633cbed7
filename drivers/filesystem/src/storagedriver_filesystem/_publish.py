"""Making a finished file visible: durable first, then one rename, then durable again.

The order is the promise: the file is synced before its name can be seen, and the directory after,
before the caller hears of it. Where directories had to be made, those that hold them are synced,
too.

Writers of one directory exclude each other only where they must: a conditional one locks it
exclusively while it compares and renames, every other shared. The lock is the kernel's (`flock` on
the directory), so it holds between processes as well.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from storagedriver_core import (
    AlreadyExistsError,
    ConflictError,
    PathNotFoundError,
    StorageDriverError,
)
from storagedriver_filesystem._beneath import DIRECTORY, Descriptor, open_beneath
from storagedriver_filesystem._errors import translate, translating
from storagedriver_filesystem._info import etag_of
from storagedriver_filesystem._staging import StagingLostError, has_name
from storagedriver_filesystem._tree import Tree, Way, split


@dataclass(frozen=True, slots=True)
class Target:
    """Where to publish, and on which condition.

    Attributes:
        path: Contract path.
        if_absent: Only if there is no object.
        if_match: Only if the object there has this etag.
    """

    path: str
    if_absent: bool = False
    if_match: str | None = None

    @property
    def is_conditional(self) -> bool:
        """Whether anything has to be compared."""
        return self.if_absent or self.if_match is not None


class Parents:
    """The directories of targets, each opened once for as long as the `with` block lasts.

    Args:
        tree: The tree that holds them; they are made where they are missing.
        root: Descriptor of its root.
    """

    def __init__(self, tree: Tree, root: int) -> None:
        self.tree = tree
        self.root = root
        self._ways: dict[str, Way] = {}

    def __enter__(self) -> Parents:
        return self

    def __exit__(self, *_: object) -> None:
        while self._ways:
            self.forget(next(iter(self._ways)))

    def open(self, directory: str) -> Way:
        """Give a directory: open, and made if it was missing."""
        way = self._ways.get(directory)
        if way is None:
            way = self._ways[directory] = self.tree.make_directory(self.root, directory)
        return way

    @contextmanager
    def opened(self, directories: Iterable[str]) -> Iterator[list[int]]:
        """Give descriptors of directories to sync, be they open here or not."""
        with ExitStack() as stack:
            descriptors: list[int] = []
            for directory in directories:
                way = self._ways.get(directory)
                if way is not None:
                    descriptors.append(way.opened.fd)
                elif (opened := self.tree.open_to_sync(self.root, directory)) is not None:
                    descriptors.append(stack.enter_context(opened))
            yield descriptors

    def settle(self, way: Way, *others: str) -> None:
        """Make durable a change in a directory, and which names others hold.

        Raises:
            StorageDriverError: It may not be: `outcome` is `unknown`.
        """
        settle(self.tree, self.root, dict.fromkeys([*way.changed, *others]))
        self.tree.settled(way.unsettled)

    def forget(self, directory: str) -> None:
        """Close one: it was pruned, and a new one has taken its place or will."""
        with self._ways.pop(directory).opened:
            pass


def publish(parents: Parents, staging: int, name: str, fd: int, target: Target) -> Way:
    """Rename the durable staging file `name`, which is open as `fd`, to its target.

    Returns:
        The target's directory: the caller has to `Parents.settle` it.

    Raises:
        AlreadyExistsError, ConflictError: The condition does not hold, or the target is a
            directory or lies under a file.
        StagingLostError: The staging file has lost its name.
    """
    directory, leaf = split(target.path)
    while True:
        way = parents.open(directory)
        parent = way.opened.fd
        try:
            with _locked(parent, exclusive=target.is_conditional):
                _require(parent, leaf, target)
                os.rename(name, leaf, src_dir_fd=staging, dst_dir_fd=parent)
        except FileNotFoundError:
            if not has_name(staging, name, fd):
                raise StagingLostError from None
            parents.forget(directory)  # it was pruned between its opening and the rename
            continue
        except BaseException:
            if way.is_made:
                parents.tree.prune(parents.root, directory)
            raise
        return way


def move(tree: Tree, source: str, target: Target) -> None:
    """Rename a published file.

    Raises:
        PathNotFoundError: There is no file at `source`.
        AlreadyExistsError, ConflictError: As for `publish`.
    """
    directory, leaf = split(source)
    with tree.open_root() as root, Parents(tree, root) as parents:
        way = None
        while way is None:
            with (
                _directory_of_file(root, source) as origin,
                translating(writing=True, path=target.path),
            ):
                way = _move(parents, origin, leaf, target)
        parents.settle(way, tree.prune(root, directory))


def _move(parents: Parents, origin: int, leaf: str, target: Target) -> Way | None:
    """Try it once, and give the target's directory; None if either side was not there."""
    directory, new_leaf = split(target.path)
    way = parents.open(directory)
    parent = way.opened.fd
    try:
        with _both_locked(origin, parent, exclusive=target.is_conditional):
            _require(parent, new_leaf, target)
            os.rename(leaf, new_leaf, src_dir_fd=origin, dst_dir_fd=parent)
    except FileNotFoundError:
        parents.forget(directory)
        parents.tree.prune(parents.root, directory)
        return None
    except BaseException:
        if way.is_made:
            parents.tree.prune(parents.root, directory)
        raise
    return way


def settle(tree: Tree, root: int, directories: Iterable[str]) -> None:
    """Make durable which names the directories hold now.

    Raises:
        StorageDriverError: They may not be: `outcome` is `unknown`.
    """
    try:
        tree.sync(root, directories)
    except OSError as error:
        raise unsettled(error) from error


def unsettled(error: OSError) -> StorageDriverError:
    """Give the error for a rename that may not last."""
    failure = translate(error, writing=True)
    failure.outcome = "unknown"
    return failure


def _directory_of_file(root: int, path: str) -> Descriptor:
    """Open the directory that holds the file `path`."""
    directory, leaf = split(path)
    with translating(writing=False, path=path):
        opened = Descriptor(open_beneath(root, directory, DIRECTORY))
        with opened as fd:
            status = os.stat(leaf, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                raise PathNotFoundError("not a file", path=path)
            return Descriptor(opened.detach())


@contextmanager
def _locked(directory: int, *, exclusive: bool) -> Iterator[None]:
    fcntl.flock(directory, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
    try:
        yield
    finally:
        fcntl.flock(directory, fcntl.LOCK_UN)


@contextmanager
def _both_locked(origin: int, parent: int, *, exclusive: bool) -> Iterator[None]:
    """Lock both directories, always in the same order, so that two moves do not wait in a ring."""
    origin_id, parent_id = _identity(origin), _identity(parent)
    if origin_id == parent_id:
        with _locked(parent, exclusive=exclusive):
            yield
    elif origin_id < parent_id:
        with _locked(origin, exclusive=False), _locked(parent, exclusive=exclusive):
            yield
    else:
        with _locked(parent, exclusive=exclusive), _locked(origin, exclusive=False):
            yield


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _require(parent: int, leaf: str, target: Target) -> None:
    """Check the condition, under the exclusive lock."""
    if not target.is_conditional:
        return
    try:
        status = os.stat(leaf, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        if target.if_match is not None:
            raise ConflictError("there is no object to match", path=target.path) from None
        return
    if stat.S_ISDIR(status.st_mode):
        raise ConflictError("it is a directory", path=target.path)
    if target.if_absent:
        raise AlreadyExistsError(path=target.path)
    if etag_of(status) != target.if_match:
        raise ConflictError("the etag is another", path=target.path)
