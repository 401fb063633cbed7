"""A proxy of another registry, which a relay before that one watches."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from registry.tests.client import Repository, error_codes, sha256, unique_name
from registry.tests.described import check
from registry.tests.processes import ServerProcess, our_server, running
from registry.tests.serving import eventually
from registry.tests.upstreams import Relay, relaying

DESCRIBED = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1}


def layer(size: int = 300_000) -> bytes:
    """Give bytes that no other test has."""
    return os.urandom(size)


class Proxied(NamedTuple):
    """A proxy, the registry that it is a proxy of, and the relay between the two."""

    upstream: ServerProcess
    relay: Relay
    proxy: ServerProcess


@contextmanager
def proxied(
    folder: Path,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    upstream_settings: Mapping[str, Mapping[str, object]] | None = None,
) -> Iterator[Proxied]:
    """Run all three."""
    with ExitStack() as stack:
        for name in ("upstream", "proxy"):
            (folder / name).mkdir()
        upstream = our_server(folder / "upstream", upstream_settings)
        stack.enter_context(running(upstream))
        relay = stack.enter_context(relaying(upstream.url))
        sections = dict(settings or {})
        sections["proxy"] = {"remoteurl": relay.url, **sections.get("proxy", {})}
        proxy = stack.enter_context(running(our_server(folder / "proxy", sections)))
        yield Proxied(upstream, relay, proxy)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    with proxied(tmp_path_factory.mktemp("proxy")) as world:
        yield world


class Place:
    """A repository: upstream, where the test pushes, and at the proxy."""

    def __init__(self, world: Proxied, upstream: httpx.Client, http: httpx.Client) -> None:
        name = unique_name("proxied")
        self.name = name
        self.relay = world.relay
        self.upstream = Repository(upstream, name)
        self.proxy = Repository(http, name)
        self.data = world.proxy.data

    def get(self, rest: str, **headers: str) -> httpx.Response:
        return self.proxy.http.get(self.proxy.url(rest), headers=headers)

    def asked(self, method: str, part: str) -> int:
        """Tell how often the upstream was asked for something in this repository."""
        return self.relay.count(method, f"/v2/{self.name}/{part}")

    def is_cached(self, digest: str) -> bool:
        algorithm, _, value = digest.partition(":")
        root = self.data / "docker/registry/v2"
        link = root / "repositories" / self.name / "_layers" / algorithm / value / "link"
        return link.exists() and (root / "blobs" / algorithm / value[:2] / value / "data").exists()


@pytest.fixture
def place(shared: Proxied) -> Iterator[Place]:
    """A repository of its own for each test; whatever the proxy answers is in the API's table."""
    with (
        httpx.Client(base_url=shared.upstream.url) as upstream,
        httpx.Client(base_url=shared.proxy.url, event_hooks={"response": [check]}) as http,
    ):
        yield Place(shared, upstream, http)
        shared.relay.heal()


def test_image_is_fetched_once_and_then_served_from_the_cache(place: Place) -> None:
    data = layer()
    digest = place.upstream.push_image("v1", data)
    for method in ("HEAD", "GET"):
        response = place.proxy.http.request(method, place.proxy.url("manifests/v1"))
        direct = place.upstream.http.request(method, place.upstream.url("manifests/v1"))
        assert (response.status_code, response.content) == (200, direct.content)
        for name in ("docker-content-digest", "content-type", "content-length", "etag"):
            assert response.headers[name] == direct.headers[name]
    for _ in range(2):
        assert place.get(f"manifests/{digest}").content == direct.content
        for descriptor in (direct.json()["config"], *direct.json()["layers"]):
            blob = place.get(f"blobs/{descriptor['digest']}")
            assert (blob.status_code, sha256(blob.content)) == (200, descriptor["digest"])
            assert place.asked("GET", f"blobs/{descriptor['digest']}") == 1
    # Each look at a tag is one question without content; the manifest itself comes once.
    assert (place.asked("HEAD", "manifests/v1"), place.asked("GET", "manifests/")) == (2, 1)
    eventually(lambda: place.is_cached(sha256(data)))


def test_nothing_can_be_pushed_or_deleted(place: Place) -> None:
    digest = place.upstream.push_image("v1")
    for method, rest in (
        ("POST", "blobs/uploads/"),
        ("PUT", "manifests/v2"),
        ("DELETE", "manifests/v1"),
        ("DELETE", f"manifests/{digest}"),
        ("DELETE", f"blobs/{sha256(b'layer')}"),
    ):
        response = place.proxy.http.request(method, place.proxy.url(rest))
        assert (response.status_code, error_codes(response)) == (405, ["UNSUPPORTED"])
        assert "DELETE" not in response.headers["allow"]


def test_tag_is_what_it_is_upstream(place: Place) -> None:
    first = place.upstream.push_image("v1", b"one")
    assert place.get("manifests/v1").headers["docker-content-digest"] == first
    second = place.upstream.push_image("v1", b"two")
    assert place.get("manifests/v1").headers["docker-content-digest"] == second
    # Back again: the manifest is cached, and only the tag has changed.
    place.upstream.push_image("v1", b"one")
    assert place.get("manifests/v1").headers["docker-content-digest"] == first
    assert place.asked("GET", "manifests/") == 2
    place.upstream.http.delete(place.upstream.url("manifests/v1"))
    with down(place):
        assert place.get("manifests/v1").headers["docker-content-digest"] == first
    response = place.get("manifests/v1")
    assert (response.status_code, error_codes(response)) == (404, ["MANIFEST_UNKNOWN"])
    with down(place):
        # What the upstream has said to be gone is not served again.
        assert place.get("manifests/v1").status_code == 503
    assert place.get(f"manifests/{first}").status_code == 200


@contextmanager
def down(place: Place, status: int = 500, **headers: str) -> Iterator[None]:
    """Have the upstream fail for a repository."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    place.relay.answers[f"/v2/{place.name}/"] = (status, named)
    try:
        yield
    finally:
        del place.relay.answers[f"/v2/{place.name}/"]


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_what_is_cached_is_served_whatever_the_upstream_says(place: Place, status: int) -> None:
    data = layer()
    digest = place.upstream.push_image("v1", data)
    for rest in ("manifests/v1", f"blobs/{sha256(data)}"):
        assert place.get(rest).status_code == 200
    with down(place, status, retry_after="77"):
        assert place.get("manifests/v1").headers["docker-content-digest"] == digest
        assert place.get(f"manifests/{digest}").status_code == 200
        assert place.get(f"blobs/{sha256(data)}").content == data


@pytest.mark.parametrize(
    ("status", "expected"), [(401, 403), (403, 403), (429, 429), (400, 502), (500, 200), (503, 200)]
)
def test_tags_that_are_cached_are_given_only_if_the_upstream_is_down_and_with_a_warning(
    place: Place, status: int, expected: int
) -> None:
    for tag in ("v1", "v2"):
        place.upstream.push_image(tag)
    assert place.get("manifests/v1").status_code == 200
    whole = place.proxy.tags()
    assert (whole.json()["tags"], "warning" in whole.headers) == (["v1", "v2"], False)
    with down(place, status):
        response = place.proxy.tags()
    assert response.status_code == expected
    if expected == 200:
        assert response.json()["tags"] == ["v1"]
        assert response.headers["warning"].startswith('299 - "the upstream registry fails')


@pytest.mark.parametrize(
    ("status", "expected", "code"),
    [
        (401, 403, "DENIED"),
        (403, 403, "DENIED"),
        (429, 429, "TOOMANYREQUESTS"),
        (500, 503, "UNAVAILABLE"),
        (503, 503, "UNAVAILABLE"),
        (400, 502, "UNAVAILABLE"),
    ],
)
def test_what_is_not_cached_is_answered_with_what_is_wrong(
    place: Place, status: int, expected: int, code: str
) -> None:
    place.upstream.push_image("v1")
    with down(place, status, retry_after="77", www_authenticate='Basic realm="upstream"'):
        for rest in ("manifests/v1", f"manifests/{sha256(b'x')}", f"blobs/{sha256(b'layer')}"):
            response = place.get(rest)
            assert (response.status_code, error_codes(response)) == (expected, [code])
            assert "www-authenticate" not in response.headers
            wait = {429: "77", 503: "5"}.get(expected)
            assert response.headers.get("retry-after") == wait
        head = place.proxy.http.head(place.proxy.url(f"blobs/{sha256(b'layer')}"))
        assert head.status_code == expected


def test_what_the_upstream_does_not_have_is_unknown(place: Place) -> None:
    absent = sha256(b"absent")
    for rest, code in (
        ("manifests/v1", "MANIFEST_UNKNOWN"),
        (f"manifests/{absent}", "MANIFEST_UNKNOWN"),
        (f"blobs/{absent}", "BLOB_UNKNOWN"),
        ("tags/list", "NAME_UNKNOWN"),
    ):
        response = place.get(rest)
        assert (response.status_code, error_codes(response)) == (404, [code])


def test_lists_are_those_of_the_upstream(place: Place) -> None:
    for tag in ("b", "c", "a"):
        subject = place.upstream.push_image(tag, tag.encode())
    assert place.proxy.tags().json() == {"name": place.name, "tags": ["a", "b", "c"]}
    page = place.proxy.tags(n=1, last="a")
    assert page.json()["tags"] == ["b"]
    assert page.headers["link"] == f'</v2/{place.name}/tags/list?last=b&n=1>; rel="next"'
    image = place.upstream.image(b"signature")
    signature = {**image, "artifactType": "a/b", "subject": {"digest": subject, **DESCRIBED}}
    place.upstream.push_manifest(signature, sha256(json.dumps(signature).encode()))
    found = place.get(f"referrers/{subject}", accept="*/*")
    assert found.json() == place.upstream.http.get(found.request.url.path).json()
    assert len(found.json()["manifests"]) == 1
    others = place.proxy.http.get(
        place.proxy.url(f"referrers/{subject}"), params={"artifactType": "other/type"}
    )
    assert others.json()["manifests"] == []
    # Of the catalog distribution gives what is cached, and so do we.
    assert place.name not in place.proxy.http.get("/v2/_catalog", params={"n": 1000}).text
    place.get("manifests/a")
    assert place.name in place.proxy.http.get("/v2/_catalog", params={"n": 1000}).text
    with down(place):
        assert place.proxy.tags().json()["tags"] == ["a"]
        cached = place.get(f"referrers/{subject}")
        assert cached.json()["manifests"] == []
        assert cached.headers["warning"].startswith("299")


def test_head_and_ranges_of_what_is_not_cached_come_from_the_upstream(place: Place) -> None:
    data = layer()
    digest = place.upstream.push_blob(data)
    path = place.proxy.url(f"blobs/{digest}")
    head = place.proxy.http.head(path)
    direct = place.upstream.http.head(path)
    assert head.status_code == 200
    for name in ("content-length", "docker-content-digest", "etag", "accept-ranges"):
        assert head.headers[name] == direct.headers[name]
    for wanted, part in (
        ("bytes=0-9", slice(0, 10)),
        ("bytes=100000-", slice(100_000, None)),
        ("bytes=-7", slice(-7, None)),
    ):
        response = place.get(f"blobs/{digest}", range=wanted)
        assert (response.status_code, response.content) == (206, data[part])
        direct = place.upstream.http.get(path, headers={"range": wanted})
        assert response.headers["content-range"] == direct.headers["content-range"]
    assert place.get(f"blobs/{digest}", range="bytes=9999999-").status_code == 416
    assert place.get(f"blobs/{digest}", **{"if-none-match": f'"{digest}"'}).status_code == 304
    assert not place.is_cached(digest)
    whole = place.get(f"blobs/{digest}", range="bytes=0-9", **{"if-range": '"other"'})
    assert (whole.status_code, whole.content) == (200, data)


def test_range_that_breaks_off_is_seen_to_be_short(place: Place) -> None:
    data = layer()
    digest = place.upstream.push_blob(data)
    place.relay.cuts = digest
    with pytest.raises(httpx.RemoteProtocolError):
        place.get(f"blobs/{digest}", range="bytes=10-")


@pytest.mark.parametrize("fault", ["corrupts", "cuts"])
def test_large_blob_that_does_not_come_right_is_cut_off(place: Place, fault: str) -> None:
    data = layer(3_000_000)
    digest = place.upstream.push_blob(data)
    setattr(place.relay, fault, digest)
    place.relay.gate.clear()
    with place.proxy.http.stream("GET", place.proxy.url(f"blobs/{digest}")) as response:
        assert response.headers["content-length"] == str(len(data))
        chunks = response.iter_bytes()
        assert data.startswith(next(chunks))
        place.relay.gate.set()
        with pytest.raises(httpx.RemoteProtocolError):
            list(chunks)
    assert not place.is_cached(digest)
    setattr(place.relay, fault, "")
    assert place.get(f"blobs/{digest}").content == data


def test_large_blob_that_fails_at_once_is_an_error_or_cut_off(place: Place) -> None:
    digest = place.upstream.push_blob(layer())
    place.relay.corrupts = digest
    for _ in range(5):
        try:
            response = place.get(f"blobs/{digest}")
        except httpx.RemoteProtocolError:
            continue  # the client was faster than what is wrong
        # An error of the registry's, and not what the server below it says of one.
        assert (response.status_code, error_codes(response)) == (502, ["UNAVAILABLE"])


def test_small_blob_that_does_not_come_right_is_an_error(place: Place) -> None:
    digest = place.upstream.push_blob(b"small")
    place.relay.corrupts = digest
    response = place.get(f"blobs/{digest}")
    assert (response.status_code, error_codes(response)) == (502, ["UNAVAILABLE"])
    place.relay.corrupts = ""
    assert place.get(f"blobs/{digest}").content == b"small"


def test_manifest_that_does_not_come_right_is_an_error(place: Place) -> None:
    digest = place.upstream.push_image("v1")
    place.relay.corrupts = "manifests/"
    for rest in ("manifests/v1", f"manifests/{digest}"):
        response = place.get(rest)
        assert (response.status_code, error_codes(response)) == (502, ["UNAVAILABLE"])
    place.relay.corrupts = ""
    assert place.get("manifests/v1").headers["docker-content-digest"] == digest


def test_connection_that_breaks_once_is_gone_on_with(place: Place) -> None:
    data = layer(3_000_000)
    digest = place.upstream.push_blob(data)
    place.relay.cuts_once = digest
    assert place.get(f"blobs/{digest}").content == data
    ranges = [headers.get("Range") for _, path, headers in place.relay.requests if digest in path]
    assert ranges[0] is None
    assert str(ranges[1]).endswith(f"-{len(data) - 1}")


def test_blob_of_another_repository_is_linked_if_the_upstream_has_it_there(place: Place) -> None:
    data = layer()
    digest = place.upstream.push_blob(data)
    assert place.get(f"blobs/{digest}").content == data
    eventually(lambda: place.is_cached(digest))
    other = f"{place.name}/other"
    path = f"/v2/{other}/blobs/{digest}"
    # To know the digest is not enough.
    assert place.proxy.http.get(path).status_code == 404
    place.upstream.http.post(f"/v2/{other}/blobs/uploads/", params={"mount": digest})
    assert place.proxy.http.get(path).content == data
    assert place.asked("GET", f"blobs/{digest}") == 1
    assert place.relay.count("GET", path) == 0
    # It was as good as fetched, and expires like what was.
    algorithm, _, value = digest.partition(":")
    notes = place.data / "docker/registry/v2/storagedriver/fetched/blobs"
    assert (notes / other / f"_{algorithm}" / value).exists()


def test_client_that_leaves_does_not_end_the_download(place: Place) -> None:
    data = layer(3_000_000)
    digest = place.upstream.push_blob(data)
    place.relay.gate.clear()
    with place.proxy.http.stream("GET", place.proxy.url(f"blobs/{digest}")) as response:
        next(response.iter_bytes())
    place.relay.gate.set()
    eventually(lambda: place.is_cached(digest))
    assert place.get(f"blobs/{digest}").content == data
    assert place.asked("GET", f"blobs/{digest}") == 1


def test_credentials_of_clients_stay_here(place: Place) -> None:
    place.upstream.push_image("v1")
    assert place.get("manifests/v1", authorization="Basic Y29uZmlkZW50aWFs").status_code == 200
    assert place.asked("GET", "manifests/") == 1
    assert not any("Authorization" in headers for _, _, headers in place.relay.requests)
