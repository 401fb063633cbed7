"""Password files as Apache's `htpasswd` writes them, with bcrypt only, as distribution has it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import bcrypt

from storagedriver_registry.auth.contract import AccessCheckError
from storagedriver_registry.auth.recent import Recent

logger = logging.getLogger(__name__)

MOST_PASSWORD_BYTES = 72
"""What bcrypt looks at; of longer passwords in requests the rest is left out, as elsewhere."""

DEFAULT_COST = 10
"""Of new hashes. Each step more doubles the time of a check."""

_BCRYPT = (b"$2a$", b"$2b$", b"$2y$")

# A check takes a processor for a tenth of a second and more. More threads than these would take
# them from those who are let in already.
_THREADS = 2

# Who sends wrong passwords need not wait for the answers: there is no end to what could wait here.
_MOST_WAITING = 1000

_REMEMBERED = 1000
_REMEMBERED_SECONDS = 60.0

_Stamp: TypeAlias = tuple[int, int, int]


class MalformedFileError(Exception):
    """A line of the file is not `USER:HASH`; the text names the line, and nothing of it."""


def parse_htpasswd(data: bytes) -> dict[bytes, bytes]:
    """Give the hashes by user.

    Raises:
        MalformedFileError: A line has no colon.
    """
    hashes = {}
    for number, line in enumerate(data.splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith(b"#"):
            continue
        user, colon, hashed = text.partition(b":")
        if not colon:
            raise MalformedFileError(f"line {number} is not of the form USER:HASH")
        hashes[user] = hashed
    return hashes


@dataclass(slots=True)
class _Content:
    """The file as it was read once, with what is known by it; another file begins anew."""

    stamp: _Stamp
    hashes: Mapping[bytes, bytes]
    recent: Recent[bool] = field(default_factory=lambda: Recent(_REMEMBERED, _REMEMBERED_SECONDS))
    running: dict[bytes, asyncio.Future[bool]] = field(default_factory=dict)

    def hash_of(self, user: bytes) -> bytes:
        """Give the hash to check against; for a user without one, a hash that nothing fits."""
        hashed = self.hashes.get(user, b"")
        return hashed if hashed.startswith(_BCRYPT) else self._decoy()

    def _decoy(self) -> bytes:
        # As costly as the others: the time tells nobody who is in the file.
        costs = [int(hashed[4:6]) for hashed in self.hashes.values() if _has_cost(hashed)]
        cost = max(costs, default=DEFAULT_COST)
        return b"$2b$%02d$" % cost + b"." * 53


class HtpasswdFile:
    """Checks users by a file, which is read again when it has changed.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._content: _Content | None = None
        self._pool: ThreadPoolExecutor | None = None

    async def check(self, user: bytes, password: bytes) -> bool:
        """Tell whether this is the user's password.

        What was right is known for a minute, as long as the file stays the same.

        Raises:
            AccessCheckError: The file cannot be read; or too many wait to be checked.
        """
        content = self._current()
        if b":" in user:
            return False  # no line of a file names such a user
        # With its length, a name does not go over into the password.
        key = content.recent.key(b"%d:%b%b" % (len(user), user, password))
        if content.recent.get(key):
            return True
        running = content.running.get(key)
        if running is None:
            if len(content.running) >= _MOST_WAITING:
                raise AccessCheckError("too many passwords wait to be checked", temporary=True)
            # Clients send several requests at once; their password is checked once.
            running = content.running[key] = self._start(content.hash_of(user), password)
            running.add_done_callback(lambda _: content.running.pop(key))
        # Who goes away does not take the result from the others.
        is_right = await asyncio.shield(running)
        if is_right:
            content.recent.put(key, True)
        return is_right

    def fingerprint(self, user: bytes) -> bytes | None:
        """Give what changes when the user's password is set; None if there is no such user.

        Raises:
            AccessCheckError: The file cannot be read.
        """
        return self._current().hashes.get(user)

    def aclose(self) -> None:
        """End the threads, once they are done."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, hashed: bytes, password: bytes) -> asyncio.Future[bool]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="htpasswd")
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._pool, _fits, hashed, password)

    def _current(self) -> _Content:
        """Give the content of the file as it is now.

        Raises:
            AccessCheckError: It cannot be read.
        """
        try:
            if self._content is None or self._content.stamp != _stamp(self._path.stat()):
                self._content = self._read()
        except (OSError, MalformedFileError) as error:
            # Whoever was let in by the former content is not let in by this one.
            self._content = None
            raise AccessCheckError(f"{self._path}: {error}") from error
        return self._content

    def _read(self) -> _Content:
        with self._path.open("rb") as file:
            # Before reading: what is written meanwhile is then seen by the next request.
            stamp = _stamp(os.fstat(file.fileno()))
            hashes = parse_htpasswd(file.read())
        odd = sum(not hashed.startswith(_BCRYPT) for hashed in hashes.values())
        if odd:
            logger.warning("%s: %d entries are no bcrypt hashes; nobody fits them", self._path, odd)
        return _Content(stamp, hashes)


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _has_cost(hashed: bytes) -> bool:
    return hashed.startswith(_BCRYPT) and hashed[4:6].isdigit() and hashed[6:7] == b"$"


def _fits(hashed: bytes, password: bytes) -> bool:
    try:
        return bool(bcrypt.checkpw(password[:MOST_PASSWORD_BYTES], hashed))
    except ValueError:
        return False  # a malformed hash
