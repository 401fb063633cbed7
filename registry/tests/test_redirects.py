"""Blobs that clients fetch from the store itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from registry.tests.application import Application, in_memory, run
from registry.tests.client import error_codes, sha256
from storagedriver_core import Capabilities, SignedMethod, StorageDriver, UnavailableError

DATA = b"0123456789"
BLOB = f"/v2/a/blobs/{sha256(DATA)}"
HEX = sha256(DATA).removeprefix("sha256:")


def signing() -> StorageDriver:
    """Give a driver in memory that says which URLs it was asked for."""

    class Signing(type(in_memory())):  # type: ignore[misc]  # it is found by name alone
        @property
        def capabilities(self) -> Capabilities:
            declared: Capabilities = super().capabilities
            return dataclasses.replace(declared, sign_get=True, sign_head=True)

        async def redirect_url(
            self,
            path: str,
            *,
            method: SignedMethod,
            expires: timedelta,
            content_type: str | None = None,
        ) -> str:
            return f"https://store{path}?method={method}&seconds={expires.total_seconds():.0f}"

    driver: StorageDriver = Signing()
    return driver


async def get(application: Application, **headers: str) -> httpx.Response:
    await application.push_blob("a", DATA, sha256(DATA))
    application.driver.calls.clear()
    return await application.http.get(BLOB, headers=headers)


@pytest.mark.parametrize("headers", [{}, {"range": "bytes=2-4"}, {"range": "bytes=99-"}])
def test_get_sends_the_client_to_the_store(headers: Mapping[str, str]) -> None:
    async def test(application: Application) -> None:
        response = await get(application, **headers)
        assert (response.status_code, response.content) == (307, b"")
        assert response.headers["content-length"] == "0"
        assert response.headers["docker-content-digest"] == sha256(DATA)
        url = urlsplit(response.headers["location"])
        assert url.netloc == "store"
        assert url.path == f"/docker/registry/v2/blobs/sha256/{HEX[:2]}/{HEX}/data"
        assert parse_qs(url.query) == {"method": ["GET"], "seconds": ["1200"]}
        calls = [operation for operation, _ in application.driver.calls]
        assert calls == ["stat", "stat", "redirect_url"]

    run(test, on=signing())


def test_head_and_what_the_client_has_are_answered_here() -> None:
    async def test(application: Application) -> None:
        known = await get(application, **{"if-none-match": "*"})
        assert known.status_code == 304
        head = await application.http.head(BLOB)
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(DATA)))
        assert "redirect_url" not in dict(application.driver.calls)

    run(test, on=signing())


def test_blob_that_is_not_there_is_404() -> None:
    async def test(application: Application) -> None:
        response = await application.http.get(BLOB)
        assert (response.status_code, error_codes(response)) == (404, ["BLOB_UNKNOWN"])

    run(test, on=signing())


def test_disabled_redirect_sends_the_blob_itself() -> None:
    async def test(application: Application) -> None:
        response = await get(application)
        assert (response.status_code, response.content) == (200, DATA)
        part = await get(application, range="bytes=2-4")
        assert (part.status_code, part.content) == (206, DATA[2:5])

    run(test, on=signing(), settings={"redirect": {"disable": True}})


def test_store_that_signs_nothing_is_read_here() -> None:
    async def test(application: Application) -> None:
        response = await get(application)
        assert (response.status_code, response.content) == (200, DATA)

    run(test)
    run(test, {"sign_get": False}, on=signing())


def test_manifest_is_never_redirected() -> None:
    async def test(application: Application) -> None:
        await application.push_blob("a", DATA, sha256(DATA))
        config = {"mediaType": "x/y", "digest": sha256(DATA), "size": len(DATA)}
        manifest = {"schemaVersion": 2, "config": config, "layers": []}
        put = await application.http.put(
            "/v2/a/manifests/v1",
            json=manifest,
            headers={"content-type": "application/vnd.oci.image.manifest.v1+json"},
        )
        assert put.status_code == 201, put.text
        assert (await application.http.get("/v2/a/manifests/v1")).json() == manifest

    run(test, on=signing())


def test_store_that_cannot_sign_now_is_503() -> None:
    async def test(application: Application) -> None:
        application.driver.fail("redirect_url", UnavailableError("no credentials now"))
        response = await get(application)
        assert (response.status_code, error_codes(response)) == (503, ["UNAVAILABLE"])

    run(test, on=signing())
