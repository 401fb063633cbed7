"""Requirements on pushing manifests. See `requirements`."""

from __future__ import annotations

import json

import pytest
from storagedriver_registry.api import manifests, routes, validation
from storagedriver_registry.api.codes import MANIFEST_INVALID
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.configuration.models import ValidationSettings
from storagedriver_registry.digest import Digest
from storagedriver_registry.manifest import (
    Descriptor,
    ImageManifest,
    Manifest,
    PushedManifest,
    parse_manifest,
)
from storagedriver_registry.storage import Stores
from storagedriver_registry.storage.blobs import BlobStore
from storagedriver_registry.storage.tags import TagStore

from registry.tests.application import Application
from registry.tests.client import (
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    error_codes,
    sha256,
    sha512,
)
from registry.tests.requirements import (
    EMPTY,
    dump,
    header,
    image,
    index,
    push,
    put,
    refusal,
    replaced,
    requirement,
    status,
    subject,
)

MEBIBYTE = 1024 * 1024


async def get(one: Application, reference: str) -> bytes | None:
    response = await one.http.get(f"/v2/a/manifests/{reference}")
    return response.content if response.status_code == 200 else None


# What they refer to ----------------------------------------------------------------------------


_check = validation.ManifestValidation.check


async def _with_subject(
    self: validation.ManifestValidation, stores: Stores, name: str, manifest: Manifest
) -> None:
    subject = getattr(manifest, "subject", None)
    if subject is not None and not await stores.manifests.exists(name, subject.digest):
        raise ApiError(MANIFEST_INVALID)
    await _check(self, stores, name, manifest)


@requirement("MAN-01", replaced(validation.ManifestValidation, "check", _with_subject))
async def test_subject_need_not_exist(one: Application) -> None:
    for digest_of in (sha256, sha512):
        response = await put(one, image(subject=subject(digest_of(b"none"))))
        assert response.status_code == 201


async def _anything(*_: object) -> None:
    return None


@requirement("MAN-02", replaced(validation.ManifestValidation, "check", _anything))
async def test_manifest_whose_content_is_missing_is_refused(one: Application) -> None:
    layer = {"mediaType": "application/x", "digest": sha256(b"missing"), "size": 7}
    for content in (image(layers=[layer]), index(sha256(b"missing"))):
        assert (await put(one, content)).status_code == 400
    assert await get(one, "v1") is None


@requirement("MAN-03", replaced(validation, "MANIFEST_BLOB_UNKNOWN", MANIFEST_INVALID))
async def test_what_is_missing_is_named(one: Application) -> None:
    missing = [sha256(b"one"), sha256(b"two")]
    layers = [{"mediaType": "application/x", "digest": digest, "size": 3} for digest in missing]
    for content in (image(layers=layers), index(*missing)):
        response = await put(one, content)
        assert error_codes(response) == ["MANIFEST_BLOB_UNKNOWN"] * 2
        assert [error["detail"] for error in response.json()["errors"]] == missing


async def _not_empty(
    self: validation.ManifestValidation, stores: Stores, name: str, manifest: Manifest
) -> None:
    if not (getattr(manifest, "layers", None) or manifest.required_manifests):
        raise ApiError(MANIFEST_INVALID)
    await _check(self, stores, name, manifest)


@requirement("MAN-04", replaced(validation.ManifestValidation, "check", _not_empty))
async def test_list_of_blobs_may_be_empty(one: Application) -> None:
    for content in (image(layers=[]), index()):
        assert (await put(one, content)).status_code == 201
        assert await get(one, "v1") == content


# How they come ---------------------------------------------------------------------------------


def _with_parameters(data: bytes, content_type: str) -> PushedManifest:
    return parse_manifest(data, content_type.replace(";", "+"))


@requirement("MAN-05", replaced(manifests, "parse_manifest", _with_parameters))
async def test_parameters_of_the_type_are_ignored(one: Application) -> None:
    response = await put(one, image(), media_type=f"{OCI_MANIFEST}; charset=utf-8")
    assert response.status_code == 201
    assert await get(one, "v1") == image()


@requirement(
    "MAN-06", replaced(manifests, "parse_manifest", lambda data, _: parse_manifest(data, ""))
)
async def test_type_that_differs_from_the_named_one_is_refused(one: Application) -> None:
    response = await put(one, image(), media_type=DOCKER_MANIFEST)
    assert (response.status_code, error_codes(response)) == (400, ["MANIFEST_INVALID"])
    assert await get(one, "v1") is None


@requirement("MAN-07", refusal(routes.MANIFEST, "PUT", 500))
async def test_digest_has_to_be_that_of_the_manifest(one: Application) -> None:
    for digest in (sha256(b"other"), sha512(b"other"), "sha256:baddigeststring", "sha256:"):
        response = await put(one, image(), digest)
        assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])


_get = BlobStore.get


async def _tidied(store: BlobStore, digest: Digest) -> bytes:
    return dump(json.loads(await _get(store, digest)))


@requirement("MAN-08", replaced(BlobStore, "get", _tidied))
async def test_manifest_is_kept_byte_for_byte(one: Application) -> None:
    content = b'  {"schemaVersion":2,\n "schemaVersion" : 2, "manifests":[ ],"x":"\\u00e9"}\n\n'
    await push(one, content, media_type=OCI_INDEX)
    for reference in ("v1", sha256(content)):
        assert await get(one, reference) == content


@requirement("MAN-09", status(routes.MANIFEST, "PUT", 202))
async def test_pushed_manifest_is_201(one: Application) -> None:
    for reference in ("v1", sha256(image()), sha512(image())):
        assert (await put(one, image(), reference)).status_code == 201


@requirement("MAN-10", header(routes.MANIFEST, "PUT", "location", "http://registry/v2/"))
async def test_pushed_manifest_can_be_pulled_at_its_location(one: Application) -> None:
    for reference in ("v1", sha512(image())):
        response = await put(one, image(), reference)
        assert (await one.http.get(response.headers["location"])).content == image()


@requirement("MAN-11", header(routes.MANIFEST, "PUT", "docker-content-digest"))
async def test_pushed_manifest_comes_with_its_digest(one: Application) -> None:
    for reference, digest in (("v1", sha256(image())), (sha512(image()), sha512(image()))):
        response = await put(one, image(), reference)
        assert response.headers["docker-content-digest"] == digest


@requirement("MAN-12", refusal(routes.MANIFEST, "GET", 400))
async def test_pull_from_an_unknown_repository_is_404(one: Application) -> None:
    await push(one, image())
    for reference in ("v1", sha256(image())):
        assert (await one.http.get(f"/v2/none/manifests/{reference}")).status_code == 404


def large(size: int) -> bytes:
    bare = len(image(annotations={"a": ""}))
    return image(annotations={"a": "x" * (size - bare)})


@requirement("MAN-13", replaced(manifests, "MAX_MANIFEST_BYTES", 64 * MEBIBYTE))
async def test_manifest_that_is_too_large_is_413(one: Application) -> None:
    response = await put(one, large(4 * MEBIBYTE + 1))
    assert (response.status_code, error_codes(response)) == (413, ["SIZE_INVALID"])
    assert await get(one, "v1") is None


@requirement("MAN-14", replaced(manifests, "MAX_MANIFEST_BYTES", 4 * 1000 * 1000))
async def test_manifest_of_4_mebibytes_is_taken(one: Application) -> None:
    await push(one, large(4 * MEBIBYTE))
    assert await get(one, "v1") == large(4 * MEBIBYTE)


# Tags with it ----------------------------------------------------------------------------------


@requirement(
    "MAN-15", replaced(manifests, "_tags", lambda request: [request.tag] if request.tag else [])
)
async def test_push_by_digest_sets_the_tags_of_the_query(one: Application) -> None:
    for digest_of in (sha256, sha512):
        content = image(1 if digest_of is sha256 else 2)
        response = await put(one, content, digest_of(content), query="?tag=one&tag=two")
        assert response.status_code == 201
        for tag in ("one", "two"):
            pulled = await one.http.get(f"/v2/a/manifests/{tag}")
            assert pulled.content == content
            assert pulled.headers["docker-content-digest"] == digest_of(content)


@requirement("MAN-16", replaced(manifests, "MOST_TAGS", 9))
async def test_ten_tags_at_once_are_set(one: Application) -> None:
    tags = [f"tag-{number}" for number in range(10)]
    query = "?" + "&".join(f"tag={tag}" for tag in tags)
    assert (await put(one, image(), sha256(image()), query=query)).status_code == 201
    assert (await one.http.get("/v2/a/tags/list")).json()["tags"] == tags


@requirement("MAN-17", header(routes.MANIFEST, "PUT", "oci-tag", "one"))
async def test_each_tag_that_was_set_is_told(one: Application) -> None:
    response = await put(one, image(), sha256(image()), query="?tag=one&tag=two&tag=one")
    assert response.headers.get_list("oci-tag") == ["one", "two"]
    assert "oci-tag" not in (await put(one, image(), "v1")).headers


@requirement("MAN-18", replaced(manifests, "MOST_TAGS", 1000))
async def test_too_many_tags_are_414(one: Application) -> None:
    query = "?" + "&".join(f"tag=tag-{number}" for number in range(101))
    assert (await put(one, image(), sha256(image()), query=query)).status_code == 414
    assert await get(one, sha256(image())) is None


@requirement("MAN-19", replaced(manifests, "is_tag", lambda text: True))
async def test_malformed_tag_of_the_query_is_refused(one: Application) -> None:
    response = await put(one, image(), sha256(image()), query="?tag=one&tag=.two")
    assert (response.status_code, error_codes(response)) == (400, ["TAG_INVALID"])
    assert await get(one, "one") is None


async def _first_stays(store: TagStore, name: str, tag: str, digest: object) -> None:
    if tag not in await store.list(name):
        await _put_tag(store, name, tag, digest)  # type: ignore[arg-type]  # it is one


_put_tag = TagStore.put


@requirement("MAN-20", replaced(TagStore, "put", _first_stays))
async def test_tag_moves_to_the_last_push(one: Application) -> None:
    await push(one, image(1), "other")
    for number in (1, 2):
        await push(one, image(number), "v1")
        assert await get(one, "v1") == image(number)


# Subject ---------------------------------------------------------------------------------------


@requirement("MAN-21", header(routes.MANIFEST, "PUT", "oci-subject"))
async def test_subject_that_was_noted_is_told(one: Application) -> None:
    for digest in (sha256(b"none"), sha512(b"none")):
        for content in (image(subject=subject(digest)), index(subject=subject(digest))):
            response = await put(one, content)
            assert response.headers["oci-subject"] == digest
    assert "oci-subject" not in (await put(one, image())).headers


# Validation by configuration -------------------------------------------------------------------


def _every_blob(manifest: ImageManifest) -> list[Descriptor]:
    return [manifest.config, *(manifest.layers or ())]


MISSING = {"mediaType": "application/x", "digest": sha256(b"missing"), "size": 7}
OFF = {"validation": {"disabled": True}}


def _validated_all_the_same(patch: pytest.MonkeyPatch) -> None:
    make = validation.ManifestValidation.__init__

    def broken(self: validation.ManifestValidation, settings: ValidationSettings) -> None:
        make(self, settings.model_copy(update={"disabled": False}))

    patch.setattr(validation.ManifestValidation, "__init__", broken)


@requirement(
    "MAN-22",
    _validated_all_the_same,
    sections=OFF,
)
async def test_sparse_manifests_are_taken_where_validation_is_off(one: Application) -> None:
    for content in (image(config=MISSING, layers=[MISSING]), index(sha256(b"missing"))):
        await push(one, content)
        assert await get(one, "v1") == content


@requirement("MAN-23", replaced(ImageManifest, "required_blobs", property(_every_blob)))
async def test_layer_that_is_kept_elsewhere_need_not_be_here(one: Application) -> None:
    layer = {**MISSING, "urls": ["https://store.example.com/blob"]}
    content = image(layers=[layer, EMPTY])
    await push(one, content)
    assert await get(one, "v1") == content
