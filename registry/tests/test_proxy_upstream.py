"""How the upstream is asked: what repositories are called there, and with which client."""

from __future__ import annotations

import asyncio

import pytest
from storagedriver_registry.client import RegistryClient, Repository
from storagedriver_registry.configuration.models.operation import ProxySettings
from storagedriver_registry.digest import compute_digest
from storagedriver_registry.proxy.client_upstream import ClientUpstream
from storagedriver_registry.proxy.errors import UpstreamDownError, UpstreamSlowError


class Named(Exception):
    """Tells which repository of which registry was to be asked."""


@pytest.mark.parametrize(
    ("url", "name", "asked"),
    [
        ("https://registry-1.docker.io", "alpine", "registry-1.docker.io/library/alpine"),
        ("https://docker.io/", "alpine", "docker.io/library/alpine"),
        ("docker.io", "alpine", "docker.io/library/alpine"),
        ("https://registry-1.docker.io", "team/app", "registry-1.docker.io/team/app"),
        ("https://registry-1.docker.io", "library/alpine", "registry-1.docker.io/library/alpine"),
        ("https://registry.example:5000", "alpine", "registry.example:5000/alpine"),
        ("http://127.0.0.1:5000", "alpine", "127.0.0.1:5000/alpine"),
    ],
)
def test_official_images_of_docker_hub_are_in_library(
    monkeypatch: pytest.MonkeyPatch, url: str, name: str, asked: str
) -> None:
    def repository(client: RegistryClient, name: str) -> Repository:
        raise Named(f"{client.host}/{name}")

    monkeypatch.setattr(RegistryClient, "repository", repository)

    async def main() -> None:
        upstream = ClientUpstream(ProxySettings(remoteurl=url))
        with pytest.raises(Named, match=f"^{asked}$"):
            await upstream.tagged(name, "v1")
        await upstream.aclose()

    asyncio.run(main())


def test_registry_that_cannot_be_reached_is_down() -> None:
    async def main() -> None:
        upstream = ClientUpstream(ProxySettings(remoteurl="http://127.0.0.1:1"))
        with pytest.raises(UpstreamDownError):
            await upstream.tagged("a", "v1")
        await upstream.aclose()

    asyncio.run(main())


def test_registry_that_says_nothing_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storagedriver_registry.proxy.client_upstream._ANSWER_SECONDS", 0.2)

    async def main() -> None:
        done = asyncio.Event()

        async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await done.wait()
            writer.close()

        server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        upstream = ClientUpstream(ProxySettings(remoteurl=f"http://127.0.0.1:{port}"))
        with pytest.raises(UpstreamSlowError, match="no answer"):
            await upstream.tagged("a", "v1")
        with pytest.raises(UpstreamSlowError, match="no answer"):
            async with asyncio.timeout(60), upstream.blob("a", compute_digest(b"")):
                pass
        done.set()
        await upstream.aclose()
        server.close()
        await server.wait_closed()

    asyncio.run(main())
