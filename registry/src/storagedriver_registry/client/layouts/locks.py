"""Locks that processes have on files and folders. Whoever is killed lets go of them by that."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def locked_file(path: Path) -> int | None:
    """Open a file, made if there is none, and lock it; nobody else has it then.

    Returns:
        Its descriptor, which is locked until it is closed; None if somebody else has it.
    """
    # What is a link may lead anywhere: a layout may come from anybody.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    return _locked(path, path.parent, flags, fcntl.LOCK_EX)


def shared_folder(path: Path) -> int | None:
    """Open a folder, made if there is none, and lock it together with others who share it.

    Returns:
        Its descriptor, which is locked until it is closed; None if somebody has it alone.
    """
    return _locked(path, path, os.O_RDONLY | os.O_DIRECTORY, fcntl.LOCK_SH)


def is_locked(descriptor: int) -> bool:
    """Lock what is open, against everybody else; tell whether nobody has it.

    A lock that was shared is lost if somebody has it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def missing(folder: Path) -> list[Path]:
    """Give the folder and those that it is in, as far as they are not there; the innermost first.

    What makes them may have to remove them.
    """
    return [one for one in (folder, *folder.parents) if not one.exists()]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of the folders that are empty, one after the other."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _locked(path: Path, folder: Path, flags: int, how: int) -> int | None:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            # Whoever was the last one has removed the folder.
            continue
        is_ours = False
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            # Whoever had it may have renamed it, or removed it.
            with suppress(FileNotFoundError):
                is_ours = os.path.samestat(os.fstat(descriptor), path.stat())
        except BlockingIOError:
            return None
        finally:
            if not is_ours:
                os.close(descriptor)
        if is_ours:
            return descriptor
