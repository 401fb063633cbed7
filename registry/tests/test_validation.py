"""What is asked of pushed manifests, by the configuration's section `validation`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from storagedriver_registry.configuration import load_configuration
from storagedriver_registry.configuration.models import compile_pattern

from registry.tests.application import Application, run
from registry.tests.client import error_codes, sha256
from registry.tests.requirements import dump, image, index, put, store
from storagedriver_core import ConfigurationError

MISSING = sha256(b"missing")
MEMBER = {"mediaType": "application/x", "digest": MISSING, "size": 7}


def foreign(*urls: str) -> bytes:
    return image(layers=[{**MEMBER, "urls": list(urls)}])


def pushed(content: bytes, **manifests: object) -> tuple[int, list[str]]:
    """Push with a configuration; give the status and the codes of errors."""
    found: list[tuple[int, list[str]]] = []

    async def test(one: Application) -> None:
        response = await put(one, content)
        codes = [] if response.is_success else error_codes(response)
        found.append((response.status_code, codes))

    run(test, sections={"validation": {"manifests": manifests}})
    return found[0]


TAKEN: tuple[int, list[str]] = (201, [])
REFUSED = (400, ["MANIFEST_INVALID"])
LACKING = (400, ["MANIFEST_BLOB_UNKNOWN"])


@pytest.mark.parametrize(
    ("urls", "lists", "answer"),
    [
        (["https://a.example/x"], {}, TAKEN),
        (["https://a.example/x"], {"allow": [r"^https://a\.example/"]}, TAKEN),
        (["https://b.example/x"], {"allow": [r"^https://a\.example/"]}, REFUSED),
        (["https://a.example/x", "http://b/"], {"allow": [r"^https://a\.example/"]}, REFUSED),
        (["https://b.example/x"], {"allow": ["//a", "//b"]}, TAKEN),
        (["https://b.example/x"], {"deny": [r"//b\."]}, REFUSED),
        (["https://a.example/x"], {"deny": [r"//b\."]}, TAKEN),
        (["https://a.example/x"], {"allow": [r"\.example/"], "deny": ["//a"]}, REFUSED),
    ],
)
def test_urls_of_layers(
    urls: list[str], lists: Mapping[str, object], answer: tuple[int, list[str]]
) -> None:
    assert pushed(foreign(*urls), urls=lists) == answer


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("^[[:alpha:]]+$", ["aZ"], ["a1", ":", "[a]", "aé"]),
        ("^[^[:digit:]-]+$", ["a:"], ["a1", "-"]),
        ("^[][:upper:]_]$", ["]", "A", "_"], ["a", ":", "["]),
        ("^[[:punct:]]$", ["[", "]", "\\", "-", "~"], ["a", " "]),
        (r"^\[[:alpha:]\]$", ["[a]", "[:]"], ["[b]", "b"]),
        (r"^[\]:[:alpha:]]$", ["]", ":", "b"], ["1"]),
        (r"^\w+$", ["a_1"], ["é"]),
    ],
)
def test_expressions_mean_what_they_mean_to_distribution(
    pattern: str, matching: list[str], others: list[str]
) -> None:
    found = compile_pattern(pattern)
    assert [text for text in (*matching, *others) if found.search(text)] == matching


def members(*platforms: tuple[str, str] | None) -> bytes:
    listed = [
        {**MEMBER, "platform": platform and {"architecture": platform[0], "os": platform[1]}}
        for platform in platforms
    ]
    return index(manifests=listed)


LIST = {"platforms": "List", "platformlist": [{"architecture": "amd64", "os": "linux"}]}


@pytest.mark.parametrize(
    ("content", "indexes", "answer"),
    [
        (members(("amd64", "linux")), {}, LACKING),
        (members(("amd64", "linux")), {"platforms": "all"}, LACKING),
        (members(("amd64", "linux")), {"platforms": "None"}, TAKEN),
        (members(("arm64", "linux"), ("amd64", "windows"), None), LIST, TAKEN),
        (members(("arm64", "linux"), ("amd64", "linux")), LIST, LACKING),
    ],
)
def test_members_of_indexes(
    content: bytes, indexes: Mapping[str, object], answer: tuple[int, list[str]]
) -> None:
    assert pushed(content, indexes=indexes) == answer


def test_member_of_an_index_may_be_a_blob() -> None:
    async def test(one: Application) -> None:
        await store(one, "a", b"cache", sha256(b"cache"))
        assert (await put(one, index(sha256(b"cache")))).status_code == 201

    run(test)


def test_what_is_off_still_has_to_be_a_manifest() -> None:
    async def test(one: Application) -> None:
        for content in (b"{", dump({"schemaVersion": 2, "config": 1, "layers": []})):
            response = await one.http.put("/v2/a/manifests/v1", content=content)
            assert (response.status_code, error_codes(response)) == REFUSED

    run(test, sections={"validation": {"disabled": True}})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"validation": {"manifests": {"urls": {"allow": ["("]}}}}, "regular expression"),
        ({"validation": {"manifests": {"urls": {"deny": ["[[:letter:]]"]}}}}, "no class"),
        ({"validation": {"manifests": {"urls": {"deny": ["[a[:^alpha:]]"]}}}}, "no class"),
        ({"validation": {"manifests": {"indexes": {"platforms": "some"}}}}, "'list'"),
        ({"catalog": {"maxentries": "many"}}, "maxentries"),
        ({"tags": {"maxtags": "many"}}, "maxtags"),
    ],
)
def test_wrong_values_are_told(section: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_configuration({"storage": {"inmemory": {}}, **section})


def test_catalog_gives_no_more_than_is_configured() -> None:
    async def test(one: Application) -> None:
        for name in "abc":
            await store(one, name, b"{}", sha256(b"{}"))
            await one.http.put(f"/v2/{name}/manifests/v1", content=image())
        refused = await one.http.get("/v2/_catalog?n=3")
        assert (refused.status_code, error_codes(refused)) == (400, ["PAGINATION_NUMBER_INVALID"])
        response = await one.http.get("/v2/_catalog")
        assert response.json()["repositories"] == ["a", "b"]
        rest = await one.http.get(response.links["next"]["url"])
        assert rest.json()["repositories"] == ["c"]

    run(test, sections={"catalog": {"maxentries": 2}})
