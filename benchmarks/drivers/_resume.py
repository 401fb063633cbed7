"""What it costs to go on with an upload: time, requests and the token, by how many parts it has."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

from storagedriver_testsuite.proxy import Proxy

from benchmarks._report import Report, circumstances
from benchmarks.drivers._local_sites import FilesSite, FsspecSite, MemorySite
from benchmarks.drivers._sites import AzureSite, S3Site, Site, StrictGcsSite
from storagedriver_core import Storage, UploadToken, open_storage

# As small as every store takes them: the number is what counts.
PART_BYTES = 256 * 1024
PARTS = (10, 1000)
QUICK_PARTS = (2, 5)
LEAST = {"s3": {"min_part_size": PART_BYTES}}
SITES: Sequence[Callable[[Path], Site]] = (
    S3Site,
    # fake-gcs-server forgets a session that is asked how far it is.
    StrictGcsSite,
    AzureSite,
    FilesSite,
    FsspecSite,
    MemorySite,
)


@dataclass
class Cost:
    """What going on has cost.

    Attributes:
        parts: Parts that the token tells of; 0 for a driver that keeps no ledger of them.
        token_bytes: Size of the token as text.
        seconds: Of `Storage.resume`, round by round.
        requests: That the server had for one; None without a server.
    """

    parts: int
    token_bytes: int
    seconds: list[float] = field(default_factory=list)
    requests: int | None = None


def run(rounds: int, tell: Callable[[str], None], *, quick: bool = False) -> Report:
    """Measure it on every store."""
    numbers = QUICK_PARTS if quick else PARTS
    lines, rows = [], []
    for site_class in SITES:
        with tempfile.TemporaryDirectory(prefix="storagedriver-bench-") as folder:
            site = site_class(Path(folder))
            tell(f"{site.name}: going on with uploads")
            with site.server or nullcontext():
                costs = asyncio.run(_measure(site, numbers, rounds))
        typical = [statistics.median(cost.seconds) * 1e3 for cost in costs]
        lines.append(
            [
                site.name,
                *(f"{each:,.2f}" for each in typical),
                f"{typical[-1] / typical[0]:.2f}",
                *(f"{cost.requests:,}" if cost.requests is not None else "-" for cost in costs),
                *(f"{cost.token_bytes / 1024:,.1f}" for cost in costs),
                "yes" if costs[-1].parts else "no",
            ]
        )
        rows.append({"store": site.name, "parts": numbers, "costs": [*map(asdict, costs)]})
    few, many = (f"{count:,}" for count in numbers)
    return Report(
        "Going on with an upload",
        [
            "store",
            *(f"{few} parts, ms", f"{many} parts, ms", "÷"),
            *(f"{few}, requests", f"{many}, requests"),
            *(f"{few}, token KiB", f"{many}, token KiB"),
            "ledger",
        ],
        lines,
        [
            circumstances(["storagedriver-core"]),
            f"Medians of {rounds} rounds of `Storage.resume`, until one can write on; parts of "
            f"{PART_BYTES // 1024} KiB. Where there is no ledger of parts, the store's own file "
            "grows, and the parts are as many writes.",
        ],
        rows,
    )


async def _measure(site: Site, numbers: Sequence[int], rounds: int) -> list[Cost]:
    await site.prepare()
    async with _storage(site, site.url) as storage:
        costs = [await _go_on(storage, count, rounds) for count in numbers]
    if site.url:
        async with Proxy(site.url) as proxy, _storage(site, proxy.url) as storage:
            for cost, count in zip(costs, numbers, strict=True):
                token = await _begin(storage, count)
                await proxy.forget()
                writer = await storage.resume(token)
                cost.requests = (await proxy.counts()).total()
                await writer.cancel()
    return costs


def _storage(site: Site, url: str) -> Storage:
    return open_storage(
        {
            "storage": {
                "driver": site.driver,
                "parameters": {**site.parameters(url), **LEAST.get(site.driver, {})},
                "part_size": PART_BYTES,
            }
        }
    )


async def _begin(storage: Storage, count: int) -> UploadToken:
    data = bytes(PART_BYTES)
    # With a size that is not known, parts would double.
    writer = await storage.writer(f"/resumed-{count}", max_size=count * PART_BYTES)
    for _ in range(count):
        await writer.write(data)
    return await writer.suspend()


async def _go_on(storage: Storage, count: int, rounds: int) -> Cost:
    token = await _begin(storage, count)
    cost = Cost(len(token.parts), len(token.to_json()))
    for _ in range(rounds):
        text = token.to_json()
        begun = time.perf_counter()
        writer = await storage.resume(text)
        cost.seconds.append(time.perf_counter() - begun)
        token = await writer.suspend()
    assert token.offset == count * PART_BYTES, f"{token.offset} bytes of {count} parts"
    # Not committed: the parts are smaller than some stores take then.
    await (await storage.resume(token)).cancel()
    return cost
