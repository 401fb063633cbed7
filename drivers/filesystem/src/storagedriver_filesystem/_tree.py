"""The directories below the root: opening, making, pruning and syncing them.

A directory lasts when the one that holds its name was synced after it was made, and so all the way
up. Who made it is not to be told from it: another thread may have, or another process, a moment ago
or one that was killed before its sync. So nothing is written into a directory that this process has
not seen to: the first time that it meets one, it syncs those above it, and remembers that for as
long as the directory is the same.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from storagedriver_core import (
    ConfigurationError,
    ConflictError,
    InvalidPathError,
    PathNotFoundError,
    PermissionDeniedError,
    StorageDriverError,
)
from storagedriver_filesystem._beneath import DIRECTORY, READ, Descriptor, open_beneath
from storagedriver_filesystem._errors import translate
from storagedriver_filesystem._identity import Identity, identify

# Below a directory that others prune at the same time, a try can fail; each failure means that
# somebody else made progress.
_TRIES = 1000

# Less than half a megabyte. One that is forgotten costs a sync when it is met again.
_MOST_SETTLED = 1024

# What is wrong with the way to the root is wrong with what was configured.
_WRONG_WAY = (PathNotFoundError, ConflictError, InvalidPathError)

_LOOK = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def split(path: str) -> tuple[str, str]:
    """Give the directory of a contract path, relative to the root, and the name in it."""
    directory, _, name = path[1:].rpartition("/")
    return directory, name


@dataclass(frozen=True, slots=True)
class Way:
    """An open directory, and what it takes to make it last.

    Attributes:
        directory: Its path.
        opened: The directory.
        unsettled: Directories that may not last yet: this one, and those on the way to it, up to
            one that does.
        is_made: Whether one of them was made for it.
    """

    directory: str
    opened: Descriptor
    unsettled: Sequence[tuple[str, Identity]]
    is_made: bool

    @property
    def changed(self) -> list[str]:
        """The directories to `sync` after a change in this one; then tell `Tree.settled`."""
        return [self.directory, *_above(self.unsettled)]


def _above(unsettled: Iterable[tuple[str, Identity]]) -> list[str]:
    """Give the directories that hold the names of others."""
    return [directory.rpartition("/")[0] for directory, _ in unsettled]


def _upwards(fd: int) -> Generator[int, None, None]:
    """Give an open directory and those above it, each of them open until the next is asked for."""
    yield fd
    opened = Descriptor(os.open("..", _LOOK, dir_fd=fd))
    while True:
        with opened as above:
            yield above
            opened = Descriptor(os.open("..", _LOOK, dir_fd=above))


class Tree:
    """The tree below one root directory.

    Every operation opens the root anew: a root that was taken away (an unmounted disk) is seen at
    once, and is found again when it comes back. Directories are named by paths relative to the
    root, empty for the root itself. Every method blocks.

    Args:
        root: Absolute path. Links in it are followed; below it, none is.
        directory_mode: Permissions of new directories.
    """

    def __init__(self, root: str, directory_mode: int) -> None:
        self.root = root
        self._mode = directory_mode
        # Those that last, the longest unused first.
        self._settled: OrderedDict[str, Identity] = OrderedDict()
        self._lock = threading.Lock()

    def after_fork(self) -> None:
        """Begin anew, in a child process, with a lock that no thread of its parent holds."""
        self._lock = threading.Lock()

    def make_root(self) -> None:
        """Make the root directory, and make that durable.

        Raises:
            StorageDriverError: It cannot be made. It is never a missing object.
        """
        try:
            self._make_root()
        except OSError as error:
            raise self._no_root(error) from error

    def _no_root(self, error: OSError) -> StorageDriverError:
        if error.errno == errno.ELOOP:
            return self._in_a_circle()
        found = translate(error, writing=True)
        kind = ConfigurationError if isinstance(found, _WRONG_WAY) else type(found)
        return kind(f"the root directory {self.root!r} cannot be made: {found.message}")

    def _make_root(self) -> None:
        path = self.root
        missing = []
        while not os.path.isdir(path) and path != "/":
            missing.append(path)
            path = os.path.dirname(path)
        for path in reversed(missing):
            with suppress(FileExistsError):
                os.mkdir(path, self._mode)
            with Descriptor(os.open(os.path.dirname(path), DIRECTORY)) as above:
                os.fsync(above)

    def open_root(self) -> Descriptor:
        """Open the root directory.

        Raises:
            ConfigurationError: It does not exist, or is no directory. It is never a missing object.
        """
        try:
            return Descriptor(os.open(self.root, _LOOK))
        except FileNotFoundError as error:
            is_link = os.path.islink(self.root)
            what = "is a symbolic link to what is not there" if is_link else "is not there"
            raise ConfigurationError(f"the root directory {self.root!r} {what}") from error
        except NotADirectoryError as error:
            is_there = os.path.exists(self.root)
            what = "is a file, and no directory" if is_there else "is not there, but below a file"
            raise ConfigurationError(f"the root directory {self.root!r} {what}") from error
        except PermissionError as error:
            raise PermissionDeniedError(
                f"the root directory {self.root!r} cannot be entered"
            ) from error
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise self._in_a_circle() from error

    def _in_a_circle(self) -> ConfigurationError:
        return ConfigurationError(
            f"the root directory {self.root!r} cannot be reached: symbolic links lead in a circle"
        )

    def open_file(self, root: int, path: str) -> Descriptor:
        """Open the file at a contract path for reading.

        Raises:
            PathNotFoundError: It is something else, such as a directory or a pipe.
        """
        opened = Descriptor(open_beneath(root, path[1:], READ))
        with opened as fd:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise PathNotFoundError("not a file", path=path)
            return Descriptor(opened.detach())

    def make_directory(self, root: int, directory: str) -> Way:
        """Open a directory, making it and those above it where they are missing."""
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):  # pruned since
                return self._make_directory(root, directory)
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _make_directory(self, root: int, directory: str) -> Way:
        missing: list[str] = []
        while True:
            try:
                opened = Descriptor(open_beneath(root, directory, DIRECTORY))
                break
            except FileNotFoundError:
                if not directory:
                    raise
                directory, _, name = directory.rpartition("/")
                missing.append(name)
        top, is_made = directory, bool(missing)
        with opened as fd:
            unsettled = self._unsettled(directory, fd)
            current = Descriptor(opened.detach())
        while missing:
            with current as above:
                name = missing.pop()
                below = f"{directory}/{name}" if directory else name
                try:
                    with suppress(FileExistsError):
                        os.mkdir(name, self._mode, dir_fd=above)
                    opened = Descriptor(open_beneath(above, name, DIRECTORY))
                    with opened as fd:
                        unsettled.append((below, identify(fd)))
                        current = Descriptor(opened.detach())
                except FileNotFoundError:
                    raise  # pruned since, by somebody else
                except BaseException:
                    if directory != top:
                        self.prune(root, directory)
                    raise
                directory = below
        return Way(directory, current, unsettled, is_made)

    def _unsettled(self, directory: str, fd: int) -> list[tuple[str, Identity]]:
        """Give those of the way to an open directory that are not known to last, and itself."""
        found: list[tuple[str, Identity]] = []
        with closing(_upwards(fd)) as way:
            for each in way:
                if not directory or self._is_settled(directory, identity := identify(each)):
                    break
                found.append((directory, identity))
                directory = directory.rpartition("/")[0]
        return found

    def _is_settled(self, directory: str, identity: Identity) -> bool:
        with self._lock:
            if self._settled.get(directory) != identity:
                return False
            self._settled.move_to_end(directory)
            return True

    def settled(self, unsettled: Sequence[tuple[str, Identity]]) -> None:
        """Remember that directories last: those that hold them were synced since."""
        if not unsettled:
            return
        with self._lock:
            for directory, identity in unsettled:
                self._settled[directory] = identity
                self._settled.move_to_end(directory)
            while len(self._settled) > _MOST_SETTLED:
                self._settled.popitem(last=False)

    def prune(self, root: int, directory: str) -> str:
        """Remove the directory and those above it, as long as they are empty.

        Returns:
            The directory in which one was removed last, or else the given one: `sync` it.
        """
        while directory:
            above, _, name = directory.rpartition("/")
            try:
                with Descriptor(open_beneath(root, above, DIRECTORY)) as fd:
                    os.rmdir(name, dir_fd=fd)
            except FileNotFoundError:
                pass  # somebody else prunes, too
            except OSError:
                return directory  # not empty, or not ours to remove
            directory = above
        return directory

    def sync(self, root: int, directories: Iterable[str]) -> None:
        """Make durable which names the directories hold."""
        for directory in directories:
            opened = self.open_to_sync(root, directory)
            if opened is not None:
                with opened as fd:
                    os.fsync(fd)

    def open_to_sync(self, root: int, directory: str) -> Descriptor | None:
        """Open a directory whose names are to be made durable; None where there are none."""
        # One that is gone was emptied by somebody else, who syncs the one above it; and in one that
        # may not be read nothing was made here.
        with suppress(FileNotFoundError, PermissionError):
            return Descriptor(open_beneath(root, directory, DIRECTORY))
        return None

    def sync_way(self, root: int, directory: str, fd: int) -> None:
        """Make durable that an open directory is there."""
        unsettled = self._unsettled(directory, fd)
        self.sync(root, _above(unsettled))
        self.settled(unsettled)

    def sync_upwards(self, root: int, directory: str) -> None:
        """Make durable a directory's names and the way to it."""
        while directory:
            self.sync(root, [directory])
            directory = directory.rpartition("/")[0]
        self.sync(root, [""])
