"""Forged uploads, of a token or of a client of `serve`: none leads out of where uploads are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from storagedriver_fsspec._chunks import ChunkUploads
from storagedriver_fsspec._config import FsspecConfig
from storagedriver_fsspec._driver import BlockingFsspecDriver, fsspec_driver
from storagedriver_fsspec._names import PUTS, SEEN, UPLOADS, is_name, new_name

from storagedriver_core import (
    CompleteOptions,
    Part,
    PutOptions,
    StorageDriver,
    StorageDriverError,
    Upload,
    UploadNotFoundError,
    UploadOptions,
)

ID = "0" * 32
UP = "/../../../.."
"""From the name of an upload to the directory that holds the root directory."""


def driver(uploads: str, root: Path) -> StorageDriver:
    made = fsspec_driver(FsspecConfig(protocol="file", root_directory=str(root)))
    assert isinstance(made, BlockingFsspecDriver)
    if uploads != "file":
        objects = made._objects
        objects.uploads = ChunkUploads(objects.store, objects.files, renames=uploads == "renamed")
    return made


def tree(directory: Path) -> dict[str, bytes]:
    return {str(each): each.read_bytes() for each in directory.rglob("*") if each.is_file()}


Call = Callable[[StorageDriver, Upload], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "put_part": lambda made, upload: made.put_part(upload, 0, 0, [b"forged"]),
    "upload_state": lambda made, upload: made.upload_state(upload, 0),
    "complete_upload": lambda made, upload: made.complete_upload(
        upload, [Part(0, 0, 6)], CompleteOptions(path="/stolen", size=6)
    ),
    "abort_upload": lambda made, upload: made.abort_upload(upload),
}

FORGED = {
    "id": Upload("/a", f"{ID}+a{UP}/outside", holder="h"),
    "id alone": Upload("/a", "../../../outside", holder="h"),
    "id with a NUL": Upload("/a", f"{ID}+\0", holder="h"),
    "holder": Upload("/a", f"{ID}+a", holder=f"h{UP}/outside/secret"),
    "object": Upload("/a", f"{ID}+a", data={SEEN: "/victim"}),
    "outside": Upload("/a", f"{ID}+a", data={SEEN: "/../outside/secret"}),
    "below uploads": Upload("/a", f"{ID}+a", data={SEEN: f"{UPLOADS}/../../victim"}),
    "below puts": Upload("/a", f"{ID}+a", data={SEEN: f"{PUTS}/../../../outside/secret"}),
    "below its head": Upload("/a", f"{ID}+a", data={SEEN: f"{UPLOADS}/{ID}+a/head~x/../../y"}),
    "of another": Upload("/a", f"{ID}+a", data={SEEN: f"{UPLOADS}/{'1' * 32}"}),
}


@pytest.mark.parametrize("uploads", ["file", "renamed", "put"])
@pytest.mark.parametrize("forged", FORGED)
def test_forged_upload_is_none(forged: str, uploads: str, tmp_path: Path) -> None:
    upload = FORGED[forged]
    (tmp_path / "outside").mkdir()
    for name in ("secret", "head~h"):
        (tmp_path / "outside" / name).write_bytes(b"secret")
    (tmp_path / "outside~h~").write_bytes(b"secret")
    # What a client of `serve` can make, so that the path of a forged holder leads somewhere.
    bridges = (f"{UPLOADS}/{ID}+a~h/x", f"{UPLOADS}/{ID}+a/head~h/x", f"{UPLOADS}/{ID}+a/head~x/x")

    async def use() -> None:
        made = driver(uploads, tmp_path / "root")
        await made.open()
        try:
            for path in ("/victim", *bridges, f"{UPLOADS}/{'1' * 32}/x", f"{PUTS}/x"):
                await made.put_content(path, b"kept", PutOptions())
            before = tree(tmp_path)
            for name, call in CALLS.items():
                # Only an abort looks at what a listing has seen, and it asks for no holder.
                if (forged == "holder") if name == "abort_upload" else upload.data:
                    continue
                with pytest.raises(UploadNotFoundError):
                    await call(made, upload)
            made.release_upload(upload)
        finally:
            await made.aclose()
        assert tree(tmp_path) == before

    asyncio.run(use())


def test_name_holds_nothing_that_a_server_could_take_for_a_slash() -> None:
    assert is_name(new_name("/a b/ü%~\\c"))
    assert not any(is_name(f"{ID}+{each}") for each in ("..%2F..", "a\\b", "a?b", "a#b", "a/b"))


@pytest.mark.parametrize("uploads", ["renamed", "put"])
def test_forged_part_is_none(uploads: str, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")

    async def use() -> None:
        made = driver(uploads, tmp_path / "root")
        await made.open()
        try:
            upload = await made.open_upload("/a", "h", UploadOptions())
            directory = f"{UPLOADS}/{upload.upload_id}"
            await made.put_content(f"{directory}/0~x/y", b"", PutOptions())
            part = Part(0, 0, 6, etag=f"x/..{UP}/outside/secret")
            with pytest.raises(UploadNotFoundError):
                await made.complete_upload(upload, [part], CompleteOptions(path="/stolen", size=6))
            with pytest.raises(StorageDriverError):
                await made.get_content("/stolen")
            # What is not forged goes on.
            part = await made.put_part(upload, 0, 0, [b"honest"])
            await made.complete_upload(upload, [part], CompleteOptions(path="/a", size=6))
            assert await made.get_content("/a") == b"honest"
        finally:
            await made.aclose()

    asyncio.run(use())
