"""Pushing blobs in every way that the specification has, in one stream and in parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from registry.tests.client import Repository, SlowRequest, error_codes, sha256, sha512
from registry.tests.processes import ServerProcess, our_server, running

DATA = b"0123456789" * 1000
LARGE = bytes(range(256)) * 40_000  # more than is put at once


@pytest.fixture(
    scope="module",
    params=[{}, {"max_parts": 1000, "min_part_size": 1024 * 1024}],
    ids=["stream", "parts"],
)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server whose store takes uploads as they come, and one whose store wants parts."""
    capabilities: Mapping[str, object] = request.param
    folder = tmp_path_factory.mktemp("registry")
    with running(our_server(folder, {"storage": {"capabilities": capabilities}})) as server:
        yield server


@pytest.fixture(scope="module")
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as client:
        yield client


def uploads_left(server: ServerProcess, repository: Repository) -> list[Path]:
    """Give what lies on the disk of uploads in progress."""
    below = server.data / "docker/registry/v2/repositories" / repository.name / "_uploads"
    return [path for path in below.rglob("*") if path.is_file()]


def check_published(
    server: ServerProcess,
    repository: Repository,
    response: httpx.Response,
    digest: str,
    data: bytes,
) -> None:
    assert response.status_code == 201, response.text
    assert response.headers["docker-content-digest"] == digest
    assert response.headers["location"] == server.url + repository.url(f"blobs/{digest}")
    assert repository.blob(digest).content == data
    assert uploads_left(server, repository) == []


class Push(NamedTuple):
    """One blob to push."""

    data: bytes
    digest: str


@pytest.fixture(params=["empty", "small", "large"])
def size(request: pytest.FixtureRequest) -> bytes:
    return {"empty": b"", "small": DATA, "large": LARGE}[request.param]


@pytest.fixture(params=[sha256, sha512])
def push(request: pytest.FixtureRequest, size: bytes) -> Push:
    return Push(size, request.param(size))


def test_push_by_one_post(server: ServerProcess, repository: Repository, push: Push) -> None:
    path = repository.url("blobs/uploads/")
    response = repository.http.post(path, params={"digest": push.digest}, content=push.data)
    check_published(server, repository, response, push.digest, push.data)


def test_push_by_post_and_put(server: ServerProcess, repository: Repository, push: Push) -> None:
    response = repository.finish(repository.begin(), push.digest, push.data)
    check_published(server, repository, response, push.digest, push.data)


def test_push_as_a_stream(server: ServerProcess, repository: Repository, push: Push) -> None:
    pieces = iter([push.data[:5], push.data[5:]])
    patched = repository.patch(repository.begin(), pieces)
    assert patched.status_code == 202
    response = repository.finish(repository.location(patched), push.digest)
    check_published(server, repository, response, push.digest, push.data)


def test_push_in_chunks(server: ServerProcess, repository: Repository, push: Push) -> None:
    data, location, offset = push.data, repository.begin(), 0
    step = len(data) // 3 + 1
    while len(data) - offset > step:
        chunk = data[offset : offset + step]
        patched = repository.patch(location, chunk, f"{offset}-{offset + len(chunk) - 1}")
        offset += len(chunk)
        assert patched.status_code == 202
        assert patched.headers["range"] == f"0-{offset - 1}"
        location = repository.location(patched)
    response = repository.finish(location, push.digest, data[offset:])
    check_published(server, repository, response, push.digest, data)


def test_begun_upload_stores_nothing(server: ServerProcess, repository: Repository) -> None:
    response = repository.http.post(repository.url("blobs/uploads/"))
    assert response.status_code == 202
    assert response.headers["range"] == "0-0"
    assert response.headers["docker-upload-uuid"] in response.headers["location"]
    assert not (server.data / "docker/registry/v2/repositories" / repository.name).exists()


def test_status_of_a_fresh_upload(repository: Repository) -> None:
    response = repository.http.get(repository.begin())
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["range"] == "0-0"


def test_status_says_how_far_it_is_and_where_to_go_on(
    server: ServerProcess, repository: Repository
) -> None:
    location = repository.location(repository.patch(repository.begin(), DATA))
    response = repository.http.get(location)
    assert response.status_code == 204
    assert response.headers["range"] == f"0-{len(DATA) - 1}"
    whole = DATA + b"rest"
    finished = repository.finish(repository.location(response), sha256(whole), b"rest")
    check_published(server, repository, finished, sha256(whole), whole)


def test_first_location_finds_the_upload_later_too(repository: Repository) -> None:
    location = repository.begin()
    repository.patch(location, b"ab")
    assert repository.http.get(location).headers["range"] == "0-1"
    assert repository.patch(location, b"cd", "2-3").status_code == 202
    assert repository.finish(location, sha256(b"abcd")).status_code == 201


@pytest.mark.parametrize("content_range", ["0-9", "3-9", "11-20", "9999999999-9999999999"])
def test_chunk_out_of_order_is_416_and_the_upload_lives_on(
    server: ServerProcess, repository: Repository, content_range: str
) -> None:
    location = repository.location(repository.patch(repository.begin(), DATA[:10]))
    first, last = map(int, content_range.split("-"))
    for method in ("PATCH", "PUT"):
        response = repository.http.request(
            method,
            location,
            params={"digest": sha256(DATA[:10])},
            content=b"x" * (last - first + 1),
            headers={"content-range": content_range},
        )
        assert (response.status_code, error_codes(response)) == (416, ["RANGE_INVALID"])
        assert response.headers["range"] == "0-9"
        assert repository.location(response) == location
    assert repository.http.get(location).headers["range"] == "0-9"
    finished = repository.finish(location, sha256(DATA), DATA[10:])
    check_published(server, repository, finished, sha256(DATA), DATA)


@pytest.mark.parametrize("content_range", ["x", "5-1", "-5", "0-", "0", "bytes=0-9"])
def test_malformed_content_range_is_refused(repository: Repository, content_range: str) -> None:
    response = repository.patch(repository.begin(), b"0123456789", content_range)
    assert (response.status_code, error_codes(response)) == (416, ["RANGE_INVALID"])


def test_content_range_as_http_has_it_is_taken(repository: Repository) -> None:
    assert repository.patch(repository.begin(), b"0123", "bytes 0-3/10").status_code == 202


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("content_range", ["0-8", "0-10"])
def test_chunk_of_another_length_than_announced_is_refused(
    repository: Repository, content_range: str, streamed: bool
) -> None:
    location = repository.location(repository.patch(repository.begin(), b"ab"))
    shifted = "-".join(str(int(end) + 2) for end in content_range.split("-"))
    data = iter([b"01234", b"56789"]) if streamed else b"0123456789"
    response = repository.patch(location, data, shifted)
    assert (response.status_code, error_codes(response)) == (400, ["SIZE_INVALID"])
    assert repository.http.get(location).headers["range"] == "0-1"
    assert repository.finish(location, sha256(b"ab")).status_code == 201


@pytest.mark.parametrize("data", [DATA, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("way", ["post", "put", "patch"])
def test_body_that_differs_from_its_digest_is_refused_and_leaves_nothing(
    server: ServerProcess, repository: Repository, way: str, data: bytes
) -> None:
    wrong = sha256(data + b"!")
    if way == "post":
        path = repository.url("blobs/uploads/")
        response = repository.http.post(path, params={"digest": wrong}, content=data)
    elif way == "put":
        response = repository.finish(repository.begin(), wrong, data)
    else:
        patched = repository.patch(repository.begin(), data)
        response = repository.finish(repository.location(patched), wrong)
        assert repository.http.get(repository.location(patched)).status_code == 404
    assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])
    assert repository.blob(wrong).status_code == 404
    assert repository.blob(sha256(data)).status_code == 404
    assert uploads_left(server, repository) == []


def test_sha512_that_differs_is_refused_and_leaves_nothing(
    server: ServerProcess, repository: Repository
) -> None:
    location = repository.location(repository.patch(repository.begin(), DATA))
    response = repository.finish(location, sha512(b"other"))
    assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])
    assert uploads_left(server, repository) == []


@pytest.mark.parametrize("digest", ["", "sha256:1", "md5:" + "0" * 32])
def test_put_with_a_malformed_digest_is_refused_and_the_upload_lives_on(
    repository: Repository, digest: str
) -> None:
    location = repository.begin()
    response = repository.finish(location, digest, DATA)
    assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])
    assert repository.finish(location, sha256(DATA), DATA).status_code == 201


def test_put_without_a_digest_is_refused(repository: Repository) -> None:
    response = repository.http.put(repository.begin(), content=DATA)
    assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])


def test_blob_that_is_there_already_is_linked(
    server: ServerProcess, repository: Repository
) -> None:
    first, second = DATA + b"1", LARGE + b"2"
    for data in (first, second):
        digest = repository.push_blob(data)
        place = server.data / "docker/registry/v2/blobs/sha256" / digest[7:9] / digest[7:] / "data"
        identity = place.stat().st_ino
        other = Repository(repository.http, f"{repository.name}/other")
        assert other.push_blob(data) == digest
        location = other.location(other.patch(other.begin(), data))
        check_published(server, other, other.finish(location, digest), digest, data)
        assert place.stat().st_ino == identity


@pytest.mark.parametrize("begun", [True, False])
def test_cancelled_upload_is_unknown(
    server: ServerProcess, repository: Repository, begun: bool
) -> None:
    location = repository.begin()
    if begun:
        location = repository.location(repository.patch(location, DATA))
    response = repository.http.delete(location)
    assert (response.status_code, response.content) == (204, b"")
    assert uploads_left(server, repository) == []
    for method in ("GET", "PATCH", "DELETE"):
        response = repository.http.request(method, location)
        assert (response.status_code, error_codes(response)) == (404, ["BLOB_UPLOAD_UNKNOWN"])


def test_finished_upload_is_unknown(repository: Repository) -> None:
    location = repository.begin()
    assert repository.finish(location, sha256(DATA), DATA).status_code == 201
    response = repository.http.get(location)
    assert (response.status_code, error_codes(response)) == (404, ["BLOB_UPLOAD_UNKNOWN"])


@pytest.mark.parametrize(
    "upload_id", ["x", "%2e%2e", "00000000-0000-4000-8000-000000000000", "_manifests"]
)
def test_upload_that_never_began_is_unknown(repository: Repository, upload_id: str) -> None:
    response = repository.http.get(repository.url(f"blobs/uploads/{upload_id}"))
    assert (response.status_code, error_codes(response)) == (404, ["BLOB_UPLOAD_UNKNOWN"])


def test_ticket_is_good_for_its_own_upload_alone(repository: Repository) -> None:
    first, second = httpx.URL(repository.begin()), httpx.URL(repository.begin())
    for swapped in (
        first.copy_with(query=second.query),
        first.copy_with(query=b"_state=1.00"),
        first.copy_with(query=b"_state=%C3%A9"),
        first.copy_with(path=first.path.replace(repository.name, "another/name")),
    ):
        response = repository.http.get(swapped)
        assert (response.status_code, error_codes(response)) == (404, ["BLOB_UPLOAD_UNKNOWN"])


def test_second_request_on_an_upload_waits_for_the_first(
    server: ServerProcess, repository: Repository
) -> None:
    location = repository.location(repository.patch(repository.begin(), b"begin "))
    with ThreadPoolExecutor() as pool, SlowRequest("PATCH", location, content_length=11) as slow:
        slow.send(b"slowly")
        second = pool.submit(repository.patch, location, b"x", "6-6")
        with pytest.raises(TimeoutError):
            second.result(timeout=0.1)
        with httpx.Client() as other:
            assert other.get(location).headers["range"] == "0-5"
        slow.send(b" done")
        assert slow.status() == 202
        assert second.result().status_code == 416
    whole = b"begin slowly done"
    finished = repository.finish(location, sha256(whole))
    check_published(server, repository, finished, sha256(whole), whole)
