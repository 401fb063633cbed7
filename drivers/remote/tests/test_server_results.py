"""What a served driver gives that is no result is told as its error, not as the request's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import aiohttp
import pytest
from storagedriver_inmemory import InMemoryDriver
from storagedriver_remote._client import Client

from storagedriver_core import (
    ByteStream,
    Conditions,
    DriverMiddleware,
    FileInfo,
    ListOptions,
    ReadOptions,
    StorageDriver,
    StorageDriverError,
    UploadInfo,
)

from .serving import run, served

T = TypeVar("T")


class Wrong(DriverMiddleware):
    """Gives in every call what is no result of it."""

    def __init__(self, driver: StorageDriver, result: Any) -> None:
        super().__init__(driver)
        self.result = result

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        return self.result  # type: ignore[no-any-return]  # that is what is wrong with it

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        return self.result  # type: ignore[no-any-return]  # as above

    def list(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        return self.result  # type: ignore[no-any-return]  # as above

    def walk(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        return self.result  # type: ignore[no-any-return]  # as above

    def list_uploads(self) -> AsyncGenerator[Sequence[UploadInfo], None]:
        return [self.result]  # type: ignore[return-value]  # as above


UPLOAD = {"path": "/a", "upload_id": "x", "holder": "y"}
GIVING: Mapping[str, Mapping[str, Any]] = {
    "identity": {},
    "now": {},
    "stat": {"path": "/a"},
    "delete_many": {"paths": ["/a"]},
    "checksum": {"path": "/a", "algorithm": "sha256"},
    "stored_name": {"path": "/a"},
    "open_upload": {"path": "/a", "holder": "y"},
    "upload_state": {"upload": UPLOAD, "size": 0},
    "complete_upload": {"upload": UPLOAD, "parts": [], "options": {"path": "/a", "size": 0}},
    "put_content": {"path": "/a"},
    "put_part": {"upload": UPLOAD, "number": 1, "offset": 0},
    "open_reader": {"path": "/a"},
    "get_content": {"path": "/a"},
    "list": {"path": "/"},
    "walk": {"path": "/"},
    "list_uploads": {},
}


@pytest.mark.parametrize("call", GIVING)
@pytest.mark.parametrize(
    "result",
    [None, 7, [object()], FileInfo("/a", size=cast(int, "7"))],
    ids=["none", "number", "list", "file"],
)
@run
async def test_what_is_no_result_of_a_call_is_the_drivers_error(
    call: str, result: Any, tmp_path: Path
) -> None:
    data = [b"content"] if call in ("put_content", "put_part") else None
    async with served(f"unix:{tmp_path}/socket", Wrong(InMemoryDriver(), result)) as address:
        client = Client(address, "")
        await client.open()
        try:
            with pytest.raises(StorageDriverError, match="the driver failed") as failed:
                if call in ("open_reader", "get_content", "list", "walk", "list_uploads"):
                    stream = await client.stream(call, GIVING[call])
                    try:
                        while await stream.frames.page():
                            pass
                    finally:
                        await stream.aclose()
                else:
                    await client.call(call, GIVING[call], data)
        finally:
            await client.aclose()
    assert type(failed.value) is StorageDriverError
    assert (failed.value.outcome, failed.value.temporary) == ("unknown", False)


class Naive(DriverMiddleware):
    """Its times have no offset, and its readers give text."""

    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        return FileInfo(path, mod_time=datetime(2014, 12, 22))

    async def get_content(self, path: str) -> bytes:
        return cast(bytes, "text")


@run
async def test_result_of_a_wrong_type_within_is_answered_with_500(tmp_path: Path) -> None:
    token = "token"
    async with (
        served("127.0.0.1:0", Naive(InMemoryDriver()), [token]) as address,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
    ):
        for call in ("stat", "get_content"):
            async with session.post(f"{address}/v1/{call}", json={"path": "/a"}) as answer:
                said = await answer.json()
                assert (answer.status, said["error"]["outcome"]) == (500, "unknown")
        async with session.post(f"{address}/v1/stat", json={}) as answer:
            assert answer.status == 400
