"""What parts an upload is made of: W26, W27, W30, W36 to W39."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from storagedriver_core import (
    Buffer,
    ChecksumMismatchError,
    CompleteOptions,
    DriverMiddleware,
    LimitExceededError,
    Part,
    StorageDriver,
    Upload,
    UploadOptions,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import MAX_PARTS, PART, Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases.writers import pieces, suspended, write_object

TINY_PART = 16


class PartRecorder(DriverMiddleware):
    """Notes the parts that reach the driver.

    Attributes:
        sizes: Bytes of the parts, by number.
    """

    def __init__(self, driver: StorageDriver) -> None:
        super().__init__(driver)
        self.sizes: dict[int, int] = {}

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        """Note one part."""
        self.sizes[number] = sum(len(chunk) for chunk in data)
        return await super().put_part(upload, number, offset, data)


class Swapped(DriverMiddleware):
    """Holds the first part back until the second one is stored."""

    def __init__(self, driver: StorageDriver) -> None:
        super().__init__(driver)
        self._second_is_stored = asyncio.Event()

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        """Store one part in its turn."""
        if number == 1:
            async with asyncio.timeout(10):
                await self._second_is_stored.wait()
        part = await super().put_part(upload, number, offset, data)
        if number == 2:
            self._second_is_stored.set()
        return part


class PartCases(CaseGroup):
    """What parts an upload is made of."""

    @case("W26", needs=("upload", "upload_out_of_order"))
    async def test_parts_put_out_of_order_are_joined_in_order(self, kit: Kit) -> None:
        driver = kit.wrapped_driver()
        await kit.open(driver)
        size = max(PART, driver.capabilities.min_part_size)
        data = kit.random_bytes(2 * size + 100)
        contents = dict(enumerate(pieces(data, size), start=1))
        upload = await driver.open_upload("/a/x", "holder", UploadOptions(part_size=size))
        # The second one twice: what comes later counts.
        await driver.put_part(upload, 2, size, [bytes(size)])
        parts = {
            number: await driver.put_part(upload, number, (number - 1) * size, [contents[number]])
            for number in (3, 1, 2)
        }
        ledger = [parts[number] for number in (1, 2, 3)]
        info = await driver.complete_upload(
            upload,
            ledger if driver.capabilities.keeps_ledger else (),
            CompleteOptions(path="/a/x", size=len(data)),
        )
        driver.release_upload(upload)
        assert info.size == len(data)
        assert await kit.peek("/a/x") == data

    @case("W27", needs=("upload",))
    async def test_parts_in_flight_together_equal_parts_one_by_one(self, kit: Kit) -> None:
        driver = kit.harness.driver()
        if kit.capabilities.upload_out_of_order:
            driver = Swapped(driver)
        together = await kit.open_parts(kit.wrapped_driver(driver))
        one_by_one = await kit.open_parts(upload_out_of_order=False)
        data = kit.random_bytes(together.capabilities.min_part_size * 11 // 2)
        digests = [
            (await write_object(storage, path, data, 100_000)).digests
            for storage, path in ((together, "/a/x"), (one_by_one, "/a/y"))
        ]
        assert digests[0] == digests[1]
        assert await kit.peek("/a/x") == await kit.peek("/a/y") == data

    @case("W30", needs=("upload",))
    async def test_many_writes_of_odd_lengths_equal_one(self, kit: Kit) -> None:
        for storage in (kit.storage, await kit.open_parts()):
            data = kit.random_bytes(5 * PART + 1)
            async with await storage.writer("/a/x") as writer:
                start = 0
                while start < len(data):
                    end = start + kit.random.choice((0, 1, 3, 7, 333, 9973, PART - 1, PART + 1))
                    await writer.write(data[start:end])
                    start = writer.offset
                await writer.commit()
            assert await kit.peek("/a/x") == data

    @case("W36", needs=("upload",))
    async def test_more_than_a_thousand_parts_resume(self, kit: Kit) -> None:
        """A store whose least part is in mebibytes shows this on a fake that takes less."""
        part = max(TINY_PART, kit.capabilities.min_part_size)
        storage = await kit.open(
            narrow={"min_part_size": part, "max_parts": 1200, "equal_parts": True}, part_size=part
        )
        data = kit.random_bytes(1200 * part)
        token = (await suspended(storage, "/a/x", data[: 1100 * part + 1])).to_json()
        writer = await storage.resume(token)
        assert writer.offset == 1100 * part + 1
        # Near the limit, after which nothing fits.
        await writer.write(data[writer.offset : 1200 * part - 1])
        writer = await storage.resume((await writer.suspend()).to_json())
        with pytest.raises(LimitExceededError):
            await writer.write(data[-1:] + b"x")
        await writer.write(data[-1:])
        with pytest.raises(LimitExceededError):
            await writer.write(b"x")
        await writer.commit(size=len(data))
        assert await kit.peek("/a/x") == data

    @case("W37", needs=("upload",))
    async def test_limit_of_parts_is_typed_or_never_met(self, kit: Kit) -> None:
        # Equal parts: everything that fits does, and the first byte that does not is refused.
        storage = await kit.open_parts(equal_parts=True, max_parts=MAX_PARTS)
        part = storage.capabilities.min_part_size
        data = kit.random_bytes(MAX_PARTS * part)
        async with await storage.writer("/a/x") as writer:
            await writer.write(data[:-1])
            with pytest.raises(LimitExceededError):
                await writer.write(data[-1:] + b"x")
            assert writer.offset == len(data) - 1
            await writer.write(data[-1:])
            await writer.commit(size=len(data))
        assert await kit.peek("/a/x") == data
        # A size that is known beforehand makes greater parts.
        async with await storage.writer("/a/x", max_size=len(data) + 1) as writer:
            await writer.write(data + b"x")
            await writer.commit()
        assert await kit.peek("/a/x") == data + b"x"
        if kit.capabilities.equal_parts:
            return
        # Elsewhere parts grow until the greatest object fits in them.
        watched = PartRecorder(kit.harness.driver())
        narrow = {"max_parts": 3, "max_object_size": 6 * part}
        storage = await kit.open_parts(kit.wrapped_driver(watched), **narrow)
        async with await storage.writer("/a/x") as writer:
            for piece in pieces(data[: 6 * part], 50_000):
                await writer.write(piece)
            with pytest.raises(LimitExceededError):
                await writer.write(b"x")
            await writer.commit()
        assert await kit.peek("/a/x") == data[: 6 * part]
        assert max(watched.sizes) <= 3
        with pytest.raises(LimitExceededError):
            await storage.writer("/a/x", max_size=6 * part + 1)

    @case("W38", needs=("upload",))
    async def test_every_part_but_the_last_has_the_same_size(self, kit: Kit) -> None:
        sizes = await self._parts_of_an_interrupted_upload(kit, equal_parts=True)
        assert len(sizes) == 7
        assert len(set(sizes[:-1])) == 1
        assert sizes[-1] <= sizes[0]

    @case("W39", needs=("upload",))
    async def test_no_part_but_the_last_is_under_the_least_size(self, kit: Kit) -> None:
        sizes = await self._parts_of_an_interrupted_upload(kit)
        assert min(sizes[:-1]) >= max(PART, kit.capabilities.min_part_size)

    async def _parts_of_an_interrupted_upload(self, kit: Kit, **narrow: Any) -> list[int]:
        """Suspend and fail in the middle of parts; give the sizes of all parts in order."""
        watched = PartRecorder(kit.harness.driver())
        least = max(PART, kit.capabilities.min_part_size)
        part = 2 * least
        storage = await kit.open(
            kit.wrapped_driver(watched), narrow={"min_part_size": least, **narrow}, part_size=part
        )
        data = kit.random_bytes(part * 13 // 2)
        ends = [part // 4, part * 7 // 4, part * 3, part * 3 + 1, part * 5 - 1, len(data)]
        token = await suspended(storage, "/a/x", b"")
        for end in ends:
            writer = await storage.resume(token)
            await writer.write(data[writer.offset : end - 100])
            with pytest.raises(ChecksumMismatchError):
                await writer.commit(digest=f"sha256:{'0' * 64}")
            await writer.write(data[writer.offset : end])
            token = await writer.suspend()
            # While it is suspended, what is in no part is somewhere else.
            assert bool(token.tail) == (sum(part.size for part in token.parts) < end)
        writer = await storage.resume(token)
        await writer.commit(size=len(data))
        assert await kit.peek("/a/x") == data
        numbers = sorted(watched.sizes)
        assert numbers == list(range(1, len(numbers) + 1))
        sizes = [watched.sizes[number] for number in numbers]
        assert sum(sizes) == len(data)
        return sizes
