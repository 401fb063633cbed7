"""Registries in this process, of which one has the others as mirrors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from storagedriver_registry.client import Mirror, RegistryClient, Repository

from registry.tests.client import OCI_MANIFEST, sha256
from registry.tests.hostile import FakeTime, HostileRegistry, hostile, sent

MANIFEST = b'{"schemaVersion": 2}'
OTHER = b'{"schemaVersion": 2, "annotations": {}}'
HELD = sha256(MANIFEST)


@dataclass
class Mirrored:
    """A registry with two mirrors, and a client of it.

    Attributes:
        mirrors: The mirrors, whose repositories are below `m`.
        upstream: The registry.
        client: The client.
        time: The clock that it goes by.
    """

    mirrors: list[HostileRegistry]
    upstream: HostileRegistry
    client: RegistryClient
    time: FakeTime

    @property
    def repository(self) -> Repository:
        return self.client.repository("a")

    def hold(self, registry: HostileRegistry, data: bytes = MANIFEST, tag: str = "v1") -> None:
        """Have a registry hold a manifest, by tag and by its digest."""
        name = "a" if registry is self.upstream else "m/a"
        for reference in (tag, sha256(data)):
            answer = sent(data, Content_Type=OCI_MANIFEST, Docker_Content_Digest=sha256(data))
            registry.on("GET", f"/v2/{name}/manifests/{reference}", answer)
            registry.on("HEAD", f"/v2/{name}/manifests/{reference}", answer)

    def asked(self) -> list[int]:
        """Give how many requests each has got since this was asked last, the registry's last."""
        counts = []
        for registry in (*self.mirrors, self.upstream):
            counts.append(sum(path.startswith("/v2/") for _, path, _ in registry.requests))
            registry.requests.clear()
        return counts


def with_mirrors(
    test: Callable[[Mirrored], Awaitable[None]],
    mirror: Callable[[HostileRegistry], Mirror] = lambda one: Mirror(f"{one.host}/m"),
    **options: Any,
) -> None:
    """Run a test with two mirrors, which are as `mirror` makes them."""

    async def main() -> None:
        time = FakeTime()
        async with AsyncExitStack() as stack:
            first, second, upstream = [await stack.enter_async_context(hostile()) for _ in range(3)]
            client = RegistryClient(
                upstream.host,
                retries=time.retries(),
                mirrors=[mirror(first), mirror(second)],
                **options,
            )
            await stack.enter_async_context(client)
            await test(Mirrored([first, second], upstream, client, time))

    asyncio.run(main())


async def reset(request: web.BaseRequest) -> web.StreamResponse:
    """Break the connection instead of an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
