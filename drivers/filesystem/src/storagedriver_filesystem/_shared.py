"""A descriptor that calls in several threads use, and that none may lose while it works."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storagedriver_core import ClosedError, UnavailableError

# A call that was let go by its caller may still hang in the kernel.
_PATIENCE_SECONDS = 10.0


class SharedDescriptor:
    """A file descriptor with any number of users, or one exclusive one.

    A number that was closed may at once name another file, and a system call that is still under
    way would then go there. So the close waits for the last user.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._condition = threading.Condition(threading.Lock())
        self._users = 0
        self._exclusive = False
        self._closing = False

    def __del__(self) -> None:
        self.abandon()

    @contextmanager
    def use(self) -> Iterator[int]:
        """Use the descriptor beside others.

        Raises:
            ClosedError: It is closed.
        """
        with self._condition:
            self._wait_until(lambda: not self._exclusive)
            self._users += 1
        try:
            yield self._fd
        finally:
            with self._condition:
                self._users -= 1
                self._left()

    @contextmanager
    def use_alone(self) -> Iterator[int]:
        """Use the descriptor while nobody else does: waits for the others, in bounded time.

        Raises:
            ClosedError: It is closed.
            UnavailableError: A system call of another user does not end.
        """
        with self._condition:
            self._wait_until(self._is_idle)
            self._exclusive = True
        try:
            yield self._fd
        finally:
            with self._condition:
                self._exclusive = False
                self._left()

    def close(self) -> None:
        """Close it, now or after the last user: so it never waits. Idempotent."""
        with self._condition:
            self._closing = True
            self._left()

    def abandon(self) -> None:
        """Close it where there is no other user: in a forked child, or when it is garbage."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _is_idle(self) -> bool:
        return not self._users and not self._exclusive

    def _wait_until(self, free: Callable[[], bool]) -> None:
        if not self._condition.wait_for(lambda: self._closing or free(), _PATIENCE_SECONDS):
            raise UnavailableError("an earlier call has not ended")
        if self._closing:
            raise ClosedError

    def _left(self) -> None:
        if self._closing and self._is_idle():
            self.abandon()
        self._condition.notify_all()
