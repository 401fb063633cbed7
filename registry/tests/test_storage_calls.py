"""How often the storage is asked: no more than the answer needs."""

from __future__ import annotations

import pytest
from storagedriver_registry.storage.paths import GARBAGE_SIGN

from registry.tests.application import Application, run
from registry.tests.client import OCI_MANIFEST, sha256

DATA = b"{}"
DESCRIPTOR = {"mediaType": "x/y", "digest": sha256(DATA), "size": 2}
MANIFEST = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": DESCRIPTOR, "layers": []}


@pytest.mark.parametrize(
    ("method", "path", "calls"),
    [
        ("GET", "", []),
        ("HEAD", f"a/blobs/{sha256(DATA)}", ["stat", "stat"]),
        ("GET", f"a/blobs/{sha256(DATA)}", ["stat", "stat", "get_content"]),
        ("GET", "a/manifests/v1", ["get_content", "stat", "get_content"]),
        ("HEAD", "a/manifests/v1", ["get_content", "stat", "get_content"]),
        ("HEAD", "a/manifests/{manifest}", ["stat", "get_content"]),
        ("POST", "a/blobs/uploads/", []),
        ("POST", f"b/blobs/uploads/?mount={sha256(DATA)}&from=a", ["stat", "stat", "put_content"]),
    ],
)
def test_calls_of_the_storage(method: str, path: str, calls: list[str]) -> None:
    async def count(application: Application) -> None:
        http = application.http
        await application.push_blob("a", DATA, sha256(DATA))
        manifest = await http.put("/v2/a/manifests/v1", json=MANIFEST)
        assert manifest.status_code == 201
        await http.post("/v2/a/blobs/uploads/")  # the key is made once
        application.driver.calls.clear()
        digest = manifest.headers["docker-content-digest"]
        response = await http.request(method, f"/v2/{path.format(manifest=digest)}")
        assert response.is_success
        # A look at the sign of garbage is for all requests of a second.
        made = [operation for operation, path in application.driver.calls if path != GARBAGE_SIGN]
        assert made == calls

    run(count)


def test_blob_is_durable_before_its_link_and_the_session_ends_last() -> None:
    async def order(application: Application) -> None:
        http = application.http
        begun = await http.post("/v2/a/blobs/uploads/")
        patched = await http.patch(begun.headers["location"], content=DATA)
        application.driver.calls.clear()
        params = {"digest": sha256(DATA)}
        done = await http.put(patched.headers["location"], params=params)
        assert done.status_code == 201
        changes = [
            (operation, path.rpartition("/")[2])
            for operation, path in application.driver.calls
            if operation in ("complete_upload", "put_content", "delete")
        ]
        # First the turn at the session. The upload is called by the path that it was opened for.
        assert changes[:3] == [
            ("put_content", "token"),
            ("complete_upload", "data"),
            ("put_content", "link"),
        ]
        assert [operation for operation, _ in changes[3:]] == ["delete"]

    run(order)
