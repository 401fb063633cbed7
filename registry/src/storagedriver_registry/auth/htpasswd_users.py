"""Changing password files. Each change replaces the whole file, so that readers see all or none."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt

from storagedriver_registry.auth.htpasswd_file import (
    DEFAULT_COST,
    MOST_PASSWORD_BYTES,
    parse_htpasswd,
)
from storagedriver_registry.files import replace_file


class UserError(Exception):
    """A user cannot be added or removed; the text says why."""


def list_users(path: Path) -> list[str]:
    """Give the users of a file, in order.

    Raises:
        OSError: It cannot be read.
        MalformedFileError: It is no password file.
    """
    return sorted(user.decode(errors="replace") for user in parse_htpasswd(path.read_bytes()))


def add_user(path: Path, user: str, password: str, cost: int = DEFAULT_COST) -> bool:
    """Add a user, or give another password to one; the file is made if there is none.

    Returns:
        Whether the user was there before.

    Raises:
        UserError: The name or the password cannot be taken.
        OSError: The file cannot be read or written.
        MalformedFileError: It is no password file.
    """
    entry = _entry(user, password, cost)
    with _changing(path) as (path, data):
        others = [line for line in data.splitlines() if not _is_of(line, user)]
        replaced = len(others) < len(data.splitlines())
        _replace(path, [*others, entry])
        return replaced


def remove_user(path: Path, user: str) -> None:
    """Remove a user.

    Raises:
        UserError: There is no such user.
        OSError: The file cannot be read or written.
        MalformedFileError: It is no password file.
    """
    with _changing(path) as (path, data):
        others = [line for line in data.splitlines() if not _is_of(line, user)]
        if len(others) == len(data.splitlines()):
            raise UserError(f"{path} has no user {user!r}")
        _replace(path, others)


def create_file(path: Path, user: str, password: str) -> bool:
    """Make a file with one user, and its directory; False if there is one by now.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _changing(path) as (path, _):
        if path.exists():
            return False
        _replace(path, [_entry(user, password, DEFAULT_COST)])
        return True


def _entry(user: str, password: str, cost: int) -> bytes:
    if not user or user != user.strip() or user.startswith("#") or ":" in user:
        raise UserError("a user's name is not empty, has no colon, and does not begin with #")
    if not user.isprintable():
        raise UserError("a user's name has no control characters")
    if not password:
        raise UserError("a password is not empty")
    if len(password.encode()) > MOST_PASSWORD_BYTES:
        raise UserError(f"bcrypt takes {MOST_PASSWORD_BYTES} bytes of a password, and no more")
    return user.encode() + b":" + bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost))


def _is_of(line: bytes, user: str) -> bool:
    text = line.strip()
    return not text.startswith(b"#") and text.partition(b":")[0] == user.encode()


@contextmanager
def _changing(path: Path) -> Iterator[tuple[Path, bytes]]:
    """Give the file that is meant, with its content, to one process at a time."""
    # A link to the file goes on pointing to it.
    path = path.resolve()
    # The directory is locked: the file itself is another one after each change.
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            data = b""
        parse_htpasswd(data)
        yield path, data
    finally:
        os.close(directory)


def _replace(path: Path, lines: list[bytes]) -> None:
    replace_file(path, b"".join(line + b"\n" for line in lines))
