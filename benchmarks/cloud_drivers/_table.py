"""The measured costs as a table, with what is aimed at."""

from __future__ import annotations

import statistics
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from benchmarks._report import Report, circumstances
from benchmarks.cloud_drivers._contender import Contender, Role
from benchmarks.cloud_drivers._rounds import Costs, Kind, Measured
from benchmarks.cloud_drivers._sites import Site
from benchmarks.cloud_drivers._works import GET_LARGE, LIST, PUT_LARGE, Work

ROLES: tuple[Role, ...] = ("ours", "raw", "file API", "obstore", "OpenDAL")
COMPARED: tuple[Role, ...] = ("raw", "file API", "obstore")
AS_FAST = 1.10
FASTER = 1.00
LIST_CPU = 0.50
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
    lines, rows = [], []
    for work, costs in measured.items():
        aims = list(_aims(work, costs, is_s3=site.is_s3))
        missed = [f"{aim.other} {aim.kind}" for aim in aims if not aim.holds]
        lines.append(
            [
                work.title,
                *(_milliseconds(costs.get(role)) for role in ROLES),
                *(_ratios(costs, role) for role in COMPARED),
                f"no: {', '.join(missed)}" if missed else "yes",
                f"{max(costs['ours'].wall) / min(costs['ours'].wall):.2f}",
            ]
        )
        rows.append(
            {
                "work": work.title,
                "seconds": {role: asdict(each) for role, each in costs.items()},
                "aims": [asdict(aim) for aim in aims],
            }
        )
    columns = ("wall / CPU", *ROLES, *(f"÷ {role}" for role in COMPARED), "holds", "spread")
    notes = list(_notes(site.service, contenders, rounds))
    return Report(site.name, columns, lines, notes, rows)


def _aims(work: Work, costs: Mapping[Role, Costs], *, is_s3: bool) -> Iterator[Aim]:
    for kind in get_args(Kind):
        most = LIST_CPU if is_s3 and work is LIST and kind == "cpu" else AS_FAST
        ratio = _ratio(costs, "raw", kind)
        yield Aim("raw", kind, ratio, most, ratio <= most)
        if "file API" in costs:
            ratio = _ratio(costs, "file API", kind)
            yield Aim("file API", kind, ratio, FASTER, ratio < FASTER)
    if is_s3 and work in (PUT_LARGE, GET_LARGE):
        ratio = _ratio(costs, "obstore", "wall")
        yield Aim("obstore", "wall", ratio, AS_FAST, ratio <= AS_FAST)


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


def _ratios(costs: Mapping[Role, Costs], other: Role) -> str:
    if other not in costs:
        return "-"
    return f"{_ratio(costs, other, 'wall'):.2f} / {_ratio(costs, other, 'cpu'):.2f}"


def _notes(service: str | None, contenders: Sequence[Contender], rounds: int) -> Iterator[str]:
    packages = [package for each in contenders for package in each.packages]
    yield circumstances(packages, [_pinned(service)] if service else [])
    yield (
        f"{rounds} rounds. " + "; ".join(f"{each.role}: {each.label}" for each in contenders) + "."
    )
    for each in contenders:
        for work, reason in each.unable.items():
            yield f"{each.label}, {work}: {reason}."


def _pinned(service: str) -> str:
    """Give the package that the server comes from, with its version."""
    entry = tomllib.loads(SERVICES.read_text(encoding="utf-8"))[service]
    return str(entry["packages"][0]).replace("==", " ").replace("@", " ")
