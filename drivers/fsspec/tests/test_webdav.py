"""WebDAV beside the suite: locks that were lost, and servers that fail over what just vanishes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from storagedriver_fsspec._config import FsspecConfig
from storagedriver_fsspec._driver import BlockingFsspecDriver, fsspec_driver
from storagedriver_fsspec._webdav import WebdavFiles

from servers.rclone_webdav import RcloneWebDav
from storagedriver_core import ConflictError, Part, Storage, UnavailableError, Upload, UploadOptions

LOCK = (
    '<?xml version="1.0" encoding="utf-8"?><lockinfo xmlns="DAV:">'
    "<lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>"
)


def driver(**parameters: Any) -> BlockingFsspecDriver:
    made = fsspec_driver(FsspecConfig.model_validate(parameters))
    assert isinstance(made, BlockingFsspecDriver)
    return made


def test_delete_of_a_directory_outlasts_a_lock_that_was_lost(
    rclone_webdav: RcloneWebDav,
) -> None:
    server = rclone_webdav
    options = {"base_url": server.url, "auth": [server.user, server.password]}

    async def use() -> None:
        made = driver(protocol="webdav", root_directory="/lost", options=options)
        async with Storage(made) as storage:
            with httpx.Client(auth=(server.user, server.password)) as http:
                http.request("MKCOL", f"{server.url}/lost/a")
                headers = {"depth": "infinity", "timeout": "Second-1"}
                locked = http.request("LOCK", f"{server.url}/lost/a", headers=headers, content=LOCK)
                assert locked.status_code == 200
            await storage.delete("/", everything=True)

    asyncio.run(use())
    assert [each.name for each in Path(server.files, "lost").iterdir()] == []


def test_drivers_share_the_authorities_unless_they_have_their_own() -> None:
    one, other = WebdavFiles.completed({}), WebdavFiles.completed({"auth": "x"})
    assert one["verify"] is other["verify"] and other["auth"] == "x"
    for own in ({"cert": "x"}, {"verify": False}, {"trust_env": False}):
        assert WebdavFiles.completed(own) == {**own, "limits": one["limits"]}


def test_no_connection_is_closed_because_there_are_many(rclone_webdav: RcloneWebDav) -> None:
    # httpcore would close one that another thread has just taken (its issue 1110).
    server = rclone_webdav
    options = {"base_url": server.url, "auth": [server.user, server.password]}

    async def use() -> None:
        made = driver(protocol="webdav", root_directory="/many", options=options)
        async with Storage(made) as storage:
            await storage.put_content("/a", b"content")
            readers = [await storage.reader("/a") for _ in range(40)]
            for reader in readers:
                await reader.read()
                await reader.aclose()
            await storage.stat("/a")
            connections = psutil.Process().net_connections()
            assert sum(each.raddr[1:] == (server.port,) for each in connections) >= 40

    asyncio.run(use())


def test_upload_is_opened_though_the_reply_to_its_directory_is_lost(
    rclone_webdav: RcloneWebDav, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = rclone_webdav
    options = {"base_url": server.url, "auth": [server.user, server.password]}
    made = driver(protocol="webdav", root_directory="/reply", options=options)

    async def use() -> None:
        async with Storage(made) as storage:
            files = made._objects.files
            assert isinstance(files, WebdavFiles)
            async with await storage.writer("/a"):
                pass  # the directory of all uploads is there from now on
            make = files._requests.make_collection

            def lose(path: str) -> None:
                make(path)
                raise httpx.ReadError("the connection is gone")

            monkeypatch.setattr(files._requests, "make_collection", lose)
            async with await storage.writer("/a") as writer:
                await writer.write(b"content")
                await writer.commit()
            assert await storage.get_content("/a") == b"content"

    asyncio.run(use())


def failing(times: int, call: Callable[[str], Any]) -> Callable[[str], Any]:
    """Give the call, but the first times it fails as a server's does over what vanishes."""
    left = times

    async def fail(path: str) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            raise UnavailableError("the server answers 500")
        return await call(path)

    return fail


@pytest.mark.parametrize(
    ("resumed", "lists_failing", "expected"),
    [
        (True, 0, ConflictError),
        (True, 2, ConflictError),
        (True, 3, UnavailableError),
        (False, 0, UnavailableError),
    ],
)
def test_look_that_fails_because_of_another_writer_is_told_from_one_that_just_fails(
    resumed: bool, lists_failing: int, expected: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = driver(protocol="memory", root_directory="/looks")
    files = made._objects.files

    async def put(upload: Upload) -> Part:
        return await made.put_part(upload, 1, 0, [b"content"])

    async def use() -> None:
        await made.open()
        upload = await made.open_upload("/a", "one", UploadOptions())
        if resumed:
            await made.upload_state(Upload("/a", upload.upload_id, holder="other"), 0)
        with monkeypatch.context() as patch:
            patch.setattr(files, "is_directory", failing(1, files.is_directory))
            patch.setattr(files, "children", failing(lists_failing, files.children))
            with pytest.raises(expected):
                await put(upload)
        await made.abort_upload(upload)
        await made.aclose()

    asyncio.run(use())
