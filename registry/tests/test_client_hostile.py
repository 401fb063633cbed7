"""The client, and a registry that is busy, broken, or bad."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from storagedriver_registry.client import (
    ConnectionFailedError,
    DigestMismatchError,
    InvalidAnswerError,
    NotFoundError,
    RedirectRefusedError,
    RegistryClient,
    ResponseError,
    ServerError,
    TLSOptions,
    TooManyRequestsError,
    UploadSession,
    parse_reference,
)
from storagedriver_registry.client import blobs as blobs_module
from storagedriver_registry.client import connections as connections_module
from storagedriver_registry.client.commands.connection import Connection
from storagedriver_registry.client.commands.session import Session
from storagedriver_registry.client.layouts import LocalFiles, OCILayoutTarget
from storagedriver_registry.client.transfer import Blob, RepositoryPlace, copy
from storagedriver_registry.digest import parse_digest

from registry.tests.client import OCI_MANIFEST, sha256
from registry.tests.hostile import (
    FakeTime,
    Handler,
    HostileRegistry,
    cut,
    failing,
    hostile,
    in_turn,
    sent,
    with_hostile,
)
from registry.tests.serving import Certificates

DATA = os.urandom(2_999_999) + b"."  # what is made wrong ends otherwise
DIGEST = sha256(DATA)
BLOB = f"/v2/a/blobs/{DIGEST}"
UPLOADS = "/v2/a/blobs/uploads/"


async def read(client: RegistryClient, **options: Any) -> bytes:
    async with await client.repository("a").blobs.open(DIGEST, **options) as reader:
        return await reader.read()


# Busy ------------------------------------------------------------------------------------------


def test_client_waits_as_long_as_it_is_told() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        busy = failing(429, "TOOMANYREQUESTS", Retry_After="7")
        registry.on("GET", BLOB, in_turn(busy, busy, sent(DATA)))
        assert await read(client) == DATA
        assert time.slept == [7.0, 7.0]

    with_hostile(test)


def test_who_wants_it_to_wait_too_long_gets_an_error_raised() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, failing(429, "TOOMANYREQUESTS", Retry_After="3600"))
        with pytest.raises(TooManyRequestsError) as caught:
            await read(client)
        assert (caught.value.retry_after, caught.value.code) == (3600, "TOOMANYREQUESTS")
        assert caught.value.detail == {"a": 1}
        assert time.slept == []

    with_hostile(test)


def test_failures_of_what_may_be_repeated_are_repeated_with_growing_delays() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, failing(503, "UNAVAILABLE"))
        with pytest.raises(ServerError) as caught:
            await read(client)
        assert caught.value.status == 503
        assert time.slept == [0.25, 0.5, 1, 2]
        assert len(registry.requests) == 5

    with_hostile(test)


@pytest.mark.parametrize(("status", "tries"), [(500, 1), (429, 5)])
def test_what_may_not_be_repeated_is_only_where_nothing_was_done(status: int, tries: int) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("PATCH", "/up", failing(status))
        uploads = client.repository("a").blobs.uploads
        with pytest.raises(ResponseError):
            await uploads.send(UploadSession(f"{registry.url}/up"), b"abc", 3)
        assert len(registry.asked("PATCH")) == tries

    with_hostile(test)


@pytest.mark.parametrize(
    "wanted",
    ["Mon, 01 Jan 2024 00:00:00 +99999999999999", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"],
)
def test_time_that_is_none_is_as_none_at_all(wanted: str) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, in_turn(failing(503, Retry_After=wanted), sent(DATA)))
        assert await read(client) == DATA
        assert time.slept == [0.25]

    with_hostile(test)


@pytest.mark.parametrize("first", [503, 429, None])
def test_what_is_gone_when_it_is_deleted_again_is_deleted(first: int | None) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        gone = failing(404, "BLOB_UNKNOWN")
        repository = client.repository("a")
        deletions: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            (BLOB, lambda: repository.blobs.delete(DIGEST)),
            ("/v2/a/manifests/v1", lambda: repository.manifests.delete("v1")),
        ]
        for path, delete in deletions:
            registry.on("DELETE", path, in_turn(failing(first), gone) if first else gone)
            # Who says 429 has deleted nothing.
            if first == 503:
                await delete()
            else:
                with pytest.raises(NotFoundError):
                    await delete()

    with_hostile(test)


# Broken ----------------------------------------------------------------------------------------


def test_reading_goes_on_where_the_connection_broke() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, in_turn(cut(DATA, 1_200_000), cut(DATA, 1_200_000)))
        assert await read(client) == DATA
        ranges = [headers.get("Range") for headers in registry.asked("GET", "blobs")]
        assert ranges[0] is None
        begins = [int(str(one).partition("=")[2].partition("-")[0]) for one in ranges[1:]]
        assert begins == sorted(begins)
        assert begins[0] > 0

    with_hostile(test)


def test_blob_that_breaks_off_for_ever_is_an_error() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, cut(DATA, 10))
        with pytest.raises(ConnectionFailedError):
            await read(client)
        assert len(registry.requests) <= 6

    with_hostile(test)


def test_range_that_is_not_heeded_is_cut_out_here() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, sent(DATA))
        assert await read(client, offset=1000, length=50) == DATA[1000:1050]
        assert await read(client, offset=2_999_990) == DATA[-10:]

    with_hostile(test)


def upload_server(registry: HostileRegistry, lost_after: list[int]) -> bytearray:
    """Take uploads, but reset the connection when so many bytes of a PATCH have come."""
    stored = bytearray()

    async def begin(request: web.BaseRequest) -> web.StreamResponse:
        stored.clear()
        return web.Response(status=202, headers={"Location": f"{UPLOADS}1?state=x%2By"})

    async def state(request: web.BaseRequest) -> web.StreamResponse:
        assert request.path_qs.endswith("?state=x%2By")
        last = max(0, len(stored) - 1)
        headers = {"Location": f"{UPLOADS}1?state=x%2By", "Range": f"0-{last}"}
        return web.Response(status=204, headers=headers)

    async def patch(request: web.BaseRequest) -> web.StreamResponse:
        begin = request.headers.get("Content-Range", "0-").partition("-")[0]
        assert int(begin) == len(stored)
        limit = lost_after.pop(0) if lost_after else len(DATA)
        async for chunk in request.content.iter_any():
            stored.extend(chunk[: limit - len(stored)])
            if len(stored) == limit < len(DATA):
                assert request.transport is not None
                request.transport.abort()
                break
        headers = {"Location": f"{UPLOADS}1?state=x%2By"}
        return web.Response(status=202, headers=headers)

    async def end(request: web.BaseRequest) -> web.StreamResponse:
        stored.extend(await request.read())
        assert request.query["digest"] == sha256(bytes(stored))
        return web.Response(status=201)

    registry.on("POST", UPLOADS, begin)
    registry.on("GET", f"{UPLOADS}1", state)
    registry.on("PATCH", f"{UPLOADS}1", patch)
    registry.on("PUT", f"{UPLOADS}1", end)
    return stored


def test_upload_goes_on_where_the_registry_says() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        stored = upload_server(registry, [1_300_000, 1_700_000])
        await client.repository("a").blobs.upload(DIGEST, DATA)
        assert bytes(stored) == DATA
        assert len(registry.asked("POST")) == 1
        ranges = [headers.get("Content-Range") for headers in registry.asked("PATCH")]
        assert ranges[:2] == [None, "1300000-2999999"]

    with_hostile(test)


def test_upload_that_nobody_knows_any_more_begins_anew() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        stored = upload_server(registry, [1_300_000])
        registry.on("GET", f"{UPLOADS}1", failing(404, "BLOB_UPLOAD_UNKNOWN"))
        await client.repository("a").blobs.upload(DIGEST, DATA)
        assert bytes(stored) == DATA
        assert len(registry.asked("POST")) == 2

    with_hostile(test)


def test_lost_answer_to_the_last_request_is_looked_up() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        upload_server(registry, [])
        small = DATA[:1000]

        async def lost(request: web.BaseRequest) -> web.StreamResponse:
            await request.read()
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=201)

        registry.on("PUT", f"{UPLOADS}1", lost)
        registry.on("HEAD", f"/v2/a/blobs/{sha256(small)}", sent(small))
        await client.repository("a").blobs.upload(sha256(small), small)
        # On a connection that it had used before, aiohttp itself tries once more.
        assert len(registry.asked("PUT")) in (1, 2)
        assert len(registry.asked("HEAD")) == 1
        assert len(registry.asked("POST")) == 1

    with_hostile(test)


def test_registry_may_take_its_time_at_the_end_of_an_upload(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections_module, "_SILENCE_SECONDS", 0.1)

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        await asyncio.sleep(1)
        return web.Response(status=201)

    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("PUT", "/up", slow)
        session = UploadSession(f"{registry.url}/up")
        await client.repository("a").blobs.uploads.finish(session, parse_digest(DIGEST))

    with_hostile(test)


def test_upload_that_fails_for_good_is_dropped() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        upload_server(registry, [])
        registry.on("PUT", f"{UPLOADS}1", failing(400, "DIGEST_INVALID"))
        registry.on("DELETE", f"{UPLOADS}1", sent(b"", 204))
        with pytest.raises(ResponseError) as caught:
            await client.repository("a").blobs.upload(DIGEST, DATA)
        assert caught.value.code == "DIGEST_INVALID"
        assert len(registry.asked("DELETE")) == 1

    with_hostile(test)


# Bad -------------------------------------------------------------------------------------------


def test_content_that_is_not_what_its_digest_says_is_never_given_whole() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, sent(DATA[:-1] + b"!"))
        given = 0
        with pytest.raises(DigestMismatchError) as caught:
            async with await client.repository("a").blobs.open(DIGEST) as reader:
                async for chunk in reader:
                    given += len(chunk)
        assert given < len(DATA)
        assert caught.value.expected == DIGEST
        assert caught.value.actual == sha256(DATA[:-1] + b"!")

    with_hostile(test)


def test_lie_leaves_nothing_on_the_disk(tmp_path: Path) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        config = b"{}"
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "a/b", "digest": sha256(config), "size": len(config)},
            "layers": [{"mediaType": "a/b", "digest": DIGEST, "size": len(DATA)}],
        }
        registry.on("GET", "/v2/a/manifests/v1", sent(json.dumps(manifest).encode()))
        registry.on("GET", f"/v2/a/blobs/{sha256(config)}", sent(config))
        registry.on("GET", BLOB, sent(DATA[:-1] + b"!"))
        target = OCILayoutTarget(LocalFiles(tmp_path / "layout"), "v1")
        with pytest.raises(DigestMismatchError):
            await copy(RepositoryPlace(client.repository("a"), "v1"), target)

    with_hostile(test)
    files = [path.name for path in (tmp_path / "layout").rglob("*") if path.is_file()]
    assert files in ([], [hashlib.sha256(b"{}").hexdigest()])


def test_size_that_is_not_the_descriptors_is_a_lie_too(tmp_path: Path) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        config = b"{}"
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "a/b", "digest": sha256(config), "size": 1},
            "layers": [],
        }
        registry.on("GET", "/v2/a/manifests/v1", sent(json.dumps(manifest).encode()))
        registry.on("GET", f"/v2/a/blobs/{sha256(config)}", sent(config))
        target = OCILayoutTarget(LocalFiles(tmp_path / "layout"), "v1")
        with pytest.raises(DigestMismatchError):
            await copy(RepositoryPlace(client.repository("a"), "v1"), target)

    with_hostile(test)
    assert not (tmp_path / "layout" / "index.json").exists()


@pytest.mark.parametrize(
    ("left", "asked"),
    [
        (DATA, []),
        (DATA[:1000], ["bytes=1000-"]),
        (b"!" * 1000, ["bytes=1000-", None]),
        (b"!" * len(DATA), [None]),
        (DATA + b"!", [None]),
    ],
    ids=["all", "some", "wrong", "all-wrong", "too-much"],
)
def test_what_another_run_has_left_is_used_if_it_is_right(
    tmp_path: Path, left: bytes, asked: list[str | None]
) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, cut(DATA, len(DATA)))
        place = RepositoryPlace(client.repository("a"), "v1")
        blob = Blob(parse_digest(DIGEST), len(DATA))
        files = LocalFiles(tmp_path)
        await files.put_blob("blob", blob, lambda *where: place.chunks(blob, *where))
        assert [headers.get("Range") for headers in registry.asked("GET")] == asked

    partial = tmp_path / ".partial" / DIGEST.replace(":", "-")
    partial.parent.mkdir()
    partial.write_bytes(left)
    with_hostile(test)
    assert (tmp_path / "blob").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["blob"]


@pytest.mark.parametrize("by_tag", [True, False])
def test_manifest_that_is_not_what_its_digest_says_is_refused(by_tag: bool) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        wanted = sha256(b"{}")
        registry.on("GET", "/v2/a/manifests/*", sent(b"{ }", Docker_Content_Digest=wanted))
        with pytest.raises(DigestMismatchError):
            await client.repository("a").manifests.get("v1" if by_tag else wanted)

    with_hostile(test)


def test_manifest_without_end_is_not_read_to_its_end() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", "/v2/a/manifests/v1", sent(b" " * (4 << 20) + b"{}"))
        with pytest.raises(InvalidAnswerError, match="more than"):
            await client.repository("a").manifests.get("v1")

    with_hostile(test)


def redirected_to(url: str) -> Handler:
    return sent(b"", 307, Location=url)


def test_redirect_elsewhere_takes_no_credentials_along() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        challenged = failing(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="r"')
        async with hostile() as other:
            registry.on("GET", BLOB, in_turn(challenged, redirected_to(f"{other.url}/x?sig=1")))
            other.on("GET", "/x", sent(DATA))
            assert await read(client) == DATA
            [asked] = other.asked("GET")
            assert "Authorization" not in asked
            assert "Authorization" in registry.asked("GET")[1]
            # Nor are they given to who asks for them there.
            other.on("GET", "/x", challenged)
            with pytest.raises(ResponseError):
                await read(client)
            assert all("Authorization" not in headers for headers in other.asked("GET"))

    from storagedriver_registry.client import Credentials

    with_hostile(test, credentials=Credentials("alice", "wonderland"))


@pytest.mark.parametrize(
    "make", [lambda url: f"{url}{BLOB}", lambda url: "ftp://127.0.0.1/x", lambda url: "http://["]
)
def test_redirect_in_a_circle_or_to_no_registry_is_refused(make: Callable[[str], str]) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, redirected_to(make(registry.url)))
        with pytest.raises(InvalidAnswerError):
            await read(client)
        assert len(registry.requests) <= 11

    with_hostile(test)


def test_certificate_of_the_client_is_shown_and_nothing_goes_without_encryption(
    tmp_path: Path,
) -> None:
    made = Certificates(tmp_path)
    certificate, key = made.issue("client")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=made.authority)
    context.load_cert_chain(made.certificate, made.key)
    context.verify_mode = ssl.CERT_REQUIRED

    async def main() -> None:
        async with hostile(context) as registry, hostile() as plain:
            registry.on("GET", BLOB, in_turn(sent(DATA), redirected_to(f"{plain.url}/x")))
            plain.on("GET", "/x", sent(DATA))
            tls = TLSOptions((made.authority,), certificate, key)
            async with RegistryClient(registry.host, tls=tls) as client:
                assert await read(client) == DATA
                with pytest.raises(RedirectRefusedError, match="without encryption"):
                    await read(client)
            assert plain.requests == []
            stranger = TLSOptions((made.authority,))
            retries = FakeTime().retries(attempts=1)
            async with RegistryClient(registry.host, tls=stranger, retries=retries) as client:
                with pytest.raises(ConnectionFailedError):
                    await read(client)

    asyncio.run(main())


def test_upload_is_not_sent_to_where_it_is_redirected() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("POST", UPLOADS, redirected_to("http://127.0.0.1:1/"))
        with pytest.raises(RedirectRefusedError):
            await client.repository("a").blobs.upload(DIGEST, DATA)

    with_hostile(test)


@pytest.mark.parametrize("link", ["/v2/a/tags/list", "http://127.0.0.1:1/v2/a/tags/list?n=1"])
def test_pages_in_a_circle_or_elsewhere_are_refused(link: str) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        page = sent(b'{"tags": ["v1", null]}', Link=f'<{link}>; rel="next"')
        registry.on("GET", "/v2/a/tags/list", page)
        found = []
        with pytest.raises(InvalidAnswerError):
            async for tag in client.repository("a").tags.list():
                found.append(tag)
        assert found == ["v1"]

    with_hostile(test)


def test_pages_follow_one_another() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        first = sent(b'{"tags": ["v1"]}', Link='</v2/a/tags/list?last=v1>; rel="next"')
        registry.on("GET", "/v2/a/tags/list", in_turn(first, sent(b'{"tags": ["v2"]}')))
        assert [tag async for tag in client.repository("a").tags.list(page_size=1)] == ["v1", "v2"]
        assert [path for _, path, _ in registry.requests] == [
            "/v2/a/tags/list?n=1",
            "/v2/a/tags/list?last=v1",
        ]

    with_hostile(test)


def test_page_of_a_proxy_is_an_error_with_nothing_that_a_terminal_obeys() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        body = '{"errors": [{"code": "DENIED", "message": "\\u001b[2Jno"}]}'
        registry.on("GET", BLOB, in_turn(sent(b"<html>", 403), sent(body.encode(), 403)))
        with pytest.raises(ResponseError, match="403 Forbidden") as caught:
            await read(client)
        assert caught.value.errors == ()
        with pytest.raises(ResponseError) as caught:
            await read(client)
        assert str(caught.value).isprintable()

    with_hostile(test)


def test_cancelled_upload_is_dropped() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        upload_server(registry, [])
        arrived, over = asyncio.Event(), asyncio.Event()

        async def waits(request: web.BaseRequest) -> web.StreamResponse:
            arrived.set()
            await over.wait()
            return web.Response(status=202)

        registry.on("PATCH", f"{UPLOADS}1", waits)
        registry.on("DELETE", f"{UPLOADS}1", sent(b"", 204))
        task = asyncio.ensure_future(client.repository("a").blobs.upload(DIGEST, DATA))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        over.set()
        assert len(registry.asked("DELETE")) == 1

    with_hostile(test)


def test_copy_within_one_registry_has_connections_for_both_of_its_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Each blob is streamed: its upload waits for its download on another connection.
    monkeypatch.setattr(blobs_module, "AT_ONCE_BYTES", 10)
    datas = [f"{number:0100}".encode() for number in range(20)]
    layers = [{"mediaType": "a/b", "digest": sha256(one), "size": 100} for one in datas]
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": layers[0]}
    manifest = json.dumps(document | {"layers": layers}).encode()

    async def taken(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        return web.Response(status=202, headers={"Location": request.path})

    async def main() -> None:
        async with hostile() as registry, AsyncExitStack() as stack:
            registry.on("GET", "/v2/a/manifests/v1", sent(manifest))
            for one in datas:
                registry.on("GET", f"/v2/a/blobs/{sha256(one)}", sent(one))
            registry.on("POST", "/v2/b/blobs/uploads/", taken)
            registry.on("PATCH", "/v2/b/blobs/uploads/", taken)
            registry.on("PUT", "/v2/b/*", sent(b"", 201))
            connection = Connection(plain_http=[registry.host], authfile=tmp_path / "none")
            session = Session(connection, stack)
            begin, end = (parse_reference(f"{registry.host}/{name}:v1") for name in ("a", "b"))
            async with asyncio.timeout(60):
                report = await copy(
                    await session.source(begin), await session.target(end), window=len(datas)
                )
            assert report.copied == len(datas)

    asyncio.run(main())
