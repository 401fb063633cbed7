"""Files that are written whole: whoever reads one sees all of the old content or of the new."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def make_file(path: Path, data: bytes) -> bool:
    """Make a file with mode 0600, durable when it returns; False if there is one by now.

    Raises:
        OSError: It cannot be made. Nothing is left of it.
    """
    with _written(path, data, 0o600) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
    return True


def replace_file(path: Path, data: bytes, mode: int | None = None) -> None:
    """Make a file or replace it, durable when it returns.

    Args:
        path: The file; no link to it.
        data: Its content.
        mode: Its mode. By default it has the mode and the owners of the file that it replaces, so
            that whoever could read that can read this; 0600 if there is none.

    Raises:
        OSError: It cannot be written. The old one stays, and nothing is left of the new.
    """
    with _written(path, data, mode) as temporary:
        temporary.replace(path)


@contextmanager
def _written(path: Path, data: bytes, mode: int | None) -> Iterator[Path]:
    """Give a new file beside `path`, to be put in its place; what is not goes away."""
    # Made with 0600: nobody else reads it before it has the mode that is wanted.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if mode is None:
                _take_after(path, descriptor)
            else:
                os.fchmod(descriptor, mode)
            file.flush()
            os.fsync(descriptor)
        yield temporary
        _sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _take_after(path: Path, descriptor: int) -> None:
    try:
        old = path.stat()
    except FileNotFoundError:
        return
    # Only an administrator gives a file to somebody else; a member of the group keeps the group.
    for owner in (old.st_uid, -1):
        with suppress(PermissionError):
            os.fchown(descriptor, owner, old.st_gid)
            break
    mode = stat.S_IMODE(old.st_mode) & 0o777
    if os.fstat(descriptor).st_gid != old.st_gid:
        # Another group was not meant to read it.
        mode &= ~stat.S_IRWXG
    os.fchmod(descriptor, mode)


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
