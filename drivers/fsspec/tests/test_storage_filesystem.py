"""`storagedriver://`: fsspec's own tests on it, and what they do not ask."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import pickle
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
import pandas
import pytest
from fsspec.tests.abstract import AbstractFixtures
from fsspec.tests.abstract.copy import AbstractCopyTests
from fsspec.tests.abstract.get import AbstractGetTests
from fsspec.tests.abstract.open import AbstractOpenTests
from fsspec.tests.abstract.pipe import AbstractPipeTests
from fsspec.tests.abstract.put import AbstractPutTests
from storagedriver_fsspec.storage_filesystem import StorageFileSystem

from servers.seaweedfs import SeaweedFS
from storagedriver_core import (
    ConfigurationError,
    ConflictError,
    Storage,
    UnavailableError,
    open_storage,
)

MIB = 1 << 20

LINGERING = {
    "test_put_directory_to_existing_directory",
    "test_put_directory_to_new_directory",
    "test_put_glob_to_existing_directory",
    "test_copy_directory_to_existing_directory",
    "test_copy_directory_to_new_directory",
    "test_copy_glob_to_existing_directory",
}
LINGERS = "on SeaweedFS a directory is listed after all below it is deleted"


def in_memory(*middleware: object) -> Mapping[str, Any]:
    return {"storage": {"driver": "inmemory", "middleware": list(middleware)}}


@pytest.fixture
def fs() -> StorageFileSystem:
    return StorageFileSystem(in_memory(), skip_instance_cache=True)


class _AsOfFsspec(AbstractFixtures):  # type: ignore[misc]  # fsspec has no types
    @pytest.fixture
    def fs_path(self) -> str:
        return f"/{secrets.token_hex(8)}"

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class _InMemory(_AsOfFsspec):
    @pytest.fixture
    def fs(self) -> StorageFileSystem:
        return StorageFileSystem(in_memory(), skip_instance_cache=True)


@pytest.fixture(scope="module")
def s3_config(seaweedfs: SeaweedFS) -> Mapping[str, Any]:
    # A module of tests is begun more than once where its classes are shared out to processes.
    bucket = f"fsspec-{secrets.token_hex(4)}"
    seaweedfs.create_bucket(bucket)
    parameters = {
        "bucket": bucket,
        "preset": "seaweedfs",
        "endpoint": seaweedfs.url,
        "access_key": seaweedfs.access_key,
        "secret_key": seaweedfs.secret_key,
        "region": seaweedfs.region,
    }
    return {"storage": {"driver": "s3", "parameters": parameters}}


@pytest.fixture(scope="module")
def on_s3(s3_config: Mapping[str, Any]) -> StorageFileSystem:
    return StorageFileSystem(s3_config, skip_instance_cache=True)


class _OnS3(_AsOfFsspec):
    @pytest.fixture
    def fs(self, on_s3: StorageFileSystem, request: pytest.FixtureRequest) -> StorageFileSystem:
        if request.node.originalname in LINGERING:
            request.applymarker(pytest.mark.xfail(strict=True, reason=LINGERS))
        return on_s3


class TestCopyInMemory(_InMemory, AbstractCopyTests):  # type: ignore[misc]  # fsspec has no types
    """fsspec's tests of `copy`."""


class TestGetInMemory(_InMemory, AbstractGetTests):  # type: ignore[misc]  # fsspec has no types
    """fsspec's tests of `get`."""


class TestPutInMemory(_InMemory, AbstractPutTests):  # type: ignore[misc]  # fsspec has no types
    """fsspec's tests of `put`."""


class TestOpenInMemory(_InMemory, AbstractOpenTests):  # type: ignore[misc]  # fsspec has no types
    """fsspec's tests of `open`."""


class TestPipeInMemory(_InMemory, AbstractPipeTests):  # type: ignore[misc]  # fsspec has no types
    """fsspec's tests of `pipe`."""


class TestCopyOnS3(_OnS3, AbstractCopyTests):  # type: ignore[misc]  # fsspec has no types
    """fsspec's tests of `copy`."""


class TestGetOnS3(_OnS3, AbstractGetTests):  # type: ignore[misc]  # fsspec has no types
    """fsspec's tests of `get`."""


class TestPutOnS3(_OnS3, AbstractPutTests):  # type: ignore[misc]  # fsspec has no types
    """fsspec's tests of `put`."""


class TestOpenOnS3(_OnS3, AbstractOpenTests):  # type: ignore[misc]  # fsspec has no types
    """fsspec's tests of `open`."""


class TestPipeOnS3(_OnS3, AbstractPipeTests):  # type: ignore[misc]  # fsspec has no types
    """fsspec's tests of `pipe`."""


def test_pandas_writes_and_reads_parquet_on_a_disk(tmp_path: Path) -> None:
    parameters = {"root_directory": str(tmp_path / "data")}
    _write_and_read_parquet(
        tmp_path, {"storage": {"driver": "filesystem", "parameters": parameters}}
    )
    assert (tmp_path / "data/tables/one.parquet").is_file()


def test_pandas_writes_and_reads_parquet_on_s3(
    tmp_path: Path, s3_config: Mapping[str, Any], on_s3: StorageFileSystem
) -> None:
    _write_and_read_parquet(tmp_path, s3_config)
    assert on_s3.isfile("/tables/one.parquet")
    on_s3.rm("/tables/one.parquet")


def _write_and_read_parquet(folder: Path, storage: Mapping[str, Any]) -> None:
    config = folder / "storage.yml"
    config.write_text(json.dumps(storage))
    table = pandas.DataFrame({"number": range(5000), "text": ["x" * 40] * 5000})
    options = {"config": str(config)}
    table.to_parquet("storagedriver://tables/one.parquet", storage_options=options)
    back = pandas.read_parquet("storagedriver://tables/one.parquet", storage_options=options)
    pandas.testing.assert_frame_equal(back, table)


@pytest.mark.parametrize("size", [10, 6 * MIB])
def test_left_by_an_exception_nothing_shows(fs: StorageFileSystem, size: int) -> None:
    with pytest.raises(RuntimeError), fs.open("/a/b", "wb", block_size=MIB) as file:
        file.write(b"x" * size)
        raise RuntimeError
    assert not fs.exists("/a/b")
    assert not _uploads(fs)


@pytest.mark.parametrize("size", [10, 6 * MIB])
def test_left_by_an_exception_nothing_shows_through_fsspec_open(size: int, tmp_path: Path) -> None:
    config = _on_disk(tmp_path)
    with (
        pytest.raises(RuntimeError),
        fsspec.open("storagedriver:///a", "wb", config=config, block_size=MIB) as file,
    ):
        file.write(b"x" * size)
        raise RuntimeError
    assert not fsspec.filesystem("storagedriver", config=config).exists("/a")


def test_left_by_an_exception_nothing_shows_through_text(tmp_path: Path) -> None:
    config = _on_disk(tmp_path)
    with (
        pytest.raises(RuntimeError),
        fsspec.open("storagedriver:///a", "wt", config=config) as file,
    ):
        file.write("half of it")
        raise RuntimeError
    assert not fsspec.filesystem("storagedriver", config=config).exists("/a")


def test_a_table_that_cannot_be_written_does_not_show(tmp_path: Path) -> None:
    config = _on_disk(tmp_path)
    table = pandas.DataFrame({"mixed": [1, "two", object()]})
    with pytest.raises(Exception, match=r"object|convert|expected"):
        table.to_parquet("storagedriver://t.parquet", storage_options={"config": config})
    assert not fsspec.filesystem("storagedriver", config=config).exists("/t.parquet")


def test_a_close_by_hand_in_an_except_publishes(fs: StorageFileSystem) -> None:
    file = fs.open("/a", "wb")
    file.write(b"kept")
    try:
        raise KeyError
    except KeyError:
        file.close()
    assert fs.cat("/a") == b"kept"


def test_a_file_written_while_an_error_is_handled_shows(fs: StorageFileSystem) -> None:
    try:
        raise KeyError
    except KeyError:
        with fsspec.core.OpenFile(fs, "/a", "wb") as file:
            file.write(b"the report of the error")
    assert fs.cat("/a") == b"the report of the error"


def test_a_with_that_ends_well_while_an_error_is_handled_publishes(fs: StorageFileSystem) -> None:
    file = fs.open("/a", "wb")
    try:
        raise KeyError
    except KeyError:
        with file:
            file.write(b"instead")
    assert fs.cat("/a") == b"instead"


def test_a_file_that_is_never_closed_does_not_show(fs: StorageFileSystem) -> None:
    file = fs.open("/a", "wb", block_size=MIB)
    file.write(b"x" * 3 * MIB)
    with pytest.warns(ResourceWarning, match="/a was never closed"):
        del file
        gc.collect()
    assert not fs.exists("/a")


def test_a_transaction_publishes_at_its_end_or_never(fs: StorageFileSystem) -> None:
    with fs.transaction:
        with fs.open("/kept", "wb") as file:
            file.write(b"1")
        assert not fs.exists("/kept")
    assert fs.cat("/kept") == b"1"
    with pytest.raises(RuntimeError), fs.transaction:
        with fs.open("/lost", "wb") as file:
            file.write(b"1")
        raise RuntimeError
    assert not fs.exists("/lost")
    assert not _uploads(fs)


def test_a_file_in_blocks_is_written_whole(fs: StorageFileSystem) -> None:
    content = secrets.token_bytes(7 * MIB + 1)
    with fs.open("/a", "wb", block_size=MIB) as file:
        for start in range(0, len(content), 300_000):
            file.write(content[start : start + 300_000])
        assert file.tell() == len(content)
        assert not fs.exists("/a")
    assert fs.cat("/a") == content
    with fs.open("/a", "rb", block_size=MIB) as file:
        file.seek(-5, io.SEEK_END)
        assert file.read() == content[-5:]


def test_appending_keeps_what_was_there(fs: StorageFileSystem) -> None:
    for text in (b"one", b"two"):
        with fs.open("/a", "ab") as file:
            before = file.tell()
            file.write(text)
            assert file.tell() == before + 3
    assert fs.cat("/a") == b"onetwo"


def test_appending_to_what_cannot_be_read_leaves_no_upload(
    fs: StorageFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.pipe("/a", b"one")

    async def failing(*_: object, **__: object) -> None:
        raise UnavailableError("the connection was lost")

    monkeypatch.setattr(_storage(fs), "reader", failing)
    with pytest.raises(UnavailableError), fs.open("/a", "ab") as file:
        file.write(b"two")
    assert fs.cat("/a") == b"one"
    assert not _uploads(fs)


@pytest.mark.parametrize("size", [1, 3 * MIB])
def test_of_two_exclusive_writers_only_one_wins(fs: StorageFileSystem, size: int) -> None:
    first, second = (fs.open("/a", "xb", block_size=MIB) for _ in range(2))
    first.write(b"1" * size)
    second.write(b"2" * size)
    first.close()
    with pytest.raises(FileExistsError):
        second.close()
    assert fs.cat("/a") == b"1" * size
    assert not _uploads(fs)


def test_a_file_replaced_while_it_is_read_is_an_error(fs: StorageFileSystem) -> None:
    fs.pipe("/a", b"1" * 3 * MIB)
    with fs.open("/a", "rb", block_size=MIB) as file:
        assert file.read(10) == b"1" * 10
        fs.pipe("/a", b"2" * 3 * MIB)
        file.seek(2 * MIB + MIB // 2)
        with pytest.raises(ConflictError):
            file.read(10)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (2, 5, b"234"),
        (-3, None, b"789"),
        (None, -7, b"012"),
        (4, None, b"456789"),
        (5, 5, b""),
        (-100, 2, b"01"),
        (8, 100, b"89"),
    ],
)
def test_ranges_are_those_of_slices(
    fs: StorageFileSystem, start: int | None, end: int | None, expected: bytes
) -> None:
    fs.pipe("/a", b"0123456789")
    assert fs.cat_file("/a", start=start, end=end) == expected == b"0123456789"[start:end]


@pytest.mark.parametrize("options", [{}, {"size": 0}])
def test_a_directory_is_no_empty_file(fs: StorageFileSystem, options: dict[str, int]) -> None:
    fs.pipe("/a/b", b"data")
    with pytest.raises(FileNotFoundError, match="a directory is not a file"):
        fs.open("/a", **options)


def test_lists_tell_sizes_and_times(fs: StorageFileSystem) -> None:
    fs.pipe({"/d/one": b"1", "/d/two": b"22", "/d/e/three": b"333"})
    assert fs.ls("/d", detail=False) == ["/d/e", "/d/one", "/d/two"]
    assert fs.find("/") == ["/d/e/three", "/d/one", "/d/two"]
    assert fs.find("/d/one") == ["/d/one"]
    assert fs.find("/none") == []
    assert fs.find("/d", maxdepth=1) == ["/d/one", "/d/two"]
    assert fs.du("/") == 6
    assert fs.isdir("/d")
    assert not fs.isdir("/d/one")
    assert fs.ls("/d/one")[0]["size"] == 1
    assert fs.modified("/d/one").tzinfo is not None
    assert fs.glob("/d/**/t*") == ["/d/e/three", "/d/two"]
    with pytest.raises(FileNotFoundError):
        fs.ls("/none")


def test_moving_and_deleting(fs: StorageFileSystem) -> None:
    fs.pipe({"/d/one": b"1", "/d/two": b"22"})
    fs.mv("/d/one", "/e/one")
    assert fs.find("/") == ["/d/two", "/e/one"]
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir("/d")
    with pytest.raises(FileNotFoundError):
        fs.rm("/none")
    fs.rm("/d", recursive=True)
    assert fs.find("/") == ["/e/one"]


def test_a_failed_get_leaves_no_half_file(fs: StorageFileSystem, tmp_path: Path) -> None:
    fs.pipe("/a", b"new")
    target = tmp_path / "a"
    target.write_bytes(b"old")

    class Failing(fsspec.callbacks.Callback):  # type: ignore[misc]  # fsspec has no types
        def relative_update(self, inc: int = 1) -> None:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fs.get_file("/a", str(target), callback=Failing())
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_middleware_is_passed_through() -> None:
    fs = StorageFileSystem(in_memory({"prefix": {"prefix": "/below"}}), skip_instance_cache=True)
    fs.pipe("/a", b"1")
    assert fs.ls("/", detail=False) == ["/a"]


def test_a_pickled_one_opens_the_same_storage(tmp_path: Path) -> None:
    fs = StorageFileSystem(_on_disk(tmp_path))
    fs.pipe("/a", b"1")
    assert pickle.loads(pickle.dumps(fs)).cat("/a") == b"1"


def test_a_wrong_configuration_names_the_key() -> None:
    fs = StorageFileSystem({"storage": {"driver": "inmemory", "middlewares": []}})
    with pytest.raises(ConfigurationError, match="middlewares"):
        fs.ls("/")


def test_a_configuration_is_needed() -> None:
    with pytest.raises(TypeError, match="config"):
        StorageFileSystem(skip_instance_cache=True)  # type: ignore[call-arg]  # what is tested


def test_open_storages_are_used_from_their_own_loop_and_kept_apart() -> None:
    async def run() -> None:
        async with open_storage(in_memory()) as one, open_storage(in_memory()) as two:
            for storage, data in ((one, b"1"), (two, b"2")):
                await StorageFileSystem.of(storage)._pipe_file("/a", data)
            for storage, data in ((one, b"1"), (two, b"2")):
                assert await storage.get_content("/a") == data
                assert await StorageFileSystem.of(storage)._cat_file("/a") == data

    asyncio.run(run())


def test_a_storage_that_nobody_holds_is_closed() -> None:
    fs = StorageFileSystem(in_memory(), skip_instance_cache=True)
    fs.pipe("/a", b"1")
    storage = _storage(fs)
    del fs
    gc.collect()
    with pytest.raises(Exception, match="not open"):
        fsspec.asyn.sync(fsspec.asyn.get_loop(), storage.get_content, "/a")


def _on_disk(tmp_path: Path) -> dict[str, Any]:
    return {
        "storage": {"driver": "filesystem", "parameters": {"root_directory": str(tmp_path / "d")}}
    }


def _storage(fs: StorageFileSystem) -> Storage:
    storage: Storage = fsspec.asyn.sync(fs.loop, fs.storage)
    return storage


def _uploads(fs: StorageFileSystem) -> list[object]:
    async def uploads() -> list[object]:
        return [upload async for upload in (await fs.storage()).list_uploads()]

    found: list[object] = fsspec.asyn.sync(fs.loop, uploads)
    return found


@pytest.fixture(autouse=True)
def _no_instances_are_kept() -> Iterator[None]:
    yield
    StorageFileSystem.clear_instance_cache()
