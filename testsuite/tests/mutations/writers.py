"""Broken drivers for the cases of one writer."""

from __future__ import annotations

import dataclasses

from storagedriver_core import (
    DriverMiddleware,
    FileInfo,
    FileWriter,
    PathNotFoundError,
    PutOptions,
    UploadNotFoundError,
    UploadState,
    WriterState,
    _parts,
    is_internal,
)

from ._mutation import Mutation


class LosesLastByte(DriverMiddleware):
    async def complete_upload(self, upload, parts, options):
        options = dataclasses.replace(options, size=max(0, options.size - 1))
        return await super().complete_upload(upload, parts, options)


class FifthPartIsZeros(DriverMiddleware):
    async def put_part(self, upload, number, offset, data):
        if number == 5:
            data = [bytes(len(chunk)) for chunk in data]
        return await super().put_part(upload, number, offset, data)


class DropsPartOfOneByte(DriverMiddleware):
    async def complete_upload(self, upload, parts, options):
        if parts and parts[-1].size == 1:
            options = dataclasses.replace(options, size=options.size - 1)
        return await super().complete_upload(upload, parts, options)


class ResumesAtZero(DriverMiddleware):
    resumed_at = 0

    async def upload_state(self, upload, size):
        self.resumed_at = size
        return await super().upload_state(upload, size)

    async def put_part(self, upload, number, offset, data):
        return await super().put_part(upload, number, offset - self.resumed_at, data)


class TailIsZeros(DriverMiddleware):
    async def get_content(self, path):
        data = await super().get_content(path)
        return bytes(len(data)) if is_internal(path) else data


class BeginsWithTheFirstPart(DriverMiddleware):
    async def upload_state(self, upload, size):
        if size == 0:
            raise UploadNotFoundError
        return await super().upload_state(upload, size)


class InventsUploads(DriverMiddleware):
    async def upload_state(self, upload, size):
        try:
            return await super().upload_state(upload, size)
        except UploadNotFoundError:
            return UploadState(size)


class KeepsTheOldEnd(DriverMiddleware):
    async def complete_upload(self, upload, parts, options):
        try:
            old = await super().get_content(options.path)
        except PathNotFoundError:
            old = b""
        info = await super().complete_upload(upload, parts, options)
        if len(old) > info.size:
            new = await super().get_content(options.path)
            await super().put_content(options.path, new + old[info.size :], PutOptions())
        return info


class PublishesParts(DriverMiddleware):
    async def put_part(self, upload, number, offset, data):
        await super().put_content(upload.path, b"".join(data), PutOptions())
        return await super().put_part(upload, number, offset, data)


class LeaksAtAbort(DriverMiddleware):
    async def abort_upload(self, upload):
        await super().abort_upload(upload)
        await super().open_upload(upload.path, "", upload.options)


class TruncatesAtOpen(DriverMiddleware):
    async def open_upload(self, path, holder, options):
        await super().put_content(path, b"", PutOptions())
        return await super().open_upload(path, holder, options)


class EmptyIsNothing(DriverMiddleware):
    async def complete_upload(self, upload, parts, options):
        if options.size == 0:
            await super().abort_upload(upload)
            return FileInfo(options.path)
        return await super().complete_upload(upload, parts, options)


class OneUploadPerPath(DriverMiddleware):
    def __init__(self, driver):
        super().__init__(driver)
        self.uploads = {}

    async def open_upload(self, path, holder, options):
        if path not in self.uploads:
            self.uploads[path] = await super().open_upload(path, holder, options)
        return self.uploads[path]


def count_whole_parts_only(monkeypatch):
    monkeypatch.setattr(FileWriter, "offset", property(lambda self: self._uploader._shipped))


def fill_with_zeros(monkeypatch):
    write = FileWriter.write

    async def fill(self, data, *, offset=None):
        await write(self, bytes((offset or self.offset) - self.offset) + data)

    monkeypatch.setattr(FileWriter, "write", fill)


def append_by_beginning_anew(monkeypatch):
    write = FileWriter.write

    async def begin_anew(self, data, *, offset=None):
        if offset == self.offset:
            self._uploader._buffer = [bytes(offset)]
        await write(self, data, offset=offset)

    monkeypatch.setattr(FileWriter, "write", begin_anew)


def refuse_second_aclose(monkeypatch):
    aclose = FileWriter.aclose

    async def once(self):
        self._require_open("aclose")
        await aclose(self)

    monkeypatch.setattr(FileWriter, "aclose", once)


def ignore_when_over(name):
    """Let a method of a writer that is over do nothing instead of being refused."""

    def sabotage(monkeypatch):
        method = getattr(FileWriter, name)

        async def ignore(self, *args, **kwargs):
            if self.state is WriterState.OPEN:
                return await method(self, *args, **kwargs)

        monkeypatch.setattr(FileWriter, name, ignore)

    return sabotage


def waste_the_last_part(monkeypatch):
    fits = _parts.PartPlan.fits
    monkeypatch.setattr(_parts.PartPlan, "fits", lambda *args: fits(args[0], args[1] + 1, args[2]))


MUTATIONS = (
    Mutation(case_id="W01", fault="the last byte is lost", wrap=LosesLastByte),
    Mutation(case_id="W02", fault="zeros far into the stream", wrap=FifthPartIsZeros),
    Mutation(case_id="W03", fault="a part of one byte is dropped", wrap=DropsPartOfOneByte),
    Mutation(case_id="W04", fault="a resumed upload begins at zero", wrap=ResumesAtZero),
    Mutation(case_id="W05", fault="the tail comes back as zeros", wrap=TailIsZeros),
    Mutation(
        case_id="W06", fault="an upload begins with its first part", wrap=BeginsWithTheFirstPart
    ),
    Mutation(
        case_id="W07", fault="the offset counts whole parts only", sabotage=count_whole_parts_only
    ),
    Mutation(case_id="W08", fault="a gap is filled with zeros", sabotage=fill_with_zeros),
    Mutation(
        case_id="W08",
        fault="what is appended replaces what was there",
        sabotage=append_by_beginning_anew,
        known_bugs=(7,),
    ),
    Mutation(case_id="W09", fault="any upload can be resumed", wrap=InventsUploads),
    Mutation(case_id="W10", fault="the end of a longer object stays", wrap=KeepsTheOldEnd),
    Mutation(case_id="W11", fault="each part is published", wrap=PublishesParts, known_bugs=(3,)),
    Mutation(case_id="W12", fault="a cancelled upload is left behind", wrap=LeaksAtAbort),
    Mutation(
        case_id="W13",
        fault="opening a writer truncates the object",
        wrap=TruncatesAtOpen,
        known_bugs=(10,),
    ),
    Mutation(case_id="W14", fault="a second aclose is refused", sabotage=refuse_second_aclose),
    Mutation(case_id="W15", fault="a second commit passes", sabotage=ignore_when_over("commit")),
    Mutation(
        case_id="W16", fault="a closed writer takes bytes", sabotage=ignore_when_over("write")
    ),
    Mutation(
        case_id="W17", fault="a committed writer takes bytes", sabotage=ignore_when_over("write")
    ),
    Mutation(
        case_id="W18", fault="a cancelled writer takes bytes", sabotage=ignore_when_over("write")
    ),
    Mutation(case_id="W19", fault="a closed writer commits", sabotage=ignore_when_over("commit")),
    Mutation(
        case_id="W20", fault="a cancelled writer commits", sabotage=ignore_when_over("commit")
    ),
    Mutation(case_id="W21", fault="a closed writer cancels", sabotage=ignore_when_over("cancel")),
    Mutation(
        case_id="W22", fault="a committed writer cancels", sabotage=ignore_when_over("cancel")
    ),
    Mutation(case_id="W23", fault="an empty commit stores nothing", wrap=EmptyIsNothing),
    Mutation(case_id="W24", fault="the last part is never used", sabotage=waste_the_last_part),
    Mutation(case_id="W25", fault="writers of one path share an upload", wrap=OneUploadPerPath),
)
