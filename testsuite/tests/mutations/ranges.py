"""Broken drivers for the cases of range reads."""

from __future__ import annotations

import dataclasses

from storagedriver_core import (
    ByteStream,
    DriverMiddleware,
    FileReader,
    InvalidOffsetError,
    PathNotFoundError,
    Storage,
    UnavailableError,
    _reader,
)

from ._mutation import Mutation


def reading(change):
    """Give a driver that reads another range than it is asked: what `change(options)` says."""

    class Reads(DriverMiddleware):
        async def open_reader(self, path, options):
            options = dataclasses.replace(options, **change(options))
            return await super().open_reader(path, options)

    return Reads


def refusing(wrong):
    """Give a driver that refuses a range of which `wrong(options, size)` is true."""

    class Refuses(DriverMiddleware):
        async def open_reader(self, path, options):
            if wrong(options, (await super().stat(path)).size):
                raise InvalidOffsetError("416 Range Not Satisfiable")
            return await super().open_reader(path, options)

    return Refuses


def asking(change):
    """Give a sabotage: every reader is asked for what `change(options)` says."""

    def sabotage(monkeypatch):
        async def reader(self, path, *, correct=Storage.reader, **options):
            return await correct(self, path, **{**options, **change(options)})

        monkeypatch.setattr(Storage, "reader", reader)

    return sabotage


class BeyondIsEmpty(DriverMiddleware):
    async def open_reader(self, path, options):
        size = (await super().stat(path)).size
        options = dataclasses.replace(options, offset=min(options.offset, size))
        return await super().open_reader(path, options)


class OneConnection(DriverMiddleware):
    """Only reading to the end gives the connection back."""

    busy = False

    async def open_reader(self, path, options):
        if self.busy:
            raise UnavailableError("no connection is free")
        self.busy = True
        return StreamOnConnection(self, await super().open_reader(path, options))


class StreamOnConnection(ByteStream):
    def __init__(self, driver, stream):
        self.info, self.driver, self.stream = stream.info, driver, stream
        self.left = stream.info.size

    async def next_chunk(self):
        chunk = await self.stream.next_chunk()
        self.left -= len(chunk)
        self.driver.busy = self.left > 0
        return chunk


class NotFoundElsewhere(DriverMiddleware):
    async def open_reader(self, path, options):
        try:
            return await super().open_reader(path, options)
        except PathNotFoundError as error:
            raise PathNotFoundError(path=f"/bucket{path}") from error


def sort_ranges(monkeypatch):
    async def read_ranges(self, path, ranges, correct=Storage.read_ranges):
        return await correct(self, path, sorted(ranges))

    monkeypatch.setattr(Storage, "read_ranges", read_ranges)


def give_chunks_out_of_order(monkeypatch):
    async def next_chunk(self, correct=_reader.ParallelStream.next_chunk):
        self._tasks.rotate()
        return await correct(self)

    monkeypatch.setattr(_reader.ParallelStream, "next_chunk", next_chunk)


def seek_without_reopening(monkeypatch):
    async def seek(self, offset):
        self._position, self._end = offset, self.info.size

    monkeypatch.setattr(FileReader, "seek", seek)


def end_with_the_body(monkeypatch):
    async def next_chunk(self, correct=FileReader._next):
        try:
            return await correct(self)
        except UnavailableError:
            return b""

    monkeypatch.setattr(FileReader, "_next", next_chunk)


MUTATIONS = (
    Mutation(case_id="R01", fault="offset is ignored", wrap=reading(lambda options: {"offset": 0})),
    Mutation(
        case_id="R02",
        fault="length counts one byte more",
        wrap=reading(lambda options: {"length": options.length and options.length + 1}),
    ),
    Mutation(
        case_id="R03",
        fault="the size is beyond the end",
        wrap=refusing(lambda options, size: options.offset == size),
    ),
    Mutation(case_id="R04", fault="beyond the end is empty", wrap=BeyondIsEmpty),
    Mutation(
        case_id="R05",
        fault="a negative offset is 0",
        sabotage=asking(lambda options: {"offset": max(0, options.get("offset", 0))}),
    ),
    Mutation(
        case_id="R06",
        fault="length 0 is refused",
        wrap=refusing(lambda options, size: options.length == 0),
    ),
    Mutation(
        case_id="R07",
        fault="a negative length is 0",
        sabotage=asking(lambda options: {"length": max(0, options.get("length", 2**62))}),
    ),
    Mutation(
        case_id="R08",
        fault="length past the end is refused",
        wrap=refusing(lambda options, size: options.offset + (options.length or 0) > size),
    ),
    Mutation(
        case_id="R09",
        fault="a suffix over the size is refused",
        wrap=refusing(lambda options, size: (options.suffix or 0) > size),
    ),
    Mutation(case_id="R10", fault="ranges are sorted", sabotage=sort_ranges),
    Mutation(case_id="R11", fault="chunks are out of order", sabotage=give_chunks_out_of_order),
    Mutation(case_id="R12", fault="seek only notes the place", sabotage=seek_without_reopening),
    Mutation(case_id="R13", fault="only the end frees a connection", wrap=OneConnection),
    Mutation(case_id="R14", fault="not found names another path", wrap=NotFoundElsewhere),
    Mutation(
        case_id="R15",
        fault="conditions are ignored",
        wrap=reading(lambda options: {"conditions": None}),
    ),
    Mutation(
        case_id="R18",
        fault="ranges of nothing are refused",
        wrap=refusing(lambda options, size: size == 0 and options.length is not None),
    ),
    Mutation(
        case_id="R20",
        fault="later ranges are not pinned",
        wrap=reading(lambda options: {"conditions": None}),
    ),
    Mutation(case_id="R21", fault="a body ends where it ends", sabotage=end_with_the_body),
)
