"""Alternating rounds: what each contender takes for each work, in time and in CPU."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.cloud_drivers._contender import Contender, Role
from benchmarks.cloud_drivers._sites import Site
from benchmarks.cloud_drivers._works import WORKS, Material, Work

Kind = Literal["wall", "cpu"]


@dataclass(frozen=True)
class Costs:
    """What one contender took for one work, round by round, in seconds.

    Attributes:
        wall: Time that passed.
        cpu: Time that this process, all its threads included, kept a core busy.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def of(self, kind: Kind) -> list[float]:
        """Give those of one kind."""
        return self.wall if kind == "wall" else self.cpu

    def median(self) -> tuple[float, float]:
        """Give the medians of both."""
        return statistics.median(self.wall), statistics.median(self.cpu)


Measured = dict[Work, dict[Role, Costs]]


async def measure(
    site: Site, rounds: int, tell: Callable[[str], None]
) -> tuple[Sequence[Contender], Measured]:
    """Open them all, do every work once with a look at every byte, then in rounds by the clock.

    Args:
        site: Where, and who; the raw one reads what others put.
        rounds: Measured rounds of each work.
        tell: Called with what is being done.
    """
    contenders = await site.contenders()
    async with AsyncExitStack() as stack:
        for contender in contenders:
            stack.push_async_callback(contender.aclose)
            await contender.open()
        material = Material(next(each for each in contenders if each.role == "raw"))
        # What is there now stays: a collection needs not look at it in each round.
        gc.collect()
        gc.freeze()
        try:
            measured = {}
            for work in WORKS:
                measured[work] = await _measure(work, contenders, material, rounds, tell)
        finally:
            gc.unfreeze()
    return contenders, measured


async def _measure(
    work: Work,
    contenders: Sequence[Contender],
    material: Material,
    rounds: int,
    tell: Callable[[str], None],
) -> dict[Role, Costs]:
    if work.prepare is not None:
        tell(f"{work.title}: laying out")
        await work.prepare(material)
    able = [each for each in contenders if work.title not in each.unable]
    for contender in able:
        tell(f"{work.title}: verifying {contender.role}")
        await work.verify(contender, material)
    costs = {contender.role: Costs() for contender in able}
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
    return costs
