"""Whose a tag is: what was pushed to a proxy's storage is not the upstream's to move or delete."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import httpx
import pytest
from storagedriver_registry.digest import Digest, compute_digest
from storagedriver_registry.storage import make_stores
from storagedriver_registry.storage.errors import TagUnknownError
from storagedriver_registry.storage.manifests import StoredManifest

from registry.tests.application import Application, run
from registry.tests.client import OCI_INDEX, Repository, unique_name
from registry.tests.processes import ServerProcess
from registry.tests.test_proxy_quiet import close
from registry.tests.upstreams import Relay, relaying


class Place:
    """A repository: upstream, and at a proxy in this process."""

    def __init__(self, application: Application, upstream: Repository, relay: Relay) -> None:
        self.upstream = upstream
        self.relay = relay
        self.name = upstream.name
        self._application = application
        self._stores = make_stores(application.storage)

    async def get(self, tag: str) -> httpx.Response:
        return await self._application.http.get(f"/v2/{self.name}/manifests/{tag}")

    async def push(self, tag: str) -> str:
        """Push, as if it was before there was a proxy."""
        body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
        data = json.dumps({**body, "annotations": {"of": self.name}}).encode()
        digest = compute_digest(data)
        manifest = StoredManifest(digest, data, OCI_INDEX)
        await self._stores.manifests.put(self.name, manifest, keep_type=False)
        await self._stores.tags.put(self.name, tag, digest)
        return str(digest)

    async def tagged(self, tag: str) -> Digest | None:
        """Give what the tag is in the storage."""
        try:
            return await self._stores.tags.resolve(self.name, tag)
        except TagUnknownError:
            return None


def proxied(server: ServerProcess, test: Callable[[Place], Awaitable[None]]) -> None:
    with relaying(server.url) as relay, httpx.Client(base_url=server.url) as client:
        upstream = Repository(client, unique_name("pushed"))

        async def tested(application: Application) -> None:
            try:
                await test(Place(application, upstream, relay))
            finally:
                await close(application.app)

        run(tested, sections={"proxy": {"remoteurl": relay.url}})


@pytest.mark.parametrize("is_tag_upstream", [False, True])
def test_tag_that_was_pushed_stays_whatever_the_upstream_has(
    server: ServerProcess, is_tag_upstream: bool
) -> None:
    async def test(place: Place) -> None:
        pushed = await place.push("v1")
        if is_tag_upstream:
            assert place.upstream.push_image("v1") != pushed
        for _ in range(2):
            assert (await place.get("v1")).headers["docker-content-digest"] == pushed
        assert str(await place.tagged("v1")) == pushed

    proxied(server, test)


def test_tag_that_was_fetched_goes_only_if_a_registry_says_so(server: ServerProcess) -> None:
    async def test(place: Place) -> None:
        digest = place.upstream.push_image("v1")
        assert (await place.get("v1")).status_code == 200
        # Such as another server at that address answers.
        place.relay.answers["manifests/"] = (404, {})
        assert (await place.get("v1")).headers["docker-content-digest"] == digest
        assert (await place.get("v2")).status_code == 404
        place.relay.heal()
        place.upstream.http.delete(place.upstream.url("manifests/v1"))
        assert (await place.get("v1")).status_code == 404
        assert await place.tagged("v1") is None

    proxied(server, test)
