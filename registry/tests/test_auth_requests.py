"""Requests to a server process with authentication on: nothing gets past the guard."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from storagedriver_registry.api import router

from registry.tests.authentication import basic, write_users
from registry.tests.client import Repository
from registry.tests.processes import ServerProcess, our_server, running

ZERO = f"sha256:{'0' * 64}"
PARTS = {
    "name": "a/b",
    "reference": "v1",
    "digest": ZERO,
    "upload_id": "00000000-0000-0000-0000-000000000000",
}
ROUTES = [
    (method, route.template.format(**PARTS))
    for route, methods in router.TABLE.items()
    for method in methods
]
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("registry")
    users = write_users(folder / "users", {"alice": "wonderland"})
    auth = {"auth": {"htpasswd": {"realm": "r", "path": str(users)}}}
    with running(our_server(folder, auth)) as server:
        yield server


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_and_method_asks_for_a_password(
    server: ServerProcess, method: str, path: str
) -> None:
    response = httpx.request(method, server.url + path)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Basic realm="r"'
    assert (response.content == b"") == (method == "HEAD")


@pytest.mark.parametrize("size", [1, 8 * MIB])
def test_body_of_a_request_that_is_not_allowed_is_stored_nowhere(
    server: ServerProcess, size: int
) -> None:
    before = {path for path in server.data.rglob("*") if path.is_file()}
    with httpx.Client(base_url=server.url) as http:
        params = {"digest": ZERO}
        for method, path in (("POST", "/v2/a/blobs/uploads/"), ("PUT", "/v2/a/manifests/v1")):
            response = http.request(method, path, params=params, content=b"x" * size)
            assert response.status_code == 401
        # The connection, or a new one, goes on.
        assert http.get("/v2/", headers=basic("alice", "wonderland")).status_code == 200
    assert {path for path in server.data.rglob("*") if path.is_file()} == before


def test_push_and_pull_with_a_password(server: ServerProcess) -> None:
    headers = basic("alice", "wonderland")
    with httpx.Client(base_url=server.url, headers=headers) as http:
        repository = Repository(http, "alice/image")
        digest = repository.push_image("v1")
        response = http.get(repository.url("manifests/v1"))
        assert response.headers["docker-content-digest"] == digest
    assert httpx.get(server.url + repository.url("manifests/v1")).status_code == 401
    assert "wonderland" not in server.log
