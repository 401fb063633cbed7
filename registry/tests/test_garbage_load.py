"""Garbage is collected in a loop while clients push, tag, mount and delete."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from storagedriver_registry.configuration import load_configuration
from storagedriver_registry.maintenance import collect_garbage
from storagedriver_registry.storage import condemned, paths
from storagedriver_registry.storage.garbage_report import GarbageOptions, GarbageReport

from registry.tests.client import Repository, sha256
from registry.tests.deploying import node_store, nodes
from registry.tests.garbage import image, index, write_config
from registry.tests.processes import REGISTRY, docker_registry, our_server, running

NAMES = ("one", "two", "two/three")
MOST_SECONDS = 120.0
"""For what has to come and has not, after the time in which it comes elsewhere."""


@dataclass(frozen=True)
class Load:
    """How much is done, and for how long.

    Attributes:
        clients: Clients at once.
        seconds: How long they are at work, at least.
        grace: The grace period in seconds.
        shared: Layers that all clients use, so that each is garbage, and pushed again, many times.
        least: Blobs that have to be collected meanwhile.
        kills: Whether some collectors are killed.
        nodes: Whether three servers on one bucket are asked by turns, in the place of one on files.
    """

    clients: int
    seconds: float
    grace: float
    shared: int
    least: int
    kills: bool = False
    nodes: bool = False


SMALL = Load(clients=4, seconds=7, grace=2, shared=30, least=1)
LARGE = Load(clients=8, seconds=120, grace=4, shared=400, least=500, kills=True)
# A push takes longer there, and so does a collection.
NODES = Load(clients=6, seconds=120, grace=12, shared=150, least=50, kills=True, nodes=True)


@dataclass
class Client:
    """One client, with tags of its own.

    Attributes:
        number: Tells it from the others.
        servers: Its connections, to each server.
        shared: Layers that it shares with the others.
        grace: The grace period in seconds.
        tags: The manifest at each of its tags, with its blobs and, of an index, its members.
        done: How often it has done what.
    """

    number: int
    servers: list[httpx.Client]
    shared: int
    grace: float
    tags: dict[tuple[str, str], tuple[bytes, list[bytes], list[bytes]]] = field(
        default_factory=dict
    )
    done: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.number)
        self._pushed: dict[str, str] = {}
        self._layers: deque[tuple[float, bytes]] = deque()

    @property
    def http(self) -> httpx.Client:
        """Whom it asks next."""
        return self._random.choice(self.servers)

    def step(self) -> None:
        """Do one thing that clients do."""
        actions: list[tuple[Callable[[], None], int]] = [
            (self.push_image, 6),
            (self.push_index, 2),
            (self.retag, 3),
            (self.check, 3),
            (self.delete_tag, 2),
            (self.delete_manifest, 2),
        ]
        [(action, _)] = self._random.choices(actions, [weight for _, weight in actions])
        action()
        self.done[action.__name__] = self.done.get(action.__name__, 0) + 1

    def push_image(self) -> None:
        name, (manifest, blobs) = self._name(), self._image()

        def push() -> None:
            self._push_blobs(name, blobs)
            self._put(name, self._tag(), manifest)

        self._in_time(push)
        self.tags[name, self._last] = (manifest, blobs, [])

    def push_index(self) -> None:
        name = self._name()
        images = [self._image() for _ in range(2)]
        members = [manifest for manifest, _ in images]

        def push() -> None:
            for manifest, blobs in images:
                self._push_blobs(name, blobs)
                self._put(name, sha256(manifest), manifest)
            self._put(name, self._tag(), index(*members))

        self._in_time(push)
        self.tags[name, self._last] = (
            index(*members),
            [data for _, blobs in images for data in blobs],
            members,
        )

    def _in_time(self, push: Callable[[], None]) -> None:
        """Push; what may be refused, for it took longer than the grace period, is pushed again."""
        while True:
            begun = time.monotonic()
            try:
                push()
            except AssertionError:
                if time.monotonic() - begun < self.grace - condemned.LEARN_SECONDS:
                    raise
                self._count("too slow")
            else:
                return

    def retag(self) -> None:
        """Give what has a tag another one, which another manifest may lose."""
        if self.tags:
            (name, _), (manifest, blobs, members) = self._any()
            self._put(name, self._tag(), manifest)
            self.tags[name, self._last] = (manifest, blobs, members)

    def delete_tag(self) -> None:
        if self.tags:
            (name, tag), _ = self._any()
            del self.tags[name, tag]
            self._expect(202, "DELETE", f"/v2/{name}/manifests/{tag}")

    def delete_manifest(self) -> None:
        """Delete what has a tag, and with it all its tags."""
        if self.tags:
            (name, _), (manifest, _, _) = self._any()
            gone = [key for key, one in self.tags.items() if (key[0], one[0]) == (name, manifest)]
            for key in gone:
                del self.tags[key]
            self._expect(202, "DELETE", f"/v2/{name}/manifests/{sha256(manifest)}")

    def check(self) -> None:
        """See that what has a tag is whole."""
        if self.tags:
            self.check_one(self._any()[0])

    def check_one(self, key: tuple[str, str]) -> None:
        (name, tag), (manifest, blobs, members) = key, self.tags[key]
        for reference, data in ((tag, manifest), *((sha256(one), one) for one in members)):
            path = f"/v2/{name}/manifests/{reference}"
            assert self._expect(200, "GET", path).content == data
            self._expect(200, "HEAD", path)
        for data in blobs:
            path = f"/v2/{name}/blobs/{sha256(data)}"
            assert self._expect(200, "GET", path).content == data
            self._expect(200, "HEAD", path)

    def _name(self) -> str:
        return self._random.choice(NAMES)

    def _tag(self) -> str:
        self._last = f"c{self.number}-{self._random.randrange(6)}"
        return self._last

    def _any(self) -> tuple[tuple[str, str], tuple[bytes, list[bytes], list[bytes]]]:
        key = self._random.choice(list(self.tags))
        return key, self.tags[key]

    def _image(self) -> tuple[bytes, list[bytes]]:
        numbers = self._random.sample(range(self.shared), 3)
        layers = [f"shared layer {number}".encode() * 50 for number in numbers]
        layers.append(self._own_layer())
        # One that no other client pushes, so that none deletes it.
        return image(*layers, annotations={"by": str(self.number)}), [b"{}", *layers]

    def _own_layer(self) -> bytes:
        """Give a layer that no other client has: a new one, or one that may be garbage by now."""
        now = time.monotonic()
        while self._layers and now - self._layers[0][0] > 4 * self.grace:
            self._layers.popleft()
        old = [layer for since, layer in self._layers if now - since > self.grace]
        layer = self._random.randbytes(2000)
        if old and self._random.random() < 0.2:
            layer = self._random.choice(old)
        self._layers.append((now, layer))
        return layer

    def _push_blobs(self, name: str, blobs: list[bytes]) -> None:
        """Push blobs as clients do: what is there is not pushed, and what is elsewhere mounted."""
        for data in blobs:
            digest = sha256(data)
            found = self.http.head(f"/v2/{name}/blobs/{digest}").status_code
            assert found in (200, 404)
            if found == 200:
                self._count("found")
                continue
            source = self._pushed.get(digest, name)
            self._pushed[digest] = name
            query = {} if source == name else {"mount": digest, "from": source}
            begun = self.http.post(f"/v2/{name}/blobs/uploads/", params=query)
            if query and begun.status_code == 201:
                self._count("mounted")
                continue
            assert begun.status_code == 202, begun.text
            url = httpx.URL(begun.headers["location"]).copy_merge_params({"digest": digest})
            done = self.http.put(url.raw_path.decode(), content=data)
            assert done.status_code == 201, done.text

    def _put(self, name: str, reference: str, manifest: bytes) -> None:
        self._expect(
            201,
            "PUT",
            f"/v2/{name}/manifests/{reference}",
            content=manifest,
            headers={"content-type": json.loads(manifest)["mediaType"]},
        )

    def _expect(
        self,
        status: int,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        response = self.http.request(method, path, content=content, headers=headers)
        assert response.status_code == status, f"{method} {path}: {response.text}"
        return response

    def _count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1


class Registry(NamedTuple):
    """What runs.

    Attributes:
        config: A configuration of the store.
        urls: Of each server.
        old: Images that are there already, as `Client.tags` has them.
    """

    config: Path
    urls: list[str]
    old: dict[tuple[str, str], tuple[bytes, list[bytes], list[bytes]]]


class Collecting(threading.Thread):
    """Collects in a loop, until it is told to stop.

    Attributes:
        blobs: Blobs that were deleted.
        killed: Collectors that were killed.
        failure: What went wrong.
    """

    def __init__(self, config: Path, load: Load) -> None:
        super().__init__(daemon=True)
        self.stopping = threading.Event()
        self.blobs = self.killed = self.spared = 0
        self.failure: BaseException | None = None
        self._config = config
        self._load = load

    def run(self) -> None:
        try:
            rounds = 0
            while not self.stopping.is_set():
                rounds += 1
                if self._load.kills and rounds % 5 == 0:
                    self._kill_one()
                    continue
                report = collect(self._config, self._load.grace)
                self.blobs += sum(not item.name for item in report.deleted)
                self.spared += report.spared
        except BaseException as error:
            self.failure = error

    def _kill_one(self) -> None:
        command = [REGISTRY, "garbage-collect", "-m", "--grace", f"{self._load.grace}s"]
        process = subprocess.Popen([*command, str(self._config)], stdout=subprocess.DEVNULL)
        try:
            process.wait(random.uniform(0.7, 4.0 if self._load.nodes else 2.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.killed += 1


def collect(config: Path, grace: float) -> GarbageReport:
    options = GarbageOptions(grace=timedelta(seconds=grace), delete_untagged=True)
    loaded = load_configuration(config)
    return asyncio.run(collect_garbage(loaded, options, lambda what, count, total: None))


@contextmanager
def registry_of(load: Load, folder: Path, request: pytest.FixtureRequest) -> Iterator[Registry]:
    """Run what the load is for; an image that distribution has pushed is in a bucket."""
    if not load.nodes:
        with running(our_server(folder)) as server:
            yield Registry(write_config(folder), [server.url], {})
        return
    program: Callable[[str], str] = request.getfixturevalue("program")
    store = node_store(request.getfixturevalue("seaweedfs"))
    # It has no preset, and wants to be told that there is no TLS.
    section = {**store["s3"], "secure": False}
    del section["preset"]
    theirs = docker_registry(program("docker-registry"), folder, store={"s3": section})
    with running(theirs), httpx.Client(base_url=theirs.url) as http:
        old = Repository(http, "old")
        kept = image(b"kept")
        old.push_blob(b"kept")
        old.push_blob(b"{}")
        old.push_blob(b"garbage from the beginning")
        assert old.push_manifest(kept, "v1").status_code == 201
    with ExitStack() as stack:
        servers = nodes(folder, store, request.getfixturevalue("valkey"), {"max_stale": 0})
        urls = [stack.enter_context(running(server)).url for server in servers]
        yield Registry(servers[0].config, urls, {("old", "v1"): (kept, [b"{}", b"kept"], [])})


async def stored_blobs(config: Path) -> set[str]:
    backend = load_configuration(config).backend
    assert backend is not None
    async with backend.build() as storage:
        found = [info.path async for info in storage.walk(paths.BLOBS)]
    return {f"sha256:{path.split('/')[-2]}" for path in found if path.endswith("/data")}


@pytest.mark.parametrize(
    "load",
    [
        SMALL,
        pytest.param(LARGE, marks=pytest.mark.large),
        pytest.param(NODES, marks=[pytest.mark.large, pytest.mark.service("docker-registry")]),
    ],
    ids=["small", "large", "nodes"],
)
def test_clients_notice_nothing_and_nothing_is_left(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    with registry_of(load, tmp_path, request) as registry, ExitStack() as stack:
        config = registry.config
        clients = []
        for number in range(load.clients):
            servers = [
                stack.enter_context(httpx.Client(base_url=url, timeout=60)) for url in registry.urls
            ]
            clients.append(Client(number, servers, load.shared, load.grace))
        # Images from before, which nobody changes.
        before = (load.clients, clients[0].servers, load.shared, load.grace)
        clients.append(Client(*before, dict(registry.old)))
        failures: list[BaseException] = []
        begun = time.monotonic()
        collecting = Collecting(config, load)

        def has_seen_enough() -> bool:
            """On a slow machine it takes longer until that is so."""
            seconds = time.monotonic() - begun
            is_enough = (
                collecting.blobs >= load.least
                and (not load.kills or (collecting.killed and collecting.spared))
                and all("push_image" in client.done for client in clients[:-1])
            )
            return seconds >= (load.seconds if is_enough else load.seconds + MOST_SECONDS)

        def work(client: Client) -> None:
            try:
                while not (failures or collecting.failure or has_seen_enough()):
                    client.step()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(client,)) for client in clients[:-1]]
        for thread in (*threads, collecting):
            thread.start()
        for thread in threads:
            thread.join()
        collecting.stopping.set()
        collecting.join(MOST_SECONDS)
        assert not collecting.is_alive(), "a collection does not end"
        for failure in (*failures, collecting.failure):
            if failure is not None:
                raise failure
        assert collecting.blobs >= load.least
        assert not load.kills or (collecting.killed and collecting.spared)
        for client in clients:
            for key in client.tags:
                client.check_one(key)
        assert all("push_image" in client.done for client in clients[:-1])
        # Nobody is at work any more, so nobody has to learn anything.
        monkeypatch.setattr(condemned, "LEARN_SECONDS", 0.0)
        while True:
            report = collect(config, 0)
            if not (report.deleted or report.condemned or report.waiting):
                break
        needed: set[str] = set()
        for client in clients:
            for key, (manifest, blobs, members) in client.tags.items():
                client.check_one(key)
                needed.update(map(sha256, (manifest, *blobs, *members)))
        assert asyncio.run(stored_blobs(config)) == needed
        told = {what for client in clients for what in client.done}
        counts = {what: sum(client.done.get(what, 0) for client in clients) for what in told}
        print(f"{counts}; {collecting.blobs} blobs collected, {collecting.spared} spared, ", end="")
        print(f"{collecting.killed} collectors killed")
