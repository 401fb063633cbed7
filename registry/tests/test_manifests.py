"""Pushing and pulling manifests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from registry.tests.client import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Repository,
    error_codes,
    sha256,
    sha512,
)

ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
MEBIBYTE = 1024 * 1024


def dump(document: object) -> bytes:
    # With blanks, so that bytes that were parsed and written again would differ.
    return json.dumps(document, indent=3).encode()


def check_stored(repository: Repository, reference: str, body: bytes, media_type: str) -> None:
    url = repository.url(f"manifests/{reference}")
    response = repository.http.get(url)
    assert (response.status_code, response.content) == (200, body)
    assert response.headers["content-type"] == media_type
    assert response.headers["docker-content-digest"] in (sha256(body), sha512(body))
    head = repository.http.head(url)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length", "docker-content-digest"):
        assert head.headers[name] == response.headers[name]


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_image_comes_back_byte_for_byte(repository: Repository, media_type: str) -> None:
    body = dump(repository.image(media_type=media_type))
    response = repository.push_manifest(body, "v1")
    assert response.status_code == 201
    assert response.headers["docker-content-digest"] == sha256(body)
    assert response.headers["location"].endswith(repository.url(f"manifests/{sha256(body)}"))
    for reference in ("v1", sha256(body)):
        check_stored(repository, reference, body, media_type)


@pytest.mark.parametrize(
    ("media_type", "lists"),
    [
        (OCI_MANIFEST, "layers"),
        (DOCKER_MANIFEST, "layers"),
        (OCI_INDEX, "manifests"),
        (DOCKER_LIST, "manifests"),
        (ARTIFACT, "blobs"),
    ],
)
def test_null_is_an_empty_list(repository: Repository, media_type: str, lists: str) -> None:
    whole = repository.image(media_type=media_type) if lists == "layers" else {"schemaVersion": 2}
    body = dump({**whole, "mediaType": media_type, lists: None})
    assert repository.push_manifest(body, "v1").status_code == 201
    check_stored(repository, "v1", body, media_type)


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_index_comes_back_byte_for_byte(repository: Repository, media_type: str) -> None:
    members = [repository.push_image(tag, tag.encode()) for tag in ("amd64", "arm64")]
    listed = [{"mediaType": OCI_MANIFEST, "digest": digest, "size": 1} for digest in members]
    body = dump({"schemaVersion": 2, "mediaType": media_type, "manifests": listed})
    assert repository.push_manifest(body, "all").status_code == 201
    check_stored(repository, "all", body, media_type)


def test_nested_index_is_taken(repository: Repository) -> None:
    digest = repository.push_image("v1")
    for _ in range(3):
        listed = [{"mediaType": OCI_INDEX, "digest": digest, "size": 1}]
        body = dump({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed})
        assert repository.push_manifest(body, sha256(body)).status_code == 201
        digest = sha256(body)


@pytest.mark.parametrize("digest_of", [sha256, sha512])
def test_manifest_can_be_pushed_by_digest_alone(repository: Repository, digest_of: Any) -> None:
    body = dump(repository.image())
    response = repository.push_manifest(body, digest_of(body))
    assert response.status_code == 201
    assert response.headers["docker-content-digest"] == digest_of(body)
    check_stored(repository, digest_of(body), body, OCI_MANIFEST)
    assert repository.tags().json()["tags"] == []


@pytest.mark.parametrize("content_type", ["", "application/json", f"{OCI_MANIFEST}; charset=utf-8"])
def test_type_is_found_in_the_manifest(repository: Repository, content_type: str) -> None:
    body = dump(repository.image())
    url = repository.url("manifests/v1")
    response = repository.http.put(url, content=body, headers={"content-type": content_type})
    assert response.status_code == 201
    check_stored(repository, "v1", body, OCI_MANIFEST)


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, OCI_INDEX])
def test_type_of_a_manifest_without_one_is_found_by_its_shape(
    repository: Repository, media_type: str
) -> None:
    document = repository.image() if media_type == OCI_MANIFEST else {"manifests": []}
    document = {**document, "schemaVersion": 2}
    document.pop("mediaType", None)
    url, body = repository.url("manifests/v1"), dump(document)
    response = repository.http.put(url, content=body, headers={"content-type": media_type})
    assert response.status_code == 201
    check_stored(repository, "v1", body, media_type)


def test_manifest_of_an_unknown_type_is_kept(repository: Repository) -> None:
    body = dump({"mediaType": "application/vnd.example.thing+json", "anything": [1, None]})
    assert repository.push_manifest(body, "v1").status_code == 201
    check_stored(repository, "v1", body, "application/vnd.example.thing+json")


def test_artifact_manifest_needs_its_blobs(repository: Repository) -> None:
    blob = {"mediaType": "text/plain", "digest": sha256(b"blob"), "size": 4}
    body = dump({"mediaType": ARTIFACT, "artifactType": "x/y", "blobs": [blob]})
    response = repository.push_manifest(body, "v1")
    assert (response.status_code, error_codes(response)) == (400, ["MANIFEST_BLOB_UNKNOWN"])
    repository.push_blob(b"blob")
    assert repository.push_manifest(body, "v1").status_code == 201
    check_stored(repository, "v1", body, ARTIFACT)


def test_client_that_has_the_manifest_is_told_so(repository: Repository) -> None:
    repository.push_image("v1")
    url = repository.url("manifests/v1")
    etag = repository.http.get(url).headers["etag"]
    response = repository.http.get(url, headers={"if-none-match": etag})
    assert (response.status_code, response.content) == (304, b"")
    repository.push_image("v1", b"another")
    assert repository.http.get(url, headers={"if-none-match": etag}).status_code == 200


def test_tag_moves_to_the_last_push(repository: Repository) -> None:
    first, second = repository.push_image("v1"), repository.push_image("v1", b"another")
    assert first != second
    for reference, digest in (("v1", second), (first, first)):
        response = repository.http.get(repository.url(f"manifests/{reference}"))
        assert response.headers["docker-content-digest"] == digest


@pytest.mark.parametrize("reference", ["none", ".INVALID", "a" * 129, sha256(b"none")])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_unknown_manifest_is_404(repository: Repository, method: str, reference: str) -> None:
    repository.push_image("v1")
    response = repository.http.request(method, repository.url(f"manifests/{reference}"))
    assert response.status_code == 404
    if method == "GET":
        assert error_codes(response) == ["MANIFEST_UNKNOWN"]


def test_blob_is_no_manifest(repository: Repository) -> None:
    digest = repository.push_blob(dump(repository.image()))
    assert repository.http.get(repository.url(f"manifests/{digest}")).status_code == 404


@pytest.mark.parametrize("reference", [".x", "a" * 129, "ü"])
def test_malformed_tag_is_refused(repository: Repository, reference: str) -> None:
    response = repository.push_manifest(repository.image(), reference)
    assert (response.status_code, error_codes(response)) == (400, ["TAG_INVALID"])


@pytest.mark.parametrize("reference", ["sha256:1", "x:y", f"sha1:{'0' * 40}"])
def test_malformed_digest_is_refused(repository: Repository, reference: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        response = repository.http.request(method, repository.url(f"manifests/{reference}"))
        assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])


def test_manifest_that_differs_from_its_digest_is_refused(repository: Repository) -> None:
    response = repository.push_manifest(repository.image(), sha256(b"other"))
    assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])


def test_every_missing_blob_is_named(repository: Repository) -> None:
    manifest = repository.image()
    for data in (b"first", b"second"):
        digest = sha256(repository.name.encode() + data)
        manifest["layers"].append({"mediaType": "x/y", "digest": digest, "size": 1})
    response = repository.push_manifest(manifest, "v1")
    assert response.status_code == 400
    assert error_codes(response) == ["MANIFEST_BLOB_UNKNOWN"] * 2
    named = [error["detail"] for error in response.json()["errors"]]
    assert named == [layer["digest"] for layer in manifest["layers"][1:]]
    assert repository.http.get(repository.url("manifests/v1")).status_code == 404


def test_blob_of_another_repository_is_missing(repository: Repository) -> None:
    manifest = repository.image()
    other = Repository(repository.http, f"{repository.name}/other")
    response = other.push_manifest(manifest, "v1")
    assert error_codes(response) == ["MANIFEST_BLOB_UNKNOWN"] * 2


def test_member_that_is_missing_from_an_index_is_named(repository: Repository) -> None:
    listed = [{"mediaType": OCI_MANIFEST, "digest": sha256(b"none"), "size": 1}]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}
    response = repository.push_manifest(index, "v1")
    assert (response.status_code, error_codes(response)) == (400, ["MANIFEST_BLOB_UNKNOWN"])


def test_layer_with_urls_may_be_absent(repository: Repository) -> None:
    manifest = repository.image(media_type=DOCKER_MANIFEST)
    urls = ["https://example.com/layer"]
    foreign = {"mediaType": FOREIGN, "digest": sha256(b"elsewhere"), "size": 9, "urls": urls}
    manifest["layers"].append(foreign)
    assert repository.push_manifest(manifest, "v1").status_code == 201


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
@pytest.mark.parametrize("where", ["config", "layers"])
@pytest.mark.parametrize(
    ("given", "left_out"),
    [
        ({}, {"mediaType"}),
        ({}, {"size"}),
        ({}, {"mediaType", "size"}),
        ({"mediaType": None, "size": None}, set()),
        ({"mediaType": ""}, set()),
    ],
)
def test_type_and_size_of_what_is_named_may_be_missing_as_at_distribution(
    repository: Repository,
    media_type: str,
    where: str,
    given: dict[str, object],
    left_out: set[str],
) -> None:
    manifest = repository.image(media_type=media_type)
    [named] = [manifest["config"]] if where == "config" else manifest["layers"]
    named |= given
    for key in left_out:
        del named[key]
    body = dump(manifest)
    # Nothing else is forgiven for it: what is named has to be there.
    elsewhere = Repository(repository.http, f"{repository.name}/elsewhere")
    assert error_codes(elsewhere.push_manifest(body, "v1")) == ["MANIFEST_BLOB_UNKNOWN"] * 2
    assert repository.push_manifest(body, "v1").status_code == 201
    check_stored(repository, "v1", body, media_type)


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_image_without_a_list_of_layers_is_taken_as_at_distribution(
    repository: Repository, media_type: str
) -> None:
    manifest = repository.image(media_type=media_type)
    del manifest["layers"]
    body = dump(manifest)
    assert repository.push_manifest(body, "v1").status_code == 201
    check_stored(repository, "v1", body, media_type)


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_type_size_and_platform_of_a_member_may_be_missing_as_at_distribution(
    repository: Repository, media_type: str
) -> None:
    digest = repository.push_image("v1")
    for member in ({}, {"platform": {"architecture": None, "os": "linux"}}):
        listed = [{"digest": digest, **member}]
        body = dump({"schemaVersion": 2, "mediaType": media_type, "manifests": listed})
        assert repository.push_manifest(body, "all").status_code == 201
        check_stored(repository, "all", body, media_type)


BAD_DIGEST = {"mediaType": "x/y", "digest": "sha256:1", "size": 1}
BAD_SIZE = {"mediaType": "x/y", "digest": sha256(b""), "size": -1}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (dump({"schemaVersion": 2, "mediaType": OCI_MANIFEST}), "config"),
        (dump({"schemaVersion": 2, "config": BAD_DIGEST, "layers": []}), "config.digest"),
        (dump({"schemaVersion": 2, "config": BAD_SIZE, "layers": []}), "config.size"),
        (dump({"schemaVersion": 3, "manifests": []}), "schemaVersion"),
        (dump({"schemaVersion": 2, "manifests": [], "layers": []}), "both"),
        (dump({"mediaType": "a/b\r\nx: y"}), "mediaType"),
        (dump({"mediaType": "text"}), "mediaType"),
        (dump({"mediaType": "a/é"}), "mediaType"),
        (dump({"mediaType": 1, "schemaVersion": 2, "manifests": []}), "mediaType"),
        (dump({"schemaVersion": 1, "name": "a", "fsLayers": []}), "schema 1"),
        (dump({"schemaVersion": 1, "signatures": []}), "schema 1"),
    ],
)
def test_malformed_manifest_is_refused(repository: Repository, body: bytes, reason: str) -> None:
    response = repository.http.put(repository.url("manifests/v1"), content=body)
    assert (response.status_code, error_codes(response)) == (400, ["MANIFEST_INVALID"])
    assert reason in response.json()["errors"][0]["detail"]


def test_manifest_that_came_as_another_type_is_refused(repository: Repository) -> None:
    url, body = repository.url("manifests/v1"), dump(repository.image())
    response = repository.http.put(url, content=body, headers={"content-type": DOCKER_MANIFEST})
    assert (response.status_code, error_codes(response)) == (400, ["MANIFEST_INVALID"])


@pytest.mark.parametrize("announced", [True, False])
def test_manifest_over_the_limit_is_413(repository: Repository, announced: bool) -> None:
    manifest = repository.image()
    bare = len(json.dumps({**manifest, "annotations": {"a": ""}}))
    padding = 4 * MEBIBYTE - bare
    for size, status in ((padding, 201), (padding + 1, 413)):
        body = json.dumps({**manifest, "annotations": {"a": "x" * size}}).encode()
        content = body if announced else iter([body[:100], body[100:]])
        response = repository.http.put(repository.url("manifests/v1"), content=content)
        assert response.status_code == status
    assert error_codes(response) == ["SIZE_INVALID"]
