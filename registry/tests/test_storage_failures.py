"""What a client is told when the storage fails: the status, never what is inside."""

from __future__ import annotations

import logging

import pytest

from registry.tests.application import Application, run
from registry.tests.client import error_codes, sha256
from storagedriver_core import (
    AuthenticationError,
    NoSpaceError,
    OperationTimeoutError,
    PermissionDeniedError,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
)

DATA = b"0123456789"
SECRET = "secret-inside-of-the-message"
NOT_LATE = {"late_target": False}


async def uploads_left(application: Application) -> list[str]:
    paths = [info.path async for info in application.storage.walk("/")]
    return [path for path in paths if "/_uploads/" in path]


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (UnavailableError(SECRET), 503, "UNAVAILABLE", "5"),
        (OperationTimeoutError(SECRET), 503, "UNAVAILABLE", "5"),
        (ThrottledError(SECRET), 503, "UNAVAILABLE", "5"),
        (ThrottledError(SECRET, retry_after=30.2), 503, "UNAVAILABLE", "30"),
        (ThrottledError(SECRET, retry_after=0.1), 503, "UNAVAILABLE", "1"),
        (NoSpaceError(SECRET), 507, "UNKNOWN", None),
        (PermissionDeniedError(SECRET), 500, "UNKNOWN", None),
        (AuthenticationError(SECRET), 500, "UNKNOWN", None),
        (StorageDriverError(SECRET), 500, "UNKNOWN", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_failure_of_the_storage_is_told_and_logged(
    error: StorageDriverError,
    status: int,
    code: str,
    retry_after: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(application: Application) -> None:
        await application.push_blob("a", DATA, sha256(DATA))
        application.driver.fail("stat", error)
        response = await application.http.get(f"/v2/a/blobs/{sha256(DATA)}")
        assert (response.status_code, error_codes(response)) == (status, [code])
        assert response.headers.get("retry-after") == retry_after
        assert SECRET not in response.text
        application.driver.heal()
        assert (await application.http.get(f"/v2/a/blobs/{sha256(DATA)}")).content == DATA

    with caplog.at_level(logging.WARNING):
        run(fail)
    assert SECRET in caplog.text


def test_error_of_our_own_is_500_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(*_: object) -> None:
        raise ZeroDivisionError(SECRET)

    async def fail(application: Application) -> None:
        monkeypatch.setattr("storagedriver_registry.api.manifests.parse_manifest", wrong)
        response = await application.http.put("/v2/a/manifests/v1", content=b"{}")
        assert (response.status_code, error_codes(response)) == (500, ["UNKNOWN"])
        assert SECRET not in response.text

    run(fail)
    assert SECRET in caplog.text


def test_name_that_is_too_long_for_the_store_is_refused() -> None:
    async def ask(application: Application) -> None:
        for name, code in (("short", "NAME_UNKNOWN"), ("long" * 20, "NAME_INVALID")):
            response = await application.http.get(f"/v2/{name}/tags/list")
            assert error_codes(response) == [code]

    run(ask, {"max_component_bytes": 70})


@pytest.mark.parametrize("operation", ["put_part", "put_content"])
def test_append_that_failed_leaves_the_upload_as_it_was(operation: str) -> None:
    async def fail(application: Application) -> None:
        http = application.http
        begun = await http.post("/v2/a/blobs/uploads/")
        first = await http.patch(begun.headers["location"], content=b"first ")
        location = first.headers["location"]
        application.driver.fail(operation, UnavailableError())
        failed = await http.patch(location, content=b"lost")
        assert (failed.status_code, error_codes(failed)) == (503, ["UNAVAILABLE"])
        application.driver.heal()
        assert (await http.get(location)).headers["range"] == "0-5"
        assert (await http.patch(location, content=b"second")).status_code == 202
        whole = b"first second"
        done = await http.put(location, params={"digest": sha256(whole)})
        assert done.status_code == 201
        assert (await http.get(f"/v2/a/blobs/{sha256(whole)}")).content == whole

    run(fail)


@pytest.mark.parametrize(
    ("operation", "narrow"),
    [("complete_upload", {}), ("complete_upload", NOT_LATE), ("move", NOT_LATE)],
)
def test_commit_that_failed_can_be_repeated(operation: str, narrow: dict[str, bool]) -> None:
    async def fail(application: Application) -> None:
        http = application.http
        begun = await http.post("/v2/a/blobs/uploads/")
        patched = await http.patch(begun.headers["location"], content=b"begun ")
        location, whole = patched.headers["location"], b"begun and ended"
        params = {"digest": sha256(whole)}
        application.driver.fail(operation, UnavailableError())
        failed = await http.put(location, params=params, content=b"and ended")
        assert (failed.status_code, error_codes(failed)) == (503, ["UNAVAILABLE"])
        application.driver.heal()
        again = await http.put(location, params=params, content=b"and ended")
        assert again.status_code == 201
        assert (await http.get(location)).status_code == 404
        assert (await http.get(f"/v2/a/blobs/{sha256(whole)}")).content == whole
        assert await uploads_left(application) == []

    run(fail, narrow)


def test_commit_cut_off_before_the_link_leaves_an_unknown_upload_and_no_rest() -> None:
    async def fail(application: Application) -> None:
        http = application.http
        begun = await http.post("/v2/a/blobs/uploads/")
        patched = await http.patch(begun.headers["location"], content=DATA)
        location, params = patched.headers["location"], {"digest": sha256(DATA)}
        application.driver.fail("put_content", UnavailableError(), at="/link")
        assert (await http.put(location, params=params)).status_code == 503
        application.driver.heal()
        assert (await http.get(f"/v2/a/blobs/{sha256(DATA)}")).status_code == 404
        again = await http.put(location, params=params)
        assert (again.status_code, error_codes(again)) == (404, ["BLOB_UPLOAD_UNKNOWN"])
        assert await uploads_left(application) == []
        await application.push_blob("a", DATA, sha256(DATA))

    run(fail)


def test_commit_is_done_although_its_session_cannot_be_cleared_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(application: Application) -> None:
        http = application.http
        begun = await http.post("/v2/a/blobs/uploads/")
        patched = await http.patch(begun.headers["location"], content=DATA)
        application.driver.fail("delete", UnavailableError())
        params = {"digest": sha256(DATA)}
        assert (await http.put(patched.headers["location"], params=params)).status_code == 201
        application.driver.heal()
        assert (await http.get(f"/v2/a/blobs/{sha256(DATA)}")).content == DATA

    run(fail)
    assert "left to the purge" in caplog.text


def test_upload_that_the_store_has_purged_is_unknown() -> None:
    async def purge(application: Application) -> None:
        http = application.http
        begun = await http.post("/v2/a/blobs/uploads/")
        patched = await http.patch(begun.headers["location"], content=b"begun")
        location = patched.headers["location"]
        async for info in application.storage.list_uploads():
            await application.driver.driver.abort_upload(info.upload)
        failed = await http.patch(location, content=b"more")
        assert (failed.status_code, error_codes(failed)) == (404, ["BLOB_UPLOAD_UNKNOWN"])
        assert (await http.get(location)).status_code == 404
        assert await uploads_left(application) == []

    run(purge)


def test_token_that_cannot_be_read_is_an_unknown_upload(caplog: pytest.LogCaptureFixture) -> None:
    async def spoil(application: Application) -> None:
        http = application.http
        begun = await http.post("/v2/a/blobs/uploads/")
        patched = await http.patch(begun.headers["location"], content=b"begun")
        location = patched.headers["location"]
        (token,) = await uploads_left(application)
        await application.storage.put_content(token, b"{}")
        response = await http.get(location)
        assert (response.status_code, error_codes(response)) == (404, ["BLOB_UPLOAD_UNKNOWN"])

    run(spoil)
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize("content", [b"", b"sha256:1", b"\xff"])
def test_broken_link_is_500(content: bytes) -> None:
    async def spoil(application: Application) -> None:
        path = "/docker/registry/v2/repositories/a/_manifests/tags/v1/current/link"
        await application.storage.put_content(path, content)
        response = await application.http.get("/v2/a/manifests/v1")
        assert (response.status_code, error_codes(response)) == (500, ["UNKNOWN"])

    run(spoil)


@pytest.mark.parametrize("kind", ["blobs", "manifests"])
def test_link_to_bytes_that_are_gone_is_404(kind: str) -> None:
    async def lose(application: Application) -> None:
        await application.push_blob("a", DATA, sha256(DATA))
        digest = sha256(b"gone")
        links = {"blobs": "_layers", "manifests": "_manifests/revisions"}
        path = f"/docker/registry/v2/repositories/a/{links[kind]}/sha256/{digest[7:]}/link"
        await application.storage.put_content(path, digest.encode())
        response = await application.http.get(f"/v2/a/{kind}/{digest}")
        assert response.status_code == 404

    run(lose)
