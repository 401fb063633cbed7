"""Broken drivers for the cases of tokens and resumption."""

from __future__ import annotations

import dataclasses

from storagedriver_core import (
    DriverMiddleware,
    FileWriter,
    InvalidOffsetError,
    UploadNotFoundError,
    UploadToken,
    _token,
    _uploader,
    _uploads,
)

from ._mutation import Mutation


class KnowsItsOwnSessionsOnly(DriverMiddleware):
    def __init__(self, driver):
        super().__init__(driver)
        self.sessions = set()

    async def open_upload(self, path, holder, options):
        upload = await super().open_upload(path, holder, options)
        self.sessions.add(upload.upload_id)
        return upload

    async def upload_state(self, upload, size):
        if upload.upload_id not in self.sessions:
            raise UploadNotFoundError
        return await super().upload_state(upload, size)


class EachPartIsANewBlock(DriverMiddleware):
    """Adds a part that comes again, and what an earlier process has left, as more bytes."""

    held = 0

    async def upload_state(self, upload, size):
        async for page in super().list_uploads():
            for info in page:
                if info.upload.upload_id == upload.upload_id:
                    self.held = info.size - size
        return await super().upload_state(upload, size)

    async def put_part(self, upload, number, offset, data):
        return await super().put_part(upload, number, offset + self.held, data)


class ForgetsWhatItCompleted(DriverMiddleware):
    async def upload_state(self, upload, size):
        state = await super().upload_state(upload, size)
        if state.completed is not None:
            raise UploadNotFoundError
        return state


class AbortsNothing(DriverMiddleware):
    async def abort_upload(self, upload):
        pass


class EveryHolderIsTheSame(DriverMiddleware):
    async def open_upload(self, path, holder, options):
        return await super().open_upload(path, "one", options)

    async def upload_state(self, upload, size):
        return await super().upload_state(self.known(upload), size)

    async def put_part(self, upload, number, offset, data):
        return await super().put_part(self.known(upload), number, offset, data)

    async def complete_upload(self, upload, parts, options):
        return await super().complete_upload(self.known(upload), parts, options)

    def known(self, upload):
        return dataclasses.replace(upload, holder="one")


class FirstUploadOfThePath(DriverMiddleware):
    async def upload_state(self, upload, size):
        return await super().upload_state(await self.first(upload), size)

    async def put_part(self, upload, number, offset, data):
        return await super().put_part(await self.first(upload), number, offset, data)

    async def complete_upload(self, upload, parts, options):
        return await super().complete_upload(await self.first(upload), parts, options)

    async def first(self, upload):
        async for page in super().list_uploads():
            for info in page:
                if info.upload.path == upload.path:
                    return dataclasses.replace(info.upload, holder=upload.holder)
        return upload


def show_tokens(monkeypatch):
    monkeypatch.setattr(UploadToken, "__repr__", UploadToken.to_json)


def keep_the_tail_of_the_token(monkeypatch):
    def enter_only(self, part):
        tail = self.durable.tail
        enter(self, part)
        self.durable = dataclasses.replace(self.durable, tail=tail)

    enter = _uploader.PartUploader._enter
    monkeypatch.setattr(_uploader.PartUploader, "_enter", enter_only)


def name_the_accepted_offset(monkeypatch):
    write = FileWriter.write

    async def rename(self, data, *, offset=None):
        try:
            await write(self, data, offset=offset)
        except InvalidOffsetError as error:
            error.durable_offset = self.offset
            raise

    monkeypatch.setattr(FileWriter, "write", rename)


def read_any_version(monkeypatch):
    def read(cls, document):
        return original({**document, "v": _token.VERSION})

    original = UploadToken._from_document
    monkeypatch.setattr(UploadToken, "_from_document", classmethod(read))


def forget_digest_states(monkeypatch):
    monkeypatch.setattr(_uploads, "_restored_hashers", lambda token: {})


MUTATIONS = (
    Mutation(case_id="W32", fault="a token shows in its repr", sabotage=show_tokens),
    Mutation(
        case_id="W33",
        fault="a token names a tail that has become a part",
        sabotage=keep_the_tail_of_the_token,
    ),
    Mutation(
        case_id="W34",
        fault="sessions are known to their process only",
        wrap=KnowsItsOwnSessionsOnly,
        known_bugs=(6,),
    ),
    Mutation(
        case_id="W34",
        fault="what comes again is another block",
        wrap=EachPartIsANewBlock,
        known_bugs=(15,),
    ),
    Mutation(
        case_id="W35", fault="a commit that was done is not found", wrap=ForgetsWhatItCompleted
    ),
    Mutation(case_id="W40", fault="abort does nothing", wrap=AbortsNothing),
    Mutation(case_id="W41", fault="writers of one token are one", wrap=EveryHolderIsTheSame),
    Mutation(
        case_id="W42",
        fault="the accepted offset passes for the durable one",
        sabotage=name_the_accepted_offset,
    ),
    Mutation(case_id="W43", fault="any version is read", sabotage=read_any_version),
    Mutation(case_id="W49", fault="digests are not in the token", sabotage=forget_digest_states),
    Mutation(
        case_id="W51",
        fault="the first upload of the path is resumed",
        wrap=FirstUploadOfThePath,
        known_bugs=(4,),
    ),
)
