"""What is tried again, how often, and after how long."""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from storagedriver_registry.client.errors import RegistryError, ResponseError


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as the client sees it; tests bring their own.

    Attributes:
        monotonic: Seconds from any beginning.
        wall: Seconds since 1970, UTC.
        sleep: Waits for seconds.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how long a request is tried that may be repeated.

    Attributes:
        attempts: Tries of one request, the first included.
        first_delay: Seconds before the second; each later delay is twice the one before.
        most_delay: Seconds of the longest delay.
        most_wait: Seconds that a registry may ask for (`Retry-After`); who wants more gets its
            error raised at once.
        clock: The time.
        jitter: Gives a number from 0 to 1: the share of half a delay that is added to the other.
    """

    attempts: int = 5
    first_delay: float = 0.25
    most_delay: float = 10.0
    most_wait: float = 60.0
    clock: Clock = field(default_factory=Clock)
    # Clients that failed together must not come back together; no secret depends on it.
    jitter: Callable[[], float] = random.random

    def delay(self, attempt: int, error: RegistryError) -> float | None:
        """Give the seconds to wait after a failed attempt; None if it is not to be repeated.

        Args:
            attempt: The number of the attempt that failed, from 1.
            error: How it failed.
        """
        if attempt >= self.attempts or not error.temporary or error.is_exhausted:
            return None
        wanted = error.retry_after if isinstance(error, ResponseError) else None
        if wanted is not None:
            return wanted if wanted <= self.most_wait else None
        doubled: float = min(self.most_delay, self.first_delay * 2.0 ** (attempt - 1))
        return doubled * (0.5 + 0.5 * self.jitter())


class Tries:
    """The tries of one piece of work, which all of its requests share.

    Args:
        retries: How many they are.
    """

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._failed = 0

    def delay(self, error: RegistryError) -> float | None:
        """Count a failed try; give the seconds to wait before the next, None if there is none.

        Args:
            error: How it failed. An answer that another try would not change is no failed try.
        """
        self._failed += error.temporary
        return self._retries.delay(self._failed, error)

    def begin_anew(self) -> None:
        """Forget those that failed: the work gets on."""
        self._failed = 0


def seconds_of(retry_after: str, clock: Clock) -> float | None:
    """Read a `Retry-After`, of seconds or a date; None if it is neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        return max(0.0, moment.timestamp() - clock.wall())
    except (ValueError, OverflowError):
        return None
