"""One client that asks for the same things again and again, and looks at every byte that comes."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from benchmarks.registry_load._plan import KIB, MIB, QUICK, Amount, size
from benchmarks.registry_load._seeding import (
    MANIFEST_TYPE,
    TAG,
    Target,
    digest_of,
    push_small,
    seed,
)
from benchmarks.registry_load._wire import Connection, LoadError

SMALL_BYTES = 2 * KIB
MEDIUM_BYTES = 4 * MIB
_TYPED = {"accept": MANIFEST_TYPE}


@dataclass(frozen=True, slots=True)
class Place:
    """A server with what is asked for.

    Attributes:
        url: Without a slash at the end.
        manifest: Path of a manifest.
        small: Path and content of a small blob.
        medium: The same of one of some megabytes.
        large: The same of the one that slow readers read.
    """

    url: str
    manifest: tuple[str, bytes]
    small: tuple[str, bytes]
    medium: tuple[str, bytes]
    large: tuple[str, bytes]


def push_place(url: str, large_bytes: int) -> Place:
    """Push an image and some blobs."""
    target = seed(url, 0, QUICK, with_large=False, is_kept=True)
    with Connection(url) as connection:
        path = f"{target.manifests}/{TAG}"
        manifest = connection.read(connection.request("GET", path, _TYPED))
        small = _push(connection, target, SMALL_BYTES)
        medium = _push(connection, target, MEDIUM_BYTES)
        large = _push(connection, target, large_bytes)
    return Place(url, (path, manifest), small, medium, large)


def _push(connection: Connection, target: Target, count: int) -> tuple[str, bytes]:
    data = os.urandom(count)
    push_small(connection, target, data)
    return f"{target.blobs}/{digest_of(data)}", data


@dataclass(frozen=True, slots=True)
class Pace:
    """How long requests took, in seconds.

    Attributes:
        requests: How many there were.
        typical: The median.
        slowest: The 99th percentile.
    """

    requests: int
    typical: float
    slowest: float


class Fast:
    """The client, on one kept connection.

    Args:
        place: What it asks for.

    Attributes:
        titles: What it can be told to ask for.
    """

    def __init__(self, place: Place) -> None:
        self._asked: Mapping[str, tuple[str, bytes]] = {
            "GET manifest by tag": place.manifest,
            f"GET {size(SMALL_BYTES)} blob": place.small,
            f"GET {size(MEDIUM_BYTES)} blob": place.medium,
        }
        self.titles = tuple(self._asked)
        self._connection = Connection(place.url)

    def ask(self, title: str, amount: Amount) -> Pace:
        """Ask for one of them as often as is wanted.

        Raises:
            LoadError: Something else came.
        """
        path, content = self._asked[title]
        seconds: list[float] = []
        is_done = _enough(amount)
        while not is_done(len(seconds)):
            begun = time.perf_counter()
            answer = self._connection.request("GET", path, _TYPED)
            body = self._connection.read(answer)
            seconds.append(time.perf_counter() - begun)
            if answer.status != 200 or body != content:
                raise LoadError(f"GET {path}: {answer.status}, {len(body)} bytes, or other ones")
        typical = statistics.median(seconds)
        slowest = statistics.quantiles(seconds, n=100, method="inclusive")[-1]
        return Pace(len(seconds), typical, slowest)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()


def _enough(amount: Amount) -> Callable[[int], bool]:
    deadline = time.monotonic() + amount.seconds if amount.seconds is not None else float("inf")
    most = amount.count if amount.count is not None else float("inf")
    # Two at least: else there is no percentile.
    return lambda done: done >= 2 and (done >= most or time.monotonic() >= deadline)
