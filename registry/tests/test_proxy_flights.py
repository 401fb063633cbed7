"""One question for all who ask the same at the same time."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from storagedriver_registry.proxy.flights import Flights


def test_one_does_the_work_for_all_and_who_leaves_does_not_end_it() -> None:
    async def main() -> None:
        flights: Flights[str, int] = Flights()
        gate = asyncio.Event()
        begun: list[str] = []

        async def work(key: str) -> int:
            begun.append(key)
            await gate.wait()
            return len(begun)

        first, second, third, other = (
            asyncio.create_task(flights.join(key, partial(work, key)))
            for key in ("a", "a", "a", "b")
        )
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        gate.set()
        assert await second == await third == await other == 2
        assert begun == ["a", "b"]
        # What is over is over: the next one asks again.
        assert await flights.join("a", lambda: work("a")) == 3

    asyncio.run(main())


def test_error_is_everybodys_and_of_nobody_is_no_loss() -> None:
    async def main() -> None:
        flights: Flights[str, int] = Flights()
        lost: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))

        async def fail() -> int:
            await asyncio.sleep(0)
            raise ValueError

        both = [flights.join("a", fail) for _ in range(2)]
        results = await asyncio.gather(*both, return_exceptions=True)
        assert [type(one) for one in results] == [ValueError, ValueError]
        leaving = asyncio.create_task(flights.join("b", fail))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait({leaving})
        for _ in range(5):
            await asyncio.sleep(0)
        assert lost == []

    asyncio.run(main())


def test_end_cancels_what_is_under_way() -> None:
    async def main() -> None:
        flights: Flights[str, None] = Flights()
        waiting = asyncio.create_task(flights.join("a", lambda: asyncio.sleep(3600)))
        await asyncio.sleep(0)
        await flights.aclose()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
