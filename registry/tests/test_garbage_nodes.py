"""Garbage of three nodes on one bucket, which remember what they have found, and share that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import redis
from storagedriver_registry.storage.garbage_report import GarbageReport

from registry.tests.client import Repository, sha256
from registry.tests.deploying import node_store, nodes
from registry.tests.garbage import image, names
from registry.tests.processes import ServerProcess, running
from registry.tests.serving import eventually
from registry.tests.test_garbage_load import collect
from servers.seaweedfs import SeaweedFS
from servers.valkey import Valkey

NEEDED = b"is needed again " * 100
GARBAGE = b"nobody needs it " * 100
GRACE = 2.0


@pytest.fixture
def three(tmp_path: Path, seaweedfs: SeaweedFS, valkey: Valkey) -> Iterator[list[ServerProcess]]:
    servers = nodes(tmp_path, node_store(seaweedfs), valkey, {"max_stale": "1s"})
    with ExitStack() as stack:
        yield [stack.enter_context(running(server)) for server in servers]


def test_what_is_condemned_is_so_on_every_node_whatever_it_remembers(
    three: list[ServerProcess], valkey: Valkey
) -> None:
    with ExitStack() as stack:
        cache = stack.enter_context(redis.Redis.from_url(valkey.url))
        at = [
            Repository(stack.enter_context(httpx.Client(base_url=server.url)), "nodes/garbage")
            for server in three
        ]

        def is_shared(data: bytes) -> bool:
            return bool(cache.exists(f"storagedriver:blob:{sha256(data)}"))

        def heads(data: bytes) -> list[int]:
            path = at[0].url(f"blobs/{sha256(data)}")
            return [repository.http.head(path).status_code for repository in at]

        def gets(data: bytes) -> list[int]:
            answers = [repository.blob(sha256(data)) for repository in at]
            assert all(one.content == data for one in answers if one.status_code == 200)
            return [one.status_code for one in answers]

        def collect_once() -> GarbageReport:
            # All that was stored or marked until now is older than that.
            time.sleep(GRACE + 0.1)
            return collect(three[0].config, GRACE)

        for data in (NEEDED, GARBAGE, b"{}"):
            at[0].push_blob(data)
            # So each of them remembers the link.
            assert gets(data) == heads(data) == [200, 200, 200]
        condemned = names(collect_once(), "condemned")
        assert condemned == {sha256(NEEDED), sha256(GARBAGE), sha256(b"{}")}

        assert is_shared(NEEDED)
        assert is_shared(GARBAGE)
        eventually(lambda: heads(NEEDED) + heads(GARBAGE), [404].__mul__(6).__eq__)
        assert gets(NEEDED) == [200, 200, 200]
        mount = {"mount": sha256(NEEDED), "from": "nodes/garbage"}
        for repository in at:
            mounted = repository.http.post("/v2/nodes/other/blobs/uploads/", params=mount)
            assert mounted.status_code == 202

        # What one node is given shows on the others at once, and is kept.
        at[1].push_blob(NEEDED)
        assert heads(NEEDED) == [200, 200, 200]
        at[1].push_blob(b"{}")
        manifest = image(NEEDED)
        assert at[2].push_manifest(manifest, "v1").status_code == 201
        assert names(collect_once()) == {sha256(GARBAGE)}

        assert not is_shared(GARBAGE)
        assert gets(GARBAGE) == heads(GARBAGE) == [404, 404, 404]
        assert gets(NEEDED) == [200, 200, 200]
        for repository in at:
            found = repository.http.get(repository.url("manifests/v1"))
            assert found.content == manifest
        at[0].push_blob(GARBAGE)
        assert gets(GARBAGE) == heads(GARBAGE) == [200, 200, 200]
