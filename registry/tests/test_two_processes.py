"""Two server processes on one store, both at work on one upload session."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from registry.tests.client import Repository, SlowRequest, sha256, unique_name
from registry.tests.processes import ServerProcess, docker_registry, our_server, running
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


def test_delete_by_another_process_counts_in_time_where_files_are_not_local(
    tmp_path: Path,
) -> None:
    cache: dict[str, object] = {"cache": {"blobdescriptor": "inmemory", "max_stale": "1s"}}
    with ExitStack() as stack:
        repositories = []
        for others in ({}, {"capabilities": {"local_path": False}}):
            server = our_server(tmp_path, {"storage": {**cache, **others}})
            url = stack.enter_context(running(server)).url
            client = stack.enter_context(httpx.Client(base_url=url))
            repositories.append(Repository(client, unique_name()))
        one = repositories[0]
        other = repositories[1].http
        digest = one.push_blob(b"data")
        manifest = one.push_manifest(one.image(b"data"), "v1")
        references = ("v1", manifest.headers["docker-content-digest"])
        paths = [one.url(f"blobs/{digest}"), *(one.url(f"manifests/{r}") for r in references)]
        assert [other.get(path).status_code for path in paths] == [200, 200, 200]
        for path in (paths[0], paths[2]):
            assert one.http.delete(path).status_code == 202
        assert [one.http.get(path).status_code for path in paths] == [404, 404, 404]
        # It may have looked just before the deletes.
        time.sleep(1.1)
        assert [other.get(path).status_code for path in paths] == [404, 404, 404]


def test_delete_by_docker_registry_counts_at_once(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    settings = {"storage": {"cache": {"blobdescriptor": "inmemory"}}}
    with ExitStack() as stack:
        ours = stack.enter_context(running(our_server(tmp_path, settings)))
        other = docker_registry(program("docker-registry"), tmp_path)
        theirs = stack.enter_context(running(other))
        http = stack.enter_context(httpx.Client(base_url=ours.url))
        repository = Repository(http, "shared")
        digest = repository.push_blob(b"data")
        manifest = repository.push_manifest(repository.image(b"data"), "v1")
        references = ("v1", manifest.headers["docker-content-digest"])
        paths = [repository.url(f"manifests/{reference}") for reference in references]
        paths.append(repository.url(f"blobs/{digest}"))
        for path in paths:
            assert http.get(path).status_code == 200
        for path in paths[1:]:
            assert httpx.delete(f"{theirs.url}{path}").status_code == 202
        assert [http.get(path).status_code for path in paths] == [404, 404, 404]
