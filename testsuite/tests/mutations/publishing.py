"""Broken drivers for the cases of what can be seen when."""

from __future__ import annotations

import dataclasses
from contextlib import suppress

from storagedriver_core import (
    CompleteOptions,
    DriverMiddleware,
    FileWriter,
    PathNotFoundError,
    PutOptions,
    WriterState,
    _commit,
)

from ._mutation import Mutation
from .writers import PublishesParts, TruncatesAtOpen


class LeavesTemporaryFile(DriverMiddleware):
    async def complete_upload(self, upload, parts, options):
        info = await super().complete_upload(upload, parts, options)
        await super().put_content(f"{options.path}.tmp", b"", PutOptions())
        return info


class IgnoresIfAbsent(DriverMiddleware):
    async def complete_upload(self, upload, parts, options):
        options = dataclasses.replace(options, if_absent=False)
        return await super().complete_upload(upload, parts, options)


class DeletesBeforeReplacing(DriverMiddleware):
    async def put_part(self, upload, number, offset, data):
        with suppress(PathNotFoundError):
            await super().delete(upload.path)
        return await super().put_part(upload, number, offset, data)


def commit_on_leaving(monkeypatch):
    async def leave(self, *_):
        await self.commit()

    monkeypatch.setattr(FileWriter, "__aexit__", leave)


def commit_on_collection(monkeypatch):
    def collect(self):
        if self.state is WriterState.OPEN:
            driver, uploader = self._driver, self._uploader
            rest = uploader._next_number, uploader._shipped, uploader._buffer
            run(driver.put_part(uploader.upload, *rest))
            options = CompleteOptions(path=self.path, size=self.offset)
            run(driver.complete_upload(uploader.upload, (), options))
        warn(self)

    def run(call):
        # The inmemory driver never waits.
        with suppress(StopIteration):
            call.send(None)

    warn = FileWriter.__del__
    monkeypatch.setattr(FileWriter, "__del__", collect)


def believe_every_digest(monkeypatch):
    monkeypatch.setattr(_commit.Commit, "_is_unknown", lambda self, digests: False)


MUTATIONS = (
    Mutation(case_id="W31", fault="each part is published", wrap=PublishesParts, known_bugs=(3,)),
    Mutation(
        case_id="W44",
        fault="leaving the block commits, also by an exception",
        sabotage=commit_on_leaving,
        known_bugs=(14,),
    ),
    Mutation(
        case_id="W45",
        fault="garbage collection commits",
        sabotage=commit_on_collection,
        known_bugs=(14,),
    ),
    Mutation(case_id="W46", fault="no digest is compared", sabotage=believe_every_digest),
    Mutation(case_id="W47", fault="every commit replaces", wrap=IgnoresIfAbsent),
    Mutation(
        case_id="W50",
        fault="a temporary file is left",
        wrap=LeavesTemporaryFile,
        known_bugs=(11,),
    ),
    Mutation(
        case_id="W52",
        fault="the object is deleted before it is replaced",
        wrap=DeletesBeforeReplacing,
        known_bugs=(8,),
    ),
    Mutation(
        case_id="W52",
        fault="opening a writer truncates the object",
        wrap=TruncatesAtOpen,
        known_bugs=(10,),
    ),
)
