"""Notifications of three servers on one machine: with one queue together, or one each."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from registry.tests.client import Repository
from registry.tests.processes import ServerProcess, our_server, running
from registry.tests.serving import eventually
from registry.tests.test_notifications import section, waiting
from registry.tests.test_notifications_kept import Receiver, tags_by_repository

_PAUSE_SECONDS = 0.05


class Pusher(threading.Thread):
    """Pushes tags to one repository, each at the next server, whatever becomes of those.

    Attributes:
        acknowledged: Tags that were answered 201, in order.
    """

    def __init__(self, name: str, urls: Sequence[str]) -> None:
        super().__init__(name=name)
        self.acknowledged: list[str] = []
        self.stopping = threading.Event()
        self._urls = urls

    def run(self) -> None:
        with httpx.Client(base_url=self._urls[0]) as http:
            manifest = Repository(http, self.name).image(self.name.encode())
        for number, url in zip(itertools.count(), itertools.cycle(self._urls), strict=False):
            if self.stopping.wait(_PAUSE_SECONDS):
                return
            try:
                with httpx.Client(base_url=url, timeout=30) as http:
                    answer = Repository(http, self.name).push_manifest(manifest, f"t{number}")
            except httpx.TransportError:
                continue
            if answer.status_code == 201:
                self.acknowledged.append(f"t{number}")


def is_in_order(wanted: Iterable[str], found: Iterable[str]) -> bool:
    """Tell whether all that is wanted is found, in this order, perhaps with others between."""
    rest = iter(found)
    return all(one in rest for one in wanted)


@pytest.mark.parametrize(
    ("together", "seconds"),
    [
        (True, 0),
        pytest.param(False, 0, marks=pytest.mark.large),
        pytest.param(True, 60, marks=pytest.mark.large),
        pytest.param(False, 60, marks=pytest.mark.large),
    ],
)
def test_receiver_is_down_and_servers_are_killed_and_no_event_is_lost_or_out_of_order(
    together: bool, seconds: float, tmp_path: Path
) -> None:
    receiver = Receiver(tmp_path)
    queues = [tmp_path / "queue"] * 3 if together else [tmp_path / f"queue-{n}" for n in range(3)]
    servers = [
        our_server(
            tmp_path,
            {"notifications": section(receiver.url, queue, ignore={"actions": ["pull"]})},
        )
        for queue in queues
    ]
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(running(server))
        stack.callback(receiver.kill)
        pushers = [
            Pusher(f"nodes/r{number}", urls(servers, number, together)) for number in range(3)
        ]
        stack.callback(stop, pushers)
        for pusher in pushers:
            pusher.start()
        more(pushers, 3)
        # It is down from the beginning; so nothing of this is sent meanwhile.
        servers[0].kill()
        time.sleep(seconds / 2)
        more(pushers if together else pushers[1:], 3)
        servers[0].start()
        more(pushers, 3)
        for server in servers:
            server.kill()
        stop(pushers)
        acknowledged = {pusher.name: pusher.acknowledged for pusher in pushers}
        kept = [sum(waiting(queue).values()) for queue in dict.fromkeys(queues)]
        assert sum(kept) >= sum(map(len, acknowledged.values()))
        for server in servers:
            server.start()
        time.sleep(seconds / 2)
        receiver.start()
        for queue in dict.fromkeys(queues):
            eventually(lambda queue=queue: waiting(queue), lambda left: not left)  # type: ignore[misc]
    received = tags_by_repository(receiver.events())
    for name, tags in acknowledged.items():
        assert is_in_order(tags, received[name])


def urls(servers: Sequence[ServerProcess], number: int, together: bool) -> list[str]:
    """Give whom a repository's pusher asks: all, or the one that has its events in order."""
    return [server.url for server in servers] if together else [servers[number].url]


def stop(pushers: Sequence[Pusher]) -> None:
    for pusher in pushers:
        pusher.stopping.set()
    for pusher in pushers:
        if pusher.is_alive():
            pusher.join()


def more(pushers: Sequence[Pusher], count: int) -> None:
    """Wait until each of them has pushed so many more."""
    wanted = {pusher: len(pusher.acknowledged) + count for pusher in pushers}
    eventually(lambda: all(len(one.acknowledged) >= most for one, most in wanted.items()))
