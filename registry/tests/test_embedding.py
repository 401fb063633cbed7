"""The registry inside another ASGI application, on a storage that is shared with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from storagedriver_registry import create_app
from storagedriver_registry.api.request import ASGIApp, Message
from storagedriver_registry.app import RegistryApp
from storagedriver_registry.auth import Guard
from storagedriver_registry.purging import UploadPurger

from registry.tests.client import OCI_MANIFEST, sha256
from storagedriver_core import ConfigurationError, Storage, open_storage

DATA = b"0123456789" * 100_000
DELETE = {"storage": {"delete": {"enabled": True}}}


@asynccontextmanager
async def in_memory() -> AsyncIterator[Storage]:
    async with open_storage({"storage": {"driver": "inmemory"}}) as storage:
        yield storage


def host_application(storage: Storage, prefix: str) -> Starlette:
    """An application of somebody else's, that mounts a registry and shares its storage."""

    async def stored(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len([1 async for _ in storage.walk("/docker")])))

    registry = create_app(DELETE, storage=storage)
    return Starlette(routes=[Route("/stored", stored), Mount(prefix, registry)])


def run(test: Callable[[httpx.AsyncClient, Storage], Awaitable[None]], prefix: str) -> None:
    async def main() -> None:
        async with in_memory() as storage:
            app = host_application(storage, prefix)
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://host") as http:
                await test(http, storage)
            # Whoever handed it in finds it open still.
            await storage.put_content("/mine", b"mine")

    asyncio.run(main())


@pytest.mark.parametrize("prefix", ["", "/some/where"])
def test_image_can_be_pushed_and_pulled_below_a_prefix(prefix: str) -> None:
    async def push_and_pull(http: httpx.AsyncClient, storage: Storage) -> None:
        assert (await http.get(f"{prefix}/v2/")).status_code == 200
        digest, config = sha256(DATA), sha256(b"{}")
        for data in (DATA, b"{}"):
            begun = await http.post(f"{prefix}/v2/a/b/blobs/uploads/")
            assert begun.headers["location"].startswith(f"http://host{prefix}/v2/a/b/")
            patched = await http.patch(begun.headers["location"], content=data)
            location = patched.headers["location"]
            finished = await http.put(location, params={"digest": sha256(data)})
            assert finished.status_code == 201
        blob = await http.get(finished.headers["location"])
        assert blob.content == b"{}"
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "x/y", "digest": config, "size": 2},
            "layers": [{"mediaType": "x/y", "digest": digest, "size": len(DATA)}],
        }
        pushed = await http.put(f"{prefix}/v2/a/b/manifests/v1", json=manifest)
        assert pushed.status_code == 201
        assert (await http.get(pushed.headers["location"])).json() == manifest
        assert (await http.get(f"{prefix}/v2/a/b/blobs/{digest}")).content == DATA
        listed = await http.get(f"{prefix}/v2/a/b/tags/list?n=0")
        assert listed.json() == {"name": "a/b", "tags": []}
        assert (await http.delete(f"{prefix}/v2/a/b/manifests/v1")).status_code == 202
        stored = len([1 async for _ in storage.walk("/docker")])
        assert stored > 0
        if prefix:
            assert (await http.get("/stored")).text == str(stored)
            assert (await http.get("/v2/")).status_code == 404

    run(push_and_pull, prefix)


def test_links_to_the_next_page_hold_the_prefix() -> None:
    async def list_pages(http: httpx.AsyncClient, storage: Storage) -> None:
        for name in ("a", "b"):
            await storage.put_content(
                f"/docker/registry/v2/repositories/{name}/_manifests/revisions/x", b""
            )
        page = await http.get("/some/where/v2/_catalog?n=1")
        assert page.links["next"]["url"] == "/some/where/v2/_catalog?last=a&n=1"

    run(list_pages, "/some/where")


@pytest.mark.parametrize(
    ("settings", "headers", "origin"),
    [
        ({}, {}, "http://host"),
        ({}, {"x-forwarded-proto": "https", "x-forwarded-host": "proxy, other"}, "https://proxy"),
        (
            {},
            {"forwarded": 'for=x;Proto=https; host="proxy:8"', "x-forwarded-host": "no"},
            "https://proxy:8",
        ),
        ({}, {"forwarded": "for=x, proto=http;host=second"}, "http://host"),
        ({"host": "https://fixed:1/"}, {"x-forwarded-host": "proxy"}, "https://fixed:1"),
        ({"relativeurls": True}, {"x-forwarded-host": "proxy"}, ""),
        ({"relativeurls": True, "host": "https://fixed"}, {}, "https://fixed"),
        ({"prefix": "/pre/"}, {}, "http://host/pre"),
        ({"prefix": "/pre/", "host": "https://fixed"}, {}, "https://fixed"),
        ({"prefix": "/pre/", "host": "https://fixed/pre/"}, {}, "https://fixed/pre"),
        ({"prefix": "/pre/", "relativeurls": True}, {}, "/pre"),
    ],
)
def test_urls_are_those_that_the_client_can_use(
    settings: dict[str, object], headers: dict[str, str], origin: str
) -> None:
    async def main() -> None:
        async with in_memory() as storage:
            app = create_app({"http": settings}, storage=storage)
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://host") as http:
                prefix = str(settings.get("prefix", "/")).rstrip("/")
                url = f"{prefix}/v2/a/blobs/uploads/"
                begun = await http.post(url, headers=headers)
                assert begun.headers["location"].startswith(f"{origin}/v2/a/blobs/uploads/")
                assert (await http.get("/other/v2/")).status_code == 404
                if prefix:
                    assert (await http.get("/v2/")).status_code == 404

    asyncio.run(main())


def test_configured_headers_are_on_every_answer() -> None:
    async def main() -> None:
        headers = {"X-Content-Type-Options": ["nosniff"], "X-Two": ["1", "2"]}
        async with in_memory() as storage:
            app = create_app({"http": {"headers": headers}}, storage=storage)
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://host") as http:
                for path in ("/v2/", "/v2/a/tags/list", "/nowhere"):
                    response = await http.get(path)
                    assert response.headers["x-content-type-options"] == "nosniff"
                    assert response.headers.get_list("x-two") == ["1", "2"]

    asyncio.run(main())


def test_configured_storage_is_opened_by_the_first_request(tmp_path: Path) -> None:
    """Where nobody sends lifespan events, as Starlette does not to what it mounts."""

    async def main() -> None:
        config = {"storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}}}
        app = create_app(config)
        assert not (tmp_path / "data").exists()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://host") as http:
            both = await asyncio.gather(http.get("/v2/"), http.get("/v2/_catalog"))
        assert [response.status_code for response in both] == [200, 200]

    asyncio.run(main())


async def lifespan(app: ASGIApp, events: list[str]) -> list[Message]:
    answers: list[Message] = []
    waiting: list[Message] = [{"type": f"lifespan.{event}"} for event in events]

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        answers.append(message)

    await app({"type": "lifespan"}, receive, send)
    return answers


def test_configured_storage_lives_as_long_as_the_server(tmp_path: Path) -> None:
    config = {"storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}}}
    answers = asyncio.run(lifespan(create_app(config), ["startup", "shutdown"]))
    assert [one["type"] for one in answers] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert (tmp_path / "data").is_dir()


def test_start_fails_where_the_storage_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    config = {"storage": {"filesystem": {"rootdirectory": str(tmp_path / "file")}}}
    (answer,) = asyncio.run(lifespan(create_app(config), ["startup"]))
    assert answer["type"] == "lifespan.startup.failed"
    assert str(tmp_path / "file") in answer["message"]


class Parts:
    """Notes what is done to storage and guard, and lets some openings fail once."""

    def __init__(self, patch: pytest.MonkeyPatch, *failures: str) -> None:
        self.done: list[str] = []
        self._failures = list(failures)
        for name, owner in (("storage", Storage), ("guard", Guard)):
            patch.setattr(owner, "open", self._opening(name))
            patch.setattr(owner, "aclose", self._closing(name))

    def _opening(self, name: str) -> Callable[..., Awaitable[None]]:
        async def open_(_: object) -> None:
            self.done.append(f"open {name}")
            if name in self._failures:
                self._failures.remove(name)
                raise ConfigurationError(f"{name} is wrong")

        return open_

    def _closing(self, name: str) -> Callable[..., Awaitable[None]]:
        async def aclose(_: object) -> None:
            self.done.append(f"close {name}")

        return aclose


def demo_app() -> RegistryApp:
    return create_app({"storage": {"inmemory": {}}, "auth": {"none": {}}})


def test_what_was_opened_is_not_opened_again_by_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = Parts(monkeypatch, "storage", "guard")

    async def main() -> None:
        app = demo_app()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://host") as http:
            for _ in range(4):
                await http.get("/v2/none")

    asyncio.run(main())
    assert parts.done == ["open storage", "open storage", "open guard", "open guard"]


@pytest.mark.parametrize(
    ("failing", "done"),
    [
        ("storage", ["open storage"]),
        ("guard", ["open storage", "open guard", "close storage"]),
    ],
)
def test_start_that_fails_closes_what_it_has_opened(
    failing: str, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = demo_app()
    parts = Parts(monkeypatch, failing)
    (answer,) = asyncio.run(lifespan(app, ["startup"]))
    assert answer == {"type": "lifespan.startup.failed", "message": f"{failing} is wrong"}
    assert parts.done == done


def test_shutdown_closes_the_guard_before_its_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    app = demo_app()
    parts = Parts(monkeypatch)
    asyncio.run(lifespan(app, ["startup", "shutdown"]))
    assert parts.done == ["open storage", "open guard", "close guard", "close storage"]


def test_what_goes_on_beside_requests_does_so_in_the_lifespan_of_who_mounts_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = demo_app()
    parts = Parts(monkeypatch)
    monkeypatch.setattr(UploadPurger, "start", lambda _: parts.done.append("purge"))

    @asynccontextmanager
    async def around(_: Starlette) -> AsyncIterator[None]:
        async with registry.lifespan():
            yield

    host = Starlette(lifespan=around, routes=[Mount("", registry)])
    asyncio.run(lifespan(host, ["startup", "shutdown"]))
    assert parts.done == [
        *("open storage", "open guard", "purge"),
        *("close guard", "close storage"),
    ]


def test_lifespan_that_fails_to_begin_closes_what_it_has_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = demo_app()
    parts = Parts(monkeypatch, "guard")

    async def main() -> None:
        with pytest.raises(ConfigurationError, match="guard is wrong"):
            async with registry.lifespan():
                raise AssertionError

    asyncio.run(main())
    assert parts.done == ["open storage", "open guard", "close storage"]


def test_storage_that_was_handed_in_is_not_closed_at_shutdown() -> None:
    async def main() -> None:
        async with in_memory() as storage:
            await lifespan(create_app({}, storage=storage), ["startup", "shutdown"])
            await storage.put_content("/a", b"")

    asyncio.run(main())


def test_registry_without_a_storage_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="driver"):
        create_app({})
