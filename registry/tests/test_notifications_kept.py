"""Notifications of real servers: killed, with receivers that are down, with several workers."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from registry.tests.client import Repository
from registry.tests.processes import free_port, kill_with_workers
from registry.tests.receivers import Answering, answering
from registry.tests.serving import Served, eventually, served
from registry.tests.test_notifications import section, waiting

ROOT = Path(__file__).resolve().parents[2]


class Receiver:
    """A receiver in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._file = folder / "received"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        module = "registry.tests.receivers"
        command = [sys.executable, "-m", module, str(self.port), str(self._file)]
        self._process = subprocess.Popen(command, cwd=ROOT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def events(self) -> list[Any]:
        if not self._file.exists():
            return []
        # A line that is not whole was not answered.
        lines = self._file.read_bytes().split(b"\n")[:-1]
        return [event for line in lines for event in json.loads(line)["events"]]


def tags_by_repository(events: Sequence[Any]) -> dict[str, list[str]]:
    """Give the tags that were pushed, in order; the first time that each is told."""
    found: dict[str, list[str]] = {}
    seen: set[str] = set()
    for event in events:
        if "tag" in event["target"] and event["id"] not in seen:
            seen.add(event["id"])
            found.setdefault(event["target"]["repository"], []).append(event["target"]["tag"])
    return found


class Pusher(threading.Thread):
    """Pushes tags to one repository, one after the other, until the registry is gone."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self._url = url
        self.name = name
        self.acknowledged: list[str] = []

    def run(self) -> None:
        with contextlib.suppress(httpx.TransportError):
            with httpx.Client(base_url=self._url) as http:
                manifest = Repository(http, self.name).image(self.name.encode())
            for number in itertools.count():
                # A connection each time, so that any worker may get it.
                with httpx.Client(base_url=self._url, timeout=30) as http:
                    repository = Repository(http, self.name)
                    if repository.push_manifest(manifest, f"t{number}").status_code == 201:
                        self.acknowledged.append(f"t{number}")


@pytest.mark.parametrize(
    ("workers", "rounds", "seconds"),
    [(1, 2, 0), (2, 2, 0), pytest.param(2, 3, 25, marks=pytest.mark.large)],
)
def test_receiver_is_down_and_the_registry_is_killed_and_no_event_is_lost_or_out_of_order(
    tmp_path: Path, workers: int, rounds: int, seconds: float
) -> None:
    receiver = Receiver(tmp_path)
    notifications = section(receiver.url, threshold=3, ignore={"actions": ["pull"]})
    receiver.start()
    try:
        acknowledged: dict[str, list[str]] = {}
        for round_ in range(rounds):
            with served(tmp_path, workers, notifications=notifications) as server:
                names = [f"round{round_}/r{number}" for number in range(3)]
                pushers = [Pusher(server.url, name) for name in names]
                for pusher in pushers:
                    pusher.start()

                def each_has(count: int, pushers: list[Pusher] = pushers) -> bool:
                    return all(len(pusher.acknowledged) >= count for pusher in pushers)

                eventually(lambda: each_has(4))
                if round_ == 0:
                    receiver.kill()
                eventually(lambda: each_has(8))
                time.sleep(seconds)
                kill_with_workers(server.process)
                for pusher in pushers:
                    pusher.join()
                    acknowledged[pusher.name] = pusher.acknowledged
        received = tags_by_repository(receiver.events())
        assert sum(map(len, received.values())) < sum(map(len, acknowledged.values()))
        receiver.start()
        with served(tmp_path, workers, notifications=notifications) as server:
            eventually(lambda: waiting(tmp_path / "data" / ".notifications"), lambda w: not w)
            assert server.stop() == 0
    finally:
        receiver.kill()
    received = tags_by_repository(receiver.events())
    for name, tags in acknowledged.items():
        # What was not acknowledged may have been done all the same: one tag at most.
        assert received[name][: len(tags)] == tags
        assert len(received[name]) <= len(tags) + 1


def push_and_wait(server: Served, receiver: Receiver, name: str) -> None:
    with httpx.Client(base_url=server.url) as http:
        Repository(http, name).push_image("v1")
    eventually(lambda: name in tags_by_repository(receiver.events()))


def test_worker_that_sends_is_killed_and_another_goes_on(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path)
    notifications = section(receiver.url)
    queue = tmp_path / "data" / ".notifications"
    receiver.start()
    try:
        with served(tmp_path, 2, notifications=notifications) as server:
            push_and_wait(server, receiver, "w/first")
            # One of them sends, and each is replaced.
            for worker in server.workers():
                # What is told and not yet forgotten would be told again.
                eventually(lambda: waiting(queue), lambda w: not w)
                os.kill(worker, signal.SIGKILL)
                eventually(lambda: len(server.workers()) == 2)
                push_and_wait(server, receiver, f"w/{worker}")
        # Only one of them has sent it.
        ids = [event["id"] for event in receiver.events()]
        repositories = [event["target"]["repository"] for event in receiver.events()]
        assert repositories.count("w/first") == 3
        assert len(ids) >= len(set(ids)) == 9
    finally:
        receiver.kill()


@pytest.fixture
def answering_receiver() -> Iterator[Answering]:
    with answering() as server:
        yield server


def test_notifications_are_measured(tmp_path: Path, answering_receiver: Answering) -> None:
    receiver = answering_receiver
    port = free_port()
    debug = {"addr": f"127.0.0.1:{port}", "prometheus": {"enabled": True}}
    receiver.statuses = [500]
    notifications = section(receiver.url, ignore={"actions": ["pull"]})
    notifications["endpoints"].append(
        {"name": "gone", "url": f"http://127.0.0.1:{free_port()}/", "ignore": {"actions": ["pull"]}}
    )
    notifications["queue"] = {"most": 2}
    with served(tmp_path, http={"debug": debug}, notifications=notifications) as server:

        def metrics() -> set[str]:
            return set(httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines())

        with httpx.Client(base_url=server.url) as http:
            for number in range(3):
                Repository(http, "measured").push_blob(b"%d" % number)
                eventually(lambda: len(receiver.events()), (number + 1).__eq__)
        expected = {
            'registry_notifications_events_total{endpoint="listener",type="Events"} 3.0',
            'registry_notifications_events_total{endpoint="listener",type="Successes"} 3.0',
            'registry_notifications_events_total{endpoint="listener",type="Failures"} 1.0',
            'registry_notifications_status_total{code="200 OK",endpoint="listener"} 3.0',
            "registry_notifications_status_total"
            '{code="500 Internal Server Error",endpoint="listener"} 1.0',
            'registry_notifications_pending_total{endpoint="listener"} 0.0',
            'registry_notifications_events_total{endpoint="gone",type="Events"} 2.0',
            'registry_notifications_pending_total{endpoint="gone"} 2.0',
            'storagedriver_registry_notifications_dropped_total{endpoint="gone"} 1.0',
        }
        eventually(lambda: expected - metrics(), lambda missing: not missing)
        assert any(
            line.startswith('registry_notifications_events_total{endpoint="gone",type="Errors"}')
            for line in metrics()
        )
