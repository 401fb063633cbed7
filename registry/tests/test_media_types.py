"""The types of manifests that do not name one, and those of the past."""

from __future__ import annotations

import pytest

from registry.tests.application import Application, run
from registry.tests.client import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, error_codes, sha256
from registry.tests.requirements import dump, image, put
from registry.tests.test_referrers import plant

SCHEMA1 = "application/vnd.docker.distribution.manifest.v1"
BARE = image(mediaType=None)


@pytest.mark.parametrize(
    ("content", "calls"),
    [(image(), ["stat", "get_content"]), (BARE, ["stat", "get_content", "get_content"])],
    ids=["named", "unnamed"],
)
def test_only_a_manifest_without_a_type_costs_a_request_more(
    content: bytes, calls: list[str]
) -> None:
    async def test(one: Application) -> None:
        await put(one, content)
        one.driver.calls.clear()
        await one.http.get(f"/v2/a/manifests/{sha256(content)}")
        assert [operation for operation, _ in one.driver.calls] == calls

    run(test)


def test_last_push_decides_on_the_type() -> None:
    async def test(one: Application) -> None:
        for media_type in (DOCKER_MANIFEST, OCI_MANIFEST):
            await put(one, BARE, media_type=media_type)
            response = await one.http.get("/v2/a/manifests/v1")
            assert response.headers["content-type"] == media_type

    run(test)


def test_each_repository_has_its_own_type() -> None:
    async def test(one: Application) -> None:
        content = dump({})
        for name in ("a", "b"):
            headers = {"content-type": f"application/{name}"}
            await one.http.put(f"/v2/{name}/manifests/v1", content=content, headers=headers)
        for name in ("a", "b"):
            response = await one.http.get(f"/v2/{name}/manifests/v1")
            assert response.headers["content-type"] == f"application/{name}"

    run(test)


@pytest.mark.parametrize(
    ("content", "media_type"), [(BARE, OCI_MANIFEST), (dump({"manifests": []}), OCI_INDEX)]
)
def test_shape_decides_where_another_registry_kept_no_type(content: bytes, media_type: str) -> None:
    async def test(one: Application) -> None:
        await plant(one, content, "v1")
        response = await one.http.get("/v2/a/manifests/v1")
        assert (response.content, response.headers["content-type"]) == (content, media_type)

    run(test)


@pytest.mark.parametrize("content_type", ["a/b\x01", "text", "a b/c", "a/é"])
def test_malformed_type_is_refused(content_type: str) -> None:
    async def test(one: Application) -> None:
        headers = {b"content-type": content_type.encode("latin-1")}
        response = await one.http.put("/v2/a/manifests/v1", content=dump({}), headers=headers)
        assert (response.status_code, error_codes(response)) == (400, ["MANIFEST_INVALID"])

    run(test)


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        ({"schemaVersion": 1, "name": "a", "tag": "v1"}, f"{SCHEMA1}+json"),
        ({"schemaVersion": 1, "name": "a", "signatures": [{}]}, f"{SCHEMA1}+prettyjws"),
    ],
)
def test_schema_1_of_the_past_is_served_listed_and_deleted(
    document: object, media_type: str
) -> None:
    async def test(one: Application) -> None:
        content = dump(document)
        digest = await plant(one, content, "old")
        assert (await one.http.get("/v2/a/tags/list")).json()["tags"] == ["old"]
        for reference in ("old", digest):
            response = await one.http.get(f"/v2/a/manifests/{reference}")
            assert (response.content, response.headers["content-type"]) == (content, media_type)
        pushed = await put(one, content, "new", media_type=media_type)
        assert (pushed.status_code, error_codes(pushed)) == (400, ["MANIFEST_INVALID"])
        assert (await one.http.delete(f"/v2/a/manifests/{digest}")).status_code == 202
        assert (await one.http.get("/v2/a/manifests/old")).status_code == 404

    run(test)
