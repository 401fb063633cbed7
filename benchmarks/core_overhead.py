"""What `Storage` costs over a bare driver, and each middleware over none, for 1 KiB objects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from storagedriver_inmemory import InMemoryDriver

from benchmarks._measure import Row, alternate, overhead_row
from benchmarks._report import Report, report_of
from storagedriver_core import ConfigurationError, PutOptions, Storage, load_plugins, open_storage

CALLS = 20_000
ROUNDS = 7
AIM_MICROSECONDS = 8.0
PATH = "/benchmark/object"
DATA = bytes(1024)
# Parameters of those that need some.
PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "prefix": {"prefix": "/a/b"},
    "redirect": {"base_url": "https://cdn.example/files"},
}

Call = Callable[[], Awaitable[object]]


def run(rounds: int | None = None, *, quick: bool = False) -> Report:
    """Measure put and get."""
    rows = [*_rows(rounds or (1 if quick else ROUNDS), 20 if quick else CALLS)]
    report = report_of("What `Storage` and each middleware cost", rows, ["storagedriver-core"])
    left_out = sorted(set(load_plugins().middlewares) - set(measurable()))
    if not left_out:
        return report
    note = f"Not measured, since they need more than parameters: {', '.join(left_out)}."
    return replace(report, notes=[*report.notes, note])


def _rows(rounds: int, calls: int) -> Iterator[Row]:
    options = PutOptions()
    with asyncio.Runner() as runner, _opened(runner) as storage:
        driver = InMemoryDriver()
        runner.run(driver.open())

        def compare(title: str, ours: Call, reference: Call) -> Row:
            async def repeat(call: Call) -> None:
                for _ in range(calls):
                    await call()

            times = alternate(
                lambda: runner.run(repeat(ours)),
                lambda: runner.run(repeat(reference)),
                rounds=rounds,
            )
            return overhead_row(title, calls, *times, AIM_MICROSECONDS)

        plain_put, plain_get = _calls(storage)
        yield compare(
            "Storage.put_content 1 KiB",
            plain_put,
            lambda: driver.put_content(PATH, DATA, options),
        )
        yield compare("Storage.get_content 1 KiB", plain_get, lambda: driver.get_content(PATH))
        for name in measurable():
            with _opened(runner, name) as wrapped:
                put, get = _calls(wrapped)
                yield compare(f"put_content 1 KiB through {name}", put, plain_put)
                yield compare(f"get_content 1 KiB through {name}", get, plain_get)
        runner.run(driver.aclose())


def measurable() -> list[str]:
    """Name the middlewares of all plugins, but those that parameters alone do not open."""
    found = []
    for name in load_plugins().middlewares:
        try:
            open_storage(_section(name))
        except ConfigurationError:
            continue
        found.append(name)
    return found


def _calls(storage: Storage) -> tuple[Call, Call]:
    return lambda: storage.put_content(PATH, DATA), lambda: storage.get_content(PATH)


@contextmanager
def _opened(runner: asyncio.Runner, middleware: str = "") -> Iterator[Storage]:
    storage = open_storage(_section(middleware))
    runner.run(storage.open())
    try:
        yield storage
    finally:
        runner.run(storage.aclose())


def _section(middleware: str) -> Mapping[str, Any]:
    layers = [{middleware: PARAMETERS.get(middleware, {})}] if middleware else []
    return {"storage": {"driver": "inmemory", "middleware": layers}}
