"""Sessions in trouble, on the strict fake: what the suite's cases cannot bring about."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from storagedriver_gcs import _driver, _objects, _sessions
from storagedriver_gcs._client import Client
from storagedriver_gcs._listing import has_below

from drivers.gcs.tests._strict import StrictHarness
from servers.strict_gcs import StrictGcs
from storagedriver_core import (
    AlreadyExistsError,
    ConfigurationError,
    ConflictError,
    FileWriter,
    PathNotFoundError,
    Storage,
    UnavailableError,
    UploadNotFoundError,
)

UNIT = 256 * 1024
DATA = bytes(range(256)) * (8 * UNIT // 256)


class World:
    """A store on the fake, for one test."""

    def __init__(self, directory: Path, server: StrictGcs) -> None:
        self.server = server
        self.harness = StrictHarness(directory, server)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Storage]:
        await self.harness.start()
        try:
            async with Storage(self.harness.driver(), part_size=2 * UNIT) as storage:
                yield storage
        finally:
            self.server.control("reset")
            await self.harness.stop()

    def control(self, name: str, **order: Any) -> None:
        self.server.control(name, **order)

    async def left(self) -> list[str]:
        """Give what lies there besides the files of callers, open uploads included."""
        names = [name for name in await self.harness.raw_list() if ".storagedriver" in name]
        return [*names, *await self.harness.raw_uploads()]


async def until_durable(writer: FileWriter, offset: int) -> None:
    """Wait until a part that is on its way has arrived."""
    async with asyncio.timeout(60):
        while writer.durable_offset < offset:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.001)


@pytest.fixture
def world(tmp_path: Path, strict_gcs: StrictGcs) -> World:
    return World(tmp_path, strict_gcs)


@pytest.mark.parametrize("kept", [0, 1, UNIT, UNIT + 1])
@pytest.mark.parametrize("size", [6 * UNIT, 5 * UNIT + 77, 100])
def test_bytes_that_were_not_kept_are_sent_again(world: World, kept: int, size: int) -> None:
    async def body() -> None:
        async with world.opened() as storage, await storage.writer("/a") as writer:
            world.control("keep", bytes=kept, times=2)
            await writer.write(DATA[:size])
            world.control("keep", bytes=kept, times=1)
            await writer.commit(size=size)
            assert await storage.get_content("/a") == DATA[:size]
            assert await world.left() == []

    asyncio.run(body())


def test_service_that_keeps_nothing_is_unavailable(world: World) -> None:
    async def body() -> None:
        async with world.opened() as storage, await storage.writer("/a") as writer:
            world.control("keep", bytes=0, times=1000)
            with pytest.raises(UnavailableError, match="keeps nothing"):
                await writer.write(DATA[: 2 * UNIT])
                await writer.commit()

    asyncio.run(body())


@pytest.mark.parametrize("status", [404, 410])
def test_expired_session_is_upload_not_found(world: World, status: int) -> None:
    async def body() -> None:
        async with world.opened() as storage:
            writer = await storage.writer("/a")
            await writer.write(DATA[: 2 * UNIT])
            token = await writer.suspend()
            world.control("expire_sessions", status=status)
            with pytest.raises(UploadNotFoundError):
                await storage.resume(token)
            async with await storage.writer("/b") as writer:
                world.control("expire_sessions", status=status)
                await writer.write(DATA[:100])
                with pytest.raises(UploadNotFoundError):
                    await writer.commit()
            with pytest.raises(PathNotFoundError):
                await storage.stat("/b")

    asyncio.run(body())


STEPS = {
    "the last chunk": r"^PUT \S*upload_id=",
    "the rewrite": r"^POST \S*/rewriteTo/",
    "the removal of the driver's own name": r"^DELETE \S*storagedriver%2Fuploads",
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("options", [{}, {"if_absent": True}, {"to": "/b"}])
def test_commit_is_repeated_after_a_lost_reply(
    world: World, step: str, options: dict[str, Any]
) -> None:
    async def body() -> None:
        async with world.opened() as storage, await storage.writer("/a") as writer:
            await writer.write(DATA[: 2 * UNIT + 5])
            await until_durable(writer, 2 * UNIT)
            world.control("lose_reply", pattern=STEPS[step])
            with pytest.raises(UnavailableError) as lost:
                await writer.commit(**options)
            assert lost.value.outcome in ("unknown", "applied")
            info = await writer.commit(**options)
            assert info == await storage.stat(str(options.get("to", "/a")))
            assert await storage.get_content(info.path) == DATA[: 2 * UNIT + 5]
            assert await world.left() == []

    asyncio.run(body())


def test_repeated_commit_does_not_bring_back_what_was_replaced(world: World) -> None:
    async def body() -> None:
        async with world.opened() as storage, await storage.writer("/a") as writer:
            await writer.write(b"ours")
            world.control("lose_reply", pattern=STEPS["the rewrite"])
            with pytest.raises(UnavailableError):
                await writer.commit()
            await storage.put_content("/a", b"newer")
            with pytest.raises(UploadNotFoundError) as gone:
                await writer.commit()
            assert gone.value.outcome == "unknown"
            assert await storage.get_content("/a") == b"newer"

    asyncio.run(body())


def test_create_only_commit_that_loses_a_race_can_still_be_committed(world: World) -> None:
    async def body() -> None:
        async with world.opened() as storage, await storage.writer("/a") as writer:
            await writer.write(b"late")
            # The look before the commit finds nothing; the object comes before the rewrite.
            world.control(
                "fail", pattern=r"^GET \S*/o/\S*%2Fa\?", status=404, message="No such object"
            )
            await storage.put_content("/a", b"early")
            with pytest.raises(AlreadyExistsError):
                await writer.commit(if_absent=True)
            assert await storage.get_content("/a") == b"early"
            await writer.commit()
            assert await storage.get_content("/a") == b"late"
            assert await world.left() == []

    asyncio.run(body())


def test_writer_that_resumes_steps_back_before_one_that_is_sending(world: World) -> None:
    async def body() -> None:
        async with world.opened() as storage:
            writer = await storage.writer("/a")
            await writer.write(DATA[: 2 * UNIT])
            token = (await writer.suspend()).to_json()
            first = await storage.resume(token)
            # In another process, as far as the drivers know.
            async with Storage(world.harness.driver(), part_size=2 * UNIT) as elsewhere:
                second = await elsewhere.resume(token)
                await first.write(DATA[2 * UNIT : 4 * UNIT])
                await until_durable(first, 4 * UNIT)
                with pytest.raises(ConflictError):
                    await second.write(bytes(2 * UNIT))
                    await second.commit()
                await second.aclose()
            await first.commit(size=4 * UNIT)
            assert await storage.get_content("/a") == DATA[: 4 * UNIT]

    asyncio.run(body())


def test_other_bytes_after_an_older_token_are_never_published(world: World) -> None:
    async def body() -> None:
        async with world.opened() as storage:
            writer = await storage.writer("/a")
            await writer.write(DATA[: 2 * UNIT])
            token = (await writer.suspend()).to_json()
            async with await storage.resume(token) as lost:
                await lost.write(DATA[2 * UNIT : 4 * UNIT])
                await lost.suspend()
            async with await storage.resume(token) as writer:
                await writer.write(bytes(4 * UNIT))
                with pytest.raises(ConflictError):
                    await writer.commit()
            with pytest.raises(PathNotFoundError):
                await storage.stat("/a")
            async with await storage.resume(token) as writer:
                await writer.cancel()
            assert await world.left() == []

    asyncio.run(body())


def test_same_bytes_after_an_older_token_go_on_and_are_not_sent_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[int] = []
    send = _sessions.send

    async def noted(client: Client, session: str, start: int, *rest: Any) -> _sessions.Progress:
        starts.append(start)
        return await send(client, session, start, *rest)

    monkeypatch.setattr(_sessions, "send", noted)

    async def body() -> None:
        async with world.opened() as storage:
            writer = await storage.writer("/a")
            await writer.write(DATA[: 2 * UNIT])
            token = (await writer.suspend()).to_json()
            async with await storage.resume(token) as lost:
                await lost.write(DATA[2 * UNIT : 4 * UNIT])
                await lost.suspend()
            async with await storage.resume(token) as writer:
                assert writer.offset == 2 * UNIT
                await writer.write(DATA[2 * UNIT : 6 * UNIT])
                await writer.commit()
            assert starts == [0, 2 * UNIT, 4 * UNIT]
            assert await storage.get_content("/a") == DATA[: 6 * UNIT]
            assert await world.left() == []

    asyncio.run(body())


def test_session_is_dropped_although_its_opener_is_cancelled_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = _sessions.begin

    async def body() -> None:
        begun, may_answer = asyncio.Event(), asyncio.Event()

        async def slow(client: Client, name: str, document: Mapping[str, Any]) -> str:
            session = await begin(client, name, document)
            begun.set()
            await may_answer.wait()
            return session

        monkeypatch.setattr(_sessions, "begin", slow)
        async with world.opened() as storage:
            opening = asyncio.create_task(storage.writer("/a"))
            await begun.wait()
            assert len(await world.left()) == 1
            for _ in range(2):
                opening.cancel()
                await asyncio.sleep(0)
            may_answer.set()
            with pytest.raises(asyncio.CancelledError):
                await opening
            assert await world.left() == []

    asyncio.run(body())


def test_token_leads_to_no_other_server(world: World) -> None:
    async def body() -> None:
        async with world.opened() as storage:
            writer = await storage.writer("/a")
            token = json.loads((await writer.suspend()).to_json())
            session = token["data"]["session"]
            assert session.startswith("/upload/") and world.server.url not in session
            for forged in (f"http://elsewhere.example{session}", "@elsewhere/upload/x", "/storage"):
                changed = {**token, "data": {"session": forged}}
                with pytest.raises(ConfigurationError):
                    await storage.resume(json.dumps(changed))
            await (await storage.resume(json.dumps(token))).cancel()

    asyncio.run(body())


def test_credentials_are_refreshed_between_two_parts(world: World) -> None:
    async def body() -> None:
        async with world.opened() as storage, await storage.writer("/a") as writer:
            await writer.write(DATA[: 2 * UNIT])
            await until_durable(writer, 2 * UNIT)
            world.control("expire_tokens")
            await writer.write(DATA[2 * UNIT : 5 * UNIT])
            await writer.commit()
            world.control("expire_tokens")
            assert await storage.get_content("/a") == DATA[: 5 * UNIT]
            async with await storage.reader("/a", offset=1, length=5) as reader:
                assert await reader.read() == DATA[1:6]

    asyncio.run(body())


def test_rewrites_go_in_as_many_steps_as_it_takes(world: World) -> None:
    async def body() -> None:
        async with world.opened() as storage:
            await storage.put_content("/a", DATA, content_type="text/x", metadata={"k": "v"})
            world.control("rewrite_step", bytes=UNIT)
            await storage.copy("/a", "/b")
            await storage.move("/b", "/c")
            info = await storage.stat("/c")
            assert (info.content_type, info.metadata) == ("text/x", {"k": "v"})
            assert await storage.get_content("/c") == DATA
            async with await storage.writer("/d") as writer:
                await writer.write(DATA)
                await writer.commit(if_absent=True)
            assert await storage.get_content("/d") == DATA

    asyncio.run(body())


def test_move_does_not_delete_a_source_that_was_replaced_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite = _objects.rewrite

    async def then_replaced(*given: Any, **options: Any) -> _objects.Resource:
        made = await rewrite(*given, **options)
        await world.harness.raw_put("/a", b"new")
        return made

    monkeypatch.setattr(_objects, "rewrite", then_replaced)

    async def body() -> None:
        async with world.opened() as storage:
            await storage.put_content("/a", b"old")
            with pytest.raises(ConflictError) as refused:
                await storage.move("/a", "/b")
            assert refused.value.outcome == "applied"
            assert await storage.get_content("/a") == b"new"
            assert await storage.get_content("/b") == b"old"

    asyncio.run(body())


@pytest.mark.parametrize("operation", ["copy", "move"])
def test_no_request_goes_on_after_a_copy_was_refused(
    world: World, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_resource = _objects.get_resource

    async def body() -> None:
        answered = asyncio.Event()

        async def told(*given: Any, **options: Any) -> _objects.Resource:
            try:
                return await get_resource(*given, **options)
            finally:
                answered.set()

        async def last(*given: Any) -> bool:
            await answered.wait()
            return await has_below(*given)

        monkeypatch.setattr(_objects, "get_resource", told)
        monkeypatch.setattr(_driver, "has_below", last)
        async with world.opened() as storage:
            before = asyncio.all_tasks()
            with pytest.raises(PathNotFoundError):
                await getattr(storage, operation)("/missing", "/d")
            assert asyncio.all_tasks() == before

    asyncio.run(body())


def test_move_whose_last_reply_is_lost_may_have_been_done(world: World) -> None:
    async def body() -> None:
        async with world.opened() as storage:
            await storage.put_content("/a", b"old")
            world.control("lose_reply", pattern=r"^DELETE \S*%2Fa")
            with pytest.raises(UnavailableError) as lost:
                await storage.move("/a", "/b")
            assert lost.value.outcome == "unknown"
            assert await storage.get_content("/b") == b"old"

    asyncio.run(body())


def test_md5_of_a_composed_object_is_not_claimed(world: World) -> None:
    async def body() -> None:
        async with world.opened() as storage:
            await storage.put_content("/p", b"part")
            prefix, bucket = world.harness.config.prefix, world.harness.config.bucket
            header = await world.harness._headers(b"")
            del header["Content-Length"]
            async with httpx.AsyncClient() as client:
                answer = await client.post(
                    f"{world.server.url}/storage/v1/b/{bucket}/o/{prefix[:-1]}%2Fc/compose",
                    headers=header,
                    json={"sourceObjects": [{"name": f"{prefix}p"}]},
                )
            assert answer.status_code == 200
            with pytest.raises(NotImplementedError):
                await storage.checksum("/c", "md5")

    asyncio.run(body())
