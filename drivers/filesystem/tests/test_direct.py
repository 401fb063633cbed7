"""Large uploads, most of which is written past the kernel's memory."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import mmap
import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from storagedriver_filesystem import _cached, _direct
from storagedriver_filesystem._direct import DirectWriting

from storagedriver_core import CompleteOptions, NoSpaceError, Part, Upload, UploadOptions

if TYPE_CHECKING:
    from storagedriver_filesystem._driver import FilesystemDriver

    from drivers.filesystem.tests.conftest import Opener

KIB, MIB = 2**10, 2**20
BEGIN = _direct._CACHED_BYTES
BLOCK = _direct._BLOCK_BYTES
DATA = random.Random(1).randbytes(3 * MIB + 12_345)


@pytest.fixture
def direct() -> DirectWriting:
    writing = DirectWriting()
    writing.is_wanted = True
    return writing


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Note offset and size of what is written direct."""
    noted: list[tuple[int, int]] = []
    pwrite = os.pwrite

    def note(fd: int, data: memoryview, offset: int) -> int:
        noted.append((offset, len(data)))
        return pwrite(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", note)
    return noted


def split(data: bytes, *sizes: int) -> Sequence[memoryview]:
    pieces, rest = [], memoryview(data)
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    return [*pieces, rest]


def is_in_memory(fd: int, start: int) -> bool:
    """Tell whether most of three mebibytes is, by mincore(2): to read would bring it there."""
    pages = (ctypes.c_ubyte * (3 * MIB // mmap.PAGESIZE))()
    with mmap.mmap(fd, 3 * MIB, offset=start) as mapped:
        first = ctypes.c_char.from_buffer(mapped)
        address = ctypes.c_void_p(ctypes.addressof(first))
        assert ctypes.CDLL(None).mincore(address, ctypes.c_size_t(3 * MIB), pages) == 0
        del first
    return sum(page & 1 for page in pages) > len(pages) / 2


@pytest.mark.parametrize("start", [0, 1, 4095, 4096, 100_001])
@pytest.mark.parametrize("sizes", [(), (1,), (0, 4096, 0, 700_000), (MIB, MIB, MIB)])
def test_bytes_are_where_they_belong(
    direct: DirectWriting, file: int, start: int, sizes: Sequence[int], writes: list[Any]
) -> None:
    offset = BEGIN + start
    assert direct.write(file, offset, split(DATA, *sizes)) == len(DATA)
    assert os.pread(file, len(DATA), offset) == DATA
    assert os.fstat(file).st_size == offset + len(DATA)
    assert {at % BLOCK for at, _ in writes} == {size % BLOCK for _, size in writes} == {0}
    assert sum(size for _, size in writes) > len(DATA) - 2 * BLOCK


@pytest.mark.parametrize("start", [0, 1, 4096])
@pytest.mark.parametrize("first", [0, 1, 8192, 300_000])
@pytest.mark.parametrize("begun", [0, 512])
def test_whole_blocks_of_memory_are_written_from_where_they_are(
    direct: DirectWriting,
    file: int,
    start: int,
    first: int,
    begun: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = memoryview(mmap.mmap(-1, len(DATA) + BLOCK))[begun : begun + len(DATA)]
    whole[:] = DATA
    own = range(address(whole), address(whole) + len(whole))
    copied = []
    pwrite = os.pwrite

    def note(fd: int, data: memoryview, offset: int) -> int:
        if address(data) not in own:
            copied.append(len(data))
        return pwrite(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", note)
    offset = BEGIN + start
    assert direct.write(file, offset, [whole[:first], whole[first:]]) == len(DATA)
    assert os.pread(file, len(DATA), offset) == DATA
    assert not direct._is_refused
    # A file's blocks and memory's have to begin alike. What is copied is a buffer at a time.
    if start % BLOCK == begun % BLOCK == 0:
        assert sum(copied) <= (512 * KIB if first % BLOCK else 0)
    else:
        assert sum(copied) > len(DATA) - 2 * BLOCK


def address(view: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def keeps_all_in_memory(path: Path) -> bool:
    """Tell whether the filesystem does so whatever it is asked, as tmpfs."""
    with mmap.mmap(-1, 3 * MIB) as blocks:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
        except OSError:
            return True
        os.pwrite(fd, blocks, 0)
        os.close(fd)
    with path.open("rb+") as file:
        return is_in_memory(file.fileno(), 0)


def test_what_is_written_is_not_kept_in_memory(
    direct: DirectWriting, file: int, tmp_path: Path
) -> None:
    if keeps_all_in_memory(tmp_path / "other"):
        pytest.skip("the filesystem of the temporary directory keeps all in memory")
    assert direct.write(file, BEGIN + 5, [DATA]) == len(DATA)
    assert not is_in_memory(file, BEGIN)


@pytest.mark.parametrize(("offset", "size"), [(BEGIN - 1, MIB), (BEGIN, 255 * KIB), (BEGIN, 0)])
def test_beginnings_and_little_is_left_to_the_ordinary_way(
    direct: DirectWriting, file: int, offset: int, size: int
) -> None:
    assert direct.write(file, offset, [DATA[:size]]) is None
    assert os.fstat(file).st_size == 0


def test_writes_at_once_that_share_blocks(direct: DirectWriting, file: int) -> None:
    step = 300_001
    starts = list(range(0, len(DATA), step))
    random.Random(2).shuffle(starts)

    def write(start: int) -> int | None:
        return direct.write(file, BEGIN + start, [DATA[start : start + step]])

    with ThreadPoolExecutor(6) as pool:
        sizes = list(pool.map(write, starts))
    assert None in sizes  # the last, which is too short
    last = max(starts)
    os.pwrite(file, DATA[last:], BEGIN + last)
    assert os.pread(file, len(DATA), BEGIN) == DATA
    assert 0 < len(direct._buffers) <= 6


def test_only_so_many_buffers_are_kept(
    direct: DirectWriting, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_direct, "_MOST_KEPT", 1)
    pwrite = os.pwrite

    def write_meanwhile(*args: Any) -> int:
        monkeypatch.setattr(os, "pwrite", pwrite)
        assert direct.write(file, BEGIN + len(DATA), [DATA]) == len(DATA)
        assert len(direct._buffers) == 1
        return pwrite(*args)

    monkeypatch.setattr(os, "pwrite", write_meanwhile)
    assert direct.write(file, BEGIN, [DATA]) == len(DATA)
    assert len(direct._buffers) == 1
    assert os.pread(file, 2 * len(DATA), BEGIN) == DATA + DATA


@pytest.mark.parametrize("kept", [0, 4096, 5000, 512 * KIB - 1])
def test_short_write_goes_on(
    direct: DirectWriting, file: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(fd: int, data: memoryview, offset: int) -> int:
        return os.pwritev(file, [data[:kept]], offset) if kept else 0

    monkeypatch.setattr(os, "pwrite", short)
    assert direct.write(file, BEGIN + 7, [DATA]) == len(DATA)
    assert os.pread(file, len(DATA), BEGIN + 7) == DATA


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EOPNOTSUPP])
@pytest.mark.parametrize("call", ["open", "pwrite"])
def test_who_cannot_is_asked_once(
    direct: DirectWriting, file: int, call: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def refuse(*args: Any) -> int:
        calls.append(args)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, refuse)
    # What has begun is finished, the ordinary way.
    assert direct.write(file, BEGIN + 7, [DATA]) == (len(DATA) if call == "pwrite" else None)
    assert os.pread(file, len(DATA), BEGIN + 7) == (DATA if call == "pwrite" else b"")
    assert direct.write(file, BEGIN, [DATA]) is None
    assert len(calls) == 1


def test_file_that_cannot_be_opened_again_is_written_all_the_same(
    direct: DirectWriting, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(errno.EMFILE, "too many")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert direct.write(file, BEGIN, [DATA]) is None
    assert direct.write(file, BEGIN, [DATA]) == len(DATA)


# Through the driver -------------------------------------------------------------------------------


async def begin(driver: FilesystemDriver) -> tuple[Upload, list[Part]]:
    upload = await driver.open_upload("/large", "one", UploadOptions())
    return upload, [await driver.put_part(upload, 1, 0, [bytes(BEGIN)])]


async def finish(driver: FilesystemDriver, upload: Upload, parts: Sequence[Part]) -> None:
    options = CompleteOptions(path="/large", size=BEGIN + len(DATA))
    await driver.complete_upload(upload, parts, options)
    assert await driver.get_content("/large") == bytes(BEGIN) + DATA


@pytest.mark.parametrize("is_local", [True, False])
def test_uploads_to_local_disks_are_written_so(
    is_local: bool,
    root: Path,
    opened: Opener,
    writes: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = root.stat().st_dev if is_local else None
    monkeypatch.setattr(_cached, "local_device", lambda path: device)

    async def run() -> None:
        async with opened() as driver:
            upload, parts = await begin(driver)
            assert not writes
            parts.append(await driver.put_part(upload, 2, BEGIN, [DATA]))
            assert bool(writes) is is_local
            await finish(driver, upload, parts)

    asyncio.run(run())


@pytest.mark.parametrize("room", [0, 1, 3])
def test_full_disk_is_told_and_what_was_written_goes_on(
    room: int, root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = root.stat().st_dev
    monkeypatch.setattr(_cached, "local_device", lambda path: device)
    pwrite: Callable[..., int] = os.pwrite
    left = room

    def fill(*args: Any) -> int:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, "full")
        left -= 1
        return pwrite(*args)

    async def run() -> None:
        async with opened() as driver:
            upload, parts = await begin(driver)
            with monkeypatch.context() as patch:
                patch.setattr(os, "pwrite", fill)
                with pytest.raises(NoSpaceError):
                    await driver.put_part(upload, 2, BEGIN, [DATA])
            parts.append(await driver.put_part(upload, 2, BEGIN, [DATA]))
            await finish(driver, upload, parts)

    asyncio.run(run())
