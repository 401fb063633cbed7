"""Three nodes on one bucket with a shared cache, behind nginx: as the docs' recipe has it."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from registry.tests.client import sha256
from registry.tests.deploying import nginx, node_store, nodes
from registry.tests.persistent import Client, Pushed
from registry.tests.processes import ServerProcess, running
from registry.tests.serving import Certificates
from servers.seaweedfs import SeaweedFS
from servers.valkey import Valkey

# Until a client has pushed again, on a slow machine, while servers start.
_SECONDS = 120


@dataclass(frozen=True)
class Load:
    """How much is done.

    Attributes:
        clients: Clients at once.
        large: Each so many images of a client have a layer of several parts.
        pause: Seconds that a client waits from one image to the next.
        seconds: For how long nodes are killed; each of them once if it is 0.
        between: Seconds from one kill to the next; as long as a few pushes take if it is 0.
        looks: How many of the nodes are asked for each image at the end.
    """

    clients: int
    large: int
    pause: float
    seconds: float = 0.0
    between: float = 0.0
    looks: int = 1


SMALL = Load(clients=3, large=4, pause=1)
LARGE = Load(clients=8, large=10, pause=0, seconds=120, between=3, looks=3)


class Crowd:
    """Clients that push and pull until it is left."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self.clients = clients

    def __enter__(self) -> Crowd:
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients:
            client.stopping.set()
        for client in self.clients:
            client.join()

    def again(self) -> Counter[str]:
        """Give how often they were told what, and asked again."""
        return sum((client.again.copy() for client in self.clients), Counter())

    def pushed(self) -> int:
        return sum(len(client.acknowledged) for client in self.clients)

    def check(self) -> None:
        """Raise what a client was told that no client may be."""
        for client in self.clients:
            if client.failure is not None:
                raise client.failure

    def go_on(self, rounds: int = 1) -> None:
        """Wait until every client has pushed and pulled so many more images."""
        wanted = {client: (len(client.acknowledged), client.pulls) for client in self.clients}
        deadline = time.monotonic() + _SECONDS
        while not all(
            len(client.acknowledged) >= pushed + rounds and client.pulls >= pulled + rounds
            for client, (pushed, pulled) in wanted.items()
        ):
            self.check()
            assert time.monotonic() < deadline, f"{self.pushed()} pushed; {self.again()}"
            time.sleep(0.05)


def kill_each(servers: Sequence[ServerProcess], crowd: Crowd, valkey: Valkey) -> int:
    """Kill each node, and start it when the others have gone on for a while."""
    for number, server in enumerate(servers):
        server.kill()
        if number == 1:
            valkey.kill()
        crowd.go_on()
        server.start()
        if number == 1:
            valkey.start()
        crowd.go_on()
    return len(servers)


def kill_for(load: Load, servers: Sequence[ServerProcess], crowd: Crowd, valkey: Valkey) -> int:
    """Kill a node every few seconds, and stop and start the cache now and then.

    A node that was killed is started at once, and the others do not wait for it. One is always up.
    """
    chance, kills = random.Random(0), 0
    starting: dict[ServerProcess, Future[None]] = {}
    end = time.monotonic() + load.seconds
    with ThreadPoolExecutor(len(servers)) as threads:
        while time.monotonic() < end:
            crowd.check()
            for server in [one for one, started in starting.items() if started.done()]:
                starting.pop(server).result()
            up = [server for server in servers if server not in starting]
            if len(up) > 1:
                server = chance.choice(up)
                server.kill()
                starting[server] = threads.submit(server.start)
                kills += 1
                (valkey.kill if kills % 6 < 3 else valkey.start)()
            time.sleep(load.between)
        for started in starting.values():
            started.result()
    valkey.start()
    return kills


def check_node(server: ServerProcess, everything: Sequence[Pushed]) -> None:
    """See that one node has all of it, by digest and by tag."""
    with httpx.Client(base_url=server.url, timeout=60, follow_redirects=True) as http:
        for one in everything:
            for reference in (sha256(one.manifest), one.tag):
                found = http.get(f"/v2/{one.name}/manifests/{reference}")
                assert (found.status_code, found.content) == (200, one.manifest)
            for data in one.blobs:
                found = http.get(f"/v2/{one.name}/blobs/{sha256(data)}")
                assert found.status_code == 200
                assert found.content == data


@pytest.mark.service("nginx", "valkey-server")
@pytest.mark.parametrize(
    "load", [SMALL, pytest.param(LARGE, marks=pytest.mark.large)], ids=["small", "large"]
)
def test_every_acknowledged_push_can_be_pulled_while_nodes_are_killed(
    load: Load, tmp_path: Path, seaweedfs: SeaweedFS
) -> None:
    certificates = Certificates(tmp_path)
    with ExitStack() as stack:
        # Of its own: it is killed.
        valkey = stack.enter_context(Valkey(tmp_path / "valkey"))
        servers = nodes(tmp_path, node_store(seaweedfs), valkey)
        for server in servers:
            stack.enter_context(running(server))
        hosts = [server.host for server in servers]
        proxy = stack.enter_context(nginx(tmp_path / "nginx", hosts, certificates))
        clients = [
            Client(number, proxy.url, certificates.context(), large=load.large, pause=load.pause)
            for number in range(load.clients)
        ]
        with Crowd(clients) as crowd:
            crowd.go_on()
            # Without the cache nothing changes but the speed: no client has to ask again.
            for change in (valkey.kill, valkey.start):
                change()
                crowd.go_on()
            assert not crowd.again()
            if load.seconds:
                kills = kill_for(load, servers, crowd, valkey)
            else:
                kills = kill_each(servers, crowd, valkey)
            crowd.go_on()
        crowd.check()
        everything = [one for client in clients for one in client.acknowledged]
        for number, server in enumerate(servers):
            for look in range(load.looks):
                check_node(server, everything[(number + look) % len(servers) :: len(servers)])
        pulls = sum(client.pulls for client in clients)
        print(f"{len(everything)} pushed, {pulls} pulled meanwhile, {kills} kills;", end=" ")
        print(f"asked again: {dict(crowd.again())}")
