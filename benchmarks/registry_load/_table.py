"""Figures, ratios and aims as a report."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

from benchmarks._report import Report, circumstances
from benchmarks.registry_load._plan import Plan
from benchmarks.registry_load._rounds import Measured, Outcome
from benchmarks.registry_load._rows import Row
from benchmarks.registry_load._servers import Contender
from servers._process import program

# What v3's factors start from.
BASE = "docker-registry"


@dataclass(frozen=True, slots=True)
class Compared:
    """One row of a comparison.

    Attributes:
        ratios: Ours over the other's, round by round.
        ratio: Their median.
        v3_ratios: The same over v3, by its factor.
        v3_ratio: Their median.
        holds: Whether that meets the aim.
    """

    ratios: list[float]
    ratio: float
    v3_ratios: list[float]
    v3_ratio: float
    holds: bool


def compare(row: Row, ours: Sequence[Outcome], others: Sequence[Outcome]) -> Compared:
    """Compare each round by itself: what else the machine did then weighs on both."""
    pairs = zip(ours, others, strict=True)
    ratios = [one.figure / two.figure for one, two in pairs]
    v3_ratios = [ratio / row.v3 for ratio in ratios]
    v3_ratio = statistics.median(v3_ratios)
    holds = v3_ratio <= row.aim if row.is_less_better else v3_ratio >= row.aim
    return Compared(ratios, statistics.median(ratios), v3_ratios, v3_ratio, holds)


def table(
    contenders: Sequence[Contender], rows: Sequence[Row], plan: Plan, measured: Measured
) -> Report:
    """Make the report: of one server, or of one against another."""
    ours, *others = contenders
    other = others[0] if others else None
    heads = ["what", "unit"]
    for each in contenders:
        heads += [each.name, "spread", "CPU/op"]
    if other is None:
        heads += ["load's CPU"]
    else:
        heads += ["ratio"]
        if other.name == BASE:
            heads += ["v3 / 2.8.2", "x v3", "aim", "holds"]
    lines, records = [], []
    for row in rows:
        line = [row.title(plan), row.unit]
        record: dict[str, object] = {"row": row.name, "title": row.title(plan), "unit": row.unit}
        for each in contenders:
            outcomes = measured[each.name][row.name]
            line += figures(row, outcomes)
            record[each.name] = [asdict(outcome) for outcome in outcomes]
        mine = measured[ours.name][row.name]
        if other is None:
            line.append(_share(mine))
        else:
            compared = compare(row, mine, measured[other.name][row.name])
            line.append(f"{compared.ratio:.2f}")
            record["ratios"] = compared.ratios
            if other.name == BASE:
                line += _judged(row, compared)
                record |= {"v3_factor": row.v3, "aim": row.aim} | asdict(compared)
        lines.append(line)
        records.append(record)
    title = f"The registry under load: {' against '.join(each.name for each in contenders)}"
    return Report(title, heads, lines, list(_notes(contenders, plan)), records)


def figures(row: Row, outcomes: Sequence[Outcome]) -> list[str]:
    """Give the cells of one server: the median, the spread, and CPU for an operation."""
    found = [outcome.figure for outcome in outcomes]
    if row.load is None:
        cpu = "-"
    else:
        cpu = _time(statistics.median(each.server_cpu / each.operations for each in outcomes))
    digits = 0 if statistics.median(found) >= 100 else 1
    return [f"{statistics.median(found):,.{digits}f}", f"{max(found) / min(found):.2f}", cpu]


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f} ms" if seconds >= 0.01 else f"{seconds * 1e6:,.0f} µs"


def _share(outcomes: Sequence[Outcome]) -> str:
    return f"{statistics.median(each.client_cpu / each.seconds for each in outcomes):.0%}"


def _judged(row: Row, compared: Compared) -> list[str]:
    sign = "≤" if row.is_less_better else "≥"
    holds = "yes" if compared.holds else "no"
    return [f"{row.v3:.2f}", f"{compared.v3_ratio:.2f}", f"{sign} {row.aim:.2f}", holds]


def _notes(contenders: Sequence[Contender], plan: Plan) -> Iterator[str]:
    packages = ["storagedriver-registry", "httptools", "uvloop"]
    others = [f"docker-registry {found}" for found in versions(contenders)]
    yield circumstances([each for each in packages if _is_there(each)], others)
    workers = [f"{each.name}: --workers {each.workers}" for each in contenders if each.workers]
    yield (
        "; ".join(
            [
                f"{plan.rounds} rounds, medians; spread is the greatest over the least",
                f"{plan.connections} connections ask",
                f"a streamed PATCH has {_framing(plan)}",
                *workers,
            ]
        )
        + "."
    )
    if plan.rounds < 3 or not plan.settles:
        yield "A short run: it shows that everything works, and its figures say little."


def _framing(plan: Plan) -> str:
    if plan.framing == "length":
        return "a Content-Length"
    return f"chunks of {plan.chunk_bytes // 1024} KiB"


def versions(contenders: Sequence[Contender]) -> Iterator[str]:
    """Give the version of docker-registry if it is one of them."""
    for each in contenders:
        if each.name == BASE:
            said = subprocess.run([program(BASE), "--version"], capture_output=True, text=True)
            yield said.stdout.split()[-1]


def _is_there(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def by_row(report: Report) -> Mapping[str, Mapping[str, object]]:
    """Give a report's records by the names of their rows."""
    return {str(record["row"]): record for record in report.rows}
