"""Broken drivers for the cases of faults."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from storagedriver_filesystem.harness import FilesystemHarness
from storagedriver_inmemory.harness import InMemoryHarness

from storagedriver_core import (
    ConfigurationError,
    DriverMiddleware,
    FileInfo,
    NoSpaceError,
    PathNotFoundError,
)
from storagedriver_core.middleware import _attempts, retry

from ._mutation import Mutation


class AppendsRepeatedParts(DriverMiddleware):
    async def open(self):
        self.ends = {}
        await super().open()

    async def put_part(self, upload, number, offset, data):
        end = self.ends.get(upload.upload_id, 0)
        self.ends[upload.upload_id] = end + sum(map(len, data))
        return await super().put_part(upload, number, end, data)


class LosesTheUploadWhenCancelled(DriverMiddleware):
    async def open_upload(self, path, holder, options):
        upload = await super().open_upload(path, holder, options)
        await asyncio.sleep(0)
        return upload


class SwallowsWriteErrors(DriverMiddleware):
    async def put_content(self, path, data, options):
        try:
            return await super().put_content(path, data, options)
        except NoSpaceError:
            return FileInfo(path, size=len(data))


class RemovedStoreIsEmpty(DriverMiddleware):
    async def around(self, operation, path, call):
        try:
            return await call()
        except ConfigurationError:
            raise PathNotFoundError from None


class DeletesBeforeItCommits(DriverMiddleware):
    async def complete_upload(self, upload, parts, options):
        with suppress(PathNotFoundError):
            await self.delete(options.path)
        return await super().complete_upload(upload, parts, options)


class NeverSyncs(DriverMiddleware):
    def __init__(self, driver):
        super().__init__(driver)
        self.process = os.getpid()

    async def open(self):
        if os.getpid() != self.process:
            os.fsync = os.fdatasync = lambda fd: None
        await super().open()


class ImpatientHarness(InMemoryHarness):
    max_seconds = 1.0


def retry_for_ever(monkeypatch):
    monkeypatch.setattr(_attempts.Attempts, "_is_over", lambda attempts, delay: False)


def send_what_is_left_of_the_body(monkeypatch):
    async def put_part(middleware, upload, number, offset, data):
        body = iter(data)
        return await middleware.around(
            "put_part",
            upload.path,
            lambda: middleware.driver.put_part(upload, number, offset, list(body)),
        )

    monkeypatch.setattr(retry.RetryMiddleware, "put_part", put_part)


MUTATIONS = (
    Mutation(
        case_id="F04",
        fault="a repeated part is appended",
        wrap=AppendsRepeatedParts,
        known_bugs=(9,),
    ),
    Mutation(
        case_id="F05",
        fault="a cancelled opening leaves an upload",
        wrap=LosesTheUploadWhenCancelled,
    ),
    Mutation(
        case_id="F06",
        fault="retries never end",
        sabotage=retry_for_ever,
        harness=ImpatientHarness,
    ),
    Mutation(
        case_id="F07",
        fault="a consumed body is sent again",
        sabotage=send_what_is_left_of_the_body,
        known_bugs=(6,),
    ),
    Mutation(
        case_id="F08",
        fault="errors of writing are swallowed",
        wrap=SwallowsWriteErrors,
        known_bugs=(19,),
    ),
    Mutation(case_id="F09", fault="a removed store looks empty", wrap=RemovedStoreIsEmpty),
    Mutation(
        case_id="F10",
        fault="the old object goes before the new one comes",
        wrap=DeletesBeforeItCommits,
        harness=FilesystemHarness,
    ),
    Mutation(
        case_id="F11",
        fault="nothing is synced",
        wrap=NeverSyncs,
        harness=FilesystemHarness,
    ),
)
