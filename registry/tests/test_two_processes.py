"""Two server processes on one store, both at work on one upload session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from registry.tests.client import Repository, SlowRequest, sha256, unique_name
from registry.tests.processes import ServerProcess, our_server, running
from registry.tests.test_cloud import make_s3
from servers.seaweedfs import SeaweedFS
from servers.valkey import Valkey

MIB = 1024 * 1024


class Pair(NamedTuple):
    """Two servers, and one repository on each.

    Attributes:
        servers: The servers.
        repositories: The same repository, by a client of each.
    """

    servers: list[ServerProcess]
    repositories: list[Repository]

    def at(self, number: int, location: str) -> str:
        """Give the location on one of the servers."""
        host, _, port = self.servers[number].host.partition(":")
        return str(httpx.URL(location).copy_with(host=host, port=int(port)))


@contextmanager
def two_servers(
    folder: Path,
    store: dict[str, object] | None = None,
    settings: dict[str, dict[str, object]] | None = None,
) -> Iterator[Pair]:
    name = unique_name()
    with ExitStack() as stack:
        servers, repositories = [], []
        for _ in range(2):
            server = stack.enter_context(running(our_server(folder, settings, store=store)))
            client = stack.enter_context(
                httpx.Client(base_url=server.url, timeout=60, follow_redirects=True)
            )
            servers.append(server)
            repositories.append(Repository(client, name))
        yield Pair(servers, repositories)


class Race(NamedTuple):
    """How two appends race.

    Attributes:
        first: Bytes that make the session one that has a token.
        chunk: Bytes of each append.
        rounds: How often.
    """

    first: int
    chunk: int
    rounds: int


# Chunks on S3 are parts of their own, so that two in one place would replace each other.
RACES = {"filesystem": Race(10, 100_000, 20), "s3": Race(5 * MIB, 5 * MIB, 3)}


@pytest.mark.parametrize("kind", RACES)
def test_one_of_two_overlapping_appends_wins_and_nothing_acknowledged_is_lost(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = None
    if kind == "s3":
        store = dict(make_s3(request.getfixturevalue("seaweedfs")).section)
    race = RACES[kind]
    with two_servers(tmp_path, store) as pair, ThreadPoolExecutor(2) as pool:
        one = pair.repositories[0]
        whole = os.urandom(race.first)
        location = one.location(one.patch(one.begin(), whole))
        for _ in range(race.rounds):
            chunks = [os.urandom(race.chunk) for _ in range(2)]
            content_range = f"{len(whole)}-{len(whole) + race.chunk - 1}"

            def append(
                number: int,
                location: str = location,
                chunks: list[bytes] = chunks,
                content_range: str = content_range,
            ) -> int:
                where = pair.at(number, location)
                return (
                    pair.repositories[number]
                    .patch(where, chunks[number], content_range)
                    .status_code
                )

            statuses = list(pool.map(append, range(2)))
            assert sorted(statuses) in ([202, 409], [202, 416])
            whole += chunks[statuses.index(202)]
            for number, repository in enumerate(pair.repositories):
                status = repository.http.get(pair.at(number, location))
                assert status.headers["range"] == f"0-{len(whole) - 1}"
        assert one.finish(pair.at(0, location), sha256(whole)).status_code == 201
        assert one.blob(sha256(whole)).content == whole


def test_upload_alternates_between_two_servers_and_survives_the_kill_of_one(
    tmp_path: Path, seaweedfs: SeaweedFS, valkey: Valkey
) -> None:
    store = make_s3(seaweedfs)
    settings: dict[str, dict[str, object]] = {
        "storage": {"cache": {"blobdescriptor": "redis"}},
        "redis": {"addr": valkey.url.removeprefix("redis://")},
    }
    chunks = [os.urandom(5 * MIB + number) for number in range(4)]
    whole = b"".join(chunks)
    with two_servers(tmp_path, dict(store.section), settings) as pair:
        location, offset = pair.repositories[0].begin(), 0
        for number, chunk in enumerate(chunks):
            repository = pair.repositories[number % 2]
            where = pair.at(number % 2, location)
            content_range = f"{offset}-{offset + len(chunk) - 1}"
            if number == 2:
                # It dies at work, with its turn at the session; the other goes on.
                with SlowRequest("PATCH", where, content_length=len(chunk)) as slow:
                    slow.send(chunk[: len(chunk) // 2])
                    pair.servers[0].kill()
                repository, where = pair.repositories[1], pair.at(1, location)
            patched = repository.patch(where, chunk, content_range)
            assert patched.status_code == 202
            location = repository.location(patched)
            offset += len(chunk)
        pair.servers[0].start()
        repository = pair.repositories[0]
        assert repository.finish(pair.at(0, location), sha256(whole)).status_code == 201
        for repository in pair.repositories:
            assert repository.blob(sha256(whole)).content == whole
