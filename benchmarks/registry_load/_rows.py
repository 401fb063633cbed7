"""What is measured, and what is aimed at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from benchmarks.registry_load import _requests
from benchmarks.registry_load._crew import Load
from benchmarks.registry_load._plan import Plan, size
from benchmarks.registry_load._requests import Method
from benchmarks.registry_load._seeding import MANIFEST_TYPE, TAG, Target
from benchmarks.registry_load._transfers import Begin, pull_large, push_large, push_many

Unit = Literal["req/s", "MB/s", "blobs/s", "MiB"]
MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        name: For `--rows`.
        title: What is done, from the plan's sizes.
        unit: Of the figure.
        v3: What v3.1.1 reaches where 2.8.2 reaches 1, measured once, on one machine.
        aim: What we want to reach where v3 reaches 1: at least; at most for memory.
        load: Does it; None for memory, which is watched during the others.
        needs_large: Whether the large blob has to be there.
        bytes: What one operation moves, where that is what counts.
    """

    name: str
    title: Callable[[Plan], str]
    unit: Unit
    v3: float
    aim: float
    load: Callable[[Target, Plan, Begin], Load] | None
    needs_large: bool = False
    bytes: Callable[[Plan], int] | None = None

    @property
    def is_less_better(self) -> bool:
        """Whether the aim is a greatest ratio."""
        return self.load is None

    def figure(self, load: Load, plan: Plan) -> float:
        """Give the speed in the row's unit."""
        amount = self.bytes(plan) / 1e6 if self.bytes else 1
        return load.operations * amount / load.seconds


def _ask(
    method: Method,
    path: Callable[[Target], str],
    headers: Mapping[str, str] | None = None,
) -> Callable[[Target, Plan, Begin], Load]:
    def load(target: Target, plan: Plan, begin: Begin) -> Load:
        return _requests.load(method, target.url + path(target), headers or {}, plan, begin)

    return load


def _large(target: Target, plan: Plan, begin: Begin, *, push: bool, alone: bool) -> Load:
    clients = 1 if alone else plan.several
    return (push_large if push else pull_large)(target, plan, clients, begin)


def _large_row(name: str, *, push: bool, alone: bool, v3: float, aim: float) -> Row:
    verb = "PUSH" if push else "GET"

    def title(plan: Plan) -> str:
        blob = size(plan.large_bytes) + ("" if push else " blob")
        return f"{verb} {blob}, {'1 client' if alone else f'{plan.several} clients'}"

    return Row(
        name,
        title,
        "MB/s",
        v3,
        aim,
        partial(_large, push=push, alone=alone),
        needs_large=not push,
        bytes=lambda plan: plan.large_bytes,
    )


_TYPED = {"Accept": MANIFEST_TYPE}

# The factors and aims are those of the project's table.
ROWS: Sequence[Row] = (
    Row("v2", lambda _: "GET /v2/", "req/s", 8.5, 1.2, _ask("GET", lambda _: "/v2/")),
    Row(
        "manifest-get",
        lambda _: "GET manifest by tag",
        "req/s",
        5.1,
        2.0,
        _ask("GET", lambda target: f"{target.manifests}/{TAG}", _TYPED),
    ),
    Row(
        "manifest-head",
        lambda _: "HEAD manifest by digest",
        "req/s",
        6.1,
        2.0,
        _ask("HEAD", lambda target: f"{target.manifests}/{target.manifest}", _TYPED),
    ),
    Row(
        "blob-head",
        lambda _: "HEAD blob",
        "req/s",
        6.5,
        1.5,
        _ask("HEAD", lambda target: f"{target.blobs}/{target.small}"),
    ),
    Row(
        "blob-get",
        lambda plan: f"GET {size(plan.small_bytes)} blob",
        "req/s",
        1.4,
        8.0,
        _ask("GET", lambda target: f"{target.blobs}/{target.small}"),
    ),
    _large_row("pull-1", push=False, alone=True, v3=1.05, aim=1.0),
    _large_row("pull-4", push=False, alone=False, v3=1.05, aim=1.0),
    _large_row("push-1", push=True, alone=True, v3=1.5, aim=1.6),
    _large_row("push-4", push=True, alone=False, v3=1.4, aim=1.3),
    Row(
        "push-small",
        lambda plan: f"PUSH {size(plan.pushed_bytes)} blobs, {plan.many} clients",
        "blobs/s",
        1.3,
        3.0,
        push_many,
    ),
    Row(MEMORY, lambda _: "peak memory (PSS)", "MiB", 1.08, 0.75, None),
)
