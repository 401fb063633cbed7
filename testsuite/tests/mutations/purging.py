"""Broken drivers for the cases of purging."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from storagedriver_core import DriverMiddleware, StorageDriver, UploadOptions

from ._mutation import Mutation
from .resume import AbortsNothing


class EveryUploadIsOld(DriverMiddleware):
    async def list_uploads(self):
        begin = datetime.fromtimestamp(0, UTC)
        async for page in super().list_uploads():
            yield [dataclasses.replace(each, started_at=begin, updated_at=begin) for each in page]


class ClockOfThisProcess(DriverMiddleware):
    now = StorageDriver.now


class ListsOnePageOfUploads(DriverMiddleware):
    async def list_uploads(self):
        async for page in super().list_uploads():
            yield page[:1000]
            return


class LosesMetadata(DriverMiddleware):
    async def open_upload(self, path, holder, options):
        return await super().open_upload(path, holder, UploadOptions(part_size=options.part_size))


MUTATIONS = (
    Mutation(case_id="P01", fault="abort does nothing", wrap=AbortsNothing),
    Mutation(case_id="P02", fault="every upload is old", wrap=EveryUploadIsOld),
    Mutation(case_id="P03", fault="the clock is this process's", wrap=ClockOfThisProcess),
    Mutation(
        case_id="P04",
        fault="only the first page of uploads is listed",
        wrap=ListsOnePageOfUploads,
        known_bugs=(16,),
    ),
    Mutation(case_id="P05", fault="metadata is lost", wrap=LosesMetadata),
)
