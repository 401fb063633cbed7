"""What the pages show: repositories, tags, manifests; and that they show no more than they can."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from storagedriver_registry.pages import limits
from storagedriver_registry.pages.formats import human_size, human_time, web_address

from registry.tests.application import Application, run
from registry.tests.client import OCI_INDEX, OCI_MANIFEST
from registry.tests.html_pages import BROWSER, Page
from registry.tests.pages import (
    CONFIG,
    LAYER,
    described,
    image_config,
    store_blob,
    store_json,
    store_manifest,
)

NAMES = ["a", "a/a", "a/b/c", "a-b", "a.b", "a0/b", "b", "b0/x", "b1", "team/app", "team0", "z"]
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}\u202e"


async def get(one: Application, path: str, **params: str) -> Page:
    response = await one.http.get(path, params=params or None, headers=BROWSER)
    assert response.status_code == 200, response.text
    return Page(response)


async def names_of(one: Application, path: str, **params: str) -> list[list[str]]:
    """Give the repositories of each page, as long as there is a next one."""
    page = await get(one, path, **params)
    found = []
    while True:
        start = "/repositories/"
        found.append([each.removeprefix(start) for each in page.links if each.startswith(start)])
        if not page.following:
            return found
        page = await get(one, page.following)


def image(**others: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described(b"{}", CONFIG),
        "layers": [described(b"layer", LAYER)],
        **others,
    }


# Repositories ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_repositories_are_listed_in_pages(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REPOSITORIES", size)

    async def look(one: Application) -> None:
        for name in NAMES:
            await store_json(one.storage, name, "v1", image())
        pages = await names_of(one, "/")
        assert [name for page in pages for name in page] == NAMES
        assert all(len(page) == size for page in pages[:-1])

    run(look)


def test_filter_gives_the_names_that_begin_with_a_text() -> None:
    async def look(one: Application) -> None:
        for name in NAMES:
            await store_json(one.storage, name, "v1", image())
        prefixes = {name[:length] for name in NAMES for length in range(len(name) + 1)}
        for prefix in [*prefixes, "a/", "b/", "0", "/", "a~", "a\0", "é", "a" * 300, "x"]:
            (found,) = await names_of(one, "/", prefix=prefix)
            assert found == [name for name in NAMES if name.startswith(prefix)], prefix
        # As it is typed.
        assert await names_of(one, "/", prefix=" Team/ ") == [["team/app"]]
        assert await names_of(one, "/", prefix="a", last="a.b") == [["a0/b"]]
        assert await names_of(one, "/", prefix="b", last="a") == [["b", "b0/x", "b1"]]
        # Not the order of texts: `a-b` comes after all that is in `a/`.
        assert await names_of(one, "/", prefix="a-", last="a/b") == [["a-b"]]
        assert "No repository" in (await get(one, "/", prefix="x")).text

    run(look)


def test_filter_lists_no_directories_that_cannot_match() -> None:
    async def look(one: Application) -> None:
        for name in NAMES:
            await store_json(one.storage, name, "v1", image())
        one.driver.calls.clear()
        assert await names_of(one, "/", prefix="team/") == [["team/app"]]
        listed = {path.rpartition("/repositories")[2] for _, path in one.driver.calls}
        assert "/team" in listed
        assert not listed & {"/a", "/b", "/b1", "/z"}

    run(look)


def test_registry_without_repositories_says_so() -> None:
    async def look(one: Application) -> None:
        assert "There is no repository yet" in (await get(one, "/")).text

    run(look)


def test_directory_that_cannot_be_a_repository_is_shown_and_not_linked() -> None:
    async def look(one: Application) -> None:
        await store_json(one.storage, "Ups <b>", "v1", image())
        page = await get(one, "/")
        assert "Ups <b>" in page.text
        assert not [link for link in page.links if link.startswith("/repositories")]

    run(look)


# Tags --------------------------------------------------------------------------------------------


def test_tags_are_listed_in_pages_and_no_others_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "TAGS", 3)
    tags = [f"v{number}" for number in range(7)]

    async def look(one: Application) -> None:
        for tag in tags:
            digest = await store_json(one.storage, "team/app", tag, image())
        found: list[str] = []
        address = "/repositories/team/app"
        while address:
            one.driver.calls.clear()
            page = await get(one, address)
            assert len([path for _, path in one.driver.calls if path.endswith("/link")]) <= 3
            assert f"{min(3, 7 - len(found))} tag" in page.text
            start = "/repositories/team/app:"
            shown = [each.removeprefix(start) for each in page.links if each.startswith(start)]
            assert page.links.count(f"/repositories/team/app@{digest}") == len(shown)
            assert page.all("code", "title") == [digest] * len(shown)
            copied = [f"docker pull registry/team/app:{tag}" for tag in shown]
            assert page.all("button", "data-copy") == copied
            found += shown
            address = page.following
        assert found == tags

    run(look)


def test_tag_that_points_nowhere_is_no_link() -> None:
    async def look(one: Application) -> None:
        await store_json(one.storage, "a", "v1", image())
        root = "/docker/registry/v2/repositories/a/_manifests/tags"
        await one.storage.put_content(f"{root}/half/index/x", b"")
        await one.storage.put_content(f"{root}/.odd/current/link", b"sha256:x")
        page = await get(one, "/repositories/a")
        assert "half" in page.text
        assert ".odd" in page.text
        start = "/repositories/a:"
        assert [each for each in page.links if each.startswith(start)] == [f"{start}v1"]

    run(look, settings={})


def test_repository_without_tags_is_there() -> None:
    async def look(one: Application) -> None:
        await store_json(one.storage, "a", "v1", image())
        await one.http.delete("/v2/a/manifests/v1")
        assert "It has no tags" in (await get(one, "/repositories/a")).text

    run(look)


# Manifests ---------------------------------------------------------------------------------------


def test_image_is_shown_with_what_its_configuration_says() -> None:
    config = json.dumps(image_config()).encode()

    async def look(one: Application) -> None:
        await store_blob(one.storage, "a", config)
        layers = [described(b"x" * 5000, LAYER), described(b"y", LAYER)]
        digest = await store_json(
            *(one.storage, "a", "v1"),
            image(
                config=described(config, CONFIG),
                layers=layers,
                annotations={"org.example.source": "https://git.example/a?b=c&d=e"},
            ),
        )
        for address in ("/repositories/a:v1", f"/repositories/a@{digest}"):
            page = await get(one, address)
            for text in (
                *(digest, "image", OCI_MANIFEST, "2026-11-20 08:15 UTC", "linux/amd64", CONFIG),
                *("2 layers", "APP_MODE=production", '["/usr/bin/app"]', '["serve", "--port"'),
                *("maintainer", "team@example", "8080/tcp", "/srv/app", "History, 3 steps"),
                *("COPY app /usr/bin/app", "no layer", "Team App"),
            ):
                assert text in page.text, text
            total = len(config) + 5001
            assert f"Size {human_size(total)}" in page.text
            assert {"5,000 bytes", "1 byte", f"{total:,} bytes"} <= {*page.all("data", "title")}
            assert f"/v2/a/manifests/{digest}" in page.links
            assert f"/v2/a/blobs/{layers[0]['digest']}" in page.links
            assert "https://git.example/a?b=c&d=e" in page.links

    run(look)


def test_index_links_its_platforms_and_nested_indexes() -> None:
    async def look(one: Application) -> None:
        inner = await store_json(
            *(one.storage, "a", "inner"),
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []},
        )
        arm = {"os": "linux", "architecture": "arm64", "variant": "v8"}
        windows = {"os": "windows", "architecture": "amd64", "os.version": "10.0.17763"}
        members = [
            {**described(b"1", OCI_MANIFEST), "platform": arm},
            {**described(b"2", OCI_MANIFEST), "platform": windows},
            {"mediaType": OCI_INDEX, "digest": inner, "size": 70},
        ]
        await store_json(
            *(one.storage, "a", "v1"),
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": members},
        )
        page = await get(one, "/repositories/a:v1")
        for text in ("linux/arm64/v8", "windows/amd64 10.0.17763", OCI_INDEX, "3 manifests"):
            assert text in page.text
        for member in members:
            assert f"/repositories/a@{member['digest']}" in page.links
        assert "index" in (await get(one, f"/repositories/a@{inner}")).text

    run(look)


def test_referrers_are_listed_in_pages_and_lead_to_their_subject(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "REFERRERS", 2)

    async def look(one: Application) -> None:
        await store_blob(one.storage, "a", b"{}")
        await store_blob(one.storage, "a", b"layer")
        subject = await store_json(one.storage, "a", "v1", image())
        pushed = []
        for number in range(5):
            referrer = image(
                artifactType=f"application/x.{number}",
                subject={"mediaType": OCI_MANIFEST, "digest": subject, "size": 1},
                annotations={"number": f"this is {number}"},
            )
            response = await one.http.put(
                f"/v2/a/manifests/r{number}",
                content=json.dumps(referrer),
                headers={"content-type": OCI_MANIFEST},
            )
            assert response.status_code == 201
            pushed.append(response.headers["docker-content-digest"])
        found: list[str] = []
        address = "/repositories/a:v1"
        while address:
            page = await get(one, address)
            start = "/repositories/a@"
            links = [each for each in page.links if each.startswith(start) and "?" not in each]
            shown = [each.removeprefix(start) for each in links]
            found += [digest for digest in shown if digest != subject]
            for digest in found[-1:]:
                assert f"application/x.{pushed.index(digest)}" in page.text
                assert f"this is {pushed.index(digest)}" in page.text
            address = page.following
        assert found == sorted(pushed)
        page = await get(one, f"/repositories/a@{pushed[0]}")
        assert f"/repositories/a@{subject}" in page.links
        assert "artifact, application/x.0" in page.text

    run(look)


def test_configuration_of_another_repository_is_not_shown() -> None:
    config = json.dumps(image_config()).encode()

    async def look(one: Application) -> None:
        await store_blob(one.storage, "secret", config)
        await store_json(one.storage, "a", "v1", image(config=described(config, CONFIG)))
        page = await get(one, "/repositories/a:v1")
        assert described(config, CONFIG)["digest"] in page.all("code", "title")
        assert "APP_MODE" not in page.text

    run(look)


@pytest.mark.parametrize("config", [b" " * 70_000 + b"{}", b"\xff", b"[1]", b'{"config": 3}'])
def test_configuration_that_is_large_or_strange_is_left_out(config: bytes) -> None:
    async def look(one: Application) -> None:
        await store_blob(one.storage, "a", config)
        await store_json(one.storage, "a", "v1", image(config=described(config, CONFIG)))
        page = await get(one, "/repositories/a:v1")
        assert CONFIG in page.text
        assert "Entrypoint" not in page.text

    run(look)


# Strange and hostile -----------------------------------------------------------------------------

STRANGE: Mapping[str, bytes] = {
    "no JSON": b"\xff\xfe{",
    "nothing": b"",
    "a list": b"[1, 2]",
    "too deep": b"[" * 100_000,
    "a number of too many digits": b'{"size": ' + b"9" * 5000 + b"}",
    "half of a character": b'{"annotations": {"a": "\\ud800"}, "layers": [{"digest": "\\udfff"}]}',
    "a name that is none": b'{"annotations": {"\\u0000\\u202e": "\\u0007"}}',
    "wrong types": json.dumps(
        {
            "mediaType": 7,
            "artifactType": ["x"],
            "config": [1],
            "layers": [None, 3, "x", [], {"size": "x", "digest": 7, "urls": 3, "annotations": 4}],
            "manifests": "x",
            "subject": 3,
            "annotations": [["a", "b"]],
        }
    ).encode(),
    "wrong types of an index": json.dumps(
        {"manifests": [None, {"platform": 3, "size": -1}, {"platform": {"os": 3}, "size": 1e9}]}
    ).encode(),
    "sizes": b'{"layers": [{"size": -1}, {"size": 1e400}, {"size": 9223372036854775808},'
    b' {"size": true}, {"size": 9223372036854775807}]}',
    "annotations of objects": b'{"annotations": {"a": {"b": [1, null]}, "c": null}}',
    "schema 1": json.dumps(
        {
            "schemaVersion": 1,
            "name": "a",
            "fsLayers": [{"blobSum": described(b"", "")["digest"]}],
            "history": [{"v1Compatibility": "{}"}],
        }
    ).encode(),
    "an unknown type": b'{"mediaType": "application/x.unknown", "x": [{"y": 1}]}',
}


@pytest.mark.parametrize("data", STRANGE.values(), ids=STRANGE.keys())
def test_whatever_is_stored_as_a_manifest_is_shown(data: bytes) -> None:
    async def look(one: Application) -> None:
        digest = await store_manifest(one.storage, "a", "v1", data)
        page = await get(one, "/repositories/a:v1")
        assert digest in page.text
        assert "Traceback" not in page.text

    run(look)


def every_text(text: str) -> dict[str, Any]:
    """Give a manifest that says a text wherever it can."""
    descriptor = {
        "mediaType": text,
        "digest": text,
        "size": text,
        "artifactType": text,
        "urls": [text, f"javascript:{text}", f"https://host/{text}"],
        "platform": {"os": text, "architecture": text, "variant": text, "os.version": text},
        "annotations": {text: text, "org.opencontainers.image.title": text},
    }
    return {
        "mediaType": text,
        "artifactType": text,
        "config": descriptor,
        "layers": [descriptor],
        "manifests": [descriptor],
        "subject": descriptor,
        "annotations": {
            text: text,
            "a": "javascript:alert(1)",
            "b": f"https://host/{text}",
            "c": 'https://host/" onclick="alert(1)',
            "d": "data:text/html,<script>alert(1)</script>",
            "e": "//host/x",
            "f": "https:host",
        },
    }


def test_nothing_that_is_stored_becomes_markup() -> None:
    config = json.dumps(
        {
            "created": HOSTILE,
            "author": HOSTILE,
            "os": HOSTILE,
            "config": {
                "Env": [HOSTILE],
                "Entrypoint": [HOSTILE],
                "Cmd": HOSTILE,
                "User": HOSTILE,
                "Labels": {HOSTILE: HOSTILE},
                "ExposedPorts": {HOSTILE: {}},
            },
            "history": [{"created": HOSTILE, "created_by": HOSTILE, "comment": HOSTILE}],
        }
    ).encode()

    async def look(one: Application) -> None:
        await store_blob(one.storage, "a", config)
        await store_json(one.storage, "a", "strings", every_text(HOSTILE))
        await store_json(
            *(one.storage, "a", "image"), {**image(), "config": described(config, CONFIG)}
        )
        await store_json(one.storage, HOSTILE.replace("/", ""), "v1", image())
        addresses = ["/", "/repositories/a", "/repositories/a:strings", "/repositories/a:image"]
        for address in [*addresses, f"/{HOSTILE}", f"/?prefix={HOSTILE}&last={HOSTILE}"]:
            response = await one.http.get(address, headers={**BROWSER, "host": HOSTILE[:30]})
            page = Page(response)
            assert [each for each, _ in page.elements if each in ("script", "img")] == ["script"]
            assert not [
                name
                for _, attributes in page.elements
                for name in attributes
                if name.startswith("on") or name == "style"
            ]
            for link in page.links:
                assert link.startswith(("/", "#", "https://"))
                assert not link.startswith("//")
            assert not [each for each in page.all("button", "data-copy") if "<" in each]
        page = await get(one, "/repositories/a:strings")
        assert page.text.count("{{ 7 * 7 }}") > 10
        assert [link for link in page.links if link.startswith("https:")] == []

    run(look)


def test_links_of_others_tell_nobody_where_they_were_followed() -> None:
    async def look(one: Application) -> None:
        await store_json(one.storage, "a", "v1", image(annotations={"a": "https://git.example/x"}))
        page = await get(one, "/repositories/a:v1")
        (found,) = [
            each for _, each in page.elements if each.get("href", "") == "https://git.example/x"
        ]
        assert {"noopener", "noreferrer", "nofollow"} == {*(found["rel"] or "").split()}

    run(look)


def test_ten_thousand_layers_make_no_large_page() -> None:
    layers = [{**described(b"x", LAYER), "size": 10} for _ in range(10_000)]
    annotations = {f"name{number}": "v" * 10_000 for number in range(300)}

    async def look(one: Application) -> None:
        await store_json(one.storage, "a", "v1", image(layers=layers, annotations=annotations))
        page = await get(one, "/repositories/a:v1")
        assert "10000 layers" in page.text
        assert "9800 more of them are not shown" in page.text
        assert "100 more of them are not shown" in page.text
        assert "100,002 bytes" in page.all("data", "title")
        assert len(page.response.content) < 700_000

    run(look)


# Forms of texts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1,023 bytes"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (102_400, "100 KiB"),
        (1023 * 1024, "1.0 MiB"),
        (5 * 2**30, "5.0 GiB"),
        (2**63 - 1, "8.0 EiB"),
    ],
)
def test_sizes_are_short(size: int, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("2026-11-20T08:15:30.123456789Z", "2026-11-20 08:15 UTC"),
        ("2026-11-20T08:15:30+02:00", "2026-11-20 06:15 UTC"),
        ("0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00+01:00"),
        ("yesterday", "yesterday"),
        ("", ""),
    ],
)
def test_times_are_by_utc(given: str, text: str) -> None:
    assert human_time(given) == text


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("https://git.example/a?b=c#d", True),
        ("http://[::1]:5000/", True),
        ("HTTPS://git.example", True),
        ("javascript:alert(1)", False),
        (" https://git.example", False),
        ("https:/git.example", False),
        ("https://", False),
        ("https://[", False),
        ("ftp://git.example", False),
        ("https://git.example/\u202e", False),
        ("https://git.example/a b", False),
        ("https://git.example/\n", False),
        ("//git.example", False),
    ],
)
def test_addresses_on_the_web_are_told_from_other_texts(text: str, is_one: bool) -> None:
    assert web_address(text) == (text if is_one else "")
