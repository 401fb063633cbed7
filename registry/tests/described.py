"""Answers against the table of the API: what a row does not have, no request may be answered."""

from __future__ import annotations

import re

import httpx
from storagedriver_registry.api.codes import CATALOGUE
from storagedriver_registry.api.descriptors import Answer, Failure, Operation, Route
from storagedriver_registry.api.routes import (
    COMMON_FAILURES,
    NO_SUCH_METHOD,
    NO_SUCH_RESOURCE,
    ROUTES,
)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
_WIDE = {"name": ".+", "reference": "[^/]+", "digest": "[^/]+", "upload_id": "[^/]+"}


def _pattern(route: Route) -> re.Pattern[str]:
    text = re.sub(r"\{(\w+)\}", lambda found: f"(?P<{found[1]}>{_WIDE[found[1]]})", route.template)
    return re.compile(text, re.DOTALL)


_PATTERNS = {route: _pattern(route) for route in ROUTES}


def find(path: str) -> tuple[Route, dict[str, str]] | None:
    """Give the route of a path and its parameters, by expressions made of the templates."""
    # As their rows say.
    if path == "/v2":
        path = "/v2/"
    elif path.endswith(("/v2/_catalog/", "/tags/list/")):
        path = path[:-1]
    for route, pattern in _PATTERNS.items():
        matched = pattern.fullmatch(path)
        if matched is not None:
            return route, matched.groupdict()
    return None


def check(response: httpx.Response, path: str = "") -> None:
    """See that an answer is in the table, with the headers and the body that it says.

    Args:
        response: The answer.
        path: The path that was asked for, below the prefix, decoded; by default the request's.
    """
    request, status = response.request, response.status_code
    has_content = status in (200, 206) and request.method != "HEAD"
    if not has_content:
        response.read()  # of the others the reader may want to see how they come
    where = (request.method, str(request.url), status)
    assert response.headers["docker-distribution-api-version"] == "registry/2.0", where
    rows: list[Answer | Failure] = [*COMMON_FAILURES]
    found = find(path or request.url.path)
    if (path or request.url.path) == "/" and request.method in ("GET", "HEAD"):
        rows = [Answer(200, "What this is.")]
    elif found is None:
        rows.append(NO_SUCH_RESOURCE)
    elif request.method == "OPTIONS":
        assert response.headers["allow"] == ", ".join((*found[0].methods, "OPTIONS")), where
        rows = [Answer(200, "Which methods there are.")]
    elif request.method not in found[0].methods:
        assert response.headers["allow"] == ", ".join(found[0].methods), where
        rows = [NO_SUCH_METHOD]
    else:
        operation = _operation(found[0], request.method)
        rows += [*operation.answers, *operation.failures, *found[0].failures]
    rows = [row for row in rows if row.status == status]
    if status >= 400:
        assert response.headers["content-type"] == "application/json", where
        if request.method != "HEAD":
            rows = _of_codes(response, rows)
    assert rows, where
    assert any(_has_headers(response, row) for row in rows), (where, response.headers)
    if request.method == "HEAD" or status in (204, 304):
        assert response.content == b"", where


def _operation(route: Route, method: str) -> Operation:
    return next(each for each in route.operations if method in each.methods)


def _of_codes(response: httpx.Response, rows: list[Answer | Failure]) -> list[Answer | Failure]:
    errors = response.json()["errors"]
    assert errors
    known = {code.value for code in CATALOGUE}
    for error in errors:
        assert set(error) == {"code", "message", "detail"}
        assert error["code"] in known
        assert isinstance(error["message"], str)
        assert error["message"]
    codes = {error["code"] for error in errors}
    return [row for row in rows if isinstance(row, Failure) and {row.code.value} == codes]


def _has_headers(response: httpx.Response, row: Answer | Failure) -> bool:
    return all(each.name in response.headers for each in row.headers if each.required)
