"""Broken drivers for the cases of moving and copying."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from storagedriver_filesystem.harness import FilesystemHarness

from storagedriver_core import (
    AlreadyExistsError,
    DriverMiddleware,
    ListOptions,
    PathNotFoundError,
    PutOptions,
    StorageDriver,
    StorageDriverError,
    _storage,
    parent,
)

from ._mutation import Mutation


class MovesByCopying(DriverMiddleware):
    async def move(self, source, target, *, if_absent=False):
        await super().copy(source, target, if_absent=if_absent)


class KeepsTheTarget(DriverMiddleware):
    async def move(self, source, target, *, if_absent=False):
        try:
            await super().move(source, target, if_absent=True)
        except AlreadyExistsError:
            await self.delete(source)


class NamesTheTarget(DriverMiddleware):
    """As distribution's inmemory driver: the error is about the wrong path."""

    async def move(self, source, target, *, if_absent=False):
        try:
            await super().move(source, target, if_absent=if_absent)
        except PathNotFoundError as error:
            raise PathNotFoundError(path=target) from error


def check_the_source_only(monkeypatch):
    async def is_transfer(context, source, target, *, if_absent, verb):
        context.check(source)
        return True

    monkeypatch.setattr(_storage, "is_transfer", is_transfer)


def move_onto_itself(monkeypatch):
    async def is_transfer(context, source, target, *, if_absent, verb):
        context.check(source)
        context.check(target)
        return True

    monkeypatch.setattr(_storage, "is_transfer", is_transfer)


class LosesWhatWritersMade(DriverMiddleware):
    def __init__(self, driver):
        super().__init__(driver)
        self.written = set()

    async def complete_upload(self, upload, parts, options):
        self.written.add(options.path)
        return await super().complete_upload(upload, parts, options)

    async def move(self, source, target, *, if_absent=False):
        await super().move(source, target, if_absent=if_absent)
        if source in self.written:
            await self.put_content(target, b"", PutOptions())


class NeedsTheDirectory(DriverMiddleware):
    async def move(self, source, target, *, if_absent=False):
        await self.stat(parent(target))
        await super().move(source, target, if_absent=if_absent)


class ReplacesDirectories(DriverMiddleware):
    async def move(self, source, target, *, if_absent=False):
        try:
            if (await self.stat(target)).is_dir:
                await self.delete(target)
        except PathNotFoundError:
            pass
        await super().move(source, target, if_absent=if_absent)


class IgnoresIfAbsent(DriverMiddleware):
    async def move(self, source, target, *, if_absent=False):
        await super().move(source, target)


class CopiesByMoving(DriverMiddleware):
    async def copy(self, source, target, *, if_absent=False):
        await super().move(source, target, if_absent=if_absent)


class CopiesBytesOnly(DriverMiddleware):
    async def copy(self, source, target, *, if_absent=False):
        await self.put_content(target, await self.get_content(source), PutOptions())


class AbortsNothing(DriverMiddleware):
    async def abort_upload(self, upload):
        pass


class MovesTrees(DriverMiddleware):
    async def move(self, source, target, *, if_absent=False):
        if not (await self.stat(source)).is_dir:
            return await super().move(source, target, if_absent=if_absent)
        async for page in self.walk(source, ListOptions()):
            for each in page:
                await super().move(each.path, target + each.path.removeprefix(source))


def copy_in_one_request(monkeypatch):
    async def needs_parts(context, source):
        return None

    monkeypatch.setattr(_storage, "needs_parts", needs_parts)


class DeletesTheTargetFirst(DriverMiddleware):
    async def move(self, source, target, *, if_absent=False):
        await self.stat(source)
        await self.delete(target)
        await asyncio.sleep(0)
        await super().move(source, target, if_absent=if_absent)


class ShowsEachPart(DriverMiddleware):
    async def copy_part(self, upload, number, offset, source, source_offset, size):
        part = await super().copy_part(upload, number, offset, source, source_offset, size)
        await self.put_content(upload.path, bytes(size), PutOptions())
        return part


class LogsAFailedDelete(DriverMiddleware):
    """As distribution's GCS driver: what a move leaves behind is only logged."""

    async def move(self, source, target, *, if_absent=False):
        await super().copy(source, target, if_absent=if_absent)
        with suppress(StorageDriverError):
            await super().delete(source)


class MovesThroughTheClient(DriverMiddleware):
    async def move(self, source, target, *, if_absent=False):
        await StorageDriver.move(self, source, target, if_absent=if_absent)


MUTATIONS = (
    Mutation(case_id="M01", fault="the source stays", wrap=MovesByCopying),
    Mutation(case_id="M02", fault="a file is not replaced", wrap=KeepsTheTarget),
    Mutation(
        case_id="M03",
        fault="the error names the target",
        wrap=NamesTheTarget,
        known_bugs=(13,),
    ),
    Mutation(case_id="M04", fault="the target is not checked", sabotage=check_the_source_only),
    Mutation(case_id="M05", fault="a writer's object is emptied", wrap=LosesWhatWritersMade),
    Mutation(case_id="M06", fault="a move onto itself is made", sabotage=move_onto_itself),
    Mutation(case_id="M07", fault="the directory has to be there", wrap=NeedsTheDirectory),
    Mutation(case_id="M08", fault="a directory is replaced", wrap=ReplacesDirectories),
    Mutation(case_id="M09", fault="if_absent is ignored", wrap=IgnoresIfAbsent),
    Mutation(case_id="M10", fault="a copy takes the source away", wrap=CopiesByMoving),
    Mutation(case_id="M11", fault="metadata stays behind", wrap=CopiesBytesOnly),
    Mutation(case_id="M12", fault="a stopped copy leaves its upload", wrap=AbortsNothing),
    Mutation(case_id="M14", fault="a directory is moved", wrap=MovesTrees),
    Mutation(case_id="M16", fault="the limit of a copy is ignored", sabotage=copy_in_one_request),
    Mutation(case_id="M17", fault="the target is deleted first", wrap=DeletesTheTargetFirst),
    Mutation(
        case_id="M18",
        fault="a part of the target shows",
        wrap=ShowsEachPart,
        harness=FilesystemHarness,
    ),
    Mutation(
        case_id="M19",
        fault="a failed delete of the source is only logged",
        wrap=LogsAFailedDelete,
        known_bugs=(13,),
    ),
    Mutation(case_id="M20", fault="bytes pass through the client", wrap=MovesThroughTheClient),
)
