"""A registry that lies, or leads elsewhere: nothing wrong is taken, and nothing secret given."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web
from storagedriver_registry.client import (
    ConnectionFailedError,
    DigestMismatchError,
    InvalidAnswerError,
    RedirectRefusedError,
    RegistryClient,
    ResponseError,
    TLSOptions,
    parse_reference,
)
from storagedriver_registry.client import blobs as blobs_module
from storagedriver_registry.client.commands.connection import Connection
from storagedriver_registry.client.commands.session import Session
from storagedriver_registry.client.layouts import LocalFiles, OCILayoutTarget
from storagedriver_registry.client.transfer import Blob, RepositoryPlace, copy, plan
from storagedriver_registry.digest import parse_digest

from registry.tests.client import OCI_MANIFEST, sha256
from registry.tests.hostile import (
    BLOB,
    DATA,
    DIGEST,
    UPLOADS,
    FakeTime,
    Handler,
    HostileRegistry,
    cut,
    failing,
    hostile,
    in_turn,
    read,
    sent,
    tls_of,
    with_hostile,
)
from registry.tests.serving import Certificates


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


NO_PLACES = [
    "http://[",
    "http://a:99999/",
    "https://a:b/",
    "http://xn--/",
    "http://a..b/",
]


@pytest.mark.parametrize("url", NO_PLACES)
def test_url_that_leads_nowhere_is_the_fault_of_who_gave_it(url: str) -> None:
    link = sent(b"{}", Link=f'<{url}>; rel="next"')
    challenge = failing(401, WWW_Authenticate=f'Bearer realm="{url}"')

    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        repository = client.repository("a")
        registry.on("POST", UPLOADS, sent(b"", 202, Location=url))
        with pytest.raises(InvalidAnswerError):
            await repository.blobs.upload(DIGEST, DATA)
        registry.on("GET", "/v2/_catalog", link)
        with pytest.raises(InvalidAnswerError):
            assert [name async for name in client.catalog()] == []
        registry.on("GET", BLOB, in_turn(redirected_to(url), challenge))
        for _ in range(2):
            with pytest.raises(InvalidAnswerError):
                await read(client)

    with_hostile(test)


def test_credentials_in_a_url_of_the_registry_are_not_sent() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        where = f"http://bob:secret@{registry.host}/up"
        registry.on("POST", UPLOADS, sent(b"", 202, Location=where))
        registry.on("PUT", "/up", sent(b"", 201))
        await client.repository("a").blobs.upload(sha256(b"{}"), b"{}")
        assert "Authorization" not in registry.asked("PUT")[0]

    with_hostile(test)


def test_referrer_without_a_digest_is_a_lie() -> None:
    config = {"mediaType": "a/b", "digest": DIGEST, "size": len(DATA)}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": []}
    manifest = json.dumps(document).encode()

    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", "/v2/a/manifests/v1", sent(manifest))
        registry.on("GET", "/v2/a/referrers/*", sent(b'{"manifests": [{"digest": "none"}]}'))
        with pytest.raises(InvalidAnswerError, match="referrer"):
            await plan(RepositoryPlace(client.repository("a"), "v1"), referrers=True)

    with_hostile(test)


def test_certificate_of_the_client_is_shown_and_nothing_goes_without_encryption(
    tmp_path: Path,
) -> None:
    made = Certificates(tmp_path)
    certificate, key = made.issue("client")
    context = tls_of(made)
    context.load_verify_locations(made.authority)
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
