"""Copies that take time. Azurite copies at once, so the service here is a fake of a few answers.

It knows Copy Blob, Abort Copy Blob, Get Blob Properties and Delete Blob as far as a pending copy
needs them, and List Blobs and Get Blob (Source: "Copy Blob", "Remarks"; "Abort Copy Blob").
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from storagedriver_azure._config import AzureConfig
from storagedriver_azure._driver import AzureDriver

from storagedriver_core import PathNotFoundError, Storage, UnavailableError

SOURCE, TARGET = "/account/box/a", "/account/box/b"
CHANGED = "Wed, 25 Nov 2026 18:45:24 GMT"


class SlowCopies:
    """A fake of the service that copies for as long as `looks` lookups.

    Attributes:
        blobs: Etag of each blob by its address.
        copies: Status of the copy that made a blob.
        aborted: Ids of the copies that were aborted.
        ends_as: What a copy becomes after the lookups.
        looked_up: It was asked how far a copy is.
        deleting: A delete has come.
        may_delete: A delete is answered.
    """

    def __init__(self, looks: int, ends_as: str = "success") -> None:
        self.blobs = {SOURCE: "one"}
        self.copies: dict[str, str] = {}
        self.aborted: list[str] = []
        self.ends_as = ends_as
        self.looked_up = asyncio.Event()
        self.deleting = asyncio.Event()
        self.may_delete = asyncio.Event()
        self.may_delete.set()
        self._looks = looks

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path, method = request.path, request.method
        if method == "GET" and request.query.get("comp") == "list":
            return self._say(200, self._list(request.query.get("prefix", "")))
        if method == "PUT" and request.query.get("comp") == "copy":
            if self.copies.get(path) != "pending":
                return self._say(409, code="NoPendingCopyOperation")
            self.aborted.append(request.query["copyid"])
            self.copies[path] = "aborted"
            return self._say(204)
        if method == "PUT":
            self.blobs[path], self.copies[path] = "copied", "pending"
            return self._say(202, etag="copied", copy="pending")
        if path not in self.blobs:
            return self._say(404, code="BlobNotFound")
        if method == "DELETE":
            self.deleting.set()
            await self.may_delete.wait()
            if request.headers.get("If-Match", f'"{self.blobs[path]}"') != f'"{self.blobs[path]}"':
                return self._say(412, code="ConditionNotMet")
            del self.blobs[path]
            return self._say(202)
        if self.copies.get(path) == "pending":
            self.looked_up.set()
            self._looks -= 1
            if self._looks < 0:
                self.copies[path] = self.ends_as
        return self._say(200, etag=self.blobs[path], copy=self.copies.get(path, ""))

    def _list(self, prefix: str) -> bytes:
        properties = f"<Content-Length>0</Content-Length><Last-Modified>{CHANGED}</Last-Modified>"
        blobs = "".join(
            f"<Blob><Name>{name}</Name><Properties>{properties}</Properties></Blob>"
            for name in sorted(path.rpartition("/")[2] for path in self.blobs)
            if name.startswith(prefix)
        )
        return f"<EnumerationResults><Blobs>{blobs}</Blobs></EnumerationResults>".encode()

    @staticmethod
    def _say(
        status: int, body: bytes = b"", *, etag: str = "", code: str = "", copy: str = ""
    ) -> web.Response:
        headers = {"x-ms-request-id": "1", "Last-Modified": CHANGED}
        headers.update({"ETag": f'"{etag}"'} if etag else {})
        headers.update({"x-ms-error-code": code} if code else {})
        headers.update({"x-ms-copy-id": "copy-1", "x-ms-copy-status": copy} if copy else {})
        return web.Response(status=status, body=body, headers=headers)


@asynccontextmanager
async def opened(service: SlowCopies) -> AsyncIterator[Storage]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", service.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        config = AzureConfig(
            account_name="account",
            account_key="c2VjcmV0",
            container="box",
            endpoint=f"http://127.0.0.1:{port}/account",
            copy_poll_delay=0.001,
        )
        async with Storage(AzureDriver(config)) as storage:
            yield storage
    finally:
        await runner.cleanup()


def on_slow_service(
    work: Callable[[Storage], Awaitable[None]], *, looks: int, ends_as: str = "success"
) -> SlowCopies:
    """Run `work` on a store that copies slowly; give the fake as it is afterwards."""

    async def run() -> SlowCopies:
        service = SlowCopies(looks, ends_as)
        async with opened(service) as storage:
            await work(storage)
        return service

    return asyncio.run(run())


def test_copy_that_takes_time_is_awaited() -> None:
    service = on_slow_service(lambda storage: storage.copy("/a", "/b"), looks=5)
    assert service.copies == {TARGET: "success"}
    assert set(service.blobs) == {SOURCE, TARGET}


def test_move_deletes_its_source_only_after_the_copy_has_ended() -> None:
    service = on_slow_service(lambda storage: storage.move("/a", "/b"), looks=5)
    assert service.copies == {TARGET: "success"}
    assert set(service.blobs) == {TARGET}


@pytest.mark.parametrize("status", ["failed", "aborted"])
def test_copy_that_fails_leaves_no_empty_blob_and_the_source(status: str) -> None:
    async def move(storage: Storage) -> None:
        with pytest.raises(UnavailableError, match=status):
            await storage.move("/a", "/b")

    service = on_slow_service(move, looks=2, ends_as=status)
    assert set(service.blobs) == {SOURCE}


def test_cancelled_copy_is_aborted_and_leaves_no_empty_blob() -> None:
    async def run() -> SlowCopies:
        service = SlowCopies(looks=1_000_000)
        async with opened(service) as storage:
            moving = asyncio.create_task(storage.move("/a", "/b"))
            # It knows of the copy, and waits for its end.
            await service.looked_up.wait()
            moving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await moving
            with pytest.raises(PathNotFoundError):
                await storage.stat("/b")
        return service

    service = asyncio.run(run())
    assert service.aborted == ["copy-1"]
    assert set(service.blobs) == {SOURCE}


def test_cancellation_while_a_failed_copy_is_removed_is_not_lost() -> None:
    async def run() -> SlowCopies:
        service = SlowCopies(looks=0, ends_as="failed")
        service.may_delete.clear()
        async with opened(service) as storage:
            copying = asyncio.create_task(storage.copy("/a", "/b"))
            await service.deleting.wait()
            copying.cancel()
            await asyncio.sleep(0)
            service.may_delete.set()
            with pytest.raises(asyncio.CancelledError):
                await copying
        return service

    assert set(asyncio.run(run()).blobs) == {SOURCE}


@pytest.mark.parametrize("status", ["pending", "failed", "aborted"])
def test_blob_whose_copy_has_not_succeeded_cannot_be_read_or_copied(status: str) -> None:
    # What is left where a process was killed: nobody was there to delete it.
    async def run() -> None:
        service = SlowCopies(looks=1_000_000)
        service.blobs[TARGET], service.copies[TARGET] = "copied", status
        async with opened(service) as storage:
            for refused in (
                storage.stat("/b"),
                storage.get_content("/b"),
                storage.reader("/b"),
                storage.reader("/b", suffix=3),
                storage.copy("/b", "/c"),
                storage.move("/b", "/c"),
            ):
                with pytest.raises(UnavailableError, match=r"cop(ied|y)") as error:
                    await refused
                assert error.value.temporary == (status == "pending")
            assert [info.path async for info in storage.walk("/")] == ["/a", "/b"]
            await storage.delete("/b")
        assert set(service.blobs) == {SOURCE}

    asyncio.run(run())
