"""The directories below the root: opening, making, pruning and syncing them."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import threading
from collections.abc import Iterable
from contextlib import suppress

from storagedriver_core import ConfigurationError, PathNotFoundError, PermissionDeniedError
from storagedriver_filesystem._beneath import DIRECTORY, READ, Descriptor, open_beneath

# Below a directory that others prune at the same time, a try can fail; each failure means that
# somebody else made progress.
_TRIES = 1000


def split(path: str) -> tuple[str, str]:
    """Give the directory of a contract path, relative to the root, and the name in it."""
    directory, _, name = path[1:].rpartition("/")
    return directory, name


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
        # Directories in which one was made that may not last: until they are synced, whoever
        # writes below needs them synced, too. Each with a number that is new when one is made.
        self._unsettled: dict[str, int] = {}
        self._notes = itertools.count()
        self._lock = threading.Lock()

    def after_fork(self) -> None:
        """Begin anew, in a child process, with a lock that no thread of its parent holds."""
        self._lock = threading.Lock()

    def make_root(self) -> None:
        """Make the root directory, and make that durable."""
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
            ConfigurationError: It does not exist. It is never a missing object.
        """
        try:
            return Descriptor(os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ConfigurationError(
                f"the root directory {self.root!r} is not there: {error.strerror}"
            ) from error
        except PermissionError as error:
            raise PermissionDeniedError(
                f"the root directory {self.root!r} cannot be entered"
            ) from error

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

    def make_directory(self, root: int, directory: str) -> tuple[Descriptor, list[str]]:
        """Open a directory, making it and those above it where they are missing.

        Returns:
            The directory, and those on the way in which another was made that may not last yet,
            by this call or by another thread's: `sync` them.
        """
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):  # pruned since
                opened = self._make_directory(root, directory)
                return opened, self._unsettled_above(directory)
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _make_directory(self, root: int, directory: str) -> Descriptor:
        missing: list[str] = []
        while True:
            try:
                current = Descriptor(open_beneath(root, directory, DIRECTORY))
                break
            except FileNotFoundError:
                if not directory:
                    raise
                directory, _, name = directory.rpartition("/")
                missing.append(name)
        top = directory
        while missing:
            with current as above:
                name = missing.pop()
                try:
                    self._make_one(above, directory, name)
                    current = Descriptor(open_beneath(above, name, DIRECTORY))
                except FileNotFoundError:
                    raise  # pruned since, by somebody else
                except BaseException:
                    if directory != top:
                        self.prune(root, directory)
                    raise
                directory = f"{directory}/{name}" if directory else name
        return current

    def _make_one(self, above: int, directory: str, name: str) -> None:
        # One step, so that no sync that began before forgets what it cannot have synced. Noted
        # first, since others find the directory at once; and also where it is there by now.
        with self._lock, suppress(FileExistsError):
            self._unsettled[directory] = next(self._notes)
            os.mkdir(name, self._mode, dir_fd=above)

    def _unsettled_above(self, directory: str) -> list[str]:
        """Give the directories on the way to this one that have to be synced, from the top."""
        if not self._unsettled or not directory:
            return []
        way = [directory[:end] for end, char in enumerate(directory) if char == "/"]
        return [above for above in ("", *way) if above in self._unsettled]

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
            self.sync_one(root, directory)

    def sync_one(self, root: int, directory: str, fd: int | None = None) -> None:
        """Make durable which names one directory holds; it may be open already, as `fd`."""
        with self._lock:
            note = self._unsettled.get(directory)
        if fd is not None:
            os.fsync(fd)
        else:
            # One that is gone was emptied by somebody else, who syncs the one above it.
            with (
                suppress(FileNotFoundError),
                Descriptor(open_beneath(root, directory, DIRECTORY)) as opened,
            ):
                os.fsync(opened)
        with self._lock:
            if note is not None and self._unsettled.get(directory) == note:
                del self._unsettled[directory]

    def sync_upwards(self, root: int, directory: str) -> None:
        """Make durable a directory's names and the way to it."""
        while directory:
            self.sync(root, [directory])
            directory = directory.rpartition("/")[0]
        self.sync(root, [""])
