"""Deleting files and trees. No link is followed: it is unlinked, and what it points to stays."""

from __future__ import annotations

import errno
import fcntl
import os

from storagedriver_core import (
    INTERNAL_COMPONENT,
    PartialDeleteError,
    StorageDriverError,
)
from storagedriver_filesystem._beneath import DIRECTORY, Descriptor, open_beneath
from storagedriver_filesystem._errors import translate
from storagedriver_filesystem._publish import settle
from storagedriver_filesystem._threads import Stop
from storagedriver_filesystem._tree import Tree, split


def delete(tree: Tree, path: str, stop: Stop) -> None:
    """Delete the file at `path`, or the directory with everything below it, durably.

    Raises:
        PathNotFoundError: Nothing is there.
        PartialDeleteError: Something below the directory could not be deleted.
    """
    with tree.open_root() as root:
        if path == "/":
            _TreeDelete(tree, root, stop).run("")
            settle(tree, root, [""])
            return
        directory, name = split(path)
        with Descriptor(open_beneath(root, directory, DIRECTORY)) as parent:
            is_file = _unlink(parent, name)
        if not is_file:
            _TreeDelete(tree, root, stop).run(path[1:])
        settle(tree, root, [tree.prune(root, directory)])


def _unlink(parent: int, name: str) -> bool:
    """Unlink a file; False if it is a directory.

    The directory's lock is held shared, as for every write, so that a conditional one does not
    bring back what it compared with.
    """
    fcntl.flock(parent, fcntl.LOCK_SH)
    try:
        os.unlink(name, dir_fd=parent)
    except IsADirectoryError:
        return False
    finally:
        fcntl.flock(parent, fcntl.LOCK_UN)
    return True


class _TreeDelete:
    """One recursive delete: from the leaves up, with one directory open at a time."""

    def __init__(self, tree: Tree, root: int, stop: Stop) -> None:
        self._tree = tree
        self._root = root
        self._stop = stop
        self._failures: dict[str, StorageDriverError] = {}

    def run(self, top: str) -> None:
        """Delete everything below the directory `top`, relative to the root, and itself."""
        # Every directory comes up twice: to be emptied, and to be removed after those below it.
        stack = [(top, False)]
        while stack:
            directory, is_empty = stack.pop()
            try:
                if is_empty:
                    self._remove(directory)
                    continue
                # Not before a removal: no directory that was emptied is left.
                self._stop.check()
                below = self._empty(directory)
            except FileNotFoundError:
                continue  # deleted by somebody else
            except OSError as error:
                self._note(directory, error)
                continue
            if directory:
                stack.append((directory, True))
            stack += [(f"{directory}/{name}" if directory else name, False) for name in below]
        if self._failures:
            raise PartialDeleteError(failures=self._failures)

    def _empty(self, directory: str) -> list[str]:
        """Unlink a directory's files and give the names of the directories in it."""
        below = []
        with Descriptor(open_beneath(self._root, directory, DIRECTORY)) as fd:
            for name in os.listdir(fd):
                if name == INTERNAL_COMPONENT and not directory:
                    continue
                # And here, for a directory may hold any number; this one is left in it.
                self._stop.check()
                try:
                    if not _unlink(fd, name):
                        below.append(name)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    self._note(f"{directory}/{name}" if directory else name, error)
        return below

    def _remove(self, directory: str) -> None:
        above, _, name = directory.rpartition("/")
        with Descriptor(open_beneath(self._root, above, DIRECTORY)) as fd:
            try:
                os.rmdir(name, dir_fd=fd)
            except OSError as error:
                # Written to since, which is then the later operation; or what is in it has failed.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise

    def _note(self, relative: str, error: OSError) -> None:
        path = f"/{relative}"
        self._failures[path] = translate(error, writing=False, path=path)
