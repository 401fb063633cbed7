"""Alternating rounds: what each work takes of each contender, in time, memory and requests."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from storagedriver_testsuite.proxy import Proxy

from benchmarks.drivers._contender import Contender, Role, Source
from benchmarks.drivers._memory import peak_of
from benchmarks.drivers._sites import Site
from benchmarks.drivers._works import Material, Sizes, Work, works

Kind = Literal["wall", "cpu"]
Tell = Callable[[str], None]


@dataclass
class Costs:
    """What one contender took for one work.

    Attributes:
        wall: Time that passed, round by round, in seconds.
        cpu: Time that this process, all its threads included, kept a core busy.
        peak: By how much this process's memory grew at most, in one more run, in bytes.
        requests: Requests that the server had, in one more run; None without a server.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak: int = 0
    requests: int | None = None

    def of(self, kind: Kind) -> list[float]:
        """Give those of one kind."""
        return self.wall if kind == "wall" else self.cpu

    def median(self) -> tuple[float, float]:
        """Give the medians of both."""
        return statistics.median(self.wall), statistics.median(self.cpu)


Measured = dict[Work, dict[Role, Costs]]


async def measure(
    site: Site, sizes: Sizes, rounds: int, tell: Tell
) -> tuple[Sequence[Contender], Measured]:
    """Open them all, do every work once with a look at every byte, then in rounds by the clock.

    Args:
        site: Where, and who; the raw one reads what others put.
        sizes: How much.
        rounds: Measured rounds of each work.
        tell: Called with what is being done.
    """
    await site.prepare()
    measured: Measured = {}
    source = Source(sizes.large)
    async with _opened(site, site.url) as contenders:
        material = Material(sizes, site.judge(contenders), source)
        # What is there now stays: a collection needs not look at it in each round.
        gc.collect()
        gc.freeze()
        try:
            for work in works(sizes):
                measured[work] = await _measure(work, contenders, material, rounds, tell)
        finally:
            gc.unfreeze()
    if site.url:
        async with Proxy(site.url) as proxy, _opened(site, proxy.url) as again:
            for work, costs in measured.items():
                tell(f"{work.title}: counting requests")
                for contender in _able(work, again):
                    if contender.role in site.uncounted:
                        continue
                    await proxy.forget()
                    await work.run(contender, material)
                    costs[contender.role].requests = (await proxy.counts()).total()
    return contenders, measured


@asynccontextmanager
async def _opened(site: Site, url: str) -> AsyncIterator[Sequence[Contender]]:
    contenders = site.contenders(url)
    async with AsyncExitStack() as stack:
        for contender in contenders:
            stack.push_async_callback(contender.aclose)
            await contender.open()
        yield contenders


def _able(work: Work, contenders: Sequence[Contender]) -> list[Contender]:
    return [each for each in contenders if work.name not in each.unable]


async def _measure(
    work: Work,
    contenders: Sequence[Contender],
    material: Material,
    rounds: int,
    tell: Tell,
) -> dict[Role, Costs]:
    able = _able(work, contenders)
    tell(f"{work.title}: laying out")
    for contender in able if material.judge is None else [material.judge]:
        await work.prepare(contender, material)
    if work.verify is not None:
        for contender in able:
            tell(f"{work.title}: verifying {contender.role}")
            await work.verify(contender, material)
    costs = {contender.role: Costs() for contender in able}
    rounds = min(rounds, work.rounds)
    for number in range(rounds):
        tell(f"{work.title}: round {number + 1} of {rounds}")
        # Nobody always comes after the same one.
        first = number % len(able)
        for contender in able[first:] + able[:first]:
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            await work.run(contender, material)
            costs[contender.role].cpu.append(time.process_time() - cpu)
            costs[contender.role].wall.append(time.perf_counter() - wall)
    for contender in able:
        costs[contender.role].peak = await peak_of(partial(work.run, contender, material))
    return costs
