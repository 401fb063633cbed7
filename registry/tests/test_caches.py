"""What is remembered: never a permission longer than it may be, and never at a request's cost."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from storagedriver_registry.configuration.models import RedisSettings
from storagedriver_registry.digest import compute_digest, parse_digest
from storagedriver_registry.storage import paths, redis_descriptors
from storagedriver_registry.storage.contents import Contents
from storagedriver_registry.storage.descriptors import Descriptor, Descriptors
from storagedriver_registry.storage.links import Links
from storagedriver_registry.storage.paths import GARBAGE_SIGN
from storagedriver_registry.storage.redis_descriptors import PAUSE_SECONDS, RedisDescriptors

from registry.tests.application import Application, T, Watched, run
from registry.tests.client import OCI_MANIFEST, error_codes, sha256
from servers.valkey import Valkey
from storagedriver_core import ConfigurationError, Storage

DATA = b"{}"
DIGEST = parse_digest(sha256(DATA))
DESCRIPTOR = {"mediaType": "x/y", "digest": sha256(DATA), "size": 2}
MANIFEST = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": DESCRIPTOR, "layers": []}
IN_MEMORY = {"cache": {"blobdescriptor": "inmemory"}}
ALWAYS = {"cache": {"blobdescriptor": "inmemory", "max_stale": 0}}


async def push(application: Application) -> str:
    """Push a blob and a manifest with a tag; give the manifest's digest."""
    await application.push_blob("a", DATA, sha256(DATA))
    response = await application.http.put("/v2/a/manifests/v1", json=MANIFEST)
    assert response.status_code == 201
    digest: str = response.headers["docker-content-digest"]
    return digest


def made(application: Application) -> list[str]:
    """Give what the storage was asked, but for what is asked once a second, whoever comes then."""
    return [operation for operation, path in application.driver.calls if path != GARBAGE_SIGN]


@pytest.mark.parametrize(
    ("method", "path", "looks", "remembered"),
    [
        ("HEAD", "blobs/{blob}", ["stat"], []),
        ("GET", "blobs/{blob}", ["stat"], []),
        ("HEAD", "manifests/v1", ["get_content", "stat"], []),
        ("GET", "manifests/v1", ["get_content", "stat"], []),
        ("GET", "manifests/{manifest}", ["stat"], []),
    ],
)
def test_content_is_remembered_and_permission_is_looked_for(
    method: str, path: str, looks: list[str], remembered: list[str]
) -> None:
    async def count(application: Application, expected: list[str]) -> None:
        where = "/v2/a/" + path.format(blob=sha256(DATA), manifest=await push(application))
        first = await application.http.request(method, where)
        application.driver.calls.clear()
        again = await application.http.request(method, where)
        assert made(application) == expected
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert dict(again.headers) | {"x-request-id": ""} == dict(first.headers) | {
            "x-request-id": ""
        }

    run(lambda application: count(application, looks), settings=ALWAYS)
    run(lambda application: count(application, remembered), settings=IN_MEMORY)


@pytest.mark.parametrize(
    "path", ["blobs/{blob}", "manifests/v1", "manifests/{manifest}"], ids=["blob", "tag", "digest"]
)
def test_delete_counts_at_once_here_and_in_time_elsewhere(path: str) -> None:
    async def test(one: Application) -> None:
        other = Application(one.storage, one.driver, IN_MEMORY)
        async with other.http:
            where = "/v2/a/" + path.format(blob=sha256(DATA), manifest=await push(one))
            for application in (one, other):
                assert (await application.http.get(where)).status_code == 200
            assert (await one.http.delete(where)).status_code == 202
            assert (await one.http.get(where)).status_code == 404
            assert (await other.http.get(where)).status_code == 200
            later = time.monotonic() + 10.5
            with mock.patch.object(time, "monotonic", lambda: later):
                assert (await other.http.get(where)).status_code == 404

    run(test, settings=IN_MEMORY)


def test_delete_of_a_manifest_counts_for_its_tags_at_once() -> None:
    async def test(one: Application) -> None:
        digest = await push(one)
        assert (await one.http.get("/v2/a/manifests/v1")).status_code == 200
        assert (await one.http.delete(f"/v2/a/manifests/{digest}")).status_code == 202
        assert (await one.http.get("/v2/a/manifests/v1")).status_code == 404

    run(test, settings=IN_MEMORY)


def test_tag_that_is_moved_counts_at_once() -> None:
    async def test(one: Application) -> None:
        await push(one)
        assert (await one.http.get("/v2/a/manifests/v1")).json() == MANIFEST
        changed = MANIFEST | {"annotations": {"a": "b"}}
        assert (await one.http.put("/v2/a/manifests/v1", json=changed)).status_code == 201
        assert (await one.http.get("/v2/a/manifests/v1")).json() == changed

    run(test, settings=IN_MEMORY)


class Late(Watched):
    """Lets something happen once a file has been looked at, before anybody is told."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        answer = await super().around(operation, path, call)
        happening, self.meanwhile = self.meanwhile, None
        if happening is not None:
            await happening()
        return answer


@pytest.mark.parametrize("look", [Links.exists, Links.read])
def test_look_that_began_before_a_delete_leaves_no_trace(
    look: Callable[[Links, str], Awaitable[object]],
) -> None:
    async def main() -> None:
        driver = Late()
        async with Storage(driver) as storage:
            await Links(storage).write("/link", DIGEST)
            links = Links(storage, 60.0)
            driver.meanwhile = lambda: links.delete("/link")
            assert await look(links, "/link")
            assert not await look(links, "/link")

    asyncio.run(main())


def test_look_that_began_before_a_write_leaves_no_trace() -> None:
    async def main() -> None:
        other = compute_digest(b"other")
        driver = Late()
        async with Storage(driver) as storage:
            await Links(storage).write("/link", DIGEST)
            links = Links(storage, 60.0)
            driver.meanwhile = lambda: links.write("/link", other)
            assert await links.read("/link") == DIGEST
            assert await links.read("/link") == other

    asyncio.run(main())


def test_blob_whose_bytes_are_gone_is_forgotten() -> None:
    async def test(one: Application) -> None:
        await one.push_blob("a", DATA, sha256(DATA))
        where = f"/v2/a/blobs/{sha256(DATA)}"
        assert (await one.http.head(where)).status_code == 200
        await one.storage.delete("/docker/registry/v2/blobs")
        response = await one.http.get(where)
        assert (response.status_code, error_codes(response)) == (404, ["BLOB_UNKNOWN"])
        assert (await one.http.head(where)).status_code == 404

    run(test, settings=IN_MEMORY)


def test_manifest_that_was_read_as_a_blob_keeps_its_type() -> None:
    async def test(one: Application) -> None:
        digest = await push(one)
        data = (await one.storage.get_content(paths.blob(parse_digest(digest)))).strip()
        await one.push_blob("a", data, digest)
        other = Application(one.storage, one.driver, IN_MEMORY)
        async with other.http:
            as_blob = await other.http.get(f"/v2/a/blobs/{digest}")
            one.driver.calls.clear()
            as_manifest = await other.http.get(f"/v2/a/manifests/{digest}")
            assert as_blob.content == as_manifest.content == data
            assert as_blob.headers["content-type"] == "application/octet-stream"
            assert as_manifest.headers["content-type"] == OCI_MANIFEST
            assert made(one) == ["stat"]

    run(test, settings=IN_MEMORY)


@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 1])
def test_ranges_of_blobs_are_cut_from_memory_only_if_they_are_small(size: int) -> None:
    async def test(one: Application) -> None:
        data = bytes(range(256)) * 256 + b"!" * (size - 65536)
        await one.push_blob("a", data, sha256(data))
        where = f"/v2/a/blobs/{sha256(data)}"
        assert (await one.http.get(where)).content == data
        one.driver.calls.clear()
        part = await one.http.get(where, headers={"range": "bytes=65530-"})
        assert (part.status_code, part.content) == (206, data[65530:])
        assert part.headers["content-range"] == f"bytes 65530-{size - 1}/{size}"
        is_read = any(operation == "open_reader" for operation, _ in one.driver.calls)
        assert is_read == (size > 64 * 1024)

    run(test, settings=IN_MEMORY)


def test_blob_of_another_size_than_it_had_is_not_kept() -> None:
    async def test(one: Application) -> None:
        await one.push_blob("a", DATA, sha256(DATA))
        where = f"/v2/a/blobs/{sha256(DATA)}"
        assert (await one.http.head(where)).headers["content-length"] == "2"
        await one.storage.put_content(paths.blob(DIGEST), DATA + b"damage")
        for _ in range(2):
            one.driver.calls.clear()
            assert (await one.http.get(where)).content == DATA
            assert ("open_reader", paths.blob(DIGEST)) in one.driver.calls

    run(test, settings=IN_MEMORY)


def test_memory_is_bounded() -> None:
    async def main() -> None:
        descriptors = Descriptors(2)
        digests = [compute_digest(b"%d" % number) for number in range(3)]
        for digest in digests:
            await descriptors.put(digest, Descriptor(1))
            await descriptors.get(digests[0])
        assert [await descriptors.get(digest) for digest in digests] == [
            Descriptor(1),
            None,
            Descriptor(1),
        ]

    asyncio.run(main())
    contents = Contents[str, bytes](80_000)
    for number in range(20):
        contents.put(str(number), bytes(9_000), 9_000)
        contents.get("0")
    kept = [number for number in range(20) if contents.get(str(number)) is not None]
    assert kept == [0, 13, 14, 15, 16, 17, 18, 19]
    contents.put("large", bytes(10_001), 10_001)
    assert contents.get("large") is None
    nothing = Contents[str, bytes](0)
    nothing.put("a", b"", 0)
    assert nothing.get("a") is None


# Redis -----------------------------------------------------------------------------------------


@pytest.fixture
def own_valkey(tmp_path: Path, valkey: Valkey) -> Iterator[Valkey]:
    """A Valkey that a test may stop; that of the session says whether there is one."""
    with Valkey(tmp_path / "valkey") as server:
        yield server


# What hangs is tested by itself, and by default it has 250 ms.
PATIENT: dict[str, Any] = {"dialtimeout": "60s", "readtimeout": "60s", "pooltimeout": "60s"}


def settings_of(server: Valkey) -> RedisSettings:
    return RedisSettings(addr=server.url.removeprefix("redis://"), **PATIENT)


def on_redis(server: Valkey) -> dict[str, object]:
    return {"redis": {"addr": server.url.removeprefix("redis://"), **PATIENT}}


SHARED = {"cache": {"blobdescriptor": "redis", "max_stale": 0}}


@asynccontextmanager
async def sharing(server: Valkey, like: Application | None = None) -> AsyncIterator[Application]:
    """Give an application that shares with others; on a storage of its own, or another's."""
    async with AsyncExitStack() as stack:
        if like is None:
            driver = Watched()
            storage = await stack.enter_async_context(Storage(driver))
        else:
            driver, storage = like.driver, like.storage
        application = Application(storage, driver, SHARED, on_redis(server))
        await stack.enter_async_context(application.http)
        yield application
        await application.app({"type": "lifespan"}, _shutdown, _ignore)


async def _shutdown() -> dict[str, str]:
    return {"type": "lifespan.shutdown"}


async def _ignore(_: object) -> None: ...


def test_processes_share_descriptors(valkey: Valkey) -> None:
    async def main() -> None:
        async with sharing(valkey) as one, sharing(valkey, one) as other:
            digest = await push(one)
            for where, looks in (
                (f"/v2/a/blobs/{sha256(DATA)}", ["stat"]),
                (f"/v2/a/manifests/{digest}", ["stat"]),
            ):
                first = await one.http.head(where)
                one.driver.calls.clear()
                second = await other.http.head(where)
                assert made(one) == looks
                for header in ("content-length", "content-type"):
                    assert second.headers[header] == first.headers[header]

    asyncio.run(main())


def test_descriptor_is_no_permission(valkey: Valkey) -> None:
    async def main() -> None:
        async with sharing(valkey) as one:
            await push(one)
            assert (await one.http.head(f"/v2/a/blobs/{sha256(DATA)}")).status_code == 200
            assert (await one.http.head(f"/v2/b/blobs/{sha256(DATA)}")).status_code == 404

    asyncio.run(main())


@pytest.mark.parametrize("entry", [b"", b"x", b"-1 x", b"1", "²  x".encode()])
def test_entry_of_another_program_is_none(valkey: Valkey, entry: bytes) -> None:
    from redis.asyncio import Redis

    async def main() -> None:
        shared = RedisDescriptors(settings_of(valkey))
        try:
            await shared.put(DIGEST, Descriptor(5, "a/b"))
            assert await shared.get(DIGEST) == Descriptor(5, "a/b")
            async with Redis.from_url(valkey.url) as client:
                [key] = await client.keys(f"*{DIGEST}*")
                await client.set(key, entry)
            assert await shared.get(DIGEST) is None
            await shared.forget(DIGEST)
        finally:
            await shared.aclose()

    asyncio.run(main())


def test_redis_that_stops_and_starts_changes_nothing_but_speed(
    own_valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async def answers(one: Application, paths: list[str]) -> list[tuple[int, bytes]]:
        # What a process remembers by itself would hide the other.
        async with sharing(own_valkey, one) as fresh:
            found = [await fresh.http.request(m, p) for m in ("HEAD", "GET") for p in paths]
        return [(response.status_code, response.content) for response in found]

    async def main() -> None:
        async with sharing(own_valkey) as one:
            digest = await push(one)
            names = [f"blobs/{sha256(DATA)}", "manifests/v1", f"manifests/{digest}"]
            paths = [f"/v2/a/{name}" for name in names]
            expected = await answers(one, paths)
            await asyncio.to_thread(own_valkey.stop)
            assert await answers(one, paths) == expected
            # Once for each of the processes that asked.
            assert (
                len([record for record in caplog.records if "does not answer" in record.message])
                == 1
            )
            await asyncio.to_thread(own_valkey.start)
            assert await answers(one, paths) == expected

    asyncio.run(main())


def test_redis_is_found_again(own_valkey: Valkey) -> None:
    async def main() -> None:
        shared = RedisDescriptors(settings_of(own_valkey))
        try:
            await shared.put(DIGEST, Descriptor(5))
            assert await shared.get(DIGEST) == Descriptor(5)
            await asyncio.to_thread(own_valkey.stop)
            assert await shared.get(DIGEST) is None
            await asyncio.to_thread(own_valkey.start)
            later = time.monotonic() + PAUSE_SECONDS + 0.1
            with mock.patch.object(time, "monotonic", lambda: later):
                await shared.put(DIGEST, Descriptor(5))
                assert await shared.get(DIGEST) == Descriptor(5)
        finally:
            await shared.aclose()

    asyncio.run(main())


def test_redis_that_hangs_is_given_up_and_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # However slow the machine is, all of them come within the pause.
    monkeypatch.setattr(redis_descriptors, "PAUSE_SECONDS", 3600.0)

    async def main() -> None:
        asked: list[asyncio.StreamWriter] = []

        async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(writer)

        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        shared = RedisDescriptors(RedisSettings(addr=f"127.0.0.1:{port}", readtimeout="50ms"))
        try:
            for _ in range(5):
                assert await shared.get(DIGEST) is None
            assert len(asked) == 1
        finally:
            await shared.aclose()
            server.close()
            for writer in asked:
                writer.close()
                await writer.wait_closed()

    asyncio.run(main())


def test_redis_without_an_address_is_a_wrong_configuration() -> None:
    with pytest.raises(ConfigurationError, match="redis: an address is required"):
        RedisDescriptors(RedisSettings())


def test_redis_without_its_package_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.exceptions", None)
    with pytest.raises(ConfigurationError, match=r"pip install storagedriver-registry\[redis\]"):
        RedisDescriptors(RedisSettings(addr="127.0.0.1:1"))
