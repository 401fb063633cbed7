"""Deleting tags and manifests. Blobs: `test_blobs`."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from registry.tests.client import Repository, error_codes, sha256
from registry.tests.processes import ServerProcess


def delete(repository: Repository, reference: str) -> httpx.Response:
    return repository.http.delete(repository.url(f"manifests/{reference}"))


def test_deleted_tag_leaves_the_manifest_and_the_other_tags(repository: Repository) -> None:
    digest = repository.push_image("v1")
    repository.push_image("v2")
    assert delete(repository, "v1").status_code == 202
    assert repository.tags().json()["tags"] == ["v2"]
    assert repository.http.get(repository.url("manifests/v1")).status_code == 404
    assert repository.http.get(repository.url(f"manifests/{digest}")).status_code == 200
    again = delete(repository, "v1")
    assert (again.status_code, error_codes(again)) == (404, ["MANIFEST_UNKNOWN"])


def test_repository_without_tags_is_a_repository_still(repository: Repository) -> None:
    repository.push_image("v1")
    delete(repository, "v1")
    assert repository.tags().json() == {"name": repository.name, "tags": []}


def test_deleted_manifest_takes_its_tags_along(repository: Repository) -> None:
    digest, other = repository.push_image("v1"), repository.push_image("v2", b"other")
    repository.push_image("also-v1")
    assert delete(repository, digest).status_code == 202
    assert repository.tags().json()["tags"] == ["v2"]
    for reference in (digest, "v1", "also-v1"):
        response = repository.http.get(repository.url(f"manifests/{reference}"))
        assert (response.status_code, error_codes(response)) == (404, ["MANIFEST_UNKNOWN"])
    assert repository.http.get(repository.url(f"manifests/{other}")).status_code == 200
    again = delete(repository, digest)
    assert (again.status_code, error_codes(again)) == (404, ["MANIFEST_UNKNOWN"])


def test_deleted_manifest_can_be_pushed_again(repository: Repository) -> None:
    digest = repository.push_image("v1")
    delete(repository, digest)
    assert repository.push_image("v1") == digest
    assert repository.http.get(repository.url("manifests/v1")).status_code == 200


def test_manifest_is_deleted_from_its_repository_alone(repository: Repository) -> None:
    other = Repository(repository.http, f"{repository.name}/other")
    digest = repository.push_image("v1")
    assert other.push_image("v1") == digest
    delete(repository, digest)
    assert other.http.get(other.url(f"manifests/{digest}")).status_code == 200


def test_unknown_manifest_of_an_unknown_repository_cannot_be_deleted(
    repository: Repository,
) -> None:
    for reference in ("v1", sha256(b"none")):
        response = delete(repository, reference)
        assert (response.status_code, error_codes(response)) == (404, ["MANIFEST_UNKNOWN"])


def test_nothing_is_deleted_unless_it_is_enabled(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server({"storage": {"delete": {"enabled": False}}})
    with httpx.Client(base_url=server.url) as http:
        repository = Repository(http, "kept")
        manifest, blob = repository.push_image("v1"), repository.push_blob(b"kept")
        for path in (f"manifests/{manifest}", "manifests/v1", f"blobs/{blob}"):
            response = http.delete(repository.url(path))
            assert (response.status_code, error_codes(response)) == (405, ["UNSUPPORTED"])
            assert http.get(repository.url(path)).status_code == 200
