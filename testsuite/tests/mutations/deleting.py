"""Broken drivers for the cases of deleting."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import unquote

from storagedriver_core import (
    DeleteReport,
    DriverMiddleware,
    ListOptions,
    PathNotFoundError,
    PutOptions,
    Storage,
    child_prefix,
)

from ._mutation import Mutation


class OnlyHides(DriverMiddleware):
    """What is deleted cannot be read any more, but is still there."""

    def __init__(self, driver):
        super().__init__(driver)
        self.hidden = set()

    async def delete(self, path):
        await self.stat(path)
        self.hidden.add(path)

    async def stat(self, path, conditions=None):
        if path in self.hidden:
            raise PathNotFoundError
        return await super().stat(path, conditions)

    async def get_content(self, path):
        await self.stat(path)
        return await super().get_content(path)


class MissingIsFine(DriverMiddleware):
    async def delete(self, path):
        with suppress(PathNotFoundError):
            await super().delete(path)


class DeletesOneLevel(DriverMiddleware):
    async def delete(self, path):
        if not (await self.stat(path)).is_dir:
            return await super().delete(path)
        async for page in super().list(path, ListOptions()):
            for each in page:
                if not each.is_dir:
                    await super().delete(each.path)


class DeletesByPrefix(DriverMiddleware):
    async def delete(self, path):
        await self.stat(path)
        async for page in super().walk("/", ListOptions()):
            for each in page:
                if each.path.startswith(path):
                    await super().delete(each.path)


class DeletesOnePage(DriverMiddleware):
    async def delete(self, path):
        if not (await self.stat(path)).is_dir:
            return await super().delete(path)
        async for page in super().walk(path, ListOptions()):
            await self.delete_many([each.path for each in page])
            return


class StopsAtTheFirstMissing(DriverMiddleware):
    async def delete_many(self, paths):
        for path in paths:
            await self.delete(path)
        return DeleteReport(deleted=tuple(paths))


class DeletesTheFileFirst(DriverMiddleware):
    """Where a file and a directory share the name, only the file goes."""

    async def delete(self, path):
        if path == "/" or (await self.stat(path)).is_dir:
            return await super().delete(path)
        kept = {}
        with suppress(PathNotFoundError):
            async for page in super().walk(path, ListOptions()):
                for each in page:
                    kept[each.path] = await super().get_content(each.path)
        await super().delete(path)
        for below, data in kept.items():
            await super().put_content(below, data, PutOptions())


class UnquotesPaths(DriverMiddleware):
    async def delete(self, path):
        await super().delete(unquote(path))


def always_delete_trees(monkeypatch):
    delete = Storage.delete

    async def recursive_delete(self, path, **options):
        await delete(self, path, **{**options, "recursive": True})

    monkeypatch.setattr(Storage, "delete", recursive_delete)


def always_delete_everything(monkeypatch):
    delete = Storage.delete

    async def unguarded_delete(self, path, **options):
        await delete(self, path, **{**options, "everything": True})

    monkeypatch.setattr(Storage, "delete", unguarded_delete)


class HidesFailures(DriverMiddleware):
    async def delete_many(self, paths):
        report = await super().delete_many(paths)
        return DeleteReport((*report.deleted, *report.failed), report.missing)


class BusyWhileRead(DriverMiddleware):
    """As Windows: what is open cannot be deleted, and the error is the system's own."""

    def __init__(self, driver):
        super().__init__(driver)
        self.busy = set()

    async def open_reader(self, path, options):
        self.busy.add(path)
        return await super().open_reader(path, options)

    async def delete(self, path):
        if path in self.busy:
            raise PermissionError(13, "used by another process", path)
        await super().delete(path)


class AbortsUploadsBelow(DriverMiddleware):
    async def delete(self, path):
        await super().delete(path)
        async for page in self.list_uploads():
            for each in page:
                if each.upload.path.startswith(child_prefix(path)):
                    await self.abort_upload(each.upload)


MUTATIONS = (
    Mutation(case_id="D01", fault="the object is only hidden", wrap=OnlyHides),
    Mutation(case_id="D02", fault="nothing is deleted with success", wrap=MissingIsFine),
    Mutation(case_id="D03", fault="one level is deleted", wrap=DeletesOneLevel),
    Mutation(case_id="D04", fault="a directory is a prefix", wrap=DeletesByPrefix),
    Mutation(case_id="D05", fault="one page is deleted", wrap=DeletesOnePage),
    Mutation(case_id="D06", fault="a missing path stops the others", wrap=StopsAtTheFirstMissing),
    Mutation(case_id="D07", fault="the directory of a name stays", wrap=DeletesTheFileFirst),
    Mutation(case_id="D08", fault="names are unquoted", wrap=UnquotesPaths),
    Mutation(case_id="D09", fault="every delete is recursive", sabotage=always_delete_trees),
    Mutation(case_id="D10", fault="the root is not guarded", sabotage=always_delete_everything),
    Mutation(case_id="D11", fault="failures are counted as deleted", wrap=HidesFailures),
    Mutation(case_id="D12", fault="an open file is busy", wrap=BusyWhileRead),
    Mutation(case_id="D13", fault="uploads below go, too", wrap=AbortsUploadsBelow),
)
