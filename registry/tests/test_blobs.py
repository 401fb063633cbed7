"""Pulling, mounting and deleting blobs."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from registry.tests.client import Repository, error_codes, sha256, unique_name

DATA = bytes(range(256)) * 40
LAST = len(DATA) - 1


@pytest.fixture
def digest(repository: Repository) -> str:
    return repository.push_blob(DATA)


def test_blob_comes_back_as_it_was_pushed(repository: Repository, digest: str) -> None:
    response = repository.blob(digest)
    assert (response.status_code, response.content) == (200, DATA)
    assert response.headers["docker-content-digest"] == digest
    assert response.headers["content-length"] == str(len(DATA))
    assert response.headers["content-type"] == "application/octet-stream"


def test_head_of_a_blob_gives_its_size(repository: Repository, digest: str) -> None:
    response = repository.http.head(repository.url(f"blobs/{digest}"))
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == str(len(DATA))
    assert response.headers["docker-content-digest"] == digest


def test_empty_blob_comes_back(repository: Repository) -> None:
    response = repository.blob(repository.push_blob(b""))
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_unknown_blob_is_404(repository: Repository, method: str) -> None:
    response = repository.http.request(method, repository.url(f"blobs/{sha256(b'none')}"))
    assert response.status_code == 404
    if method == "GET":
        assert error_codes(response) == ["BLOB_UNKNOWN"]


def test_blob_of_another_repository_is_404(
    repository: Repository, http: httpx.Client, digest: str
) -> None:
    response = Repository(http, unique_name()).blob(digest)
    assert (response.status_code, error_codes(response)) == (404, ["BLOB_UNKNOWN"])


@pytest.mark.parametrize(
    "digest", ["sha256:abc", "sha256:" + "A" * 64, "md5:" + "0" * 32, "abc", "sha256:", ":" * 9]
)
def test_malformed_digest_is_400(repository: Repository, digest: str) -> None:
    response = repository.blob(digest)
    assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=100-", 100, LAST),
        ("bytes=-5", LAST - 4, LAST),
        (f"bytes=-{len(DATA) * 2}", 0, LAST),
        (f"bytes={LAST}-{LAST + 100}", LAST, LAST),
    ],
)
def test_range_gives_that_part(
    repository: Repository, digest: str, wanted: str, first: int, last: int
) -> None:
    response = repository.blob(digest, range=wanted)
    assert (response.status_code, response.content) == (206, DATA[first : last + 1])
    assert response.headers["content-range"] == f"bytes {first}-{last}/{len(DATA)}"
    assert response.headers["content-length"] == str(last - first + 1)


@pytest.mark.parametrize(
    "wanted", [f"bytes={len(DATA)}-", "bytes=-0", "bytes=9-3", "bytes=x-y", "bytes=" + "9" * 5000]
)
def test_range_that_cannot_be_satisfied_is_416(
    repository: Repository, digest: str, wanted: str
) -> None:
    response = repository.blob(digest, range=wanted)
    assert (response.status_code, error_codes(response)) == (416, ["RANGE_INVALID"])
    assert response.headers["content-range"] == f"bytes */{len(DATA)}"


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "lines=0-1"])
def test_ranges_that_are_not_supported_give_everything(
    repository: Repository, digest: str, wanted: str
) -> None:
    response = repository.blob(digest, range=wanted)
    assert (response.status_code, response.content) == (200, DATA)


def test_range_of_another_version_gives_everything(repository: Repository, digest: str) -> None:
    headers = {"range": "bytes=0-1", "if-range": '"another"'}
    response = repository.blob(digest, **headers)
    assert (response.status_code, response.content) == (200, DATA)


def test_client_that_has_the_blob_is_told_so(repository: Repository, digest: str) -> None:
    etag = repository.blob(digest).headers["etag"]
    for condition in (etag, f'"another", W/{etag}', "*", digest):
        response = repository.blob(digest, **{"if-none-match": condition})
        assert (response.status_code, response.content) == (304, b"")
    assert repository.blob(digest, **{"if-none-match": '"another"'}).status_code == 200


def mount(http: httpx.Client, name: str, **params: str) -> httpx.Response:
    return http.post(f"/v2/{name}/blobs/uploads/", params=params)


@pytest.mark.parametrize("with_from", [True, False])
def test_blob_can_be_mounted(
    repository: Repository, http: httpx.Client, digest: str, with_from: bool
) -> None:
    target = Repository(http, unique_name())
    params = {"mount": digest} | ({"from": repository.name} if with_from else {})
    response = mount(http, target.name, **params)
    assert response.status_code == 201
    assert response.headers["location"].endswith(target.url(f"blobs/{digest}"))
    assert response.headers["docker-content-digest"] == digest
    assert target.blob(digest).content == DATA


@pytest.mark.parametrize("source", [None, "no/such/repository", "Not a name"])
def test_mount_of_what_is_not_there_begins_an_upload(
    repository: Repository, source: str | None
) -> None:
    params: dict[str, Any] = {"mount": sha256(b"not there")} | ({"from": source} if source else {})
    response = mount(repository.http, repository.name, **params)
    assert response.status_code == 202
    data = b"pushed instead"
    finished = repository.finish(repository.location(response), sha256(data), data)
    assert finished.status_code == 201


def test_mount_from_a_repository_without_the_blob_begins_an_upload(
    repository: Repository, http: httpx.Client, digest: str
) -> None:
    other = Repository(http, unique_name())
    other.push_blob(b"something else")
    assert mount(http, unique_name(), mount=digest, **{"from": other.name}).status_code == 202


def test_mount_of_a_malformed_digest_is_400(repository: Repository) -> None:
    response = mount(repository.http, repository.name, mount="sha256:1")
    assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])


def test_deleted_blob_is_gone_from_its_repository_alone(
    repository: Repository, http: httpx.Client, digest: str
) -> None:
    other = Repository(http, unique_name())
    other.push_blob(DATA)
    path = repository.url(f"blobs/{digest}")
    assert http.delete(path).status_code == 202
    assert repository.blob(digest).status_code == 404
    assert other.blob(digest).content == DATA
    again = http.delete(path)
    assert (again.status_code, error_codes(again)) == (404, ["BLOB_UNKNOWN"])
