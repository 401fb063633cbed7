"""What the axes share: stores that are planted, requests that are timed, and what was found."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks._disk import quick_directory, spread_directories
from benchmarks.growth._curves import Curve, Growth
from benchmarks.growth._tree import Tree
from benchmarks.registry_load._plan import MIB, size
from benchmarks.registry_load._seeding import OCTETS
from benchmarks.registry_load._servers import KINDS, Contender, Running
from benchmarks.registry_load._watch import pss_bytes
from benchmarks.registry_load._wire import Connection, LoadError, with_digest

GIB = 1024 * MIB


class Found:
    """Costs by title, in seconds, and memory, both in the order of the sizes."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = sizes
        self._costs: dict[str, list[float]] = {}
        self.memory: list[int] = []

    def add(self, title: str, seconds: float) -> None:
        """Take one cost at the next size."""
        self._costs.setdefault(title, []).append(seconds)

    def remember(self, server: Running) -> None:
        """Take the server's memory at the next size."""
        self.memory.append(pss_bytes(pid_of(server)))

    def growth(
        self, name: str, title: str, axis: str, labels: Sequence[str], notes: Sequence[str]
    ) -> Growth:
        """Give what was found, in milliseconds."""
        curves = [
            Curve(each, [(at, took * 1e3) for at, took in zip(self._sizes, costs, strict=True)])
            for each, costs in self._costs.items()
        ]
        return Growth(name, title, axis, "ms", labels, curves, self.memory, notes)


@contextmanager
def planted(plant: Callable[[Tree], None]) -> Iterator[tuple[Tree, Running]]:
    """Run a server on a store that `plant` has written."""
    with tempfile.TemporaryDirectory(prefix="storagedriver-bench-") as folder:
        base = Path(folder)
        spread_directories(base)
        place = quick_directory(base)
        tree = Tree(place / "data")
        plant(tree)
        with Contender("ours", KINDS["ours"], workers=1).running(place) as server:
            yield tree, server
        shutil.rmtree(place)


def pid_of(server: Running) -> int:
    """Give the process of a server that runs."""
    if server.pid is None:
        raise LoadError("the server has ended")
    return server.pid


def typical(
    connection: Connection,
    times: int,
    method: str,
    path: Callable[[], str],
    headers: dict[str, str] | None = None,
    body: tuple[bytes, ...] = (),
    *,
    status: int = 200,
) -> float:
    """Ask so often, after one that is not measured; the median, in seconds."""
    connection.expect(status, method, path(), headers, body)
    seconds = []
    for _ in range(times):
        target = path()
        begun = time.perf_counter()
        connection.expect(status, method, target, headers, body)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def all_pages(connection: Connection, first: str, key: str, names: Sequence[str]) -> float:
    """Read page after page, as the answers link them; in seconds."""
    begun = time.perf_counter()
    found: list[str] = []
    target = first
    while target:
        answer = connection.request("GET", target)
        found += json.loads(connection.read(answer))[key]
        # As `</v2/_catalog?last=...>; rel="next"`.
        target = answer.headers.get("link", "").partition(">")[0][1:]
    took = time.perf_counter() - begun
    if found != names:
        raise LoadError(f"{first}: {len(found)} entries of {len(names)}, or other ones")
    return took


def new_blob(block: bytes, count: int) -> tuple[tuple[bytes, ...], str]:
    """Give a blob that nobody has seen: one block again and again, and an end of its own."""
    end = os.urandom(min(count, 32))
    blocks, rest = divmod(count - len(end), len(block))
    body = (*(block for _ in range(blocks)), block[:rest], end)
    digest = hashlib.sha256()
    for part in body:
        digest.update(part)
    return body, f"sha256:{digest.hexdigest()}"


def push(connection: Connection, body: tuple[bytes, ...], digest: str) -> None:
    """Push a blob into the repository `app`, by POST, PATCH and PUT."""
    answer = connection.expect(202, "POST", "/v2/app/blobs/uploads/")
    answer = connection.expect(202, "PATCH", answer.headers["location"], OCTETS, body)
    connection.expect(201, "PUT", with_digest(answer.headers["location"], digest))


def short(count: int) -> str:
    """Give a number of bytes as a person would."""
    return f"{count // GIB} GiB" if count >= GIB and count % GIB == 0 else size(count)
