"""Which manifests our server takes, and which docker-registry: docs/moving-a-registry.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from registry.tests.client import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Repository,
    sha256,
    unique_name,
)
from registry.tests.interchange import Pair, client, running_pair

pytestmark = [pytest.mark.service("docker-registry")]

KINDS = pytest.mark.parametrize("kind", [OCI_MANIFEST, DOCKER_MANIFEST], ids=["oci", "docker"])
INDEXES = pytest.mark.parametrize("kind", [OCI_INDEX, DOCKER_LIST], ids=["oci", "docker"])
ELSEWHERE = {"digest": sha256(b"none"), "urls": ["https://a.example/x"]}


@pytest.fixture(scope="module")
def pair(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(program, tmp_path_factory.mktemp("pair"), None) as pair:
        yield pair


def statuses(pair: Pair, make: Callable[[Repository], tuple[str, bytes]]) -> tuple[int, int]:
    """Give what our server and the other one answer to a manifest with its type."""
    found = []
    for server in pair:
        with client(server) as http:
            repository = Repository(http, unique_name("inter/manifests"))
            kind, body = make(repository)
            url, headers = repository.url("manifests/v1"), {"content-type": kind}
            found.append(http.put(url, content=body, headers=headers).status_code)
    ours, theirs = found
    # It says of some faults of a client's that they are its own.
    return ours, 400 if theirs == 500 else theirs


def image(kind: str, change: Callable[[dict[str, Any]], Any]) -> Any:
    """Give what makes an image that is changed."""

    def make(repository: Repository) -> tuple[str, bytes]:
        manifest = repository.image(media_type=kind)
        changed = change(manifest)
        return kind, changed if isinstance(changed, bytes) else json.dumps(manifest).encode()

    return make


def index(kind: str, member: Mapping[str, Any], **others: Any) -> Any:
    """Give what makes an index of one member, of which no more is said than that."""

    def make(repository: Repository) -> tuple[str, bytes]:
        listed = {"manifests": [{"digest": repository.push_image("member"), **member}]}
        document = {"schemaVersion": 2, "mediaType": kind, **listed, **others}
        kept = {key: value for key, value in document.items() if value != "left out"}
        return kind, json.dumps(kept).encode()

    return make


TAKEN_BY_BOTH: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "config without type": lambda image: image["config"].pop("mediaType"),
    "config without size": lambda image: image["config"].pop("size"),
    "layer without type": lambda image: image["layers"][0].pop("mediaType"),
    "layer without size": lambda image: image["layers"][0].pop("size"),
    "wrong size": lambda image: image["layers"][0].update(size=77),
    "no layers": lambda image: image.pop("layers"),
    "layers are null": lambda image: image.update(layers=None),
}

TAKEN_BY_THEM: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "negative size": lambda image: image["layers"][0].update(size=-1),
    "config elsewhere": lambda image: image["config"].update(ELSEWHERE),
    "subject without digest": lambda image: image.update(subject={"size": 1}),
    "key in another case": lambda image: image.update(Config=image.pop("config")),
    "not UTF-8": lambda image: json.dumps(image).encode()[:-1] + b', "x": "\xff"}',
}

TAKEN_BY_US: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "annotation of a layer is a number": lambda image: image["layers"][0].update(
        annotations={"a": 1}
    ),
    "size beyond 64 bits": lambda image: image["layers"][0].update(size=2**63),
}


@KINDS
@pytest.mark.parametrize("change", TAKEN_BY_BOTH)
def test_image_is_taken_by_both(pair: Pair, kind: str, change: str) -> None:
    assert statuses(pair, image(kind, TAKEN_BY_BOTH[change])) == (201, 201)


@KINDS
@pytest.mark.parametrize("change", TAKEN_BY_THEM)
def test_image_is_taken_by_distribution_alone(pair: Pair, kind: str, change: str) -> None:
    assert statuses(pair, image(kind, TAKEN_BY_THEM[change])) == (400, 201)


@KINDS
@pytest.mark.parametrize("change", TAKEN_BY_US)
def test_image_is_taken_here_alone(pair: Pair, kind: str, change: str) -> None:
    assert statuses(pair, image(kind, TAKEN_BY_US[change])) == (201, 400)


@INDEXES
def test_index_whose_members_have_no_type_and_size_is_taken_by_both(pair: Pair, kind: str) -> None:
    assert statuses(pair, index(kind, {})) == (201, 201)


@INDEXES
@pytest.mark.parametrize("others", [{"manifests": "left out"}, {"annotations": {"a": 1}}], ids=str)
def test_index_is_taken_by_distribution_alone(
    pair: Pair, kind: str, others: dict[str, Any]
) -> None:
    assert statuses(pair, index(kind, {}, **others)) == (400, 201)


def test_what_is_taken_differs_between_the_types(pair: Pair) -> None:
    def both(manifest: dict[str, Any]) -> None:
        manifest["manifests"] = []

    def numbers(manifest: dict[str, Any]) -> None:
        manifest["annotations"] = {"a": 1}

    def elsewhere(manifest: dict[str, Any]) -> None:
        manifest["layers"][0] |= ELSEWHERE

    def untyped(manifest: dict[str, Any]) -> None:
        del manifest["mediaType"]

    def unknown(repository: Repository) -> tuple[str, bytes]:
        return "application/vnd.example+json", b'{"mediaType": "application/vnd.example+json"}'

    found = {
        change.__name__: [
            statuses(pair, image(kind, change)) for kind in (OCI_MANIFEST, DOCKER_MANIFEST)
        ]
        for change in (both, numbers, elsewhere, untyped)
    }
    assert found == {
        "both": [(400, 400), (400, 201)],
        "numbers": [(400, 400), (400, 201)],
        "elsewhere": [(201, 400), (201, 201)],
        "untyped": [(201, 201), (201, 400)],
    }
    assert statuses(pair, unknown) == (201, 400)
