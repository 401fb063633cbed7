"""Listing directories and walking trees, in order, a page at a time.

What is kept between two pages is names, of the directories on the way: a page asks for sizes and
times only of what it gives. Nothing is held open meanwhile.

Names sort as the contract says: by their bytes, which for UTF-8 is the order of the code points,
that of a directory with a trailing `/`. So a name is kept as this key.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from contextlib import suppress

from storagedriver_core import INTERNAL_COMPONENT, FileInfo, ListOptions, child_prefix
from storagedriver_filesystem._beneath import DIRECTORY, Descriptor, open_beneath
from storagedriver_filesystem._info import file_info
from storagedriver_filesystem._tree import Tree

_AFTER_ALL = chr(0x10FFFF)


def sorted_keys(tree: Tree, path: str) -> list[str]:
    """Give the sort keys of a directory's files and directories.

    Links, pipes and the like are left out, and so are names that no path can spell.

    Raises:
        FileNotFoundError, NotADirectoryError: There is no such directory.
    """
    with (
        tree.open_root() as root,
        Descriptor(open_beneath(root, path[1:], DIRECTORY)) as fd,
        os.scandir(fd) as entries,
    ):
        keys = [key for entry in entries if (key := _key(entry))]
    keys.sort()
    return keys


def _key(entry: os.DirEntry[str]) -> str:
    name = entry.name
    if name == INTERNAL_COMPONENT or not _is_utf8(name):
        return ""
    if entry.is_dir(follow_symlinks=False):
        return f"{name}/"
    return name if entry.is_file(follow_symlinks=False) else ""


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _infos(tree: Tree, path: str, keys: list[str]) -> list[FileInfo]:
    """Tell of some entries of a directory; those that have vanished are left out."""
    prefix = child_prefix(path)
    found = []
    try:
        with (
            tree.open_root() as root,
            Descriptor(open_beneath(root, path[1:], DIRECTORY)) as fd,
        ):
            for key in keys:
                if key.endswith("/"):
                    found.append(FileInfo(prefix + key[:-1], is_dir=True))
                    continue
                try:
                    status = os.stat(key, dir_fd=fd, follow_symlinks=False)
                    found.append(file_info(prefix + key, status))
                except FileNotFoundError:  # or what is no file any more
                    continue
    except (FileNotFoundError, NotADirectoryError):
        return []
    return found


class Listing:
    """The children of one directory, a page at a time. Every method blocks."""

    def __init__(self, tree: Tree, path: str, options: ListOptions) -> None:
        self._tree = tree
        self._path = path
        self._page_size = options.page_size
        self._keys = sorted_keys(tree, path)
        self._next = bisect_right(self._keys, _rest(child_prefix(path), options.start_after))

    def page(self) -> list[FileInfo] | None:
        """Give the next page; None after the last."""
        keys = self._keys[self._next : self._next + self._page_size]
        self._next += len(keys)
        return _infos(self._tree, self._path, keys) if keys else None


class Walk:
    """Every file below a directory, a page at a time. Every method blocks."""

    def __init__(self, tree: Tree, path: str, options: ListOptions) -> None:
        self._tree = tree
        self._page_size = options.page_size
        self._after = options.start_after
        self._stack: list[tuple[str, list[str]]] = []
        self._enter(path)

    def page(self) -> list[FileInfo] | None:
        """Give the next page; None after the last."""
        page: list[FileInfo] = []
        entered = 0
        # Bounded also where there are directories only, so that a cancelled walk ends.
        while self._stack and len(page) < self._page_size and entered < self._page_size:
            path, keys = self._stack[-1]
            files = self._take_files(keys, self._page_size - len(page))
            if files:
                page += _infos(self._tree, path, files)
            elif keys:
                entered += 1
                with suppress(FileNotFoundError, NotADirectoryError):  # deleted since
                    self._enter(child_prefix(path) + keys.pop()[:-1])
            else:
                self._stack.pop()
        return page if page or self._stack else None

    def _enter(self, path: str) -> None:
        keys = sorted_keys(self._tree, path)
        rest = _rest(child_prefix(path), self._after)
        start = bisect_right(keys, rest)
        # Below the directory that `after` lies in, there is more.
        if "/" in rest and start and keys[start - 1] == rest[: rest.index("/") + 1]:
            start -= 1
        # From the end, so that what was given is forgotten.
        self._stack.append((path, keys[start:][::-1]))

    @staticmethod
    def _take_files(keys: list[str], count: int) -> list[str]:
        files: list[str] = []
        while keys and len(files) < count and not keys[-1].endswith("/"):
            files.append(keys.pop())
        return files


def _rest(prefix: str, after: str | None) -> str:
    """Give what the keys of the directory `prefix` have to be greater than."""
    if after is None or after < prefix:
        return ""
    return after[len(prefix) :] if after.startswith(prefix) else _AFTER_ALL
