"""Clients that go away: what they sent is kept where that is promised, and never taken for all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import httpx
import pytest

from registry.tests.client import Repository, SlowRequest, sha256
from registry.tests.processes import ServerProcess

T = TypeVar("T")

pytestmark = pytest.mark.parametrize("how", ["reset", "close", "shutdown"])

DATA = bytes(range(256)) * 1000


def eventually(look: Callable[[], T], wanted: Callable[[T], bool]) -> T:
    """Wait until the server has noticed that the client is gone."""
    deadline = time.monotonic() + 30
    while not wanted(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def staged(server: ServerProcess) -> list[str]:
    """Give what lies in the driver's staging directory."""
    return [path.name for path in (server.data / ".storagedriver").rglob("*") if path.is_file()]


def durable(repository: Repository, location: str) -> int:
    """Give how many bytes the server says it has; it says the same of none and of one."""
    return int(repository.http.get(location).headers["range"].removeprefix("0-")) + 1


@pytest.mark.parametrize("content_length", [None, len(DATA) + 1], ids=["chunked", "length"])
@pytest.mark.parametrize("before", [b"", b"before"], ids=["fresh", "begun"])
def test_what_a_cut_patch_brought_is_durable(
    repository: Repository, how: str, content_length: int | None, before: bytes
) -> None:
    location = repository.begin()
    if before:
        location = repository.location(repository.patch(location, before))
    whole = before + DATA + b"rest"
    with SlowRequest("PATCH", location, content_length=content_length) as slow:
        slow.send(DATA)
        slow.go_away(how)
        offset = eventually(
            lambda: durable(repository, location), lambda found: found > len(before) + 1
        )
    # A reset takes away what the server's machine has received, but the server not yet read.
    sent = len(before) + len(DATA)
    assert offset <= sent if how == "reset" else offset == sent
    content_range = f"{offset}-{len(whole) - 1}"
    assert repository.patch(location, whole[offset:], content_range).status_code == 202
    assert repository.finish(location, sha256(whole)).status_code == 201
    assert repository.blob(sha256(whole)).content == whole


def test_patch_cut_before_its_first_byte_leaves_the_upload_as_it_was(
    server: ServerProcess, repository: Repository, how: str
) -> None:
    location = repository.begin()
    before = staged(server)
    with SlowRequest("PATCH", location, content_length=100) as slow:
        assert staged(server) != before
        slow.go_away(how)
        eventually(lambda: staged(server), lambda found: found == before)
    assert repository.http.get(location).headers["range"] == "0-0"
    assert repository.finish(location, sha256(DATA), DATA).status_code == 201


@pytest.mark.parametrize("begun", [True, False])
def test_cut_put_publishes_nothing_and_the_upload_lives_on(
    server: ServerProcess, repository: Repository, how: str, begun: bool
) -> None:
    first = DATA if begun else b""
    location = repository.begin()
    if begun:
        location = repository.location(repository.patch(location, first))
    # What came has the digest: only that it was to be more tells that it is not all.
    url = httpx.URL(location).copy_merge_params({"digest": sha256(first + b"half")})
    with SlowRequest("PUT", str(url), content_length=8) as slow:
        slow.send(b"half")
        slow.go_away(how)
    assert repository.blob(sha256(first + b"half")).status_code == 404
    assert repository.finish(location, sha256(first + b"halfmore"), b"halfmore").status_code == 201


def test_cut_post_publishes_nothing(
    server: ServerProcess, repository: Repository, how: str
) -> None:
    url = server.url + repository.url(f"blobs/uploads/?digest={sha256(b'half')}")
    with SlowRequest("POST", url, content_length=8) as slow:
        slow.send(b"half")
        slow.go_away(how)
    assert repository.blob(sha256(b"half")).status_code == 404


def test_cut_manifest_publishes_nothing(
    server: ServerProcess, repository: Repository, how: str
) -> None:
    url = server.url + repository.url("manifests/cut")
    with SlowRequest("PUT", url, content_length=100) as slow:
        slow.send(b'{"schemaVersion": 2, "mediaType": "a/b"}')
        slow.go_away(how)
    assert repository.http.get(repository.url("manifests/cut")).status_code == 404
