"""The table of the API, and what comes from it: the router, URLs, the catalogue, the page."""

from __future__ import annotations

import itertools
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from storagedriver_registry.api import codes, router
from storagedriver_registry.api.descriptors import ErrorCode, Failure
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.routes import (
    COMMON_FAILURES,
    NO_SUCH_METHOD,
    NO_SUCH_RESOURCE,
    ROUTES,
)
from storagedriver_registry.auth.access import ACCESSES_OF_ROUTES

from registry.tests.application import Application, run
from registry.tests.client import error_codes, sha256
from registry.tests.described import METHODS, check, find

ROOT = Path(__file__).parents[2]
PARTS = {
    "name": "a/b",
    "reference": "v1",
    "digest": sha256(b""),
    "upload_id": "00000000-0000-4000-8000-000000000000",
}


async def _no_body() -> dict[str, object]:
    return {"type": "http.request"}


def request(method: str, path: str) -> Request:
    return Request({"method": method, "headers": [], "query_string": b""}, _no_body, path, "")


# The table ---------------------------------------------------------------------------------------


def test_each_operation_has_a_name_and_a_handler_of_its_own() -> None:
    names = [operation.id for route in ROUTES for operation in route.operations]
    assert len(names) == len(set(names))
    assert sorted(names) == sorted(router._HANDLERS)


def test_no_method_of_a_route_is_described_twice() -> None:
    for route in ROUTES:
        assert len(route.methods) == len(set(route.methods)), route.name


def test_what_a_route_needs_is_said_where_it_names_no_repository() -> None:
    without_name = {route.name for route in ROUTES if "{name}" not in route.template}
    assert set(ACCESSES_OF_ROUTES) == without_name


def test_catalogue_has_every_code_once_and_each_has_a_row() -> None:
    every = [value for value in vars(codes).values() if isinstance(value, ErrorCode)]
    assert list(codes.CATALOGUE) == every
    assert len({code.value for code in every}) == len(every)
    failures: list[Failure] = [NO_SUCH_METHOD, NO_SUCH_RESOURCE, *COMMON_FAILURES]
    for route in ROUTES:
        failures += route.failures
        failures += itertools.chain(*(operation.failures for operation in route.operations))
    assert {failure.code.value for failure in failures} == {code.value for code in every}
    assert all(code.description.endswith(".") for code in every)


# The router --------------------------------------------------------------------------------------

WORDS = ["", "v2", "a", "_catalog", "_openapi.json", "tags", "list", "manifests", "blobs", "\n"]
SEGMENTS = st.lists(st.sampled_from([*WORDS, "uploads", "referrers", ".."]), max_size=8)


@given(SEGMENTS)
def test_route_of_a_path_is_the_one_that_its_template_gives(segments: list[str]) -> None:
    for path in ("/".join(segments), "/".join(["", "v2", *segments])):
        wanted = find(path)
        try:
            route, values = router._match(path)
        except ApiError as error:
            assert (error.code.value, error.status, wanted) == ("UNSUPPORTED", 404, None)
        else:
            assert wanted == (route, dict(values))


@pytest.mark.parametrize("name", ["a", "manifests", "blobs/uploads", "tags/list", "v2/a/referrers"])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_url_of_a_resource_leads_to_it(route: object, name: str) -> None:
    assert route in ROUTES
    parts = {**PARTS, "name": name}
    asked = request("", route.path(**parts))
    for asked.method in route.methods:
        assert router.find_handler(asked) is router.TABLE[route][asked.method]
        assert asked.route == route.name
        if "{name}" in route.template:
            assert asked.name == name


# Failures ----------------------------------------------------------------------------------------

PATHS = [
    *(route.template.format(**PARTS) for route in ROUTES),
    *("/", "/v2", "/v1/", "/v2/a", "/v2/a/b", "/v2/a/manifests/", "/v2/a/tags/", "/v2/tags/list"),
    *("/v2/a/blobs/uploads", "/v2/_catalog/", "/v2/_openapi.json/x", "/v2//manifests/v1"),
    *("/v2/A/tags/list", "/v2/A/manifests/v1", "/v2/a/blobs/x", "/v2/a/blobs/uploads/x"),
    *("/v2/a/manifests/sha256:x", "/v2/a/manifests/%20", "/v2/a/referrers/x", "/v2/%C3%A9/x"),
]


@pytest.mark.parametrize("path", PATHS)
def test_whatever_is_asked_without_a_body_the_answer_is_in_the_table(path: str) -> None:
    """Also where nothing may be deleted, or nothing written, which is 405 as well."""

    async def ask(one: Application) -> None:
        for method in METHODS:
            response = await one.http.request(method, path)
            check(response)
            assert response.status_code < 500

    run(ask)
    run(ask, settings={"delete": {"enabled": False}})
    run(ask, settings={"maintenance": {"readonly": {"enabled": True}}})


@pytest.mark.parametrize("path", [f"/v2/a/blobs/{sha256(b'')}", "/v2/a/manifests/v1"])
def test_deletion_that_is_not_enabled_is_405_and_names_the_other_methods(path: str) -> None:
    async def delete(one: Application) -> None:
        response = await one.http.delete(path)
        assert (response.status_code, error_codes(response)) == (405, ["UNSUPPORTED"])
        allowed = response.headers["allow"].split(", ")
        assert "DELETE" not in allowed
        assert "GET" in allowed

    run(delete, settings={"delete": {"enabled": False}})


def test_check_notices_what_the_table_does_not_have() -> None:
    asked = httpx.Request("GET", f"http://registry/v2/a/blobs/{PARTS['digest']}")
    headers = {
        "docker-distribution-api-version": "registry/2.0",
        "content-type": "application/json",
    }
    named = {"docker-content-digest": "x", "etag": "x"}
    error = {"code": "BLOB_UNKNOWN", "message": "m", "detail": None}
    good = [
        httpx.Response(200, headers={**headers, **named}, request=asked),
        httpx.Response(404, headers=headers, json={"errors": [error]}, request=asked),
    ]
    bad = [
        httpx.Response(200, headers=headers, request=asked),
        httpx.Response(203, headers={**headers, **named}, request=asked),
        httpx.Response(200, headers=named, request=asked),
        httpx.Response(404, headers=headers, json={"errors": []}, request=asked),
        httpx.Response(
            404, headers=headers, json={"errors": [{**error, "code": "X"}]}, request=asked
        ),
        httpx.Response(
            404,
            headers=headers,
            json={"errors": [{**error, "code": "NAME_UNKNOWN"}]},
            request=asked,
        ),
        httpx.Response(405, headers=headers, json={"errors": [error]}, request=asked),
    ]
    for response in good:
        check(response)
    for response in bad:
        with pytest.raises((AssertionError, KeyError)):
            check(response)
