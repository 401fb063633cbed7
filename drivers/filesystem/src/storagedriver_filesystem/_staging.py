"""Files that are being written, before anybody can see them.

```text
<root>/
  a/b                         the object /a/b
  .storagedriver/
    uploads/                  on the same filesystem, so that a rename can publish
      <32 hex digits>         a put or a copy, as long as the call lasts
      <32 hex digits>+a+b     an upload for /a/b; `+` stands for `/`, other characters are quoted
    tails/                    sidecars of the portable layer, plain objects
```

Rule 1: whoever writes a staging file holds an exclusive `flock` on it, which the kernel frees when
    the process dies. A file without a lock is left over, or an upload that nobody writes now.
Rule 2: whoever renames or unlinks a staging file holds its lock, and took it while the file had its
    name. So what happens to a locked file with a name, its holder does.
"""

from __future__ import annotations

import fcntl
import os
import random
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from urllib.parse import quote, unquote

from storagedriver_core import (
    INTERNAL_COMPONENT,
    ConflictError,
    UnavailableError,
    Upload,
    UploadInfo,
    UploadNotFoundError,
)
from storagedriver_filesystem._beneath import DIRECTORY, Descriptor, open_beneath
from storagedriver_filesystem._info import utc
from storagedriver_filesystem._tree import Tree

UPLOADS = f"{INTERNAL_COMPONENT}/uploads"

_NAME = re.compile(r"[0-9a-f]{32}(\+[^/]*)?")
_ID_LENGTH = 32
_MAX_NAME_LENGTH = 255
_LOOK = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

# A listing of uploads holds a lock for some microseconds, to see whether it is free; and the
# writer before may be about to let go.
_LOCK_TRIES = 20
_LOCK_PAUSE_SECONDS = 0.01

# Not the one of the module, to which every worker of a program may give the same seed.
_random = random.Random()
os.register_at_fork(after_in_child=_random.seed)


class StagingLostError(UnavailableError):
    """The staging file has lost its name, which no driver does to one that is locked."""

    default_message = "the staging file was removed by somebody else"


def staging_name(path: str) -> str:
    """Give a new name; with the path of the upload, where it fits."""
    unique = secrets.token_hex(_ID_LENGTH // 2)
    name = unique + quote(path, safe="/").replace("/", "+")
    return name if len(name) <= _MAX_NAME_LENGTH else unique


def passing_name() -> str:
    """Give a new name for a file that has it for some milliseconds.

    Nobody else is told of it, so it may be guessed. To ask the system for secret bits lets go of
    the interpreter's lock, and costs more than all else that a put does on the event loop.
    """
    return f"{_random.getrandbits(4 * _ID_LENGTH):0{_ID_LENGTH}x}"


def path_of(name: str) -> str:
    """Give the path that the name holds, or else that of the staging file itself."""
    quoted = name[_ID_LENGTH:]
    return unquote(quoted.replace("+", "/")) if quoted else f"/{UPLOADS}/{name}"


def mark_of(name: str) -> str:
    """Give what marks the published file as this upload's."""
    return name[:_ID_LENGTH]


def _checked(name: str) -> str:
    """Refuse a name from a forged token, with which it would lead elsewhere."""
    if not _NAME.fullmatch(name):
        raise UploadNotFoundError
    return name


class Staging:
    """The staging directory. Every method blocks, but for those of the names.

    Args:
        tree: The tree that holds it.
        file_mode: Permissions of new files.
    """

    def __init__(self, tree: Tree, file_mode: int) -> None:
        self._tree = tree
        self._mode = file_mode

    def open(self, root: int) -> Descriptor:
        """Open the directory.

        Raises:
            FileNotFoundError: There is none: nothing was written yet.
        """
        return Descriptor(open_beneath(root, UPLOADS, DIRECTORY))

    def make(self, root: int) -> Descriptor:
        """Open the directory, and make it if there is none.

        A put needs no more, since its file leaves the directory. An upload that is to be found
        again needs the directory to last: see `Tree.sync_way`.
        """
        try:
            return self.open(root)
        except FileNotFoundError:
            return self._tree.make_directory(root, UPLOADS).opened

    def create(self, directory: int, name: str) -> Descriptor:
        """Create a staging file and lock it."""
        while True:
            created = Descriptor(os.open(name, _CREATE, self._mode, dir_fd=directory))
            with created as fd:
                fcntl.flock(fd, fcntl.LOCK_EX)
                # Before it was locked, a purge may have taken it for left over.
                if os.fstat(fd).st_nlink:
                    return Descriptor(created.detach())

    @contextmanager
    def temporary(self, directory: int) -> Iterator[tuple[int, str]]:
        """Create a staging file for the time of one call: a descriptor and a name."""
        name = passing_name()
        with self.create(directory, name) as fd:
            try:
                yield fd, name
            except BaseException:
                with suppress(OSError):  # the first error is the one that counts
                    os.unlink(name, dir_fd=directory)
                raise

    def look(self, directory: int, name: str) -> Descriptor:
        """Open a staging file without locking it.

        Raises:
            FileNotFoundError: There is none.
        """
        return Descriptor(os.open(_checked(name), _LOOK, dir_fd=directory))

    def acquire(self, directory: int, name: str) -> Descriptor:
        """Open a staging file and lock it.

        Raises:
            UploadNotFoundError: There is none (any more).
            ConflictError: Somebody else holds the lock.
        """
        for _ in range(_LOCK_TRIES):
            try:
                opened = Descriptor(os.open(_checked(name), _OPEN, dir_fd=directory))
            except FileNotFoundError:
                raise UploadNotFoundError from None
            with opened as fd:
                if not _try_lock(fd, fcntl.LOCK_EX):
                    time.sleep(_LOCK_PAUSE_SECONDS)
                elif has_name(directory, name, fd):
                    return Descriptor(opened.detach())
        raise ConflictError("another writer holds the upload")

    def names(self) -> list[str]:
        """Give the names of all staging files."""
        try:
            with self._tree.open_root() as root, self.open(root) as directory:
                return [name for name in os.listdir(directory) if _NAME.fullmatch(name)]
        except FileNotFoundError:
            return []

    def infos(self, names: Sequence[str]) -> list[UploadInfo]:
        """Tell of some staging files; those that have vanished are left out."""
        found = []
        with (
            suppress(FileNotFoundError),
            self._tree.open_root() as root,
            self.open(root) as directory,
        ):
            for name in names:
                with suppress(FileNotFoundError), self.look(directory, name) as fd:
                    found.append(_info(name, fd))
        return found


def has_name(directory: int, name: str, fd: int) -> bool:
    """Tell whether the open file is the one of that name."""
    try:
        named = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(fd))


def _info(name: str, fd: int) -> UploadInfo:
    status = os.fstat(fd)
    return UploadInfo(
        Upload(path_of(name), name),
        # Nobody reads a staging file, so its access time is still that of its making.
        started_at=utc(min(status.st_atime_ns, status.st_mtime_ns)),
        updated_at=utc(status.st_mtime_ns),
        size=status.st_size,
        active=not _try_lock(fd, fcntl.LOCK_SH),
    )


def _try_lock(fd: int, kind: int) -> bool:
    """Take a lock if it is free."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
