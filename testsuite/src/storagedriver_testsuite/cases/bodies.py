"""Content round trip: C08 to C13 and C22 to C24, what can be put and what is refused."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from storagedriver_core import (
    Body,
    Buffer,
    ChecksumMismatchError,
    Storage,
    UnsupportedMethodError,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import PART, Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._support import Recorder, names


class SourceError(Exception):
    """What the source of a body raises."""


class BodyCases(CaseGroup):
    """Bodies of every kind, whole or not at all."""

    @case("C08")
    async def test_body_shorter_than_announced_stores_nothing(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        for data in _some_content(kit, storage):
            await _assert_stores_nothing(kit, storage, _bodies(data), size=len(data) + 1)

    @case("C09")
    async def test_body_longer_than_announced_stores_nothing(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        for data in _some_content(kit, storage):
            await _assert_stores_nothing(kit, storage, _bodies(data), size=len(data) - 1)

    @case("C10")
    async def test_source_that_raises_stores_nothing(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        for data in _some_content(kit, storage):
            bodies = _bodies(data, end=_raise)[1:]
            await _assert_stores_nothing(kit, storage, bodies, error=SourceError)

    @case("C11")
    async def test_body_of_unknown_size_is_taken(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        small, *large = _some_content(kit, storage)
        await storage.put_content("/a", _asynchronously(small))
        assert await kit.peek("/a") == small
        for data in large:
            await storage.put_content("/a", _asynchronously(data))
            assert await kit.peek("/a") == data
        if not large:
            too_large = kit.random_bytes(2 * storage.capabilities.min_part_size)
            with pytest.raises(UnsupportedMethodError):
                await storage.put_content("/a", _asynchronously(too_large))

    @case("C12")
    async def test_pieces_of_any_kind_are_joined_in_order(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        for data in _some_content(kit, storage):
            view = memoryview(data)
            cuts = sorted(kit.random.sample(range(len(data)), 5))
            edges = list(zip([0, *cuts], [*cuts, len(data)], strict=True))
            pieces: list[Buffer] = [view[start:end] for start, end in edges]
            pieces[1::3] = [bytearray(piece) for piece in pieces[1::3]]
            pieces[2::3] = [bytes(piece) for piece in pieces[2::3]]
            await storage.put_content("/pieces", iter([b"", *pieces, b""]))
            assert await kit.peek("/pieces") == data
            if storage.capabilities.upload:
                async with await storage.writer("/written") as writer:
                    for piece in pieces:
                        await writer.write(piece)
                    await writer.commit()
                assert await kit.peek("/written") == data
            # Every other byte, and items of four bytes: no memory that a system call takes.
            strided, wide = view[::2], memoryview(data[: len(data) // 4 * 4]).cast("I")
            for odd in [strided, wide]:
                digest = f"sha256:{hashlib.sha256(odd.tobytes()).hexdigest()}"
                bodies: list[Body] = [odd, iter([odd])]
                for body in bodies:
                    await storage.put_content("/odd", body, size=odd.nbytes, digest=digest)
                    assert await kit.peek("/odd") == odd.tobytes()

    @case("C13")
    async def test_wrong_digest_stores_nothing(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        for data in _some_content(kit, storage):
            for algorithm in ["sha256", "sha512"]:
                right = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
                wrong = f"{algorithm}:{hashlib.new(algorithm, data + b'.').hexdigest()}"
                for body in _bodies(data):
                    await storage.put_content("/right", body(), digest=right)
                    assert await kit.peek("/right") == data
                    await storage.delete("/right")
                await _assert_stores_nothing(kit, storage, _bodies(data), digest=wrong)

    @case("C22")
    async def test_bodies_are_bytes_files_and_iterators_of_bytes(self, kit: Kit) -> None:
        recorder = Recorder(kit.wrapped_driver())
        storage = await kit.open(recorder)
        kinds: list[Callable[[], Body]] = [
            *_bodies(b"content"),
            lambda: bytearray(b"content"),
            lambda: memoryview(b"content"),
        ]
        for body in kinds:
            await storage.put_content("/a", body())
            assert await kit.peek("/a") == b"content"
            await storage.delete("/a")
        recorder.calls.clear()
        wrong: list[Any] = [None, 7, "text", {"key": b"value"}, object(), io.StringIO("text")]
        wrong += [
            iter(["text"]),
            iter([b"begun", None, b"end"]),
            iter([7]),
            _wrong_asynchronously(),
        ]
        for refused in wrong:
            with pytest.raises(TypeError):
                await storage.put_content("/a", refused)
        assert recorder.calls == []
        if storage.capabilities.upload:
            async with await storage.writer("/a") as writer:
                for refused in wrong:
                    with pytest.raises(TypeError):
                        await writer.write(refused)
                assert writer.offset == 0
        assert await names(storage.list("/")) == []

    @case("C23", needs=("upload",))
    async def test_sizes_around_one_put_are_all_the_same_to_the_caller(self, kit: Kit) -> None:
        part = max(PART, kit.capabilities.min_part_size)
        storage = await kit.open_parts(max_put_size=part)
        for size in [part - 1, part, part + 1, 2 * part - 1, 2 * part, 2 * part + 1]:
            data = kit.random_bytes(size)
            for body in _bodies(data):
                info = await storage.put_content("/a", body())
                assert info.size == size
                assert await kit.peek("/a") == data

    @case("C24")
    async def test_buffer_may_be_changed_after_the_call(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        for data in _some_content(kit, storage):
            buffer = bytearray(data)
            await storage.put_content("/a", buffer)
            buffer[:] = bytes(len(data))
            assert await storage.get_content("/a") == data
            assert await kit.peek("/a") == data
            await storage.put_content("/a", _in_one_buffer(data))
            assert await kit.peek("/a") == data
            if storage.capabilities.upload:
                async with await storage.writer("/a") as writer:
                    for piece in _in_one_buffer(data):
                        await writer.write(piece)
                    await writer.commit()
                assert await kit.peek("/a") == data


def _some_content(kit: Kit, storage: Storage) -> list[bytes]:
    """Give content for one put and, with uploads, some for parts."""
    part = storage.capabilities.min_part_size
    sizes = [1000, 2 * part + 1, 3 * part] if storage.capabilities.upload else [1000]
    return [kit.random_bytes(size) for size in sizes]


def _bodies(data: bytes, end: Callable[[], None] = lambda: None) -> list[Callable[[], Body]]:
    """Give makers of every kind of body; those that are read call `end` after the last byte."""
    return [
        lambda: data,
        lambda: _synchronously(data, end),
        lambda: _asynchronously(data, end),
        lambda: _File(data, end),
    ]


def _raise() -> None:
    raise SourceError


def _synchronously(data: bytes, end: Callable[[], None] = lambda: None) -> Iterator[bytes]:
    for start in range(0, len(data), PART // 4):
        yield data[start : start + PART // 4]
    end()


async def _asynchronously(
    data: bytes, end: Callable[[], None] = lambda: None
) -> AsyncIterator[bytes]:
    for chunk in _synchronously(data, end):
        yield chunk


class _File(io.BytesIO):
    def __init__(self, data: bytes, end: Callable[[], None]) -> None:
        super().__init__(data)
        self._end = end

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            self._end()
        return data


async def _wrong_asynchronously() -> AsyncIterator[str]:
    yield "text"


def _in_one_buffer(data: bytes) -> Iterator[bytearray]:
    """Give the chunks of `data`, each one in the same buffer."""
    buffer = bytearray(5000)
    for start in range(0, len(data), 5000):
        buffer[:] = data[start : start + 5000]
        yield buffer


async def _assert_stores_nothing(
    kit: Kit,
    storage: Storage,
    bodies: list[Callable[[], Body]],
    error: type[Exception] = ChecksumMismatchError,
    **options: Any,
) -> None:
    """Each of the bodies is refused, and what was there stays."""
    await kit.seed("/old", b"old")
    for body in bodies:
        for path in ["/old", "/new"]:
            with pytest.raises(error):
                await storage.put_content(path, body(), **options)
        assert await kit.peek("/old") == b"old"
        assert await names(storage.walk("/")) == ["/old"]
    assert await kit.harness.raw_uploads() == []
