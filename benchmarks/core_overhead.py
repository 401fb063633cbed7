"""What `Storage` costs over the bare inmemory driver, for 1 KiB objects."""

from __future__ import annotations

import asyncio

from storagedriver_inmemory import InMemoryDriver

from benchmarks._measure import Row, alternate, overhead_row
from benchmarks._report import Report, report_of
from storagedriver_core import PutOptions, Storage

CALLS = 20_000
ROUNDS = 7
AIM_MICROSECONDS = 8.0


def run(rounds: int | None = None) -> Report:
    """Measure put and get."""
    rows = _rows(rounds or ROUNDS)
    return report_of("What `Storage` costs", rows, ["storagedriver-core"])


def _rows(rounds: int) -> list[Row]:
    with asyncio.Runner() as runner:
        driver = InMemoryDriver()
        storage = Storage(driver)
        runner.run(storage.open())
        data, options = bytes(1024), PutOptions()

        async def put_through_storage() -> None:
            for _ in range(CALLS):
                await storage.put_content("/benchmark/object", data)

        async def put_on_driver() -> None:
            for _ in range(CALLS):
                await driver.put_content("/benchmark/object", data, options)

        async def get_through_storage() -> None:
            for _ in range(CALLS):
                await storage.get_content("/benchmark/object")

        async def get_on_driver() -> None:
            for _ in range(CALLS):
                await driver.get_content("/benchmark/object")

        rows = []
        for name, ours, bare in (
            ("Storage.put_content 1 KiB", put_through_storage, put_on_driver),
            ("Storage.get_content 1 KiB", get_through_storage, get_on_driver),
        ):
            times = alternate(
                lambda ours=ours: runner.run(ours()),  # type: ignore[misc]  # bound now
                lambda bare=bare: runner.run(bare()),  # type: ignore[misc]  # bound now
                rounds=rounds,
            )
            rows.append(overhead_row(name, CALLS, *times, AIM_MICROSECONDS))
        runner.run(storage.aclose())
    return rows
