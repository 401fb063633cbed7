"""The registry on S3 beside docker-registry's own S3 driver: large blobs, each on a SeaweedFS.

Both get the same section of the same configuration, word for word. Server, store and load share the
machine, so a figure is of all three; the ratio is of the servers, and of how they ask the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from rich.console import Console

from benchmarks._report import Report, circumstances
from benchmarks.registry_load._plan import QUICK, Plan
from benchmarks.registry_load._rounds import Measured, measure
from benchmarks.registry_load._rows import MEMORY, ROWS, Row
from benchmarks.registry_load._servers import KINDS, Contender, on_seaweedfs
from benchmarks.registry_load._table import BASE, compare, figures, versions

ROUNDS = 3
OURS = "ours"
# Least ratio of ours to docker-registry's. Memory is shown, and so are pulls with redirects, whose
# bytes come from the store.
AIMS = {"pull-1": 1.0, "pull-4": 1.0, "push-1": 1.2, "push-4": 1.2}
PULLS = ("pull-1", "pull-4")
PLAN = Plan(pulls=(10, 3), pushes=(4, 1))


def run(rounds: int | None = None, *, quick: bool = False) -> Report:
    """Measure both by turns: first with redirects off, then pulls with redirects on."""
    plan = replace(QUICK if quick else PLAN, rounds=rounds or (1 if quick else ROUNDS))
    rows = [
        replace(row, v3=1.0, aim=AIMS.get(row.name, 0.0))
        for row in ROWS
        if row.name in (*AIMS, MEMORY)
    ]
    pulls = [row for row in rows if row.name in PULLS]
    direct, redirected = _contenders(redirects=False), _contenders(redirects=True)
    console = Console(stderr=True)
    with console.status("") as status:
        tell = status.update if console.is_terminal else lambda text: None
        measured = measure(direct, rows, plan, tell)
        measured_pulls = measure(redirected, pulls, plan, tell)
    lines = [
        *_lines(rows, plan, measured, ""),
        *_lines(pulls, plan, measured_pulls, ", redirects on"),
    ]
    heads = ["what", "unit"]
    for name in (OURS, BASE):
        heads += [name, "spread", "CPU/op"]
    return Report(
        "The registry on S3 (SeaweedFS), against docker-registry's S3 driver",
        [*heads, "ratio", "aim", "holds"],
        [cells for cells, _ in lines],
        list(_notes(direct, plan, quick=quick)),
        [record for _, record in lines],
    )


def _contenders(*, redirects: bool) -> list[Contender]:
    return [
        Contender(name, KINDS[name], store=on_seaweedfs, redirects=redirects)
        for name in (OURS, BASE)
    ]


def _lines(
    rows: Sequence[Row], plan: Plan, measured: Measured, how: str
) -> Iterator[tuple[list[str], dict[str, object]]]:
    for row in rows:
        ours, theirs = measured[OURS][row.name], measured[BASE][row.name]
        compared = compare(row, ours, theirs)
        title = row.title(plan) + how
        is_judged = row.aim and not how
        cells = [
            title,
            row.unit,
            *figures(row, ours),
            *figures(row, theirs),
            f"{compared.ratio:.2f}",
            f"≥ {row.aim:.2f}" if is_judged else "-",
            ("yes" if compared.holds else "no") if is_judged else "-",
        ]
        record = {
            "row": row.name + ("-redirected" if how else ""),
            "title": title,
            "unit": row.unit,
            OURS: [asdict(outcome) for outcome in ours],
            BASE: [asdict(outcome) for outcome in theirs],
            "ratios": compared.ratios,
            **({"aim": row.aim, "holds": compared.holds} if is_judged else {}),
        }
        yield cells, record


def _notes(contenders: Sequence[Contender], plan: Plan, *, quick: bool) -> Iterator[str]:
    others = [f"docker-registry {found}" for found in versions(contenders)]
    packages = ["storagedriver-registry", "storagedriver-s3", "httptools", "aiohttp"]
    yield circumstances(packages, others)
    yield (
        f"{plan.rounds} rounds by turns, each on a SeaweedFS of its own; medians, and of ratios "
        "the median of the rounds' ratios; spread is the greatest over the least. CPU is the "
        "server's, without the store's."
    )
    if quick:
        yield "A short run: it shows that everything works, and its figures say little."
