"""Range reads: R01 to R21."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from storagedriver_core import (
    ByteStream,
    ClosedError,
    ConflictError,
    DriverMiddleware,
    InvalidOffsetError,
    PathNotFoundError,
    ReadOptions,
    Storage,
    StorageDriver,
    StorageDriverError,
    UnavailableError,
    byte_range,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import PART, Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._support import Disturbed, Recorder, conditions_of
from storagedriver_testsuite.proxy import Fault

DIGITS = b"0123456789"


class RangeCases(CaseGroup):
    """Readers, offsets, lengths and conditions."""

    @case("R01", needs=("get_range",))
    async def test_offset_reads_to_the_end(self, kit: Kit) -> None:
        data = kit.random_bytes(200_000)
        await kit.seed("/a", data)
        for offset in [0, 1, 4096, 65_535, 65_536, 199_999]:
            assert await _read(kit, offset=offset) == data[offset:]

    @case("R02", needs=("get_range",))
    async def test_offset_and_length_read_the_middle(self, kit: Kit) -> None:
        data = kit.random_bytes(200_000)
        await kit.seed("/a", data)
        for offset, length in [(0, 1), (0, 200_000), (1, 1), (100, 70_000), (65_535, 2)]:
            assert await _read(kit, offset=offset, length=length) == data[offset : offset + length]

    @case("R03", needs=("get_range",))
    async def test_at_the_size_there_is_nothing(self, kit: Kit) -> None:
        await kit.seed("/a", DIGITS)
        assert await _read(kit, offset=10) == b""
        assert await _read(kit, offset=10, length=5) == b""
        assert await _read(kit, offset=9) == b"9"

    @case("R04", needs=("get_range",))
    async def test_offset_beyond_the_size_is_refused(self, kit: Kit) -> None:
        await kit.seed("/a", DIGITS)
        for options in [{"offset": 11}, {"offset": 1000, "length": 0}, {"offset": 11, "length": 5}]:
            with pytest.raises(InvalidOffsetError) as refused:
                await _read(kit, **options)
            assert (refused.value.path, refused.value.offset) == ("/a", options["offset"])

    @case("R05", needs=("get_range",))
    async def test_negative_offset_is_refused_before_any_request(self, kit: Kit) -> None:
        await kit.seed("/a", DIGITS)
        recorder = Recorder(kit.wrapped_driver())
        storage = await kit.open(recorder)
        for offset in [-1, -10, -1000]:
            with pytest.raises(InvalidOffsetError) as refused:
                await storage.reader("/a", offset=offset)
            assert (refused.value.path, refused.value.offset) == ("/a", offset)
        with pytest.raises(InvalidOffsetError):
            await storage.reader("/a", suffix=-1)
        assert recorder.calls == []

    @case("R06", needs=("get_range",))
    async def test_length_zero_is_empty(self, kit: Kit) -> None:
        await kit.seed("/a", DIGITS)
        for offset in [0, 5, 10]:
            assert await _read(kit, offset=offset, length=0) == b""

    @case("R07", needs=("get_range",))
    async def test_negative_length_means_to_the_end(self, kit: Kit) -> None:
        await kit.seed("/a", DIGITS)
        assert await _read(kit, length=-1) == DIGITS
        assert await _read(kit, offset=4, length=-1) == b"456789"
        assert await _read(kit, offset=4, length=-7) == b"456789"

    @case("R08", needs=("get_range",))
    async def test_length_past_the_end_is_cut(self, kit: Kit) -> None:
        await kit.seed("/a", DIGITS)
        assert await _read(kit, length=11) == DIGITS
        assert await _read(kit, offset=7, length=4) == b"789"
        assert await _read(kit, offset=9, length=2**40) == b"9"

    @case("R09", needs=("get_range",))
    async def test_suffix_gives_the_last_bytes(self, kit: Kit) -> None:
        await kit.seed("/a", DIGITS)
        for suffix, expected in [(1, b"9"), (4, b"6789"), (10, DIGITS), (11, DIGITS), (0, b"")]:
            assert await _read(kit, suffix=suffix) == expected
        async with await kit.storage.reader("/a", suffix=3) as reader:
            assert reader.position == 7
            assert reader.info.size == 10

    @case("R10", needs=("get_range",))
    async def test_ranges_come_in_the_order_asked(self, kit: Kit) -> None:
        await kit.seed("/a", DIGITS)
        ranges = [(5, 3), (0, 2), (4, 4), (9, 100), (3, 0), (10, 1), (0, 2), (0, 10)]
        expected = [b"567", b"01", b"4567", b"9", b"", b"", b"01", DIGITS]
        assert await kit.storage.read_ranges("/a", ranges) == expected
        assert await kit.storage.read_ranges("/a", []) == []
        with pytest.raises(InvalidOffsetError):
            await kit.storage.read_ranges("/a", [(0, 1), (11, 1)])

    @case("R11", needs=("get_range", "get_with_conditions"))
    async def test_several_requests_at_once_give_what_one_gives(self, kit: Kit) -> None:
        data = kit.random_bytes(50_000)
        await kit.seed("/a", data)
        for chunk_size in [1000, 1024, 49_999, 50_000, 50_001]:
            for concurrency in [2, 5]:
                how = {"chunk_size": chunk_size, "concurrency": concurrency}
                assert await _read(kit, **how) == data
                assert await _read(kit, offset=777, **how) == data[777:]
                assert await _read(kit, offset=500, length=2100, **how) == data[500:2600]
                assert await _read(kit, suffix=2500, **how) == data[-2500:]
                assert await _read(kit, offset=50_000, **how) == b""
        with pytest.raises(InvalidOffsetError):
            await _read(kit, offset=50_001, concurrency=2)
        with pytest.raises(PathNotFoundError):
            await kit.storage.reader("/missing", concurrency=2)

    @case("R12", needs=("get_range",))
    async def test_reader_goes_on_from_where_it_was_set(self, kit: Kit) -> None:
        data = kit.random_bytes(200_000)
        await kit.seed("/a", data)
        async with await kit.storage.reader("/a", offset=100, length=50) as reader:
            assert await reader.read(10) == data[100:110]
            for offset, size in [(0, 1000), (150_000, 20), (100, 70_000), (199_999, 5), (5, 0)]:
                await reader.seek(offset)
                assert reader.position == offset
                assert await reader.read(size) == data[offset : offset + size]
            for wrong in [-1, 200_001]:
                with pytest.raises(InvalidOffsetError):
                    await reader.seek(wrong)
            assert await reader.read() == data[5:]
            await reader.seek(200_000)
            assert await reader.read() == b""

    @case("R13")
    async def test_reader_closed_half_way_disturbs_nothing(self, kit: Kit) -> None:
        data = kit.random_bytes(300_000)
        await kit.seed("/a", data)
        for number in range(20):
            reader = await kit.storage.reader("/a")
            assert await reader.read(number) == data[:number]
            await reader.aclose()
            await reader.aclose()
            with pytest.raises(ClosedError):
                await reader.read(1)
        async with await kit.storage.reader("/a") as reader:
            async for chunk in reader:
                assert chunk == data[: len(chunk)]
                break
        assert await kit.storage.get_content("/a") == data
        await kit.storage.put_content("/a", b"new")
        assert await _read(kit) == b"new"

    @case("R14")
    async def test_what_is_not_there_is_not_found(self, kit: Kit) -> None:
        storage = kit.storage
        await kit.seed("/d/x", b"")
        for path in ["/missing", "/d/missing", "/d/x2/y", "/d"]:
            attempts: list[Callable[[str], Awaitable[object]]] = [
                storage.get_content,
                storage.reader,
            ]
            if storage.capabilities.get_range:
                attempts.append(lambda path: storage.read_ranges(path, [(0, 1)]))
                attempts.append(lambda path: storage.reader(path, offset=1))
            for attempt in attempts:
                with pytest.raises(PathNotFoundError) as refused:
                    await attempt(path)
                assert refused.value.path == path
                assert refused.value.driver_name == storage.driver_name
                assert isinstance(refused.value, FileNotFoundError)

    @case("R15", needs=("get_with_conditions",))
    async def test_read_whose_conditions_do_not_hold_is_a_conflict(self, kit: Kit) -> None:
        old = await kit.storage.put_content("/a", b"old")
        await kit.storage.put_content("/a", DIGITS)
        assert old.etag is not None
        holding, failing = conditions_of(await kit.storage.stat("/a"), old.etag)
        for conditions in holding:
            assert await _read(kit, conditions=conditions) == DIGITS
            if kit.storage.capabilities.get_range:
                assert await _read(kit, offset=8, conditions=conditions) == b"89"
        for conditions in failing:
            with pytest.raises(ConflictError):
                await kit.storage.reader("/a", conditions=conditions)
        with pytest.raises(PathNotFoundError):
            await kit.storage.reader("/missing", conditions=holding[0])

    @case("R18", needs=("get_range",))
    async def test_every_range_of_an_empty_object_is_empty(self, kit: Kit) -> None:
        await kit.seed("/a", b"")
        ranges: list[dict[str, int]] = [
            *({"offset": 0, "length": length} for length in [-1, 0, 1, 1000]),
            *({"suffix": suffix} for suffix in [0, 1, 1000]),
            {},
        ]
        if kit.storage.capabilities.get_with_conditions:
            ranges += [{"concurrency": 2, **each} for each in ranges]
        for each in ranges:
            assert await _read(kit, **each) == b""
        assert await kit.storage.read_ranges("/a", [(0, 0), (0, 5)]) == [b"", b""]
        for length in [-1, 0, 1]:
            with pytest.raises(InvalidOffsetError):
                await _read(kit, offset=1, length=length)

    @case("R20", needs=("get_range", "get_with_conditions"))
    async def test_ranges_of_one_read_are_of_one_version(self, kit: Kit) -> None:
        old, new = b"o" * (8 * PART), b"n" * (8 * PART)
        opened = 0

        async def replace_before_the_third(
            operation: str, path: str, call: Callable[[], Awaitable[Any]]
        ) -> Any:
            nonlocal opened
            opened += operation == "open_reader"
            if opened == 3:
                await kit.seed("/a", new)
            return await call()

        disturbed = Disturbed(kit.harness.driver(), replace_before_the_third)
        storage = await kit.open(kit.wrapped_driver(disturbed))
        for read in [_read_in_chunks, _read_ranges, _read_with_seeks]:
            await kit.seed("/a", old)
            opened = 0
            try:
                data = await read(storage)
            except StorageDriverError:
                pass
            else:
                assert data == old, "the ranges are of two versions"
            assert opened >= 3

    @case("R21")
    async def test_body_that_ends_early_is_an_error(self, kit: Kit) -> None:
        data = kit.random_bytes(100_000)
        await kit.seed("/a", data)
        for missing in [1, 50_000, 100_000]:
            storage = await kit.open(Truncated(kit.wrapped_driver(), missing))
            with pytest.raises(UnavailableError) as refused:
                await storage.get_content("/a")
            assert refused.value.temporary
            async with await storage.reader("/a") as reader:
                with pytest.raises(UnavailableError):
                    await reader.read()
            async with await storage.reader("/a") as reader:
                with pytest.raises(UnavailableError):
                    async for _ in reader:
                        pass
            if storage.capabilities.get_range:
                with pytest.raises(UnavailableError):
                    await storage.read_ranges("/a", [(0, 100_000)])
            if storage.capabilities.get_range and storage.capabilities.get_with_conditions:
                with pytest.raises(UnavailableError):
                    await _read_in_chunks(storage)
        if kit.harness.offers("proxied_driver"):
            await self._check_broken_connection(kit, len(data))

    @staticmethod
    async def _check_broken_connection(kit: Kit, size: int) -> None:
        proxy = await kit.proxy()
        storage = await kit.open(kit.harness.proxied_driver(proxy.url))
        for left in [size - 1, size // 2, 0]:
            async with proxy.faults(Fault(action="truncate", size=left, times=None)):
                with pytest.raises(UnavailableError) as refused:
                    await storage.get_content("/a")
                assert refused.value.temporary
                with pytest.raises(UnavailableError):
                    async with await storage.reader("/a") as reader:
                        await reader.read()
                if kit.capabilities.get_range and left < size // 2:
                    with pytest.raises(UnavailableError):
                        await storage.read_ranges("/a", [(1, size - 1)])


class Truncated(DriverMiddleware):
    """Its bodies end some bytes early, as when a connection is closed."""

    def __init__(self, driver: StorageDriver, missing: int) -> None:
        super().__init__(driver)
        self._missing = missing

    async def get_content(self, path: str) -> bytes:
        """Read by the stream, as drivers without a better way do."""
        return await StorageDriver.get_content(self, path)

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        """Open what ends early."""
        stream = await super().open_reader(path, options)
        start, end = byte_range(stream.info.size, options)
        return TruncatedStream(stream, max(0, end - start - self._missing))


class TruncatedStream(ByteStream):
    """Gives the first `size` bytes of another stream."""

    def __init__(self, stream: ByteStream, size: int) -> None:
        self.info = stream.info
        self._stream = stream
        self._left = size

    async def next_chunk(self) -> bytes:
        chunk = (await self._stream.next_chunk())[: self._left]
        self._left -= len(chunk)
        return chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _read(kit: Kit, **options: Any) -> bytes:
    async with await kit.storage.reader("/a", **options) as reader:
        return await reader.read()


async def _read_in_chunks(storage: Storage) -> bytes:
    async with await storage.reader("/a", concurrency=2, chunk_size=PART) as reader:
        return await reader.read()


async def _read_ranges(storage: Storage) -> bytes:
    size = (await storage.stat("/a")).size
    return b"".join(
        await storage.read_ranges("/a", [(offset, PART) for offset in range(0, size, PART)])
    )


async def _read_with_seeks(storage: Storage) -> bytes:
    async with await storage.reader("/a") as reader:
        data = await reader.read(PART)
        for offset in [PART, 2 * PART]:
            await reader.seek(offset)
            data += await reader.read(PART)
        return data + await reader.read()
