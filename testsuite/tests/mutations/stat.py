"""Broken drivers for the cases of stat."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime

from storagedriver_core import (
    DriverMiddleware,
    FileInfo,
    ListOptions,
    PathNotFoundError,
    parent,
)

from ._mutation import Mutation


def telling(**wrong):
    """Give a driver whose stat is wrong in some fields, where `is_dir` is the given one."""
    of_directories = wrong.pop("of_directories", False)

    class Tells(DriverMiddleware):
        async def stat(self, path, conditions=None):
            info = await super().stat(path, conditions)
            return dataclasses.replace(info, **wrong) if info.is_dir == of_directories else info

    return Tells


class MissingIsDirectory(DriverMiddleware):
    async def stat(self, path, conditions=None):
        try:
            return await super().stat(path, conditions)
        except PathNotFoundError:
            return FileInfo(path, is_dir=True)


class KeepsTheFirstTime(DriverMiddleware):
    async def stat(self, path, conditions=None):
        info = await super().stat(path, conditions)
        self.time = getattr(self, "time", info.mod_time)
        return dataclasses.replace(info, mod_time=self.time)


class OnlyTheNearestParent(DriverMiddleware):
    async def stat(self, path, conditions=None):
        info = await super().stat(path, conditions)
        pages = [page async for page in super().walk("/", ListOptions())]
        if info.is_dir and all(parent(file.path) != path for page in pages for file in page):
            raise PathNotFoundError
        return info


class IgnoresConditions(DriverMiddleware):
    async def stat(self, path, conditions=None):
        return await super().stat(path)


class AlwaysHealthy(DriverMiddleware):
    async def open(self):
        pass

    async def check(self):
        pass


class CountsWhatIsWritten(DriverMiddleware):
    written = 0

    async def put_part(self, upload, number, offset, data):
        part = await super().put_part(upload, number, offset, data)
        self.written = offset + part.size
        return part

    async def stat(self, path, conditions=None):
        info = await super().stat(path, conditions)
        return dataclasses.replace(info, size=max(info.size, self.written))


class FindsByPrefix(DriverMiddleware):
    async def stat(self, path, conditions=None):
        try:
            return await super().stat(path, conditions)
        except PathNotFoundError:
            async for page in super().walk("/", ListOptions()):
                if any(info.path.startswith(path) for info in page):
                    return FileInfo(path, is_dir=True)
            raise


class LooksAtTheFirstOfThePrefix(DriverMiddleware):
    """Lists one name that begins with the path, and asks whether a slash follows."""

    async def stat(self, path, conditions=None):
        info = await super().stat(path, conditions)
        async for page in super().walk("/", ListOptions()):
            names = [file.path for file in page if file.path.startswith(path)]
            if info.is_dir and names and not names[0].startswith(f"{path}/"):
                raise PathNotFoundError
        return info


class TimeOfTheClient(DriverMiddleware):
    async def put_content(self, path, data, options):
        info = await super().put_content(path, data, options)
        self.time = datetime.fromtimestamp(time.time(), UTC)
        return info

    async def stat(self, path, conditions=None):
        return dataclasses.replace(await super().stat(path, conditions), mod_time=self.time)


MUTATIONS = (
    Mutation(case_id="T01", fault="the time is naive", wrap=telling(mod_time=datetime(2026, 1, 1))),
    Mutation(
        case_id="T02",
        fault="a directory has the size of its inode",
        wrap=telling(size=4096, of_directories=True),
    ),
    Mutation(case_id="T03", fault="what is missing is a directory", wrap=MissingIsDirectory),
    Mutation(case_id="T04", fault="the time is that of the first", wrap=KeepsTheFirstTime),
    Mutation(case_id="T05", fault="only nearest parents are there", wrap=OnlyTheNearestParent),
    Mutation(case_id="T06", fault="stat ignores conditions", wrap=IgnoresConditions),
    Mutation(case_id="T07", fault="check looks at nothing", wrap=AlwaysHealthy),
    Mutation(
        case_id="T08",
        fault="bytes count before the commit",
        wrap=CountsWhatIsWritten,
    ),
    Mutation(
        case_id="T09",
        fault="a longer name makes a directory",
        wrap=FindsByPrefix,
        known_bugs=(1,),
    ),
    Mutation(
        case_id="T10",
        fault="the first longer name hides the directory",
        wrap=LooksAtTheFirstOfThePrefix,
        known_bugs=(1,),
    ),
    Mutation(case_id="T11", fault="the time is the client's", wrap=TimeOfTheClient),
)
