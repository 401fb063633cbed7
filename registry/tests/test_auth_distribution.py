"""The same challenges and error bodies as Debian's docker-registry, and the same tokens."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from storagedriver_registry.auth.token_keys import libtrust_id

from registry.tests.authentication import (
    basic,
    bearer,
    certificate,
    claims,
    key,
    repository,
    scopes_of,
    signed,
    token_options,
    write_certificates,
    write_users,
    x5c,
)
from registry.tests.processes import ServerProcess, docker_registry, our_server, running

pytestmark = [pytest.mark.service("docker-registry")]

Pair = tuple[ServerProcess, ServerProcess]

ZERO = f"sha256:{'0' * 64}"
OWN = certificate("tokens", key("p256"), is_authority=True)
REQUESTS = [
    ("GET", "/v2/"),
    ("HEAD", "/v2/"),
    ("GET", "/v2/_catalog"),
    ("GET", "/v2/a/b/tags/list"),
    ("GET", "/v2/a/b/manifests/v1"),
    ("HEAD", "/v2/a/b/manifests/v1"),
    ("DELETE", f"/v2/a/b/manifests/{ZERO}"),
    ("PUT", "/v2/a/b/manifests/v1"),
    ("GET", f"/v2/a/b/blobs/{ZERO}"),
    ("DELETE", f"/v2/a/b/blobs/{ZERO}"),
    ("POST", "/v2/a/b/blobs/uploads/"),
    ("POST", f"/v2/a/b/blobs/uploads/?mount={ZERO}&from=c/d"),
]


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("auth")
    bundle = write_certificates(folder / "root.crt", OWN)
    users = write_users(folder / "users", {"alice": "wonderland"})
    return {
        "silly": {"realm": "silly realm", "service": "s"},
        "htpasswd": {"realm": 'the "registry"', "path": str(users)},
        "token": token_options(rootcertbundle=bundle),
    }


@pytest.fixture(scope="module", params=["silly", "htpasswd", "token"])
def pair(
    request: pytest.FixtureRequest,
    sections: dict[str, Any],
    program: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    """Our server and theirs, with the same section `auth`, which is the parameter."""
    auth = {"auth": {request.param: sections[request.param]}}
    theirs = docker_registry(
        program("docker-registry"), tmp_path_factory.mktemp("theirs"), others=auth
    )
    ours = our_server(tmp_path_factory.mktemp("ours"), auth)
    with running(ours), running(theirs):
        yield ours, theirs


def told(server: ServerProcess, method: str, path: str, headers: dict[str, str]) -> Any:
    """Give what a server says, without the order that theirs leaves to chance."""
    response = httpx.request(method, server.url + path, headers=headers)
    challenge = response.headers.get("www-authenticate", "")
    body = response.content
    if response.status_code != 401:
        # What follows is no matter of authentication.
        return response.status_code in (400, 404, 202, 200)
    assert response.headers["content-type"].startswith("application/json")
    return (
        challenge.partition(",scope=")[0],
        scopes_of(challenge),
        challenge.partition(",error=")[2],
        json.loads(body) if body else None,
        response.headers["docker-distribution-api-version"],
    )


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_who_brings_nothing_is_told_the_same(pair: Pair, method: str, path: str) -> None:
    ours, theirs = (told(server, method, path, {}) for server in pair)
    assert ours == theirs
    assert ours is not True


@pytest.mark.parametrize("credentials", ["wrong password", "no token", "little"])
@pytest.mark.parametrize(("method", "path"), REQUESTS[2:5])
def test_who_brings_too_little_is_told_the_same(
    pair: Pair, method: str, path: str, credentials: str
) -> None:
    headers = {
        "wrong password": basic("alice", "wrong"),
        "no token": bearer("a.b.c"),
        "little": bearer(tokens()["kid"]),
    }[credentials]
    if path.endswith("_catalog") and credentials == "little":
        headers = bearer(tokens(repository("x", "pull"))["kid"])
    ours, theirs = (told(server, method, path, headers) for server in pair)
    assert ours == theirs


def tokens(*access: Any, **others: Any) -> dict[str, str]:
    """Give a token by each way to name its key."""
    content = claims(*access, **others)
    return {
        "kid": signed(content, key("p256"), headers={"kid": libtrust_id(key("p256").public_key())}),
        "x5c": signed(content, key("p256"), headers=x5c(OWN)),
    }


@pytest.mark.parametrize("pair", ["token"], indirect=True)
@pytest.mark.parametrize("way", ["kid", "x5c"])
@pytest.mark.parametrize(
    ("others", "taken"),
    [
        ({}, True),
        ({"exp": -30}, True),
        ({"exp": -120}, False),
        ({"nbf": 3600}, False),
        ({"iss": "somebody"}, False),
        ({"aud": "another"}, False),
    ],
)
def test_both_take_the_same_tokens(
    pair: Pair, sections: dict[str, Any], way: str, others: dict[str, Any], taken: bool
) -> None:
    moved = {
        name: int(time.time()) + value if isinstance(value, int) else value
        for name, value in others.items()
    }
    text = tokens(repository("a", "pull"), **moved)[way]
    for server in pair:
        response = httpx.get(f"{server.url}/v2/a/tags/list", headers=bearer(text))
        assert response.status_code == (404 if taken else 401), response.text
        if not taken:
            assert 'error="invalid_token"' in response.headers["www-authenticate"]


@pytest.mark.parametrize("pair", ["token"], indirect=True)
def test_actions_are_the_same(pair: Pair) -> None:
    text = tokens(repository("a", "pull"), repository("b", "push", "pull"))["kid"]
    for method, path in [
        ("POST", "/v2/a/blobs/uploads/"),
        ("POST", "/v2/b/blobs/uploads/"),
        ("DELETE", f"/v2/b/manifests/{ZERO}"),
        ("GET", "/v2/_catalog"),
    ]:
        ours, theirs = (told(server, method, path, bearer(text)) for server in pair)
        assert ours == theirs


def test_password_file_with_comments_serves_both(tmp_path: Path, program: Any) -> None:
    users = write_users(tmp_path / "users", {"alice": "wonderland"})
    users.write_text(f"# comment\n\n  {users.read_text()}")
    auth = {"auth": {"htpasswd": {"realm": "r", "path": str(users)}}}
    theirs = docker_registry(program("docker-registry"), tmp_path, others=auth)
    with running(our_server(tmp_path, auth)) as ours, running(theirs):
        for server in (ours, theirs):
            for password, status in (("wonderland", 200), ("wrong", 401)):
                response = httpx.get(f"{server.url}/v2/", auth=("alice", password))
                assert response.status_code == status
