"""A proxy of another registry, which a relay before that one watches."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from registry.tests.client import Repository, error_codes, sha256, unique_name
from registry.tests.described import check
from registry.tests.processes import ServerProcess, our_server, running
from registry.tests.upstreams import Relay, relaying

LAYER = os.urandom(300_000)


class Proxied(NamedTuple):
    """A proxy, the registry that it is a proxy of, and the relay between the two."""

    upstream: ServerProcess
    relay: Relay
    proxy: ServerProcess


@contextmanager
def proxied(
    folder: Path,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    upstream_settings: Mapping[str, Mapping[str, object]] | None = None,
) -> Iterator[Proxied]:
    """Run all three."""
    with ExitStack() as stack:
        for name in ("upstream", "proxy"):
            (folder / name).mkdir()
        upstream = our_server(folder / "upstream", upstream_settings)
        stack.enter_context(running(upstream))
        relay = stack.enter_context(relaying(upstream.url))
        sections = dict(settings or {})
        sections["proxy"] = {"remoteurl": relay.url, **sections.get("proxy", {})}
        proxy = stack.enter_context(running(our_server(folder / "proxy", sections)))
        yield Proxied(upstream, relay, proxy)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    with proxied(tmp_path_factory.mktemp("proxy")) as world:
        yield world


class Place:
    """A repository: upstream, where the test pushes, and at the proxy."""

    def __init__(self, world: Proxied, upstream: httpx.Client, http: httpx.Client) -> None:
        name = unique_name("proxied")
        self.name = name
        self.relay = world.relay
        self.upstream = Repository(upstream, name)
        self.proxy = Repository(http, name)
        self._data = world.proxy.data

    def get(self, rest: str, **headers: str) -> httpx.Response:
        return self.proxy.http.get(self.proxy.url(rest), headers=headers)

    def asked(self, method: str, part: str) -> int:
        """Tell how often the upstream was asked for something in this repository."""
        return self.relay.count(method, f"/v2/{self.name}/{part}")

    def is_cached(self, digest: str) -> bool:
        algorithm, _, value = digest.partition(":")
        root = self._data / "docker/registry/v2"
        link = root / "repositories" / self.name / "_layers" / algorithm / value / "link"
        return link.exists() and (root / "blobs" / algorithm / value[:2] / value / "data").exists()


@pytest.fixture
def place(shared: Proxied) -> Iterator[Place]:
    """A repository of its own for each test; whatever the proxy answers is in the API's table."""
    with (
        httpx.Client(base_url=shared.upstream.url) as upstream,
        httpx.Client(base_url=shared.proxy.url, event_hooks={"response": [check]}) as http,
    ):
        yield Place(shared, upstream, http)
        shared.relay.answers.clear()


def test_image_is_fetched_once_and_then_served_from_the_cache(place: Place) -> None:
    digest = place.upstream.push_image("v1", LAYER)
    for method in ("HEAD", "GET"):
        response = place.proxy.http.request(method, place.proxy.url("manifests/v1"))
        direct = place.upstream.http.request(method, place.upstream.url("manifests/v1"))
        assert (response.status_code, response.content) == (200, direct.content)
        for name in ("docker-content-digest", "content-type", "content-length", "etag"):
            assert response.headers[name] == direct.headers[name]
    for _ in range(2):
        assert place.get(f"manifests/{digest}").content == direct.content
        for descriptor in (direct.json()["config"], *direct.json()["layers"]):
            blob = place.get(f"blobs/{descriptor['digest']}")
            assert (blob.status_code, sha256(blob.content)) == (200, descriptor["digest"])
            assert place.asked("GET", f"blobs/{descriptor['digest']}") == 1
    # Each look at a tag is one question without content; the manifest itself comes once.
    assert (place.asked("HEAD", "manifests/v1"), place.asked("GET", "manifests/")) == (2, 1)
    assert place.is_cached(sha256(LAYER))
