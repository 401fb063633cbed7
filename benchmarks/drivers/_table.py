"""The measured costs as a table, with what is aimed at."""

from __future__ import annotations

import statistics
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from benchmarks._report import Report, circumstances
from benchmarks.drivers._contender import MIB, Contender, Role
from benchmarks.drivers._rounds import Costs, Kind, Measured
from benchmarks.drivers._sites import Site
from benchmarks.drivers._works import Work

COMPARED: tuple[Role, ...] = ("raw", "file API", "obstore")
AS_FAST = 1.10
FASTER = 1.00
LIST_CPU = 0.50
# By the names of works.
OF_OBSTORE = {
    "put-large": 1.10,
    "get-large": 1.10,
    "put-small": 1.30,
    "get-small": 1.30,
    "stat": 1.30,
    "list": 1.50,
}
SERVICES = Path(__file__).parents[2] / "scripts" / "services.toml"


@dataclass(frozen=True)
class Aim:
    """What one ratio may be at most.

    Attributes:
        other: Whom we are compared with.
        kind: Which of the costs.
        ratio: Ours over the other's.
        most: The greatest ratio aimed at.
        holds: Whether it was met.
    """

    other: Role
    kind: Kind
    ratio: float
    most: float
    holds: bool


def table(site: Site, contenders: Sequence[Contender], measured: Measured, rounds: int) -> Report:
    """Make the report of one server."""
    roles = [each.role for each in contenders]
    compared = [role for role in COMPARED if role in roles]
    lines, more, rows = [], [], []
    for work, costs in measured.items():
        aims = list(_aims(work, costs, is_s3=site.is_s3)) if site.is_cloud else []
        missed = [f"{aim.other} {aim.kind}" for aim in aims if not aim.holds]
        lines.append(
            [
                work.title,
                *(_milliseconds(costs.get(role)) for role in roles),
                *(_ratios(costs, role) for role in compared),
                *([f"no: {', '.join(missed)}" if missed else "yes"] if site.is_cloud else []),
                f"{max(costs['ours'].wall) / min(costs['ours'].wall):.2f}",
            ]
        )
        more.append([work.title, *(_use(costs.get(role)) for role in roles)])
        rows.append(
            {
                "work": work.title,
                "costs": {role: asdict(each) for role, each in costs.items()},
                "aims": [asdict(aim) for aim in aims],
            }
        )
    ratios = [f"÷ {role}" for role in compared]
    columns = ["wall / CPU", *roles, *ratios, *(["holds"] if site.is_cloud else []), "spread"]
    titles = {work.name: work.title for work in measured}
    notes = list(_notes(site.service, contenders, rounds, titles))
    requests = "Requests and peak memory" if site.server else "Peak memory"
    use = "requests / peak MiB" if site.server else "peak MiB"
    further = Report(f"{requests}: {site.name}", [use, *roles], more, [], [])
    return Report(site.name, columns, lines, notes, rows, further)


def _aims(work: Work, costs: Mapping[Role, Costs], *, is_s3: bool) -> Iterator[Aim]:
    for kind in get_args(Kind):
        most = LIST_CPU if is_s3 and work.name == "list" and kind == "cpu" else AS_FAST
        ratio = _ratio(costs, "raw", kind)
        yield Aim("raw", kind, ratio, most, ratio <= most)
        if "file API" in costs:
            ratio = _ratio(costs, "file API", kind)
            yield Aim("file API", kind, ratio, FASTER, ratio < FASTER)
    if is_s3 and work.name in OF_OBSTORE:
        ratio, most = _ratio(costs, "obstore", "wall"), OF_OBSTORE[work.name]
        yield Aim("obstore", "wall", ratio, most, ratio <= most)


def _ratio(costs: Mapping[Role, Costs], other: Role, kind: Kind) -> float:
    # Of each round by itself: what else the machine did then weighs on both.
    mine, theirs = costs["ours"], costs[other]
    pairs = zip(mine.of(kind), theirs.of(kind), strict=True)
    return statistics.median(one / two for one, two in pairs)


def _milliseconds(costs: Costs | None) -> str:
    if costs is None:
        return "-"
    wall, cpu = costs.median()
    return f"{wall * 1e3:,.0f} / {cpu * 1e3:,.0f}"


def _use(costs: Costs | None) -> str:
    if costs is None:
        return "-"
    peak = f"{costs.peak / MIB:,.1f}"
    return peak if costs.requests is None else f"{costs.requests:,} / {peak}"


def _ratios(costs: Mapping[Role, Costs], other: Role) -> str:
    if other not in costs:
        return "-"
    return f"{_ratio(costs, other, 'wall'):.2f} / {_ratio(costs, other, 'cpu'):.2f}"


def _notes(
    service: str | None,
    contenders: Sequence[Contender],
    rounds: int,
    titles: Mapping[str, str],
) -> Iterator[str]:
    packages = [package for each in contenders for package in each.packages]
    yield circumstances(packages, [_pinned(service)] if service else [])
    yield (
        f"{rounds} rounds. " + "; ".join(f"{each.role}: {each.label}" for each in contenders) + "."
    )
    for each in contenders:
        for work, reason in each.unable.items():
            yield f"{each.label}, {titles[work]}: {reason}."


def _pinned(service: str) -> str:
    """Give the package that the server comes from, with its version."""
    entry = tomllib.loads(SERVICES.read_text(encoding="utf-8"))[service]
    return str(entry["packages"][0]).replace("==", " ").replace("@", " ")
