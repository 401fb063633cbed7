"""Layouts in a configured storage: uploads that another run goes on with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from storagedriver_registry.client import (
    ConnectionFailedError,
    DockerConfig,
    RegistryClient,
)
from storagedriver_registry.client.layouts import StorageFiles
from storagedriver_registry.client.layouts import storage_files as storage_files_module
from storagedriver_registry.client.reading import RunningHash
from storagedriver_registry.client.transfer import Blob, Journal, RepositoryPlace
from storagedriver_registry.digest import compute_digest, parse_digest

from registry.tests.client import sha256
from registry.tests.hostile import FakeTime, HostileRegistry, cut, failing, with_hostile
from storagedriver_core import FileWriter, Storage, UnavailableError, UploadToken, open_storage

MIB = 1 << 20
DATA = os.urandom(6 * MIB)
BLOB = Blob(compute_digest(DATA), len(DATA))


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Storage, StorageFiles]]:
    """Give a storage, and the files of a layout in it."""
    root = {"root_directory": str(folder / "store")}
    config = {"storage": {"driver": "filesystem", "parameters": root}}
    async with open_storage(config) as storage:
        yield storage, StorageFiles(storage, "/a", "store", Journal(folder / "journal"))


class Fragile:
    """Gives a blob, but breaks off after so many bytes."""

    def __init__(self, *breaks: type[BaseException]) -> None:
        self.offsets: list[int] = []
        self._breaks = list(breaks)

    async def chunks(self, offset: int, before: RunningHash | None) -> AsyncGenerator[bytes, None]:
        self.offsets.append(offset)
        end = offset + 3 * MIB if self._breaks else len(DATA)
        for begin in range(offset, min(end, len(DATA)), MIB):
            yield DATA[begin : min(begin + MIB, end)]
        if self._breaks:
            raise self._breaks.pop(0)()


@pytest.mark.parametrize("error", [ConnectionFailedError, asyncio.CancelledError])
def test_upload_to_a_store_goes_on_unless_it_was_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    monkeypatch.setattr(storage_files_module, "_CHECKPOINT_BYTES", MIB)
    fragile = Fragile(error)

    async def main() -> None:
        async with opened(tmp_path) as (storage, files):
            with pytest.raises(error):
                await files.put_blob("blob", BLOB, fragile.chunks)
            left = [one async for one in storage.list_uploads()]
            assert len(left) == (1 if error is ConnectionFailedError else 0)
            await files.put_blob("blob", BLOB, fragile.chunks)
            assert await files.read("blob") == DATA
            assert [one async for one in storage.list_uploads()] == []

    asyncio.run(main())
    assert fragile.offsets == [0, 3 * MIB if error is ConnectionFailedError else 0]
    assert list((tmp_path / "journal").iterdir()) == []


@pytest.mark.parametrize("has_home", [True, False])
def test_journal_that_cannot_be_written_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_home: bool
) -> None:
    (tmp_path / "file").touch()

    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    assert DockerConfig().credentials("r.example") is None
    with Journal(tmp_path / "file" / "x" if has_home else None).entry("a") as entry:
        entry.write(location="x")
        assert entry.read() == {}
        entry.remove()


def test_store_does_not_take_what_is_not_what_its_digest_says(tmp_path: Path) -> None:
    wrong = Blob(parse_digest(sha256(b"another")), len(DATA))
    fragile = Fragile()

    async def main() -> None:
        async with opened(tmp_path) as (storage, files):
            with pytest.raises(Exception, match="sha256"):
                await files.put_blob("blob", wrong, fragile.chunks)
            assert await files.size("blob") is None
            assert [one async for one in storage.list_uploads()] == []

    asyncio.run(main())
    assert list((tmp_path / "journal").iterdir()) == []


def test_upload_that_failed_before_there_is_anything_to_go_on_with_leaves_nothing(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (storage, files):
            with pytest.raises(ConnectionFailedError):
                await files.put_blob("blob", BLOB, Fragile(ConnectionFailedError).chunks)
            assert [one async for one in storage.list_uploads()] == []

    asyncio.run(main())
    assert list((tmp_path / "journal").iterdir()) == []


def test_upload_that_another_run_brought_to_its_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_files_module, "_CHECKPOINT_BYTES", len(DATA))
    commit = FileWriter.commit

    async def unavailable(self: FileWriter, **options: object) -> None:
        raise UnavailableError("not now")

    async def ranged(request: web.BaseRequest) -> web.StreamResponse:
        is_there = (request.http_range.start or 0) < len(DATA)
        return await (cut(DATA, len(DATA)) if is_there else failing(416))(request)

    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", f"/v2/a/blobs/{BLOB.digest}", ranged)
        place = RepositoryPlace(client.repository("a"), "v1")
        async with opened(tmp_path) as (_, files):
            monkeypatch.setattr(FileWriter, "commit", unavailable)
            with pytest.raises(UnavailableError):
                await files.put_blob("blob", BLOB, lambda *where: place.chunks(BLOB, *where))
            monkeypatch.setattr(FileWriter, "commit", commit)
            await files.put_blob("blob", BLOB, lambda *where: place.chunks(BLOB, *where))
            assert await files.read("blob") == DATA
        assert len(registry.requests) == 1

    with_hostile(test)


@pytest.mark.parametrize("is_first_run", [True, False])
def test_upload_that_is_cancelled_as_it_is_taken_up_again_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_first_run: bool
) -> None:
    monkeypatch.setattr(storage_files_module, "_CHECKPOINT_BYTES", MIB)
    fragile = Fragile() if is_first_run else Fragile(ConnectionFailedError)

    async def main() -> None:
        async with opened(tmp_path) as (storage, files):
            if not is_first_run:
                with pytest.raises(ConnectionFailedError):
                    await files.put_blob("blob", BLOB, fragile.chunks)
            begun, may_go_on, resume = asyncio.Event(), asyncio.Event(), storage.resume

            async def slow(token: UploadToken | str) -> FileWriter:
                begun.set()
                await may_go_on.wait()
                return await resume(token)

            monkeypatch.setattr(storage, "resume", slow)
            task = asyncio.ensure_future(files.put_blob("blob", BLOB, fragile.chunks))
            await begun.wait()
            task.cancel()
            await asyncio.sleep(0)
            may_go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert [one async for one in storage.list_uploads()] == []
            assert await files.size("blob") is None

    asyncio.run(main())
    assert list((tmp_path / "journal").iterdir()) == []
