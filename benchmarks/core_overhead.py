"""What `Storage` costs over a bare driver, and each middleware over none, for 1 KiB objects."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from storagedriver_inmemory import InMemoryDriver

from benchmarks._measure import Row, alternate, overhead_row
from benchmarks._report import Report, report_of
from servers.cloudfront import CloudFront
from storagedriver_core import (
    DriverMiddleware,
    PutOptions,
    Storage,
    StorageDriverError,
    UnsupportedMethodError,
    load_plugins,
    open_storage,
)

# Short ones, and many: some are over before anything else gets the processor.
CALLS = 100
ROUNDS = 300
AIM_MICROSECONDS = 8.0
# Some look at every byte, or set a timer.
MIDDLEWARE_MICROSECONDS = 25.0
PATH = "/benchmark/object"
DATA = bytes(1024)

Call = Callable[[], Awaitable[object]]
Layer = Mapping[str, Any]

# What may always be on has to cost little.
WATCHING: tuple[Layer, ...] = ({"metrics": {}}, {"tracing": {}})
WATCHING_MICROSECONDS = 15.0


def run(rounds: int | None = None, *, quick: bool = False) -> Report:
    """Measure put and get."""
    with tempfile.TemporaryDirectory(prefix="storagedriver-bench-") as folder:
        layers = measurable(Path(folder))
        rows = [*_rows(rounds or (1 if quick else ROUNDS), 20 if quick else CALLS, layers)]
    report = report_of("What `Storage` and each middleware cost", rows, ["storagedriver-core"])
    left_out = sorted(set(load_plugins().middlewares) - set(layers))
    if not left_out:
        return report
    note = f"Not measured, since they need parameters that are not known: {', '.join(left_out)}."
    return replace(report, notes=[*report.notes, note])


def _rows(rounds: int, calls: int, layers: Mapping[str, Layer]) -> Iterator[Row]:
    options = PutOptions()
    with asyncio.Runner() as runner, _opened(runner) as storage:
        driver = InMemoryDriver()
        runner.run(driver.open())

        def compare(
            title: str, ours: Call, reference: Call, aim: float = MIDDLEWARE_MICROSECONDS
        ) -> Row:
            async def repeat(call: Call) -> None:
                for _ in range(calls):
                    await call()

            times = alternate(
                lambda: runner.run(repeat(ours)),
                lambda: runner.run(repeat(reference)),
                rounds=rounds,
            )
            return overhead_row(title, calls, *times, aim)

        plain_put, plain_get = _calls(storage)
        yield compare(
            "Storage.put_content 1 KiB",
            plain_put,
            lambda: driver.put_content(PATH, DATA, options),
            AIM_MICROSECONDS,
        )
        yield compare(
            "Storage.get_content 1 KiB",
            plain_get,
            lambda: driver.get_content(PATH),
            AIM_MICROSECONDS,
        )
        for name, layer in layers.items():
            with _opened(runner, layer) as wrapped:
                put, get = _calls(wrapped)
                if runner.run(_stores(wrapped)):
                    yield compare(f"put_content 1 KiB through {name}", put, plain_put)
                yield compare(f"get_content 1 KiB through {name}", get, plain_get)
        _sample_nothing()
        with _opened(runner, *WATCHING) as wrapped:
            runner.run(_stores(wrapped))
            title = "1 KiB through metrics and tracing, sampled out"
            put, get = _calls(wrapped)
            yield compare(f"put_content {title}", put, plain_put, WATCHING_MICROSECONDS)
            yield compare(f"get_content {title}", get, plain_get, WATCHING_MICROSECONDS)
        runner.run(driver.aclose())


@functools.cache
def _sample_nothing() -> None:
    """Give this process a tracer provider, once, of which every sampler says no."""
    trace.set_tracer_provider(TracerProvider(sampler=ParentBased(ALWAYS_OFF)))


def measurable(folder: Path) -> dict[str, Layer]:
    """Give all plugins' middlewares, but for those of others that need parameters.

    Args:
        folder: For their files.
    """
    edge = CloudFront(folder)
    # Of those that need some, or would fail calls on purpose.
    parameters = {
        "cache": {"directory": f"{folder}/cache"},
        "chaos": {"rate": 0},
        "cloudfront": {
            "base_url": "https://cdn.example",
            "private_key": str(edge.key_file),
            "key_pair_id": edge.key_pair_id,
        },
        "prefix": {"prefix": "/a/b"},
        "redirect": {"base_url": "https://cdn.example/files"},
    }

    async def try_once(layer: Layer) -> None:
        async with open_storage(_section(layer)) as storage:
            await _stores(storage)
            await storage.get_content(PATH)

    found: dict[str, Layer] = {}
    for name in load_plugins().middlewares:
        layer = {name: parameters.get(name, {})}
        try:
            asyncio.run(try_once(layer))
        except StorageDriverError:
            continue
        found[name] = layer
    return found


async def _stores(storage: Storage) -> bool:
    """Store the object, below all middlewares if one refuses to; say whether none does."""
    try:
        await storage.put_content(PATH, DATA)
    except UnsupportedMethodError:
        driver = storage.driver
        while isinstance(driver, DriverMiddleware):
            driver = driver.driver
        await driver.put_content(PATH, DATA, PutOptions())
        return False
    return True


def _calls(storage: Storage) -> tuple[Call, Call]:
    return lambda: storage.put_content(PATH, DATA), lambda: storage.get_content(PATH)


@contextmanager
def _opened(runner: asyncio.Runner, *layers: Layer) -> Iterator[Storage]:
    storage = open_storage(_section(*layers))
    runner.run(storage.open())
    try:
        yield storage
    finally:
        runner.run(storage.aclose())


def _section(*layers: Layer) -> Mapping[str, Any]:
    return {"storage": {"driver": "inmemory", "middleware": [*layers]}}
