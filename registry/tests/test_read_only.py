"""A registry that takes nothing, as distribution's `storage.maintenance.readonly` has it."""

from __future__ import annotations

import pytest

from registry.tests.application import Application, run
from registry.tests.client import OCI_MANIFEST, error_codes, sha256

DATA = b"{}"
DESCRIPTOR = {"mediaType": "x/y", "digest": sha256(DATA), "size": 2}
MANIFEST = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": DESCRIPTOR, "layers": []}
READ_ONLY = {"maintenance": {"readonly": {"enabled": True}}}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "blobs/uploads/", ""),
        ("POST", f"blobs/uploads/?digest={sha256(DATA)}", ""),
        ("POST", f"blobs/uploads/?mount={sha256(DATA)}&from=b", ""),
        ("PATCH", "{upload}", "GET, HEAD"),
        ("PUT", "{upload}", "GET, HEAD"),
        ("DELETE", "{upload}", "GET, HEAD"),
        ("PUT", "manifests/v1", "GET, HEAD"),
        ("DELETE", "manifests/v1", "GET, HEAD"),
        ("DELETE", f"blobs/{sha256(DATA)}", "GET, HEAD"),
    ],
)
def test_what_writes_is_405_and_pulls_go_on(method: str, path: str, allowed: str) -> None:
    async def test(application: Application) -> None:
        await application.push_blob("a", DATA, sha256(DATA))
        manifest = await application.http.put("/v2/a/manifests/v1", json=MANIFEST)
        begun = await application.http.post("/v2/a/blobs/uploads/")
        patched = await application.http.patch(begun.headers["location"], content=DATA)
        upload = patched.headers["location"]
        before = [info.path async for info in application.storage.walk("/")]
        reading = Application(application.storage, application.driver, READ_ONLY)
        async with reading.http:
            where = upload if path == "{upload}" else f"/v2/a/{path}"
            params = {"digest": sha256(DATA)} if path == "{upload}" else None
            refused = await reading.http.request(method, where, params=params, json=MANIFEST)
            assert (refused.status_code, error_codes(refused)) == (405, ["UNSUPPORTED"])
            assert refused.headers["allow"] == allowed
            assert [info.path async for info in application.storage.walk("/")] == before
            pulled = await reading.http.get("/v2/a/manifests/v1")
            assert pulled.content == manifest.request.content
            assert (await reading.http.get(f"/v2/a/blobs/{sha256(DATA)}")).content == DATA
            assert (await reading.http.get(upload)).status_code == 204

    run(test)
