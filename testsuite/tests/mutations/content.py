"""Broken drivers for the cases of content."""

from __future__ import annotations

import asyncio
import dataclasses

from storagedriver_core import (
    ByteStream,
    ConflictError,
    DriverMiddleware,
    PathNotFoundError,
    ReadOptions,
    _body,
    _putting,
    _storage,
)

from ._mutation import Mutation


def putting(change):
    """Give a driver that stores something else than it was given."""

    class Puts(DriverMiddleware):
        async def put_content(self, path, data, options):
            return await super().put_content(path, change(bytes(data)), options)

    return Puts


def ignoring(**options):
    """Give a driver that does not look at some options of a put."""

    class Ignores(DriverMiddleware):
        async def put_content(self, path, data, given):
            return await super().put_content(path, data, dataclasses.replace(given, **options))

    return Ignores


class EmptyIsNothing(DriverMiddleware):
    async def put_content(self, path, data, options):
        info = await super().put_content(path, data, options)
        if not data:
            await super().delete(path)
        return info


class OverwritesInPlace(DriverMiddleware):
    async def put_content(self, path, data, options):
        try:
            old = await super().get_content(path)
        except PathNotFoundError:
            old = b""
        return await super().put_content(path, bytes(data) + old[len(data) :], options)


class FirstSizeStays(DriverMiddleware):
    async def stat(self, path, conditions=None):
        info = await super().stat(path, conditions)
        self.size = getattr(self, "size", info.size)
        return dataclasses.replace(info, size=self.size)


class DigestOfTheFirst(DriverMiddleware):
    async def checksum(self, path, algorithm):
        self.known = getattr(self, "known", {})
        if algorithm not in self.known:
            self.known[algorithm] = await super().checksum(path, algorithm)
        return self.known[algorithm]


class ChecksThenActs(DriverMiddleware):
    async def put_content(self, path, data, options):
        if options.if_match is not None and (await super().stat(path)).etag != options.if_match:
            raise ConflictError
        await asyncio.sleep(0)
        return await super().put_content(path, data, dataclasses.replace(options, if_match=None))


class EtagOfItsOwn(DriverMiddleware):
    async def put_content(self, path, data, options):
        info = await super().put_content(path, data, options)
        return dataclasses.replace(info, etag=f"put-{info.etag}")


class RemembersContent(DriverMiddleware):
    async def get_content(self, path):
        self.known = getattr(self, "known", {})
        if path not in self.known:
            self.known[path] = await super().get_content(path)
        return self.known[path]


class DeletesThenWrites(DriverMiddleware):
    """Its readers fetch a range at a time of whatever is there."""

    async def put_content(self, path, data, options):
        await super().delete(path)
        return await super().put_content(path, data, options)

    async def open_reader(self, path, options):
        return FollowsThePath(self.driver, path, await super().stat(path))


class FollowsThePath(ByteStream):
    def __init__(self, driver, path, info):
        self.info, self.driver, self.path, self.position = info, driver, path, 0

    async def next_chunk(self):
        options = ReadOptions(offset=self.position, length=65536)
        async with await self.driver.open_reader(self.path, options) as stream:
            chunk = await stream.next_chunk()
        self.position += len(chunk)
        return chunk


class KeepsTheBuffer(DriverMiddleware):
    async def put_content(self, path, data, options):
        self.kept = {**getattr(self, "kept", {}), path: data}
        return await super().put_content(path, data, options)

    async def get_content(self, path):
        return bytes(self.kept[path])


class ForgetsTheLastPart(DriverMiddleware):
    async def complete_upload(self, upload, parts, options):
        size = options.size - parts[-1].size
        return await super().complete_upload(
            upload, parts[:-1], dataclasses.replace(options, size=size)
        )


def in_storage(change):
    """Give a sabotage: `change(data, options)` gives what every put takes instead."""

    def sabotage(monkeypatch):
        def changed(correct):
            def put(context, path, data, options, **checks):
                data, checks = change(data, checks)
                return correct(context, path, data, options, **checks)

            return put

        for name in ["put_buffer", "put_stream"]:
            monkeypatch.setattr(_storage, name, changed(getattr(_storage, name)))

    return sabotage


def cut_at_announced_size(data, checks):
    return (data[: checks["size"]] if isinstance(data, bytes) else data), checks


def swallow_errors_of_the_source(monkeypatch):
    async def iterate(data, executor, correct=_putting.iterate_body):
        try:
            async for chunk in correct(data, executor):
                yield chunk
        except Exception:
            return

    monkeypatch.setattr(_putting, "iterate_body", iterate)


def take_one_chunk(monkeypatch):
    async def iterate(data, executor, correct=_putting.iterate_body):
        async for chunk in correct(data, executor):
            yield chunk
            return

    monkeypatch.setattr(_putting, "iterate_body", iterate)


def take_memory_as_it_is(monkeypatch):
    monkeypatch.setattr(_putting, "flat", lambda data: data)


def encode_text(monkeypatch):
    def check(chunk, correct=_body._checked):
        # Not the "" that a text file gives at its end, again and again.
        return chunk.encode() if isinstance(chunk, str) and chunk else correct(chunk)

    monkeypatch.setattr(_body, "_checked", check)


MUTATIONS = (
    Mutation(case_id="C01", fault="a line end is added", wrap=putting(lambda data: data + b"\n")),
    Mutation(
        case_id="C02",
        fault="content is text",
        wrap=putting(lambda data: data.decode(errors="replace").encode()),
    ),
    Mutation(case_id="C03", fault="empty content is nothing", wrap=EmptyIsNothing),
    Mutation(
        case_id="C04",
        fault="a megabyte is the most",
        wrap=putting(lambda data: data[:1_000_000]),
    ),
    Mutation(case_id="C05", fault="overwrites in place", wrap=OverwritesInPlace),
    Mutation(case_id="C06", fault="stat keeps the first size", wrap=FirstSizeStays),
    Mutation(
        case_id="C07",
        fault="content is ASCII",
        wrap=putting(lambda data: data.decode().encode("ascii", "ignore")),
    ),
    Mutation(
        case_id="C08",
        fault="the announced size is not checked",
        sabotage=in_storage(lambda data, checks: (data, {**checks, "size": None})),
    ),
    Mutation(
        case_id="C09",
        fault="longer content is cut",
        sabotage=in_storage(cut_at_announced_size),
    ),
    Mutation(
        case_id="C10",
        fault="an error of the source is its end",
        sabotage=swallow_errors_of_the_source,
    ),
    Mutation(case_id="C11", fault="one chunk is taken", sabotage=take_one_chunk),
    Mutation(case_id="C12", fault="any memory is taken as it is", sabotage=take_memory_as_it_is),
    Mutation(
        case_id="C13",
        fault="the digest is not checked",
        sabotage=in_storage(lambda data, checks: (data, {**checks, "digest": None})),
    ),
    Mutation(case_id="C14", fault="the digest is that of the first", wrap=DigestOfTheFirst),
    Mutation(case_id="C15", fault="metadata is dropped", wrap=ignoring(metadata={})),
    Mutation(case_id="C16", fault="if_absent is ignored", wrap=ignoring(if_absent=False)),
    Mutation(case_id="C17", fault="if_match is ignored", wrap=ignoring(if_match=None)),
    Mutation(case_id="C18", fault="checks the etag, then writes", wrap=ChecksThenActs),
    Mutation(case_id="C19", fault="a put returns an etag of its own", wrap=EtagOfItsOwn),
    Mutation(case_id="C20", fault="each instance remembers", wrap=RemembersContent),
    Mutation(
        case_id="C21",
        fault="replaces by delete and write; readers follow the path",
        wrap=DeletesThenWrites,
        known_bugs=(8,),
    ),
    Mutation(case_id="C22", fault="text is encoded", sabotage=encode_text),
    Mutation(case_id="C23", fault="the last part is left out", wrap=ForgetsTheLastPart),
    Mutation(case_id="C24", fault="the caller's buffer is kept", wrap=KeepsTheBuffer),
)
