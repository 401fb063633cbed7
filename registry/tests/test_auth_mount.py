"""To know a digest is no permission: what may be mounted where authentication is on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from registry.tests.authentication import (
    basic,
    bearer,
    claims,
    key,
    member,
    repository,
    signed,
    token_options,
    with_registry,
    write_jwks,
    write_users,
)
from registry.tests.client import sha256

DATA = b"a layer that only some may read"
DIGEST = sha256(DATA)


@pytest.fixture
def section(tmp_path: Path) -> dict[str, Any]:
    return {"token": token_options(jwks=write_jwks(tmp_path / "k", member(key("p256"), kid="k")))}


def may(*access: Any) -> dict[str, str]:
    return bearer(signed(claims(*access), key("p256"), headers={"kid": "k"}))


TARGET = repository("target", "pull", "push")


async def push(http: httpx.AsyncClient, name: str, headers: dict[str, str]) -> None:
    path = f"/v2/{name}/blobs/uploads/"
    response = await http.post(path, params={"digest": DIGEST}, content=DATA, headers=headers)
    assert response.status_code == 201


async def mount(
    http: httpx.AsyncClient, headers: dict[str, str], source: str | None = None
) -> httpx.Response:
    params = {"mount": DIGEST} | ({} if source is None else {"from": source})
    return await http.post("/v2/target/blobs/uploads/", params=params, headers=headers)


async def is_readable(http: httpx.AsyncClient) -> bool:
    response = await http.get(f"/v2/target/blobs/{DIGEST}", headers=may(TARGET))
    assert response.status_code in (200, 404)
    return response.status_code == 200


@pytest.mark.parametrize(
    ("access", "source", "status"),
    [
        # With the repository named.
        ([TARGET, repository("source", "pull")], "source", 201),
        ([TARGET, repository("source", "*")], "source", 201),
        ([TARGET, repository("source", "push")], "source", 401),
        ([TARGET], "source", 401),
        ([TARGET, repository("other", "pull")], "other", 202),
        ([TARGET, repository("source", "pull")], "target", 202),
        ([TARGET, repository("source", "pull")], "", 202),
        ([TARGET, repository("source", "pull")], "SOURCE", 202),
        # Without: any that the token allows to pull.
        ([TARGET, repository("source", "pull")], None, 201),
        ([TARGET, repository("other", "pull"), repository("source", "pull")], None, 201),
        ([TARGET, repository("source", "push")], None, 202),
        ([TARGET, repository("other", "pull")], None, 202),
        ([TARGET], None, 202),
        ([TARGET, {"type": "registry", "name": "source", "actions": ["pull"]}], None, 202),
        ([TARGET, repository("../repositories/source", "pull")], None, 202),
    ],
)
def test_blob_is_mounted_only_from_where_the_token_allows_to_pull(
    section: dict[str, Any], access: list[Any], source: str | None, status: int
) -> None:
    async def ask(http: httpx.AsyncClient) -> None:
        await push(http, "source", may(repository("source", "pull", "push")))
        response = await mount(http, may(*access), source)
        assert response.status_code == status
        assert await is_readable(http) == (status == 201)
        if status == 401:
            assert (
                'scope="repository:target:pull,push repository:source:pull"'
                in (response.headers["www-authenticate"])
            )
        if status == 202:  # a session, in which the blob can be pushed
            location = httpx.URL(response.headers["location"]).copy_add_param("digest", DIGEST)
            done = await http.put(location, content=DATA, headers=may(TARGET))
            assert done.status_code == 201

    with_registry(section, ask)


def test_blob_that_was_deleted_from_the_repository_is_not_mounted(section: dict[str, Any]) -> None:
    async def ask(http: httpx.AsyncClient) -> None:
        everything = may(repository("source", "pull", "push", "delete"), TARGET)
        await push(http, "source", everything)
        gone = await http.delete(f"/v2/source/blobs/{DIGEST}", headers=everything)
        assert gone.status_code == 202
        for source in (None, "source"):
            assert (await mount(http, everything, source)).status_code == 202
        assert not await is_readable(http)

    with_registry(section, ask)


def test_pushing_nothing_under_a_known_digest_gives_nothing(section: dict[str, Any]) -> None:
    async def ask(http: httpx.AsyncClient) -> None:
        await push(http, "source", may(repository("source", "pull", "push")))
        headers = may(TARGET)
        path = "/v2/target/blobs/uploads/"
        whole = await http.post(path, params={"digest": DIGEST}, headers=headers)
        assert whole.status_code == 400
        begun = await http.post(path, headers=headers)
        location = httpx.URL(begun.headers["location"]).copy_add_param("digest", DIGEST)
        done = await http.put(location, headers=headers)
        assert done.status_code == 400
        assert not await is_readable(http)

    with_registry(section, ask)


def test_session_belongs_to_its_repository(section: dict[str, Any]) -> None:
    async def ask(http: httpx.AsyncClient) -> None:
        begun = await http.post("/v2/source/blobs/uploads/", headers=may(repository("source", "*")))
        moved = begun.headers["location"].replace("/v2/source/", "/v2/target/")
        assert (await http.get(moved, headers=may(TARGET))).status_code == 404
        assert (await http.patch(moved, content=DATA, headers=may(TARGET))).status_code == 404

    with_registry(section, ask)


@pytest.mark.parametrize("source", [None, "source"])
def test_user_of_a_password_file_may_mount_from_everywhere(
    tmp_path: Path, source: str | None
) -> None:
    path = write_users(tmp_path / "users", {"alice": "wonderland"})

    async def ask(http: httpx.AsyncClient) -> None:
        headers = basic("alice", "wonderland")
        await push(http, "source", headers)
        assert (await mount(http, headers, source)).status_code == 201
        assert (await mount(http, {}, source)).status_code == 401

    with_registry({"htpasswd": {"realm": "r", "path": str(path)}}, ask)
