"""The base resource, and what is no resource."""

from __future__ import annotations

import httpx
import pytest

from registry.tests.application import Application, run
from registry.tests.client import error_codes, sha256


@pytest.mark.parametrize("path", ["/v2/", "/v2"])
def test_base_says_that_it_is_a_registry(http: httpx.Client, path: str) -> None:
    response = http.get(path)
    assert (response.status_code, response.json()) == (200, {})
    assert response.headers["docker-distribution-api-version"] == "registry/2.0"


def test_head_of_base_has_no_body(http: httpx.Client) -> None:
    response = http.head("/v2/")
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("path", ["/v2x", "/v1/", "/v2/a", "/v2/a/b", "/v2/a/manifests/"])
def test_unknown_resource_is_404_with_an_error_body(http: httpx.Client, path: str) -> None:
    response = http.get(path)
    assert response.status_code == 404
    assert error_codes(response) == ["UNSUPPORTED"]


def test_browsers_are_told_what_pages_elsewhere_may_do() -> None:
    """They ask without the user's credentials, and take nothing but success."""
    section = {
        "auth": {"silly": {"realm": "r", "service": "s"}},
        "http": {"headers": {"Access-Control-Allow-Origin": ["*"]}},
    }

    async def ask(one: Application) -> None:
        for path, methods in (
            ("/v2/", "GET, HEAD"),
            ("/v2/a/b/manifests/v1", "GET, HEAD, PUT, DELETE"),
        ):
            response = await one.http.options(path)
            assert (response.status_code, response.content) == (200, b"")
            assert response.headers["allow"] == f"{methods}, OPTIONS"
            assert response.headers["access-control-allow-origin"] == "*"
            assert (await one.http.get(path)).status_code == 401
        assert (await one.http.options("/v2/a")).status_code == 404

    run(ask, sections=section)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v2/", "GET, HEAD"),
        ("PUT", f"/v2/a/blobs/{sha256(b'')}", "GET, HEAD, DELETE"),
        ("GET", "/v2/a/blobs/uploads/", "POST"),
        ("DELETE", "/v2/_catalog", "GET, HEAD"),
    ],
)
def test_wrong_method_is_405_and_says_what_is_allowed(
    http: httpx.Client, method: str, path: str, allowed: str
) -> None:
    response = http.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == allowed
    assert error_codes(response) == ["UNSUPPORTED"]


@pytest.mark.parametrize("name", ["A", "a//b", "_a", "a/_b", "a..b", "-a", "a/", "a" * 256, "%0A"])
def test_malformed_name_is_refused(http: httpx.Client, name: str) -> None:
    response = http.get(f"/v2/{name}/tags/list")
    assert response.status_code == 400
    assert error_codes(response) == ["NAME_INVALID"]


@pytest.mark.parametrize(
    "name", ["a", "a/b/c", "a-b", "a--b", "a_b", "a__b", "a.b", "0/1", "a" * 255]
)
def test_well_formed_name_is_looked_for(http: httpx.Client, name: str) -> None:
    response = http.get(f"/v2/{name}/tags/list")
    assert response.status_code == 404
    assert error_codes(response) == ["NAME_UNKNOWN"]
    assert response.json()["errors"][0]["detail"] == name
