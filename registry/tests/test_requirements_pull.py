"""Requirements on pulling, and on the API as a whole. See `requirements`."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import cast

import pytest
from storagedriver_registry.api import codes, errors, router, routes
from storagedriver_registry.api.codes import UNSUPPORTED
from storagedriver_registry.api.descriptors import ErrorCode
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.request import Request
from storagedriver_registry.digest import Digest, InvalidDigestError, parse_digest
from storagedriver_registry.manifest import media_types
from storagedriver_registry.storage.blobs import BlobStore
from storagedriver_registry.storage.manifests import ManifestStore

from registry.tests.application import Application
from registry.tests.client import OCI_MANIFEST, error_codes, sha256, sha512
from registry.tests.requirements import (
    BLOB,
    body,
    changed,
    dump,
    finish,
    header,
    image,
    index,
    parameter_ignored,
    push,
    put,
    refusal,
    refused,
    replaced,
    request_header_ignored,
    requirement,
    status,
    store,
)
from registry.tests.test_redirects import signing

DATA = bytes(range(256)) * 8
DIGEST = sha256(DATA)
BLOB_URL = f"/v2/a/blobs/{DIGEST}"

# Conformance, API ------------------------------------------------------------------------------


@requirement("API-01", refused(routes.BASE, "GET", ApiError(UNSUPPORTED, status=404)))
async def test_base_says_that_the_api_is_there(one: Application) -> None:
    assert (await one.http.get("/v2/")).status_code == 200


@requirement("API-02", refused(routes.BLOB, "GET", ApiError(UNSUPPORTED)))
async def test_every_endpoint_of_pull_is_there(one: Application) -> None:
    digest = await push(one, image())
    for path in ("manifests/v1", f"manifests/{digest}", f"blobs/{sha256(BLOB)}"):
        for method in ("GET", "HEAD"):
            response = await one.http.request(method, f"/v2/a/{path}")
            assert response.status_code == 200, (method, path)


@requirement("API-03", refused(routes.REFERRERS, "GET", ApiError(UNSUPPORTED, status=404)))
async def test_push_discovery_and_management_are_there(one: Application) -> None:
    digest = await push(one, image())
    for method, path, code in (
        ("POST", "blobs/uploads/", 202),
        ("GET", "tags/list", 200),
        ("GET", f"referrers/{digest}", 200),
        ("DELETE", "manifests/v1", 202),
        ("DELETE", f"manifests/{digest}", 202),
        ("DELETE", f"blobs/{sha256(BLOB)}", 202),
    ):
        assert (await one.http.request(method, f"/v2/a/{path}")).status_code == code, path


@requirement("API-04", replaced(BlobStore, "redirect_url", lambda *_: asyncio.sleep(0)), on=signing)
async def test_answer_may_be_a_redirect(one: Application) -> None:
    await store(one, "a", DATA, DIGEST)
    response = await one.http.get(BLOB_URL)
    assert response.status_code == 307
    assert response.headers["location"].startswith("https://store/")


@requirement("API-05", replaced(ApiError, "body", lambda error: dump({"error": error.code.value})))
async def test_error_body_has_the_specified_form(one: Application) -> None:
    response = await one.http.get("/v2/a/manifests/none")
    document = response.json()
    assert list(document) == ["errors"]
    assert [set(error) for error in document["errors"]] == [{"code", "message", "detail"}]
    assert isinstance(document["errors"][0]["message"], str)


@requirement("API-06", replaced(ErrorCode, "value", "no-such-manifest"))
async def test_error_codes_are_of_upper_case_and_underscores(one: Application) -> None:
    for entry in codes.CATALOGUE:
        assert set(entry.value) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ_")
    response = await one.http.get("/v2/a/manifests/none")
    assert error_codes(response) == ["MANIFEST_UNKNOWN"]


@requirement(
    "API-07", replaced(errors, "_OF_REGISTRY", dict.fromkeys(errors._OF_REGISTRY, codes.UNKNOWN))
)
async def test_error_codes_are_the_specified_ones(one: Application) -> None:
    missing = sha256(b"missing")
    upload = "00000000-0000-0000-0000-000000000000"
    for method, path, code in (
        ("GET", f"/v2/a/blobs/{missing}", "BLOB_UNKNOWN"),
        ("GET", f"/v2/a/blobs/uploads/{upload}", "BLOB_UPLOAD_UNKNOWN"),
        ("GET", "/v2/a/blobs/sha256:1", "DIGEST_INVALID"),
        ("GET", "/v2/a/manifests/none", "MANIFEST_UNKNOWN"),
        ("PUT", "/v2/a/manifests/v1", "MANIFEST_INVALID"),
        ("GET", "/v2/A/tags/list", "NAME_INVALID"),
        ("GET", "/v2/none/tags/list", "NAME_UNKNOWN"),
        ("PUT", "/v2/a/tags/list", "UNSUPPORTED"),
    ):
        assert error_codes(await one.http.request(method, path)) == [code], path


@requirement("API-08", header(routes.BASE, "GET", "content-type", "text/plain"))
async def test_base_answers_with_json(one: Application) -> None:
    response = await one.http.get("/v2/")
    assert (response.headers["content-type"], response.json()) == ("application/json", {})
    assert response.headers["docker-distribution-api-version"] == "registry/2.0"


def _with_namespace(response: object) -> None:
    response.headers.append((b"oci-namespace", b"other"))  # type: ignore[attr-defined]


@requirement("API-09", changed(routes.MANIFEST, "GET", _with_namespace))
async def test_namespace_of_a_proxy_is_ignored(one: Application) -> None:
    await push(one, image())
    response = await one.http.get("/v2/a/manifests/v1", params={"ns": "other.example"})
    assert (response.status_code, response.content) == (200, image())
    assert "oci-namespace" not in response.headers


# Pulling manifests -----------------------------------------------------------------------------


def _tags_alone(patch: pytest.MonkeyPatch) -> None:
    read = router._READERS["reference"]

    def broken(request: Request, text: str) -> None:
        if ":" in text:
            raise ApiError(codes.MANIFEST_UNKNOWN)
        read(request, text)

    patch.setitem(cast(MutableMapping[str, object], router._READERS), "reference", broken)


@requirement("PULL-01", _tags_alone)
async def test_manifest_is_named_by_tag_or_digest(one: Application) -> None:
    digest = await push(one, image(), "v1")
    await push(one, image(2), "v2")
    for reference in ("v1", digest):
        response = await one.http.get(f"/v2/a/manifests/{reference}")
        assert (response.status_code, response.content) == (200, image())


@requirement("PULL-02", replaced(router, "is_tag", lambda text: True))
async def test_nothing_else_names_a_manifest(one: Application) -> None:
    for reference in ("sha256:1", f"sha1:{'0' * 40}", "sha256:", ":"):
        response = await one.http.get(f"/v2/a/manifests/{reference}")
        assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])
    for reference in (".v1", "-v1", "v%201", "v+1"):
        assert (await put(one, image(), reference)).status_code == 400, reference


@requirement("PULL-03", replaced(router, "is_name", lambda text: True))
async def test_name_is_of_the_specified_form(one: Application) -> None:
    for name in ("a", "a/b/c", "a.b", "a_b", "a__b", "a---b", "0"):
        assert (await one.http.get(f"/v2/{name}/tags/list")).status_code == 404, name
    for name in ("A", "a..b", "a___b", "-a", "a-", "a//b", ".a", "a_", "é"):
        response = await one.http.get(f"/v2/{name}/tags/list")
        assert (response.status_code, error_codes(response)) == (400, ["NAME_INVALID"]), name


@requirement("PULL-04", replaced(router, "is_tag", lambda text: len(text) < 1000))
async def test_tag_has_128_characters_at_most(one: Application) -> None:
    assert (await put(one, image(), "t" * 128)).status_code == 201
    response = await put(one, image(), "t" * 129)
    assert (response.status_code, error_codes(response)) == (400, ["TAG_INVALID"])


@requirement(
    "PULL-05", header(routes.MANIFEST, "GET", "content-type", f"{OCI_MANIFEST}; charset=utf-8")
)
async def test_type_of_a_manifest_has_no_parameters(one: Application) -> None:
    await push(one, image(), media_type=f"{OCI_MANIFEST}; charset=utf-8")
    response = await one.http.get("/v2/a/manifests/v1")
    assert response.headers["content-type"] == OCI_MANIFEST


@requirement("PULL-06", replaced(ManifestStore, "_kept_type", lambda *_: asyncio.sleep(0)))
async def test_type_of_a_manifest_is_the_one_that_it_came_with(one: Application) -> None:
    docker = "application/vnd.docker.distribution.manifest.v2+json"
    other = "application/vnd.example.Thing+json"
    pushes = {
        "named": (image(), OCI_MANIFEST),
        "shape": (image(mediaType=None), OCI_MANIFEST),
        "unnamed": (image(1, mediaType=None), docker),
        "unknown": (dump({"anything": [1, None]}), other),
        "unknown-named": (dump({"mediaType": other, "subject": 1}), other),
    }
    for tag, (content, media_type) in pushes.items():
        await push(one, content, tag, media_type=media_type)
        for method in ("GET", "HEAD"):
            response = await one.http.request(method, f"/v2/a/manifests/{tag}")
            assert response.headers["content-type"] == media_type, tag


@requirement("PULL-07", body(routes.MANIFEST, "GET", lambda document: document))
async def test_manifest_is_given_with_200(one: Application) -> None:
    await push(one, image())
    response = await one.http.get("/v2/a/manifests/v1")
    assert (response.status_code, response.content) == (200, image())


@requirement("PULL-08", header(routes.MANIFEST, "GET", "docker-content-digest"))
async def test_manifest_comes_with_its_digest(one: Application) -> None:
    digest = await push(one, image())
    response = await one.http.get("/v2/a/manifests/v1")
    assert response.headers["docker-content-digest"] == digest


@requirement("PULL-09", refusal(routes.MANIFEST, "GET", 410))
async def test_unknown_manifest_is_404(one: Application) -> None:
    await push(one, image())
    for reference in ("none", sha256(b"none"), sha512(b"none")):
        assert (await one.http.get(f"/v2/a/manifests/{reference}")).status_code == 404
    assert (await one.http.get(f"/v2/b/manifests/{sha256(image())}")).status_code == 404


# Pulling blobs ---------------------------------------------------------------------------------


@requirement("PULL-10", status(routes.BLOB, "GET", 203))
async def test_blob_is_given_with_200(one: Application) -> None:
    for data in (DATA, b""):
        await store(one, "a", data, sha256(data))
        response = await one.http.get(f"/v2/a/blobs/{sha256(data)}")
        assert (response.status_code, response.content) == (200, data)
        assert response.headers["content-length"] == str(len(data))


@requirement("PULL-11", header(routes.BLOB, "GET", "docker-content-digest"))
async def test_blob_comes_with_a_digest(one: Application) -> None:
    await store(one, "a", DATA, DIGEST)
    assert "docker-content-digest" in (await one.http.get(BLOB_URL)).headers


@requirement("PULL-12", header(routes.BLOB, "GET", "docker-content-digest", DIGEST))
async def test_digest_is_that_of_the_body(one: Application) -> None:
    for digest_of in (sha256, sha512):
        await store(one, "a", DATA, digest_of(DATA))
        response = await one.http.get(f"/v2/a/blobs/{digest_of(DATA)}")
        assert response.headers["docker-content-digest"] == digest_of(response.content)


@requirement(
    "PULL-13", replaced(BlobStore, "is_linked", lambda self, name, digest: self.is_stored(digest))
)
async def test_blob_that_the_repository_does_not_have_is_404(one: Application) -> None:
    await store(one, "b", DATA, DIGEST)
    response = await one.http.get(BLOB_URL)
    assert (response.status_code, error_codes(response)) == (404, ["BLOB_UNKNOWN"])


@requirement("PULL-14", request_header_ignored(routes.BLOB, "GET", "range"))
async def test_range_of_a_blob_is_given(one: Application) -> None:
    await store(one, "a", DATA, DIGEST)
    for asked, first, last in (
        ("500-1499", 500, 1499),
        ("500-", 500, 2047),
        ("-500", 1548, 2047),
        ("2000-5000", 2000, 2047),
    ):
        response = await one.http.get(BLOB_URL, headers={"range": f"bytes={asked}"})
        assert (response.status_code, response.content) == (206, DATA[first : last + 1])
        assert response.headers["content-range"] == f"bytes {first}-{last}/2048"
        assert response.headers["content-length"] == str(last - first + 1)


@requirement("PULL-15", refusal(routes.BLOB, "GET", 400))
async def test_range_beyond_a_blob_is_416(one: Application) -> None:
    await store(one, "a", DATA, DIGEST)
    for asked in ("500-0", "5000-10000", "2048-"):
        response = await one.http.get(BLOB_URL, headers={"range": f"bytes={asked}"})
        assert response.status_code == 416
        assert response.headers["content-range"] == "bytes */2048"
    assert (await one.http.get(BLOB_URL)).content == DATA


# Checking if content exists --------------------------------------------------------------------


@requirement("HEAD-01", status(routes.BLOB, "HEAD", 204))
async def test_head_of_what_is_there_is_200(one: Application) -> None:
    digest = await push(one, image())
    for path in (f"blobs/{sha256(BLOB)}", "manifests/v1", f"manifests/{digest}"):
        response = await one.http.head(f"/v2/a/{path}")
        assert (response.status_code, response.content) == (200, b"")


@requirement("HEAD-02", header(routes.MANIFEST, "HEAD", "docker-content-digest"))
async def test_head_gives_the_digest(one: Application) -> None:
    digest = await push(one, image())
    for path, expected in (
        (f"blobs/{sha256(BLOB)}", sha256(BLOB)),
        ("manifests/v1", digest),
        (f"manifests/{digest}", digest),
    ):
        response = await one.http.head(f"/v2/a/{path}")
        assert response.headers["docker-content-digest"] == expected


@requirement("HEAD-03", header(routes.BLOB, "HEAD", "content-length", "0"))
async def test_head_gives_the_size(one: Application) -> None:
    await push(one, image())
    for path, size in ((f"blobs/{sha256(BLOB)}", len(BLOB)), ("manifests/v1", len(image()))):
        response = await one.http.head(f"/v2/a/{path}")
        assert response.headers["content-length"] == str(size)


@requirement("HEAD-04", refusal(routes.MANIFEST, "HEAD", 400))
async def test_head_of_what_is_not_there_is_404(one: Application) -> None:
    await push(one, image())
    missing = sha256(b"missing")
    for path in (f"a/blobs/{missing}", f"a/manifests/{missing}", "a/manifests/none"):
        assert (await one.http.head(f"/v2/{path}")).status_code == 404


# Digests ---------------------------------------------------------------------------------------


def _only_sha256(text: str) -> Digest:
    if text.startswith("sha512:"):
        raise InvalidDigestError
    return parse_digest(text)


@requirement("PULL-16", replaced(router, "parse_digest", _only_sha256))
async def test_sha512_names_content_as_sha256_does(one: Application) -> None:
    await store(one, "a", BLOB, sha256(BLOB))
    location = (await one.http.post("/v2/a/blobs/uploads/")).headers["location"]
    await one.http.patch(location, content=DATA[:10])
    done = await finish(one, location, sha512(DATA), DATA[10:])
    assert done.status_code == 201
    layer = {"mediaType": "application/x", "digest": sha512(DATA), "size": len(DATA)}
    mixed = image(layers=[layer])
    member = sha512(mixed)
    assert (await put(one, mixed, member)).status_code == 201
    listing = index(member)
    whole = sha512(listing)
    content_type = media_types.OCI_INDEX
    assert (await put(one, listing, whole, content_type)).status_code == 201
    for digest, content in ((member, mixed), (whole, listing)):
        response = await one.http.get(f"/v2/a/manifests/{digest}")
        assert response.content == content
        assert response.headers["docker-content-digest"] == digest
    assert (await one.http.get(f"/v2/a/blobs/{sha512(DATA)}")).content == DATA


@requirement("API-10", parameter_ignored(routes.TAGS, "GET", "last"))
async def test_link_leads_to_a_url_of_this_registry(one: Application) -> None:
    for tag in ("a", "b"):
        await push(one, image(), tag)
    first = await one.http.get("/v2/a/tags/list?n=1")
    second = await one.http.get(first.links["next"]["url"])
    assert (first.json()["tags"], second.json()["tags"]) == (["a"], ["b"])
