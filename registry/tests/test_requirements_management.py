"""Requirements on deleting. See `requirements`."""

from __future__ import annotations

from storagedriver_registry.api import routes
from storagedriver_registry.api.services import Services
from storagedriver_registry.storage.tags import TagStore

from registry.tests.application import Application
from registry.tests.client import error_codes, sha256
from registry.tests.requirements import (
    BLOB,
    image,
    push,
    refusal,
    replaced,
    requirement,
    status,
    store,
)

DISABLED = {"delete": {"enabled": False}}


async def delete(one: Application, path: str, name: str = "a") -> int:
    return (await one.http.delete(f"/v2/{name}/{path}")).status_code


async def is_there(one: Application, path: str) -> bool:
    return (await one.http.head(f"/v2/a/{path}")).status_code == 200


# Tags ------------------------------------------------------------------------------------------


@requirement("DEL-01", status(routes.MANIFEST, "DELETE", 200))
async def test_deleted_tag_is_202(one: Application) -> None:
    await push(one, image(), "v1")
    assert await delete(one, "manifests/v1") == 202


@requirement("DEL-02", replaced(Services, "require_delete", lambda *_: None), settings=DISABLED)
async def test_tag_is_405_where_deleting_is_disabled(one: Application) -> None:
    await push(one, image(), "v1")
    response = await one.http.delete("/v2/a/manifests/v1")
    assert (response.status_code, error_codes(response)) == (405, ["UNSUPPORTED"])
    assert await is_there(one, "manifests/v1")


async def _kept(*_: object) -> None:
    return None


@requirement("DEL-03", replaced(TagStore, "delete", _kept))
async def test_deleted_tag_is_gone_and_nothing_else(one: Application) -> None:
    digest = await push(one, image(), "v1")
    await push(one, image(), "v2")
    await delete(one, "manifests/v1")
    assert not await is_there(one, "manifests/v1")
    assert await is_there(one, "manifests/v2")
    assert await is_there(one, f"manifests/{digest}")
    assert await delete(one, "manifests/v1") == 404


# Manifests -------------------------------------------------------------------------------------


@requirement("DEL-04", status(routes.MANIFEST, "DELETE", 204))
async def test_deleted_manifest_is_202(one: Application) -> None:
    digest = await push(one, image())
    assert await delete(one, f"manifests/{digest}") == 202


@requirement("DEL-05", refusal(routes.MANIFEST, "DELETE", 400))
async def test_manifest_of_an_unknown_repository_is_404(one: Application) -> None:
    digest = await push(one, image())
    assert await delete(one, f"manifests/{digest}", "none") == 404
    assert await delete(one, f"manifests/{sha256(b'none')}") == 404


@requirement("DEL-06", replaced(Services, "require_delete", lambda *_: None), settings=DISABLED)
async def test_manifest_is_405_where_deleting_is_disabled(one: Application) -> None:
    digest = await push(one, image())
    assert await delete(one, f"manifests/{digest}") == 405
    assert await is_there(one, f"manifests/{digest}")


@requirement("DEL-07", replaced(TagStore, "delete_all", _kept))
async def test_deleted_manifest_is_gone_with_its_tags(one: Application) -> None:
    digest = await push(one, image(), "v1")
    await push(one, image(), "v2")
    await push(one, image(2), "other")
    await delete(one, f"manifests/{digest}")
    for reference in (digest, "v1", "v2"):
        assert not await is_there(one, f"manifests/{reference}")
    assert (await one.http.get("/v2/a/tags/list")).json()["tags"] == ["other"]


# Blobs -----------------------------------------------------------------------------------------


@requirement("DEL-08", status(routes.BLOB, "DELETE", 200))
async def test_deleted_blob_is_202(one: Application) -> None:
    await store(one, "a", BLOB, sha256(BLOB))
    assert await delete(one, f"blobs/{sha256(BLOB)}") == 202
    assert not await is_there(one, f"blobs/{sha256(BLOB)}")


@requirement("DEL-09", refusal(routes.BLOB, "DELETE", 400))
async def test_blob_that_is_not_there_is_404(one: Application) -> None:
    await store(one, "b", BLOB, sha256(BLOB))
    response = await one.http.delete(f"/v2/a/blobs/{sha256(BLOB)}")
    assert (response.status_code, error_codes(response)) == (404, ["BLOB_UNKNOWN"])


@requirement("DEL-10", replaced(Services, "require_delete", lambda *_: None), settings=DISABLED)
async def test_blob_is_405_where_deleting_is_disabled(one: Application) -> None:
    await store(one, "a", BLOB, sha256(BLOB))
    assert await delete(one, f"blobs/{sha256(BLOB)}") == 405
    assert await is_there(one, f"blobs/{sha256(BLOB)}")
