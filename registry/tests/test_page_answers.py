"""How pages are answered: to whom, with which headers, below which prefix, and when all fails."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from storagedriver_registry import create_app

from registry.tests.application import Application, in_memory, run
from registry.tests.authentication import (
    basic,
    bearer,
    claims,
    key,
    member,
    repository,
    signed,
    status_of,
    token_options,
    with_registry,
    write_jwks,
    write_users,
)
from registry.tests.client import error_codes, sha256
from registry.tests.html_pages import BROWSER, Page
from registry.tests.pages import store_json
from storagedriver_core import Storage, UnavailableError, load_plugins

IMAGE: Mapping[str, Any] = {"schemaVersion": 2, "layers": []}
PROBES: list[Mapping[str, str]] = [{}, {"accept": "*/*"}, {"accept": "application/json"}]


# Probes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", PROBES)
def test_probe_is_answered_without_a_look_at_anything(headers: Mapping[str, str]) -> None:
    async def probe(one: Application) -> None:
        one.driver.fail("list", UnavailableError("down"))
        one.driver.calls.clear()
        request = one.http.build_request("GET", "/")
        request.headers.pop("accept")
        request.headers.update(headers)
        response = await one.http.send(request)
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        assert "/v2/" in response.text
        assert one.driver.calls == []
        head = await one.http.head("/", headers=headers)
        assert (head.status_code, head.content) == (200, b"")

    run(probe)


def test_probe_needs_no_password(tmp_path: Path) -> None:
    users = write_users(tmp_path / "users", {"alice": "wonderland"})
    assert status_of({"htpasswd": {"realm": "r", "path": str(users)}}, "/", {}).status_code == 200


def test_whoever_asks_for_no_type_gets_the_pages_below_their_own_address() -> None:
    async def look(one: Application) -> None:
        await store_json(one.storage, "a", "v1", IMAGE)
        for path in ("/repositories/", "/repositories/a", "/repositories/a:v1"):
            Page(await one.http.get(path))

    run(look)


# Headers -----------------------------------------------------------------------------------------


def test_page_lets_a_browser_load_nothing_but_its_own_files() -> None:
    async def look(one: Application) -> None:
        nonces = set()
        for path in ("/", "/", "/nowhere"):
            page = Page(await one.http.get(path, headers=BROWSER))
            headers = page.response.headers
            policy = headers["content-security-policy"]
            (nonce,) = {*page.all("script", "nonce"), *page.all("link", "nonce")}
            nonces.add(nonce)
            assert "unsafe" not in policy
            for part in (
                *("default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"),
                *(f"script-src 'nonce-{nonce}'", f"style-src 'nonce-{nonce}'"),
            ):
                assert part in policy.split("; ")
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "private, no-cache"
            assert {"Accept", "Authorization"} == {*headers["vary"].split(", ")}
            assert headers["docker-distribution-api-version"] == "registry/2.0"
        assert len(nonces) == 3

    run(look)


@pytest.mark.parametrize("path", ["/", "/repositories/a", "/repositories/a:v1", "/nowhere"])
def test_head_is_answered_as_get_is(path: str) -> None:
    async def look(one: Application) -> None:
        await store_json(one.storage, "a", "v1", IMAGE)
        whole = await one.http.get(path, headers=BROWSER)
        head = await one.http.head(path, headers=BROWSER)
        assert (head.status_code, head.content) == (whole.status_code, b"")
        for name in ("content-type", "content-length", "cache-control"):
            assert head.headers[name] == whole.headers[name]

    run(look)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_pages_are_only_read(method: str) -> None:
    async def ask(one: Application) -> None:
        for path in ("/", "/repositories/", "/repositories/a", "/assets/style.css"):
            response = await one.http.request(method, path)
            assert (response.status_code, error_codes(response)) == (404, ["UNSUPPORTED"])

    run(ask)


# Files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["style.css", "copy.js", "icon.svg"])
def test_files_are_kept_by_clients_and_change_their_address_with_their_content(name: str) -> None:
    async def fetch(one: Application) -> None:
        page = Page(await one.http.get("/", headers=BROWSER))
        addresses = [*page.all("link", "href"), *page.all("script", "src")]
        (address,) = [each for each in addresses if name in each]
        found = await one.http.get(address)
        assert found.status_code == 200
        assert found.content
        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
        known = {"if-none-match": f"W/{found.headers['etag']}"}
        again = await one.http.get(address, headers=known)
        assert (again.status_code, again.content) == (304, b"")
        other = await one.http.get(f"/assets/{name}?v=other", headers={"if-none-match": '"x"'})
        assert (other.status_code, other.headers["cache-control"]) == (200, "no-cache")

    run(fetch)


@pytest.mark.parametrize("name", ["", "x", "../site.py", "..%2fsite.py", "style.css/", "%00"])
def test_no_other_file_is_sent(name: str) -> None:
    async def fetch(one: Application) -> None:
        response = await one.http.get(f"/assets/{name}")
        assert (response.status_code, error_codes(response)) == (404, ["UNSUPPORTED"])

    run(fetch)


# Where it is mounted -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "mount", "base"),
    [("/", "", ""), ("/pre/", "", "/pre"), ("/", "/some", "/some"), ("/p/", "/s t", "/s%20t/p")],
)
def test_every_link_leads_somewhere(prefix: str, mount: str, base: str) -> None:
    async def main() -> None:
        async with Storage(in_memory()) as storage:
            for name in ("a", "b/c"):
                await store_json(storage, name, "v1", IMAGE)
            app = create_app({"http": {"prefix": prefix}}, storage=storage)
            host = Starlette(routes=[Mount(mount, app)]) if mount else app
            transport = httpx.ASGITransport(host)
            async with httpx.AsyncClient(transport=transport, base_url="http://host") as http:
                waiting, seen = [f"{base}/"], set[str]()
                while waiting:
                    address = waiting.pop()
                    if address in seen:
                        continue
                    seen.add(address)
                    response = await http.get(address, headers=BROWSER)
                    assert response.status_code == 200, address
                    if response.headers["content-type"].startswith("text/html"):
                        page = Page(response)
                        found = page.links + page.all("form", "action") + page.all("script", "src")
                        found += page.all("link", "href")
                        waiting += [each for each in found if not each.startswith("#")]
                assert all(each.startswith(f"{base}/") for each in seen)
                for path in ("repositories/b/c:v1", "v2/_openapi.json", "assets/copy.js?"):
                    assert any(each.startswith(f"{base}/{path}") for each in seen), path

    asyncio.run(main())


@pytest.mark.parametrize(
    ("settings", "headers", "commands"),
    [
        (
            {},
            {"host": "127.0.0.1:5000"},
            [
                "docker pull 127.0.0.1:5000/team/app:v1",
                "podman pull --tls-verify=false 127.0.0.1:5000/team/app:v1",
                "skopeo copy --src-tls-verify=false docker://127.0.0.1:5000/team/app:v1 oci:app:v1",
            ],
        ),
        (
            {},
            {"x-forwarded-proto": "https", "x-forwarded-host": "proxy.example"},
            [
                "docker pull proxy.example/team/app:v1",
                "podman pull proxy.example/team/app:v1",
                "skopeo copy docker://proxy.example/team/app:v1 oci:app:v1",
            ],
        ),
        (
            {"host": "https://registry.example"},
            {"host": "x"},
            [
                "docker pull registry.example/team/app:v1",
                "podman pull registry.example/team/app:v1",
                "skopeo copy docker://registry.example/team/app:v1 oci:app:v1",
            ],
        ),
        # What would be more than a host for a shell is none.
        ({}, {"host": "a;reboot"}, []),
        ({}, {"x-forwarded-host": "$(reboot)"}, []),
    ],
)
def test_commands_name_the_registry_as_the_client_knows_it(
    settings: Mapping[str, object], headers: Mapping[str, str], commands: list[str]
) -> None:
    async def look(one: Application) -> None:
        document = {"schemaVersion": 2, "fsLayers": []}
        await store_json(one.storage, "team/app", "v1", document)
        address = "/repositories/team/app:v1"
        page = Page(await one.http.get(address, headers={**BROWSER, **headers}))
        copied = page.all("button", "data-copy")
        assert [each for each in copied if not each.startswith("sha256:")] == commands

    run(look, sections={"http": settings})


def test_artifact_is_pulled_by_oras() -> None:
    async def look(one: Application) -> None:
        digest = await store_json(
            one.storage, "a", "v1", {"artifactType": "application/x", "layers": []}
        )
        page = Page(await one.http.get(f"/repositories/a@{digest}", headers=BROWSER))
        assert page.all("button", "data-copy")[1:] == [
            f"oras pull --plain-http registry/a@{digest}"
        ]

    run(look)


# Failures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        *("/nowhere", "/repositories", "/repositories/A", "/repositories/a:.b", "/repositories/x"),
        *("/repositories/a@sha256:1", "/repositories/a@", "/repositories/a:none", "/favicon.ico"),
        *(f"/repositories/a@{sha256(b'none')}", "/repositories/a:v1:v2", "/repositories/%ff"),
    ],
)
def test_what_is_not_there_is_a_page_for_browsers_and_json_for_others(path: str) -> None:
    async def look(one: Application) -> None:
        await store_json(one.storage, "a", "v1", IMAGE)
        response = await one.http.get(path, headers=BROWSER)
        assert response.status_code == 404
        assert "Not Found" in Page(response).text
        response = await one.http.get(path)
        assert response.status_code == 404
        assert error_codes(response)

    run(look)


@pytest.mark.parametrize(
    "end", ["A", "a//b", "a/..%2Fb", "a:.b", "a:..%2Fb", "a:", "a@", "a@sha256:1", "a:.b@sha256:1"]
)
def test_what_cannot_be_there_is_looked_for_nowhere(end: str) -> None:
    async def look(one: Application) -> None:
        one.driver.calls.clear()
        response = await one.http.get(f"/repositories/{end}", headers=BROWSER)
        assert response.status_code == 404
        assert one.driver.calls == []

    run(look)


@pytest.mark.parametrize("path", ["/v2/a", "/v2/a/tags/list", "/v2/a/manifests/x"])
def test_api_answers_json_to_browsers_too(path: str) -> None:
    async def ask(one: Application) -> None:
        response = await one.http.get(path, headers=BROWSER)
        assert (response.status_code, len(error_codes(response))) == (404, 1)

    run(ask)


def test_storage_that_is_down_is_a_page_for_browsers() -> None:
    async def look(one: Application) -> None:
        for operation in ("list", "stat", "get_content", "read"):
            one.driver.fail(operation, UnavailableError("down"))
        for path in ("/", "/repositories/a", "/repositories/a:v1"):
            response = await one.http.get(path, headers=BROWSER)
            assert response.status_code == 503
            assert response.headers["retry-after"] == "5"
            assert "cannot reach what it stores" in Page(response).text
        response = await one.http.get("/repositories/a")
        assert (response.status_code, error_codes(response)) == (503, ["UNAVAILABLE"])

    run(look)


def test_page_that_fails_itself_is_an_error_of_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from storagedriver_registry.pages import rendering

    def fail(*_: object) -> None:
        raise RuntimeError("no template")

    async def look(one: Application) -> None:
        monkeypatch.setattr(rendering._ENVIRONMENT, "get_template", fail)
        response = await one.http.get("/", headers=BROWSER)
        assert (response.status_code, error_codes(response)) == (500, ["UNKNOWN"])
        assert "no template" in caplog.text

    run(look)


# Who may ---------------------------------------------------------------------------------------


def test_browser_is_asked_for_a_password(tmp_path: Path) -> None:
    users = write_users(tmp_path / "users", {"alice": "wonderland"})

    async def look(http: httpx.AsyncClient) -> None:
        for path in ("/", "/repositories/", "/repositories/a", "/repositories/a:v1"):
            for headers in ({}, basic("alice", "wrong")):
                response = await http.get(path, headers={**BROWSER, **headers})
                assert response.status_code == 401
                assert response.headers["www-authenticate"] == 'Basic realm="the registry"'
                page = Page(response)
                assert "name and a password" in page.text
        allowed = await http.get("/", headers={**BROWSER, **basic("alice", "wonderland")})
        assert allowed.status_code == 200
        assert "Logged in as alice" in Page(allowed).text
        for asset in ("style.css", "copy.js", "icon.svg"):
            assert (await http.get(f"/assets/{asset}")).status_code == 200

    with_registry({"htpasswd": {"realm": "the registry", "path": str(users)}}, look)


def with_tokens(
    folder: Path,
    test: Callable[[httpx.AsyncClient, Mapping[str, str]], Awaitable[None]],
    *access: Any,
) -> None:
    """Run a test with a client of a registry that takes tokens, and the header with one of them."""
    jwks = write_jwks(folder / "keys.json", member(key("p256")))
    header = bearer(signed(claims(*access), key("p256")))

    async def main() -> None:
        async with Storage(in_memory()) as storage:
            for name in ("mine", "secret"):
                await store_json(storage, name, "v1", IMAGE)
            config = {"auth": {"token": token_options(jwks=jwks)}}
            app = create_app(config, storage=storage)
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://registry") as http:
                await test(http, {**BROWSER, **header})

    asyncio.run(main())


PAIRS = {
    "/": "/v2/_catalog",
    "/repositories/": "/v2/_catalog",
    "/repositories/mine": "/v2/mine/tags/list",
    "/repositories/mine:v1": "/v2/mine/manifests/v1",
    "/repositories/secret": "/v2/secret/tags/list",
    "/repositories/secret:v1": "/v2/secret/manifests/v1",
    f"/repositories/secret@{sha256(b'x')}": f"/v2/secret/manifests/{sha256(b'x')}",
    "/repositories/none": "/v2/none/tags/list",
}


@pytest.mark.parametrize(
    "access",
    [
        [],
        [repository("mine", "pull")],
        [repository("mine", "push")],
        [{"type": "registry", "name": "catalog", "actions": ["*"]}],
    ],
)
def test_page_asks_for_what_the_api_asks_for(tmp_path: Path, access: list[Any]) -> None:
    async def compare(http: httpx.AsyncClient, headers: Mapping[str, str]) -> None:
        for page, resource in PAIRS.items():
            shown, told = (
                await http.get(page, headers=headers),
                await http.get(resource, headers=headers),
            )
            assert shown.status_code == told.status_code, (page, access)
            challenge = "www-authenticate"
            assert shown.headers.get(challenge) == told.headers.get(challenge)
            assert "secret" not in shown.text or access == [] or shown.status_code != 401

    with_tokens(tmp_path, compare, *access)


def test_browser_is_told_that_it_cannot_get_a_token(tmp_path: Path) -> None:
    async def look(http: httpx.AsyncClient, _: Mapping[str, str]) -> None:
        page = Page(await http.get("/", headers=BROWSER))
        assert page.response.status_code == 401
        assert "takes tokens" in page.text
        assert "skopeo login" in page.text

    with_tokens(tmp_path, look)


# Off, and out of the way -------------------------------------------------------------------------


def test_without_pages_there_are_none() -> None:
    async def ask(one: Application) -> None:
        for path in ("/", "/repositories/", "/repositories/a", "/assets/style.css", "/nowhere"):
            for headers in ({}, BROWSER):
                response = await one.http.get(path, headers=headers)
                assert (response.status_code, error_codes(response)) == (404, ["UNSUPPORTED"])

    run(ask, sections={"http": {"pages": {"disabled": True}}})


def test_before_the_first_page_nothing_of_it_is_imported() -> None:
    code = (
        "import asyncio, sys, httpx, storagedriver_registry as r\n"
        "from storagedriver_core import open_storage\n"
        "async def main():\n"
        "    async with open_storage({'storage': {'driver': 'inmemory'}}) as storage:\n"
        "        transport = httpx.ASGITransport(r.create_app({}, storage=storage))\n"
        "        async with httpx.AsyncClient(transport=transport, base_url='http://r') as http:\n"
        "            for path in ('/v2/', '/v2/_catalog', '/', '/v2/x', '/nowhere'):\n"
        "                await http.get(path)\n"
        "            print('jinja2' in sys.modules)\n"
        "            await http.get('/', headers={'accept': 'text/html'})\n"
        "            print('jinja2' in sys.modules)\n"
        "asyncio.run(main())\n"
    )
    assert "inmemory" in load_plugins().drivers
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\nTrue\n"


# What the API sends to a browser that follows a link ---------------------------------------------


@pytest.mark.parametrize("media_type", ["text/html", "TEXT/html", "text/x"])
def test_manifest_that_a_browser_would_take_for_a_page_can_do_nothing(media_type: str) -> None:
    async def fetch(one: Application) -> None:
        document = {"mediaType": media_type, "x": "<script>alert(1)</script>"}
        pushed = await one.http.put(
            "/v2/a/manifests/v1", json=document, headers={"content-type": media_type}
        )
        assert pushed.status_code == 201
        for method in ("GET", "HEAD"):
            found = await one.http.request(method, "/v2/a/manifests/v1")
            assert found.headers["content-type"] == media_type
            assert found.headers["content-security-policy"] == "sandbox"
            assert found.headers["x-content-type-options"] == "nosniff"

    run(fetch)
