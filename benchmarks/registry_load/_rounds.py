"""Alternating rounds, each server started on fresh storage."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks._disk import quick_directory, spread_directories
from benchmarks.registry_load._plan import MIB, Plan
from benchmarks.registry_load._rows import MEMORY, Row
from benchmarks.registry_load._seeding import Target, seed
from benchmarks.registry_load._servers import Contender, Running
from benchmarks.registry_load._watch import Watch, wait_until_idle
from benchmarks.registry_load._wire import LoadError

_IDLE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of one round on one server.

    Attributes:
        figure: In the row's unit.
        operations: How many requests, pulls or pushes.
        seconds: What they took.
        server_cpu: CPU of the server's process tree meanwhile, in seconds.
        client_cpu: CPU of those that loaded it, in seconds.
        peak: Most memory of the process tree, in bytes.
    """

    figure: float
    operations: int
    seconds: float
    server_cpu: float
    client_cpu: float
    peak: int


# By contender's and row's name, by round.
Measured = Mapping[str, Mapping[str, list[Outcome]]]


def measure(
    contenders: Sequence[Contender],
    rows: Sequence[Row],
    plan: Plan,
    tell: Callable[[str], None],
    *,
    directory: Path | None = None,
    profile: str = "",
) -> Measured:
    """Start, seed and load each of them in each round; nobody always comes first.

    Args:
        contenders: The servers.
        rows: What is measured.
        plan: How much.
        tell: Called with what is being done.
        directory: Where storage is made, and removed; by default the system's temporary directory.
        profile: A command that runs during each row, with `{pid}`, `{row}` and `{server}` replaced.

    Raises:
        LoadError: A server answers otherwise than it should.
        MissingProgramError: A program has not been fetched.
    """
    measured: dict[str, dict[str, list[Outcome]]] = {
        contender.name: {row.name: [] for row in rows} for contender in contenders
    }
    with tempfile.TemporaryDirectory(prefix="storagedriver-bench-", dir=directory) as folder:
        base = Path(folder)
        spread_directories(base)
        for number in range(plan.rounds):
            first = number % len(contenders)
            for contender in (*contenders[first:], *contenders[:first]):
                where = f"round {number + 1} of {plan.rounds}: {contender.name}"
                say = partial(_say, tell, where)
                place = quick_directory(base)
                with contender.running(place) as server:
                    outcomes = _round(contender, server, rows, plan, say, profile)
                for name, outcome in outcomes.items():
                    measured[contender.name][name].append(outcome)
                # Some gigabytes for each; the places are not used again.
                shutil.rmtree(place)
    return measured


def _say(tell: Callable[[str], None], where: str, text: str) -> None:
    tell(f"{where}: {text}")


def _round(
    contender: Contender,
    server: Running,
    rows: Sequence[Row],
    plan: Plan,
    tell: Callable[[str], None],
    profile: str,
) -> Mapping[str, Outcome]:
    if server.pid is None:
        raise LoadError(f"{contender.name} has ended")
    tell("pushing what is pulled")
    with_large = any(row.needs_large for row in rows)
    target = seed(server.url, server.pid, plan, with_large=with_large, is_kept=contender.is_kept)
    outcomes = {}
    for row in rows:
        if row.load is None:
            continue
        tell(row.title(plan))
        filled = profile.format(pid=server.pid, row=row.name, server=contender.name)
        outcomes[row.name] = _outcome(row, target, plan, filled)
    if any(row.name == MEMORY for row in rows):
        outcomes[MEMORY] = _all_of([*outcomes.values()])
    return outcomes


def _outcome(row: Row, target: Target, plan: Plan, profile: str) -> Outcome:
    assert row.load is not None
    if plan.settles:
        # What was written before is not to be this row's work.
        os.sync()
        wait_until_idle(target.pid, _IDLE_SECONDS)
    watch = Watch(target.pid, profile)
    with watch.looking():
        load = row.load(target, plan, watch.begin)
        watch.end()
    figure = row.figure(load, plan)
    return Outcome(figure, load.operations, load.seconds, watch.cpu, load.cpu, watch.peak)


def _all_of(outcomes: Sequence[Outcome]) -> Outcome:
    peak = max(outcome.peak for outcome in outcomes)
    return Outcome(
        peak / MIB,
        sum(outcome.operations for outcome in outcomes),
        sum(outcome.seconds for outcome in outcomes),
        sum(outcome.server_cpu for outcome in outcomes),
        sum(outcome.client_cpu for outcome in outcomes),
        peak,
    )
