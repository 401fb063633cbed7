"""A proxy and its upstream as processes: under load, with credentials, killed, and restarted."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from storagedriver_registry import create_app
from storagedriver_registry.api.request import Message
from storagedriver_registry.client import RegistryClient
from storagedriver_registry.client.credentials import Credentials

from registry.tests.authentication import write_users
from registry.tests.client import OCI_MANIFEST, Repository, sha256
from registry.tests.images import Images
from registry.tests.processes import (
    ServerProcess,
    docker_registry,
    free_port,
    our_server,
    running,
)
from registry.tests.serving import eventually, served
from registry.tests.stores import s3_parameters
from registry.tests.upstreams import Relay, proxy_of, relaying
from storagedriver_core import ConfigurationError

SECONDS = 600
CUT_OFF = (AssertionError, http.client.HTTPException, OSError)


class Pull:
    """One client that pulls one blob by hand.

    Attributes:
        digest: Of what came.
    """

    def __init__(self, server: ServerProcess, name: str, digest: str) -> None:
        self._connection = http.client.HTTPConnection(server.host, timeout=SECONDS)
        self._connection.request("GET", f"/v2/{name}/blobs/{digest}")
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200
        self._hash = hashlib.sha256()

    def __enter__(self) -> Pull:
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.close()
        self._connection.close()

    def begin(self) -> None:
        """Read the first bytes."""
        data = self._answer.read(1000)
        assert data
        self._hash.update(data)

    def end(self) -> str:
        """Read the rest, and give the digest of all of it."""
        buffer = bytearray(1 << 20)
        while size := self._answer.readinto(buffer):
            self._hash.update(memoryview(buffer)[:size])
        assert not self._answer.length, "it is cut off"
        return f"sha256:{self._hash.hexdigest()}"


@pytest.mark.service("docker-registry", "skopeo", "umoci")
@pytest.mark.parametrize(
    ("clients", "size"),
    [(8, 4_000_000), pytest.param(50, 200_000_000, marks=pytest.mark.large)],
)
def test_many_pull_a_cold_blob_and_the_upstream_sends_it_once(
    program: Callable[[str], str], images: Images, tmp_path: Path, clients: int, size: int
) -> None:
    (tmp_path / "upstream").mkdir()
    image = images.make("image", (1, size))
    with ExitStack() as stack:
        theirs = docker_registry(program("docker-registry"), tmp_path / "upstream")
        stack.enter_context(running(theirs))
        images.copy(image, f"docker://{theirs.host}/team/image:v1")
        relay = stack.enter_context(relaying(theirs.url))
        proxy = stack.enter_context(running(proxy_of(relay.url, tmp_path / "proxy")))
        *_, layer = images.layers(f"docker://{theirs.host}/team/image:v1")

        relay.gate.clear()
        waiting = threading.Barrier(clients + 1)

        def pull(_: int) -> str:
            with Pull(proxy, "team/image", layer) as one:
                one.begin()
                waiting.wait(SECONDS)
                return one.end()

        with ThreadPoolExecutor(clients) as pool:
            pulled = pool.map(pull, range(clients))
            # The upstream goes on when each of them has begun, and not before.
            waiting.wait(SECONDS)
            relay.gate.set()
            assert set(pulled) == {layer}
        assert relay.count("GET", layer) == 1
        # Whatever the number of clients and the size: nothing is queued for anybody.
        assert peak_bytes(proxy) < 400 * 1024 * 1024

        source = f"docker://{proxy.host}/team/image:v1"
        digest = images.digest(image)
        assert images.digest(images.pulled(source, "first")) == digest
        eventually(lambda: is_stored(proxy, layer))
        assert relay.count("GET", layer) == 1
        relay.stop()
        theirs.kill()
        assert images.digest(images.pulled(source, "second")) == digest
        assert "is served as it was cached" in proxy.log


def peak_bytes(server: ServerProcess) -> int:
    """Give the most memory that a process has had."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def blob_path(server: ServerProcess, digest: str) -> Path:
    algorithm, _, value = digest.partition(":")
    blobs = server.data / "docker/registry/v2/blobs"
    return blobs / algorithm / value[:2] / value / "data"


def links_below(*folders: Path) -> list[str]:
    """Name the folders that have a link, though others are deleted at the same time."""
    return [at for folder in folders for at, _, files in os.walk(folder) if "link" in files]


def is_stored(server: ServerProcess, digest: str) -> bool:
    return blob_path(server, digest).exists()


class Chain:
    """A registry, a relay before it, and a proxy of that."""

    def __init__(self, upstream: ServerProcess, relay: Relay, proxy: ServerProcess) -> None:
        self.upstream = upstream
        self.relay = relay
        self.proxy = proxy

    def push(self, data: bytes) -> str:
        with httpx.Client(base_url=self.upstream.url) as client:
            return Repository(client, "a").push_blob(data)


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    (tmp_path / "upstream").mkdir()
    with (
        running(our_server(tmp_path / "upstream")) as upstream,
        relaying(upstream.url) as relay,
        running(proxy_of(relay.url, tmp_path / "proxy")) as proxy,
    ):
        yield Chain(upstream, relay, proxy)


def test_upstream_or_proxy_killed_in_the_middle_of_a_blob(chain: Chain) -> None:
    data = bytes(range(251)) * 16_000
    digest = chain.push(data)
    chain.relay.gate.clear()
    with Pull(chain.proxy, "a", digest) as pull:
        pull.begin()
        chain.upstream.kill()
        # What the relay has in its hands is not all.
        chain.relay.cuts = digest
        chain.relay.gate.set()
        with pytest.raises(CUT_OFF):
            pull.end()
    assert not is_stored(chain.proxy, digest)
    chain.relay.heal()
    chain.upstream.start()

    chain.relay.gate.clear()
    with Pull(chain.proxy, "a", digest) as pull:
        pull.begin()
        chain.proxy.kill()
        chain.relay.gate.set()
        with pytest.raises(CUT_OFF):
            pull.end()
    assert not is_stored(chain.proxy, digest)
    # What came had no name anywhere in the store, but in the driver's own place.
    visible = [path for path in chain.proxy.data.iterdir() if path.name != ".storagedriver"]
    assert not [path for one in visible for path in one.rglob("*") if path.stat().st_size > 5000]
    chain.proxy.start()
    with Pull(chain.proxy, "a", digest) as pull:
        assert pull.end() == digest
    eventually(lambda: is_stored(chain.proxy, digest))
    assert blob_path(chain.proxy, digest).read_bytes() == data


def test_what_is_cached_expires_also_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "upstream").mkdir()
    with running(our_server(tmp_path / "upstream")) as upstream:
        with httpx.Client(base_url=upstream.url) as client:
            manifest = Repository(client, "a").push_image("v1", b"a layer")
        proxy = proxy_of(upstream.url, tmp_path / "proxy")
        repository = proxy.data / "docker/registry/v2/repositories/a"
        links = [repository / "_layers", repository / "_manifests/revisions"]
        with running(proxy), httpx.Client(base_url=f"{proxy.url}/v2/a/") as client:
            assert client.get("manifests/v1").status_code == 200
            assert client.get(f"blobs/{sha256(b'a layer')}").content == b"a layer"
            eventually(lambda: all(links_below(path) for path in links))
            assert proxy.stop() == 0
        settings = {"proxy": {"remoteurl": upstream.url, "ttl": "2s"}}
        proxy = our_server(tmp_path / "proxy", settings)
        with running(proxy):
            # Nobody asks for anything: what was kept says itself how old it is.
            eventually(lambda: links_below(*links), lambda left: not left, seconds=SECONDS)
            bytes_of = [blob_path(proxy, one) for one in (manifest, sha256(b"a layer"))]
            eventually(lambda: not any(path.exists() for path in bytes_of), seconds=SECONDS)
            response = httpx.get(f"{proxy.url}/v2/a/manifests/v1")
            assert response.headers["docker-content-digest"] == manifest


KINDS = ("requests", "hits", "misses", "pulled_bytes", "pushed_bytes")


def counted(port: int) -> dict[str, dict[str, int]]:
    """Read what a proxy has counted, of blobs and of manifests."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    found = re.findall(r'^registry_proxy_(\w+)_total{type="(\w+)"} (\S+)$', text, re.MULTILINE)
    values: dict[str, dict[str, int]] = {"blob": {}, "manifest": {}}
    for name, kind, value in found:
        values[kind][name] = int(float(value))
    return values


def test_what_is_fetched_and_served_is_counted(tmp_path: Path) -> None:
    (tmp_path / "upstream").mkdir()
    (tmp_path / "proxy").mkdir()
    port = free_port()
    debug = {"addr": f"127.0.0.1:{port}", "prometheus": {"enabled": True}}
    blob = b"x" * 100_000
    with running(our_server(tmp_path / "upstream")) as upstream:
        with httpx.Client(base_url=upstream.url) as client:
            Repository(client, "a").push_image("v1", blob)
            manifest = len(client.get("/v2/a/manifests/v1").content)
        remote = {"remoteurl": upstream.url}
        with served(tmp_path / "proxy", 2, proxy=remote, http={"debug": debug}) as proxy:
            nothing = dict.fromkeys(KINDS, 0)
            assert counted(port) == {"blob": nothing, "manifest": nothing}
            place = f"{proxy.url}/v2/a"
            assert httpx.head(f"{place}/blobs/{sha256(blob)}").status_code == 200
            assert httpx.get(f"{place}/blobs/{sha256(blob)}").content == blob
            data = proxy.data / "docker/registry/v2/repositories/a/_layers"
            eventually(lambda: links_below(data))
            for _ in range(2):
                assert httpx.get(f"{place}/blobs/{sha256(blob)}").content == blob
            for _ in range(2):
                assert httpx.get(f"{place}/manifests/v1").status_code == 200
            expected = {
                "blob": {
                    **{"requests": 3, "hits": 2, "misses": 1},
                    **{"pulled_bytes": len(blob), "pushed_bytes": 3 * len(blob)},
                },
                "manifest": {
                    **{"requests": 2, "hits": 1, "misses": 1},
                    **{"pulled_bytes": manifest, "pushed_bytes": 2 * manifest},
                },
            }
            # What is counted when its client has the answer already is waited for.
            eventually(lambda: counted(port), lambda found: found == expected)


@pytest.mark.parametrize("kind", ["inmemory", "s3"])
def test_store_that_is_not_local_is_a_cache_as_well(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "upstream").mkdir()
    (tmp_path / "proxy").mkdir()
    store: dict[str, object] = {"inmemory": {}}
    if kind == "s3":
        seaweedfs = request.getfixturevalue("seaweedfs")
        store = {"s3": {**s3_parameters(seaweedfs), "preset": "seaweedfs"}}
    data = bytes(range(251)) * 50_000
    with running(our_server(tmp_path / "upstream")) as upstream, relaying(upstream.url) as relay:
        with httpx.Client(base_url=upstream.url) as client:
            digest = Repository(client, "a").push_image("v1", data)
        settings = {"proxy": {"remoteurl": relay.url}}
        server = our_server(tmp_path / "proxy", settings, store=store)
        with running(server) as proxy, httpx.Client(follow_redirects=True, timeout=60) as client:
            for _ in range(3):
                manifest = client.get(f"{proxy.url}/v2/a/manifests/v1")
                assert manifest.headers["docker-content-digest"] == digest
                assert client.get(f"{proxy.url}/v2/a/blobs/{sha256(data)}").content == data
        assert relay.count("GET", sha256(data)) == relay.count("GET", "manifests/") == 1


def test_upstream_is_below_the_path_of_its_url(tmp_path: Path) -> None:
    me = {"username": "alice", "password": "wonderland"}
    users = write_users(tmp_path / "users", {"alice": "wonderland"})
    auth = {"htpasswd": {"realm": "upstream", "path": str(users)}}
    tags = ["v1", "v2", "v3"]

    async def push(host: str) -> None:
        registry = RegistryClient(host, credentials=Credentials(**me), prefix="/sub/where/")
        async with registry:
            await registry.ping()
            image = registry.repository("a")
            await registry.repository("b").blobs.upload(blob, b"{}")
            assert await image.blobs.mount(blob, "b")
            for tag in tags:
                await image.manifests.put(tag, manifest)
            assert [tag async for tag in image.tags.list(page_size=2)] == tags

    blob = sha256(b"{}")
    config = {"mediaType": "application/json", "size": 2, "digest": blob}
    whole = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": []}
    manifest = json.dumps(whole).encode()
    (tmp_path / "upstream").mkdir()
    with served(tmp_path / "upstream", http={"prefix": "/sub/where/"}, auth=auth) as upstream:
        asyncio.run(push(f"127.0.0.1:{upstream.port}"))
        # As in distribution: what stands behind the last slash is left out.
        remote = {"remoteurl": f"{upstream.url}/v2", **me}
        with running(proxy_of("", tmp_path / "proxy", proxy=remote)) as proxy:
            assert httpx.get(f"{proxy.url}/v2/a/manifests/v1").content == manifest
            assert httpx.get(f"{proxy.url}/v2/a/blobs/{blob}").content == b"{}"
            assert httpx.get(f"{proxy.url}/v2/a/tags/list").json()["tags"] == tags


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"proxy": {"remoteurl": "https://a.example/?team"}}, "proxy.remoteurl"),
        ({"proxy": {"remoteurl": "https://me:confidential@a.example"}}, "proxy.remoteurl"),
        ({"proxy": {"remoteurl": "ftp://a.example"}}, "proxy.remoteurl"),
        (
            {
                "proxy": {"remoteurl": "https://a.example"},
                "storage": {"maintenance": {"readonly": {"enabled": True}}},
            },
            "storage.maintenance.readonly",
        ),
    ],
)
def test_what_can_be_no_proxy_is_an_error(
    settings: Mapping[str, Mapping[str, object]], message: str
) -> None:
    storage = {"inmemory": {}, **settings.get("storage", {})}
    with pytest.raises(ConfigurationError, match=message) as caught:
        create_app({**settings, "storage": storage})
    assert "confidential" not in str(caught.value)


def test_server_whose_spool_is_not_there_does_not_start(tmp_path: Path) -> None:
    spool = tmp_path / "gone"
    settings = {"remoteurl": "http://127.0.0.1:1", "spool": str(spool)}
    app = create_app({"storage": {"inmemory": {}}, "proxy": settings})

    def start() -> Message:
        said: list[Message] = []

        async def receive() -> Message:
            kind = "shutdown" if said and said[0]["type"].endswith("complete") else "startup"
            return {"type": f"lifespan.{kind}"}

        async def send(message: Message) -> None:
            said.append(message)

        async def live() -> None:
            await app({"type": "lifespan"}, receive, send)

        asyncio.run(live())
        return said[0]

    failed = start()
    assert failed["type"] == "lifespan.startup.failed"
    assert failed["message"].startswith("proxy.spool: ")
    assert str(spool) in failed["message"]
    spool.mkdir()
    assert start()["type"] == "lifespan.startup.complete"
