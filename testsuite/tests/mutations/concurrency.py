"""Broken drivers for the cases of concurrency."""

from __future__ import annotations

import asyncio
import os

from storagedriver_filesystem.harness import FilesystemHarness
from storagedriver_inmemory.harness import InMemoryHarness

from storagedriver_core import DriverMiddleware, _context, _loop_thread
from storagedriver_core.middleware import limit

from ._mutation import Mutation


class OneStreamForAll(DriverMiddleware):
    stream = None

    async def open_reader(self, path, options):
        self.stream = self.stream or await super().open_reader(path, options)
        return self.stream


class PartsGoToTheLastUpload(DriverMiddleware):
    async def open_upload(self, path, holder, options):
        self.last = await super().open_upload(path, holder, options)
        return self.last

    async def put_part(self, upload, number, offset, data):
        return await super().put_part(self.last, number, offset, data)


class RemembersOnePath(DriverMiddleware):
    async def get_content(self, path):
        self.path = path
        await asyncio.sleep(0)
        return await super().get_content(self.path)


class PutsInTwoSteps(DriverMiddleware):
    async def put_content(self, path, data, options):
        half = len(data) // 2
        await super().put_content(path, data[:half], options)
        await asyncio.sleep(0)
        first = await self.driver.get_content(path)
        return await super().put_content(path, first + data[half:], options)


class KnowsOneProcess(DriverMiddleware):
    async def open(self):
        self.process = os.getpid()
        await super().open()

    async def around(self, operation, path, call):
        if os.getpid() != self.process:
            raise RuntimeError("Event loop is closed")
        return await call()


class LosesTheTurnsOfCancelledCalls(DriverMiddleware):
    async def open(self):
        self.turns = asyncio.Semaphore(8)
        await super().open()

    async def around(self, operation, path, call):
        await self.turns.acquire()
        await asyncio.sleep(0)
        result = await call()
        self.turns.release()
        return result


class ImpatientHarness(InMemoryHarness):
    max_seconds = 1.0


async def wait_for_nothing(line):
    pass


def let_everybody_through(monkeypatch):
    monkeypatch.setattr(limit._Line, "wait", wait_for_nothing)


def count_calls_only(monkeypatch):
    monkeypatch.setattr(limit.LimitMiddleware, "open_reader", DriverMiddleware.open_reader)


def block_a_running_loop(monkeypatch):
    monkeypatch.setattr(_loop_thread.LoopThread, "_refuse_running_loop", lambda thread: None)


def use_from_anywhere(monkeypatch):
    monkeypatch.setattr(_context.Context, "require_open", lambda context: None)


def bound_to_one_loop(driver):
    return DriverMiddleware(driver, narrow={"any_event_loop": False})


MUTATIONS = (
    Mutation(case_id="K01", fault="readers share one position", wrap=OneStreamForAll),
    Mutation(case_id="K02", fault="writers share one upload", wrap=PartsGoToTheLastUpload),
    Mutation(case_id="K03", fault="calls share one variable", wrap=RemembersOnePath),
    Mutation(case_id="K04", fault="puts are done in two steps", wrap=PutsInTwoSteps),
    Mutation(
        case_id="K05",
        fault="puts are done in two steps",
        wrap=PutsInTwoSteps,
        harness=FilesystemHarness,
    ),
    Mutation(case_id="K06", fault="nobody waits", sabotage=let_everybody_through),
    Mutation(case_id="K07", fault="open readers do not count", sabotage=count_calls_only),
    Mutation(case_id="K08", fault="blocks a running loop", sabotage=block_a_running_loop),
    Mutation(
        case_id="K09",
        fault="another loop is not noticed",
        wrap=bound_to_one_loop,
        sabotage=use_from_anywhere,
    ),
    Mutation(
        case_id="K10",
        fault="a fork gets an untyped error",
        wrap=KnowsOneProcess,
        sabotage=use_from_anywhere,
    ),
    Mutation(
        case_id="K11",
        fault="a cancelled call keeps its turn",
        wrap=LosesTheTurnsOfCancelledCalls,
        harness=ImpatientHarness,
    ),
)
