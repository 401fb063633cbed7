"""Broken drivers for the cases of resources."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

from storagedriver_filesystem.harness import FilesystemHarness

from storagedriver_core import BytesStream, ByteStream, DriverMiddleware, ReadOptions

from ._mutation import Mutation


class WholeObjectInMemory(DriverMiddleware):
    async def open_reader(self, path, options):
        info = await self.driver.stat(path)
        return BytesStream(info, await self.driver.get_content(path), options)


class Chunks(ByteStream):
    def __init__(self, info, chunks):
        self.info = info
        self.chunks = chunks

    async def next_chunk(self):
        return self.chunks.pop(0) if self.chunks else b""


class ReadsAhead(DriverMiddleware):
    async def open_reader(self, path, options):
        chunks = []
        async with await super().open_reader(path, ReadOptions()) as stream:
            while chunk := await stream.next_chunk():
                chunks.append(chunk)
        return Chunks(stream.info, chunks)


class OneThreadForEachWriter(DriverMiddleware):
    async def open(self):
        self.ends = {}
        await super().open()

    async def open_upload(self, path, holder, options):
        self.ends[holder] = threading.Event()
        threading.Thread(target=self.ends[holder].wait, daemon=True).start()
        return await super().open_upload(path, holder, options)

    def release_upload(self, upload):
        if upload.holder in self.ends:
            self.ends.pop(upload.holder).set()
        super().release_upload(upload)


class LooksAtTheDiskInTheLoop(DriverMiddleware):
    async def stat(self, path, conditions=None):
        Path("/").stat()
        return await super().stat(path, conditions)


class KeepsDescriptors(DriverMiddleware):
    async def get_content(self, path):
        os.open("/dev/null", os.O_RDONLY)
        return await super().get_content(path)


class AbortsNothing(DriverMiddleware):
    async def abort_upload(self, upload):
        pass


class ForgetsItsTasks(DriverMiddleware):
    async def get_content(self, path):
        # That nobody keeps it is the fault.
        asyncio.ensure_future(self.driver.get_content("/missing"))  # noqa: RUF006  # the fault
        return await super().get_content(path)


MUTATIONS = (
    Mutation(
        case_id="Q01",
        fault="readers hold the whole object",
        wrap=WholeObjectInMemory,
        harness=FilesystemHarness,
        known_bugs=(17,),
    ),
    Mutation(
        case_id="Q02",
        fault="everything is read ahead",
        wrap=ReadsAhead,
        harness=FilesystemHarness,
    ),
    Mutation(case_id="Q03", fault="each writer has a thread", wrap=OneThreadForEachWriter),
    Mutation(case_id="Q04", fault="the loop waits for the disk", wrap=LooksAtTheDiskInTheLoop),
    Mutation(case_id="Q05", fault="descriptors stay open", wrap=KeepsDescriptors),
    Mutation(case_id="Q06", fault="aborting does nothing", wrap=AbortsNothing),
    Mutation(case_id="Q07", fault="a task fails and nobody sees", wrap=ForgetsItsTasks),
)
